/*
 * edit: replace one value in a JSON text and leave every other byte; and a plain text made a value.
 */
#ifndef JSON_EDIT_H
#define JSON_EDIT_H

#include "json/read.h"

/* A text as up to three slices, to be written in this order: what stood before, the new value, what
 * stood after. */
struct json_edit {
	struct str before, value, after;
};

/* The text with the value at `t` replaced by the JSON text `value`. Copies nothing. */
struct json_edit json_replace(struct str text, const struct json_token *t, struct str value);
/* Its length. */
size_t json_edit_len(const struct json_edit *e);
/* A JSON string literal for UTF-8 `plain` in the arena, quotes included (json/write's rules). p
 * NULL when the arena failed. */
struct str json_quote(struct arena *a, struct str plain);

#endif
