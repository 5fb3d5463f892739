/*
 * read: a validating JSON tokeniser (RFC 8259, UTF-8) that copies nothing: tokens are offsets into
 * the text. It takes the text in pieces of any size, so that a body can be checked as it streams;
 * only values down to `keep` levels become tokens.
 */
#ifndef JSON_READ_H
#define JSON_READ_H

#include "base/mem.h"
#include "json/text.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

/* What json_scan_init puts into n_max: 24 MB of tokens, and at worst twice that in the arena. */
enum { JSON_DEPTH_MAX = 1024, JSON_TOKENS_MAX = 1 << 20 };

/*
 * One value, or one key of an object (a JSON_STRING with `key` set; its value is the next token).
 * 64-bit offsets from the start of the text; for strings they include the quotes. A container has
 * its token from its first byte on, all else once it is whole, so that tokens can be looked at
 * while a text still streams.
 */
struct json_token {
	/* escaped: the string holds a backslash */
	uint64_t start : 40, type : 3, key : 1, escaped : 1;
	/* one past the last byte; 0 while a container is still open */
	uint64_t end;
	/* index of the token after this value and all that it holds; not set while it is open */
	uint32_t next;
	/* members or elements of a container, also of those that were not kept */
	uint32_t count;
};

struct json_scan {
	/* results */
	struct json_token *tokens;
	uint32_t n;
	/* most tokens, then the fault is "too many values"; may be lowered after json_scan_init */
	uint32_t n_max;
	/* bytes fed so far; at a fault, the offset of the byte at fault */
	uint64_t offset;
	/* NULL, or what is wrong: "invalid number", "nested too deeply" ... All are the text's own
	   but "out of memory", which comes with arena->failed */
	const char *fault;
	/* one whole value has been read (white space may follow); never with a fault. A number at
	   the top ends only with what follows it */
	bool complete;

	/* private from here on */
	uint8_t state, after; /* after: the state that a value leads to */
	uint8_t number, literal;
	uint8_t left;         /* of the BOM or \u: bytes to come; of a literal: bytes that came */
	bool key, escaped;    /* of the string that is being read */
	uint32_t utf8;        /* of json_utf8_step */
	uint32_t cap, parent; /* room for tokens; innermost open container that is kept */
	unsigned keep, depth_max, depth;
	uint64_t value_start;
	struct arena *arena;
	const char *piece;                    /* start of what is being fed: stands at `offset` */
	uint64_t levels[JSON_DEPTH_MAX / 64]; /* one bit a level: set for an object */
};

/*
 * Tokens come from `arena` (may be NULL with keep 0: validate only). `keep`: levels of which tokens
 * are kept: 1 is the top value only, 2 its members too, UINT_MAX all. `depth_max`: 1 to 1,024. A
 * BOM before the text is skipped, as RFC 8259 8.1 allows. Texts up to 2^40 bytes.
 */
void json_scan_init(struct json_scan *s, struct arena *arena, unsigned keep, unsigned depth_max);
/* Feed the next piece. 0, or -1 with s->fault and s->offset. Once failed it stays so. */
int json_scan_feed(struct json_scan *s, const char *p, size_t len);
/* The text has ended. 0, or -1 with fault "unexpected end" and the like. */
int json_scan_end(struct json_scan *s);
/* Whole text at once: init, feed, end. */
int json_scan_text(struct json_scan *s, struct arena *arena, struct str text, unsigned keep,
	unsigned depth_max);

/* The raw text of a token (a string with its quotes). `text` is the whole text. The token must not
 * be an open container. */
struct str json_raw(struct str text, const struct json_token *t);
/* The inside of a string token, still escaped. */
struct str json_inner(struct str text, const struct json_token *t);
/*
 * The value of member `key` in the object at token `object`, or NULL. Keys compare decoded
 * ("mod\u0065l" is "model"). *more (may be NULL) is set when the key stands there more than once
 * (else cleared); the first is returned. The object may still be open. NULL too when `object` is
 * none or its members were not kept.
 */
const struct json_token *json_member(const struct json_scan *s, struct str text,
	const struct json_token *object, struct str key, bool *more);
/* Does the string token, decoded, equal `plain`? A string with a lone surrogate equals nothing. */
bool json_string_is(struct str text, const struct json_token *t, struct str plain);
/*
 * Decode a string token to UTF-8 in the arena. A lone surrogate becomes U+FFFD with *lossy (may be
 * NULL) set, else cleared; U+0000 is a NUL byte in the result. p is NULL when the arena failed.
 * Without escapes it is a slice of `text`: nothing is copied.
 */
struct str json_string(struct str text, const struct json_token *t, struct arena *a, bool *lossy);
/*
 * The text inside a string (its inside, valid and escaped), where it is JSON text itself: decoded,
 * but that half a surrogate pair stays the escape that it was, which a string of that text can
 * hold. Without escapes it is `inner` itself. p NULL when the arena failed.
 */
struct str json_unescape(struct str inner, struct arena *a);
/* A number token that is an integer 0..2^64-1 in digits alone: no sign, fraction or exponent. 0 or
 * -1. */
int json_u64(struct str text, const struct json_token *t, uint64_t *out);

#endif
