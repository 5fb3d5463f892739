/*
 * tidy: the order of chat_events made of pieces that come in any. Providers stream text between the
 * pieces of a call, several calls at once, a name behind its arguments; the neutral events never
 * interleave (see chat.h). For readers of dialects with calls in deltas: OpenAI's, Cohere's.
 *
 * The rules: a call's pieces are found by index, by id, or else are the last call's. One call is
 * open at a time; another opens when the arguments of the open one are whole (one JSON object), and
 * waits until then; text that comes before they are whole is held back until the call ends.
 */
#ifndef DIALECT_TIDY_H
#define DIALECT_TIDY_H

#include "dialect/chat.h"

struct tidy;

/* What one delta says of a call. All is escaped; empty: not said. */
struct tidy_piece {
	bool has_index;  /* it is found by `index`; else by `id`; without both, it is the last */
	uint64_t index;  /* any numbers, with gaps, in any order */
	struct str id;   /* as the provider has it: what is no legal id is replaced */
	struct str name; /* may come late; a call that never gets one is left out */
	struct str args; /* the next piece of the arguments' text; may be cut anywhere in it */
	bool end;        /* the provider says that the call is whole */
};

/* In c->arena, for one answer of one choice (0). NULL: no memory. */
struct tidy *tidy_new(struct chat *c);
/* The `arguments` of a function as a piece has them; some servers send the object itself, not its
 * text. From c->scratch. */
struct str tidy_args(struct chat *c, const struct json_doc *d, const struct json_token *function);
/* A piece of EVENT_TEXT, EVENT_REFUSAL or EVENT_REASONING. Nothing when it is empty. No memory:
 * out->failed. */
void tidy_text(struct tidy *t, struct chat_events *out, enum chat_event_type type, struct str text);
/* A piece of a call. 0; -1: more calls than any answer has. No memory: out->failed. */
int tidy_call(struct tidy *t, struct chat_events *out, const struct tidy_piece *piece);
/* The answer has ended: what was held and what waits is given. Follow with EVENT_STOP. */
void tidy_end(struct tidy *t, struct chat_events *out);
/* Has any EVENT_CALL been given? Known after tidy_end. */
bool tidy_called(const struct tidy *t);

#endif
