/*
 * anthropic_messages: a conversation as Anthropic takes it.
 */
#ifndef DIALECT_ANTHROPIC_MESSAGES_H
#define DIALECT_ANTHROPIC_MESSAGES_H

#include "dialect/chat.h"

/* `system`, where there is anything to say, and `messages`. `order` (escaped; empty: none) is told
 * behind the client's own system messages. 0 or -1 (c->error). */
int anthropic_write_messages(struct chat *c, struct chat_request *q, struct json_writer *w,
	struct str order);
/* Does the last turn of the assistant call tools without the thinking that must stand before it
 * when the model thinks? */
bool anthropic_lacks_thinking(const struct chat_request *q);

#endif
