/*
 * anthropic_schema: JSON Schemas as Anthropic takes them.
 */
#ifndef DIALECT_ANTHROPIC_SCHEMA_H
#define DIALECT_ANTHROPIC_SCHEMA_H

#include "dialect/chat.h"

/*
 * Write a schema for a structured answer (Anthropic API: structured outputs): limits and unknown
 * formats become words in the description, oneOf becomes anyOf, objects are closed. All other bytes
 * stay. Nothing is written when memory is out (c->arena->failed).
 */
void anthropic_write_closed(struct chat *c, struct json_writer *w, struct str schema);
/*
 * Write a tool's schema: its bytes, with "type":"object" put in where it has no type; of none, that
 * of an object without properties. 0; -1: it is no object.
 */
int anthropic_write_input(struct chat *c, struct json_writer *w, struct str schema);

#endif
