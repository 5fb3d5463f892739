/*
 * signals: handlers that set a flag and write one byte to a self-pipe; the loop acts, clearing
 * the flag before acting.
 */
#ifndef NET_SIGNALS_H
#define NET_SIGNALS_H

#include "net/loop.h"

/* A row of a process's signal table; `act` NULL means ignored. */
struct signal_action {
	int signo;
	void (*act)(void *ctx, int signo);
};

/*
 * Install the table (ended by signo 0) in this process and watch the pipe in `l`; all signals are
 * unblocked then. A forked child calls it again with its own table: the parent's handlers, pipe
 * and pending flags are dropped first. A process that opens a second table must have freed the
 * loop of the first. SIGPIPE is always ignored. 0, or -1 with errno.
 */
int signals_open(struct loop *l, const struct signal_action *table, void *ctx);
/*
 * In a child, before anything else: default actions, own empty mask, the pipe closed. Signals
 * must have been blocked over the fork (signals_block).
 */
void signals_reset(void);
/*
 * Block (true) or unblock all signals around fork(), so that none is handled by the wrong
 * process.
 */
void signals_block(bool block);

#endif
