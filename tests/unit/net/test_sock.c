/*
 * Addresses as text and back, and sockets on loopback: listen, accept, connect, refuse, reset,
 * and a descriptor passed over a unix socket.
 */
#include "net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

START_TEST(test_text)
{
	static const struct {
		struct str in;
		const char *out; /* NULL: refused */
		int family;
		bool loopback;
	} cases[] = {
		{ STR_INIT("127.0.0.1"), "127.0.0.1", AF_INET, true },
		{ STR_INIT("127.255.0.9"), "127.255.0.9", AF_INET, true },
		{ STR_INIT("128.0.0.1"), "128.0.0.1", AF_INET, false },
		{ STR_INIT("0.0.0.0"), "0.0.0.0", AF_INET, false },
		{ STR_INIT("::1"), "::1", AF_INET6, true },
		{ STR_INIT("[::1]"), "::1", AF_INET6, true },
		{ STR_INIT("::"), "::", AF_INET6, false },
		{ STR_INIT("2001:DB8::0:1"), "2001:db8::1", AF_INET6, false },
		{ STR_INIT("::ffff:127.0.0.1"), "127.0.0.1", AF_INET6, true },
		{ STR_INIT("::ffff:10.0.0.1"), "10.0.0.1", AF_INET6, false },
		{ STR_INIT(""), NULL, 0, false },
		{ STR_INIT("[]"), NULL, 0, false },
		{ STR_INIT("[::1"), NULL, 0, false },
		{ STR_INIT("localhost"), NULL, 0, false },
		{ STR_INIT("127.0.0.1 "), NULL, 0, false },
		{ STR_INIT("127.1"), NULL, 0, false },
		{ STR_INIT("1.2.3.256"), NULL, 0, false },
		{ STR_INIT("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"),
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", AF_INET6, false },
		{ STR_INIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"), NULL, 0, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		union sock_address a, b;
		char text[SOCK_TEXT];
		int result = sock_parse(cases[i].in, 8443, &a);

		ck_assert_int_eq(result, cases[i].out ? 0 : -1);
		if (result < 0)
			continue;
		ck_assert_int_eq(a.any.sa_family, cases[i].family);
		ck_assert_uint_eq(sock_port(&a), 8443);
		ck_assert_int_eq(sock_is_loopback(&a), cases[i].loopback);
		ck_assert_uint_eq(sock_len(&a),
			cases[i].family == AF_INET ? sizeof a.v4 : sizeof a.v6);
		sock_text(&a, text);
		ck_assert_str_eq(text, cases[i].out);
		ck_assert_int_eq(sock_parse(cases[i].in, 8443, &b), 0);
		ck_assert(sock_equal(&a, &b));
		ck_assert_int_eq(sock_parse(cases[i].in, 8444, &b), 0);
		ck_assert(!sock_equal(&a, &b));
	}
}
END_TEST

static void
wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	ck_assert_int_eq(poll(&p, 1, 5000), 1);
}

static void
ck_flags(int fd)
{
	int on = 0;
	socklen_t len = sizeof on;

	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	ck_assert_int_eq(on, 1);
}

/* A listener on any free port of an address; its own address in *a. */
static int
listen_on(const char *host, union sock_address *a)
{
	socklen_t len = sizeof *a;
	int fd;

	ck_assert_int_eq(sock_parse(str_of(host), 0, a), 0);
	fd = sock_listen(a, true);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, &a->any, &len), 0);
	return fd;
}

static void
connect_pair(const char *host, int out[2])
{
	union sock_address a, peer;
	int listener = listen_on(host, &a);
	bool done;

	errno = 0;
	ck_assert_int_lt(sock_accept(listener, &peer), 0);
	ck_assert_int_eq(errno, EAGAIN);
	out[0] = sock_connect(&a, &done);
	ck_assert_int_ge(out[0], 0);
	wait_for(out[0], POLLOUT);
	ck_assert_int_eq(sock_error(out[0]), 0);
	wait_for(listener, POLLIN);
	out[1] = sock_accept(listener, &peer);
	ck_assert_int_ge(out[1], 0);
	ck_assert(sock_is_loopback(&peer));
	ck_flags(out[0]);
	ck_flags(out[1]);
	close(listener);
}

START_TEST(test_connect)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };

	for (size_t i = 0; i < 2; i++) {
		int pair[2];
		char byte = 0;

		connect_pair(hosts[i], pair);
		ck_assert_int_eq(write(pair[0], "x", 1), 1);
		wait_for(pair[1], POLLIN);
		ck_assert_int_eq(read(pair[1], &byte, 1), 1);
		ck_assert_int_eq(byte, 'x');
		close(pair[0]);
		close(pair[1]);
	}
}
END_TEST

START_TEST(test_refused)
{
	union sock_address a;
	int fd = listen_on("127.0.0.1", &a);
	bool done;

	errno = 0;
	ck_assert_int_lt(sock_listen(&a, false), 0); /* in use */
	ck_assert_int_eq(errno, EADDRINUSE);
	close(fd);
	fd = sock_connect(&a, &done);
	if (fd < 0) {
		ck_assert_int_eq(errno, ECONNREFUSED);
		return;
	}
	wait_for(fd, POLLOUT);
	ck_assert_int_eq(sock_error(fd), ECONNREFUSED);
	close(fd);
	ck_assert_int_eq(sock_error(fd), EBADF);
}
END_TEST

START_TEST(test_reset)
{
	int pair[2];
	char byte;

	connect_pair("127.0.0.1", pair);
	sock_reset(pair[0]);
	wait_for(pair[1], POLLIN);
	ck_assert_int_eq(read(pair[1], &byte, 1), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(pair[1]);
}
END_TEST

START_TEST(test_pass_a_descriptor)
{
	int pair[2], pipe_ends[2], got = 99;
	char text[8] = "";

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(pipe(pipe_ends), 0);
	errno = 0;
	ck_assert_int_eq(sock_receive_fd(pair[1], text, sizeof text, &got), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(got, -1);
	ck_assert_int_eq(sock_send_fd(pair[0], "abc", 3, pipe_ends[1]), 3);
	ck_assert_int_eq(sock_receive_fd(pair[1], text, sizeof text, &got), 3);
	ck_assert_mem_eq(text, "abc", 3);
	ck_assert_int_ge(got, 0);
	ck_assert_int_ne(fcntl(got, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(write(got, "z", 1), 1);
	ck_assert_int_eq(read(pipe_ends[0], text, 1), 1);
	ck_assert_int_eq(text[0], 'z');
	close(got);
	ck_assert_int_eq(sock_send_fd(pair[0], "d", 1, -1), 1);
	ck_assert_int_eq(sock_receive_fd(pair[1], text, sizeof text, &got), 1);
	ck_assert_int_eq(got, -1);
	close(pair[0]);
	ck_assert_int_eq(sock_receive_fd(pair[1], text, sizeof text, &got), 0);
	close(pair[1]);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}
END_TEST

UNIT_MAIN("net/sock", test_text, test_connect, test_refused, test_reset, test_pass_a_descriptor)
