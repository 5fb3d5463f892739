/*
 * doc: a whole JSON text with all its tokens, to be looked into by names and in order. Values come
 * out as slices of the text.
 */
#ifndef JSON_DOC_H
#define JSON_DOC_H

#include "json/read.h"

struct json_doc {
	struct str text;
	struct json_scan scan; /* fault and offset, when reading failed */
};

/* Read a whole text; tokens of `keep` levels come from the arena. 0 or -1. */
int json_doc_read(struct json_doc *d, struct arena *a, struct str text, unsigned keep,
	unsigned depth_max);
/* The value of the text itself. */
const struct json_token *json_doc_top(const struct json_doc *d);

/*
 * A member that is there and is not null, else NULL (so for every optional member: null is as good
 * as absent). NULL too when `object` is NULL or no object. The types: the same, but only a value of
 * that type.
 */
const struct json_token *json_get(const struct json_doc *d, const struct json_token *object,
	struct str name);
const struct json_token *json_get_type(const struct json_doc *d, const struct json_token *object,
	struct str name, enum json_type type);
/* The inside of a member that is a string, still escaped; else the empty slice. */
struct str json_get_text(const struct json_doc *d, const struct json_token *object,
	struct str name);
/* The raw text of a member that is not null; else the empty slice. */
struct str json_get_raw(const struct json_doc *d, const struct json_token *object, struct str name);
/* A member that is a count: a whole number, which may be written as 12.0, since to some providers
 * all numbers are alike. -1 when it is none, or missing; at most INT64_MAX. */
int64_t json_get_count(const struct json_doc *d, const struct json_token *object, struct str name);
/* Is the member `true`? */
bool json_get_true(const struct json_doc *d, const struct json_token *object, struct str name);
/* Is the member a string that, decoded, is `plain`? */
bool json_get_is(const struct json_doc *d, const struct json_token *object, struct str name,
	struct str plain);

/*
 * Elements of an array, in order: for (t = json_first(d, array); t; t = json_next(d, array, t)).
 * Members of an object likewise: t is the key, t + 1 its value. NULL when there is none (more), or
 * the container is NULL or a plain value.
 */
const struct json_token *json_first(const struct json_doc *d, const struct json_token *in);
const struct json_token *json_next(const struct json_doc *d, const struct json_token *in,
	const struct json_token *t);

/* json_raw, json_inner and json_string_is of the document. */
struct str json_doc_raw(const struct json_doc *d, const struct json_token *t);
struct str json_doc_inner(const struct json_doc *d, const struct json_token *t);
bool json_doc_is(const struct json_doc *d, const struct json_token *t, struct str plain);

#endif
