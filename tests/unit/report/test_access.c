/*
 * Access: whole lines in both formats, what is not there, what a client may try to smuggle in, and
 * lines that do not fit.
 */
#include "report/access.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

static char out[65536];

static void
assert_line(const struct access_entry *e, enum log_format format, const char *want)
{
	size_t len = access_line(out, sizeof out, format, e);

	ck_assert_msg(len == strlen(want) && memcmp(out, want, len) == 0, "got '%.*s', want '%s'",
		(int)len, out, want);
}

static struct access_entry
full(void)
{
	static const struct usage usage = { .input = 12,
		.output = 40,
		.cache_read = 1,
		.cache_write = -1,
		.reasoning = -1 };

	return (struct access_entry){
		.wall_ms = 1777636800123,
		.request_id = STR("req-1"),
		.client_ip = STR("192.0.2.1"),
		.client = STR("alice"),
		.method = STR("POST"),
		.path = STR("/v1/chat/completions"),
		.version = STR("HTTP/1.1"),
		.model = STR("gpt-4"),
		.provider = STR("openai"),
		.target_model = STR("gpt-4o"),
		.user_agent = STR("curl/8.5"),
		.referer = STR("https://a.example/"),
		.status = 200,
		.upstream_status = 200,
		.attempts = 1,
		.stream = true,
		.bytes_in = 100,
		.bytes_out = 2048,
		.latency_us = 1234567,
		.upstream_us = 1000,
		.first_byte_us = 9,
		.usage = &usage,
		.end = END_COMPLETE,
		.worker = 4711,
	};
}

static struct access_entry
bare(void)
{
	return (struct access_entry){ .status = -1,
		.upstream_status = -1,
		.attempts = -1,
		.bytes_in = -1,
		.bytes_out = -1,
		.latency_us = -1,
		.upstream_us = -1,
		.first_byte_us = -1,
		.end = END_REFUSED,
		.worker = -1 };
}

START_TEST(test_text)
{
	struct access_entry e = full();

	assert_line(&e, FORMAT_TEXT,
		"192.0.2.1 - alice [01/May/2026:12:00:00 +0000] \"POST /v1/chat/completions HTTP/1.1\" 200 2048 \"https://a.example/\" \"curl/8.5\""
		" request_id=req-1 model=gpt-4 provider=openai target_model=gpt-4o upstream_status=200 attempts=1 stream=true bytes_in=100"
		" latency_ms=1234.567 upstream_ms=1.000 first_byte_ms=0.009 input_tokens=12 output_tokens=40 usage=provider end=complete worker=4711\n");
	e = bare();
	assert_line(&e, FORMAT_TEXT,
		"- - - [01/Jan/1970:00:00:00 +0000] \"- - -\" - - \"-\" \"-\" request_id=- model=- provider=- target_model=- upstream_status=-"
		" attempts=- stream=false bytes_in=- latency_ms=- upstream_ms=- first_byte_ms=- input_tokens=- output_tokens=- usage=none"
		" end=refused worker=-\n");
}
END_TEST

START_TEST(test_json)
{
	struct access_entry e = full();

	assert_line(&e, FORMAT_JSON,
		"{\"time\":\"2026-05-01T12:00:00.123Z\",\"request_id\":\"req-1\",\"client_ip\":\"192.0.2.1\",\"client\":\"alice\",\"method\":\"POST\","
		"\"path\":\"/v1/chat/completions\",\"model\":\"gpt-4\",\"provider\":\"openai\",\"target_model\":\"gpt-4o\",\"status\":200,"
		"\"upstream_status\":200,\"attempts\":1,\"stream\":true,\"bytes_in\":100,\"bytes_out\":2048,\"latency_ms\":1234.567,"
		"\"upstream_ms\":1.000,\"first_byte_ms\":0.009,\"input_tokens\":12,\"output_tokens\":40,\"usage\":\"provider\",\"end\":\"complete\","
		"\"worker\":4711}\n");
	e = bare();
	assert_line(&e, FORMAT_JSON,
		"{\"time\":\"1970-01-01T00:00:00.000Z\",\"request_id\":null,\"client_ip\":null,\"client\":null,\"method\":null,\"path\":null,"
		"\"model\":null,\"provider\":null,\"target_model\":null,\"status\":null,\"upstream_status\":null,\"attempts\":null,\"stream\":false,"
		"\"bytes_in\":null,\"bytes_out\":null,\"latency_ms\":null,\"upstream_ms\":null,\"first_byte_ms\":null,\"input_tokens\":null,"
		"\"output_tokens\":null,\"usage\":\"none\",\"end\":\"refused\",\"worker\":null}\n");
}
END_TEST

START_TEST(test_ends)
{
	static const char *const words[] = { "complete", "client_gone", "upstream_error", "timeout",
		"refused" };

	for (int end = END_COMPLETE; end <= END_REFUSED; end++) {
		char want[32];
		struct access_entry e = full();
		e.end = (enum access_end)end;
		snprintf(want, sizeof want, " end=%s worker=", words[end]);
		size_t len = access_line(out, sizeof out, FORMAT_TEXT, &e);
		ck_assert(str_find((struct str){ out, len }, str_of(want)) < len);
	}
}
END_TEST

/* Whatever is in them, values stay in their places: quotes, spaces, line ends, terminal escapes,
 * bytes that are not UTF-8. */
START_TEST(test_smuggling)
{
	struct access_entry e = full();

	e.user_agent = STR("x\" 200 \"\n127.0.0.1 - - [\x1b[2J\\\xff\xc3\xa9");
	e.path = STR("/a b\"\r\nc");
	e.client = STR("bob smith");
	e.model = STR("a b=c");
	e.target_model = STR("m\"n");
	e.provider = STR("p\xe2\x82\xac");
	assert_line(&e, FORMAT_TEXT,
		"192.0.2.1 - bob\\x20smith [01/May/2026:12:00:00 +0000] \"POST /a b\\\"\\r\\nc HTTP/1.1\" 200 2048 \"https://a.example/\""
		" \"x\\\" 200 \\\"\\n127.0.0.1 - - [\\x1b[2J\\\\\\xff\xc3\xa9\""
		" request_id=req-1 model=\"a b=c\" provider=\"p\xe2\x82\xac\" target_model=\"m\\\"n\" upstream_status=200 attempts=1 stream=true bytes_in=100"
		" latency_ms=1234.567 upstream_ms=1.000 first_byte_ms=0.009 input_tokens=12 output_tokens=40 usage=provider end=complete worker=4711\n");
	e.path = STR("/a b\"\r\nc\xff\x01");
	size_t len = access_line(out, sizeof out, FORMAT_JSON, &e);
	ck_assert(
		str_find((struct str){ out, len },
			STR(",\"path\":\"/a b\\\"\\r\\nc\xef\xbf\xbd\\u0001\",\"model\":\"a b=c\",")) <
		len);
}
END_TEST

/* A JSON line with all of its members, the long one not cut to nothing. */
static void
assert_whole(struct str line)
{
	struct json_scan scan;
	struct arena a;

	arena_init(&a, 0);
	ck_assert_int_eq(json_scan_text(&scan, &a, line, 2, 8), 0);
	ck_assert_uint_eq(line.p[line.len - 1], '\n');
	ck_assert_uint_eq(scan.tokens[0].count, 23);
	const struct json_token *end = json_member(&scan, line, scan.tokens, STR("end"), NULL);
	ck_assert(json_string_is(line, end, STR("complete")));
	const struct json_token *path = json_member(&scan, line, scan.tokens, STR("path"), NULL);
	ck_assert_uint_gt(path->end - path->start, 100);
	arena_free(&a);
}

/* Lines that do not fit: the longest values are cut, short ones and the shape stay. Every size, and
 * values of 100 KB of the worst bytes. */
START_TEST(test_long)
{
	static char big[100000];
	static const char worst[] = { 'a', '"', '\x01', '\xff' };

	for (size_t w = 0; w < sizeof worst; w++) {
		memset(big, worst[w], sizeof big);
		struct access_entry e = full();
		e.user_agent = e.path = e.client = e.model = (struct str){ big, sizeof big };
		e.client_ip = STR("1 2 3");
		for (size_t size = 2048; size <= sizeof out; size += size < 2064 ? 1 : 7919) {
			size_t len = access_line(out, size, FORMAT_TEXT, &e);
			struct str line = { out, len };
			ck_assert_uint_le(len, size);
			ck_assert_uint_eq(str_index(line, '\n'), len - 1);
			ck_assert(str_find(line,
					  STR(" usage=provider end=complete worker=4711\n")) < len);
			ck_assert(str_find(line, STR(" request_id=req-1 model=")) < len);
			ck_assert(str_starts(line, STR("1\\x202\\x203 - ")));
			ck_assert_uint_gt(len, size / 8); /* not cut down to nothing */

			len = access_line(out, size, FORMAT_JSON, &e);
			ck_assert_uint_le(len, size);
			assert_whole((struct str){ out, len });
		}
	}
}
END_TEST

/* One long value among short ones: they are whole. */
START_TEST(test_long_user_agent)
{
	static char big[100000];
	struct access_entry e = full();

	memset(big, 'u', sizeof big);
	e.user_agent = (struct str){ big, sizeof big };
	e.path = STR(
		"/v1/a-path-of-moderate-length/that-should-stay-whole/even-though-the-user-agent-is-a-hundred-thousand-bytes");
	size_t len = access_line(out, 4096, FORMAT_TEXT, &e);
	ck_assert(str_find((struct str){ out, len }, e.path) < len);
	ck_assert_uint_gt(len, 2048);
}
END_TEST

UNIT_MAIN("report/access", test_text, test_json, test_ends, test_smuggling, test_long,
	test_long_user_agent)
