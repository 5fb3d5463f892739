/*
 * service: all the traffic of one worker: listeners, clients, requests, upstream pools, from the
 * moment it starts serving to the last byte of a drain. It is the one thing of the proxy floor that
 * the process floor calls.
 */
#ifndef PROXY_SERVICE_H
#define PROXY_SERVICE_H

#include "config/conf.h"
#include "net/loop.h"
#include "shared/address.h"
#include "shared/limit.h"
#include "shared/series.h"
#include "shared/ticket.h"
#include "shared/trouble.h"
#include "shared/scoreboard.h"

/* A listening socket, inherited from the master. */
struct service_socket {
	int fd;
	const struct conf_listen *listen;
};

struct service_start {
	const struct conf *conf;
	struct loop *loop;
	const struct service_socket *sockets; /* copied */
	size_t n_sockets;
	struct scoreboard *board;
	struct limit_table *limits;
	struct series_board *series;
	struct trouble_table *troubles;
	struct ticket_table *tickets;
	struct row *row; /* this worker's own */
	uint32_t generation;
	const struct address_table *addresses; /* entry i: host of the provider with index i; unused
						  for numeric hosts and echo */
	struct sink *access;
	uint64_t started_s; /* when the daemon started, seconds since the epoch: `created` of models
			     */
};

struct service;

/* Serve. NULL with a logged reason when it cannot (out of memory). */
struct service *service_open(const struct service_start *start);
/*
 * Drain: from now on replies say Connection: close; after `grace_ms` no more connections are taken
 * (the sockets are accepted empty, then left); open requests are finished; keep-alive connections
 * answer one more request or wait keep_alive out (at most 10 s). loop_stop is called when the last
 * connection has gone, or after `limit_ms` (0: no limit), when what is left is ended as
 * service_stop does. A second call only shortens.
 */
void service_drain(struct service *s, unsigned grace_ms, unsigned limit_ms);
/* End now: listeners closed, streams get their error event, buffers are flushed as far as they go
 * within 1 s; then loop_stop. */
void service_stop(struct service *s);
/* Once a second, from the worker's timer: gauges, memory, ageing of pools. */
void service_second(struct service *s);
void service_close(struct service *s);

#endif
