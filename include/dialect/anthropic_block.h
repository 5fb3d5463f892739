/*
 * anthropic_block: blocks of a message as Anthropic takes them.
 */
#ifndef DIALECT_ANTHROPIC_BLOCK_H
#define DIALECT_ANTHROPIC_BLOCK_H

#include "dialect/chat.h"

enum { ANTHROPIC_ID_MOST = 64, ANTHROPIC_NAME_MOST = 128 };

/* The text without white space (ASCII's, also where it is escaped) at its end. */
struct str block_trim(struct str escaped);
/* Is it a text (or refusal) that is not blank; thinking that Anthropic takes back; a part that a
 * user's message or a result tells, or is refused for? */
bool block_is_text(const struct chat_part *p);
bool block_is_thinking(const struct chat_part *p);
bool block_is_told(const struct chat_part *p);

/* A block that is open: {"type":"…". */
void block_open(struct json_writer *w, const char *type);
void block_text(struct json_writer *w, const struct chat_part *p);
void block_thinking(const struct chat_part *p, struct json_writer *w);
void block_call(struct chat *c, const struct chat_part *p, struct json_writer *w);
/* A part of a user's message; nothing when it is not told. 0 or -1 (c->error). */
int block_part(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w);
/* A tool's result. 0 or -1 (c->error). */
int block_result(struct chat *c, const struct chat_message *m, const struct chat_part *r,
	struct json_writer *w);

#endif
