/*
 * text: runs of every length and every byte, against rules of one line; from memory that ends where
 * the run may end.
 */
#include "json/text.h"

#include <string.h>

#include "unit.h"

static struct str
copy_exact(struct str s)
{
	char *p = malloc(s.len > 0 ? s.len : 1);
	if (!p)
		ck_abort_msg("no memory");
	memcpy(p, s.p, s.len);
	return (struct str){ p, s.len };
}

static size_t
plain_run_by_rule(const char *p, size_t len)
{
	size_t i = 0;
	for (; i < len; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80)
			break;
	}
	return i;
}

START_TEST(plain_runs_of_every_length)
{
	static const unsigned char stops[] = { '"', '\\', 0, 0x1F, 0x0A, 0x80, 0xFF, 0x20, 0x7F,
		0x21, 0x23, 0x5B, 0x5D };
	for (size_t len = 0; len <= 150; len++)
		for (size_t at = 0; at < len; at++)
			for (size_t k = 0; k < sizeof stops; k++) {
				char *p = malloc(len);
				if (!p)
					ck_abort_msg("no memory");
				memset(p, 'x', len);
				p[at] = (char)stops[k];
				if (at + 3 < len)
					p[at + 3] = '"';
				size_t run = json_plain_run(p, len);
				if (run != plain_run_by_rule(p, len))
					ck_abort_msg("%zu of %zu: %zu", at, len, run);
				free(p);
			}
	ck_assert_uint_eq(json_plain_run("", 0), 0);
}
END_TEST

START_TEST(plain_runs_know_every_byte)
{
	for (unsigned byte = 0; byte < 256; byte++)
		for (size_t at = 0; at < 100; at++) {
			char p[100];
			memset(p, 'x', sizeof p);
			p[at] = (char)byte;
			ck_assert_uint_eq(json_plain_run(p, sizeof p),
				plain_run_by_rule(p, sizeof p));
		}
}
END_TEST

static size_t
begin_by_rule(const char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (p[i] == '"' && (p[i + 1] == 'f' || p[i + 1] == 'u' || p[i + 1] == 'e'))
			return i;
	return len;
}

/* One at each place of texts of every length, behind a quote that another byte follows and before a
 * second one. */
START_TEST(begins_of_every_length)
{
	for (size_t len = 0; len <= 150; len++)
		for (size_t at = 0; at < len; at++)
			for (size_t k = 0; k < 4; k++) {
				char *p = malloc(len);
				if (!p)
					ck_abort_msg("no memory");
				memset(p, k == 3 ? '"' : 'x', len);
				p[at / 2] = '"';
				p[at] = '"';
				if (at + 1 < len)
					p[at + 1] = "fue\""[k];
				if (at + 3 < len)
					memcpy(p + at + 2, "\"u", 2);
				size_t got = json_begin(p, len, "fue");
				if (got != begin_by_rule(p, len))
					ck_abort_msg("%zu of %zu: %zu", at, len, got);
				free(p);
			}
	ck_assert_uint_eq(json_begin("", 0, "fue"), 0);
}
END_TEST

/* Runs that end with one of a few bytes: each byte at each place, behind and before any others. */
START_TEST(runs_to_a_byte)
{
	static const struct {
		size_t (*run)(const char *, size_t);
		const char *ends;
	} runs[] = { { json_text_run, "\"\\" }, { json_gap_run, "\"{}[]" } };

	for (size_t k = 0; k < 2; k++)
		for (size_t len = 1; len < 200; len++)
			for (size_t at = 0; at < len; at++) {
				unsigned char c = (unsigned char)(at * 7 + len * 31);
				bool ends = c != 0 && strchr(runs[k].ends, c) != NULL;
				char *p = malloc(len);
				if (!p)
					ck_abort_msg("no memory");
				memset(p, at % 2 ? 'x' : 0xE4, len);
				p[at] = (char)c;
				ck_assert_uint_eq(runs[k].run(p, len), ends ? at : len);
				for (const char *end = runs[k].ends; *end != '\0'; end++) {
					p[at] = p[len - 1] = *end;
					ck_assert_uint_eq(runs[k].run(p, len), at);
				}
				free(p);
			}
	for (int c = 0; c < 256; c++) {
		char one = (char)c;
		ck_assert_uint_eq(json_text_run(&one, 1), c != '"' && c != '\\');
		ck_assert_uint_eq(json_gap_run(&one, 1), c == 0 || !strchr("\"{}[]", c));
	}
	ck_assert_uint_eq(json_text_run("", 0), 0);
	ck_assert_uint_eq(json_gap_run("", 0), 0);
}
END_TEST

/* Length of the sequence at `p`, decoded and judged by its value; 0 when it is none of two to four
 * bytes. */
static size_t
wide_by_rule(const unsigned char *p, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = len == 0    ? 0
		: p[0] >= 0xF8 ? 0
		: p[0] >= 0xF0 ? 4
		: p[0] >= 0xE0 ? 3
		: p[0] >= 0xC0 ? 2
			       : 0;
	if (n == 0 || n > len)
		return 0;
	uint32_t c = p[0] & 0xFFu >> (n + 1);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3F);
	}
	return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

static size_t
wide_run_by_rule(const unsigned char *p, size_t len)
{
	size_t i = 0;
	for (;;) {
		size_t n = wide_by_rule(p + i, len - i);
		if (n == 0 && len - i >= 2 && p[i + 1] >= 0x80)
			n = plain_run_by_rule((const char *)p + i, 1);
		if (n == 0)
			return i;
		i += n;
	}
}

static bool
steps_accept(const unsigned char *p, size_t n)
{
	uint32_t state = 0;
	for (size_t i = 0; i < n; i++) {
		if (json_utf8_step(&state, p[i]) != 0 || (state == 0) != (i + 1 == n))
			return false;
	}
	return true;
}

START_TEST(wide_runs_are_well_formed)
{
	static const unsigned char leads[] = { 0x80, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
		0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xFE, 0xFF };
	static const unsigned char next[] = { 0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0,
		0xFF };
	for (size_t k = 0; k < sizeof leads; k++)
		for (size_t i = 0; i < 1000; i++) {
			unsigned char p[5] = { leads[k], next[i / 100], next[i / 10 % 10],
				next[i % 10], 'x' };
			for (size_t len = 1; len <= 5; len++) {
				struct str exact = copy_exact((struct str){ (const char *)p, len });
				size_t expected = wide_run_by_rule(p, len),
				       run = json_wide_run(exact.p, len);
				if (run != expected)
					ck_abort_msg("%02x %02x %02x %02x of %zu: %zu, not %zu",
						p[0], p[1], p[2], p[3], len, run, expected);
				free((void *)(uintptr_t)exact.p);
			}
			for (size_t n = 2; n <= 4; n++)
				if (steps_accept(p, n) != (wide_by_rule(p, n) == n))
					ck_abort_msg("%02x %02x %02x %02x: steps", p[0], p[1], p[2],
						p[3]);
		}
}
END_TEST

static size_t
escape_by_rule(const char *p, size_t len)
{
	if (len < 2 || p[0] != '\\')
		return 0;
	if (p[1] != 'u')
		return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
	for (size_t i = 2; i < 6; i++)
		if (i >= len || p[i] == '\0' || !strchr("0123456789abcdefABCDEF", p[i]))
			return 0;
	return 6;
}

/* One item after the other. */
static size_t
content_by_rule(const char *p, size_t len, bool *escaped)
{
	size_t i = 0, n;
	do {
		struct str rest = { p + i, len - i };
		n = plain_run_by_rule(rest.p, rest.len > 0 ? 1 : 0);
		if (n == 0)
			n = escape_by_rule(rest.p, rest.len);
		if (n == 0)
			n = wide_by_rule((const unsigned char *)rest.p, rest.len);
		if (rest.len > 0 && rest.p[0] == '\\')
			*escaped = true;
		i += n;
	} while (n > 0);
	return i;
}

static void
check_content(const char *text, size_t len)
{
	struct str exact = copy_exact((struct str){ text, len });
	bool escaped = false, expected_escaped = false;
	size_t run = json_content_run(exact.p, len, &escaped),
	       expected = content_by_rule(exact.p, len, &expected_escaped);

	if (run != expected || escaped != expected_escaped)
		ck_abort_msg("%zu of %zu, not %zu; escaped %d, not %d", run, len, expected, escaped,
			expected_escaped);
	ck_assert_uint_eq(json_text_span(exact.p, len),
		expected == len || exact.p[expected] == '"' ? expected : len);
	free((void *)(uintptr_t)exact.p);
}

/* What can stand in a string, and what cannot. */
static const struct str items[] = {
	STR_INIT("\""),
	STR_INIT("\\n"),
	STR_INIT("\\\""),
	STR_INIT("\\\\"),
	STR_INIT("\\u00e9"),
	STR_INIT("\\u00g9"),
	STR_INIT("\\x"),
	STR_INIT("\n"),
	STR_INIT("\x1f"),
	STR_INIT("\x7f"),
	STR_INIT("\xC3\xA9"),
	STR_INIT("\xE2\x82\xAC"),
	STR_INIT("\xED\x9F\xBF"),
	STR_INIT("\xF0\x9F\x98\x80"),
	STR_INIT("\xF4\x8F\xBF\xBF"),
	STR_INIT("\x80"),
	STR_INIT("\xC0\x80"),
	STR_INIT("\xC3"),
	STR_INIT("\xE0\x9F\xBF"),
	STR_INIT("\xE2\x82"),
	STR_INIT("\xED\xA0\x80"),
	STR_INIT("\xF0\x8F\xBF\xBF"),
	STR_INIT("\xF0\x9F\x98"),
	STR_INIT("\xF4\x90\x80\x80"),
	STR_INIT("\xF5\x80\x80\x80"),
	STR_INIT("\xFF"),
};

enum { ITEMS = sizeof items / sizeof items[0] };

/* One item at every place of texts of every length, among plain bytes and among wide ones. */
START_TEST(content_runs_of_every_length)
{
	char text[180];

	for (size_t len = 0; len <= 160; len++)
		for (size_t at = 0; at < len; at++)
			for (size_t k = 0; k < ITEMS; k++) {
				memset(text, 'x', sizeof text);
				for (size_t i = k % 2 == 0 ? at % 2 : len; i + 1 < at; i += 2)
					memcpy(text + i, "\xD0\xB8", 2);
				memcpy(text + at, items[k].p, items[k].len);
				check_content(text, len);
			}
}
END_TEST

/* Any items in any order. */
START_TEST(content_runs_of_anything)
{
	uint64_t random = 88172645463325252u;
	char text[700];

	for (int round = 0; round < 200000; round++) {
		size_t len = 0, n = (size_t)round % 80;
		while (n-- > 0) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			/* mostly what may stand there: the first of the others ends a run */
			size_t kind = random >> 8 & 15;
			struct str item = kind < 6 ? STR("plain te")
				: kind < 15        ? items[10 + (random >> 16) % 5]
						   : items[(random >> 16) % ITEMS];
			if (kind == 6 || kind == 7)
				item = items[1 + (random >> 16) % 4];
			if (kind < 6)
				item.len = 1 + (random >> 24) % item.len;
			memcpy(text + len, item.p, item.len);
			len += item.len;
		}
		check_content(text, len);
	}
}
END_TEST

START_TEST(escapes_and_digits)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		char *end, digit[] = { (char)byte, '\0' };
		long value = strtol(digit, &end, 16);
		ck_assert_int_eq(json_hex((char)byte), end == digit + 1 ? value : -1);
		const char *at = byte != 0 ? strchr("\"\\/bfnrt", (int)byte) : NULL;
		ck_assert_int_eq(json_escapes[byte],
			at ? "\"\\/\b\f\n\r\t"[at - strchr(at, 0) + 8] : 0);
	}
}
END_TEST

/* A stretch ends at what must be changed, and says what it took. */
START_TEST(stretches)
{
	static const struct {
		struct str plain, put;
		size_t run, used;
		bool cut;
	} cases[] = {
		{ STR_INIT(""), STR_INIT(""), 0, 0, false },
		{ STR_INIT("abc"), STR_INIT(""), 3, 3, false },
		{ STR_INIT("ab\nc"), STR_INIT("\\n"), 2, 3, false },
		{ STR_INIT("\xC3\xA9 \xC3\xA9, x\x1F"), STR_INIT("\\u001f"), 8, 9, false },
		{ STR_INIT("\xE6\x97\xA5\xE6\x97"), STR_INIT(""), 3, 3, true },
		{ STR_INIT("\xE6\x97x"), STR_INIT("\xEF\xBF\xBD"), 0, 2, false },
		{ STR_INIT("a\xFFx"), STR_INIT("\xEF\xBF\xBD"), 1, 2, false },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct json_stretch s = json_stretch(cases[i].plain);
		ck_assert_uint_eq(s.run, cases[i].run);
		ck_assert_uint_eq(s.used, cases[i].used);
		ck_assert_uint_eq(s.cut, cases[i].cut);
		ck_assert(str_eq((struct str){ s.put, s.put_len }, cases[i].put));
	}
}
END_TEST

START_TEST(plain_texts)
{
	static const struct {
		struct str text;
		bool plain;
	} cases[] = {
		{ STR_INIT(""), true },
		{ STR_INIT("gpt-4o \"x\" \\"), true },
		{ STR_INIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), true },
		{ STR_INIT("a\nb"), false },
		{ STR_INIT("a\x00"), false },
		{ STR_INIT("\x7f"), false },
		{ STR_INIT("\xc3"), false },
		{ STR_INIT("\xc3("), false },
		{ STR_INIT("\xed\xa0\x80"), false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_int_eq(json_text_plain(cases[i].text), cases[i].plain);
}
END_TEST

UNIT_MAIN("json/text", plain_runs_of_every_length, plain_runs_know_every_byte,
	begins_of_every_length, runs_to_a_byte, wide_runs_are_well_formed,
	content_runs_of_every_length, content_runs_of_anything, escapes_and_digits, stretches,
	plain_texts)
