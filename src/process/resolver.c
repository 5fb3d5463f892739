/*
 * resolver: the only process that calls getaddrinfo.
 *
 * getaddrinfo blocks for as long as a name server keeps silent, so even here nobody waits for it:
 * each lookup is a forked child that writes its answer, one struct, into a pipe and ends. A name
 * has at most one lookup at a time, names do not wait for each other, and a lookup that takes too
 * long is killed and counts as failed.
 *
 *	due ──fork──> looking ──answer, death or LOOKUP_MS──> publish
 *	 ^                                                       │
 *	 └────────────── 60 s later, 5 s after a failure ────────┘
 *
 * Equal names in several entries of the table are looked up once. A failure never replaces a good
 * answer (address_set). The first lookups start all at once. Started by the master for a
 * generation that has names; it ends with TERM or its master, and lookups end with it
 * (PR_SET_PDEATHSIG). What fails here is logged and tried again; only a process that cannot drop
 * its privileges or set up its loop leaves with a status that is not 0.
 */
#include "process/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"
#include "net/signals.h"
#include "process/channel.h"

#define REFRESH_MS 60000
#define RETRY_MS 5000
#define LOOKUP_MS 30000

struct resolver;

struct name {
	struct resolver *resolver;
	unsigned entry;           /* the first in the table with this host */
	struct loop_timer timer;  /* due; while looking: too long */
	struct loop_watch answer; /* the pipe; in the loop while looking */
	pid_t lookup;             /* 0: none, or buried */
	bool failing;             /* as said in the log */
};

struct resolver {
	struct loop *loop;
	struct address_table *table;
	struct channel channel;
	struct name *names;
	unsigned n;
};

bool
resolver_needed(const struct address_table *t)
{
	for (unsigned i = 0; i < address_count(t); i++)
		if (address_host(t, i)[0] != '\0')
			return true;
	return false;
}

/* In the lookup's own process: ask, and pack what came. */
static void
look_up(const char *host, struct address_list *out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int error = getaddrinfo(host, NULL, &hints, &found);
	if (error != 0) {
		const char *why = error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error);
		snprintf(out->error, sizeof out->error, "%s", why);
		return;
	}
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		address_add(out, a->ai_addr);
	freeaddrinfo(found);
	address_interleave(out);
	if (out->n == 0)
		snprintf(out->error, sizeof out->error, "no address");
}

static _Noreturn void
lookup_run(const char *host, int out, pid_t resolver)
{
	struct address_list answer = { 0 };
	signals_reset();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != resolver)
		_exit(EX_OK);
	look_up(host, &answer);
	/* Less than PIPE_BUF: all or nothing. */
	_exit(write(out, &answer, sizeof answer) == (ssize_t)sizeof answer ? EX_OK : EX_IOERR);
}

static void
say(struct name *n, const struct address_list *answer)
{
	const char *host = address_host(n->resolver->table, n->entry);
	if (answer->n == 0 && !n->failing)
		log_warn("cannot resolve %s: %s; trying again every %d s", host, answer->error,
			RETRY_MS / 1000);
	else if (answer->n > 0 && n->failing)
		log_info("%s resolves again, to %u addresses", host, answer->n);
	else
		log_debug("%s has %u addresses", host, answer->n);
	n->failing = answer->n == 0;
}

/* An answer, or what stands for one. The lookup is over. */
static void
name_answer(struct name *n, struct address_list *answer)
{
	struct resolver *r = n->resolver;
	const char *host = address_host(r->table, n->entry);
	loop_remove(r->loop, &n->answer);
	close(n->answer.fd);
	answer->resolved_at_ms = clock_ms();
	if (answer->n > ADDRESS_MAX)
		answer->n = ADDRESS_MAX;
	for (unsigned i = n->entry; i < r->n; i++)
		if (strcmp(address_host(r->table, i), host) == 0)
			address_set(r->table, i, answer);
	say(n, answer);
	loop_timer_set(r->loop, &n->timer, answer->n > 0 ? REFRESH_MS : RETRY_MS);
}

static void
name_fail(struct name *n, const char *why)
{
	struct address_list answer = { 0 };
	snprintf(answer.error, sizeof answer.error, "%s", why);
	name_answer(n, &answer);
}

static void
on_answer(struct loop_watch *w, unsigned ready)
{
	struct name *n = (struct name *)(void *)((char *)w - offsetof(struct name, answer));
	struct address_list answer;
	(void)ready;
	ssize_t got = read(w->fd, &answer, sizeof answer);
	if (got == (ssize_t)sizeof answer)
		name_answer(n, &answer);
	else if (got >= 0 || (errno != EAGAIN && errno != EINTR))
		name_fail(n, "the lookup died");
}

static void name_begin(struct name *n);

static void
on_timer(struct loop_timer *t)
{
	struct name *n = (struct name *)(void *)((char *)t - offsetof(struct name, timer));
	if (!loop_has(&n->answer)) {
		name_begin(n);
		return;
	}
	if (n->lookup > 0)
		kill(n->lookup, SIGKILL);
	name_fail(n, "no answer in time");
}

/* Fork a lookup that writes to `out`; -1 with errno. */
static pid_t
lookup_fork(const struct name *n, int out)
{
	pid_t self = getpid();
	signals_block(true);
	pid_t pid = fork();
	if (pid == 0)
		lookup_run(address_host(n->resolver->table, n->entry), out, self);
	int saved = errno;
	signals_block(false);
	errno = saved;
	return pid;
}

static void
name_begin(struct name *n)
{
	struct resolver *r = n->resolver;
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
		log_error("cannot look up %s: %s", address_host(r->table, n->entry),
			strerror(errno));
		loop_timer_set(r->loop, &n->timer, RETRY_MS);
		return;
	}
	n->lookup = lookup_fork(n, ends[1]);
	close(ends[1]);
	n->answer = (struct loop_watch){ .fd = ends[0], .on_ready = on_answer };
	if (n->lookup < 0 || loop_add(r->loop, &n->answer, WANT_READ) != 0)
		name_fail(n, n->lookup < 0 ? strerror(errno) : "out of memory");
	else
		loop_timer_set(r->loop, &n->timer, LOOKUP_MS);
}

/* One name for each different host of the table. */
static void
names_make(struct resolver *r)
{
	r->n = address_count(r->table);
	r->names = mem_boot(r->n * sizeof *r->names);
	for (unsigned i = 0; i < r->n; i++) {
		const char *host = address_host(r->table, i);
		bool known = host[0] == '\0';
		for (unsigned k = 0; k < i && !known; k++)
			known = strcmp(host, address_host(r->table, k)) == 0;
		if (known)
			continue;
		r->names[i] = (struct name){ .resolver = r, .entry = i, .timer.on_due = on_timer };
		name_begin(&r->names[i]);
	}
}

static void
on_child(void *ctx, int signo)
{
	const struct resolver *r = ctx;
	pid_t pid;
	(void)signo;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (unsigned i = 0; i < r->n; i++)
			if (r->names[i].lookup == pid)
				r->names[i].lookup = 0;
}

static void
on_leave(void *ctx, int signo)
{
	const struct resolver *r = ctx;
	(void)signo;
	loop_stop(r->loop);
}

static void
on_master_end(struct channel *c)
{
	log_warn("the master is gone: leaving");
	loop_stop(c->loop);
}

static const struct signal_action actions[] = {
	{ SIGTERM, on_leave },
	{ SIGCHLD, on_child },
	/*
	 * QUIT as well: a terminal sends it to all, and who finishes open requests may still need
	 * a name.
	 */
	{ SIGQUIT, NULL },
	{ SIGINT, NULL },
	{ SIGHUP, NULL },
	{ SIGUSR1, NULL },
	{ SIGUSR2, NULL },
	{ SIGTTIN, NULL },
	{ SIGTTOU, NULL },
	{ 0, NULL },
};

int
resolver_run(const struct resolver_start *start)
{
	struct resolver r = { .loop = loop_new(address_count(start->table) + 2),
		.table = start->table };
	int status = EXIT_FAILURE;

	r.channel.log = start->log;
	r.channel.on_end = on_master_end;
	if (privilege_drop(start->account) != 0) {
		status = EX_CONFIG;
		goto out;
	}
	if (signals_open(r.loop, actions, &r) != 0 ||
		channel_watch(&r.channel, r.loop, start->channel) != 0) {
		log_error("cannot start: %s", strerror(errno));
		goto out;
	}
	if (channel_ready(&r.channel) != 0)
		goto out; /* the master is gone already */
	names_make(&r);
	loop_run(r.loop);
	status = EXIT_SUCCESS;
out:
	free(r.names);
	loop_free(r.loop);
	return status;
}
