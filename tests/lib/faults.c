/*
 * faults: preloaded into the daemon (LD_PRELOAD), it makes calls fail or lie as a file says: a
 * mapping of 64-bit numbers that the test changes while the daemon runs (faults.mjs). An errno of 0
 * lets the call through; a negative one fails one call, of whichever process comes first.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum fault {
	CLOCK_AHEAD_S, /* of the system's clock */
	ACCEPT_ERRNO,
	SOCKET_ERRNO, /* of internet sockets */
	FORK_ERRNO,
	POLL_ERRNO,       /* of a poll of several descriptors */
	MAP_SHARED_ERRNO, /* of mmap, of memory that processes share */
	MALLOC_LEAST,     /* allocations of so many bytes and more fail */
	POLLS,            /* counted here: all calls of poll */
	FAULTS
};

static volatile int64_t none[FAULTS], *faults = none;

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *p, size_t size);

__attribute__((constructor)) static void
faults_open(void)
{
	const char *path = getenv("FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, FAULTS * sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p != MAP_FAILED)
		faults = p;
}

static int
fails(enum fault which)
{
	int64_t now = faults[which];

	if (now == 0)
		return 0;
	if (now < 0 &&
		!__atomic_compare_exchange_n(&faults[which], &now, 0, 0, __ATOMIC_RELAXED,
			__ATOMIC_RELAXED))
		return 0;
	errno = now < 0 ? (int)-now : (int)now;
	return 1;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	result = real(id, ts);
	if (result == 0 && id == CLOCK_REALTIME)
		ts->tv_sec += faults[CLOCK_AHEAD_S];
	return result;
}

time_t
time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec now;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &now);
	tv->tv_sec = now.tv_sec;
	tv->tv_usec = now.tv_nsec / 1000;
	return 0;
}

int
accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
	static int (*real)(int, struct sockaddr *, socklen_t *, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "accept4");
	return fails(ACCEPT_ERRNO) ? -1 : real(fd, address, len, flags);
}

int
socket(int family, int type, int protocol)
{
	static int (*real)(int, int, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "socket");
	if (family != AF_UNIX && fails(SOCKET_ERRNO))
		return -1;
	return real(family, type, protocol);
}

pid_t
fork(void)
{
	static pid_t (*real)(void);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fork");
	return fails(FORK_ERRNO) ? -1 : real();
}

int
poll(struct pollfd *polls, nfds_t n, int ms)
{
	static int (*real)(struct pollfd *, nfds_t, int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "poll");
	__atomic_add_fetch(&faults[POLLS], 1, __ATOMIC_RELAXED);
	return n > 1 && fails(POLL_ERRNO) ? -1 : real(polls, n, ms);
}

void *
mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	static void *(*real)(void *, size_t, int, int, int, off_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "mmap");
	if ((flags & MAP_SHARED) && fails(MAP_SHARED_ERRNO))
		return MAP_FAILED;
	return real(at, size, protection, flags, fd, offset);
}

static int
too_much(size_t size)
{
	if (faults[MALLOC_LEAST] == 0 || size < (size_t)faults[MALLOC_LEAST])
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return too_much(size) ? NULL : __libc_malloc(size);
}

void *
realloc(void *p, size_t size)
{
	return too_much(size) ? NULL : __libc_realloc(p, size);
}
