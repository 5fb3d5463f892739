/*
 * read: the JSON tokeniser. It accepts RFC 8259 and nothing else; strings must be UTF-8. Called by
 * the request and the relay for bodies and by the dialects for everything they read. It allocates
 * tokens only, from the arena it is given: when that fails the fault is "out of memory"; every
 * other fault is the sender's. Nothing here recurses: containers are a bit a level, and the token
 * of an open container keeps its parent in `next`.
 *
 * A state is a step: a function that takes some bytes and says where it stopped. A piece may end
 * anywhere; the next one goes on in the same state. WIDE takes a character that is cut off or
 * ill-formed byte by byte; whole ones pass in runs inside STRING.
 *
 *	BOM -> VALUE -+-> LITERAL, NUMBER, STRING -> what is due after a value
 *	              +-> FIRST_KEY -> (a key's STRING) -> COLON -> VALUE, or closed at once
 *	              +-> FIRST_ELEMENT -> VALUE, or closed at once
 *	STRING <-> ESCAPE -> HEX -> STRING <-> WIDE
 *	after a value: AFTER_MEMBER -> KEY -> COLON -> VALUE, or closed
 *	               AFTER_ELEMENT -> VALUE, or closed
 *	               DONE, where it was the top one
 */
#include "json/read.h"

#include <assert.h>
#include <string.h>

enum state {
	BOM,
	VALUE,
	FIRST_ELEMENT,
	FIRST_KEY,
	KEY,
	COLON,
	AFTER_ELEMENT,
	AFTER_MEMBER,
	DONE,
	STRING,
	ESCAPE,
	HEX,
	WIDE,
	NUMBER,
	LITERAL
};

/* What may come next in a number; those from ZERO on may also end it. */
enum number {
	NUMBER_BAD,
	SIGN,
	POINT,
	EXPONENT,
	EXPONENT_SIGN,
	ZERO,
	INTEGER,
	FRACTION,
	EXPONENT_DIGITS
};
enum number_byte { OTHER, DIGIT_ZERO, DIGIT, MINUS, PLUS, DOT, LETTER_E };

static const uint8_t number_next[][7] = {
	[SIGN] = { [DIGIT_ZERO] = ZERO, [DIGIT] = INTEGER },
	[POINT] = { [DIGIT_ZERO] = FRACTION, [DIGIT] = FRACTION },
	[EXPONENT] = { [DIGIT_ZERO] = EXPONENT_DIGITS,
		[DIGIT] = EXPONENT_DIGITS,
		[MINUS] = EXPONENT_SIGN,
		[PLUS] = EXPONENT_SIGN },
	[EXPONENT_SIGN] = { [DIGIT_ZERO] = EXPONENT_DIGITS, [DIGIT] = EXPONENT_DIGITS },
	[ZERO] = { [DOT] = POINT, [LETTER_E] = EXPONENT },
	[INTEGER] = { [DIGIT_ZERO] = INTEGER,
		[DIGIT] = INTEGER,
		[DOT] = POINT,
		[LETTER_E] = EXPONENT },
	[FRACTION] = { [DIGIT_ZERO] = FRACTION, [DIGIT] = FRACTION, [LETTER_E] = EXPONENT },
	[EXPONENT_DIGITS] = { [DIGIT_ZERO] = EXPONENT_DIGITS, [DIGIT] = EXPONENT_DIGITS },
};

static const uint8_t number_bytes[256] = {
	['0'] = DIGIT_ZERO,
	['1'] = DIGIT,
	['2'] = DIGIT,
	['3'] = DIGIT,
	['4'] = DIGIT,
	['5'] = DIGIT,
	['6'] = DIGIT,
	['7'] = DIGIT,
	['8'] = DIGIT,
	['9'] = DIGIT,
	['-'] = MINUS,
	['+'] = PLUS,
	['.'] = DOT,
	['e'] = LETTER_E,
	['E'] = LETTER_E,
};

static const struct str literals[] = {
	[JSON_NULL] = STR_INIT("null"),
	[JSON_FALSE] = STR_INIT("false"),
	[JSON_TRUE] = STR_INIT("true"),
};
static const char bom[] = "\xEF\xBB\xBF";

static const uint64_t text_max = (uint64_t)1 << 40; /* what json_token.start holds */

/* Takes at least one byte, or changes the state, and says where it stopped; NULL after a fault. */
typedef const char *step(struct json_scan *s, const char *p, const char *end);

static uint64_t
offset_of(const struct json_scan *s, const char *p)
{
	return s->offset + (uint64_t)(p - s->piece);
}

static int
fail_at(struct json_scan *s, uint64_t offset, const char *why)
{
	s->fault = why;
	s->offset = offset;
	s->complete = false;
	return -1;
}

static const char *
fail(struct json_scan *s, const char *p, const char *why)
{
	fail_at(s, offset_of(s, p), why);
	return NULL;
}

static int
tokens_grow(struct json_scan *s, uint64_t offset)
{
	if (s->n >= s->n_max)
		return fail_at(s, offset, "too many values");
	uint32_t cap = s->cap == 0 ? 32 : s->cap * 2;
	if (cap > s->n_max)
		cap = s->n_max;
	size_t size = cap * sizeof *s->tokens;
	struct json_token *t = s->cap == 0
		? arena_alloc(s->arena, size)
		: arena_grow(s->arena, s->tokens, s->cap * sizeof *t, size);
	if (t == NULL)
		return fail_at(s, offset, "out of memory");
	s->tokens = t;
	s->cap = cap;
	return 0;
}

/* A token of a value that has just begun (end 0) or is whole; only where values are kept. */
static inline int
token_add(struct json_scan *s, struct json_token t)
{
	if (s->n == s->cap && tokens_grow(s, t.start) != 0)
		return -1;
	struct json_token *to = &s->tokens[s->n++];
	*to = t;
	to->next = s->n;
	return 0;
}

static inline bool
is_kept(const struct json_scan *s)
{
	return s->depth < s->keep;
}

/* One value more in the container around it, if that has a token. */
static inline void
value_count(struct json_scan *s)
{
	if (s->depth <= s->keep && s->depth > 0 && s->tokens[s->parent].count < UINT32_MAX)
		s->tokens[s->parent].count++;
}

/* A value ends before `p`. A comma that follows at once is taken along. */
static inline const char *
value_done(struct json_scan *s, const char *p, const char *end)
{
	s->state = s->after;
	if (s->after == DONE)
		s->complete = true;
	else if (p < end && *p == ',') {
		s->state = s->after == AFTER_MEMBER ? KEY : VALUE;
		p++;
	}
	return p;
}

/* Where a value leads now: what is around it has changed. */
static void
set_after(struct json_scan *s)
{
	unsigned level = s->depth - 1;
	if (s->depth == 0)
		s->after = DONE;
	else
		s->after = s->levels[level / 64] >> level % 64 & 1 ? AFTER_MEMBER : AFTER_ELEMENT;
}

/* A literal or number ends before `p`, which is at `offset`. */
static const char *
scalar_end(struct json_scan *s, const char *p, const char *end, uint64_t offset,
	enum json_type type)
{
	struct json_token t = { .start = s->value_start, .type = type, .end = offset };
	if (is_kept(s) && token_add(s, t) != 0)
		return NULL;
	value_count(s);
	return value_done(s, p, end);
}

static const char *
container_open(struct json_scan *s, const char *p, enum json_type type)
{
	if (s->depth == s->depth_max)
		return fail(s, p, "nested too deeply");
	value_count(s);
	if (is_kept(s)) {
		struct json_token t = { .start = offset_of(s, p), .type = type };
		if (token_add(s, t) != 0)
			return NULL;
		s->tokens[s->n - 1].next = s->parent;
		s->parent = s->n - 1;
	}
	uint64_t bit = (uint64_t)1 << s->depth % 64, *level = &s->levels[s->depth / 64];
	*level = type == JSON_OBJECT ? *level | bit : *level & ~bit;
	s->depth++;
	s->after = type == JSON_OBJECT ? AFTER_MEMBER : AFTER_ELEMENT;
	s->state = type == JSON_OBJECT ? FIRST_KEY : FIRST_ELEMENT;
	return p + 1;
}

static const char *
container_close(struct json_scan *s, const char *p, const char *end)
{
	s->depth--;
	if (is_kept(s)) {
		struct json_token *t = &s->tokens[s->parent];
		s->parent = t->next;
		t->end = offset_of(s, p) + 1;
		t->next = s->n;
	}
	set_after(s);
	return value_done(s, p + 1, end);
}

/* At the closing quote. A colon that follows a key at once is taken along. */
static inline const char *
string_end(struct json_scan *s, const char *p, const char *end)
{
	if (is_kept(s)) {
		struct json_token t = { .start = s->value_start,
			.type = JSON_STRING,
			.key = s->key,
			.escaped = s->escaped,
			.end = offset_of(s, p) + 1 };
		if (token_add(s, t) != 0)
			return NULL;
	}
	p++;
	if (!s->key) {
		value_count(s);
		return value_done(s, p, end);
	}
	bool colon = p < end && *p == ':';
	s->state = colon ? VALUE : COLON;
	return colon ? p + 1 : p;
}

static const char *
string_step(struct json_scan *s, const char *p, const char *end)
{
	p += json_content_run(p, (size_t)(end - p), &s->escaped);
	if (p == end)
		return p;
	if (*p == '"')
		return string_end(s, p, end);
	s->state = *p == '\\' ? ESCAPE : WIDE;
	return s->state == ESCAPE ? p + 1 : p;
}

static const char *
escape_step(struct json_scan *s, const char *p, const char *end)
{
	(void)end;
	if (*p == 'u') {
		s->state = HEX;
		s->left = 4;
		return p + 1;
	}
	if (json_escapes[(unsigned char)*p] == 0)
		return fail(s, p, "invalid escape");
	s->state = STRING;
	return p + 1;
}

static const char *
hex_step(struct json_scan *s, const char *p, const char *end)
{
	for (; s->left > 0 && p < end; p++, s->left--)
		if (json_hex(*p) < 0)
			return fail(s, p, "invalid escape");
	if (s->left == 0)
		s->state = STRING;
	return p;
}

/* One byte that no run could take: of a character that the piece cuts, of one that is ill-formed,
 * or a control byte. */
static const char *
wide_step(struct json_scan *s, const char *p, const char *end)
{
	(void)end;
	if (s->utf8 == 0 && (unsigned char)*p < 0x20)
		return fail(s, p, "control character in a string");
	if (json_utf8_step(&s->utf8, (unsigned char)*p) != 0)
		return fail(s, p, "invalid UTF-8 in a string");
	if (s->utf8 == 0)
		s->state = STRING;
	return p + 1;
}

static const char *
number_step(struct json_scan *s, const char *p, const char *end)
{
	unsigned number = s->number;
	while (p < end) {
		unsigned byte = number_bytes[(unsigned char)*p];
		if (byte == OTHER && number >= ZERO)
			return scalar_end(s, p, end, offset_of(s, p), JSON_NUMBER);
		number = number_next[number][byte];
		if (number == NUMBER_BAD)
			return fail(s, p, "invalid number");
		p++;
		if (number > ZERO) /* more digits change nothing */
			while (p < end && (unsigned char)(*p - '0') < 10)
				p++;
	}
	s->number = (uint8_t)number;
	return p;
}

static const char *
literal_step(struct json_scan *s, const char *p, const char *end)
{
	struct str word = literals[s->literal];
	size_t i = s->left;
	for (; p < end && i < word.len; p++, i++)
		if (*p != word.p[i])
			return fail(s, p, "invalid literal");
	s->left = (uint8_t)i;
	return i == word.len ? scalar_end(s, p, end, offset_of(s, p), s->literal) : p;
}

static inline const char *
string_begin(struct json_scan *s, const char *p, const char *end, bool key)
{
	s->value_start = offset_of(s, p);
	s->key = key;
	s->escaped = false;
	s->state = STRING;
	return p + 1 < end ? string_step(s, p + 1, end) : end;
}

static const char *
number_begin(struct json_scan *s, const char *p, const char *end)
{
	s->value_start = offset_of(s, p);
	s->number = *p == '-' ? SIGN : *p == '0' ? ZERO : INTEGER;
	s->state = NUMBER;
	return p + 1 < end ? number_step(s, p + 1, end) : end;
}

static const char *
literal_begin(struct json_scan *s, const char *p, const char *end, enum json_type type)
{
	s->value_start = offset_of(s, p);
	s->literal = (uint8_t)type;
	s->left = 0;
	s->state = LITERAL;
	return literal_step(s, p, end);
}

static const char *
value_begin(struct json_scan *s, const char *p, const char *end, const char *expected)
{
	if (*p == '"')
		return string_begin(s, p, end, false);
	switch (*p) {
	case '{':
		return container_open(s, p, JSON_OBJECT);
	case '[':
		return container_open(s, p, JSON_ARRAY);
	case 't':
		return literal_begin(s, p, end, JSON_TRUE);
	case 'f':
		return literal_begin(s, p, end, JSON_FALSE);
	case 'n':
		return literal_begin(s, p, end, JSON_NULL);
	default:
		if (*p == '-' || (*p >= '0' && *p <= '9'))
			return number_begin(s, p, end);
		return fail(s, p, expected);
	}
}

static const char *
white_run(const char *p, const char *end)
{
	const uint64_t set = (uint64_t)1 << ' ' | 1 << '\t' | 1 << '\n' | 1 << '\r';
	uint64_t word;
	while (p < end && (unsigned char)*p <= ' ' && (set >> *p & 1) != 0) {
		p++;
		for (; end - p >= 8; p += 8) { /* indentation */
			memcpy(&word, p, 8);
			if (word != 0x2020202020202020)
				break;
		}
	}
	return p;
}

/* Past white space (space, tab, line feed, carriage return), from a place before `end`. */
static inline const char *
white(const char *p, const char *end)
{
	return (unsigned char)*p > ' ' ? p : white_run(p, end);
}

static const char *
bom_step(struct json_scan *s, const char *p, const char *end)
{
	if (s->left == 3 && *p != bom[0]) {
		s->state = VALUE;
		return p;
	}
	for (; s->left > 0 && p < end; p++, s->left--)
		if (*p != bom[3 - s->left])
			return fail(s, p, "a value was expected");
	if (s->left == 0)
		s->state = VALUE;
	return p;
}

static const char *
value_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	return p == end ? p : value_begin(s, p, end, "a value was expected");
}

static const char *
first_element_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	return *p == ']' ? container_close(s, p, end)
			 : value_begin(s, p, end, "a value or ] was expected");
}

static const char *
first_key_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	if (*p == '"')
		return string_begin(s, p, end, true);
	return *p == '}' ? container_close(s, p, end) : fail(s, p, "a key or } was expected");
}

static const char *
key_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	return *p == '"' ? string_begin(s, p, end, true) : fail(s, p, "a key was expected");
}

static const char *
colon_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	if (*p != ':')
		return fail(s, p, "a colon was expected");
	s->state = VALUE;
	return p + 1;
}

static const char *
after_element_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	if (*p == ']')
		return container_close(s, p, end);
	if (*p != ',')
		return fail(s, p, "a comma or ] was expected");
	s->state = VALUE;
	return p + 1;
}

static const char *
after_member_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	if (p == end)
		return p;
	if (*p == '}')
		return container_close(s, p, end);
	if (*p != ',')
		return fail(s, p, "a comma or } was expected");
	s->state = KEY;
	return p + 1;
}

static const char *
done_step(struct json_scan *s, const char *p, const char *end)
{
	p = white(p, end);
	return p == end ? p : fail(s, p, "text after the value");
}

static step *const steps[] = {
	[BOM] = bom_step,
	[VALUE] = value_step,
	[FIRST_ELEMENT] = first_element_step,
	[FIRST_KEY] = first_key_step,
	[KEY] = key_step,
	[COLON] = colon_step,
	[AFTER_ELEMENT] = after_element_step,
	[AFTER_MEMBER] = after_member_step,
	[DONE] = done_step,
	[STRING] = string_step,
	[ESCAPE] = escape_step,
	[HEX] = hex_step,
	[WIDE] = wide_step,
	[NUMBER] = number_step,
	[LITERAL] = literal_step,
};

void
json_scan_init(struct json_scan *s, struct arena *arena, unsigned keep, unsigned depth_max)
{
	assert(depth_max >= 1 && depth_max <= JSON_DEPTH_MAX && (arena != NULL || keep == 0));
	memset(s, 0, offsetof(struct json_scan, levels)); /* a level is set when it is entered */
	s->arena = arena;
	s->keep = keep;
	s->depth_max = depth_max;
	s->n_max = JSON_TOKENS_MAX;
	s->state = BOM;
	s->after = DONE;
	s->left = 3;
}

int
json_scan_feed(struct json_scan *s, const char *p, size_t len)
{
	if (s->fault != NULL)
		return -1;
	if (len == 0)
		return 0;
	if (len > text_max - s->offset)
		return fail_at(s, text_max, "text too long");
	const char *end = p + len;
	s->piece = p;
	while (p < end) {
		p = steps[s->state](s, p, end);
		if (p == NULL)
			return -1;
	}
	s->offset += len;
	return 0;
}

int
json_scan_end(struct json_scan *s)
{
	if (s->fault != NULL)
		return -1;
	if (s->state == NUMBER && s->number >= ZERO &&
		scalar_end(s, "", "", s->offset, JSON_NUMBER) == NULL)
		return -1;
	return s->complete ? 0 : fail_at(s, s->offset, "unexpected end");
}

int
json_scan_text(struct json_scan *s, struct arena *arena, struct str text, unsigned keep,
	unsigned depth_max)
{
	json_scan_init(s, arena, keep, depth_max);
	return json_scan_feed(s, text.p, text.len) == 0 ? json_scan_end(s) : -1;
}
