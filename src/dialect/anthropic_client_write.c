/*
 * anthropic_client_write: the events of an answer as Anthropic's stream, or as one message. The
 * stream's blocks stand one behind the other, counted from 0:
 *
 *     message_start, ping
 *     content_block_start, content_block_delta …, content_block_stop     for each block
 *     message_delta (why it stopped, usage), message_stop                at EVENT_DONE
 *
 * A piece of another kind closes the open block and opens one for itself, with an empty body: the
 * piece is then its first delta. message_delta waits for the end, since usage comes last. A call's
 * thought signature (Gemini's) has no place in a tool_use block: it signs the thinking right before
 * the call, or else a thinking block without text, as Anthropic sends where thinking is not shown;
 * but only in answers that show thinking: others get no block that they did not ask for.
 *
 * Called by translate. The fixed text before a delta is composed when its block opens; after that a
 * piece costs three copies. Fails only for want of memory, which `out` and the arena remember.
 */
#include "dialect/anthropic_client_write.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "dialect/chat_reply.h"

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_CALL };
enum { DELTA_MOST = 160 };

/* What decides the stop reason, and what stands beside it. */
struct ending {
	enum chat_stop stop;
	bool refused, called;
	struct str sequence, explanation;
	struct chat_usage usage;
};

struct writer {
	bool started;
	enum block open;
	bool ended;     /* the open block is whole, but may still be signed by a call */
	bool thought;   /* a thinking block came */
	bool is_signed; /* the open or else the last block is thinking, and signed */
	int64_t next;   /* index of the next block */
	struct ending ending;
	char delta[DELTA_MOST]; /* the open block's delta, up to its text */
	size_t delta_len;
};

static const struct kind {
	struct str start, delta;
} kinds[] = {
	[BLOCK_TEXT] = { STR_INIT("{\"type\":\"text\",\"text\":\"\"}"),
		STR_INIT("{\"type\":\"text_delta\",\"text\":\"") },
	[BLOCK_THINKING] = { STR_INIT(
				     "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
		STR_INIT("{\"type\":\"thinking_delta\",\"thinking\":\"") },
	[BLOCK_CALL] = { STR_INIT(""),
		STR_INIT("{\"type\":\"input_json_delta\",\"partial_json\":"
			 "\"") },
};

/*
 * The end
 */

static struct str
stop_reason(const struct ending *e)
{
	if (e->refused || e->stop == STOP_REFUSAL)
		return STR("refusal");
	if (e->stop == STOP_LENGTH)
		return STR("max_tokens");
	if (e->called)
		return STR("tool_use");
	return e->stop == STOP_SEQUENCE ? STR("stop_sequence") : STR("end_turn");
}

static void
write_ending(struct json_writer *w, const struct ending *e)
{
	struct str reason = stop_reason(e);

	json_pair(w, STR("stop_reason"), reason);
	json_key(w, STR("stop_sequence"));
	if (str_eq(reason, STR("stop_sequence")) && e->sequence.len > 0)
		json_escaped(w, e->sequence);
	else
		json_null(w);
	if (!str_eq(reason, STR("refusal")) || e->explanation.len == 0)
		return;
	json_key(w, STR("stop_details"));
	json_object(w);
	json_pair(w, STR("type"), STR("refusal"));
	json_pair_value(w, STR("category"), STR("null"));
	json_pair_escaped(w, STR("explanation"), e->explanation);
	json_object_end(w);
}

static void
write_count(struct json_writer *w, struct str name, int64_t n)
{
	json_key(w, name);
	json_number(w, n > 0 ? n : 0);
}

/* Never absent, since the SDKs throw without it: what is not known is 0. */
static void
write_usage(struct json_writer *w, const struct chat_usage *u)
{
	write_count(w, STR("input_tokens"), u->tokens.input);
	write_count(w, STR("cache_creation_input_tokens"), u->tokens.cache_write);
	write_count(w, STR("cache_read_input_tokens"), u->tokens.cache_read);
	write_count(w, STR("output_tokens"), u->tokens.output);
}

/* A call's id as this dialect spells ids: in its own alphabet, of any length. */
static struct str
call_id(struct chat *c, struct str id)
{
	return chat_tool_id(c->scratch, id, SIZE_MAX);
}

/*
 * The stream
 */

static void
event_open(struct json_writer *w, struct str type, struct buf *out)
{
	buf_add(out, STR("event: "));
	buf_add(out, type);
	buf_add(out, STR("\ndata: "));
	json_writer_init(w, out);
	json_object(w);
	json_pair(w, STR("type"), type);
}

static void
event_close(struct json_writer *w)
{
	json_object_end(w);
	buf_add(w->out, STR("\n\n"));
}

static void
message_open(struct json_writer *w, struct chat *c, struct str model)
{
	json_pair(w, STR("id"), chat_make_id(c, c->arena, STR("msg_")));
	json_pair(w, STR("type"), STR("message"));
	json_pair(w, STR("role"), STR("assistant"));
	if (model.len > 0)
		json_pair_escaped(w, STR("model"), model);
	else
		json_pair(w, STR("model"), c->model);
}

static void
start(struct chat *c, struct writer *s, struct str model, struct buf *out)
{
	struct json_writer w;

	if (s->started)
		return;
	s->started = true;
	event_open(&w, STR("message_start"), out);
	json_key(&w, STR("message"));
	json_object(&w);
	message_open(&w, c, model);
	json_pair_value(&w, STR("content"), STR("[]"));
	json_pair_value(&w, STR("stop_reason"), STR("null"));
	json_pair_value(&w, STR("stop_sequence"), STR("null"));
	json_key(&w, STR("usage"));
	json_object(&w);
	write_usage(&w, &CHAT_USAGE_NONE);
	json_object_end(&w);
	json_object_end(&w);
	event_close(&w);
	buf_add(out, STR("event: ping\ndata: {\"type\":\"ping\"}\n\n"));
}

static void
block_close(struct writer *s, struct buf *out)
{
	if (s->open != BLOCK_NONE)
		buf_printf(out,
			"event: content_block_stop\n"
			"data: {\"type\":\"content_block_stop\",\"index\":%lld}\n\n",
			(long long)s->next - 1);
	s->open = BLOCK_NONE;
	s->ended = false;
}

/* Begin the event that begins a block; the block itself and event_close come next. */
static void
block_begin(struct chat *c, struct writer *s, struct json_writer *w, struct buf *out)
{
	start(c, s, STR(""), out);
	block_close(s, out);
	event_open(w, STR("content_block_start"), out);
	json_key(w, STR("index"));
	json_number(w, s->next++);
	json_key(w, STR("content_block"));
}

static void
block_opened(struct writer *s, enum block kind)
{
	int len = snprintf(s->delta, sizeof s->delta,
		"event: content_block_delta\n"
		"data: {\"type\":\"content_block_delta\",\"index\":%lld,\"delta\":%.*s",
		(long long)s->next - 1, STR_ARG(kinds[kind].delta));

	assert(len > 0 && (size_t)len < sizeof s->delta);
	s->open = kind;
	s->thought |= kind == BLOCK_THINKING;
	s->is_signed = false;
	s->delta_len = (size_t)len;
}

static void
block_open(struct chat *c, struct writer *s, enum block kind, struct buf *out)
{
	struct json_writer w;

	if (s->open == kind && !s->ended)
		return;
	block_begin(c, s, &w, out);
	json_value(&w, kinds[kind].start);
	event_close(&w);
	block_opened(s, kind);
}

static void
delta(struct writer *s, const struct chat_event *ev, struct buf *out)
{
	buf_add(out, (struct str){ s->delta, s->delta_len });
	if (ev->plain)
		json_escape(out, ev->text);
	else
		buf_add(out, ev->text);
	buf_add(out, STR("\"}}\n\n"));
}

static void
piece(struct chat *c, struct writer *s, enum block kind, const struct chat_event *ev,
	struct buf *out)
{
	if (ev->text.len == 0)
		return;
	block_open(c, s, kind, out);
	delta(s, ev, out);
}

/* The signature of the open thinking block, or of one without text. */
static void
sign(struct chat *c, struct writer *s, struct str prefix, struct str signature, struct buf *out)
{
	struct json_writer w;

	if (signature.len == 0)
		return;
	if (s->is_signed)
		block_close(s, out);
	block_open(c, s, BLOCK_THINKING, out);
	event_open(&w, STR("content_block_delta"), out);
	json_key(&w, STR("index"));
	json_number(&w, s->next - 1);
	json_key(&w, STR("delta"));
	json_object(&w);
	json_pair(&w, STR("type"), STR("signature_delta"));
	json_key(&w, STR("signature"));
	json_text_open(&w);
	json_text_more(&w, prefix);
	json_text_more_escaped(&w, signature);
	json_text_close(&w);
	json_object_end(&w);
	event_close(&w);
	s->is_signed = true;
}

static void
redacted(struct chat *c, struct writer *s, const struct chat_event *ev, struct buf *out)
{
	struct json_writer w;

	block_begin(c, s, &w, out);
	json_object(&w);
	json_pair(&w, STR("type"), STR("redacted_thinking"));
	json_pair_escaped(&w, STR("data"), ev->text);
	json_object_end(&w);
	event_close(&w);
	s->open = BLOCK_TEXT;
	s->is_signed = false;
	block_close(s, out);
}

static void
call(struct chat *c, struct writer *s, const struct chat_event *ev, struct buf *out)
{
	struct json_writer w;

	s->ended = false;
	if (s->thought && !s->is_signed)
		sign(c, s, STR(GEMINI_SIGNATURE), ev->signature, out);
	block_begin(c, s, &w, out);
	json_object(&w);
	json_pair(&w, STR("type"), STR("tool_use"));
	json_pair_escaped(&w, STR("id"), call_id(c, ev->id));
	json_pair_escaped(&w, STR("name"), ev->name);
	json_pair_value(&w, STR("input"), STR("{}"));
	json_object_end(&w);
	event_close(&w);
	block_opened(s, BLOCK_CALL);
	s->ending.called = true;
}

static void
finish(struct chat *c, struct writer *s, struct buf *out)
{
	struct json_writer w;

	start(c, s, STR(""), out);
	block_close(s, out);
	event_open(&w, STR("message_delta"), out);
	json_key(&w, STR("delta"));
	json_object(&w);
	write_ending(&w, &s->ending);
	json_object_end(&w);
	json_key(&w, STR("usage"));
	json_object(&w);
	write_usage(&w, &s->ending.usage);
	json_object_end(&w);
	event_close(&w);
	buf_add(out, STR("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

void *
anthropic_client_open(struct chat *c)
{
	struct writer *s = arena_zero(c->arena, sizeof *s);

	if (s)
		s->ending.usage = CHAT_USAGE_NONE;
	return s;
}

static void
stopped(struct chat *c, struct writer *s, const struct chat_event *ev, struct buf *out)
{
	block_close(s, out);
	s->ending.stop = ev->stop;
	s->ending.sequence = arena_copy(c->arena, ev->stop_sequence);
	s->ending.explanation = arena_copy(c->arena, ev->text);
}

void
anthropic_client_event(struct chat *c, void *state, const struct chat_event *ev, struct buf *out)
{
	struct writer *s = state;

	if (ev->choice != 0)
		return;
	switch (ev->type) {
	case EVENT_START:
		start(c, s, ev->model, out);
		return;
	case EVENT_REFUSAL:
		s->ending.refused = true;
		piece(c, s, BLOCK_TEXT, ev, out);
		return;
	case EVENT_TEXT:
		piece(c, s, BLOCK_TEXT, ev, out);
		return;
	case EVENT_REASONING:
		if (s->open == BLOCK_THINKING && s->is_signed)
			block_close(s, out);
		piece(c, s, BLOCK_THINKING, ev, out);
		return;
	case EVENT_SIGNATURE:
		sign(c, s, STR(""), ev->text, out);
		return;
	case EVENT_REDACTED:
		redacted(c, s, ev, out);
		return;
	case EVENT_CALL:
		call(c, s, ev, out);
		return;
	case EVENT_ARGUMENTS:
		if (s->open == BLOCK_CALL)
			piece(c, s, BLOCK_CALL, ev, out);
		return;
	case EVENT_PART_END:
		if (s->open == BLOCK_THINKING && !s->is_signed)
			s->ended = true;
		else
			block_close(s, out);
		return;
	case EVENT_STOP:
		stopped(c, s, ev, out);
		return;
	case EVENT_USAGE:
		s->ending.usage = ev->usage;
		return;
	case EVENT_DONE:
		finish(c, s, out);
		return;
	case EVENT_IMAGE: /* what a message has no place for */
	case EVENT_CITATION:
	case EVENT_LOGPROBS:
	case EVENT_ERROR:
		return;
	}
}

/*
 * The whole message
 */

static void
block_text(struct json_writer *w, struct str type, struct str name, const struct chat_piece *pieces)
{
	json_object(w);
	json_pair(w, STR("type"), type);
	json_key(w, name);
	chat_write_pieces(w, pieces);
}

static void
block_thinking(struct json_writer *w, const struct chat_piece *pieces, struct str prefix,
	struct str signature)
{
	block_text(w, STR("thinking"), STR("thinking"), pieces);
	json_key(w, STR("signature"));
	json_text_open(w);
	if (signature.len > 0)
		json_text_more(w, prefix);
	json_text_more_escaped(w, signature);
	json_text_close(w);
	json_object_end(w);
}

/* A call's arguments, one escaped text. */
static struct str
arguments(struct chat *c, const struct chat_reply_part *p)
{
	struct chat_part part = { .type = PART_CALL, .args_escaped = true };
	struct buf text = BUF_EMPTY;

	if (p->pieces && !p->pieces->next) {
		part.args = p->pieces->text;
		part.args_escaped = !p->pieces->plain;
		return chat_args_object(c, &part);
	}
	for (const struct chat_piece *t = p->pieces; t; t = t->next) {
		if (t->plain)
			json_escape(&text, t->text);
		else
			buf_add(&text, t->text);
	}
	part.args = arena_copy(c->arena, buf_str(&text));
	c->arena->failed |= text.failed;
	buf_free(&text);
	return chat_args_object(c, &part);
}

static void
block_call(struct json_writer *w, struct chat *c, const struct chat_reply_part *p)
{
	struct str args = arguments(c, p);

	json_object(w);
	json_pair(w, STR("type"), STR("tool_use"));
	json_pair_escaped(w, STR("id"), call_id(c, p->id));
	json_pair_escaped(w, STR("name"), p->name);
	json_pair_value(w, STR("input"), args);
	json_object_end(w);
}

static bool
has_text(const struct chat_reply_part *p)
{
	return p->pieces && (p->pieces->next || p->pieces->text.len > 0);
}

/* Is there anything of the part to show? */
static bool
is_said(const struct chat_reply_part *p)
{
	switch (p->type) {
	case EVENT_REASONING:
		return p->signature.len > 0 || has_text(p);
	case EVENT_TEXT:
	case EVENT_REFUSAL:
		return has_text(p);
	default:
		return p->type == EVENT_REDACTED || p->type == EVENT_CALL;
	}
}

/* The thinking's own signature, or that of the call behind it. */
static void
write_thinking(struct json_writer *w, const struct chat_reply_part *p)
{
	const struct chat_reply_part *call = p->next;

	if (p->signature.len == 0 && call && call->type == EVENT_CALL)
		block_thinking(w, p->pieces, STR(GEMINI_SIGNATURE), call->signature);
	else
		block_thinking(w, p->pieces, STR(""), p->signature);
}

static void
write_part(struct json_writer *w, struct chat *c, const struct chat_reply_part *p)
{
	switch (p->type) {
	case EVENT_REASONING:
		write_thinking(w, p);
		return;
	case EVENT_CALL:
		block_call(w, c, p);
		return;
	case EVENT_REDACTED:
		block_text(w, STR("redacted_thinking"), STR("data"), p->pieces);
		break;
	default:
		block_text(w, STR("text"), STR("text"), p->pieces);
		break;
	}
	json_object_end(w);
}

static void
write_content(struct json_writer *w, struct chat *c, const struct chat_reply_choice *choice)
{
	bool thought = false;
	enum chat_event_type last = EVENT_START;

	json_key(w, STR("content"));
	json_array(w);
	for (const struct chat_reply_part *p = choice ? choice->parts : NULL; p; p = p->next) {
		if (!is_said(p))
			continue;
		if (p->type == EVENT_CALL && p->signature.len > 0 && thought &&
			last != EVENT_REASONING)
			block_thinking(w, NULL, STR(GEMINI_SIGNATURE), p->signature);
		write_part(w, c, p);
		last = p->type;
		thought |= last == EVENT_REASONING;
	}
	json_array_end(w);
}

static struct ending
ending_of(const struct chat_reply *reply, const struct chat_reply_choice *choice)
{
	struct ending e = { .usage = reply->has_usage ? reply->usage : CHAT_USAGE_NONE };

	if (!choice)
		return e;
	e.stop = choice->stop;
	e.sequence = choice->stop_sequence;
	e.explanation = choice->explanation;
	e.refused = chat_has_part(choice, EVENT_REFUSAL);
	e.called = chat_has_part(choice, EVENT_CALL);
	return e;
}

void
anthropic_client_reply(struct chat *c, const struct chat_reply *reply, struct buf *out)
{
	const struct chat_reply_choice *choice = chat_reply_choice(reply, 0);
	struct ending e = ending_of(reply, choice);
	struct json_writer w;

	json_writer_init(&w, out);
	json_object(&w);
	message_open(&w, c, reply->model);
	write_content(&w, c, choice);
	write_ending(&w, &e);
	json_key(&w, STR("usage"));
	json_object(&w);
	write_usage(&w, &e.usage);
	if (str_eq(e.usage.tier, STR("default")))
		json_pair(&w, STR("service_tier"), STR("standard"));
	else if (str_eq(e.usage.tier, STR("priority")))
		json_pair(&w, STR("service_tier"), STR("priority"));
	json_object_end(&w);
	json_object_end(&w);
}
