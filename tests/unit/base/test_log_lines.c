/*
 * Log: what a process has left of its lines when it was killed. The child of each test is one, the
 * test is its parent.
 */
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_read.h"
#include "unit.h"

static char path[64];
static struct sink s;
static struct sink_lines *lines;

static void
setup(void)
{
	snprintf(path, sizeof path, "/tmp/test_log_lines.XXXXXX");
	close(mkstemp(path));
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	lines = sink_lines_new();
	ck_assert_ptr_nonnull(lines);
}

static void
teardown(void)
{
	sink_lines_free(lines);
	sink_close(&s);
	unlink(path);
}

/* The child: it shares its lines, does what it is given and is killed. */
static void
killed(void (*work)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		sink_share(&s, lines);
		work();
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

static void
assert_file(const char *want)
{
	assert_text(file_text(path), want);
}

static void
line(const char *text)
{
	sink_line(&s, LEVEL_INFO, str_of(text));
}

static void
nothing(void)
{
}

static void
two_lines(void)
{
	line("one\n");
	line("two\n");
}

static void
flush_between(void)
{
	two_lines();
	sink_flush(&s);
	line("three\n");
	sink_flush(&s);
	line("four\n");
	line("five\n");
}

static void
flush_last(void)
{
	two_lines();
	sink_flush(&s);
}

START_TEST(test_left)
{
	static const struct {
		void (*work)(void);
		const char *before, *after;
	} cases[] = {
		{ nothing, "", "" },
		{ two_lines, "", "one\ntwo\n" },
		{ flush_between, "one\ntwo\nthree\n", "one\ntwo\nthree\nfour\nfive\n" },
		{ flush_last, "one\ntwo\n", "one\ntwo\n" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setup();
		killed(cases[i].work);
		assert_file(cases[i].before);
		ck_assert_uint_eq(sink_inherit(&s, lines), 0);
		assert_file(cases[i].after);
		teardown();
	}
}
END_TEST

/* Its third page cannot be read: the copy ends there. */
static void
half_a_line(void)
{
	size_t page = 4096;
	char *text =
		mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	line("one\n");
	memset(text, 'x', 4 * page);
	text[4 * page - 1] = '\n';
	mprotect(text + 2 * page, page, PROT_NONE);
	sink_line(&s, LEVEL_INFO, (struct str){ text, 4 * page });
	line("not reached\n");
}

START_TEST(test_killed_in_a_copy)
{
	setup();
	killed(half_a_line);
	ck_assert_uint_eq(sink_inherit(&s, lines), 0);
	assert_file("one\n");
	teardown();
}
END_TEST

/* A child gone wild: what stands there ends in the middle of a line, or of nothing. */
static void
gone_wild(void)
{
	line("one\n");
	line("two\n");
	((uint32_t *)(void *)lines)[1] -= 2;
}

static void
gone_mad(void)
{
	line("one\n");
	((uint32_t *)(void *)lines)[1] -= 1;
}

START_TEST(test_what_has_no_end)
{
	setup();
	killed(gone_wild);
	ck_assert_uint_eq(sink_inherit(&s, lines), 0);
	assert_file("one\n");
	teardown();
	setup();
	killed(gone_mad);
	ck_assert_uint_eq(sink_inherit(&s, lines), 1);
	assert_file("");
	teardown();
}
END_TEST

/* What is no file, pipe or socket is written like a file; this one is full, and waits. */
static void
never_written(void)
{
	int full = eventfd(1, 0);
	uint64_t most = UINT64_MAX - 2;

	if (write(full, &most, sizeof most) != sizeof most)
		return;
	sink_replace(&s, full);
	line("one....\n");
	kill(getppid(), SIGUSR1);
	sink_flush(&s);
}

static bool
sleeps(pid_t pid)
{
	char name[32], stat[256];

	snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, stat, sizeof stat - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	const char *state = strrchr(stat, ')');
	return state != NULL && strncmp(state, ") S", 3) == 0;
}

/* Nobody can tell whether a write of which a process died has been done: it is not done again. */
START_TEST(test_killed_in_a_write)
{
	sigset_t begun;
	int signo;

	setup();
	sigemptyset(&begun);
	sigaddset(&begun, SIGUSR1);
	sigprocmask(SIG_BLOCK, &begun, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		sink_share(&s, lines);
		never_written();
		_exit(0);
	}
	ck_assert_int_eq(sigwait(&begun, &signo), 0);
	while (!sleeps(pid))
		usleep(1000);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(sink_inherit(&s, lines), 0);
	assert_file("");
	sigprocmask(SIG_UNBLOCK, &begun, NULL);
	teardown();
}
END_TEST

/* Moved away, and another file in its place: what is left goes to the new one. */
static char other[80];

static void
replaced(void)
{
	line("old\n");
	sink_replace(&s, open(other, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
	line("new\n");
}

START_TEST(test_replaced)
{
	setup();
	snprintf(other, sizeof other, "%s.1", path);
	killed(replaced);
	assert_file("old\n");
	sink_replace(&s, open(other, O_WRONLY | O_APPEND | O_CLOEXEC));
	ck_assert_uint_eq(sink_inherit(&s, lines), 0);
	assert_file("old\n");
	ck_assert_int_eq(rename(other, path), 0);
	assert_file("new\n");
	teardown();
}
END_TEST

enum { ROOM = 8192, LONG = 30000 };
static char text[LONG];
static int ends[2];

/* A pipe with room for a part of a long line. */
static void
pipe_setup(void)
{
	char bytes[65536];

	setup();
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof text - 1] = '\n';
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETPIPE_SZ, 65536), 65536);
	memset(bytes, '-', sizeof bytes);
	ck_assert_int_eq(write(ends[1], bytes, sizeof bytes - ROOM), sizeof bytes - ROOM);
	sink_replace(&s, ends[1]);
}

static void
long_line(void)
{
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	line("later\n");
}

START_TEST(test_rest)
{
	pipe_setup();
	killed(long_line);
	struct str first = drain(ends[0]);
	ck_assert_uint_eq(first.len, 65536);
	ck_assert_int_eq(memcmp(first.p + 65536 - ROOM, text, ROOM), 0);
	ck_assert_uint_eq(sink_inherit(&s, lines), 0);
	struct str second = drain(ends[0]);
	ck_assert_uint_eq(second.len, LONG - ROOM + 6);
	ck_assert_int_eq(memcmp(second.p, text + ROOM, LONG - ROOM), 0);
	assert_text(str_skip(second, LONG - ROOM), "later\n");
	close(ends[0]);
	teardown();
}
END_TEST

START_TEST(test_rest_lost)
{
	pipe_setup();
	killed(long_line);
	ck_assert_uint_eq(sink_inherit(&s, lines), 2);
	ck_assert_uint_eq(s.lost, 0); /* it is the child's loss */
	ck_assert_uint_eq(s.pending_len, 0);
	close(ends[0]);
	teardown();
}
END_TEST

/* Whatever stands there: nothing outside is read, and nothing goes on for ever. */
START_TEST(test_nonsense)
{
	static const uint32_t words[] = { 0, 1, 2, 4096, 131071, 131072, 131073, UINT32_MAX };
	const size_t n = sizeof words / sizeof words[0];

	for (int fill = 0; fill < 2; fill++)
		for (size_t i = 0; i < n * n * n; i++) {
			uint32_t head[3] = { words[i % n], words[i / n % n], words[i / n / n] };
			pipe_setup();
			memset((char *)lines, fill ? '\n' : 'x', 131072);
			memcpy((char *)lines, head, sizeof head);
			sink_inherit(&s, lines);
			close(ends[0]);
			teardown();
		}
}
END_TEST

/* A pipe is given no more at once than it takes wholly: so the lines of a moment do not fill it. */
START_TEST(test_pipe_gathers_less)
{
	pipe_setup();
	drain(ends[0]);
	text[999] = '\n';
	for (int i = 0; i < 4; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, 1000 });
	ck_assert_uint_eq(drain(ends[0]).len, 0);
	sink_line(&s, LEVEL_INFO, (struct str){ text, 1000 });
	ck_assert_uint_eq(drain(ends[0]).len, 4000);
	sink_flush(&s);
	ck_assert_uint_eq(drain(ends[0]).len, 1000);
	close(ends[0]);
	teardown();
}
END_TEST

UNIT_MAIN("base/log", test_left, test_killed_in_a_copy, test_what_has_no_end,
	test_killed_in_a_write, test_replaced, test_rest, test_rest_lost, test_nonsense,
	test_pipe_gathers_less)
