/*
 * channel: the line between the master and one child.
 *
 * SOCK_SEQPACKET keeps one message one message and gives an end of file when the other side has
 * closed or died. The child's view of that end is how it learns of the master's death, so it must
 * be sure: a child closes every master's end that it inherited (process/child), and nobody else
 * holds one.
 *
 *	child ──> master   'r'           ready
 *	master ──> child   'l' + file    the daemon's log, opened anew
 *	                   'a' + file    the access log, likewise
 *
 * The master reads no more than a byte and takes no descriptor from a child, whatever that may
 * send. All sockets are non-blocking: a child that does not read its messages loses them, not the
 * master its time.
 */
#include "process/channel.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "net/sock.h"

#define WORD_READY 'r'
#define WORD_LOG 'l'
#define WORD_ACCESS 'a'

int
channel_pair(int *master, int *child)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
		return -1;
	*master = ends[0];
	*child = ends[1];
	return 0;
}

static void
take_file(const struct channel *c, char word, int file)
{
	struct sink *sink = word == WORD_LOG ? c->log : word == WORD_ACCESS ? c->access : NULL;
	if (file < 0)
		return;
	if (sink != NULL)
		sink_replace(sink, file);
	else
		close(file);
}

static void
on_message(struct loop_watch *w, unsigned ready)
{
	struct channel *c = (struct channel *)(void *)((char *)w - offsetof(struct channel, watch));
	char word = 0;
	int file = -1;
	(void)ready;
	long n = sock_receive_fd(w->fd, &word, 1, &file);
	if (n > 0) {
		take_file(c, word, file);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_remove(c->loop, w);
	c->on_end(c);
}

int
channel_watch(struct channel *c, struct loop *l, int fd)
{
	c->loop = l;
	c->watch = (struct loop_watch){ .fd = fd, .on_ready = on_message, .cools = true };
	return loop_add(l, &c->watch, WANT_READ);
}

int
channel_ready(struct channel *c)
{
	const char word = WORD_READY;
	return send(c->watch.fd, &word, 1, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int
channel_poll(int fd)
{
	char word;
	/* Plain recv: descriptors that come along are dropped by the kernel. */
	ssize_t n = recv(fd, &word, 1, 0);
	if (n == 1)
		return word == WORD_READY;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int
channel_send_log(int fd, bool access, int file)
{
	const char word = access ? WORD_ACCESS : WORD_LOG;
	return sock_send_fd(fd, &word, 1, file) == 1 ? 0 : -1;
}
