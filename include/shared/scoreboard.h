/*
 * scoreboard: a row for each worker in shared memory, written by that worker alone and read by
 * anyone.
 */
#ifndef SHARED_SCOREBOARD_H
#define SHARED_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SCOREBOARD_ROWS 1024

enum row_state { ROW_FREE, ROW_STARTING, ROW_READY, ROW_DRAINING, ROW_DEAD, ROW_MASTER };

struct row {
	_Atomic uint32_t state;
	_Atomic int32_t pid;
	_Atomic int32_t master; /* the pid of whoever claimed it */
	_Atomic uint32_t generation;
	_Atomic uint32_t heartbeat; /* monotonic seconds, at least once a second in a worker that
				       lives */
	/* gauges: zeroed by the master when the worker has died */
	_Atomic uint32_t clients;        /* client connections open */
	_Atomic uint32_t clients_active; /* of them: with a request in flight */
	_Atomic uint32_t upstreams;      /* upstream connections open */
	_Atomic uint32_t upstreams_idle; /* of them: in the pool */
	_Atomic uint32_t memory_kib;     /* mem_used */
	/* kept when the row is used again, as are its counters in shared/series */
	_Atomic uint64_t lines_lost;
} __attribute__((aligned(64)));

struct scoreboard; /* the table: service-wide words, then the rows */

/* Made, or taken over, by the master before the first fork. NULL with errno. */
struct scoreboard *scoreboard_new(void);
void scoreboard_free(struct scoreboard *b);
/*
 * A row for a new worker, claimed by compare-and-swap; NULL when all are taken. State
 * ROW_STARTING.
 */
struct row *scoreboard_claim(struct scoreboard *b, uint32_t generation);
/* After its pid was waited for: gauges to zero, counters stay, the row is free again. */
void scoreboard_release(struct row *r);
/* The i-th row (0..SCOREBOARD_ROWS-1). */
struct row *scoreboard_row(struct scoreboard *b, unsigned i);
/* How many rows were ever claimed: no row at or past this index is in use. */
unsigned scoreboard_high(const struct scoreboard *b);
/*
 * Workers of a generation that are ready and move, and the mean of their `clients` in 1/16ths. One
 * whose heartbeat is older than SCOREBOARD_STILL_S at `now_s` does not move: it takes no share.
 */
#define SCOREBOARD_STILL_S 2
unsigned scoreboard_mean(struct scoreboard *b, uint32_t generation, uint32_t now_s,
	uint32_t *clients_16ths);
/* Workers ready, of any generation. */
unsigned scoreboard_ready(struct scoreboard *b);
/*
 * Release the rows of masters that were killed, and of their workers, as far as those processes are
 * gone. How many there were.
 */
unsigned scoreboard_sweep(struct scoreboard *b);
/* The row that the master counts in, for as long as it lives. Its generation is the one that the
 * master serves with; 0: none. */
struct row *scoreboard_claim_master(struct scoreboard *b);
/* Does any master serve? */
bool scoreboard_served(struct scoreboard *b);
unsigned scoreboard_index(const struct scoreboard *b, const struct row *r);
/* Service-wide: the generation in service; set by the master. */
void scoreboard_set_generation(struct scoreboard *b, uint32_t generation);
uint32_t scoreboard_generation(const struct scoreboard *b);
/* A number for another generation, higher than all before, of whichever master. */
uint32_t scoreboard_next_generation(struct scoreboard *b);
/* When the service was first started, seconds since the epoch: now, if it has not been before. */
uint64_t scoreboard_started(struct scoreboard *b, uint64_t now_s);
/* Service-wide: is the service going away (QUIT, WINCH)? Set by the master; /health answers 503
 * then. */
void scoreboard_set_draining(struct scoreboard *b, bool draining);
bool scoreboard_draining(const struct scoreboard *b);

/* For a row's only writer: plain load and store, no locked instruction. */
#define ROW_ADD(field, n)               \
	atomic_store_explicit(&(field), \
		atomic_load_explicit(&(field), memory_order_relaxed) + (n), memory_order_relaxed)
#define ROW_SET(field, n) atomic_store_explicit(&(field), (n), memory_order_relaxed)
#define ROW_GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

#endif
