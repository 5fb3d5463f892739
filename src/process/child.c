/*
 * child: how the master's children are born, told things, and watched.
 *
 * A fork hands down everything, so the first thing that a child does is to let go of what is not
 * its own: the master's ends of all channels (its siblings' too: whoever held one would keep them
 * from seeing the master die), other generations' sockets, logs and memory, the pid file, the
 * verdict of -D, the master's loop. Signals are blocked over the fork, until the child has a
 * table of its own. Lines to another master are let go of, too.
 *
 * Nothing that a child says is trusted: from its channel comes one ready byte, from its row a
 * heartbeat. A child that is not ready in time, or whose heartbeat stands still, is killed, and
 * reap does the rest.
 *
 * Called by master, reap and reload. A birth can fail (no process, no descriptor, no row); it is
 * logged and the slot stays empty.
 */
#include "process/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/signals.h"
#include "process/channel.h"
#include "process/resolver.h"
#include "process/worker.h"

#define READY_MS 30000

void
child_name(enum child_kind kind, unsigned number, char out[CHILD_NAME])
{
	if (kind == CHILD_RESOLVER)
		snprintf(out, CHILD_NAME, "resolver");
	else
		snprintf(out, CHILD_NAME, "worker %u", number);
}

/*
 * In the child
 */

static void
let_go(struct family *f, const struct child *self)
{
	const struct generation *own = self->generation;
	loop_free(f->loop);
	close(self->watch.fd);
	for (struct child *c = f->children; c != NULL; c = c->next) {
		close(c->watch.fd);
		sink_lines_free(c->lines);
	}
	sockets_keep(&f->sockets, self->kind == CHILD_WORKER ? &own->claim : NULL);
	pidfile_forget(&f->pid);
	pidfile_forget(&f->coming_pid);
	peer_forget(&f->elder);
	peer_forget(&f->successor.peer);
	if (f->verdict >= 0)
		close(f->verdict);
	for (struct generation *g = f->generations; g != NULL; g = g->next)
		if (g != own)
			generation_forget(g);
}

static void
take_name(const struct child *self)
{
	char name[CHILD_NAME], title[16];
	child_name(self->kind, self->number, name);
	log_process(name);
	if (self->kind == CHILD_WORKER)
		snprintf(title, sizeof title, "api-router:w%u", self->number);
	else
		snprintf(title, sizeof title, "api-router:dns");
	prctl(PR_SET_NAME, title);
}

static int
child_run(struct family *f, const struct child *self, int channel)
{
	struct generation *g = self->generation;
	log_open(&g->log, g->conf->log.level, g->conf->log.format);
	take_name(self);
	let_go(f, self);
	if (self->kind == CHILD_RESOLVER) {
		/* It would keep a file that was rotated away from being freed. */
		sink_close(&g->access);
		const struct resolver_start start = {
			.table = g->addresses,
			.account = &g->account,
			.log = &g->log,
			.channel = channel,
		};
		return resolver_run(&start);
	}
	if (self->lines != NULL)
		sink_share(&g->access, self->lines);
	const struct worker_start start = {
		.service.conf = g->conf,
		.service.sockets = g->claim.sockets,
		.service.n_sockets = g->claim.n,
		.service.board = f->board,
		.service.limits = f->limits,
		.service.series = f->series,
		.service.troubles = f->troubles,
		.service.tickets = f->tickets,
		.service.row = self->row,
		.service.generation = g->number,
		.service.addresses = g->addresses,
		.service.access = &g->access,
		.service.started_s = f->started_s,
		.account = &g->account,
		.log = &g->log,
		.channel = channel,
	};
	return worker_run(&start);
}

/*
 * In the master
 */

static void
on_channel(struct loop_watch *w, unsigned ready)
{
	struct child *c = (struct child *)(void *)((char *)w - offsetof(struct child, watch));
	struct family *f = c->family;
	(void)ready;
	switch (channel_poll(w->fd)) {
	case 1:
		c->ready = true;
		loop_timer_clear(f->loop, &c->deadline);
		loop_want(f->loop, w, 0);
		loop_later(f->loop, &f->changed);
		break;
	case -1: /* dying; SIGCHLD tells the rest */
		loop_remove(f->loop, w);
		break;
	}
}

static void
on_deadline(struct loop_timer *t)
{
	const struct child *c =
		(const struct child *)(void *)((char *)t - offsetof(struct child, deadline));
	char name[CHILD_NAME];
	child_name(c->kind, c->number, name);
	log_error("%s (pid %d) was not ready within %d s: killed", name, (int)c->pid,
		READY_MS / 1000);
	kill(c->pid, SIGKILL);
}

/* Undo child_new. */
static void
child_discard(struct child *c, int channel)
{
	if (c->watch.fd >= 0) {
		close(c->watch.fd);
		close(channel);
	}
	if (c->row != NULL)
		scoreboard_release(c->row);
	sink_lines_free(c->lines);
	mem_put(c, sizeof *c);
}

/* What only a worker has. 0, or -1 with a reason in *why. */
static int
worker_new(struct family *f, struct child *c, const char **why)
{
	struct generation *g = c->generation;
	*why = "every row of the scoreboard is taken";
	if ((c->row = scoreboard_claim(f->board, g->number)) == NULL)
		return -1;
	if (g->access.pending == NULL || (c->lines = sink_lines_new()) != NULL)
		return 0;
	*why = strerror(errno);
	return -1;
}

/* Everything but the process. NULL with a reason in *why. */
static struct child *
child_new(struct family *f, struct slot *s, int *channel, const char **why)
{
	struct child *c = mem_get(sizeof *c);
	if (c == NULL) {
		*why = "out of memory";
		return NULL;
	}
	*c = (struct child){ .family = f,
		.generation = s->generation,
		.slot = s,
		.number = s->number };
	c->kind = s == &s->generation->resolver ? CHILD_RESOLVER : CHILD_WORKER;
	c->watch = (struct loop_watch){ .fd = -1, .on_ready = on_channel };
	c->deadline.on_due = on_deadline;
	if (c->kind == CHILD_RESOLVER || worker_new(f, c, why) == 0) {
		if (channel_pair(&c->watch.fd, channel) == 0)
			return c;
		*why = strerror(errno);
	}
	child_discard(c, -1);
	return NULL;
}

/* The process; -1 with errno. */
static pid_t
child_fork(struct family *f, const struct child *c, int channel)
{
	signals_block(true);
	pid_t pid = fork();
	if (pid == 0)
		exit(child_run(f, c, channel));
	int saved = errno;
	signals_block(false);
	errno = saved;
	return pid;
}

static int
not_born(struct family *f, const struct slot *s, const char *why)
{
	const struct count_key k = { .metric = METRIC_START_FAILURES };
	char name[CHILD_NAME];
	count_add(&f->counts, &k, 1);
	bool resolver = s == &s->generation->resolver;
	child_name(resolver ? CHILD_RESOLVER : CHILD_WORKER, s->number, name);
	log_error("cannot start %s: %s", name, why);
	return -1;
}

int
child_spawn(struct family *f, struct slot *s)
{
	const char *why;
	int channel;
	struct child *c = child_new(f, s, &channel, &why);
	if (c == NULL)
		return not_born(f, s, why);
	/* In the loop before the fork: afterwards nothing may fail. */
	if (loop_add(f->loop, &c->watch, WANT_READ) != 0) {
		child_discard(c, channel);
		return not_born(f, s, "out of memory");
	}
	c->pid = child_fork(f, c, channel);
	if (c->pid < 0) {
		int saved = errno;
		loop_remove(f->loop, &c->watch);
		child_discard(c, channel);
		return not_born(f, s, strerror(saved));
	}
	close(channel);
	c->born_ms = clock_ms();
	loop_timer_set(f->loop, &c->deadline, READY_MS);
	c->next = f->children;
	f->children = c;
	s->child = c;
	c->generation->children++;
	return 0;
}

void
children_start(struct family *f, struct generation *g)
{
	for (unsigned i = 0; i < g->wanted; i++)
		if (child_spawn(f, &g->workers[i]) != 0)
			snprintf(g->reason, sizeof g->reason, "worker %u could not be started", i);
	if (resolver_needed(g->addresses) && child_spawn(f, &g->resolver) != 0)
		snprintf(g->reason, sizeof g->reason, "the resolver could not be started");
	loop_later(f->loop, &f->changed);
}

void
children_signal(const struct family *f, const struct generation *g, unsigned kinds, int signo)
{
	for (const struct child *c = f->children; c != NULL; c = c->next)
		if ((g == NULL || c->generation == g) && (kinds & 1u << c->kind))
			kill(c->pid, signo);
}

void
children_end_resolvers(const struct family *f, const struct generation *g)
{
	children_signal(f, g, ONLY_RESOLVERS, SIGCONT); /* first: who ends is not disturbed */
	children_signal(f, g, ONLY_RESOLVERS, SIGTERM);
}

unsigned
children_workers(const struct family *f)
{
	unsigned n = 0;
	for (const struct child *c = f->children; c != NULL; c = c->next)
		n += c->kind == CHILD_WORKER;
	return n;
}

unsigned
children_ready(const struct generation *g)
{
	unsigned n = 0;
	for (unsigned i = 0; i < g->wanted; i++)
		n += g->workers[i].child != NULL && g->workers[i].child->ready;
	return n;
}

static void
hand_down(const struct family *f, const struct generation *g, bool access, int file)
{
	for (const struct child *c = f->children; c != NULL; c = c->next) {
		if (c->generation != g || (access && c->kind != CHILD_WORKER))
			continue;
		if (channel_send_log(c->watch.fd, access, file) != 0)
			log_warn("pid %d did not take the new log file: %s", (int)c->pid,
				strerror(errno));
	}
}

static void
reopen(const struct family *f, const struct generation *g, struct sink *s, bool access)
{
	struct sink fresh;
	if (!sink_is_path(s))
		return;
	if (sink_open(&fresh, s->where) != 0) {
		log_error("cannot reopen %.*s: %s; the old file stays", STR_ARG(s->where),
			strerror(errno));
		return;
	}
	hand_down(f, g, access, fresh.fd);
	sink_replace(s, fresh.fd);
	fresh.fd = -1;
	sink_close(&fresh);
}

void
children_reopen(struct family *f)
{
	for (struct generation *g = f->generations; g != NULL; g = g->next) {
		reopen(f, g, &g->log, false);
		reopen(f, g, &g->access, true);
	}
	log_info("log files reopened");
}

static void
watch_one(struct child *c)
{
	uint32_t beat = ROW_GET(c->row->heartbeat);
	c->still = beat == c->heartbeat ? c->still + 1 : 0;
	c->heartbeat = beat;
	if (c->still == STILL_ABORT) {
		log_error("worker %u (pid %d) has not moved for %d s: aborted", c->number,
			(int)c->pid, STILL_ABORT);
		kill(c->pid, SIGABRT);
	} else if (c->still == STILL_KILL) {
		kill(c->pid, SIGKILL);
	}
}

bool
children_beat(const struct family *f, const struct generation *g)
{
	for (const struct child *c = f->children; c != NULL; c = c->next)
		if (c->generation == g && c->kind == CHILD_WORKER && c->ready &&
			c->still <= STILL_WELL)
			return true;
	return false;
}

void
children_watch(struct family *f)
{
	for (struct child *c = f->children; c != NULL; c = c->next)
		if (c->kind == CHILD_WORKER && c->ready)
			watch_one(c);
}
