/*
 * shm: memory shared by fork; and tables in it, which go to the next binary by their descriptors.
 */
#ifndef BASE_SHM_H
#define BASE_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory that children share. NULL with errno. */
void *shm_pages(size_t size);
void shm_pages_free(void *p, size_t size);

/* How a table begins; shm_map fills it in. */
struct shm_head {
	uint32_t magic;   /* of the table's name */
	uint32_t version; /* of how it is laid out */
	uint64_t size;
	uint64_t meaning; /* what shm_meaning said when it was made */
};

/*
 * A fingerprint of what the numbers in the tables mean: tables that were made with another one are
 * not taken over. To be said before the first shm_map; 0 until then.
 */
void shm_meaning(uint64_t meaning);
/* The table `name` was handed down as descriptor `fd`, which is ours from now on. */
void shm_inherit(const char *name, int fd);
/*
 * The table `name` (at most 15 bytes): the one that was handed down, if it fits, else a new one,
 * all zero behind its head. `any_size`: one that was handed down may have another size. NULL with
 * errno.
 */
void *shm_map(const char *name, uint32_t version, size_t size, bool any_size);
/* NULL is harmless. */
void shm_unmap(void *table);
/* The table's owner finds that it is none, and will ask for another. */
void shm_refuse(void *table);
/* Why a table that was handed down was not taken; NULL: none was refused. */
const char *shm_refused(void);
/* Let go of what was handed down and not taken; why something was refused is forgotten as well. */
void shm_forget(void);
/* Each table that there is. */
void shm_each(void (*tell)(void *ctx, const char *name, int fd), void *ctx);
/*
 * Keep other processes out of what is done to a table under this lock. It goes with the process
 * that has it. 0, or -1 with errno. Not for processes that wait for nobody.
 */
int shm_lock(const void *table);
void shm_unlock(const void *table);

#endif
