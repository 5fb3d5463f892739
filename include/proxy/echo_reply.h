/*
 * echo_reply: the texts of the echo provider's replies, for echo.c alone.
 */
#ifndef PROXY_ECHO_REPLY_H
#define PROXY_ECHO_REPLY_H

#include "base/buf.h"
#include "dialect/dialect.h"
#include "json/read.h"

struct echo_request {
	const struct endpoint *endpoint;
	struct str body; /* the client's, whole and valid JSON; must stay while the echo is open */
	struct str model;
	bool stream, include_usage;
};

/* What is said, and what stands around it. */
struct echo_reply {
	struct echo_request request;
	struct str text;
	uint64_t words, prompt_words; /* its tokens are words */
	uint64_t id, created_s;
	struct arena *arena; /* for what is decoded of the request */
};

/* A whole reply to chat, completions or messages. Failure is sticky in `out`. */
void echo_whole(const struct echo_reply *e, struct buf *out);
/* The events that open a stream, one for a word, and those that end it. */
void echo_stream_begin(const struct echo_reply *e, struct buf *out);
void echo_stream_word(const struct echo_reply *e, struct buf *out, struct str word);
void echo_stream_end(const struct echo_reply *e, struct buf *out);
/* The reply to an embeddings request. -1 when its input is none (nothing was written). */
int echo_embeddings(struct echo_reply *e, const struct json_scan *scan, struct buf *out);

/* Component `i` of the vector that stands for the text of that hash, -1 to 1, not yet of unit
 * length. Pure: the same for ever. */
uint64_t echo_hash(struct str text);
double echo_component(uint64_t hash, unsigned i);

#endif
