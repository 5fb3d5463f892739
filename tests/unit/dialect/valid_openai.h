/*
 * valid_openai: what the OpenAI SDKs need of a stream and of a reply, held against the router's
 * own: one id, time and model; a role first and one finish reason last in each choice; indices of
 * calls without gaps, arguments that are never empty; usage in a chunk without choices, or nowhere;
 * the end marker.
 */
#ifndef VALID_OPENAI_H
#define VALID_OPENAI_H

#include "golden.h"
#include "json/doc.h"

enum { VALID_CHOICES = 128 };

struct valid_choice {
	bool begun, finished, legacy; /* legacy: its call is a function_call */
	size_t calls;
	size_t args; /* bytes of the last call's arguments; a custom call has one from the start */
};

struct valid_openai {
	const char *name; /* of the case, for messages */
	bool chat;        /* else legacy completions */
	struct json_doc d;
	struct valid_choice choices[VALID_CHOICES];
	struct str id, model, created; /* of the first chunk */
	size_t n;                      /* chunks so far */
	bool usage, told, done;        /* every chunk has one; the last one came; [DONE] */
};

#define valid_openai_assert(v, cond) \
	ck_assert_msg(cond, "%s: %s: %.*s", (v)->name, #cond, STR_ARG((v)->d.text))

/* A member that has to be there, if only as null. */
static inline const struct json_token *
valid_openai_member(struct valid_openai *v, const struct json_token *in, struct str name)
{
	bool more = true;
	const struct json_token *t = json_member(&v->d.scan, v->d.text, in, name, &more);

	ck_assert_msg(t && !more, "%s: %.*s is missing, or there twice: %.*s", v->name,
		STR_ARG(name), STR_ARG(v->d.text));
	return t;
}

static inline void
valid_openai_parts(struct valid_openai *v, const struct json_token *usage, struct str details,
	struct str part, int64_t most)
{
	const struct json_token *d = json_get(&v->d, usage, details);

	valid_openai_assert(v, !d || (d->type == JSON_OBJECT && d->count > 0));
	valid_openai_assert(v, json_get_count(&v->d, d, part) <= most);
}

static inline void
valid_openai_usage(struct valid_openai *v, const struct json_token *u)
{
	int64_t in, all_out, all;

	valid_openai_assert(v, u->type == JSON_OBJECT);
	in = json_get_count(&v->d, u, STR("prompt_tokens"));
	all_out = json_get_count(&v->d, u, STR("completion_tokens"));
	valid_openai_assert(v, in >= 0 && all_out >= 0);
	all = in > INT64_MAX - all_out ? INT64_MAX : in + all_out;
	valid_openai_assert(v, json_get_count(&v->d, u, STR("total_tokens")) == all);
	valid_openai_parts(v, u, STR("prompt_tokens_details"), STR("cached_tokens"), in);
	valid_openai_parts(v, u, STR("prompt_tokens_details"), STR("cache_write_tokens"), in);
	valid_openai_parts(v, u, STR("completion_tokens_details"), STR("reasoning_tokens"),
		all_out);
}

/* The members around the choices. */
static inline const struct json_token *
valid_openai_head(struct valid_openai *v, struct str object)
{
	const struct json_token *top = json_doc_top(&v->d), *choices;
	struct str id = json_get_text(&v->d, top, STR("id")),
		   model = json_get_text(&v->d, top, STR("model"));

	valid_openai_assert(v, top->type == JSON_OBJECT && id.len > 0 && model.len > 0);
	valid_openai_assert(v, v->chat || (str_starts(id, STR("cmpl-")) && id.len == 5 + 24));
	valid_openai_assert(v, json_get_is(&v->d, top, STR("object"), object));
	valid_openai_assert(v, json_get_count(&v->d, top, STR("created")) > 0);
	if (v->n++ == 0) {
		v->id = id;
		v->model = model;
		v->created = json_get_raw(&v->d, top, STR("created"));
	}
	valid_openai_assert(v, str_eq(id, v->id) && str_eq(model, v->model));
	valid_openai_assert(v, str_eq(json_get_raw(&v->d, top, STR("created")), v->created));
	choices = valid_openai_member(v, top, STR("choices"));
	valid_openai_assert(v, choices->type == JSON_ARRAY);
	return choices;
}

static inline void
valid_openai_logprobs(struct valid_openai *v, const struct json_token *choice)
{
	const struct json_token *t = valid_openai_member(v, choice, STR("logprobs"));

	if (t->type == JSON_NULL)
		return;
	valid_openai_assert(v, json_get_type(&v->d, t, STR("content"), JSON_ARRAY));
#ifndef VALID_HOSTILE /* items may be the provider's own, who may send anything */
	for (const struct json_token *i = json_first(&v->d, json_get(&v->d, t, STR("content"))); i;
		i = json_next(&v->d, json_get(&v->d, t, STR("content")), i)) {
		valid_openai_assert(v, json_get_type(&v->d, i, STR("token"), JSON_STRING));
		valid_openai_assert(v, json_get_type(&v->d, i, STR("logprob"), JSON_NUMBER));
	}
#endif
}

/* Null, or why the choice has ended; which agrees with whether there were calls. */
static inline void
valid_openai_finish(struct valid_openai *v, const struct json_token *choice, struct valid_choice *h)
{
	const struct json_token *t = valid_openai_member(v, choice, STR("finish_reason"));
	bool called = h->calls > 0, cut = false;

	if (t->type == JSON_NULL)
		return;
	cut = json_doc_is(&v->d, t, STR("length")) || json_doc_is(&v->d, t, STR("content_filter"));
	valid_openai_assert(v,
		cut ||
			json_doc_is(&v->d, t,
				h->legacy        ? STR("function_call")
					: called ? STR("tool_calls")
						 : STR("stop")));
	valid_openai_assert(v, h->calls == 0 || h->args > 0);
	h->finished = true;
}

/* The body of a call: its function or custom tool, and the text in it. */
static inline void
valid_openai_call(struct valid_openai *v, const struct json_token *call, struct valid_choice *h,
	size_t index)
{
	bool first = index == h->calls, custom = json_get(&v->d, call, STR("custom")) != NULL;
	const struct json_token *body =
		json_get_type(&v->d, call, custom ? STR("custom") : STR("function"), JSON_OBJECT);
	struct str text = custom ? STR("input") : STR("arguments");

	valid_openai_assert(v, body);
	valid_openai_assert(v, json_get_type(&v->d, body, text, JSON_STRING));
	if (first) {
		valid_openai_assert(v, json_get_text(&v->d, call, STR("id")).len > 0);
		valid_openai_assert(v,
			json_get_is(&v->d, call, STR("type"),
				custom ? STR("custom") : STR("function")));
		valid_openai_assert(v, json_get_text(&v->d, body, STR("name")).len > 0);
		valid_openai_assert(v, h->calls == 0 || h->args > 0);
		h->calls++;
		h->args = custom;
	} else {
		valid_openai_assert(v, !json_get(&v->d, call, STR("id")));
		valid_openai_assert(v, !json_get(&v->d, body, STR("name")));
	}
	h->args += json_get_text(&v->d, body, text).len;
}

static inline void
valid_openai_calls(struct valid_openai *v, const struct json_token *calls, struct valid_choice *h,
	bool stream)
{
	valid_openai_assert(v, calls->type == JSON_ARRAY && calls->count > 0);
	for (const struct json_token *t = json_first(&v->d, calls); t;
		t = json_next(&v->d, calls, t)) {
		int64_t index = json_get_count(&v->d, t, STR("index"));

		/* the pieces of one call are not mixed with those of another */
		valid_openai_assert(v,
			stream ? index == (int64_t)h->calls || index + 1 == (int64_t)h->calls
			       : index == -1);
		valid_openai_call(v, t, h, stream ? (size_t)index : h->calls);
	}
}

/* The one call of a client that knows no tools. */
static inline void
valid_openai_function(struct valid_openai *v, const struct json_token *call, struct valid_choice *h)
{
	bool named = json_get_text(&v->d, call, STR("name")).len > 0;

	valid_openai_assert(v, call->type == JSON_OBJECT && named == !h->legacy);
	valid_openai_assert(v, h->calls == h->legacy);
	valid_openai_assert(v, json_get_type(&v->d, call, STR("arguments"), JSON_STRING));
	h->legacy = true;
	h->calls = 1;
	h->args += json_get_text(&v->d, call, STR("arguments")).len;
}

/* What a delta or a message says beside its role. */
static inline void
valid_openai_message(struct valid_openai *v, const struct json_token *m, struct valid_choice *h,
	bool stream)
{
	static const char *const texts[] = { "content", "refusal", "reasoning_content" };
	static const char *const lists[] = { "annotations", "images", "thinking_blocks" };
	const struct json_token *t;

	for (size_t i = 0; i < COUNT(texts); i++) {
		t = json_get(&v->d, m, str_of(texts[i]));
		valid_openai_assert(v, !t || t->type == JSON_STRING);
	}
	for (size_t i = 0; i < COUNT(lists); i++) {
		t = json_get(&v->d, m, str_of(lists[i]));
		valid_openai_assert(v, !t || (t->type == JSON_ARRAY && t->count > 0));
	}
	t = json_get(&v->d, m, STR("tool_calls"));
	if (t)
		valid_openai_calls(v, t, h, stream);
	t = json_get(&v->d, m, STR("function_call"));
	if (t)
		valid_openai_function(v, t, h);
}

static inline struct valid_choice *
valid_openai_choice(struct valid_openai *v, const struct json_token *choice)
{
	int64_t index = json_get_count(&v->d, choice, STR("index"));

	valid_openai_assert(v, index >= 0 && index < VALID_CHOICES);
	valid_openai_assert(v, !v->choices[index].finished);
	valid_openai_logprobs(v, choice);
	return &v->choices[index];
}

static inline void
valid_openai_delta(struct valid_openai *v, const struct json_token *choice)
{
	struct valid_choice *h = valid_openai_choice(v, choice);
	const struct json_token *delta;

	if (v->chat) {
		delta = json_get_type(&v->d, choice, STR("delta"), JSON_OBJECT);
		valid_openai_assert(v, delta);
		valid_openai_assert(v,
			h->begun != json_get_is(&v->d, delta, STR("role"), STR("assistant")));
		valid_openai_message(v, delta, h, true);
	} else {
		valid_openai_assert(v, json_get_type(&v->d, choice, STR("text"), JSON_STRING));
	}
	h->begun = true;
	valid_openai_finish(v, choice, h);
}

static inline void
valid_openai_chunk(struct valid_openai *v)
{
	const struct json_token *top = json_doc_top(&v->d), *usage, *t,
				*choices = valid_openai_head(v,
					v->chat ? STR("chat.completion.chunk")
						: STR("text_completion"));

	usage = json_member(&v->d.scan, v->d.text, top, STR("usage"), NULL);
	if (v->n == 1)
		v->usage = usage != NULL;
	valid_openai_assert(v, v->usage == (usage != NULL) && !v->told);
	if (choices->count == 0) {
		valid_openai_assert(v, usage && v->n > 1);
		valid_openai_usage(v, usage);
		v->told = true;
		return;
	}
	valid_openai_assert(v, !usage || usage->type == JSON_NULL);
	for (t = json_first(&v->d, choices); t; t = json_next(&v->d, choices, t))
		valid_openai_delta(v, t);
}

/* A stream as it was written; `whole`: no error ended it. */
static inline void
valid_openai_stream(const char *name, struct str text, bool chat, bool whole)
{
	struct valid_openai v = { .name = name, .chat = chat };
	struct arena a;
	bool any = false;

	arena_init(&a, 0);
	while (text.len > 0) {
		size_t end = str_find(text, STR("\n\n"));
		struct str line = str_head(text, end);

		text = str_skip(text, end + 2);
		v.d.text = line;
		valid_openai_assert(&v, !v.done && str_starts(line, STR("data: ")));
		valid_openai_assert(&v, str_index(line, '\n') == line.len);
		valid_openai_assert(&v, str_index(line, '\r') == line.len);
		line = str_skip(line, 6);
		v.done = str_eq(line, STR("[DONE]"));
		if (v.done)
			continue;
		ck_assert_msg(json_doc_read(&v.d, &a, line, UINT32_MAX, 100) == 0,
			"%s: no JSON: %.*s", name, STR_ARG(line));
		valid_openai_chunk(&v);
	}
	ck_assert_msg(v.done == whole, "%s: [DONE]: %d, not %d", name, v.done, whole);
	ck_assert_msg(!whole || v.usage == v.told, "%s: usage was promised, or not", name);
	for (size_t i = 0; i < VALID_CHOICES && whole; i++) {
		ck_assert_msg(v.choices[i].begun == v.choices[i].finished,
			"%s: choice %zu has no finish", name, i);
		any |= v.choices[i].begun;
	}
	ck_assert_msg(!whole || any, "%s: there is no choice", name);
	arena_free(&a);
}

static inline void
valid_openai_reply(const char *name, struct str text, bool chat)
{
	struct valid_openai v = { .name = name, .chat = chat };
	const struct json_token *choices, *t, *m;
	struct arena a;

	arena_init(&a, 0);
	ck_assert_msg(json_doc_read(&v.d, &a, text, UINT32_MAX, 100) == 0, "%s: no JSON: %.*s",
		name, STR_ARG(text));
	choices = valid_openai_head(&v, chat ? STR("chat.completion") : STR("text_completion"));
	valid_openai_usage(&v, valid_openai_member(&v, json_doc_top(&v.d), STR("usage")));
	valid_openai_assert(&v, choices->count > 0);
	for (t = json_first(&v.d, choices); t; t = json_next(&v.d, choices, t)) {
		struct valid_choice *h = valid_openai_choice(&v, t);

		m = json_get_type(&v.d, t, STR("message"), JSON_OBJECT);
		if (chat) {
			valid_openai_assert(&v,
				json_get_is(&v.d, m, STR("role"), STR("assistant")));
			valid_openai_member(&v, m, STR("content"));
			valid_openai_member(&v, m, STR("refusal"));
			valid_openai_message(&v, m, h, false);
		} else {
			valid_openai_assert(&v, json_get_type(&v.d, t, STR("text"), JSON_STRING));
		}
		valid_openai_finish(&v, t, h);
		valid_openai_assert(&v, h->finished);
	}
	arena_free(&a);
}

#endif
