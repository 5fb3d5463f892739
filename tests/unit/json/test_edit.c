/*
 * edit: what a replacement leaves alone, and what a plain text becomes inside quotes.
 */
#include "json/edit.h"

#include <limits.h>
#include <string.h>

#include "unit.h"

static struct str
joined(struct arena *a, const struct json_edit *e)
{
	struct str s = arena_printf(a, "%.*s%.*s%.*s", STR_ARG(e->before), STR_ARG(e->value),
		STR_ARG(e->after));
	ck_assert_uint_eq(s.len, json_edit_len(e));
	return s;
}

START_TEST(only_the_value_changes)
{
	static const struct {
		struct str text, key, value;
		const char *result;
	} cases[] = {
		{ STR_INIT("{\"model\":\"a\"}"), STR_INIT("model"), STR_INIT("\"longer\""),
			"{\"model\":\"longer\"}" },
		{ STR_INIT(
			  " { \"n\" : 1.0e400 ,\t\"model\"\n: \"a\" , \"x\":[1.0, {\"model\":\"inner\"}]} "),
			STR_INIT("model"), STR_INIT("\"b\""),
			" { \"n\" : 1.0e400 ,\t\"model\"\n: \"b\" , \"x\":[1.0, {\"model\":\"inner\"}]} " },
		{ STR_INIT("{\"m\\u006fdel\":\"\\ud800\"}"), STR_INIT("model"), STR_INIT("\"\""),
			"{\"m\\u006fdel\":\"\"}" },
		{ STR_INIT("{\"a\":{\"model\":1},\"model\":[1,{}],\"b\":2}"), STR_INIT("model"),
			STR_INIT("0"), "{\"a\":{\"model\":1},\"model\":0,\"b\":2}" },
		{ STR_INIT("\xEF\xBB\xBF{\"model\":null}"), STR_INIT("model"), STR_INIT("{}"),
			"\xEF\xBB\xBF{\"model\":{}}" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct arena a;
		struct json_scan s;
		arena_init(&a, 0);
		ck_assert_int_eq(json_scan_text(&s, &a, cases[i].text, 2, 512), 0);
		const struct json_token *t =
			json_member(&s, cases[i].text, &s.tokens[0], cases[i].key, NULL);
		ck_assert_ptr_nonnull(t);
		struct json_edit e = json_replace(cases[i].text, t, cases[i].value);
		ck_assert_str_eq(joined(&a, &e).p, cases[i].result);
		ck_assert_ptr_eq(e.before.p, cases[i].text.p);
		ck_assert_ptr_eq(e.value.p, cases[i].value.p);
		arena_free(&a);
	}
}
END_TEST

START_TEST(the_top_value_can_be_replaced)
{
	struct arena a;
	struct json_scan s;
	arena_init(&a, 0);
	ck_assert_int_eq(json_scan_text(&s, &a, STR(" [1] "), 1, 512), 0);
	struct json_edit e = json_replace(STR(" [1] "), &s.tokens[0], STR("2"));
	ck_assert_str_eq(joined(&a, &e).p, " 2 ");
	arena_free(&a);
}
END_TEST

#define BAD "\xEF\xBF\xBD"

static const struct {
	struct str plain;
	const char *quoted;
} quotes[] = {
	{ STR_INIT(""), "\"\"" },
	{ STR_INIT("gpt-4o"), "\"gpt-4o\"" },
	{ STR_INIT("\"\\/"), "\"\\\"\\\\/\"" },
	{ STR_INIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"" },
	{ STR_INIT("\0\x01\x0B\x1F\x7F"), "\"\\u0000\\u0001\\u000b\\u001f\x7F\"" },
	{ STR_INIT("\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\n\xC2\x80"),
		"\"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\\n\xC2\x80\"" },
	{ STR_INIT("a long run of plain text, more than sixteen bytes\nand another one after it"),
		"\"a long run of plain text, more than sixteen bytes\\nand another one after it\"" },
	{ STR_INIT("\xE2\x80\xA8"), "\"\xE2\x80\xA8\"" },
	{ STR_INIT("\x80"), "\"" BAD "\"" },
	{ STR_INIT("a\xFFz"), "\"a" BAD "z\"" },
	{ STR_INIT("\xFE\xFF"), "\"" BAD BAD "\"" },
	{ STR_INIT("\xC3\"\xC3"), "\"" BAD "\\\"" BAD "\"" },
	{ STR_INIT("\xC0\x80"), "\"" BAD BAD "\"" },
	{ STR_INIT("\xED\xA0\x80"), "\"" BAD BAD BAD "\"" },
	{ STR_INIT("\xE6\x97"), "\"" BAD "\"" },
	{ STR_INIT("\xE6\x97\xE6\x97\xA5"), "\"" BAD "\xE6\x97\xA5\"" },
	{ STR_INIT("\xF0\x9F\x98z"), "\"" BAD "z\"" },
	{ STR_INIT("\xF0\x9F\x98"), "\"" BAD "\"" },
	{ STR_INIT("\xF0\x80\x80\x80"), "\"" BAD BAD BAD BAD "\"" },
	{ STR_INIT("\xF4\x90\x80\x80"), "\"" BAD BAD BAD BAD "\"" },
	{ STR_INIT("\xF1\x80\xC3\xA9"), "\"" BAD "\xC3\xA9\"" },
};

START_TEST(quotes_by_the_rules)
{
	for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
		struct arena a;
		arena_init(&a, 0);
		struct str expected = str_of(quotes[i].quoted),
			   quoted = json_quote(&a, quotes[i].plain);
		ck_assert_msg(str_eq(quoted, expected), "%.*s, not %s", STR_ARG(quoted),
			quotes[i].quoted);
		arena_free(&a);
	}
}
END_TEST

/* Whatever the bytes, the literal is valid; where they are UTF-8, it decodes to them. */
START_TEST(quoted_text_scans_and_decodes)
{
	for (unsigned c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
		char p[8] = { 'x' };
		size_t len = 1;
		struct arena a;
		struct json_scan s;
		if (c < 0x80)
			p[len++] = (char)c;
		else if (c < 0x800)
			p[len++] = (char)(0xC0 | c >> 6);
		else if (c < 0x10000)
			p[len++] = (char)(0xE0 | c >> 12);
		else
			p[len++] = (char)(0xF0 | c >> 18);
		if (c >= 0x10000)
			p[len++] = (char)(0x80 | (c >> 12 & 0x3F));
		if (c >= 0x800)
			p[len++] = (char)(0x80 | (c >> 6 & 0x3F));
		if (c >= 0x80)
			p[len++] = (char)(0x80 | (c & 0x3F));
		p[len++] = '\n';
		arena_init(&a, 0);
		struct str plain = { p, len }, quoted = json_quote(&a, plain);
		ck_assert_int_eq(json_scan_text(&s, &a, quoted, 1, 1), 0);
		bool surrogate = c >= 0xD800 && c < 0xE000;
		ck_assert_uint_eq(str_eq(json_string(quoted, &s.tokens[0], &a, NULL), plain),
			!surrogate);
		ck_assert_uint_eq(json_string_is(quoted, &s.tokens[0], plain), !surrogate);
		arena_free(&a);
	}
}
END_TEST

START_TEST(a_quote_without_memory_is_null)
{
	struct arena a;
	arena_init(&a, 0);
	mem_fail_after(1);
	ck_assert_ptr_null(json_quote(&a, STR("a")).p);
	mem_fail_after(0);
	ck_assert(a.failed);
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

UNIT_MAIN("json/edit", only_the_value_changes, the_top_value_can_be_replaced, quotes_by_the_rules,
	quoted_text_scans_and_decodes, a_quote_without_memory_is_null)
