/*
 * log: sinks, and the daemon's own log on top of one.
 *
 * Called by everybody (log_at) and by the worker (the access log's sink). Nothing here waits on a
 * peer: a pipe and a terminal are opened anew so that O_NONBLOCK is on a description of our own, a
 * socket is sent to with MSG_DONTWAIT, syslog is a datagram. A regular file is written as it is.
 *
 * Lines gather in `pending` and go out in pieces: all at once to a file; elsewhere whole lines of
 * at most PIPE_BUF together, which a pipe takes wholly or not at all, so that the lines of several
 * processes never mix. What is refused is dropped and counted in `lost`. A long line that was
 * written in part leaves its `rest` at the front, so that the next never begins in its middle. In
 * a file others may write behind what a full disk has left of a line: that is taken back. SIGPIPE
 * and SIGXFSZ are taken to be ignored. The log is below net/: it tells time and selects by itself.
 *
 *     pending:  [ rest of a line begun ][ line ][ line ] ...
 *
 * A worker's pending is shared with the master, which writes what a dead one left there. A line is
 * in it once it is before `to`, stored when all its bytes are there, and no more once it is before
 * `from`, stored ahead of the write: so none is written twice. Killed between that store and the
 * kernel's first look at the call, less than a microsecond of a batch, a worker takes the batch
 * with it; killed while a file takes several pages, those that are still to come, as ever. Stored
 * behind the write it would be a batch twice for every death in a call that may sleep.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/shm.h"

enum kind {
	KIND_OFF,
	KIND_FILE,  /* regular, or anything that takes a blocking write at once */
	KIND_PIPE,  /* a pipe or terminal, non-blocking by a description of our own */
	KIND_BLOCK, /* a pipe or terminal that could not be opened anew: asked before each write */
	KIND_SOCKET,
	KIND_SYSLOG,
};

enum { LINE_MAX_BYTES = 65536, GATHER = 32768, PENDING = 2 * LINE_MAX_BYTES, MESSAGE_MAX = 4096 };

/* What bytes[from, to) holds is whole lines, but for the first when it is a `rest`, which begins at
 * 0; nothing where `to` is not past `from`. */
struct sink_lines {
	_Atomic uint32_t from, to, rest;
	char bytes[PENDING];
};

static const struct {
	const char *word;
	int syslog;
} levels[] = {
	[LEVEL_ALERT] = { "alert", LOG_ALERT },
	[LEVEL_ERROR] = { "error", LOG_ERR },
	[LEVEL_WARN] = { "warn", LOG_WARNING },
	[LEVEL_INFO] = { "info", LOG_INFO },
	[LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static const char *syslog_path = "/dev/log";

/* The daemon's log. */
static struct {
	struct sink *sink;
	enum log_level most;
	enum log_format format;
	char process[32];
	uint64_t told; /* of sink->lost, said in the log already */
} the_log = { .most = LEVEL_WARN, .process = "master" };

/*
 * Opening
 */

static enum kind
kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
		return KIND_FILE;
	if (S_ISSOCK(st.st_mode))
		return KIND_SOCKET;
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return KIND_FILE;
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK) ? KIND_PIPE : KIND_BLOCK;
}

static int
path_open(struct str path)
{
	char name[PATH_MAX];

	if (path.len >= sizeof name) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path.p, path.len);
	name[path.len] = '\0';
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
}

/*
 * A descriptor of our own for an inherited one: a new description where its flags matter, else a
 * duplicate (a file's offset must stay shared with whoever else writes to it).
 */
static int
inherited_open(int inherited)
{
	struct stat st;

	if (fstat(inherited, &st) != 0)
		return -1;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		char name[32];
		snprintf(name, sizeof name, "/proc/self/fd/%d", inherited);
		int fd = open(name, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return fcntl(inherited, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static int64_t
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* (Re)connect to the system's log, at most once a second. Leaves fd at -1 when there is nobody. */
static void
syslog_connect(struct sink *s)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(syslog_path);
	int64_t now = now_s();

	if (s->fd >= 0 || s->tried_s == now || len >= sizeof to.sun_path)
		return;
	s->tried_s = now;
	memcpy(to.sun_path, syslog_path, len + 1);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
		close(fd);
		return;
	}
	s->fd = fd;
}

void
sink_syslog_path(const char *path)
{
	syslog_path = path;
}

bool
sink_is_path(const struct sink *s)
{
	return !str_eq(s->where, STR("stdout")) && !str_eq(s->where, STR("stderr")) &&
		!str_eq(s->where, STR("syslog")) && !str_eq(s->where, STR("off"));
}

int
sink_open(struct sink *s, struct str where)
{
	*s = (struct sink){ .fd = -1, .kind = KIND_OFF, .where = where, .tried_s = -1 };
	if (str_eq(where, STR("off")))
		return 0;
	if (str_eq(where, STR("syslog"))) {
		s->kind = KIND_SYSLOG;
		syslog_connect(s);
		return 0;
	}
	s->pending = mem_get(PENDING);
	if (s->pending == NULL) {
		errno = ENOMEM;
		return -1;
	}
	if (str_eq(where, STR("stdout")))
		s->fd = inherited_open(STDOUT_FILENO);
	else if (str_eq(where, STR("stderr")))
		s->fd = inherited_open(STDERR_FILENO);
	else
		s->fd = path_open(where);
	if (s->fd < 0) {
		int why = errno;
		mem_put(s->pending, PENDING);
		s->pending = NULL;
		errno = why;
		return -1;
	}
	s->kind = kind_of(s->fd);
	return 0;
}

/* For who looks at what a dead process has left the compiler's order is the order. */
static void
mark(_Atomic uint32_t *word, size_t value)
{
	atomic_store_explicit(word, (uint32_t)value, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Of all that is gathered only the rest of a line stays, which is at `p`. */
static void
pending_cut(struct sink *s, const char *p)
{
	if (s->shared != NULL)
		mark(&s->shared->to, 0);
	if (s->rest > 0)
		memmove(s->pending, p, s->rest);
	s->pending_len = s->rest;
	if (s->shared == NULL)
		return;
	mark(&s->shared->rest, s->rest);
	mark(&s->shared->from, 0);
	mark(&s->shared->to, s->rest);
}

void
sink_close(struct sink *s)
{
	sink_flush(s);
	if (s->fd >= 0)
		close(s->fd);
	if (s->pending != NULL && s->shared == NULL)
		mem_put(s->pending, PENDING);
	s->pending = NULL;
	s->shared = NULL;
	s->pending_len = s->rest = 0;
	s->fd = -1;
	s->kind = KIND_OFF;
}

void
sink_replace(struct sink *s, int fd)
{
	sink_flush(s);
	if (s->rest > 0)
		s->lost++;
	s->rest = 0;
	pending_cut(s, NULL);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->kind = kind_of(fd);
}

/*
 * Writing
 */

/* Would a write of a piece go through without waiting? */
static bool
is_ready(int fd)
{
	struct timeval none = { 0 };
	fd_set set;

	if (fd >= FD_SETSIZE)
		return false;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, NULL, &set, NULL, &none) == 1;
}

static ssize_t
piece_write(const struct sink *s, const char *p, size_t len)
{
	ssize_t n;

	if (s->kind == KIND_BLOCK && !is_ready(s->fd)) {
		errno = EAGAIN;
		return -1;
	}
	do {
		if (s->kind == KIND_SOCKET)
			n = send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(s->fd, p, len);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* The bytes of the line at `p`, with its newline. */
static size_t
line_len(const char *p, size_t len)
{
	const char *end = memchr(p, '\n', len);

	return end != NULL ? (size_t)(end - p) + 1 : len;
}

/*
 * How much of `p` goes into one write: for a file everything; else the rest of a line begun, or the
 * whole lines that PIPE_BUF holds, or one line that is longer. A descriptor that may block is never
 * given more than PIPE_BUF.
 */
static size_t
piece_len(const struct sink *s, const char *p, size_t len, size_t rest)
{
	if (s->kind == KIND_FILE)
		return len;
	if (rest == 0 && len > PIPE_BUF) {
		size_t whole = PIPE_BUF;
		while (whole > 0 && p[whole - 1] != '\n')
			whole--;
		len = whole > 0 ? whole : line_len(p, len);
	} else if (rest > 0) {
		len = rest;
	}
	return s->kind == KIND_BLOCK && len > PIPE_BUF ? PIPE_BUF : len;
}

/* Bytes from `p` to the end of its line when the byte before it did not end one. */
static size_t
line_rest(const char *p, size_t len)
{
	if (len == 0 || p[-1] == '\n')
		return 0;
	return line_len(p, len);
}

/*
 * A file that has no room took the beginning of a line, of which `part` bytes were written last:
 * take them back, before there is room again and another process writes behind them. False for what
 * cannot be cut.
 */
static bool
part_undo(const struct sink *s, size_t part)
{
	struct stat st;

	if (s->kind != KIND_FILE || fstat(s->fd, &st) != 0 || st.st_size < (off_t)part ||
		ftruncate(s->fd, st.st_size - (off_t)part) != 0)
		return false;
	if (!(fcntl(s->fd, F_GETFL) & O_APPEND))
		lseek(s->fd, -(off_t)part, SEEK_CUR); /* it shares the offset with its starter */
	return true;
}

/* Bytes before `p`, and not before `begin`, that belong to the same line. */
static size_t
line_part(const char *begin, const char *p)
{
	const char *at = p;

	while (at > begin && at[-1] != '\n')
		at--;
	return (size_t)(p - at);
}

static size_t
lines_in(const char *p, size_t len)
{
	size_t n = 0;

	for (const char *end = p + len; p < end; n++)
		p += line_len(p, (size_t)(end - p));
	return n;
}

void
sink_flush(struct sink *s)
{
	size_t at = 0;
	bool gone = false; /* what was begun will never be finished */

	if (s->pending == NULL)
		return;
	while (at < s->pending_len) {
		size_t len = piece_len(s, s->pending + at, s->pending_len - at, s->rest);
		if (s->shared != NULL)
			mark(&s->shared->from, at + len);
		ssize_t n = piece_write(s, s->pending + at, len);
		if (n < 0) {
			gone = errno == EPIPE || errno == ECONNRESET || errno == EBADF;
			break;
		}
		if (n == 0)
			break;
		at += (size_t)n;
		s->rest = line_rest(s->pending + at, s->pending_len - at);
	}
	if (s->rest > 0) {
		size_t part = line_part(s->pending, s->pending + at);

		if (part_undo(s, part)) {
			at -= part;
			s->rest = 0;
		}
	}
	if (gone && s->rest > 0) {
		at += s->rest;
		s->rest = 0;
		s->lost++;
	}
	s->lost += lines_in(s->pending + at + s->rest, s->pending_len - at - s->rest);
	pending_cut(s, s->pending + at);
}

/* One datagram, as syslog(3) sends it; a connection that was lost is made anew and the line sent
 * once more. */
static void
syslog_line(struct sink *s, enum log_level level, struct str line)
{
	char head[64], when[24];
	time_t now = time(NULL);
	struct tm tm;

	if (line.len > 0 && line.p[line.len - 1] == '\n')
		line.len--;
	localtime_r(&now, &tm);
	strftime(when, sizeof when, "%b %e %H:%M:%S", &tm);
	int len = snprintf(head, sizeof head,
		"<%d>%s api-router[%d]: ", LOG_DAEMON | levels[level].syslog, when, (int)getpid());
	struct iovec parts[2] = {
		{ .iov_base = head, .iov_len = (size_t)len },
		{ .iov_base = (void *)(uintptr_t)line.p, .iov_len = line.len },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	for (int tries = 0; tries < 2; tries++) {
		syslog_connect(s);
		if (s->fd < 0)
			break;
		if (sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return;
		if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)
			break;
		close(s->fd);
		s->fd = -1;
	}
	s->lost++;
}

void
sink_line(struct sink *s, enum log_level level, struct str line)
{
	if (s->kind == KIND_OFF || line.len == 0)
		return;
	if (s->kind == KIND_SYSLOG) {
		syslog_line(s, level, line);
		return;
	}
	assert(line.len <= LINE_MAX_BYTES && line.p[line.len - 1] == '\n');
	if (s->pending_len + line.len > (s->kind == KIND_FILE ? PENDING : PIPE_BUF))
		sink_flush(s);
	memcpy(s->pending + s->pending_len, line.p, line.len);
	s->pending_len += line.len;
	if (s->shared != NULL)
		mark(&s->shared->to, s->pending_len);
	if (s->pending_len >= GATHER)
		sink_flush(s);
}

/*
 * Lines that outlive their process
 */

struct sink_lines *
sink_lines_new(void)
{
	struct sink_lines *l = shm_pages(sizeof *l);

	if (l != NULL)
		madvise(l, sizeof *l, MADV_DONTDUMP); /* it is about clients */
	return l;
}

void
sink_lines_free(struct sink_lines *l)
{
	if (l != NULL)
		shm_pages_free(l, sizeof *l);
}

void
sink_share(struct sink *s, struct sink_lines *l)
{
	mem_put(s->pending, PENDING);
	s->pending = l->bytes;
	s->shared = l;
}

/* Whatever the child has written there: nothing outside is read, and what has no end not written.
 * What may block is not written to either: others live here. */
uint64_t
sink_inherit(const struct sink *s, struct sink_lines *l)
{
	size_t from = atomic_load(&l->from), to = atomic_load(&l->to), rest = atomic_load(&l->rest);
	struct sink heir = *s;
	const char *end;

	if (from >= to || to > PENDING)
		return 0;
	end = memrchr(l->bytes + from, '\n', to - from);
	if (end == NULL)
		return 1;
	heir.pending = l->bytes + from;
	heir.pending_len = (size_t)(end + 1 - heir.pending);
	if (s->kind == KIND_BLOCK)
		return lines_in(heir.pending, heir.pending_len);
	heir.rest = from == 0 && rest <= heir.pending_len ? rest : 0;
	heir.lost = 0;
	sink_flush(&heir);
	return heir.lost + (heir.rest > 0);
}

/*
 * Escaping
 */

/* Length of the UTF-8 sequence at `p` (RFC 3629: no surrogates, no overlong forms), or 0 when there
 * is none. */
static size_t
utf8_len(const unsigned char *p, size_t len)
{
	unsigned char lead = p[0];
	size_t n = lead < 0x80                ? 1
		: lead >= 0xc2 && lead < 0xe0 ? 2
		: (lead & 0xf0) == 0xe0       ? 3
		: lead >= 0xf0 && lead < 0xf5 ? 4
					      : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
		(lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* What the character of `n` bytes at `p` (n 0: a byte that is not UTF-8) looks like; its length in
 * `out` of 12 bytes. */
static size_t
char_escape(char *out, const unsigned char *p, size_t n, enum escape how)
{
	static const char shorts[] = "b\bf\fn\nr\rt\t";
	int len = 0;

	if (n == 0 && how == ESCAPE_JSON)
		len = snprintf(out, 12, "\xef\xbf\xbd");
	else if (n == 0)
		len = snprintf(out, 12, "\\x%02x", p[0]);
	else if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0 && how != ESCAPE_JSON)
		len = snprintf(out, 12, "\\xc2\\x%02x", p[1]); /* C1: terminals obey these too */
	else if (n > 1 ||
		(p[0] >= ' ' && p[0] != 0x7f &&
			(how == ESCAPE_PLAIN || (p[0] != '"' && p[0] != '\\'))))
		memcpy(out, p, (size_t)(len = (int)n));
	else if (p[0] == '"' || p[0] == '\\')
		len = snprintf(out, 12, "\\%c", p[0]);
	else if (p[0] != 0 && strchr(shorts, p[0]) != NULL)
		len = snprintf(out, 12, "\\%c", strchr(shorts, p[0])[-1]);
	else
		len = snprintf(out, 12, how == ESCAPE_JSON ? "\\u%04x" : "\\x%02x", p[0]);
	return (size_t)len;
}

size_t
log_escape(char *out, size_t size, struct str s, enum escape how)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t at = 0, len = 0;

	while (at < s.len) {
		char one[12];
		size_t run = str_bare(str_head(str_skip(s, at), size - len));
		memcpy(out + len, p + at, run);
		len += run;
		at += run;
		if (at == s.len)
			break;
		size_t n = utf8_len(p + at, s.len - at);
		size_t need = char_escape(one, p + at, n, how);
		if (need > size - len)
			break;
		memcpy(out + len, one, need);
		len += need;
		at += n > 0 ? n : 1;
	}
	return len;
}

/*
 * The daemon's log
 */

void
log_open(struct sink *sink, enum log_level most, enum log_format format)
{
	the_log.sink = sink;
	the_log.most = most;
	the_log.format = format;
	the_log.told = sink != NULL ? sink->lost : 0;
}

void
log_process(const char *name)
{
	snprintf(the_log.process, sizeof the_log.process, "%s", name);
}

/* "2026-05-01T12:00:00.123Z" */
static void
time_text(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, size - len, ".%03ldZ", now.tv_nsec / 1000000);
}

/* A finished line in the form that the sink wants; `out` holds what any message can become. */
static struct str
line_format(char *out, size_t size, enum log_level level, struct str message)
{
	bool json = the_log.format == FORMAT_JSON;
	char when[64];
	int len;

	time_text(when, sizeof when);
	if (json)
		len = snprintf(out, size,
			"{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"pid\":%d,\"message\":\"",
			when, levels[level].word, the_log.process, (int)getpid());
	else if (the_log.sink->kind ==
		KIND_SYSLOG) /* which knows the time, the level and the pid */
		len = snprintf(out, size, "%s: ", the_log.process);
	else
		len = snprintf(out, size, "%s %s %s[%d]: ", when, levels[level].word,
			the_log.process, (int)getpid());
	size_t end = (size_t)len;
	end += log_escape(out + end, size - end - 3, message, json ? ESCAPE_JSON : ESCAPE_PLAIN);
	if (json) {
		out[end++] = '"';
		out[end++] = '}';
	}
	out[end++] = '\n';
	return (struct str){ out, end };
}

/* Before there is a log: what matters, to stderr. */
static void
early_line(struct str message)
{
	char out[MESSAGE_MAX * 4 + 64];

	int len = snprintf(out, sizeof out, "api-router: ");
	size_t end = (size_t)len;
	end += log_escape(out + end, sizeof out - end - 1, message, ESCAPE_PLAIN);
	out[end++] = '\n';
	ssize_t n = write(STDERR_FILENO, out, end);
	(void)n; /* there is nobody left to tell */
}

void
log_at(enum log_level level, const char *fmt, ...)
{
	char message[MESSAGE_MAX], out[MESSAGE_MAX * 6 + 256], notice[512];
	struct sink *s = the_log.sink;
	va_list args;

	if (level > the_log.most)
		return;
	va_start(args, fmt);
	int len = vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	if (len < 0)
		return;
	struct str text = { message,
		(size_t)len < sizeof message ? (size_t)len : sizeof message - 1 };
	if (s == NULL) {
		early_line(text);
		return;
	}
	uint64_t lost = s->lost;
	bool behind = lost > the_log.told;
	if (behind) {
		char said[64];
		len = snprintf(said, sizeof said, "%llu log lines were lost",
			(unsigned long long)(lost - the_log.told));
		sink_line(s, LEVEL_WARN,
			line_format(notice, sizeof notice, LEVEL_WARN,
				(struct str){ said, (size_t)len }));
	}
	sink_line(s, level, line_format(out, sizeof out, level, text));
	sink_flush(s);
	if (behind && s->lost < lost + 2)
		the_log.told = lost;
	else if (behind)
		s->lost--; /* the notice itself is no loss */
}
