/*
 * hints: where something may have come.
 *
 * What a socket tells by O_ASYNC: its events as signals (fcntl(2): F_SETSIG, F_SETOWN), here a
 * real-time one, so that they queue and each names its descriptor. The signal is blocked and read
 * from a signalfd, many at once: a hint costs the kernel a few hundred nanoseconds, whatever the
 * number of sockets that are quiet.
 *
 * The same descriptor tells of the alarm, a POSIX timer of the process: its signal has a place in
 * the queue from the start.
 *
 * Called by the loop of a worker. Only for sockets that are this process' own: owner and signal
 * belong to the open file, which a listening socket has in common with other workers. Who may send
 * is checked by the user that the process had when it named itself the owner.
 *
 * The queue is bounded (RLIMIT_SIGPENDING, all processes of a user together). For a hint that finds
 * no room the kernel sends a plain SIGIO, which always has its place: some were lost. A socket of
 * AF_UNIX hints at room to write only after a write that found none while hints were on, not after
 * a poll: who waits for that is to be polled.
 */
#include "net/hints.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64 /* read at once */

static timer_t alarm_timer;
static bool has_alarm;

int
hints_open(void)
{
	struct sigevent by = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	sigset_t set;

	has_alarm = has_alarm || timer_create(CLOCK_MONOTONIC, &by, &alarm_timer) == 0;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int
set_async(int fd, int on)
{
	return ioctl(fd, FIOASYNC, &on);
}

int
hints_on(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGRTMIN) != 0 || fcntl(fd, F_SETOWN, (long)getpid()) != 0)
		return -1;
	return set_async(fd, 1);
}

int
hints_off(int fd)
{
	return set_async(fd, 0);
}

int
hints_alarm(uint64_t at_ms)
{
	struct itimerspec at = { .it_value = { .tv_sec = (time_t)(at_ms / 1000),
					 .tv_nsec = (long)(at_ms % 1000) * 1000000 } };

	return has_alarm ? timer_settime(alarm_timer, TIMER_ABSTIME, &at, NULL) : -1;
}

size_t
hints_read(int hints, int *fds, size_t most, bool *lost, bool *alarm)
{
	struct signalfd_siginfo infos[BATCH];
	size_t bytes = (most < BATCH ? most : BATCH) * sizeof *infos, n = 0;
	ssize_t len = read(hints, infos, bytes);

	for (ssize_t i = 0; i < len / (ssize_t)sizeof *infos; i++) {
		if (infos[i].ssi_signo == SIGIO)
			*lost = true;
		else if (infos[i].ssi_code == SI_TIMER)
			*alarm = true;
		else
			fds[n++] = infos[i].ssi_fd;
	}
	return n;
}
