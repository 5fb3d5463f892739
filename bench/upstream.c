/*
 * upstream: the provider that contenders forward to, made to cost as little as can be.
 *
 *     upstream [-p port] [-d dialect] [-b reply_bytes] [-m least_body_bytes] [-s] [-e events]
 *              [-i interval_us] [-c certificate -k key]
 *
 * All replies are the same and are composed once: a whole one of so many bytes, or with -s a stream
 * of so many events (0: without end), each in a chunk and a write of its own. An event carries a
 * stamp of the time at which it was written; a whole reply has one of zeros. With an interval each
 * stream has its own place in it, spread evenly whenever they begin; without one, streams are
 * written as fast as they are taken, an event each by turns.
 *
 * Of a request the length is read, and that many bytes are thrown away unseen (MSG_TRUNC: they are
 * not even copied). One whose body is shorter than -m is told 400, one without a length 411: so
 * what a contender lost on the way is seen by the client.
 *
 * The first line on standard output is "port N". It ends with the process that started it.
 */
#include <arpa/inet.h>
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
#include "net.h"

#define HEAD_MOST 16384
#define SLOT_US 250 /* of the wheel of streams with an interval */
#define ID "\"id\":\"bench-1\","
#define CHUNK ID "\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"bench\","
#define STAMP "@0000000000000000"

static const struct dialect {
	const char *name, *type, *reply[2]; /* before and after the text */
	const char *start, *event[2], *end;
} dialects[] = {
	{ "openai", "text/event-stream",
		{ "{" ID
		  "\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"bench\",\"choices\":"
		  "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
			"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
			"\"total_tokens\":11}}" },
		"data: {" CHUNK
		"\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
		"\"finish_reason\":null}]}\n\n",
		{ "data: {" CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
			"\"},\"finish_reason\":null}]}\n\n" },
		"data: {" CHUNK
		"\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
		"data: {" CHUNK
		"\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
		"\"total_tokens\":11}}\n\ndata: [DONE]\n\n" },
	{ "anthropic", "text/event-stream",
		{ "{" ID
		  "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\",\"content\":"
		  "[{\"type\":\"text\",\"text\":\"",
			"\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,"
			"\"output_tokens\":2}}" },
		"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{" ID
		"\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\",\"content\":[],"
		"\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,"
		"\"output_tokens\":1}}}\n\n"
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
		"\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
		{ "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
		  "\"delta\":{\"type\":\"text_delta\",\"text\":\"",
			"\"}}\n\n" },
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
		"\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":2}}\n\n"
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n" },
	{ "gemini", "text/event-stream",
		{ "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"",
			"\"}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
			"\"candidatesTokenCount\":2,\"totalTokenCount\":11},\"modelVersion\":\"bench\","
			"\"responseId\":\"r1\"}" },
		"",
		{ "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"",
			"\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
			"\"candidatesTokenCount\":1,\"totalTokenCount\":10},\"modelVersion\":\"bench\","
			"\"responseId\":\"r1\"}\r\n\r\n" },
		"data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"\"}]},"
		"\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
		"\"candidatesTokenCount\":2,\"totalTokenCount\":11},\"modelVersion\":\"bench\","
		"\"responseId\":\"r1\"}\r\n\r\n" },
	{ "cohere", "text/event-stream",
		{ "{" ID
		  "\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\",\"content\":"
		  "[{\"type\":\"text\",\"text\":\"",
			"\"}]},\"usage\":{\"billed_units\":{\"input_tokens\":9,\"output_tokens\":2},"
			"\"tokens\":{\"input_tokens\":9,\"output_tokens\":2}}}" },
		"event: message-start\ndata: {\"type\":\"message-start\"," ID
		"\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\","
		"\"tool_calls\":[],\"citations\":[]}}}\n\n"
		"event: content-start\ndata: {\"type\":\"content-start\",\"index\":0,\"delta\":"
		"{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n",
		{ "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":"
		  "{\"message\":{\"content\":{\"text\":\"",
			"\"}}}}\n\n" },
		"event: content-end\ndata: {\"type\":\"content-end\",\"index\":0}\n\n"
		"event: message-end\ndata: {\"type\":\"message-end\"," ID
		"\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":"
		"{\"input_tokens\":9,\"output_tokens\":2},\"tokens\":{\"input_tokens\":9,"
		"\"output_tokens\":2}}}}\n\n" },
	{ "ollama", "application/x-ndjson",
		{ "{\"model\":\"bench\",\"created_at\":\"2026-09-21T13:33:20.123456789Z\",\"message\":"
		  "{\"role\":\"assistant\",\"content\":\"",
			"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":1,\"load_duration\":1,"
			"\"prompt_eval_count\":9,\"prompt_eval_duration\":1,\"eval_count\":2,"
			"\"eval_duration\":1}" },
		"",
		{ "{\"model\":\"bench\",\"created_at\":\"2026-09-21T13:33:20.123456789Z\",\"message\":"
		  "{\"role\":\"assistant\",\"content\":\"",
			"\"},\"done\":false}\n" },
		"{\"model\":\"bench\",\"created_at\":\"2026-09-21T13:33:20.123456789Z\",\"message\":"
		"{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","
		"\"total_duration\":1,\"load_duration\":1,\"prompt_eval_count\":9,"
		"\"prompt_eval_duration\":1,\"eval_count\":2,\"eval_duration\":1}\n" },
};

struct text {
	char *p;
	size_t len;
};

struct conn {
	int fd;
	SSL *tls;
	bool streaming;
	unsigned events;       /* sent */
	size_t body;           /* bytes of the request's body still to come */
	struct text head, own; /* of a request that came in parts; of an event that went in parts */
	const char *rest;      /* what waits to be written */
	size_t rest_len;
	struct conn *next, **at; /* in the list of streams to write, or of a slot of the wheel */
};

static struct {
	const struct dialect *dialect;
	int port;
	size_t reply, least;
	bool stream;
	unsigned events;
	uint64_t interval_us;
} opt = { .dialect = dialects, .reply = 1024 };

static SSL_CTX *tls;
static struct text reply, start, event, end, refused, unlengthed;
static size_t stamp_at; /* in an event */
static int epoll_fd, listener;
static struct conn *running; /* streams without an interval that can be written to */
static struct conn **wheel;
static uint64_t wheel_slots, wheel_done, began_ns;

/* ---- composing ---- */

static void
append(struct text *t, const char *p, size_t len)
{
	t->p = realloc(t->p, t->len + len + 1);
	if (!t->p)
		die("realloc");
	memcpy(t->p + t->len, p, len);
	t->len += len;
	t->p[t->len] = '\0';
}

static void
append_string(struct text *t, const char *p)
{
	append(t, p, strlen(p));
}

static void
append_chunk(struct text *t, const char *p)
{
	char size[32];

	if (*p == '\0')
		return;
	snprintf(size, sizeof size, "%zx\r\n", strlen(p));
	append_string(t, size);
	append_string(t, p);
	append_string(t, "\r\n");
}

/* So much that with what comes after it a whole reply has its size. */
static void
append_filler(struct text *t, size_t after)
{
	size_t n = opt.reply > t->len + after ? opt.reply - t->len - after : 0;
	char *filler = malloc(n + 1);

	if (!filler)
		die("malloc");
	memset(filler, 'x', n);
	append(t, filler, n);
	free(filler);
}

static void
compose_whole(struct text *t, const char *status, const char *type, const char *body)
{
	char head[256];

	snprintf(head, sizeof head,
		"HTTP/1.1 %s\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: %s\r\n"
		"content-length: %zu\r\n\r\n",
		status, type, strlen(body));
	append_string(t, head);
	append_string(t, body);
}

static void
compose(void)
{
	const struct dialect *d = opt.dialect;
	struct text body = { 0 }, data = { 0 };

	append_string(&body, d->reply[0]);
	append_string(&body, STAMP);
	append_filler(&body, strlen(d->reply[1]));
	append_string(&body, d->reply[1]);
	compose_whole(&reply, "200 OK", "application/json", body.p);
	compose_whole(&refused, "400 Bad Request", "text/plain", "too short a body\n");
	compose_whole(&unlengthed, "411 Length Required", "text/plain", "no length\n");
	append_string(&start, "HTTP/1.1 200 OK\r\ncontent-type: ");
	append_string(&start, d->type);
	append_string(&start, "\r\ntransfer-encoding: chunked\r\n\r\n");
	append_chunk(&start, d->start);
	append_string(&data, d->event[0]);
	append_string(&data, STAMP);
	append_string(&data, d->event[1]);
	append_chunk(&event, data.p);
	stamp_at = (size_t)(strchr(event.p, STAMP_MARK) + 1 - event.p);
	append_chunk(&end, d->end);
	append_string(&end, "0\r\n\r\n");
}

/* ---- connections ---- */

static void
list_leave(struct conn *c)
{
	if (!c->at)
		return;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->at = NULL;
}

static void
list_join(struct conn *c, struct conn **list)
{
	c->next = *list;
	c->at = list;
	if (*list)
		(*list)->at = &c->next;
	*list = c;
}

static void
conn_close(struct conn *c)
{
	list_leave(c);
	SSL_free(c->tls);
	close(c->fd);
	free(c->head.p);
	free(c->own.p);
	free(c);
}

/* What does not go now waits; false when the connection is gone. */
static bool
put(struct conn *c, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = net_write(c->fd, c->tls, p, len);

		if (n < 0 && errno != EAGAIN) {
			conn_close(c);
			return false;
		}
		if (n < 0)
			break;
		p += n;
		len -= (size_t)n;
	}
	c->rest = p;
	c->rest_len = len;
	return true;
}

/* The same of what another event will be written over. */
static bool
put_copy(struct conn *c, const char *p, size_t len)
{
	if (!put(c, p, len))
		return false;
	if (c->rest_len > 0) {
		c->own.len = 0;
		append(&c->own, c->rest, c->rest_len);
		c->rest = c->own.p;
	}
	return true;
}

/* ---- streams ---- */

/* The next event, or the end. A stream that cannot be written to leaves the list of those that
 * run; one with an interval keeps its place and leaves an event out, which the client misses. */
static void
stream_next(struct conn *c)
{
	if (c->rest_len > 0)
		return;
	if (opt.events > 0 && c->events == opt.events) {
		c->streaming = false;
		list_leave(c);
		put(c, end.p, end.len);
		return;
	}
	c->events++;
	stamp_write(event.p + stamp_at, now_ns());
	if (put_copy(c, event.p, event.len) && c->rest_len > 0 && opt.interval_us == 0)
		list_leave(c);
}

static void
stream_start(struct conn *c)
{
	static uint64_t nth;

	c->streaming = true;
	c->events = 0;
	if (!put(c, start.p, start.len))
		return;
	if (opt.interval_us == 0) {
		if (c->rest_len == 0)
			list_join(c, &running);
		return;
	}
	/* Multiples of the golden section are spread evenly however many there are. */
	nth++;
	list_join(c, &wheel[(nth * 0x9e3779b97f4a7c15U >> 32) * wheel_slots >> 32]);
	stream_next(c);
}

static void
run_streams(void)
{
	for (struct conn *c = running, *next; c; c = next) {
		next = c->next;
		stream_next(c);
	}
}

/* The slots whose time has come; the time of the next that has a stream. */
static uint64_t
run_wheel(void)
{
	uint64_t slot = (now_ns() - began_ns) / (SLOT_US * 1000), ahead = 1;

	if (slot - wheel_done > wheel_slots)
		wheel_done = slot - wheel_slots; /* later than an interval: it leaves one out */
	while (wheel_done < slot) {
		wheel_done++;
		for (struct conn *c = wheel[wheel_done % wheel_slots], *next; c; c = next) {
			next = c->next;
			stream_next(c);
		}
	}
	while (ahead < 1000 && !wheel[(slot + ahead) % wheel_slots])
		ahead++;
	return began_ns + (slot + ahead) * SLOT_US * 1000;
}

/* ---- requests ---- */

static bool
answer(struct conn *c)
{
	if (!opt.stream)
		return put(c, reply.p, reply.len);
	stream_start(c);
	return true;
}

/* The length that a head tells; SIZE_MAX when it does not. */
static size_t
length_told(const char *p, const char *stop)
{
	static const char name[] = "content-length:";

	while ((p = memchr(p, '\n', (size_t)(stop - p)))) {
		p++;
		if ((*p | 0x20) == 'c' && strncasecmp(p, name, sizeof name - 1) == 0)
			return strtoul(p + sizeof name - 1, NULL, 10);
	}
	return SIZE_MAX;
}

/* A head, and perhaps what follows it; false when the connection is gone. */
static bool
take_head(struct conn *c, const char *p, size_t len)
{
	const char *stop = memmem(p, len, "\r\n\r\n", 4);
	size_t length, here;

	if (!stop) {
		if (c->head.p != p)
			append(&c->head, p, len);
		if (c->head.len < HEAD_MOST)
			return true;
		conn_close(c);
		return false;
	}
	stop += 4;
	length = length_told(p, stop);
	here = len - (size_t)(stop - p);
	c->head.len = 0;
	if (length == SIZE_MAX)
		return put(c, unlengthed.p, unlengthed.len);
	if (length < opt.least)
		return put(c, refused.p, refused.len);
	c->body = here < length ? length - here : 0;
	return c->body > 0 || answer(c);
}

static bool
take(struct conn *c, const char *p, size_t len)
{
	if (c->body > 0) {
		c->body -= len < c->body ? len : c->body;
		return c->body > 0 || answer(c);
	}
	if (c->head.len == 0)
		return take_head(c, p, len);
	append(&c->head, p, len);
	return take_head(c, c->head.p, c->head.len);
}

/* What was told once is not told again: when the end has been, it is read up to. */
static void
conn_read(struct conn *c, bool ended)
{
	static char buf[65536];
	ssize_t n;

	for (;;) {
		if (c->body > 0 && !c->tls)
			n = recv(c->fd, NULL, c->body, MSG_TRUNC);
		else
			n = net_read(c->fd, c->tls, buf, sizeof buf);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		if (!take(c, buf, (size_t)n))
			return;
		if (c->body == 0 && !c->tls && !ended && n < (ssize_t)sizeof buf)
			return;
	}
}

static void
conn_ready(struct conn *c, uint32_t events)
{
	if (c->rest_len > 0) {
		if (!put(c, c->rest, c->rest_len))
			return;
		if (c->rest_len == 0 && c->streaming && opt.interval_us == 0)
			list_join(c, &running);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		conn_read(c, (events & EPOLLRDHUP) != 0);
}

static void
accept_all(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof *c);

		if (!c)
			die("calloc");
		c->fd = fd;
		if (tls) {
			c->tls = SSL_new(tls);
			SSL_set_fd(c->tls, fd);
			SSL_set_accept_state(c->tls);
		}
		net_prepare(fd);
		net_watch(epoll_fd, fd, c);
	}
}

static void
turn(void)
{
	struct epoll_event events[256];
	uint64_t until = running ? 0 : wheel ? run_wheel() : now_ns() + 1000000000;
	int n = net_wait(epoll_fd, events, 256, until);
	bool coming = false;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			conn_ready(events[i].data.ptr, events[i].events);
		else
			coming = true;
	}
	if (coming)
		accept_all();
	run_streams();
}

static void
prepare(void)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	net_raise_files();
	compose();
	began_ns = now_ns();
	wheel_slots = opt.interval_us / SLOT_US;
	if (opt.interval_us > 0)
		wheel = calloc(wheel_slots, sizeof *wheel);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listener = net_listen(opt.port);
	if (epoll_fd < 0 || listener < 0 || getsockname(listener, (struct sockaddr *)&a, &len) != 0)
		die("listen");
	net_watch(epoll_fd, listener, NULL);
	printf("port %u\n", ntohs(a.sin_port));
	fflush(stdout);
}

static const struct dialect *
dialect_find(const char *name)
{
	for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
		if (strcmp(dialects[i].name, name) == 0)
			return &dialects[i];
	return NULL;
}

int
main(int argc, char **argv)
{
	const char *certificate = NULL, *key = NULL;
	int option;

	while ((option = getopt(argc, argv, "p:d:b:m:se:i:c:k:")) != -1) {
		unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;

		switch (option) {
		case 'p':
			opt.port = (int)value;
			break;
		case 'd':
			opt.dialect = dialect_find(optarg);
			break;
		case 'b':
			opt.reply = value;
			break;
		case 'm':
			opt.least = value;
			break;
		case 's':
			opt.stream = true;
			break;
		case 'e':
			opt.events = (unsigned)value;
			break;
		case 'i':
			opt.interval_us = value;
			break;
		case 'c':
			certificate = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		default:
			return 64;
		}
	}
	if (!opt.dialect || !certificate != !key ||
		(opt.interval_us > 0 && opt.interval_us < SLOT_US))
		return 64;
	if (certificate)
		tls = net_tls(certificate, key);
	prepare();
	for (;;)
		turn();
}
