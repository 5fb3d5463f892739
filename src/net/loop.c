/*
 * loop: the poll() loop. The one file that knows poll.
 *
 * Two parallel arrays hold what poll reads (`polls`) and whose it is (`owners`); a watch keeps its
 * own slot, so adding, changing and removing cost a constant, the last entry moving into the hole.
 * Readiness is dispatched from the last entry to the first: what a handler removes is then either
 * itself, an entry already served, or one that is still to come and is replaced by one already
 * served, whose readiness is cleared before its handler runs. So nobody is told twice and nobody
 * after his removal.
 *
 * Timers stand in a binary heap by `key`. Moving a timer later only changes its `due`; when its old
 * key comes up, it is put back with the new one. A timeout that is pushed on with every byte
 * therefore costs two stores.
 *
 * A turn: poll (until the next key, or not at all when work waits) - refresh the clock - dispatch -
 * timers - deferred work. Nothing here fails but the growth of an array: loop_add then returns -1
 * and its caller refuses that connection. Heap room is made when a timer enters: a process without
 * memory for a pointer aborts, and its master starts another. Where poll itself refuses, since
 * somebody has lowered the limit of descriptors below what is open or the kernel lacks memory, the
 * loop goes on in parts, more slowly, and never spins.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/clock.h"

#define LATER_ROUNDS 4
#define PAUSE_MS 10 /* between two looks where poll refuses to wait */

struct loop {
	struct pollfd *polls;
	struct loop_watch **owners;
	size_t n, cap;
	struct loop_timer **heap;
	size_t n_timers, cap_timers;
	struct loop_later *later, **later_end;
	bool stopped, in_timers;
};

struct loop *
loop_new(size_t watches)
{
	struct loop *l = mem_boot(sizeof *l);

	l->cap = watches > 16 ? watches : 16;
	l->polls = mem_boot(l->cap * sizeof *l->polls);
	l->owners = mem_boot(l->cap * sizeof(struct loop_watch *));
	l->later_end = &l->later;
	clock_refresh();
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	free(l->polls);
	free(l->owners);
	free(l->heap);
	free(l);
}

static int
loop_grow(struct loop *l)
{
	size_t cap = l->cap * 2;
	struct pollfd *polls = realloc(l->polls, cap * sizeof *polls);
	struct loop_watch **owners;

	if (!polls)
		return -1;
	l->polls = polls;
	owners = realloc(l->owners, cap * sizeof(struct loop_watch *));
	if (!owners)
		return -1;
	l->owners = owners;
	l->cap = cap;
	return 0;
}

static short
events_of(unsigned want)
{
	int events = 0;

	if (want & WANT_READ)
		events |= POLLIN;
	if (want & WANT_WRITE)
		events |= POLLOUT;
	if (want & WANT_HANGUP)
		events |= POLLRDHUP;
	return (short)events;
}

static unsigned
ready_of(short revents)
{
	unsigned ready = 0;

	if (revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL))
		ready |= READY_READ;
	if (revents & (POLLOUT | POLLERR))
		ready |= READY_WRITE;
	if (revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
		ready |= READY_HANGUP;
	return ready;
}

int
loop_add(struct loop *l, struct loop_watch *w, unsigned want)
{
	assert(w->slot == 0 && w->fd >= 0 && w->on_ready);
	if (l->n == l->cap && loop_grow(l) < 0)
		return -1;
	l->polls[l->n] = (struct pollfd){ .fd = w->fd, .events = events_of(want) };
	l->owners[l->n] = w;
	w->slot = (int)++l->n;
	return 0;
}

void
loop_want(struct loop *l, struct loop_watch *w, unsigned want)
{
	assert(w->slot > 0);
	l->polls[w->slot - 1].events = events_of(want);
}

void
loop_remove(struct loop *l, struct loop_watch *w)
{
	size_t hole, last;

	if (w->slot == 0)
		return;
	hole = (size_t)w->slot - 1;
	last = --l->n;
	assert(l->owners[hole] == w);
	l->polls[hole] = l->polls[last];
	l->owners[hole] = l->owners[last];
	l->owners[hole]->slot = (int)hole + 1;
	w->slot = 0;
}

bool
loop_has(const struct loop_watch *w)
{
	return w->slot != 0;
}

static void
heap_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->place = i + 1;
}

static void
heap_up(struct loop *l, size_t i, struct loop_timer *t)
{
	while (i > 0 && l->heap[(i - 1) / 2]->key > t->key) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void
heap_down(struct loop *l, size_t i, struct loop_timer *t)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < l->n_timers && l->heap[child + 1]->key < l->heap[child]->key)
			child++;
		if (child >= l->n_timers || l->heap[child]->key >= t->key)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

static void
heap_remove(struct loop *l, struct loop_timer *t)
{
	size_t i = t->place - 1;
	struct loop_timer *last = l->heap[--l->n_timers];

	t->place = 0;
	if (last == t)
		return;
	if (i > 0 && l->heap[(i - 1) / 2]->key > last->key)
		heap_up(l, i, last);
	else
		heap_down(l, i, last);
}

static void
heap_insert(struct loop *l, struct loop_timer *t)
{
	if (l->n_timers == l->cap_timers) {
		size_t cap = l->cap_timers ? l->cap_timers * 2 : 64;
		struct loop_timer **heap = realloc(l->heap, cap * sizeof(struct loop_timer *));

		if (!heap)
			abort();
		l->heap = heap;
		l->cap_timers = cap;
	}
	heap_up(l, l->n_timers++, t);
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t ms)
{
	if (ms == 0 && l->in_timers)
		ms = 1; /* in a turn to come: a timer that sets itself again must not hold the loop
			 */
	t->due = clock_ms() + ms;
	if (t->place > 0 && t->key <= t->due)
		return;
	if (t->place > 0)
		heap_remove(l, t);
	t->key = t->due;
	heap_insert(l, t);
}

void
loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	t->due = 0;
	if (t->place > 0)
		heap_remove(l, t);
}

void
loop_later(struct loop *l, struct loop_later *later)
{
	if (later->queued)
		return;
	later->queued = true;
	later->next = NULL;
	*l->later_end = later;
	l->later_end = &later->next;
}

/* Milliseconds that poll may sleep. */
static int
sleep_ms(const struct loop *l, int max_ms)
{
	uint64_t now = clock_ms(), wait;

	if (l->later || l->stopped)
		return 0;
	if (l->n_timers == 0)
		return max_ms;
	wait = l->heap[0]->key > now ? l->heap[0]->key - now : 0;
	if (max_ms >= 0 && wait > (uint64_t)max_ms)
		return max_ms;
	return wait > 60000 ? 60000 : (int)wait;
}

static void
run_timers(struct loop *l)
{
	uint64_t now = clock_ms();

	l->in_timers = true;
	while (l->n_timers > 0 && l->heap[0]->key <= now) {
		struct loop_timer *t = l->heap[0];

		heap_remove(l, t);
		if (t->due > now) {
			t->key = t->due;
			heap_insert(l, t);
			continue;
		}
		t->due = 0;
		t->on_due(t);
	}
	l->in_timers = false;
}

/*
 * Deferred work may defer more (an end leads to a free and a log line): a few rounds of that are
 * run in this turn; what is still left then goes to the next, which does not sleep. So nobody can
 * hold the loop here.
 */
static void
run_later(struct loop *l)
{
	for (int round = 0; round < LATER_ROUNDS && l->later; round++) {
		struct loop_later *list = l->later;

		l->later = NULL;
		l->later_end = &l->later;
		while (list) {
			struct loop_later *first = list;

			list = first->next;
			first->queued = false;
			first->run(first);
		}
	}
}

/*
 * poll takes no more entries than the process may have descriptors (EINVAL), and can lack memory
 * for many (ENOMEM): then they are asked in parts, as large as it takes, none of which waits. Where
 * nothing is ready a pause stands for the wait.
 */
static int
poll_parts(struct loop *l, int wait_ms)
{
	size_t part = l->n, done = 0;
	int found = 0;

	while (done < l->n && part > 0) {
		size_t some = l->n - done < part ? l->n - done : part;
		int n = poll(l->polls + done, (nfds_t)some, 0);

		if (n < 0 && errno != EINTR)
			part = some / 2;
		else if (n >= 0) {
			found += n;
			done += some;
		}
	}
	if (found == 0)
		poll(NULL, 0, wait_ms >= 0 && wait_ms < PAUSE_MS ? wait_ms : PAUSE_MS);
	return found;
}

void
loop_turn(struct loop *l, int max_ms)
{
	int wait_ms = sleep_ms(l, max_ms);
	int found = poll(l->polls, (nfds_t)l->n, wait_ms);

	if (found < 0 && errno != EINTR)
		found = poll_parts(l, wait_ms);
	clock_refresh();
	for (size_t i = l->n; found > 0 && i-- > 0;) {
		short revents;

		if (i >= l->n) /* handlers removed more than one */
			continue;
		revents = l->polls[i].revents;
		if (!revents)
			continue;
		l->polls[i].revents = 0;
		found--;
		l->owners[i]->on_ready(l->owners[i], ready_of(revents));
	}
	run_timers(l);
	run_later(l);
}

void
loop_run(struct loop *l)
{
	l->stopped = false;
	while (!l->stopped)
		loop_turn(l, -1);
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
}
