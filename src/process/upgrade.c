/*
 * upgrade: two masters for a while.
 *
 *	       USR2: fork, exec          's': it serves       QUIT to the old one
 *	alone ─────────────────> STARTING ─────────────> both ───────────────────> the new one
 *	  ^                         │                     │
 *	  │<──it ended, or was not──┘                     │
 *	  │   ready in time                               │
 *	  └──────────QUIT to the new one, or it died──────┘
 *
 * The new master is a child of the old one. It accepts from the same sockets and counts in the same
 * tables, so nothing has to be handed over when it serves: it is just there as well. Each has its
 * own configuration, workers, resolver and logs. Who goes is the administrator's choice.
 *
 * The pid file's name belongs to the newest: the old master's file is set aside while there is
 * another. Whatever goes wrong, be it a file that is no program, a broken configuration or a crash,
 * is logged, and the old master is as it was: its own part are a pair of sockets, a timer and the
 * name of its pid file.
 *
 * Called by master, from its loop; reap tells of the end of the process.
 */
#include "process/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/secret.h"
#include "net/signals.h"
#include "process/handover.h"
#include "process/reap.h"

/* Longer than a worker may take (process/child): then the new master knows better what is wrong. */
#define SERVE_MS 35000

static void
count_result(struct family *f, enum reload_result result)
{
	const struct count_key k = { .metric = METRIC_UPGRADES, .detail = result };
	count_add(&f->counts, &k, 1);
}

/* FILE.oldbin is FILE again, unless this master leaves anyway. */
static void
take_name_back(struct family *f)
{
	pid_t holder = 0;
	if (f->leaving || !pidfile_is_aside(&f->pid))
		return;
	int result = pidfile_back(&f->pid, &holder);
	if (result == 1)
		log_error("the pid file stays %s: process %d holds the other", f->pid.path,
			(int)holder);
	else if (result != 0)
		log_error("the pid file stays %s: %s", f->pid.path, strerror(errno));
}

/* There is no successor any more. */
static void
forget(struct family *f)
{
	struct successor *n = &f->successor;
	loop_timer_clear(f->loop, &n->deadline);
	peer_close(&n->peer);
	n->served = n->died = false;
	take_name_back(f);
}

static void
failed(struct family *f, const char *why)
{
	log_error("upgrade failed: %s; all is as before", why);
	count_result(f, RESULT_FAILED);
	forget(f);
}

/*
 * The new process, until it is another program
 */

static bool
is_handed_down(struct str name)
{
	static const struct str own[] = { STR_INIT(HANDOVER_VARIABLE), STR_INIT("LISTEN_PID"),
		STR_INIT("LISTEN_FDS"), STR_INIT("LISTEN_FDNAMES") };
	const char *watched = getenv("WATCHDOG_PID");
	uint64_t pid;
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		if (str_eq(name, own[i]))
			return false;
	/* Whom the manager watches: it is the master, whichever that is. */
	return !str_eq(name, STR("WATCHDOG_PID")) || str_u64(str_of(watched), &pid) != 0 ||
		pid != (uint64_t)getppid();
}

static _Noreturn void
become(const struct family *f, pid_t old, int line)
{
	struct secret_environment e = { 0 };
	char *variable = handover_offer(old, line, &f->sockets, f->current->conf);
	char **argv = program_arguments(f->program, f->options.path);
	errno = ENOMEM;
	if (variable != NULL && argv != NULL &&
		secret_environment(&e, is_handed_down, variable) == 0)
		execve(f->program->path, argv, e.list);
	int why = errno;
	secret_environment_wipe(&e);
	log_error("cannot execute %s: %s", f->program->path, strerror(why));
	_exit(EXIT_FAILURE);
}

/* The pid, or -1 with errno. */
static pid_t
start(const struct family *f, int line)
{
	pid_t old = getpid();
	signals_block(true);
	pid_t pid = fork();
	int saved = errno;
	if (pid == 0) {
		signals_reset();
		become(f, old, line);
	}
	signals_block(false);
	errno = saved;
	return pid;
}

/*
 * The old master
 */

static void
on_deadline(struct loop_timer *t)
{
	const struct successor *n = (const struct successor *)(void *)((char *)t -
		offsetof(struct successor, deadline));
	log_error("the new master (pid %d) was not ready within %d s: killed", (int)n->peer.pid,
		SERVE_MS / 1000);
	kill(n->peer.pid, SIGKILL);
}

static void
on_successor(struct peer *p, bool ended)
{
	struct successor *n =
		(struct successor *)(void *)((char *)p - offsetof(struct successor, peer));
	(void)ended; /* SIGCHLD tells it better */
	loop_later(p->loop, &n->family->changed);
}

static bool
refused(const struct family *f)
{
	const struct peer *next = &f->successor.peer, *old = &f->elder;
	if (next->state != PEER_NONE)
		log_warn(
			"USR2: refused: an upgrade is in progress: end process %d first, or this one",
			(int)next->pid);
	else if (old->state != PEER_NONE && old->state != PEER_LEAVING)
		log_warn(
			"USR2: refused: an upgrade is in progress: end the old master (pid %d) first",
			(int)old->pid);
	else
		return false;
	return true;
}

/* The line, watched, and the process at its other end. 0, or -1 with errno. */
static int
connect_successor(struct family *f)
{
	struct successor *n = &f->successor;
	int ends[2];
	if (peer_pair(ends) != 0)
		return -1;
	if (peer_watch(&n->peer, f->loop, ends[0], 0, PEER_STARTING) != 0) {
		close(ends[0]);
		close(ends[1]);
		errno = ENOMEM;
		return -1;
	}
	n->peer.pid = start(f, ends[1]);
	int saved = errno;
	close(ends[1]);
	errno = saved;
	return n->peer.pid < 0 ? -1 : 0;
}

void
upgrade_begin(struct family *f)
{
	struct successor *n = &f->successor;
	char why[PATH_MAX + 64];
	if (refused(f))
		return;
	log_info("USR2: executing %s as another master", f->program->path);
	n->family = f;
	n->peer.on_change = on_successor;
	n->deadline.on_due = on_deadline;
	if (access(f->program->path, X_OK) != 0) {
		snprintf(why, sizeof why, "cannot execute %s: %s", f->program->path,
			strerror(errno));
		failed(f, why);
	} else if (pidfile_aside(&f->pid) != 0) {
		snprintf(why, sizeof why, "cannot set %s aside: %s", f->pid.path, strerror(errno));
		failed(f, why);
	} else if (connect_successor(f) != 0) {
		failed(f, strerror(errno));
	} else {
		peer_tell(&n->peer,
			f->current->state == GENERATION_RESTING ? PEER_RESTING : PEER_SERVING);
		loop_timer_set(f->loop, &n->deadline, SERVE_MS);
	}
}

static void
note_service(struct family *f)
{
	struct successor *n = &f->successor;
	n->served = true;
	loop_timer_clear(f->loop, &n->deadline);
	count_result(f, RESULT_OK);
	log_info(
		"the new master (pid %d) serves as well: QUIT to process %d, this one, finishes the upgrade, to the new one undoes it",
		(int)n->peer.pid, (int)getpid());
}

static void
note_end(struct family *f)
{
	struct successor *n = &f->successor;
	char how[80], why[128];
	reap_how(n->status, how, sizeof how);
	snprintf(why, sizeof why, "the new master (pid %d) %s", (int)n->peer.pid, how);
	if (!n->served) {
		failed(f, why);
		return;
	}
	log_info("%s: this one goes on", why);
	forget(f);
}

bool
upgrade_progress(struct family *f)
{
	struct successor *n = &f->successor;
	bool served = n->served;
	if (n->peer.state == PEER_NONE)
		return false;
	if (!n->served && n->peer.state == PEER_SERVING)
		note_service(f);
	bool back = served && (n->died || n->peer.state == PEER_LEAVING);
	if (n->died)
		note_end(f);
	return back;
}

/*
 * The new master
 */

static void
on_elder(struct peer *p, bool ended)
{
	struct family *f = (struct family *)(void *)((char *)p - offsetof(struct family, elder));
	if (ended) {
		log_info("the old master (pid %d) has ended", (int)p->pid);
		peer_close(p);
		pidfile_clear_aside(&f->pid);
	}
	loop_later(f->loop, &f->changed);
}

void
upgrade_watch_elder(struct family *f, pid_t pid, int line)
{
	f->elder.on_change = on_elder;
	if (line < 0 || peer_watch(&f->elder, f->loop, line, pid, PEER_SERVING) == 0)
		return;
	log_warn("no memory to watch the old master (pid %d)", (int)pid);
	close(line);
}
