/*
 * gemini_name: names in Gemini's terms.
 */
#ifndef DIALECT_GEMINI_NAME_H
#define DIALECT_GEMINI_NAME_H

#include "dialect/chat.h"

/* Is the model's name a resource ("models/NAME"), which stands in a path as it is? */
bool gemini_is_resource(struct str target);
/* Set c->path to the model's with that method ("generateContent"). 0; -1: the model's name cannot
 * stand in a path (c->error). */
int gemini_set_path(struct chat *c, struct str method);
/* The number in "gemini-2.5-flash"; of a name without one, "gemini-flash-latest", 3, since it is
 * none of the old ones; 0 when it is no Gemini. */
unsigned gemini_generation(const struct chat *c);
/* The tool's name as Gemini takes it, kept in c->names when it is another. p NULL when the arena
 * failed. */
struct str gemini_tool_name(struct chat *c, struct str name);

#endif
