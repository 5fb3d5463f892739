/*
 * reap: deaths: the obituary in the log, and who takes the place.
 */
#ifndef PROCESS_REAP_H
#define PROCESS_REAP_H

#include "process/child.h"

/* "exited with status 1", "was killed by signal 9 (Killed)" */
void reap_how(int status, char *out, size_t size);
/*
 * Bury every child that has died; replace it where it is still wanted, at once or after a delay. Of
 * the end of f->successor it is noted that and how.
 */
void reap_all(struct family *f);
/*
 * Fill an empty slot of a generation in service, at once when its last child had lived, else
 * after a delay.
 */
void reap_replace(struct family *f, struct slot *s, bool lived);

#endif
