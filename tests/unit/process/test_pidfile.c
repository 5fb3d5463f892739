/*
 * Tests of process/pidfile: the lock decides, not the file.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/pidfile.h"

static char dir[32];
static char path[64];

static void
make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/pidfile-XXXXXX"); /* anew: tests may share a process */
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/daemon.pid", dir);
}

static void
remove_dir(void)
{
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
assert_file_names(pid_t pid)
{
	char text[32] = "", expected[32];
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	ck_assert_int_eq(fgetc(f), EOF);
	fclose(f);
	snprintf(expected, sizeof expected, "%d\n", (int)pid);
	ck_assert_str_eq(text, expected);
}

/* A process that takes the file, says so, and waits to be killed. */
static pid_t
other_owner(void)
{
	int ends[2];
	char byte;
	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct pidfile p;
		pid_t holder;
		if (pidfile_take(&p, path, &holder) != 0 || write(ends[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(taken_written_and_removed)
{
	struct pidfile p;
	struct stat st;
	pid_t holder;
	make_dir();
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	assert_file_names(getpid());
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0644);
	ck_assert_int_eq(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
	pidfile_remove(&p);
	ck_assert_int_eq(p.fd, -1);
	ck_assert_int_eq(access(path, F_OK), -1);
	pidfile_remove(&p);
	remove_dir();
}
END_TEST

START_TEST(second_owner_is_told_who_holds_it)
{
	struct pidfile p;
	pid_t holder = 0;
	make_dir();
	pid_t other = other_owner();
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 1);
	ck_assert_int_eq(holder, other);
	ck_assert_int_eq(p.fd, -1);
	assert_file_names(other);
	ck_assert_int_eq(pidfile_holder(path), other);
	end(other);
	ck_assert_int_eq(pidfile_holder(path), 0);
	/* What it left is no obstacle. */
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	assert_file_names(getpid());
	pidfile_remove(&p);
	remove_dir();
}
END_TEST

START_TEST(stale_file_is_overwritten_whole)
{
	struct pidfile p;
	pid_t holder;
	make_dir();
	write_file("1234567890123\nand more\n");
	ck_assert_int_eq(pidfile_holder(path), 0);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	assert_file_names(getpid());
	pidfile_remove(&p);
	remove_dir();
}
END_TEST

START_TEST(forked_child_does_not_hold_it)
{
	struct pidfile p;
	pid_t holder, owner = getpid();
	int status;
	make_dir();
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		pidfile_forget(&p);
		_exit(p.fd == -1 && pidfile_holder(path) == owner ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	/* The child's close did not let go of the lock. */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct pidfile second;
		_exit(pidfile_take(&second, path, &holder) == 1 && holder == owner ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	pidfile_remove(&p);
	remove_dir();
}
END_TEST

START_TEST(file_that_is_no_longer_ours_stays)
{
	struct pidfile p;
	pid_t holder;
	make_dir();
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	ck_assert_int_eq(unlink(path), 0);
	write_file("another\n");
	pidfile_remove(&p);
	ck_assert_int_eq(access(path, F_OK), 0);
	remove_dir();
}
END_TEST

START_TEST(failures_have_an_errno)
{
	struct pidfile p;
	pid_t holder;
	char too_long[PATH_MAX + 10];
	make_dir();
	ck_assert_int_eq(pidfile_take(&p, "/nonexistent/dir/x.pid", &holder), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(pidfile_take(&p, dir, &holder), -1);
	ck_assert_int_eq(errno, EISDIR);
	memset(too_long, 'a', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = '\0';
	ck_assert_int_eq(pidfile_take(&p, too_long, &holder), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert_int_eq(symlink("/nonexistent", path), 0);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), -1);
	ck_assert_int_eq(errno, ELOOP);
	ck_assert_int_eq(pidfile_holder("/nonexistent/dir/x.pid"), 0);
	remove_dir();
}
END_TEST

START_TEST(set_aside_for_another_and_taken_back)
{
	struct pidfile p;
	char aside[80];
	pid_t holder = 0, owner = getpid();
	int status;
	make_dir();
	snprintf(aside, sizeof aside, "%s.oldbin", path);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	ck_assert(!pidfile_is_aside(&p));
	ck_assert_int_eq(pidfile_aside(&p), 0);
	ck_assert(pidfile_is_aside(&p));
	ck_assert_str_eq(p.path, aside);
	ck_assert_int_eq(access(path, F_OK), -1);
	pid_t other = other_owner();
	assert_file_names(other);
	ck_assert_int_eq(pidfile_holder(path), other);
	/* As long as it is held, it is not taken back. */
	ck_assert_int_eq(pidfile_back(&p, &holder), 1);
	ck_assert_int_eq(holder, other);
	ck_assert(pidfile_is_aside(&p));
	end(other);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(pidfile_back(&p, &holder), 0);
	ck_assert_int_eq(access(aside, F_OK), -1);
	/* The lock was never let go of; to read the file here would do that. */
	pid_t pid = fork();
	if (pid == 0)
		_exit(pidfile_holder(path) == owner ? 0 : 1);
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	/* Its end while it is aside removes that name alone. */
	ck_assert_int_eq(pidfile_aside(&p), 0);
	write_file("another\n");
	pidfile_remove(&p);
	ck_assert_int_eq(access(aside, F_OK), -1);
	ck_assert_int_eq(access(path, F_OK), 0);
	remove_dir();
}
END_TEST

START_TEST(what_a_dead_one_set_aside_is_removed)
{
	struct pidfile p, none = { .fd = -1 };
	char aside[80];
	pid_t holder;
	make_dir();
	snprintf(aside, sizeof aside, "%s.oldbin", path);
	write_file("1\n");
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	pidfile_clear_aside(&p);
	ck_assert_int_eq(access(aside, F_OK), -1);
	pidfile_clear_aside(&p);
	/* But not what is held. */
	pidfile_remove(&p);
	pid_t other = other_owner();
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	pidfile_clear_aside(&p);
	ck_assert_int_eq(access(aside, F_OK), 0);
	end(other);
	pidfile_clear_aside(&p);
	pidfile_remove(&p);
	ck_assert_int_eq(pidfile_aside(&none), 0);
	ck_assert_int_eq(pidfile_back(&none, &holder), 0);
	ck_assert(!pidfile_is_aside(&none));
	pidfile_clear_aside(&none);
	remove_dir();
}
END_TEST

START_TEST(it_is_the_same_file_by_any_name_and_aside_by_what_was_done)
{
	struct pidfile p, none = { .fd = -1 };
	char other[80];
	pid_t holder;
	make_dir();
	snprintf(path, sizeof path, "%s/x.oldbin", dir);
	ck_assert_int_eq(pidfile_take(&p, path, &holder), 0);
	ck_assert(!pidfile_is_aside(&p));
	snprintf(other, sizeof other, "%s/./x.oldbin", dir);
	ck_assert(pidfile_is(&p, other));
	ck_assert(pidfile_is(&p, path));
	ck_assert(!pidfile_is(&p, "/dev/null"));
	ck_assert(!pidfile_is(&none, path));
	pidfile_remove(&p);
	remove_dir();
}
END_TEST

UNIT_MAIN("process/pidfile", it_is_the_same_file_by_any_name_and_aside_by_what_was_done,
	set_aside_for_another_and_taken_back, what_a_dead_one_set_aside_is_removed,
	taken_written_and_removed, second_owner_is_told_who_holds_it,
	stale_file_is_overwritten_whole, forked_child_does_not_hold_it,
	file_that_is_no_longer_ours_stays, failures_have_an_errno)
