/*
 * master: the process that binds, forks, supervises and obeys signals. It moves no request bytes
 * and trusts no worker.
 *
 *	STARTING ──first workers ready──> SERVING ──QUIT──> QUITTING ──┐ last child gone
 *	    │                               │ ^  │             │       ├──────────────> exit
 *	    │                    HUP: reload└─┘  └──TERM───┐  TERM     │
 *	    └── none got ready, TERM ─────────────────> STOPPING ──────┘
 *
 * All that happens comes through the loop: signals (net/signals), ready bytes (process/child),
 * timers. Each of them changes some state and asks for `progress`, which looks at the state as it
 * is and takes the next step, whatever it was that changed: so no order of events needs a case of
 * its own. Requests that cannot be served now are remembered as a flag: any number of HUPs during
 * a reload is one more reload after it.
 *
 * What can fail at the start ends it, with the reason on stderr (and, with -D, by way of the
 * parent that waits): 78 for the configuration, 1 for the rest. Later only the loss of every
 * worker to status 78 ends the master.
 */
#include "process/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/signals.h"
#include "process/daemon.h"
#include "process/reap.h"
#include "process/reload.h"

#define TICK_MS 1000
#define SWEEP_TICKS 3600 /* of the rate limits' table */
#define LOOK_MS 500      /* between two looks at the files, with reload = "auto" */
#define STOP_MS 4500     /* then KILL: all gone within 5 s */

enum phase { STARTING, SERVING, QUITTING, STOPPING };

struct master {
	struct family family;
	enum phase phase;
	bool reload_wanted;
	bool resolvers_told;    /* QUITTING: to end, after the last worker */
	struct loop_timer tick; /* of the watchdog */
	struct loop_timer kill; /* when STOPPING takes too long */
	struct loop_timer look; /* at the files of the configuration */
	uint64_t looked;        /* what was found changed the last time; 0: nothing */
	int status;
	unsigned ticks;
};

/*
 * Ending
 */

static void
on_kill(struct loop_timer *t)
{
	struct master *m = (struct master *)(void *)((char *)t - offsetof(struct master, kill));
	log_warn("children that are still there are killed");
	children_signal(&m->family, NULL, ONLY_WORKERS | ONLY_RESOLVERS, SIGKILL);
}

/*
 * Close the master's own listening sockets: a connection that nobody will accept must be refused.
 */
static void
stop_listening(struct family *f)
{
	for (struct generation *g = f->generations; g != NULL; g = g->next)
		sockets_release(&f->sockets, &g->claim);
}

static void
leave(struct master *m, enum phase phase, int status)
{
	struct family *f = &m->family;
	m->phase = phase;
	m->status = status;
	f->leaving = true;
	f->coming = NULL;
	stop_listening(f);
	loop_later(f->loop, &f->changed);
}

static void
stop(struct master *m, int status)
{
	if (m->phase == STOPPING)
		return;
	leave(m, STOPPING, status);
	children_signal(&m->family, NULL, ONLY_WORKERS | ONLY_RESOLVERS, SIGTERM);
	loop_timer_set(m->family.loop, &m->kill, STOP_MS);
}

static void
fail(struct master *m, const char *reason)
{
	log_error("%s", reason);
	daemon_failed(m->family.verdict, reason);
	m->family.verdict = -1;
	stop(m, EXIT_FAILURE);
}

/*
 * Signals
 */

static void
on_stop(void *ctx, int signo)
{
	struct master *m = ctx;
	if (m->phase != STOPPING)
		log_info("%s: ending now", signo == SIGINT ? "INT" : "TERM");
	stop(m, EXIT_SUCCESS);
}

static void
on_quit(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	if (m->phase == QUITTING || m->phase == STOPPING)
		return;
	log_info("QUIT: finishing open requests");
	scoreboard_set_draining(m->family.board, true);
	leave(m, QUITTING, EXIT_SUCCESS);
	children_signal(&m->family, NULL, ONLY_WORKERS, SIGQUIT);
}

static void
on_reload(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	m->reload_wanted = true;
	loop_later(m->family.loop, &m->family.changed);
}

static void
on_reopen(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	children_reopen(&m->family);
}

static void
grow(struct family *f, struct generation *g)
{
	if (g == NULL || g->wanted == WORKERS_MAX)
		return;
	struct slot *s = &g->workers[g->wanted++];
	s->delay_s = 0;
	s->given_up = false;
	if (child_spawn(f, s) != 0)
		reap_replace(f, s, false);
}

static void
shrink(struct family *f, struct generation *g)
{
	if (g == NULL || g->wanted == 1)
		return;
	struct slot *s = &g->workers[--g->wanted];
	loop_timer_clear(f->loop, &s->respawn);
	if (s->child == NULL)
		return;
	/* It drains without its slot, which a TTIN may fill again before it is gone. */
	kill(s->child->pid, SIGQUIT);
	s->child->slot = NULL;
	s->child = NULL;
}

static void
resize(struct master *m, const char *signal, void (*change)(struct family *, struct generation *))
{
	struct family *f = &m->family;
	if (m->phase != SERVING)
		return;
	unsigned before = f->current->wanted;
	change(f, f->current);
	change(f, f->coming);
	if (f->current->wanted == before)
		log_warn("%s: the number of workers stays %u, which is the %s", signal, before,
			before == 1 ? "least" : "most");
	else
		log_info("%s: workers: %u, were %u", signal, f->current->wanted, before);
	loop_later(f->loop, &f->changed);
}

static void
on_more(void *ctx, int signo)
{
	(void)signo;
	resize(ctx, "TTIN", grow);
}

static void
on_fewer(void *ctx, int signo)
{
	(void)signo;
	resize(ctx, "TTOU", shrink);
}

static void
on_child(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	reap_all(&m->family);
}

/*
 * USR2 ends a process that does not know it; nothing that a habit from another daemon sends may
 * do that.
 */
static const struct signal_action actions[] = {
#define SIGNAL(name, word, act, does) { SIG##name, on_##act },
#include "process/signal.def"
#undef SIGNAL
	{ SIGCHLD, on_child },
	{ SIGUSR2, NULL },
	{ 0, NULL },
};

/*
 * The next step
 */

static bool
all_tried(const struct generation *g)
{
	for (unsigned i = 0; i < g->wanted; i++)
		if (g->workers[i].child != NULL && !g->workers[i].child->ready)
			return false;
	return true;
}

static bool
all_given_up(const struct generation *g)
{
	for (unsigned i = 0; i < g->wanted; i++)
		if (!g->workers[i].given_up)
			return false;
	return true;
}

static void
progress_start(struct master *m)
{
	struct family *f = &m->family;
	struct generation *g = f->current;
	if (!all_tried(g))
		return;
	if (children_ready(g) == 0) {
		char reason[384];
		snprintf(reason, sizeof reason, "no worker became ready: %s; see the log (%.64s)",
			g->reason, g->conf->log.file.p);
		fail(m, reason);
		return;
	}
	reload_serve(f, g);
	daemon_ready(f->verdict);
	f->verdict = -1;
	m->phase = SERVING;
}

/*
 * reload = "auto": a change that has stood still from one look to the next is what HUP would tell.
 * What was read, also in vain, is the new state to compare with.
 */
static void
on_look(struct loop_timer *t)
{
	struct master *m = (struct master *)(void *)((char *)t - offsetof(struct master, look));
	struct family *f = &m->family;
	uint64_t now;
	if (m->phase != SERVING || f->current->conf->reload != RELOAD_AUTO)
		return;
	loop_timer_set(f->loop, t, LOOK_MS);
	if (f->coming != NULL || m->reload_wanted)
		return;
	const char *changed = conf_files_changed(&f->files, &now);
	if (changed != NULL && now == m->looked) {
		log_info("%s has changed", changed);
		m->reload_wanted = true;
		loop_later(f->loop, &f->changed);
	}
	m->looked = changed != NULL ? now : 0;
}

static void
progress_serve(struct master *m)
{
	struct family *f = &m->family;
	if (f->coming != NULL)
		reload_progress(f);
	if (f->coming == NULL && m->reload_wanted) {
		m->reload_wanted = false;
		m->looked = 0;
		reload_begin(f);
	}
	if (f->current->conf->reload == RELOAD_AUTO && m->look.due == 0)
		loop_timer_set(f->loop, &m->look, LOOK_MS);
	if (f->coming == NULL && all_given_up(f->current))
		fail(m, "no worker is left, and none may be started again");
}

static void
progress_leave(struct master *m)
{
	struct family *f = &m->family;
	if (f->children == NULL) {
		loop_stop(f->loop);
	} else if (m->phase == QUITTING && children_workers(f) == 0 && !m->resolvers_told) {
		m->resolvers_told = true;
		children_signal(f, NULL, ONLY_RESOLVERS, SIGTERM);
	}
}

static void
progress(struct loop_later *l)
{
	struct master *m =
		(struct master *)(void *)((char *)l - offsetof(struct master, family.changed));
	if (m->phase == STARTING)
		progress_start(m);
	if (m->phase == SERVING)
		progress_serve(m);
	if (m->phase == QUITTING || m->phase == STOPPING)
		progress_leave(m);
	reload_collect(&m->family);
}

static void
on_tick(struct loop_timer *t)
{
	struct master *m = (struct master *)(void *)((char *)t - offsetof(struct master, tick));
	children_watch(&m->family);
	reload_count_lost(&m->family);
	if (++m->ticks % SWEEP_TICKS == 0)
		limit_sweep(m->family.limits, clock_now_us());
	loop_timer_set(m->family.loop, t, TICK_MS);
}

/*
 * Starting
 */

/* 0, or the exit status after a message. */
static int
open_pidfile(struct family *f, const struct conf *c, conf_report *report)
{
	char text[PATH_MAX + 160];
	pid_t holder;
	if (c->pid_file.len == 0)
		return 0;
	int result = pidfile_take(&f->pid, c->pid_file.p, &holder);
	if (result == 0)
		return 0;
	if (result == 1) {
		log_error(
			"already running: process %d holds %s; a second daemon needs a pid_file of its own",
			(int)holder, c->pid_file.p);
		return EXIT_FAILURE;
	}
	if (!f->options.detach && c->pid_file_at.line == 0) {
		log_warn("no pid file: cannot write %s: %s", c->pid_file.p, strerror(errno));
		return 0;
	}
	snprintf(text, sizeof text,
		"pid_file: cannot write %s: %s; name a file that this user can write, or \"\" for none",
		c->pid_file.p, strerror(errno));
	report(NULL, c->pid_file_at.file, c->pid_file_at.line, text);
	return EXIT_FAILURE;
}

/* From the configuration to the first fork. 0, or the exit status after a message. */
static int
master_start(struct master *m, conf_report *report)
{
	struct family *f = &m->family;
	struct account account;
	struct conf *c = generation_conf(&f->options, &account, report, NULL);
	if (c == NULL)
		return EX_CONFIG;
	int status = open_pidfile(f, c, report);
	if (status != 0) {
		conf_free(c);
		return status;
	}
	f->limits = limit_new(c->limits.rate_buckets);
	if (f->limits == NULL) {
		log_error("no shared memory for rate limits: %s", strerror(errno));
		conf_free(c);
		return EXIT_FAILURE;
	}
	count_name(f->series, c);
	struct generation *g = generation_new(c, &account, &f->sockets, NULL, report, NULL);
	if (g == NULL)
		return EXIT_FAILURE;
	if (f->options.detach)
		daemon_quiet();
	log_open(&g->log, g->conf->log.level, g->conf->log.format);
	if (geteuid() == 0)
		log_info("workers run as user %s", g->account.user);
	sockets_log(&g->claim);
	generation_tell_keys(g->conf);
	f->current = g;
	reload_start(f, g);
	return 0;
}

/* 0, or -1 after a message. */
static int
master_open(struct master *m)
{
	struct family *f = &m->family;
	f->loop = loop_new(64);
	f->started_s = clock_wall_ms() / 1000;
	f->board = scoreboard_new();
	f->series = series_new();
	f->troubles = trouble_new(SERIES_LABELS);
	if (f->board == NULL || f->series == NULL || f->troubles == NULL) {
		log_error("no shared memory: %s", strerror(errno));
		return -1;
	}
	f->row = scoreboard_claim_master(f->board);
	series_open(&f->counts, f->series, scoreboard_index(f->board, f->row));
	if (signals_open(f->loop, actions, m) != 0) {
		log_error("cannot catch signals: %s", strerror(errno));
		return -1;
	}
	f->changed.run = progress;
	m->tick.on_due = on_tick;
	m->kill.on_due = on_kill;
	m->look.on_due = on_look;
	loop_timer_set(f->loop, &m->tick, TICK_MS);
	return 0;
}

static void
master_close(struct master *m)
{
	struct family *f = &m->family;
	log_open(NULL, LEVEL_WARN, FORMAT_TEXT);
	pidfile_remove(&f->pid);
	pidfile_remove(&f->coming_pid);
	while (f->generations != NULL) {
		struct generation *g = f->generations;
		f->generations = g->next;
		generation_free(g, &f->sockets);
	}
	limit_free(f->limits);
	trouble_free(f->troubles);
	conf_files_free(&f->files);
	series_close(&f->counts);
	series_free(f->series);
	scoreboard_free(f->board);
	signals_reset();
	loop_free(f->loop);
}

int
master_run(const struct conf_options *o, conf_report *report)
{
	struct master m = {
		.family = { .options = *o, .verdict = -1, .pid.fd = -1, .coming_pid.fd = -1 }
	};
	privilege_no_core();
	if (o->detach && (m.family.verdict = daemon_detach()) < 0) {
		log_error("cannot go into the background: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	m.family.options.files = &m.family.files;
	m.status = master_open(&m) == 0 ? master_start(&m, report) : EXIT_FAILURE;
	if (m.status == 0)
		loop_run(m.family.loop);
	master_close(&m);
	return m.status;
}
