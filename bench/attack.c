/*
 * attack: what honest clients notice while others do harm.
 *
 *     attack [-r router_port] [-m mode] [-a attacked_port] [-n held] [-c a_second]
 *            [-q honest_a_second] [-s seconds]
 *
 * The program itself is the honest clients: chats for the echo provider at a fixed rate whatever
 * becomes of them, every second one on a connection of its own, the others on warm ones. The time
 * of each runs from when it was due, so a router that stops for a while is charged for all that
 * waited. A child process does the harm meanwhile: it opens connections to the attacked port (the
 * router's unless given), so many a second, until it holds so many, and then instead of the oldest.
 *
 *     mode     held  a second  what is sent on each
 *     quiet       0         0  there is none
 *     heads    2000      2000  the beginning of a head, then a byte every 5 s
 *     bodies   2000      2000  a head and the beginning of its body, then a byte every 5 s
 *     bombs     200       500  32 KB of header fields, too many
 *     random    500      1000  1 KB of random bytes
 *     connects  100      2000  nothing, and it is reset soon
 *     silent   2000      2000  nothing
 *     hellos   1000      2000  a ClientHello of TLS 1.3 that nothing follows
 *
 * The result is one line: mode, honest requests, errors, p50, p99 and the most, in microseconds,
 * and the connections that the attack made.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define FLIGHT_MOST 4096
#define REPLY_MOST 4096
#define GIVE_UP_US 10000000
#define DRIP_US 5000000

/* A connection under way to a port of this machine, from 127.0.0.`from`; -1: it failed at once. */
static int
connect_to(int port, unsigned from)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + from);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("bind");
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- the harm ---- */

struct mode {
	const char *name;
	unsigned held, a_second;
	size_t (*compose)(char *out, size_t size); /* what is sent on each; NULL: nothing */
	char drip;                                 /* the byte that follows now and then; 0: none */
};

static size_t
compose_head(char *out, size_t size)
{
	return (size_t)snprintf(out, size,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nx-slow: ");
}

static size_t
compose_body(char *out, size_t size)
{
	return (size_t)snprintf(out, size,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n"
		"content-length: 1000000\r\n\r\n{");
}

static size_t
compose_bomb(char *out, size_t size)
{
	size_t len = compose_head(out, size);

	while (len + 4 < size) {
		memcpy(out + len, "\r\na:", 4);
		len += 4;
	}
	return len;
}

static size_t
compose_random(char *out, size_t size)
{
	size_t len = size < 1024 ? size : 1024;

	for (size_t i = 0; i < len; i++)
		out[i] = (char)(rand() >> 7);
	return len;
}

static size_t
put(char *out, size_t at, const void *bytes, size_t len)
{
	memcpy(out + at, bytes, len);
	return at + len;
}

static void
put_length(char *out, size_t at, size_t len)
{
	out[at] = (char)(len >> 8);
	out[at + 1] = (char)len;
}

/* RFC 8446 4.1.2: a key share is in it, so that the router has all that it needs for its part. */
static size_t
compose_hello(char *out, size_t size)
{
	static const unsigned char front[] = { 0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3 };
	static const unsigned char middle[] = { 0, /* session */
		0, 4, 0x13, 1, 0xc0, 0x2f,         /* suites */
		1, 0,                              /* compression */
		0, 0 };
	static const unsigned char extensions[] = {
		0, 10, 0, 4, 0, 2, 0, 29,                   /* groups: x25519 */
		0, 13, 0, 10, 0, 8, 4, 3, 8, 4, 4, 1, 2, 1, /* signatures */
		0, 43, 0, 3, 2, 3, 4,                       /* versions: 1.3 */
		0, 51, 0, 38, 0, 36, 0, 29, 0, 32           /* key share */
	};
	char key[32];
	size_t at, at_extensions;

	(void)size;
	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (char)(rand() >> 7);
	at = put(out, 0, front, sizeof front);
	at = put(out, at, key, sizeof key); /* the random */
	at = put(out, at, middle, sizeof middle);
	at_extensions = at;
	at = put(out, at, extensions, sizeof extensions);
	at = put(out, at, key, sizeof key);
	put_length(out, 3, at - 5);
	put_length(out, 7, at - 9);
	put_length(out, at_extensions - 2, at - at_extensions);
	return at;
}

static const struct mode modes[] = {
	{ "quiet", 0, 0, NULL, 0 },
	{ "heads", 2000, 2000, compose_head, 'x' },
	{ "bodies", 2000, 2000, compose_body, ' ' },
	{ "bombs", 200, 500, compose_bomb, 0 },
	{ "random", 500, 1000, compose_random, 0 },
	{ "connects", 100, 2000, NULL, 0 },
	{ "silent", 2000, 2000, NULL, 0 },
	{ "hellos", 1000, 2000, compose_hello, 0 },
};

struct held {
	int fd;
	bool sent;
	uint64_t drip_us;
};

static void
release(struct held *h)
{
	struct linger at_once = { .l_onoff = 1 }; /* no port is to wait for its end */

	if (h->fd < 0)
		return;
	setsockopt(h->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(h->fd);
	h->fd = -1;
}

/* It is connected, or the router says something, or has closed it. */
static void
held_ready(int poller, struct held *h, size_t slot, const char *bytes, size_t len)
{
	struct epoll_event want = { .events = EPOLLIN, .data.u64 = slot };
	char thrown[4096];
	ssize_t n;

	if (h->fd < 0)
		return;
	if (!h->sent) {
		h->sent = true;
		if (len > 0 && send(h->fd, bytes, len, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
			release(h);
			return;
		}
		epoll_ctl(poller, EPOLL_CTL_MOD, h->fd, &want);
	}
	n = recv(h->fd, thrown, sizeof thrown, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		release(h);
}

static void
drip(struct held *all, size_t n, char byte, uint64_t now)
{
	for (size_t i = 0; i < n; i++) {
		if (all[i].fd < 0 || !all[i].sent || all[i].drip_us > now)
			continue;
		all[i].drip_us = now + DRIP_US;
		if (send(all[i].fd, &byte, 1, MSG_NOSIGNAL) < 0)
			release(&all[i]);
	}
}

/* Attack `port` until killed. */
static void
attack(const struct mode *m, int port, uint64_t *made)
{
	static char bytes[32768 + 64];
	struct held *all = malloc(m->held * sizeof *all);
	int poller = epoll_create1(0);
	uint64_t began = now_us(), opened = 0;
	size_t slot = 0, n = m->held;

	if (!all || poller < 0)
		die("attack");
	for (size_t i = 0; i < n; i++)
		all[i].fd = -1;
	for (;;) {
		struct epoll_event ready[256];
		int found = epoll_wait(poller, ready, 256, 1);
		uint64_t now = now_us(), due = (now - began) * m->a_second / 1000000;
		size_t len = m->compose ? m->compose(bytes, sizeof bytes) : 0;

		for (int i = 0; i < found; i++)
			held_ready(poller, &all[ready[i].data.u64], ready[i].data.u64, bytes, len);
		for (; opened < due; opened++, slot = (slot + 1) % n) {
			struct held *h = &all[slot];
			struct epoll_event want = { .events = EPOLLOUT, .data.u64 = slot };

			if (m->drip && h->fd >= 0)
				continue; /* such are held for as long as they may be */
			release(h);
			*h = (struct held){ .fd = connect_to(port, 1 + (unsigned)slot % 200),
				.drip_us = now + DRIP_US };
			*made += h->fd >= 0;
			if (h->fd >= 0)
				epoll_ctl(poller, EPOLL_CTL_ADD, h->fd, &want);
		}
		if (m->drip)
			drip(all, n, m->drip, now);
	}
}

/* ---- the honest clients ---- */

struct ask {
	int fd;
	bool sent, keep;
	uint64_t due_us; /* 0: an idle connection */
	size_t got;
	char reply[REPLY_MOST];
};

static struct ask asks[FLIGHT_MOST];
static struct pollfd polls[FLIGHT_MOST];
static size_t n_asks;
static uint32_t *took;
static size_t done, errors;

static void
ask_end(struct ask *a, bool right)
{
	uint64_t us = now_us() - a->due_us;

	if (right)
		took[done++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	else
		errors++;
	a->due_us = 0;
	if (right && a->keep)
		return;
	close(a->fd);
	a->fd = -1;
}

static void
ask_send(struct ask *a)
{
	static const char body[] =
		"{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":"
		"\"one two three\"}]}";
	char text[512];
	int len = snprintf(text, sizeof text,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: "
		"application/json\r\n%scontent-length: %zu\r\n\r\n%s",
		a->keep ? "" : "connection: close\r\n", sizeof body - 1, body);

	a->sent = true;
	a->got = 0;
	if (send(a->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		ask_end(a, false);
}

/* The next request is due: on a warm connection that is free, or on a new one. */
static void
ask_begin(int port, bool keep, uint64_t due)
{
	struct ask *free_slot = NULL;

	for (size_t i = 0; i < n_asks; i++) {
		if (asks[i].fd < 0) {
			free_slot = &asks[i];
		} else if (keep && asks[i].due_us == 0) {
			asks[i].due_us = due;
			ask_send(&asks[i]);
			return;
		}
	}
	if (!free_slot && n_asks < FLIGHT_MOST)
		free_slot = &asks[n_asks++];
	if (!free_slot) {
		errors++;
		return;
	}
	*free_slot = (struct ask){ .fd = connect_to(port, 0), .keep = keep, .due_us = due };
	if (free_slot->fd < 0)
		errors++;
}

static bool
is_whole(struct ask *a)
{
	char *end, *length;

	a->reply[a->got] = '\0';
	end = strstr(a->reply, "\r\n\r\n");
	length = strstr(a->reply, "content-length: ");
	return end && length &&
		a->got >= (size_t)(end + 4 - a->reply) + strtoul(length + 16, NULL, 10);
}

static void
ask_ready(struct ask *a)
{
	ssize_t n;

	if (!a->sent) {
		ask_send(a);
		return;
	}
	n = recv(a->fd, a->reply + a->got, sizeof a->reply - 1 - a->got, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (a->due_us == 0) { /* an idle one was closed, as it may be */
		close(a->fd);
		a->fd = -1;
		return;
	}
	a->got += n > 0 ? (size_t)n : 0;
	if (n <= 0 || is_whole(a))
		ask_end(a, n > 0 && strncmp(a->reply, "HTTP/1.1 200", 12) == 0);
}

static void
turn(uint64_t until)
{
	uint64_t now = now_us();
	uint64_t wait_us = until > now ? until - now : 0;
	struct timespec wait = { .tv_nsec = wait_us < 10000 ? (long)wait_us * 1000 : 10000000 };

	for (size_t i = 0; i < n_asks; i++)
		polls[i] = (struct pollfd){ .fd = asks[i].fd,
			.events = asks[i].fd >= 0 && !asks[i].sent ? POLLOUT : POLLIN };
	if (ppoll(polls, (nfds_t)n_asks, &wait, NULL) < 0)
		die("poll");
	now = now_us();
	for (size_t i = 0; i < n_asks; i++) {
		if (asks[i].fd >= 0 && polls[i].revents)
			ask_ready(&asks[i]);
		if (asks[i].fd >= 0 && asks[i].due_us > 0 && now > asks[i].due_us + GIVE_UP_US)
			ask_end(&asks[i], false);
	}
}

static void
honest(int port, unsigned a_second, unsigned seconds)
{
	uint64_t began = now_us() + 500000; /* by then the attack is on */
	size_t all = (size_t)a_second * seconds, begun = 0;

	took = calloc(all + 1, sizeof *took);
	if (!took)
		die("memory");
	while (done + errors < all) {
		uint64_t due = began + begun * 1000000 / a_second;

		for (; begun < all && due <= now_us(); due = began + begun * 1000000 / a_second)
			ask_begin(port, begun++ % 2 == 0, due);
		turn(begun < all ? due : UINT64_MAX);
	}
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t
percentile(unsigned percent)
{
	return done > 0 ? took[(done - 1) * percent / 100] : 0;
}

int
main(int argc, char **argv)
{
	const char *name = "quiet";
	int port = 0, attacked = 0, option;
	unsigned held = 0, a_second = 0, honest_a_second = 200, seconds = 10;
	uint64_t *made =
		mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mode m = { NULL, 0, 0, NULL, 0 };
	pid_t child = 0;

	while ((option = getopt(argc, argv, "r:m:a:n:c:q:s:")) != -1) {
		unsigned value = (unsigned)strtoul(optarg ? optarg : "", NULL, 10);

		switch (option) {
		case 'r':
			port = (int)value;
			break;
		case 'm':
			name = optarg;
			break;
		case 'a':
			attacked = (int)value;
			break;
		case 'n':
			held = value;
			break;
		case 'c':
			a_second = value;
			break;
		case 'q':
			honest_a_second = value;
			break;
		case 's':
			seconds = value;
			break;
		default:
			return 64;
		}
	}
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(modes[i].name, name) == 0)
			m = modes[i];
	if (!m.name || port == 0 || honest_a_second == 0 || made == MAP_FAILED)
		return 64;
	m.held = held ? held : m.held;
	m.a_second = a_second ? a_second : m.a_second;
	if (m.held > 0 && (child = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attack(&m, attacked ? attacked : port, made);
	}
	honest(port, honest_a_second, seconds);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	qsort(took, done, sizeof *took, compare);
	printf("%s %zu %zu %u %u %u %llu\n", m.name, done, errors, percentile(50), percentile(99),
		percentile(100), (unsigned long long)*made);
	return 0;
}
