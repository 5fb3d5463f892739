/*
 * peer: the other master, while the binary is changed: the old one has the new one for a peer, and
 * the other way round. They tell each other how they are, by a word over a pair of sockets.
 */
#ifndef PROCESS_PEER_H
#define PROCESS_PEER_H

#include <sys/types.h>

#include "net/loop.h"

enum peer_state {
	PEER_NONE, /* there is no such master */
	PEER_STARTING,
	PEER_SERVING,
	PEER_RESTING, /* its workers were told to leave (WINCH) */
	PEER_LEAVING,
};

struct peer {
	struct loop *loop;
	struct loop_watch watch;
	pid_t pid;
	enum peer_state state;
	/* Another state was told; `ended`: the other end was closed, which says nothing else. */
	void (*on_change)(struct peer *p, bool ended);
};

/* Both ends, non-blocking and close-on-exec. 0, or -1 with errno. */
int peer_pair(int ends[2]);
/* Watch the line to a peer; p->on_change is the caller's to set. 0, or -1 without memory, and the
 * descriptor is the caller's still. */
int peer_watch(struct peer *p, struct loop *l, int fd, pid_t pid, enum peer_state state);
/* Tell it our own state. Harmless without a peer, or without a line to it. */
void peer_tell(const struct peer *p, enum peer_state own);
/* Close the line and forget it; harmless without one. */
void peer_close(struct peer *p);
/* In a child: close the descriptor only. */
void peer_forget(const struct peer *p);

#endif
