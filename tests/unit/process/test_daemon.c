/*
 * Tests of process/daemon: the exit status and the words of the parent, for everything that can
 * become of the child.
 */
#include "unit.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/daemon.h"

static void
child_ready(int verdict)
{
	daemon_ready(verdict);
	_exit(5);
}

static void
child_failed(int verdict)
{
	daemon_failed(verdict, "no worker became ready");
	_exit(1);
}

static void
child_left_with_78(int verdict)
{
	(void)verdict;
	fputs("x.conf:3: wrong\n", stderr);
	_exit(78);
}

static void
child_stopped(int verdict)
{
	(void)verdict;
	_exit(0);
}

static void
child_killed(int verdict)
{
	(void)verdict;
	raise(SIGKILL);
}

static void
child_elsewhere(int verdict)
{
	char here[64] = "";
	daemon_quiet();
	bool quiet = write(STDERR_FILENO, "unheard", 7) == 7 && read(STDIN_FILENO, here, 1) == 0;
	bool moved = getcwd(here, sizeof here) != NULL && strcmp(here, "/") == 0;
	bool leader = getsid(0) == getpid();
	if (quiet && moved && leader)
		daemon_ready(verdict);
	else
		daemon_failed(verdict, !quiet ? "not quiet" : !moved ? "not in /" : "no session");
	_exit(1);
}

/*
 * Detach with `child` for the background and look at the foreground: its exit status, and in
 * `said` its stderr.
 */
static int
run(void (*child)(int verdict), char *said, size_t size)
{
	int ends[2], status;
	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		child(daemon_detach());
		_exit(99);
	}
	close(ends[1]);
	size_t len = 0;
	ssize_t n;
	while (len < size - 1 && (n = read(ends[0], said + len, size - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = '\0';
	close(ends[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(parent_tells_what_became_of_the_child)
{
	static const struct {
		void (*child)(int verdict);
		int status;
		const char *said;
	} cases[] = {
		{ child_ready, 0, "" },
		{ child_failed, 1, "api-router: no worker became ready\n" },
		{ child_left_with_78, 78, "x.conf:3: wrong\n" },
		{ child_stopped, 1, "api-router: told to stop before it was ready\n" },
		{ child_killed, 1, "api-router: killed by signal 9 before it was ready\n" },
		{ child_elsewhere, 0, "" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char said[256];
		int status = run(cases[i].child, said, sizeof said);
		ck_assert_str_eq(said, cases[i].said);
		ck_assert_int_eq(status, cases[i].status);
	}
}
END_TEST

START_TEST(no_verdict_is_wanted_in_the_foreground)
{
	daemon_ready(-1);
	daemon_failed(-1, "unheard");
}
END_TEST

UNIT_MAIN("process/daemon", parent_tells_what_became_of_the_child,
	no_verdict_is_wanted_in_the_foreground)
