/*
 * daemon: into the background.
 *
 * The process that was started does double duty: it stays as the parent until the child has said
 * how it went, so that whoever ran `api-router -D` gets an exit status that means something.
 *
 *	parent ──fork──> child: setsid, chdir /, configuration, sockets, workers
 *	   │ <── '+' ──── daemon_ready: the parent exits 0
 *	   │ <── text ─── daemon_failed: it prints the text and exits with the child's status
 *	   │ <── end ──── died before either, having said why on stderr: the same, without text
 *
 * Only daemon_detach can fail, with errno of pipe2 or fork.
 */
#include "process/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY '+'

/* Read all of the verdict, at most `size` bytes. */
static size_t
verdict_read(int fd, char *out, size_t size)
{
	size_t len = 0;
	while (len < size) {
		ssize_t n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
		if (out[0] == READY)
			break;
	}
	return len;
}

/* The rest of the parent's life. */
static int
verdict_wait(int fd, pid_t child)
{
	char text[512];
	size_t len = verdict_read(fd, text, sizeof text);
	int status;
	if (len > 0 && text[0] == READY)
		return 0;
	if (len > 0)
		fprintf(stderr, "api-router: %.*s\n", (int)len, text);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	if (WIFSIGNALED(status))
		fprintf(stderr, "api-router: killed by signal %d before it was ready\n",
			WTERMSIG(status));
	else if (len == 0 && WEXITSTATUS(status) == 0)
		fprintf(stderr, "api-router: told to stop before it was ready\n");
	return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
}

int
daemon_detach(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	pid_t child = fork();
	if (child < 0) {
		int saved = errno;
		close(ends[0]);
		close(ends[1]);
		errno = saved;
		return -1;
	}
	if (child > 0) {
		close(ends[1]);
		_exit(verdict_wait(ends[0], child));
	}
	close(ends[0]);
	setsid();
	if (chdir("/") != 0) {
		int saved = errno;
		close(ends[1]);
		errno = saved;
		return -1;
	}
	return ends[1];
}

static void
say(int fd, const char *text, size_t len)
{
	/* Nobody to hear it is no reason to stop: the daemon runs, or fails, either way. */
	ssize_t ignored = write(fd, text, len);
	(void)ignored;
	close(fd);
}

void
daemon_ready(int fd)
{
	const char ready = READY;
	if (fd >= 0)
		say(fd, &ready, 1);
}

void
daemon_failed(int fd, const char *reason)
{
	if (fd >= 0)
		say(fd, reason, strlen(reason));
}

void
daemon_quiet(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int std = STDIN_FILENO; std <= STDERR_FILENO; std++)
		dup2(fd, std);
	if (fd > STDERR_FILENO)
		close(fd);
}
