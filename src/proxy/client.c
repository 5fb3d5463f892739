/*
 * client: one connection from a client.
 *
 *     accept --> HEAD --> BODY --> WAIT --reply has left--> IDLE --> HEAD …
 *         |      ^ `--------`--------`---- close ---> LINGER --> closed
 *         `> TLS <> TURN, AGAIN, where the listener says so
 *
 * It reads heads and bodies, hands them to its request, and sends what the request says, one
 * request at a time: what a client pipelines behind it waits in `in`. It is the owner of its
 * request and frees it when the reply has left or the connection broke. Everything that ends a
 * request or the connection is done in client_next, at the end of the turn, so that no handler
 * pulls the ground from under another.
 *
 * After a last reply our side is shut and what still comes is read and thrown away for a while: a
 * close with unread bytes would be a reset, and the client might lose the reply to it. Idle
 * connections are ended the same way.
 */
#include "proxy/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"
#include "proxy/answer.h"
#include "proxy/client_private.h"

#define LINGER_MS 2000       /* between two reads of what still comes */
#define LINGER_MOST_MS 30000 /* in all */
#define DRAIN_IDLE_MS 10000
#define BEHIND_MS 100   /* a body is not called slow before */
#define STALLED_MS 1000 /* nor is a client said not to take its reply */

static const struct request_ops ops;

static void
list_remove(struct client *c)
{
	struct clients *all = c->clients;

	*(c->newer ? &c->newer->older : &all->newest[c->state]) = c->older;
	*(c->older ? &c->older->newer : &all->oldest[c->state]) = c->newer;
	c->newer = c->older = NULL;
}

static void
list_add(struct client *c)
{
	struct clients *all = c->clients;

	c->newer = NULL;
	c->older = all->newest[c->state];
	*(c->older ? &c->older->newer : &all->oldest[c->state]) = c;
	all->newest[c->state] = c;
}

void
client_enter(struct client *c, enum client_state state)
{
	list_remove(c);
	c->state = (uint8_t)state;
	list_add(c);
}

static unsigned
want_of(const struct client *c)
{
	unsigned want = buf_len(&c->out) > 0 ? WANT_WRITE : 0;

	switch (c->state) {
	case CLIENT_BODY:
		if (c->body_wanted)
			return want | WANT_READ;
		return want | (c->http11 ? WANT_HANGUP : 0);
	case CLIENT_WAIT:
		return want | WANT_LATE | (c->http11 ? WANT_HANGUP : 0);
	default:
		return want | WANT_READ;
	}
}

/* How long the connection may stay as it is; 0: for ever. */
static uint64_t
patience_ms(const struct client *c)
{
	const struct conf *conf = c->proxy->conf;

	if (c->state == CLIENT_LINGER)
		return LINGER_MS;
	if (buf_len(&c->out) > 0)
		return conf->timeouts.send_ms;
	if (c->state == CLIENT_BODY) /* after an early reply the body does not matter any more */
		return c->body_wanted && !c->replied ? conf->timeouts.body_ms : 0;
	return 0;
}

void
client_update(struct client *c)
{
	uint64_t ms = patience_ms(c);

	if (c->broken || c->beginning)
		return;
	if (wire_want(&c->wire, want_of(c)) < 0) {
		c->broken = true;
		loop_later(c->proxy->loop, &c->next);
	}
	if (c->state == CLIENT_IDLE || c->state == CLIENT_HEAD)
		return; /* their time runs from the beginning of the state */
	if (buf_len(&c->out) > 0 && c->state != CLIENT_LINGER && c->sending)
		return; /* timeouts.send runs from the last byte that the client took */
	c->sending = buf_len(&c->out) > 0;
	if (ms > 0)
		loop_timer_set(c->proxy->loop, &c->timer, ms);
	else
		loop_timer_rest(&c->timer);
}

static void
client_free(struct loop_later *later)
{
	struct client *c = (struct client *)((char *)later - offsetof(struct client, freed));

	buf_free(&c->in);
	buf_free(&c->out);
	mem_put(c, sizeof *c + strlen(c->ip) + 1);
}

/* The request, if there is one, is accounted for; what follows is up to the caller. */
static void
drop_request(struct client *c, enum access_end why)
{
	bool left = c->ended && !c->broken && buf_len(&c->out) == 0;

	if (!c->request)
		return;
	if (!left)
		request_gone(c->request, why);
	request_free(c->request);
	c->request = NULL;
	ROW_ADD(c->proxy->row->clients_active, -1u);
}

static void
count_closed(struct proxy *p, enum close_reason why)
{
	struct count_key k = { .metric = METRIC_CLOSES, .detail = count_close(SIDE_CLIENT, why) };

	count_add(&p->counts, &k, 1);
}

static void
count_close_of(struct client *c, enum close_reason why)
{
	if (c->why != CLOSE_DONE || c->state == CLIENT_LINGER) /* it was decided earlier */
		why = c->why;
	log_debug("the connection of %s is closed: %.*s", c->ip, STR_ARG(close_word(why)));
	count_closed(c->proxy, why);
}

void
client_close(struct client *c, enum access_end end, enum close_reason why)
{
	struct clients *all = c->clients;

	client_forget(c);
	drop_request(c, end);
	loop_timer_clear(c->proxy->loop, &c->timer);
	wire_close(&c->wire);
	c->broken = true;
	/* One after the other: a worker that is killed in between has it counted twice. */
	count_close_of(c, why);
	list_remove(c);
	all->n--;
	ROW_SET(c->proxy->row->clients, all->n);
	loop_later(c->proxy->loop, &c->freed);
	if (all->leaving && all->n == 0)
		loop_stop(c->proxy->loop);
}

void
client_linger(struct client *c, enum close_reason why)
{
	if (c->why == CLOSE_DONE)
		c->why = (uint8_t)why;
	wire_shut(&c->wire);
	c->since_ms = clock_ms();
	client_enter(c, CLIENT_LINGER);
	client_update(c);
}

static void
client_idle(struct client *c)
{
	uint64_t ms = c->proxy->conf->timeouts.keep_alive_ms;

	if (c->proxy->draining && (ms == 0 || ms > DRAIN_IDLE_MS))
		ms = DRAIN_IDLE_MS;
	client_enter(c, CLIENT_IDLE);
	c->scanned = 0;
	c->ended = c->whole = c->replied = c->led = false;
	client_update(c);
	loop_timer_set(c->proxy->loop, &c->timer, ms);
}

static void
head_began(struct client *c)
{
	c->began_us = clock_us();
	c->began_wall_ms = clock_wall_ms();
	c->since_ms = clock_ms();
}

/* The first byte of a head is here, or the connection is new. */
static void
client_head(struct client *c)
{
	head_began(c);
	client_enter(c, CLIENT_HEAD);
	client_update(c);
	loop_timer_set(c->proxy->loop, &c->timer, c->proxy->conf->timeouts.head_ms);
}

static struct request_start
request_start_of(struct client *c, struct str head)
{
	return (struct request_start){ .ops = &ops,
		.client = c,
		.head = head,
		.client_ip = str_of(c->ip),
		.admin = c->listen->admin,
		.began_us = c->began_us,
		.began_wall_ms = c->began_wall_ms };
}

/* There is not even memory to refuse it with: this needs none. The shape does for both dialects. */
static void
refuse_bare(struct client *c)
{
	static const char body[] =
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		"\"the router has no memory left for the request (limits.memory)\","
		"\"param\":null,\"code\":null}}";
	char text[sizeof body + 160];

	snprintf(text, sizeof text,
		"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
		"retry-after: 1\r\nconnection: close\r\ncontent-length: %zu\r\n\r\n%s",
		sizeof body - 1, body);
	c->keep_alive = c->head_only = false;
	c->framing = FRAMING_NONE;
	c->whole = c->replied = true;
	client_data(c, str_of(text));
	client_flush(c);
}

void
client_refuse_seen(struct client *c, struct str seen, unsigned status, const char *why)
{
	struct request_start start = request_start_of(c, seen);

	c->keep_alive = false;
	c->why = status == 408 ? CLOSE_TIMEOUT : status == 503 ? CLOSE_MEMORY : CLOSE_REFUSED;
	if (!c->request) {
		c->request = request_new_broken(c->proxy, &start);
		if (!c->request) {
			refuse_bare(c);
			if (c->broken || buf_len(&c->out) > 0)
				client_close(c, END_REFUSED, CLOSE_MEMORY);
			else
				client_linger(c, CLOSE_MEMORY);
			return;
		}
		ROW_ADD(c->proxy->row->clients_active, 1);
		c->http11 = true;
		c->head_only = false;
		body_init(&c->body, FRAMING_CLOSE, 0);
		client_enter(c, CLIENT_WAIT);
	}
	request_refuse(c->request, status, str_of(why));
}

static void
client_refuse(struct client *c, unsigned status, const char *why)
{
	client_refuse_seen(c, buf_str(&c->in), status, why);
}

/* Hand body bytes to the request. Returns how many of `in` belonged to it. */
static size_t
client_feed(struct client *c, struct str in)
{
	size_t used = 0;

	while (used < in.len && !c->body.done && !c->ended && !c->broken) {
		struct str data;
		long n = body_next(&c->body, str_skip(in, used), &data);

		if (n < 0) {
			client_refuse(c, 400,
				"the framing of the body is broken: no chunk size where one is due");
			return in.len;
		}
		used += (size_t)n;
		c->body_bytes += data.len;
		request_body(c->request, data);
	}
	if (c->body.done && c->state == CLIENT_BODY) {
		client_enter(c, CLIENT_WAIT);
		client_update(c);
		if (!c->ended)
			request_body_end(c->request);
	}
	return used;
}

/* A whole head is here; `rest` follows it. Returns how much of `rest` was used. A usual request is
 * here whole: want and timer follow once from what has become of it. */
static size_t
client_begin(struct client *c, struct str head, struct str rest)
{
	struct request_start start = request_start_of(c, head);
	enum head_fault fault;
	struct request *r = request_new(c->proxy, &start, &fault);
	size_t used;

	if (!r) {
		client_refuse(c, 503,
			"the router has no memory left for the request (limits.memory)");
		return rest.len;
	}
	c->request = r;
	ROW_ADD(c->proxy->row->clients_active, 1);
	c->http11 = r->head.minor > 0 || fault != HEAD_OK;
	c->keep_alive = r->framing.keep_alive && fault == HEAD_OK;
	c->head_only = str_eq(r->head.method, STR("HEAD"));
	c->expects = r->framing.expect_continue && rest.len == 0;
	c->body_wanted = false;
	c->since_ms = clock_ms();
	c->body_bytes = 0;
	body_init(&c->body, r->framing.kind, r->framing.length);
	client_enter(c, CLIENT_BODY);
	if (fault != HEAD_OK) {
		client_refuse(c, head_fault_status(fault), head_fault_text(fault));
		return rest.len;
	}
	c->beginning = true;
	if (!answer_own(r))
		request_begin(r);
	used = client_feed(c, rest);
	c->beginning = false;
	client_update(c);
	return used;
}

/* Look for a head in `in` and begin its request. Returns the bytes used up: the rest is to be kept.
 */
static size_t
client_take(struct client *c, struct str in)
{
	size_t skip = c->led ? 0 : head_leading(in);
	struct str rest = str_skip(in, skip);
	enum head_fault fault;
	long len;

	if (skip > 0) {
		c->led = true;
		c->scanned = 0;
	}
	len = head_end(rest, c->proxy->conf->limits.header_bytes, &c->scanned, &fault);
	if (len == 0) {
		if (c->state == CLIENT_IDLE && rest.len > 0)
			client_head(c);
		return skip;
	}
	c->scanned = 0;
	if (c->state == CLIENT_IDLE)
		head_began(c); /* and ended */
	if (len < 0) {
		client_refuse_seen(c, rest, head_fault_status(fault), head_fault_text(fault));
		return in.len;
	}
	rest = str_skip(rest, (size_t)len);
	return skip + (size_t)len +
		client_begin(c, str_head(str_skip(in, skip), (size_t)len), rest);
}

/* Bytes have come while a head is awaited: with those kept from before, where there are any. */
static void
client_input(struct client *c, struct str in)
{
	size_t used;

	if (buf_len(&c->in) == 0) {
		if (c->state == CLIENT_HEAD) { /* the first byte on a new connection */
			c->began_us = clock_us();
			c->began_wall_ms = clock_wall_ms();
		}
		used = client_take(c, in);
		in = str_skip(in, used);
	} else if (buf_add(&c->in, in) == 0) {
		buf_consume(&c->in, client_take(c, buf_str(&c->in)));
		in = STR("");
	}
	if (in.len > 0)
		buf_add(&c->in, in);
	if (c->in.failed && !c->broken) {
		c->broken = true;
		loop_later(c->proxy->loop, &c->next);
	} else if (buf_len(&c->in) == 0) {
		buf_free(&c->in);
	}
}

/* Is the body coming too slowly (limits.rate_bytes, averaged over timeouts.body)? */
static bool
too_slow(struct client *c)
{
	const struct conf *conf = c->proxy->conf;
	uint64_t elapsed_ms = clock_ms() - c->since_ms;
	bool slow;

	if (conf->timeouts.body_ms == 0 || elapsed_ms < conf->timeouts.body_ms)
		return false;
	slow = c->body_bytes * 1000 < conf->limits.rate_bytes * elapsed_ms;
	c->since_ms = clock_ms();
	c->body_bytes = 0;
	return slow;
}

static void
client_read_body(struct client *c, struct str in)
{
	size_t used = client_feed(c, in);

	in = str_skip(in, used);
	if (in.len > 0 && c->body.done && buf_add(&c->in, in) < 0) {
		c->broken = true;
		loop_later(c->proxy->loop, &c->next);
	}
	if (c->state != CLIENT_BODY || c->ended)
		return;
	if (!c->replied && too_slow(c))
		client_refuse(c, 408, "the body comes slower than limits.rate_bytes allows");
	else
		client_update(c);
}

static void
client_read(struct client *c)
{
	size_t size = PROXY_READ;
	char *room = c->state == CLIENT_BODY ? request_room(c->request, &size) : NULL;
	char *to = room ? room : c->proxy->scratch;
	long n = wire_read(&c->wire, to, size);
	struct str in = { to, n > 0 ? (size_t)n : 0 };

	if (n == WIRE_WAIT)
		return;
	if (n < 0)
		client_close(c, END_CLIENT_GONE, CLOSE_PEER);
	else if (c->state == CLIENT_BODY)
		client_read_body(c, in);
	else if (c->state != CLIENT_LINGER)
		client_input(c, in);
	else if (clock_ms() - c->since_ms < LINGER_MOST_MS)
		loop_timer_set(c->proxy->loop, &c->timer, LINGER_MS);
}

static void
client_on_ready(struct wire *w, unsigned ready)
{
	struct client *c = (struct client *)((char *)w - offsetof(struct client, wire));
	bool reads = c->state != CLIENT_WAIT && (c->state != CLIENT_BODY || c->body_wanted);

	if (c->broken)
		return;
	if (c->state <= CLIENT_AGAIN) {
		client_tls_ready(c, ready);
		return;
	}
	if ((ready & READY_WRITE) && buf_len(&c->out) > 0) {
		client_write(c);
		if (buf_len(&c->out) > 0 || c->broken)
			return;
		if (c->ended)
			loop_later(c->proxy->loop, &c->next);
		else if (c->request)
			request_drained(c->request);
	}
	if (reads && (ready & (READY_READ | READY_HANGUP)))
		client_read(c);
	else if (ready & READY_HANGUP)
		client_close(c, END_CLIENT_GONE, CLOSE_PEER);
}

/* The reply has left: the next request, or the end. */
static void
client_done(struct client *c)
{
	bool more = c->keep_alive && c->whole && c->body.done;
	bool cut = !c->whole && c->framing == FRAMING_CLOSE;

	request_free(c->request);
	c->request = NULL;
	ROW_ADD(c->proxy->row->clients_active, -1u);
	if (cut) {
		wire_reset(
			&c->wire); /* nothing but a reset tells a cut reply from a whole one here */
		client_close(c, END_CLIENT_GONE, CLOSE_CUT);
	} else if (!more) {
		client_linger(c,
			!c->whole                    ? CLOSE_CUT
				: c->proxy->draining ? CLOSE_DRAIN
						     : CLOSE_DONE);
	} else {
		client_idle(c);
		if (buf_len(&c->in) > 0)
			client_input(c, STR(""));
	}
}

/* At the end of a turn: what has ended is taken down, in one place. */
static void
client_next(struct loop_later *later)
{
	struct client *c = (struct client *)((char *)later - offsetof(struct client, next));

	if (!wire_is_open(&c->wire))
		return;
	if (c->broken)
		client_close(c, END_CLIENT_GONE, CLOSE_PEER);
	else if (c->ended && c->request && buf_len(&c->out) == 0)
		client_done(c);
}

static void
client_on_due(struct loop_timer *t)
{
	struct client *c = (struct client *)((char *)t - offsetof(struct client, timer));

	if (buf_len(&c->out) > 0 || c->state == CLIENT_LINGER || c->state <= CLIENT_AGAIN)
		client_close(c, END_TIMEOUT, CLOSE_TIMEOUT);
	else if (c->state == CLIENT_IDLE || (c->state == CLIENT_HEAD && buf_len(&c->in) == 0))
		client_linger(c, c->proxy->draining ? CLOSE_DRAIN : CLOSE_IDLE);
	else if (c->state == CLIENT_HEAD)
		client_refuse(c, 408, "the head of the request did not come within timeouts.head");
	else if (c->state == CLIENT_BODY && !c->replied)
		client_refuse(c, 408, "nothing of the body came within timeouts.body");
}

/* ---- what the request says ---- */

/* The fields that are about this connection, and the empty line. */
static void
add_framing(struct client *c, enum framing kind, uint64_t length)
{
	struct str end = !c->keep_alive ? STR("\r\nconnection: close\r\n\r\n")
		: !c->http11            ? STR("\r\nconnection: keep-alive\r\n\r\n")
					: STR("\r\n\r\n");

	if (kind == FRAMING_LENGTH)
		client_length(c, length);
	else if (kind == FRAMING_CHUNKED)
		client_raw(c, STR("transfer-encoding: chunked"));
	else
		end = str_skip(end, 2);
	client_raw(c, end); /* which sees a failure of the length, too */
}

static void
on_reply(void *client, struct str head, enum framing kind, uint64_t length)
{
	struct client *c = client;

	if (kind == FRAMING_CHUNKED && !c->http11)
		kind = FRAMING_CLOSE;
	if (kind == FRAMING_CLOSE || c->proxy->draining || !c->body.done)
		c->keep_alive = false;
	c->framing = (uint8_t)kind;
	c->replied = true;
	client_raw(c, head);
	add_framing(c, kind, length);
	if (head.len == 0) {
		c->broken = true;
		loop_later(c->proxy->loop, &c->next);
	}
}

static void
on_data(void *client, struct str piece)
{
	client_data(client, piece);
}

static void
on_flush(void *client)
{
	client_flush(client);
}

static void
on_end(void *client, bool whole)
{
	struct client *c = client;

	c->ended = true;
	c->whole = whole;
	if (!c->replied)
		refuse_bare(c);
	else if (whole)
		client_flush_last(c);
	else
		client_flush(c);
	if (buf_len(&c->out) == 0)
		loop_later(c->proxy->loop, &c->next);
}

static void
on_body(void *client, bool wanted)
{
	struct client *c = client;

	if (c->expects && wanted) {
		c->expects = false;
		c->framing = FRAMING_NONE;
		client_raw(c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
		client_flush(c);
	}
	if (wanted && !c->body_wanted) {
		c->since_ms = clock_ms();
		c->body_bytes = 0;
	}
	c->body_wanted = wanted;
	client_update(c);
}

static size_t
on_backlog(void *client)
{
	struct client *c = client;

	return buf_len(&c->out);
}

static const struct request_ops ops = {
	.reply = on_reply,
	.data = on_data,
	.flush = on_flush,
	.end = on_end,
	.body = on_body,
	.backlog = on_backlog,
};

/* ---- all clients ---- */

void
clients_open(struct clients *all, struct proxy *p, unsigned limit)
{
	*all = (struct clients){ .proxy = p, .limit = limit, .turns.run = client_tls_turn };
}

/* Since when does it keep its place for nothing? 0: it does not. A head counts from its beginning,
 * TLS included, a body when it comes slower than limits.rate_bytes and no provider has any of it,
 * the rest of a whole reply when the client takes nothing of it, and a last reply that had time to
 * be read. */
static uint64_t
owing_since(const struct client *c)
{
	const struct conf *conf = c->proxy->conf;
	uint64_t now = clock_ms(), waited = now - c->since_ms, taken;

	switch (c->state) {
	case CLIENT_TLS:
	case CLIENT_TURN:
	case CLIENT_AGAIN:
	case CLIENT_HEAD:
		return c->since_ms;
	case CLIENT_BODY:
		if (c->body_wanted && !c->replied && c->request->state == REQUEST_BODY &&
			waited >= BEHIND_MS &&
			c->body_bytes * 1000 < conf->limits.rate_bytes * waited)
			return c->since_ms;
		return 0;
	case CLIENT_WAIT:
		taken = c->timer.due - conf->timeouts.send_ms;
		return c->ended && c->sending && now - taken >= STALLED_MS ? taken : 0;
	case CLIENT_LINGER:
		return waited >= STALLED_MS ? c->since_ms : 0;
	default:
		return 0;
	}
}

/* Of those that owe us something the one that has the longest: of each state the oldest that does.
 * NULL when nobody does. */
static struct client *
longest_owing(const struct clients *all)
{
	struct client *found = NULL;
	uint64_t earliest = UINT64_MAX, since;

	for (unsigned state = 0; state < CLIENT_STATES; state++) {
		struct client *c = all->oldest[state];

		while (c && owing_since(c) == 0)
			c = c->newer;
		since = c ? owing_since(c) : UINT64_MAX;
		if (since < earliest) {
			earliest = since;
			found = c;
		}
	}
	return found;
}

/* It gives way to a newer one. Who has sent a request is told. */
static void
evict(struct client *c)
{
	if (c->state == CLIENT_BODY) {
		client_refuse(c, 408,
			"the router has no connections left (limits.connections), and the body comes slower than limits.rate_bytes allows");
		c->why = CLOSE_EVICTED;
	}
	client_close(c, END_REFUSED, CLOSE_EVICTED);
}

/* Make room for one more: whoever owes us something goes first, then the oldest idle one. The last
 * replies, among them those past the limit, hold a place too and go last. False when there is none.
 */
static bool
make_room(struct clients *all)
{
	struct client *c;

	while (all->n >= all->limit) {
		c = longest_owing(all);
		if (!c)
			c = all->oldest[CLIENT_IDLE];
		if (!c)
			c = all->oldest[CLIENT_LINGER];
		if (!c)
			return false;
		evict(c);
	}
	return true;
}

bool
clients_spare(struct clients *all)
{
	struct client *c =
		all->oldest[CLIENT_IDLE] ? all->oldest[CLIENT_IDLE] : all->oldest[CLIENT_LINGER];

	if (!c)
		return false;
	client_close(c, END_REFUSED, CLOSE_EVICTED);
	return true;
}

void
client_accept(struct clients *all, int fd, const union sock_address *peer,
	const struct conf_listen *listen)
{
	bool room = make_room(all), reserve = all->n < all->limit + CLIENTS_RESERVE && !listen->tls;
	char ip[SOCK_TEXT];
	size_t ip_size;
	struct client *c;

	sock_text(peer, ip);
	ip_size = strlen(ip) + 1;
	c = room || reserve ? mem_zero(sizeof *c + ip_size, sizeof *c) : NULL;
	if (!c) {
		close(fd);
		count_closed(all->proxy, room || reserve ? CLOSE_MEMORY : CLOSE_FULL);
		return;
	}
	c->proxy = all->proxy;
	c->clients = all;
	c->listen = listen;
	c->timer.on_due = client_on_due;
	c->next.run = client_next;
	c->freed.run = client_free;
	memcpy(c->ip, ip, ip_size);
	wire_open(&c->wire, all->proxy->loop, fd, client_on_ready);
	all->n++;
	ROW_SET(all->proxy->row->clients, all->n);
	c->state = CLIENT_HEAD;
	list_add(c);
	client_head(c);
	if (listen->tls)
		client_enter(c, CLIENT_TLS);
	if (!room) {
		client_refuse(c, 503, "the router has no connections left (limits.connections)");
		c->why = CLOSE_FULL;
	}
}

void
clients_drain(struct clients *all)
{
	struct client *c;

	all->leaving = true;
	for (c = all->oldest[CLIENT_IDLE]; c; c = c->newer) {
		uint64_t now = clock_ms(), left = c->timer.due > now ? c->timer.due - now : 0;

		if (left > DRAIN_IDLE_MS) {
			loop_timer_clear(all->proxy->loop, &c->timer);
			loop_timer_set(all->proxy->loop, &c->timer, DRAIN_IDLE_MS);
		}
	}
	if (all->n == 0)
		loop_stop(all->proxy->loop);
}

static void
stop_one(struct client *c)
{
	c->keep_alive = false;
	if (c->request && !c->ended)
		request_stop(c->request);
	else if (!c->request)
		client_close(c, END_REFUSED, CLOSE_DRAIN);
}

/* Do something to every client that is there now; it may take that client away. */
static void
each(struct clients *all, void (*act)(struct client *c))
{
	for (unsigned state = 0; state < CLIENT_STATES; state++) {
		struct client *c = all->oldest[state], *newer;

		for (; c; c = newer) {
			newer = c->newer;
			act(c);
		}
	}
}

void
clients_stop(struct clients *all)
{
	all->leaving = true;
	each(all, stop_one);
	if (all->n == 0)
		loop_stop(all->proxy->loop);
}

static void
close_one(struct client *c)
{
	client_close(c, END_CLIENT_GONE, CLOSE_DRAIN);
}

void
clients_close(struct clients *all)
{
	each(all, close_one);
}
