/*
 * load: requests to the router at a fixed rate, each reply looked at to its last byte.
 *
 *     load -p port [-r rate] [-s seconds] [-S streams_percent] [-k keep_alive_percent] [-w words]
 *          [-m model]... [-K key] [-t patience_s] [-a addresses] [-L] [-v]
 *
 * The load is open: request i is due at i/rate, whatever became of those before it, and its time
 * counts from when it was due. Each asks for a chat whose one message is `words` words made from
 * the number of the request, and expects them back, streamed one word an event or whole, with
 * usage; so a word of another's reply, or one twice or missing, is seen. Several -m are taken in
 * turn.
 *
 * Connections are kept and used again, the one that has rested longest first, and a reply with
 * Connection: close ends one. There is no second try: a request whose kept connection is closed
 * under it has failed. They come from so many addresses, 127.0.0.1 and on: one has 28,000 ports,
 * and each is out of use for a minute after. -L: 429 is an answer, and counted as refused.
 *
 * Lines of JSON go to standard output: of each failure, with -v one a second, and the total at the
 * end. TERM ends the load early; what is open is waited for. Exit status 0, or 1 where any failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define TEXT_MOST 4096 /* of a request, of a line of a reply, and of a whole reply */
#define MODELS_MOST 8
#define IDLE_SECONDS 2 /* more connections than are used in this time are not kept */
#define FINE 32        /* parts of a power of two, for percentiles */

enum state { UNUSED, CONNECTING, IDLE, HEAD, SIZE, DATA, AFTER_DATA, TRAILER };
enum failure { CONNECT, REUSED, RESET, CUT, BYTES, STATUS, STUCK, FAILURES };

static const char *const failure_words[] = { "connect", "reused", "reset", "cut", "bytes", "status",
	"stuck" };

struct conn {
	int fd;
	enum state state;
	bool reused, stream, keep; /* keep: neither side has said close */
	bool chunked, finished, done, usage;
	uint16_t port;
	int status;
	unsigned number, said; /* words that have come */
	size_t left;           /* of the chunk or the body */
	size_t got;            /* bytes of the reply */
	uint64_t due_us, sent_us, heard_us;
	struct conn *next, *before; /* of those that rest */
	size_t len, frame_len;
	char frame[1024];     /* the line of the framing that is coming */
	char text[TEXT_MOST]; /* the line or the whole reply that is coming */
};

struct times {
	uint64_t n, largest_us, parts[40 * FINE];
};

static struct {
	int port, seconds, streams, kept, words, patience_s, addresses, n_models;
	double rate;
	bool limited, tell;
	const char *key, *models[MODELS_MOST];
} opt = { .rate = 100,
	.seconds = 10,
	.streams = 50,
	.kept = 90,
	.words = 10,
	.patience_s = 30,
	.addresses = 1 };

static struct {
	uint64_t started, answered, streams, refused, connections, reused, closing, idle_closed,
		comments, tokens, failed[FAILURES];
	uint64_t from_us, to_us; /* of those admitted: first sending, last receipt */
	struct times plain, first, lag;
} sum;

static struct conn **conns; /* by descriptor */
static int conns_size, epoll_fd;
static struct conn *oldest, *newest;
static unsigned idle, open_requests;
static uint64_t clock_offset_us; /* from the monotonic clock to the time of day */
static volatile sig_atomic_t ending;

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- times ---- */

static void
times_add(struct times *t, uint64_t us)
{
	unsigned power = 0;
	uint64_t rest = us;

	while (rest >= 2 * FINE) {
		rest /= 2;
		power++;
	}
	t->parts[rest >= FINE ? power * FINE + rest : rest]++;
	t->n++;
	if (us > t->largest_us)
		t->largest_us = us;
}

/* In milliseconds. */
static double
times_at(const struct times *t, double share)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < 40 * FINE; i++) {
		seen += t->parts[i];
		if (seen > 0 && (double)seen >= share * (double)t->n) {
			unsigned power = i < 2 * FINE ? 0 : i / FINE - 1;

			return (double)((uint64_t)(i - power * FINE) << power) / 1000;
		}
	}
	return 0;
}

static void
times_show(const char *name, const struct times *t)
{
	printf(",\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, times_at(t, 0.5),
		times_at(t, 0.99), (double)t->largest_us / 1000);
}

/* ---- connections ---- */

static void
rest_remove(struct conn *c)
{
	*(c->before ? &c->before->next : &oldest) = c->next;
	*(c->next ? &c->next->before : &newest) = c->before;
	c->next = c->before = NULL;
	idle--;
}

static void
rest_add(struct conn *c)
{
	c->state = IDLE;
	c->next = NULL;
	c->before = newest;
	*(newest ? &newest->next : &oldest) = c;
	newest = c;
	idle++;
}

static void
conn_close(struct conn *c)
{
	if (c->state == IDLE)
		rest_remove(c);
	close(c->fd);
	c->state = UNUSED;
}

static void
watch(struct conn *c, int how, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = c->fd };

	if (epoll_ctl(epoll_fd, how, c->fd, &e) != 0)
		die("epoll_ctl");
}

static struct sockaddr_in
loopback(unsigned last, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last);
	return a;
}

/* A connection that is being made; NULL when it is refused at once. */
static struct conn *
conn_open(void)
{
	static unsigned turns;
	unsigned from = 1 + turns++ % (unsigned)opt.addresses;
	struct sockaddr_in own = loopback(from, 0), a = loopback(1, opt.port);
	socklen_t len = sizeof own;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || fd >= conns_size)
		die("the machine is too slow for this rate: no descriptor for one request more");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
		(connect(fd, (struct sockaddr *)&a, sizeof a) != 0 && errno != EINPROGRESS)) {
		close(fd);
		return NULL;
	}
	if (!conns[fd] && !(conns[fd] = malloc(sizeof **conns)))
		die("malloc");
	memset(conns[fd], 0, offsetof(struct conn, frame));
	conns[fd]->fd = fd;
	conns[fd]->state = CONNECTING;
	if (getsockname(fd, (struct sockaddr *)&own, &len) == 0)
		conns[fd]->port = ntohs(own.sin_port);
	watch(conns[fd], EPOLL_CTL_ADD, EPOLLOUT);
	sum.connections++;
	return conns[fd];
}

/* ---- what becomes of a request ---- */

static void
tell_failure(const struct conn *c, enum failure why, const char *detail)
{
	uint64_t now = now_us() + clock_offset_us;

	printf("{\"failure\":\"%s\",\"at\":%.6f,\"sent\":%.6f,\"port\":%u,\"stream\":%s,\"reused\":%s,"
	       "\"bytes\":%zu,\"words\":%u,\"detail\":\"",
		failure_words[why], (double)now / 1e6, (double)(c->sent_us + clock_offset_us) / 1e6,
		c->port, c->stream ? "true" : "false", c->reused ? "true" : "false", c->got,
		c->said);
	for (; *detail; detail++)
		putchar(*detail < ' ' || *detail == '"' || *detail == '\\' ? '\'' : *detail);
	printf("\"}\n");
	fflush(stdout);
}

static void
fail(struct conn *c, enum failure why, const char *detail)
{
	if (why == RESET && c->reused)
		why = REUSED;
	sum.failed[why]++;
	open_requests--;
	tell_failure(c, why, detail);
	conn_close(c);
}

static void
answered(struct conn *c)
{
	uint64_t now = now_us();

	open_requests--;
	if (c->status == 429) {
		sum.refused++;
	} else {
		sum.answered++;
		sum.streams += c->stream;
		sum.tokens += (unsigned)opt.words * 2;
		sum.from_us = sum.from_us ? sum.from_us : c->sent_us;
		sum.to_us = now;
		if (!c->stream)
			times_add(&sum.plain, now - c->due_us);
	}
	if (c->keep && idle < (unsigned)opt.rate * IDLE_SECONDS + 1)
		rest_add(c);
	else
		conn_close(c);
}

/* ---- asking ---- */

static size_t
word(char *out, size_t size, const struct conn *c, unsigned i)
{
	return (size_t)snprintf(out, size, "%s%u.%u", i ? " " : "", c->number, i);
}

static void
ask(struct conn *c)
{
	static unsigned turns[2];
	char body[TEXT_MOST], request[2 * TEXT_MOST];
	int len = snprintf(body, sizeof body,
		"{\"model\":\"%s\",%s\"messages\":[{\"role\":\"user\",\"content\":\"",
		opt.models[turns[c->stream]++ % (unsigned)opt.n_models],
		c->stream ? "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "");

	for (int i = 0; i < opt.words; i++)
		len += (int)word(body + len, sizeof body - (size_t)len, c, (unsigned)i);
	len += snprintf(body + len, sizeof body - (size_t)len, "\"}]}");
	len = snprintf(request, sizeof request,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: load\r\ncontent-type: application/json\r\n"
		"%s%s%s%scontent-length: %d\r\n\r\n%s",
		opt.key ? "authorization: Bearer " : "", opt.key ? opt.key : "",
		opt.key ? "\r\n" : "", c->keep ? "" : "connection: close\r\n", len, body);
	c->state = HEAD;
	c->len = c->frame_len = c->got = c->left = 0;
	c->text[0] = '\0';
	c->chunked = c->finished = c->done = c->usage = false;
	c->status = 0;
	c->said = 0;
	c->sent_us = c->heard_us = now_us();
	if (write(c->fd, request, (size_t)len) != len)
		fail(c, RESET, "write");
}

/* A connection that has rested, and on which nothing has come meanwhile. */
static struct conn *
take_rested(void)
{
	char byte;

	while (oldest) {
		struct conn *c = oldest;
		ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			rest_remove(c);
			c->reused = true;
			sum.reused++;
			return c;
		}
		sum.idle_closed++;
		conn_close(c);
	}
	return NULL;
}

static void
start(uint64_t due_us)
{
	static unsigned number, streams, kept;
	struct conn none = { .port = 0 }, *c = take_rested();
	bool fresh = !c;

	number++;
	streams += (unsigned)opt.streams;
	kept += (unsigned)opt.kept;
	sum.started++;
	open_requests++;
	times_add(&sum.lag, now_us() - due_us);
	if (!c)
		c = conn_open();
	if (!c) {
		none.sent_us = now_us();
		sum.failed[CONNECT]++;
		open_requests--;
		tell_failure(&none, CONNECT, strerror(errno));
	} else {
		c->number = number;
		c->due_us = due_us;
		c->sent_us = c->heard_us = now_us();
		c->stream = streams >= 100;
		c->keep = kept >= 100;
		if (!fresh)
			ask(c);
	}
	streams %= 100;
	kept %= 100;
}

/* ---- reading: each of these gives false when the request has ended ---- */

static bool
wrong(struct conn *c, const char *what)
{
	fail(c, BYTES, what);
	return false;
}

/* The next words of the reply. */
static bool
take_words(struct conn *c, const char *p, size_t len)
{
	char want[64];

	while (len > 0) {
		size_t n = word(want, sizeof want, c, c->said);

		if (c->said == (unsigned)opt.words || len < n || memcmp(p, want, n) != 0)
			return wrong(c, p);
		c->said++;
		p += n;
		len -= n;
	}
	return true;
}

/* What a line of a stream, or a whole reply, has in it. */
static bool
take_json(struct conn *c, const char *p)
{
	static const char content[] = "\"content\":\"", usage[] = "\"usage\":{\"prompt_tokens\":";
	const char *at = strstr(p, content), *end;
	char counts[128];

	if (strstr(p, "\"error\":")) {
		fail(c, CUT, p);
		return false;
	}
	if (at) {
		at += sizeof content - 1;
		end = strchr(at, '"');
		if (!end || (c->stream && memchr(at + 1, ' ', (size_t)(end - at))))
			return wrong(c, p);
		if (c->said == 0 && c->stream && end > at)
			times_add(&sum.first, now_us() - c->due_us);
		if (!take_words(c, at, (size_t)(end - at)))
			return false;
	}
	if (strstr(p, "\"finish_reason\":\"stop\"")) {
		if (c->finished || c->said != (unsigned)opt.words)
			return wrong(c, p);
		c->finished = true;
	}
	at = strstr(p, usage);
	if (at) {
		snprintf(counts, sizeof counts, "%d,\"completion_tokens\":%d,\"total_tokens\":%d}",
			opt.words, opt.words, 2 * opt.words);
		if (c->usage || strncmp(at + sizeof usage - 1, counts, strlen(counts)) != 0)
			return wrong(c, p);
		c->usage = true;
	}
	return true;
}

static bool
take_line(struct conn *c, const char *p)
{
	if (c->done && *p)
		return wrong(c, p);
	if (strcmp(p, "data: [DONE]") == 0)
		c->done = true;
	else if (strncmp(p, "data: ", 6) == 0)
		return take_json(c, p + 6);
	else if (*p == ':')
		sum.comments++;
	else if (*p)
		return wrong(c, p);
	return true;
}

static bool
keep_text(struct conn *c, const char *p, size_t len)
{
	if (len >= sizeof c->text - c->len)
		return wrong(c, "too long a line");
	memcpy(c->text + c->len, p, len);
	c->len += len;
	c->text[c->len] = '\0';
	return true;
}

static bool
take_body(struct conn *c, const char *p, size_t len)
{
	const char *end;

	if (!c->stream || c->status != 200)
		return keep_text(c, p, len);
	while (len > 0) {
		end = memchr(p, '\n', len);
		if (!end)
			return keep_text(c, p, len);
		if (!keep_text(c, p, (size_t)(end - p)))
			return false;
		c->len = 0;
		if (!take_line(c, c->text))
			return false;
		c->text[0] = '\0';
		len -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	return true;
}

/* The framing says that the reply is whole. Is it? */
static bool
take_end(struct conn *c)
{
	if (c->status != 200 && !(opt.limited && c->status == 429)) {
		fail(c, STATUS, c->text);
		return false;
	}
	if (c->status == 200) {
		if (!c->stream && !take_json(c, c->text))
			return false;
		if (!c->finished || !c->usage || c->done != c->stream ||
			(c->stream && c->len > 0)) {
			fail(c, CUT, "framed as whole");
			return false;
		}
	}
	answered(c);
	return false;
}

static bool
take_head_line(struct conn *c, char *p)
{
	char *value = strchr(p, ':');

	if (c->status == 0) {
		if (strncmp(p, "HTTP/1.1 ", 9) != 0)
			return wrong(c, p);
		c->status = (int)strtol(p + 9, NULL, 10);
		return true;
	}
	if (*p == '\0') {
		if (c->chunked && c->left > 0)
			return wrong(c, "framed twice");
		c->state = c->chunked ? SIZE : DATA;
		if (!c->chunked && c->left == 0)
			return take_end(c);
		return true;
	}
	if (!value)
		return wrong(c, p);
	*value++ = '\0';
	value += strspn(value, " ");
	if (strcasecmp(p, "content-length") == 0)
		c->left = strtoul(value, NULL, 10);
	else if (strcasecmp(p, "transfer-encoding") == 0)
		c->chunked = strcmp(value, "chunked") == 0;
	else if (strcasecmp(p, "connection") == 0 && strcasecmp(value, "close") == 0) {
		sum.closing += c->keep;
		c->keep = false;
	}
	return true;
}

/* A line of the framing: of the head, the size of a chunk, its end, or what follows the last. */
static bool
take_frame(struct conn *c, char *line)
{
	char *end;

	switch (c->state) {
	case HEAD:
		return take_head_line(c, line);
	case SIZE:
		c->left = strtoul(line, &end, 16);
		if (end == line || *end)
			return wrong(c, line);
		c->state = c->left > 0 ? DATA : TRAILER;
		return true;
	case AFTER_DATA:
		c->state = SIZE;
		return *line ? wrong(c, line) : true;
	default:
		return *line ? wrong(c, line) : take_end(c);
	}
}

/* Bytes up to the end of the line that is coming; how many they were, 0 when the request ended. */
static size_t
take_frame_bytes(struct conn *c, const char *p, size_t len)
{
	const char *end = memchr(p, '\n', len);
	size_t n = end ? (size_t)(end - p) : len;

	if (n >= sizeof c->frame - c->frame_len) {
		wrong(c, "too long a line of a head");
		return 0;
	}
	memcpy(c->frame + c->frame_len, p, n);
	c->frame_len += n;
	if (!end)
		return n;
	if (c->frame_len == 0 || c->frame[c->frame_len - 1] != '\r') {
		wrong(c, "a line without CR");
		return 0;
	}
	c->frame[c->frame_len - 1] = '\0';
	c->frame_len = 0;
	return take_frame(c, c->frame) ? n + 1 : 0;
}

/* Bytes of the body; how many they were, 0 when the request ended. */
static size_t
take_data(struct conn *c, const char *p, size_t len)
{
	size_t n = c->left < len ? c->left : len;

	if (!take_body(c, p, n))
		return 0;
	c->left -= n;
	if (c->left == 0 && !c->chunked) {
		take_end(c);
		return 0;
	}
	if (c->left == 0)
		c->state = AFTER_DATA;
	return n;
}

static void
take(struct conn *c, const char *p, size_t len)
{
	while (len > 0) {
		size_t n = c->state == DATA ? take_data(c, p, len) : take_frame_bytes(c, p, len);

		if (n == 0)
			return;
		p += n;
		len -= n;
	}
}

/* ---- events ---- */

static void
conn_read(struct conn *c)
{
	static char buf[65536];
	ssize_t n = read(c->fd, buf, sizeof buf);

	if (n < 0 && errno == EAGAIN)
		return;
	if (c->state == IDLE) {
		if (n > 0) {
			sum.failed[BYTES]++;
			tell_failure(c, BYTES, "bytes that nobody asked for");
		}
		sum.idle_closed++;
		conn_close(c);
	} else if (n <= 0) {
		fail(c, c->got > 0 ? CUT : RESET, n < 0 ? strerror(errno) : "end");
	} else {
		c->got += (size_t)n;
		c->heard_us = now_us();
		take(c, buf, (size_t)n);
	}
}

static void
conn_ready(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (c->state == UNUSED)
		return;
	if (c->state != CONNECTING) {
		conn_read(c);
		return;
	}
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0) {
		fail(c, CONNECT, strerror(error));
		return;
	}
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
	ask(c);
}

static void
look_for_stuck(void)
{
	uint64_t now = now_us(), most = (uint64_t)opt.patience_s * 1000000;

	for (int i = 0; i < conns_size; i++) {
		struct conn *c = conns[i];

		if (c && c->state != UNUSED && c->state != IDLE && now - c->heard_us > most)
			fail(c, STUCK, c->state == CONNECTING ? "not connected" : "no more bytes");
	}
}

/* ---- telling ---- */

static uint64_t
failures(void)
{
	uint64_t n = 0;

	for (int i = 0; i < FAILURES; i++)
		n += sum.failed[i];
	return n;
}

static void
tell_second(void)
{
	if (!opt.tell)
		return;
	printf("{\"second\":%llu,\"started\":%llu,\"answered\":%llu,\"refused\":%llu,\"failed\":%llu,\"open\":%u,\"idle\":%u}\n",
		(unsigned long long)(now_us() + clock_offset_us) / 1000000,
		(unsigned long long)sum.started, (unsigned long long)sum.answered,
		(unsigned long long)sum.refused, (unsigned long long)failures(), open_requests,
		idle);
	if (fflush(stdout) != 0)
		exit(2); /* nobody is there to hear it */
}

static void
tell_total(void)
{
	const struct {
		const char *name;
		uint64_t n;
	} counts[] = {
		{ "started", sum.started },
		{ "answered", sum.answered },
		{ "streams", sum.streams },
		{ "refused", sum.refused },
		{ "failed", failures() },
		{ "tokens", sum.tokens },
		{ "connections", sum.connections },
		{ "reused", sum.reused },
		{ "closing", sum.closing },
		{ "idle_closed", sum.idle_closed },
		{ "comments", sum.comments },
	};

	printf("{\"total\":true");
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		printf(",\"%s\":%llu", counts[i].name, (unsigned long long)counts[i].n);
	printf(",\"failures\":{");
	for (int i = 0; i < FAILURES; i++)
		printf("%s\"%s\":%llu", i ? "," : "", failure_words[i],
			(unsigned long long)sum.failed[i]);
	printf("},\"from\":%.6f,\"to\":%.6f,\"cpu\":%.3f",
		(double)(sum.from_us + clock_offset_us) / 1e6,
		(double)(sum.to_us + clock_offset_us) / 1e6,
		(double)read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e6);
	times_show("plain_ms", &sum.plain);
	times_show("first_event_ms", &sum.first);
	times_show("lag_ms", &sum.lag);
	printf("}\n");
}

/* ---- running ---- */

static void
on_signal(int signo)
{
	(void)signo;
	ending = 1;
}

static void
turn(int wait_ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(epoll_fd, events, 256, wait_ms);

	for (int i = 0; i < n; i++)
		conn_ready(conns[events[i].data.fd]);
}

static void
run(void)
{
	uint64_t began = now_us(), second = began, requests = 0, due = began;
	uint64_t end = began + (uint64_t)opt.seconds * 1000000;

	for (;;) {
		uint64_t now = now_us();
		bool over = ending || now >= end;

		if (over && open_requests == 0)
			break;
		while (!over && due <= now && due < end) {
			start(due);
			due = began + (uint64_t)((double)++requests * 1e6 / opt.rate);
		}
		if (now - second >= 1000000) {
			second += 1000000;
			look_for_stuck();
			tell_second();
		}
		now = now_us();
		turn(over                            ? 100
				: due <= now         ? 0
				: due - now < 100000 ? (int)((due - now) / 1000) + 1
						     : 100);
	}
}

static void
prepare(void)
{
	struct rlimit files;
	struct sigaction act = { .sa_handler = on_signal };

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die("getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	conns_size = files.rlim_cur < 65536 ? (int)files.rlim_cur : 65536;
	conns = calloc((size_t)conns_size, sizeof(struct conn *));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epoll_fd < 0)
		die("epoll");
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	clock_offset_us = read_clock(CLOCK_REALTIME) - now_us();
}

static bool
set_option(int option)
{
	int value = optarg ? (int)strtol(optarg, NULL, 10) : 0;

	switch (option) {
	case 'p':
		opt.port = value;
		return value > 0;
	case 'r':
		opt.rate = strtod(optarg, NULL);
		return opt.rate > 0;
	case 's':
		opt.seconds = value;
		return value > 0;
	case 'S':
		opt.streams = value;
		return value >= 0 && value <= 100;
	case 'k':
		opt.kept = value;
		return value >= 0 && value <= 100;
	case 'w':
		opt.words = value;
		return value > 0 && value * 20 < TEXT_MOST - 500;
	case 't':
		opt.patience_s = value;
		return value > 0;
	case 'a':
		opt.addresses = value;
		return value > 0 && value < 255;
	case 'm':
		if (opt.n_models == MODELS_MOST)
			return false;
		opt.models[opt.n_models++] = optarg;
		return strlen(optarg) < 64;
	case 'K':
		opt.key = optarg;
		return strlen(optarg) < 512;
	case 'L':
		opt.limited = true;
		return true;
	case 'v':
		opt.tell = true;
		return true;
	default:
		return false;
	}
}

int
main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "p:r:s:S:k:w:m:K:t:a:Lv")) != -1)
		if (!set_option(option))
			return 64;
	if (opt.port == 0)
		return 64;
	if (opt.n_models == 0)
		opt.models[opt.n_models++] = "echo";
	prepare();
	run();
	tell_total();
	return failures() > 0;
}
