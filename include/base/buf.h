/*
 * buf: a growing queue of bytes, filled at one end and consumed at the other. Its memory is counted
 * (mem_get).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
	char *p;
	size_t start, end, cap; /* bytes p[start..end) are held */
	bool failed;            /* sticky: an append did not fit; nothing is held half */
};

/* All zero is an empty buffer. */
#define BUF_EMPTY ((struct buf){ 0 })

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}
static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){ b->p ? b->p + b->start : "", b->end - b->start };
}
/* Room for `n` more bytes at the end: where to write them, or NULL (then b->failed). Follow with
 * buf_added. */
char *buf_room(struct buf *b, size_t n);
/* The same, not called where there is room: for pieces that are small and many. `n` is not 0. */
static inline char *
buf_place(struct buf *b, size_t n)
{
	return b->failed || b->cap - b->end < n ? buf_room(b, n) : b->p + b->end;
}
void buf_added(struct buf *b, size_t n);
/* Room for `size` bytes in all and no more, where it is known how many will come. 0 or -1, as
 * buf_add. */
int buf_reserve(struct buf *b, size_t size);
/* 0, or -1 when there is no memory (b->failed is set and nothing was appended). */
int buf_add(struct buf *b, struct str s);
/* `n` in decimal, with at least `digits` digits. */
void buf_u64(struct buf *b, uint64_t n, unsigned digits);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drop `n` bytes from the front. An empty buffer keeps its memory; buf_free gives it back. */
void buf_consume(struct buf *b, size_t n);
void buf_free(struct buf *b);

#endif
