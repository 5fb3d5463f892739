/*
 * streams: the delay that a router adds to the events of many slow streams.
 *
 *     streams [-n streams] [-i interval_ms] [-s seconds] [-l provider_port] [-r router_port] [-w]
 *
 * One process is both ends: a provider that sends each stream an event every interval (the streams
 * are spread evenly over it), and the clients, which connect to the router, or without -r straight
 * to the provider. An event carries the time at which it was written; the delay is what has passed
 * when the client reads it, on the same clock. -w prints "open" when all streams run and waits for
 * a line on standard input before it ends, so that memory can be looked at. The result is one line:
 * events, p50, p99 and the largest delay in µs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

static const char request[] =
	"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
	"content-length: 84\r\n\r\n"
	"{\"model\":\"bench\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello world\"}]}";
static const char head[] =
	"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

struct end {
	int fd;
	bool provider, running;
	size_t got;      /* bytes of the request read */
	uint64_t due_us; /* provider: next event */
	char tail[64];   /* client: the end of the last read */
	size_t tail_len;
};

static struct end *ends;
static struct pollfd *polls;
static int n_ends;
static uint32_t *delays;
static size_t n_delays, cap_delays;

static struct sockaddr_in
loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int
listen_on(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void
add_end(int fd, bool provider)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ends[n_ends] = (struct end){ .fd = fd, .provider = provider };
	polls[++n_ends] =
		(struct pollfd){ .fd = fd, .events = POLLIN }; /* polls[0] is the listener */
}

static void
connect_client(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect");
	if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
		die("write");
	add_end(fd, false);
}

/* The provider has a whole request when its body's last byte is there. */
static void
provider_read(struct end *e, uint64_t first_us)
{
	char buf[4096];
	ssize_t n = read(e->fd, buf, sizeof buf);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			e->running = false;
		return;
	}
	if (!e->running && memchr(buf, '}', (size_t)n)) {
		e->running = true;
		e->due_us = first_us;
		if (write(e->fd, head, sizeof head - 1) < 0)
			die("head");
	}
}

static void
provider_send(struct end *e)
{
	char data[256], chunk[300];
	int n = snprintf(data, sizeof data,
		"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\"choices\":[{\"index\":0,"
		"\"delta\":{\"content\":\"t=%020llu\"},\"finish_reason\":null}]}\n\n",
		(unsigned long long)now_us());

	n = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)n, data);
	if (write(e->fd, chunk, (size_t)n) != n)
		e->running = false;
}

static void
take_delays(struct end *e, const char *p, size_t len)
{
	char joined[sizeof e->tail + 65536];
	const char *at = joined, *stop;
	uint64_t now = now_us();

	memcpy(joined, e->tail, e->tail_len);
	memcpy(joined + e->tail_len, p, len);
	len += e->tail_len;
	stop = joined + len;
	while ((at = memmem(at, (size_t)(stop - at), "t=", 2)) && stop - at >= 22) {
		uint64_t sent = strtoull(at + 2, NULL, 10);

		if (n_delays < cap_delays)
			delays[n_delays++] = (uint32_t)(now - sent);
		at += 22;
	}
	e->tail_len = at ? (size_t)(stop - at) : joined[len - 1] == 't' ? 1 : 0;
	memcpy(e->tail, stop - e->tail_len, e->tail_len);
}

static void
client_read(struct end *e)
{
	static char buf[65536];
	ssize_t n = read(e->fd, buf, sizeof buf);

	if (n > 0)
		take_delays(e, buf, (size_t)n);
	else if (n == 0)
		e->running = false;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int running;

/* Send what is due; microseconds until the next. */
static uint64_t
send_due(uint64_t interval_us)
{
	uint64_t now = now_us(), next = now + interval_us;

	running = 0;
	for (int i = 0; i < n_ends; i++) {
		struct end *e = &ends[i];

		if (!e->provider || !e->running)
			continue;
		running++;
		if (e->due_us <= now) {
			provider_send(e);
			e->due_us += interval_us;
		}
		if (e->due_us < next)
			next = e->due_us;
	}
	return next > now ? next - now : 0;
}

static void
turn(uint64_t wait_us, uint64_t interval_us, int streams)
{
	struct timespec ts = { .tv_nsec = (long)(wait_us % 1000000) * 1000 };
	int found = ppoll(polls, (nfds_t)n_ends + 1, &ts, NULL), fd;

	if (polls[0].revents)
		while ((fd = accept(polls[0].fd, NULL, NULL)) >= 0)
			add_end(fd, true);
	for (int i = 0; i < n_ends && found > 0; i++) {
		if (!polls[i + 1].revents)
			continue;
		if (ends[i].provider)
			provider_read(&ends[i],
				now_us() +
					interval_us * (uint64_t)(i % streams) / (uint64_t)streams);
		else
			client_read(&ends[i]);
	}
}

static void
report(void)
{
	if (n_delays == 0) {
		printf("no event came\n");
		exit(1);
	}
	qsort(delays, n_delays, sizeof *delays, by_size);
	printf("%zu events: p50 %u us, p99 %u us, max %u us\n", n_delays, delays[n_delays / 2],
		delays[n_delays * 99 / 100], delays[n_delays - 1]);
}

int
main(int argc, char **argv)
{
	int streams = 500, interval_ms = 100, seconds = 5, port = 18999, router = 0, option;
	bool wait = false;
	uint64_t interval_us, end_us;

	while ((option = getopt(argc, argv, "n:i:s:l:r:w")) != -1) {
		int value = optarg ? (int)strtol(optarg, NULL, 10) : 0;

		switch (option) {
		case 'n':
			streams = value;
			break;
		case 'i':
			interval_ms = value;
			break;
		case 's':
			seconds = value;
			break;
		case 'l':
			port = value;
			break;
		case 'r':
			router = value;
			break;
		case 'w':
			wait = true;
			break;
		default:
			return 64;
		}
	}
	interval_us = (uint64_t)interval_ms * 1000;
	ends = calloc((size_t)streams * 4, sizeof *ends);
	polls = calloc((size_t)streams * 4 + 1, sizeof *polls);
	cap_delays = (size_t)streams * (size_t)seconds * 2000 / (size_t)interval_ms + 1000;
	delays = calloc(cap_delays, sizeof *delays);
	polls[0] = (struct pollfd){ .fd = listen_on(port), .events = POLLIN };
	for (int i = 0; i < streams; i++) {
		connect_client(router ? router : port);
		turn(0, interval_us, streams);
	}
	while (running < streams)
		turn(send_due(interval_us), interval_us, streams);
	n_delays = 0;
	end_us = now_us() + (uint64_t)seconds * 1000000;
	while (now_us() < end_us)
		turn(send_due(interval_us), interval_us, streams);
	report();
	if (wait) {
		printf("open\n");
		fflush(stdout);
		if (getchar() == EOF)
			return 0;
	}
	return running == streams ? 0 : 1;
}
