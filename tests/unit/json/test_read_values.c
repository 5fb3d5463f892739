/*
 * read: looking at tokens: members by decoded key, strings decoded and compared, integers.
 */
#include "json/read.h"

#include <limits.h>
#include <string.h>

#include "unit.h"

START_TEST(members_are_found_by_decoded_key)
{
	static const struct {
		struct str text;
		const char *value; /* NULL: no such member */
		bool more;
	} cases[] = {
		{ STR_INIT("{\"model\":1}"), "1", false },
		{ STR_INIT("{\"a\":2,\"model\":[1,{\"model\":3}],\"b\":4}"), "[1,{\"model\":3}]",
			false },
		{ STR_INIT("{\"mod\\u0065l\":true}"), "true", false },
		{ STR_INIT("{\"\\u006d\\u006F\\u0064\\u0065\\u006c\":true}"), "true", false },
		{ STR_INIT("{\"model\":1,\"model\":2}"), "1", true },
		{ STR_INIT("{\"mod\\u0065l\":1,\"x\":0,\"model\":2,\"model\":3}"), "1", true },
		{ STR_INIT("{\"model\":1,\"\\u006dodel\":2}"), "1", true },
		{ STR_INIT("{\"a\":{\"model\":1}}"), NULL, false },
		{ STR_INIT("{\"a\":\"model\"}"), NULL, false },
		{ STR_INIT(
			  "{\"Model\":1,\"mode\":2,\"models\":3,\"model \":4,\"\":5,\"model\\u0000\":6,\"mo\\u0000del\":7}"),
			NULL, false },
		{ STR_INIT(
			  "{\"mode\\\\l\":1,\"\\\"model\\\"\":2,\"\\ud800model\":3,\"mod\\ud800\":4}"),
			NULL, false },
		{ STR_INIT("{}"), NULL, false },
		{ STR_INIT("[\"model\",1]"), NULL, false },
		{ STR_INIT("\"model\""), NULL, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (unsigned keep = 2; keep <= 5; keep++) {
			struct str text = cases[i].text;
			struct arena a;
			struct json_scan s;
			bool more = true;
			arena_init(&a, 0);
			ck_assert_int_eq(json_scan_text(&s, &a, text, keep, 512), 0);
			const struct json_token *t =
				json_member(&s, text, &s.tokens[0], STR("model"), &more);
			ck_assert_ptr_eq(json_member(&s, text, &s.tokens[0], STR("model"), NULL),
				t);
			ck_assert_msg((t != NULL) == (cases[i].value != NULL), "%.*s",
				STR_ARG(text));
			ck_assert_msg(more == cases[i].more, "%.*s", STR_ARG(text));
			if (t != NULL)
				ck_assert(str_eq(json_raw(text, t), str_of(cases[i].value)));
			arena_free(&a);
		}
}
END_TEST

START_TEST(members_of_inner_objects)
{
	struct str text = STR("{\"a\":[{\"x\":1},{\"x\":2,\"y\":{\"x\":3}}],\"x\":4}");
	struct arena a;
	struct json_scan s;
	arena_init(&a, 0);
	ck_assert_int_eq(json_scan_text(&s, &a, text, UINT_MAX, 512), 0);
	const struct json_token *list = json_member(&s, text, &s.tokens[0], STR("a"), NULL);
	const struct json_token *second = &s.tokens[list[1].next];
	ck_assert_uint_eq(list->count, 2);
	ck_assert(str_eq(json_raw(text, json_member(&s, text, second, STR("x"), NULL)), STR("2")));
	ck_assert(
		str_eq(json_raw(text,
			       json_member(&s, text, json_member(&s, text, second, STR("y"), NULL),
				       STR("x"), NULL)),
			STR("3")));
	ck_assert_ptr_null(json_member(&s, text, second, STR("a"), NULL));
	arena_free(&a);
	ck_assert_int_eq(json_scan_text(&s, &a, text, 1, 512), 0);
	ck_assert_ptr_null(json_member(&s, text, &s.tokens[0], STR("x"), NULL));
	arena_free(&a);
}
END_TEST

/* While the text still comes: a member is there as soon as its value has begun (a container) or is
 * whole (all else). */
START_TEST(members_of_an_object_that_is_still_open)
{
	struct str text =
		STR("{\"messages\":[{\"model\":1}],\"model\":\"m\",\"stream\":true,\"tools\":[1]}");
	size_t model_there = 37, stream_there = 51, tools_there = 61;
	struct arena a;
	struct json_scan s;
	arena_init(&a, 0);
	json_scan_init(&s, &a, UINT_MAX, 512);
	for (size_t at = 1; at <= text.len; at++) {
		struct str seen = str_head(text, at);
		ck_assert_int_eq(json_scan_feed(&s, text.p + at - 1, 1), 0);
		const struct json_token *model = json_member(&s, seen, &s.tokens[0], STR("model"),
						NULL),
					*stream = json_member(&s, seen, &s.tokens[0], STR("stream"),
						NULL);
		const struct json_token *tools =
			json_member(&s, seen, &s.tokens[0], STR("tools"), NULL);
		ck_assert_msg((model != NULL) == (at >= model_there), "model at %zu", at);
		ck_assert_msg((stream != NULL) == (at >= stream_there), "stream at %zu", at);
		ck_assert_msg((tools != NULL) == (at >= tools_there), "tools at %zu", at);
		if (model != NULL)
			ck_assert(json_string_is(seen, model, STR("m")));
		if (tools != NULL)
			ck_assert_uint_eq(tools->end, at >= text.len - 1 ? text.len - 1 : 0);
	}
	ck_assert_int_eq(json_scan_end(&s), 0);
	arena_free(&a);
}
END_TEST

#define BAD "\xEF\xBF\xBD"

static const struct {
	struct str literal, plain;
	bool lossy;
} decoded[] = {
	{ STR_INIT("\"\""), STR_INIT(""), false },
	{ STR_INIT("\"plain\""), STR_INIT("plain"), false },
	{ STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_INIT("\"\\/\b\f\n\r\t"), false },
	{ STR_INIT("\"\\u0000\\u0041\\u007f\""), STR_INIT("\0A\x7F"), false },
	{ STR_INIT("\"\\u0080\\u07ff\\u0800\\uffff\""),
		STR_INIT("\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"), false },
	{ STR_INIT("\"\\uD800\\uDC00\\uDBFF\\uDFFF\\uD83D\\ude00\""),
		STR_INIT("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\xF0\x9F\x98\x80"), false },
	{ STR_INIT("\"a\\u00e9b\xC3\xA9\\n\""),
		STR_INIT("a\xC3\xA9"
			 "b\xC3\xA9\n"),
		false },
	{ STR_INIT("\"\\\\u0041\""), STR_INIT("\\u0041"), false },
	{ STR_INIT("\"\\ud7ff\\ue000\\ufffd\""), STR_INIT("\xED\x9F\xBF\xEE\x80\x80" BAD), false },
	{ STR_INIT("\"\\ud800\""), STR_INIT(BAD), true },
	{ STR_INIT("\"\\udc00\""), STR_INIT(BAD), true },
	{ STR_INIT("\"\\udc00\\ud800\""), STR_INIT(BAD BAD), true },
	{ STR_INIT("\"\\udc00\\udc00\""), STR_INIT(BAD BAD), true },
	{ STR_INIT("\"\\ud800\\ud800\\udc00\""), STR_INIT(BAD "\xF0\x90\x80\x80"), true },
	{ STR_INIT("\"\\ud800x\\udc00\""), STR_INIT(BAD "x" BAD), true },
	{ STR_INIT("\"\\ud83d\\n\\u0041\""), STR_INIT(BAD "\nA"), true },
	{ STR_INIT("\"\\ud83d\\u0041\""), STR_INIT(BAD "A"), true },
	{ STR_INIT("\"\\ud83dxudc00\\n\""), STR_INIT(BAD "xudc00\n"), true },
	{ STR_INIT("\"\\ud83d\\\\udc00\""), STR_INIT(BAD "\\udc00"), true },
};

START_TEST(strings_decode)
{
	for (size_t i = 0; i < sizeof decoded / sizeof decoded[0]; i++) {
		struct str text = decoded[i].literal;
		struct arena a;
		struct json_scan s;
		bool lossy = !decoded[i].lossy;
		arena_init(&a, 0);
		ck_assert_int_eq(json_scan_text(&s, &a, text, 1, 1), 0);
		struct str plain = json_string(text, &s.tokens[0], &a, &lossy);
		ck_assert_msg(str_eq(plain, decoded[i].plain), "%.*s: %.*s", STR_ARG(text),
			STR_ARG(plain));
		ck_assert_uint_eq(lossy, decoded[i].lossy);
		ck_assert(str_eq(json_string(text, &s.tokens[0], &a, NULL), plain));
		ck_assert_uint_eq(json_string_is(text, &s.tokens[0], plain), !lossy);
		ck_assert(!json_string_is(text, &s.tokens[0], STR("something else")));
		for (size_t len = 0; len < plain.len; len++)
			ck_assert(!json_string_is(text, &s.tokens[0], str_head(plain, len)));
		arena_free(&a);
	}
}
END_TEST

START_TEST(a_string_without_escapes_is_not_copied)
{
	struct str text = STR("  \"caf\xC3\xA9\"");
	struct arena a;
	struct json_scan s;
	arena_init(&a, 0);
	ck_assert_int_eq(json_scan_text(&s, &a, text, 1, 1), 0);
	ck_assert_ptr_eq(json_string(text, &s.tokens[0], &a, NULL).p, text.p + 3);
	ck_assert(str_eq(json_inner(text, &s.tokens[0]), STR("caf\xC3\xA9")));
	ck_assert(str_eq(json_raw(text, &s.tokens[0]), STR("\"caf\xC3\xA9\"")));
	arena_free(&a);
}
END_TEST

START_TEST(decoding_without_memory_is_null)
{
	struct str text = STR("\"\\n\"");
	struct arena a, none;
	struct json_scan s;
	arena_init(&a, 0);
	arena_init(&none, 0);
	ck_assert_int_eq(json_scan_text(&s, &a, text, 1, 1), 0);
	mem_fail_after(1);
	ck_assert_ptr_null(json_string(text, &s.tokens[0], &none, NULL).p);
	mem_fail_after(0);
	ck_assert(none.failed);
	arena_free(&none);
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(integers_are_read_exactly)
{
	static const struct {
		struct str text;
		int result;
		uint64_t value;
	} cases[] = {
		{ STR_INIT("0"), 0, 0 },
		{ STR_INIT(" 42 "), 0, 42 },
		{ STR_INIT("9007199254740993"), 0, 9007199254740993 },
		{ STR_INIT("18446744073709551615"), 0, UINT64_MAX },
		{ STR_INIT("18446744073709551616"), -1, 0 },
		{ STR_INIT("99999999999999999999999"), -1, 0 },
		{ STR_INIT("-0"), -1, 0 },
		{ STR_INIT("-1"), -1, 0 },
		{ STR_INIT("1.0"), -1, 0 },
		{ STR_INIT("1e2"), -1, 0 },
		{ STR_INIT("\"1\""), -1, 0 },
		{ STR_INIT("true"), -1, 0 },
		{ STR_INIT("null"), -1, 0 },
		{ STR_INIT("[1]"), -1, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct arena a;
		struct json_scan s;
		uint64_t value = 7;
		arena_init(&a, 0);
		ck_assert_int_eq(json_scan_text(&s, &a, cases[i].text, 1, 1), 0);
		ck_assert_msg(json_u64(cases[i].text, &s.tokens[0], &value) == cases[i].result,
			"%.*s", STR_ARG(cases[i].text));
		ck_assert_uint_eq(value, cases[i].result == 0 ? cases[i].value : 7);
		arena_free(&a);
	}
}
END_TEST

/* What stands in a string that is JSON text itself: half a surrogate pair stays an escape. */
START_TEST(text_inside_a_string)
{
	static const struct {
		struct str inner;
		const char *text;
	} cases[] = {
		{ STR_INIT(""), "" },
		{ STR_INIT("{}"), "{}" },
		{ STR_INIT("{\\\"a\\\":\\\"b\\\\\\\"c\\\"}"), "{\"a\":\"b\\\"c\"}" },
		{ STR_INIT("[9007199254740993,1.0]\\n"), "[9007199254740993,1.0]\n" },
		{ STR_INIT("\\u00e9\\/\\ud83d\\ude00"), "\xc3\xa9/\xf0\x9f\x98\x80" },
		{ STR_INIT("\\\"\\ud83d\\\""), "\"\\ud83d\"" },
		{ STR_INIT("\\\"\\\\ud83d\\\""), "\"\\ud83d\"" },
		{ STR_INIT("x\\uDE00"), "x\\uDE00" },
	};
	struct arena a;

	arena_init(&a, 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct str got = json_unescape(cases[i].inner, &a);

		ck_assert_msg(str_eq(got, str_of(cases[i].text)), "%zu: '%.*s'", i, STR_ARG(got));
	}
	ck_assert_ptr_eq(json_unescape(cases[1].inner, &a).p, cases[1].inner.p);
	mem_fail_after(1);
	arena_free(&a);
	ck_assert_ptr_null(json_unescape(cases[2].inner, &a).p);
	mem_fail_after(0);
	arena_free(&a);
}
END_TEST

UNIT_MAIN("json/read values", text_inside_a_string, members_are_found_by_decoded_key,
	members_of_inner_objects, members_of_an_object_that_is_still_open, strings_decode,
	a_string_without_escapes_is_not_copied, decoding_without_memory_is_null,
	integers_are_read_exactly)
