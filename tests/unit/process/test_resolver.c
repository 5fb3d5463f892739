/*
 * Tests of process/resolver as a process of its own: what it publishes, and that it leaves, with
 * its lookups, when its master ends or is gone.
 */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "process/channel.h"
#include "process/resolver.h"

static struct sink no_log;

static pid_t
start(struct address_table *t, int *master)
{
	int its;
	struct account self = { .user = "nobody", .uid = 65534, .gid = 65534 };
	ck_assert_int_eq(channel_pair(master, &its), 0);
	ck_assert_int_eq(sink_open(&no_log, STR("off")), 0);
	log_open(&no_log, LEVEL_ERROR, FORMAT_TEXT);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		const struct resolver_start s = { .table = t,
			.account = &self,
			.log = &no_log,
			.channel = its };
		close(*master);
		_exit(resolver_run(&s));
	}
	close(its);
	return pid;
}

static void
nap(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	nanosleep(&ms, NULL);
}

static void
wait_answer(const struct address_table *t, unsigned i, struct address_list *l)
{
	for (int ms = 0; ms < 20000; ms++) {
		address_get(t, i, l);
		if (l->resolved_at_ms != 0)
			return;
		nap();
	}
	ck_abort_msg("no answer for %s", address_host(t, i));
}

static bool
has_loopback(const struct address_list *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		union sock_address a;
		address_sock(l, i, 1, &a);
		if (sock_is_loopback(&a))
			return true;
	}
	return false;
}

static void
assert_leaves(pid_t pid)
{
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

START_TEST(needed_for_names_only)
{
	struct address_table *t = address_new(2);
	ck_assert_ptr_nonnull(t);
	ck_assert(!resolver_needed(t));
	address_name(t, 1, STR("example.com"), NULL);
	ck_assert(resolver_needed(t));
	address_free(t);
}
END_TEST

START_TEST(answers_are_published_to_every_entry_of_a_name)
{
	struct address_table *t = address_new(4);
	struct address_list l;
	int master;
	ck_assert_ptr_nonnull(t);
	/* a name to us, an address to the system, which may have no name at all for itself */
	address_name(t, 0, STR("127.1"), NULL);
	address_name(t, 2, STR("127.1"), NULL);
	address_name(t, 3, STR("127.0.0.1"), NULL);
	pid_t pid = start(t, &master);
	wait_answer(t, 0, &l);
	ck_assert(has_loopback(&l));
	wait_answer(t, 2, &l);
	ck_assert(has_loopback(&l));
	wait_answer(t, 3, &l);
	ck_assert_uint_eq(l.n, 1);
	ck_assert(has_loopback(&l));
	address_get(t, 1, &l);
	ck_assert_uint_eq(l.resolved_at_ms, 0);
	kill(pid, SIGTERM);
	assert_leaves(pid);
	close(master);
	address_free(t);
}
END_TEST

START_TEST(failure_is_published_with_its_reason)
{
	struct address_table *t = address_new(1);
	struct address_list l;
	int master;
	ck_assert_ptr_nonnull(t);
	/* A label of 64 characters is no host name: refused without asking anybody. */
	address_name(t, 0,
		STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid"),
		NULL);
	pid_t pid = start(t, &master);
	wait_answer(t, 0, &l);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_uint_gt(strlen(l.error), 0);
	kill(pid, SIGQUIT);
	kill(pid, SIGTERM);
	assert_leaves(pid);
	close(master);
	address_free(t);
}
END_TEST

START_TEST(it_leaves_when_its_master_is_gone)
{
	struct address_table *t = address_new(1);
	int master;
	ck_assert_ptr_nonnull(t);
	address_name(t, 0, STR("127.1"), NULL);
	pid_t pid = start(t, &master);
	while (channel_poll(master) != 1)
		nap();
	close(master);
	assert_leaves(pid);
	address_free(t);
}
END_TEST

UNIT_MAIN("process/resolver", needed_for_names_only, answers_are_published_to_every_entry_of_a_name,
	failure_is_published_with_its_reason, it_leaves_when_its_master_is_gone)
