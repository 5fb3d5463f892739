/*
 * reload: from one generation to the next, or back.
 *
 *	       HUP: load, claim             all ready: commit
 *	current ──────────────> current, coming ──────────────> the new current; the old drains
 *	   ^                         │
 *	   └────────roll back────────┘ a worker died, or was not ready in time
 *
 * Nothing of the old generation is touched before the new one serves: both accept from the same
 * sockets for a moment, and none is ever without an acceptor. A configuration with errors, an
 * address that cannot be bound, a log that cannot be opened, a pid file that another master
 * holds: each is logged with its place, and the old generation does not notice.
 *
 * A generation that rests (WINCH) is current without serving, and keeps its sockets: a reload ends
 * that, or the end of the other master. That needs no file, which may be one for the other.
 *
 * Rolling back drains those new workers that were ready, since clients may be with them already,
 * and kills the others. Called by master, from its loop. A master that is told to end in the
 * middle of it just ends all children.
 */
#include "process/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "net/clock.h"
#include "process/reap.h"
#include "process/resolver.h"
#include "process/sandbox.h"

#define GOES_ON 64

void
reload_report(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	if (line > 0)
		log_error("%s:%u: %s", file, line, text);
	else
		log_error("%s: %s", file, text);
}

/* The pid file of the coming configuration, when that is another one. 0, or -1 after a report. */
static int
claim_pidfile(struct family *f, const struct conf *c)
{
	char text[PATH_MAX + 64];
	pid_t holder;
	f->coming_pid.fd = -1;
	if (str_eq(c->pid_file, f->current->conf->pid_file))
		return 0;
	if (pidfile_is_aside(&f->pid)) {
		reload_report(NULL, c->pid_file_at.file, c->pid_file_at.line,
			"pid_file: cannot be changed while there is another master");
		return -1;
	}
	if (c->pid_file.len == 0 || pidfile_is(&f->pid, c->pid_file.p))
		return 0;
	int result = pidfile_take(&f->coming_pid, c->pid_file.p, &holder);
	if (result == 0)
		return 0;
	if (result == 1)
		snprintf(text, sizeof text, "pid_file: %s is held by process %d; name another",
			c->pid_file.p, (int)holder);
	else
		snprintf(text, sizeof text, "pid_file: cannot write %s: %s", c->pid_file.p,
			strerror(errno));
	reload_report(NULL, c->pid_file_at.file, c->pid_file_at.line, text);
	return -1;
}

static void
commit_pidfile(struct family *f, const struct conf *old, const struct conf *new)
{
	if (str_eq(old->pid_file, new->pid_file) || pidfile_is(&f->pid, new->pid_file.p))
		return;
	pidfile_remove(&f->pid);
	f->pid = f->coming_pid;
	f->coming_pid.fd = -1;
}

void
reload_start(struct family *f, struct generation *g)
{
	g->family = f;
	g->number = scoreboard_next_generation(f->board);
	g->next = f->generations;
	f->generations = g;
	if (g->conf->seccomp)
		sandbox_prepare();
	heap_trim(); /* free memory that is touched after the fork is each child's own */
	children_start(f, g);
}

static void
count_result(struct family *f, enum reload_result result)
{
	const struct count_key k = { .metric = METRIC_RELOADS, .detail = result };
	count_add(&f->counts, &k, 1);
}

/* What goes on after a reload that has failed. */
static void
goes_on(const struct generation *g, char out[GOES_ON])
{
	if (g->state == GENERATION_RESTING)
		snprintf(out, GOES_ON, "no workers run (WINCH)");
	else
		snprintf(out, GOES_ON, "generation %u stays in service", g->number);
}

void
reload_tell_ready(struct family *f)
{
	const struct generation *g = f->current;
	if (g->state == GENERATION_RESTING)
		notify_send(&f->notify, "READY=1\nMAINPID=%d\nSTATUS=no workers run (WINCH)",
			(int)getpid());
	else
		notify_send(&f->notify, "READY=1\nMAINPID=%d\nSTATUS=%u workers, generation %u",
			(int)getpid(), children_ready(g), g->number);
}

static void
not_reloaded(struct family *f, const char *why)
{
	char rest[GOES_ON];
	goes_on(f->current, rest);
	count_result(f, RESULT_FAILED);
	log_error("reload failed: %s%s%s", why, why[0] != '\0' ? "; " : "", rest);
	reload_tell_ready(f);
}

void
reload_begin(struct family *f)
{
	log_info("reading %s again", f->options.path);
	notify_send(&f->notify, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading %s again",
		(unsigned long long)clock_now_us(), f->options.path);
	struct account account;
	struct conf *c = generation_conf(&f->options, &account, reload_report, NULL);
	struct generation *g = NULL;
	if (c != NULL) {
		generation_tell_keys(c);
		count_name(f->series, c);
		g = generation_new(c, &account, &f->sockets, f->current, reload_report, NULL);
	}
	if (g != NULL && claim_pidfile(f, g->conf) != 0) {
		generation_free(g, &f->sockets);
		g = NULL;
	}
	if (g == NULL) {
		not_reloaded(f, "");
		return;
	}
	f->coming = g;
	reload_start(f, g);
}

void
reload_count_lost(struct family *f)
{
	const struct sink *log = &f->current->log;
	if (log != f->counted_log) {
		f->counted_log = log;
		f->counted_lost = 0;
	}
	ROW_ADD(f->row->lines_lost, log->lost - f->counted_lost);
	f->counted_lost = log->lost;
}

/*
 * The old log has its last line here: a later one may stand where it stood in memory, and must not
 * be taken for it.
 */
static void
change_log(struct family *f, struct generation *g)
{
	reload_count_lost(f);
	f->current = g;
	log_open(&g->log, g->conf->log.level, g->conf->log.format);
	reload_count_lost(f);
}

void
reload_serve(struct family *f, struct generation *g)
{
	g->state = GENERATION_SERVING;
	scoreboard_set_generation(f->board, g->number);
	change_log(f, g);
	for (unsigned i = 0; i < g->wanted; i++)
		if (g->workers[i].child == NULL && !g->workers[i].given_up)
			reap_replace(f, &g->workers[i], false);
	if (resolver_needed(g->addresses) && g->resolver.child == NULL && !g->resolver.given_up &&
		g->resolver.respawn.due == 0)
		reap_replace(f, &g->resolver, false);
	log_info("ready: %u workers, generation %u", children_ready(g), g->number);
	reload_tell_ready(f);
}

/* Its workers drain, its resolver ends, and none takes their place. */
static void
dismiss(struct family *f, struct generation *g)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		loop_timer_clear(f->loop, &g->workers[i].respawn);
	loop_timer_clear(f->loop, &g->resolver.respawn);
	children_signal(f, g, ONLY_WORKERS, SIGQUIT);
	children_end_resolvers(f, g);
}

void
reload_retire(struct family *f, struct generation *g)
{
	g->state = GENERATION_RETIRED;
	dismiss(f, g);
	sockets_release(&f->sockets, &g->claim);
}

void
reload_tell_unchanged(const struct family *f, const struct conf *c)
{
	if (limit_size(c->limits.rate_buckets) != limit_buckets(f->limits))
		log_warn(
			"limits.rate_buckets: the table keeps its %zu places until the daemon is started again",
			limit_buckets(f->limits));
}

static void
commit(struct family *f)
{
	struct generation *old = f->current, *new = f->coming;
	reload_tell_unchanged(f, new->conf);
	f->coming = NULL;
	commit_pidfile(f, old->conf, new->conf);
	sockets_log(&new->claim);
	count_result(f, RESULT_OK);
	reload_serve(f, new);
	reload_retire(f, old);
}

static void
roll_back(struct family *f)
{
	struct generation *g = f->coming;
	f->coming = NULL;
	not_reloaded(f, g->reason);
	pidfile_remove(&f->coming_pid);
	for (const struct child *c = f->children; c != NULL; c = c->next)
		if (c->generation == g && !c->ready)
			kill(c->pid, SIGKILL);
	reload_retire(f, g);
}

void
reload_rest(struct family *f)
{
	if (f->coming != NULL) {
		snprintf(f->coming->reason, sizeof f->coming->reason, "all workers are to leave");
		roll_back(f);
	}
	dismiss(f, f->current);
	reload_tell_ready(f);
}

static void
refill(struct family *f, struct slot *s)
{
	if (s->child != NULL)
		s->child->slot = NULL; /* it leaves */
	s->child = NULL;
	s->delay_s = 0;
	s->given_up = false;
	reap_replace(f, s, true);
}

void
reload_resume(struct family *f)
{
	struct generation *g = f->current;
	g->state = GENERATION_SERVING;
	for (unsigned i = 0; i < g->wanted; i++)
		refill(f, &g->workers[i]);
	if (resolver_needed(g->addresses))
		refill(f, &g->resolver);
	log_info("generation %u serves again", g->number);
	loop_later(f->loop, &f->changed);
}

void
reload_progress(struct family *f)
{
	struct generation *g = f->coming;
	if (g->reason[0] != '\0')
		roll_back(f);
	else if (children_ready(g) == g->wanted)
		commit(f);
}

void
reload_collect(struct family *f)
{
	struct generation **at = &f->generations;
	while (*at != NULL) {
		struct generation *g = *at;
		if (g->state != GENERATION_RETIRED || g->children > 0) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		generation_free(g, &f->sockets);
	}
}
