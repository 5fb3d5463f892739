/*
 * text: what stands inside a JSON string, in both directions: runs of bytes that stand for
 * themselves, the UTF-8 rule, what an escape means, what must be escaped.
 *
 * Called by the tokeniser, by read_values for decoding, by edit and write for escaping, by watch to
 * find names in what it does not read. Pure
 * functions over borrowed bytes; none reads past the end it is given. Runs are what makes a body
 * of megabytes cost one pass at memory speed: sixteen bytes are looked at in one go, by the vector
 * types of gcc and clang, which every processor they know has an instruction for or is given some.
 */
#include "json/text.h"

#include <endian.h>
#include <string.h>

const struct str json_replacement = STR_INIT("\xEF\xBF\xBD");

const char json_escapes[256] = {
	['"'] = '"',
	['\\'] = '\\',
	['/'] = '/',
	['b'] = '\b',
	['f'] = '\f',
	['n'] = '\n',
	['r'] = '\r',
	['t'] = '\t',
};

typedef signed char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* 0xff in place of every byte that is not plain. Signed, a byte of 0x80 and more is below 0x20 as
 * control bytes are. */
static inline bytes16
special(const char *p)
{
	bytes16 v;
	memcpy(&v, p, sizeof v);
	return (v < 0x20) | (v == '"') | (v == '\\');
}

static inline bool
any(bytes16 v)
{
	words2 w = (words2)v;
	return (w[0] | w[1]) != 0;
}

/* Offset of the first byte that is set in `v`, or 16. */
static inline size_t
first(bytes16 v)
{
	words2 w = (words2)v;
	if (w[0] != 0)
		return (size_t)__builtin_ctzll(le64toh(w[0])) / 8;
	return w[1] != 0 ? 8 + (size_t)__builtin_ctzll(le64toh(w[1])) / 8 : 16;
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The rest of a run of which the first `i` bytes, sixteen or more, are known to be plain. */
static size_t
plain_run_on(const char *p, size_t len, size_t i)
{
	for (; i < 64 && len - i >= 16; i += 16) {
		size_t at = first(special(p + i));
		if (at < 16)
			return i + at;
	}
	for (; len - i >= 64; i += 64) {
		bytes16 low = special(p + i) | special(p + i + 16);
		bytes16 high = special(p + i + 32) | special(p + i + 48);
		if (any(low | high))
			break;
	}
	for (; len - i >= 16; i += 16) {
		size_t at = first(special(p + i));
		if (at < 16)
			return i + at;
	}
	i = len - 16; /* the last sixteen once more */
	return i + first(special(p + i));
}

size_t
json_plain_run(const char *p, size_t len)
{
	char few[16] = { 0 }; /* a zero byte is not plain */
	size_t i;
	if (len >= 16) {
		i = first(special(p));
		return i < 16 ? i : plain_run_on(p, len, i);
	}
	memcpy(few, p, len);
	return first(special(few));
}

/*
 * Length of the well-formed sequence of two to four bytes that `w`, four bytes of the text read
 * little-endian, begins with (RFC 3629 section 4); 1 for a plain byte that such a sequence may
 * follow; or 0.
 */
static inline size_t
wide(uint32_t w)
{
	if ((w & 0x00C0C0F0) == 0x008080E0) {
		/* E0 80..9F would be overlong, ED A0..BF a surrogate */
		uint32_t range = w & 0x200F;
		return range != 0 && range != 0x200D ? 3 : 0;
	}
	if ((w & 0x0000C0E0) == 0x000080C0)
		return (w & 0x1E) != 0 ? 2 : 0; /* not C0, C1 */
	if ((w & 0xC0C0C0F8) == 0x808080F0) {
		bool overlong = (w & 0x3007) == 0;                  /* F0 80..8F */
		bool beyond = (w & 0x04) != 0 && (w & 0x3003) != 0; /* past F4 8F */
		return overlong || beyond ? 0 : 4;
	}
	return (w & 0x8080) == 0x8000 && is_plain(w & 0xFF) ? 1 : 0;
}

size_t
json_wide_run(const char *p, size_t len)
{
	size_t i = 0, n;
	uint32_t w;
	while (len - i >= 4) {
		memcpy(&w, p + i, sizeof w);
		n = wide(le32toh(w));
		if (n == 0)
			return i;
		i += n;
	}
	while (i < len) {
		w = 0; /* a zero byte continues nothing */
		memcpy(&w, p + i, len - i);
		n = wide(le32toh(w));
		if (n == 0)
			break;
		i += n;
	}
	return i;
}

/* The state between bytes: how many are to come, and the range of the next one. */
static uint32_t
utf8_state(unsigned left, unsigned low, unsigned high)
{
	return left | low << 8 | high << 16;
}

static int
utf8_lead(uint32_t *state, unsigned char byte)
{
	if (byte < 0x80)
		return 0;
	if (byte < 0xC2 || byte > 0xF4)
		return -1;
	if (byte < 0xE0)
		*state = utf8_state(1, 0x80, 0xBF);
	else if (byte < 0xF0)
		*state = utf8_state(2, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF);
	else
		*state = utf8_state(3, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF);
	return 0;
}

int
json_utf8_step(uint32_t *state, unsigned char byte)
{
	uint32_t was = *state;
	*state = 0;
	if (was == 0)
		return utf8_lead(state, byte);
	if (byte < (was >> 8 & 0xFF) || byte > was >> 16)
		return -1;
	unsigned left = (was & 0xFF) - 1;
	*state = left == 0 ? 0 : utf8_state(left, 0x80, 0xBF);
	return 0;
}

int
json_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A bit for each of sixteen bytes: a quote that one of `next` follows. Reads one byte more. */
static inline uint64_t
begins(const char *p, const char next[3])
{
	bytes16 v, behind;
	memcpy(&v, p, sizeof v);
	memcpy(&behind, p + 1, sizeof behind);
	v = (v == '"') & ((behind == next[0]) | (behind == next[1]) | (behind == next[2]));
#ifdef __SSE2__
	return (uint32_t)__builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))v);
#else
	words2 w = (words2)v & 0x0101010101010101;
	return (le64toh(w[0]) * 0x0102040810204080) >> 56 |
		(le64toh(w[1]) * 0x0102040810204080) >> 56 << 8;
#endif
}

static inline uint64_t
begins_32(const char *p, const char next[3])
{
	return begins(p, next) | begins(p + 16, next) << 16;
}

size_t
json_begin(const char *p, size_t len, const char next[3])
{
	size_t i = 0;
	uint64_t found;
	for (; len - i > 32; i += 32)
		if ((found = begins_32(p + i, next)) != 0)
			return i + (size_t)__builtin_ctzll(found);
	if (len > 32) { /* the last ones, partly once more */
		found = begins_32(p + len - 33, next);
		return found != 0 ? len - 33 + (size_t)__builtin_ctzll(found) : len;
	}
	while (i + 1 < len && (p[i] != '"' || memchr(next, p[i + 1], 3) == NULL))
		i++;
	return i + 1 < len ? i : len;
}

static void
put_escape(struct json_stretch *s, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "\0\0\0\0\0\0\0\0btn\0fr\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	char letter = byte < 0x20 ? letters[byte] : (char)byte;
	s->used++;
	s->put[0] = '\\';
	s->put[1] = letter != 0 ? letter : 'u';
	s->put_len = 2;
	if (letter != 0)
		return;
	s->put[2] = s->put[3] = '0';
	s->put[4] = hex[byte >> 4];
	s->put[5] = hex[byte & 15];
	s->put_len = 6;
}

/* `bad` begins with a sequence that is ill-formed or cut off by the end of the text: find out
 * which, and where the next character may begin. */
static void
put_replacement(struct json_stretch *s, struct str bad)
{
	uint32_t state = 0;
	size_t n = 0;
	while (n < bad.len && json_utf8_step(&state, (unsigned char)bad.p[n]) == 0)
		n++;
	if (n == bad.len) {
		s->cut = true;
		return;
	}
	s->used += n > 0 ? n : 1; /* the byte at fault may begin a character, but for the first */
	memcpy(s->put, json_replacement.p, json_replacement.len);
	s->put_len = (uint8_t)json_replacement.len;
}

struct json_stretch
json_stretch(struct str plain)
{
	struct json_stretch s = { 0 };
	size_t n;
	do {
		s.run += json_plain_run(plain.p + s.run, plain.len - s.run);
		n = json_wide_run(plain.p + s.run, plain.len - s.run);
		s.run += n;
	} while (n > 0);
	s.used = s.run;
	if (s.run == plain.len)
		return s;
	unsigned char byte = (unsigned char)plain.p[s.run];
	if (byte < 0x80)
		put_escape(&s, byte);
	else
		put_replacement(&s, str_skip(plain, s.run));
	return s;
}

bool
json_text_plain(struct str s)
{
	uint32_t state = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < ' ' || c == 0x7f || json_utf8_step(&state, c) < 0)
			return false;
	}
	return state == 0;
}

/* Length of the escape at `p`, or 0. */
static size_t
escape_len(const char *p, size_t len)
{
	if (len >= 2 && json_escapes[(unsigned char)p[1]] != 0)
		return 2;
	if (len < 6 || p[1] != 'u')
		return 0;
	for (size_t i = 2; i < 6; i++)
		if (json_hex(p[i]) < 0)
			return 0;
	return 6;
}

size_t
json_text_span(const char *p, size_t len)
{
	size_t at = 0;

	for (;;) {
		size_t n;

		at += json_plain_run(p + at, len - at);
		if (at == len || p[at] == '"')
			return at;
		n = p[at] == '\\' ? escape_len(p + at, len - at) : json_wide_run(p + at, len - at);
		if (n == 0)
			return len;
		at += n;
	}
}
