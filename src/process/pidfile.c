/*
 * pidfile: one master per pid file.
 *
 * What counts is an fcntl lock on the file, not its being there: the kernel drops the lock with
 * its process, so a file left by a crash is no obstacle, and F_GETLK names the holder, so that
 * `-s` never signals a stranger who has inherited a stale number. The lock belongs to the
 * process: forked workers do not hold it, and nobody in the master may open and close the same
 * file again, since any close drops it.
 *
 * While the binary is changed, the old master's file stands aside, under another name and with its
 * lock, and the new master has the name.
 *
 * A file can be removed by its last owner between our open and our lock; then what we locked is
 * no longer at its path, and we begin again. All failures are open's, fcntl's or write's errno.
 */
#include "process/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock
whole_file(void)
{
	return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

/* Who keeps us from locking: 0 for nobody, -1 with errno. */
static pid_t
lock_holder(int fd)
{
	struct flock lock = whole_file();
	if (fcntl(fd, F_GETLK, &lock) != 0)
		return -1;
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

/* 0 locked, 1 held by another, -1 errno. */
static int
lock(int fd)
{
	struct flock whole = whole_file();
	if (fcntl(fd, F_SETLK, &whole) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? 1 : -1;
}

static bool
still_there(int fd, const char *path)
{
	struct stat ours, named;
	return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
		ours.st_ino == named.st_ino;
}

static int
pid_write(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0)
		return -1;
	fchmod(fd,
		0644); /* whatever umask says: anybody may look; an older file may be another's */
	ssize_t n = pwrite(fd, text, (size_t)len, 0);
	if (n >= 0 && n != len)
		errno = ENOSPC;
	return n == len ? 0 : -1;
}

/*
 * One attempt: as pidfile_take, or 2 when the file went away meanwhile. On 0 the descriptor is in
 * *out.
 */
static int
take_once(const char *path, int *out, pid_t *holder)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -1;
	int result = lock(fd);
	if (result == 1)
		*holder = lock_holder(fd);
	if (result == 0 && !still_there(fd, path))
		result = 2;
	if (result == 0)
		result = pid_write(fd);
	if (result == 0) {
		*out = fd;
		return 0;
	}
	int saved = errno;
	close(fd);
	errno = saved;
	return result;
}

int
pidfile_take(struct pidfile *p, const char *path, pid_t *holder)
{
	int result;
	p->fd = -1;
	p->aside = false;
	if (strlen(path) >= sizeof p->path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	do {
		result = take_once(path, &p->fd, holder);
		/* Released just after it had refused us: the next attempt will do. */
		if (result == 1 && *holder == 0)
			result = 2;
	} while (result == 2);
	if (result == 0)
		memcpy(p->path, path, strlen(path) + 1);
	return result;
}

void
pidfile_remove(struct pidfile *p)
{
	if (p->fd < 0)
		return;
	/*
	 * In this order: while the name is there it is locked, and whoever opens it waits in vain
	 * or finds it gone.
	 */
	if (still_there(p->fd, p->path))
		unlink(p->path);
	close(p->fd);
	p->fd = -1;
}

#define ASIDE ".oldbin"

int
pidfile_aside(struct pidfile *p)
{
	size_t len = strlen(p->path);
	char to[sizeof p->path];
	if (p->fd < 0)
		return 0;
	if (len + sizeof ASIDE > sizeof to) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to, p->path, len);
	memcpy(to + len, ASIDE, sizeof ASIDE);
	if (rename(p->path, to) != 0)
		return -1;
	p->aside = true;
	memcpy(p->path, to, len + sizeof ASIDE);
	return 0;
}

int
pidfile_back(struct pidfile *p, pid_t *holder)
{
	char to[sizeof p->path];
	if (p->fd < 0)
		return 0;
	size_t len = strlen(p->path) - strlen(ASIDE);
	memcpy(to, p->path, len);
	to[len] = '\0';
	*holder = pidfile_holder(to);
	if (*holder > 0)
		return 1;
	if (rename(p->path, to) != 0)
		return -1;
	p->aside = false;
	memcpy(p->path, to, len + 1);
	return 0;
}

bool
pidfile_is_aside(const struct pidfile *p)
{
	return p->fd >= 0 && p->aside;
}

bool
pidfile_is(const struct pidfile *p, const char *path)
{
	return p->fd >= 0 && still_there(p->fd, path);
}

void
pidfile_clear_aside(const struct pidfile *p)
{
	char path[sizeof p->path + sizeof ASIDE];
	if (p->fd < 0)
		return;
	snprintf(path, sizeof path, "%s%s", p->path, ASIDE);
	if (pidfile_holder(path) == 0)
		unlink(path);
}

void
pidfile_forget(struct pidfile *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

pid_t
pidfile_holder(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	pid_t holder = lock_holder(fd);
	int saved = errno;
	close(fd);
	errno = saved;
	return holder;
}
