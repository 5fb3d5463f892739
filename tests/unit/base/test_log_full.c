/*
 * Log: sinks that are full: files at their limit of size, with several writers, and a terminal that
 * nobody looks at.
 */
#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log_read.h"
#include "unit.h"

static char path[64];
static int saved = -1;

static void
setup(void)
{
	snprintf(path, sizeof path, "/tmp/test_log_full.XXXXXX");
	close(mkstemp(path));
}

static void
teardown(void)
{
	unlink(path);
}

/* Standard output is another descriptor for a while. */
static void
divert(int to)
{
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	ck_assert_int_eq(dup2(to, STDOUT_FILENO), STDOUT_FILENO);
	close(to);
}

static void
put_back(void)
{
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

static void
assert_file(const char *want)
{
	assert_text(file_text(path), want);
}

static void
line(struct sink *s, const char *text)
{
	sink_line(s, LEVEL_INFO, str_of(text));
}

static void
file_limit(rlim_t bytes)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file without room takes whole lines only, so that what comes when there is room again never
 * begins in the middle of another, whoever of several writes it. `end` is what fits. */
static void
fill_up(struct sink *first, struct sink *second, size_t end, const char *want)
{
	char all[128];

	signal(SIGXFSZ, SIG_IGN);
	file_limit(end);
	line(first, "one\n");
	line(first, "two\n");
	line(first, "three\n");
	sink_flush(first);
	ck_assert_uint_eq(first->rest, 0);
	assert_file(want);
	line(second, "lost as well\n");
	sink_flush(second);
	file_limit(RLIM_INFINITY);
	signal(SIGXFSZ, SIG_DFL);
	assert_file(want);
	line(second, "four\n");
	sink_flush(second);
	line(first, "five\n");
	sink_flush(first);
	snprintf(all, sizeof all, "%sfour\nfive\n", want);
	assert_file(all);
	ck_assert_uint_eq(second->lost, 1);
}

START_TEST(test_file_full)
{
	static const struct {
		size_t end;
		const char *want;
		unsigned lost;
	} cases[] = { { 3, "", 3 }, { 4, "one\n", 2 }, { 6, "one\n", 2 }, { 13, "one\ntwo\n", 1 } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sink first, second;

		setup();
		ck_assert_int_eq(sink_open(&first, str_of(path)), 0);
		ck_assert_int_eq(sink_open(&second, str_of(path)), 0);
		fill_up(&first, &second, cases[i].end, cases[i].want);
		ck_assert_uint_eq(first.lost, cases[i].lost);
		sink_close(&first);
		sink_close(&second);
		teardown();
	}
}
END_TEST

/* The same for one that the shell opened without O_APPEND, whose offset several share. */
START_TEST(test_stdout_file_full)
{
	struct sink first, second;

	setup();
	divert(open(path, O_WRONLY | O_CLOEXEC));
	ck_assert_int_eq(sink_open(&first, STR("stdout")), 0);
	ck_assert_int_eq(sink_open(&second, STR("stdout")), 0);
	fill_up(&first, &second, 10, "one\ntwo\n");
	ck_assert_uint_eq(first.lost, 1);
	sink_close(&first);
	sink_close(&second);
	put_back();
	teardown();
}
END_TEST

/* A terminal that nobody looks at (or that was stopped by ^S) takes what it holds and no more. */
START_TEST(test_terminal)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	char text[100];
	struct sink s;

	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\n';
	ck_assert_int_ge(terminal, 0);
	ck_assert_int_eq(grantpt(terminal), 0);
	ck_assert_int_eq(unlockpt(terminal), 0);
	divert(open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC));
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	for (int i = 0; i < 2000; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_gt(s.lost, 0);
	struct str got = drain(terminal);
	size_t whole = 0;
	for (size_t at = 0; at + sizeof text < got.len; at += sizeof text + 1, whole++) {
		ck_assert_int_eq(memcmp(got.p + at, text, sizeof text - 1), 0);
		ck_assert_int_eq(memcmp(got.p + at + sizeof text - 1, "\r\n", 2), 0);
	}
	/* one may have gone in part, and be finished next */
	ck_assert_uint_le(2000 - whole - s.lost, 1);
	sink_flush(&s);
	sink_close(&s);
	put_back();
	close(terminal);
}
END_TEST

UNIT_MAIN("base/log", test_file_full, test_stdout_file_full, test_terminal)
