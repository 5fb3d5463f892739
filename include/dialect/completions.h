/*
 * completions: OpenAI's legacy completions as a client speaks them.
 */
#ifndef DIALECT_COMPLETIONS_H
#define DIALECT_COMPLETIONS_H

#include "dialect/chat.h"

extern const struct chat_client completions_client;

#endif
