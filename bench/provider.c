/*
 * provider: a provider of chats that repeats what it is told, for load (bench/load.c).
 *
 *     provider [-i interval_ms] [-c certificate_file -k key_file]
 *
 * It listens on a port of its own choice and says which: "port 12345". The reply to a chat is the
 * content of its last message: whole and at once, or streamed, a word an event, the first at once
 * and the others an interval apart. With usage in both. Connections are kept. It knows just as much
 * of HTTP and of JSON as the router sends. With a certificate it speaks TLS. TERM, or the end of
 * the process that started it, ends it, with a line of what it has done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define REQUEST_MOST 16384

struct conn {
	int fd;
	SSL *tls;
	bool open, streaming;
	unsigned words;
	uint64_t due_us;            /* of the next word */
	struct conn *next, *before; /* in the order of these times */
	size_t len;
	char *text, *word; /* what is to be said, and from where on */
	char in[REQUEST_MOST];
};

static SSL_CTX *tls;        /* NULL: none */
static struct conn **conns; /* by descriptor */
static int conns_size, epoll_fd, listener;
static struct conn *first, *last;
static uint64_t interval_us = 1000000;
static unsigned long long connections, requests, streams, left_early;
static volatile sig_atomic_t ending;

/* ---- streams, all with one interval: who has spoken goes to the end of the line ---- */

static void
line_leave(struct conn *c)
{
	*(c->before ? &c->before->next : &first) = c->next;
	*(c->next ? &c->next->before : &last) = c->before;
	c->next = c->before = NULL;
	c->streaming = false;
}

static void
line_join(struct conn *c)
{
	c->streaming = true;
	c->due_us = now_us() + interval_us;
	c->next = NULL;
	c->before = last;
	*(last ? &last->next : &first) = c;
	last = c;
}

static void
conn_close(struct conn *c)
{
	if (c->streaming) {
		left_early++;
		line_leave(c);
	}
	SSL_free(c->tls);
	close(c->fd);
	c->open = false;
}

/* What is said is far smaller than a socket's buffer. */
static void
put(struct conn *c, const char *p, size_t len)
{
	ssize_t n;

	if (!c->open)
		return;
	n = c->tls ? SSL_write(c->tls, p, (int)len) : write(c->fd, p, len);
	if (n != (ssize_t)len)
		conn_close(c);
}

/* As read(2). */
static ssize_t
get(struct conn *c, char *p, size_t size)
{
	int n;

	if (!c->tls)
		return read(c->fd, p, size);
	n = SSL_read(c->tls, p, (int)size);
	if (n > 0)
		return n;
	errno = SSL_get_error(c->tls, n) == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
	return -1;
}

/* ---- replies ---- */

#define COMMON "\"id\":\"chatcmpl-load\",\"created\":1,\"model\":\"load\""

static size_t
chunk(char *out, size_t size, const char *delta, size_t len, const char *finish)
{
	char data[REQUEST_MOST];
	int n = snprintf(data, sizeof data,
		"data: {" COMMON
		",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{%s%.*s%s},"
		"\"finish_reason\":%s}]}\n\n",
		len ? "\"content\":\"" : "", (int)len, delta, len ? "\"" : "", finish);

	return (size_t)snprintf(out, size, "%x\r\n%s\r\n", (unsigned)n, data);
}

static size_t
stream_end(char *out, size_t size, unsigned words)
{
	char data[512];
	size_t len = chunk(out, size, "", 0, "\"stop\"");
	int n = snprintf(data, sizeof data,
		"data: {" COMMON
		",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":%u,"
		"\"completion_tokens\":%u,\"total_tokens\":%u}}\n\ndata: [DONE]\n\n",
		words, words, 2 * words);

	return len +
		(size_t)snprintf(out + len, size - len, "%x\r\n%s\r\n0\r\n\r\n", (unsigned)n, data);
}

/* The next word; with the last one the end. */
static void
say(struct conn *c)
{
	char out[2 * REQUEST_MOST];
	size_t word = strcspn(c->word + 1, " ") + 1, len;

	len = chunk(out, sizeof out, c->word, word, "null");
	c->word += word;
	c->words++;
	if (*c->word == '\0')
		len += stream_end(out + len, sizeof out - len, c->words);
	put(c, out, len);
	if (c->open && *c->word != '\0')
		line_join(c);
}

static void
answer_stream(struct conn *c)
{
	static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
				   "transfer-encoding: chunked\r\n\r\n";

	streams++;
	c->word = c->text;
	c->words = 0;
	put(c, head, sizeof head - 1);
	if (c->open)
		say(c);
}

static void
answer_whole(struct conn *c)
{
	char body[REQUEST_MOST + 512], out[REQUEST_MOST + 1024];
	unsigned words = 1;
	int n;

	for (const char *p = c->text; *p; p++)
		words += *p == ' ';
	n = snprintf(body, sizeof body,
		"{" COMMON
		",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		"\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%u,"
		"\"completion_tokens\":%u,\"total_tokens\":%u}}",
		c->text, words, words, 2 * words);
	n = snprintf(out, sizeof out,
		"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
		n, body);
	put(c, out, (size_t)n);
}

/* ---- requests ---- */

/* The content of the last message, ended by a NUL where its quotation mark was. */
static char *
content(char *body)
{
	static const char name[] = "\"content\":\"";
	char *found = NULL;

	for (char *at = body; (at = strstr(at, name)); found = at)
		at += sizeof name - 1;
	if (found)
		found[strcspn(found, "\"")] = '\0';
	return found;
}

static void
serve(struct conn *c, char *body)
{
	bool stream = strstr(body, "\"stream\":true") != NULL;

	requests++;
	c->text = content(body);
	if (!c->text || *c->text == '\0')
		conn_close(c);
	else if (stream)
		answer_stream(c);
	else
		answer_whole(c);
}

/* Serve the request that has come, if it is whole. The router sends the next one when it has the
 * reply to this. */
static void
look(struct conn *c)
{
	static const char field[] = "\r\ncontent-length:";
	char *body, *length;

	c->in[c->len] = '\0';
	body = strstr(c->in, "\r\n\r\n");
	if (!body)
		return;
	body += 4;
	length = strcasestr(c->in, field);
	if (!length || length > body)
		conn_close(c);
	else if (c->len - (size_t)(body - c->in) >= strtoul(length + sizeof field - 1, NULL, 10)) {
		c->len = 0;
		serve(c, body);
	}
}

static void
conn_read(struct conn *c)
{
	ssize_t n = get(c, c->in + c->len, sizeof c->in - 1 - c->len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || c->streaming) {
		conn_close(c);
		return;
	}
	c->len += (size_t)n;
	look(c);
}

static void
accept_all(void)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= conns_size || (!conns[fd] && !(conns[fd] = malloc(sizeof **conns))))
			die("accept");
		*conns[fd] = (struct conn){ .fd = fd, .open = true };
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (tls) {
			conns[fd]->tls = SSL_new(tls);
			SSL_set_fd(conns[fd]->tls, fd);
			SSL_set_accept_state(conns[fd]->tls);
		}
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
		connections++;
	}
}

static void
on_signal(int signo)
{
	(void)signo;
	ending = 1;
}

static void
prepare(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	struct epoll_event e = { .events = EPOLLIN };
	struct sigaction act = { .sa_handler = on_signal };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die("getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	conns_size = files.rlim_cur < 65536 ? (int)files.rlim_cur : 65536;
	conns = calloc((size_t)conns_size, sizeof(struct conn *));
	sigaction(SIGTERM, &act, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!conns || epoll_fd < 0 || listener < 0 ||
		bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 4096) != 0)
		die("listen");
	e.data.fd = listener;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
	getsockname(listener, (struct sockaddr *)&a, &len);
	printf("port %u\n", ntohs(a.sin_port));
	fflush(stdout);
}

static void
turn(void)
{
	struct epoll_event events[256];
	uint64_t now = now_us();
	int wait = !first              ? 1000
		: first->due_us <= now ? 0
				       : (int)((first->due_us - now) / 1000) + 1;
	int n = epoll_wait(epoll_fd, events, 256, wait);
	bool coming = false;

	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == listener)
			coming = true;
		else if (conns[events[i].data.fd]->open)
			conn_read(conns[events[i].data.fd]);
	}
	if (coming)
		accept_all();
	now = now_us();
	while (first && first->due_us <= now) {
		struct conn *c = first;

		line_leave(c);
		say(c);
	}
}

static void
prepare_tls(const char *certificate, const char *key)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (!tls || SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
		fprintf(stderr, "cannot use %s and %s\n", certificate, key);
		exit(2);
	}
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
}

int
main(int argc, char **argv)
{
	const char *certificate = NULL, *key = NULL;
	int option;

	while ((option = getopt(argc, argv, "i:c:k:")) != -1) {
		if (option == 'i')
			interval_us = strtoul(optarg, NULL, 10) * 1000;
		else if (option == 'c')
			certificate = optarg;
		else if (option == 'k')
			key = optarg;
		else
			return 64;
	}
	if (!certificate != !key)
		return 64;
	if (certificate)
		prepare_tls(certificate, key);
	prepare();
	while (!ending)
		turn();
	printf("{\"connections\":%llu,\"requests\":%llu,\"streams\":%llu,\"left_early\":%llu}\n",
		connections, requests, streams, left_early);
	return 0;
}
