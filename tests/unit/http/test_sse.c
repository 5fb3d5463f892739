/*
 * Tests of http/sse. A stream's events are written down as "[name|data]", "[name|-]" for one
 * without data, "[!]" for one that was skipped over and "{name|data}" for one that the end of the
 * stream left open; each stream is fed whole, byte by byte and cut in two at every offset, and must
 * come out the same. The streams of tests/golden/sse are those that the vendors' clients were fed
 * with.
 */
#include "http/sse.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define LARGE 65536
/* As ck_assert, which writes a record even when all is well and so is not for what runs a million
 * times. */
#define MUST(condition)                                 \
	do {                                            \
		if (!(condition))                       \
			ck_abort_msg("%s", #condition); \
	} while (0)

struct notes {
	char text[16384];
	size_t len;
	bool failed; /* sse_next had no memory */
};

static void
note(struct notes *n, struct str s)
{
	MUST(n->len + s.len < sizeof n->text);
	if (s.len > 0)
		memcpy(n->text + n->len, s.p, s.len);
	n->len += s.len;
	n->text[n->len] = '\0';
}

static void
note_event(struct notes *n, const struct sse_event *ev, struct str open, struct str close)
{
	if (ev->oversized) {
		MUST(ev->has_data && ev->name.len == 0 && ev->data.len == 0);
		note(n, STR("[!]"));
		return;
	}
	note(n, open);
	note(n, ev->name);
	note(n, STR("|"));
	note(n, ev->has_data ? ev->data : STR("-"));
	note(n, close);
}

static bool
feed(struct sse *s, struct str piece, struct notes *n)
{
	while (piece.len > 0) {
		struct sse_event ev;
		bool got;
		long used = sse_next(s, piece, &ev, &got);
		if (used < 0) {
			n->failed = true;
			return false;
		}
		MUST(used > 0 && (size_t)used <= piece.len);
		MUST(got || (size_t)used == piece.len);
		if (got)
			note_event(n, &ev, STR("["), STR("]"));
		piece = str_skip(piece, (size_t)used);
	}
	return true;
}

/* The first `cut` bytes and then `step` bytes at a time; `n` starts anew. */
static void
read_stream(struct str text, size_t carry_max, size_t cut, size_t step, struct notes *n)
{
	struct sse s;
	struct sse_event ev;
	bool more;

	n->len = 0;
	n->text[0] = '\0';
	n->failed = false;
	sse_init(&s, carry_max);
	more = feed(&s, str_head(text, cut), n);
	for (size_t at = cut; more && at < text.len; at += step)
		more = feed(&s, str_head(str_skip(text, at), step), n);
	if (more && sse_finish(&s, &ev))
		note_event(n, &ev, STR("{"), STR("}"));
	sse_free(&s);
	MUST(mem_used() == 0);
}

static void
check_stream(struct str text, size_t carry_max, size_t cut, size_t step, const char *expected)
{
	static struct notes n;

	read_stream(text, carry_max, cut, step, &n);
	MUST(!n.failed);
	if (strcmp(n.text, expected) != 0)
		ck_abort_msg("\"%.*s\" cut at %zu, then %zu at a time:\n%s\nnot\n%s", STR_ARG(text),
			cut, step, n.text, expected);
}

static void
check_every_cut(struct str text, size_t carry_max, const char *expected)
{
	check_stream(text, carry_max, 0, 1, expected);
	for (size_t cut = 0; cut <= text.len; cut++)
		check_stream(text, carry_max, cut, text.len + 1, expected);
}

struct stream_case {
	struct str text;
	const char *events;
};

#define STREAM(text, events)           \
	{                              \
		STR_INIT(text), events \
	}

static const struct stream_case streams[] = {
	STREAM("", ""),
	STREAM("data: a\n\n", "[|a]"),
	STREAM("data: a\r\n\r\n", "[|a]"),
	STREAM("data: a\r\r", "[|a]"),
	STREAM("data: a\n\ndata: b\n\n", "[|a][|b]"),
	STREAM("event: x\ndata: a\n\n", "[x|a]"),
	STREAM("data: a\nevent: x\n\n", "[x|a]"),
	STREAM("event: x\ndata: a\n\ndata: b\n\n", "[x|a][|b]"),
	/* line ends in every mix */
	STREAM("data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\rdata: e\r\n\n",
		"[|a][|b][|c][|d][|e]"),
	STREAM("data: a\rdata: b\ndata: c\r\ndata: d\r\r\n", "[|a\nb\nc\nd]"),
	STREAM("data: a\r\r\r\rdata: b\r\r", "[|a][|b]"),
	STREAM("\n\n\r\n\r\rdata: a\n\n\n\n", "[|a]"),
	/* the forms of a line */
	STREAM("data:a\n\n", "[|a]"),
	STREAM("data:  a \n\n", "[| a ]"),
	STREAM("data:\ta\n\n", "[|\ta]"),
	STREAM("data: a: b\n\n", "[|a: b]"),
	STREAM("data::a\n\n", "[|:a]"),
	STREAM("data\n\n", "[|]"),
	STREAM("data:\n\n", "[|]"),
	STREAM("data: \n\n", "[|]"),
	STREAM("data\ndata\n\n", "[|\n]"),
	STREAM("data:\ndata:\ndata: a\n\n", "[|\n\na]"),
	STREAM("data: a\ndata: b\n\n", "[|a\nb]"),
	STREAM("data: a\nevent: x\ndata: bbbbbbbbbbbbbbbbbbbb\n\n", "[x|a\nbbbbbbbbbbbbbbbbbbbb]"),
	STREAM("event: first\ndata: a\nevent: y\ndata: b\n\n", "[y|a\nb]"),
	STREAM("event: x\nevent\ndata: a\n\n", "[|a]"),
	STREAM("event: x\nevent: longer name\ndata: a\ndata: b\n\n", "[longer name|a\nb]"),
	STREAM("Data: a\nDATA: b\ndata : c\n data: d\ndatax: e\ndat: f\n\n", "[|-]"),
	STREAM("event: x\n\n", "[x|-]"),
	STREAM("event: x\n\ndata: a\n\n", "[x|-][|a]"),
	STREAM("id: 1\nretry: 3000\nfoo: bar\nbare\ndata: a\n\n", "[|a]"),
	STREAM("id: 1\n\n", "[|-]"),
	STREAM("data: a\nid: 1\ndata: b\n\n", "[|a\nb]"),
	STREAM("data: \xf0\x9f\x98\x80\xc3\xa9\n\n", "[|\xf0\x9f\x98\x80\xc3\xa9]"),
	STREAM("data: {\"a\":\"data: x\\n\\n\"}\n\n", "[|{\"a\":\"data: x\\n\\n\"}]"),
	/* comments */
	STREAM(": c\n\ndata: a\n\n", "[|a]"),
	STREAM(": c\ndata: a\n\n", "[|a]"),
	STREAM("data: a\n: c\n\n", "[|a]"),
	STREAM("data: a\n:\ndata: b\n: c\n\n", "[|a\nb]"),
	STREAM(":data: a\n\n", ""),
	STREAM(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: a\n\n: OPENROUTER PROCESSING\n\n",
		"[|a]"),
	STREAM("event: x\n: keep-alive\ndata: a\n\n", "[x|a]"),
	STREAM(": c\r: d\r\rdata: a\r\r", "[|a]"),
	/* a byte-order mark, and what only begins like one */
	STREAM("\xef\xbb\xbf"
	       "data: a\n\n",
		"[|a]"),
	STREAM("\xef\xbb\xbf\r\ndata: a\n\n", "[|a]"),
	STREAM("\xef\xbb\xbf", ""),
	STREAM("\xef\xbb\xbf\xef\xbb\xbf"
	       "data: a\n\n",
		"[|-]"),
	STREAM("\xef\xbb"
	       "data: a\n\n",
		"[|-]"),
	STREAM("\xef"
	       "data: a\n\n",
		"[|-]"),
	STREAM("\xef\xbb", ""),
	STREAM("\xef\n\ndata: a\n\n", "[|-][|a]"),
	STREAM("data: a\n\n\xef\xbb\xbf"
	       "data: b\n\n",
		"[|a][|-]"),
	/* ends */
	STREAM("data: [DONE]\n\n", "[|[DONE]]"),
	STREAM("data: [DONE]\n", "{|[DONE]}"),
	STREAM("data: [DONE]", "{|[DONE]}"),
	STREAM("data: [DONE]\r\n", "{|[DONE]}"),
	STREAM("data: [DONE]\r", "{|[DONE]}"),
	STREAM("data: [DONE]  \n\n", "[|[DONE]  ]"),
	STREAM("data: [DONE]\n\nmore bytes", "[|[DONE]]"),
	STREAM("data: {\"text\":\"[DONE]\"}\n\ndata: b\n\n", "[|{\"text\":\"[DONE]\"}][|b]"),
	STREAM("event: x\ndata: {\"cut", "{x|{\"cut}"),
	STREAM("data: a\ndata: b", "{|a\nb}"),
	STREAM("data: a\nda", "{|a}"),
	STREAM("data", "{|}"),
	STREAM("event: x\n", ""),
	STREAM("data: a\n\n: c", "[|a]"),
	STREAM("data: a\n: c", "{|a}"),
	STREAM("{\"id\":\"a JSON document\"}", ""),
};

START_TEST(test_streams)
{
	for (size_t i = 0; i < COUNT(streams); i++) {
		check_every_cut(streams[i].text, LARGE, streams[i].events);
		for (size_t step = 2; step < 5; step++)
			check_stream(streams[i].text, LARGE, 0, step, streams[i].events);
	}
}
END_TEST

/* What the mask says stands for the place after as many bytes: 'B' between events, '.' not. */
START_TEST(test_between)
{
	static const struct {
		struct str text;
		const char *mask;
	} rows[] = {
		{ STR_INIT("data: x\n\n"), "B........B" },
		{ STR_INIT("a\n\nb\n\n"), "B..B..B" },
		{ STR_INIT(": c\n"), "B...B" },
		{ STR_INIT(": c\n\n"), "B...BB" },
		{ STR_INIT("\n\n"), "BBB" },
		{ STR_INIT("a\n: c\n\n"), "B......B" },
		{ STR_INIT("a\n\n: c\n"), "B..B...B" },
		{ STR_INIT("id\n"), "B..." },
		/* a CRLF is not to be torn apart */
		{ STR_INIT("a\r\n\r\nb\r\n\r\n"), "B....B....B" },
		{ STR_INIT("a\n\r\n"), "B...B" },
		{ STR_INIT(": c\r\n"), "B....B" },
		{ STR_INIT("\r\n\r\n"), "B.B.B" },
		{ STR_INIT("\r\r\n"), "B.BB" },
		/* but a stream that ends its lines in CR alone is not kept waiting */
		{ STR_INIT("a\r\rb\r\r"), "B..B..B" },
		{ STR_INIT("a\r\r: c\r"), "B..B...B" },
		{ STR_INIT("a\r\n\ra\n\n"), "B......B" },
		{ STR_INIT("\xef\xbb\xbf"
			   "a\n\n"),
			"B..B..B" },
		{ STR_INIT("\xef\xbb"
			   "a\n\n"),
			"B....B" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t len = 0; len <= rows[i].text.len; len++) {
			for (size_t step = 1; step <= len; step++) {
				static struct notes n;
				struct sse s;
				n.len = 0;
				sse_init(&s, LARGE);
				for (size_t at = 0; at < len; at += step)
					feed(&s,
						str_head(str_skip(str_head(rows[i].text, len), at),
							step),
						&n);
				ck_assert_msg(sse_between(&s) == (rows[i].mask[len] == 'B'),
					"row %zu after %zu, %zu at a time", i, len, step);
				sse_free(&s);
			}
		}
	}
}
END_TEST

/* An event is consumed with the whole of its blank line and not a byte more. */
START_TEST(test_where_events_end)
{
	static const char *const ends[] = { "\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n" };

	for (size_t i = 0; i < COUNT(ends); i++) {
		char text[64];
		int len =
			snprintf(text, sizeof text, ": c\n\ndata: a%sdata: b%s", ends[i], ends[i]);
		size_t first = 5 + 7 + strlen(ends[i]);
		struct sse s;
		struct sse_event ev;
		bool got;
		sse_init(&s, LARGE);
		ck_assert_int_eq(sse_next(&s, (struct str){ text, (size_t)len }, &ev, &got),
			(long)first);
		ck_assert(got && str_eq(ev.data, STR("a")));
		ck_assert_int_eq(
			sse_next(&s, str_skip((struct str){ text, (size_t)len }, first), &ev, &got),
			len - (long)first);
		ck_assert(got && str_eq(ev.data, STR("b")));
		sse_free(&s);
	}
}
END_TEST

START_TEST(test_slices_are_not_copies)
{
	struct str text = STR(": c\r\nevent: x\r\nid: 1\r\ndata: hello\r\n\r\n");
	struct sse s;
	struct sse_event ev;
	bool got;

	sse_init(&s, LARGE);
	mem_fail_after(1);
	ck_assert_int_eq(sse_next(&s, text, &ev, &got), (long)text.len);
	mem_fail_after(0);
	ck_assert(got);
	ck_assert_ptr_eq(ev.name.p, text.p + 12);
	ck_assert_ptr_eq(ev.data.p, text.p + 28);
	ck_assert(str_eq(ev.name, STR("x")) && str_eq(ev.data, STR("hello")));
	ck_assert_uint_eq(mem_used(), 0);
	sse_free(&s);
}
END_TEST

/* Memory that held an event that came in pieces is given back by the next call. */
START_TEST(test_memory_is_given_back)
{
	struct sse s;
	struct sse_event ev;
	bool got;

	sse_init(&s, LARGE);
	ck_assert_int_eq(sse_next(&s, STR("data: a"), &ev, &got), 7);
	ck_assert(!got);
	ck_assert_uint_gt(mem_used(), 0);
	ck_assert_int_eq(sse_next(&s, STR("b\n\n"), &ev, &got), 3);
	ck_assert(got && str_eq(ev.data, STR("ab")));
	ck_assert_int_eq(sse_next(&s, STR("\n"), &ev, &got), 1);
	ck_assert(!got && !ev.has_data && ev.data.len == 0);
	ck_assert_uint_eq(mem_used(), 0);
	sse_next(&s, STR("data: c\ndata: d\n\n"), &ev, &got);
	ck_assert(got && str_eq(ev.data, STR("c\nd")));
	ck_assert(!sse_finish(&s, &ev));
	ck_assert_uint_eq(mem_used(), 0);
	sse_free(&s);
}
END_TEST

/* Whether an event is too large depends on the event, not on how it came. */
START_TEST(test_oversized_whatever_the_cut)
{
	struct str text = STR(
		"data: abcdef\n\n: a comment is not counted, however long it is\ndata: a\ndata: b\n\n"
		"event: x\ndata: y\n\nretry: 30000000000\n\ndata: cut");
	static struct notes whole;

	for (size_t max = 0; max < 32; max++) {
		read_stream(text, max, text.len, 1, &whole);
		check_every_cut(text, max, whole.text);
	}
	/* A line counts with its LF: 13 for the first event. */
	check_stream(text, 12, text.len, 1, "[!][!][!][!]{|cut}");
	check_stream(text, 13, text.len, 1, "[|abcdef][!][!][!]{|cut}");
	check_stream(text, 16, text.len, 1, "[|abcdef][|a\nb][!][!]{|cut}");
	check_stream(text, 17, text.len, 1, "[|abcdef][|a\nb][x|y][!]{|cut}");
	check_stream(text, 19, text.len, 1, "[|abcdef][|a\nb][x|y][|-]{|cut}");
	check_stream(text, 9, text.len, 1, "[!][!][!][!][!]");
}
END_TEST

START_TEST(test_memory_is_bounded)
{
	static char piece[5000];
	struct sse s;
	struct sse_event ev;
	bool got;

	memset(piece, 'a', sizeof piece);
	sse_init(&s, 20000);
	ck_assert_int_eq(sse_next(&s, STR("data: first\n\nevent: big\ndata: "), &ev, &got), 13);
	ck_assert_int_eq(sse_next(&s, STR("event: big\ndata: "), &ev, &got), 17);
	for (int i = 0; i < 3400; i++) {
		ck_assert_int_eq(sse_next(&s, (struct str){ piece, sizeof piece }, &ev, &got),
			sizeof piece);
		ck_assert(!got && !sse_between(&s));
		ck_assert_uint_le(mem_used(), 65536);
		ck_assert_msg(i < 4 || mem_used() == 0,
			"%zu bytes held for an event that is skipped over", mem_used());
	}
	ck_assert_int_eq(sse_next(&s, STR("\ndata: more\n\ndata: next\n\n"), &ev, &got), 13);
	ck_assert(got && ev.oversized && sse_between(&s));
	ck_assert_int_eq(sse_next(&s, STR("data: next\n\n"), &ev, &got), 12);
	ck_assert(got && !ev.oversized && str_eq(ev.data, STR("next")));
	sse_free(&s);
}
END_TEST

/* Comments without end, in one line or many, are not gathered. */
START_TEST(test_comments_take_no_memory)
{
	static char piece[5000];
	struct sse s;
	struct sse_event ev;
	bool got;

	memset(piece, 'a', sizeof piece);
	sse_init(&s, 100);
	sse_next(&s, STR("data: x\n:"), &ev, &got);
	size_t used = mem_used();
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(sse_next(&s, (struct str){ piece, sizeof piece }, &ev, &got),
			sizeof piece);
		sse_next(&s, STR("\n: keep-alive\n:"), &ev, &got);
		ck_assert_uint_eq(mem_used(), used);
	}
	ck_assert_int_eq(sse_next(&s, STR("\n\n"), &ev, &got), 2);
	ck_assert(got && !ev.oversized && str_eq(ev.data, STR("x")));
	sse_free(&s);
}
END_TEST

START_TEST(test_no_memory_at_any_call)
{
	struct str text =
		STR("event: name\ndata: a\ndata: b\n\n\xef\xbb: x\n\nevent: open\ndata: cut");
	static struct notes n;
	size_t calls = 0;

	do {
		mem_fail_after(++calls);
		read_stream(text, LARGE, 0, 3, &n);
		mem_fail_after(0);
	} while (n.failed && calls < 100);
	ck_assert_uint_gt(calls, 4);
	ck_assert_uint_lt(calls, 100);
	ck_assert_str_eq(n.text, "[name|a\nb][|-]{open|cut}");
	/* A byte-order mark that was none needs memory too, as does a name at the end. */
	mem_fail_after(1);
	read_stream(STR("\xef\xbbx\n\n"), LARGE, 2, 5, &n);
	ck_assert(n.failed);
	mem_fail_after(2);
	read_stream(STR("data: a\nevent: x"), LARGE, 16, 5, &n);
	mem_fail_after(0);
	ck_assert_str_eq(n.text, "");
}
END_TEST

/* Lines longer than the window in which line ends are looked for. */
START_TEST(test_long_lines)
{
	static char text[4096], expected[4096];

	for (size_t len = 490; len < 540; len++) {
		for (size_t i = 0; i < 3; i++) {
			const char *end = (const char *[]){ "\n", "\r\n", "\r" }[i];
			int n = snprintf(text, sizeof text, "data: %0*d%sevent: x%s%sdata: b%s%s",
				(int)len, 7, end, end, end, end, end);
			snprintf(expected, sizeof expected, "[x|%0*d][|b]", (int)len, 7);
			check_stream((struct str){ text, (size_t)n }, LARGE, (size_t)n, 1,
				expected);
			check_stream((struct str){ text, (size_t)n }, LARGE, 0, 1, expected);
		}
	}
}
END_TEST

static const struct {
	const char *file;
	unsigned events;
	const char *last; /* how the notes end */
} golden[] = {
	{ "anthropic-cut", 4, "\"message\":\"upstream stream ended early\"}}]" },
	{ "anthropic-error", 2, "\"request_id\":\"req_01\"}]" },
	{ "anthropic-thinking", 16, "[message_stop|{\"type\":\"message_stop\"}]" },
	{ "anthropic-tool", 16, "[message_stop|{\"type\":\"message_stop\"}]" },
	{ "cohere-text", 5, "}}}}]" },
	{ "cohere-tool", 7, "}}}}]" },
	{ "completions", 3, "[|[DONE]]" },
	{ "gemini-tool", 4, "\"responseId\":\"r1\"}]" },
	{ "openai-error", 2, "\"code\":\"upstream_error\"}}]" },
	{ "openai-from-anthropic", 9, "[|[DONE]]" },
	{ "openai-from-gemini", 7, "[|[DONE]]" },
	{ "openai-overloaded", 2, "}}]" },
	{ "openai-reasoning", 8, "[|[DONE]]" },
	{ "openai-text", 6, "[|[DONE]]" },
	{ "openai-tool", 7, "[|[DONE]]" },
	{ "responses", 13, "}}}]" },
};

static size_t
golden_read(const char *name, char *out, size_t cap)
{
	char path[512];
	const char *slash = strrchr(__FILE__, '/');
	int dir = slash == NULL ? 0 : (int)(slash - __FILE__) + 1;

	snprintf(path, sizeof path, "%.*s../../golden/sse/%s.sse", dir, __FILE__, name);
	FILE *f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	size_t len = fread(out, 1, cap, f);
	fclose(f);
	ck_assert_uint_lt(len, cap);
	return len;
}

/* The stream with each LF put as `end`. */
static struct str
with_ends(struct str text, const char *end, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] != '\n') {
			out[n++] = text.p[i];
			continue;
		}
		memcpy(out + n, end, strlen(end));
		n += strlen(end);
	}
	return (struct str){ out, n };
}

/* What the notes must be, by plain means: the fixtures have LF, one data line and at most an event
 * line before it. */
static unsigned
golden_expect(char *text, struct notes *n)
{
	unsigned events = 0;

	n->len = 0;
	for (char *block = text, *end; (end = strstr(block, "\n\n")) != NULL;
		block = end + 2, events++) {
		*end = '\0';
		char *data = strstr(block, "data: ");
		ck_assert_ptr_nonnull(data);
		note(n, STR("["));
		if (strncmp(block, "event: ", 7) == 0)
			note(n, (struct str){ block + 7, (size_t)(data - block) - 8 });
		note(n, STR("|"));
		note(n, str_of(data + 6));
		note(n, STR("]"));
		*end = '\n';
	}
	return events;
}

START_TEST(test_golden_streams)
{
	static const char *const ends[] = { "\r\n", "\r", "\n: keep-alive\n" };
	static char text[8192], other[16384];
	static struct notes expected;

	for (size_t i = 0; i < COUNT(golden); i++) {
		size_t len = golden_read(golden[i].file, text, sizeof text - 1),
		       last = strlen(golden[i].last);
		text[len] = '\0';
		ck_assert_msg(golden_expect(text, &expected) == golden[i].events, "%s",
			golden[i].file);
		ck_assert_msg(expected.len > last &&
				strcmp(expected.text + expected.len - last, golden[i].last) == 0,
			"%s ends in %s", golden[i].file, expected.text + expected.len - last);
		check_every_cut((struct str){ text, len }, LARGE, expected.text);
		for (size_t form = 0; form < COUNT(ends); form++) {
			struct str changed =
				with_ends((struct str){ text, len }, ends[form], other);
			check_stream(changed, LARGE, changed.len, 1, expected.text);
			for (size_t step = 1; step < 100; step++)
				check_stream(changed, LARGE, 0, step, expected.text);
		}
	}
}
END_TEST

UNIT_MAIN("http/sse", test_streams, test_between, test_where_events_end, test_slices_are_not_copies,
	test_memory_is_given_back, test_oversized_whatever_the_cut, test_memory_is_bounded,
	test_comments_take_no_memory, test_no_memory_at_any_call, test_long_lines,
	test_golden_streams)
