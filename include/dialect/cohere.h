/*
 * cohere: Cohere's v2 chat.
 */
#ifndef DIALECT_COHERE_H
#define DIALECT_COHERE_H

#include "dialect/chat.h"

extern const struct chat_provider cohere_provider;

#endif
