/*
 * Idle connections: the newest is taken first and the oldest ages out; dead ones are found at
 * checkout; limits; gauges and memory that return to zero.
 */
#include "proxy/pool.h"

#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

static struct house house;
static struct pool *pool;
static int far[10];

static void
on_ready(struct wire *w, unsigned ready)
{
	(void)w;
	(void)ready;
	ck_abort_msg("an idle connection is in no poll set");
}

static struct link *
open_link(int i)
{
	int pair[2];
	struct link *link;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	far[i] = pair[1];
	link = pool_new(pool, pair[0], on_ready);
	ck_assert_ptr_nonnull(link);
	return link;
}

static void
setup(void)
{
	house_open(&house, 1);
	pool = &house.proxy.pools[HOUSE_REMOTE];
	for (int i = 0; i < 10; i++)
		far[i] = -1;
}

static void
ck_gauges(unsigned open, unsigned idle)
{
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), open);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams_idle), idle);
	ck_assert_uint_eq(pool->n_open, open);
	ck_assert_uint_eq(pool->n_idle, idle);
}

static void
teardown(void)
{
	house_tidy(&house);
	ck_gauges(0, 0);
	ck_assert_uint_eq(mem_used(), 0);
	for (int i = 0; i < 10; i++)
		if (far[i] >= 0)
			close(far[i]);
	house_close(&house);
}

static bool
is_closed(int i)
{
	char byte;

	return recv(far[i], &byte, 1, MSG_DONTWAIT) == 0;
}

START_TEST(test_newest_first)
{
	struct link *links[3];

	setup();
	ck_assert_ptr_null(pool_take(pool));
	for (int i = 0; i < 3; i++)
		links[i] = open_link(i);
	ck_gauges(3, 0);
	for (int i = 0; i < 3; i++)
		pool_give(links[i]);
	ck_gauges(3, 3);
	for (int i = 2; i >= 0; i--)
		ck_assert_ptr_eq(pool_take(pool), links[i]);
	ck_assert_ptr_null(pool_take(pool));
	ck_gauges(3, 0);
	ck_assert_uint_eq(house_count(&house, METRIC_UPSTREAM_REUSES), 3);
	for (int i = 0; i < 3; i++)
		pool_drop(links[i], CLOSE_DONE);
	teardown();
}
END_TEST

START_TEST(test_dead_ones_are_found)
{
	struct link *links[3];

	setup();
	for (int i = 0; i < 3; i++)
		links[i] = open_link(i);
	for (int i = 0; i < 3; i++)
		pool_give(links[i]);
	close(far[2]);
	far[2] = -1;
	ck_assert_int_eq(write(far[1], "HTTP/1.1 408", 12), 12); /* nobody asked */
	ck_assert_ptr_eq(pool_take(pool), links[0]);
	ck_gauges(1, 0);
	ck_assert(!is_closed(0));
	pool_give(links[0]);
	teardown();
}
END_TEST

START_TEST(test_age)
{
	struct link *links[3];

	setup();
	for (int i = 0; i < 3; i++)
		links[i] = open_link(i);
	for (int i = 0; i < 3; i++) {
		pool_give(links[i]);
		clock_fake(house.now_ms += 10000, 0);
	}
	clock_fake(house.now_ms += 29999, 0);
	pool_age(pool, false);
	ck_gauges(3, 3);
	clock_fake(house.now_ms += 1, 0);
	pool_age(pool, false);
	ck_gauges(2, 2);
	ck_assert(is_closed(0));
	ck_assert(!is_closed(1));
	ck_assert_ptr_eq(pool_take(pool), links[2]);
	pool_age(pool, true);
	ck_gauges(1, 0);
	pool_drop(links[2], CLOSE_DONE);
	teardown();
}
END_TEST

START_TEST(test_limits)
{
	struct link *links[6];

	setup();
	for (int i = 0; i < 6; i++)
		links[i] = open_link(i);
	for (int i = 0; i < 6; i++) /* four may be idle */
		pool_give(links[i]);
	ck_gauges(4, 4);
	ck_assert(is_closed(5));
	house.providers[HOUSE_REMOTE].connections.max = 4;
	ck_assert(pool_make_room(pool)); /* an idle one goes: the oldest */
	ck_gauges(3, 3);
	ck_assert(is_closed(0));
	ck_assert(!is_closed(1));
	house.providers[HOUSE_REMOTE].connections.max = 1;
	while (pool_take(pool))
		;
	ck_assert(!pool_make_room(pool)); /* those in use stay */
	ck_gauges(3, 0);
	for (int i = 1; i < 4; i++)
		pool_drop(links[i], CLOSE_DONE);
	teardown();
}
END_TEST

START_TEST(test_draining_keeps_none)
{
	struct link *link;

	setup();
	link = open_link(0);
	house.proxy.draining = true;
	pool_give(link);
	ck_gauges(0, 0);
	ck_assert(is_closed(0));
	teardown();
}
END_TEST

START_TEST(test_memory)
{
	int pair[2];
	char byte;

	setup();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	mem_fail_after(1);
	ck_assert_ptr_null(pool_new(pool, pair[0], on_ready));
	mem_fail_after(0);
	ck_assert_int_eq(read(pair[1], &byte, 1), 0); /* it took the descriptor over */
	close(pair[1]);
	teardown();
}
END_TEST

UNIT_MAIN("proxy/pool", test_newest_first, test_dead_ones_are_found, test_age, test_limits,
	test_draining_keeps_none, test_memory)
