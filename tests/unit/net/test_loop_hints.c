/*
 * The loop with hints: who is quiet is not polled and yet told at once, whatever becomes of the
 * hints; who waits for an end stands aside. poll(2) is a function of the tests, which lets somebody
 * speak just behind it.
 */
#include <dlfcn.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

#include "net/clock.h"
#include "net/hints.h"
#include "loop_peers.h"

static int says_next = -1; /* who speaks as soon as a poll has looked; -1: nobody */
static int asked_ms;       /* that the first poll after asked = 0 was to wait */
static unsigned asked;
static unsigned alarms; /* that were set */
static bool silent;     /* they do not come */

/* In the place of libc's. */
int
poll(struct pollfd *polls, nfds_t n, int ms)
{
	static int (*real)(struct pollfd *, nfds_t, int);
	int found, who = says_next;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "poll");
	if (asked++ == 0)
		asked_ms = ms;
	found = real(polls, n, ms);
	says_next = -1;
	if (who >= 0)
		say(who);
	return found;
}

int
timer_settime(timer_t timer, int flags, const struct itimerspec *at, struct itimerspec *before)
{
	static int (*real)(timer_t, int, const struct itimerspec *, struct itimerspec *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "timer_settime");
	alarms++;
	return silent ? 0 : real(timer, flags, at, before);
}

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
	clock_fake(now = 1000, 0);
	open_all(WANT_READ);
	for (int i = 0; i < MANY; i++)
		peers[i].watch.cools = i > 0;
	for (int i = 0; i < 3; i++)
		loop_want(loop, &peers[i].watch, WANT_HANGUP | WANT_LATE);
	ck_assert_uint_eq(polled(), MANY - 2);
	say(1);
	loop_want(loop, &peers[1].watch, WANT_READ); /* asked anew: polled at once */
	ck_assert_uint_eq(polled(), MANY - 1);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[1].told, 1);
	loop_want(loop, &peers[1].watch, WANT_HANGUP | WANT_LATE);
	loop_remove(loop, &peers[1].watch);
	ck_assert(!loop_has(&peers[1].watch));
	ck_assert(!loop_polls(loop, &peers[2].watch));
	shutdown(peers[2].far, SHUT_WR);
	loop_turn(loop, -1);
	ck_assert_uint_eq(peers[2].told, 0);
	clock_fake(now += 10, 0);
	loop_turn(loop, 0); /* it comes back */
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

static unsigned due;

static void
on_due(struct loop_timer *t)
{
	(void)t;
	due++;
}

/* No poll has a time to wait. An alarm is set for the first timer, and not again while it stands.
 */
START_TEST(test_an_alarm_ends_a_sleep)
{
	struct loop_timer late = { .on_due = on_due }, soon = { .on_due = on_due };

	open_quiet(WANT_READ);
	peers[0].act = eat;
	loop_timer_set(loop, &late, 900);
	silent = true;
	for (unsigned i = 1; i <= 20; i++) {
		alarms = 0;
		for (int k = 0; k < 10; k++) {
			say(0);
			asked = 0;
			loop_turn(loop, -1);
			ck_assert_int_eq(asked_ms, -1);
			if (k == 4)
				loop_timer_set(loop, &soon, i % 4 + 1);
		}
		ck_assert_uint_eq(alarms, 2);
		turn_after(5);
		ck_assert_uint_eq(due, i);
	}
	silent = false;
	say(0);
	loop_turn(loop, -1);
	loop_turn(loop, -1); /* nobody speaks: it has come */
	loop_timer_clear(loop, &late);
	close_all();
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

UNIT_MAIN("net/loop_hints", test_who_is_quiet_is_not_polled_and_told_at_once,
	test_the_other_end_goes, test_what_is_left_is_told_again,
	test_what_is_wanted_anew_is_polled, test_who_waits_for_room_is_told,
	test_who_speaks_between_poll_and_hints, test_a_hint_for_one_that_has_gone,
	test_who_removes_others_while_hints_are_told, test_lost_hints,
	test_without_a_hint_it_is_found_all_the_same, test_who_is_busy_is_polled_without_hints,
	test_who_is_told_seldom_beside_the_polls_is_not_polled,
	test_who_waits_for_the_end_stands_aside, test_hints_for_those_that_are_there,
	test_an_alarm_ends_a_sleep, test_refused_hints)
