/*
 * log_read: what has come out of a sink, for tests of the log.
 */
#ifndef LOG_READ_H
#define LOG_READ_H

#include <fcntl.h>
#include <unistd.h>

#include "base/str.h"
#include "unit.h"

/* All that can be read now. */
static inline struct str
drain(int fd)
{
	static char bytes[1 << 20];
	size_t len = 0;
	ssize_t n;
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while ((n = read(fd, bytes + len, sizeof bytes - len)) > 0)
		len += (size_t)n;
	fcntl(fd, F_SETFL, flags);
	return (struct str){ bytes, len };
}

static inline struct str
file_text(const char *path)
{
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	struct str text = drain(fd);
	close(fd);
	return text;
}

static inline void
assert_text(struct str got, const char *want)
{
	ck_assert_msg(str_eq(got, str_of(want)), "got '%.*s', want '%s'", STR_ARG(got), want);
}

#endif
