/*
 * coding: content codings undone as the bytes come (RFC 9110 8.4.1): gzip and deflate.
 */
#ifndef HTTP_CODING_H
#define HTTP_CODING_H

#include "base/buf.h"

struct coding {
	const char *fault; /* after -1: what is wrong; a text that stays */
	bool memory;       /* and that is that there is no memory */
	/* private */
	struct z_stream_s *z; /* NULL: nothing has been undone yet */
	uint8_t kind, state, head_len;
	char head[2]; /* bytes that are to be looked at together, before they are undone */
};

/*
 * Begin, by the value of Content-Encoding. 0; -1: it is none that is known here ("identity" and the
 * empty one are none, the caller looks for them), or several. Takes no memory.
 */
int coding_open(struct coding *c, struct str name);
/*
 * Undo what `in` allows, appended to `out`: all that its bytes stand for comes at once, but no more
 * than `most` (above 0) in a call. Returns the bytes of `in` that are used up; go on with the rest,
 * which may be empty, until a call appends less than `most`. -1: the text is broken or there is no
 * memory, c->fault says which, and so it stays; what came before that is in `out`. Bytes behind the
 * end are used up and passed over.
 */
long coding_feed(struct coding *c, struct str in, struct buf *out, size_t most);
/* Has the coded text come to its end, and its checksum been right? Not when nothing came at all. */
bool coding_whole(const struct coding *c);
/* Give the memory back. */
void coding_close(struct coding *c);

#endif
