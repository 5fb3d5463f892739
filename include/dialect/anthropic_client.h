/*
 * anthropic_client: Anthropic messages as a client speaks them.
 */
#ifndef DIALECT_ANTHROPIC_CLIENT_H
#define DIALECT_ANTHROPIC_CLIENT_H

#include "dialect/chat.h"

extern const struct chat_client anthropic_client;

#endif
