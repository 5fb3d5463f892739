/*
 * openai_client_messages: the messages of a chat completion request.
 */
#ifndef DIALECT_OPENAI_CLIENT_MESSAGES_H
#define DIALECT_OPENAI_CLIENT_MESSAGES_H

#include "dialect/chat.h"

/* Read `messages` into q->messages. 0; -1: c->error. */
int messages_read(struct chat *c, struct chat_request *q);

#endif
