/*
 * openai: OpenAI chat completions as a provider speaks them.
 */
#ifndef DIALECT_OPENAI_H
#define DIALECT_OPENAI_H

#include "dialect/chat.h"

extern const struct chat_provider openai_provider;

#endif
