/*
 * A reply in passing: for each pair of what was asked and what came, whole, byte by byte and split
 * at every offset. What is passed through is the same bytes; what is held back ends between events;
 * what is converted or translated is the same however it came, also in a coding, which may be
 * broken.
 */
#include "proxy/relay.h"

#include <string.h>
#include <zlib.h>

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
static struct buf out, made;
static bool ends_between; /* what has left so far ends at the end of an event */

static struct relay_start
start_of(enum endpoint_id endpoint, struct str type, bool wants_stream)
{
	arena_free(&arena);
	arena_init(&arena, 1 << 20);
	buf_free(&out);
	buf_free(&made);
	return (struct relay_start){ .endpoint = &endpoints[endpoint],
		.arena = &arena,
		.made = &made,
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
	start = start_of(ENDPOINT_CHAT, json, false);
	start.coding = STR("gzip");
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

/*
 * Another dialect
 */

static struct chat chat;
static struct chat_options options;
static struct translate translate;
static struct arena scratch;

static const struct str claude =
	STR_INIT("event: message_start\n"
		 "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"c\","
		 "\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\r\n\r\n"
		 ": ping\n\n"
		 "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
		 "{\"type\":\"text\",\"text\":\"\"}}\n\n"
		 "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
		 "{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n"
		 "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
		 "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
		 "\"usage\":{\"output_tokens\":4}}\n\n"
		 "data: {\"type\":\"message_stop\"}\n\n");
static const struct str claude_reply =
	STR_INIT("{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\","
		 "\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\","
		 "\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}");
static const struct str llama = STR_INIT(
	"{\"model\":\"l\",\"message\":{\"content\":\"H\"},\"done\":false}\r\n\n"
	"{\"model\":\"l\",\"message\":{\"content\":\"i\"},\"done\":false}\n"
	"{\"model\":\"l\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","
	"\"prompt_eval_count\":3,\"eval_count\":4}");
static const struct str llama_reply =
	STR_INIT("{\"model\":\"l\",\n\"message\":{\"content\":\"Hi\"},\"done\":true,"
		 "\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":4}\n");
static const struct str ndjson = STR_INIT("application/x-ndjson");

/* What one of OpenAI's clients gets from that provider. */
static void
translate_from(struct relay_start *start, enum dialect_id provider)
{
	arena_free(&arena);
	arena_init(&arena, 1 << 20);
	arena_free(&scratch);
	arena_init(&scratch, 1 << 20);
	chat = (struct chat){ .arena = &arena,
		.scratch = &scratch,
		.endpoint = start->endpoint,
		.provider = provider,
		.options = &options,
		.stream = start->stream,
		.created_s = 1,
		.seed = 1 };
	ck_assert_int_eq(translate_open(&translate, &chat), 0);
	start->translate = &translate;
}

static struct str
gzipped(struct str text, char *to, size_t room)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)text.p,
		.avail_in = (unsigned)text.len,
		.next_out = (unsigned char *)to,
		.avail_out = (unsigned)room };

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return (struct str){ to, z.total_out };
}

struct translated {
	enum dialect_id provider;
	struct str type;
	const struct str *text;
	bool stream;
};

/* However it comes, it is the same. */
static void
ck_translated(const struct translated *row, struct str text, struct str coding)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, row->type, row->stream);
	struct usage usage;
	char *want = NULL;

	start.coding = coding;
	for (size_t a = 0; a <= 2 * text.len; a++) {
		size_t at = a / 2, then = a % 2 ? at : text.len;

		translate_from(&start, row->provider);
		ck_assert_int_eq(pass(&start, text, at, then, then), RELAY_OK);
		ck_assert_int_eq(relay.mode, RELAY_TRANSLATE);
		if (!want)
			want = strndup(buf_str(&out).p, buf_len(&out));
		ck_out(str_of(want));
		ck_assert(relay_usage(&relay, &usage));
		ck_assert_int_eq(usage.input, 3);
		ck_assert_int_eq(usage.output, 4);
		ck_assert_int_eq(relay_between(&relay), row->stream);
		ck_assert_int_eq(relay_started(&relay), row->stream);
		relay_close(&relay);
	}
	ck_assert_ptr_nonnull(
		strstr(want, row->stream ? "data: [DONE]\n\n" : "\"content\":\"Hi\""));
	free(want);
}

static const struct translated rows[] = {
	{ DIALECT_ANTHROPIC, STR_INIT("text/event-stream"), &claude, true },
	{ DIALECT_ANTHROPIC, STR_INIT("text/event-stream"), &claude, false },
	{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &claude, true },
	{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &claude_reply, true },
	{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &claude_reply, false },
	{ DIALECT_ANTHROPIC, STR_INIT("text/event-stream"), &claude_reply, true },
	{ DIALECT_OLLAMA, STR_INIT("application/x-ndjson"), &llama, true },
	{ DIALECT_OLLAMA, STR_INIT("application/json"), &llama, false },
	{ DIALECT_OLLAMA, STR_INIT("application/json"), &llama_reply, false },
};

START_TEST(test_translated_however_it_comes)
{
	char packed[4096];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ck_translated(&rows[i], *rows[i].text, STR(""));
		ck_translated(&rows[i], gzipped(*rows[i].text, packed, sizeof packed), STR("gzip"));
	}
}
END_TEST

/* So much white space in front that the name alone tells the kind. */
START_TEST(test_translated_behind_white_space)
{
	static char text[12000];

	for (size_t i = 0; i < 2; i++) { /* of a provider that streams, one called so */
		struct relay_start start = start_of(ENDPOINT_CHAT, rows[i].type, rows[i].stream);

		memset(text, '\n', 10000);
		memcpy(text + 10000, rows[i].text->p, rows[i].text->len);
		translate_from(&start, rows[i].provider);
		ck_assert_int_eq(pass(&start, (struct str){ text, 10000 + rows[i].text->len }, 5,
					 9000, 9999),
			RELAY_OK);
		relay_close(&relay);
	}
}
END_TEST

/* What the client got of a stream that ends too early is the beginning of what it would have got.
 */
START_TEST(test_translated_cut)
{
	struct str types[] = { sse, ndjson }, texts[] = { claude, llama };
	enum dialect_id providers[] = { DIALECT_ANTHROPIC, DIALECT_OLLAMA };

	for (unsigned i = 0; i < 2; i++) {
		struct relay_start start = start_of(ENDPOINT_CHAT, types[i], true);
		struct str text = texts[i];
		/* up to here, no part of it is a whole answer */
		size_t most = str_find(text, i == 0 ? STR("message_delta") : STR("true"));
		char *want;

		translate_from(&start, providers[i]);
		ck_assert_int_eq(pass(&start, text, 9, 9, 9), RELAY_OK);
		ck_assert(relay_answered(&relay));
		want = strndup(buf_str(&out).p, buf_len(&out));
		relay_close(&relay);
		for (size_t cut = 0; cut < most; cut++) {
			translate_from(&start, providers[i]);
			ck_assert_int_eq(pass(&start, str_head(text, cut), cut, cut, cut),
				RELAY_CUT);
			ck_assert(!relay_answered(&relay));
			ck_assert(str_starts(str_of(want), buf_str(&out)));
			relay_close(&relay);
		}
		free(want);
	}
}
END_TEST

/* A coding that is cut, or of which a bit is wrong, is never taken for a whole answer; a stream
 * that has come to its end in all its bytes is one, whatever its coding lacks. */
START_TEST(test_translated_broken_coding)
{
	char packed[4096];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct relay_start start = start_of(ENDPOINT_CHAT, rows[i].type, rows[i].stream);
		struct str text = gzipped(*rows[i].text, packed, sizeof packed);
		char *want;

		start.coding = STR("gzip");
		for (size_t cut = 0; cut < text.len; cut++) {
			translate_from(&start, rows[i].provider);
			if (pass(&start, str_head(text, cut), cut, cut, cut) == RELAY_OK)
				ck_assert(
					rows[i].text->p == claude.p && relay.start.translate->done);
			else
				ck_assert(!relay_answered(&relay));
			relay_close(&relay);
		}
		translate_from(&start, rows[i].provider);
		ck_assert_int_eq(pass(&start, text, 40, text.len, text.len), RELAY_OK);
		relay_close(&relay);
		want = strndup(buf_str(&out).p, buf_len(&out));
		for (size_t at = 10; at < text.len; at++) { /* behind the head */
			packed[at] ^= 0x10;
			translate_from(&start, rows[i].provider);
			if (pass(&start, text, 40, text.len, text.len) == RELAY_OK)
				ck_out(str_of(want)); /* the bit said nothing */
			relay_close(&relay);
			packed[at] ^= 0x10;
		}
		free(want);
	}
}
END_TEST

/* Of an error nothing leaves; it is kept, and what can be read of it. */
START_TEST(test_translated_fault)
{
	struct str body = STR("{\"type\":\"error\",\"error\":{\"message\":\"no luck today\"}}");
	struct relay_start start = start_of(ENDPOINT_CHAT, json, true);
	char packed[4096];
	struct str text = gzipped(body, packed, sizeof packed);

	start.status = 529;
	for (size_t a = 0; a <= body.len; a++) {
		translate_from(&start, DIALECT_ANTHROPIC);
		ck_assert_int_eq(pass(&start, body, a, a, a), RELAY_OK);
		ck_assert_int_eq(relay.mode, RELAY_FAULT);
		ck_assert(str_eq(relay_fault(&relay), body));
		ck_out(STR(""));
		relay_close(&relay);
	}
	start.coding = STR("gzip");
	for (size_t a = 0; a <= text.len; a++) {
		translate_from(&start, DIALECT_ANTHROPIC);
		ck_assert_int_eq(pass(&start, text, a, a, a), RELAY_OK);
		ck_assert(str_eq(relay_fault(&relay), body));
		relay_close(&relay);
		translate_from(&start, DIALECT_ANTHROPIC);
		ck_assert_int_eq(pass(&start, str_head(text, a), a, a, a), RELAY_OK);
		ck_assert(str_starts(body, relay_fault(&relay)));
		ck_out(STR(""));
		relay_close(&relay);
	}
}
END_TEST

/* No more of an error is waited for than is looked at; and none of one that cannot be decoded. */
START_TEST(test_translated_fault_is_bounded)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, json, true);
	static char big[70000];

	memset(big, ' ', sizeof big);
	start.status = 500;
	translate_from(&start, DIALECT_ANTHROPIC);
	relay_open(&relay, &start);
	ck_assert_int_eq(take((struct str){ big, 60000 }), RELAY_OK);
	ck_assert_int_eq(take((struct str){ big, 60000 }), RELAY_ENOUGH);
	ck_assert_uint_eq(relay_fault(&relay).len, 65536);
	relay_close(&relay);
	start.coding = STR("br");
	translate_from(&start, DIALECT_ANTHROPIC);
	ck_assert_int_eq(relay_open(&relay, &start), 0);
	ck_assert_int_eq(take(STR("abc")), RELAY_ENOUGH);
	ck_assert_uint_eq(relay_fault(&relay).len, 0);
	relay_close(&relay);
}
END_TEST

/* What was made of the events before a failure can still be had. */
START_TEST(test_translated_before_a_failure)
{
	static const char *const failures[] = {
		"data: {\"type\":\"error\",\"error\":{\"message\":\"no\"}}\n\n", "data: {]\n\n"
	};
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);
	struct str held, now;

	for (size_t i = 0; i < 2; i++) {
		struct buf text = BUF_EMPTY;

		buf_add(&text,
			str_head(claude,
				str_find(claude, STR("data: {\"type\":\"content_block_stop"))));
		buf_add(&text, str_of(failures[i]));
		translate_from(&start, DIALECT_ANTHROPIC);
		relay_open(&relay, &start);
		ck_assert_int_gt(relay_take(&relay, buf_str(&text), &held, &now), RELAY_OK);
		ck_assert_uint_lt(str_find(now, STR("\"content\":\"Hi\"")), now.len);
		relay_close(&relay);
		buf_free(&text);
	}
}
END_TEST

START_TEST(test_translated_error)
{
	const struct translated errors[] = {
		{ DIALECT_ANTHROPIC, STR_INIT("text/event-stream"),
			&STR("data: {\"type\":\"error\",\"error\":{\"type\":"
			     "\"overloaded_error\",\"message\":\"no luck\"}}\n\n"),
			true },
		{ DIALECT_OLLAMA, STR_INIT("application/x-ndjson"), &STR("{\"error\":\"no luck\"}"),
			true },
		{ DIALECT_OLLAMA, STR_INIT("application/json"), &STR("{\"error\":\"no luck\"}"),
			false },
	};
	const struct translated none[] = {
		{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &STR("{\"id\":"), true },
		{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &STR("<html>"), false },
		{ DIALECT_ANTHROPIC, STR_INIT("application/json"), &STR(" \n"), true },
		{ DIALECT_ANTHROPIC, STR_INIT("text/event-stream"), &STR("data: {\"type\":\n\n"),
			true },
		{ DIALECT_OLLAMA, STR_INIT("application/x-ndjson"), &STR("{\"a\n"), true },
		{ DIALECT_OLLAMA, STR_INIT("application/json"), &STR("[]"), false },
	};

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		struct str text = *errors[i].text;
		struct relay_start start =
			start_of(ENDPOINT_CHAT, errors[i].type, errors[i].stream);

		for (size_t a = 0; a <= text.len; a++) {
			translate_from(&start, errors[i].provider);
			ck_assert_int_eq(pass(&start, text, a, a, a), RELAY_ERROR);
			ck_assert(str_eq(translate.error.message, STR("no luck")));
			ck_out(STR(""));
			relay_close(&relay);
		}
	}
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
		struct str text = *none[i].text;
		struct relay_start start = start_of(ENDPOINT_CHAT, none[i].type, none[i].stream);

		for (size_t a = 0; a <= text.len; a++) {
			translate_from(&start, none[i].provider);
			ck_assert_int_eq(pass(&start, text, a, a, a), RELAY_UNREADABLE);
			ck_out(STR(""));
			relay_close(&relay);
		}
	}
}
END_TEST

START_TEST(test_translated_limits)
{
	static char big[70000];

	memset(big, 'x', sizeof big);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct relay_start start = start_of(ENDPOINT_CHAT, rows[i].type, rows[i].stream);

		/* one event, line or reply, however it is coded */
		memcpy(big, rows[i].text->p[0] == '{' ? "{\"a\":\"" : "data: ", 6);
		for (unsigned coded = 0; coded < 2; coded++) {
			char packed[4096];
			struct str text = { big, sizeof big };

			start.coding = coded ? STR("gzip") : STR("");
			if (coded)
				text = gzipped(text, packed, sizeof packed);
			translate_from(&start, rows[i].provider);
			relay_open(&relay, &start);
			enum relay_verdict verdict = take(text);
			if (verdict == RELAY_OK)
				verdict = take(coded ? STR("") : STR("x"));
			if (verdict == RELAY_OK && rows[i].text->p[0] != '{')
				verdict = take(coded ? STR("") : STR("\n\n"));
			if (verdict != RELAY_OK || !coded)
				ck_assert_int_eq(verdict, RELAY_TOO_LARGE);
			relay_close(&relay);
		}
	}
}
END_TEST

/* Events that are small, but become too many at one time, since they were coded; an event that is
 * too large, which is told before it ends; a line that is, though it came whole. */
START_TEST(test_translated_too_much)
{
	struct relay_start start = start_of(ENDPOINT_CHAT, sse, true);
	struct str delta =
		str_skip(claude, str_find(claude, STR("data: {\"type\":\"content_block_d")));
	struct buf text = BUF_EMPTY;
	char packed[4096];

	buf_add(&text, str_head(claude, claude.len - delta.len));
	delta = str_head(delta, str_find(delta, STR("\n\n")) + 2);
	while (buf_len(&text) < 100000)
		buf_add(&text, delta);
	start.coding = STR("gzip");
	translate_from(&start, DIALECT_ANTHROPIC);
	relay_open(&relay, &start);
	ck_assert_int_eq(take(gzipped(buf_str(&text), packed, sizeof packed)), RELAY_TOO_LARGE);
	ck_assert_uint_lt(made.cap, 3 * start.reply_bytes);
	relay_close(&relay);
	start.coding = STR("");
	translate_from(&start, DIALECT_ANTHROPIC);
	relay_open(&relay, &start);
	memset(text.p + 6, 'x', 80000);
	ck_assert_int_eq(take((struct str){ text.p, 80000 }), RELAY_TOO_LARGE);
	relay_close(&relay);
	start.content_type = ndjson;
	translate_from(&start, DIALECT_OLLAMA);
	relay_open(&relay, &start);
	text.p[80000] = '\n';
	ck_assert_int_eq(take((struct str){ text.p, 80001 }), RELAY_TOO_LARGE);
	relay_close(&relay);
	buf_free(&text);
}
END_TEST

/* Memory that fails at any point of a translation. */
START_TEST(test_translated_memory)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct relay_start start = start_of(ENDPOINT_CHAT, rows[i].type, rows[i].stream);
		size_t before, n = 1;
		enum relay_verdict verdict;

		arena_free(&arena);
		arena_free(&scratch);
		before = mem_used();
		do {
			buf_free(&out);
			buf_free(&made);
			ck_assert_ptr_nonnull(buf_room(&out, 16384));
			translate_from(&start, rows[i].provider);
			mem_fail_after(n++);
			verdict = pass(&start, *rows[i].text, 30, 200, rows[i].text->len);
			mem_fail_after(0);
			relay_close(&relay);
		} while (verdict == RELAY_MEMORY && n < 300);
		ck_assert_int_eq(verdict, RELAY_OK);
		arena_free(&arena);
		arena_free(&scratch);
		buf_free(&out);
		buf_free(&made);
		ck_assert_uint_eq(mem_used(), before);
	}
}
END_TEST

UNIT_MAIN("proxy/relay", test_events_are_the_same_bytes, test_replies_are_the_same_bytes,
	test_usage_is_read_in_passing, test_held_back_to_the_end_of_an_event,
	test_a_cut_stream_is_not_whole, test_begin, test_comments_are_not_held_without_end,
	test_large_event, test_reply_becomes_a_stream, test_stream_becomes_a_reply,
	test_what_passes_stays_what_it_is, test_limits, test_cut_json, test_memory,
	test_translated_however_it_comes, test_translated_behind_white_space, test_translated_cut,
	test_translated_broken_coding, test_translated_fault, test_translated_fault_is_bounded,
	test_translated_before_a_failure, test_translated_error, test_translated_limits,
	test_translated_too_much, test_translated_memory)
