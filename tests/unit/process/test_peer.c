/*
 * Tests of process/peer: the words of two masters, and the end of one.
 */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/peer.h"

static struct loop *loop;
static struct peer a, b;
static unsigned changes, ends;

static void
on_change(struct peer *p, bool ended)
{
	ck_assert_ptr_eq(p, &b);
	changes++;
	ends += ended;
}

static void
open_pair(void)
{
	int fds[2];
	loop = loop_new(8);
	a = b = (struct peer){ .on_change = on_change };
	changes = ends = 0;
	ck_assert_int_eq(peer_pair(fds), 0);
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(peer_watch(&a, loop, fds[0], 11, PEER_STARTING), 0);
	ck_assert_int_eq(peer_watch(&b, loop, fds[1], 12, PEER_SERVING), 0);
	ck_assert_int_eq(b.pid, 12);
}

static void
close_pair(void)
{
	peer_close(&a);
	peer_close(&b);
	loop_free(loop);
}

static void
turn_until(unsigned n)
{
	for (int i = 0; i < 100 && changes < n; i++)
		loop_turn(loop, 100);
	ck_assert_uint_eq(changes, n);
}

START_TEST(each_state_is_told)
{
	static const enum peer_state states[] = { PEER_RESTING, PEER_SERVING, PEER_LEAVING };
	open_pair();
	for (unsigned i = 0; i < 3; i++) {
		peer_tell(&a, states[i]);
		turn_until(i + 1);
		ck_assert_int_eq(b.state, states[i]);
	}
	peer_tell(&a, PEER_STARTING); /* there is no word for it */
	loop_turn(loop, 10);
	ck_assert_uint_eq(changes, 3);
	ck_assert_uint_eq(ends, 0);
	close_pair();
}
END_TEST

START_TEST(what_is_no_word_changes_nothing)
{
	open_pair();
	ck_assert_int_eq(send(a.watch.fd, "x", 1, 0), 1);
	turn_until(1);
	ck_assert_int_eq(b.state, PEER_SERVING);
	close_pair();
}
END_TEST

START_TEST(the_end_is_told_once_and_leaves_the_state)
{
	open_pair();
	peer_close(&a);
	ck_assert_int_eq(a.state, PEER_NONE);
	ck_assert_int_eq(a.pid, 0);
	turn_until(1);
	ck_assert_uint_eq(ends, 1);
	ck_assert_int_eq(b.state, PEER_SERVING);
	ck_assert_int_eq(b.watch.fd, -1);
	loop_turn(loop, 10);
	ck_assert_uint_eq(changes, 1);
	peer_tell(&b, PEER_SERVING); /* to nobody */
	peer_tell(&a, PEER_SERVING);
	close_pair();
}
END_TEST

UNIT_MAIN("process/peer", each_state_is_told, what_is_no_word_changes_nothing,
	the_end_is_told_once_and_leaves_the_state)
