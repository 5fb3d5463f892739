/*
 * Connections, plain and TLS, over socket pairs with an OpenSSL server in the same process: bytes
 * both ways at any size, the ways to end (in order, cut, reset), bytes that poll does not know of,
 * writes that wait, and whether an idle connection is still good.
 */
#include "net/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "net/sock.h"
#include "net/tls_server.h"
#include "tls_peer.h"

static struct loop *loop;
static struct tls_peer peer;
static struct tls_context *context;
static struct wire wire;
static SSL *server;
static int far = -1;
static bool tcp; /* pairs are connections of TCP */
static unsigned told, told_ready;
static char got[4 << 20];
static size_t got_len;
static long last; /* what the last read returned when it gave no bytes */
static char err[200];
static int shaken;

static void
on_ready(struct wire *w, unsigned ready)
{
	told++;
	told_ready = ready;
	if (w->handshaking) {
		shaken = wire_handshake(w, err, sizeof err);
		return;
	}
	if (ready & READY_READ) {
		long n = wire_read(w, got + got_len, 1000);

		if (n > 0)
			got_len += (size_t)n;
		else
			last = n;
		if (n < 0)
			wire_park(w);
	}
}

/* Of TCP, for what sockets of the other kind do not do. */
static void
tcp_pair(int pair[2])
{
	union sock_address a, from;
	socklen_t len = sizeof a;
	struct pollfd p = { .events = POLLIN };
	bool done;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	p.fd = sock_listen(&a, true);
	ck_assert_int_ge(p.fd, 0);
	ck_assert_int_eq(getsockname(p.fd, &a.any, &len), 0);
	pair[0] = sock_connect(&a, &done);
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	pair[1] = sock_accept(p.fd, &from);
	ck_assert_int_ge(pair[1], 0);
	close(p.fd);
}

static void
open_pair(void)
{
	int pair[2];

	signal(SIGPIPE, SIG_IGN); /* as every process of the daemon does */
	if (tcp)
		tcp_pair(pair);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	far = pair[1];
	loop = loop_new(4);
	told = shaken = 0;
	got_len = 0;
	last = 99;
	wire_open(&wire, loop, pair[0], on_ready);
	ck_assert(wire_is_open(&wire));
}

static void
close_pair(void)
{
	wire_close(&wire);
	ck_assert(!wire_is_open(&wire));
	wire_close(&wire);
	if (far >= 0)
		close(far);
	loop_free(loop);
}

static void
turns(int n)
{
	while (n-- > 0)
		loop_turn(loop, 0);
}

static void
open_tls(const char *name)
{
	struct tls_settings s = { .verify = true, .ca_file = str_of(peer.ca_file) };

	context = tls_client_new(&s, err, sizeof err);
	ck_assert_ptr_nonnull(context);
	open_pair();
	server = tls_peer_accept(&peer, far);
	ck_assert_int_eq(wire_start_tls(&wire, context, str_of(name)), 0);
	shaken = wire_handshake(&wire, err, sizeof err);
	for (int i = 0; i < 10 && shaken == 0; i++) {
		SSL_do_handshake(server);
		turns(2);
	}
	if (shaken == 1)
		ck_assert_int_eq(SSL_do_handshake(server), 1);
}

static void
close_tls(void)
{
	close_pair();
	SSL_free(server);
	tls_context_free(context);
	tls_peer_close(&peer);
}

static void
fill(char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 31 + i / 251);
}

START_TEST(test_plain)
{
	struct iovec iov[3] = { { (char[]){ "ab" }, 2 }, { (char[]){ "" }, 0 },
		{ (char[]){ "cde" }, 3 } };
	char piece[16];

	open_pair();
	ck_assert_int_eq(wire_read(&wire, got, 10), WIRE_WAIT);
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	turns(3);
	ck_assert_uint_eq(told, 0);
	ck_assert_int_eq(wire_writev(&wire, iov, 3), 5);
	ck_assert_int_eq(read(far, piece, sizeof piece), 5);
	ck_assert_mem_eq(piece, "abcde", 5);
	ck_assert_int_eq(write(far, "xyz", 3), 3);
	turns(1);
	ck_assert_uint_eq(told, 1);
	ck_assert_mem_eq(got, "xyz", 3);
	wire_shut(&wire);
	ck_assert_int_eq(read(far, piece, sizeof piece), 0);
	ck_assert_int_eq(write(far, "late", 4), 4); /* can still be read */
	close(far);
	far = -1;
	turns(2);
	ck_assert_uint_eq(got_len, 7);
	ck_assert_int_eq(last, WIRE_END);
	ck_assert_int_eq(wire_writev(&wire, iov, 1), WIRE_BROKEN);
	close_pair();
}
END_TEST

/* The peer resets, and a write is told first: the read that asks what became of it is told too. */
static void
ck_reset(void)
{
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct pollfd p = { .fd = wire.watch.fd, .events = POLLIN };

	sock_reset(far);
	far = -1;
	ck_assert_int_eq(poll(&p, 1, 5000), 1);
	ck_assert_int_eq(wire_writev(&wire, &iov, 1), WIRE_BROKEN);
	ck_assert_int_eq(wire_writev(&wire, &iov, 1), WIRE_BROKEN);
	errno = 0;
	ck_assert_int_eq(wire_read(&wire, got, 10), WIRE_BROKEN);
	ck_assert_int_eq(errno, ECONNRESET);
}

START_TEST(test_plain_reset)
{
	tcp = true;
	open_pair();
	ck_reset();
	close_pair();
}
END_TEST

START_TEST(test_tls_reset)
{
	tcp = true;
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	ck_assert_msg(shaken == 1, "%s", err);
	wire_want(&wire, WANT_READ);
	turns(3); /* the tickets */
	ck_reset();
	close_tls();
}
END_TEST

START_TEST(test_plain_full)
{
	static char big[1 << 20];
	struct iovec iov = { big, sizeof big };
	long n = 1, sent = 0;

	open_pair();
	while (n > 0) {
		n = wire_writev(&wire, &iov, 1);
		ck_assert_int_ge(n, 0);
		sent += n;
	}
	ck_assert_int_gt(sent, 0);
	ck_assert_int_eq(wire_want(&wire, WANT_WRITE), 0);
	turns(3);
	ck_assert_uint_eq(told, 0); /* no spin while there is no room */
	while (read(far, big, sizeof big) > 0)
		;
	turns(1);
	ck_assert_uint_eq(told_ready, READY_WRITE);
	close_pair();
}
END_TEST

START_TEST(test_plain_idle)
{
	open_pair();
	wire_want(&wire, WANT_READ);
	wire_park(&wire);
	ck_assert(wire_idle_ok(&wire));
	ck_assert_int_eq(write(far, "?", 1), 1);
	turns(2);
	ck_assert_uint_eq(told, 0);
	ck_assert(!wire_idle_ok(&wire)); /* nobody asked for that */
	close_pair();
	open_pair();
	close(far);
	far = -1;
	ck_assert(!wire_idle_ok(&wire));
	close_pair();
}
END_TEST

START_TEST(test_tls_bytes)
{
	static char big[1 << 20];
	struct iovec iov[2];
	size_t sent = 0, seen = 0;
	static char back[1 << 20];

	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	ck_assert_msg(shaken == 1, "%s", err);
	fill(big, sizeof big);
	/* out: more than the socket holds, so that writes wait, from a vector cut anywhere */
	while (seen < sizeof big) {
		size_t rest = sizeof big - sent, cut = rest / 3;
		long n;
		int r;

		iov[0] = (struct iovec){ big + sent, cut };
		iov[1] = (struct iovec){ big + sent + cut, rest - cut };
		n = wire_writev(&wire, iov, 2);
		ck_assert_int_ge(n, 0);
		sent += (size_t)n;
		ERR_clear_error();
		while ((r = SSL_read(server, back + seen, 50000)) > 0)
			seen += (size_t)r;
		ck_assert_int_eq(SSL_get_error(server, r), SSL_ERROR_WANT_READ);
	}
	ck_assert_uint_eq(sent, sizeof big);
	ck_assert_mem_eq(back, big, sizeof big);
	/* in: reads smaller than a record leave bytes that poll knows nothing of */
	wire_want(&wire, WANT_READ);
	for (sent = 0; got_len < sizeof big;) {
		int r = sent < sizeof big ? SSL_write(server, big + sent, (int)(sizeof big - sent))
					  : 0;

		if (r > 0)
			sent += (size_t)r;
		turns(1);
	}
	ck_assert_mem_eq(got, big, sizeof big);
	turns(2);
	told = 0;
	turns(5);
	ck_assert_uint_eq(told, 0); /* drained: no spin */
	close_tls();
}
END_TEST

/* Bytes that were decrypted while nobody wanted them come when they are wanted. */
START_TEST(test_tls_pause)
{
	static char big[16000];

	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_want(&wire, WANT_READ);
	ck_assert_int_eq(SSL_write(server, big, sizeof big), sizeof big);
	loop_turn(loop, 0);
	wire_want(&wire, 0);
	ck_assert_uint_gt(got_len, 0);
	ck_assert_uint_lt(got_len, sizeof big);
	told = 0;
	turns(10);
	ck_assert_uint_eq(told, 0);
	wire_want(&wire, WANT_READ);
	turns(20);
	ck_assert_uint_eq(got_len, sizeof big);
	close_tls();
}
END_TEST

START_TEST(test_tls_ends_in_order)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_want(&wire, WANT_READ);
	ck_assert_int_eq(SSL_write(server, "last", 4), 4);
	SSL_shutdown(server);
	close(far);
	far = -1;
	turns(3);
	ck_assert_uint_eq(got_len, 4);
	ck_assert_int_eq(last, WIRE_END);
	close_tls();
}
END_TEST

START_TEST(test_tls_is_cut)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_want(&wire, WANT_READ);
	ck_assert_int_eq(SSL_write(server, "last", 4), 4);
	close(far); /* without close_notify */
	far = -1;
	turns(3);
	ck_assert_uint_eq(got_len, 4);
	ck_assert_int_eq(last, WIRE_CUT);
	ck_assert(!wire_idle_ok(&wire));
	close_tls();
}
END_TEST

START_TEST(test_tls_broken)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_want(&wire, WANT_READ);
	ck_assert_int_eq(write(far, "\x17\x03\x03\x00\x20no record of this connection!!!!", 37),
		37);
	turns(3);
	ck_assert_int_eq(last, WIRE_BROKEN);
	close_tls();
}
END_TEST

START_TEST(test_tls_our_end)
{
	char byte;

	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_close(&wire);
	ck_assert_int_eq(SSL_read(server, &byte, 1), 0);
	ck_assert_int_eq(SSL_get_error(server, 0), SSL_ERROR_ZERO_RETURN); /* close_notify */
	close_tls();
}
END_TEST

/* Session tickets on an idle connection are no harm; data, an end and a cut are. */
START_TEST(test_tls_idle)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	wire_want(&wire, WANT_READ);
	wire_park(&wire);
	ck_assert(wire_idle_ok(&wire)); /* the first tickets are there to be read */
	ck_assert_int_eq(SSL_new_session_ticket(server), 1);
	ck_assert_int_eq(SSL_do_handshake(server), 1);
	ck_assert(wire_idle_ok(&wire));
	ck_assert_ptr_nonnull(context);
	ck_assert_int_eq(SSL_write(server, "?", 1), 1);
	ck_assert(!wire_idle_ok(&wire));
	close_tls();
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	SSL_shutdown(server);
	ck_assert(!wire_idle_ok(&wire));
	close_tls();
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("a.test");
	close(far);
	far = -1;
	ck_assert(!wire_idle_ok(&wire));
	close_tls();
}
END_TEST

START_TEST(test_tls_wrong_name)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_tls("b.test");
	ck_assert_int_eq(shaken, -1);
	ck_assert_msg(strcasecmp(err, "certificate refused: hostname mismatch") == 0, "%s", err);
	close_tls();
}
END_TEST

START_TEST(test_tls_no_tls)
{
	tls_peer_open(&peer, "DNS:a.test");
	open_pair();
	struct tls_settings s = { .verify = true, .ca_file = str_of(peer.ca_file) };

	context = tls_client_new(&s, err, sizeof err);
	server = NULL;
	ck_assert_int_eq(wire_start_tls(&wire, context, STR("a.test")), 0);
	ck_assert_int_eq(wire_handshake(&wire, err, sizeof err), 0);
	ck_assert_int_eq(write(far, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
	turns(3);
	ck_assert_int_eq(shaken, -1);
	ck_assert_str_ne(err, "");
	close_tls();
}
END_TEST

/*
 * The wire as a server
 */

static void
no_report(void *ctx, enum tls_setting setting, bool is_error, const char *text)
{
	(void)ctx;
	ck_abort_msg("%d %d %s", setting, is_error, text);
}

/* A wire on which a client (`server` above, the far end) has TLS. */
static void
open_served(void)
{
	struct tls_server_settings s;

	tls_peer_open(&peer, "DNS:a.test");
	s = (struct tls_server_settings){ .certificate_file = str_of(peer.certificate_file),
		.key_file = STR(""),
		.client_ca_file = STR("") };
	context = tls_server_new(&s, no_report, NULL);
	open_pair();
	SSL_CTX_free(peer.context);
	peer.context = SSL_CTX_new(TLS_client_method());
	server = SSL_new(peer.context);
	ck_assert_int_eq(SSL_set_fd(server, far), 1);
	SSL_set_connect_state(server);
	ck_assert_int_le(SSL_do_handshake(server), 0);
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	ck_assert_int_eq(wire_accept_tls(&wire, context), 1);
	shaken = wire_handshake(&wire, err, sizeof err);
	for (int i = 0; i < 10 && shaken == 0; i++) {
		SSL_do_handshake(server);
		turns(1);
	}
	ck_assert_int_eq(shaken, 1);
	told = 0;
}

START_TEST(test_served_bytes)
{
	struct iovec iov = { (char[]){ "world" }, 5 };
	char text[16];

	open_served();
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	ck_assert_int_eq(SSL_write(server, "hello", 5), 5);
	turns(2);
	ck_assert_uint_eq(got_len, 5);
	ck_assert_mem_eq(got, "hello", 5);
	ck_assert_int_eq(wire_writev(&wire, &iov, 1), 5);
	ck_assert_int_eq(SSL_read(server, text, sizeof text), 5);
	ck_assert_mem_eq(text, "world", 5);
	wire_shut(&wire);
	ck_assert_int_eq(SSL_read(server, text, sizeof text), 0);
	ck_assert_int_eq(SSL_get_error(server, 0), SSL_ERROR_ZERO_RETURN);
	ck_assert_int_eq(SSL_write(server, "late", 4), 4); /* can still be read */
	turns(2);
	ck_assert_uint_eq(got_len, 9);
	close_tls();
}
END_TEST

/* Whoever wants to know of the end alone sees it in TLS too, and nothing else. */
START_TEST(test_served_end)
{
	open_served();
	ck_assert_int_eq(wire_want(&wire, WANT_HANGUP), 0);
	turns(3);
	ck_assert_uint_eq(told, 0);
	ck_assert_int_eq(SSL_key_update(server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
	ck_assert_int_eq(SSL_do_handshake(server), 1); /* bytes that are none for the owner */
	turns(3);
	ck_assert_uint_eq(told_ready & READY_HANGUP, 0);
	SSL_shutdown(server); /* and the connection stays open */
	turns(1);
	ck_assert_uint_ne(told_ready & READY_HANGUP, 0);
	close_tls();
}
END_TEST

/* What comes before it is kept, and does not keep the loop awake. */
START_TEST(test_served_ahead)
{
	open_served();
	ck_assert_int_eq(wire_want(&wire, WANT_HANGUP), 0);
	ck_assert_int_eq(SSL_write(server, "next", 4), 4);
	turns(2);
	told = 0;
	turns(5);
	ck_assert_uint_eq(told, 0);
	ck_assert_uint_eq(got_len, 0);
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	turns(2);
	ck_assert_uint_eq(got_len, 4);
	ck_assert_mem_eq(got, "next", 4);
	ck_assert_int_eq(wire_want(&wire, WANT_HANGUP), 0); /* looked for again */
	told_ready = 0;
	SSL_shutdown(server);
	turns(1);
	ck_assert_uint_ne(told_ready & READY_HANGUP, 0);
	close_tls();
}
END_TEST

/* Records of a byte that the socket takes, at most `most`. */
static unsigned
write_bytes(unsigned most)
{
	struct iovec iov = { (char[]){ "x" }, 1 };
	unsigned n = 0;

	while (n < most && wire_writev(&wire, &iov, 1) == 1)
		n++;
	return n;
}

/* No room for close_notify at first: it comes as soon as there is. */
START_TEST(test_served_shut_when_full)
{
	unsigned most, came = 0;
	int n = 0;

	open_served();
	most = write_bytes(1000000);
	close_tls();
	open_served();
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	ck_assert_uint_eq(write_bytes(most), most);
	wire_shut(&wire);
	ck_assert(wire.shutting);
	wire_want(&wire, WANT_READ);
	turns(2);
	ck_assert(wire.shutting);
	while ((n = SSL_read(server, got, sizeof got)) > 0)
		came += (unsigned)n;
	ck_assert_int_eq(SSL_get_error(server, n), SSL_ERROR_WANT_READ);
	ck_assert_uint_eq(came, most);
	turns(2);
	ck_assert(!wire.shutting);
	ck_assert_int_eq(SSL_read(server, got, 1), 0);
	ck_assert_int_eq(SSL_get_error(server, 0), SSL_ERROR_ZERO_RETURN);
	ck_assert_int_eq(read(far, got, 1), 0); /* then the end of the stream */
	close_tls();
}
END_TEST

START_TEST(test_served_letters)
{
	struct tls_server_settings s;

	tls_peer_open(&peer, "DNS:a.test");
	s = (struct tls_server_settings){ .certificate_file = str_of(peer.certificate_file),
		.key_file = STR(""),
		.client_ca_file = STR("") };
	context = tls_server_new(&s, no_report, NULL);
	server = NULL;
	open_pair();
	ck_assert_int_eq(write(far, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	ck_assert_int_eq(wire_accept_tls(&wire, context), 0);
	ck_assert_int_eq(wire_read(&wire, got, sizeof got), 18); /* plain, and nothing is lost */
	ck_assert_mem_eq(got, "GET / HTTP/1.1\r\n\r\n", 18);
	close_tls();
}
END_TEST

/* A failed handshake is told, and leaves a plain wire that can be emptied. */
START_TEST(test_served_failure)
{
	struct tls_server_settings s;
	char alert[64];

	tls_peer_open(&peer, "DNS:a.test");
	s = (struct tls_server_settings){ .certificate_file = str_of(peer.certificate_file),
		.key_file = STR(""),
		.client_ca_file = STR("") };
	context = tls_server_new(&s, no_report, NULL);
	server = NULL;
	open_pair();
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	ck_assert_int_eq(write(far, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00....", 14), 14);
	ck_assert_int_eq(wire_accept_tls(&wire, context), 1);
	ck_assert_int_eq(wire_handshake(&wire, err, sizeof err), -1);
	ck_assert_str_ne(err, "");
	ck_assert_int_eq(wire.end, 0);
	ck_assert_int_eq(read(far, alert, sizeof alert), 7);
	ck_assert_int_eq(alert[0], 0x15);
	ck_assert_int_gt(wire_read(&wire, got, sizeof got), 0);
	wire_shut(&wire);
	ck_assert_int_eq(read(far, alert, sizeof alert), 0);
	close_tls();
	/* one that has gone */
	tls_peer_open(&peer, "DNS:a.test");
	s.certificate_file = str_of(peer.certificate_file);
	context = tls_server_new(&s, no_report, NULL);
	open_pair();
	ck_assert_int_eq(write(far, "\x16\x03\x01", 3), 3);
	ck_assert_int_eq(wire_accept_tls(&wire, context), 1);
	ck_assert_int_eq(wire_handshake(&wire, err, sizeof err), 0);
	close(far);
	far = -1;
	ck_assert_int_eq(wire_handshake(&wire, err, sizeof err), -1);
	ck_assert_int_eq(wire.end, WIRE_CUT);
	close_tls();
}
END_TEST

static void
send_key_updates(int n)
{
	while (n-- > 0) {
		ck_assert_int_eq(SSL_key_update(server, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(server), 1);
	}
}

/* What is no data is taken a little at a time: a peer that sends nothing else, without end, must
 * not keep everybody waiting; nor one that sends a byte now and then. */
START_TEST(test_served_key_updates)
{
	open_served();
	send_key_updates(150);
	ck_assert_int_eq(SSL_write(server, "late", 4), 4);
	ck_assert(!wire_idle_ok(&wire)); /* what is behind them is not known */
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	turns(2);
	ck_assert_uint_eq(told, 2);
	ck_assert_uint_eq(got_len, 0);
	turns(20);
	ck_assert_uint_eq(got_len, 4);
	ck_assert_mem_eq(got, "late", 4);
	ck_assert_uint_lt(told, 10);
	for (int i = 0; i < 10; i++) {
		send_key_updates(9);
		ck_assert_int_eq(SSL_write(server, "x", 1), 1);
	}
	turns(1);
	ck_assert_uint_lt(got_len, 4 + 5);
	turns(10);
	ck_assert_uint_eq(got_len, 4 + 10);
	close_tls();
}
END_TEST

/* An end that came right behind bytes that were read is told as well as one that comes later. */
START_TEST(test_served_end_behind_bytes)
{
	open_served();
	ck_assert_int_eq(wire_want(&wire, WANT_READ), 0);
	ck_assert_int_eq(SSL_write(server, "last", 4), 4);
	SSL_shutdown(server); /* and the connection stays open */
	ck_assert_int_eq(wire_read(&wire, got, 1000), 4);
	ck_assert_int_eq(wire_want(&wire, WANT_HANGUP), 0);
	turns(3);
	ck_assert_uint_eq(told, 1);
	ck_assert_uint_eq(told_ready, READY_HANGUP);
	close_tls();
}
END_TEST

UNIT_MAIN("net/wire", test_served_end_behind_bytes, test_served_key_updates, test_served_bytes,
	test_served_end, test_served_ahead, test_served_shut_when_full, test_served_letters,
	test_served_failure, test_plain, test_plain_reset, test_tls_reset, test_plain_full,
	test_plain_idle, test_tls_bytes, test_tls_pause, test_tls_ends_in_order, test_tls_is_cut,
	test_tls_broken, test_tls_our_end, test_tls_idle, test_tls_wrong_name, test_tls_no_tls)
