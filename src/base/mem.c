/*
 * mem: memory, counted.
 *
 * Boot memory dies on failure, since nothing can run without it. Request memory (mem_get, arenas)
 * is counted against the limit of the process and may fail: the caller answers 413 or 503 and the
 * process lives on. An arena is a chain of blocks, newest first; its first block is small because
 * most requests are, and each next one is twice the last up to 64 KiB, or as large as what is asked
 * for.
 *
 * All of it is of base/heap, and so in no core dump: what passes through has keys in it.
 *
 * malloc is quick with up to 1032 bytes; from there on it merges and splits. What a request takes
 * is larger: so blocks of up to 4 KiB, in steps of 128 bytes, are kept for the next one, 64 KiB of
 * them in all. Not under a sanitizer, which is to see each use of what was put back.
 *
 * Tables that are large and stay empty for the most part have pages of their own: calloc zeroes,
 * and so touches, whatever it does not have fresh from the system.
 *
 * An arena of pages lives outside the count and can be sealed: mprotect makes it read-only before
 * the first fork, so that no worker can change what all of them read. It is left out of dumps, for
 * what it holds are the secrets of a configuration.
 */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/heap.h"

#define IDLE_LEAST (4 << 20) /* bytes that were in use, for less it is not worth while */
#define BLOCK_FIRST 1024
#define BLOCK_MOST 65536
#define PAGES_BLOCK (256 * 1024)
#define ALIGN _Alignof(max_align_t)

struct arena_block {
	struct arena_block *older;
	size_t size; /* with this head */
};

/* Blocks that were put back, by size: a chain each. */
#define SPARE_OVER 1024
#define SPARE_STEP 128
#define SPARE_SIZES 24
#ifdef SANITIZED
enum { SPARE_MOST = 0 };
#else
enum { SPARE_MOST = 65536 }; /* bytes in all */
#endif

struct spare {
	struct spare *next;
};

static size_t limit_bytes, used_bytes, most_bytes, fail_in;
static struct spare *spares[SPARE_SIZES];
static size_t spare_bytes;

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

#define BLOCK_HEAD round_up(sizeof(struct arena_block), ALIGN)

void *
mem_boot(size_t size)
{
	void *p = heap_zero(size > 0 ? size : 1);

	if (!p) {
		fprintf(stderr, "api-router: no memory for %zu bytes\n", size);
		exit(1);
	}
	return p;
}

/* Pages that core dumps leave out, or NULL. */
static void *
pages_get(size_t size)
{
	/* cppcheck-suppress invalidFunctionArg ; -1 is what MAP_ANONYMOUS takes */
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

void *
mem_boot_pages(size_t size)
{
	void *p = pages_get(size);

	if (!p) {
		fprintf(stderr, "api-router: no memory for %zu bytes\n", size);
		exit(1);
	}
	return p;
}

void
mem_boot_pages_free(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

void
mem_limit(size_t bytes)
{
	limit_bytes = bytes;
}

size_t
mem_used(void)
{
	return used_bytes;
}

void
mem_fail_after(size_t n)
{
	fail_in = n;
}

/* Which of the spare sizes; SPARE_SIZES and above: none. */
static size_t
spare_of(size_t size)
{
	return (size - SPARE_OVER - 1) / SPARE_STEP;
}

static size_t
spare_size(size_t i)
{
	return SPARE_OVER + (i + 1) * SPARE_STEP;
}

static void *
block_new(size_t size)
{
	size_t i = spare_of(size);
	struct spare *s;

	if (i >= SPARE_SIZES)
		return heap_get(size > 0 ? size : 1);
	s = spares[i];
	if (!s)
		return heap_get(spare_size(i));
	spares[i] = s->next;
	spare_bytes -= spare_size(i);
	return s;
}

static void
block_old(void *p, size_t size)
{
	size_t i = spare_of(size);
	struct spare *s = p;

	if (i >= SPARE_SIZES || spare_bytes + spare_size(i) > SPARE_MOST) {
		free(p);
		return;
	}
	s->next = spares[i];
	spares[i] = s;
	spare_bytes += spare_size(i);
}

static void
spares_free(void)
{
	for (size_t i = 0; i < SPARE_SIZES; i++) {
		struct spare *s = spares[i], *next;

		for (; s; s = next) {
			next = s->next;
			free(s);
		}
		spares[i] = NULL;
	}
	spare_bytes = 0;
}

void *
mem_get(size_t size)
{
	void *p;

	if (fail_in > 0 && --fail_in == 0) {
		fail_in = 1;
		return NULL;
	}
	if (limit_bytes > 0 && (size > limit_bytes || used_bytes > limit_bytes - size))
		return NULL;
	p = block_new(size);
	if (p)
		used_bytes += size;
	if (used_bytes > most_bytes)
		most_bytes = used_bytes;
	return p;
}

void *
mem_zero(size_t size, size_t zero)
{
	void *p = mem_get(size);

	return p ? memset(p, 0, zero) : NULL;
}

void
mem_put(void *p, size_t size)
{
	if (!p)
		return;
	assert(used_bytes >= size);
	used_bytes -= size;
	block_old(p, size);
}

void
mem_idle(void)
{
	size_t used = used_bytes + heap_openssl();

	if (used > most_bytes)
		most_bytes = used;
	if (most_bytes < IDLE_LEAST || used > most_bytes / 4)
		return;
	spares_free();
	heap_trim();
	most_bytes = used;
}

void
arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){ .limit = limit };
}

void
arena_init_pages(struct arena *a)
{
	*a = (struct arena){ .pages = true };
}

static struct arena_block *
block_get(struct arena *a, size_t size)
{
	return a->pages ? pages_get(size) : mem_get(size);
}

/* Size of the next block: room for `size` more bytes, growing with the arena, within its limit. 0
 * when it cannot be. */
static size_t
block_size(const struct arena *a, size_t size)
{
	size_t least, want;

	if (size > SIZE_MAX / 2)
		return 0;
	least = round_up(size, ALIGN) + BLOCK_HEAD;
	if (a->pages)
		return round_up(least, PAGES_BLOCK);
	want = a->blocks ? a->blocks->size * 2 : a->first > 0 ? a->first : BLOCK_FIRST;
	if (want > BLOCK_MOST)
		want = BLOCK_MOST;
	if (want < least)
		want = least;
	if (a->limit > 0 && want > a->limit - a->held)
		want = a->limit - a->held;
	return want < least ? 0 : want;
}

static bool
arena_more(struct arena *a, size_t size)
{
	size_t block = block_size(a, size);
	struct arena_block *b = block > 0 ? block_get(a, block) : NULL;

	if (!b) {
		a->full = block == 0 && a->limit > 0;
		return false;
	}
	*b = (struct arena_block){ .older = a->blocks, .size = block };
	a->blocks = b;
	a->held += block;
	a->next = (char *)b + BLOCK_HEAD;
	a->end = (char *)b + block;
	return true;
}

/* Where the block at hand has no room. Apart, since that is seldom. */
static __attribute__((noinline)) void *
alloc_more(struct arena *a, size_t size)
{
	if (a->failed || !arena_more(a, size)) {
		a->failed = true;
		return NULL;
	}
	a->next += round_up(size, ALIGN);
	return a->next - round_up(size, ALIGN);
}

void *
arena_alloc(struct arena *a, size_t size)
{
	char *p = a->next;
	size_t room = (size_t)(a->end - p);

	if (!p || a->failed || size > room || round_up(size, ALIGN) > room)
		return alloc_more(a, size);
	a->next += round_up(size, ALIGN);
	return p;
}

void *
arena_zero(struct arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	return p ? memset(p, 0, size) : NULL;
}

struct str
arena_copy(struct arena *a, struct str s)
{
	char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

	if (!p)
		return (struct str){ NULL, 0 };
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	p[s.len] = '\0';
	return (struct str){ p, s.len };
}

struct str
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int len;
	char *p;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = len >= 0 ? arena_alloc(a, (size_t)len + 1) : NULL;
	if (!p)
		return (struct str){ NULL, 0 };
	va_start(ap, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return (struct str){ p, (size_t)len };
}

void *
arena_grow(struct arena *a, void *p, size_t old, size_t size)
{
	char *tail = p ? (char *)p + round_up(old, ALIGN) : NULL;
	void *copy;

	assert(size >= old);
	if (!a->failed && tail && tail == a->next && size <= SIZE_MAX / 2 &&
		round_up(size, ALIGN) <= (size_t)(a->end - (char *)p)) {
		a->next = (char *)p + round_up(size, ALIGN);
		return p;
	}
	copy = arena_alloc(a, size);
	if (copy && old > 0)
		memcpy(copy, p, old);
	return copy;
}

void
arena_seal(struct arena *a)
{
	struct arena_block *b = a->blocks;

	assert(a->pages);
	a->failed = true; /* first: `a` itself may live in one of the blocks */
	for (; b; b = b->older)
		mprotect(b, b->size, PROT_READ);
}

void
arena_rewind(struct arena *a)
{
	struct arena_block *b = a->blocks, *older;

	assert(!a->pages);
	a->failed = a->full = false;
	if (!b)
		return;
	if (b->size > BLOCK_MOST) {
		arena_free(a);
		return;
	}
	for (older = b->older; older; older = b->older) {
		b->older = older->older;
		mem_put(older, older->size);
	}
	a->held = b->size;
	a->next = (char *)b + BLOCK_HEAD;
}

void
arena_free(struct arena *a)
{
	struct arena_block *b = a->blocks, *older;
	bool pages = a->pages;

	if (!pages) /* else `a` may be read-only by now, and goes with its blocks */
		*a = (struct arena){ .limit = a->limit };
	for (; b; b = older) {
		older = b->older;
		if (pages)
			munmap(b, b->size);
		else
			mem_put(b, b->size);
	}
}
