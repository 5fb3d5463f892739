/*
 * The loop: who is told what, in which order, and nobody after his removal; timers against a naive
 * model under a fake clock; deferred work. Descriptors are pipes and socket pairs of the tests.
 */
#include "net/loop.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/hints.h"
#include "net/sock.h"
#include "unit.h"

#define MANY 100

static struct loop *loop;

struct peer {
	struct loop_watch watch;
	int far;        /* the other end */
	unsigned told;  /* times */
	unsigned ready; /* of the last time */
	void (*act)(struct peer *p);
};

static struct peer peers[MANY];
static int order[4 * MANY];
static unsigned n_order;

static void
on_ready(struct loop_watch *w, unsigned ready)
{
	struct peer *p = (struct peer *)(void *)((char *)w - offsetof(struct peer, watch));

	ck_assert(loop_has(w));
	p->told++;
	p->ready = ready;
	order[n_order++] = (int)(p - peers);
	if (p->act)
		p->act(p);
}

static void
peer_open(struct peer *p, unsigned want)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	*p = (struct peer){ .far = pair[1] };
	p->watch.fd = pair[0];
	p->watch.on_ready = on_ready;
	ck_assert_int_eq(loop_add(loop, &p->watch, want), 0);
}

static void
open_all(unsigned want)
{
	loop = loop_new(4); /* grows */
	n_order = 0;
	for (int i = 0; i < MANY; i++)
		peer_open(&peers[i], want);
}

static void
close_all(void)
{
	for (int i = 0; i < MANY; i++) {
		loop_remove(loop, &peers[i].watch);
		close(peers[i].watch.fd);
		close(peers[i].far);
	}
	loop_free(loop);
}

static void
say(int i)
{
	ck_assert_int_eq(write(peers[i].far, "x", 1), 1);
}

static int says_next = -1; /* who speaks as soon as a poll has looked; -1: nobody */

/* In the place of libc's. */
int
poll(struct pollfd *polls, nfds_t n, int ms)
{
	static int (*real)(struct pollfd *, nfds_t, int);
	int found, who = says_next;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "poll");
	found = real(polls, n, ms);
	says_next = -1;
	if (who >= 0)
		say(who);
	return found;
}

START_TEST(test_last_to_first)
{
	open_all(WANT_READ);
	for (int i = 0; i < MANY; i += 3)
		say(i);
	loop_turn(loop, 0);
	ck_assert_uint_eq(n_order, (MANY + 2) / 3);
	for (unsigned k = 0; k < n_order; k++)
		ck_assert_int_eq(order[k], MANY - 1 - 3 * (int)k);
	close_all();
}
END_TEST

static void
remove_self(struct peer *p)
{
	loop_remove(loop, &p->watch);
}

START_TEST(test_each_removes_itself)
{
	open_all(WANT_READ);
	for (int i = 0; i < MANY; i++) {
		peers[i].act = remove_self;
		say(i);
	}
	loop_turn(loop, 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_uint_eq(peers[i].told, 1);
	n_order = 0;
	loop_turn(loop, 0);
	ck_assert_uint_eq(n_order, 0);
	close_all();
}
END_TEST

static unsigned victims; /* bit i: who is to be removed by the first one told */

static void
remove_victims(struct peer *p)
{
	(void)p;
	for (int i = 0; i < 6; i++)
		if (victims & 1u << i)
			loop_remove(loop, &peers[i].watch);
}

/* Every set of victims among six, removed by each of the six: the others are told once, a victim
 * not after its removal. */
START_TEST(test_removal_of_any)
{
	for (victims = 0; victims < 64; victims++) {
		for (int killer = 0; killer < 6; killer++) {
			open_all(0);
			for (int i = 6; i < MANY; i++)
				loop_remove(loop, &peers[i].watch);
			for (int i = 0; i < 6; i++) {
				loop_want(loop, &peers[i].watch, WANT_READ);
				say(i);
			}
			peers[killer].act = remove_victims;
			loop_turn(loop, 0);
			for (int i = 0; i < 6; i++) {
				bool spared = !(victims & 1u << i) || i >= killer;

				ck_assert_uint_eq(peers[i].told, spared ? 1 : 0);
			}
			close_all();
		}
	}
}
END_TEST

static void
replace_self(struct peer *p)
{
	loop_remove(loop, &p->watch);
	ck_assert_int_eq(loop_add(loop, &p->watch, WANT_READ), 0);
}

START_TEST(test_who_comes_back_waits_for_the_next_turn)
{
	open_all(WANT_READ);
	for (int i = 0; i < MANY; i++) {
		peers[i].act = replace_self;
		say(i);
	}
	for (unsigned turn = 1; turn <= 3; turn++) {
		loop_turn(loop, 0);
		for (int i = 0; i < MANY; i++)
			ck_assert_uint_eq(peers[i].told, turn);
	}
	close_all();
}
END_TEST

START_TEST(test_what_is_told)
{
	char big[65536] = { 0 };

	open_all(0);
	say(0);
	loop_turn(loop, 0);
	ck_assert_uint_eq(n_order, 0); /* nothing wanted, nothing told */
	loop_want(loop, &peers[0].watch, WANT_READ);
	loop_want(loop, &peers[1].watch, WANT_WRITE);
	loop_want(loop, &peers[2].watch, WANT_READ | WANT_WRITE);
	while (write(peers[3].watch.fd, big, sizeof big) > 0)
		;
	loop_want(loop, &peers[3].watch, WANT_WRITE); /* full: not ready */
	loop_want(loop, &peers[4].watch, WANT_HANGUP);
	shutdown(peers[4].far, SHUT_WR);
	close(peers[5].far);             /* wants nothing, but it is broken */
	shutdown(peers[6].far, SHUT_WR); /* wants nothing, and that is no breakage */
	loop_turn(loop, 0);
	ck_assert_uint_eq(peers[0].ready, READY_READ);
	ck_assert_uint_eq(peers[1].ready, READY_WRITE);
	ck_assert_uint_eq(peers[2].ready, READY_WRITE);
	ck_assert_uint_eq(peers[3].told, 0);
	ck_assert_uint_eq(peers[4].ready, READY_HANGUP);
	ck_assert_uint_eq(peers[5].ready & READY_HANGUP, READY_HANGUP);
	ck_assert_uint_eq(peers[6].told, 0);
	ck_assert_uint_eq(n_order, 5);
	peers[5].far = dup(0);
	close_all();
}
END_TEST

/* ---- timers ---- */

#define TIMERS 200

static struct timed {
	struct loop_timer timer;
	uint64_t due, fired;
	unsigned times;
} timed[TIMERS];

static uint64_t now_ms, last_due;

static void
on_due(struct loop_timer *t)
{
	struct timed *d = (struct timed *)(void *)((char *)t - offsetof(struct timed, timer));

	ck_assert_uint_gt(d->due, 0);
	ck_assert_uint_le(d->due, now_ms);
	d->due = 0;
	d->times++;
}

START_TEST(test_timers_as_in_a_model)
{
	uint32_t random = 7;

	now_ms = 1000;
	clock_fake(now_ms, 0);
	loop = loop_new(4);
	for (int i = 0; i < TIMERS; i++)
		timed[i] = (struct timed){ .timer.on_due = on_due };
	for (int step = 0; step < 20000; step++) {
		struct timed *d;
		uint64_t ms;

		random = random * 1664525 + 1013904223;
		d = &timed[(random >> 20) % TIMERS];
		ms = (random >> 8) % 500;
		if ((random >> 4) % 8 == 0) {
			loop_timer_clear(loop, &d->timer);
			d->due = 0;
		} else {
			loop_timer_set(loop, &d->timer, ms);
			d->due = now_ms + ms;
		}
		if (step % 3 == 0) {
			clock_fake(now_ms += (random >> 28), 0);
			loop_turn(loop, 0);
			for (int i = 0; i < TIMERS; i++)
				ck_assert(timed[i].due == 0 || timed[i].due > now_ms);
		}
	}
	clock_fake(now_ms += 1000, 0);
	loop_turn(loop, 0);
	for (int i = 0; i < TIMERS; i++) {
		ck_assert_uint_eq(timed[i].due, 0);
		ck_assert_uint_eq(timed[i].timer.place, 0);
		ck_assert_uint_gt(timed[i].times, 5);
	}
	loop_free(loop);
}
END_TEST

static void
on_due_in_order(struct loop_timer *t)
{
	struct timed *d = (struct timed *)(void *)((char *)t - offsetof(struct timed, timer));

	ck_assert_uint_ge(d->due, last_due);
	last_due = d->due;
	d->times++;
}

START_TEST(test_timers_in_order)
{
	clock_fake(1000, 0);
	loop = loop_new(4);
	last_due = 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		timed[i] = (struct timed){ .timer.on_due = on_due_in_order,
			.due = 1000 + i * 7919 % 997 };
		loop_timer_set(loop, &timed[i].timer, i * 7919 % 997);
	}
	clock_fake(3000, 0);
	loop_turn(loop, 0);
	for (int i = 0; i < TIMERS; i++)
		ck_assert_uint_eq(timed[i].times, 1);
	loop_free(loop);
}
END_TEST

static void
on_due_again(struct loop_timer *t)
{
	timed[0].times++;
	ck_assert_uint_lt(timed[0].times, 100);
	loop_timer_set(loop, t, 0);
}

/* A timer that sets itself again at once comes in a later turn: it cannot hold the loop. */
START_TEST(test_timer_that_sets_itself)
{
	clock_fake(1000, 0);
	loop = loop_new(4);
	timed[0] = (struct timed){ .timer.on_due = on_due_again };
	loop_timer_set(loop, &timed[0].timer, 0);
	for (unsigned turn = 1; turn <= 3; turn++) {
		loop_turn(loop, 0);
		ck_assert_uint_eq(timed[0].times, turn);
		clock_fake(1000 + turn, 0);
	}
	loop_free(loop);
}
END_TEST

/* A timer that rests is not due, and its memory may go when it is cleared; set again, later or
 * sooner than before, it is due when that says. */
START_TEST(test_timer_that_rests)
{
	static const uint64_t later[] = { 0, 3, 7, 20 };
	struct timed *d = &timed[0];

	for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
		clock_fake(now_ms = 1000, 0);
		loop = loop_new(4);
		*d = (struct timed){ .timer.on_due = on_due };
		loop_timer_set(loop, &d->timer, 7);
		loop_timer_rest(&d->timer);
		ck_assert_uint_eq(d->timer.due, 0);
		if (later[i] > 0) {
			loop_timer_set(loop, &d->timer, later[i]);
			d->due = now_ms + later[i];
		}
		for (uint64_t ms = 1; ms < 40; ms++) {
			clock_fake(now_ms = 1000 + ms, 0);
			loop_turn(loop, 0);
			ck_assert_uint_eq(d->times, later[i] > 0 && ms >= later[i]);
		}
		ck_assert_uint_eq(d->timer.place, 0);
		loop_timer_set(loop, &d->timer, 5);
		loop_timer_rest(&d->timer);
		loop_timer_clear(loop, &d->timer);
		ck_assert_uint_eq(d->timer.place, 0);
		loop_free(loop);
	}
}
END_TEST

static void
on_due_clears(struct loop_timer *t)
{
	(void)t;
	timed[0].times++;
	for (int i = 1; i < TIMERS; i++)
		loop_timer_clear(loop, &timed[i].timer);
}

START_TEST(test_timer_that_clears_others)
{
	clock_fake(1000, 0);
	loop = loop_new(4);
	for (int i = 0; i < TIMERS; i++) {
		timed[i] = (struct timed){ .timer.on_due = i ? on_due : on_due_clears };
		loop_timer_set(loop, &timed[i].timer, i ? 6 : 5);
	}
	clock_fake(2000, 0);
	loop_turn(loop, 0);
	ck_assert_uint_eq(timed[0].times, 1);
	for (int i = 1; i < TIMERS; i++)
		ck_assert_uint_eq(timed[i].times, 0);
	loop_free(loop);
}
END_TEST

/* ---- deferred work ---- */

static struct work {
	struct loop_later later;
	unsigned runs, again;
	struct work *other;
} works[3];

static char trace[64];

static void
run(struct loop_later *later)
{
	struct work *w = (struct work *)(void *)((char *)later - offsetof(struct work, later));
	size_t len = strlen(trace);

	if (len + 1 < sizeof trace)
		trace[len] = (char)('a' + (w - works));
	w->runs++;
	if (w->again > 0) {
		w->again--;
		loop_later(loop, &w->later);
	}
	if (w->other)
		loop_later(loop, &w->other->later);
}

static void
works_open(void)
{
	loop = loop_new(4);
	memset(trace, 0, sizeof trace);
	for (int i = 0; i < 3; i++)
		works[i] = (struct work){ .later.run = run };
}

START_TEST(test_later_once_and_in_order)
{
	works_open();
	for (int i = 0; i < 5; i++) {
		loop_later(loop, &works[1].later);
		loop_later(loop, &works[0].later);
	}
	loop_turn(loop, -1); /* does not sleep: work waits */
	ck_assert_str_eq(trace, "ba");
	works[0].other = &works[2];
	loop_later(loop, &works[0].later);
	loop_turn(loop, -1);
	ck_assert_str_eq(trace, "baac"); /* in the same turn */
	loop_free(loop);
}
END_TEST

START_TEST(test_later_cannot_hold_the_loop)
{
	works_open();
	works[0].again = 10;
	loop_later(loop, &works[0].later);
	loop_turn(loop, -1);
	ck_assert_uint_gt(works[0].runs, 1);
	ck_assert_uint_lt(works[0].runs, 11);
	for (int turn = 0; turn < 12 && works[0].again > 0; turn++)
		loop_turn(loop, -1);
	ck_assert_uint_eq(works[0].runs, 11);
	loop_free(loop);
}
END_TEST

static void
stop_it(struct loop_later *later)
{
	run(later);
	loop_stop(loop);
}

START_TEST(test_run_and_stop)
{
	works_open();
	works[0].later.run = stop_it;
	loop_later(loop, &works[0].later);
	loop_run(loop);
	ck_assert_uint_eq(works[0].runs, 1);
	loop_free(loop);
}
END_TEST

/* A process whose limit of descriptors was lowered below what it waits for: poll(2) takes no more
 * entries than that, and yet everybody is told and timers run. */
START_TEST(test_more_than_the_limit)
{
	struct rlimit limit, low;

	open_all(WANT_READ);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (rlim_t most = 1; most < MANY; most += 6) {
		low.rlim_cur = most;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
		for (unsigned i = 0; i < MANY; i++) {
			peers[i].told = 0;
			ck_assert_int_eq(write(peers[i].far, "x", 1), 1);
		}
		n_order = 0;
		loop_turn(loop, -1);
		for (unsigned i = 0; i < MANY; i++) {
			char byte;

			ck_assert_uint_eq(peers[i].told, 1);
			ck_assert_int_eq(read(peers[i].watch.fd, &byte, 1), 1);
		}
		loop_turn(loop, -1); /* nothing: it comes back all the same */
		ck_assert_uint_eq(n_order, MANY);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close_all();
}
END_TEST

/* ---- hints ---- */

static uint64_t now;

static void
turn_after(unsigned ms)
{
	clock_fake(now += ms, 0);
	loop_turn(loop, 0);
}

/* Hints for all but the last, and everybody quiet for long. */
static void
open_quiet(unsigned want)
{
	clock_fake(now = 1000, 0);
	open_all(want);
	ck_assert_int_eq(loop_hints(loop), 0);
	for (int i = 0; i < MANY - 1; i++)
		peers[i].watch.cools = true;
	for (int i = 0; i < 4; i++)
		turn_after(50);
}

static unsigned
polled(void)
{
	unsigned n = 0;

	for (int i = 0; i < MANY; i++)
		n += loop_has(&peers[i].watch) && loop_polls(loop, &peers[i].watch);
	return n;
}

static void
eat(struct peer *p)
{
	char byte;

	ck_assert_int_eq(read(p->watch.fd, &byte, 1), 1);
}

START_TEST(test_who_is_quiet_is_not_polled_and_told_at_once)
{
	open_quiet(WANT_READ);
	ck_assert_uint_eq(polled(), 1);
	for (int i = 0; i < MANY; i++) {
		peers[i].act = eat;
		say(i);
		loop_turn(loop, -1);
		ck_assert_uint_eq(peers[i].told, 1);
		ck_assert_uint_eq(peers[i].ready, READY_READ);
	}
	ck_assert_uint_eq(n_order, MANY);
	loop_turn(loop, 0);
	ck_assert_uint_eq(polled(), 1);
	for (int i = 0; i < MANY; i++)
		say(i);
	loop_turn(loop, 0);
	loop_turn(loop, 0); /* as many as are taken at once are told in one turn */
	ck_assert_uint_eq(n_order, 2 * MANY);
	close_all();
}
END_TEST

START_TEST(test_the_other_end_goes)
{
	open_quiet(WANT_HANGUP);
	say(0);
	shutdown(peers[1].far, SHUT_WR);
	close(peers[2].far);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[0].told, 0);
	ck_assert_uint_eq(peers[1].ready, READY_HANGUP);
	ck_assert_uint_eq(peers[2].ready & READY_HANGUP, READY_HANGUP);
	ck_assert_uint_eq(n_order, 2);
	peers[2].far = dup(0);
	close_all();
}
END_TEST

/* Told again and again as long as something is there, as without hints. */
START_TEST(test_what_is_left_is_told_again)
{
	open_quiet(WANT_READ);
	for (int i = 0; i < 3; i++)
		say(5);
	for (unsigned i = 1; i <= 10; i++) {
		turn_after(100);
		ck_assert_uint_eq(peers[5].told, i);
	}
	for (int i = 0; i < 3; i++)
		eat(&peers[5]);
	turn_after(0);
	ck_assert_uint_eq(peers[5].told, 10);
	ck_assert_uint_eq(polled(), 1);
	close_all();
}
END_TEST

START_TEST(test_what_is_wanted_anew_is_polled)
{
	open_quiet(0);
	say(0);
	turn_after(1);
	ck_assert_uint_eq(n_order, 0);
	loop_want(loop, &peers[0].watch, WANT_READ); /* it is there already */
	turn_after(1);
	ck_assert_uint_eq(peers[0].told, 1);
	loop_remove(loop, &peers[1].watch);
	say(1);
	turn_after(1);
	ck_assert_int_eq(loop_add(loop, &peers[1].watch, WANT_READ), 0);
	turn_after(1);
	ck_assert_uint_eq(peers[1].told, 1);
	loop_want(loop, &peers[2].watch, WANT_WRITE);
	turn_after(1);
	ck_assert_uint_eq(peers[2].told, 1);
	close_all();
}
END_TEST

/* A socket of AF_UNIX gives no hint at room: it is polled. */
START_TEST(test_who_waits_for_room_is_told)
{
	static char big[65536];

	open_quiet(WANT_READ);
	while (write(peers[0].watch.fd, big, sizeof big) > 0)
		;
	loop_want(loop, &peers[0].watch, WANT_READ | WANT_WRITE);
	for (int i = 0; i < 4; i++)
		turn_after(50);
	ck_assert_uint_eq(polled(), 2);
	while (read(peers[0].far, big, sizeof big) > 0)
		;
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[0].ready, READY_WRITE);
	close_all();
}
END_TEST

/* He was told, and is polled still; the hint at more that has come meanwhile is read with
 * another's.
 */
START_TEST(test_who_speaks_between_poll_and_hints)
{
	open_quiet(WANT_READ);
	peers[0].act = peers[1].act = eat;
	say(0);
	turn_after(1);
	ck_assert_uint_eq(peers[0].told, 1);
	say(1);
	says_next = 0;
	turn_after(1);
	ck_assert_uint_eq(peers[1].told, 1);
	turn_after(1);
	ck_assert_uint_eq(peers[0].told, 2);
	turn_after(1);
	ck_assert_uint_eq(polled(), 1);
	close_all();
}
END_TEST

START_TEST(test_a_hint_for_one_that_has_gone)
{
	open_quiet(WANT_READ);
	for (int i = 0; i < 10; i++)
		say(i);
	for (int i = 0; i < 10; i++) {
		int fd = peers[i].watch.fd;

		loop_remove(loop, &peers[i].watch);
		close(fd);
		close(peers[i].far);
	}
	for (int i = 0; i < 10; i++) /* others have their numbers */
		peer_open(&peers[i], WANT_READ);
	turn_after(1);
	ck_assert_uint_eq(n_order, 0);
	say(3);
	turn_after(1);
	ck_assert_uint_eq(n_order, 1);
	close_all();
}
END_TEST

START_TEST(test_who_removes_others_while_hints_are_told)
{
	for (victims = 0; victims < 64; victims++) {
		open_quiet(WANT_READ);
		for (int i = 0; i < 6; i++) {
			peers[i].act = remove_victims;
			say(i);
		}
		loop_turn(loop, 0);
		for (int i = 0; i < 6; i++)
			ck_assert_uint_le(peers[i].told, 1);
		ck_assert_uint_eq(n_order, victims == 0 ? 6 : n_order);
		close_all();
	}
}
END_TEST

START_TEST(test_lost_hints)
{
	struct rlimit limit, low;

	open_quiet(WANT_READ);
	ck_assert_int_eq(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	for (rlim_t most = 0; most < MANY; most += 9) {
		low = limit;
		low.rlim_cur = most;
		ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &low), 0);
		n_order = 0;
		for (int i = 0; i < MANY; i++) {
			peers[i].act = eat;
			say(i);
		}
		loop_turn(loop, -1);
		for (int i = 0; i < 3; i++)
			loop_turn(loop, 0);
		ck_assert_uint_eq(n_order, MANY);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	close_all();
}
END_TEST

/* Whatever becomes of a hint. */
START_TEST(test_without_a_hint_it_is_found_all_the_same)
{
	open_quiet(WANT_READ);
	for (int i = 0; i < MANY - 1; i++) {
		ck_assert_int_eq(hints_off(peers[i].watch.fd), 0);
		peers[i].act = eat;
		say(i);
	}
	for (int i = 0; i < 30; i++)
		turn_after(50);
	ck_assert_uint_eq(n_order, MANY - 1);
	say(3);
	clock_fake(now += 1000, 0);
	loop_turn(loop, -1); /* it does not sleep for ever */
	ck_assert_uint_eq(n_order, MANY);
	close_all();
}
END_TEST

START_TEST(test_who_is_busy_is_polled_without_hints)
{
	open_quiet(WANT_READ);
	for (unsigned round = 0; round < 20; round++) {
		n_order = 0;
		for (int i = 0; i < MANY; i++) {
			peers[i].act = eat;
			say(i);
		}
		turn_after(1);
		turn_after(1);
		ck_assert_uint_eq(n_order, MANY);
	}
	turn_after(0);
	ck_assert_uint_eq(polled(), MANY);
	for (int i = 0; i < 4; i++)
		turn_after(50);
	ck_assert_uint_eq(polled(), 1);
	for (int i = 0; i < 50; i++) { /* now and then is not busy */
		say(0);
		turn_after(10);
		turn_after(0);
		ck_assert_uint_eq(polled(), 1);
	}
	ck_assert_uint_eq(peers[0].told, 20 + 50);
	close_all();
}
END_TEST

/* Ten come by turns, twice each in the time of a look: where polls are many, they need not be among
 * those of each. */
START_TEST(test_who_is_told_seldom_beside_the_polls_is_not_polled)
{
	open_quiet(WANT_READ);
	for (int i = 0; i < 10; i++) {
		loop_remove(loop, &peers[i].watch); /* anew, without a past */
		peers[i].watch = (struct loop_watch){ .fd = peers[i].watch.fd,
			.on_ready = on_ready,
			.cools = true };
		peers[i].act = eat;
		ck_assert_int_eq(loop_add(loop, &peers[i].watch, WANT_READ), 0);
	}
	ck_assert_uint_eq(polled(), 11);
	for (unsigned ms = 0; ms < 200; ms++) {
		if (ms % 2 == 0) {
			n_order = 0;
			say((int)(ms / 2 % 10));
		}
		turn_after(1);
		for (int i = 0; i < 3; i++)
			turn_after(0);
	}
	ck_assert_uint_lt(polled(), 8); /* the rest are too few to be worth it */
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(peers[i].told, 10);
	close_all();
}
END_TEST

/* Who waits for nothing but the end is not polled with the others at first; it is told in any case,
 * though nothing else wakes the loop. */
START_TEST(test_who_waits_for_the_end_stands_aside)
{
	open_all(WANT_READ);
	for (int i = 0; i < MANY; i++)
		peers[i].watch.cools = i > 0;
	for (int i = 0; i < 3; i++)
		loop_want(loop, &peers[i].watch, WANT_HANGUP);
	ck_assert_uint_eq(polled(), MANY - 2);
	say(1);
	loop_want(loop, &peers[1].watch, WANT_READ); /* asked anew: polled at once */
	ck_assert_uint_eq(polled(), MANY - 1);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[1].told, 1);
	loop_want(loop, &peers[1].watch, WANT_HANGUP);
	loop_remove(loop, &peers[1].watch);
	ck_assert(!loop_has(&peers[1].watch));
	shutdown(peers[2].far, SHUT_WR);
	while (peers[2].told == 0)
		loop_turn(loop, -1);
	ck_assert_uint_eq(peers[2].ready, READY_HANGUP);
	ck_assert_uint_eq(polled(), MANY - 1);
	ck_assert_uint_eq(n_order, 2);
	close_all();
}
END_TEST

/* Few as they are, who was there before the hints is polled no more. */
START_TEST(test_hints_for_those_that_are_there)
{
	loop = loop_new(4);
	peer_open(&peers[0], WANT_READ);
	peer_open(&peers[1], WANT_READ);
	peers[0].watch.cools = true;
	ck_assert_int_eq(loop_hints(loop), 0);
	loop_turn(loop, 0);
	ck_assert(!loop_polls(loop, &peers[0].watch));
	ck_assert(loop_polls(loop, &peers[1].watch));
	n_order = 0;
	say(0);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[0].told, 1);
	for (int i = 0; i < 2; i++) {
		loop_remove(loop, &peers[i].watch);
		close(peers[i].watch.fd);
		close(peers[i].far);
	}
	loop_free(loop);
}
END_TEST

/* What no hints are to be had of is polled. */
START_TEST(test_refused_hints)
{
	struct rlimit limit, low;

	open_all(WANT_READ);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert_int_eq(loop_hints(loop), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	clock_fake(now = 1000, 0);
	for (int i = 0; i < MANY; i++)
		peers[i].watch.cools = true;
	for (int i = 0; i < 4; i++)
		turn_after(50);
	ck_assert_uint_eq(polled(), MANY);
	loop_remove(loop, &peers[0].watch);
	close(peers[0].watch.fd);
	peers[0].watch.fd = eventfd(0, EFD_NONBLOCK); /* it has no O_ASYNC */
	ck_assert_int_eq(loop_add(loop, &peers[0].watch, WANT_READ), 0);
	ck_assert_int_eq(loop_hints(loop), 0);
	for (int i = 0; i < 4; i++)
		turn_after(50);
	ck_assert_uint_eq(polled(), 1);
	ck_assert_int_eq(eventfd_write(peers[0].watch.fd, 1), 0);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[0].told, 1);
	close_all();
}
END_TEST

UNIT_MAIN("net/loop", test_last_to_first, test_each_removes_itself, test_removal_of_any,
	test_who_comes_back_waits_for_the_next_turn, test_what_is_told, test_timers_as_in_a_model,
	test_timers_in_order, test_timer_that_sets_itself, test_timer_that_rests,
	test_timer_that_clears_others, test_later_once_and_in_order,
	test_later_cannot_hold_the_loop, test_run_and_stop, test_more_than_the_limit,
	test_who_is_quiet_is_not_polled_and_told_at_once, test_the_other_end_goes,
	test_what_is_left_is_told_again, test_what_is_wanted_anew_is_polled,
	test_who_waits_for_room_is_told, test_who_speaks_between_poll_and_hints,
	test_a_hint_for_one_that_has_gone, test_who_removes_others_while_hints_are_told,
	test_lost_hints, test_without_a_hint_it_is_found_all_the_same,
	test_who_is_busy_is_polled_without_hints,
	test_who_is_told_seldom_beside_the_polls_is_not_polled,
	test_who_waits_for_the_end_stands_aside, test_hints_for_those_that_are_there,
	test_refused_hints)
