/*
 * body: the framing of HTTP/1.1 bodies (RFC 9112 6 and 7) as a pure function over input; trailers
 * are read and dropped.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http/head.h"

struct body {
	enum framing kind;
	bool done;     /* the end of the body has been consumed (never set for FRAMING_CLOSE) */
	uint8_t state; /* private */
	uint16_t line; /* private: bytes of the chunk-size line or of the trailer section seen */
	uint64_t left; /* private: bytes left of the length or of the current chunk */
};

void body_init(struct body *b, enum framing kind, uint64_t length);
/*
 * Consume from `in`. Returns bytes consumed with *data the body bytes among them (may be empty);
 * call again while input remains and !done. 0 with in.len > 0 happens only when done. -1: the
 * framing breaks at the first byte of `in`; bytes before a break are always given first. Trailer
 * fields must look like fields (token, colon, text). Chunk extensions are skipped (at most 4 KiB a
 * line), trailers too (at most 16 KiB); line ends are CRLF only; a chunk size is 1 to 16 hex
 * digits.
 */
long body_next(struct body *b, struct str in, struct str *data);
/* The same for bytes that may be written to, as far as they are consumed: data of chunks that stand
 * one behind the other comes as one, moved together, unless a chunk is large. */
long body_join(struct body *b, char *p, size_t len, struct str *data);

#define BODY_CHUNK_HEAD_MAX 18
/* Write "HEX CRLF" for a chunk of `len` bytes; returns its length. */
size_t body_chunk_head(char out[BODY_CHUNK_HEAD_MAX], size_t len);
/* What follows a chunk's data, and what ends a chunked body. */
#define BODY_CHUNK_TAIL "\r\n"
#define BODY_CHUNK_LAST "0\r\n\r\n"

#endif
