/*
 * master: the process that binds, forks, supervises and obeys signals. It moves no request bytes
 * and trusts no worker.
 *
 *	STARTING ──first workers ready──> SERVING ──QUIT──> QUITTING ──┐ last child gone
 *	    │                             │ ^   │              │       ├──────────────> exit
 *	    │     HUP: reload, USR2, WINCH└─┘   └──TERM────┐  TERM     │
 *	    └── none got ready, TERM ─────────────────> STOPPING ──────┘
 *
 * After WINCH the current generation rests, until HUP; after USR2 there is another master, which is
 * process/upgrade's. What this one is to others, that master, the service manager and whoever asks
 * /health, is in one place: `stand`.
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
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/shm.h"
#include "net/clock.h"
#include "net/signals.h"
#include "process/daemon.h"
#include "process/handover.h"
#include "process/reap.h"
#include "process/reload.h"
#include "process/upgrade.h"
#include "report/metrics.h"

#define TICK_MS 1000
#define SWEEP_TICKS 3600 /* of the rate limits' table */
#define LOOK_MS 500      /* between two looks at the files, with reload = "auto" */
#define STOP_MS 4500     /* then KILL: all gone within 5 s */

enum phase { STARTING, SERVING, QUITTING, STOPPING };

struct master {
	struct family family;
	enum phase phase;
	bool reload_wanted, upgrade_wanted;
	bool quit_wanted;       /* once the new master serves */
	enum peer_state told;   /* of this master, to others */
	struct sink early;      /* the log until there is another, in a master that takes over */
	bool resolvers_told;    /* QUITTING: to end, after the last worker */
	struct loop_timer tick; /* of the watchdog */
	struct loop_timer kill; /* when STOPPING takes too long */
	struct loop_timer look; /* at the files of the configuration */
	uint64_t looked;        /* what was found changed the last time; 0: nothing */
	int status;
	unsigned ticks;
};

/*
 * What this master is to others
 */

static bool
rests(const struct master *m)
{
	return m->phase == SERVING && m->family.current->state == GENERATION_RESTING;
}

static enum peer_state
state_of(const struct master *m)
{
	if (m->phase == STARTING)
		return PEER_STARTING;
	if (m->phase == SERVING)
		return rests(m) ? PEER_RESTING : PEER_SERVING;
	return PEER_LEAVING;
}

/* Is it the other master that the service manager follows? */
static bool
follows(const struct family *f)
{
	enum peer_state next = f->successor.peer.state;
	return next == PEER_SERVING || next == PEER_RESTING;
}

/*
 * Does any master serve? The scoreboard knows it of all that share it; of one with tables of its
 * own only the line to it tells.
 */
static bool
is_served(const struct family *f)
{
	return scoreboard_served(f->board) || f->elder.state == PEER_SERVING ||
		f->successor.peer.state == PEER_SERVING;
}

/* The service manager hears that its service ends, or whom it is to follow instead. */
static void
tell_leaving(const struct master *m)
{
	const struct family *f = &m->family;
	if (f->elder.state == PEER_SERVING || f->elder.state == PEER_RESTING)
		notify_send(&f->notify, "MAINPID=%d", (int)f->elder.pid);
	else
		notify_send(&f->notify, "STOPPING=1\nSTATUS=%s",
			m->phase == QUITTING ? "finishing open requests" : "ending now");
}

/*
 * Look at this master and the others, and tell what has changed: the other masters how this one is;
 * the service manager whom to follow; and /health whether nobody serves.
 */
static void
stand(struct master *m)
{
	struct family *f = &m->family;
	enum peer_state own = state_of(m);
	bool quiet = f->notify.quiet;
	f->sockets.shared = f->elder.state != PEER_NONE || f->successor.peer.state != PEER_NONE;
	ROW_SET(f->row->generation, own == PEER_SERVING ? f->current->number : 0);
	if (own == PEER_SERVING && f->elder.state != PEER_SERVING &&
		f->successor.peer.state != PEER_SERVING)
		scoreboard_set_generation(f->board, f->current->number);
	if (own == PEER_SERVING)
		scoreboard_set_draining(f->board, false);
	else if (own == PEER_RESTING || m->phase == QUITTING) {
		scoreboard_set_draining(f->board, !is_served(f));
		if (is_served(f)) /* the other began to, between the look and the word */
			scoreboard_set_draining(f->board, false);
	}
	if (own != m->told) {
		m->told = own;
		peer_tell(&f->elder, own);
		peer_tell(&f->successor.peer, own);
		if (own == PEER_LEAVING)
			tell_leaving(m);
	}
	f->notify.quiet = follows(f);
	if (quiet && !f->notify.quiet && own != PEER_LEAVING)
		reload_tell_ready(f);
}

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
	if (f->current != NULL)
		stand(m);
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

/* Is another master wanted that has not served yet? One that leaves may never have. */
static bool
upgrades(const struct master *m)
{
	const struct successor *n = &m->family.successor;
	return m->upgrade_wanted || (n->peer.state != PEER_NONE && !n->served);
}

static void
on_quit(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	if (m->phase == QUITTING || m->phase == STOPPING)
		return;
	if (upgrades(m)) {
		log_info("QUIT: waits until the new master serves");
		m->quit_wanted = true;
		return;
	}
	log_info("QUIT: finishing open requests");
	leave(m, QUITTING, EXIT_SUCCESS);
	children_signal(&m->family, NULL, ONLY_WORKERS, SIGQUIT);
}

/* The upgrade that QUIT waited for has ended, one way or the other. */
static void
quit_or_stay(struct master *m)
{
	const struct family *f = &m->family;
	if (!m->quit_wanted || upgrades(m))
		return;
	m->quit_wanted = false;
	if (f->successor.served || f->elder.state != PEER_NONE)
		on_quit(m, SIGQUIT);
	else if (m->phase != STOPPING)
		log_warn("QUIT: dropped, since nobody would serve: send it again to end");
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
on_upgrade(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	m->upgrade_wanted = true;
	loop_later(m->family.loop, &m->family.changed);
}

static bool
has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void
on_rest(void *ctx, int signo)
{
	struct master *m = ctx;
	(void)signo;
	if (m->phase != SERVING || rests(m))
		return;
	if (has_terminal()) {
		log_debug("WINCH: ignored: it comes with each change of this terminal's size");
		return;
	}
	log_info("WINCH: the workers finish open requests and leave; HUP starts others");
	m->reload_wanted = false;
	m->family.current->state = GENERATION_RESTING;
	stand(m);
	reload_rest(&m->family);
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
	if (rests(m)) {
		log_warn("%s: no workers run: HUP starts them", signal);
		return;
	}
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

static const struct signal_action actions[] = {
	/* First, and once more in its place, where nothing is left of it: a QUIT that comes in the
	 * same turn is to finish that upgrade. */
	{ SIGUSR2, on_upgrade },
#define SIGNAL(name, word, act, does) { SIG##name, on_##act },
#include "process/signal.def"
#undef SIGNAL
	{ SIGCHLD, on_child },
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
	if (m->phase != SERVING || rests(m) || f->current->conf->reload != RELOAD_AUTO)
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
	if (f->coming == NULL && m->upgrade_wanted) {
		m->upgrade_wanted = false;
		upgrade_begin(f);
	}
	if (rests(m))
		return;
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
		children_end_resolvers(f, NULL);
	}
}

static void
progress(struct loop_later *l)
{
	struct master *m =
		(struct master *)(void *)((char *)l - offsetof(struct master, family.changed));
	/* The other master serves no more: this one does, also if it had been told to rest. */
	if (upgrade_progress(&m->family) && rests(m))
		reload_resume(&m->family);
	if (m->phase == STARTING)
		progress_start(m);
	if (m->phase == SERVING)
		progress_serve(m);
	quit_or_stay(m);
	if (m->phase == QUITTING || m->phase == STOPPING)
		progress_leave(m);
	stand(m);
	reload_collect(&m->family);
}

static void
on_tick(struct loop_timer *t)
{
	struct master *m = (struct master *)(void *)((char *)t - offsetof(struct master, tick));
	children_watch(&m->family);
	scoreboard_sweep(m->family.board);
	reload_count_lost(&m->family);
	if (m->phase != SERVING || rests(m) || children_beat(&m->family, m->family.current))
		notify_alive(&m->family.notify, clock_ms());
	if (++m->ticks % SWEEP_TICKS == 0)
		limit_sweep(m->family.limits, clock_now_us());
	if (!ticket_tick(m->family.tickets, clock_ms()))
		log_warn("no random bytes for a new key of TLS sessions: the last one stays: %s",
			strerror(errno));
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

static void
free_tables(struct family *f)
{
	limit_free(f->limits);
	trouble_free(f->troubles);
	ticket_free(f->tickets);
	series_free(f->series);
	scoreboard_free(f->board);
}

static int
make_tables(struct family *f, const struct conf *c)
{
	f->board = scoreboard_new();
	f->series = series_new();
	f->troubles = trouble_new(SERIES_LABELS);
	f->limits = limit_new(c->limits.rate_buckets);
	f->tickets = ticket_new(clock_ms());
	return f->board == NULL || f->series == NULL || f->troubles == NULL || f->limits == NULL ||
			f->tickets == NULL
		? -1
		: 0;
}

/*
 * The tables that all processes share: all those that the old master handed down or, if one of them
 * is not as here, none. 0, or -1 after a message.
 */
static int
open_tables(struct family *f, struct conf *c)
{
	shm_meaning(metrics_meaning());
	int result = make_tables(f, c);
	if (result == 0 && shm_refused() != NULL) {
		log_warn("limits and counters start afresh: %s", shm_refused());
		free_tables(f);
		shm_forget();
		result = make_tables(f, c);
	}
	shm_forget();
	if (result != 0) {
		log_error("no shared memory: %s", strerror(errno));
		return -1;
	}
	f->started_s = scoreboard_started(f->board, clock_wall_ms() / 1000);
	f->row = scoreboard_claim_master(f->board);
	if (f->row == NULL) {
		log_error("every row of the scoreboard is taken");
		return -1;
	}
	series_open(&f->counts, f->series, scoreboard_index(f->board, f->row));
	count_begin(&f->counts);
	count_name(f->series, c);
	return 0;
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
	if (status == 0 && open_tables(f, c) != 0)
		status = EXIT_FAILURE;
	if (status != 0) {
		conf_free(c);
		return status;
	}
	struct generation *g = generation_new(c, &account, &f->sockets, NULL, report, NULL);
	if (g == NULL)
		return EXIT_FAILURE;
	if (f->options.detach)
		daemon_quiet();
	log_open(&g->log, g->conf->log.level, g->conf->log.format);
	sink_close(&m->early);
	reload_tell_unchanged(f, g->conf);
	sockets_drop(&f->sockets);
	if (geteuid() == 0)
		log_info("workers run as user %s", g->account.user);
	sockets_log(&g->claim);
	generation_tell_keys(g->conf);
	f->current = g;
	reload_start(f, g);
	loop_timer_set(f->loop, &m->tick, TICK_MS);
	return 0;
}

/* 0, or -1 after a message. */
static int
master_open(struct master *m)
{
	struct family *f = &m->family;
	f->loop = loop_new(64);
	if (signals_open(f->loop, actions, m) != 0) {
		log_error("cannot catch signals: %s", strerror(errno));
		return -1;
	}
	f->changed.run = progress;
	m->tick.on_due = on_tick;
	m->kill.on_due = on_kill;
	m->look.on_due = on_look;
	return 0;
}

/* What another process has handed down, the old master or a service manager. */
static void
master_inherit(struct master *m, struct handover *h)
{
	struct family *f = &m->family;
	handover_take(h, &f->sockets);
	f->sockets.shared = h->old != 0;
	handover_activation(&f->sockets);
	notify_open(&f->notify);
	if (h->old == 0 || h->log[0] == '\0')
		return;
	if (sink_open(&m->early, str_of(h->log)) == 0)
		log_open(&m->early, h->level, h->format);
}

static void
master_close(struct master *m)
{
	struct family *f = &m->family;
	log_open(NULL, LEVEL_WARN, FORMAT_TEXT);
	sink_close(&m->early);
	peer_close(&f->elder);
	peer_close(&f->successor.peer);
	pidfile_remove(&f->pid);
	pidfile_remove(&f->coming_pid);
	while (f->generations != NULL) {
		struct generation *g = f->generations;
		f->generations = g->next;
		generation_free(g, &f->sockets);
	}
	/* What was inherited, and the start did not get to. */
	struct claim nothing = { 0 };
	sockets_release(&f->sockets, &nothing);
	sockets_end(&f->sockets);
	shm_forget();
	conf_files_free(&f->files);
	series_close(&f->counts);
	if (f->row != NULL)
		scoreboard_release(f->row);
	free_tables(f);
	signals_reset();
	loop_free(f->loop);
}

int
master_run(const struct conf_options *o, const struct program *program, conf_report *report)
{
	struct master m = { .family = { .options = *o,
				    .program = program,
				    .verdict = -1,
				    .pid.fd = -1,
				    .coming_pid.fd = -1 },
		.early.fd = -1 };
	struct handover h;
	privilege_no_core();
	/* Whatever the caller had: what is made here is nobody else's to read or change. */
	umask(027);
	master_inherit(&m, &h);
	if (h.old != 0)
		report = reload_report;
	else if (o->detach && (m.family.verdict = daemon_detach()) < 0) {
		log_error("cannot go into the background: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	m.family.options.files = &m.family.files;
	m.status = master_open(&m) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	if (m.status == 0 && h.old != 0)
		upgrade_watch_elder(&m.family, h.old, h.line);
	if (m.status == 0)
		m.status = master_start(&m, report);
	if (m.status == 0)
		loop_run(m.family.loop);
	master_close(&m);
	return m.status;
}
