/*
 * anthropic_client_write: an answer as an Anthropic client gets it.
 */
#ifndef DIALECT_ANTHROPIC_CLIENT_WRITE_H
#define DIALECT_ANTHROPIC_CLIENT_WRITE_H

#include "dialect/chat.h"

/* As in struct chat_client. */
void *anthropic_client_open(struct chat *c);
void anthropic_client_event(struct chat *c, void *state, const struct chat_event *ev,
	struct buf *out);
void anthropic_client_reply(struct chat *c, const struct chat_reply *reply, struct buf *out);

#endif
