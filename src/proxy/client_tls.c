/*
 * client_tls: how a client's connection becomes one of TLS.
 *
 *     accept --> TLS --bytes--> TURN --heard--> TLS --bytes--> AGAIN --heard--> TLS … --> HEAD
 *                 `--timeouts.head--> closed      `--failed--> LINGER
 *
 * Each step of a handshake may cost as much as hundreds of requests: signatures and key exchanges.
 * So whoever has something to say is put into a line, and one at a time is heard, a few in a turn
 * of the loop (loop_later), and one where that took STEPS_US: a flood of handshakes takes its time
 * from other handshakes. There are two lines, served in turns: who goes on with a handshake need
 * not wait behind all that begin one and never go on. The clock of the head runs on all the while.
 *
 * A request in plain HTTP is answered in plain HTTP, that this is the wrong port for it. A
 * handshake that fails is told to the client as an alert; then what still comes is thrown away, so
 * that a reset does not overtake the alert.
 */
#include "proxy/client_private.h"

#include <stddef.h>

#include "base/log.h"
#include "net/clock.h"
#include "net/tls_server.h"

#define STEPS_US 100 /* of a turn of the loop; the step that goes beyond is the last */

static void
plain_request(struct client *c)
{
	long n = wire_read(&c->wire, c->proxy->scratch, PROXY_READ);
	struct str seen = { c->proxy->scratch, n > 0 ? (size_t)n : 0 };

	client_enter(c, CLIENT_HEAD);
	client_refuse_seen(c, seen, 400, "this port is for TLS: ask it by https, not by http");
}

static void
failed(struct client *c, const char *why)
{
	if (c->wire.end == WIRE_CUT) {
		client_close(c, END_CLIENT_GONE, CLOSE_PEER);
		return;
	}
	if (tls_server_verifies(c->listen->tls))
		log_info("the TLS handshake of %s failed: %s", c->ip, why);
	else
		log_debug("the TLS handshake of %s failed: %s", c->ip, why);
	client_linger(c, CLOSE_TLS);
}

/* One step. */
static void
hear(struct client *c)
{
	int begun = c->wire.ssl ? 1 : wire_accept_tls(&c->wire, c->listen->tls);
	int result;
	char why[200];

	if (begun == 0) {
		plain_request(c);
		return;
	}
	if (begun < 0) {
		client_close(c, END_REFUSED, CLOSE_MEMORY);
		return;
	}
	result = wire_handshake(&c->wire, why, sizeof why);
	if (result < 0) {
		failed(c, why);
	} else if (result > 0) {
		client_enter(c, CLIENT_HEAD);
		client_update(c);
	}
}

void
client_tls_turn(struct loop_later *later)
{
	struct clients *all = (struct clients *)((char *)later - offsetof(struct clients, turns));
	struct client *first = all->oldest[CLIENT_TURN], *again = all->oldest[CLIENT_AGAIN];
	struct client *c = again && (all->again || !first) ? again : first;

	if (all->turn_us != clock_us()) {
		all->turn_us = clock_us();
		all->spent_us = 0;
	}
	if (c && all->spent_us < STEPS_US) {
		uint64_t began = clock_now_us();

		all->again = c == first;
		client_enter(c, CLIENT_TLS);
		hear(c);
		all->spent_us += clock_now_us() - began;
	}
	if (all->oldest[CLIENT_TURN] || all->oldest[CLIENT_AGAIN])
		loop_later(all->proxy->loop, later);
}

void
client_tls_ready(struct client *c, unsigned ready)
{
	if (c->state != CLIENT_TLS) {
		if (ready & READY_HANGUP)
			client_close(c, END_CLIENT_GONE, CLOSE_PEER);
		return;
	}
	client_enter(c, c->wire.ssl ? CLIENT_AGAIN : CLIENT_TURN);
	wire_want(&c->wire, WANT_HANGUP); /* it is in the loop: this cannot fail */
	loop_later(c->proxy->loop, &c->clients->turns);
}
