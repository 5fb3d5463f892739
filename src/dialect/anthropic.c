/*
 * anthropic: Anthropic messages as a provider speaks them. Requests are written by
 * anthropic_request; here its replies and streams are read.
 *
 * Called by translate. A whole reply is read as a stream whose blocks come complete. What Anthropic
 * may add (events, blocks, deltas of kinds that are not known here) is passed over. Fails on what
 * is no JSON, or no object, and on arguments that belong to no open call.
 *
 *     message_start -> ( block_start -> block_delta* -> block_stop )* -> message_delta+ ->
 * message_stop
 *
 * Its counts are cumulative: each overwrites the one before. Citations of the web tell where their
 * block stands in the answer, so they are kept until it ends.
 */
#include "dialect/anthropic.h"

#include <inttypes.h>

#include "dialect/anthropic_request.h"
#include "dialect/fault.h"
#include "json/text.h"

enum { KEEP_LEVELS = 6, DEPTH_MOST = 1024 };

enum block { BLOCK_NONE, BLOCK_SHOWN, BLOCK_CALL, BLOCK_HIDDEN };

struct citation {
	struct str url, title; /* escaped */
	struct citation *next;
};

struct reader {
	bool whole; /* the text that is read stays: nothing of it need be copied */
	bool started, stopped;
	enum block block;
	int64_t index;           /* of the open block; -1: not said */
	struct str inline_input; /* of the open call: raw; empty: none */
	bool got_arguments;
	bool called, called_json; /* a tool of the client's; the one that stands in for a format */
	uint64_t units, block_units; /* of the text so far, in UTF-16; where the block began */
	struct citation *citations, **citation_end;
	struct chat_usage usage;
	struct chat_event stop; /* as far as it is known */
};

static void *
open_reader(struct chat *c)
{
	struct reader *r = arena_zero(c->arena, sizeof *r);

	if (!r)
		return NULL;
	r->usage = CHAT_USAGE_NONE;
	r->citation_end = &r->citations;
	r->stop.type = EVENT_STOP;
	return r;
}

/* A slice that must outlive the event. */
static struct str
keep(struct chat *c, const struct reader *r, struct str s)
{
	return r->whole || s.len == 0 ? s : arena_copy(c->arena, s);
}

/* Length of an escaped text as JavaScript counts it. */
static uint64_t
count_units(struct str s)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < s.len) {
		unsigned char b = (unsigned char)s.p[i];
		size_t run = 1;

		if (b >= 0x80) {
			n += b < 0xC0 ? 0 : b >= 0xF0 ? 2 : 1;
		} else if (b == '\\') {
			run = i + 1 < s.len && s.p[i + 1] == 'u' ? 6 : 2;
			n++;
		} else {
			run = json_plain_run(s.p + i, s.len - i);
			run += run == 0;
			n += run;
		}
		i += run;
	}
	return n;
}

static void
emit_text(struct chat *c, struct reader *r, struct str text, struct chat_events *out)
{
	r->units += count_units(text);
	chat_emit_text(c, out, EVENT_TEXT, 0, text);
}

static void
emit_raw(struct chat *c, struct str raw, struct chat_events *out)
{
	struct chat_event *e = chat_emit(c, out, EVENT_ARGUMENTS);

	if (!e)
		return;
	e->text = raw;
	e->plain = true;
}

/*
 * Blocks
 */

static void
hold_citation(struct chat *c, struct reader *r, const struct json_doc *d,
	const struct json_token *citation)
{
	struct str url = json_get_text(d, citation, STR("url"));
	struct citation *held;

	if (!json_get_is(d, citation, STR("type"), STR("web_search_result_location")) ||
		url.len == 0)
		return;
	held = arena_zero(c->arena, sizeof *held);
	if (!held)
		return;
	held->url = keep(c, r, url);
	held->title = keep(c, r, json_get_text(d, citation, STR("title")));
	*r->citation_end = held;
	r->citation_end = &held->next;
}

static void
emit_citations(struct chat *c, struct reader *r, struct chat_events *out)
{
	for (const struct citation *held = r->citations; held; held = held->next) {
		struct chat_event *e = chat_emit(c, out, EVENT_CITATION);

		if (!e)
			break;
		e->raw = arena_printf(c->scratch,
			"{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":%" PRIu64
			",\"end_index\":%" PRIu64 ",\"url\":\"%.*s\",\"title\":\"%.*s\"}}",
			r->block_units, r->units, STR_ARG(held->url), STR_ARG(held->title));
		out->failed |= !e->raw.p;
	}
	r->citations = NULL;
	r->citation_end = &r->citations;
}

/* The open block ends, said or not. */
static void
close_block(struct chat *c, struct reader *r, struct chat_events *out)
{
	if (r->block == BLOCK_CALL && !r->got_arguments)
		emit_raw(c, r->inline_input.len > 0 ? r->inline_input : STR("{}"), out);
	emit_citations(c, r, out);
	if (r->block == BLOCK_SHOWN || r->block == BLOCK_CALL)
		chat_emit(c, out, EVENT_PART_END);
	r->block = BLOCK_NONE;
}

static void
start_call(struct chat *c, struct reader *r, const struct json_doc *d,
	const struct json_token *block, struct chat_events *out)
{
	const struct json_token *input = json_get_type(d, block, STR("input"), JSON_OBJECT);
	struct chat_event *e = chat_emit(c, out, EVENT_CALL);

	r->block = BLOCK_CALL;
	r->got_arguments = false;
	r->inline_input = STR("");
	if (input && input->count > 0)
		r->inline_input = keep(c, r, json_doc_raw(d, input));
	if (!e)
		return;
	e->id = chat_call_id(c, c->scratch, json_get_text(d, block, STR("id")));
	e->name = json_get_text(d, block, STR("name"));
	if (c->json_tool && str_eq(e->name, STR(CHAT_JSON_TOOL)))
		r->called_json = true;
	else
		r->called = true;
}

/* What a block says at its start: nothing much in a stream, all of it in a whole reply. */
static void
start_block(struct chat *c, struct reader *r, const struct json_doc *d,
	const struct json_token *block, struct chat_events *out)
{
	const struct json_token *citations = json_get_type(d, block, STR("citations"), JSON_ARRAY);

	close_block(c, r, out);
	r->block = BLOCK_SHOWN;
	r->block_units = r->units;
	if (json_get_is(d, block, STR("type"), STR("text"))) {
		emit_text(c, r, json_get_text(d, block, STR("text")), out);
		for (const struct json_token *t = json_first(d, citations); t;
			t = json_next(d, citations, t))
			hold_citation(c, r, d, t);
	} else if (json_get_is(d, block, STR("type"), STR("tool_use")) &&
		json_get_text(d, block, STR("name")).len > 0) {
		start_call(c, r, d, block, out);
	} else if (json_get_is(d, block, STR("type"), STR("thinking"))) {
		chat_emit_text(c, out, EVENT_REASONING, 0,
			json_get_text(d, block, STR("thinking")));
		chat_emit_text(c, out, EVENT_SIGNATURE, 0,
			json_get_text(d, block, STR("signature")));
	} else if (json_get_is(d, block, STR("type"), STR("redacted_thinking"))) {
		chat_emit_text(c, out, EVENT_REDACTED, 0, json_get_text(d, block, STR("data")));
	} else {
		r->block = BLOCK_HIDDEN; /* of the provider's own tools, a call of nothing, or not
					    known */
	}
}

static int
read_arguments(struct chat *c, struct reader *r, int64_t index, struct str text,
	struct chat_events *out)
{
	if (r->block == BLOCK_HIDDEN || text.len == 0)
		return 0;
	if (r->block != BLOCK_CALL || (index >= 0 && r->index >= 0 && index != r->index))
		return -1;
	r->got_arguments = true;
	chat_emit_text(c, out, EVENT_ARGUMENTS, 0, text);
	return 0;
}

static int
read_delta(struct chat *c, struct reader *r, const struct json_doc *d, struct chat_events *out)
{
	const struct json_token *top = json_doc_top(d), *delta = json_get(d, top, STR("delta"));

	if (json_get_is(d, delta, STR("type"), STR("text_delta")))
		emit_text(c, r, json_get_text(d, delta, STR("text")), out);
	else if (json_get_is(d, delta, STR("type"), STR("input_json_delta")))
		return read_arguments(c, r, json_get_count(d, top, STR("index")),
			json_get_text(d, delta, STR("partial_json")), out);
	else if (json_get_is(d, delta, STR("type"), STR("thinking_delta")))
		chat_emit_text(c, out, EVENT_REASONING, 0,
			json_get_text(d, delta, STR("thinking")));
	else if (json_get_is(d, delta, STR("type"), STR("signature_delta")))
		chat_emit_text(c, out, EVENT_SIGNATURE, 0,
			json_get_text(d, delta, STR("signature")));
	else if (json_get_is(d, delta, STR("type"), STR("citations_delta")))
		hold_citation(c, r, d, json_get(d, delta, STR("citation")));
	return 0;
}

/*
 * The message
 */

/* A count that is there overwrites the one before; null is nought, unless it is known better. */
static void
read_count(const struct json_doc *d, const struct json_token *usage, struct str name, int64_t *at)
{
	const struct json_token *t = json_member(&d->scan, d->text, usage, name, NULL);
	int64_t n = json_get_count(d, usage, name);

	if (n >= 0)
		*at = n;
	else if (t && t->type == JSON_NULL && *at < 0)
		*at = 0;
}

static void
read_usage(struct chat *c, struct reader *r, const struct json_doc *d,
	const struct json_token *usage, struct chat_events *out)
{
	struct usage *u = &r->usage.tokens;
	const struct json_token *details;
	struct chat_event *e;

	if (!usage || usage->type != JSON_OBJECT)
		return;
	read_count(d, usage, STR("input_tokens"), &u->input);
	read_count(d, usage, STR("output_tokens"), &u->output);
	read_count(d, usage, STR("cache_read_input_tokens"), &u->cache_read);
	read_count(d, usage, STR("cache_creation_input_tokens"), &u->cache_write);
	details = json_get_type(d, usage, STR("output_tokens_details"), JSON_OBJECT);
	if (details)
		read_count(d, details, STR("thinking_tokens"), &u->reasoning);
	if (json_get_is(d, usage, STR("service_tier"), STR("standard")))
		r->usage.tier = STR("default");
	else if (json_get_is(d, usage, STR("service_tier"), STR("priority")))
		r->usage.tier = STR("priority");
	e = chat_emit(c, out, EVENT_USAGE);
	if (e)
		e->usage = r->usage;
}

static void
emit_start(struct chat *c, struct reader *r, struct str id, struct str model,
	struct chat_events *out)
{
	struct chat_event *e = r->started ? NULL : chat_emit(c, out, EVENT_START);

	r->started = true;
	if (!e)
		return;
	e->id = id;
	e->model = model;
}

/* Why it ended: members of message_delta's delta, or of a whole message. */
static void
read_stop(struct chat *c, struct reader *r, const struct json_doc *d, const struct json_token *in)
{
	static const struct {
		struct str reason;
		enum chat_stop stop;
	} reasons[] = {
		{ STR_INIT("stop_sequence"), STOP_SEQUENCE },
		{ STR_INIT("max_tokens"), STOP_LENGTH },
		{ STR_INIT("model_context_window_exceeded"), STOP_LENGTH },
		{ STR_INIT("tool_use"), STOP_CALLS },
		{ STR_INIT("refusal"), STOP_REFUSAL },
	};
	const struct json_token *reason = json_get_type(d, in, STR("stop_reason"), JSON_STRING),
				*details = json_get(d, in, STR("stop_details"));
	struct str sequence = json_get_text(d, in, STR("stop_sequence")),
		   explanation = json_get_text(d, details, STR("explanation"));

	if (sequence.len > 0 && !str_eq(sequence, r->stop.stop_sequence))
		r->stop.stop_sequence = keep(c, r, sequence);
	if (explanation.len > 0 && !str_eq(explanation, r->stop.text))
		r->stop.text = keep(c, r, explanation);
	if (!reason)
		return;
	r->stopped = true;
	r->stop.stop = STOP_END;
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (json_doc_is(d, reason, reasons[i].reason))
			r->stop.stop = reasons[i].stop;
}

static void
finish(struct chat *c, struct reader *r, struct chat_events *out)
{
	struct chat_event *e;

	close_block(c, r, out);
	emit_start(c, r, STR(""), STR(""), out);
	if (r->stop.stop == STOP_CALLS && r->called_json && !r->called)
		r->stop.stop = STOP_END;
	if (r->stop.stop != STOP_REFUSAL)
		r->stop.text = STR("");
	e = chat_emit(c, out, EVENT_STOP);
	if (e)
		*e = r->stop;
	chat_emit(c, out, EVENT_DONE);
}

/*
 * A whole reply
 */

static int
read_reply(struct chat *c, void *state, struct str text, struct chat_events *out)
{
	struct reader *r = state;
	const struct json_token *top, *content;
	struct json_doc d;

	if (json_doc_read(&d, c->scratch, text, KEEP_LEVELS, DEPTH_MOST) < 0)
		return -1;
	top = json_doc_top(&d);
	content = json_get_type(&d, top, STR("content"), JSON_ARRAY);
	if (!content &&
		(json_get(&d, top, STR("error")) ||
			json_get_is(&d, top, STR("type"), STR("error")))) {
		fault_emit(c, text, out);
		return 0;
	}
	if (!content)
		return -1;
	r->whole = true;
	emit_start(c, r, json_get_text(&d, top, STR("id")), json_get_text(&d, top, STR("model")),
		out);
	for (const struct json_token *t = json_first(&d, content); t;
		t = json_next(&d, content, t)) {
		start_block(c, r, &d, t, out);
		close_block(c, r, out);
	}
	read_stop(c, r, &d, top);
	read_usage(c, r, &d, json_get(&d, top, STR("usage")), out);
	finish(c, r, out);
	return 0;
}

/*
 * A stream
 */

enum kind {
	KIND_MESSAGE_START,
	KIND_BLOCK_START,
	KIND_BLOCK_DELTA,
	KIND_BLOCK_STOP,
	KIND_MESSAGE_DELTA,
	KIND_MESSAGE_STOP,
	KIND_ERROR,
	KIND_OTHER
};

static enum kind
kind_of(const struct json_doc *d, const struct sse_event *ev)
{
	static const struct str names[] = {
		[KIND_MESSAGE_START] = STR_INIT("message_start"),
		[KIND_BLOCK_START] = STR_INIT("content_block_start"),
		[KIND_BLOCK_DELTA] = STR_INIT("content_block_delta"),
		[KIND_BLOCK_STOP] = STR_INIT("content_block_stop"),
		[KIND_MESSAGE_DELTA] = STR_INIT("message_delta"),
		[KIND_MESSAGE_STOP] = STR_INIT("message_stop"),
		[KIND_ERROR] = STR_INIT("error"),
	};
	const struct json_token *top = json_doc_top(d),
				*type = json_get_type(d, top, STR("type"), JSON_STRING);

	for (unsigned i = 0; i < KIND_OTHER; i++)
		if (type ? json_doc_is(d, type, names[i]) : str_eq(ev->name, names[i]))
			return (enum kind)i;
	return !type && json_get(d, top, STR("error")) ? KIND_ERROR : KIND_OTHER;
}

static int
read_event(struct chat *c, void *state, const struct sse_event *ev, struct chat_events *out)
{
	struct reader *r = state;
	struct str data = str_trim(ev->data);
	const struct json_token *top, *message, *block;
	struct json_doc d;

	if (ev->oversized)
		return -1;
	if (data.len == 0 || str_eq(data, STR("[DONE]")))
		return 0;
	if (json_doc_read(&d, c->scratch, data, KEEP_LEVELS, DEPTH_MOST) < 0)
		return -1;
	top = json_doc_top(&d);
	if (top->type != JSON_OBJECT)
		return -1;
	switch (kind_of(&d, ev)) {
	case KIND_MESSAGE_START:
		message = json_get(&d, top, STR("message"));
		emit_start(c, r, json_get_text(&d, message, STR("id")),
			json_get_text(&d, message, STR("model")), out);
		read_usage(c, r, &d, json_get(&d, message, STR("usage")), out);
		return 0;
	case KIND_BLOCK_START:
		emit_start(c, r, STR(""), STR(""), out);
		block = json_get(&d, top, STR("content_block"));
		r->index = json_get_count(&d, top, STR("index"));
		start_block(c, r, &d, block, out);
		return 0;
	case KIND_BLOCK_DELTA:
		emit_start(c, r, STR(""), STR(""), out);
		return read_delta(c, r, &d, out);
	case KIND_BLOCK_STOP:
		close_block(c, r, out);
		return 0;
	case KIND_MESSAGE_DELTA:
		read_stop(c, r, &d, json_get(&d, top, STR("delta")));
		read_usage(c, r, &d, json_get(&d, top, STR("usage")), out);
		return 0;
	case KIND_MESSAGE_STOP:
		finish(c, r, out);
		return 0;
	case KIND_ERROR:
		fault_emit(c, data, out);
		return 0;
	case KIND_OTHER:
		break;
	}
	return 0;
}

static bool
read_end(struct chat *c, void *state, struct chat_events *out)
{
	struct reader *r = state;

	if (!r->stopped)
		return false;
	finish(c, r, out);
	return true;
}

static void
again(void *state, const struct chat_event *text)
{
	struct reader *r = state;

	if (text->type == EVENT_TEXT)
		r->units += count_units(text->text);
}

const struct chat_provider anthropic_provider = {
	.again = again,
	.write_request = anthropic_write_request,
	.open = open_reader,
	.read_reply = read_reply,
	.read_event = read_event,
	.read_end = read_end,
};
