/*
 * read: what the tokeniser accepts and rejects, each text whole, in bytes and split at every
 * offset; its tokens, limits and failures. Every piece is fed from memory of exactly its size, so
 * that a sanitizer or valgrind sees a byte read too far.
 */
#include "json/read.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

struct text_case {
	struct str text;
	const char *fault; /* NULL: it is accepted */
	uint64_t offset;
};

#define OK(text)                                       \
	{                                              \
		STR_INIT(text), NULL, sizeof(text) - 1 \
	}
#define NO(text, offset, fault)               \
	{                                     \
		STR_INIT(text), fault, offset \
	}
#define END "unexpected end"
#define NUMBER "invalid number"
#define LITERAL "invalid literal"
#define ESCAPE "invalid escape"
#define CONTROL "control character in a string"
#define UTF8 "invalid UTF-8 in a string"
#define VALUE "a value was expected"
#define ELEMENT "a value or ] was expected"
#define FIRST_KEY "a key or } was expected"
#define KEY "a key was expected"
#define COLON "a colon was expected"
#define COMMA_ARRAY "a comma or ] was expected"
#define COMMA_OBJECT "a comma or } was expected"
#define MORE "text after the value"

static const struct text_case structures[] = {
	OK("[]"),
	OK("{}"),
	OK(" [ ] "),
	OK("\t{\n}\r"),
	OK("[[]]"),
	OK("[{}]"),
	OK("{\"a\":{}}"),
	OK("{\"a\":[]}"),
	OK("[[],[]]"),
	OK("[[[[[[[[]]]]]]]]"),
	OK("[1]"),
	OK("[1,2]"),
	OK("[ 1 , 2 ]"),
	OK("[null]"),
	OK("[null,1,\"1\",{}]"),
	OK("[1,null,null,null,2]"),
	OK("{\"a\":1}"),
	OK("{\"a\":1,\"b\":2}"),
	OK("{ \"a\" : 1 , \"b\" : 2 }"),
	OK("{\"\":0}"),
	OK("{\"a\":null,\"a\":null}"),
	OK("{\"a\":\"b\",\"a\":\"c\"}"),
	OK("{\"a\":[{\"b\":[{}]}]}"),
	OK("true"),
	OK("false"),
	OK("null"),
	OK("\"\""),
	OK("\"a\""),
	OK("0"),
	OK(" 1 "),
	OK("[true,false,null]"),
	OK("                                [                                ]"),
	OK("\n\n\n\n\n\n\n\n\n\n\n\n{}"),
	OK("[\"a\",\n\t\t\t\t\t\t\t\t\"b\"]"),
	OK("{\"min\":-1.0e+28,\"max\":1.0e+28}"),
	OK("{\"x\":[{\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}],\"id\":\"x\"}"),
	OK("\xEF\xBB\xBF{}"),
	OK("\xEF\xBB\xBF \"a\""),
	OK("[1,[2,[3,[4]]],{\"a\":{\"b\":{\"c\":[]}}}]"),
	NO("", 0, END),
	NO(" ", 1, END),
	NO("\xEF\xBB\xBF", 3, END),
	NO("\xEF\xBB", 2, END),
	NO("\xEF\xBB{}", 2, VALUE),
	NO("\xEF\xBF\xBF{}", 1, VALUE),
	NO("\xEF\xBB\xBF\xEF\xBB\xBF{}", 3, VALUE),
	NO(" \xEF\xBB\xBF{}", 1, VALUE),
	NO("\xFE\xFF", 0, VALUE),
	NO("\xFF\xFE[\0]\0", 0, VALUE),
	NO("[", 1, END),
	NO("{", 1, END),
	NO("]", 0, VALUE),
	NO("}", 0, VALUE),
	NO(",", 0, VALUE),
	NO(":", 0, VALUE),
	NO("[1", 2, END),
	NO("[1,", 3, END),
	NO("[1,]", 3, VALUE),
	NO("[,1]", 1, ELEMENT),
	NO("[1,,2]", 3, VALUE),
	NO("[,]", 1, ELEMENT),
	NO("[1 2]", 3, COMMA_ARRAY),
	NO("[1}", 2, COMMA_ARRAY),
	NO("[}", 1, ELEMENT),
	NO("[1]]", 3, MORE),
	NO("[]x", 2, MORE),
	NO("[][]", 2, MORE),
	NO("{}{}", 2, MORE),
	NO("1 2", 2, MORE),
	NO("\"a\" \"b\"", 4, MORE),
	NO("{} ,", 3, MORE),
	NO("[1:2]", 2, COMMA_ARRAY),
	NO("[\"a\":1]", 4, COMMA_ARRAY),
	NO("{]", 1, FIRST_KEY),
	NO("{,}", 1, FIRST_KEY),
	NO("{1:2}", 1, FIRST_KEY),
	NO("{a:1}", 1, FIRST_KEY),
	NO("{'a':1}", 1, FIRST_KEY),
	NO("{null:1}", 1, FIRST_KEY),
	NO("{[]:1}", 1, FIRST_KEY),
	NO("{{}:1}", 1, FIRST_KEY),
	NO("{\"a\"", 4, END),
	NO("{\"a\":", 5, END),
	NO("{\"a\":1", 6, END),
	NO("{\"a\":1,", 7, END),
	NO("{\"a\"}", 4, COLON),
	NO("{\"a\",1}", 4, COLON),
	NO("{\"a\" 1}", 5, COLON),
	NO("{\"a\"=1}", 4, COLON),
	NO("{\"a\"::1}", 5, VALUE),
	NO("{\"a\":}", 5, VALUE),
	NO("{\"a\":,}", 5, VALUE),
	NO("{\"a\":1,}", 7, KEY),
	NO("{\"a\":1,,\"b\":2}", 7, KEY),
	NO("{\"a\":1 \"b\":2}", 7, COMMA_OBJECT),
	NO("{\"a\":1]", 6, COMMA_OBJECT),
	NO("{\"a\":1:2}", 6, COMMA_OBJECT),
	NO("{\"a\":1,b:2}", 7, KEY),
	NO("{\"a\":1}}", 7, MORE),
	NO("{\"a\":[}", 6, ELEMENT),
	NO("[{]", 2, FIRST_KEY),
	NO("[1}", 2, COMMA_ARRAY),
	NO("[[1],", 5, END),
	NO("[1]\0", 3, MORE),
	NO("\0", 0, VALUE),
	NO("[\0]", 1, ELEMENT),
	NO("[\f]", 1, ELEMENT),
	NO("[\v1]", 1, ELEMENT),
	NO("[\xC2\xA0]", 1, ELEMENT),
	NO("[1]\xC2\xA0", 3, MORE),
	NO("[1]\x1F", 3, MORE),
	NO("/**/[]", 0, VALUE),
	NO("[]/**/", 2, MORE),
	NO("[1]//", 3, MORE),
	NO("#\n[]", 0, VALUE),
	NO("[1,#\n2]", 3, VALUE),
	NO("<html>", 0, VALUE),
	NO("[*]", 1, ELEMENT),
	NO("[\xE2\x81\xA0]", 1, ELEMENT),
	NO("(1)", 0, VALUE),
	NO("[1];", 3, MORE),
	NO("data: {}", 0, VALUE),
};

static const struct text_case scalars[] = {
	OK("-0"),
	OK("-1"),
	OK("10"),
	OK("1.0"),
	OK("0.0"),
	OK("-0.0"),
	OK("1e400"),
	OK("-1e-400"),
	OK("1E5"),
	OK("1e+5"),
	OK("1e-5"),
	OK("0e0"),
	OK("0E+00"),
	OK("1.5e007"),
	OK("123456789012345678901234567890"),
	OK("0.1234567890123456789012345678901234567890"),
	OK("[0,-0,1e1,1.1]"),
	OK("[1e1]"),
	OK("[-9007199254740993]"),
	OK("0 "),
	OK("9.9\n"),
	OK("[20e1,20E+1,20E-1]"),
	OK("1.7976931348623159e308"),
	OK("-237462374673276894279832749832423479823246327846"),
	OK("[123.456e78,0.5]"),
	NO("-", 1, END),
	NO("1.", 2, END),
	NO("1e", 2, END),
	NO("1e+", 3, END),
	NO("-x", 1, NUMBER),
	NO("[-]", 2, NUMBER),
	NO("+1", 0, VALUE),
	NO(".5", 0, VALUE),
	NO("01", 1, NUMBER),
	NO("-01", 2, NUMBER),
	NO("00", 1, NUMBER),
	NO("[1.]", 3, NUMBER),
	NO("[1.e1]", 3, NUMBER),
	NO("[1e]", 3, NUMBER),
	NO("[1e+]", 4, NUMBER),
	NO("[1ea]", 3, NUMBER),
	NO("[0e+-1]", 4, NUMBER),
	NO("[1.2.3]", 4, NUMBER),
	NO("[1-2]", 2, NUMBER),
	NO("[1+2]", 2, NUMBER),
	NO("[1e5e6]", 4, NUMBER),
	NO("[1e5.6]", 4, NUMBER),
	NO("[0x1]", 2, COMMA_ARRAY),
	NO("[1a]", 2, COMMA_ARRAY),
	NO("[1_000]", 2, COMMA_ARRAY),
	NO("[1 000]", 3, COMMA_ARRAY),
	NO("[--1]", 2, NUMBER),
	NO("[-.1]", 2, NUMBER),
	NO("[-Infinity]", 2, NUMBER),
	NO("[Infinity]", 1, ELEMENT),
	NO("[NaN]", 1, ELEMENT),
	NO("[-NaN]", 2, NUMBER),
	NO("[1.0e]", 5, NUMBER),
	NO("[0.e1]", 3, NUMBER),
	NO("[2.e+3]", 3, NUMBER),
	NO("[1\0]", 2, COMMA_ARRAY),
	NO("[\xEF\xBC\x91]", 1, ELEMENT),
	NO("0x", 1, MORE),
	NO("[1.5f]", 4, COMMA_ARRAY),
	NO("[00.5]", 2, NUMBER),
	NO("t", 1, END),
	NO("tru", 3, END),
	NO("nul", 3, END),
	NO("[nul]", 4, LITERAL),
	NO("[tru]", 4, LITERAL),
	NO("[fals]", 5, LITERAL),
	NO("[True]", 1, ELEMENT),
	NO("[nULL]", 2, LITERAL),
	NO("truex", 4, MORE),
	NO("[nullx]", 5, COMMA_ARRAY),
	NO("[truetrue]", 5, COMMA_ARRAY),
	NO("{\"a\":truth}", 8, LITERAL),
	NO("fa1se", 2, LITERAL),
	NO("undefined", 0, VALUE),
	NO("n\0ll", 1, LITERAL),
};

static const struct text_case strings[] = {
	OK("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	OK("\"\\u0000\""),
	OK("\"\\u0020\\uABCD\\uabcd\""),
	OK("\"\\ud800\""),
	OK("\"\\uD83D\\uDE00\""),
	OK("\"\\uDE00\\uD83D\""),
	OK("\"\\ud800\\ud800\\udc00\""),
	OK("\"a/b\""),
	OK("\"\x7F\""),
	OK("\"\xC2\x80\""),
	OK("\"\xDF\xBF\""),
	OK("\"\xE0\xA0\x80\""),
	OK("\"\xED\x9F\xBF\""),
	OK("\"\xEE\x80\x80\""),
	OK("\"\xEF\xBF\xBF\""),
	OK("\"\xF0\x90\x80\x80\""),
	OK("\"\xF4\x8F\xBF\xBF\""),
	OK("\"\xEF\xBB\xBF\""),
	OK("\"\xE2\x80\xA8\xE2\x80\xA9\""),
	OK("\"\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E and more\""),
	OK("\"na\xC3\xAFve caf\xC3\xA9 \xF0\x9F\x98\x80\xF0\x9F\x98\x80!\""),
	OK("[\"\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, \xD0\xBC\xD0\xB8\xD1\x80\"]"),
	OK("\"0123456789abcdef\""),
	OK("\"0123456789abcde\""),
	OK("\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\\n\""),
	OK("{\"\\u006d\\n\":\"\\\\\"}"),
	OK("\"\\\\u0000\""),
	OK("\"\\\\\\\"\""),
	OK("[\"\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\"]"),
	OK("\"',./<>?;:[]{}|=+-_)(*&^%$#@!~`\""),
	NO("\"", 1, END),
	NO("\"a", 2, END),
	NO("\"\\", 2, END),
	NO("\"\\\"", 3, END),
	NO("\"\\u", 3, END),
	NO("\"\\u00", 5, END),
	NO("[\"a]", 4, END),
	NO("\"\xE6\x97", 3, END),
	NO("\"\\x\"", 2, ESCAPE),
	NO("\"\\a\"", 2, ESCAPE),
	NO("\"\\v\"", 2, ESCAPE),
	NO("\"\\0\"", 2, ESCAPE),
	NO("\"\\'\"", 2, ESCAPE),
	NO("\"\\U0041\"", 2, ESCAPE),
	NO("\"\\\n\"", 2, ESCAPE),
	NO("\"\\ \"", 2, ESCAPE),
	NO("\"\\\xE6\x97\xA5\"", 2, ESCAPE),
	NO("\"\\u\"", 3, ESCAPE),
	NO("\"\\u1\"", 4, ESCAPE),
	NO("\"\\u12\"", 5, ESCAPE),
	NO("\"\\u123\"", 6, ESCAPE),
	NO("\"\\u123g\"", 6, ESCAPE),
	NO("\"\\uG123\"", 3, ESCAPE),
	NO("\"\\u 123\"", 3, ESCAPE),
	NO("\"\\u-123\"", 3, ESCAPE),
	NO("\"\\u00@0\"", 5, ESCAPE),
	NO("\"\\u00`0\"", 5, ESCAPE),
	NO("\"\\u00\\u0020\"", 5, ESCAPE),
	NO("\"\\ud800\\u\"", 9, ESCAPE),
	NO("{\"\\q\":1}", 3, ESCAPE),
	NO("\"a\nb\"", 2, CONTROL),
	NO("\"\t\"", 1, CONTROL),
	NO("\"\0\"", 1, CONTROL),
	NO("\"a\x1F\"", 2, CONTROL),
	NO("\"0123456789abcdef0123456789abcdef\x01\"", 33, CONTROL),
	NO("{\"a\rb\":1}", 3, CONTROL),
	NO("\"\x80\"", 1, UTF8),
	NO("\"\xBF\"", 1, UTF8),
	NO("\"\xC0\x80\"", 1, UTF8),
	NO("\"\xC1\xBF\"", 1, UTF8),
	NO("\"\xC2\"", 2, UTF8),
	NO("\"\xC3(\"", 2, UTF8),
	NO("\"\xE0\x80\x80\"", 2, UTF8),
	NO("\"\xE0\x9F\xBF\"", 2, UTF8),
	NO("\"\xED\xA0\x80\"", 2, UTF8),
	NO("\"\xED\xBF\xBF\"", 2, UTF8),
	NO("\"\xE6\x97\"", 3, UTF8),
	NO("\"\xE6\"", 2, UTF8),
	NO("\"\xE6\x97"
	   "a\"",
		3, UTF8),
	NO("\"\xF0\x80\x80\x80\"", 2, UTF8),
	NO("\"\xF0\x8F\xBF\xBF\"", 2, UTF8),
	NO("\"\xF4\x90\x80\x80\"", 2, UTF8),
	NO("\"\xF5\x80\x80\x80\"", 1, UTF8),
	NO("\"\xF0\x9F\x98\"", 4, UTF8),
	NO("\"\xF0\x9F\x98\xC0\"", 4, UTF8),
	NO("\"\xFF\"", 1, UTF8),
	NO("\"\xFE\"", 1, UTF8),
	NO("\"\xF8\x88\x80\x80\x80\"", 1, UTF8),
	NO("\"\xE9\"", 2, UTF8),
	NO("\"caf\xE9 au lait\"", 5, UTF8),
	NO("\"\xE6\x97\xA5\x80\"", 4, UTF8),
	NO("\"\xE6\x97\xA5\xE6\x97\n\"", 6, UTF8),
	NO("\"\xC3\xA9\n\"", 3, CONTROL),
	NO("{\"\xFF\":1}", 2, UTF8),
	NO("\xC3\xA9", 0, VALUE),
};

static struct str
copy_exact(struct str s)
{
	char *p = malloc(s.len > 0 ? s.len : 1);
	ck_assert_ptr_nonnull(p);
	memcpy(p, s.p, s.len);
	return (struct str){ p, s.len };
}

/* Feed `text` from a copy that ends where it ends. */
static int
feed_exact(struct json_scan *s, struct str text)
{
	struct str piece = copy_exact(text);
	int result = json_scan_feed(s, piece.p, piece.len);
	free((void *)(uintptr_t)piece.p);
	return result;
}

/* Scan with a cut after every `step` bytes, the first after `first`. Not stopped by a fault, which
 * must stay as it is. */
static int
scan_pieces(struct json_scan *s, struct arena *a, struct str text, unsigned keep, size_t first,
	size_t step)
{
	arena_init(a, 0);
	json_scan_init(s, a, keep, 512);
	for (size_t len = first; text.len > 0; len = step) {
		feed_exact(s, str_head(text, len));
		text = str_skip(text, len);
	}
	return json_scan_end(s);
}

static void
assert_same(const struct json_scan *a, const struct json_scan *b, struct str text)
{
	const char *fault_a = a->fault != NULL ? a->fault : "none",
		   *fault_b = b->fault != NULL ? b->fault : "none";
	ck_assert_msg(strcmp(fault_a, fault_b) == 0, "%.*s: %s or %s", STR_ARG(text), fault_a,
		fault_b);
	ck_assert_msg(a->offset == b->offset, "%.*s: fault at %zu or %zu", STR_ARG(text),
		(size_t)a->offset, (size_t)b->offset);
	ck_assert_uint_eq(a->complete, b->complete);
	ck_assert_uint_eq(a->n, b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct json_token *x = &a->tokens[i], *y = &b->tokens[i];
		ck_assert_uint_eq(x->start, y->start);
		ck_assert_uint_eq(x->end, y->end);
		ck_assert(x->type == y->type && x->key == y->key && x->escaped == y->escaped &&
			x->next == y->next && x->count == y->count);
	}
}

/* The same result whole, in bytes and split anywhere. */
static void
check_splits(struct str text, unsigned keep)
{
	struct json_scan whole, pieces;
	struct arena a, b;
	scan_pieces(&whole, &a, text, keep, text.len, text.len);
	scan_pieces(&pieces, &b, text, keep, 1, 1);
	assert_same(&whole, &pieces, text);
	arena_free(&b);
	for (size_t at = 1; at < text.len; at++) {
		scan_pieces(&pieces, &b, text, keep, at, text.len);
		assert_same(&whole, &pieces, text);
		arena_free(&b);
	}
	arena_free(&a);
}

static void
check_case(const struct text_case *c)
{
	struct json_scan s;
	struct arena a;
	int result = scan_pieces(&s, &a, c->text, UINT_MAX, c->text.len, c->text.len);
	const char *fault = s.fault != NULL ? s.fault : "none",
		   *expected = c->fault != NULL ? c->fault : "none";
	ck_assert_msg(strcmp(fault, expected) == 0 && s.offset == c->offset,
		"%.*s: %s at %zu, not %s at %zu", STR_ARG(c->text), fault, (size_t)s.offset,
		expected, (size_t)c->offset);
	ck_assert_int_eq(result, c->fault == NULL ? 0 : -1);
	ck_assert_uint_eq(s.complete, c->fault == NULL);
	ck_assert_int_eq(json_scan_end(&s), result);
	arena_free(&a);
	check_splits(c->text, UINT_MAX);
	check_splits(c->text, 1);
	check_splits(c->text, 0);
}

START_TEST(structures_are_accepted_or_rejected)
{
	for (size_t i = 0; i < sizeof structures / sizeof structures[0]; i++)
		check_case(&structures[i]);
}
END_TEST

START_TEST(numbers_and_literals_are_accepted_or_rejected)
{
	for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
		check_case(&scalars[i]);
}
END_TEST

START_TEST(strings_are_accepted_or_rejected)
{
	for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
		check_case(&strings[i]);
}
END_TEST

/* Every byte value in every place where a byte may stand, against a rule of one line each. */
START_TEST(every_byte_in_every_state)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		char in_string[] = { '"', (char)byte, '"' },
		     escaped[] = { '"', '\\', (char)byte, '"' },
		     between[] = { '[', (char)byte, ']' };
		struct json_scan s;
		int result = json_scan_text(&s, NULL, (struct str){ in_string, 3 }, 0, 8);
		ck_assert_int_eq(result,
			byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\' ? 0 : -1);
		result = json_scan_text(&s, NULL, (struct str){ escaped, 4 }, 0, 8);
		ck_assert_int_eq(result,
			byte != 0 && strchr("\"\\/bfnrt", (int)byte) != NULL ? 0 : -1);
		result = json_scan_text(&s, NULL, (struct str){ between, 3 }, 0, 8);
		ck_assert_int_eq(result,
			byte != 0 && strchr(" \t\r\n0123456789", (int)byte) != NULL ? 0 : -1);
	}
}
END_TEST

/* One line for the tokens: type, start-end, members or elements, index of what follows. */
static void
describe(const struct json_scan *s, char *out, size_t size)
{
	size_t len = 0;
	out[0] = '\0';
	for (uint32_t i = 0; i < s->n && len < size; i++) {
		const struct json_token *t = &s->tokens[i];
		len += (size_t)snprintf(out + len, size - len, "%s%s%s%c%u-%u#%u>%u",
			i > 0 ? " " : "", t->key ? "key " : "", t->escaped ? "escaped " : "",
			"nft0s[{"[t->type], (unsigned)t -> start, (unsigned)t -> end, t -> count,
			t -> next);
	}
}

START_TEST(tokens_say_where_and_what)
{
	static const struct {
		struct str text;
		unsigned keep;
		const char *tokens;
	} cases[] = {
		{ STR_INIT("true"), UINT_MAX, "t0-4#0>1" },
		{ STR_INIT("\xEF\xBB\xBF \"a\" "), UINT_MAX, "s4-7#0>1" },
		{ STR_INIT(" 1e400"), UINT_MAX, "01-6#0>1" },
		{ STR_INIT("[]"), UINT_MAX, "[0-2#0>1" },
		{ STR_INIT("[1, false,null ]"), UINT_MAX,
			"[0-16#3>4 01-2#0>2 f4-9#0>3 n10-14#0>4" },
		{ STR_INIT("{\"a\":[1,{\"b\\n\":{}}],\"c\":\"\\u0041\"}"), UINT_MAX,
			"{0-33#2>9 key s1-4#0>2 [5-19#2>7 06-7#0>4 {8-18#1>7 key escaped s9-14#0>6 {15-17#0>7 key s20-23#0>8 escaped s24-32#0>9" },
		{ STR_INIT("{\"a\":[1,{\"b\\n\":{}}],\"c\":\"\\u0041\"}"), 3,
			"{0-33#2>7 key s1-4#0>2 [5-19#2>5 06-7#0>4 {8-18#1>5 key s20-23#0>6 escaped s24-32#0>7" },
		{ STR_INIT("{\"a\":[1,{\"b\\n\":{}}],\"c\":\"\\u0041\"}"), 2,
			"{0-33#2>5 key s1-4#0>2 [5-19#2>3 key s20-23#0>4 escaped s24-32#0>5" },
		{ STR_INIT("{\"a\":[1,{\"b\\n\":{}}],\"c\":\"\\u0041\"}"), 1, "{0-33#2>1" },
		{ STR_INIT("{\"a\":[1,{\"b\\n\":{}}],\"c\":\"\\u0041\"}"), 0, "" },
		{ STR_INIT("[[[],[]],[[]]]"), 2, "[0-14#2>3 [1-8#2>2 [9-13#1>3" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char tokens[512];
		struct json_scan s;
		struct arena a;
		ck_assert_int_eq(
			scan_pieces(&s, &a, cases[i].text, cases[i].keep, cases[i].text.len, 1), 0);
		describe(&s, tokens, sizeof tokens);
		ck_assert_str_eq(tokens, cases[i].tokens);
		arena_free(&a);
		check_splits(cases[i].text, cases[i].keep);
	}
}
END_TEST

/* A number at the top is complete only with what follows it; all else with its last byte. */
START_TEST(completion_is_seen_as_early_as_it_can_be)
{
	static const struct {
		struct str text;
		size_t complete_after;
	} cases[] = { { STR_INIT("{\"a\":1} "), 7 }, { STR_INIT("null "), 4 },
		{ STR_INIT("\"a\" "), 3 }, { STR_INIT("12 "), 3 } };
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct json_scan s;
		json_scan_init(&s, NULL, 0, 8);
		for (size_t at = 0; at < cases[i].text.len; at++) {
			ck_assert_uint_eq(s.complete, at >= cases[i].complete_after);
			ck_assert_int_eq(json_scan_feed(&s, cases[i].text.p + at, 1), 0);
		}
		ck_assert(s.complete);
	}
}
END_TEST

START_TEST(a_fault_stays)
{
	struct json_scan s;
	json_scan_init(&s, NULL, 0, 8);
	ck_assert_int_eq(json_scan_feed(&s, "[1,", 3), 0);
	ck_assert_int_eq(json_scan_feed(&s, "2 3]", 4), -1);
	ck_assert_str_eq(s.fault, COMMA_ARRAY);
	ck_assert_uint_eq(s.offset, 5);
	ck_assert_int_eq(json_scan_feed(&s, "x", 1), -1);
	ck_assert_int_eq(json_scan_end(&s), -1);
	ck_assert_str_eq(s.fault, COMMA_ARRAY);
	ck_assert_uint_eq(s.offset, 5);
	ck_assert(!s.complete);
}
END_TEST

START_TEST(a_complete_value_is_not_after_a_fault)
{
	struct json_scan s;
	ck_assert_int_eq(json_scan_text(&s, NULL, STR("{} x"), 0, 8), -1);
	ck_assert_str_eq(s.fault, MORE);
	ck_assert(!s.complete);
}
END_TEST

START_TEST(empty_pieces_change_nothing)
{
	struct json_scan s;
	json_scan_init(&s, NULL, 0, 8);
	ck_assert_int_eq(json_scan_feed(&s, NULL, 0), 0);
	ck_assert_int_eq(json_scan_feed(&s, "tr", 2), 0);
	ck_assert_int_eq(json_scan_feed(&s, NULL, 0), 0);
	ck_assert_int_eq(json_scan_feed(&s, "ue", 2), 0);
	ck_assert_int_eq(json_scan_end(&s), 0);
}
END_TEST

/* `levels` containers around nothing, objects where `objects` has a bit set (counted modulo 8). */
static struct str
nested(unsigned levels, unsigned objects)
{
	char *p = malloc(levels * 6 + 1);
	size_t len = 0;
	ck_assert_ptr_nonnull(p);
	for (unsigned i = 0; i < levels; i++) {
		bool object = objects >> i % 8 & 1, last = i + 1 == levels;
		const char *open = object ? last ? "{" : "{\"k\":" : "[";
		memcpy(p + len, open, strlen(open));
		len += strlen(open);
	}
	for (unsigned i = levels; i > 0; i--)
		p[len++] = objects >> (i - 1) % 8 & 1 ? '}' : ']';
	return (struct str){ p, len };
}

START_TEST(depth_is_limited_to_the_level)
{
	static const unsigned limits[] = { 1, 2, 63, 64, 65, 512, 1024 },
			      patterns[] = { 0, 0xFF, 0x55, 0xC9 };
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
		for (size_t j = 0; j < sizeof patterns / sizeof patterns[0]; j++) {
			struct arena a;
			struct json_scan s;
			struct str fits = nested(limits[i], patterns[j]),
				   over = nested(limits[i] + 1, patterns[j]);
			arena_init(&a, 0);
			ck_assert_int_eq(json_scan_text(&s, &a, fits, UINT_MAX, limits[i]), 0);
			ck_assert_int_eq(json_scan_text(&s, NULL, fits, 0, limits[i]), 0);
			ck_assert_int_eq(json_scan_text(&s, &a, over, UINT_MAX, limits[i]), -1);
			ck_assert_str_eq(s.fault, "nested too deeply");
			uint64_t innermost = 0; /* offset of the last bracket that opens */
			for (size_t k = 0; k < over.len; k++)
				if (over.p[k] == '[' || over.p[k] == '{')
					innermost = k;
			ck_assert_uint_eq(s.offset, innermost);
			arena_free(&a);
			free((void *)(uintptr_t)fits.p);
			free((void *)(uintptr_t)over.p);
		}
}
END_TEST

/* A closing bracket of the wrong kind is seen at every level, also where levels share a word of
 * bits. */
START_TEST(brackets_match_at_every_level)
{
	struct str text = nested(200, 0xC9);
	char *p = (char *)(uintptr_t)text.p;
	for (size_t i = text.len - 200; i < text.len; i++) {
		struct json_scan s;
		char was = p[i];
		p[i] = was == ']' ? '}' : ']';
		ck_assert_int_eq(json_scan_text(&s, NULL, text, 0, 512), -1);
		ck_assert_uint_eq(s.offset, i);
		p[i] = was;
	}
	free(p);
}
END_TEST

START_TEST(tokens_are_bounded)
{
	struct arena a;
	struct json_scan s;
	const size_t len = 33554432;
	char *p = malloc(len);
	ck_assert_ptr_nonnull(p);
	p[0] = '[';
	for (size_t i = 1; i < len; i++)
		p[i] = "[],"[(i - 1) % 3];
	arena_init(&a, 0);
	ck_assert_int_eq(json_scan_text(&s, &a, (struct str){ p, len }, UINT_MAX, 512), -1);
	ck_assert_str_eq(s.fault, "too many values");
	ck_assert_uint_eq(s.n, JSON_TOKENS_MAX);
	ck_assert_uint_eq(s.offset, 1 + 3 * ((uint64_t)JSON_TOKENS_MAX - 1));
	ck_assert_msg(a.held < 52 << 20, "%zu bytes held", a.held);
	arena_free(&a);
	arena_init(&a, 0);
	json_scan_init(&s, &a, UINT_MAX, 512);
	s.n_max = 3;
	ck_assert_int_eq(json_scan_feed(&s, "[1,2,3]", 7), -1);
	ck_assert_str_eq(s.fault, "too many values");
	ck_assert_uint_eq(s.offset, 5);
	ck_assert(!a.failed);
	arena_free(&a);
	free(p);
}
END_TEST

START_TEST(a_text_past_the_largest_offset_is_refused)
{
	struct json_scan s;
	json_scan_init(&s, NULL, 0, 512);
	s.offset = ((uint64_t)1 << 40) - 2;
	ck_assert_int_eq(json_scan_feed(&s, "[]", 2), 0);
	ck_assert_int_eq(json_scan_feed(&s, " ", 1), -1);
	ck_assert_str_eq(s.fault, "text too long");
	ck_assert_uint_eq(s.offset, (uint64_t)1 << 40);
}
END_TEST

START_TEST(allocation_fails_at_every_call)
{
	struct str text = nested(512, 0xAA);
	unsigned failures = 0;
	for (size_t n = 1;; n++) {
		struct arena a;
		struct json_scan s;
		arena_init(&a, 0);
		mem_fail_after(n);
		int result = json_scan_text(&s, &a, text, UINT_MAX, 512);
		mem_fail_after(0);
		bool failed = a.failed;
		arena_free(&a);
		ck_assert_uint_eq(mem_used(), 0);
		ck_assert_int_eq(result, failed ? -1 : 0);
		if (!failed)
			break;
		ck_assert_str_eq(s.fault, "out of memory");
		failures++;
	}
	ck_assert_uint_ge(failures, 4);
	free((void *)(uintptr_t)text.p);
}
END_TEST

START_TEST(the_struct_stays_small)
{
	ck_assert_uint_lt(sizeof(struct json_scan), 400);
	ck_assert_uint_eq(sizeof(struct json_token), 24);
}
END_TEST

UNIT_MAIN("json/read", structures_are_accepted_or_rejected,
	numbers_and_literals_are_accepted_or_rejected, strings_are_accepted_or_rejected,
	every_byte_in_every_state, tokens_say_where_and_what,
	completion_is_seen_as_early_as_it_can_be, a_fault_stays,
	a_complete_value_is_not_after_a_fault, empty_pieces_change_nothing,
	depth_is_limited_to_the_level, brackets_match_at_every_level, tokens_are_bounded,
	a_text_past_the_largest_offset_is_refused, allocation_fails_at_every_call,
	the_struct_stays_small)
