/*
 * openai_client_write: the events of an answer as chunks of chat completions (OpenAI API reference:
 * the chat completion chunk object).
 *
 * Called by translate through openai_client. What SDKs need of a stream is kept here: each choice
 * begins with its role, indices of calls count from 0 without gaps over the whole stream, a call
 * ends with arguments that can be parsed, and each choice has one finish reason. Citations wait for
 * the chunk that finishes: SDKs take the last list that they see, they do not join lists. What
 * stands before a text is composed once, for all that come one after the other. Fails only for want
 * of memory (c->arena, or `out`, where it is sticky).
 *
 *     choice:  role -> text, refusal, reasoning, images, calls ... -> finish
 *     call:    (told, no arguments) -> arguments ... -> end; {} when there were none
 */
#include "dialect/openai_client_write.h"

#include <assert.h>
#include <string.h>

#include "dialect/openai_client_chunk.h"

enum { BEFORE_MORE = 64 }; /* behind a chunk's head: the choice, and the member with the text */

struct citation {
	struct str raw;
	struct citation *next;
};

struct choice {
	struct chunk_choice in; /* the stream */
	unsigned calls;         /* told so far */
	bool in_call, custom, has_args;
	struct citation *citations, *last_citation;
};

struct writer {
	struct chunk_form form;
	struct chunk_choice *choices;
	struct choice *at; /* the one that was written last */
	/* what stood before the last text that was told, and where: nearly all are alike */
	char *before;
	size_t before_len;
	struct choice *before_at;
	const char *before_member;
	bool legacy; /* calls are told as function_call, which is one */
	bool held;   /* the call waits for its arguments, which are next */
	struct chat_event call;
	struct chat_usage usage;
};

void *
openai_client_open(struct chat *c)
{
	struct writer *w = arena_zero(c->arena, sizeof *w);

	if (!w)
		return NULL;
	w->usage = CHAT_USAGE_NONE;
	w->legacy = c->functions;
	return w;
}

/*
 * Chunks
 */

static void
delta_open(struct writer *w, struct buf *out)
{
	chunk_open(&w->form, w->at->in.index, out);
	buf_add(out, STR(",\"delta\":{"));
}

static void
delta_close(struct writer *w, struct buf *out)
{
	buf_add(out, STR("}"));
	chunk_close(&w->form, STR(""), STR(""), STR(""), out);
}

/* A chunk up to the text of its one string: `member` is what stands before that, a literal. */
static void
text_open(struct chat *c, struct writer *w, struct str member, struct buf *out)
{
	size_t from = buf_len(out);
	struct str before;

	if (w->before_at == w->at && w->before_member == member.p) {
		buf_add(out, (struct str){ w->before, w->before_len });
		return;
	}
	delta_open(w, out);
	buf_add(out, member);
	before = str_skip(buf_str(out), from);
	if (!w->before)
		w->before = arena_alloc(c->arena, w->form.head.len + BEFORE_MORE);
	if (!w->before || out->failed)
		return;
	assert(before.len <= w->form.head.len + BEFORE_MORE);
	memcpy(w->before, before.p, before.len);
	w->before_len = before.len;
	w->before_at = w->at;
	w->before_member = member.p;
}

static void
tell_text(struct chat *c, struct writer *w, struct str member, const struct chat_event *ev,
	struct buf *out)
{
	if (ev->text.len == 0)
		return;
	text_open(c, w, member, out);
	chunk_text(ev, out);
	buf_add(out, STR("\"}"));
	chunk_close(&w->form, STR(""), STR(""), STR(""), out);
}

static int
start(struct chat *c, struct writer *w, const struct chat_event *ev, struct buf *out)
{
	struct chunk_names names = { .id = STR_INIT("") };

	if (w->form.head.p)
		return 0;
	if (ev->type == EVENT_START)
		names = (struct chunk_names){ ev->id, ev->model, ev->created_s };
	if (names.id.len == 0)
		names.id = chat_make_id(c, c->arena, STR("chatcmpl-"));
	return chunk_compose(c, &w->form, STR("chat.completion.chunk"), &names, out);
}

/* Make the choice the one that is written; a new one begins with its role. 0 or -1. */
static int
choose(struct chat *c, struct writer *w, unsigned index, struct buf *out)
{
	struct choice *h;
	bool fresh;

	if (w->at && w->at->in.index == index)
		return 0;
	h = (struct choice *)chunk_choose(c->arena, &w->choices, index, sizeof *h, &fresh);
	if (!h)
		return -1;
	w->at = h;
	if (!fresh)
		return 0;
	delta_open(w, out);
	buf_add(out, STR("\"role\":\"assistant\",\"content\":\"\""));
	delta_close(w, out);
	return 0;
}

/*
 * Calls
 */

static void
call_open(struct writer *w, unsigned index, struct buf *out)
{
	delta_open(w, out);
	if (w->legacy) {
		buf_add(out, STR("\"function_call\":{"));
		return;
	}
	buf_add(out, STR("\"tool_calls\":[{\"index\":"));
	buf_u64(out, index, 1);
}

static void
call_close(struct writer *w, struct buf *out)
{
	buf_add(out, w->legacy ? STR("}") : STR("}]"));
	delta_close(w, out);
}

/* The first chunk of a call; `args`: its arguments, when they are there at once. */
static void
tell_call(struct writer *w, const struct chat_event *call, const struct chat_event *args,
	struct buf *out)
{
	struct choice *h = w->at;

	h->in_call = h->calls == 0 || !w->legacy;
	h->custom = call->custom;
	h->has_args = args && args->text.len > 0;
	if (!h->in_call)
		return;
	call_open(w, h->calls++, out);
	if (!w->legacy)
		buf_add(out, STR(","));
	call_head(call->id, call->name, call->custom, w->legacy, out);
	if (args)
		chunk_text(args, out);
	call_tail(call->signature, w->legacy, out);
	call_close(w, out);
}

static void
tell_arguments(struct writer *w, const struct chat_event *ev, struct buf *out)
{
	if (w->held) {
		w->held = false;
		tell_call(w, &w->call, ev, out);
		return;
	}
	if (!w->at->in_call || ev->text.len == 0)
		return;
	w->at->has_args = true;
	call_open(w, w->at->calls - 1, out);
	if (w->legacy)
		buf_add(out, STR("\"arguments\":\""));
	else if (w->at->custom)
		buf_add(out, STR(",\"custom\":{\"input\":\""));
	else
		buf_add(out, STR(",\"function\":{\"arguments\":\""));
	chunk_text(ev, out);
	buf_add(out, w->legacy ? STR("\"") : STR("\"}"));
	call_close(w, out);
}

/* No arguments are an empty object: clients parse them. */
static void
end_call(struct writer *w, struct buf *out)
{
	static const struct chat_event none = { .text = STR_INIT("{}") };

	if (!w->at->in_call)
		return;
	if (!w->at->has_args && !w->at->custom)
		tell_arguments(w, &none, out);
	w->at->in_call = false;
}

/*
 * The rest
 */

static void
tell_image(struct writer *w, const struct chat_event *ev, struct buf *out)
{
	delta_open(w, out);
	buf_add(out, STR("\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:"));
	buf_add(out, ev->media);
	buf_add(out, STR(";base64,"));
	chunk_text(ev, out);
	buf_add(out, STR("\"}}]"));
	delta_close(w, out);
}

static void
tell_logprobs(struct writer *w, const struct chat_event *ev, struct buf *out)
{
	if (ev->raw.len == 0)
		return;
	delta_open(w, out);
	buf_add(out, STR("}"));
	chunk_close(&w->form, ev->raw, STR(""), STR(""), out);
}

static void
keep_citation(struct chat *c, struct choice *h, const struct chat_event *ev)
{
	struct citation *kept = arena_zero(c->arena, sizeof *kept);

	if (!kept)
		return;
	kept->raw = arena_copy(c->arena, ev->raw);
	*(h->last_citation ? &h->last_citation->next : &h->citations) = kept;
	h->last_citation = kept;
}

static void
finish(struct chat *c, struct writer *w, const struct chat_event *ev, struct buf *out)
{
	struct choice *h = w->at;

	tell_text(c, w, STR("\"refusal\":\""), ev, out);
	h->in.stopped = true;
	delta_open(w, out);
	for (const struct citation *k = h->citations; k; k = k->next) {
		buf_add(out, k == h->citations ? STR("\"annotations\":[") : STR(","));
		chunk_raw(k->raw, out);
	}
	buf_add(out, h->citations ? STR("]}") : STR("}"));
	chunk_close(&w->form, STR(""), finish_word(ev->stop, h->calls > 0, w->legacy),
		w->usage.tier, out);
}

static void
take_usage(struct chat *c, struct writer *w, const struct chat_usage *u)
{
	struct str tier = w->usage.tier;

	w->usage = *u;
	w->usage.tier = str_eq(tier, u->tier) ? tier : arena_copy(c->arena, u->tier);
}

/* An event that belongs to a choice. */
static void
tell(struct chat *c, struct writer *w, const struct chat_event *ev, struct buf *out)
{
	switch (ev->type) {
	case EVENT_CITATION:
		keep_citation(c, w->at, ev);
		return;
	case EVENT_LOGPROBS:
		tell_logprobs(w, ev, out);
		return;
	case EVENT_ARGUMENTS:
		tell_arguments(w, ev, out);
		return;
	default:
		end_call(w, out);
	}
	switch (ev->type) {
	case EVENT_TEXT:
		tell_text(c, w, STR("\"content\":\""), ev, out);
		break;
	case EVENT_REFUSAL:
		tell_text(c, w, STR("\"refusal\":\""), ev, out);
		break;
	case EVENT_REASONING:
		tell_text(c, w, STR("\"reasoning_content\":\""), ev, out);
		break;
	case EVENT_CALL:
		w->held = ev->joined;
		w->call = *ev;
		if (!w->held)
			tell_call(w, ev, NULL, out);
		break;
	case EVENT_IMAGE:
		tell_image(w, ev, out);
		break;
	case EVENT_STOP:
		finish(c, w, ev, out);
		break;
	default: /* EVENT_START told the role; signatures are for whole replies */
		break;
	}
}

void
openai_client_event(struct chat *c, void *state, const struct chat_event *ev, struct buf *out)
{
	struct writer *w = state;

	if (ev->type == EVENT_USAGE) {
		take_usage(c, w, &ev->usage);
		return;
	}
	if (start(c, w, ev, out) < 0)
		return;
	if (ev->type == EVENT_DONE) {
		if (c->include_usage)
			chunk_usage(&w->form, &w->usage, out);
		chunk_done(out);
		return;
	}
	if (choose(c, w, ev->choice, out) == 0 && !w->at->in.stopped)
		tell(c, w, ev, out);
}
