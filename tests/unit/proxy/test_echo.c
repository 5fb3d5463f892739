/*
 * The provider that answers itself, told through struct upstream_ops of the test's own: whole
 * replies and streams of each dialect, exact where that can be, embeddings with numbers that stay
 * the same for ever, intervals and pauses, and memory that fails at any point.
 */
#include "proxy/echo.h"

#include <math.h>
#include <string.h>

#include "house.h"
#include "json/read.h"
#include "proxy/echo_reply.h"
#include "unit.h"

static struct house house;
static struct arena arena;
static struct echo echo;
static struct told {
	unsigned heads, turns, dones, fails, pieces;
	unsigned status;
	uint64_t length;
	char type[64];
	struct buf body;
	bool pause;
} told;

static void
on_head(void *owner, const struct head *h, const struct head_framing *f)
{
	(void)owner;
	told.heads++;
	told.status = h->status;
	told.length = f->length;
	snprintf(told.type, sizeof told.type, "%.*s", STR_ARG(head_value(h, STR("content-type"))));
}

static void
on_data(void *owner, struct str data)
{
	(void)owner;
	ck_assert_uint_eq(told.heads, 1);
	told.pieces++;
	buf_add(&told.body, data);
}

static void
on_turn(void *owner)
{
	(void)owner;
	told.turns++;
	if (told.pause)
		echo_pause(&echo, true);
}

static void
on_done(void *owner)
{
	(void)owner;
	told.dones++;
}

static void
on_failed(void *owner, enum upstream_end why, struct str detail, bool begun)
{
	(void)owner;
	(void)detail;
	(void)begun;
	ck_assert_int_eq(why, UPSTREAM_MEMORY);
	told.fails++;
}

static const struct upstream_ops ops = {
	.head = on_head, .data = on_data, .turn = on_turn, .done = on_done, .failed = on_failed
};

static void
open_echo(enum endpoint_id endpoint, const char *body, bool stream, bool usage)
{
	struct echo_request r = { .endpoint = &endpoints[endpoint],
		.body = str_of(body),
		.model = STR("echo"),
		.stream = stream,
		.include_usage = usage };

	arena_init(&arena, 8 << 20);
	buf_free(&told.body);
	told = (struct told){ .heads = 0 };
	echo_start(&echo, &house.proxy, &house.providers[HOUSE_ECHO], &ops, &told, &arena, &r);
	ck_assert_uint_eq(told.heads, 0);
}

static struct str
ask(enum endpoint_id endpoint, const char *body, bool stream, bool usage)
{
	arena_free(&arena);
	open_echo(endpoint, body, stream, usage);
	for (int i = 0; i < 2000 && !told.dones && !told.fails; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(told.dones + told.fails, 1);
	return buf_str(&told.body);
}

static void
setup(void)
{
	house_open(&house, 1);
}

static void
teardown(void)
{
	arena_free(&arena);
	buf_free(&told.body);
	house_tidy(&house);
	ck_assert_uint_eq(mem_used(), 0);
	house_close(&house);
}

/* The text with what is random, the 16 digits of the id, written as zeros. */
static const char *
masked(struct str s)
{
	static char out[20000];
	char *at;

	ck_assert_uint_lt(s.len, sizeof out);
	memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	for (at = out; (at = strstr(at, "echo")) != NULL; at += 4)
		if (strspn(at + 4, "0123456789abcdef") >= 16)
			memset(at + 4, '0', 16);
	return out;
}

#define HI                                                                                    \
	"{\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"                       \
	"{\"role\":\"user\",\"content\":\"old\"},{\"role\":\"assistant\",\"content\":\"x\"}," \
	"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one \"},"              \
	"{\"type\":\"image_url\"},{\"type\":\"text\",\"text\":\"t\\u0077o\"}]}]}"

#define CHAT "{\"id\":\"chatcmpl-echo0000000000000000\",\"object\":\"chat.completion"
#define CREATED "\"created\":1777636800,\"model\":\"echo\","

START_TEST(test_whole)
{
	setup();
	ck_assert_str_eq(masked(ask(ENDPOINT_CHAT, HI, false, false)),
		CHAT "\"," CREATED "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		     "\"content\":\"one two\",\"refusal\":null},\"logprobs\":null,"
		     "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":6,"
		     "\"completion_tokens\":2,\"total_tokens\":8}}");
	ck_assert_uint_eq(told.status, 200);
	ck_assert_str_eq(told.type, "application/json");
	ck_assert_uint_eq(told.length, buf_len(&told.body));
	ck_assert_str_eq(masked(ask(ENDPOINT_COMPLETIONS, "{\"prompt\":\"a b\"}", false, false)),
		"{\"id\":\"cmpl-echo0000000000000000\",\"object\":\"text_completion\"," CREATED
		"\"choices\":[{\"index\":0,\"text\":\"a b\",\"logprobs\":null,"
		"\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":2,"
		"\"completion_tokens\":2,\"total_tokens\":4}}");
	ck_assert_str_eq(masked(ask(ENDPOINT_MESSAGES, HI, false, false)),
		"{\"id\":\"msg_echo0000000000000000\",\"type\":\"message\",\"role\":\"assistant\","
		"\"model\":\"echo\",\"content\":[{\"type\":\"text\",\"text\":\"one two\"}],"
		"\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
		"\"usage\":{\"input_tokens\":6,\"output_tokens\":2}}");
	teardown();
}
END_TEST

#define CHUNK "data: " CHAT ".chunk\"," CREATED "\"choices\":[{\"index\":0,\"delta\":"

START_TEST(test_streams)
{
	setup();
	ck_assert_str_eq(masked(ask(ENDPOINT_CHAT, HI, true, false)),
		CHUNK "{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
		      "\"finish_reason\":null}]}\n\n" CHUNK
		      "{\"content\":\"one\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n" CHUNK
		      "{\"content\":\" two\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n" CHUNK
		      "{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n"
		      "data: [DONE]\n\n");
	ck_assert_str_eq(told.type, "text/event-stream; charset=utf-8");
	ck_assert_ptr_nonnull(strstr(masked(ask(ENDPOINT_CHAT, HI, true, true)),
		"\"choices\":[],\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":2,"
		"\"total_tokens\":8}}\n\ndata: [DONE]\n\n"));
	ck_assert_str_eq(masked(ask(ENDPOINT_MESSAGES, HI, true, false)),
		"event: message_start\ndata: {\"type\":\"message_start\",\"message\":"
		"{\"id\":\"msg_echo0000000000000000\",\"type\":\"message\",\"role\":\"assistant\","
		"\"model\":\"echo\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
		"\"usage\":{\"input_tokens\":6,\"output_tokens\":0}}}\n\n"
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
		"\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
		"\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n"
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
		"\"delta\":{\"type\":\"text_delta\",\"text\":\" two\"}}\n\n"
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
		"{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
		"\"usage\":{\"output_tokens\":2}}\n\n"
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
	teardown();
}
END_TEST

START_TEST(test_refusals)
{
	static const struct {
		enum endpoint_id endpoint;
		const char *body, *param;
	} cases[] = {
		{ ENDPOINT_CHAT, "{}", "\"param\":\"messages\"" },
		{ ENDPOINT_CHAT, "{\"messages\":[]}", "\"param\":\"messages\"" },
		{ ENDPOINT_CHAT, "{\"messages\":{\"role\":\"user\"}}", "\"param\":\"messages\"" },
		{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}",
			"\"param\":\"messages\"" },
		{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"system\",\"content\":\"a\"}]}",
			"\"param\":\"messages\"" },
		{ ENDPOINT_CHAT, "{\"messages\":[1,\"a\",[],{\"role\":5,\"content\":\"a\"}]}",
			"\"param\":\"messages\"" },
		{ ENDPOINT_COMPLETIONS, "{\"prompt\":5}", "\"param\":\"prompt\"" },
		{ ENDPOINT_EMBEDDINGS, "{\"input\":{}}", "\"param\":\"input\"" },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *got = masked(ask(cases[i].endpoint, cases[i].body, true, false));

		ck_assert_uint_eq(told.status, 400);
		ck_assert_msg(strstr(got, cases[i].param) != NULL, "%s", got);
	}
	teardown();
}
END_TEST

/* The numbers of one text, which must never change. */
START_TEST(test_vectors)
{
	double sum = 0.0;

	ck_assert_uint_eq(echo_hash(STR("")), UINT64_C(0xcbf29ce484222325));
	ck_assert_uint_eq(echo_hash(STR("a")), UINT64_C(0xaf63dc4c8601ec8c));
	ck_assert_uint_eq(echo_hash(STR("foobar")), UINT64_C(0x85944171f73967e8));
	ck_assert_double_eq_tol(echo_component(0, 0), 0.76662162, 1e-8);
	ck_assert_double_eq_tol(echo_component(echo_hash(STR("a")), 0), -0.25653807, 1e-8);
	ck_assert_double_eq_tol(echo_component(echo_hash(STR("a")), 63), -0.80258742, 1e-8);
	for (unsigned i = 0; i < 10000; i++) {
		double c = echo_component(12345, i);

		ck_assert(c >= -1.0 && c <= 1.0);
		sum += c;
	}
	ck_assert_double_lt(fabs(sum / 10000), 0.03);
}
END_TEST

START_TEST(test_embeddings)
{
	struct json_scan scan;
	struct str body;
	const struct json_token *t;
	double norm = 0.0;

	setup();
	body = ask(ENDPOINT_EMBEDDINGS, "{\"input\":\"a\",\"dimensions\":5}", false, false);
	ck_assert_int_eq(json_scan_text(&scan, &arena, body, UINT32_MAX, 64), 0);
	t = json_member(&scan, body, scan.tokens, STR("data"), NULL);
	t = json_member(&scan, body, t + 1, STR("embedding"), NULL);
	ck_assert_uint_eq(t->count, 5);
	for (unsigned i = 1; i <= 5; i++) {
		double c = strtod(body.p + t[i].start, NULL);

		norm += c * c;
	}
	ck_assert_double_eq_tol(norm, 1.0, 1e-6);
	/* the same numbers as floats, little end first, in base64 */
	body = ask(ENDPOINT_EMBEDDINGS,
		"{\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\",\"dimensions\":1}", false,
		false);
	ck_assert_msg(str_find(body, STR("\"embedding\":\"AACAvw==\"")) < body.len, "%.*s",
		STR_ARG(body));
	ck_assert_uint_lt(str_find(body, STR("\"index\":1")), body.len);
	ck_assert_uint_lt(str_find(body, STR("\"prompt_tokens\":2")), body.len);
	/* token numbers are one text */
	body = ask(ENDPOINT_EMBEDDINGS, "{\"input\":[1,2,3]}", false, false);
	ck_assert_uint_eq(str_find(body, STR("\"index\":1")), body.len);
	teardown();
}
END_TEST

START_TEST(test_too_many_inputs)
{
	static char text[20000];
	size_t len = (size_t)snprintf(text, sizeof text, "{\"dimensions\":1,\"input\":[\"\"");

	setup();
	for (int i = 1; i < 2048; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, ",\"\"");
	snprintf(text + len, sizeof text - len, "]}");
	ask(ENDPOINT_EMBEDDINGS, text, false, false);
	ck_assert_uint_eq(told.status, 200);
	snprintf(text + len, sizeof text - len, ",\"\"]}");
	ask(ENDPOINT_EMBEDDINGS, text, false, false);
	ck_assert_uint_eq(told.status, 400);
	teardown();
}
END_TEST

START_TEST(test_intervals)
{
	setup();
	house.providers[HOUSE_ECHO].echo_first_byte_ms = 50;
	house.providers[HOUSE_ECHO].echo_interval_ms = 20;
	open_echo(ENDPOINT_CHAT, HI, true, false);
	for (int i = 0; i < 50; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(told.heads, 0);
	house_turn(&house, 0);
	ck_assert_uint_eq(told.heads, 1);
	ck_assert_uint_eq(told.pieces, 1);
	for (int i = 0; i < 19; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(told.pieces, 1);
	house_turn(&house, 0);
	ck_assert_uint_eq(told.pieces, 2);
	ck_assert_uint_eq(told.dones, 1);
	teardown();
}
END_TEST

/* A long text goes in many turns, and rests while it is paused. */
START_TEST(test_pause)
{
	static char text[200100];
	size_t len = (size_t)snprintf(text, sizeof text, "{\"prompt\":\"");
	uint64_t pieces;

	for (int i = 0; i < 40000; i++)
		memcpy(text + len + 5 * (size_t)i, "word ", 5);
	snprintf(text + len + 200000, 10, "\"}");
	setup();
	open_echo(ENDPOINT_COMPLETIONS, text, true, false);
	told.pause = true;
	for (int i = 0; i < 100; i++)
		house_turn(&house, 0);
	pieces = told.pieces;
	ck_assert_uint_eq(pieces, 1);
	told.pause = false;
	echo_pause(&echo, false);
	house_turn(&house, 0);
	house_turn(&house, 0);
	ck_assert_uint_eq(told.dones, 0); /* not all in one turn */
	for (int i = 0; i < 100 && !told.dones; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(told.dones, 1);
	ck_assert_uint_gt(told.pieces, pieces + 3);
	arena_free(&arena);
	open_echo(ENDPOINT_COMPLETIONS, text, true, false);
	echo_close(&echo);
	echo_close(&echo);
	for (int i = 0; i < 10; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(told.heads, 0);
	teardown();
}
END_TEST

START_TEST(test_memory)
{
	static const struct {
		enum endpoint_id endpoint;
		bool stream;
		const char *body;
	} cases[] = {
		{ ENDPOINT_CHAT, false, HI },
		{ ENDPOINT_CHAT, true, HI },
		{ ENDPOINT_MESSAGES, true, HI },
		{ ENDPOINT_EMBEDDINGS, false, "{\"input\":[\"a\",\"b\"]}" },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t n = 1;

		do {
			arena_free(&arena);
			open_echo(cases[i].endpoint, cases[i].body, cases[i].stream, true);
			ck_assert_ptr_nonnull(buf_room(&told.body, 16384));
			mem_fail_after(n);
			for (int k = 0; k < 50 && !told.dones && !told.fails; k++)
				house_turn(&house, 0);
			mem_fail_after(0);
			ck_assert_uint_eq(told.dones + told.fails, 1);
		} while (told.fails && n++ < 100);
		ck_assert_uint_gt(n, 1);
		ck_assert_uint_eq(told.dones, 1);
	}
	teardown();
}
END_TEST

UNIT_MAIN("proxy/echo", test_whole, test_streams, test_refusals, test_vectors, test_embeddings,
	test_too_many_inputs, test_intervals, test_pause, test_memory)
