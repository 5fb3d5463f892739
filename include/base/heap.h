/*
 * heap: the memory of malloc, left out of core dumps. What passes through a worker holds keys:
 * clients' in the heads that they send, providers' in those that are sent on, and OpenSSL's
 * buffers have both. Nobody can say of a piece of memory, once freed, what was in it; so all of it
 * is left out (madvise(2), MADV_DONTDUMP), and a dump has the stacks, static data and the code.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

/*
 * At the very start of the program: from now on what heap_get and OpenSSL hand out is left out of
 * dumps. Before that, and in a program that never calls it, they are malloc and nothing more, as
 * in a build with sanitizers, whose allocator is not this one.
 */
void heap_open(void);
/* malloc, calloc of one, realloc; free() gives back what they return. */
void *heap_get(size_t size);
void *heap_zero(size_t size);
void *heap_again(void *p, size_t size);
/* Bytes that OpenSSL holds now; 0 where heap_open was not called. */
size_t heap_openssl(void);
/* Leave out all that there is now, whoever asked malloc for it. */
void heap_leave_out(void);
/* Give free memory back to the system. Walks through all of it. */
void heap_trim(void);

#endif
