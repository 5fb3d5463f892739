/*
 * openai_client_reply: a whole answer as one chat completion. As struct chat_client says.
 */
#ifndef DIALECT_OPENAI_CLIENT_REPLY_H
#define DIALECT_OPENAI_CLIENT_REPLY_H

#include "dialect/chat_reply.h"

void openai_client_reply(struct chat *c, const struct chat_reply *reply, struct buf *out);

#endif
