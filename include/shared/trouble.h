/*
 * trouble: which providers fail again and again, as all processes have seen it. 5 failures within 5
 * minutes are trouble, once; a success after that ends it, once. A provider that fails now and then
 * for long is in trouble at most three times a minute.
 */
#ifndef SHARED_TROUBLE_H
#define SHARED_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#define TROUBLE_FAILURES 5
#define TROUBLE_SECONDS 300
#define TROUBLE_MOST 3 /* times within a minute */
#define TROUBLE_MOST_SECONDS 60

struct trouble_table;

/* A table for `n` providers. Made, or taken over, by the master before the first fork. NULL with
 * errno. */
struct trouble_table *trouble_new(unsigned n);
void trouble_free(struct trouble_table *t);

/* Provider i has failed at `now_ms`, a monotonic clock. True for the one failure that makes it
 * trouble. */
bool trouble_failure(struct trouble_table *t, unsigned i, uint64_t now_ms);
/* It has answered. True for the one success that ends it. */
bool trouble_success(struct trouble_table *t, unsigned i);

#endif
