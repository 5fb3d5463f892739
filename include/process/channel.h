/*
 * channel: the line between the master and one child: a pair of SOCK_SEQPACKET sockets. Up goes
 * one ready byte; down come log files that were opened anew; its end is the death of the other
 * side.
 */
#ifndef PROCESS_CHANNEL_H
#define PROCESS_CHANNEL_H

#include "base/log.h"
#include "net/loop.h"

/* Both ends, non-blocking and close-on-exec. 0, or -1 with errno. */
int channel_pair(int *master, int *child);

/* The child's side. */
struct channel {
	struct loop_watch watch;
	struct loop *loop;
	struct sink *log, *access;         /* `access` NULL: a child that writes none */
	void (*on_end)(struct channel *c); /* the master is gone; told once */
};

/* c->log, c->access and c->on_end are the caller's to set. 0, or -1 without memory. */
int channel_watch(struct channel *c, struct loop *l, int fd);
/* Tell the master that this child is ready. 0, or -1 with errno. */
int channel_ready(struct channel *c);

/*
 * The master's side: 1 when the child has become ready, 0 when there is nothing, -1 when the
 * child has closed its end.
 */
int channel_poll(int fd);
/*
 * Hand down a descriptor for the daemon's log, or for the access log. It stays the caller's. 0,
 * or -1 with errno.
 */
int channel_send_log(int fd, bool access, int file);

#endif
