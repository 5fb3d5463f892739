/*
 * openai: what a provider answers that speaks OpenAI's chat completions, or nearly: a whole reply,
 * or chunks. Many servers do, and each a little differently: reasoning under two names, content as
 * a list, calls whose pieces interleave or share an index (tidy has that), usage in any chunk, a
 * finish reason that says stop beside calls, errors after status 200. Only the first choice is
 * read, since the clients that come here cannot ask for more.
 *
 *     -- an object --> READING -- finish_reason --> FINISHED --+-- [DONE], end of stream --> over
 *                         +------------------------------------+-- [DONE] --> over
 *
 * Payload may follow the finish reason, and usage does, so the answer is told to have stopped only
 * where the stream ends. One that ends without either was cut. Called by translate; memory but that
 * of tidy is the event's. Fails on what is no JSON object, and on a stream of nothing.
 */
#include "dialect/openai.h"

#include <string.h>

#include "dialect/fault.h"
#include "dialect/openai_request.h"
#include "dialect/tidy.h"
#include "json/edit.h"

/* choices[].delta.content[].thinking[].text is the deepest that is looked at */
enum { KEEP = 9, DEPTH = 512, TIER_MOST = 32 };

struct reader {
	struct chat *chat;
	struct tidy *tidy;
	bool seen, started, finished, refused; /* seen: an object has come */
	enum chat_stop stop;
	struct str sequence; /* that stopped it; vLLM says which */
	char tier[TIER_MOST];
	size_t tier_len;
};

static void *
open_reader(struct chat *c)
{
	struct reader *r = arena_zero(c->arena, sizeof *r);

	if (!r)
		return NULL;
	r->chat = c;
	r->tidy = tidy_new(c);
	return r->tidy ? r : NULL;
}

/*
 * Errors
 */

/* As JavaScript has it: the SDKs throw on a truthy `error`. vLLM sends errors without a wrapper. */
static bool
says_error(const struct json_doc *d, const struct json_token *top)
{
	struct str raw = json_get_raw(d, top, STR("error"));

	if (raw.len > 0)
		return !str_eq(raw, STR("false")) && !str_eq(raw, STR("0")) &&
			!str_eq(raw, STR("\"\""));
	return json_get_is(d, top, STR("object"), STR("error"));
}

/* Finish reasons of an answer that broke off. The first is OpenRouter's, the other DeepSeek's. */
static bool
is_broken_off(struct str reason)
{
	return str_eq(reason, STR("error")) || str_eq(reason, STR("insufficient_system_resource"));
}

static void
give_broken_off(struct reader *r, struct str reason, struct chat_events *out)
{
	struct chat_event *ev = chat_emit(r->chat, out, EVENT_ERROR);

	if (!ev)
		return;
	ev->error = (struct error){ .kind = ERROR_UPSTREAM,
		.message = arena_printf(r->chat->arena, "the provider broke the answer off: %.*s",
			STR_ARG(reason)) };
	out->failed |= r->chat->arena->failed;
}

/*
 * Usage
 */

static int64_t
less(int64_t n, int64_t part)
{
	if (n < 0 || part < 0)
		return n;
	return part < n ? n - part : 0;
}

/* What the provider charged for it is said in each chunk, or in some. */
static struct str
tier_of(struct reader *r, const struct json_doc *d, const struct json_token *top)
{
	struct str tier = json_get_text(d, top, STR("service_tier"));

	if (tier.len > 0 && tier.len <= sizeof r->tier) {
		memcpy(r->tier, tier.p, tier.len);
		r->tier_len = tier.len;
	}
	return (struct str){ r->tier, r->tier_len };
}

static void
give_usage(struct reader *r, const struct json_doc *d, const struct json_token *usage,
	struct str tier, struct chat_events *out)
{
	const struct json_token *in = json_get(d, usage, STR("prompt_tokens_details"));
	const struct json_token *of = json_get(d, usage, STR("completion_tokens_details"));
	int64_t prompt = json_get_count(d, usage, STR("prompt_tokens"));
	int64_t completion = json_get_count(d, usage, STR("completion_tokens"));
	struct chat_event *ev;
	struct chat_usage *u;

	if (prompt < 0 &&
		completion < 0) /* it says nothing, and must not take the last one's place */
		return;
	ev = chat_emit(r->chat, out, EVENT_USAGE);
	if (!ev)
		return;
	u = &ev->usage;
	u->tokens.cache_read = json_get_count(d, in, STR("cached_tokens"));
	u->tokens.cache_write = json_get_count(d, in, STR("cache_write_tokens"));
	u->tokens.input =
		less(less(json_get_count(d, usage, STR("prompt_tokens")), u->tokens.cache_read),
			u->tokens.cache_write);
	u->tokens.output = json_get_count(d, usage, STR("completion_tokens"));
	u->tokens.reasoning = json_get_count(d, of, STR("reasoning_tokens"));
	u->audio_in = json_get_count(d, in, STR("audio_tokens"));
	u->audio_out = json_get_count(d, of, STR("audio_tokens"));
	u->tier = tier;
}

static const struct json_token *
usage_of(const struct json_doc *d, const struct json_token *top)
{
	const struct json_token *usage = json_get_type(d, top, STR("usage"), JSON_OBJECT);

	if (usage)
		return usage;
	return json_get_type(d, json_get(d, top, STR("x_groq")), STR("usage"), JSON_OBJECT);
}

/*
 * What is said
 */

/* Mistral's: a list of texts among those of the content. */
static void
give_thinking(struct reader *r, const struct json_doc *d, const struct json_token *t,
	struct chat_events *out)
{
	if (t && t->type == JSON_STRING)
		tidy_text(r->tidy, out, EVENT_REASONING, json_doc_inner(d, t));
	if (!t || t->type != JSON_ARRAY)
		return;
	for (const struct json_token *e = json_first(d, t); e; e = json_next(d, t, e))
		tidy_text(r->tidy, out, EVENT_REASONING, json_get_text(d, e, STR("text")));
}

static void
give_refusal(struct reader *r, struct str text, struct chat_events *out)
{
	r->refused |= text.len > 0;
	tidy_text(r->tidy, out, EVENT_REFUSAL, text);
}

static void
give_content(struct reader *r, const struct json_doc *d, const struct json_token *content,
	struct chat_events *out)
{
	if (content && content->type == JSON_STRING)
		tidy_text(r->tidy, out, EVENT_TEXT, json_doc_inner(d, content));
	if (!content || content->type != JSON_ARRAY)
		return;
	for (const struct json_token *e = json_first(d, content); e; e = json_next(d, content, e)) {
		if (e->type == JSON_STRING)
			tidy_text(r->tidy, out, EVENT_TEXT, json_doc_inner(d, e));
		give_thinking(r, d, json_get(d, e, STR("thinking")), out);
		tidy_text(r->tidy, out, EVENT_TEXT, json_get_text(d, e, STR("text")));
		give_refusal(r, json_get_text(d, e, STR("refusal")), out);
	}
}

/* Nothing but white space in an escaped text? */
static bool
is_blank(struct str s)
{
	static const struct str spaces[] = { STR_INIT(" "), STR_INIT("\\n"), STR_INIT("\\t"),
		STR_INIT("\\r") };

	while (s.len > 0) {
		size_t i = 0;

		while (i < 4 && !str_starts(s, spaces[i]))
			i++;
		if (i == 4)
			return false;
		s = str_skip(s, spaces[i].len);
	}
	return true;
}

static void
give_reasoning(struct reader *r, const struct json_doc *d, const struct json_token *said,
	bool whole, struct chat_events *out)
{
	struct str text = json_get_text(d, said, STR("reasoning_content"));

	if (text.len == 0)
		text = json_get_text(d, said, STR("reasoning"));
	if (!whole || !is_blank(text))
		tidy_text(r->tidy, out, EVENT_REASONING, text);
}

static int
give_function(struct reader *r, const struct json_doc *d, const struct json_token *function,
	struct tidy_piece *piece, struct chat_events *out)
{
	piece->name = json_get_text(d, function, STR("name"));
	piece->args = tidy_args(r->chat, d, function);
	return tidy_call(r->tidy, out, piece);
}

/* In a whole reply each entry is a call by itself, whatever its index says. */
static int
give_calls(struct reader *r, const struct json_doc *d, const struct json_token *calls, bool whole,
	struct chat_events *out)
{
	uint64_t at = 0;

	if (!calls)
		return 0;
	for (const struct json_token *e = json_first(d, calls); e; e = json_next(d, calls, e)) {
		int64_t index = whole ? (int64_t)at++ : json_get_count(d, e, STR("index"));
		struct tidy_piece piece = { .has_index = index >= 0,
			.index = index >= 0 ? (uint64_t)index : 0,
			.id = json_get_text(d, e, STR("id")),
			.end = whole };

		if (give_function(r, d, json_get(d, e, STR("function")), &piece, out) < 0)
			return -1;
	}
	return 0;
}

/* A delta, or a whole message. */
static int
give_message(struct reader *r, const struct json_doc *d, const struct json_token *said, bool whole,
	struct chat_events *out)
{
	const struct json_token *legacy = json_get_type(d, said, STR("function_call"), JSON_OBJECT);
	struct tidy_piece piece = { .has_index = true, .index = UINT64_MAX, .end = whole };

	give_reasoning(r, d, said, whole, out);
	give_content(r, d, json_get(d, said, STR("content")), out);
	give_refusal(r, json_get_text(d, said, STR("refusal")), out);
	if (give_calls(r, d, json_get_type(d, said, STR("tool_calls"), JSON_ARRAY), whole, out) < 0)
		return -1;
	return legacy ? give_function(r, d, legacy, &piece, out) : 0;
}

/*
 * Beginning and end
 */

static void
give_start(struct reader *r, const struct json_doc *d, const struct json_token *top,
	struct chat_events *out)
{
	struct chat_event *ev = r->started ? NULL : chat_emit(r->chat, out, EVENT_START);
	int64_t created;

	r->started = true;
	if (!ev)
		return;
	created = json_get_count(d, top, STR("created"));
	ev->id = json_get_text(d, top, STR("id"));
	ev->model = json_get_text(d, top, STR("model"));
	ev->created_s = created > 0 ? (uint64_t)created : 0;
}

static enum chat_stop
stop_of(struct str reason)
{
	static const struct {
		struct str reason;
		enum chat_stop stop;
	} stops[] = {
		{ STR_INIT("length"), STOP_LENGTH },
		{ STR_INIT("model_length"), STOP_LENGTH }, /* Mistral's */
		{ STR_INIT("content_filter"), STOP_REFUSAL },
	};

	for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
		if (str_eq(reason, stops[i].reason))
			return stops[i].stop;
	return STOP_END;
}

static void
note_finish(struct reader *r, const struct json_doc *d, const struct json_token *choice,
	struct str reason)
{
	struct str sequence = json_get_text(d, choice, STR("stop_reason"));

	r->finished = true;
	r->stop = stop_of(reason);
	if (str_eq(reason, STR("stop")) && sequence.len > 0) {
		r->stop = STOP_SEQUENCE;
		if (!str_eq(r->sequence, sequence)) /* some say it in each chunk */
			r->sequence = arena_copy(r->chat->arena, sequence);
	}
}

/* A cut call must not be run, so what cut the answer counts for more than that it has calls. Those
 * count whatever the reason says. */
static void
give_stop(struct reader *r, struct chat_events *out)
{
	struct chat_event *ev;
	enum chat_stop stop = r->refused ? STOP_REFUSAL : r->stop;

	tidy_end(r->tidy, out);
	if (tidy_called(r->tidy) && stop != STOP_REFUSAL && stop != STOP_LENGTH)
		stop = STOP_CALLS;
	ev = chat_emit(r->chat, out, EVENT_STOP);
	if (!ev)
		return;
	ev->stop = stop;
	if (stop == STOP_SEQUENCE)
		ev->stop_sequence = r->sequence;
	chat_emit(r->chat, out, EVENT_DONE);
}

/* The choice with index 0, or without one. */
static const struct json_token *
choice_of(const struct json_doc *d, const struct json_token *top)
{
	const struct json_token *choices = json_get_type(d, top, STR("choices"), JSON_ARRAY);

	for (const struct json_token *t = json_first(d, choices); t; t = json_next(d, choices, t))
		if (t->type == JSON_OBJECT && json_get_count(d, t, STR("index")) <= 0)
			return t;
	return NULL;
}

/* 1 when it said that the answer broke off: that is the last event. */
static int
read_choice(struct reader *r, const struct json_doc *d, const struct json_token *choice, bool whole,
	struct chat_events *out)
{
	struct str reason = json_get_text(d, choice, STR("finish_reason"));
	struct str name = whole ? STR("message") : STR("delta");

	if (give_message(r, d, json_get_type(d, choice, name, JSON_OBJECT), whole, out) < 0)
		return -1;
	if (is_broken_off(reason)) {
		give_broken_off(r, reason, out);
		return 1;
	}
	if (reason.len > 0)
		note_finish(r, d, choice, reason);
	return 0;
}

static int
read_reply(struct chat *c, void *state, struct str text, struct chat_events *out)
{
	struct reader *r = state;
	const struct json_token *top, *choice, *usage;
	struct json_doc d;
	int rc;

	if (json_doc_read(&d, c->scratch, text, KEEP, DEPTH) < 0)
		return -1;
	top = json_doc_top(&d);
	choice = choice_of(&d, top);
	if (!choice || says_error(&d, top)) {
		if (!says_error(&d, top))
			return -1;
		fault_emit(r->chat, text, out);
		return 0;
	}
	if (!json_get_type(&d, choice, STR("message"), JSON_OBJECT))
		return -1;
	give_start(r, &d, top, out);
	usage = usage_of(&d, top);
	if (usage)
		give_usage(r, &d, usage, tier_of(r, &d, top), out);
	rc = read_choice(r, &d, choice, true, out);
	if (rc == 0)
		give_stop(r, out);
	return rc < 0 ? -1 : 0;
}

static int
read_chunk(struct reader *r, const struct json_doc *d, const struct sse_event *chunk,
	struct chat_events *out)
{
	const struct json_token *top = json_doc_top(d), *usage = usage_of(d, top);
	const struct json_token *choices = json_get_type(d, top, STR("choices"), JSON_ARRAY);
	const struct json_token *choice = choice_of(d, top);
	struct str tier;

	if (top->type != JSON_OBJECT)
		return -1;
	if (says_error(d, top) || (!choices && str_eq(chunk->name, STR("error")))) {
		fault_emit(r->chat, chunk->data, out);
		return 0;
	}
	r->seen = true;
	out->loose = usage ? json_doc_raw(d, usage) : json_get_raw(d, top, STR("obfuscation"));
	/* Azure's first chunk has neither choices nor a model's name yet */
	if (choice || usage || json_get_text(d, top, STR("model")).len > 0)
		give_start(r, d, top, out);
	tier = tier_of(r, d, top);
	if (usage)
		give_usage(r, d, usage, tier, out);
	return choice && read_choice(r, d, choice, false, out) < 0 ? -1 : 0;
}

static int
read_event(struct chat *c, void *state, const struct sse_event *ev, struct chat_events *out)
{
	struct reader *r = state;
	struct str data = str_trim(ev->data);
	struct json_doc d;

	if (ev->oversized)
		return -1;
	if (data.len == 0)
		return 0;
	if (str_starts(data, STR("[DONE]"))) {
		if (!r->seen)
			return -1;
		give_start(r, NULL, NULL, out);
		give_stop(r, out);
		return 0;
	}
	if (json_doc_read(&d, c->scratch, data, KEEP, DEPTH) < 0)
		return -1;
	return read_chunk(r, &d, ev, out);
}

static bool
read_end(struct chat *c, void *state, struct chat_events *out)
{
	struct reader *r = state;

	(void)c;
	if (!r->finished)
		return false;
	give_stop(r, out);
	return true;
}

const struct chat_provider openai_provider = {
	.write_request = openai_write_request,
	.open = open_reader,
	.read_reply = read_reply,
	.read_event = read_event,
	.read_end = read_end,
};
