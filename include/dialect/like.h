/*
 * like: nearly all events of a stream are like the one before but for their text (and perhaps a
 * count or a time). What stands around the text is kept, and where the next event has the same
 * around it, its text is known without reading it.
 */
#ifndef DIALECT_LIKE_H
#define DIALECT_LIKE_H

#include "dialect/chat.h"

struct like {
	bool set;
	bool pending; /* the last event was known without being read, and had a loose value */
	enum chat_event_type type;
	unsigned choice;
	/* private */
	char *data; /* of the last event, or of one like it */
	size_t len, room;
	struct like_hole {
		size_t at, len;
		bool text;
		bool string; /* a loose value: what stands between its quotes */
	} holes[2];          /* in the order in which they stand */
	size_t n;
};

/* Is the data like the last event's? Then *text is its text, not empty. */
bool like_is(struct like *l, struct str data, struct str *text);
/* The data of an event that was read, and what came of it: keep it, if the next can be like it. */
void like_keep(struct like *l, struct arena *a, struct str data, const struct chat_events *events);
/* The data of the pending event, which is read now but for its text; it is pending no more. */
struct str like_pending(struct like *l);

#endif
