/*
 * Gather: streams put together into one reply, held against the pairs of
 * tests/golden/convert/gather, each stream cut at every byte; streams that are cut short, broken,
 * or end in an error.
 */
#include "golden.h"

static const char *const names[] = { "chat-text", "chat-tools", "chat-odd", "messages-full",
	"messages-odd" };

static void
gathered(const char *name, struct str stream, size_t cut, struct str want)
{
	struct buf out = BUF_EMPTY;
	struct str message;
	struct arena a;

	arena_init(&a, 0);
	struct gather *g = gather_new(golden_endpoint(name), &a);
	ck_assert_int_eq(gather_stream(g, stream, cut, &message), 0);
	ck_assert_int_eq(gather_finish(g, &out), 0);
	assert_same(buf_str(&out), want, name);
	buf_free(&out);
	arena_free(&a);
}

START_TEST(test_golden)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str stream = golden_read("gather", names[i], "sse"),
			   want = golden_read("gather", names[i], "json");
		ck_assert_ptr_nonnull(stream.p);
		for (size_t cut = 0; cut < stream.len; cut++)
			gathered(names[i], stream, cut, want);
		gathered(names[i], stream, SIZE_MAX, want);
		golden_free(stream);
		golden_free(want);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A stream without its last events: never a whole reply, until what says that the answer ended has
 * come. */
START_TEST(test_cut_short)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str stream = golden_read("gather", names[i], "sse"), message;
		bool anthropic = golden_endpoint(names[i])->client == DIALECT_ANTHROPIC;
		/* the first byte behind the last event that says how the answer ended */
		struct str sign =
			anthropic ? STR("\"stop_reason\":\"") : STR("\"finish_reason\":\"");
		size_t least = strcmp(names[i], "chat-odd") == 0
			? str_find(stream, STR("\"content\":\"!\"")) + 200
			: 0;
		size_t end = least + str_find(str_skip(stream, least), sign);
		end += str_find(str_skip(stream, end), STR("\n\n")) + 2;
		for (size_t len = 0; len <= stream.len; len++) {
			struct buf out = BUF_EMPTY;
			struct arena a;
			arena_init(&a, 0);
			struct gather *g = gather_new(golden_endpoint(names[i]), &a);
			ck_assert_int_eq(gather_stream(g, str_head(stream, len), 0, &message), 0);
			int rc = gather_finish(g, &out);
			ck_assert_msg(rc == (len < end ? -1 : 0),
				"%s cut after %zu of %zu (its answer ends at %zu): %d", names[i],
				len, stream.len, end, rc);
			ck_assert_uint_eq(buf_len(&out) > 0, rc == 0);
			buf_free(&out);
			arena_free(&a);
		}
		golden_free(stream);
	}
}
END_TEST

/* One event at a time, on endpoint `id`; what gather_event said of the last. */
static int
events(enum endpoint_id id, const char *const *data, size_t n, const char *name, char *text,
	size_t size)
{
	struct str message = { NULL, 0 };
	struct arena a;
	int rc = 0;

	arena_init(&a, 0);
	struct gather *g = gather_new(&endpoints[id], &a);
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct sse_event ev = { .name = str_of(i + 1 == n ? name : NULL),
			.data = str_of(data[i]),
			.has_data = true };
		rc = gather_event(g, &ev, &message);
	}
	if (rc == 1)
		snprintf(text, size, "%.*s", STR_ARG(message));
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), 0);
	return rc;
}

START_TEST(test_errors)
{
	static const struct {
		enum endpoint_id id;
		const char *name, *data, *message;
	} cases[] = {
		{ ENDPOINT_CHAT, NULL,
			"{\"error\":{\"message\":\"up\\\"stream \\u00e9\",\"type\":\"x\"}}",
			"up\"stream \xc3\xa9" },
		{ ENDPOINT_CHAT, NULL, "{\"error\":\"text\"}", "text" },
		{ ENDPOINT_CHAT, NULL, "{\"error\":{\"code\": 5}}", "{\"code\": 5}" },
		{ ENDPOINT_CHAT, NULL, "{\"error\":true}", "true" },
		{ ENDPOINT_CHAT, NULL,
			"{\"choices\":[{\"finish_reason\":\"error\"}],\"error\":{\"message\":\"x\"}}",
			"x" },
		{ ENDPOINT_CHAT, "error", "{\"message\":\"bare\"}", "bare" },
		{ ENDPOINT_MESSAGES, "error",
			"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
			"Overloaded" },
		{ ENDPOINT_MESSAGES, NULL,
			"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}",
			"x" },
	};
	char text[128];

	for (size_t i = 0; i < COUNT(cases); i++) {
		ck_assert_msg(events(cases[i].id, &cases[i].data, 1, cases[i].name, text,
				      sizeof text) == 1,
			"%s", cases[i].data);
		ck_assert_str_eq(text, cases[i].message);
	}
}
END_TEST

#define START \
	"{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"output_tokens\":1}}}"
#define BLOCK \
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"

START_TEST(test_broken_streams)
{
	static const struct {
		enum endpoint_id id;
		const char *data[3];
	} cases[] = {
		{ ENDPOINT_CHAT, { "x" } },
		{ ENDPOINT_CHAT, { "{\"choices\":[]" } },
		{ ENDPOINT_CHAT, { "[]" } },
		{ ENDPOINT_CHAT, { "{}" } },
		{ ENDPOINT_CHAT, { "{\"choices\":null}" } },
		{ ENDPOINT_CHAT, { START } },
		{ ENDPOINT_MESSAGES, { "{}" } },
		{ ENDPOINT_MESSAGES, { "{\"choices\":[]}" } },
		{ ENDPOINT_MESSAGES, { BLOCK } },
		{ ENDPOINT_MESSAGES, { START, START } },
		{ ENDPOINT_MESSAGES, { "{\"type\":\"message_start\"}" } },
		{ ENDPOINT_MESSAGES, { START, BLOCK, BLOCK } },
		{ ENDPOINT_MESSAGES, { START, "{\"type\":\"content_block_start\",\"index\":0}" } },
		{ ENDPOINT_MESSAGES,
			{ START,
				"{\"type\":\"content_block_start\",\"index\":-1,\"content_block\":{}}" } },
		{ ENDPOINT_MESSAGES,
			{ START,
				"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}" } },
		{ ENDPOINT_MESSAGES,
			{ START, BLOCK,
				"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}" } },
		{ ENDPOINT_MESSAGES,
			{ START, BLOCK,
				"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\"}}" } },
		{ ENDPOINT_MESSAGES,
			{ "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}" } },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = cases[i].data[1] == NULL ? 1 : cases[i].data[2] == NULL ? 2 : 3;
		ck_assert_msg(events(cases[i].id, cases[i].data, n, NULL, NULL, 0) == -1, "%s",
			cases[i].data[n - 1]);
		if (n > 1)
			ck_assert_msg(events(cases[i].id, cases[i].data, n - 1, NULL, NULL, 0) == 0,
				"%s", cases[i].data[n - 2]);
	}
}
END_TEST

START_TEST(test_passed_over)
{
	static const char *const nothing[] = { "", "[DONE]", "[DONE] trailing" };
	struct sse_event no_data = { .name = STR("error") },
			 oversized = { .has_data = true, .oversized = true };
	struct str message;
	struct arena a;

	for (size_t i = 0; i < COUNT(nothing); i++) {
		ck_assert_int_eq(events(ENDPOINT_CHAT, &nothing[i], 1, NULL, NULL, 0), 0);
		ck_assert_int_eq(events(ENDPOINT_MESSAGES, &nothing[i], 1, NULL, NULL, 0), 0);
	}
	arena_init(&a, 0);
	struct gather *g = gather_new(&endpoints[ENDPOINT_CHAT], &a);
	ck_assert_int_eq(gather_event(g, &no_data, &message), 0);
	ck_assert_int_eq(gather_event(g, &oversized, &message),
		-1); /* a part of the answer is missing */
	arena_free(&a);
}
END_TEST

/* The reply is bounded by the arena, and so is what a hostile provider can make of indices and
 * members. */
START_TEST(test_bounded)
{
	static char data[40000];
	struct sse_event ev = { .has_data = true };
	struct str message;
	struct arena a;
	int n = 0;

	arena_init(&a, 100000);
	struct gather *g = gather_new(&endpoints[ENDPOINT_CHAT], &a);
	int len = snprintf(data, sizeof data,
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%01000d\"},\"finish_reason\":\"stop\"}]}",
		0);
	ev.data = (struct str){ data, (size_t)len };
	while (n < 1000 && gather_event(g, &ev, &message) == 0)
		n++;
	ck_assert_int_gt(n, 20);
	ck_assert_int_lt(n, 100);
	struct buf out = BUF_EMPTY;
	ck_assert_int_eq(gather_finish(g, &out), -1);
	buf_free(&out);
	arena_free(&a);

	arena_init(&a, 0);
	g = gather_new(&endpoints[ENDPOINT_CHAT], &a);
	for (n = 0; n < 5000; n++) {
		len = snprintf(data, sizeof data,
			"{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":%d}]},\"finish_reason\":\"stop\"}]}",
			n);
		ev.data.len = (size_t)len;
		if (gather_event(g, &ev, &message) != 0)
			break;
	}
	ck_assert_int_eq(n, 1024);
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_no_memory)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str stream = golden_read("gather", names[i], "sse"), message;
		size_t n;
		int rc = -1;
		for (n = 1; rc != 0; n++) {
			struct buf out = BUF_EMPTY;
			struct arena a;
			arena_init(&a, 0);
			mem_fail_after(n);
			struct gather *g = gather_new(golden_endpoint(names[i]), &a);
			rc = g != NULL ? gather_stream(g, stream, 0, &message) : -1;
			if (rc == 0)
				rc = gather_finish(g, &out);
			mem_fail_after(0);
			ck_assert(rc == 0 || rc == -1);
			buf_free(&out);
			arena_free(&a);
			ck_assert_uint_eq(mem_used(), 0);
		}
		ck_assert_uint_gt(n, 10);
		golden_free(stream);
	}
}
END_TEST

UNIT_MAIN("dialect/gather", test_golden, test_cut_short, test_errors, test_broken_streams,
	test_passed_over, test_bounded, test_no_memory)
