/*
 * translate: a request in one dialect made one in another, and the answer to it made one in the
 * first: the table of adapters, and what stands between them.
 */
#ifndef DIALECT_TRANSLATE_H
#define DIALECT_TRANSLATE_H

#include "dialect/chat_reply.h"
#include "dialect/like.h"

/* Can this path be served by a provider of that dialect, which has no such path itself? */
bool translate_can(const struct endpoint *e, enum dialect_id provider);

/*
 * Write what is sent to the provider into `out`. The first part of *c is set. 0: c->path,
 * c->dropped and c->stream are known; -1: c->error.
 */
int translate_request(struct chat *c, struct str body, struct buf *out);

enum translate_verdict {
	TRANSLATE_OK,
	TRANSLATE_DONE, /* the answer is whole */
	TRANSLATE_MEMORY,
	TRANSLATE_TOO_LARGE,  /* it takes more memory than its arenas may hold */
	TRANSLATE_UNREADABLE, /* it is not what that dialect sends, or it was cut */
	TRANSLATE_ERROR,      /* the provider's error: t->error */
};

struct translate {
	struct chat *chat;
	const struct chat_client *client;
	const struct chat_provider *provider;
	void *reader, *writer;
	struct chat_reply reply; /* when the client wants it whole */
	struct usage usage;      /* as far as it is known */
	bool has_usage;
	bool started; /* the client's stream has begun */
	bool done;
	struct error error;
	struct chat_events rest; /* what read_end gave */
	/* private */
	struct like like; /* the last event of the stream */
	/* the call that is being filtered */
	bool in_json, in_custom;
	struct chat_event call;
	char *held;
	size_t held_len, held_cap;
};

/* Begin with the answer to a request that translate_request wrote. 0 or -1 (no memory). */
int translate_open(struct translate *t, struct chat *c);
/* A stream comes as lines of JSON, not as SSE. */
bool translate_by_lines(const struct translate *t);
/* The next event of a stream (or line, as its data). What the client is to get is appended. */
enum translate_verdict translate_event(struct translate *t, const struct sse_event *ev,
	struct buf *out);
/* What the provider reported of tokens so far; false: nothing. */
bool translate_usage(struct translate *t, struct usage *out);
/* Is what came of a stream a whole answer, so that its end may come in any way? */
bool translate_answered(struct translate *t);
/* The stream has ended. OK when it was whole; the client's reply or the rest of its stream is
 * appended. */
enum translate_verdict translate_end(struct translate *t, struct buf *out);
/* The empty answer to a request that c->unasked: nothing is sent for it. OK or MEMORY. */
enum translate_verdict translate_nothing(struct translate *t, struct buf *out);
/* A whole JSON reply (status 200), and the client's reply or whole stream. */
enum translate_verdict translate_reply(struct translate *t, struct str text, struct buf *out);

#endif
