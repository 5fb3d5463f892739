/*
 * Like: which events are known by the one before them, and which are not: everything around the
 * text must be the same, the text must be one, and a loose value may differ in words alone, or be
 * another string.
 */
#include "dialect/like.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "unit.h"

static struct arena arena;
static struct like like;

/* Keep `data`, whose text and loose value are where those words stand in it. */
static void
keep(const char *data, const char *text, const char *loose, enum chat_event_type type)
{
	struct chat_event all[2] = { { .type = EVENT_USAGE }, { .type = type, .choice = 3 } };
	struct chat_events events = { .all = all, .n = 2 };
	struct str d = str_of(data);

	arena_free(&arena);
	like = (struct like){ 0 };
	all[1].text = str_head(str_skip(d, str_find(d, str_of(text))), strlen(text));
	if (loose)
		events.loose = str_head(str_skip(d, str_find(d, str_of(loose))), strlen(loose));
	like_keep(&like, &arena, d, &events);
}

static bool
is(const char *data, const char *want)
{
	struct str text = STR("");
	bool got = like_is(&like, str_of(data), &text);

	if (got)
		ck_assert_msg(str_eq(text, str_of(want)), "'%.*s'", STR_ARG(text));
	return got;
}

START_TEST(test_text)
{
	keep("{\"i\":0,\"t\":\"abc\",\"n\":null}", "abc", NULL, EVENT_TEXT);
	ck_assert(like.type == EVENT_TEXT && like.choice == 3);
	ck_assert(is("{\"i\":0,\"t\":\"x\",\"n\":null}", "x"));
	ck_assert(is("{\"i\":0,\"t\":\"a longer one\",\"n\":null}", "a longer one"));
	ck_assert(is("{\"i\":0,\"t\":\"\\\"\\\\\\ud83d\\n\",\"n\":null}", "\\\"\\\\\\ud83d\\n"));
	ck_assert(is("{\"i\":0,\"t\":\"\xc3\xa9\",\"n\":null}", "\xc3\xa9"));
	ck_assert(!like.pending);
	ck_assert(!is("{\"i\":0,\"t\":\"\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":1,\"t\":\"x\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"x\",\"n\":1}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"x\",\"n\":null} ", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"x\",\"n\":null", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"x\",\"u\":\"\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"x\\\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"\\x\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"\\u12g4\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"\n\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"\xc3\",\"n\":null}", ""));
	ck_assert(!is("{\"i\":0,\"t\":\"\xed\xa0\x80\",\"n\":null}", ""));
	ck_assert(!is("", ""));
	arena_free(&arena);
}
END_TEST

START_TEST(test_loose)
{
	keep("{\"t\":\"abc\",\"u\":{\"n\":1,\"d\":[2,3]}}", "abc", "{\"n\":1,\"d\":[2,3]}",
		EVENT_REASONING);
	ck_assert(is("{\"t\":\"x\",\"u\":{\"n\":1,\"d\":[2,3]}}", "x"));
	ck_assert(like.pending);
	ck_assert(str_eq(like_pending(&like), STR("{\"t\":\"x\",\"u\":{\"n\":1,\"d\":[2,3]}}")));
	ck_assert(!like.pending);
	ck_assert(is("{\"t\":\"yy\",\"u\":{\"n\":123,\"d\":[2,30]}}", "yy"));
	ck_assert(is("{\"t\":\"z\",\"u\":{\"n\":4,\"d\":[2,3]}}", "z"));
	ck_assert(str_eq(like_pending(&like), STR("{\"t\":\"z\",\"u\":{\"n\":4,\"d\":[2,3]}}")));
	ck_assert(!is("{\"t\":\"z\",\"u\":{\"n\":4,\"d\":[2,3,4]}}", ""));
	ck_assert(!is("{\"t\":\"z\",\"u\":{\"n\":4,\"d\":[2]}}", ""));
	ck_assert(!is("{\"t\":\"z\",\"u\":{\"m\":4,\"d\":[2,3]},\"v\":1}", ""));
	ck_assert(!is("{\"t\":\"z\",\"u\":{\"n\":\"\",\"d\":[2,3]}}", ""));
	/* before the text */
	keep("{\"at\":\"2026-09-21T13:33:20.12Z\",\"t\":\"abc\",\"e\":false}", "abc",
		"\"2026-09-21T13:33:20.12Z\"", EVENT_TEXT);
	ck_assert(is("{\"at\":\"2026-09-21T13:33:21.123456Z\",\"t\":\"q\",\"e\":false}", "q"));
	ck_assert(is("{\"at\":\"2026-09-21T13:33:22Z\",\"t\":\"\\\"\",\"e\":false}", "\\\""));
	ck_assert(!is("{\"at\":\"2026-09-21T13:33:22Z\",\"t\":\"q\",\"e\":true}", ""));
	/* any other string, but only a string */
	ck_assert(is("{\"at\":\"2026-09-21 13:33:22Z\",\"t\":\"q\",\"e\":false}", "q"));
	ck_assert(is("{\"at\":\"\",\"t\":\"q\",\"e\":false}", "q"));
	ck_assert(is("{\"at\":\"\\\"\\u00e9\xc3\xa9\",\"t\":\"q\",\"e\":false}", "q"));
	ck_assert(str_eq(like_pending(&like),
		STR("{\"at\":\"\\\"\\u00e9\xc3\xa9\",\"t\":\"q\",\"e\":false}")));
	ck_assert(!is("{\"at\":\"\\x\",\"t\":\"q\",\"e\":false}", ""));
	ck_assert(!is("{\"at\":\"\n\",\"t\":\"q\",\"e\":false}", ""));
	ck_assert(!is("{\"at\":7,\"t\":\"q\",\"e\":false}", ""));
	ck_assert(!is("{\"at\":\"x\",\"b\":\"\",\"t\":\"q\",\"e\":false}", ""));
	ck_assert(!is("{\"at\":\"x", ""));
	arena_free(&arena);
}
END_TEST

START_TEST(test_not_kept)
{
	struct chat_event all[2] = { { .type = EVENT_TEXT }, { .type = EVENT_TEXT } };
	struct chat_events events = { .all = all, .n = 2 };
	struct str data = STR("{\"t\":\"abc\"}"), text;

	keep("{\"t\":\"abc\"}", "abc", NULL, EVENT_ARGUMENTS);
	ck_assert(!is("{\"t\":\"abc\"}", ""));
	keep("{\"t\":\"abc\"}", "abc", NULL, EVENT_REFUSAL);
	ck_assert(!is("{\"t\":\"abc\"}", ""));
	/* two texts; none; one that does not stand in the data */
	keep("{\"t\":\"abc\"}", "abc", NULL, EVENT_TEXT);
	all[0].text = all[1].text = str_head(str_skip(data, 6), 3);
	like_keep(&like, &arena, data, &events);
	ck_assert(!like_is(&like, data, &text));
	events.n = 0;
	like_keep(&like, &arena, data, &events);
	ck_assert(!like_is(&like, data, &text));
	events.n = 1;
	all[0].text = STR("abc");
	like_keep(&like, &arena, data, &events);
	ck_assert(!like_is(&like, data, &text));
	/* no memory */
	arena_free(&arena);
	like = (struct like){ 0 };
	all[0].text = str_head(str_skip(data, 6), 3);
	mem_fail_after(1);
	like_keep(&like, &arena, data, &events);
	mem_fail_after(0);
	ck_assert(!like_is(&like, data, &text));
	arena_free(&arena);
}
END_TEST

static bool
is_word(char c)
{
	return c != '\0' && strchr("ab1-", c) != NULL;
}

/* The rule, a byte at a time. */
static bool
same_marks(const char *value, const char *in)
{
	while (*value || *in) {
		if (is_word(*value) != is_word(*in) || (!is_word(*value) && *value != *in))
			return false;
		if (!is_word(*value)) {
			value++;
			in++;
			continue;
		}
		while (is_word(*value))
			value++;
		while (is_word(*in))
			in++;
	}
	return true;
}

static const char *
any_value(char out[24])
{
	size_t len = below(12);

	out[0] = '[';
	for (size_t i = 1; i <= len; i++)
		out[i] = "ab1-::,["[below(8)];
	memcpy(out + len + 1, "]", 2);
	return out;
}

START_TEST(test_loose_by_the_rule)
{
	unsigned alike = 0;

	for (int i = 0; i < 200000; i++) {
		char value[24], in[24], data[64], other[64];
		const char *first = any_value(value), *second = any_value(in);

		snprintf(data, sizeof data, "{\"t\":\"xyz\",\"u\":%s}", first);
		snprintf(other, sizeof other, "{\"t\":\"q\",\"u\":%s}", second);
		keep(data, "xyz", first, EVENT_TEXT);
		ck_assert_msg(is(other, "q") == same_marks(first, second), "%s %s", data, other);
		alike += same_marks(first, second);
	}
	ck_assert_uint_gt(alike, 2000);
}
END_TEST

UNIT_MAIN("dialect/like", test_text, test_loose, test_loose_by_the_rule, test_not_kept)
