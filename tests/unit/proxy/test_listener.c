/*
 * Accepting where memory fails: a listener that finds no room in the loop looks again.
 */
#include "proxy/listener.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

enum { ROOM = 16 }; /* watches of the loop of a house */

static bool refuse;
static unsigned refusals; /* none under valgrind and sanitizers, which have their own realloc */

#ifndef SANITIZED
/* In place of libc's. */
void *
realloc(void *p, size_t size)
{
	static void *(*real)(void *, size_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "realloc");
	if (!refuse)
		return real(p, size);
	refusals++;
	errno = ENOMEM;
	return NULL;
}
#endif

static void
on_ready(struct loop_watch *w, unsigned ready)
{
	(void)w;
	(void)ready;
	ck_abort_msg("nothing comes there");
}

START_TEST(test_no_memory_to_listen)
{
	static struct house house;
	struct loop_watch others[ROOM];
	struct listeners listeners;
	struct loop_timer timer = { 0 };
	union sock_address a;
	socklen_t len = sizeof a;
	int pair[2], client, fd;
	bool done;

	house_open(&house, 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int i = 0; i < ROOM; i++) {
		others[i] = (struct loop_watch){ .fd = dup(pair[0]), .on_ready = on_ready };
		ck_assert_int_eq(loop_add(house.proxy.loop, &others[i], WANT_READ), 0);
	}
	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	fd = sock_listen(&a, true);
	ck_assert_int_eq(getsockname(fd, &a.any, &len), 0);
	listeners_open(&listeners, &house.proxy, &house.clients, 1);
	loop_timer_set(house.proxy.loop, &timer, 1); /* a running worker has room for timers */
	loop_timer_clear(house.proxy.loop, &timer);
	refuse = true;
	listeners_add(&listeners, fd, &plain_listen);
	refuse = false;
	ck_assert_uint_eq(house_count(&house, METRIC_ACCEPT_FAILURES), refusals);
	client = sock_connect(&a, &done);
	ck_assert_int_ge(client, 0);
	for (int i = 0; i < 110; i++)
		house_turn(&house, 0);
	ck_assert_uint_eq(house.clients.n, 1);
	close(client);
	for (int i = 0; i < ROOM; i++) {
		loop_remove(house.proxy.loop, &others[i]);
		close(others[i].fd);
	}
	listeners_close(&listeners);
	listeners_free(&listeners);
	close(pair[0]);
	close(pair[1]);
	house_close(&house);
}
END_TEST

UNIT_MAIN("proxy/listener", test_no_memory_to_listen)
