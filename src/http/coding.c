/*
 * coding: gzip and deflate undone, by zlib. The router asks for identity, but not every provider
 * looks at that, and what is to be translated must be read.
 *
 * Called by the relay with what it has read of a reply. zlib gives what the bytes so far stand for,
 * so events that a provider flushed come through at once. Its memory, up to 42 KiB, is counted
 * (mem_get) and taken when the first byte comes. Fails on a broken text, on a wrong checksum and
 * for want of memory; a text that a few bytes blow up to gigabytes is the caller's to bound, who
 * says how much may come in one call.
 *
 *     START -> BODY -> ENDED, of deflate
 *     START -> BODY -> BETWEEN -1f 8b-> BODY, else ENDED, of gzip: one text after the other
 *
 * "deflate" is a zlib stream (RFC 1950), but there are servers that send a bare one (RFC 1951). The
 * first two bytes tell: those of a zlib stream would begin a stored block with odd padding.
 */
#include "http/coding.h"

#define ZLIB_CONST
#include <string.h>
#include <zlib.h>

#include "base/mem.h"

enum { GZIP, DEFLATE };
enum { START, BODY, BETWEEN, ENDED };
enum { PIECE = 8192, INPUT_MOST = 1 << 30, WINDOW_BITS = 15, GZIP_BITS = 16 };

static const char no_memory[] = "out of memory";

int
coding_open(struct coding *c, struct str name)
{
	struct str rest = name, item, more;

	*c = (struct coding){ .kind = GZIP };
	if (!str_list_next(&rest, &item) || str_list_next(&rest, &more))
		return -1;
	if (str_eq_nocase(item, STR("deflate")))
		c->kind = DEFLATE;
	else if (!str_eq_nocase(item, STR("gzip")) && !str_eq_nocase(item, STR("x-gzip")))
		return -1;
	return 0;
}

/*
 * Memory: its size stands before it, since zlib does not say it again.
 */

union block {
	size_t size;
	max_align_t align;
};

static void *
take(void *nobody, unsigned n, unsigned size)
{
	size_t bytes = sizeof(union block) + (size_t)n * size;
	union block *b = mem_get(bytes);

	(void)nobody;
	if (!b)
		return NULL;
	b->size = bytes;
	return b + 1;
}

static void
give_back(void *nobody, void *p)
{
	union block *b = (union block *)p - 1;

	(void)nobody;
	mem_put(b, b->size);
}

static int
fail(struct coding *c, const char *fault)
{
	c->fault = fault;
	c->memory = fault == no_memory;
	return -1;
}

static int
begin(struct coding *c, int bits)
{
	c->z = mem_get(sizeof *c->z);
	if (!c->z)
		return fail(c, no_memory);
	*c->z = (z_stream){ .zalloc = take, .zfree = give_back };
	if (inflateInit2(c->z, bits) != Z_OK) {
		mem_put(c->z, sizeof *c->z);
		c->z = NULL;
		return fail(c, no_memory);
	}
	c->state = BODY;
	return 0;
}

void
coding_close(struct coding *c)
{
	if (!c->z)
		return;
	inflateEnd(c->z);
	mem_put(c->z, sizeof *c->z);
	c->z = NULL;
}

bool
coding_whole(const struct coding *c)
{
	return !c->fault && (c->state == BETWEEN || c->state == ENDED);
}

/*
 * Undoing
 */

/* Looks at the next byte in START and BETWEEN. 0 or -1. */
static int
look(struct coding *c, char byte)
{
	unsigned a, b;

	c->head[c->head_len++] = byte;
	a = (unsigned char)c->head[0];
	b = (unsigned char)c->head[1];
	if (c->state == START && c->kind == GZIP)
		return begin(c, WINDOW_BITS + GZIP_BITS);
	if (c->state == START) {
		bool could_be = (a & 15) == Z_DEFLATED && a >> 4 <= WINDOW_BITS - 8;

		if (could_be && c->head_len < 2)
			return 0;
		return begin(c, could_be && (a << 8 | b) % 31 == 0 ? WINDOW_BITS : -WINDOW_BITS);
	}
	if (a != 0x1f || (c->head_len == 2 && b != 0x8b)) {
		c->state = ENDED;
	} else if (c->head_len == 2) {
		inflateReset(c->z);
		c->state = BODY;
	}
	return 0;
}

/* One call of zlib's. Returns the bytes of `in` that it took, or -1. */
static long
inflate_piece(struct coding *c, struct str in, struct buf *out, size_t most)
{
	char piece[PIECE];
	size_t room = most < sizeof piece ? most : sizeof piece;
	int rc;

	in = str_head(in, INPUT_MOST);
	c->z->next_in = (const unsigned char *)in.p;
	c->z->avail_in = (unsigned)in.len;
	c->z->next_out = (unsigned char *)piece;
	c->z->avail_out = (unsigned)room;
	rc = inflate(c->z, Z_SYNC_FLUSH);
	if (buf_add(out, (struct str){ piece, room - c->z->avail_out }) < 0)
		return fail(c, no_memory);
	switch (rc) {
	case Z_STREAM_END:
		c->state = c->kind == GZIP ? BETWEEN : ENDED;
		break;
	case Z_OK:
	case Z_BUF_ERROR: /* there is nothing to do: it wants more bytes */
		break;
	case Z_MEM_ERROR:
		return fail(c, no_memory);
	case Z_NEED_DICT:
		return fail(c, "it needs a dictionary");
	default:
		return fail(c, c->z->msg ? c->z->msg : "it is broken");
	}
	return (long)(in.len - c->z->avail_in);
}

/* The bytes that were looked at come before those of `in`. */
static long
undo(struct coding *c, struct str in, struct buf *out, size_t most)
{
	long n;

	if (c->head_len == 0)
		return inflate_piece(c, in, out, most);
	n = inflate_piece(c, (struct str){ c->head, c->head_len }, out, most);
	if (n < 0)
		return -1;
	c->head_len = (uint8_t)(c->head_len - n);
	c->head[0] = c->head[1];
	return 0;
}

long
coding_feed(struct coding *c, struct str in, struct buf *out, size_t most)
{
	size_t used = 0, given = 0;

	while (!c->fault && given < most) {
		size_t before = buf_len(out), head = c->head_len;
		struct str rest = str_skip(in, used);
		long n;

		if (c->state == ENDED)
			return (long)in.len;
		if (c->state != BODY) {
			if (rest.len == 0)
				return (long)used;
			if (look(c, rest.p[0]) == 0)
				used++;
			continue;
		}
		n = undo(c, rest, out, most - given);
		if (n < 0)
			break;
		used += (size_t)n;
		given += buf_len(out) - before;
		if (c->state == BODY && n == 0 && head == 0 && buf_len(out) == before)
			return (long)used;
	}
	return c->fault ? -1 : (long)used;
}
