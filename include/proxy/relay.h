/*
 * relay: a reply on its way from the provider to the client: passed through untouched while it is
 * looked at, or, where a chat's reply is of the other kind than the client asked for, converted
 * (some providers ignore `stream`, some always stream).
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "base/mem.h"
#include "dialect/translate.h"
#include "http/coding.h"

enum relay_mode {
	RELAY_PASS,   /* bytes through; usage of a JSON reply is read in passing */
	RELAY_EVENTS, /* an event stream through; only whole events leave, as long as they are small
		       */
	RELAY_TO_STREAM, /* a JSON reply is held and becomes a stream */
	RELAY_TO_REPLY,  /* a stream is gathered and becomes a JSON reply */
	RELAY_TRANSLATE, /* the reply of another dialect becomes one of the client's */
	RELAY_FAULT,     /* an error of another dialect: its beginning is kept, nothing leaves */
};

/* CUT is UNREADABLE of which is known that the end is missing. ENOUGH, of a FAULT alone: what else
 * comes is not looked at, so that nobody needs to wait for it. */
enum relay_verdict {
	RELAY_OK,
	RELAY_MEMORY,
	RELAY_TOO_LARGE,
	RELAY_UNREADABLE,
	RELAY_CUT,
	RELAY_ENOUGH,
	RELAY_ERROR
};

struct relay_start {
	const struct endpoint *endpoint;
	struct arena *arena;
	unsigned status;
	struct str content_type;
	struct str coding;           /* of the content; empty: none */
	struct translate *translate; /* NULL: the provider speaks the client's dialect */
	struct buf *made; /* TRANSLATE: where the client's bytes lie from take to settle; others
			     may use it in between */
	bool stream;      /* the client asked for a stream */
	bool include_usage;
	bool until_close; /* framed by the end of the connection */
	size_t reply_bytes, event_bytes;
};

struct relay {
	struct relay_start start;
	uint8_t mode;
	uint8_t feed;            /* TRANSLATE: how the reply is read */
	bool decodes;            /* a coding is undone */
	bool coded;              /* there is a coding, and nothing can be read */
	bool sniffed;            /* the first bytes of the body told its kind: the mode is final */
	bool leaves_with_settle; /* what relay_take let through lies in memory that relay_settle
				    frees: flush before it */
	struct buf first;        /* bytes that did not tell the kind yet */
	bool begun;              /* EVENTS: an event, or too much to hold, has been let through */
	bool mid_event;          /* EVENTS: what was let through ends within an event */
	struct watch watch;
	struct sse sse;
	struct buf hold; /* bytes not let through yet, or the reply that is to be converted */
	struct gather *gather;
	struct str message; /* of a provider's error event, for RELAY_ERROR */
	struct str tail;    /* between take and settle: what is to be held back */
	bool releasing;     /* between take and settle: `hold` was let through */
	bool oversized;     /* EVENTS: an event was too large to be looked at */
	struct coding coding;
	struct buf plain; /* what was decoded */
};

/* `r` may be relay_close'd at once. 0; -1 when the reply would have to be decoded and cannot be. */
int relay_open(struct relay *r, const struct relay_start *start);
void relay_close(struct relay *r);
/*
 * Take the next bytes. What may leave is *held and then *now (a part of `data`); both may be empty.
 * When they have been sent (and flushed, where r->leaves_with_settle says so), call relay_settle
 * before `data` goes. After any other verdict than RELAY_OK it is what came before the failure, and
 * leaves only where the reply has begun; nothing follows.
 */
enum relay_verdict relay_take(struct relay *r, struct str data, struct str *held, struct str *now);
enum relay_verdict relay_settle(struct relay *r);
/* The reply must begin although no event is complete (a heartbeat's time has come). What was held
 * may leave if it ends between events; then relay_settle. */
struct str relay_begin(struct relay *r);
/*
 * The reply has ended as HTTP. What is still to leave comes in *rest, valid until relay_close.
 * RELAY_UNREADABLE: it is not whole: cut, or cannot be converted.
 */
enum relay_verdict relay_finish(struct relay *r, struct buf *rest);
/* FAULT: the beginning of the error, decoded; empty where it cannot be. */
struct str relay_fault(const struct relay *r);
/* What the provider reported of tokens; false: nothing (yet). */
bool relay_usage(const struct relay *r, struct usage *out);
/* Has the client's stream begun, as far as heartbeats ask? */
bool relay_started(const struct relay *r);
/* Has the answer itself ended, so that what happens to the connection no longer matters? */
bool relay_answered(struct relay *r);
/* May an event or a comment be put in here? Only a client that gets a stream has such a place. */
bool relay_between(const struct relay *r);

#endif
