/*
 * valid_anthropic: what the Anthropic SDKs need of a stream and of a reply, held against the
 * router's own: order of events, indices without gaps, blocks that never overlap, deltas of their
 * block's kind, usage that is never absent, a stop reason that agrees with the calls.
 */
#ifndef VALID_ANTHROPIC_H
#define VALID_ANTHROPIC_H

#include "dialect/chat.h"
#include "golden.h"
#include "json/doc.h"

struct valid_anthropic {
	const char *name; /* of the case, for messages */
	struct json_doc d;
	const struct json_token *top;
	bool started, finished, stopped; /* message_start, message_delta, message_stop */
	struct str open;                 /* delta of the open block; empty: none is open */
	bool is_signed;                  /* the open one */
	int64_t next;
	bool called; /* a tool_use block came */
};

#define valid_assert(v, cond) \
	ck_assert_msg(cond, "%s: %s: %.*s", (v)->name, #cond, STR_ARG((v)->d.text))

static inline void
valid_usage(struct valid_anthropic *v, const struct json_token *in)
{
	const struct json_token *u = json_get_type(&v->d, in, STR("usage"), JSON_OBJECT);

	valid_assert(v, u != NULL);
	valid_assert(v, json_get_count(&v->d, u, STR("input_tokens")) >= 0);
	valid_assert(v, json_get_count(&v->d, u, STR("cache_creation_input_tokens")) >= 0);
	valid_assert(v, json_get_count(&v->d, u, STR("cache_read_input_tokens")) >= 0);
	valid_assert(v, json_get_count(&v->d, u, STR("output_tokens")) >= 0);
}

static inline void
valid_head(struct valid_anthropic *v, const struct json_token *message)
{
	struct str id = json_get_text(&v->d, message, STR("id"));

	valid_assert(v, str_starts(id, STR("msg_")) && id.len == 4 + 24);
	valid_assert(v, json_get_is(&v->d, message, STR("type"), STR("message")));
	valid_assert(v, json_get_is(&v->d, message, STR("role"), STR("assistant")));
	valid_assert(v, json_get_text(&v->d, message, STR("model")).len > 0);
	valid_assert(v, json_get_type(&v->d, message, STR("content"), JSON_ARRAY) != NULL);
	valid_usage(v, message);
}

static inline void
valid_ending(struct valid_anthropic *v, const struct json_token *in)
{
	static const char *const reasons[] = { "end_turn", "max_tokens", "stop_sequence",
		"tool_use", "refusal" };
	struct str reason = json_get_text(&v->d, in, STR("stop_reason"));
	bool known = false,
	     cut = str_eq(reason, STR("max_tokens")) || str_eq(reason, STR("refusal"));

	for (size_t i = 0; i < COUNT(reasons); i++)
		known |= str_eq(reason, str_of(reasons[i]));
	valid_assert(v, known);
	valid_assert(v, cut || v->called == str_eq(reason, STR("tool_use")));
	valid_assert(v, json_member(&v->d.scan, v->d.text, in, STR("stop_sequence"), NULL) != NULL);
	valid_assert(v,
		str_eq(reason, STR("stop_sequence")) ||
			json_get(&v->d, in, STR("stop_sequence")) == NULL);
}

/* A block; in a stream, one that is still empty. Sets what its deltas are called. */
static inline void
valid_block(struct valid_anthropic *v, const struct json_token *b, bool empty)
{
	const struct json_token *input = json_get_type(&v->d, b, STR("input"), JSON_OBJECT);
	struct str id = json_get_text(&v->d, b, STR("id")), body = STR("");

	v->is_signed = false;
	if (json_get_is(&v->d, b, STR("type"), STR("text"))) {
		v->open = STR("text_delta");
		body = json_get_text(&v->d, b, STR("text"));
		valid_assert(v, json_get(&v->d, b, STR("text")) && (body.len == 0) == empty);
	} else if (json_get_is(&v->d, b, STR("type"), STR("thinking"))) {
		v->open = STR("thinking_delta");
		body = json_get_text(&v->d, b, STR("thinking"));
		valid_assert(v, json_get(&v->d, b, STR("thinking")) && (body.len == 0 || !empty));
		body = json_get_text(&v->d, b, STR("signature"));
		valid_assert(v, json_get(&v->d, b, STR("signature")) && (body.len == 0 || !empty));
	} else if (json_get_is(&v->d, b, STR("type"), STR("redacted_thinking"))) {
		v->open = STR("none");
		valid_assert(v, json_get_text(&v->d, b, STR("data")).len > 0);
	} else {
		v->open = STR("input_json_delta");
		v->called = true;
		valid_assert(v, json_get_is(&v->d, b, STR("type"), STR("tool_use")));
		valid_assert(v, id.len > 0 && json_get_text(&v->d, b, STR("name")).len > 0);
		for (size_t i = 0; i < id.len; i++)
			valid_assert(v,
				strchr("-_", id.p[i]) != NULL ||
					(id.p[i] >= '0' && id.p[i] <= '9') ||
					((id.p[i] | 32) >= 'a' && (id.p[i] | 32) <= 'z'));
		valid_assert(v, input && (input->count == 0 || !empty));
	}
}

static inline void
valid_delta(struct valid_anthropic *v)
{
	static const char *const fields[] = { "text", "thinking", "partial_json", "signature" };
	const struct json_token *d = json_get_type(&v->d, v->top, STR("delta"), JSON_OBJECT);
	struct str type = json_get_text(&v->d, d, STR("type"));
	size_t body = 0;

	valid_assert(v, v->open.len > 0 && !v->is_signed);
	v->is_signed = str_eq(type, STR("signature_delta"));
	valid_assert(v,
		str_eq(type, v->open) || (v->is_signed && str_eq(v->open, STR("thinking_delta"))));
	for (size_t i = 0; i < COUNT(fields); i++)
		body += json_get_text(&v->d, d, str_of(fields[i])).len;
	valid_assert(v, body > 0);
}

static inline void
valid_event(struct valid_anthropic *v, const struct sse_event *ev)
{
	const struct json_token *message = json_get(&v->d, v->top, STR("message"));
	int64_t index = json_get_count(&v->d, v->top, STR("index"));

	valid_assert(v, !v->stopped);
	valid_assert(v, v->started != str_eq(ev->name, STR("message_start")));
	if (str_eq(ev->name, STR("message_start"))) {
		v->started = true;
		valid_head(v, message);
		valid_assert(v, json_get(&v->d, message, STR("stop_reason")) == NULL);
		valid_assert(v,
			json_first(&v->d, json_get(&v->d, message, STR("content"))) == NULL);
	} else if (str_eq(ev->name, STR("content_block_start"))) {
		valid_assert(v, v->open.len == 0 && !v->finished && index == v->next);
		v->next++;
		valid_block(v, json_get(&v->d, v->top, STR("content_block")), true);
	} else if (str_eq(ev->name, STR("content_block_delta"))) {
		valid_assert(v, index == v->next - 1);
		valid_delta(v);
	} else if (str_eq(ev->name, STR("content_block_stop"))) {
		valid_assert(v, index == v->next - 1 && v->open.len > 0);
		v->open = STR("");
	} else if (str_eq(ev->name, STR("message_delta"))) {
		valid_assert(v, v->open.len == 0 && !v->finished);
		v->finished = true;
		valid_ending(v, json_get(&v->d, v->top, STR("delta")));
		valid_usage(v, v->top);
	} else if (str_eq(ev->name, STR("message_stop"))) {
		valid_assert(v, v->finished);
		v->stopped = true;
	} else {
		valid_assert(v, str_eq(ev->name, STR("ping")));
	}
}

/* A stream of the router's. `whole`: it is to have its end; else it must not have one. */
static inline void
valid_anthropic_stream(const char *name, struct str text, bool whole)
{
	struct valid_anthropic v = { .name = name };
	struct sse_event ev;
	struct arena a;
	struct sse sse;

	arena_init(&a, 0);
	sse_init(&sse, 1 << 20);
	while (text.len > 0) {
		bool got = false;
		long n = sse_next(&sse, text, &ev, &got);

		ck_assert_int_gt(n, 0);
		text = str_skip(text, (size_t)n);
		if (!got)
			continue;
		ck_assert_msg(json_doc_read(&v.d, &a, ev.data, UINT32_MAX, JSON_DEPTH_MAX) == 0,
			"%s: no JSON: %.*s", name, STR_ARG(ev.data));
		v.top = json_doc_top(&v.d);
		valid_assert(&v, json_get_is(&v.d, v.top, STR("type"), ev.name));
		valid_event(&v, &ev);
	}
	ck_assert_msg(sse_between(&sse), "%s: ends in the middle of an event", name);
	ck_assert_msg(v.stopped == whole && v.finished == whole, "%s: has a wrong end", name);
	sse_free(&sse);
	arena_free(&a);
}

static inline void
valid_anthropic_reply(const char *name, struct str text)
{
	struct valid_anthropic v = { .name = name };
	const struct json_token *content;
	struct arena a;

	arena_init(&a, 0);
	ck_assert_msg(json_doc_read(&v.d, &a, text, UINT32_MAX, JSON_DEPTH_MAX) == 0,
		"%s: no JSON: %.*s", name, STR_ARG(text));
	v.top = json_doc_top(&v.d);
	valid_head(&v, v.top);
	content = json_get(&v.d, v.top, STR("content"));
	for (const struct json_token *t = json_first(&v.d, content); t;
		t = json_next(&v.d, content, t))
		valid_block(&v, t, false);
	valid_ending(&v, v.top);
	arena_free(&a);
}

/* Without white space, and with every made-up id the same: they come in another order. */
static inline struct buf
valid_plain(struct str json)
{
	struct buf out = compact(json);
	struct str rest = buf_str(&out), id = STR("\"toolu_");

	for (rest = str_skip(rest, str_find(rest, id)); rest.len > 0;
		rest = str_skip(rest, str_find(rest, id))) {
		rest = str_skip(rest, id.len);
		if (str_index(rest, '"') == CHAT_ID_LEN)
			memset(out.p + (rest.p - out.p), 'x', CHAT_ID_LEN);
	}
	return out;
}

/* The message that a stream's deltas make is the one of the reply: its content, and why it stopped.
 * Arguments that are no JSON are {"_raw": …} in a reply, and only there. */
static inline void
valid_anthropic_same(const char *name, struct str stream, struct str reply)
{
	static const char *const members[] = { "content", "stop_reason", "stop_sequence" };
	struct buf made = BUF_EMPTY;
	struct json_doc a, b;
	struct arena arena;
	struct str message;

	if (str_find(reply, STR("\"_raw\"")) < reply.len)
		return;
	arena_init(&arena, 0);
	struct gather *g = gather_new(&endpoints[ENDPOINT_MESSAGES], &arena);
	ck_assert_int_eq(gather_stream(g, stream, 0, &message), 0);
	ck_assert_int_eq(gather_finish(g, &made), 0);
	ck_assert_int_eq(json_doc_read(&a, &arena, buf_str(&made), 2, JSON_DEPTH_MAX), 0);
	ck_assert_int_eq(json_doc_read(&b, &arena, reply, 2, JSON_DEPTH_MAX), 0);
	for (size_t i = 0; i < COUNT(members); i++) {
		struct str in = str_of(members[i]);
		struct buf got = valid_plain(json_get_raw(&a, json_doc_top(&a), in)),
			   want = valid_plain(json_get_raw(&b, json_doc_top(&b), in));

		assert_same(buf_str(&got), buf_str(&want), name);
		buf_free(&got);
		buf_free(&want);
	}
	buf_free(&made);
	arena_free(&arena);
}

#endif
