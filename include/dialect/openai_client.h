/*
 * openai_client: OpenAI chat completions as a client speaks them.
 */
#ifndef DIALECT_OPENAI_CLIENT_H
#define DIALECT_OPENAI_CLIENT_H

#include "dialect/chat.h"

extern const struct chat_client openai_client;

#endif
