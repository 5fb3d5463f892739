/*
 * pool: idle connections to a provider, per worker.
 *
 * Called by upstream (take, new, give, drop) and by service once a second (age). An idle connection
 * is in no poll set: whether the provider has closed it is asked when it is taken, and what slips
 * through (closed just as the request is sent) is the retry of upstream. The list is ordered by
 * use: the newest is taken first, the oldest age out first.
 *
 *     pool_new -> in use -> pool_give -> idle -> pool_take -> in use …
 *                    `-> pool_drop        `-> pool_age
 */
#include "proxy/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/clock.h"

struct pool *
pool_open_all(struct proxy *p)
{
	struct pool *pools = mem_boot((p->conf->n_providers + 1) * sizeof *pools);

	for (size_t i = 0; i < p->conf->n_providers; i++)
		pools[i] = (struct pool){ .proxy = p, .provider = &p->conf->providers[i] };
	return pools;
}

void
pool_close_all(struct proxy *p)
{
	for (size_t i = 0; i < p->conf->n_providers; i++)
		pool_age(&p->pools[i], true);
	free(p->pools);
	p->pools = NULL;
}

static void
idle_remove(struct link *link)
{
	struct pool *pool = link->pool;

	*(link->newer ? &link->newer->older : &pool->newest) = link->older;
	*(link->older ? &link->older->newer : &pool->oldest) = link->newer;
	link->newer = link->older = NULL;
	pool->n_idle--;
	ROW_ADD(pool->proxy->row->upstreams_idle, -1u);
}

struct link *
pool_take(struct pool *pool)
{
	struct link *link;

	while ((link = pool->newest)) {
		idle_remove(link);
		if (wire_idle_ok(&link->wire)) {
			count_add(&pool->proxy->counts,
				&(struct count_key){ .metric = METRIC_UPSTREAM_REUSES,
					.provider = pool->provider->label },
				1);
			return link;
		}
		pool_drop(link, CLOSE_STALE);
	}
	return NULL;
}

static void
link_free(struct loop_later *later)
{
	struct link *link = (struct link *)((char *)later - offsetof(struct link, freed));

	mem_put(link, sizeof *link);
}

struct link *
pool_new(struct pool *pool, int fd, void (*on_ready)(struct wire *, unsigned))
{
	struct link *link = mem_get(sizeof *link);

	if (!link) {
		close(fd);
		return NULL;
	}
	*link = (struct link){ .pool = pool, .freed.run = link_free };
	wire_open(&link->wire, pool->proxy->loop, fd, on_ready);
	pool->n_open++;
	ROW_ADD(pool->proxy->row->upstreams, 1);
	return link;
}

bool
pool_make_room(struct pool *pool)
{
	struct link *link = pool->oldest;

	if (pool->n_open >= pool->provider->connections.max && link) {
		idle_remove(link);
		pool_drop(link, CLOSE_EVICTED);
	}
	return pool->n_open < pool->provider->connections.max;
}

void
pool_give(struct link *link)
{
	struct pool *pool = link->pool;

	link->user = NULL;
	if (pool->n_idle >= pool->provider->connections.idle || pool->proxy->draining) {
		pool_drop(link, pool->proxy->draining ? CLOSE_DRAIN : CLOSE_DONE);
		return;
	}
	wire_park(&link->wire);
	link->idle_since_ms = clock_ms();
	link->newer = NULL;
	link->older = pool->newest;
	*(pool->newest ? &pool->newest->newer : &pool->oldest) = link;
	pool->newest = link;
	pool->n_idle++;
	ROW_ADD(pool->proxy->row->upstreams_idle, 1);
}

void
pool_drop(struct link *link, enum close_reason why)
{
	struct pool *pool = link->pool;
	struct count_key k = { .metric = METRIC_CLOSES, .detail = count_close(SIDE_UPSTREAM, why) };

	log_debug("a connection to provider %.*s is closed: %.*s", STR_ARG(pool->provider->name),
		STR_ARG(close_word(why)));
	assert(pool->n_open > 0);
	pool->n_open--;
	count_add(&pool->proxy->counts, &k, 1);
	ROW_ADD(pool->proxy->row->upstreams, -1u);
	link->user = NULL;
	wire_close(&link->wire);
	loop_later(pool->proxy->loop, &link->freed);
}

void
pool_age(struct pool *pool, bool all)
{
	uint64_t now = clock_ms();
	struct link *link;

	while ((link = pool->oldest) &&
		(all || now - link->idle_since_ms >= pool->provider->connections.idle_timeout_ms)) {
		idle_remove(link);
		pool_drop(link,
			all                                 ? CLOSE_DRAIN
				: wire_idle_ok(&link->wire) ? CLOSE_IDLE
							    : CLOSE_STALE);
	}
}

bool
pool_spare(struct proxy *p)
{
	struct link *oldest = NULL;

	for (size_t i = 0; i < p->conf->n_providers; i++) {
		struct link *link = p->pools[i].oldest;

		if (link && (!oldest || link->idle_since_ms < oldest->idle_since_ms))
			oldest = link;
	}
	if (!oldest)
		return false;
	idle_remove(oldest);
	pool_drop(oldest, CLOSE_EVICTED);
	return true;
}
