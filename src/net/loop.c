/*
 * loop: the poll() loop. The one file that knows poll.
 *
 * A set is an array as poll reads it; `owners`, by descriptor, tells whose an entry is. A watch
 * knows its set and its place there, so adding, changing and removing cost a constant, the last
 * entry moving into the hole. Readiness is dispatched from the last entry to the first: what a
 * handler removes is then either itself, an entry already served, or one that is still to come and
 * is replaced by one already served, whose readiness is cleared before its handler runs. So nobody
 * is told twice and nobody after his removal.
 *
 * A poll costs by the descriptor, and several times as much when it sleeps: only the hot set is
 * polled. Who is told seldom, beside how often he is polled, gets hints (net/hints) and leaves for
 * the cold one as soon as a poll finds him not ready; nothing is missed, for what comes after that
 * poll makes a hint. A hint brings him back, to be polled in the same turn: what is told is what
 * poll found. Where hints were lost, all the cold set is polled once, and a part of it all the time
 * lest a stream hang on one signal. Who may be told late (that a client goes whose reply is on its
 * way) stands aside for some milliseconds: many replies come before.
 *
 * Timers stand in a binary heap by `key`. Moving a timer later only changes its `due`, to 0 where
 * it rests; when its old key comes up, it is put back with the new one: it costs two stores.
 *
 * A turn: poll, ended by an alarm where there are hints - clock - hints - dispatch - looks at the
 * sets - timers - deferred work. Only an array's growth fails: loop_add then returns -1; for a
 * timer the process aborts. Where poll refuses (a limit, no memory) the loop goes on in parts.
 */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/registers.h"
#include "net/clock.h"
#include "net/hints.h"

#define LATER_ROUNDS 4
#define PAUSE_MS 10   /* between two looks where poll refuses to wait */
#define COOL_MS 40    /* from one look at a watch to the next: who was told little gets hints */
#define COOL_LEAST 8  /* watches in the hot set, for that to be worth it */
#define COOL_MOST 256 /* of them that are looked at in one turn, so that nobody waits for it */
#define HINT 16       /* polls of a watch that cost what a hint of it costs, about */
#define BUSY 8        /* hints within COOL_MS that are none too many in any case */
#define HINTS 64      /* that are taken in one turn */
#define SWEEP_MS 1000 /* from one look at a cold watch to the next */
#define ASIDE_MS 10   /* at most, until who stands aside is polled */
#define SLICE 64      /* cold ones are looked at together, at least */

/* Among the events of an entry, where poll(2) takes no notice of them. */
#define HINTED POLLERR
#define STAYS POLLNVAL /* a hint has come: it is polled once more before it leaves */

struct loop_set {
	struct pollfd *polls;
	size_t n, cap;
};

struct loop {
	struct loop_set hot, cold, aside;
	struct loop_watch **owners; /* by descriptor */
	size_t cap_owners;
	struct loop_watch hints;      /* the signalfd */
	uint64_t cooled_ms, swept_ms; /* when entries were looked at last */
	uint64_t aside_ms;            /* when the first of those went aside */
	uint64_t alarm_ms;            /* when the alarm comes; 0 or past: none is set */
	size_t cool_hand, sweep_hand; /* which */
	uint64_t round_ms; /* when the round began in which hints and polls are counted */
	uint8_t round;
	unsigned polls, last_polls; /* of the hot set in this round, and in the last */
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
	clock_refresh();
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	if (loop_has(&l->hints))
		close(l->hints.fd);
	free(l->hot.polls);
	free(l->cold.polls);
	free(l->aside.polls);
	free(l->owners);
	free(l->heap);
	free(l);
}

static int
set_grow(struct loop_set *s)
{
	size_t cap = s->cap > 0 ? s->cap * 2 : 64;
	struct pollfd *polls = realloc(s->polls, cap * sizeof *polls);

	if (!polls)
		return -1;
	s->polls = polls;
	s->cap = cap;
	return 0;
}

static int
owners_grow(struct loop *l, size_t fd)
{
	size_t cap = l->cap_owners > 0 ? l->cap_owners * 2 : 64;
	struct loop_watch **owners;

	if (cap <= fd)
		cap = fd + 1;
	owners = realloc(l->owners, cap * sizeof(struct loop_watch *));
	if (!owners)
		return -1;
	memset(owners + l->cap_owners, 0, (cap - l->cap_owners) * sizeof(struct loop_watch *));
	l->owners = owners;
	l->cap_owners = cap;
	return 0;
}

static short
events_of(const struct loop_watch *w, unsigned want)
{
	int events = w->hinted ? HINTED : 0;

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

static int
set_put(struct loop_set *s, struct loop_watch *w, short events)
{
	if (s->n == s->cap && set_grow(s) < 0)
		return -1;
	s->polls[s->n] = (struct pollfd){ .fd = w->fd, .events = events };
	w->set = s;
	w->place = (unsigned)s->n++;
	return 0;
}

/* The last one moves into the hole. */
static void
set_fill(struct loop *l, struct loop_set *s, size_t hole)
{
	size_t last = --s->n;

	s->polls[hole] = s->polls[last];
	if (hole < last)
		l->owners[s->polls[hole].fd]->place = (unsigned)hole;
}

/* To another set; without memory it stays where it is. */
static void
set_change(struct loop *l, struct loop_watch *w, struct loop_set *to)
{
	struct loop_set *from = w->set;
	unsigned place = w->place;

	if (set_put(to, w, from->polls[place].events) == 0)
		set_fill(l, from, place);
}

/* Something has come, or is wanted anew. */
static void
stir(struct loop *l, struct loop_watch *w)
{
	w->told += w->told < UINT8_MAX;
	if (w->set != &l->hot)
		set_change(l, w, &l->hot);
}

int
loop_add(struct loop *l, struct loop_watch *w, unsigned want)
{
	size_t fd = (size_t)w->fd;

	assert(!w->set && w->fd >= 0 && w->on_ready);
	if (fd >= l->cap_owners && owners_grow(l, fd) < 0)
		return -1;
	assert(!l->owners[fd]);
	l->owners[fd] = w;
	w->told += w->told < UINT8_MAX;
	if (set_put(&l->hot, w, events_of(w, want)) == 0)
		return 0;
	l->owners[fd] = NULL;
	return -1;
}

void
loop_want(struct loop *l, struct loop_watch *w, unsigned want)
{
	short events = events_of(w, want);

	assert(w->set);
	if (events & ~w->set->polls[w->place].events)
		stir(l, w);
	w->set->polls[w->place].events = events;
	if ((want & (WANT_LATE | WANT_WRITE)) != WANT_LATE || !w->cools || w->hinted ||
		w->set != &l->hot)
		return;
	if (l->aside.n == 0)
		l->aside_ms = clock_ms();
	set_change(l, w, &l->aside);
}

void
loop_remove(struct loop *l, struct loop_watch *w)
{
	if (!w->set)
		return;
	assert(l->owners[w->fd] == w);
	set_fill(l, w->set, w->place);
	l->owners[w->fd] = NULL;
	w->set = NULL;
}

bool
loop_has(const struct loop_watch *w)
{
	return w->set != NULL;
}

bool
loop_polls(const struct loop *l, const struct loop_watch *w)
{
	return w->set == &l->hot;
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
	uint64_t now = clock_ms(), wait;
	uint64_t due = l->cold.n > 0 ? l->swept_ms + SWEEP_MS : UINT64_MAX;

	if (l->later || l->stopped)
		return 0;
	if (l->aside.n > 0 && l->aside_ms + ASIDE_MS < due)
		due = l->aside_ms + ASIDE_MS;
	if (l->n_timers > 0 && l->heap[0]->key < due)
		due = l->heap[0]->key;
	if (due == UINT64_MAX)
		return max_ms;
	wait = due > now ? due - now : 0;
	if (max_ms >= 0 && wait > (uint64_t)max_ms)
		return max_ms;
	return wait > 60000 ? 60000 : (int)wait;
}

/*
 * For how long poll itself is to wait. A time to wake up at costs dear: often it is the next that
 * the processor has, so that its clock is set at the beginning of the sleep and again at its end.
 * The alarm is set once and stands over many sleeps; one that comes too early costs a turn.
 */
static int
timeout_ms(struct loop *l, int wait_ms)
{
	uint64_t now = clock_ms(), due = now + (uint64_t)wait_ms;

	if (wait_ms <= 0 || !loop_has(&l->hints))
		return wait_ms;
	if (l->alarm_ms <= now || l->alarm_ms > due) {
		if (hints_alarm(due) != 0)
			return wait_ms;
		l->alarm_ms = due;
	}
	return -1;
}

/* Those that were due at the poll: what came before a later one was due is told first, though the
 * process was stopped since. */
static void
run_timers(struct loop *l, uint64_t now)
{
	l->in_timers = true;
	while (l->n_timers > 0 && l->heap[0]->key <= now) {
		struct loop_timer *t = l->heap[0];

		heap_remove(l, t);
		if (t->due == 0) /* it rests */
			continue;
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
static void
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
}

/* `wait_ms` is what there is time for, whatever else ends the poll. */
static void
poll_some(struct pollfd *polls, size_t count, int poll_ms, int wait_ms)
{
	if (poll(polls, (nfds_t)count, poll_ms) < 0 && errno != EINTR)
		poll_parts(polls, count, wait_ms);
}

static void
poll_now(struct pollfd *polls, size_t count)
{
	poll_some(polls, count, 0, 0);
}

/* Those from `from` on up to `to`. */
static void
dispatch(struct loop *l, struct loop_set *s, size_t from, size_t to)
{
	for (size_t i = to; i-- > from;) {
		struct loop_watch *w;
		short revents;

		if (i >= s->n) /* handlers removed more than one */
			continue;
		revents = s->polls[i].revents;
		if (!revents)
			continue;
		s->polls[i].revents = 0;
		w = l->owners[s->polls[i].fd];
		stir(l, w);
		w->on_ready(w, ready_of(revents));
	}
}

/* The signalfd is read before others are told; what is left there is found in the next turn. */
static void
on_hints(struct loop_watch *w, unsigned ready)
{
	(void)w, (void)ready;
}

/* It leaves at the next poll, if it is not ready then. */
static void
give_hints(struct loop *l, struct loop_watch *w)
{
	w->hinted = hints_on(w->fd) == 0;
	w->cools = w->hinted; /* where it is refused, not to be asked for again */
	if (w->hinted)
		l->hot.polls[w->place].events |= HINTED;
}

int
loop_hints(struct loop *l)
{
	int fd = hints_open();

	if (fd < 0)
		return -1;
	l->hints = (struct loop_watch){ .fd = fd, .on_ready = on_hints };
	if (loop_add(l, &l->hints, WANT_READ) < 0) {
		close(fd);
		errno = ENOMEM;
		return -1;
	}
	for (size_t i = 0; i < l->hot.n; i++) {
		struct loop_watch *w = l->owners[l->hot.polls[i].fd];

		if (w->cools)
			give_hints(l, w);
	}
	return 0;
}

/* There may be something to be found at this descriptor; or it is another's by now. Who gets hints
 * all the time goes on without them. */
static void
follow(struct loop *l, int fd)
{
	struct loop_watch *w = (size_t)fd < l->cap_owners ? l->owners[fd] : NULL;

	if (!w || !w->hinted)
		return;
	stir(l, w);
	w->set->polls[w->place].events |= STAYS;
	if (w->round != l->round)
		w->hints = 0;
	w->round = l->round;
	w->hints += w->hints < UINT8_MAX;
	if (w->hints < BUSY || w->hints * (HINT / 2) < l->last_polls || w->set != &l->hot ||
		hints_off(fd) != 0)
		return;
	w->hinted = false;
	l->hot.polls[w->place].events &= ~HINTED;
}

/* Those of whom there are hints are polled as well. */
static void
take_hints(struct loop *l)
{
	size_t before = l->hot.n, n;
	bool lost = false, alarm = false;
	struct pollfd *entry;
	int fds[HINTS];

	if (!loop_has(&l->hints))
		return;
	entry = &l->hot.polls[l->hints.place];
	if (!entry->revents)
		return;
	entry->revents = 0;
	n = hints_read(l->hints.fd, fds, HINTS, &lost, &alarm);
	if (alarm)
		l->alarm_ms = 0;
	for (size_t i = 0; i < n; i++)
		follow(l, fds[i]);
	if (lost)
		l->swept_ms = 0;
	if (l->hot.n > before)
		poll_now(l->hot.polls + before, l->hot.n - before);
}

/*
 * Who has hints and is not ready leaves: whatever comes after this poll makes one. But one that was
 * just taken may tell of what came after the poll and before it was read.
 */
static void
leave(struct loop *l)
{
	for (size_t i = l->hot.n; i-- > 0;) {
		struct pollfd *p = &l->hot.polls[i];

		if (!p->revents && (p->events & (HINTED | POLLOUT | STAYS)) == HINTED)
			set_change(l, l->owners[p->fd], &l->cold);
		else
			p->events &= ~STAYS;
	}
}

/*
 * How many of `n` are to be looked at now, that it be all of them in `period_ms`; not before it is
 * at least so many, or all.
 */
static size_t
share(size_t n, uint64_t *last_ms, uint64_t period_ms, size_t least)
{
	uint64_t now = clock_ms(), gone = now - *last_ms;
	size_t some = gone < period_ms ? n * gone / period_ms : n;

	if (some == n)
		*last_ms = now;
	else if (some >= least)
		*last_ms += some * period_ms / n;
	else
		some = 0;
	return some;
}

/* A part of the cold set, or all of it where hints were lost. */
static void
sweep(struct loop *l)
{
	struct loop_set *s = &l->cold;
	size_t some = share(s->n, &l->swept_ms, SWEEP_MS, SLICE), to = l->sweep_hand, from;

	if (some == 0)
		return;
	if (to == 0 || to > s->n || some == s->n)
		to = s->n;
	from = to > some ? to - some : 0;
	l->sweep_hand = from;
	poll_now(s->polls + from, to - from);
	dispatch(l, s, from, to);
}

/* Who was told so little since the last look that hints cost less than polling him gets them. */
static void
cool(struct loop *l)
{
	size_t some;

	if (!loop_has(&l->hints) || l->hot.n < COOL_LEAST)
		return;
	some = share(l->hot.n, &l->cooled_ms, COOL_MS, 1);
	for (size_t i = 0; i < some && i < COOL_MOST; i++) {
		struct pollfd *p;
		struct loop_watch *w;

		if (l->cool_hand == 0 || l->cool_hand > l->hot.n)
			l->cool_hand = l->hot.n;
		p = &l->hot.polls[--l->cool_hand];
		w = l->owners[p->fd];
		if (w->cools && !(p->events & (HINTED | POLLOUT)) &&
			(w->told == 0 || w->told * HINT < l->last_polls))
			give_hints(l, w);
		w->told = 0;
	}
}

/* The looks at both sets that are due. */
static void
look(struct loop *l)
{
	uint64_t now = clock_ms();

	if (now - l->round_ms >= COOL_MS) {
		l->round_ms = now;
		l->round++;
		l->last_polls = l->polls;
		l->polls = 0;
	}
	if (l->aside.n > 0 && now - l->aside_ms >= ASIDE_MS)
		for (size_t i = l->aside.n; i-- > 0;)
			set_change(l, l->owners[l->aside.polls[i].fd], &l->hot);
	sweep(l);
	cool(l);
}

void
loop_turn(struct loop *l, int max_ms)
{
	int wait_ms = sleep_ms(l, max_ms);
	uint64_t polled_ms;

	registers_wipe();
	l->polls++;
	poll_some(l->hot.polls, l->hot.n, timeout_ms(l, wait_ms), wait_ms);
	clock_refresh();
	polled_ms = clock_ms();
	take_hints(l);
	leave(l);
	dispatch(l, &l->hot, 0, l->hot.n);
	look(l);
	run_timers(l, polled_ms);
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
