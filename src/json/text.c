/*
 * text: what stands inside a JSON string, in both directions: runs of bytes that stand for
 * themselves, the UTF-8 rule, what an escape means, what must be escaped.
 *
 * Called by the tokeniser, by read_values for decoding, by edit and write for escaping, by watch to
 * find names in what it does not read. Pure functions over borrowed bytes; none reads past the end
 * it is given.
 *
 * Runs are what makes a body of megabytes cost one pass at memory speed. A window of 16 bytes (most
 * strings end in the first), then windows of 64, are compared in one go, by the vector types of gcc
 * and clang; a bit for each byte says where something stands. Escapes are taken bit by bit, and
 * UTF-8 is judged for a whole window: each byte by the three before it, which are loaded for all of
 * them from one, two and three places earlier. Where the next window begins does not hang on what
 * was found in this one, but for an escape that lies across: so the processor works ahead.
 */
#include "json/text.h"

#include <endian.h>
#include <string.h>

#include "base/octets.h"

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

/* Every byte that is not plain. Signed, a byte of 0x80 and more is below 0x20 as control bytes are.
 * A quote is next to them when 0x22 and 0x20 have changed places.
 */
static inline bytes16
special(bytes16 v)
{
	return ((v ^ 2) < 0x21) | (v == '\\');
}

/* Bytes of a string, a bit for each: those that are not plain, and of them those of 0x80 and more.
 */
struct window {
	uint64_t special, wide;
};

static inline struct window
look(const char *p, size_t n)
{
	struct window w = { 0 };
	for (size_t i = 0; i < n; i += 16) {
		bytes16 v = octets_load(p + i);
		w.special |= octets_bits(special(v)) << i;
		w.wide |= octets_bits(v < 0) << i;
	}
	return w;
}

/* Length of the bytes at `p` that fill windows of 64 in which nothing stands at which to stop. */
static inline size_t
windows(const char *p, size_t len, bytes16 (*stop)(bytes16))
{
	size_t i = 0;
	for (; len - i >= 64; i += 64) {
		bytes16 low = stop(octets_load(p + i)) | stop(octets_load(p + i + 16));
		bytes16 high = stop(octets_load(p + i + 32)) | stop(octets_load(p + i + 48));
		if (octets_bits(low | high) != 0)
			break;
	}
	return i;
}

/*
 * Of `n` bytes, behind three others of the same text, a bit for each that cannot stand there after
 * them by RFC 3629 section 4. Few leads are `rare`: those that forbid some next bytes, or all.
 */
static inline uint64_t
ill_formed(const char *p, size_t n)
{
	uint64_t bad = 0;
	bytes16 rare = { 0 };
	for (size_t i = 0; i < n; i += 16) {
		octets16 one = (octets16)octets_load(p + i - 1);
		bytes16 due = (one >= 0xC0) | ((octets16)octets_load(p + i - 2) >= 0xE0) |
			((octets16)octets_load(p + i - 3) >= 0xF0);
		bad |= octets_bits(due ^ (octets_load(p + i) < -64)) << i; /* -64: 80 to BF */
		rare |= (one == 0xE0) | (one == 0xED) | (one >= 0xF0) | ((one & 0xFE) == 0xC0);
	}
	if (octets_bits(rare) == 0)
		return bad;
	for (size_t i = 0; i < n; i += 16) {
		octets16 one = (octets16)octets_load(p + i - 1), v = (octets16)octets_load(p + i);
		bytes16 out = ((one == 0xE0) & (v < 0xA0)) | ((one == 0xED) & (v >= 0xA0)) |
			((one == 0xF0) & (v < 0x90)) | ((one == 0xF4) & (v >= 0x90));
		bad |= octets_bits(out | (one >= 0xF5) | ((one & 0xFE) == 0xC0)) << i;
	}
	return bad;
}

/* The same of the first sixteen bytes of all. */
static uint64_t
ill_formed_first(const char *p)
{
	char room[3 + 16] = { 0 };
	memcpy(room + 3, p, 16);
	return ill_formed(room + 3, 16);
}

static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

size_t
json_plain_run(const char *p, size_t len)
{
	char few[16] = { 0 }; /* a zero byte is not plain */
	size_t i = 0, n;
	uint64_t stop;
	while ((n = i > 0 && len - i >= 64 ? 64 : 16) <= len - i) {
		stop = n == 64 ? look(p + i, 64).special : look(p + i, 16).special;
		if (stop != 0)
			return i + (size_t)__builtin_ctzll(stop);
		i += n;
	}
	memcpy(few, p + i, len - i);
	return i + (size_t)__builtin_ctzll(octets_bits(special(octets_load(few))));
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
	bytes16 behind = octets_load(p + 1);
	return octets_bits((octets_load(p) == '"') &
		((behind == next[0]) | (behind == next[1]) | (behind == next[2])));
}

static inline uint64_t
begins_32(const char *p, const char next[3])
{
	return begins(p, next) | begins(p + 16, next) << 16;
}

__attribute__((noinline)) size_t
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

/* What ends a run of text, and a run between strings: { and [, } and ] differ in one bit. */
static inline bytes16
text_stop(bytes16 v)
{
	return (v == '"') | (v == '\\');
}

static inline bytes16
gap_stop(bytes16 v)
{
	bytes16 low = v | 0x20;
	return (v == '"') | (low == '{') | (low == '}');
}

/* These two are called dozens of times for a reply, in more places than are worth their size. */
__attribute__((noinline)) size_t
json_text_run(const char *p, size_t len)
{
	size_t i = 0;
	uint64_t stop;
	while (len - i >= 16) {
		if ((stop = octets_bits(text_stop(octets_load(p + i)))) != 0)
			return i + (size_t)__builtin_ctzll(stop);
		i += 16;
		i += windows(p + i, len - i, text_stop);
	}
	while (i < len && p[i] != '"' && p[i] != '\\')
		i++;
	return i;
}

__attribute__((noinline)) size_t
json_gap_run(const char *p, size_t len)
{
	size_t i = 0;
	uint64_t stop;
	for (; len - i >= 16; i += 16)
		if ((stop = octets_bits(gap_stop(octets_load(p + i)))) != 0)
			return i + (size_t)__builtin_ctzll(stop);
	while (i < len && p[i] != '"' && (p[i] | 0x20) != '{' && (p[i] | 0x20) != '}')
		i++;
	return i;
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

/* Length of the escape at `p`, or 0 when it is none, or not whole. */
static inline size_t
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

/* Where the character begins that is not whole before `i`; else `i` itself. What comes before is
 * well-formed. */
static size_t
boundary(const char *p, size_t i)
{
	for (size_t back = 1; back <= 3 && back <= i; back++) {
		unsigned char c = (unsigned char)p[i - back];
		size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
		if (c < 0x80 || c >= 0xC0)
			return back < n ? i - back : i;
	}
	return i;
}

/* json_content_run where a window has no room, from the beginning of a character. */
static size_t
content_rest(const char *p, size_t len, size_t i, bool *escaped)
{
	size_t n;
	do {
		while (i < len && is_plain((unsigned char)p[i]))
			i++;
		if (i == len || p[i] == '"')
			return i;
		*escaped |= p[i] == '\\';
		n = p[i] == '\\' ? escape_len(p + i, len - i) : json_wide_run(p + i, len - i);
		i += n;
	} while (n > 0);
	return i;
}

size_t
json_content_run(const char *p, size_t len, bool *escaped)
{
	size_t i = 0, n, at = 0;
	if (len >= 16) { /* most strings end here */
		uint64_t stop = octets_bits(special(octets_load(p)));
		if (stop != 0 && p[__builtin_ctzll(stop)] == '"')
			return (size_t)__builtin_ctzll(stop);
	}
	bool cut = false; /* a character may be, between the window before and this one */
	while ((n = i > 0 && len - i >= 64 ? 64 : 16) <= len - i) {
		struct window w = n == 64 ? look(p + i, 64) : look(p + i, 16);
		uint64_t bad = 0, stop = w.special & ~w.wide;
		if (w.special == 0 && !cut) {
			i += n + windows(p + i + n, len - i - n, special);
			continue;
		}
		if (w.wide != 0 || cut)
			bad = i == 0      ? ill_formed_first(p)
				: n == 64 ? ill_formed(p + i, 64)
					  : ill_formed(p + i, 16);
		cut = w.wide >> (n - 3) != 0;
		for (stop |= bad; stop != 0; stop = stop >> at << at) {
			at = (size_t)__builtin_ctzll(stop);
			if ((bad >> at & 1) != 0)
				return boundary(p, i + at);
			size_t taken = p[i + at] == '\\' ? escape_len(p + i + at, len - i - at) : 0;
			*escaped |= p[i + at] == '\\';
			if (taken == 0)
				return i + at;
			at += taken;
			if (at >= n)
				break;
		}
		i += stop != 0 ? at : n;
	}
	return content_rest(p, len, cut ? boundary(p, i) : i, escaped);
}

size_t
json_text_span(const char *p, size_t len)
{
	bool escaped = false;
	size_t at = json_content_run(p, len, &escaped);

	return at == len || p[at] == '"' ? at : len;
}
