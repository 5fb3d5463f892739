/*
 * limit: who may ask how often: the generic cell rate algorithm (GCRA, ITU-T I.371 annex A) on one
 * 64-bit word for each bucket, in memory that all processes share. No locks: a process may die at
 * any instruction.
 *
 * However many processes take from a bucket, in any span of t minutes it admits at most
 * burst + per_minute * t requests.
 */
#ifndef SHARED_LIMIT_H
#define SHARED_LIMIT_H

#include "base/str.h"

#define LIMIT_PATHS 32 /* kinds of path that buckets are counted by */

struct limit_table;

/* A table for `buckets` (rounded up to a power of two, at least 8). NULL with errno. */
struct limit_table *limit_new(size_t buckets);
void limit_free(struct limit_table *t);
size_t limit_buckets(const struct limit_table *t);
/* What limit_buckets would be of a table made for so many. */
size_t limit_size(size_t buckets);

/* What a bucket is for. */
struct limit_key {
	struct str what; /* which limit: "" for the client's own or the general one, else the name
			    of a provider */
	struct str who;  /* name of a client, or an address */
	unsigned path;   /* below LIMIT_PATHS; also what it is counted by */
};

/* How much it admits. */
struct limit_rate {
	uint32_t per_minute; /* 1..1,000,000 */
	uint32_t burst;      /* 0..100,000; 0 means 1 */
};

/* As of the moment that was given. Microseconds are rounded to no one's favour: a request that
 * comes after wait_us is admitted if no other comes before it. */
struct limit_state {
	uint32_t remaining; /* requests that would be admitted at once */
	uint64_t wait_us;   /* until one is; 0 when one would be now */
	uint64_t full_us;   /* until the bucket is as good as new */
};

/*
 * Take one from the bucket at `now_us`, what clock_now_us said a moment ago. True, or false with
 * nothing taken; *s (may be NULL) is how the bucket is then. When all eight places where a new
 * bucket could stand are taken, the one that would be free first is given up for it: whoever it
 * was for has a new one when he comes again (limit_evictions counts that). Of two keys with the
 * same places one pair in a million has the same tag and so the same bucket. When the limit has
 * been changed, what the bucket owes stays, in time, but counts for no more than a whole burst.
 */
bool limit_take(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s);
/* Would limit_take? Nothing is taken. */
bool limit_look(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s);
/* Give back what limit_take took at `taken_us`. After so long that it has come back by itself,
 * nothing. */
void limit_return(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t taken_us);
/* Forget the times that have passed. To be called once in 30 days at least: after more they would
 * look like times to come. */
void limit_sweep(struct limit_table *t, uint64_t now_us);

/* Buckets that are in use at `now_us`: all, and by path. */
size_t limit_active(struct limit_table *t, uint64_t now_us, size_t by_path[LIMIT_PATHS]);
uint64_t limit_evictions(const struct limit_table *t);

#endif
