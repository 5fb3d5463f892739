/*
 * read_values: looking at tokens: a member of an object, the text of a string, an integer. Second
 * half of json/read.h.
 *
 * Called by everyone who scanned a text. Nothing here checks the text again: the tokeniser accepted
 * it, and an assertion fails where a token is none of this text. Only json_string allocates, and
 * only for a string with escapes; it gives NULL when its arena fails.
 */
#include "json/read.h"

#include <assert.h>
#include <string.h>

struct str
json_raw(struct str text, const struct json_token *t)
{
	assert(t->end > t->start && t->end <= text.len);
	return (struct str){ text.p + t->start, (size_t)(t->end - t->start) };
}

struct str
json_inner(struct str text, const struct json_token *t)
{
	struct str raw = json_raw(text, t);
	assert(t->type == JSON_STRING);
	return (struct str){ raw.p + 1, raw.len - 2 };
}

/* Nearly all keys have no escapes, and most are told apart by their length and first byte. */
static inline bool
key_is(struct str text, const struct json_token *t, struct str key)
{
	const char *p = text.p + t->start + 1;

	if (t->escaped)
		return json_string_is(text, t, key);
	return t->end - t->start - 2 == key.len &&
		(key.len == 0 || (*p == *key.p && memcmp(p, key.p, key.len) == 0));
}

const struct json_token *
json_member(const struct json_scan *s, struct str text, const struct json_token *object,
	struct str key, bool *more)
{
	const struct json_token *found = NULL;
	if (more != NULL)
		*more = false;
	if (object->type != JSON_OBJECT)
		return NULL;
	uint32_t i = (uint32_t)(object - s->tokens) + 1,
		 limit = object->end != 0 ? object->next : s->n;
	while (i + 1 < limit) {
		const struct json_token *value = &s->tokens[i + 1];
		if (key_is(text, value - 1, key)) {
			if (more == NULL)
				return value;
			*more = found != NULL;
			if (*more)
				return found;
			found = value;
		}
		if (value->end == 0)
			break;
		i = value->next;
	}
	return found;
}

/* The code unit of four hexadecimal digits. */
static unsigned
code_unit(const char *p)
{
	return (unsigned)(json_hex(p[0]) << 12 | json_hex(p[1]) << 8 | json_hex(p[2]) << 4 |
		json_hex(p[3]));
}

static unsigned
utf8_encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	unsigned len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (unsigned i = len - 1; i > 0; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3F));
	out[0] = (char)((0xF00u >> len & 0xF0u) | c);
	return len;
}

/*
 * Decode the escape that `rest` (the inside of a valid string) begins with. The length of the
 * character in `out`; *used is what it took of `rest`. *lone is set, and U+FFFD given, for half of
 * a surrogate pair.
 */
static unsigned
unescape(struct str rest, char out[4], size_t *used, bool *lone)
{
	*used = 2;
	if (rest.p[1] != 'u') {
		out[0] = json_escapes[(unsigned char)rest.p[1]];
		return 1;
	}
	uint32_t c = code_unit(rest.p + 2);
	*used = 6;
	if ((c & 0xF800) != 0xD800)
		return utf8_encode(c, out);
	if (c < 0xDC00 && rest.len >= 12 && rest.p[6] == '\\' && rest.p[7] == 'u') {
		uint32_t low = code_unit(rest.p + 8);
		if ((low & 0xFC00) == 0xDC00) {
			*used = 12;
			return utf8_encode(0x10000 + ((c & 0x3FF) << 10 | (low & 0x3FF)), out);
		}
	}
	*lone = true;
	return utf8_encode(0xFFFD, out);
}

bool
json_string_is(struct str text, const struct json_token *t, struct str plain)
{
	struct str rest = json_inner(text, t);
	if (!t->escaped)
		return str_eq(rest, plain);
	while (rest.len > 0) {
		char one[4];
		bool lone = false;
		struct str same = { one, 1 };
		size_t used = 1;
		if (*rest.p == '\\')
			same.len = unescape(rest, one, &used, &lone);
		else
			one[0] = *rest.p;
		if (lone || !str_starts(plain, same))
			return false;
		plain = str_skip(plain, same.len);
		rest = str_skip(rest, used);
	}
	return plain.len == 0;
}

struct str
json_string(struct str text, const struct json_token *t, struct arena *a, bool *lossy)
{
	struct str rest = json_inner(text, t);
	bool lone = false;
	if (lossy != NULL)
		*lossy = false;
	if (!t->escaped)
		return rest;
	char *out = arena_alloc(a, rest.len); /* no escape is shorter than what it stands for */
	if (out == NULL)
		return (struct str){ 0 };
	size_t len = 0, used;
	while (rest.len > 0) {
		size_t run = str_index(rest, '\\');
		memcpy(out + len, rest.p, run);
		len += run;
		rest = str_skip(rest, run);
		if (rest.len == 0)
			break;
		char one[4];
		unsigned n = unescape(rest, one, &used, &lone);
		memcpy(out + len, one, n);
		len += n;
		rest = str_skip(rest, used);
	}
	if (lossy != NULL)
		*lossy = lone;
	return (struct str){ out, len };
}

struct str
json_unescape(struct str inner, struct arena *a)
{
	char *out;
	size_t len = 0;

	if (str_index(inner, '\\') == inner.len)
		return inner;
	out = arena_alloc(a, inner.len);
	if (out == NULL)
		return (struct str){ 0 };
	while (inner.len > 0) {
		size_t run = str_index(inner, '\\'), used;
		bool lone = false;
		char one[4];

		memcpy(out + len, inner.p, run);
		len += run;
		inner = str_skip(inner, run);
		if (inner.len == 0)
			break;
		unsigned n = unescape(inner, one, &used, &lone);
		memcpy(out + len, lone ? inner.p : one, lone ? used : n);
		len += lone ? used : n;
		inner = str_skip(inner, used);
	}
	return (struct str){ out, len };
}

int
json_u64(struct str text, const struct json_token *t, uint64_t *out)
{
	return t->type == JSON_NUMBER ? str_u64(json_raw(text, t), out) : -1;
}
