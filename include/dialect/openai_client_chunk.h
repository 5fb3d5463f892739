/*
 * openai_client_chunk: what replies and streams of chat completions and of legacy completions have
 * in common.
 */
#ifndef DIALECT_OPENAI_CLIENT_CHUNK_H
#define DIALECT_OPENAI_CLIENT_CHUNK_H

#include "dialect/chat_reply.h"

/*
 * The parts of every chunk, composed once. A chunk is `head`, the choice's index, what is in it,
 * and chunk_close.
 */
struct chunk_form {
	struct str lead; /* up to the choices: data: {"id":…,"model":…,"choices":[ */
	struct str head; /* and {"index": of the first choice */
	bool usage;      /* every chunk has "usage":null */
};

/* Escaped; an empty model is the one that was asked for, time 0 is now. */
struct chunk_names {
	struct str id, model;
	uint64_t created_s;
};

/* Compose them at the end of `out`, which is then as it was. 0 or -1 (c->arena or `out` failed). */
int chunk_compose(struct chat *c, struct chunk_form *f, struct str object,
	const struct chunk_names *names, struct buf *out);
/* Up to the choice's index, inclusive: data: {…,"choices":[{"index":N */
void chunk_open(const struct chunk_form *f, unsigned choice, struct buf *out);
/* From `,"logprobs":` on, with the finish reason; empty: null. The tier may be empty. */
void chunk_close(const struct chunk_form *f, struct str logprobs, struct str finish,
	struct str tier, struct buf *out);
/* The last chunk, which has no choices, and usage. */
void chunk_usage(const struct chunk_form *f, const struct chat_usage *u, struct buf *out);
/* The end marker. */
void chunk_done(struct buf *out);

/* A choice of a stream; the first member of what a protocol knows of one. */
struct chunk_choice {
	unsigned index;
	bool stopped;
	struct chunk_choice *next;
};
/* The choice of that index among them; *fresh: it was not there yet, and has `size` bytes now, zero
 * behind the first member. NULL without memory. */
struct chunk_choice *chunk_choose(struct arena *a, struct chunk_choice **all, unsigned index,
	size_t size, bool *fresh);

/* The text of an event, as the inside of a string. */
void chunk_text(const struct chat_event *ev, struct buf *out);
/* Raw JSON in a line of an event stream: without the line ends that stand between its tokens. */
void chunk_raw(struct str raw, struct buf *out);

/* finish_reason; `calls`: the choice told some, `legacy`: as function_call. */
struct str finish_word(enum chat_stop stop, bool calls, bool legacy);
/* A call's members up to its arguments, which go into a string that is open; and from their end on.
 * `legacy`: those of function_call. */
void call_head(struct str id, struct str name, bool custom, bool legacy, struct buf *out);
void call_tail(struct str signature, bool legacy, struct buf *out);

/* Open a whole reply, up to its choices; and from their end on: usage, tier (may be empty), the
 * last brace. */
void reply_open(struct chat *c, const struct chat_reply *r, struct json_writer *w,
	struct str object, struct str id);
void reply_close(const struct chat_reply *r, struct json_writer *w, struct str tier);
/* All parts of one kind, into a string that is open. */
void reply_text(struct json_writer *w, const struct chat_reply_choice *h,
	enum chat_event_type type);

#endif
