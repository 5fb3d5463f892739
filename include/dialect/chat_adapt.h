/*
 * chat_adapt: a request made simpler for providers that can say less than the neutral form, and
 * what their dialects write alike.
 */
#ifndef DIALECT_CHAT_ADAPT_H
#define DIALECT_CHAT_ADAPT_H

#include "dialect/chat.h"

/* What chat_adapt_parts can take out of results. */
enum { LIFT_IMAGES = 1u << PART_IMAGE, LIFT_FILES = 1u << PART_FILE };

/*
 * Parts that are text at heart become text: a plain document (its title first), a refusal. Results
 * keep text alone: images, and documents where they may be lifted, go in order to the front of the
 * user's message behind them, which is made where there is none, and "[see image below]" stands in
 * their place. An error's result without text says "Error". 0; -1: c->error (a result holds what is
 * not in `lifts`).
 */
int chat_adapt_parts(struct chat *c, struct chat_request *q, unsigned lifts);
/* The response format, which is not text, as an instruction; escaped. p NULL: the arena failed. */
struct str chat_adapt_order(struct chat *c, const struct chat_format *f);
/* Say the response format, if it is not text, as an instruction: a system message behind those at
 * the start. Then it is text. 0 or -1. */
int chat_adapt_format(struct chat *c, struct chat_request *q);
/* The texts of all parts of that type, joined. p NULL when the arena failed. */
struct str chat_adapt_text(struct chat *c, const struct chat_message *m, enum chat_part_type type,
	struct str between);

/* Is the tool sent, where a choice of tools is kept by leaving out the others? */
bool chat_adapt_sends(const struct chat_request *q, const struct chat_tool *t);
/*
 * Write those as "tools": functions, `parameters` always there, custom ones with one string
 * `input`; nothing when there are none. 0; -1: c->error (the choice names no tool).
 */
int chat_adapt_tools(struct chat *c, struct chat_request *q, struct json_writer *w);

/* Carry the client's parameter under its own name, when it is there. 0; -1: it has another type
 * (JSON_TRUE: true or false), c->error names it. */
int chat_adapt_copy(struct chat *c, struct chat_request *q, struct json_writer *w, struct str name,
	enum json_type type);
/* Refuse a field of the client by the name that it has there. -1. */
int chat_adapt_refuse(struct chat *c, const struct chat_request *q, enum chat_field field,
	const char *why);
/* First of all: fields that say nothing when they have their default are carried (n 1, no logprobs,
 * calls in parallel, an answer in text). */
void chat_adapt_defaults(struct chat_request *q);
/* An answer in text is no wish; one in sound or images is refused. 0 or -1. */
int chat_adapt_modalities(struct chat *c, struct chat_request *q);
/* A count as a number. */
void chat_adapt_count(struct json_writer *w, struct str name, uint64_t n);

/* The calls of all messages, to be found by their ids without walking a long talk for each. */
struct chat_called {
	struct str id, name;
	unsigned message; /* its index */
	size_t place;     /* among all calls */
};
struct chat_calls {
	struct chat_called *all; /* by id, then by place */
	size_t n;
};
/* 0; -1: no memory. */
int chat_calls_read(struct chat *c, const struct chat_request *q, struct chat_calls *out);
/* The latest call with that id before the message, or NULL. */
const struct chat_called *chat_calls_find(const struct chat_calls *calls,
	const struct chat_message *before, struct str id);
/* Its name; empty: there is none. */
struct str chat_calls_name(const struct chat_calls *calls, const struct chat_message *before,
	struct str id);

#endif
