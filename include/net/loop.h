/*
 * loop: the poll() loop of a process: descriptors, timers, deferred work. The one file that knows
 * poll. Want is what a watch asks for; readiness is what poll found.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WANT_READ 1u
#define WANT_WRITE 2u
#define WANT_HANGUP \
	4u           /* tell when the peer has closed its side, even while its bytes are not read */
#define WANT_LATE 8u /* what is there to read may be told 10 ms late, where the watch cools */

#define READY_READ 1u /* bytes, end of file or an error are there to be read */
#define READY_WRITE 2u
#define READY_HANGUP 4u /* the peer closed its side, or the connection is broken */

struct loop;

/* A descriptor under watch; embedded in its owner. Zero is a watch that is not in a loop. */
struct loop_watch {
	void (*on_ready)(struct loop_watch *w, unsigned ready);
	int fd;
	unsigned place;       /* private: its entry */
	struct loop_set *set; /* private: of this set; NULL: it is not in a loop */
	bool cools;           /* a socket that no other process has: it need not be polled while it
				 says little */
	uint8_t told;         /* private: how often something has come since the last look */
	bool hinted;          /* private: the kernel sends hints */
	uint8_t hints;        /* private: how many have come in this round, */
	uint8_t round;        /* of this number */
};

/* A timer; embedded in its owner. Zero is a timer that is not set. */
struct loop_timer {
	void (*on_due)(struct loop_timer *t);
	uint64_t due; /* clock_ms when it is due; 0 is not set */
	uint64_t key; /* private: its key in the heap, at most `due` (re-armed lazily) */
	size_t place; /* private: place in the heap plus one */
};

/* Work put off to the end of the turn (frees, flushes); embedded in its owner. It may free that
 * owner. */
struct loop_later {
	void (*run)(struct loop_later *l);
	struct loop_later *next; /* private: itself for the last one; NULL: not put off */
};

/* A loop with room for `watches` descriptors (it grows as needed, dying at start-up and failing
 * later). */
struct loop *loop_new(size_t watches);
void loop_free(struct loop *l);
/* From now on a watch that cools and is told of seldom is not polled: the kernel queues a signal to
 * this process when something has come, which the loop reads. Those that are there now and
 * cool are taken to be such. For one loop of a process, after its privileges are dropped. 0, or -1
 * with errno: then all are polled, always. */
int loop_hints(struct loop *l);

/* Watch a descriptor; `want` may be 0 (only breakage is told). 0, or -1 without memory. w->fd,
 * w->on_ready and w->cools are the caller's to set. */
int loop_add(struct loop *l, struct loop_watch *w, unsigned want);
/* Change the want of a watch that is in the loop. */
void loop_want(struct loop *l, struct loop_watch *w, unsigned want);
/* Out of the poll set; harmless when not in it. No readiness found earlier in this turn is
 * delivered any more. */
void loop_remove(struct loop *l, struct loop_watch *w);
bool loop_has(const struct loop_watch *w);
/* Is it polled in each turn? */
bool loop_polls(const struct loop *l, const struct loop_watch *w);

/* Set (or move) a timer to `ms` from now, and to at least 1 from within an on_due; it fires once.
 * Never fails: a process without memory for the heap aborts. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t ms);
void loop_timer_clear(struct loop *l, struct loop_timer *t);
/* The same for one that will soon be set again: the loop still knows it, and may wake up once for
 * it. loop_timer_clear it before its memory goes. */
static inline void
loop_timer_rest(struct loop_timer *t)
{
	t->due = 0;
}

/* Run `later->run` at the end of this turn, once however often it is asked for. */
void loop_later(struct loop *l, struct loop_later *later);

/* Turn until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn: wait at most `max_ms` (-1: until something is due or ready). */
void loop_turn(struct loop *l, int max_ms);

#endif
