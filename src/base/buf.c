/*
 * buf: a growing queue of bytes.
 *
 * Owners: connections (what could not be sent yet), event readers (the part of an event that came
 * earlier), whoever composes a text. It grows by doubling and moves its bytes to the front before
 * it grows, so that a queue which is emptied as fast as it is filled stays small.
 *
 * The one thing that can fail is memory; that failure is sticky, nothing is held half, and a
 * composer may check once at the end.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define BUF_LEAST 256

/* Its bytes, which stand at the front then, in memory of another size. */
static int
buf_move(struct buf *b, size_t cap)
{
	size_t len = buf_len(b);
	char *p = mem_get(cap);

	if (!p)
		return -1;
	if (len > 0)
		memcpy(p, b->p + b->start, len);
	mem_put(b->p, b->cap);
	*b = (struct buf){ .p = p, .end = len, .cap = cap };
	return 0;
}

static int
buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap > BUF_LEAST ? b->cap : BUF_LEAST;

	while (cap < need) {
		if (cap > SIZE_MAX / 2)
			return -1;
		cap *= 2;
	}
	return buf_move(b, cap);
}

int
buf_reserve(struct buf *b, size_t size)
{
	if (!b->failed && size > b->cap && buf_move(b, size) < 0)
		b->failed = true;
	return b->failed ? -1 : 0;
}

char *
buf_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (b->failed || n > SIZE_MAX / 4)
		goto fail;
	if (b->cap - b->end >= n && b->p)
		return b->p + b->end;
	if (b->p && b->cap - len >= n && b->start >= b->cap / 2) {
		memmove(b->p, b->p + b->start, len);
		b->start = 0;
		b->end = len;
		return b->p + b->end;
	}
	if (buf_grow(b, len + n) == 0)
		return b->p + b->end;
fail:
	b->failed = true;
	return NULL;
}

void
buf_added(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->end);
	b->end += n;
}

int
buf_add(struct buf *b, struct str s)
{
	if (s.len == 0) /* nothing needs no memory */
		return b->failed ? -1 : 0;
	if ((b->failed || b->cap - b->end < s.len) && !buf_room(b, s.len))
		return -1;
	memcpy(b->p + b->end, s.p, s.len);
	b->end += s.len;
	return 0;
}

void
buf_u64(struct buf *b, uint64_t n, unsigned digits)
{
	unsigned own = str_digits(n);
	char *to;

	if (digits < own)
		digits = own;
	to = buf_place(b, digits);
	if (!to)
		return;
	str_write_u64(to, digits, n);
	b->end += digits;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int len;
	char *p;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = len >= 0 ? buf_room(b, (size_t)len + 1) : NULL;
	if (!p) {
		b->failed = true;
		return -1;
	}
	va_start(ap, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	b->end += (size_t)len;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void
buf_free(struct buf *b)
{
	mem_put(b->p, b->cap);
	*b = BUF_EMPTY;
}
