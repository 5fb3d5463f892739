/*
 * place: where in a client's body a value stands, for the refusal that names it. A chain on the
 * stack, written out only when something is wrong there.
 */
#ifndef DIALECT_PLACE_H
#define DIALECT_PLACE_H

#include "dialect/chat.h"

struct place {
	const struct place *in; /* NULL: the body's top level */
	struct str name;        /* of the member */
	int64_t index;          /* in the list that the member is; -1: the member itself */
};

/* Refuse what stands there: a 400 whose param is the path and whose message begins with it, since
 * Anthropic's clients see the message alone. Returns -1. */
int place_refuse(struct chat *c, const struct place *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The inside of a member that must be a string, escaped; empty when it is missing or null, which is
 * refused if it is `needed`. `at`: the object's place, NULL for the top. 0 or -1. */
int place_text(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, bool needed, struct str *out);
/* The member of that type, NULL when it is missing or null. The same way. */
int place_get(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, enum json_type type, bool needed,
	const struct json_token **out);
/* A member that must be true or false; false where it is missing. */
int place_flag(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, bool *out);
/* A client's word as a message may quote it: not all of a long one. */
struct str place_quote(struct str word);

#endif
