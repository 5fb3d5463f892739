/*
 * mem: memory. Boot memory dies on failure; request memory is counted against a limit of the
 * process and may fail; an arena frees a request's memory at once.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/str.h"

/* Zeroed memory for start-up. Never NULL: the process ends with status 1 and a message when there
 * is none. */
void *mem_boot(size_t size);
/* The same for a table of which little may ever be written to: zeroed pages of its own, which take
 * memory when they are touched. Given back with the same size. */
void *mem_boot_pages(size_t size);
void mem_boot_pages_free(void *p, size_t size);

/* Limit in bytes of all memory from mem_get and arenas in this process; 0 is none (the default). */
void mem_limit(size_t bytes);
/* Bytes handed out by mem_get and held by arenas now. */
size_t mem_used(void);
/* Uninitialised memory, or NULL past the limit or when the system has none. Give back with the same
 * size. */
void *mem_get(size_t size);
/* The same, its first `zero` bytes zero. */
void *mem_zero(size_t size, size_t zero);
void mem_put(void *p, size_t size);
/* Now and then, once a second, say: when most of what was in use is not any more, it goes back to
 * the system. */
void mem_idle(void);
/* For tests: the n-th mem_get from now on (1 is the next) fails, and all after it; 0 ends that. */
void mem_fail_after(size_t n);

/*
 * An arena hands out aligned memory that is freed all together. Failure is sticky: once an
 * allocation has failed (limit of the arena, of the process, or of the system) every later one
 * fails too, so that a caller may check once at the end.
 */
struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
	char *next, *end;           /* free part of the newest */
	size_t held, limit; /* bytes held; most that it may hold, 0 is no limit of its own */
	size_t first; /* bytes of its first block, for who knows what will be needed; 0: 1 KiB */
	bool failed;
	bool full;  /* and it failed since it would have held more than its limit */
	bool pages; /* blocks are whole pages outside the count of mem_used, and can be sealed */
};

void arena_init(struct arena *a, size_t limit);
/* An arena of pages that arena_seal can make read-only; for the configuration. Not counted in
 * mem_used. */
void arena_init_pages(struct arena *a);
/* Memory aligned for any type, uninitialised; NULL when the arena has failed. Size 0 gives a valid
 * pointer. */
void *arena_alloc(struct arena *a, size_t size);
/* The same, zeroed. */
void *arena_zero(struct arena *a, size_t size);
/* A copy of the bytes with a NUL behind them (not counted in len); p is NULL when the arena has
 * failed. */
struct str arena_copy(struct arena *a, struct str s);
/* Formatted text, NUL behind it; p is NULL when the arena has failed. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Grow the newest allocation `p` from `old` to `size` bytes in place if it is the last one and
 * there is room, else by copy. NULL when the arena has failed; `p` stays valid then.
 */
void *arena_grow(struct arena *a, void *p, size_t old, size_t size);
/* Make every page read-only; only for an arena of pages. It may still be freed; `a` may live in its
 * own memory. */
void arena_seal(struct arena *a);
void arena_free(struct arena *a);
/* Everything is given back, but the newest block is kept, empty again, unless it is uncommonly
 * large (over 64 KiB). Not for an arena of pages. A failure is forgotten. */
void arena_rewind(struct arena *a);

#endif
