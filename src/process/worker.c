/*
 * worker: one process that serves. Forked by the master with everything that it needs; drops its
 * privileges, opens the service, confines itself (sandbox), says that it is ready, and runs its
 * loop.
 *
 *	start ──ready byte──> READY ──QUIT, the master's death──> DRAINING ──done or limit──> exit 0
 *	                        └──────────────TERM───────────────┴──> service_stop ──> exit 0
 *
 * A timer changes the heartbeat of its row each second: a worker that hangs is found by the
 * master. Terminal signals reach the whole process group; a worker ignores them, for the master
 * decides. Leaves with 78 when a new attempt would fail the same way, with 1 when the service
 * cannot be opened or the master is gone before it was ready; the reason is logged.
 */
#include "process/worker.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/signals.h"
#include "process/channel.h"
#include "process/sandbox.h"

#define BEAT_MS 1000
#define GRACE_MS 1000   /* for /health to be seen draining, when the service goes away */
#define ORPHAN_MS 30000 /* longest drain without a master */
#define TELL_MS 10000   /* between two lines that tell of a losing access log */

struct worker {
	struct service_start start;
	struct service *service;
	struct channel channel;
	struct loop_timer beat;
	struct sink *log;
	uint64_t lost; /* lines of both logs, as counted in the row so far */
	uint64_t told; /* of the access log's, as said in the log so far */
	uint64_t told_ms;
};

static void
count_lost(struct worker *w)
{
	uint64_t lost = w->log->lost + w->start.access->lost;
	ROW_ADD(w->start.row->lines_lost, lost - w->lost);
	w->lost = lost;
}

/* The log tells of its own losses; those of the access log are told there as well. */
static void
tell_lost(struct worker *w)
{
	uint64_t lost = w->start.access->lost, log_lost = w->log->lost;
	if (lost == w->told || (w->told_ms != 0 && clock_ms() - w->told_ms < TELL_MS))
		return;
	w->told_ms = clock_ms();
	log_warn("%llu lines of the access log were lost", (unsigned long long)(lost - w->told));
	if (w->log->lost == log_lost)
		w->told = lost;
}

static void
beat(struct worker *w)
{
	ROW_SET(w->start.row->heartbeat, (uint32_t)(clock_ms() / 1000));
}

static void
on_beat(struct loop_timer *t)
{
	struct worker *w = (struct worker *)(void *)((char *)t - offsetof(struct worker, beat));
	beat(w);
	tell_lost(w);
	count_lost(w);
	service_second(w->service);
	loop_timer_set(w->start.loop, t, BEAT_MS);
}

static void
drain(struct worker *w, unsigned grace_ms, unsigned limit_ms)
{
	ROW_SET(w->start.row->state, ROW_DRAINING);
	service_drain(w->service, grace_ms, limit_ms);
}

static void
on_quit(void *ctx, int signo)
{
	struct worker *w = ctx;
	(void)signo;
	drain(w, scoreboard_draining(w->start.board) ? GRACE_MS : 0,
		w->start.conf->timeouts.drain_ms);
}

static void
on_term(void *ctx, int signo)
{
	struct worker *w = ctx;
	(void)signo;
	ROW_SET(w->start.row->state, ROW_DRAINING);
	service_stop(w->service);
}

static void
on_master_end(struct channel *c)
{
	struct worker *w = (struct worker *)(void *)((char *)c - offsetof(struct worker, channel));
	log_warn("the master is gone: finishing what is open");
	drain(w, 0, ORPHAN_MS);
}

static const struct signal_action actions[] = {
	{ SIGTERM, on_term },
	{ SIGQUIT, on_quit },
	{ SIGINT, NULL },
	{ SIGHUP, NULL },
	{ SIGUSR1, NULL },
	{ SIGUSR2, NULL },
	{ SIGTTIN, NULL },
	{ SIGTTOU, NULL },
	{ 0, NULL },
};

/* From a forked copy of the master to a worker that serves. 0, or the exit status. */
static int
worker_open(struct worker *w, const struct worker_start *start)
{
	if (privilege_drop(start->account) != 0)
		return EX_CONFIG;
	mem_limit(w->start.conf->limits.memory);
	if (signals_open(w->start.loop, actions, w) != 0 ||
		channel_watch(&w->channel, w->start.loop, start->channel) != 0) {
		log_error("cannot start: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	if (loop_hints(w->start.loop) != 0)
		log_warn("every connection is polled: %s", strerror(errno));
	w->service = service_open(&w->start);
	if (w->service == NULL)
		return EXIT_FAILURE;
	beat(w);
	if (w->start.conf->seccomp)
		sandbox_enter();
	ROW_SET(w->start.row->state, ROW_READY);
	loop_timer_set(w->start.loop, &w->beat, BEAT_MS);
	return channel_ready(&w->channel) == 0 ? 0 : EXIT_FAILURE;
}

int
worker_run(const struct worker_start *start)
{
	struct worker w = { .start = start->service, .log = start->log, .beat.on_due = on_beat };
	w.lost = start->log->lost + start->service.access->lost; /* the master's, before the fork */
	w.channel.log = start->log;
	w.channel.access = start->service.access;
	w.channel.on_end = on_master_end;
	w.start.loop = loop_new(64);
	ROW_SET(w.start.row->pid, getpid());
	int status = worker_open(&w, start);
	if (status == 0)
		loop_run(w.start.loop);
	if (w.service != NULL)
		service_close(w.service);
	sink_flush(w.start.access);
	w.told_ms = 0;
	tell_lost(&w);
	count_lost(&w);
	loop_free(w.start.loop);
	return status;
}
