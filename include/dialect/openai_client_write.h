/*
 * openai_client_write: an answer as the chunks of a chat completion's stream. As struct chat_client
 * says.
 */
#ifndef DIALECT_OPENAI_CLIENT_WRITE_H
#define DIALECT_OPENAI_CLIENT_WRITE_H

#include "dialect/chat.h"

void *openai_client_open(struct chat *c);
void openai_client_event(struct chat *c, void *state, const struct chat_event *ev, struct buf *out);

#endif
