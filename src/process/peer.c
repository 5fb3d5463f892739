/*
 * peer: the line between two masters.
 *
 * SOCK_SEQPACKET, as for children (process/channel). Each word is a state:
 *
 *	's'  it serves: for the first time, or again
 *	'w'  it rests: its workers leave, its sockets stay
 *	'q'  it leaves
 *
 * The end of the line is the peer's death, or that of its word: a program that is no API Router may
 * have closed it. So the old master goes by the end of the process that it has forked, and the new
 * one, whose parent the old one is, by the end of the line. A word that nobody reads is lost; there
 * are never as many as the socket holds.
 */
#include "process/peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static const char words[] = { [PEER_SERVING] = 's', [PEER_RESTING] = 'w', [PEER_LEAVING] = 'q' };

int
peer_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

static void
hang_up(struct peer *p)
{
	loop_remove(p->loop, &p->watch);
	close(p->watch.fd);
	p->watch.fd = -1;
}

static void
on_word(struct loop_watch *w, unsigned ready)
{
	struct peer *p = (struct peer *)(void *)((char *)w - offsetof(struct peer, watch));
	char word;
	(void)ready;
	ssize_t n = recv(w->fd, &word, 1, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(p);
		p->on_change(p, true);
		return;
	}
	for (enum peer_state state = PEER_SERVING; state <= PEER_LEAVING; state++)
		if (words[state] == word)
			p->state = state;
	p->on_change(p, false);
}

int
peer_watch(struct peer *p, struct loop *l, int fd, pid_t pid, enum peer_state state)
{
	p->watch = (struct loop_watch){ .fd = fd, .on_ready = on_word };
	if (loop_add(l, &p->watch, WANT_READ) != 0) {
		p->watch.fd = -1;
		return -1;
	}
	p->loop = l;
	p->pid = pid;
	p->state = state;
	return 0;
}

void
peer_tell(const struct peer *p, enum peer_state own)
{
	if (p->state == PEER_NONE || p->watch.fd < 0 || own < PEER_SERVING)
		return;
	/* Nobody to hear it: his end will tell. */
	ssize_t ignored = send(p->watch.fd, &words[own], 1, MSG_NOSIGNAL);
	(void)ignored;
}

void
peer_close(struct peer *p)
{
	if (p->state != PEER_NONE && p->watch.fd >= 0)
		hang_up(p);
	p->state = PEER_NONE;
	p->pid = 0;
}

void
peer_forget(const struct peer *p)
{
	if (p->state != PEER_NONE && p->watch.fd >= 0)
		close(p->watch.fd);
}
