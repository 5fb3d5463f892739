/*
 * proxy: what all the modules of this floor share in one worker: the configuration, the loop,
 * counters, and memory that is used by one of them at a time.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "base/buf.h"
#include "base/siphash.h"
#include "config/conf.h"
#include "http/head.h"
#include "net/loop.h"
#include "shared/address.h"
#include "shared/limit.h"
#include "shared/series.h"
#include "shared/trouble.h"
#include "shared/scoreboard.h"

/* Most that is read from a descriptor in one turn: with half of it a body of megabytes costs a
 * sixth more, with twice as much nothing less. */
#define PROXY_READ (128 * 1024)

struct pool;

/* The keys of clients that were admitted last, by a hash whose secret this worker has drawn. */
#define KNOWN_KEYS 64
struct known_keys {
	struct siphash_key secret;
	struct {
		struct siphash hash;
		const struct conf_client *client; /* NULL: an empty place */
	} all[KNOWN_KEYS];
};

struct proxy {
	const struct conf *conf;
	struct loop *loop;
	struct scoreboard *board;
	struct row *row;
	struct limit_table *limits;
	struct series_writer counts; /* in this worker's row */
	struct trouble_table *troubles;
	uint32_t generation;
	const struct address_table *addresses;
	struct known_keys known;
	struct sink *access;
	uint64_t started_s;
	pid_t pid;
	struct pool *pools; /* one for each provider, by its index */
	bool draining;      /* replies say Connection: close */
	/* Used by one handler at a time; nothing in them outlives it. */
	char *scratch;        /* PROXY_READ bytes: where descriptors are read into */
	struct field *fields; /* limits.headers of them: fields of the head being parsed */
	struct buf text;      /* a head or line being composed */
	struct arena event;   /* tokens of a stream's event being translated */
	struct buf made;      /* and what it became, until it is sent */
	uint64_t random;
	struct loop_timer log_flush; /* set by the first of the lines that are written together */
};

/* A pseudo-random number; good for choices, not for secrets. */
static inline uint64_t
proxy_random(struct proxy *p)
{
	p->random ^= p->random << 13;
	p->random ^= p->random >> 7;
	p->random ^= p->random << 17;
	return p->random;
}

#endif
