/*
 * shm: memory shared by fork, and through its descriptor with the next binary.
 */
#ifndef BASE_SHM_H
#define BASE_SHM_H

#include <stddef.h>

/* A zeroed shared mapping backed by a memfd called `name` (close-on-exec); its descriptor in *fd.
 * NULL with errno. */
void *shm_map(const char *name, size_t size, int *fd);
void shm_unmap(void *p, size_t size, int fd);

#endif
