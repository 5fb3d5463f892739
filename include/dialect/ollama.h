/*
 * ollama: Ollama's own API: /api/chat and /api/generate.
 */
#ifndef DIALECT_OLLAMA_H
#define DIALECT_OLLAMA_H

#include "dialect/chat.h"

extern const struct chat_provider ollama_provider;

#endif
