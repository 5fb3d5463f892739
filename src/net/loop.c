/*
 * loop: the poll() loop. The one file that knows poll.
 *
 * A set is two parallel arrays: what poll reads (`polls`) and whose it is (`owners`); a watch keeps
 * its own slot, so adding, changing and removing cost a constant, the last entry moving into the
 * hole. Readiness is dispatched from the last entry to the first: what a handler removes is then
 * either itself, an entry already served, or one that is still to come and is replaced by one
 * already served, whose readiness is cleared before its handler runs. So nobody is told twice and
 * nobody after his removal.
 *
 * A poll costs by the descriptor, and several times as much when it sleeps. So there are two sets.
 * Who is patient (WANT_PATIENT: unfinished heads, slow bodies) and has been quiet for a while goes
 * from the hot set, if that is large, to the cold one, which is looked at a slice a turn, all of it
 * within SWEEP_MS or a few more; what is ready there is hot again.
 *
 * Timers stand in a binary heap by `key`. Moving a timer later only changes its `due`; when its old
 * key comes up, it is put back with the new one. A timeout that is pushed on with every byte
 * therefore costs two stores.
 *
 * A turn: poll (until the next key, or not at all when work waits) - refresh the clock - dispatch -
 * timers - deferred work. Nothing fails but the growth of an array: loop_add then returns -1. Heap
 * room is made when a timer enters: a process without memory for a pointer aborts. Where poll
 * refuses (a lowered limit of descriptors, no memory) the loop goes on in parts and never spins.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/registers.h"
#include "net/clock.h"

#define LATER_ROUNDS 4
#define PAUSE_MS 10   /* between two looks where poll refuses to wait */
#define COOL_MS 40    /* who is patient and quiet from one look to the next goes to the cold set */
#define COOL_LEAST 32 /* watches in the hot set, for that to be worth a sweep */
#define SWEEP_MS 20   /* from one look at a cold watch to the next */
#define SLICE 64      /* cold watches that are looked at in one turn, so that nobody waits for it */

struct set {
	struct pollfd *polls;
	struct loop_watch **owners;
	size_t n, cap;
};

struct loop {
	struct set hot, cold;
	uint64_t cool_ms, sweep_ms; /* when the next look is due */
	size_t swept;               /* where the next slice of the cold set begins */
	struct loop_timer **heap;
	size_t n_timers, cap_timers;
	struct loop_later *later, *later_last;
	bool stopped, in_timers;
};

struct loop *
loop_new(size_t watches)
{
	struct loop *l = mem_boot(sizeof *l);

	l->hot.cap = watches > 16 ? watches : 16;
	l->hot.polls = mem_boot(l->hot.cap * sizeof *l->hot.polls);
	l->hot.owners = mem_boot(l->hot.cap * sizeof(struct loop_watch *));
	clock_refresh();
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	free(l->hot.polls);
	free(l->hot.owners);
	free(l->cold.polls);
	free(l->cold.owners);
	free(l->heap);
	free(l);
}

static int
set_grow(struct set *s)
{
	size_t cap = s->cap > 0 ? s->cap * 2 : 64;
	struct pollfd *polls = realloc(s->polls, cap * sizeof *polls);
	struct loop_watch **owners;

	if (!polls)
		return -1;
	s->polls = polls;
	owners = realloc(s->owners, cap * sizeof(struct loop_watch *));
	if (!owners)
		return -1;
	s->owners = owners;
	s->cap = cap;
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

static struct set *
set_of(struct loop *l, const struct loop_watch *w)
{
	return w->slot > 0 ? &l->hot : &l->cold;
}

static size_t
place_of(const struct loop_watch *w)
{
	return (size_t)(w->slot > 0 ? w->slot : -w->slot) - 1;
}

static void
set_slot(const struct loop *l, const struct set *s, size_t place)
{
	int slot = (int)place + 1;

	s->owners[place]->slot = s == &l->hot ? slot : -slot;
}

static int
set_put(const struct loop *l, struct set *s, struct loop_watch *w, short events)
{
	if (s->n == s->cap && set_grow(s) < 0)
		return -1;
	s->polls[s->n] = (struct pollfd){ .fd = w->fd, .events = events };
	s->owners[s->n] = w;
	set_slot(l, s, s->n++);
	return 0;
}

/* The last one moves into the hole. */
static void
set_fill(const struct loop *l, struct set *s, size_t hole)
{
	size_t last = --s->n;

	s->polls[hole] = s->polls[last];
	s->owners[hole] = s->owners[last];
	if (hole < last)
		set_slot(l, s, hole);
}

/* To the other set; without memory it stays where it is. */
static void
set_change(struct loop *l, struct loop_watch *w)
{
	struct set *from = set_of(l, w), *to = from == &l->hot ? &l->cold : &l->hot;
	size_t place = place_of(w);

	if (set_put(l, to, w, from->polls[place].events) == 0)
		set_fill(l, from, place);
}

/* Something has come, or is wanted anew. */
static void
stir(struct loop *l, struct loop_watch *w)
{
	w->quiet = false;
	if (w->slot < 0)
		set_change(l, w);
}

int
loop_add(struct loop *l, struct loop_watch *w, unsigned want)
{
	assert(w->slot == 0 && w->fd >= 0 && w->on_ready);
	w->patient = (want & WANT_PATIENT) != 0;
	w->quiet = false;
	return set_put(l, &l->hot, w, events_of(want));
}

void
loop_want(struct loop *l, struct loop_watch *w, unsigned want)
{
	assert(w->slot != 0);
	w->patient = (want & WANT_PATIENT) != 0;
	stir(l, w);
	set_of(l, w)->polls[place_of(w)].events = events_of(want);
}

void
loop_remove(struct loop *l, struct loop_watch *w)
{
	if (w->slot == 0)
		return;
	assert(set_of(l, w)->owners[place_of(w)] == w);
	set_fill(l, set_of(l, w), place_of(w));
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
	if (later->next)
		return;
	later->next = later;
	if (l->later)
		l->later_last->next = later;
	else
		l->later = later;
	l->later_last = later;
}

/* Milliseconds that poll may sleep. */
static int
sleep_ms(const struct loop *l, int max_ms)
{
	uint64_t now = clock_ms(), due = l->cold.n > 0 ? l->sweep_ms : UINT64_MAX, wait;

	if (l->later || l->stopped)
		return 0;
	if (l->n_timers > 0 && l->heap[0]->key < due)
		due = l->heap[0]->key;
	if (due == UINT64_MAX)
		return max_ms;
	wait = due > now ? due - now : 0;
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
		while (list) {
			struct loop_later *first = list;

			list = first->next != first ? first->next : NULL;
			first->next = NULL;
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
poll_parts(struct pollfd *polls, size_t count, int wait_ms)
{
	size_t part = count, done = 0;
	int found = 0;

	while (done < count && part > 0) {
		size_t some = count - done < part ? count - done : part;
		int n = poll(polls + done, (nfds_t)some, 0);

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

static int
poll_some(struct pollfd *polls, size_t count, int wait_ms)
{
	int found = poll(polls, (nfds_t)count, wait_ms);

	return found < 0 && errno != EINTR ? poll_parts(polls, count, wait_ms) : found;
}

/* Those from `from` on up to `to`, of which so many are ready. */
static void
dispatch(struct loop *l, struct set *s, size_t from, size_t to, int found)
{
	for (size_t i = to; found > 0 && i-- > from;) {
		struct loop_watch *w;
		short revents;

		if (i >= s->n) /* handlers removed more than one */
			continue;
		revents = s->polls[i].revents;
		if (!revents)
			continue;
		s->polls[i].revents = 0;
		found--;
		w = s->owners[i];
		stir(l, w);
		w->on_ready(w, ready_of(revents));
	}
}

/* A slice of the cold set; the next one is due so that all have their turn within SWEEP_MS. */
static void
sweep(struct loop *l, uint64_t now)
{
	struct set *s = &l->cold;
	size_t from = l->swept < s->n ? l->swept : 0,
	       to = from + SLICE < s->n ? from + SLICE : s->n;
	size_t slices = (s->n + SLICE - 1) / SLICE;

	l->swept = to;
	l->sweep_ms = now + (slices < SWEEP_MS ? SWEEP_MS / slices : 1);
	dispatch(l, s, from, to, poll_some(s->polls + from, to - from, 0));
}

/* Who is patient and has been quiet since the last look goes to the cold set. */
static void
cool(struct loop *l)
{
	if (l->hot.n < COOL_LEAST)
		return;
	for (size_t i = l->hot.n; i-- > 0;) {
		struct loop_watch *w = l->hot.owners[i];

		if (w->patient && w->quiet)
			set_change(l, w);
		w->quiet = true;
	}
}

/* The looks at both sets that are due. */
static void
look(struct loop *l)
{
	uint64_t now = clock_ms();

	if (l->cold.n > 0 && now >= l->sweep_ms)
		sweep(l, now);
	if (now >= l->cool_ms) {
		l->cool_ms = now + COOL_MS;
		cool(l);
	}
}

void
loop_turn(struct loop *l, int max_ms)
{
	int found;

	registers_wipe();
	found = poll_some(l->hot.polls, l->hot.n, sleep_ms(l, max_ms));
	clock_refresh();
	dispatch(l, &l->hot, 0, l->hot.n, found);
	look(l);
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
