/*
 * translation: what the fuzz targets of the adapters share: a session whose settings come from
 * bytes, the validators of the unit tests (their ck_ assertions end the process here), and a
 * mutator that knows JSON, lines and events.
 */
#ifndef TRANSLATION_H
#define TRANSLATION_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALID_HOSTILE
#define UNIT_H /* in the place of Check */
#define ck_abort_msg(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())
#define ck_assert_msg(cond, ...) ((cond) ? (void)0 : ck_abort_msg(__VA_ARGS__))
#define ck_assert_int_eq(a, b) assert((a) == (b))
#define ck_assert_int_gt(a, b) assert((a) > (b))
#define ck_assert_uint_lt(a, b) assert((a) < (b))
#define ck_assert_ptr_nonnull(p) assert(p)

#include "dialect/valid_anthropic.h"
#include "dialect/valid_openai.h"
#include "dialect/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

struct session {
	struct arena arena, scratch;
	struct chat_options options;
	struct chat_name names[2];
	struct chat chat;
};

/* The n-th pair of a client protocol and a provider between which there is translation. */
static inline void
session_sides(struct chat *c, unsigned n)
{
	static const enum endpoint_id clients[] = { ENDPOINT_CHAT, ENDPOINT_COMPLETIONS,
		ENDPOINT_MESSAGES, ENDPOINT_EMBEDDINGS };

	for (;;) {
		for (size_t i = 0; i < COUNT(clients); i++) {
			for (int d = DIALECT_OPENAI; d < DIALECT_ECHO; d++) {
				c->endpoint = &endpoints[clients[i]];
				c->provider = (enum dialect_id)d;
				if (endpoint_upstream(c->endpoint, c->provider).len == 0 &&
					translate_can(c->endpoint, c->provider) && n-- == 0)
					return;
			}
		}
	}
}

static inline void
session_open(struct session *s, unsigned sides)
{
	*s = (struct session){ .options = { .n_strip = 0 } };
	arena_init(&s->arena, 0);
	arena_init(&s->scratch, 0);
	s->chat = (struct chat){ .arena = &s->arena,
		.scratch = &s->scratch,
		.options = &s->options,
		.version = STR("2023-06-01"),
		.max_tokens = 4096,
		.model = STR("m"),
		.target = STR("up"),
		.created_s = 1790000000,
		.seed = 1 };
	session_sides(&s->chat, sides);
}

static inline void
session_close(struct session *s)
{
	arena_free(&s->arena);
	arena_free(&s->scratch);
}

static inline bool
is_utf8(struct str s)
{
	uint32_t state = 0;

	for (size_t i = 0; i < s.len; i++)
		if (json_utf8_step(&state, (unsigned char)s.p[i]) < 0)
			return false;
	return state == 0;
}

static inline void
assert_error(const struct error *e)
{
	assert(e->kind < ERROR_KINDS && e->message.p && e->message.len > 0);
	assert(is_utf8(e->message) && is_utf8(e->param) && is_utf8(e->code));
}

/*
 * The mutator
 */

static unsigned mutator_state;

static inline size_t
below(size_t n)
{
	mutator_state = mutator_state * 1664525u + 1013904223u;
	return n == 0 ? 0 : (mutator_state >> 8) % n;
}

/* Put `with` in the place of text[at..at+old). The new size; the same when there is no room. */
static inline size_t
splice(uint8_t *text, size_t size, size_t most, size_t at, size_t old, struct str with)
{
	char *copy;

	if (size - old + with.len > most)
		return size;
	copy = malloc(with.len + 1); /* it may lie in the text */
	assert(copy);
	memcpy(copy, with.p, with.len);
	memmove(text + at + with.len, text + at + old, size - at - old);
	memcpy(text + at, copy, with.len);
	free(copy);
	return size - old + with.len;
}

/* A token gets the place of another, or of a value that is seldom thought of; or is there twice. */
static inline size_t
mutate_json(uint8_t *text, size_t size, size_t most, struct str part)
{
	static const struct str values[] = { STR_INIT("null"), STR_INIT("true"), STR_INIT("false"),
		STR_INIT("0"), STR_INIT("-1"), STR_INIT("1.5e3"), STR_INIT("1e999"), STR_INIT("2"),
		STR_INIT("18446744073709551616"), STR_INIT("9223372036854775807"), STR_INIT("\"\""),
		STR_INIT("\"\\ud800\""), STR_INIT("\"\\u0000\\n\""), STR_INIT("\"{}\""),
		STR_INIT("\"\\u007b\\\"a\\\":[\""), STR_INIT("[]"), STR_INIT("{}"),
		STR_INIT("[null]"), STR_INIT("[\"a\"]"), STR_INIT("[[]]"),
		STR_INIT("{\"type\":\"text\",\"text\":\"x\"}") };
	struct json_doc d;
	struct arena a;
	struct str raw, other, made;
	size_t at;

	arena_init(&a, 0);
	if (json_doc_read(&d, &a, part, UINT32_MAX, JSON_DEPTH_MAX) == 0 && d.scan.n > 0) {
		raw = json_doc_raw(&d, &d.scan.tokens[below(d.scan.n)]);
		other = json_doc_raw(&d, &d.scan.tokens[below(d.scan.n)]);
		at = (size_t)(raw.p - (const char *)text);
		switch (below(6)) {
		case 0:
		case 1:
			size = splice(text, size, most, at, raw.len, other);
			break;
		case 2:
			made = arena_printf(&a, "[%.*s,%.*s]", STR_ARG(raw), STR_ARG(other));
			size = splice(text, size, most, at, raw.len, made);
			break;
		case 3:
			made = arena_printf(&a, "%.*s,%.*s", STR_ARG(raw), STR_ARG(raw));
			size = splice(text, size, most, at, raw.len, made);
			break;
		default:
			size = splice(text, size, most, at, raw.len, values[below(COUNT(values))]);
		}
	}
	arena_free(&a);
	return size;
}

/* The line (or event) that begins at or after `at`. */
static inline struct str
line_at(struct str text, size_t at, struct str mark)
{
	if (at > 0)
		at += str_find(str_skip(text, at), mark) + mark.len;
	text = str_skip(text, at);
	return str_head(text, str_find(text, mark) + mark.len);
}

/* `fixed` bytes of settings stand before the text. */
static inline size_t
mutate(uint8_t *data, size_t size, size_t most, unsigned seed, size_t fixed)
{
	struct str text = { (const char *)data + fixed, size - fixed }, part, other;
	uint8_t *body = data + fixed;

	mutator_state = seed;
	if (size < fixed || below(3) == 0)
		return LLVMFuzzerMutate(data, size, most);
	if (below(16) == 0) {
		data[below(fixed)] = (uint8_t)below(256);
		return size;
	}
	part = line_at(text, below(2) ? below(text.len) : 0, below(2) ? STR("\n\n") : STR("\n"));
	other = line_at(text, below(text.len), STR("\n"));
	if (part.len == 0 || below(4) == 0) {
		part = text;
	} else if (below(3) == 0) { /* events: one twice, without it, another in its place */
		struct str with[] = { { NULL, 0 }, part, other };
		struct str put = with[below(3)];

		return fixed +
			splice(body, text.len, most - fixed, (size_t)(part.p - text.p),
				below(2) ? part.len : 0, put.p ? put : STR(""));
	}
	part = str_skip(part, str_find(part, STR("{")));
	return fixed + mutate_json(body, text.len, most - fixed, part);
}

#endif
