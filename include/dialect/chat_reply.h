/*
 * chat_reply: the events of an answer gathered into a whole one.
 */
#ifndef DIALECT_CHAT_REPLY_H
#define DIALECT_CHAT_REPLY_H

#include "dialect/chat.h"

/* Take the next event (not EVENT_ERROR). Text is copied into c->arena when `copy`, else it must
 * stay. 0; -1: no memory. */
int chat_reply_add(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy);
/* EVENT_DONE has come, and every choice that began has stopped. */
bool chat_reply_whole(const struct chat_reply *r);
/* The choice of that index, or NULL. */
const struct chat_reply_choice *chat_reply_choice(const struct chat_reply *r, unsigned index);
/* All pieces of a part as one JSON string value. */
void chat_write_pieces(struct json_writer *w, const struct chat_piece *pieces);
bool chat_has_part(const struct chat_reply_choice *c, enum chat_event_type type);

#endif
