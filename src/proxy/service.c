/*
 * service: all the traffic of one worker.
 *
 *     serving --drain--> grace --> draining --> empty: the loop is stopped
 *         `------------------------- stop ----> told, flushed: the loop is stopped
 *
 * The worker opens it, tells it to drain or stop, and turns the loop until that is stopped. It owns
 * what the modules of this floor share (struct proxy), the listeners and the clients. Only its
 * opening can fail, and then the worker does not start.
 */
#include "proxy/service.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/tls_server.h"
#include "proxy/listener.h"
#include "proxy/pool.h"

#define STOP_MS 1000 /* for what the clients are told at a stop to leave */

struct service {
	struct proxy proxy;
	struct clients clients;
	struct listeners listeners;
	struct loop_timer grace, limit;
	bool stopping;
	bool told_full; /* that the metrics have no room */
};

static void
flush_log(struct loop_timer *t)
{
	const struct proxy *p =
		(const struct proxy *)((char *)t - offsetof(struct proxy, log_flush));

	sink_flush(p->access);
}

static void
proxy_open(struct proxy *p, const struct service_start *start)
{
	const struct conf *c = start->conf;

	*p = (struct proxy){ .conf = c,
		.loop = start->loop,
		.board = start->board,
		.limits = start->limits,
		.troubles = start->troubles,
		.row = start->row,
		.generation = start->generation,
		.addresses = start->addresses,
		.access = start->access,
		.started_s = start->started_s,
		.pid = getpid(),
		.log_flush.on_due = flush_log };
	p->scratch = mem_boot_pages(PROXY_READ);
	p->fields = mem_boot(c->limits.headers * sizeof *p->fields);
	arena_init(&p->event, c->limits.event_bytes + c->limits.reply_bytes);
	while (p->random == 0)
		if (getrandom(&p->random, sizeof p->random, 0) != (long)sizeof p->random)
			p->random = clock_us();
	secret_random((uint8_t *)&p->known.secret, sizeof p->known.secret);
	series_open(&p->counts, start->series, scoreboard_index(start->board, start->row));
	p->pools = pool_open_all(p);
	mem_limit(c->limits.memory);
}

static void
grace_over(struct loop_timer *t)
{
	struct service *s = (struct service *)((char *)t - offsetof(struct service, grace));

	listeners_close(&s->listeners);
	for (size_t i = 0; i < s->proxy.conf->n_providers; i++)
		pool_age(&s->proxy.pools[i], true);
	clients_drain(&s->clients);
}

static void
limit_over(struct loop_timer *t)
{
	struct service *s = (struct service *)((char *)t - offsetof(struct service, limit));

	if (!s->stopping) {
		service_stop(s);
		return;
	}
	clients_close(&s->clients);
	loop_stop(s->proxy.loop);
}

struct service *
service_open(const struct service_start *start)
{
	struct service *s = mem_boot(sizeof *s);

	proxy_open(&s->proxy, start);
	s->grace.on_due = grace_over;
	s->limit.on_due = limit_over;
	clients_open(&s->clients, &s->proxy, (unsigned)start->conf->limits.connections);
	listeners_open(&s->listeners, &s->proxy, &s->clients, start->n_sockets);
	for (size_t i = 0; i < start->n_sockets; i++) {
		const struct conf_listen *li = start->sockets[i].listen;

		if (li->tls && ticket_use(start->tickets, tls_server_openssl(li->tls)) < 0)
			return NULL;
		listeners_add(&s->listeners, start->sockets[i].fd, li);
	}
	return s;
}

/* Set the timer unless it is due earlier already. */
static void
due_within(struct service *s, struct loop_timer *t, uint64_t ms)
{
	if (t->due > 0 && t->due <= clock_ms() + ms)
		return;
	loop_timer_clear(s->proxy.loop, t);
	loop_timer_set(s->proxy.loop, t, ms);
}

void
service_drain(struct service *s, unsigned grace_ms, unsigned limit_ms)
{
	if (limit_ms > 0)
		due_within(s, &s->limit, limit_ms);
	s->proxy.draining = true;
	if (s->listeners.closed)
		return;
	if (grace_ms > 0) {
		due_within(s, &s->grace, grace_ms);
		return;
	}
	loop_timer_clear(s->proxy.loop, &s->grace);
	grace_over(&s->grace);
}

void
service_stop(struct service *s)
{
	s->stopping = true;
	loop_timer_clear(s->proxy.loop, &s->grace);
	listeners_close(&s->listeners);
	s->proxy.draining = true;
	loop_timer_clear(s->proxy.loop, &s->limit);
	loop_timer_set(s->proxy.loop, &s->limit, STOP_MS);
	clients_stop(&s->clients);
}

void
service_second(struct service *s)
{
	for (size_t i = 0; i < s->proxy.conf->n_providers; i++)
		pool_age(&s->proxy.pools[i], false);
	if (s->proxy.counts.full && !s->told_full) {
		log_warn(
			"the metrics have no room for more series: what is new is counted under other");
		s->told_full = true;
	}
	mem_idle();
	ROW_SET(s->proxy.row->memory_kib, (uint32_t)(mem_used() / 1024));
}

void
service_close(struct service *s)
{
	listeners_close(&s->listeners);
	clients_close(&s->clients);
	loop_timer_clear(s->proxy.loop, &s->grace);
	loop_timer_clear(s->proxy.loop, &s->limit);
	for (size_t i = 0; i < s->proxy.conf->n_providers; i++)
		pool_age(&s->proxy.pools[i], true);
	for (int turn = 0; turn < 4; turn++)
		loop_turn(s->proxy.loop, 0); /* the deferred frees; the worker's timers still run */
	pool_close_all(&s->proxy);
	series_close(&s->proxy.counts);
	loop_timer_clear(s->proxy.loop, &s->proxy.log_flush);
	sink_flush(s->proxy.access);
	buf_free(&s->proxy.text);
	arena_free(&s->proxy.event);
	buf_free(&s->proxy.made);
	buf_free(&s->clients.gather.raw);
	free(s->proxy.fields);
	mem_boot_pages_free(s->proxy.scratch, PROXY_READ);
	listeners_free(&s->listeners);
	free(s);
}
