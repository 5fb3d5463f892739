/*
 * Handshakes of clients: a few in a turn of the loop, however many wait; those that leave meanwhile
 * cost nothing; and the clock that they run under.
 */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "net/tls_peer.h"
#include "net/tls_server.h"

#define CROWD 40
#define A_TURN 4

static struct house house;
static struct tls_peer peer;
static struct conf_listen listen_tls;
static SSL_CTX *client_context;
static struct {
	SSL *ssl;
	int fd;
} crowd[CROWD];

static void
report(void *ctx, enum tls_setting setting, bool is_error, const char *text)
{
	(void)ctx;
	ck_abort_msg("%d %d %s", setting, is_error, text);
}

static void
setup(void)
{
	struct tls_server_settings s = { .key_file = STR(""), .client_ca_file = STR("") };

	signal(SIGPIPE, SIG_IGN); /* as every process of the daemon does */
	house_open(&house, 1);
	tls_peer_open(&peer, "DNS:a.test");
	s.certificate_file = str_of(peer.certificate_file);
	listen_tls.tls = tls_server_new(&s, report, NULL);
	ck_assert_ptr_nonnull(listen_tls.tls);
	client_context = SSL_CTX_new(TLS_client_method());
}

static void
open_one(unsigned i)
{
	union sock_address a;
	int pair[2];

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	client_accept(&house.clients, pair[0], &a, &listen_tls);
	crowd[i].fd = pair[1];
	crowd[i].ssl = SSL_new(client_context);
	SSL_set_fd(crowd[i].ssl, pair[1]);
	SSL_set_connect_state(crowd[i].ssl);
}

static void
close_one(unsigned i)
{
	SSL_free(crowd[i].ssl);
	crowd[i].ssl = NULL;
	if (crowd[i].fd >= 0)
		close(crowd[i].fd);
	crowd[i].fd = -1;
}

static void
teardown(void)
{
	for (unsigned i = 0; i < CROWD; i++)
		close_one(i);
	clients_close(&house.clients);
	house_turn(&house, 0);
	house_turn(&house, 0);
	tls_context_free(listen_tls.tls);
	SSL_CTX_free(client_context);
	tls_peer_close(&peer);
	house_close(&house);
}

static unsigned
in_state(enum client_state state)
{
	unsigned n = 0;

	for (struct client *c = house.clients.oldest[state]; c; c = c->newer)
		n++;
	return n;
}

/* Clients that the daemon has answered. */
static unsigned
answered(void)
{
	unsigned n = 0;
	char byte;

	for (unsigned i = 0; i < CROWD; i++)
		n += crowd[i].fd >= 0 && recv(crowd[i].fd, &byte, 1, MSG_PEEK) == 1;
	return n;
}

START_TEST(a_few_in_a_turn)
{
	unsigned before = 0, now;

	setup();
	for (unsigned i = 0; i < CROWD; i++) {
		open_one(i);
		SSL_do_handshake(crowd[i].ssl);
	}
	ck_assert_uint_eq(in_state(CLIENT_TLS), CROWD);
	for (unsigned turn = 0; before < CROWD; turn++) {
		ck_assert_uint_lt(turn, CROWD);
		house_turn(&house, 0);
		now = answered();
		ck_assert_uint_gt(now, before);
		ck_assert_uint_le(now, before + A_TURN);
		before = now;
	}
	ck_assert_uint_eq(in_state(CLIENT_TURN), 0);
	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_int_eq(SSL_do_handshake(crowd[i].ssl), 1);
	for (unsigned turn = 0; in_state(CLIENT_HEAD) < CROWD; turn++) {
		ck_assert_uint_lt(turn, 2 * CROWD);
		house_turn(&house, 0);
	}
	ck_assert_int_eq(SSL_write(crowd[7].ssl, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 33),
		33);
	house_turn(&house, 0);
	house_turn(&house, 0);
	char head[16] = "";
	ck_assert_int_eq(SSL_read(crowd[7].ssl, head, 15), 15);
	ck_assert_str_eq(head, "HTTP/1.1 200 OK");
	teardown();
}
END_TEST

/* Who goes on does not wait behind all who begin. */
START_TEST(two_lines)
{
	setup();
	open_one(0);
	SSL_do_handshake(crowd[0].ssl);
	house_turn(&house, 0);
	for (unsigned i = 1; i < CROWD; i++) {
		open_one(i);
		SSL_do_handshake(crowd[i].ssl);
	}
	house_turn(&house, 0); /* all of them stand in line */
	ck_assert_int_eq(SSL_do_handshake(crowd[0].ssl), 1);
	house_turn(&house, 0);
	ck_assert_uint_eq(in_state(CLIENT_HEAD), 1);
	ck_assert_uint_gt(in_state(CLIENT_TURN), 20);
	teardown();
}
END_TEST

START_TEST(who_has_left_costs_nothing)
{
	setup();
	for (unsigned i = 0; i < CROWD; i++) {
		open_one(i);
		SSL_do_handshake(crowd[i].ssl);
	}
	house_turn(&house, 0);
	unsigned heard = answered();
	for (unsigned i = 0; i < CROWD; i++)
		close_one(i);
	for (unsigned turn = 0; house.clients.n > 0; turn++) {
		ck_assert_uint_lt(turn, 4); /* not the ten that it would take to hear them */
		house_turn(&house, 0);
	}
	ck_assert_uint_le(heard, A_TURN);
	teardown();
}
END_TEST

/* One clock from the beginning to the end of the head. */
START_TEST(the_clock_of_the_head)
{
	setup();
	open_one(0);
	open_one(1);
	house_turn(&house, 0);
	house.now_ms += house.conf.timeouts.head_ms - 10;
	clock_fake(house.now_ms, house.now_ms);
	SSL_do_handshake(crowd[1].ssl);
	for (int i = 0; i < 6; i++) {
		house_turn(&house, 0);
		SSL_do_handshake(crowd[1].ssl);
	}
	ck_assert_uint_eq(in_state(CLIENT_TLS), 1);
	ck_assert_uint_eq(in_state(CLIENT_HEAD), 1);
	house.now_ms += 20;
	clock_fake(house.now_ms, house.now_ms);
	house_turn(&house, 0);
	house_turn(&house, 0);
	ck_assert_uint_eq(in_state(CLIENT_TLS), 0); /* closed */
	ck_assert_uint_eq(in_state(CLIENT_HEAD), 0);
	ck_assert_uint_eq(in_state(CLIENT_LINGER), 1); /* our end was said */
	teardown();
}
END_TEST

UNIT_MAIN("proxy/client_tls", a_few_in_a_turn, two_lines, who_has_left_costs_nothing,
	the_clock_of_the_head)
