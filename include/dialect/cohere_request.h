/*
 * cohere_request: a request as Cohere's v2 chat takes it.
 */
#ifndef DIALECT_COHERE_REQUEST_H
#define DIALECT_COHERE_REQUEST_H

#include "dialect/chat.h"

/* As chat_provider's write_request. */
int cohere_write_request(struct chat *c, struct chat_request *q, struct buf *out);

#endif
