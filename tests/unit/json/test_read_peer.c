/*
 * read: the same documents through this tokeniser and through Jansson, a DOM library: random ones,
 * which must mean the same to both, and broken ones, on which both must agree but for what Jansson
 * cannot hold (numbers past a double or a long, lone surrogates, NUL in keys). No NUL bytes:
 * Jansson passes over one that follows a number.
 */
#include "json/read.h"

#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "peer.h"
#include "random.h"
#include "unit.h"

static void
add(struct buf *b, const char *text)
{
	if (buf_add(b, str_of(text)) != 0)
		ck_abort_msg("no memory");
}

static void
random_white(struct buf *b)
{
	static const char *const white[] = { "", "", "", " ", "\n", "\t\r", "          ",
		"\r\n  " };
	add(b, white[below(8)]);
}

static void
random_text(struct buf *b)
{
	static const char *const parts[] = {
		"a",
		"model",
		"0123456789abcdef0",
		" ",
		"\\n",
		"\\\"",
		"\\\\",
		"\\/",
		"\\b",
		"\\u0000",
		"\\u00e9",
		"\\uFFFF",
		"\\ud83d\\uDE00",
		"\xC3\xA9",
		"\xE6\x97\xA5",
		"\xF0\x9F\x98\x80",
		"\x7F",
		"\xE0\xA0\x80",
		"\xED\x9F\xBF",
		"{\\\"a\\\":1}",
		"[,]:",
		"a somewhat longer run of plain text that fills some vectors of sixteen bytes, and of sixty-four",
	};
	for (unsigned n = below(8); n > 0; n--)
		add(b, parts[below(sizeof parts / sizeof parts[0])]);
}

static void
random_scalar(struct buf *b)
{
	static const char *const scalars[] = { "null", "true", "false", "0", "-0", "-1", "10",
		"9223372036854775807", "-9223372036854775808", "1.0", "0.5e3", "-2E-2", "1e+10",
		"123.456" };
	unsigned which = below(20);
	if (which < 14) {
		add(b, scalars[which]);
		return;
	}
	add(b, "\"");
	random_text(b);
	add(b, "\"");
}

static void random_value(struct buf *b, unsigned depth);

static void
random_members(struct buf *b, unsigned depth)
{
	for (unsigned n = below(6), i = 0; i < n; i++) {
		ck_assert_int_eq(buf_printf(b, "%s\"%u", i > 0 ? "," : "", i),
			0); /* the number keeps keys apart */
		struct buf key = BUF_EMPTY;
		random_text(&key);
		if (str_find(buf_str(&key), STR("\\u0000")) == buf_len(&key))
			buf_add(b, buf_str(&key));
		buf_free(&key);
		add(b, "\"");
		random_white(b);
		add(b, ":");
		random_value(b, depth + 1);
	}
}

static void
random_value(struct buf *b, unsigned depth)
{
	unsigned kind = depth > 8 ? 9 : below(depth == 0 ? 6 : 10);
	random_white(b);
	if (kind < 3) {
		add(b, "{");
		random_white(b);
		random_members(b, depth);
		add(b, "}");
	} else if (kind < 6) {
		add(b, "[");
		for (unsigned n = below(6), i = 0; i < n; i++) {
			add(b, i > 0 ? "," : "");
			random_value(b, depth + 1);
		}
		random_white(b);
		add(b, "]");
	} else {
		random_scalar(b);
	}
	random_white(b);
}

static void assert_value(const struct json_scan *s, struct str text, uint32_t *at,
	const json_t *peer);

static void
assert_string(struct str text, const struct json_token *t, struct str peer)
{
	struct arena a;
	bool lossy;
	arena_init(&a, 0);
	struct str plain = json_string(text, t, &a, &lossy);
	ck_assert_msg(str_eq(plain, peer), "%.*s: %.*s", STR_ARG(json_raw(text, t)), STR_ARG(peer));
	ck_assert(!lossy && json_string_is(text, t, peer));
	arena_free(&a);
}

static void
assert_object(const struct json_scan *s, struct str text, uint32_t *at, const json_t *peer)
{
	uint32_t self = *at - 1;
	json_t *object = (json_t *)(uintptr_t)peer;
	ck_assert_uint_eq(s->tokens[self].count, json_object_size(peer));
	for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
		struct str key = str_of(json_object_iter_key(i));
		bool more;
		ck_assert(s->tokens[*at].key);
		assert_string(text, &s->tokens[*at], key);
		++*at;
		ck_assert_ptr_eq(json_member(s, text, &s->tokens[self], key, &more),
			&s->tokens[*at]);
		ck_assert(!more);
		assert_value(s, text, at, json_object_iter_value(i));
	}
}

static void
assert_scalar(struct str text, const struct json_token *t, const json_t *peer)
{
	struct str raw = json_raw(text, t);
	uint64_t n;
	switch (json_typeof(peer)) {
	case JSON_INTEGER:
		ck_assert_uint_eq(t->type, JSON_NUMBER);
		if (json_u64(text, t, &n) == 0)
			ck_assert_uint_eq(n, (uint64_t)json_integer_value(peer));
		else
			ck_assert_msg(raw.p[0] == '-', "%.*s", STR_ARG(raw));
		break;
	case JSON_REAL:
		ck_assert_uint_eq(t->type, JSON_NUMBER);
		ck_assert_int_eq(json_u64(text, t, &n), -1);
		ck_assert(strtod(raw.p, NULL) == json_real_value(peer));
		break;
	case PEER_TRUE:
		ck_assert(t->type == JSON_TRUE && str_eq(raw, STR("true")));
		break;
	case PEER_FALSE:
		ck_assert(t->type == JSON_FALSE && str_eq(raw, STR("false")));
		break;
	default:
		ck_assert(t->type == JSON_NULL && str_eq(raw, STR("null")));
	}
}

/* The value at token *at means what `peer` means; *at is moved past it. */
static void
assert_value(const struct json_scan *s, struct str text, uint32_t *at, const json_t *peer)
{
	const struct json_token *t = &s->tokens[(*at)++];
	ck_assert(!t->key);
	if (json_typeof(peer) == PEER_OBJECT) {
		ck_assert_uint_eq(t->type, JSON_OBJECT);
		assert_object(s, text, at, peer);
	} else if (json_typeof(peer) == PEER_ARRAY) {
		ck_assert_uint_eq(t->type, JSON_ARRAY);
		ck_assert_uint_eq(t->count, json_array_size(peer));
		for (size_t i = 0; i < json_array_size(peer); i++)
			assert_value(s, text, at, json_array_get(peer, i));
	} else if (json_typeof(peer) == PEER_STRING) {
		ck_assert_uint_eq(t->type, JSON_STRING);
		assert_string(text, t,
			(struct str){ json_string_value(peer), json_string_length(peer) });
	} else {
		assert_scalar(text, t, peer);
	}
	ck_assert_uint_eq(t->next, *at);
}

static json_t *
peer_read(struct str text, json_error_t *error)
{
	return json_loadb(text.p, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

START_TEST(random_documents_mean_the_same)
{
	for (unsigned i = 0; i < 500; i++) {
		struct buf b = BUF_EMPTY;
		struct arena a;
		struct json_scan s;
		json_error_t error;
		uint32_t at = 0;
		random_seed = 20000 + i;
		random_value(&b, 0);
		buf_added(&b, (buf_room(&b, 1)[0] = '\0', 0)); /* for strtod */
		arena_init(&a, 0);
		json_t *peer = peer_read(buf_str(&b), &error);
		ck_assert_msg(peer != NULL, "seed %u: %s", 20000 + i, error.text);
		ck_assert_msg(json_scan_text(&s, &a, buf_str(&b), UINT_MAX, 512) == 0,
			"seed %u: %s", 20000 + i, s.fault);
		assert_value(&s, buf_str(&b), &at, peer);
		ck_assert_uint_eq(at, s.n);
		json_decref(peer);
		arena_free(&a);
		buf_free(&b);
	}
}
END_TEST

/* Change, drop, double or insert a byte, mostly one that means something. */
static void
damage(struct buf *b)
{
	static const char bytes[] = "{}[]\",:\\ 019-+.eEtu\n\x01\x80\xC3\xE6\xF0\xFF";
	char *p = b->p + b->start, byte = bytes[below(sizeof bytes - 1)];
	size_t len = buf_len(b), at = below(len);
	switch (below(3)) {
	case 0:
		p[at] = byte;
		break;
	case 1:
		memmove(p + at, p + at + 1, len - at - 1);
		b->end--;
		break;
	default:
		ck_assert_ptr_nonnull(buf_room(b, 1));
		p = b->p + b->start;
		memmove(p + at + 1, p + at, len - at);
		p[at] = below(2) == 0 ? byte : p[at + 1];
		b->end++;
	}
}

START_TEST(broken_documents_are_broken_for_both)
{
	unsigned accepted = 0, rejected = 0, excused = 0;
	for (unsigned i = 0; i < 5000; i++) {
		struct buf b = BUF_EMPTY;
		struct json_scan s;
		json_error_t error = { .text = "" };
		random_seed = 50000 + i;
		random_value(&b, 6);
		for (unsigned n = 1 + below(2); n > 0 && buf_len(&b) > 0; n--)
			damage(&b);
		json_t *peer = peer_read(buf_str(&b), &error);
		bool ours = json_scan_text(&s, NULL, buf_str(&b), 0, 512) == 0;
		bool excuse = strstr(error.text, "Unicode") != NULL ||
			strstr(error.text, "too big") != NULL ||
			strstr(error.text, "too small") != NULL ||
			strstr(error.text, "overflow") != NULL ||
			strstr(error.text, "NUL byte in object key") != NULL;
		ck_assert_msg(ours == (peer != NULL) || (ours && excuse),
			"seed %u: %s at %zu or %s: %.*s", 50000 + i, ours ? "accepted" : s.fault,
			(size_t)s.offset, peer != NULL ? "accepted" : error.text,
			STR_ARG(str_skip(buf_str(&b), s.offset > 20 ? s.offset - 20 : 0)));
		accepted += ours;
		rejected += !ours;
		excused += ours && peer == NULL;
		json_decref(peer);
		buf_free(&b);
	}
	ck_assert_msg(accepted > 500 && rejected > 1500 && excused < 100,
		"%u accepted, %u rejected, %u excused", accepted, rejected, excused);
}
END_TEST

UNIT_MAIN("json/read against a DOM library", random_documents_mean_the_same,
	broken_documents_are_broken_for_both)
