/*
 * cohere: the answers of Cohere's v2 chat (Cohere API reference: POST /v2/chat, streaming), made
 * events; the adapter's table. Requests are written by cohere_request.
 *
 *     message-start                        EVENT_START
 *     content-start, content-delta         text or thinking, both may bring some
 *     tool-plan-delta                      reasoning: Cohere shows it as such
 *     tool-call-start, -delta, -end        a call, by Cohere's index, through tidy
 *     message-end                          stop, usage, EVENT_DONE; or EVENT_ERROR
 *     content-end, citation-*, debug, all others, data [DONE]: nothing
 *
 * A whole reply goes the same way, its parts in the order content, plan, calls. Called by translate
 * with a reply, or with each event. Fails on what is no JSON object; a stream that ends before
 * message-end was cut. What has another type than Cohere's is passed over.
 */
#include "dialect/cohere.h"

#include "dialect/cohere_request.h"
#include "dialect/fault.h"
#include "dialect/tidy.h"
#include "json/edit.h"

enum { KEEP_ALL = UINT32_MAX };

/* A call that tool-call-end has not yet ended. */
struct open_call {
	uint64_t index;
	bool args; /* it has some */
	struct open_call *next;
};

struct cohere {
	struct tidy *tidy;
	struct open_call *calls, *spare;
	bool started;
};

static void *
cohere_open(struct chat *c)
{
	struct cohere *s = arena_zero(c->arena, sizeof *s);

	if (!s)
		return NULL;
	s->tidy = tidy_new(c);
	return s->tidy ? s : NULL;
}

static void
start(struct chat *c, struct cohere *s, const struct json_doc *d, struct chat_events *out)
{
	struct chat_event *ev;

	if (s->started)
		return;
	s->started = true;
	ev = chat_emit(c, out, EVENT_START);
	if (ev)
		ev->id = json_get_text(d, json_doc_top(d), STR("id"));
}

/*
 * Content
 */

static void
take_content(struct cohere *s, const struct json_doc *d, const struct json_token *part,
	struct chat_events *out)
{
	tidy_text(s->tidy, out, EVENT_REASONING, json_get_text(d, part, STR("thinking")));
	tidy_text(s->tidy, out, EVENT_TEXT, json_get_text(d, part, STR("text")));
}

static struct tidy_piece
piece_of(struct chat *c, const struct json_doc *d, const struct json_token *call, uint64_t index)
{
	const struct json_token *function = json_get(d, call, STR("function"));

	return (struct tidy_piece){ .has_index = true,
		.index = index,
		.id = json_get_text(d, call, STR("id")),
		.name = json_get_text(d, function, STR("name")),
		.args = tidy_args(c, d, function) };
}

/*
 * Calls in deltas
 */

static struct open_call *
find_call(struct cohere *s, uint64_t index)
{
	struct open_call *call = s->calls;

	while (call && call->index != index)
		call = call->next;
	return call;
}

static struct open_call *
add_call(struct chat *c, struct cohere *s, uint64_t index)
{
	struct open_call *call = s->spare;

	if (call)
		s->spare = call->next;
	else
		call = arena_alloc(c->arena, sizeof *call);
	if (!call)
		return NULL;
	*call = (struct open_call){ .index = index, .next = s->calls };
	s->calls = call;
	return call;
}

/* A call ends; one that never had arguments has none, which is an empty object. */
static int
end_call(struct cohere *s, struct open_call *call, struct chat_events *out)
{
	struct tidy_piece p = { .has_index = true, .index = call->index, .end = true };
	struct open_call **at = &s->calls;

	if (!call->args)
		p.args = STR("{}");
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	call->next = s->spare;
	s->spare = call;
	return tidy_call(s->tidy, out, &p);
}

static int
call_event(struct chat *c, struct cohere *s, const struct json_doc *d, struct str type,
	const struct json_token *message, struct chat_events *out)
{
	const struct json_token *said = json_get(d, message, STR("tool_calls"));
	int64_t count = json_get_count(d, json_doc_top(d), STR("index"));
	uint64_t index = count < 0 ? 0 : (uint64_t)count;
	struct open_call *call = find_call(s, index);
	struct tidy_piece p;

	if (str_eq(type, STR("tool-call-end")))
		return call ? end_call(s, call, out) : 0;
	if (said && said->type == JSON_ARRAY)
		said = json_first(d, said);
	p = piece_of(c, d, said, index);
	if (str_eq(type, STR("tool-call-start"))) {
		if (call && end_call(s, call, out) < 0)
			return -1;
		call = add_call(c, s, index);
		if (!call)
			return -1;
	}
	if (!call)
		return 0;
	call->args |= p.args.len > 0;
	return tidy_call(s->tidy, out, &p);
}

/*
 * The end
 */

/* `cached_tokens` are among those of the input. */
static void
give_usage(struct chat *c, const struct json_doc *d, const struct json_token *usage,
	struct chat_events *out)
{
	const struct json_token *tokens = json_get_type(d, usage, STR("tokens"), JSON_OBJECT),
				*billed = json_get_type(d, usage, STR("billed_units"), JSON_OBJECT);
	struct chat_usage u = CHAT_USAGE_NONE;
	struct chat_event *ev;

	u.tokens.input = json_get_count(d, tokens, STR("input_tokens"));
	if (u.tokens.input < 0)
		u.tokens.input = json_get_count(d, billed, STR("input_tokens"));
	u.tokens.output = json_get_count(d, tokens, STR("output_tokens"));
	if (u.tokens.output < 0)
		u.tokens.output = json_get_count(d, billed, STR("output_tokens"));
	if (u.tokens.input < 0 && u.tokens.output < 0)
		return;
	u.tokens.cache_read = json_get_count(d, usage, STR("cached_tokens"));
	if (u.tokens.input >= 0 && u.tokens.cache_read > 0)
		u.tokens.input = u.tokens.input > u.tokens.cache_read
			? u.tokens.input - u.tokens.cache_read
			: 0;
	ev = chat_emit(c, out, EVENT_USAGE);
	if (ev)
		ev->usage = u;
}

/* Has the provider given up? Then this is told, with the usage until then: unless it would begin a
 * stream that is none. */
static bool
fails(struct chat *c, const struct cohere *s, const struct json_doc *d,
	const struct json_token *end, struct chat_events *out)
{
	const struct json_token *said = json_get(d, end, STR("error"));
	bool timeout = json_get_is(d, end, STR("finish_reason"), STR("TIMEOUT"));
	struct chat_event *ev;
	struct fault fault;

	if (said && said->type == JSON_STRING && json_doc_inner(d, said).len == 0)
		said = NULL;
	if (!said && !timeout && !json_get_is(d, end, STR("finish_reason"), STR("ERROR")))
		return false;
	if (s->started || !c->stream)
		give_usage(c, d, json_get(d, end, STR("usage")), out);
	ev = chat_emit(c, out, EVENT_ERROR);
	if (!ev)
		return true;
	ev->error.kind = timeout ? ERROR_TIMEOUT : ERROR_UPSTREAM;
	ev->error.message = timeout ? STR("the provider did not finish its answer in time")
				    : STR("the provider failed while it answered");
	if (!said)
		return true;
	fault_read(c->scratch, 200, json_doc_raw(d, end), &fault);
	if (!timeout)
		ev->error.kind = fault.error.kind;
	ev->error.message = fault.error.message;
	return true;
}

static enum chat_stop
stop_of(const struct cohere *s, struct str reason)
{
	if (str_eq(reason, STR("MAX_TOKENS")))
		return STOP_LENGTH;
	if (str_eq(reason, STR("TOOL_CALL")) || tidy_called(s->tidy))
		return STOP_CALLS;
	return str_eq(reason, STR("STOP_SEQUENCE")) ? STOP_SEQUENCE : STOP_END;
}

/* `end` holds the finish reason and the usage. */
static int
finish(struct chat *c, struct cohere *s, const struct json_doc *d, const struct json_token *end,
	struct chat_events *out)
{
	struct str reason = json_get_text(d, end, STR("finish_reason"));
	struct chat_event *ev;

	start(c, s, d, out);
	while (s->calls)
		if (end_call(s, s->calls, out) < 0)
			return -1;
	tidy_end(s->tidy, out);
	ev = chat_emit(c, out, EVENT_STOP);
	if (ev)
		ev->stop = stop_of(s, reason);
	give_usage(c, d, json_get(d, end, STR("usage")), out);
	chat_emit(c, out, EVENT_DONE);
	return 0;
}

/* An error in the place of an answer: Cohere's own, {"message": "…"}, or that of a server near it.
 */
static bool
is_error(const struct json_doc *d)
{
	const struct json_token *top = json_doc_top(d);

	return json_get(d, top, STR("error")) || json_get_type(d, top, STR("message"), JSON_STRING);
}

/*
 * Whole, and in events
 */

static int
cohere_read_reply(struct chat *c, void *state, struct str text, struct chat_events *out)
{
	struct cohere *s = state;
	const struct json_token *top, *message, *content, *calls, *t;
	struct json_doc d;
	uint64_t n = 0;

	if (json_doc_read(&d, c->scratch, text, KEEP_ALL, JSON_DEPTH_MAX) < 0)
		return -1;
	top = json_doc_top(&d);
	message = json_get_type(&d, top, STR("message"), JSON_OBJECT);
	if (!message && is_error(&d))
		fault_emit(c, text, out);
	if (!message)
		return out->n > 0 ? 0 : -1;
	if (fails(c, s, &d, top, out))
		return 0;
	start(c, s, &d, out);
	content = json_get(&d, message, STR("content"));
	if (content && content->type == JSON_STRING)
		tidy_text(s->tidy, out, EVENT_TEXT, json_doc_inner(&d, content));
	else if (content && content->type == JSON_ARRAY)
		for (t = json_first(&d, content); t; t = json_next(&d, content, t))
			take_content(s, &d, t, out);
	tidy_text(s->tidy, out, EVENT_REASONING, json_get_text(&d, message, STR("tool_plan")));
	calls = json_get_type(&d, message, STR("tool_calls"), JSON_ARRAY);
	for (t = json_first(&d, calls); t; t = json_next(&d, calls, t)) {
		struct tidy_piece p = piece_of(c, &d, t, n++);

		p.end = true;
		if (p.args.len == 0)
			p.args = STR("{}");
		if (tidy_call(s->tidy, out, &p) < 0)
			return -1;
	}
	return finish(c, s, &d, top, out);
}

static int
cohere_read_event(struct chat *c, void *state, const struct sse_event *ev, struct chat_events *out)
{
	struct cohere *s = state;
	const struct json_token *top, *delta, *message;
	struct json_doc d;
	struct str type;

	if (str_eq(str_trim(ev->data), STR("[DONE]")))
		return 0;
	if (ev->oversized || json_doc_read(&d, c->scratch, ev->data, KEEP_ALL, JSON_DEPTH_MAX) < 0)
		return -1;
	top = json_doc_top(&d);
	if (top->type != JSON_OBJECT)
		return -1;
	type = json_get_text(&d, top, STR("type"));
	if (type.len == 0)
		type = ev->name;
	if ((type.len == 0 || str_eq(type, STR("error"))) && is_error(&d)) {
		fault_emit(c, ev->data, out);
		return 0;
	}
	delta = json_get(&d, top, STR("delta"));
	message = json_get(&d, delta, STR("message"));
	if (str_eq(type, STR("message-end")))
		return fails(c, s, &d, delta, out) ? 0 : finish(c, s, &d, delta, out);
	if (!str_eq(type, STR("message-start")) && !str_starts(type, STR("content-")) &&
		!str_starts(type, STR("tool-")))
		return 0;
	start(c, s, &d, out);
	if (str_eq(type, STR("content-start")) || str_eq(type, STR("content-delta")))
		take_content(s, &d, json_get(&d, message, STR("content")), out);
	else if (str_eq(type, STR("tool-plan-delta")))
		tidy_text(s->tidy, out, EVENT_REASONING,
			json_get_text(&d, message, STR("tool_plan")));
	else if (str_starts(type, STR("tool-call-")))
		return call_event(c, s, &d, type, message, out);
	return 0;
}

const struct chat_provider cohere_provider = {
	.write_request = cohere_write_request,
	.open = cohere_open,
	.read_reply = cohere_read_reply,
	.read_event = cohere_read_event,
};
