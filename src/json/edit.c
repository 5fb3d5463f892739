/*
 * edit: one value of a text replaced, every other byte left as it came; this is how a body keeps
 * its numbers, its order and its odd white space while the model's name changes.
 *
 * Called by the request (the `model` of a body) and wherever a plain text becomes a value of its
 * own. Pure functions over borrowed text, which cannot fail, but for json_quote: that one takes
 * memory from an arena and gives NULL when there is none.
 */
#include "json/edit.h"

#include <string.h>

struct json_edit
json_replace(struct str text, const struct json_token *t, struct str value)
{
	return (struct json_edit){ .before = str_head(text, t->start),
		.value = value,
		.after = str_skip(text, t->end) };
}

size_t
json_edit_len(const struct json_edit *e)
{
	return e->before.len + e->value.len + e->after.len;
}

/* Write `plain` escaped to `out`, or count only when that is NULL. The length. */
static size_t
escape_into(char *out, struct str plain)
{
	size_t len = 0;
	while (plain.len > 0) {
		struct json_stretch s = json_stretch(plain);
		struct str put = s.cut ? json_replacement : (struct str){ s.put, s.put_len };
		if (out != NULL) {
			memcpy(out + len, plain.p, s.run);
			memcpy(out + len + s.run, put.p, put.len);
		}
		len += s.run + put.len;
		plain = s.cut ? str_head(plain, 0) : str_skip(plain, s.used);
	}
	return len;
}

struct str
json_quote(struct arena *a, struct str plain)
{
	size_t len = escape_into(NULL, plain);
	char *out = arena_alloc(a, len + 2);
	if (out == NULL)
		return (struct str){ 0 };
	out[0] = '"';
	escape_into(out + 1, plain);
	out[len + 1] = '"';
	return (struct str){ out, len + 2 };
}
