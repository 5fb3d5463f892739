/*
 * client: load on a contender, of which every reply is checked, and what it cost.
 *
 *     client -p port [-c connections] [-n requests] [-w warm_up_requests]
 *            [-r rate -s seconds]      at a fixed rate, whatever becomes of the requests before
 *            [-H seconds]              hold: one stream on each connection, for so long
 *            [-I idle_connections]     opened beforehand, one request each, then left alone
 *            [-d dialect] [-S] [-e events] [-b body_bytes] [-R reply_bytes] [-k key] [-T] [-C]
 *            [-P contender_pid] [-U upstream_pid] [-t patience_s]
 *
 * Requests are made as fast as answers come, or with -r as the rate says, or with -H none but the
 * first. -S asks for streams; a reply must then have so many stamps (-e; 0: any number) and the
 * dialect's last event, a whole one exactly one stamp, its JSON's last brace, and with -R so many
 * bytes. -T is TLS. -C is a new connection for each request. A connection that the contender closes
 * when it has said so, or between two replies, is made again; one that ends while a reply is owed
 * is an error.
 *
 * Latency is counted from when a request was due (-r) or sent; with -H it is that of events, from
 * their stamps; "p99w" is the median of the p99 of each tenth of a second, if there are some.
 * Processor time and memory of the contender's tree are read when the warm-up has been answered and
 * again at the end. The result is one line of name=value; "cpu", "up" and "gen" are microseconds on
 * a processor for each request, or each event (-H, or -e of more than one).
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "delays.h"
#include "net.h"
#include "tree.h"

#define TAIL 8
#define HEAD_MOST 16384
#define OPENING_MOST 128 /* connections that are owed their first answer, when many are opened */

enum state { IDLE, HEAD, BODY, SIZE, DATA, AFTER_DATA, TRAILER };

struct conn {
	int fd;
	SSL *tls;
	enum state state;
	bool close, hung, aside, opened, fresh;
	unsigned events, digits; /* stamps seen; digits of one still to come */
	size_t sent, left, got;  /* of the request; of the body or chunk; of the reply */
	uint64_t due_ns, stamp;
	char tail[TAIL]; /* the last bytes of the reply */
	size_t held_len;
	char *held; /* of a head that came in parts */
	struct conn *next;
};

static struct {
	int port, connections, idle, patience_s;
	long requests, warm;
	double rate, seconds, hold;
	bool anthropic, stream, tls, closing;
	unsigned events;
	size_t body, reply;
	const char *key;
	pid_t contender, upstream;
} opt = { .connections = 1, .requests = 1000, .patience_s = 20, .events = 1, .body = 1024 };

static char *request;
static size_t request_len, request_body;
static SSL_CTX *tls;
static int epoll_fd;
static struct conn **conns, *rested, **rested_end = &rested;
static int n_conns, owed, opening, opened;
static long to_start, answered, errors, remade;
static uint64_t events_seen, heard_ns;
static bool measuring, ending, lone; /* lone: who has answered rests, another sends */
static const char *last_tail;

static void ask(struct conn *c);

/* ---- what is told ---- */

static void
took(uint64_t ns)
{
	if (measuring)
		delays_add(ns, heard_ns);
}

static void
complain(const struct conn *c, const char *what)
{
	if (errors < 3)
		fprintf(stderr, "client: %s (state %d, %u events, %zu bytes of the reply)\n", what,
			c ? (int)c->state : -1, c ? c->events : 0, c ? c->got : 0);
	errors++;
}

/* ---- connections ---- */

static void
conn_connect(struct conn *c)
{
	struct sockaddr_in a = loopback(opt.port);

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	net_prepare(c->fd);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)
		die("connect");
	if (tls) {
		c->tls = SSL_new(tls);
		SSL_set_fd(c->tls, c->fd);
		SSL_set_connect_state(c->tls);
	}
	c->state = IDLE;
	c->close = c->hung = false;
	c->fresh = true;
	net_watch(epoll_fd, c->fd, c);
}

static void
conn_shut(struct conn *c)
{
	SSL_free(c->tls);
	c->tls = NULL;
	close(c->fd);
	c->fd = -1;
}

static struct conn *
conn_new(void)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		die("calloc");
	conns[n_conns++] = c;
	conn_connect(c);
	return c;
}

static void
rest(struct conn *c)
{
	c->next = NULL;
	*rested_end = c;
	rested_end = &c->next;
}

/* One that rests and is connected, or NULL. */
static struct conn *
take_rested(void)
{
	struct conn *c = rested;

	if (!c)
		return NULL;
	rested = c->next;
	if (!rested)
		rested_end = &rested;
	if (c->fd < 0)
		conn_connect(c);
	return c;
}

/* The reply is there, or is lost: what the connection does next. */
static void
go_on(struct conn *c)
{
	owed--;
	if (!c->opened) {
		c->opened = true;
		opening--;
	}
	if ((c->close || c->hung || opt.closing) && c->fd >= 0)
		conn_shut(c);
	c->state = IDLE;
	if (c->aside || ending)
		return;
	if (lone || to_start == 0) {
		rest(c);
		return;
	}
	to_start--;
	if (c->fd < 0)
		conn_connect(c);
	ask(c);
}

static void
fail(struct conn *c, const char *what)
{
	complain(c, what);
	conn_shut(c);
	go_on(c);
}

/* ---- asking ---- */

static void
compose(void)
{
	char start[256], head[1024];
	int len = snprintf(start, sizeof start,
		"{\"model\":\"bench\",%s%s\"messages\":[{\"role\":\"user\",\"content\":\"",
		opt.anthropic ? "\"max_tokens\":100," : "", opt.stream ? "\"stream\":true," : "");
	size_t filler = opt.body > (size_t)len + 4 ? opt.body - (size_t)len - 4 : 16;

	request_body = (size_t)len + filler + 4;
	len = snprintf(head, sizeof head,
		"POST %s HTTP/1.1\r\nhost: bench\r\nuser-agent: bench/1\r\naccept: application/json\r\n"
		"%s%s%s%scontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
		opt.anthropic ? "/v1/messages" : "/v1/chat/completions",
		opt.closing ? "connection: close\r\n" : "", opt.key ? "authorization: Bearer " : "",
		opt.key ? opt.key : "", opt.key ? "\r\n" : "", request_body);
	request_len = (size_t)len + request_body;
	request = malloc(request_len + 1);
	if (!request)
		die("malloc");
	len = snprintf(request, request_len + 1, "%s%s", head, start);
	for (size_t i = 0; i < filler; i++)
		request[(size_t)len + i] = "the quick brown fox jumps over a lazy dog "[i % 42];
	memcpy(request + request_len - 4, "\"}]}", 4);
	last_tail = !opt.stream ? "}" : opt.anthropic ? "stop\"}\n\n" : "[DONE]\n\n";
}

static void
push(struct conn *c)
{
	while (c->sent < request_len) {
		ssize_t n = net_write(c->fd, c->tls, request + c->sent, request_len - c->sent);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			fail(c, "the request could not be written");
			return;
		}
		c->sent += (size_t)n;
	}
}

static void
ask(struct conn *c)
{
	c->state = HEAD;
	c->sent = c->got = c->left = c->held_len = 0;
	c->events = c->digits = 0;
	owed++;
	if (!c->opened)
		opening++;
	if (!lone)
		c->due_ns = now_ns();
	push(c);
}

/* ---- reading a reply ---- */

static bool
whole(const struct conn *c)
{
	size_t n = strlen(last_tail);

	return memcmp(c->tail + TAIL - n, last_tail, n) == 0 &&
		(opt.events == 0 || c->events == (opt.stream ? opt.events : 1)) &&
		(opt.reply == 0 || opt.stream || c->got == opt.reply);
}

/* The framing says that this was the end. */
static void
finish(struct conn *c)
{
	if (!whole(c)) {
		fail(c, "not the whole reply");
		return;
	}
	if (opt.hold > 0) {
		fail(c, "a stream that should not end");
		return;
	}
	if (c->sent < request_len) {
		fail(c, "a reply before the request was sent");
		return;
	}
	if (!opt.stream || opt.events == 1)
		took(now_ns() - c->due_ns);
	answered++;
	c->fresh = false;
	go_on(c);
}

static void
stamp_done(struct conn *c, uint64_t now)
{
	if (c->events++ == 0 && opt.hold > 0 && !c->opened) {
		c->opened = true;
		opening--;
		opened++;
	}
	events_seen++;
	if (opt.stream && opt.events != 1)
		took(now - c->stamp);
}

/* Look for stamps; nothing else in the text is looked at. */
static void
look(struct conn *c, const char *p, size_t len)
{
	const char *stop = p + len;
	uint64_t now = now_ns();

	if (!opt.stream && c->events > 0)
		return;
	for (;;) {
		while (c->digits > 0 && p < stop) {
			c->stamp = 10 * c->stamp + (uint64_t)(*p++ - '0');
			if (--c->digits == 0)
				stamp_done(c, now);
		}
		p = p < stop ? memchr(p, STAMP_MARK, (size_t)(stop - p)) : NULL;
		if (!p)
			return;
		p++;
		c->digits = STAMP_DIGITS;
		c->stamp = 0;
	}
}

static void
take_content(struct conn *c, const char *p, size_t len)
{
	look(c, p, len);
	c->got += len;
	if (len >= TAIL) {
		memcpy(c->tail, p + len - TAIL, TAIL);
		return;
	}
	memmove(c->tail, c->tail + len, TAIL - len);
	memcpy(c->tail + TAIL - len, p, len);
}

/* The lines of a head that matter; false when it is not that of an answer. */
static bool
take_lines(struct conn *c, const char *p, const char *stop)
{
	bool framed = false;

	if (stop - p < 12 || memcmp(p, "HTTP/1.1 200", 12) != 0)
		return false;
	while ((p = memchr(p, '\n', (size_t)(stop - p))) && ++p < stop) {
		if (strncasecmp(p, "content-length:", 15) == 0) {
			c->left = strtoul(p + 15, NULL, 10);
			c->state = BODY;
			framed = true;
		} else if (strncasecmp(p, "transfer-encoding: chunked", 26) == 0) {
			c->left = 0;
			c->state = SIZE;
			framed = true;
		} else if (strncasecmp(p, "connection: close", 17) == 0) {
			c->close = true;
		}
	}
	return framed;
}

/* Bytes of p that were of the head; 0 when the reply failed. */
static size_t
take_head(struct conn *c, const char *p, size_t len)
{
	const char *at = p, *stop;
	size_t before = c->held_len, all = len;

	if (before > 0 || !memmem(p, len, "\r\n\r\n", 4)) {
		if (!c->held)
			c->held = malloc(HEAD_MOST);
		if (!c->held || before + len > HEAD_MOST) {
			fail(c, "too long a head");
			return 0;
		}
		memcpy(c->held + before, p, len);
		c->held_len = all = before + len;
		at = c->held;
	}
	stop = memmem(at, all, "\r\n\r\n", 4);
	if (!stop)
		return len;
	if (!take_lines(c, at, stop + 2)) {
		if (errors < 3)
			fprintf(stderr, "client: %.*s\n", (int)(all < 400 ? all : 400), at);
		fail(c, "not a 200");
		return 0;
	}
	c->held_len = 0;
	return (size_t)(stop + 4 - at) - before;
}

static int
hex(char ch)
{
	return ch >= '0' && ch <= '9'                      ? ch - '0'
		: (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f' ? (ch | 0x20) - 'a' + 10
							   : -1;
}

/* A byte of the framing between chunks; false when the reply has ended. */
static bool
take_framing(struct conn *c, char ch)
{
	int digit = hex(ch);

	if (c->state == SIZE && digit >= 0) {
		c->left = 16 * c->left + (size_t)digit;
	} else if (ch == '\n') {
		if (c->state == TRAILER) {
			finish(c);
			return false;
		}
		c->state = c->state == AFTER_DATA ? SIZE : c->left > 0 ? DATA : TRAILER;
	} else if (ch != '\r') {
		fail(c, "not a chunk");
		return false;
	}
	return true;
}

/* False when the reply has ended. */
static bool
take(struct conn *c, const char *p, size_t len)
{
	while (len > 0) {
		size_t n = 1;

		if (c->state == HEAD) {
			n = take_head(c, p, len);
			if (n == 0)
				return false;
		} else if (c->state == BODY || c->state == DATA) {
			n = len < c->left ? len : c->left;
			take_content(c, p, n);
			c->left -= n;
			if (c->left == 0 && c->state == BODY) {
				finish(c);
				return false;
			}
			if (c->left == 0)
				c->state = AFTER_DATA;
		} else if (!take_framing(c, *p)) {
			return false;
		}
		p += n;
		len -= n;
	}
	return true;
}

/* ---- events ---- */

static void
conn_ended(struct conn *c)
{
	if (c->state == IDLE) {
		remade++;
		conn_shut(c);
		return;
	}
	fail(c,
		c->got > 0 || c->held_len > 0 ? "the connection ended within a reply"
			: c->fresh            ? "a new connection ended without a reply"
					      : "a kept connection ended without a reply");
}

static void
conn_read(struct conn *c)
{
	static char buf[65536];
	ssize_t n;

	for (;;) {
		/* The inside of a whole reply, when its stamp has been seen, is not looked at. */
		bool skip =
			c->state == BODY && !tls && !opt.stream && c->events > 0 && c->left > TAIL;

		if (skip)
			n = recv(c->fd, NULL, c->left - TAIL, MSG_TRUNC);
		else
			n = net_read(c->fd, c->tls, buf, sizeof buf);
		if (n < 0 && errno == EAGAIN)
			return;
		heard_ns = now_ns();
		if (n <= 0) {
			conn_ended(c);
			return;
		}
		if (skip) {
			c->left -= (size_t)n;
			c->got += (size_t)n;
			continue;
		}
		if (c->state == IDLE) {
			complain(c, "bytes that nobody asked for");
			conn_shut(c);
			return;
		}
		/* What follows a reply on this connection is told again; an end that has been
		 * told is not. */
		if (!take(c, buf, (size_t)n) || (!c->tls && !c->hung && n < (ssize_t)sizeof buf))
			return;
	}
}

static void
turn(uint64_t until_ns)
{
	struct epoll_event events[256];
	int n = net_wait(epoll_fd, events, 256, until_ns);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		c->hung = c->hung || (events[i].events & EPOLLRDHUP);
		if (c->fd >= 0 && c->state != IDLE && c->sent < request_len)
			push(c);
		if (c->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
			conn_read(c);
	}
	if (owed == 0)
		heard_ns = now_ns();
	if (now_ns() - heard_ns > (uint64_t)opt.patience_s * 1000000000) {
		fprintf(stderr, "client: nothing came for %d s; %d replies are owed\n",
			opt.patience_s, owed);
		errors += owed;
		owed = 0;
		ending = true;
	}
}

static uint64_t
soon(void)
{
	return now_ns() + 100000000;
}

/* ---- kinds of load ---- */

/* n requests on connections that exist or are made, so many at a time. */
static void
run_closed(long n, int connections)
{
	int most = connections > OPENING_MOST ? OPENING_MOST : connections, made = 0;
	struct conn *c;

	to_start = n;
	while (!ending && (to_start > 0 || owed > 0)) {
		while (to_start > 0 && opening < most && made < connections) {
			c = take_rested();
			if (!c)
				c = conn_new();
			made++;
			to_start--;
			ask(c);
		}
		turn(soon());
	}
}

/* Connections with one request each, that rest then. */
static void
run_aside(int connections)
{
	int before = n_conns;

	while (!ending && (n_conns - before < connections || owed > 0)) {
		while (n_conns - before < connections && opening < OPENING_MOST) {
			struct conn *c = conn_new();

			c->aside = true;
			ask(c);
		}
		turn(soon());
	}
}

/* Request i is due at i/rate. One that no connection is free for waits for one. */
static void
run_open(double rate, double seconds)
{
	uint64_t began = now_ns(), n = 0, most = (uint64_t)(rate * seconds);

	lone = true;
	while (!ending && (n < most || owed > 0)) {
		uint64_t due = began + (uint64_t)((double)n * 1e9 / rate);

		while (n < most && due <= now_ns() && (rested || n_conns < opt.connections)) {
			struct conn *c = take_rested();

			if (!c)
				c = conn_new();
			c->due_ns = due;
			ask(c);
			due = began + (uint64_t)((double)++n * 1e9 / rate);
		}
		turn(n == most || (!rested && n_conns >= opt.connections) ? soon() : due);
	}
	lone = false;
}

/* Until there are so many streams, one on each connection. */
static void
open_streams(int connections)
{
	while (!ending && opened < connections) {
		while (n_conns < connections && opening < OPENING_MOST)
			ask(conn_new());
		turn(soon());
		if (errors > 100)
			break;
	}
}

static void
run_for(double seconds)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

	while (!ending && now_ns() < end)
		turn(end);
}

/* ---- measuring ---- */

struct sample {
	uint64_t at_ns, cpu_ns, upstream_ns, own_ns, events;
	long answered;
};

static struct sample
take_sample(void)
{
	struct sample s = { .events = events_seen, .answered = answered };
	struct timespec t;

	if (opt.contender)
		s.cpu_ns = tree_cpu_ns(opt.contender);
	if (opt.upstream)
		s.upstream_ns = tree_cpu_ns(opt.upstream);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	s.own_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	s.at_ns = now_ns();
	return s;
}

/* Streams that are open before memory is first looked at, so that it has been used once. */
static int
first_streams(void)
{
	return opt.connections < 32 ? opt.connections : 32;
}

static void
tell(const struct sample *a, const struct sample *b, uint64_t pss_before, uint64_t pss_after)
{
	bool by_event = opt.hold > 0 || (opt.stream && opt.events != 1);
	double seconds = (double)(b->at_ns - a->at_ns) / 1e9;
	double n = by_event ? (double)(b->events - a->events) : (double)(b->answered - a->answered);
	double each = n > 0 ? n * 1e3 : 1;
	double p99w = delays_windowed_us(0.99);
	int kept = opt.hold > 0 ? opt.connections - first_streams() : opt.idle;

	printf("n=%.0f errors=%ld rate=%.0f cpu=%.3f up=%.3f gen=%.3f p50=%.1f p99=%.1f max=%.1f remade=%ld",
		n, errors, n / seconds, (double)(b->cpu_ns - a->cpu_ns) / each,
		(double)(b->upstream_ns - a->upstream_ns) / each,
		(double)(b->own_ns - a->own_ns) / each, delays_us(0.5), delays_us(0.99),
		delays_us(1), remade);
	if (p99w > 0)
		printf(" p99w=%.1f", p99w);
	if (kept > 0 && opt.contender)
		printf(" pss=%llu kb=%.3f", (unsigned long long)pss_after,
			((double)pss_after - (double)pss_before) / kept);
	printf("\n");
}

/* A stream that was forgotten while it was looked at. */
static void
look_for_silent(const unsigned *before)
{
	for (int i = 0; i < n_conns; i++)
		if (conns[i]->fd >= 0 && conns[i]->events == before[i])
			complain(conns[i], "a stream without an event");
}

static void
run_hold(void)
{
	unsigned *before = calloc((size_t)opt.connections + 1, sizeof *before);
	uint64_t pss_before = 0, pss_after = 0;
	struct sample a, b;

	if (!before)
		die("calloc");
	open_streams(first_streams());
	run_for(0.3);
	if (opt.contender)
		pss_before = tree_pss_kb(opt.contender);
	open_streams(opt.connections);
	run_for(1);
	for (int i = 0; i < n_conns; i++)
		before[i] = conns[i]->events;
	a = take_sample();
	measuring = true;
	run_for(opt.hold);
	measuring = false;
	b = take_sample();
	if (opt.contender)
		pss_after = tree_pss_kb(opt.contender);
	look_for_silent(before);
	if (opened < opt.connections)
		errors += opt.connections - opened;
	tell(&a, &b, pss_before, pss_after);
	free(before);
}

static void
run(void)
{
	uint64_t pss_before = 0, pss_after = 0;
	struct sample a, b;

	run_closed(opt.warm, opt.connections);
	if (opt.idle > 0) {
		if (opt.contender)
			pss_before = tree_pss_kb(opt.contender);
		run_aside(opt.idle);
		run_for(0.5);
		if (opt.contender)
			pss_after = tree_pss_kb(opt.contender);
	}
	a = take_sample();
	measuring = true;
	if (opt.rate > 0)
		run_open(opt.rate, opt.seconds);
	else
		run_closed(opt.requests, opt.connections);
	b = take_sample();
	tell(&a, &b, pss_before, pss_after);
}

static bool
set_option(int option)
{
	double number = optarg ? strtod(optarg, NULL) : 0;

	switch (option) {
	case 'p':
		opt.port = (int)number;
		return true;
	case 'c':
		opt.connections = (int)number;
		return number > 0;
	case 'n':
		opt.requests = (long)number;
		return true;
	case 'w':
		opt.warm = (long)number;
		return true;
	case 'r':
		opt.rate = number;
		return number > 0;
	case 's':
		opt.seconds = number;
		return number > 0;
	case 'H':
		opt.hold = number;
		opt.stream = true;
		opt.events = 0;
		return number > 0;
	case 'I':
		opt.idle = (int)number;
		return true;
	case 'd':
		opt.anthropic = strcmp(optarg, "anthropic") == 0;
		return opt.anthropic || strcmp(optarg, "openai") == 0;
	case 'S':
		opt.stream = true;
		return true;
	case 'e':
		opt.events = (unsigned)number;
		return true;
	case 'b':
		opt.body = (size_t)number;
		return true;
	case 'R':
		opt.reply = (size_t)number;
		return true;
	case 'k':
		opt.key = optarg;
		return true;
	case 'T':
		opt.tls = true;
		return true;
	case 'C':
		opt.closing = true;
		return true;
	case 'P':
		opt.contender = (pid_t)number;
		return true;
	case 'U':
		opt.upstream = (pid_t)number;
		return true;
	case 't':
		opt.patience_s = (int)number;
		return true;
	default:
		return false;
	}
}

int
main(int argc, char **argv)
{
	int option, most = net_raise_files();

	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "p:c:n:w:r:s:H:I:d:Se:b:R:k:TCP:U:t:")) != -1) {
		if (!set_option(option))
			return 64;
	}
	if (opt.port == 0 || opt.connections + opt.idle > most - 10)
		return 64;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	compose();
	tls = opt.tls ? net_tls(NULL, NULL) : NULL;
	conns = calloc((size_t)most, sizeof(struct conn *));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epoll_fd < 0)
		die("epoll");
	heard_ns = now_ns();
	if (opt.hold > 0)
		run_hold();
	else
		run();
	return 0;
}
