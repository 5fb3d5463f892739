/*
 * gemini: Gemini generateContent.
 */
#ifndef DIALECT_GEMINI_H
#define DIALECT_GEMINI_H

#include "dialect/chat.h"

extern const struct chat_provider gemini_provider;

#endif
