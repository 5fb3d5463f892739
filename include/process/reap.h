/*
 * reap: deaths: the obituary in the log, and who takes the place.
 */
#ifndef PROCESS_REAP_H
#define PROCESS_REAP_H

#include "process/child.h"

/* Bury every child that has died; replace it where it is still wanted, at once or after a delay. */
void reap_all(struct family *f);
/*
 * Fill an empty slot of a generation in service, at once when its last child had lived, else
 * after a delay.
 */
void reap_replace(struct family *f, struct slot *s, bool lived);

#endif
