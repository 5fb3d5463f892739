/*
 * sock_file: the file that a unix socket has in the file system.
 *
 * A file outlives the process that made it, so before a bind it is asked: whoever still listens
 * answers a connect, and is left alone, as is every file that is no socket. What refuses was left
 * behind by a crash and is removed. At the end a file is removed only if it is the one that was
 * bound, by device and inode: another daemon may have put its own there meanwhile.
 *
 * Called by the master's sockets. Nothing is logged; a failure is an errno.
 */
#include "net/sock_file.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* 1 when somebody listens, 0 when nobody does, -1 with errno. */
static int
is_alive(const union sock_address *a)
{
	bool done;
	int fd = sock_connect(a, &done);

	if (fd >= 0) {
		close(fd);
		return 1;
	}
	if (errno == EAGAIN) /* its queue is full */
		return 1;
	return errno == ECONNREFUSED ? 0 : -1;
}

int
sock_file_clear(const union sock_address *a)
{
	struct stat st;
	int alive;

	if (a->any.sa_family != AF_UNIX)
		return 0;
	if (lstat(a->file.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	alive = is_alive(a);
	if (alive > 0)
		errno = EADDRINUSE;
	return alive == 0 ? unlink(a->file.sun_path) : -1;
}

void
sock_file_note(const union sock_address *a, struct sock_file *f)
{
	struct stat st;

	*f = (struct sock_file){ 0 };
	if (a->any.sa_family == AF_UNIX && lstat(a->file.sun_path, &st) == 0)
		*f = (struct sock_file){ .device = st.st_dev, .inode = st.st_ino };
}

bool
sock_file_is(const union sock_address *a, const struct sock_file *f)
{
	struct stat st;

	if (a->any.sa_family != AF_UNIX)
		return true;
	return lstat(a->file.sun_path, &st) == 0 && st.st_dev == f->device && st.st_ino == f->inode;
}

void
sock_file_remove(const union sock_address *a, const struct sock_file *f)
{
	if (a->any.sa_family == AF_UNIX && f->inode != 0 && sock_file_is(a, f))
		unlink(a->file.sun_path);
}
