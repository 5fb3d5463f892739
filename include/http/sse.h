/*
 * sse: an event stream (WHATWG HTML 9.2), read in passing. The reader never changes a byte; it says
 * where events end and what they hold. spec traps: line ends LF, CRLF, CR and mixes; a BOM; `data`
 * over several lines; comments; no final blank line.
 */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

#include "base/buf.h"

/* Name and data are valid until the next call, as long as its input is. */
struct sse_event {
	struct str name; /* of `event:`, empty when absent */
	struct str data; /* joined with LF */
	bool has_data;   /* a `data` line was there: without one it is no event */
	bool oversized; /* longer than carry_max: skipped over, name and data are empty, has_data is
			   true */
};

struct sse {
	struct buf carry; /* data lines, each with LF, of an event that is not sliced; then the line
			     being read */
	struct buf name;  /* the name of that event */
	size_t carry_max;
	/* all else is private */
	size_t line;     /* where in `carry` the line being read begins */
	size_t size;     /* bytes of the event's lines so far, but for comments */
	const char *cr;  /* in what is read: the next CR, or the end, or a place before */
	size_t no_cr;    /* bytes to come up to there */
	uint8_t bom;     /* bytes of a byte-order mark seen */
	bool started;    /* the first byte that is no byte-order mark has come */
	bool last_cr;    /* the last byte read was a CR, and ended a line */
	bool lone_cr;    /* the last CR of which that is known had no LF behind it */
	bool in_line;    /* a line has begun */
	bool in_comment; /* and it is, or the last one was, a comment */
	bool in_event;   /* a line that is no comment has begun since the last blank one */
	bool has_data, oversized, given;
};

/*
 * `carry_max`: most bytes of one event (its lines with an LF each, comments not counted), however
 * it is spread over reads. A larger one is skipped over; no more than that is ever kept.
 */
void sse_init(struct sse *s, size_t carry_max);
void sse_free(struct sse *s);
/*
 * Read on in `in`. Returns bytes consumed, up to and with the end of the first event (its blank
 * line) or all of `in`. *got is true when an event ended there (blocks that hold only comments or
 * are empty are not events: they are consumed silently and *got stays false, and the function goes
 * on to the next). -1: no memory. What was not consumed is what the next input begins with. An
 * event that lies wholly in `in` with one data line is sliced, not copied. A CR at the very end of
 * `in` ends the line at once; an LF that opens the next input is then swallowed as part of it.
 */
long sse_next(struct sse *s, struct str in, struct sse_event *ev, bool *got);
/* At the end of the stream: was an event left without its blank line? True with *ev filled when it
 * has data. */
bool sse_finish(struct sse *s, struct sse_event *ev);
/*
 * Has every byte so far been the end of an event or a comment, or nothing (here another event or a
 * comment may be put in)? False in the middle of a line or of an event, and after a CR that may be
 * half of a CRLF: one whose forerunner in this stream was not known to stand alone.
 */
bool sse_between(const struct sse *s);
/* Does a line begin here, and with it an event or a comment? Unlike sse_between also behind a CR
 * that may be half of a CRLF. */
bool sse_at_start(const struct sse *s);
/* Is the event that is being read too large already? */
bool sse_oversized(const struct sse *s);

#endif
