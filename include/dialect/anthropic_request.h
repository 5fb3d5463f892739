/*
 * anthropic_request: a chat request in Anthropic's words.
 */
#ifndef DIALECT_ANTHROPIC_REQUEST_H
#define DIALECT_ANTHROPIC_REQUEST_H

#include "dialect/chat.h"

/* As chat_provider's. */
int anthropic_write_request(struct chat *c, struct chat_request *q, struct buf *out);

#endif
