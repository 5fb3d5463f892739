/*
 * anthropic: Anthropic messages as a provider speaks them.
 */
#ifndef DIALECT_ANTHROPIC_H
#define DIALECT_ANTHROPIC_H

#include "dialect/chat.h"

extern const struct chat_provider anthropic_provider;

#endif
