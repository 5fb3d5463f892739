/*
 * openai_request: a request in OpenAI's dialect, for a provider that speaks it.
 */
#ifndef DIALECT_OPENAI_REQUEST_H
#define DIALECT_OPENAI_REQUEST_H

#include "dialect/chat.h"

/* As chat_provider.write_request. */
int openai_write_request(struct chat *c, struct chat_request *q, struct buf *out);

#endif
