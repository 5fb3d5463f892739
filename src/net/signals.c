/*
 * signals: from the asynchronous world into the loop. A handler sets the flag of its signal and
 * writes one byte to a pipe; the loop finds the pipe readable, empties it, and runs the action of
 * each flag that is set, in the order of the table, clearing the flag before it acts: a signal
 * that comes while its action runs is acted upon once more.
 *
 * One table per process. A forked child inherits handlers, pipe and flags; it must have been
 * forked with signals blocked, and then calls either signals_open with its own table or
 * signals_reset. Both leave nothing of the parent's behind.
 *
 * signals_open fails with errno of pipe2, or ENOMEM from the loop; then no handler of the new
 * table is installed.
 */
#include "net/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t pending[NSIG];
static bool installed[NSIG];
static int ends[2] = { -1, -1 };
static struct loop_watch watch;
static const struct signal_action *actions;
static void *context;

static void
handle(int signo)
{
	int saved = errno;
	pending[signo] = 1;
	/* A full pipe is as good as one byte more: the loop wakes either way. */
	ssize_t ignored = write(ends[1], "", 1);
	(void)ignored;
	errno = saved;
}

static void
on_pipe(struct loop_watch *w, unsigned ready)
{
	char bytes[64];
	(void)ready;
	while (read(w->fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		;
	for (const struct signal_action *a = actions; a->signo != 0; a++) {
		if (!pending[a->signo])
			continue;
		pending[a->signo] = 0;
		a->act(context, a->signo);
	}
}

static void
set_handler(int signo, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigfillset(&sa.sa_mask);
	sigaction(signo, &sa, NULL);
	installed[signo] = handler != SIG_DFL;
}

/*
 * Back to default actions, no pipe and no flag, whoever they belonged to. The watch is forgotten,
 * not removed: its loop may be the parent's.
 */
static void
forget(void)
{
	for (int signo = 1; signo < NSIG; signo++) {
		if (installed[signo])
			set_handler(signo, SIG_DFL);
		pending[signo] = 0;
	}
	for (int i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			close(ends[i]);
		ends[i] = -1;
	}
	watch = (struct loop_watch){ .fd = -1 };
}

int
signals_open(struct loop *l, const struct signal_action *table, void *ctx)
{
	forget();
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	watch.fd = ends[0];
	watch.on_ready = on_pipe;
	if (loop_add(l, &watch, WANT_READ) != 0) {
		forget();
		errno = ENOMEM;
		return -1;
	}
	actions = table;
	context = ctx;
	set_handler(SIGPIPE, SIG_IGN);
	set_handler(SIGXFSZ, SIG_IGN); /* a file at its limit of size: the write says EFBIG */
	for (const struct signal_action *a = table; a->signo != 0; a++)
		set_handler(a->signo, a->act == NULL ? SIG_IGN : handle);
	signals_block(false);
	return 0;
}

void
signals_reset(void)
{
	forget();
	signals_block(false);
}

void
signals_block(bool block)
{
	sigset_t set;
	if (block)
		sigfillset(&set);
	else
		sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}
