/*
 * Hints: what makes one, with real sockets of both families, and what does not. A kernel in which
 * one of these changes would leave connections to the sweep of the loop.
 */
#include "net/hints.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/clock.h"
#include "unit.h"

static int hints = -1;
static bool lost, alarmed;
static int near, far; /* both ends of a connection, not blocking; the near one has hints */

static void
set_up(void)
{
	hints = hints_open();
	ck_assert_int_ge(hints, 0);
	lost = alarmed = false;
}

static void
tear_down(void)
{
	close(hints);
}

static void
pair_unix(void)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	near = pair[0];
	far = pair[1];
}

static void
pair_tcp(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	far = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(far, (struct sockaddr *)&a, len), 0);
	fcntl(far, F_SETFL, O_NONBLOCK);
	near = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_ge(near, 0);
	close(listener);
}

static void (*const pairs[])(void) = { pair_tcp, pair_unix };

static bool
is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, 10000) == 1;
}

/* At least one has come, or comes within a while, and all are of this descriptor. */
static void
hinted(int fd)
{
	int fds[64];
	ck_assert(is_ready(hints, POLLIN));
	size_t n = hints_read(hints, fds, 64, &lost, &alarmed);
	ck_assert_uint_ge(n, 1);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(fds[i], fd);
	while (hints_read(hints, fds, 64, &lost, &alarmed) > 0)
		;
	ck_assert(!lost);
}

static void
nothing_came(void)
{
	int fds[64];
	ck_assert_uint_eq(hints_read(hints, fds, 64, &lost, &alarmed), 0);
	ck_assert(!lost && !alarmed);
}

static void
close_both(void)
{
	close(near);
	close(far);
}

START_TEST(test_data_and_the_end)
{
	pairs[_i]();
	ck_assert_int_eq(write(far, "x", 1), 1); /* before: no hint of that */
	ck_assert(is_ready(near, POLLIN));
	ck_assert_int_eq(hints_on(near), 0);
	nothing_came();
	ck_assert_int_eq(write(far, "x", 1), 1);
	hinted(near);
	ck_assert_int_eq(write(far, "x", 1), 1); /* though the first is not read */
	hinted(near);
	shutdown(far, SHUT_WR);
	hinted(near);
	close_both();
}
END_TEST

START_TEST(test_a_close)
{
	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	close(far);
	hinted(near);
	close(near);
}
END_TEST

START_TEST(test_a_reset)
{
	struct linger none = { .l_onoff = 1 };
	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	setsockopt(far, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	close(far);
	hinted(near);
	close(near);
}
END_TEST

static void
fill(void)
{
	static char big[65536];
	while (send(near, big, sizeof big, MSG_NOSIGNAL) > 0)
		;
}

/* Until there is room again. */
static void
drain(void)
{
	static char big[65536];
	struct pollfd p = { .fd = near, .events = POLLOUT };

	while (poll(&p, 1, 1) == 0)
		while (read(far, big, sizeof big) > 0)
			;
}

START_TEST(test_room_to_write)
{
	struct pollfd p = { .events = POLLOUT };
	pairs[_i]();
	if (_i == 0) { /* TCP: after a poll, too */
		fill();
		ck_assert_int_eq(hints_on(near), 0);
		p.fd = near;
		ck_assert_int_eq(poll(&p, 1, 0), 0);
	} else {
		ck_assert_int_eq(hints_on(near), 0);
		fill();
	}
	nothing_came();
	drain();
	hinted(near);
	close_both();
}
END_TEST

START_TEST(test_what_is_sent_makes_none)
{
	char byte;
	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(write(near, "x", 1), 1);
		ck_assert(is_ready(far, POLLIN));
		ck_assert_int_eq(read(far, &byte, 1), 1);
	}
	nothing_came();
	close_both();
}
END_TEST

START_TEST(test_off_and_on)
{
	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	ck_assert_int_eq(hints_off(near), 0);
	ck_assert_int_eq(write(far, "x", 1), 1);
	ck_assert(is_ready(near, POLLIN));
	nothing_came();
	ck_assert_int_eq(hints_on(near), 0);
	ck_assert_int_eq(write(far, "x", 1), 1);
	hinted(near);
	close_both();
}
END_TEST

/* A connection that is refused. */
START_TEST(test_connecting)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	int bound = socket(AF_INET, SOCK_STREAM, 0); /* and does not listen */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(bound, (struct sockaddr *)&a, len), 0);
	ck_assert_int_eq(getsockname(bound, (struct sockaddr *)&a, &len), 0);
	ck_assert_int_eq(hints_on(fd), 0);
	ck_assert_int_lt(connect(fd, (struct sockaddr *)&a, len), 0);
	hinted(fd);
	close(fd);
	close(bound);
}
END_TEST

/* What was closed hints no more, but what is queued stays: the number may be another's by now. */
START_TEST(test_a_closed_one)
{
	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	ck_assert_int_eq(write(far, "x", 1), 1);
	ck_assert(is_ready(near, POLLIN));
	close(near);
	hinted(near);
	close(far);
}
END_TEST

START_TEST(test_some_at_a_time)
{
	int fds[64];
	pair_unix();
	ck_assert_int_eq(hints_on(near), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(write(far, "x", 1), 1);
	ck_assert_uint_eq(hints_read(hints, fds, 10, &lost, &alarmed), 10);
	ck_assert_uint_eq(hints_read(hints, fds, 64, &lost, &alarmed), 64);
	ck_assert_uint_eq(hints_read(hints, fds, 64, &lost, &alarmed), 26);
	nothing_came();
	close_both();
}
END_TEST

START_TEST(test_a_full_queue)
{
	struct rlimit limit, none;
	int fds[64];

	pair_unix();
	ck_assert_int_eq(hints_on(near), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	ck_assert_int_eq(write(far, "x", 1), 1);
	ck_assert_int_eq(write(far, "x", 1), 1);
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	ck_assert(is_ready(hints, POLLIN));
	ck_assert_uint_eq(hints_read(hints, fds, 64, &lost, &alarmed), 0);
	ck_assert(lost);
	close_both();
}
END_TEST

/* Of several set the last one comes, once, and not as somebody's hint; a full queue has a place for
 * it. */
START_TEST(test_the_alarm)
{
	struct rlimit limit, none;
	uint64_t due_ms;
	int fds[64];

	pairs[_i]();
	ck_assert_int_eq(hints_on(near), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	for (int i = 0; i < 2; i++) {
		alarmed = false;
		clock_refresh();
		ck_assert_int_eq(hints_alarm(clock_ms() + 100000), 0);
		ck_assert_int_eq(hints_alarm(clock_ms() + 2), 0);
		ck_assert(is_ready(hints, POLLIN));
		ck_assert_uint_eq(hints_read(hints, fds, 64, &lost, &alarmed), 0);
		ck_assert(alarmed);
		due_ms = clock_ms() + 2;
		clock_refresh();
		ck_assert_uint_ge(clock_ms(), due_ms);
		alarmed = false;
		nothing_came();
	}
	ck_assert_int_eq(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	close_both();
}
END_TEST

START_TEST(test_refused)
{
	int ends[2];
	ck_assert_int_eq(hints_on(-1), -1);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(hints_on(ends[0]), 0); /* pipes have them as well */
	close(ends[0]);
	close(ends[1]);
	int fd = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(hints_on(fd), -1);
	close(fd);
}
END_TEST

/* Each with TCP and with AF_UNIX. */
int
main(void)
{
	const TTest *const tests[] = { test_data_and_the_end, test_a_close, test_a_reset,
		test_room_to_write, test_what_is_sent_makes_none, test_off_and_on, test_connecting,
		test_a_closed_one, test_some_at_a_time, test_a_full_queue, test_the_alarm,
		test_refused };
	Suite *suite = suite_create("net/hints");
	TCase *tcase = tcase_create("net/hints");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
		tcase_add_loop_test(tcase, tests[i], 0, 2);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
