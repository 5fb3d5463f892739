/*
 * listener: accepting connections.
 *
 * All workers poll the same listening sockets. A worker takes at most ACCEPT_MOST connections a
 * turn, and one that has more than its share (a sixteenth, and 4, above the mean of its generation)
 * leaves the sockets to the others until that is no longer so; even then it takes one now and then,
 * so that a worker that has just stopped with few connections cannot keep the others away. One that
 * has not moved for a while counts no more. The fewer connections there are, the sooner it looks
 * again: connections that come and go fast may put the others above the mean meanwhile, and then
 * nobody would take any.
 *
 * Each connection may need another one to a provider, so a descriptor for that is set aside before
 * it is accepted: what the process may have open, less what it has for other ends, is divided by
 * two. The limit is read anew each time, since it can be changed from outside. Where accept finds
 * no descriptor all the same (the limit is below what is open, or the system has no more), an idle
 * connection goes, to a provider first, then of a client; without one the worker waits a little,
 * since a connection that cannot be accepted stays readable for ever.
 *
 *     taking <--> away (more than its share, or no descriptors) --> closed (emptied first)
 */
#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "proxy/pool.h"

#define ACCEPT_MOST 8
#define AWAY_MS 10      /* until the share is looked at again, at most */
#define AWAY_PER_MS 64  /* connections for each ms of that */
#define AWAY_MOST_MS 50 /* until one is taken all the same */
#define NO_DESCRIPTORS_MS 100
#define TOLD_MS 1000 /* without a failure, after which the next is told of again */
#define OTHER_FILES                                                                  \
	(CLIENTS_RESERVE + 32) /* neither clients' nor providers', without listeners \
				*/

struct listener {
	struct loop_watch watch;
	struct listeners *listeners;
	const struct conf_listen *listen;
};

/* Has this worker more connections than its share? */
static bool
above_share(const struct listeners *l)
{
	uint32_t mean, mine = l->clients->n * 16;

	if (scoreboard_mean(l->proxy->board, l->proxy->generation, (uint32_t)(clock_ms() / 1000),
		    &mean) < 2)
		return false;
	return mine > mean + mean / 16 && mine > mean + 4 * 16;
}

static void
go_away(struct listeners *l, uint64_t ms)
{
	for (size_t i = 0; i < l->n; i++)
		loop_remove(l->proxy->loop, &l->all[i].watch);
	if (l->away_since_ms == 0)
		l->away_since_ms = clock_ms();
	loop_timer_set(l->proxy->loop, &l->timer, ms);
}

/* Looking costs a turn, and that what the connections of this worker cost to poll. */
static uint64_t
away_ms(const struct listeners *l)
{
	uint64_t ms = 1 + l->clients->n / AWAY_PER_MS;

	return ms < AWAY_MS ? ms : AWAY_MS;
}

/* Connections from clients that there may be: each may need another one to a provider. */
static void
look_at_limit(struct listeners *l)
{
	size_t most = l->proxy->conf->limits.connections, others = OTHER_FILES + l->n;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
		size_t rest = files.rlim_cur > others ? (size_t)files.rlim_cur - others : 0;

		if (rest / 2 < most)
			most = rest / 2;
	}
	if (l->clients->limit == most)
		return;
	if (most < l->proxy->conf->limits.connections)
		log_warn("limits.connections is %zu, but %llu descriptors allow for %zu only",
			l->proxy->conf->limits.connections, (unsigned long long)files.rlim_cur,
			most);
	else
		log_info("descriptors allow for limits.connections again");
	l->clients->limit = (unsigned)most;
}

static void
count_failure(struct proxy *p, enum accept_failure why)
{
	count_add(&p->counts,
		&(struct count_key){ .metric = METRIC_ACCEPT_FAILURES, .detail = why }, 1);
}

/* For a descriptor, or kernel memory. False when nobody can give way. */
static bool
make_way(struct listeners *l)
{
	return pool_spare(l->proxy) || clients_spare(l->clients);
}

static void
none_left(struct listeners *l, int error)
{
	count_failure(l->proxy,
		error == EMFILE           ? ACCEPT_DESCRIPTORS
			: error == ENFILE ? ACCEPT_SYSTEM
					  : ACCEPT_MEMORY);
	if (l->told_ms == 0 || clock_ms() - l->told_ms >= TOLD_MS)
		log_warn("cannot accept connections: %s", strerror(error));
	l->told_ms = clock_ms();
	go_away(l, NO_DESCRIPTORS_MS);
}

/* Where the loop has no room for the sockets, they are away once more. */
static void
come_back(struct listeners *l)
{
	l->away_since_ms = 0;
	for (size_t i = 0; i < l->n; i++) {
		if (loop_has(&l->all[i].watch) ||
			loop_add(l->proxy->loop, &l->all[i].watch, WANT_READ) == 0)
			continue;
		none_left(l, ENOMEM);
		return;
	}
}

/* Has accept failed for this one connection only? Its errors come up there (accept(2)). */
static bool
is_its_own(int error)
{
	static const int own[] = { ECONNABORTED, EINTR, EPROTO, EPERM, ENOPROTOOPT, EOPNOTSUPP,
		ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENONET };

	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		if (error == own[i])
			return true;
	return false;
}

/* Take up to `most` connections. False when there were fewer. */
static bool
take(struct listener *l, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		union sock_address peer;
		int fd = sock_accept(l->watch.fd, &peer), error = errno;

		if (fd >= 0) {
			client_accept(l->listeners->clients, fd, &peer, l->listen);
		} else if (error == EMFILE || error == ENFILE || error == ENOBUFS ||
			error == ENOMEM) {
			if (make_way(l->listeners))
				continue;
			none_left(l->listeners, error);
			return false;
		} else if (!is_its_own(error)) {
			return false; /* EAGAIN: none left */
		} else if (error != EINTR) {
			count_failure(l->listeners->proxy, ACCEPT_ABORTED);
		}
	}
	return true;
}

static void
listener_on_ready(struct loop_watch *w, unsigned ready)
{
	struct listener *l = (struct listener *)((char *)w - offsetof(struct listener, watch));

	(void)ready;
	look_at_limit(l->listeners);
	for (unsigned i = 0; i < ACCEPT_MOST && take(l, 1); i++) {
		if (above_share(l->listeners)) {
			go_away(l->listeners, away_ms(l->listeners));
			break;
		}
	}
}

static void
away_on_due(struct loop_timer *t)
{
	struct listeners *l = (struct listeners *)((char *)t - offsetof(struct listeners, timer));

	if (!above_share(l)) {
		come_back(l);
		return;
	}
	if (clock_ms() - l->away_since_ms >= AWAY_MOST_MS) {
		look_at_limit(l);
		for (size_t i = 0; i < l->n; i++)
			take(&l->all[i], 1);
		l->away_since_ms = clock_ms();
	}
	go_away(l, away_ms(l));
}

void
listeners_open(struct listeners *l, struct proxy *p, struct clients *clients, size_t n)
{
	*l = (struct listeners){ .proxy = p, .clients = clients, .timer.on_due = away_on_due };
	l->all = mem_boot(n * sizeof *l->all);
}

void
listeners_add(struct listeners *l, int fd, const struct conf_listen *listen)
{
	l->all[l->n++] = (struct listener){ .watch.fd = fd,
		.watch.on_ready = listener_on_ready,
		.listeners = l,
		.listen = listen };
	look_at_limit(l);
	come_back(l);
}

void
listeners_close(struct listeners *l)
{
	if (l->closed)
		return;
	l->closed = true;
	loop_timer_clear(l->proxy->loop, &l->timer);
	for (size_t i = 0; i < l->n; i++) {
		while (take(&l->all[i], ACCEPT_MOST))
			;
		loop_remove(l->proxy->loop, &l->all[i].watch);
		close(l->all[i].watch.fd);
	}
	loop_timer_clear(l->proxy->loop, &l->timer);
}

void
listeners_free(struct listeners *l)
{
	free(l->all);
}
