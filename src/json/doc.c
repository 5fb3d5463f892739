/*
 * doc: a whole JSON text and its tokens, looked into by names and in order.
 *
 * Called by the adapters of dialect/, which read requests, replies and stream events of a few
 * hundred bytes or a few megabytes: nothing is copied or built, a look-up walks the tokens of one
 * object. Fails only in json_doc_read: on what is no JSON, and when the arena is out of memory
 * (arena->failed tells them apart).
 */
#include "json/doc.h"

int
json_doc_read(struct json_doc *d, struct arena *a, struct str text, unsigned keep,
	unsigned depth_max)
{
	d->text = text;
	return json_scan_text(&d->scan, a, text, keep, depth_max);
}

const struct json_token *
json_doc_top(const struct json_doc *d)
{
	return d->scan.tokens;
}

const struct json_token *
json_get(const struct json_doc *d, const struct json_token *object, struct str name)
{
	const struct json_token *t;

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	t = json_member(&d->scan, d->text, object, name, NULL);
	return t && t->type != JSON_NULL ? t : NULL;
}

const struct json_token *
json_get_type(const struct json_doc *d, const struct json_token *object, struct str name,
	enum json_type type)
{
	const struct json_token *t = json_get(d, object, name);

	return t && t->type == type ? t : NULL;
}

struct str
json_get_text(const struct json_doc *d, const struct json_token *object, struct str name)
{
	const struct json_token *t = json_get_type(d, object, name, JSON_STRING);

	return t ? json_inner(d->text, t) : STR("");
}

struct str
json_get_raw(const struct json_doc *d, const struct json_token *object, struct str name)
{
	const struct json_token *t = json_get(d, object, name);

	return t ? json_raw(d->text, t) : STR("");
}

int64_t
json_get_count(const struct json_doc *d, const struct json_token *object, struct str name)
{
	const struct json_token *t = json_get_type(d, object, name, JSON_NUMBER);
	struct str whole, part;
	uint64_t n;

	if (!t)
		return -1;
	part = json_doc_raw(d, t);
	whole = str_head(part, str_index(part, '.'));
	for (part = str_skip(part, whole.len + 1); part.len > 0; part = str_skip(part, 1))
		if (part.p[0] != '0')
			return -1;
	if (str_u64(whole, &n) < 0)
		return -1;
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

bool
json_get_true(const struct json_doc *d, const struct json_token *object, struct str name)
{
	return json_get_type(d, object, name, JSON_TRUE) != NULL;
}

bool
json_get_is(const struct json_doc *d, const struct json_token *object, struct str name,
	struct str plain)
{
	const struct json_token *t = json_get_type(d, object, name, JSON_STRING);

	return t && json_string_is(d->text, t, plain);
}

const struct json_token *
json_first(const struct json_doc *d, const struct json_token *in)
{
	if (!in || (in->type != JSON_ARRAY && in->type != JSON_OBJECT))
		return NULL;
	return in + 1 < d->scan.tokens + in->next ? in + 1 : NULL;
}

const struct json_token *
json_next(const struct json_doc *d, const struct json_token *in, const struct json_token *t)
{
	const struct json_token *next = d->scan.tokens + (t->key ? t[1].next : t->next);

	return next < d->scan.tokens + in->next ? next : NULL;
}

struct str
json_doc_raw(const struct json_doc *d, const struct json_token *t)
{
	return json_raw(d->text, t);
}

struct str
json_doc_inner(const struct json_doc *d, const struct json_token *t)
{
	return json_inner(d->text, t);
}

bool
json_doc_is(const struct json_doc *d, const struct json_token *t, struct str plain)
{
	return json_string_is(d->text, t, plain);
}
