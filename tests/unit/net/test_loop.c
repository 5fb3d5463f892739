/*
 * The loop: who is told what, in which order, and nobody after his removal; timers against a naive
 * model under a fake clock; deferred work. Descriptors are pipes and socket pairs of the tests.
 */
#include "net/loop.h"

#include <string.h>
#include <sys/resource.h>

#include "net/clock.h"
#include "loop_peers.h"

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

static void
stall(struct peer *p)
{
	(void)p;
	clock_fake(5000, 0);
}

static unsigned late;

static void
be_late(struct loop_timer *t)
{
	(void)t;
	late++;
}

/* What is there to be read is told before a timer that came due after the poll. */
START_TEST(test_timer_that_comes_due_within_a_turn)
{
	struct loop_timer t = { .on_due = be_late };

	clock_fake(1000, 0);
	open_all(WANT_READ);
	loop_timer_set(loop, &t, 2000);
	peers[0].act = stall;
	say(0);
	loop_turn(loop, 0);
	ck_assert_uint_eq(n_order, 1);
	ck_assert_uint_eq(late, 0);
	loop_turn(loop, -1);
	ck_assert_uint_eq(n_order, 2);
	ck_assert_uint_eq(late, 1);
	close_all();
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

UNIT_MAIN("net/loop", test_last_to_first, test_each_removes_itself, test_removal_of_any,
	test_who_comes_back_waits_for_the_next_turn, test_what_is_told, test_timers_as_in_a_model,
	test_timers_in_order, test_timer_that_sets_itself, test_timer_that_rests,
	test_timer_that_comes_due_within_a_turn, test_timer_that_clears_others,
	test_later_once_and_in_order, test_later_cannot_hold_the_loop, test_run_and_stop,
	test_more_than_the_limit)
