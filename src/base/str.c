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

#include "base/octets.h"

struct str
str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
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

static uint64_t
word_of(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

/* Four to eight bytes in one word: the first four, and the last four. */
static uint64_t
short_of(const char *p, size_t len)
{
	uint32_t first, last;

	memcpy(&first, p, sizeof first);
	memcpy(&last, p + len - sizeof last, sizeof last);
	return first | (uint64_t)last << 32;
}

/* Eight bytes at once. A letter's case is the bit 0x20, so what is set in `off` may be a letter of
 * the other case, and is one when the byte with that bit is from a to z. */
static bool
same_word_nocase(uint64_t x, uint64_t y)
{
	const uint64_t ones = ~UINT64_C(0) / 255;
	uint64_t off = x ^ y, low;

	if (off == 0)
		return true;
	if ((off & ~(ones * 0x20)) != 0)
		return false;
	low = (x | ones * 0x20) & (ones * 0x7f);
	low = (low + ones * (0x80 - 'a')) & ~(low + ones * (0x7f - 'z')) & ~x & (ones * 0x80);
	return (off & ~(low >> 2)) == 0;
}

bool
str_same_nocase(const char *a, const char *b, size_t len)
{
	size_t i = 0;

	if (len > 8) {
		for (; len - i > 8; i += 8)
			if (!same_word_nocase(word_of(a + i), word_of(b + i)))
				return false;
		/* what is left, with some that was compared already */
		return same_word_nocase(word_of(a + len - 8), word_of(b + len - 8));
	}
	if (len >= 4)
		return same_word_nocase(short_of(a, len), short_of(b, len));
	for (; i < len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool
str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix);
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

/* Of sixteen bytes a bit for each that is not bare. Signed, a byte of 0x80 and more is below 0x20
 * as control bytes are. */
static uint64_t
not_bare(const char *p)
{
	bytes16 v = octets_load(p);

	return octets_bits((v < 0x20) | (v == 0x7f) | (v == '"') | (v == '\\'));
}

size_t
str_bare(struct str s)
{
	char few[16] = { 0 }; /* a zero byte is not bare */
	size_t n = 0;
	uint64_t found;

	for (; s.len - n >= sizeof few; n += sizeof few)
		if ((found = not_bare(s.p + n)) != 0)
			return n + (size_t)__builtin_ctzll(found);
	if (n == s.len)
		return n;
	memcpy(few, s.p + n, s.len - n);
	return n + (size_t)__builtin_ctzll(not_bare(few));
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
			if (i == pattern.len)
				return true;
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

unsigned
str_digits(uint64_t n)
{
	unsigned digits = 1u + (n > 9) + (n > 99) + (n > 999);

	for (n /= 10000; n > 0; n /= 10)
		digits++;
	return digits;
}

void
str_write_u64(char *to, unsigned digits, uint64_t n)
{
	for (; digits > 0; n /= 10)
		to[--digits] = (char)('0' + n % 10);
}

int
str_u64(struct str s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, digit, &n))
			return -1;
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
