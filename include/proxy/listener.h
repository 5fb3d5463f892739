/*
 * listener: a listening socket, shared by all workers.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include "proxy/client.h"

/* The listeners of a worker. */
struct listeners {
	struct proxy *proxy;
	struct clients *clients;
	struct listener *all;
	size_t n;
	struct loop_timer timer; /* while it takes no connections: when to look again */
	uint64_t away_since_ms;  /* 0: it takes connections */
	uint64_t told_ms;        /* when accepting last failed for want of something; 0: never */
	bool closed;
};

/* Boot memory for `n` listeners; then listeners_add that many. */
void listeners_open(struct listeners *l, struct proxy *p, struct clients *clients, size_t n);
/* Take connections from this socket, which is non-blocking and listens. */
void listeners_add(struct listeners *l, int fd, const struct conf_listen *listen);
/* Take what has been queued, then take no more. The descriptors are closed. */
void listeners_close(struct listeners *l);
void listeners_free(struct listeners *l);

#endif
