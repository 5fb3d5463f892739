/*
 * Connections of clients, from the bytes that come in to those that go out, with the echo provider
 * or a provider that the test plays itself: order, framing, ends that look like ends and cuts that
 * look like cuts, time, limits, memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

static struct house house;
static int fd = -1, listener = -1, provider = -1;
static char got[4 << 20], asked[1 << 20];
static size_t got_len, asked_len;
static int ended; /* 0: open, 1: end of file, -1: reset */

static void
setup(void)
{
	union sock_address a;
	socklen_t len = sizeof a;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	listener = sock_listen(&a, false);
	ck_assert_int_eq(getsockname(listener, &a.any, &len), 0);
	house_open(&house, sock_port(&a));
}

static void
open_client(void)
{
	union sock_address a, peer;
	socklen_t len = sizeof a;
	int own, accepted = -1;
	bool done;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	own = sock_listen(&a, false);
	ck_assert_int_eq(getsockname(own, &a.any, &len), 0);
	fd = sock_connect(&a, &done);
	while (accepted < 0)
		accepted = sock_accept(own, &peer);
	close(own);
	client_accept(&house.clients, accepted, &peer, &plain_listen);
	got_len = asked_len = 0;
	ended = 0;
}

static void
receive(void)
{
	union sock_address peer;
	ssize_t n;

	while (fd >= 0 && !ended && (n = read(fd, got + got_len, sizeof got - 1 - got_len)) != 0) {
		if (n < 0) {
			ended = errno == EAGAIN ? 0 : -1;
			break;
		}
		got_len += (size_t)n;
	}
	if (fd >= 0 && !ended && n == 0)
		ended = 1;
	got[got_len] = '\0';
	if (provider < 0)
		provider = sock_accept(listener, &peer);
	while (provider >= 0 &&
		(n = read(provider, asked + asked_len, sizeof asked - 1 - asked_len)) > 0)
		asked_len += (size_t)n;
	asked[asked_len] = '\0';
}

static void
turns(int n)
{
	while (n-- > 0) {
		house_turn(&house, 1);
		receive();
	}
}

static void
pass_time(uint64_t ms)
{
	house.now_ms += ms;
	clock_fake(house.now_ms, 1777636799000 + house.now_ms);
	turns(4);
}

static void
say(const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(6);
}

static void
provider_says(const char *text)
{
	for (int i = 0; i < 100 && provider < 0; i++)
		turns(1);
	ck_assert_int_ge(provider, 0);
	ck_assert_int_eq(send(provider, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(6);
}

static void
provider_closes(void)
{
	close(provider);
	provider = -1;
	turns(6);
}

static void
close_client(void)
{
	close(fd);
	fd = -1;
	turns(4);
	ck_assert_uint_eq(house.clients.n, 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->clients), 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->clients_active), 0);
}

static void
teardown(void)
{
	if (fd >= 0)
		close_client();
	if (provider >= 0)
		close(provider);
	provider = -1;
	house_tidy(&house);
	ck_assert_uint_eq(mem_used(), 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams_idle), 0);
	close(listener);
	house_close(&house);
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

#define ck_got(what) ck_assert_msg(strstr(got, what) != NULL, "no %s in: %s", what, got)
#define ck_not_got(what) ck_assert_msg(strstr(got, what) == NULL, "%s in: %s", what, got)

#define GET_ROOT "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
/* A POST with that body, in memory that the next call uses again. */
static const char *
post(const char *path, const char *version, const char *body)
{
	static char text[1000];

	snprintf(text, sizeof text, "POST %s HTTP/%s\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
		path, version, strlen(body), body);
	return text;
}

#define CHAT(model, stream)                           \
	"{\"model\":\"" model "\",\"stream\":" stream \
	",\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}]}"

static const char *
chat(const char *version, const char *body)
{
	return post("/v1/chat/completions", version, body);
}

START_TEST(test_pipelined_in_order)
{
	setup();
	open_client();
	say("\r\n" GET_ROOT
	    "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	    "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" GET_ROOT);
	turns(20);
	ck_assert_uint_eq(count(got, "HTTP/1.1 "), 5);
	ck_assert_uint_eq(count(got, "api-router "), 2); /* not for HEAD */
	ck_assert_ptr_nonnull(strstr(strstr(got, "204 "), "404 "));
	ck_not_got("connection: close");
	ck_assert_int_eq(ended, 0);
	teardown();
}
END_TEST

START_TEST(test_a_head_in_pieces)
{
	setup();
	open_client();
	for (const char *p = GET_ROOT; *p; p++)
		say((char[]){ *p, '\0' });
	ck_got("HTTP/1.1 200 OK");
	teardown();
}
END_TEST

/* HTTP/1.0 knows no chunks: the end of the connection is the end of the reply, and a client that
 * has shut its side still gets it. */
START_TEST(test_http10_stream_and_half_close)
{
	setup();
	open_client();
	const char *request = chat("1.0", CHAT("echo", "true"));
	ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	shutdown(fd, SHUT_WR);
	turns(20);
	ck_got("connection: close\r\n");
	ck_not_got("transfer-encoding");
	ck_got("data: [DONE]\n\n");
	ck_assert_int_eq(ended, 1);
	teardown();
}
END_TEST

START_TEST(test_early_refusal_closes)
{
	setup();
	open_client();
	say("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n{");
	ck_got("HTTP/1.1 413 ");
	ck_got("connection: close");
	ck_assert_int_eq(ended, 1);
	for (int i = 0; i < 100; i++) /* what it still sends is no reason for a reset */
		send(fd, asked, 5000, MSG_NOSIGNAL);
	turns(20);
	for (int i = 0; i < 10; i++) { /* as long as it goes on sending, for half a minute */
		pass_time(1500);
		ck_assert_uint_eq(house.clients.n, 1);
		send(fd, asked, 1, MSG_NOSIGNAL);
		turns(2);
	}
	pass_time(2001);
	ck_assert_uint_eq(house.clients.n, 0);
	teardown();
}
END_TEST

START_TEST(test_lingering_ends)
{
	int i;

	setup();
	open_client();
	say("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n{");
	ck_got("HTTP/1.1 413 ");
	for (i = 0; i < 100 && house.clients.n > 0; i++) {
		send(fd, asked, 1, MSG_NOSIGNAL);
		turns(2);
		pass_time(1000);
	}
	ck_assert_int_ge(i, 30);
	ck_assert_int_le(i, 33);
	teardown();
}
END_TEST

START_TEST(test_expect)
{
	setup();
	open_client();
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
	    "Content-Length: 32\r\n\r\n");
	ck_assert_str_eq(got, "HTTP/1.1 100 Continue\r\n\r\n");
	say("{\"model\":\"echo\",\"prompt\":\"word\"}");
	ck_got("\"text\":\"word\"");
	ck_assert_uint_eq(count(got, "100 Continue"), 1);
	got_len = 0; /* who is refused is not told to go on */
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
	    "Content-Encoding: gzip\r\nContent-Length: 32\r\n\r\n");
	ck_assert(strncmp(got, "HTTP/1.1 415 ", 13) == 0);
	teardown();
}
END_TEST

START_TEST(test_time)
{
	setup();
	open_client();
	pass_time(9000);
	ck_assert_int_eq(ended, 0);
	pass_time(2000); /* nothing came: nothing is said */
	ck_assert_int_eq(ended, 1);
	ck_assert_uint_eq(got_len, 0);
	close_client();
	open_client();
	say("GET / HT");
	pass_time(9000);
	say("TP");
	pass_time(2000);
	ck_got("HTTP/1.1 408 ");
	close_client();
	open_client();
	say(GET_ROOT);
	pass_time(74000);
	ck_assert_int_eq(ended, 0);
	say("GET ");
	pass_time(9000);
	say("/ HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_uint_eq(count(got, "200 OK"), 2);
	pass_time(75001);
	ck_assert_int_eq(ended, 1);
	close_client();
	open_client();
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n{");
	pass_time(29000);
	say("\"");
	ck_assert_uint_eq(got_len, 0);
	pass_time(30001);
	ck_got("HTTP/1.1 408 ");
	teardown();
}
END_TEST

START_TEST(test_full)
{
	int idle;

	setup();
	house.clients.limit = 1;
	open_client();
	say(GET_ROOT);
	idle = fd;
	open_client(); /* the idle one goes */
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n");
	while (read(idle, got, sizeof got) > 0)
		;
	ck_assert_int_eq(read(idle, got, sizeof got), 0);
	close(idle);
	idle = fd;
	open_client(); /* that one is busy */
	turns(4);
	ck_got("HTTP/1.1 503 ");
	ck_got("limits.connections");
	ck_assert_int_eq(ended, 1);
	close(idle);
	teardown();
}
END_TEST

/* The oldest idle one goes for its descriptor; one that has begun a head does not. */
START_TEST(test_spare)
{
	int first, second;

	setup();
	ck_assert(!clients_spare(&house.clients));
	open_client();
	say(GET_ROOT);
	first = fd;
	open_client();
	say(GET_ROOT);
	second = fd;
	open_client();
	say("GET / HT");
	ck_assert(clients_spare(&house.clients));
	turns(2);
	while (read(first, got, sizeof got) > 0)
		;
	ck_assert_int_eq(read(first, got, sizeof got), 0);
	ck_assert_uint_eq(house.clients.n, 2);
	ck_assert(clients_spare(&house.clients));
	ck_assert(!clients_spare(&house.clients));
	turns(2);
	ck_assert_uint_eq(house.clients.n, 1);
	close(first);
	close(second);
	teardown();
}
END_TEST

#define UP "HTTP/1.1 200 OK\r\nContent-Type: "
#define EVENT \
	"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n"

START_TEST(test_cut_replies_look_cut)
{
	static const struct {
		const char *version, *reply, *never, *must;
		int end; /* 1: an end is enough, -1: nothing but a reset tells */
	} cases[] = {
		{ "1.1", UP "audio/mpeg\r\nContent-Length: 10\r\n\r\n12345", "502",
			"content-length: 10\r\n", 1 },
		{ "1.1", UP "audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
			"\r\n0\r\n", "5\r\n12345\r\n", 1 },
		{ "1.0", UP "audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
			"chunked", "12345", -1 },
		{ "1.1", UP "application/json\r\n\r\n{\"a\":", "\r\n0\r\n", "{\"a\":", 1 },
		{ "1.1",
			UP "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4e\r\n" EVENT
			   "\r\n6\r\ndata: \r\n",
			"\r\n0\r\n", "\"finish_reason\":null}]}\n\n", 1 },
		{ "1.1", UP "audio/mpeg\r\nContent-Length: 10\r\n\r\n", "content-length: 10\r\n",
			"HTTP/1.1 502 ", 0 },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool stream = strstr(cases[i].reply, "event-stream") != NULL;

		open_client();
		say(stream ? chat(cases[i].version, CHAT("remote", "true"))
			   : post("/v1/audio/speech", cases[i].version, "{\"model\":\"remote\"}"));
		provider_says(cases[i].reply);
		provider_closes();
		turns(4);
		ck_assert_int_eq(ended, cases[i].end);
		ck_not_got(cases[i].never);
		ck_got(cases[i].must);
		if (stream)
			ck_got("\ndata: {\"error\":");
		close_client();
	}
	teardown();
}
END_TEST

/* A pooled connection that the provider had closed is not the client's problem; a fresh one is. */
START_TEST(test_stale_connection_is_tried_again)
{
	int old;
	const char *request = post("/v1/embeddings", "1.1", "{\"model\":\"remote\"}");

	setup();
	open_client();
	say(request);
	provider_says(UP "application/json\r\nContent-Length: 2\r\n\r\n{}");
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams_idle), 1);
	old = provider;
	provider = -1;
	ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	house_turn(&house, 10); /* it is taken, and the request goes out on it */
	ck_assert_uint_eq(house_count(&house, METRIC_UPSTREAM_REUSES), 1);
	sock_reset(old);
	provider_says(UP "application/json\r\nContent-Length: 3\r\n\r\n{ }");
	ck_assert_uint_eq(count(got, "200 OK"), 2);
	ck_assert_uint_eq(count(asked, "POST /v1/embeddings"), 2);
	say(request);
	provider_closes(); /* died again, and then the fresh one too: that is told */
	for (int i = 0; i < 50 && provider < 0; i++)
		turns(1);
	provider_closes();
	ck_got("HTTP/1.1 502 ");
	teardown();
}
END_TEST

/* A heartbeat must not settle the framing of a reply whose kind is not known yet. */
START_TEST(test_heartbeat_before_the_first_byte)
{
	setup();
	open_client();
	say(chat("1.1", CHAT("remote", "true")));
	provider_says(UP "application/octet-stream\r\nContent-Length: 102\r\n\r\n");
	pass_time(15001);
	ck_assert_uint_eq(got_len, 0);
	provider_says(
		"{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},"
		"\"finish_reason\":\"stop\"}]}  ");
	provider_says("      ");
	ck_got("transfer-encoding: chunked");
	ck_not_got("content-length");
	ck_got("data: [DONE]\n\n\r\n0\r\n\r\n");
	teardown();
}
END_TEST

/* Whatever fails for want of memory: an honest 503 or a visible cut, and all of it comes back. */
START_TEST(test_memory)
{
	bool through = false;
	unsigned bare = 0; /* refusals made without any memory */

	setup();
	for (size_t n = 1; n < 300 && !through; n++) {
		open_client();
		mem_fail_after(n);
		say(chat("1.1", CHAT("echo", "true")));
		mem_fail_after(0);
		turns(5);
		through = strstr(got, "data: [DONE]\n\n\r\n0\r\n\r\n") != NULL;
		if (!through && strstr(got, "200 OK") == NULL && got_len > 0) {
			ck_got("HTTP/1.1 503 ");
			ck_got("limits.memory");
			ck_assert_uint_eq(count(got, "HTTP/1.1 "), 1);
		}
		bare += strstr(got, "\r\n\r\n{\"type\":\"error\"") != NULL;
		close_client();
		house_tidy(&house);
		ck_assert_uint_eq(mem_used(), 0);
	}
	ck_assert(through);
	ck_assert_uint_ge(bare, 3);
	teardown();
}
END_TEST

START_TEST(test_drain_and_stop)
{
	setup();
	open_client();
	say(GET_ROOT);
	house.proxy.draining = true;
	clients_drain(&house.clients);
	say(GET_ROOT); /* one more, which says that it was the last */
	ck_assert_uint_eq(count(got, "200 OK"), 2);
	ck_assert_uint_eq(count(got, "connection: close"), 1);
	ck_assert_int_eq(ended, 1);
	close_client();
	house.proxy.draining = false;
	open_client();
	say(chat("1.1", CHAT("remote", "true")));
	provider_says(
		UP "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4e\r\n" EVENT "\r\n");
	ck_got("\"content\":\"x\"");
	clients_stop(&house.clients);
	turns(4);
	ck_got("data: {\"error\":");
	ck_not_got("\r\n0\r\n");
	ck_assert_int_eq(ended, 1);
	teardown();
}
END_TEST

UNIT_MAIN("proxy/client", test_pipelined_in_order, test_a_head_in_pieces,
	test_http10_stream_and_half_close, test_early_refusal_closes, test_lingering_ends,
	test_expect, test_time, test_full, test_spare, test_cut_replies_look_cut,
	test_stale_connection_is_tried_again, test_heartbeat_before_the_first_byte, test_memory,
	test_drain_and_stop)
