/*
 * When a provider is asked. The test is the clients, at one end of pairs of sockets, and stands in
 * the place of connect(2).
 */
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

#define CLIENTS 3

static struct house house;
static unsigned connects, active; /* requests that were under way at the first of them */

int
connect(int fd, const struct sockaddr *a, socklen_t len)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "connect");
	if (connects++ == 0)
		active = ROW_GET(house.proxy.row->clients_active);
	return real(fd, a, len);
}

static int
ask(const char *request)
{
	union sock_address a;
	int pair[2];

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 1, &a), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
		0);
	client_accept(&house.clients, pair[0], &a, &admin_listen);
	ck_assert_int_eq(send(pair[1], request, strlen(request), 0), (ssize_t)strlen(request));
	return pair[1];
}

/* Those that come in one turn are all read before the first is sent on. */
START_TEST(requests_of_a_turn_leave_together)
{
	union sock_address a;
	socklen_t len = sizeof a;
	int listener, fds[CLIENTS];

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	listener = sock_listen(&a, false);
	ck_assert_int_eq(getsockname(listener, &a.any, &len), 0);
	house_open(&house, sock_port(&a));
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = ask("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
			     "Content-Length: 32\r\n\r\n{\"model\":\"remote\",\"messages\":[]}");
	house_turn(&house, 0);
	ck_assert_uint_eq(connects, CLIENTS);
	ck_assert_uint_eq(active, CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	for (int i = 0; i < 20; i++)
		house_turn(&house, 1);
	ck_assert_uint_eq(house.clients.n, 0);
	close(listener);
	house_close(&house);
}
END_TEST

UNIT_MAIN("proxy/attempt", requests_of_a_turn_leave_together)
