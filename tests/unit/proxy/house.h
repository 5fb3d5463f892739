/*
 * house: what the modules of the proxy floor share, made for a test without a configuration file or
 * a daemon: two providers (echo, and one at a loopback port of the test's own), routes by model
 * name, a row of a scoreboard, a fake clock.
 */
#ifndef HOUSE_H
#define HOUSE_H

#include <assert.h>
#include <stdlib.h>

#include "net/clock.h"
#include "proxy/client.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"

enum { HOUSE_ECHO, HOUSE_REMOTE, HOUSE_PROVIDERS };

/* Where clients come in. */
static const struct conf_listen plain_listen = { .admin = false };
static const struct conf_listen admin_listen = { .admin = true };

struct house {
	struct conf conf;
	struct conf_provider providers[HOUSE_PROVIDERS];
	struct conf_target targets[HOUSE_PROVIDERS];
	struct conf_route routes[HOUSE_PROVIDERS];
	struct scoreboard *board;
	struct series_board *series;
	struct trouble_table *troubles;
	struct limit_table *limits;
	struct sink off;
	struct proxy proxy;
	struct clients clients;
	uint64_t now_ms;
};

static inline void
house_providers(struct house *h, uint16_t port)
{
	static const struct conf_attempt attempt = { 5000, 60000, 30000, 0 };

	h->providers[HOUSE_ECHO] = (struct conf_provider){ .name = STR("echo"),
		.index = HOUSE_ECHO,
		.dialect = DIALECT_ECHO };
	h->providers[HOUSE_REMOTE] = (struct conf_provider){ .name = STR("remote"),
		.index = HOUSE_REMOTE,
		.dialect = DIALECT_OPENAI,
		.host = STR("127.0.0.1"),
		.host_field = STR("127.0.0.1"),
		.base_path = STR("/v1"),
		.port = port,
		.is_numeric = true };
	sock_parse(STR("127.0.0.1"), port, &h->providers[HOUSE_REMOTE].numeric);
	for (unsigned i = 0; i < HOUSE_PROVIDERS; i++) {
		h->providers[i].timeouts = attempt;
		h->providers[i].connections.max = 100;
		h->providers[i].connections.idle = 4;
		h->providers[i].connections.idle_timeout_ms = 60000;
		h->targets[i] = (struct conf_target){ .provider = &h->providers[i], .weight = 1 };
		h->routes[i] = (struct conf_route){ .path = STR("*"),
			.model = h->providers[i].name,
			.literal_model = true,
			.targets = &h->targets[i],
			.n_targets = 1,
			.weights = 1 };
	}
}

static inline void
house_conf(struct house *h)
{
	struct conf *c = &h->conf;

	c->limits.connections = 100;
	c->limits.header_bytes = 8192;
	c->limits.headers = 50;
	c->limits.body_bytes = 8 << 20;
	c->limits.reply_bytes = c->limits.event_bytes = 1 << 20;
	c->limits.rate_bytes = 240;
	c->limits.json_depth = 64;
	c->timeouts.head_ms = 10000;
	c->timeouts.body_ms = 30000;
	c->timeouts.keep_alive_ms = 75000;
	c->timeouts.send_ms = 60000;
	c->stream.heartbeat_ms = 15000;
	c->stream.buffer_bytes = 65536;
	c->providers = h->providers;
	c->n_providers = HOUSE_PROVIDERS;
	c->routes = h->routes;
	c->n_routes = HOUSE_PROVIDERS;
}

/* `port`: of the remote provider, on 127.0.0.1. */
static inline void
house_open(struct house *h, uint16_t port)
{
	struct proxy *p = &h->proxy;

	*h = (struct house){ .now_ms = 1000 };
	house_providers(h, port);
	house_conf(h);
	clock_fake(h->now_ms, 1777636799000 + h->now_ms);
	sink_open(&h->off, STR("off"));
	log_open(&h->off, LEVEL_ALERT, FORMAT_TEXT);
	h->board = scoreboard_new();
	h->series = series_new();
	h->troubles = trouble_new(SERIES_LABELS);
	h->limits = limit_new(64);
	assert(h->board && h->series && h->troubles && h->limits);
	*p = (struct proxy){ .conf = &h->conf,
		.loop = loop_new(16),
		.board = h->board,
		.row = scoreboard_claim(h->board, 1),
		.troubles = h->troubles,
		.limits = h->limits,
		.generation = 1,
		.access = &h->off,
		.random = 88172645463325252u };
	p->scratch = mem_boot(PROXY_READ);
	p->fields = mem_boot(h->conf.limits.headers * sizeof *p->fields);
	series_open(&p->counts, h->series, scoreboard_index(h->board, p->row));
	p->pools = pool_open_all(p);
	clients_open(&h->clients, p, (unsigned)h->conf.limits.connections);
}

/* A turn that waits at most so long; the clock moves on by one millisecond. */
static inline void
house_turn(struct house *h, int wait_ms)
{
	loop_turn(h->proxy.loop, wait_ms);
	h->now_ms++;
	clock_fake(h->now_ms, 1777636799000 + h->now_ms);
}

/* What is kept between requests on purpose goes too, so that memory can be compared. */
static inline void
house_tidy(struct house *h)
{
	for (unsigned i = 0; i < HOUSE_PROVIDERS; i++)
		pool_age(&h->proxy.pools[i], true);
	for (int i = 0; i < 6; i++)
		house_turn(h, 0);
	buf_free(&h->proxy.text);
	buf_free(&h->proxy.made);
	buf_free(&h->clients.gather.raw);
}

/* What was counted of a metric, over all its labels. */
static inline uint64_t
house_count(const struct house *h, enum metric metric)
{
	uint64_t key, n = 0;
	unsigned bucket;

	for (unsigned i = 0; (key = series_key(h->series, i)) != 0; i++)
		if (count_unpack(key, &bucket).metric == metric && bucket < COUNT_BUCKETS)
			n += series_sum(h->series, i, scoreboard_high(h->board));
	return n;
}

static inline void
house_close(struct house *h)
{
	clients_close(&h->clients);
	house_tidy(h);
	pool_close_all(&h->proxy);
	loop_free(h->proxy.loop);
	free(h->proxy.scratch);
	free(h->proxy.fields);
	series_close(&h->proxy.counts);
	limit_free(h->limits);
	trouble_free(h->troubles);
	series_free(h->series);
	scoreboard_free(h->board);
	sink_close(&h->off);
}

#endif
