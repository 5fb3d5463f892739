/*
 * openai_messages: a conversation as the messages of OpenAI's chat completions.
 */
#ifndef DIALECT_OPENAI_MESSAGES_H
#define DIALECT_OPENAI_MESSAGES_H

#include "dialect/chat.h"

/* Write the list of messages. 0; -1: c->error. */
int openai_write_messages(struct chat *c, const struct chat_request *q, struct json_writer *w);

#endif
