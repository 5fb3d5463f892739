/*
 * Replay: a whole reply as a stream, held against the pairs of tests/golden/convert/replay;
 * gathered again it must be the reply.
 */
#include "golden.h"

static const char *const names[] = { "chat-text", "chat-tools", "chat-rich", "chat-pretty",
	"messages-full", "messages-stop", "messages-pretty" };

START_TEST(test_golden)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str reply = golden_read("replay", names[i], "json"),
			   stream = golden_read("replay", names[i], "sse");
		struct buf out = BUF_EMPTY;
		struct arena a;
		ck_assert_ptr_nonnull(reply.p);
		arena_init(&a, 0);
		ck_assert_int_eq(reply_to_stream(golden_endpoint(names[i]), reply, true, &a, &out),
			0);
		assert_same(buf_str(&out), stream, names[i]);
		buf_free(&out);
		arena_free(&a);
		golden_free(reply);
		golden_free(stream);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* What went apart comes together: the same bytes, or those of NAME.back.json where the reply had
 * gaps or was spread over lines. */
START_TEST(test_round_trip)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str reply = golden_read("replay", names[i], "json"),
			   back = golden_read("replay", names[i], "back.json"), message;
		struct buf out = BUF_EMPTY, again = BUF_EMPTY;
		struct arena a;
		arena_init(&a, 0);
		ck_assert_int_eq(reply_to_stream(golden_endpoint(names[i]), reply, true, &a, &out),
			0);
		struct gather *g = gather_new(golden_endpoint(names[i]), &a);
		ck_assert_int_eq(gather_stream(g, buf_str(&out), 0, &message), 0);
		ck_assert_int_eq(gather_finish(g, &again), 0);
		assert_same(buf_str(&again), back.p != NULL ? back : reply, names[i]);
		buf_free(&out);
		buf_free(&again);
		arena_free(&a);
		golden_free(reply);
		golden_free(back);
	}
}
END_TEST

/* A client that did not ask for usage gets none, neither a chunk of it nor nulls. */
START_TEST(test_without_usage)
{
	struct str reply = golden_read("replay", "chat-text", "json"),
		   with = golden_read("replay", "chat-text", "sse");
	struct buf out = BUF_EMPTY, want = BUF_EMPTY;
	struct arena a;

	arena_init(&a, 0);
	ck_assert_int_eq(reply_to_stream(&endpoints[ENDPOINT_CHAT], reply, false, &a, &out), 0);
	struct str null_usage = STR(",\"usage\":null");
	for (struct str rest = with; rest.len > 0;) {
		size_t at = str_find(rest, STR("\n\n"));
		struct str event = str_head(rest, at + 2);
		size_t usage = str_find(event, null_usage);
		if (str_find(event, STR("\"usage\":{")) == event.len) {
			buf_add(&want, str_head(event, usage));
			buf_add(&want,
				str_skip(event,
					usage < event.len ? usage + null_usage.len : usage));
		}
		rest = str_skip(rest, at + 2);
	}
	assert_same(buf_str(&out), buf_str(&want), "chat-text without usage");
	ck_assert_uint_eq(str_find(buf_str(&out), STR("usage")), buf_len(&out));
	buf_free(&out);
	buf_free(&want);
	arena_free(&a);
	golden_free(reply);
	golden_free(with);
}
END_TEST

/* What is not such a reply is refused, and what `out` held before stays as it was. */
START_TEST(test_refused)
{
	static const struct {
		enum endpoint_id id;
		const char *reply;
	} cases[] = {
		{ ENDPOINT_CHAT, "" },
		{ ENDPOINT_CHAT, "<html>" },
		{ ENDPOINT_CHAT, "[]" },
		{ ENDPOINT_CHAT, "{}" },
		{ ENDPOINT_CHAT, "{\"choices\":[]}" },
		{ ENDPOINT_CHAT, "{\"choices\":{\"message\":{}}}" },
		{ ENDPOINT_CHAT, "{\"choices\":[{\"text\":\"legacy\"}]}" },
		{ ENDPOINT_CHAT,
			"{\"choices\":[{\"message\":{\"content\":\"a\"}},{\"message\":null}]}" },
		{ ENDPOINT_CHAT, "{\"choices\":[{\"message\":{\"content\":\"a\"}}]" },
		{ ENDPOINT_CHAT,
			"{\"error\":{\"message\":\"x\"},\"choices\":[{\"message\":{\"content\":\"a\"}}]}" },
		{ ENDPOINT_MESSAGES,
			"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}" },
		{ ENDPOINT_MESSAGES, "{\"content\":\"text\"}" },
		{ ENDPOINT_MESSAGES, "{\"content\":[{\"type\":\"text\",\"text\":\"a\"},\"b\"]}" },
		{ ENDPOINT_MESSAGES, "{\"choices\":[{\"message\":{}}]}" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out = BUF_EMPTY;
		struct arena a;
		arena_init(&a, 0);
		buf_add(&out, STR("before"));
		ck_assert_msg(reply_to_stream(&endpoints[cases[i].id], str_of(cases[i].reply), true,
				      &a, &out) == -1,
			"%s", cases[i].reply);
		assert_same(buf_str(&out), STR("before"), cases[i].reply);
		buf_free(&out);
		arena_free(&a);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_no_memory)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		struct str reply = golden_read("replay", names[i], "json");
		int rc = -1;
		size_t n;
		for (n = 1; rc != 0; n++) {
			struct buf out = BUF_EMPTY;
			struct arena a;
			arena_init(&a, 0);
			mem_fail_after(n);
			rc = reply_to_stream(golden_endpoint(names[i]), reply, true, &a, &out);
			mem_fail_after(0);
			ck_assert(rc == 0 || (rc == -1 && buf_len(&out) == 0));
			buf_free(&out);
			arena_free(&a);
			ck_assert_uint_eq(mem_used(), 0);
		}
		ck_assert_uint_gt(n, 3);
		golden_free(reply);
	}
}
END_TEST

UNIT_MAIN("dialect/replay", test_golden, test_round_trip, test_without_usage, test_refused,
	test_no_memory)
