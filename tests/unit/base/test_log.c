/*
 * Log: each kind of sink, full, broken and replaced; escaping; the daemon's own lines. Real pipes,
 * sockets and files, each test in its own process.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "log_read.h"
#include "unit.h"

static char dir[64];

static const char *
temp_path(const char *name)
{
	static char paths[4][128];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	if (dir[0] == '\0') {
		snprintf(dir, sizeof dir, "/tmp/test_log.XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(dir));
	}
	snprintf(path, sizeof paths[0], "%s/%s", dir, name);
	return path;
}

static void
temp_clear(void)
{
	static const char *const names[] = { "a", "b", "socket" };

	for (size_t i = 0; i < 3; i++)
		unlink(temp_path(names[i]));
	rmdir(dir);
	dir[0] = '\0';
}

/* The tests may run in one process: what a test puts in the place of stdout or stderr, it takes
 * away again. */
static int saved[3] = { -1, -1, -1 };

static void
divert(int fd, int to)
{
	fflush(stdout);
	saved[fd] = dup(fd);
	ck_assert_int_eq(dup2(to, fd), fd);
	close(to);
}

static void
put_back(void)
{
	for (int fd = 1; fd < 3; fd++) {
		if (saved[fd] < 0)
			continue;
		dup2(saved[fd], fd);
		close(saved[fd]);
		saved[fd] = -1;
	}
}

static void
log_put_back(void)
{
	log_open(NULL, LEVEL_WARN, FORMAT_TEXT);
	log_process("master");
}

static void
line(struct sink *s, const char *text)
{
	sink_line(s, LEVEL_INFO, str_of(text));
}

START_TEST(test_escape)
{
	static const struct {
		struct str in;
		const char *plain, *quoted, *json;
	} cases[] = {
		{ STR_INIT("plain text"), "plain text", "plain text", "plain text" },
		{ STR_INIT(""), "", "", "" },
		{ STR_INIT("a\"b\\c"), "a\"b\\c", "a\\\"b\\\\c", "a\\\"b\\\\c" },
		{ STR_INIT("\n\r\t\b\f"), "\\n\\r\\t\\b\\f", "\\n\\r\\t\\b\\f", "\\n\\r\\t\\b\\f" },
		{ STR_INIT("\0\x01\x1b\x1f"), "\\x00\\x01\\x1b\\x1f", "\\x00\\x01\\x1b\\x1f",
			"\\u0000\\u0001\\u001b\\u001f" },
		{ STR_INIT("\x7f"), "\\x7f", "\\x7f", "\\u007f" },
		{ STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
			"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
			"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
			"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ STR_INIT("\xc2\x9b"
			   "2J"),
			"\\xc2\\x9b2J", "\\xc2\\x9b2J",
			"\xc2\x9b"
			"2J" },
		{ STR_INIT("a\xff\xfe"
			   "b"),
			"a\\xff\\xfeb", "a\\xff\\xfeb",
			"a\xef\xbf\xbd\xef\xbf\xbd"
			"b" },
		{ STR_INIT("\xc0\xaf"), "\\xc0\\xaf", "\\xc0\\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ STR_INIT("\xed\xa0\x80"), "\\xed\\xa0\\x80", "\\xed\\xa0\\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ STR_INIT("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ STR_INIT("cut\xe2\x82"), "cut\\xe2\\x82", "cut\\xe2\\x82",
			"cut\xef\xbf\xbd\xef\xbf\xbd" },
		{ STR_INIT("\xe0\x80\x80\xf0\x80\x80\x80"), "\\xe0\\x80\\x80\\xf0\\x80\\x80\\x80",
			"\\xe0\\x80\\x80\\xf0\\x80\\x80\\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	char out[256];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *want[] = { cases[i].plain, cases[i].quoted, cases[i].json };
		for (int how = ESCAPE_PLAIN; how <= ESCAPE_JSON; how++) {
			size_t len = log_escape(out, sizeof out, cases[i].in, (enum escape)how);
			assert_text((struct str){ out, len }, want[how]);
		}
	}
}
END_TEST

/* However little room there is, what comes is whole characters and escapes, as many as fit. */
START_TEST(test_escape_cut)
{
	static const struct str in = STR_INIT("a\n\xe2\x82\xac\x01\"\xff z");
	/* where each way may stop */
	static const char *const stops[] = {
		[ESCAPE_PLAIN] = "a|\\n|\xe2\x82\xac|\\x01|\"|\\xff| |z|",
		[ESCAPE_QUOTED] = "a|\\n|\xe2\x82\xac|\\x01|\\\"|\\xff| |z|",
		[ESCAPE_JSON] = "a|\\n|\xe2\x82\xac|\\u0001|\\\"|\xef\xbf\xbd| |z|",
	};

	for (int how = ESCAPE_PLAIN; how <= ESCAPE_JSON; how++) {
		for (size_t size = 0; size < 32; size++) {
			char got[32], want[32];
			size_t want_len = 0, whole = 0;
			for (const char *p = stops[how]; *p != '\0'; p++) {
				if (*p == '|' && want_len <= size)
					whole = want_len;
				else if (*p != '|')
					want[want_len++] = *p;
			}
			size_t len = log_escape(got, size, in, (enum escape)how);
			ck_assert_uint_eq(len, whole);
			ck_assert_int_eq(memcmp(got, want, len), 0);
		}
	}
}
END_TEST

START_TEST(test_file)
{
	const char *path = temp_path("a");
	struct sink s;
	struct stat st;

	mode_t mask = umask(0);
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	umask(mask);
	ck_assert(sink_is_path(&s));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_ne(fcntl(s.fd, F_GETFD) & FD_CLOEXEC, 0);
	line(&s, "one\n");
	line(&s, "two\n");
	assert_text(file_text(path), ""); /* gathered until the flush */
	sink_flush(&s);
	assert_text(file_text(path), "one\ntwo\n");
	sink_close(&s);
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	line(&s, "three\n");
	sink_close(&s); /* flushes */
	assert_text(file_text(path), "one\ntwo\nthree\n");
	ck_assert_uint_eq(s.lost, 0);
	ck_assert_uint_eq(mem_used(), 0);
	temp_clear();
}
END_TEST

/* 32 KiB are written without being asked. */
START_TEST(test_file_gathers)
{
	const char *path = temp_path("a");
	static char text[65536];
	struct sink s;
	struct stat st;

	memset(text, 'x', sizeof text);
	text[999] = '\n';
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	for (int i = 0; i < 32; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, 1000 });
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	sink_line(&s, LEVEL_INFO, (struct str){ text, 1000 });
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 33000);
	text[999] = 'x';
	text[65535] = '\n';
	sink_line(&s, LEVEL_INFO, (struct str){ text, 65536 });
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 33000 + 65536);
	sink_close(&s);
	temp_clear();
}
END_TEST

/* A file that the shell opened for us is written at the offset that is shared with others. */
START_TEST(test_stdout_file)
{
	const char *path = temp_path("a");
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	struct sink s;

	divert(STDOUT_FILENO, fd);
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	ck_assert(!sink_is_path(&s));
	ck_assert_int_ne(s.fd, STDOUT_FILENO);
	ck_assert_int_eq(write(STDOUT_FILENO, "a\n", 2), 2);
	line(&s, "b\n");
	sink_flush(&s);
	ck_assert_int_eq(write(STDOUT_FILENO, "c\n", 2), 2);
	ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFL), flags);
	assert_text(file_text(path), "a\nb\nc\n");
	sink_close(&s);
	temp_clear();
	put_back();
}
END_TEST

/* Renamed, as logrotate does, then a new descriptor put in place: no line lost, none in the wrong
 * file. */
START_TEST(test_replace)
{
	const char *path = temp_path("a"), *old = temp_path("b");
	struct sink s, fresh;

	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	line(&s, "one\n");
	ck_assert_int_eq(rename(path, old), 0);
	line(&s, "two\n");
	ck_assert_int_eq(sink_open(&fresh, str_of(path)), 0);
	sink_replace(&s, dup(fresh.fd));
	line(&s, "three\n");
	sink_flush(&s);
	assert_text(file_text(old), "one\ntwo\n");
	assert_text(file_text(path), "three\n");
	ck_assert_uint_eq(s.lost, 0);
	sink_close(&s);
	sink_close(&fresh);
	temp_clear();
}
END_TEST

START_TEST(test_open_fails)
{
	static char deep[PATH_MAX + 10];
	struct sink s;

	ck_assert_int_eq(sink_open(&s, STR("/nonexistent/dir/log")), -1);
	ck_assert_int_eq(errno, ENOENT);
	memset(deep, 'x', sizeof deep);
	ck_assert_int_eq(sink_open(&s, (struct str){ deep, sizeof deep }), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	mem_fail_after(1);
	ck_assert_int_eq(sink_open(&s, STR("stderr")), -1);
	ck_assert_int_eq(errno, ENOMEM);
	mem_fail_after(0);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_off)
{
	struct sink s;

	ck_assert_int_eq(sink_open(&s, STR("off")), 0);
	ck_assert(!sink_is_path(&s));
	line(&s, "gone\n");
	sink_flush(&s);
	ck_assert_int_eq(s.fd, -1);
	ck_assert_uint_eq(s.lost, 0);
	sink_close(&s);
}
END_TEST

/* stdout as a pipe; the reader's end. */
static int
stdout_pipe(void)
{
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(ends), 0);
	divert(STDOUT_FILENO, ends[1]);
	return ends[0];
}

static size_t
count_lines(struct str text, struct str each)
{
	size_t n = 0;

	while (text.len > 0) {
		ck_assert_msg(str_starts(text, each), "a line was cut or mixed: '%.60s'", text.p);
		text = str_skip(text, each.len);
		n++;
	}
	return n;
}

START_TEST(test_pipe_full)
{
	int reader = stdout_pipe();
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	char text[101];
	struct sink s;

	memset(text, 'y', sizeof text);
	text[100] = '\n';
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFL),
		flags); /* the shell's own description is left alone */
	ck_assert_int_eq(flags & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(s.fd, F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 2000; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_gt(s.lost, 0);
	size_t arrived = count_lines(drain(reader), (struct str){ text, sizeof text });
	ck_assert_uint_eq(arrived + s.lost, 2000);
	uint64_t lost = s.lost;
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_eq(count_lines(drain(reader), (struct str){ text, sizeof text }), 1);
	ck_assert_uint_eq(s.lost, lost);
	sink_close(&s);
	put_back();
	close(reader);
}
END_TEST

/* Two processes' worth of lines in one pipe: pieces are at most PIPE_BUF and whole. */
START_TEST(test_pipe_pieces)
{
	int reader = stdout_pipe();
	char text[1500], bytes[65536];
	struct sink s;

	memset(text, 'z', sizeof text);
	text[1499] = '\n';
	ck_assert_int_eq(fcntl(reader, F_SETPIPE_SZ, 65536), 65536);
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	/* leave room for one piece of two lines only */
	memset(bytes, '-', sizeof bytes);
	ck_assert_int_eq(write(STDOUT_FILENO, bytes, 65536 - 4096), 65536 - 4096);
	for (int i = 0; i < 5; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_eq(s.lost, 3);
	struct str got = str_skip(drain(reader), 65536 - 4096);
	ck_assert_uint_eq(count_lines(got, (struct str){ text, sizeof text }), 2);
	sink_close(&s);
	put_back();
	close(reader);
}
END_TEST

/* A line longer than PIPE_BUF that goes out in part: its rest comes before any later line, also
 * when several tries are needed. */
START_TEST(test_pipe_long_line)
{
	int reader = stdout_pipe();
	static char text[50000], bytes[65536];
	struct sink s;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof text - 1] = '\n';
	ck_assert_int_eq(fcntl(reader, F_SETPIPE_SZ, 65536), 65536);
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	memset(bytes, '-', sizeof bytes);
	ck_assert_int_eq(write(STDOUT_FILENO, bytes, 65536 - 8192), 65536 - 8192);
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_eq(s.rest, sizeof text - 8192);
	ck_assert_uint_eq(s.lost, 0);
	line(&s, "dropped\n");
	sink_flush(&s); /* still full: the rest stays, the later line is lost */
	ck_assert_uint_eq(s.lost, 1);
	struct str first = str_skip(drain(reader), 65536 - 8192);
	ck_assert_uint_eq(first.len, 8192);
	ck_assert_int_eq(memcmp(first.p, text, 8192), 0);
	line(&s, "later\n");
	sink_flush(&s);
	struct str second = drain(reader);
	ck_assert_uint_eq(second.len, sizeof text - 8192 + 6);
	ck_assert_int_eq(memcmp(second.p, text + 8192, sizeof text - 8192), 0);
	assert_text(str_skip(second, sizeof text - 8192), "later\n");
	ck_assert_uint_eq(s.rest, 0);
	sink_close(&s);
	put_back();
	close(reader);
}
END_TEST

/* A pipe whose description is not our own and blocks (no /proc): it is asked first, and never given
 * more than it has room for. */
START_TEST(test_pipe_blocking)
{
	const char *path = temp_path("a");
	static char text[50000];
	int ends[2];
	struct sink s;

	memset(text, 'b', sizeof text);
	text[sizeof text - 1] = '\n';
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETPIPE_SZ, 65536), 65536);
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	sink_replace(&s, dup(ends[1]));
	alarm(20); /* a write that waits would wait for ever */
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	line(&s, "dropped\n");
	sink_flush(&s);
	alarm(0);
	ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
	ck_assert_uint_gt(s.rest, 0);
	ck_assert_uint_eq(s.lost, 1);
	size_t got = drain(ends[0]).len;
	ck_assert_uint_eq(got + s.rest, 2 * sizeof text);
	sink_flush(&s);
	ck_assert_uint_eq(got + drain(ends[0]).len, 2 * sizeof text);
	ck_assert_uint_eq(s.rest, 0);
	sink_close(&s);
	close(ends[0]);
	close(ends[1]);
	temp_clear();
}
END_TEST

START_TEST(test_pipe_reader_gone)
{
	int reader = stdout_pipe();
	static char text[50000], bytes[65536];
	struct sink s;

	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	line(&s, "read\n");
	sink_flush(&s);
	assert_text(drain(reader), "read\n");
	/* a long line begun, then nobody: it is lost, and its rest forgotten */
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\n';
	ck_assert_int_eq(write(STDOUT_FILENO, bytes, 40960), 40960);
	sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_uint_gt(s.rest, 0);
	close(reader);
	line(&s, "one\n");
	line(&s, "two\n");
	sink_flush(&s);
	ck_assert_uint_eq(s.lost, 3);
	ck_assert_uint_eq(s.rest, 0);
	ck_assert_uint_eq(s.pending_len, 0);
	sink_close(&s);
	put_back();
}
END_TEST

/* What came by a socket is sent to without touching its flags, and never waited for. */
START_TEST(test_socket)
{
	int ends[2];
	char text[101];
	struct sink s;

	memset(text, 's', sizeof text);
	text[100] = '\n';
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	divert(STDERR_FILENO, ends[1]);
	ck_assert_int_eq(sink_open(&s, STR("stderr")), 0);
	for (int i = 0; i < 20000; i++)
		sink_line(&s, LEVEL_INFO, (struct str){ text, sizeof text });
	sink_flush(&s);
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_uint_gt(s.lost, 0);
	struct str got = drain(ends[0]);
	size_t whole = got.len / sizeof text * sizeof text;
	size_t n = count_lines(str_head(got, whole), (struct str){ text, sizeof text });
	/* a stream may take a part of the last line: then its rest is first in the queue */
	ck_assert_uint_eq(got.len - whole, s.rest > 0 ? sizeof text - s.rest : 0);
	ck_assert_uint_eq(n + (s.rest > 0) + s.lost, 20000);
	close(ends[0]);
	uint64_t lost = s.lost;
	line(&s, "nobody\n"); /* and no SIGPIPE */
	sink_flush(&s);
	ck_assert_uint_ge(s.lost, lost + 1);
	sink_close(&s);
	put_back();
}
END_TEST

static int
syslog_listen(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	unlink(path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

static void
assert_matches(struct str got, const char *pattern)
{
	char text[4096];
	regex_t re;

	ck_assert_uint_lt(got.len, sizeof text);
	memcpy(text, got.p, got.len);
	text[got.len] = '\0';
	ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&re, text, 0, NULL, 0) == 0, "'%s' is not '%s'", text, pattern);
	regfree(&re);
}

START_TEST(test_syslog)
{
	const char *path = temp_path("socket");
	char pattern[128];
	struct sink s;

	sink_syslog_path(path);
	ck_assert_int_eq(sink_open(&s, STR("syslog")), 0); /* before there is a syslog daemon */
	ck_assert_int_eq(s.fd, -1);
	line(&s, "lost\n");
	ck_assert_uint_eq(s.lost, 1);
	int server = syslog_listen(path);
	s.tried_s = -1; /* a second later */
	sink_line(&s, LEVEL_ALERT, STR("text with \"quotes\"\n"));
	snprintf(pattern, sizeof pattern,
		"^<25>[A-Z][a-z]{2} [ 123][0-9] [0-9:]{8} api-router\\[%d\\]: text with \"quotes\"$",
		(int)getpid());
	assert_matches(drain(server), pattern);
	static const struct {
		enum log_level level;
		const char *pri;
	} levels[] = {
		{ LEVEL_ERROR, "^<27>" },
		{ LEVEL_WARN, "^<28>" },
		{ LEVEL_INFO, "^<30>" },
		{ LEVEL_DEBUG, "^<31>" },
	};
	for (size_t i = 0; i < 4; i++) {
		sink_line(&s, levels[i].level, STR("x\n"));
		assert_matches(drain(server), levels[i].pri);
	}
	/* the syslog daemon is restarted: the line that meets the dead socket is sent again */
	close(server);
	server = syslog_listen(path);
	s.tried_s = -1;
	line(&s, "again\n");
	assert_matches(drain(server), "again$");
	ck_assert_uint_eq(s.lost, 1);
	/* gone for good: a connection is tried once a second, not for each line */
	close(server);
	line(&s, "gone\n");
	ck_assert_uint_eq(s.lost, 2);
	ck_assert_int_eq(s.fd, -1);
	server = syslog_listen(path);
	struct timespec now, after;
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		s.tried_s = now.tv_sec;
		line(&s, "gone too\n");
		clock_gettime(CLOCK_MONOTONIC, &after);
	} while (now.tv_sec != after.tv_sec);
	ck_assert_int_eq(s.fd, -1);
	ck_assert_uint_eq(s.lost, 3);
	close(server);
	sink_close(&s);
	temp_clear();
}
END_TEST

/* A full queue at the syslog daemon costs lines, not time. */
START_TEST(test_syslog_full)
{
	const char *path = temp_path("socket");
	int server = syslog_listen(path);
	struct sink s;

	sink_syslog_path(path);
	ck_assert_int_eq(sink_open(&s, STR("syslog")), 0);
	for (int i = 0; i < 5000; i++)
		line(&s, "x\n");
	ck_assert_uint_gt(s.lost, 0);
	ck_assert_int_ge(s.fd, 0); /* full is no reason to connect anew */
	close(server);
	sink_close(&s);
	temp_clear();
}
END_TEST

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

START_TEST(test_log_text)
{
	const char *path = temp_path("a");
	char pattern[256];
	struct sink s;

	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	log_open(&s, LEVEL_INFO, FORMAT_TEXT);
	log_process("worker 3");
	log_debug("not this");
	log_warn("a \"line\" of\n%d bytes\x1b[2J", 7);
	snprintf(pattern, sizeof pattern,
		"^" TIME " warn worker 3\\[%d\\]: a \"line\" of\\\\n7 bytes\\\\x1b\\[2J\n$",
		(int)getpid());
	assert_matches(file_text(path), pattern);
	ck_assert_int_eq(truncate(path, 0), 0);
	log_alert("x");
	log_error("x");
	log_info("x");
	assert_matches(file_text(path), "^[^ ]+ alert .*\n[^ ]+ error .*\n[^ ]+ info .*\n$");
	sink_close(&s);
	temp_clear();
	log_put_back();
}
END_TEST

START_TEST(test_log_json)
{
	const char *path = temp_path("a");
	char pattern[256];
	struct sink s;

	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	log_open(&s, LEVEL_DEBUG, FORMAT_JSON);
	log_debug("a \"b\" \\ \xff\n");
	snprintf(pattern, sizeof pattern,
		"^\\{\"time\":\"" TIME
		"\",\"level\":\"debug\",\"process\":\"master\",\"pid\":%d,\"message\":\"a \\\\\"b\\\\\" \\\\\\\\ \xef\xbf\xbd\\\\n\"\\}\n$",
		(int)getpid());
	assert_matches(file_text(path), pattern);
	sink_close(&s);
	temp_clear();
	log_put_back();
}
END_TEST

/* A message of any length is one line of bounded length. */
START_TEST(test_log_long)
{
	const char *path = temp_path("a");
	static char big[20000];
	struct sink s;

	memset(big, '\x01', sizeof big - 1);
	ck_assert_int_eq(sink_open(&s, str_of(path)), 0);
	for (int format = FORMAT_TEXT; format <= FORMAT_JSON; format++) {
		ck_assert_int_eq(truncate(path, 0), 0);
		log_open(&s, LEVEL_DEBUG, (enum log_format)format);
		log_info("%s", big);
		struct str got = file_text(path);
		ck_assert_uint_gt(got.len, 4095 * 4);
		ck_assert_uint_lt(got.len, 4096 * 6 + 256);
		ck_assert_uint_eq(str_index(got, '\n'), got.len - 1);
		if (format == FORMAT_JSON)
			assert_text(str_skip(got, got.len - 3), "\"}\n");
	}
	sink_close(&s);
	temp_clear();
	log_put_back();
}
END_TEST

START_TEST(test_log_early)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	divert(STDERR_FILENO, ends[1]);
	log_put_back();
	log_warn("%s:%d: %s", "a.conf", 3, "unknown\nname");
	log_info("not this");
	assert_text(drain(ends[0]), "api-router: a.conf:3: unknown\\nname\n");
	put_back();
	log_put_back();
}
END_TEST

START_TEST(test_log_says_what_was_lost)
{
	int reader = stdout_pipe();
	static char bytes[65536];
	struct sink s;

	ck_assert_int_eq(fcntl(reader, F_SETPIPE_SZ, 65536), 65536);
	ck_assert_int_eq(sink_open(&s, STR("stdout")), 0);
	log_open(&s, LEVEL_INFO, FORMAT_TEXT);
	ck_assert_int_eq(write(STDOUT_FILENO, bytes, sizeof bytes), (ssize_t)sizeof bytes);
	for (int i = 0; i < 3; i++)
		log_info("lost");
	ck_assert_uint_eq(s.lost, 3);
	drain(reader);
	log_info("next");
	assert_matches(drain(reader),
		"^" TIME " warn master\\[[0-9]+\\]: 3 log lines were lost\n" TIME
		" info master\\[[0-9]+\\]: next\n$");
	log_info("and next");
	assert_matches(drain(reader), "^" TIME " info master\\[[0-9]+\\]: and next\n$");
	ck_assert_uint_eq(s.lost, 3);
	sink_close(&s);
	put_back();
	log_put_back();
	close(reader);
}
END_TEST

START_TEST(test_log_syslog)
{
	const char *path = temp_path("socket");
	int server = syslog_listen(path);
	struct sink s;

	sink_syslog_path(path);
	ck_assert_int_eq(sink_open(&s, STR("syslog")), 0);
	log_open(&s, LEVEL_INFO, FORMAT_TEXT);
	log_process("worker 0");
	log_error("it broke");
	assert_matches(drain(server), "^<27>.* api-router\\[[0-9]+\\]: worker 0: it broke$");
	sink_close(&s);
	close(server);
	temp_clear();
	log_put_back();
}
END_TEST

UNIT_MAIN("base/log", test_escape, test_escape_cut, test_file, test_file_gathers, test_stdout_file,
	test_replace, test_open_fails, test_off, test_pipe_full, test_pipe_pieces,
	test_pipe_long_line, test_pipe_blocking, test_pipe_reader_gone, test_socket, test_syslog,
	test_syslog_full, test_log_text, test_log_json, test_log_long, test_log_early,
	test_log_says_what_was_lost, test_log_syslog)
