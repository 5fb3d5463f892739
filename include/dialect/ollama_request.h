/*
 * ollama_request: a request as Ollama's native API takes it.
 */
#ifndef DIALECT_OLLAMA_REQUEST_H
#define DIALECT_OLLAMA_REQUEST_H

#include "dialect/chat.h"

/* As chat_provider's write_request: /api/chat, or /api/generate of a legacy completion. */
int ollama_write_request(struct chat *c, struct chat_request *q, struct buf *out);

#endif
