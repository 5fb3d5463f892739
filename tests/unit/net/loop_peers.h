/*
 * loop_peers: descriptors for tests of the loop: socket pairs in one loop, each of which remembers
 * what it was told.
 */
#ifndef LOOP_PEERS_H
#define LOOP_PEERS_H

#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "unit.h"

#define MANY 100

static struct loop *loop;

struct peer {
	struct loop_watch watch;
	int far;        /* the other end */
	unsigned told;  /* times */
	unsigned ready; /* of the last time */
	void (*act)(struct peer *p);
};

static struct peer peers[MANY];
static int order[4 * MANY];
static unsigned n_order;

static inline void
on_ready(struct loop_watch *w, unsigned ready)
{
	struct peer *p = (struct peer *)(void *)((char *)w - offsetof(struct peer, watch));

	ck_assert(loop_has(w));
	p->told++;
	p->ready = ready;
	order[n_order++] = (int)(p - peers);
	if (p->act)
		p->act(p);
}

static inline void
peer_open(struct peer *p, unsigned want)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	*p = (struct peer){ .far = pair[1] };
	p->watch.fd = pair[0];
	p->watch.on_ready = on_ready;
	ck_assert_int_eq(loop_add(loop, &p->watch, want), 0);
}

static inline void
open_all(unsigned want)
{
	loop = loop_new(4); /* grows */
	n_order = 0;
	for (int i = 0; i < MANY; i++)
		peer_open(&peers[i], want);
}

static inline void
close_all(void)
{
	for (int i = 0; i < MANY; i++) {
		loop_remove(loop, &peers[i].watch);
		close(peers[i].watch.fd);
		close(peers[i].far);
	}
	loop_free(loop);
}

static inline void
say(int i)
{
	ck_assert_int_eq(write(peers[i].far, "x", 1), 1);
}

static unsigned victims; /* bit i: who is to be removed by the first one told */

static inline void
remove_victims(struct peer *p)
{
	(void)p;
	for (int i = 0; i < 6; i++)
		if (victims & 1u << i)
			loop_remove(loop, &peers[i].watch);
}

#endif
