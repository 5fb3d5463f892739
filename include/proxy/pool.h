/*
 * pool: connections to one provider, kept alive between requests. A worker has one pool for each
 * provider.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include "net/wire.h"
#include "proxy/proxy.h"
#include "report/count.h"

/* A connection to a provider. Owned by the attempt that uses it, or by the pool while idle. */
struct link {
	struct wire wire;
	struct pool *pool;
	void *user;                 /* the attempt; NULL while idle */
	struct link *newer, *older; /* in the idle list */
	uint64_t idle_since_ms;
	struct loop_later freed;
};

struct pool {
	struct proxy *proxy;
	const struct conf_provider *provider;
	struct link *newest, *oldest; /* idle ones */
	unsigned n_idle, n_open;
};

/* The pools of all providers; boot memory. */
struct pool *pool_open_all(struct proxy *p);
void pool_close_all(struct proxy *p);

/* An idle connection that still looks good, the most recently used first, or NULL. Those found dead
 * are closed. */
struct link *pool_take(struct pool *pool);
/* A new connection over a connecting descriptor, which it takes over; NULL without memory (the
 * descriptor is closed). */
struct link *pool_new(struct pool *pool, int fd, void (*on_ready)(struct wire *, unsigned));
/* May another one be opened (connections.max)? An idle one goes for it if need be. */
bool pool_make_room(struct pool *pool);
/* Put a connection back for the next request; it is closed instead when enough are idle or the
 * worker drains. */
void pool_give(struct link *link);
/* Close a connection; its memory goes at the end of the turn. */
void pool_drop(struct link *link, enum close_reason why);
/* Close the connection that has been idle longest over all pools, for its descriptor. False: none
 * is idle. */
bool pool_spare(struct proxy *p);
/* Close those that have been idle for too long; all of them when `all`. */
void pool_age(struct pool *pool, bool all);

#endif
