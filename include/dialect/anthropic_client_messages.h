/*
 * anthropic_client_messages: the system prompt and the messages of an Anthropic request.
 */
#ifndef DIALECT_ANTHROPIC_CLIENT_MESSAGES_H
#define DIALECT_ANTHROPIC_CLIENT_MESSAGES_H

#include "dialect/chat.h"

/* Read `system` and `messages` (Anthropic API: messages, content blocks) into q->messages. 0; -1:
 * c->error. */
int anthropic_client_messages(struct chat *c, struct chat_request *q);

#endif
