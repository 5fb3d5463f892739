/*
 * str: slices of bytes. A slice borrows; it is passed by value and never assumed to end with a NUL.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t len;
};

/* A slice of a string literal, usable as an expression and (STR_INIT) in a static initialiser. */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal)                       \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}
/* For printf: "%.*s" */
#define STR_ARG(s) (int)(s).len, (s).p

/* The slice of a NUL-terminated string; NULL is the empty slice. */
struct str str_of(const char *text);
static inline bool
str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
/* Equal but for the case of ASCII letters; the first is for slices of one length. */
bool str_same_nocase(const char *a, const char *b, size_t len);
static inline bool
str_eq_nocase(struct str a, struct str b)
{
	return a.len == b.len &&
		(a.len == 0 ||
			(((a.p[0] ^ b.p[0]) & ~0x20) == 0 && str_same_nocase(a.p, b.p, a.len)));
}
/* Below 0, 0 or above 0, as memcmp; what another begins with comes before it. */
int str_order(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
/* From byte `from` on; both ends are clamped to the slice. */
static inline struct str
str_skip(struct str s, size_t from)
{
	if (from > s.len)
		from = s.len;
	return (struct str){ s.p ? s.p + from : NULL, s.len - from };
}
static inline struct str
str_head(struct str s, size_t len)
{
	return (struct str){ s.p, len < s.len ? len : s.len };
}
/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);
/* How many bytes at the front are ASCII that stands for itself between quotes: no control byte, no
 * quote, no backslash? */
size_t str_bare(struct str s);
/* Offset of the first `byte`, or s.len. */
size_t str_index(struct str s, char byte);
/* Offset of the first occurrence of `needle`, or s.len. */
size_t str_find(struct str s, struct str needle);
/* Does the glob match the whole of `s`? `*` stands for any run of bytes, all else for itself. Never
 * backtracks twice. */
bool str_glob(struct str pattern, struct str s);
/* How many decimal digits a number has; and those of its last `digits`, written to `to`. */
unsigned str_digits(uint64_t n);
void str_write_u64(char *to, unsigned digits, uint64_t n);
/* Decimal digits only, no sign, the whole slice. 0, or -1 when it is empty, has another byte or
 * exceeds 2^64-1. */
int str_u64(struct str s, uint64_t *out);
/* Next item of a comma-separated list (RFC 9110 5.6.1), trimmed; empty items are skipped. False at
 * the end. */
bool str_list_next(struct str *rest, struct str *item);

#endif
