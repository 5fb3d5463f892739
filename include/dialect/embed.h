/*
 * embed: OpenAI's embeddings at providers of other dialects.
 */
#ifndef DIALECT_EMBED_H
#define DIALECT_EMBED_H

#include "dialect/chat.h"

/* Texts in one request that Cohere takes (Cohere API: embed). */
enum { EMBED_COHERE_MOST = 96 };

/* Has that dialect embeddings to translate to? */
bool embed_can(enum dialect_id provider);
/* The client's request, written for c->provider; sets c->path, c->base64, c->inputs. 0; -1:
 * c->error. */
int embed_request(struct chat *c, struct str body, struct buf *out);
/*
 * The provider's whole reply (status 200) as the client's. 0; 1: it is an error (*error, its texts
 * in the arena); -1: it is no such reply, or there is no memory (c->arena->failed, out->failed).
 */
int embed_reply(struct chat *c, struct str text, struct buf *out, struct usage *usage,
	bool *has_usage, struct error *error);

#endif
