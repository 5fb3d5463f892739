/*
 * Fuzzes the way of an answer through the adapters. The first four bytes choose the client's
 * protocol, the provider, whether it streams, what the request found out, how the bytes are cut and
 * where memory ends; the rest is what the provider sends. What must hold: cuts change nothing; a
 * client gets a stream or a reply that its SDK takes, both with the same texts and calls, or an
 * error that says something, and then no end of a stream. Without memory it is that error, or the
 * same.
 */
#include "translation.h"

enum { FIXED = 4, CARRY_MOST = 1 << 20 };

struct answer {
	struct session session;
	struct translate translate;
	struct buf out;
	enum translate_verdict verdict;
};

static void
set_found_out(struct session *s, const uint8_t *at)
{
	struct chat *c = &s->chat;
	bool chat = c->endpoint->id == ENDPOINT_CHAT;

	c->include_usage = at[1] & 2;
	if (chat)
		c->functions = at[1] & 4;
	else if (c->endpoint->id == ENDPOINT_COMPLETIONS)
		c->echo = at[1] & 4;
	c->prompt = STR("once\\n");
	c->base64 = at[1] & 4;
	c->inputs = at[1] / 32 % 4 + 1u;
	c->json_tool = (at[1] & 8) && c->endpoint->id != ENDPOINT_COMPLETIONS;
	if (!(at[1] & 16))
		return;
	s->names[0] = (struct chat_name){ .client = STR("a.long.name"), .upstream = STR("f") };
	s->names[1] = (struct chat_name){ .client = STR("get_weather"),
		.upstream = STR("get_weather"),
		.custom = chat && !c->functions };
	s->names[0].next = &s->names[1];
	c->names = s->names;
}

/*
 * As the relay feeds it
 */

struct feed {
	struct translate *t;
	struct buf hold, *out;
	struct sse sse;
};

static enum translate_verdict
feed_line(struct feed *f, struct str line)
{
	struct sse_event ev = { .data = str_trim(str_head(line, str_index(line, '\r'))),
		.has_data = true };

	return ev.data.len > 0 ? translate_event(f->t, &ev, f->out) : TRANSLATE_OK;
}

static enum translate_verdict
feed_lines(struct feed *f, struct str data)
{
	enum translate_verdict verdict = TRANSLATE_OK;

	while (data.len > 0 && verdict <= TRANSLATE_DONE) {
		size_t at = str_index(data, '\n');

		if (buf_add(&f->hold, str_head(data, at)) < 0)
			return TRANSLATE_MEMORY;
		if (at == data.len)
			break;
		data = str_skip(data, at + 1);
		verdict = feed_line(f, buf_str(&f->hold));
		buf_consume(&f->hold, buf_len(&f->hold));
	}
	return verdict;
}

static enum translate_verdict
feed_events(struct feed *f, struct str data)
{
	enum translate_verdict verdict = TRANSLATE_OK;

	while (data.len > 0 && verdict <= TRANSLATE_DONE) {
		struct sse_event ev;
		bool got = false;
		long n = sse_next(&f->sse, data, &ev, &got);

		if (n < 0)
			return TRANSLATE_MEMORY;
		data = str_skip(data, (size_t)n);
		if (got)
			verdict = translate_event(f->t, &ev, f->out);
	}
	return verdict;
}

static enum translate_verdict
run_stream(struct answer *a, struct str text, size_t step)
{
	struct feed f = { .t = &a->translate, .out = &a->out };
	enum translate_verdict verdict = TRANSLATE_OK;
	struct sse_event ev;
	bool lines = translate_by_lines(&a->translate);

	sse_init(&f.sse, CARRY_MOST);
	for (; text.len > 0 && verdict <= TRANSLATE_DONE; text = str_skip(text, step))
		verdict = lines ? feed_lines(&f, str_head(text, step))
				: feed_events(&f, str_head(text, step));
	if (verdict <= TRANSLATE_DONE && lines)
		verdict = feed_line(&f, buf_str(&f.hold));
	else if (verdict <= TRANSLATE_DONE && sse_finish(&f.sse, &ev))
		verdict = translate_event(&a->translate, &ev, &a->out);
	if (step % 2 == 0 &&
		verdict <= TRANSLATE_DONE) /* as it is asked where the connection failed */
		translate_answered(&a->translate);
	if (verdict <= TRANSLATE_DONE)
		verdict = translate_end(&a->translate, &a->out);
	sse_free(&f.sse);
	buf_free(&f.hold);
	return verdict;
}

static enum translate_verdict
run_reply(struct answer *a, struct str text)
{
	struct feed f = { .t = &a->translate, .out = &a->out };
	enum translate_verdict verdict = translate_reply(&a->translate, text, &a->out);

	if (verdict != TRANSLATE_UNREADABLE || !a->translate.client ||
		!translate_by_lines(&a->translate))
		return verdict;
	for (verdict = TRANSLATE_OK; text.len > 0 && verdict <= TRANSLATE_DONE;) {
		struct str line = str_head(text, str_index(text, '\n'));

		text = str_skip(text, line.len + 1);
		verdict = feed_line(&f, line);
	}
	return verdict <= TRANSLATE_DONE ? translate_end(&a->translate, &a->out) : verdict;
}

/* `step`: bytes at a time, of a stream; 0: a whole reply. */
static void
answer(struct answer *a, const uint8_t *at, struct str text, size_t step, bool stream, size_t fails)
{
	session_open(&a->session, at[0]);
	set_found_out(&a->session, at);
	a->session.chat.stream = stream;
	a->out = BUF_EMPTY;
	mem_fail_after(fails);
	if (translate_open(&a->translate, &a->session.chat) < 0)
		a->verdict = TRANSLATE_MEMORY;
	else
		a->verdict = step > 0 ? run_stream(a, text, step) : run_reply(a, text);
	mem_fail_after(0);
	assert(fails > 0 || a->verdict != TRANSLATE_MEMORY);
	if (a->verdict == TRANSLATE_ERROR)
		assert_error(&a->translate.error);
}

static void
answer_free(struct answer *a)
{
	buf_free(&a->out);
	session_close(&a->session);
}

/*
 * What it must be
 */

static void
check_embeddings(const struct answer *a)
{
	const struct json_token *top, *data;
	struct json_doc d;
	struct arena arena;

	arena_init(&arena, 0);
	assert(json_doc_read(&d, &arena, buf_str(&a->out), 3, JSON_DEPTH_MAX) == 0);
	top = json_doc_top(&d);
	data = json_get_type(&d, top, STR("data"), JSON_ARRAY);
	assert(json_get_is(&d, top, STR("object"), STR("list")));
	assert(data && data->count == a->session.chat.inputs);
	assert(json_get_type(&d, top, STR("usage"), JSON_OBJECT));
	arena_free(&arena);
}

static void
check(const struct answer *a)
{
	struct str out = buf_str(&a->out);
	bool ok = a->verdict == TRANSLATE_OK, stream = a->session.chat.stream;
	enum endpoint_id id = a->session.chat.endpoint->id;

	if (a->verdict == TRANSLATE_MEMORY) /* it may end anywhere */
		return;
	assert(ok || stream || out.len == 0);
	if (id == ENDPOINT_MESSAGES && stream)
		valid_anthropic_stream("stream", out, ok);
	else if (id == ENDPOINT_MESSAGES && ok)
		valid_anthropic_reply("reply", out);
	else if (id == ENDPOINT_EMBEDDINGS && ok)
		check_embeddings(a);
	else if (id != ENDPOINT_EMBEDDINGS && stream)
		valid_openai_stream("stream", out, id == ENDPOINT_CHAT, ok);
	else if (id != ENDPOINT_EMBEDDINGS && ok)
		valid_openai_reply("reply", out, id == ENDPOINT_CHAT);
}

static void
assert_same_answer(const struct answer *a, const struct answer *b)
{
	assert(a->verdict == b->verdict);
	assert_same(buf_str(&a->out), buf_str(&b->out), "answer");
	if (a->verdict == TRANSLATE_ERROR) {
		assert(a->translate.error.kind == b->translate.error.kind);
		assert_same(a->translate.error.message, b->translate.error.message, "error");
	}
	assert(memcmp(&a->translate.usage, &b->translate.usage, sizeof a->translate.usage) == 0);
}

/* The texts and calls of a choice, in a delta or a message, each in its own buffer. */
enum { CONTENT, REFUSAL, REASONING, TEXT, CALLS, FINISH, SAID };

static void
collect_call(const struct json_doc *d, const struct json_token *call, struct buf *to)
{
	const struct json_token *body = json_get(d, call, STR("function"));

	if (!body)
		body = json_get(d, call, STR("custom"));
	if (!body)
		body = call;
	if (json_get(d, body, STR("name"))) {
		buf_add(to, STR("|"));
		buf_add(to, json_get_text(d, body, STR("name")));
		buf_add(to, STR(":"));
	}
	buf_add(to, json_get_text(d, body, STR("arguments")));
	buf_add(to, json_get_text(d, body, STR("input")));
}

static void
collect(const struct json_doc *d, int64_t index, struct buf said[SAID])
{
	const struct json_token *choices = json_get(d, json_doc_top(d), STR("choices")), *t, *m,
				*call;

	for (t = json_first(d, choices); t; t = json_next(d, choices, t)) {
		if (json_get_count(d, t, STR("index")) != index)
			continue;
		m = json_get(d, t, STR("delta"));
		m = m ? m : json_get(d, t, STR("message"));
		buf_add(&said[CONTENT], json_get_text(d, m, STR("content")));
		buf_add(&said[REFUSAL], json_get_text(d, m, STR("refusal")));
		buf_add(&said[REASONING], json_get_text(d, m, STR("reasoning_content")));
		buf_add(&said[TEXT], json_get_text(d, t, STR("text")));
		buf_add(&said[FINISH], json_get_text(d, t, STR("finish_reason")));
		for (call = json_first(d, json_get(d, m, STR("tool_calls"))); call;
			call = json_next(d, json_get(d, m, STR("tool_calls")), call))
			collect_call(d, call, &said[CALLS]);
		if (json_get(d, m, STR("function_call")))
			collect_call(d, json_get(d, m, STR("function_call")), &said[CALLS]);
	}
}

static void
collect_stream(struct str text, int64_t index, struct buf said[SAID])
{
	struct arena arena;
	struct json_doc d;

	arena_init(&arena, 0);
	while (text.len > 0) {
		struct str data = str_head(text, str_find(text, STR("\n\n")));

		text = str_skip(text, data.len + 2);
		data = str_skip(data, 6);
		if (str_eq(data, STR("[DONE]")))
			break;
		assert(json_doc_read(&d, &arena, data, UINT32_MAX, JSON_DEPTH_MAX) == 0);
		collect(&d, index, said);
		arena_rewind(&arena);
	}
	arena_free(&arena);
}

/* Two forms of one answer say the same. */
static void
check_openai_same(struct str stream, struct str reply)
{
	struct arena arena;
	struct json_doc d;

	arena_init(&arena, 0);
	assert(json_doc_read(&d, &arena, reply, UINT32_MAX, JSON_DEPTH_MAX) == 0);
	for (int64_t i = 0; i < VALID_CHOICES; i++) {
		struct buf a[SAID] = { BUF_EMPTY }, b[SAID] = { BUF_EMPTY };

		collect(&d, i, b);
		if (buf_len(&b[FINISH]) > 0) {
			collect_stream(stream, i, a);
			for (int k = 0; k < SAID; k++)
				assert_same(buf_str(&a[k]), buf_str(&b[k]), "stream and reply");
		}
		for (int k = 0; k < SAID; k++) {
			buf_free(&a[k]);
			buf_free(&b[k]);
		}
	}
	arena_free(&arena);
}

/*
 * A message's blocks, each as its kind, name, signature and text with marks between. Thinking of
 * white space alone is in no whole reply; text and a refusal are two blocks there.
 */
struct block {
	struct str type, name;
	struct buf text, signature;
	bool after_text; /* the block before it was text, with which this one is one text */
};

static void
block_add(struct block *b, const struct json_doc *d, const struct json_token *in)
{
	static const char *const texts[] = { "text", "thinking", "data", "partial_json" };

	for (size_t i = 0; i < COUNT(texts); i++)
		buf_add(&b->text, json_get_text(d, in, str_of(texts[i])));
	buf_add(&b->signature, json_get_text(d, in, STR("signature")));
}

static bool
is_blank(struct str s)
{
	while (s.len > 0) {
		bool escape = s.len > 1 && s.p[0] == '\\' && memchr("ntr", s.p[1], 3);

		if (!escape && s.p[0] != ' ')
			return false;
		s = str_skip(s, escape ? 2 : 1);
	}
	return true;
}

/* Arguments that are no object are one in a whole reply only: {"_raw": ...}. */
static void
block_end(struct block *b, struct arena *a, struct str input, struct buf *to)
{
	bool shown = !str_eq(b->type, STR("thinking")) || buf_len(&b->signature) > 0 ||
		!is_blank(buf_str(&b->text));
	struct json_doc d;

	if (str_eq(b->type, STR("tool_use"))) {
		if (!input.p)
			input = json_unescape(buf_str(&b->text), a);
		if (json_doc_read(&d, a, input, 2, JSON_DEPTH_MAX) < 0 ||
			json_doc_top(&d)->type != JSON_OBJECT ||
			json_get(&d, json_doc_top(&d), STR("_raw")))
			input = STR("{}");
		buf_consume(&b->text, buf_len(&b->text));
		buf_add(&b->text, str_trim(input));
	}
	if (b->after_text && str_eq(b->type, STR("text"))) {
		buf_add(to, buf_str(&b->text));
	} else if (shown && b->type.len > 0) {
		struct str parts[] = { b->type, b->name, buf_str(&b->signature),
			buf_str(&b->text) };

		for (size_t i = 0; i < COUNT(parts); i++) {
			buf_add(to, STR("|"));
			buf_add(to, parts[i]);
		}
	}
	buf_free(&b->text);
	buf_free(&b->signature);
	if (shown)
		b->after_text = str_eq(b->type, STR("text"));
	b->text = b->signature = BUF_EMPTY;
	b->type = STR("");
}

static void
block_begin(struct block *b, struct arena *a, const struct json_doc *d, const struct json_token *in)
{
	b->type = arena_copy(a, json_get_text(d, in, STR("type")));
	b->name = arena_copy(a, json_get_text(d, in, STR("name")));
	block_add(b, d, in);
}

static void
collect_message_stream(struct str text, struct arena *a, struct buf *to)
{
	struct block b = { .type = STR("") };

	while (text.len > 0) {
		struct str data = str_head(text, str_find(text, STR("\n\n")));
		const struct json_token *top;
		struct json_doc d;

		text = str_skip(text, data.len + 2);
		data = str_skip(data, str_index(data, '\n') + 7);
		assert(json_doc_read(&d, a, data, UINT32_MAX, JSON_DEPTH_MAX) == 0);
		top = json_doc_top(&d);
		if (json_get_is(&d, top, STR("type"), STR("content_block_start")))
			block_begin(&b, a, &d, json_get(&d, top, STR("content_block")));
		else if (json_get_is(&d, top, STR("type"), STR("content_block_delta")))
			block_add(&b, &d, json_get(&d, top, STR("delta")));
		else if (json_get_is(&d, top, STR("type"), STR("content_block_stop")))
			block_end(&b, a, (struct str){ NULL, 0 }, to);
		else if (json_get_is(&d, top, STR("type"), STR("message_delta")))
			buf_add(to, json_get_raw(&d, top, STR("delta")));
	}
}

static void
collect_message(struct str reply, struct arena *a, struct buf *to)
{
	static const char *const members[] = { "stop_reason", "stop_sequence", "stop_details" };
	const struct json_token *content, *t;
	struct block b = { .type = STR("") };
	struct json_doc d;

	assert(json_doc_read(&d, a, reply, UINT32_MAX, JSON_DEPTH_MAX) == 0);
	content = json_get(&d, json_doc_top(&d), STR("content"));
	for (t = json_first(&d, content); t; t = json_next(&d, content, t)) {
		block_begin(&b, a, &d, t);
		block_end(&b, a, json_get_raw(&d, t, STR("input")), to);
	}
	for (size_t i = 0; i < COUNT(members); i++) {
		t = json_member(&d.scan, d.text, json_doc_top(&d), str_of(members[i]), NULL);
		if (t) {
			buf_printf(to, "%s\"%s\":", i == 0 ? "{" : ",", members[i]);
			buf_add(to, json_doc_raw(&d, t));
		}
	}
	buf_add(to, STR("}"));
}

static void
check_anthropic_same(struct str stream, struct str reply)
{
	struct buf a = BUF_EMPTY, b = BUF_EMPTY;
	struct arena arena;

	arena_init(&arena, 0);
	collect_message_stream(stream, &arena, &a);
	collect_message(reply, &arena, &b);
	assert_same(buf_str(&a), buf_str(&b), "stream and reply");
	buf_free(&a);
	buf_free(&b);
	arena_free(&arena);
}

static void
check_same(const struct answer *stream, const struct answer *reply)
{
	enum endpoint_id id = stream->session.chat.endpoint->id;

	/* a call that is none is no error once the client has seen something */
	if (stream->session.chat.provider == DIALECT_GEMINI && stream->verdict == TRANSLATE_OK &&
		reply->verdict == TRANSLATE_ERROR)
		return;
	assert(stream->verdict == reply->verdict);
	if (stream->verdict == TRANSLATE_ERROR)
		assert_same(stream->translate.error.message, reply->translate.error.message,
			"error");
	if (stream->verdict != TRANSLATE_OK)
		return;
	if (id == ENDPOINT_MESSAGES)
		check_anthropic_same(buf_str(&stream->out), buf_str(&reply->out));
	else
		check_openai_same(buf_str(&stream->out), buf_str(&reply->out));
}

/* With less memory: a failure, or the same. */
static void
check_failing(const uint8_t *at, struct str text, size_t step, const struct answer *want)
{
	static struct answer got;

	answer(&got, at, text, step, want->session.chat.stream, at[3]);
	if (got.verdict != TRANSLATE_MEMORY)
		assert_same_answer(&got, want);
	answer_free(&got);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
	return mutate(data, size, most, seed, FIXED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer stream, pieces, reply;
	struct str text;
	size_t step;
	bool embeddings;
	char *copy;

	if (size < FIXED)
		return 0;
	copy = malloc(size - FIXED + 1);
	assert(copy);
	memcpy(copy, data + FIXED, size - FIXED);
	text = (struct str){ copy, size - FIXED };
	session_sides(&stream.session.chat, data[0]);
	embeddings = stream.session.chat.endpoint->id == ENDPOINT_EMBEDDINGS;
	step = (data[1] & 1) || embeddings ? 0 : text.len + 1;
	answer(&reply, data, text, step, false, 0);
	check(&reply);
	if (!embeddings) {
		answer(&stream, data, text, step, true, 0);
		check(&stream);
		check_same(&stream, &reply);
		if (step > 0) {
			answer(&pieces, data, text, data[2] % 64 + 1u, true, 0);
			assert_same_answer(&pieces, &stream);
			answer_free(&pieces);
		}
		if (data[3] > 0)
			check_failing(data, text, step, &stream);
		answer_free(&stream);
	}
	if (data[3] > 0)
		check_failing(data, text, step, &reply);
	answer_free(&reply);
	free(copy);
	assert(mem_used() == 0);
	return 0;
}
