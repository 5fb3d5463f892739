/*
 * heap: the memory of malloc, left out of core dumps.
 *
 * malloc has its blocks from one place, the break, and the largest ones from mappings of their own.
 * Of the break the part [from, to) is known to be left out:
 *
 *     from                    to            sbrk(0)
 *     |  left out of dumps    |  grown since  |
 *
 * So for nearly every block two comparisons tell that there is nothing to do. A block behind `to`
 * means that the break has grown: what has been added is left out, and `to` moves. A block that is
 * nowhere in the break has pages of its own, which are left out.
 *
 * This is sound only while the break does not shrink unseen, for what grows there again would be
 * dumped: malloc is told never to shrink it by itself. heap_trim does it instead. Mappings begin at
 * a size that bodies seldom have, since each costs a page fault for every page, every time.
 *
 * What OpenSSL holds is counted: it is nearly all that a connection of TLS costs, and whoever looks
 * for idle memory (mem_idle) must see it come and go.
 *
 * Nothing here fails but for want of memory, as malloc does. A kernel that refuses the advice
 * leaves the memory in dumps, which are off in a usual build anyway (process/privilege).
 */
#include "base/heap.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef SANITIZED
enum { WANTED = 0 };
#else
enum { WANTED = 1 };
#endif

#define MAPPED_LEAST (4 << 20) /* bytes of a block that has a mapping of its own */
#define GROW (256 << 10)       /* bytes that the break grows by, at least */

/* Until heap_open everything counts as left out; where there is no break, nothing does. */
static uintptr_t from = 0, to = UINTPTR_MAX;
static size_t openssl_bytes;

static uintptr_t
page_of(uintptr_t at)
{
	return at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static uintptr_t
break_now(void)
{
	return (uintptr_t)sbrk(0);
}

/* The pages in which these bytes stand. */
static void
advise(uintptr_t start, uintptr_t end)
{
	start = page_of(start);
	if (start < end)
		madvise((void *)start, end - start, MADV_DONTDUMP);
}

static void
leave_out_more(uintptr_t at, size_t size)
{
	uintptr_t end = break_now();

	if (at >= from && at < end) {
		advise(to, end);
		to = end;
	} else {
		advise(at, at + size);
	}
}

static void *
left_out(void *p, size_t size)
{
	uintptr_t at = (uintptr_t)p;

	if (p && (at < from || at + size > to))
		leave_out_more(at, size);
	return p;
}

void *
heap_get(size_t size)
{
	return left_out(malloc(size), size);
}

void *
heap_zero(size_t size)
{
	return left_out(calloc(1, size), size);
}

void *
heap_again(void *p, size_t size)
{
	return left_out(realloc(p, size), size);
}

void
heap_leave_out(void)
{
	if (from == 0 || from == UINTPTR_MAX)
		return;
	to = break_now();
	advise(from, to);
}

void
heap_trim(void)
{
	malloc_trim(0);
	if (from > 0 && to > break_now())
		to = break_now();
}

static void *
openssl_get(size_t size, const char *file, int line)
{
	void *p = size > 0 ? heap_get(size) : NULL; /* as its own does */

	(void)file, (void)line;
	openssl_bytes += malloc_usable_size(p);
	return p;
}

static void *
openssl_again(void *p, size_t size, const char *file, int line)
{
	size_t before = malloc_usable_size(p);
	void *again = heap_again(p, size);

	(void)file, (void)line;
	if (again || size == 0)
		openssl_bytes += malloc_usable_size(again) - before;
	return again;
}

static void
openssl_put(void *p, const char *file, int line)
{
	(void)file, (void)line;
	openssl_bytes -= malloc_usable_size(p);
	free(p);
}

size_t
heap_openssl(void)
{
	return openssl_bytes;
}

void
heap_open(void)
{
	void *first;

	if (!WANTED)
		return;
	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_MMAP_THRESHOLD, MAPPED_LEAST);
	mallopt(M_TOP_PAD, GROW);
	mallopt(M_ARENA_MAX, 1); /* also where the break cannot grow */
	CRYPTO_set_mem_functions(openssl_get, openssl_again, openssl_put);
	first = malloc(1); /* near the start of the break: little has been asked for */
	from = to = page_of((uintptr_t)first);
	if (from >= break_now()) /* it is nowhere in it */
		from = to = UINTPTR_MAX;
	free(first);
	heap_leave_out();
}
