/*
 * openai_client_chunk: what replies and streams of chat completions and of legacy completions have
 * in common: the frame of a chunk, usage, finish reasons, the members around the choices.
 *
 * Called by the writers of the two protocols. A stream repeats its id, time and model in each
 * chunk, so all that stands before the choice's index is composed once and then copied. Counts that
 * the provider did not report are 0 in the sums, and their details are left out. Fails only for
 * want of memory: c->arena, or `out`, where it is sticky.
 */
#include "dialect/openai_client_chunk.h"

#include <string.h>

/* When the answer was made: the provider's time, else that of the attempt. */
static int64_t
created(const struct chat *c, uint64_t s)
{
	return s > 0 && s <= INT64_MAX ? (int64_t)s : (int64_t)c->created_s;
}

int
chunk_compose(struct chat *c, struct chunk_form *f, struct str object, const struct chunk_names *n,
	struct buf *out)
{
	size_t from = buf_len(out), lead;
	struct json_writer w;

	buf_add(out, STR("data: "));
	json_writer_init(&w, out);
	json_object(&w);
	json_pair_escaped(&w, STR("id"), n->id);
	json_pair(&w, STR("object"), object);
	json_key(&w, STR("created"));
	json_number(&w, created(c, n->created_s));
	if (n->model.len > 0)
		json_pair_escaped(&w, STR("model"), n->model);
	else
		json_pair(&w, STR("model"), c->model);
	buf_add(out, STR(",\"choices\":["));
	lead = buf_len(out) - from;
	buf_add(out, STR("{\"index\":"));
	f->head = out->failed ? (struct str){ NULL, 0 }
			      : arena_copy(c->arena, str_skip(buf_str(out), from));
	f->lead = str_head(f->head, lead);
	f->usage = c->include_usage;
	out->end = out->start + from;
	return f->head.p ? 0 : -1;
}

void
chunk_open(const struct chunk_form *f, unsigned choice, struct buf *out)
{
	buf_add(out, f->head);
	buf_u64(out, choice, 1);
}

static void
add_tier(struct str tier, struct buf *out)
{
	if (tier.len == 0)
		return;
	buf_add(out, STR(",\"service_tier\":\""));
	buf_add(out, tier);
	buf_add(out, STR("\""));
}

void
chunk_close(const struct chunk_form *f, struct str logprobs, struct str finish, struct str tier,
	struct buf *out)
{
	if (logprobs.len == 0 && finish.len == 0) { /* as nearly all are */
		buf_add(out,
			f->usage ? STR(",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}"
				       "\n\n")
				 : STR(",\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
		return;
	}
	buf_add(out, STR(",\"logprobs\":"));
	if (logprobs.len > 0) {
		buf_add(out, STR("{\"content\":["));
		chunk_raw(logprobs, out);
		buf_add(out, STR("],\"refusal\":null}"));
	} else {
		buf_add(out, STR("null"));
	}
	buf_add(out, STR(",\"finish_reason\":"));
	buf_add(out, finish.len > 0 ? STR("\"") : STR("null"));
	buf_add(out, finish);
	buf_add(out, finish.len > 0 ? STR("\"}]") : STR("}]"));
	if (f->usage)
		buf_add(out, STR(",\"usage\":null"));
	add_tier(tier, out);
	buf_add(out, STR("}\n\n"));
}

/* The sum of two counts that are not negative. */
static int64_t
sum(int64_t a, int64_t b)
{
	return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static int64_t
count(int64_t n)
{
	return n > 0 ? n : 0;
}

/* A part as it was reported, which cannot be more than the whole: clients subtract. */
static int64_t
part(int64_t n, int64_t whole)
{
	return n > whole ? whole : n;
}

struct detail {
	struct str name;
	int64_t n; /* -1: not reported */
};

static void
write_details(struct json_writer *w, struct str name, const struct detail *d, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (d[i].n < 0)
			continue;
		if (!any) {
			json_key(w, name);
			json_object(w);
		}
		any = true;
		json_key(w, d[i].name);
		json_number(w, d[i].n);
	}
	if (any)
		json_object_end(w);
}

/* What was read from the cache or written to it is part of the prompt here. */
static void
write_usage(struct json_writer *w, const struct chat_usage *u)
{
	const struct usage *t = &u->tokens;
	int64_t prompt = sum(sum(count(t->input), count(t->cache_read)), count(t->cache_write)),
		completion = count(t->output);
	struct detail in[] = { { STR_INIT("cached_tokens"), t->cache_read },
		{ STR_INIT("cache_write_tokens"), t->cache_write },
		{ STR_INIT("audio_tokens"), part(u->audio_in, prompt) } };
	struct detail all_out[] = { { STR_INIT("reasoning_tokens"),
					    part(t->reasoning, completion) },
		{ STR_INIT("audio_tokens"), part(u->audio_out, completion) } };

	json_object(w);
	json_key(w, STR("prompt_tokens"));
	json_number(w, prompt);
	json_key(w, STR("completion_tokens"));
	json_number(w, completion);
	json_key(w, STR("total_tokens"));
	json_number(w, sum(prompt, completion));
	write_details(w, STR("prompt_tokens_details"), in, sizeof in / sizeof in[0]);
	write_details(w, STR("completion_tokens_details"), all_out,
		sizeof all_out / sizeof all_out[0]);
	json_object_end(w);
}

void
chunk_usage(const struct chunk_form *f, const struct chat_usage *u, struct buf *out)
{
	struct json_writer w;

	buf_add(out, f->lead);
	buf_add(out, STR("],\"usage\":"));
	json_writer_init(&w, out);
	write_usage(&w, u);
	add_tier(u->tier, out);
	buf_add(out, STR("}\n\n"));
}

void
chunk_done(struct buf *out)
{
	buf_add(out, STR("data: [DONE]\n\n"));
}

struct chunk_choice *
chunk_choose(struct arena *a, struct chunk_choice **all, unsigned index, size_t size, bool *fresh)
{
	struct chunk_choice *h = *all;

	while (h && h->index != index)
		h = h->next;
	*fresh = !h;
	if (h)
		return h;
	h = arena_zero(a, size);
	if (!h)
		return NULL;
	h->index = index;
	h->next = *all;
	*all = h;
	return h;
}

void
chunk_text(const struct chat_event *ev, struct buf *out)
{
	if (ev->plain)
		json_escape(out, ev->text);
	else
		buf_add(out, ev->text);
}

void
chunk_raw(struct str raw, struct buf *out)
{
	while (raw.len > 0) {
		size_t lf = str_index(raw, '\n'), cr = str_index(str_head(raw, lf), '\r');

		buf_add(out, str_head(raw, cr));
		raw = str_skip(raw, cr + 1);
	}
}

struct str
finish_word(enum chat_stop stop, bool calls, bool legacy)
{
	switch (stop) {
	case STOP_LENGTH:
		return STR("length");
	case STOP_REFUSAL:
		return STR("content_filter");
	case STOP_END:
	case STOP_SEQUENCE:
	case STOP_CALLS:
		break;
	}
	if (calls)
		return legacy ? STR("function_call") : STR("tool_calls");
	return STR("stop");
}

void
call_head(struct str id, struct str name, bool custom, bool legacy, struct buf *out)
{
	if (!legacy) {
		buf_add(out, STR("\"id\":\""));
		buf_add(out, id);
		buf_add(out,
			custom ? STR("\",\"type\":\"custom\",\"custom\":{")
			       : STR("\",\"type\":\"function\",\"function\":{"));
	}
	buf_add(out, STR("\"name\":\""));
	buf_add(out, name);
	buf_add(out, custom ? STR("\",\"input\":\"") : STR("\",\"arguments\":\""));
}

void
call_tail(struct str signature, bool legacy, struct buf *out)
{
	buf_add(out, legacy ? STR("\"") : STR("\"}"));
	if (legacy || signature.len == 0)
		return;
	buf_add(out, STR(",\"extra_content\":{\"google\":{\"thought_signature\":\""));
	buf_add(out, signature);
	buf_add(out, STR("\"}}"));
}

void
reply_open(struct chat *c, const struct chat_reply *r, struct json_writer *w, struct str object,
	struct str id)
{
	json_object(w);
	json_pair_escaped(w, STR("id"), id);
	json_pair(w, STR("object"), object);
	json_key(w, STR("created"));
	json_number(w, created(c, r->created_s));
	if (r->model.len > 0)
		json_pair_escaped(w, STR("model"), r->model);
	else
		json_pair(w, STR("model"), c->model);
	json_key(w, STR("choices"));
	json_array(w);
}

void
reply_close(const struct chat_reply *r, struct json_writer *w, struct str tier)
{
	struct chat_usage none = CHAT_USAGE_NONE;

	json_array_end(w);
	json_key(w, STR("usage"));
	write_usage(w, r->has_usage ? &r->usage : &none);
	if (tier.len > 0)
		json_pair_escaped(w, STR("service_tier"), tier);
	json_object_end(w);
}

void
reply_text(struct json_writer *w, const struct chat_reply_choice *h, enum chat_event_type type)
{
	for (const struct chat_reply_part *p = h->parts; p; p = p->next) {
		for (const struct chat_piece *t = p->type == type ? p->pieces : NULL; t;
			t = t->next) {
			if (t->plain)
				json_text_more(w, t->text);
			else
				json_text_more_escaped(w, t->text);
		}
	}
}
