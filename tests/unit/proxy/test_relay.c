/*
 * A reply in passing: for each pair of what was asked and what came, whole, byte by byte and split
 * at every offset. What is passed through is the same bytes; what is held back ends between events;
 * what is converted is the same however it came.
 */
#include "proxy/relay.h"

#include <string.h>

#include "unit.h"

static const struct str sse = STR_INIT("text/event-stream; charset=utf-8");
static const struct str json = STR_INIT("application/json");

static const struct str stream = STR_INIT(
	": hello\n\n"
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,"
	"\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":null}]}\r\n\r\n"
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,"
	"\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
	"\"completion_tokens\":4}}\n\n"
	"data: [DONE]\n\n");
static const struct str reply = STR_INIT(
	"{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":"
	"[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
	"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,"
	"\"total_tokens\":7}}");

static struct arena arena;
static struct relay relay;
static struct buf out;
static bool ends_between; /* what has left so far ends at the end of an event */

static struct relay_start
start_of(enum endpoint_id endpoint, struct str type, bool wants_stream)
{
	arena_free(&arena);
	arena_init(&arena, 1 << 20);
	buf_free(&out);
	return (struct relay_start){ .endpoint = &endpoints[endpoint],
		.arena = &arena,
		.status = 200,
		.content_type = type,
		.stream = wants_stream,
		.reply_bytes = 65536,
		.event_bytes = 65536 };
}

static enum relay_verdict
take(struct str data)
{
	/* of its own, so that a slice kept beyond settle is found by the sanitizer */
	char *copy = malloc(data.len + 1);
	struct str held, now;
	enum relay_verdict verdict;

	memcpy(copy, data.p, data.len);
	verdict = relay_take(&relay, (struct str){ copy, data.len }, &held, &now);
	if (verdict == RELAY_OK) {
		buf_add(&out, held);
		buf_add(&out, now);
		verdict = relay_settle(&relay);
	}
	free(copy);
	return verdict;
}

static enum relay_verdict
finish(void)
{
	struct buf rest = BUF_EMPTY;
	enum relay_verdict verdict = relay_finish(&relay, &rest);

	buf_add(&out, buf_str(&rest));
	buf_free(&rest);
	return verdict;
}

/* The reply in pieces that end at `a` and `b`, then one byte at a time from `c` on. */
static enum relay_verdict
pass(const struct relay_start *start, struct str text, size_t a, size_t b, size_t c)
{
	size_t ends[] = { a, b, c };
	size_t at = 0;
	enum relay_verdict verdict = RELAY_OK;

	buf_consume(&out, buf_len(&out));
	relay_open(&relay, start);
	for (size_t i = 0; i < 3 && verdict == RELAY_OK; i++) {
		if (ends[i] > at) {
			verdict = take(str_head(str_skip(text, at), ends[i] - at));
			at = ends[i];
		}
	}
	for (; at < text.len && verdict == RELAY_OK; at++)
		verdict = take(str_head(str_skip(text, at), 1));
	if (verdict == RELAY_OK)
		verdict = finish();
	return verdict;
}

#define ck_out(want)                                                             \
	do {                                                                     \
		struct str got_ = buf_str(&out), want_ = (want);                 \
		ck_assert_msg(str_eq(got_, want_), "got '%.*s'", STR_ARG(got_)); \
	} while (0)

/* Bytes in are bytes out, at every pair of splits and byte by byte. */
static void
ck_same(const struct relay_start *start, struct str text, enum relay_mode mode)
{
	for (size_t a = 0; a <= text.len; a++) {
		ck_assert_int_eq(pass(start, text, a, text.len, text.len), RELAY_OK);
		ck_out(text);
		ck_assert_int_eq(relay.mode, mode);
		relay_close(&relay);
		ck_assert_int_eq(pass(start, text, a, a, a), RELAY_OK);
		ck_out(text);
		relay_close(&relay);
	}
}

START_TEST(test_events_are_the_same_bytes)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);

	ck_same(&start, stream, RELAY_EVENTS);
	start = start_of(ENDPOINT_CHAT, STR(""), true); /* no type: the first byte tells */
	ck_same(&start, stream, RELAY_EVENTS);
	start = start_of(ENDPOINT_CHAT, json, true); /* a wrong one */
	ck_same(&start, stream, RELAY_EVENTS);
	start = start_of(ENDPOINT_SPEECH, sse, false);
	ck_same(&start, STR("data: x\n\n: y\ndata: z\n\n"), RELAY_EVENTS);
}
END_TEST

START_TEST(test_replies_are_the_same_bytes)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, json, false);
	static const struct str odd = STR_INIT(" \n\n {\"a\":[1e400,\"\\ud800\"]} \n");

	ck_same(&start, reply, RELAY_PASS);
	ck_same(&start, odd, RELAY_PASS);
	start = start_of(ENDPOINT_CHAT, sse, false); /* JSON under a stream's name */
	ck_same(&start, odd, RELAY_PASS);
	start.status = 500;
	ck_same(&start, stream, RELAY_PASS);
	start.status = 200;
	start.coded = true;
	ck_same(&start, STR("\x1f\x8b\x08"), RELAY_PASS);
	start = start_of(ENDPOINT_EMBEDDINGS, json, false);
	ck_same(&start, STR("data: not looked at"), RELAY_PASS);
}
END_TEST

START_TEST(test_usage_is_read_in_passing)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);

	for (size_t a = 0; a <= stream.len; a++) {
		pass(&start, stream, a, stream.len, stream.len);
		ck_assert(relay.watch.has_usage);
		ck_assert_int_eq(relay.watch.usage.input, 3);
		ck_assert_int_eq(relay.watch.usage.output, 4);
		ck_assert(relay_answered(&relay));
		relay_close(&relay);
	}
	start = start_of(ENDPOINT_CHAT, json, false);
	for (size_t a = 0; a <= reply.len; a++) {
		pass(&start, reply, a, reply.len, reply.len);
		ck_assert_int_eq(relay.watch.usage.input, 3);
		relay_close(&relay);
	}
}
END_TEST

/* Wherever the provider stops, what has left ends between events, so that an error can follow. */
START_TEST(test_held_back_to_the_end_of_an_event)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);

	for (size_t cut = 0; cut < stream.len; cut++) {
		struct str left;

		relay_open(&relay, &start);
		buf_consume(&out, buf_len(&out));
		ck_assert_int_eq(take(str_head(stream, cut)), RELAY_OK);
		left = buf_str(&out);
		ends_between = left.len == 0 || str_eq(str_skip(left, left.len - 2), STR("\n\n")) ||
			str_eq(str_skip(left, left.len - 4), STR("\r\n\r\n"));
		ck_assert_msg(ends_between, "at %zu: '%.*s'", cut, STR_ARG(left));
		ck_assert(relay_between(&relay));
		ck_assert(str_starts(stream, left));
		if (cut < stream.len - sizeof "data: [DONE]\n\n")
			ck_assert(!relay.watch.ended);
		relay_close(&relay);
	}
}
END_TEST

START_TEST(test_a_cut_stream_is_not_whole)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);
	size_t last = str_find(stream, STR("\"stop\""));

	for (size_t cut = 0; cut < last; cut += 7) {
		ck_assert_int_eq(pass(&start, str_head(stream, cut), cut, cut, cut),
			RELAY_UNREADABLE);
		relay_close(&relay);
	}
}
END_TEST

/* A comment alone does not begin a reply; a heartbeat does, and lets out what ends between. */
START_TEST(test_begin)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);
	struct str held, now;

	relay_open(&relay, &start);
	ck_assert_int_eq(relay_take(&relay, STR(": wait\n"), &held, &now), RELAY_OK);
	ck_assert_uint_eq(held.len + now.len, 0);
	ck_assert_int_eq(relay_settle(&relay), RELAY_OK);
	held = relay_begin(&relay);
	ck_assert(str_eq(held, STR(": wait\n")));
	ck_assert_int_eq(relay_settle(&relay), RELAY_OK);
	ck_assert(relay_between(&relay));
	ck_assert_int_eq(relay_take(&relay, STR("data: x"), &held, &now), RELAY_OK);
	ck_assert_uint_eq(held.len + now.len, 0);
	relay_settle(&relay);
	ck_assert_int_eq(relay_take(&relay, STR("y\n\nda"), &held, &now), RELAY_OK);
	ck_assert(str_eq(held, STR("data: x")));
	ck_assert(str_eq(now, STR("y\n\n")));
	relay_settle(&relay);
	relay_close(&relay);
}
END_TEST

START_TEST(test_comments_are_not_held_without_end)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);

	relay_open(&relay, &start);
	for (int i = 0; i < 2000; i++) {
		ck_assert_int_eq(take(STR(": keep-alive, please\n")), RELAY_OK);
		ck_assert_uint_le(buf_len(&relay.hold), 8192);
	}
	ck_assert_uint_ge(buf_len(&out), 2000 * 21 - 8192);
	relay_close(&relay);
}
END_TEST

/* An event of megabytes passes with memory flat, and events behind it are held again. */
START_TEST(test_large_event)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);
	static char piece[65536];
	size_t before, at_most = 0;

	memset(piece, 'x', sizeof piece);
	relay_open(&relay, &start);
	ck_assert_int_eq(take(STR("data: \"")), RELAY_OK);
	before = mem_used();
	for (int i = 0; i < 256; i++) {
		struct str held, now;

		ck_assert_int_eq(
			relay_take(&relay, (struct str){ piece, sizeof piece }, &held, &now),
			RELAY_OK);
		ck_assert_uint_eq(now.len, sizeof piece);
		ck_assert(!relay_between(&relay));
		ck_assert_int_eq(relay_settle(&relay), RELAY_OK);
		at_most = mem_used() > at_most ? mem_used() : at_most;
	}
	ck_assert_uint_le(at_most, before + 300000);
	buf_consume(&out, buf_len(&out));
	ck_assert_int_eq(take(STR("\"\n\ndata: {\"a\"")), RELAY_OK);
	ck_out(STR("\"\n\n"));
	ck_assert(relay_between(&relay));
	ck_assert_int_eq(take(STR(":1}\n\n")), RELAY_OK);
	ck_out(STR("\"\n\ndata: {\"a\":1}\n\n"));
	relay_close(&relay);
}
END_TEST

START_TEST(test_reply_becomes_a_stream)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, json, true);
	char *want;
	struct str first;

	ck_assert_int_eq(pass(&start, reply, reply.len, reply.len, reply.len), RELAY_OK);
	ck_assert_int_eq(relay.mode, RELAY_TO_STREAM);
	first = buf_str(&out);
	ck_assert(str_starts(first, STR("data: {")));
	ck_assert(str_eq(str_skip(first, first.len - 16), STR("\n\ndata: [DONE]\n\n")));
	ck_assert_uint_lt(str_find(first, STR("\"content\":\"Hi\"")), first.len);
	want = strndup(first.p, first.len);
	ck_assert_int_eq(relay.watch.usage.output, 4);
	relay_close(&relay);
	for (size_t a = 0; a <= reply.len; a += 3) {
		ck_assert_int_eq(pass(&start, reply, a, a, a), RELAY_OK);
		ck_out(str_of(want));
		relay_close(&relay);
	}
	free(want);
	ck_assert_int_eq(pass(&start, STR("{\"choices\":"), 5, 5, 5), RELAY_UNREADABLE);
	relay_close(&relay);
}
END_TEST

START_TEST(test_stream_becomes_a_reply)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, false);
	char *want = NULL;

	for (size_t a = 0; a <= stream.len; a++) {
		struct str got;

		ck_assert_int_eq(pass(&start, stream, a, stream.len, stream.len), RELAY_OK);
		ck_assert_int_eq(relay.mode, RELAY_TO_REPLY);
		got = buf_str(&out);
		if (!want) {
			ck_assert(got.p[0] == '{' && got.p[got.len - 1] == '}');
			ck_assert_uint_lt(str_find(got, STR("\"content\":\"Hi\"")), got.len);
			ck_assert_uint_lt(str_find(got, STR("\"object\":\"chat.completion\"")),
				got.len);
			want = strndup(got.p, got.len);
		}
		ck_out(str_of(want));
		relay_close(&relay);
	}
	free(want);
	/* white space before it is not part of the reply, nothing leaves before the end */
	relay_open(&relay, &start);
	buf_consume(&out, buf_len(&out));
	ck_assert_int_eq(take(STR(" \n")), RELAY_OK);
	ck_assert_int_eq(take(stream), RELAY_OK);
	ck_out(STR(""));
	relay_close(&relay);
	ck_assert_int_eq(pass(&start, STR("  "), 1, 1, 1), RELAY_UNREADABLE);
	relay_close(&relay);
	ck_assert_int_eq(pass(&start, str_head(stream, 200), 7, 7, 7), RELAY_UNREADABLE);
	relay_close(&relay);
	ck_assert_int_eq(
		pass(&start, STR("data: {\"error\":{\"message\":\"no luck\"}}\n\n"), 9, 9, 40),
		RELAY_ERROR);
	ck_assert(str_eq(relay.message, STR("no luck")));
	relay_close(&relay);
}
END_TEST

/* What a heartbeat or white space has committed does not change its kind afterwards. */
START_TEST(test_what_passes_stays_what_it_is)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, STR("text/plain"), true);

	relay_open(&relay, &start);
	ck_assert_int_eq(take(STR("\n")), RELAY_OK);
	ck_assert_int_eq(relay.mode, RELAY_PASS);
	ck_out(STR("\n"));
	ck_assert_int_eq(take(STR("{\"a\":1}")), RELAY_OK);
	ck_assert_int_eq(relay.mode, RELAY_PASS);
	ck_out(STR("\n{\"a\":1}"));
	ck_assert(!relay_between(&relay));
	relay_close(&relay);
}
END_TEST

START_TEST(test_limits)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, json, true);
	static char big[70000];

	memset(big, ' ', sizeof big);
	big[0] = '{';
	relay_open(&relay, &start);
	ck_assert_int_eq(take((struct str){ big, 60000 }), RELAY_OK);
	ck_assert_int_eq(take((struct str){ big, 6000 }), RELAY_TOO_LARGE);
	relay_close(&relay);
	start = start_of(ENDPOINT_CHAT, sse, false);
	memcpy(big, "data: ", 6);
	memset(big + 6, 'x', sizeof big - 6);
	memcpy(big + sizeof big - 2, "\n\n", 2);
	relay_open(&relay, &start);
	ck_assert_int_eq(take((struct str){ big, sizeof big }), RELAY_TOO_LARGE);
	relay_close(&relay);
}
END_TEST

START_TEST(test_cut_json)
{
	struct relay_start start = start_of(ENDPOINT_EMBEDDINGS, json, false);

	start.until_close = true;
	for (size_t cut = 1; cut < reply.len; cut++) {
		ck_assert_int_eq(pass(&start, str_head(reply, cut), cut, cut, cut),
			RELAY_UNREADABLE);
		relay_close(&relay);
	}
	ck_assert_int_eq(pass(&start, reply, 5, 5, 5), RELAY_OK);
	relay_close(&relay);
	start.content_type = STR("audio/mpeg");
	ck_assert_int_eq(pass(&start, STR("{mp3"), 2, 2, 2), RELAY_OK);
	relay_close(&relay);
}
END_TEST

/* Memory that fails at any point: never a wrong byte, and all of it comes back. */
START_TEST(test_memory)
{
	struct str types[] = { sse, json };

	for (unsigned kind = 0; kind < 4; kind++) {
		struct str text = kind & 1 ? reply : stream;
		struct relay_start start = start_of(ENDPOINT_CHAT, types[kind & 1], kind < 2);
		size_t before = mem_used(), n = 1;
		enum relay_verdict verdict;

		do {
			arena_free(&arena);
			buf_free(&out);
			ck_assert_ptr_nonnull(buf_room(&out, 16384));
			mem_fail_after(n++);
			verdict = pass(&start, text, 30, 200, text.len);
			mem_fail_after(0);
			relay_close(&relay);
			if (verdict == RELAY_OK && relay.mode == RELAY_EVENTS)
				ck_out(text);
		} while (verdict != RELAY_OK && n < 300);
		ck_assert_int_eq(verdict, RELAY_OK);
		arena_free(&arena);
		buf_free(&out);
		ck_assert_uint_eq(mem_used(), before);
	}
}
END_TEST

UNIT_MAIN("proxy/relay", test_events_are_the_same_bytes, test_replies_are_the_same_bytes,
	test_usage_is_read_in_passing, test_held_back_to_the_end_of_an_event,
	test_a_cut_stream_is_not_whole, test_begin, test_comments_are_not_held_without_end,
	test_large_event, test_reply_becomes_a_stream, test_stream_becomes_a_reply,
	test_what_passes_stays_what_it_is, test_limits, test_cut_json, test_memory)
