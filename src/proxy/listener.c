/*
 * listener: accepting connections.
 *
 * All workers poll the same listening sockets. A worker takes at most ACCEPT_MOST connections a
 * turn, and one that has more than its share (a sixteenth, and 4, above the mean of its generation)
 * leaves the sockets to the others until that is no longer so; even then it takes one now and then,
 * so that a worker that hangs with few connections cannot keep the others away. The fewer
 * connections there are, the sooner it looks again: connections that come and go fast may put the
 * others above the mean meanwhile, and then nobody would take any. When descriptors
 * run out it waits a little, since a connection that cannot be accepted stays readable for ever.
 *
 *     taking <--> away (more than its share, or no descriptors) --> closed (emptied first)
 */
#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/clock.h"
#include "proxy/pool.h"

#define ACCEPT_MOST 8
#define AWAY_MS 10      /* until the share is looked at again, at most */
#define AWAY_PER_MS 64  /* connections for each ms of that */
#define AWAY_MOST_MS 50 /* until one is taken all the same */
#define NO_DESCRIPTORS_MS 100

struct listener {
	struct loop_watch watch;
	struct listeners *listeners;
	bool admin;
};

/* Has this worker more connections than its share? */
static bool
above_share(const struct listeners *l)
{
	uint32_t mean, mine = l->clients->n * 16;

	if (scoreboard_mean(l->proxy->board, l->proxy->generation, &mean) < 2)
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

static void
come_back(struct listeners *l)
{
	l->away_since_ms = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!loop_has(&l->all[i].watch) &&
			loop_add(l->proxy->loop, &l->all[i].watch, WANT_READ) < 0)
			log_error("no memory to listen");
}

static void
no_descriptors(struct listeners *l, int error)
{
	static uint64_t told_ms;

	if (told_ms == 0 || clock_ms() - told_ms >= 1000)
		log_warn("cannot accept connections: %s", strerror(error));
	told_ms = clock_ms();
	go_away(l, NO_DESCRIPTORS_MS);
}

/* Take up to `most` connections. False when there were fewer. */
static bool
take(struct listener *l, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		union sock_address peer;
		int fd = sock_accept(l->watch.fd, &peer);

		if (fd >= 0) {
			client_accept(l->listeners->clients, fd, &peer, l->admin);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			errno == ENOMEM) {
			if (pool_spare(l->listeners->proxy))
				continue;
			no_descriptors(l->listeners, errno);
			return false;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return false; /* EAGAIN: none left */
		}
	}
	return true;
}

static void
listener_on_ready(struct loop_watch *w, unsigned ready)
{
	struct listener *l = (struct listener *)((char *)w - offsetof(struct listener, watch));

	(void)ready;
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
listeners_add(struct listeners *l, int fd, bool admin)
{
	l->all[l->n++] = (struct listener){ .watch.fd = fd,
		.watch.on_ready = listener_on_ready,
		.listeners = l,
		.admin = admin };
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
