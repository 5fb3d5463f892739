/*
 * ollama: the answers of Ollama's native API (Ollama API: POST /api/chat, POST /api/generate),
 * made events; the adapter's table. Requests are written by ollama_request.
 *
 * A stream is lines of JSON, and a whole reply is one such object, so both are read by the same
 * hand: thinking, text, then calls, which come whole. /api/generate says `response` where
 * /api/chat has `message.content`. The line with `done` brings the reason and the counters:
 *
 *     first line: EVENT_START -> pieces ... -> done: EVENT_STOP, EVENT_USAGE, EVENT_DONE
 *                                           -> {"error": "text"}: EVENT_ERROR
 *
 * Called by translate with a reply, or with each line. Fails on what is no JSON object; a stream
 * that ends without `done` was cut. What has another type than Ollama's is passed over.
 */
#include "dialect/ollama.h"

#include "dialect/fault.h"
#include "dialect/instant.h"
#include "dialect/ollama_request.h"

enum { KEEP_ALL = UINT32_MAX };

struct ollama {
	bool started, called;
};

static void *
ollama_open(struct chat *c)
{
	return arena_zero(c->arena, sizeof(struct ollama));
}

/*
 * Pieces
 */

static void
start(struct chat *c, struct ollama *s, const struct json_doc *d, struct chat_events *out)
{
	const struct json_token *top = json_doc_top(d);
	struct chat_event *ev;

	out->loose = json_get_raw(d, top, STR("created_at")); /* read once */
	if (s->started)
		return;
	s->started = true;
	ev = chat_emit(c, out, EVENT_START);
	if (!ev)
		return;
	ev->model = json_get_text(d, top, STR("model"));
	ev->created_s = instant_s(json_get_text(d, top, STR("created_at")));
}

/* Calls come whole, so what stands in the place of arguments is an object, or text of one. */
static void
give_call(struct chat *c, struct ollama *s, const struct json_doc *d, const struct json_token *call,
	struct chat_events *out)
{
	const struct json_token *function = json_get(d, call, STR("function")),
				*args = json_get(d, function, STR("arguments"));
	struct str name = json_get_text(d, function, STR("name"));
	struct chat_event *ev;

	if (name.len == 0)
		return; /* it cannot be called */
	ev = chat_emit(c, out, EVENT_CALL);
	if (!ev)
		return;
	s->called = true;
	ev->name = name;
	ev->id = chat_call_id(c, c->scratch, json_get_text(d, call, STR("id")));
	out->failed |= c->scratch->failed;
	ev = chat_emit(c, out, EVENT_ARGUMENTS);
	if (!ev)
		return;
	ev->text = STR("{}");
	if (args && args->type == JSON_STRING && args->end - args->start > 2) {
		ev->text = json_doc_inner(d, args);
	} else if (args && args->type != JSON_STRING) {
		ev->text = json_doc_raw(d, args);
		ev->plain = true;
	}
}

/* Items of the same shape as OpenAI's. */
static void
give_logprobs(struct chat *c, const struct json_doc *d, struct chat_events *out)
{
	const struct json_token *all =
		json_get_type(d, json_doc_top(d), STR("logprobs"), JSON_ARRAY);
	const struct json_token *t = json_first(d, all);
	struct chat_event *ev;
	struct str raw;

	if (!t)
		return;
	for (; t; t = json_next(d, all, t))
		if (t->type != JSON_OBJECT)
			return;
	raw = json_doc_raw(d, all);
	ev = chat_emit(c, out, EVENT_LOGPROBS);
	if (ev)
		ev->raw = str_head(str_skip(raw, 1), raw.len - 2);
}

static void
give_pieces(struct chat *c, struct ollama *s, const struct json_doc *d, struct chat_events *out)
{
	const struct json_token *top = json_doc_top(d),
				*message = json_get_type(d, top, STR("message"), JSON_OBJECT),
				*said = message ? message : top, *calls, *t;

	chat_emit_text(c, out, EVENT_REASONING, 0, json_get_text(d, said, STR("thinking")));
	chat_emit_text(c, out, EVENT_TEXT, 0,
		json_get_text(d, said, message ? STR("content") : STR("response")));
	give_logprobs(c, d, out);
	calls = json_get_type(d, message, STR("tool_calls"), JSON_ARRAY);
	for (t = json_first(d, calls); t; t = json_next(d, calls, t))
		give_call(c, s, d, t, out);
}

/*
 * The end
 */

/* A counter that is missing is 0 (of a prompt: it was cached); without both, nothing is known. */
static void
give_usage(struct chat *c, const struct json_doc *d, struct chat_events *out)
{
	int64_t input = json_get_count(d, json_doc_top(d), STR("prompt_eval_count")),
		output = json_get_count(d, json_doc_top(d), STR("eval_count"));
	struct chat_event *ev;

	if (input < 0 && output < 0)
		return;
	ev = chat_emit(c, out, EVENT_USAGE);
	if (!ev)
		return;
	ev->usage = CHAT_USAGE_NONE;
	ev->usage.tokens.input = input < 0 ? 0 : input;
	ev->usage.tokens.output = output < 0 ? 0 : output;
}

static void
finish(struct chat *c, struct ollama *s, const struct json_doc *d, struct chat_events *out)
{
	struct chat_event *ev = chat_emit(c, out, EVENT_STOP);

	if (!ev)
		return;
	if (json_get_is(d, json_doc_top(d), STR("done_reason"), STR("length")))
		ev->stop = STOP_LENGTH;
	else
		ev->stop = s->called ? STOP_CALLS : STOP_END;
	give_usage(c, d, out);
	chat_emit(c, out, EVENT_DONE);
}

/* One object. 1: the answer has ended; 0: it goes on; -1: it is no such object. */
static int
read_object(struct chat *c, struct ollama *s, struct str text, struct chat_events *out)
{
	const struct json_token *top;
	struct json_doc d;

	if (json_doc_read(&d, c->scratch, text, KEEP_ALL, JSON_DEPTH_MAX) < 0)
		return -1;
	top = json_doc_top(&d);
	if (top->type != JSON_OBJECT)
		return -1;
	if (json_get(&d, top, STR("error"))) {
		fault_emit(c, text, out);
		return 1;
	}
	start(c, s, &d, out);
	give_pieces(c, s, &d, out);
	if (!json_get_true(&d, top, STR("done")))
		return 0;
	finish(c, s, &d, out);
	return 1;
}

static int
ollama_read_reply(struct chat *c, void *state, struct str text, struct chat_events *out)
{
	return read_object(c, state, text, out) == 1 ? 0 : -1;
}

static int
ollama_read_event(struct chat *c, void *state, const struct sse_event *ev, struct chat_events *out)
{
	struct str line = ev->data;

	if (ev->oversized)
		return -1;
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (str_trim(line).len == 0)
		return 0;
	return read_object(c, state, line, out) < 0 ? -1 : 0;
}

const struct chat_provider ollama_provider = {
	.write_request = ollama_write_request,
	.open = ollama_open,
	.read_reply = ollama_read_reply,
	.read_event = ollama_read_event,
	.lines = true,
};
