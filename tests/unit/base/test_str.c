/*
 * Slices: comparison, cutting, searching, globs against a naive model, bare text, decimal numbers
 * at their limits, comma-separated lists.
 */
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

#include "unit.h"

#define ck_str(got, want) \
	ck_assert_msg(str_eq((got), (want)), "got '%.*s', want '%.*s'", STR_ARG(got), STR_ARG(want))

static const struct str nothing = { NULL, 0 };

START_TEST(test_equal)
{
	static const struct {
		struct str a, b;
		bool same, same_nocase;
	} cases[] = {
		{ STR_INIT(""), STR_INIT(""), true, true },
		{ STR_INIT("a"), STR_INIT("a"), true, true },
		{ STR_INIT("a"), STR_INIT("A"), false, true },
		{ STR_INIT("Content-Type"), STR_INIT("cONTENT-tYPE"), false, true },
		{ STR_INIT("@"), STR_INIT("`"), false, false },
		{ STR_INIT("["), STR_INIT("{"), false, false },
		{ STR_INIT("\xc4"), STR_INIT("\xe4"), false, false },
		{ STR_INIT("a\0b"), STR_INIT("a\0b"), true, true },
		{ STR_INIT("a\0b"), STR_INIT("a\0c"), false, false },
		{ STR_INIT("ab"), STR_INIT("abc"), false, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(str_eq(cases[i].a, cases[i].b), cases[i].same);
		ck_assert_int_eq(str_eq(cases[i].b, cases[i].a), cases[i].same);
		ck_assert_int_eq(str_eq_nocase(cases[i].a, cases[i].b), cases[i].same_nocase);
	}
	ck_assert(str_eq(nothing, STR("")));
	ck_assert_uint_eq(str_of(NULL).len, 0);
	ck_str(str_of("abc"), STR("abc"));
}
END_TEST

static bool
is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Each byte against each other one, among those that are compared eight at a time and after them.
 */
START_TEST(test_nocase_everywhere)
{
	static const size_t lens[] = { 1, 3, 4, 7, 8, 11 };
	char one[11], other[11];

	for (size_t k = 0; k < sizeof lens / sizeof lens[0] * 11; k++) {
		size_t len = lens[k / 11], at = k % 11;

		for (int a = 0; at < len && a < 256; a++) {
			for (int b = 0; b < 256; b++) {
				bool same = a == b || (is_letter(a) && (a ^ b) == 0x20);

				memset(one, 'x', sizeof one);
				memset(other, 'X', sizeof other);
				one[at] = (char)a;
				other[at] = (char)b;
				ck_assert_msg(str_same_nocase(one, other, len) == same,
					"%02x and %02x at %zu of %zu", a, b, at, len);
			}
		}
	}
}
END_TEST

START_TEST(test_order)
{
	static const struct str sorted[] = { STR_INIT(""), STR_INIT("\0"), STR_INIT("A"),
		STR_INIT("a"), STR_INIT("a\0"), STR_INIT("ab"), STR_INIT("b"), STR_INIT("\xc4") };
	int n = sizeof sorted / sizeof sorted[0];

	for (int i = 0; i < n; i++) {
		for (int j = 0; j < n; j++) {
			int order = str_order(sorted[i], sorted[j]);
			ck_assert_int_eq((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
	ck_assert_int_eq(str_order(nothing, STR("")), 0);
}
END_TEST

START_TEST(test_cut)
{
	struct str s = STR("abcdef");

	ck_str(str_skip(s, 0), STR("abcdef"));
	ck_str(str_skip(s, 4), STR("ef"));
	ck_str(str_skip(s, 6), STR(""));
	ck_str(str_skip(s, SIZE_MAX), STR(""));
	ck_str(str_head(s, 0), STR(""));
	ck_str(str_head(s, 2), STR("ab"));
	ck_str(str_head(s, SIZE_MAX), STR("abcdef"));
	ck_assert_ptr_null(str_skip(nothing, 3).p);
	ck_assert(str_starts(s, STR("abc")));
	ck_assert(str_starts(s, STR("")));
	ck_assert(!str_starts(s, STR("abd")));
	ck_assert(!str_starts(s, STR("abcdefg")));
}
END_TEST

START_TEST(test_trim)
{
	ck_str(str_trim(STR("")), STR(""));
	ck_str(str_trim(STR(" \t ")), STR(""));
	ck_str(str_trim(STR("\t a b\t ")), STR("a b"));
	ck_str(str_trim(STR("\n a\r")), STR("\n a\r"));
}
END_TEST

START_TEST(test_find)
{
	ck_assert_uint_eq(str_index(STR("a,b,c"), ','), 1);
	ck_assert_uint_eq(str_index(STR("abc"), ','), 3);
	ck_assert_uint_eq(str_index(nothing, ','), 0);
	ck_assert_uint_eq(str_index(STR("a\0b"), '\0'), 1);
	ck_assert_uint_eq(str_find(STR("aabab"), STR("ab")), 1);
	ck_assert_uint_eq(str_find(STR("aabab"), STR("abb")), 5);
	ck_assert_uint_eq(str_find(STR("ab"), STR("abc")), 2);
	ck_assert_uint_eq(str_find(STR("x\0y\0z"), STR("y\0z")), 2);
	ck_assert_uint_eq(str_find(nothing, STR("a")), 0);
}
END_TEST

static bool
naive_glob(struct str pattern, struct str s)
{
	if (pattern.len == 0)
		return s.len == 0;
	if (pattern.p[0] != '*')
		return s.len > 0 && s.p[0] == pattern.p[0] &&
			naive_glob(str_skip(pattern, 1), str_skip(s, 1));
	for (size_t i = 0; i <= s.len; i++)
		if (naive_glob(str_skip(pattern, 1), str_skip(s, i)))
			return true;
	return false;
}

/* The n-th text over an alphabet, shortest first. */
static struct str
text_of(unsigned n, struct str alphabet, char out[16])
{
	size_t len = 0;

	for (; n > 0; n = (n - 1) / (unsigned)alphabet.len)
		out[len++] = alphabet.p[(n - 1) % alphabet.len];
	return (struct str){ out, len };
}

START_TEST(test_glob_is_the_naive_one)
{
	char a[16], b[16];

	for (unsigned i = 0; i < 400; i++) {
		struct str pattern = text_of(i, STR("a*b"), a);

		for (unsigned j = 0; j < 127; j++) {
			struct str s = text_of(j, STR("ab"), b);

			ck_assert_msg(str_glob(pattern, s) == naive_glob(pattern, s),
				"'%.*s' on '%.*s'", STR_ARG(pattern), STR_ARG(s));
		}
	}
}
END_TEST

START_TEST(test_glob)
{
	char many[64], text[20001];

	ck_assert(str_glob(STR("gpt-*"), STR("gpt-4o")));
	ck_assert(!str_glob(STR("gpt-*"), STR("GPT-4o")));
	ck_assert(str_glob(STR("*"), STR("")));
	ck_assert(!str_glob(STR(""), STR("a")));
	ck_assert(str_glob(STR("a?[b]"), STR("a?[b]")));
	ck_assert(!str_glob(STR("a?"), STR("ab")));
	/* a pattern that makes a backtracking matcher take for ever */
	for (size_t i = 0; i < sizeof many; i++)
		many[i] = i % 2 ? 'a' : '*';
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = 'a';
	text[sizeof text - 1] = 'b';
	ck_assert(!str_glob((struct str){ many, sizeof many }, (struct str){ text, sizeof text }));
}
END_TEST

/* Every byte, at every place of texts of every length up to three loads. */
START_TEST(test_bare)
{
	for (size_t len = 0; len <= 40; len++) {
		char text[40];

		memset(text, 'a', sizeof text);
		ck_assert_uint_eq(str_bare((struct str){ text, len }), len);
		for (size_t at = 0; at < len; at++) {
			for (int byte = 0; byte < 256; byte++) {
				bool bare =
					byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\';

				text[at] = (char)byte;
				ck_assert_uint_eq(str_bare((struct str){ text, len }),
					bare ? len : at);
			}
			text[at] = 'a';
		}
	}
	ck_assert_uint_eq(str_bare(nothing), 0);
	ck_assert_uint_eq(str_bare(STR("one \"two\" three \"four\"")), 4);
}
END_TEST

START_TEST(test_u64)
{
	static const struct {
		struct str text;
		int result;
		uint64_t n;
	} cases[] = {
		{ STR_INIT("0"), 0, 0 },
		{ STR_INIT("007"), 0, 7 },
		{ STR_INIT("18446744073709551615"), 0, UINT64_MAX },
		{ STR_INIT("18446744073709551616"), -1, 0 },
		{ STR_INIT("18446744073709551620"), -1, 0 },
		{ STR_INIT("99999999999999999999999"), -1, 0 },
		{ STR_INIT(""), -1, 0 },
		{ STR_INIT("+1"), -1, 0 },
		{ STR_INIT("-1"), -1, 0 },
		{ STR_INIT("1 "), -1, 0 },
		{ STR_INIT("1e3"), -1, 0 },
		{ STR_INIT("\xb2"), -1, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t n = 0;

		ck_assert_int_eq(str_u64(cases[i].text, &n), cases[i].result);
		ck_assert_uint_eq(n, cases[i].n);
	}
}
END_TEST

START_TEST(test_digits)
{
	char text[24];

	for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
		for (uint64_t n = power - 1; n <= power + 1; n++) {
			char want[24];
			unsigned len = (unsigned)snprintf(want, sizeof want, "%" PRIu64, n);

			ck_assert_uint_eq(str_digits(n), len);
			str_write_u64(text, len, n);
			ck_str(((struct str){ text, len }), ((struct str){ want, len }));
		}
	}
	ck_assert_uint_eq(str_digits(UINT64_MAX), 20);
	str_write_u64(text, 20, UINT64_MAX);
	ck_str(((struct str){ text, 20 }), STR("18446744073709551615"));
	str_write_u64(text, 3, 12345);
	ck_str(((struct str){ text, 3 }), STR("345"));
	str_write_u64(text, 3, 7);
	ck_str(((struct str){ text, 3 }), STR("007"));
}
END_TEST

START_TEST(test_list)
{
	struct str rest = STR(", a ,,\tb c\t, , d"), item;

	ck_assert(str_list_next(&rest, &item));
	ck_str(item, STR("a"));
	ck_assert(str_list_next(&rest, &item));
	ck_str(item, STR("b c"));
	ck_assert(str_list_next(&rest, &item));
	ck_str(item, STR("d"));
	ck_assert(!str_list_next(&rest, &item));
	rest = STR(" ,, ,");
	ck_assert(!str_list_next(&rest, &item));
	rest = nothing;
	ck_assert(!str_list_next(&rest, &item));
}
END_TEST

UNIT_MAIN("base/str", test_equal, test_nocase_everywhere, test_order, test_cut, test_trim,
	test_find, test_glob_is_the_naive_one, test_glob, test_bare, test_u64, test_digits,
	test_list)
