/*
 * log: where lines go. A sink is a file, a pipe, a terminal or syslog; writing to one never blocks
 * on a pipe, a terminal or a socket, and lines that cannot be written are counted, not waited for.
 * The daemon's own log is one sink with levels on top.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level { LEVEL_ALERT, LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };
enum log_format { FORMAT_TEXT, FORMAT_JSON };

/*
 * A sink is opened once by the master, before privileges are dropped, and inherited by fork. Never
 * is a flag of an inherited open file description changed: a pipe or terminal is opened anew
 * through /proc/self/fd so that the non-blocking flag is our own; a socket is sent to with
 * MSG_DONTWAIT; a regular file is written as it is.
 */
struct sink {
	int fd;           /* -1: off, or syslog not connected */
	int kind;         /* private to log.c */
	struct str where; /* as configured; borrowed, must outlive the sink */
	char *pending;    /* lines gathered for one write */
	size_t pending_len;
	struct sink_lines *shared; /* where pending lies, when another process is to find it */
	size_t rest;   /* bytes at the front of pending: the end of a line that went out in part */
	uint64_t lost; /* lines that could not be written */
	int64_t tried_s; /* syslog: when a connection was last tried, monotonic seconds */
};

/* "stdout", "stderr", "syslog", "off" or a path (created with mode 0640, appended to). 0, or -1
 * with errno. The descriptor is always the sink's own. */
int sink_open(struct sink *s, struct str where);
void sink_close(struct sink *s);
/* Queue a line (with its newline; at most 64 KiB); written by sink_flush or when 32 KiB are
 * gathered, elsewhere than in a file before they are more than PIPE_BUF. `level` matters to
 * syslog. */
void sink_line(struct sink *s, enum log_level level, struct str line);
/* Write what is gathered: one write for a regular file, pieces of at most PIPE_BUF (whole lines
 * where they fit) for a pipe. */
void sink_flush(struct sink *s);
/* True for a sink that is a path: the one kind that is opened again on USR1. */
bool sink_is_path(const struct sink *s);
/* Put an open descriptor in the place of the sink's own, flushing first; the old one is closed.
 * Takes `fd` over. */
void sink_replace(struct sink *s, int fd);

/*
 * Lines that outlive the process which gathers them: a parent makes memory for them before it
 * forks, the child gathers there, and when the child is dead the parent writes what it finds: the
 * whole lines that the child had not handed to the system yet.
 */
struct sink_lines;
/* NULL with errno. */
struct sink_lines *sink_lines_new(void);
/* NULL is harmless. */
void sink_lines_free(struct sink_lines *l);
/* In the child: gather in `l`, which must outlive the sink. For one that gathers (s->pending). */
void sink_share(struct sink *s, struct sink_lines *l);
/* In the parent: write to its own sink `s` what a dead child has left in `l`. How many of these
 * lines were lost. */
uint64_t sink_inherit(const struct sink *s, struct sink_lines *l);

/* For tests: the socket that "syslog" sends to, instead of /dev/log. */
void sink_syslog_path(const char *path);

/*
 * How bytes from outside may stand in a line. PLAIN: control characters and bytes that are not
 * UTF-8 become \xNN (\n, \r, \t as such). QUOTED: so do the quote and the backslash, with a
 * backslash. JSON: the inside of a string by RFC 8259, U+FFFD for what is not UTF-8.
 */
enum escape { ESCAPE_PLAIN, ESCAPE_QUOTED, ESCAPE_JSON };
/* Escape `s` into `out`, as much as `size` bytes hold; never stops inside a character or an escape.
 * Returns the length. */
size_t log_escape(char *out, size_t size, struct str s, enum escape how);

/* The daemon's log. Before log_open everything of LEVEL_WARN and above goes to stderr as plain
 * text. */
void log_open(struct sink *sink, enum log_level most, enum log_format format);
/* The name of this process in lines ("master", "worker 3", "resolver"); copied. */
void log_process(const char *name);
/*
 * One line, no newline in fmt; control characters are escaped; cut at 4 KiB. Written at once. When
 * lines had been lost, the next one that gets through is preceded by one that says how many.
 */
void log_at(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_alert(...) log_at(LEVEL_ALERT, __VA_ARGS__)
#define log_error(...) log_at(LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LEVEL_DEBUG, __VA_ARGS__)

#endif
