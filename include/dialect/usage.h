/*
 * usage: the counts in a `usage` object of any dialect. For watch.
 */
#ifndef DIALECT_USAGE_H
#define DIALECT_USAGE_H

#include "dialect/dialect.h"
#include "json/read.h"

/* What the object at token `t` (may be NULL, or no object) says becomes what `w` knows, if it
 * counts input or output. Of a name that stands there twice the first one counts. */
void usage_read(struct watch *w, const struct json_scan *s, struct str text,
	const struct json_token *t);
/*
 * The same of the text of a member's value, from `p`: to the comma or brace behind it. `p` itself,
 * and nothing is known, where it is not written in the plain way, or does not end before `end`:
 * then it must be read by its tokens.
 */
const char *usage_in_passing(struct watch *w, const char *p, const char *end);

#endif
