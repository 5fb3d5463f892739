/*
 * reap: deaths.
 *
 * Every child that dies gets one line in the log: who, which generation, how, how old. What lines
 * of the access log it had gathered are written. The connections that it still had, as its row
 * says, are counted as closed by its death. Then the row goes back to the scoreboard, and only now,
 * when its pid has been waited for, may another worker have it. Whether somebody takes the dead
 * one's place:
 *
 *	generation   worker                                      resolver
 *	STARTING     no: the start fails or goes on without it   yes
 *	SERVING      yes, unless it left with status 78          likewise
 *	RESTING      no                                          no
 *	RETIRED      no                                          no
 *
 * "Yes" means at once when the dead one had lived, else after the delay of process/throttle.
 * Nobody is replaced while the master leaves. Called by master for SIGCHLD, and by reload to fill
 * the gaps of a generation that it puts into service.
 */
#include "process/reap.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "net/clock.h"
#include "process/throttle.h"

static struct child *
unlink_child(struct family *f, pid_t pid)
{
	struct child **at = &f->children;
	while (*at != NULL && (*at)->pid != pid)
		at = &(*at)->next;
	struct child *c = *at;
	if (c != NULL)
		*at = c->next;
	return c;
}

void
reap_how(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "was killed by signal %d (%s%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)),
			WTERMSIG(status) == SIGSYS ? ", forbidden by seccomp" : "");
	else
		snprintf(out, size, "exited with status %d", WEXITSTATUS(status));
}

static void
obituary(const struct child *c, int status, uint64_t age_ms)
{
	char name[CHILD_NAME], how[80];
	child_name(c->kind, c->number, name);
	reap_how(status, how, sizeof how);
	bool expected = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	log_at(expected ? LEVEL_INFO : LEVEL_ERROR,
		"%s (pid %d, generation %u) %s after %llu.%03llu s%s", name, (int)c->pid,
		c->generation->number, how, (unsigned long long)(age_ms / 1000),
		(unsigned long long)(age_ms % 1000), c->ready ? "" : ", before it was ready");
}

static void
count_exit(struct family *f, const struct child *c, int status)
{
	struct count_key k = { .metric = METRIC_WORKER_EXITS, .detail = EXIT_FAILED };
	if (WIFSIGNALED(status))
		k.detail = c->still >= STILL_ABORT ? EXIT_WATCHDOG : EXIT_SIGNAL;
	else if (WEXITSTATUS(status) == 0)
		k.detail = EXIT_OK;
	else if (WEXITSTATUS(status) == EX_CONFIG)
		k.detail = EXIT_CONFIG;
	count_add(&f->counts, &k, 1);
}

static void
count_lost(struct family *f, enum side side, uint32_t n)
{
	const struct count_key k = { .metric = METRIC_CLOSES,
		.detail = count_close(side, CLOSE_LOST) };
	if (n > 0)
		count_add(&f->counts, &k, n);
}

static void
on_respawn(struct loop_timer *t)
{
	struct slot *s = (struct slot *)(void *)((char *)t - offsetof(struct slot, respawn));
	struct family *f = s->generation->family;
	if (!f->leaving && s->child == NULL && child_spawn(f, s) != 0)
		reap_replace(f, s, false);
}

void
reap_replace(struct family *f, struct slot *s, bool lived)
{
	s->delay_s = throttle_next(s->delay_s, lived);
	if (s->delay_s == 0 && child_spawn(f, s) == 0)
		return;
	if (s->delay_s == 0)
		s->delay_s = throttle_next(0, false);
	s->respawn.on_due = on_respawn;
	loop_timer_set(f->loop, &s->respawn, (uint64_t)s->delay_s * 1000);
	char name[CHILD_NAME];
	child_name(s == &s->generation->resolver ? CHILD_RESOLVER : CHILD_WORKER, s->number, name);
	log_warn("%s will be started again in %u s", name, s->delay_s);
}

/* The place that a dead child leaves. */
static void
inherit(struct family *f, const struct child *c, int status, uint64_t age_ms)
{
	struct slot *s = c->slot;
	struct generation *g = c->generation;
	if (s == NULL)
		return;
	s->child = NULL;
	s->given_up = WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG;
	if (f->leaving || g->state >= GENERATION_RESTING)
		return;
	if (c->kind == CHILD_WORKER && g->state == GENERATION_STARTING) {
		char how[80];
		reap_how(status, how, sizeof how);
		snprintf(g->reason, sizeof g->reason,
			"worker %u %s before the generation was ready", c->number, how);
	} else if (!s->given_up) {
		reap_replace(f, s, throttle_lived(c->ready, age_ms));
	}
}

/* Lines of the access log that it had gathered go to that log as it is now. */
static void
inherit_lines(const struct child *c)
{
	if (c->lines == NULL)
		return;
	uint64_t lost = sink_inherit(&c->generation->access, c->lines);
	sink_lines_free(c->lines);
	if (lost == 0)
		return;
	ROW_ADD(c->row->lines_lost, lost);
	log_warn("%llu lines of the access log were lost", (unsigned long long)lost);
}

static void
bury(struct family *f, struct child *c, int status)
{
	uint64_t age_ms = clock_ms() - c->born_ms;
	loop_remove(f->loop, &c->watch);
	loop_timer_clear(f->loop, &c->deadline);
	close(c->watch.fd);
	inherit_lines(c);
	if (c->row != NULL) {
		count_lost(f, SIDE_CLIENT, ROW_GET(c->row->clients));
		count_lost(f, SIDE_UPSTREAM, ROW_GET(c->row->upstreams));
		scoreboard_release(c->row);
	}
	c->generation->children--;
	obituary(c, status, age_ms);
	if (c->kind == CHILD_WORKER)
		count_exit(f, c, status);
	inherit(f, c, status, age_ms);
	mem_put(c, sizeof *c);
}

void
reap_all(struct family *f)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = unlink_child(f, pid);
		if (c != NULL) {
			bury(f, c, status);
		} else if (pid == f->successor.peer.pid) {
			f->successor.died = true;
			f->successor.status = status;
		}
		/* Else a stranger: an orphan when we are process 1. */
	}
	loop_later(f->loop, &f->changed);
}
