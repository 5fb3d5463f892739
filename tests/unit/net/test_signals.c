/*
 * Tests of net/signals: one action a signal however often it came, in the order of the table, the
 * flag cleared before the action; tables of children; nothing left of the parent's.
 */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/signals.h"

static char order[64];
static size_t n_order;
static struct loop *the_loop;

static void
note(void *ctx, int signo)
{
	ck_assert_ptr_eq(ctx, &order);
	ck_assert_uint_lt(n_order, sizeof order - 1);
	order[n_order++] = signo == SIGTERM ? 'T'
		: signo == SIGHUP           ? 'H'
		: signo == SIGUSR1          ? '1'
					    : '?';
	order[n_order] = '\0';
}

/* Comes again while its action runs, once. */
static void
note_and_raise(void *ctx, int signo)
{
	note(ctx, signo);
	if (n_order == 1)
		raise(signo);
}

static const struct signal_action table[] = { { SIGHUP, note }, { SIGTERM, note },
	{ SIGUSR1, note }, { SIGUSR2, NULL }, { 0, NULL } };

static void
open_table(const struct signal_action *t)
{
	n_order = 0;
	order[0] = '\0';
	the_loop = loop_new(4);
	ck_assert_int_eq(signals_open(the_loop, t, &order), 0);
}

static void
close_table(void)
{
	signals_reset();
	loop_free(the_loop);
}

START_TEST(actions_run_in_the_loop_in_the_order_of_the_table)
{
	open_table(table);
	raise(SIGUSR1);
	raise(SIGTERM);
	raise(SIGHUP);
	ck_assert_str_eq(order, "");
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "HT1");
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "HT1");
	close_table();
}
END_TEST

START_TEST(many_of_one_are_one_action)
{
	open_table(table);
	/* More than the pipe holds: no handler may block. */
	for (int i = 0; i < 70000; i++)
		raise(SIGHUP);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "H");
	loop_turn(the_loop, 0);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "H");
	raise(SIGHUP);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "HH");
	close_table();
}
END_TEST

START_TEST(signal_during_its_action_acts_again)
{
	static const struct signal_action again[] = { { SIGHUP, note_and_raise }, { 0, NULL } };
	open_table(again);
	raise(SIGHUP);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "H");
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "HH");
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "HH");
	close_table();
}
END_TEST

START_TEST(null_action_and_pipe_are_ignored)
{
	open_table(table);
	raise(SIGUSR2);
	raise(SIGPIPE);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "");
	close_table();
}
END_TEST

START_TEST(reset_gives_back_the_default_actions)
{
	struct sigaction now;
	static const int signals[] = { SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE };
	open_table(table);
	signals_block(true);
	close_table();
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		ck_assert_int_eq(sigaction(signals[i], NULL, &now), 0);
		ck_assert(now.sa_handler == SIG_DFL);
	}
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signo = 1; signo < 32; signo++)
		ck_assert_int_eq(sigismember(&mask, signo), 0);
}
END_TEST

START_TEST(blocked_signals_wait)
{
	open_table(table);
	signals_block(true);
	raise(SIGTERM);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "");
	signals_block(false);
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "T");
	close_table();
}
END_TEST

/*
 * A child with its own table, forked while the parent has a signal pending in its pipe. Exit 0
 * when it saw its own signals and no other.
 */
static int
child_with_table(void)
{
	static const struct signal_action own[] = { { SIGTERM, note }, { 0, NULL } };
	struct sigaction now;
	loop_free(the_loop);
	open_table(own);
	loop_turn(the_loop, 0);
	if (n_order != 0)
		return 1;
	raise(SIGTERM);
	loop_turn(the_loop, 0);
	if (strcmp(order, "T") != 0)
		return 2;
	if (sigaction(SIGHUP, NULL, &now) != 0 || now.sa_handler != SIG_DFL)
		return 3;
	close_table();
	return 0;
}

START_TEST(child_and_parent_do_not_share)
{
	int status;
	open_table(table);
	raise(SIGHUP);
	signals_block(true);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(child_with_table());
	signals_block(false);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	/* The child has neither eaten nor added a byte. */
	loop_turn(the_loop, 0);
	ck_assert_str_eq(order, "H");
	close_table();
}
END_TEST

UNIT_MAIN("net/signals", actions_run_in_the_loop_in_the_order_of_the_table,
	many_of_one_are_one_action, signal_during_its_action_acts_again,
	null_action_and_pipe_are_ignored, reset_gives_back_the_default_actions,
	blocked_signals_wait, child_and_parent_do_not_share)
