/*
 * Unsigned: which thinking blocks go, what stands around them stays byte for byte, and bodies
 * without any are not touched.
 */
#include "dialect/unsigned.h"

#include "unit.h"

static struct arena arena;

static void
assert_removed(const char *body, const char *want)
{
	struct buf out = BUF_EMPTY;
	int rc;

	arena_free(&arena);
	rc = unsigned_may_be(str_of(body))
		? unsigned_remove(&arena, str_of(body), STR("\"up\""), &out)
		: 0;
	ck_assert_msg(rc == (want ? 1 : 0), "%s: %d", body, rc);
	if (want)
		ck_assert_msg(str_eq(buf_str(&out), str_of(want)), "got '%.*s', want '%s'",
			STR_ARG(buf_str(&out)), want);
	else
		ck_assert_uint_eq(buf_len(&out), 0);
	buf_free(&out);
	arena_free(&arena);
}

#define SIGNED "{\"type\":\"thinking\",\"thinking\":\"a\",\"signature\":\"c2ln\"}"
#define EMPTY "{\"type\":\"thinking\",\"thinking\":\"b\",\"signature\" :  \"\"}"
#define GEMINI "{\"type\": \"thinking\", \"thinking\":\"c\",\"signature\":\"gg1.c2ln\"}"
#define CALL \
	"{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"w\",\"input\":{\"n\": 9007199254740993}}"

START_TEST(test_removed)
{
	assert_removed(
		"{\"model\":\"m\",\"x\": 1.0,\"messages\":[{\"role\":\"assistant\",\"content\":[" EMPTY
		", " SIGNED "," GEMINI ",{\"type\":\"text\",\"text\":\"\\u00e9\"}]}]}",
		"{\"model\":\"up\",\"x\":1.0,\"messages\":[{\"role\":\"assistant\",\"content\":[" SIGNED
		",{\"type\":\"text\",\"text\":\"\\u00e9\"}]}]}");
	/* a message of nothing else goes whole; another's stays as it is */
	assert_removed("{\"messages\":[{\"role\":\"user\",\"content\":\"q\" },"
		       "{\"role\":\"assistant\",\"content\":[" EMPTY "]},"
		       "{\"role\":\"user\",\"content\":\"r\"}],\"thinking\":{}}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"q\" },"
		"{\"role\":\"user\",\"content\":\"r\"}],\"thinking\":{}}");
	/* tools that were called without a thought: it must not be on */
	assert_removed(
		"{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[{\"role\":\"assistant\",\"content\":[" EMPTY
		"," CALL "]}]}",
		"{\"messages\":[{\"role\":\"assistant\",\"content\":[" CALL "]}]}");
	assert_removed(
		"{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[{\"role\":\"assistant\",\"content\":[" EMPTY
		"," SIGNED "," CALL "]}]}",
		"{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[{\"role\":\"assistant\",\"content\":[" SIGNED
		"," CALL "]}]}");
}
END_TEST

START_TEST(test_left)
{
	assert_removed("{\"messages\":[{\"role\":\"assistant\",\"content\":[" SIGNED "]}]}", NULL);
	assert_removed("{\"messages\":[{\"role\":\"user\",\"content\":[" EMPTY "]}]}", NULL);
	assert_removed("{\"messages\":[{\"role\":\"assistant\",\"content\":\""
		       "\\\"signature\\\":\\\"\\\"\"}]}",
		NULL);
	assert_removed("{\"signature\":\"\",\"messages\":[]}", NULL);
	assert_removed("{\"signature\":\"\",\"messages\":{}}", NULL);
	assert_removed("{\"signature\":\"\",\"messages\":[1,[],{\"role\":\"assistant\"},"
		       "{\"role\":\"assistant\",\"content\":[7,{\"type\":\"x\"}]}]}",
		NULL);
	assert_removed("[\"signature\",\"\"]", NULL);
	ck_assert(!unsigned_may_be(STR("\"signature\"")));
	ck_assert(!unsigned_may_be(STR("\"signature\" : ")));
	ck_assert(unsigned_may_be(STR("\"signature\":\"x\",\"signature\"\n:\t\"gg1.")));
}
END_TEST

START_TEST(test_no_memory)
{
	struct str body = STR("{\"messages\":[{\"role\":\"assistant\",\"content\":[" EMPTY "]}]}");
	struct buf out = BUF_EMPTY;

	for (size_t n = 1; n <= 2; n++) {
		arena_free(&arena);
		mem_fail_after(n);
		ck_assert_int_eq(unsigned_remove(&arena, body, STR(""), &out), -1);
		mem_fail_after(0);
		buf_free(&out);
	}
	arena_free(&arena);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

UNIT_MAIN("dialect/unsigned", test_removed, test_left, test_no_memory)
