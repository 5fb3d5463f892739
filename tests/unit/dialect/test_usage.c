/*
 * Usage of replies. Here each reply is read twice: by a watch, in pieces cut anywhere, and the slow
 * way: byte by byte, with the value of `usage` copied and looked up by its tokens. Both must know
 * the same, of every prefix and of replies that were changed at random.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/usage.h"
#include "random.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

enum { ROUNDS = 6000, ROOM = 4096, USAGE_MOST = 8192 };

#define CHAT_USAGE                                                                         \
	"\"usage\":{\"prompt_tokens\":240,\"completion_tokens\":24,\"total_tokens\":264,"  \
	"\"prompt_tokens_details\":{\"cached_tokens\":40},\"completion_tokens_details\":{" \
	"\"reasoning_tokens\":10,\"accepted_prediction_tokens\":0}}"

static const struct {
	enum endpoint_id id;
	const char *text;
} replies[] = {
	{ ENDPOINT_CHAT,
		"{\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a \\\"usage\\\":{ b\"},\"finish_reason\":\"stop\"}]," CHAT_USAGE
		",\"x\":[1,{\"usage\":{}}]}" },
	{ ENDPOINT_CHAT,
		"{ \"error\" : null, \"usage\" : { \"prompt_tokens\" : 7,\n\t\"completion_tokens\" : 2.0, \"cost\":0.25, \"queue_time\":1e-3 } , \"choices\" : [ ] }" },
	{ ENDPOINT_CHAT,
		"{\"usage\":{\"prompt_tokens\":9,\"prompt_tokens_details\":null,\"is_byok\":false,\"b\":true,\"cost\":0.5,\"tier\":\"d\xc3\xa9j\xc3\xa0\",\"output_tokens\":999999999999999999}}" },
	{ ENDPOINT_RESPONSES,
		"{\"id\":\"r\",\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":10,\"cache_write_tokens\":5},\"output_tokens\":12,"
		"\"output_tokens_details\":{\"reasoning_tokens\":4,\"thinking_tokens\":3}},\"error\":{\"code\":\"x\"}}" },
	{ ENDPOINT_MESSAGES,
		"{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"long enough for more than one window of text, and then some\"}],"
		"\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":100,"
		"\"cache_creation\":{\"ephemeral_5m_input_tokens\":3},\"output_tokens\":40,\"service_tier\":\"standard\"}}" },
};

/* What is put into a reply. */
static const char *const pieces[] = {
	"\"usage\":",
	CHAT_USAGE ",",
	"\"usage\":{\"output_tokens\":5,\"thinking_tokens\":1},",
	"\"prompt_tokens\":1,",
	"\"prompt_tokens\":null,",
	"\"input_tokens\":2,",
	"\"output_tokens\":-3,",
	"\"completion_tokens\":18446744073709551615,",
	"\"completion_tokens\":1000000000000000000,",
	"\"cached_tokens\":1,",
	"\"prompt_tokens_details\":{\"cached_tokens\":1},",
	"\"prompt_tokens_details\":{},",
	"\"input_tokens_details\":{\"cached_tokens\":2},",
	"\"output_tokens_details\":null,",
	"\"output_tokens_details\":{\"thinking_tokens\":2},",
	"\"completion_tokens_details\":{\"thinking_tokens\":{}},",
	"\"prompt_t\\u006fkens\":6,",
	"\"us\\u0061ge\":{\"prompt_tokens\":1},",
	"\"x\":\"\\\"\",",
	"\"x\":\"\\\\\",",
	"\"x\":[[{}]],",
	"\"x\":{\"y\":{}},",
	"\"x\":01,",
	"\"x\":1.,",
	"\"x\":nul,",
	"\"error\":",
	"\"error\":\"\",",
	"\"error\":\" \",",
	"\"error\":{},",
	"{",
	"}",
	"[",
	"]",
	"\"",
	"\\",
	":",
	",",
	"0",
	".5",
	" ",
	"\n",
	"\x01",
	"\xff",
	"\xe2\x82\xac",
	"null",
	"true",
};

/* What is known of a reply. */
struct facts {
	struct usage usage;
	bool has_usage, error, inside;
};

/*
 * The slow way
 */

struct slow {
	struct facts facts;
	bool anthropic, started, over, in_string, escaped, in_key, is_usage, is_error;
	size_t depth, len, head_len;
	char value[USAGE_MOST], head[8];
};

static int64_t
number(const struct json_scan *scan, struct str text, const struct json_token *t, const char *name)
{
	const struct json_token *value =
		t != NULL ? json_member(scan, text, t, str_of(name), NULL) : NULL;
	uint64_t n;

	if (value == NULL || json_u64(text, value, &n) != 0)
		return -1;
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static int64_t
either(int64_t a, int64_t b)
{
	return a >= 0 ? a : b;
}

static int64_t
less(int64_t n, int64_t part)
{
	return n < 0 || part < 0 ? n : part < n ? n - part : 0;
}

static void
slow_usage(struct slow *s)
{
	struct str text = { s->value, s->len };
	const struct json_token *in, *out, *t;
	struct usage u, *old = &s->facts.usage;
	struct json_scan scan;
	struct arena a;

	arena_init(&a, 0);
	if (json_scan_text(&scan, &a, text, 5, 512) != 0 || scan.tokens->type != JSON_OBJECT) {
		arena_free(&a);
		return;
	}
	t = scan.tokens;
	in = json_member(&scan, text, t, STR("prompt_tokens_details"), NULL);
	if (in == NULL)
		in = json_member(&scan, text, t, STR("input_tokens_details"), NULL);
	out = json_member(&scan, text, t, STR("completion_tokens_details"), NULL);
	if (out == NULL)
		out = json_member(&scan, text, t, STR("output_tokens_details"), NULL);
	u.cache_read = number(&scan, text, in, "cached_tokens");
	u.cache_write = number(&scan, text, in, "cache_write_tokens");
	u.input = less(less(either(number(&scan, text, t, "prompt_tokens"),
				    number(&scan, text, t, "input_tokens")),
			       u.cache_read),
		u.cache_write);
	u.output = either(number(&scan, text, t, "completion_tokens"),
		number(&scan, text, t, "output_tokens"));
	u.cache_read = either(u.cache_read, number(&scan, text, t, "cache_read_input_tokens"));
	u.cache_write =
		either(u.cache_write, number(&scan, text, t, "cache_creation_input_tokens"));
	u.reasoning = either(number(&scan, text, out, "reasoning_tokens"),
		number(&scan, text, out, "thinking_tokens"));
	arena_free(&a);
	if (u.input < 0 && u.output < 0)
		return;
	if (s->anthropic)
		u = (struct usage){ either(u.input, old->input), either(u.output, old->output),
			either(u.cache_read, old->cache_read),
			either(u.cache_write, old->cache_write),
			either(u.reasoning, old->reasoning) };
	*old = u;
	s->facts.has_usage = true;
}

static void
slow_keep(struct slow *s, char c)
{
	if (s->in_key || s->is_error) {
		if (s->head_len < sizeof s->head &&
			(s->in_key || strchr(" \t\r\n", c) == NULL || c == '\0'))
			s->head[s->head_len++] = c;
	} else if (s->is_usage) {
		s->is_usage = s->len < sizeof s->value;
		if (s->is_usage)
			s->value[s->len++] = c;
	}
}

static void
slow_value_end(struct slow *s)
{
	struct str head = { s->head, s->head_len };

	if (s->is_usage)
		slow_usage(s);
	if (s->is_error && head.len > 0 && !str_eq(head, STR("null")) &&
		!str_eq(head, STR("false")) && !str_eq(head, STR("0")) &&
		!str_eq(head, STR("\"\"")))
		s->facts.error = true;
	s->is_usage = s->is_error = false;
}

static void
slow_structure(struct slow *s, char c)
{
	bool top = s->depth == 1;

	if (top && (c == ',' || c == '}'))
		slow_value_end(s);
	else if (!s->in_key)
		slow_keep(s, c);
	if (c == '"') {
		s->in_string = true;
		if (s->in_key)
			s->head_len = 0;
	} else if (c == '{' || c == '[') {
		s->depth++;
	} else if (c == '}' || c == ']') {
		s->over = --s->depth == 0;
	} else if (c == ',' && top) {
		s->in_key = true;
	} else if (c == ':' && top && s->in_key) {
		struct str key = { s->head, s->head_len };
		s->in_key = false;
		s->is_usage = str_eq(key, STR("usage"));
		s->is_error = str_eq(key, STR("error"));
		s->len = s->head_len = 0;
	}
}

static void
slow_byte(struct slow *s, char c)
{
	if (s->over)
		return;
	if (!s->started) {
		if (memchr(" \t\r\n\xef\xbb\xbf", c, 7) != NULL)
			return;
		s->started = s->in_key = true;
		s->depth = 1;
		s->over = c != '{';
	} else if (!s->in_string) {
		slow_structure(s, c);
	} else {
		bool quote = c == '"' && !s->escaped;
		if (!quote || !s->in_key)
			slow_keep(s, c);
		s->escaped = c == '\\' && !s->escaped;
		s->in_string = !quote;
	}
}

static struct facts
slow(enum endpoint_id id, const char *p, size_t len)
{
	static struct slow s;

	s = (struct slow){ .facts.usage = { -1, -1, -1, -1, -1 },
		.anthropic = endpoints[id].client == DIALECT_ANTHROPIC };
	for (size_t i = 0; i < len; i++)
		slow_byte(&s, p[i]);
	s.facts.inside = s.started && !s.over;
	return s.facts;
}

/* A watch, that gets pieces of up to `most` bytes, each a copy of its own so that a read past it is
 * found. */
static struct facts
watched(enum endpoint_id id, const char *p, size_t len, size_t most)
{
	struct facts facts;
	struct watch w;

	watch_init(&w, &endpoints[id]);
	for (size_t at = 0, n; at < len; at += n) {
		n = most < len ? 1 + below(most) : len;
		if (n > len - at)
			n = len - at;
		char *piece = malloc(n);
		memcpy(piece, p + at, n);
		watch_reply(&w, (struct str){ piece, n });
		free(piece);
	}
	facts = (struct facts){ w.usage, w.has_usage, w.error, watch_reply_inside(&w) };
	watch_reply_end(&w);
	ck_assert_uint_eq(mem_used(), 0);
	return facts;
}

static struct facts
check(enum endpoint_id id, const char *p, size_t len)
{
	static const size_t cuts[] = { SIZE_MAX, 200, 20, 1 };
	struct facts want = slow(id, p, len);

	for (size_t i = 0; i < COUNT(cuts); i++) {
		struct facts got = watched(id, p, len, cuts[i]);
		if (memcmp(&got.usage, &want.usage, sizeof got.usage) != 0 ||
			got.has_usage != want.has_usage || got.error != want.error ||
			got.inside != want.inside)
			ck_abort_msg("not known as the slow way knows it, in pieces of %zu: %.*s",
				cuts[i], (int)len, p);
	}
	return want;
}

START_TEST(test_prefixes)
{
	for (size_t i = 0; i < COUNT(replies); i++)
		for (size_t len = 0; len <= strlen(replies[i].text); len++)
			check(replies[i].id, replies[i].text, len);
}
END_TEST

/* A byte changed, some bytes taken out, or a piece put in, mostly where a member may stand. */
static size_t
change(char text[ROOM], size_t len)
{
	for (size_t times = 1 + below(3); times > 0; times--) {
		const char *piece = pieces[below(COUNT(pieces))];
		size_t at = 1 + below(len - 1), n = below(6);

		if (n == 0) {
			text[at] = piece[0];
		} else if (n == 1) {
			n = below(len - at < 20 ? len - at : 20);
			memmove(text + at, text + at + n, len - at - n);
			len -= n;
		} else {
			size_t room = strlen(piece);
			while (n > 2 && at > 1 && text[at - 1] != '{' && text[at - 1] != ',')
				at--;
			memmove(text + at + room, text + at, len - at);
			memcpy(text + at, piece, room);
			len += room;
		}
	}
	return len;
}

START_TEST(test_changed)
{
	size_t known = 0, unknown = 0, errors = 0;

	for (size_t i = 0; i < COUNT(replies); i++)
		for (int round = 0; round < ROUNDS; round++) {
			char text[ROOM];
			size_t len = strlen(replies[i].text);

			memcpy(text, replies[i].text, len);
			len = change(text, len);
			struct facts facts = check(replies[i].id, text, len);
			known += facts.has_usage;
			unknown += !facts.has_usage;
			errors += facts.error;
		}
	ck_assert_msg(known > 5000 && unknown > 2000 && errors > 500, "%zu, %zu, %zu", known,
		unknown, errors);
}
END_TEST

/* A value that is one byte too long is not usage, in one piece or more. */
START_TEST(test_long)
{
	char text[USAGE_MOST + 100];

	for (int over = 0; over < 2; over++) {
		int len = snprintf(text, sizeof text, "{\"usage\":%*s,\"x\":1}", USAGE_MOST + over,
			"{\"prompt_tokens\":7}");
		struct facts facts = check(ENDPOINT_CHAT, text, (size_t)len);
		ck_assert_int_eq(facts.has_usage, !over);
	}
}
END_TEST

/* Where each plain object is read to; and what is not plain, or not all there, is not read. */
START_TEST(test_in_passing)
{
	static const struct {
		const char *text;
		size_t len;
		int64_t input, output;
	} cases[] = {
		{ "{\"prompt_tokens\":1,\"completion_tokens\":2},", 41, 1, 2 },
		{ " { \"prompt_tokens\" : 1 } }", 25, 1, -1 },
		{ "{\"input_tokens\":0,\"x\":{\"input_tokens\":5}}}", 41, 0, -1 },
		{ "{\"x\":\"a\",\"y\":1.25,\"z\":null,\"output_tokens\":3}}", 45, -1, 3 },
		{ "{}}", 2, -1, -1 },
		{ "{\"prompt_tokens\":1}", 0, -1, -1 },
		{ "{\"prompt_tokens\":1}]", 0, -1, -1 },
		{ "{\"prompt_tokens\":1", 0, -1, -1 },
		{ "{\"prompt_tokens\":1,}}", 0, -1, -1 },
		{ "{\"prompt_tokens\":01}}", 0, -1, -1 },
		{ "{\"prompt_tokens\":1e1}}", 0, -1, -1 },
		{ "{\"prompt_tokens\":1,\"prompt_tokens\":2}}", 0, -1, -1 },
		{ "{\"prompt_tokens_details\":{},\"input_tokens_details\":{}}}", 0, -1, -1 },
		{ "{\"x\":{\"y\":{}}}}", 0, -1, -1 },
		{ "{\"\\u0078\":1}}", 0, -1, -1 },
		{ "{\"x\":[]}}", 0, -1, -1 },
		{ "{\"prompt_tokens\\\":1}}", 0, -1, -1 },
		{ "{\"prompt_tokens", 0, -1, -1 },
		{ "null,", 0, -1, -1 },
		{ "", 0, -1, -1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str text = str_of(cases[i].text);
		struct watch w;

		watch_init(&w, &endpoints[ENDPOINT_CHAT]);
		const char *to = usage_in_passing(&w, text.p, text.p + text.len);
		ck_assert_msg((size_t)(to - text.p) == cases[i].len, "'%s': to %zu", text.p,
			(size_t)(to - text.p));
		ck_assert_int_eq(w.usage.input, cases[i].input);
		ck_assert_int_eq(w.usage.output, cases[i].output);
	}
}
END_TEST

UNIT_MAIN("dialect/usage", test_prefixes, test_changed, test_long, test_in_passing)
