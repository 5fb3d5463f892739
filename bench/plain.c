/*
 * plain: plain requests over warm connections, for counting what one costs.
 *
 *     plain [-n requests] [-c connections] [-l provider_port] [-r router_port]
 *
 * One process is both ends: a provider that answers each request with 1 KB of JSON over keep-alive
 * connections, and clients that send the next chat of 1 KB when they have the answer to the last.
 * Without -r the clients connect straight to the provider. The result is one line with the requests
 * done and the time that one took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BODY 1024
#define ENDS_MOST 2048

static char request[2048], reply[2048];
static size_t request_len, reply_len;
static struct pollfd polls[ENDS_MOST + 1];
static bool is_provider[ENDS_MOST + 1];
static int n_polls = 1;
static long to_send, done;

static struct sockaddr_in
loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* A message whose body is BODY bytes of JSON: `before`, filler, `after`. */
static size_t
compose(char *out, size_t size, const char *start, const char *before, const char *after)
{
	size_t filler = BODY - strlen(before) - strlen(after);
	int n = snprintf(out, size,
		"%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", start, BODY,
		before);

	memset(out + n, 'x', filler);
	memcpy(out + n + filler, after, strlen(after));
	return (size_t)n + filler + strlen(after);
}

static void
add(int fd, bool provider)
{
	int on = 1;

	if (n_polls > ENDS_MOST)
		die("too many connections");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	is_provider[n_polls] = provider;
	polls[n_polls++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static void
send_all(int fd, const char *p, size_t len)
{
	if (write(fd, p, len) != (ssize_t)len)
		die("write");
}

static void
send_request(int fd)
{
	if (to_send == 0)
		return;
	to_send--;
	send_all(fd, request, request_len);
}

static void
add_client(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect");
	add(fd, false);
	send_request(fd);
}

/* Messages are far smaller than a socket's buffer and come in one piece; their bodies end in a
 * brace of their own kind. */
static void
serve(int i)
{
	static char buf[65536];
	int fd = polls[i].fd;
	ssize_t n = read(fd, buf, sizeof buf);

	if (n <= 0) {
		polls[i].fd = -1;
		if (!is_provider[i])
			die("a client's connection ended");
		return;
	}
	if (n < BODY || buf[n - 1] != '}')
		die("a message came in pieces");
	if (is_provider[i]) {
		send_all(fd, reply, reply_len);
		return;
	}
	if (memcmp(buf, "HTTP/1.1 200", 12) != 0)
		die("not a 200");
	done++;
	send_request(fd);
}

int
main(int argc, char **argv)
{
	int connections = 1, port = 18998, router = 0, option, listener, on = 1, fd;
	long requests = 1000;
	struct sockaddr_in a;
	struct timespec from, to;
	double us;

	while ((option = getopt(argc, argv, "n:c:l:r:")) != -1) {
		long value = optarg ? strtol(optarg, NULL, 10) : 0;

		switch (option) {
		case 'n':
			requests = value;
			break;
		case 'c':
			connections = (int)value;
			break;
		case 'l':
			port = (int)value;
			break;
		case 'r':
			router = (int)value;
			break;
		default:
			return 64;
		}
	}
	request_len = compose(request, sizeof request,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nuser-agent: bench/1\r\naccept: application/json\r\n"
		"authorization: Bearer sk-bench\r\n",
		"{\"model\":\"bench\",\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}");
	reply_len = compose(reply, sizeof reply,
		"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
		"{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"bench\",\"choices\":[{\"index\":0,"
		"\"message\":{\"role\":\"assistant\",\"content\":\"",
		"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}");
	a = loopback(port);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 1024) < 0)
		die("listen");
	polls[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
	to_send = requests;
	for (int i = 0; i < connections; i++)
		add_client(router ? router : port);
	clock_gettime(CLOCK_MONOTONIC, &from);
	while (done < requests) {
		if (poll(polls, (nfds_t)n_polls, 10000) <= 0)
			die("nothing came for 10 s");
		if (polls[0].revents)
			while ((fd = accept(listener, NULL, NULL)) >= 0)
				add(fd, true);
		for (int i = n_polls - 1; i > 0; i--)
			if (polls[i].revents)
				serve(i);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	us = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
	printf("%ld requests: %.1f us each\n", done, us / (double)done);
	return 0;
}
