/*
 * str: slices of bytes.
 *
 * Pure functions over borrowed bytes, called from every floor: no allocation, no state, no failure
 * but the stated ones. A slice may hold any bytes, and an empty one may have no pointer at all, so
 * nothing here hands a NULL to the C library.
 *
 * The glob has `*` only and keeps one mark to come back to, so its time is bounded by the product
 * of the lengths whatever the pattern.
 */
#include "base/str.h"

#include <string.h>

struct str
str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

bool
str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

int
str_order(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;
	return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

bool
str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix);
}

struct str
str_skip(struct str s, size_t from)
{
	if (from > s.len)
		from = s.len;
	return (struct str){ s.p ? s.p + from : NULL, s.len - from };
}

struct str
str_head(struct str s, size_t len)
{
	return (struct str){ s.p, len < s.len ? len : s.len };
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str
str_trim(struct str s)
{
	while (s.len > 0 && is_blank(s.p[0]))
		s = str_skip(s, 1);
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

size_t
str_index(struct str s, char byte)
{
	const char *at = s.len > 0 ? memchr(s.p, byte, s.len) : NULL;
	return at ? (size_t)(at - s.p) : s.len;
}

size_t
str_find(struct str s, struct str needle)
{
	const char *at = s.len > 0 ? memmem(s.p, s.len, needle.p, needle.len) : NULL;
	return at ? (size_t)(at - s.p) : s.len;
}

bool
str_glob(struct str pattern, struct str s)
{
	size_t i = 0, j = 0, star = SIZE_MAX, mark = 0;

	while (j < s.len) {
		if (i < pattern.len && pattern.p[i] == '*') {
			star = i++;
			mark = j;
		} else if (i < pattern.len && pattern.p[i] == s.p[j]) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			j = ++mark;
		} else {
			return false;
		}
	}
	while (i < pattern.len && pattern.p[i] == '*')
		i++;
	return i == pattern.len;
}

int
str_u64(struct str s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	*out = n;
	return 0;
}

bool
str_list_next(struct str *rest, struct str *item)
{
	while (rest->len > 0) {
		size_t at = str_index(*rest, ',');

		*item = str_trim(str_head(*rest, at));
		*rest = str_skip(*rest, at + 1);
		if (item->len > 0)
			return true;
	}
	return false;
}
