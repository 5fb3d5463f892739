/*
 * Embed: what pairs of text (tests/golden/translate/embeddings-*) cannot show: base64 of vectors of
 * every length, token counts, no memory.
 */
#include "dialect/embed.h"

#include <string.h>

#include "dialect/translate.h"
#include "unit.h"

struct session {
	struct arena arena, scratch;
	struct chat_options options;
	struct chat chat;
};

static void
session_open(struct session *s, enum dialect_id provider)
{
	*s = (struct session){ .chat = { .endpoint = &endpoints[ENDPOINT_EMBEDDINGS],
				       .provider = provider,
				       .model = STR("m"),
				       .target = STR("up") } };
	arena_init(&s->arena, 0);
	arena_init(&s->scratch, 0);
	s->chat.arena = &s->arena;
	s->chat.scratch = &s->scratch;
	s->chat.options = &s->options;
}

static void
session_close(struct session *s)
{
	arena_free(&s->arena);
	arena_free(&s->scratch);
}

START_TEST(test_can)
{
	ck_assert(embed_can(DIALECT_GEMINI) && embed_can(DIALECT_COHERE) &&
		embed_can(DIALECT_OLLAMA));
	ck_assert(!embed_can(DIALECT_ANTHROPIC) && !embed_can(DIALECT_OPENAI));
}
END_TEST

/* 1 is 00 00 80 3f: "AACAPwAAgD8AAIA/" for three; one and two end in padding. */
START_TEST(test_base64)
{
	static const char three[] = "AACAPwAAgD8AAIA/";
	static const char *const ends[] = { "", "AACAPw==", "AACAPwAAgD8=" };
	static char reply[16384], want[16384];

	for (size_t n = 1; n < 1200; n++) {
		struct buf out = BUF_EMPTY;
		struct session s;
		struct translate t;
		size_t len = 0, at = 0;

		memcpy(reply, "{\"embeddings\":[[", 16);
		for (len = 16; len < 16 + 2 * n; len += 2)
			memcpy(reply + len, "1,", 2);
		memcpy(reply + len - 1, "]]}", 3);
		want[at++] = '"';
		for (size_t i = 0; i < n / 3; i++, at += 16)
			memcpy(want + at, three, 16);
		memcpy(want + at, ends[n % 3], strlen(ends[n % 3]));
		at += strlen(ends[n % 3]);
		want[at++] = '"';
		session_open(&s, DIALECT_OLLAMA);
		s.chat.base64 = true;
		ck_assert_int_eq(translate_open(&t, &s.chat), 0);
		ck_assert_int_eq(translate_reply(&t, (struct str){ reply, len + 2 }, &out),
			TRANSLATE_OK);
		ck_assert_msg(str_find(buf_str(&out), (struct str){ want, at }) < buf_len(&out),
			"%zu", n);
		buf_free(&out);
		session_close(&s);
	}
}
END_TEST

START_TEST(test_usage)
{
	static const struct {
		enum dialect_id provider;
		const char *reply;
		int64_t tokens; /* -1: not said */
	} rows[] = {
		{ DIALECT_GEMINI, "{\"embeddings\":[{\"values\":[1]}]}", -1 },
		{ DIALECT_GEMINI,
			"{\"embedding\":{\"values\":[1]},\"usageMetadata\":{\"promptTokenCount\":3}}",
			3 },
		{ DIALECT_COHERE,
			"{\"embeddings\":[[1]],\"meta\":{\"billed_units\":{\"input_tokens\":4}}}",
			4 },
		{ DIALECT_COHERE, "{\"embeddings\":{\"float\":[[1]]},\"meta\":[]}", -1 },
		{ DIALECT_OLLAMA, "{\"embeddings\":[[1]],\"prompt_eval_count\":0}", 0 },
		{ DIALECT_OLLAMA, "{\"embeddings\":[[1]],\"prompt_eval_count\":\"5\"}", -1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf out = BUF_EMPTY;
		struct session s;
		struct translate t;

		session_open(&s, rows[i].provider);
		ck_assert_int_eq(translate_open(&t, &s.chat), 0);
		ck_assert_int_eq(translate_reply(&t, str_of(rows[i].reply), &out), TRANSLATE_OK);
		ck_assert_msg(t.has_usage == (rows[i].tokens >= 0), "%s", rows[i].reply);
		ck_assert_int_eq(t.usage.input, rows[i].tokens);
		ck_assert_int_eq(t.usage.output, -1);
		buf_free(&out);
		session_close(&s);
	}
}
END_TEST

/* One try with memory that fails at the n-th time. Was that enough? */
static bool
try_all(enum dialect_id provider, const char *reply, size_t n)
{
	struct buf sent = BUF_EMPTY, out = BUF_EMPTY;
	struct session s;
	struct translate t;
	bool done;

	session_open(&s, provider);
	mem_fail_after(n);
	done = translate_request(&s.chat,
		       STR("{\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\",\"user\":\"u\"}"),
		       &sent) == 0;
	if (!done)
		ck_assert_int_eq(s.chat.error.kind, ERROR_OVERLOADED);
	if (done) {
		enum translate_verdict verdict = TRANSLATE_MEMORY;

		if (translate_open(&t, &s.chat) == 0)
			verdict = translate_reply(&t, str_of(reply), &out);
		done = verdict == TRANSLATE_OK;
		ck_assert(done || verdict == TRANSLATE_MEMORY);
	}
	mem_fail_after(0);
	buf_free(&sent);
	buf_free(&out);
	session_close(&s);
	ck_assert_uint_eq(mem_used(), 0);
	return done;
}

START_TEST(test_no_memory)
{
	static const struct {
		enum dialect_id provider;
		const char *reply;
	} rows[] = {
		{ DIALECT_GEMINI, "{\"embeddings\":[{\"values\":[1]},{\"values\":[2]}]}" },
		{ DIALECT_COHERE, "{\"embeddings\":{\"float\":[[1],[2]]}}" },
		{ DIALECT_OLLAMA, "{\"embeddings\":[[1],[2]]}" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t n = 1;

		while (!try_all(rows[i].provider, rows[i].reply, n))
			n++;
		ck_assert_uint_gt(n, 2);
	}
}
END_TEST

UNIT_MAIN("dialect/embed", test_can, test_base64, test_usage, test_no_memory)
