/*
 * client: one connection from a client: its requests one after the other, its replies in the same
 * order.
 */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include "net/wire.h"
#include "proxy/request.h"

enum client_state {
	CLIENT_TLS,  /* new, and TLS is not agreed upon yet: it is the client's turn to speak */
	CLIENT_TURN, /* the same, but the client has spoken and waits to be heard for the first time
		      */
	CLIENT_AGAIN,  /* or once more */
	CLIENT_IDLE,   /* between requests: nothing of the next head has come */
	CLIENT_HEAD,   /* new, or a part of a head has come */
	CLIENT_BODY,   /* a request is there and its body is coming in */
	CLIENT_WAIT,   /* a request is there, all of it has come */
	CLIENT_LINGER, /* the last reply has left and our side is shut; what still comes in is
			  thrown away */
	CLIENT_STATES
};

struct client {
	struct wire wire;
	struct proxy *proxy;
	struct clients *clients;
	struct client *newer, *older; /* in the list of its state */
	struct request *request;
	struct buf
		in; /* bytes that came and were not used: a part of a head, or the next request */
	size_t scanned;
	struct body body;
	struct buf out; /* bytes of the reply that the socket did not take */
	struct loop_timer timer;
	struct loop_later next, freed;
	uint64_t began_us, began_wall_ms; /* of the request: its first byte */
	uint64_t since_ms; /* the head, the body (or the time over which its rate is taken), or the
			      lingering began */
	uint64_t body_bytes; /* since then */
	uint8_t state;
	uint8_t framing; /* enum framing, of the reply */
	uint8_t why;     /* enum close_reason, of the end that has begun */
	bool http11;     /* version of the request; replies are framed for it */
	bool keep_alive, body_wanted, expects, head_only;
	bool replied;      /* the head of a reply was given */
	bool ended, whole; /* the reply is complete, or cut */
	bool sending;      /* the timer counts timeouts.send */
	bool broken;       /* nothing can be sent any more */
	bool led;          /* the one empty line before a head has come */
	bool beginning;    /* want and timer are seen to when the request has begun */
	const struct conf_listen *listen; /* where it came in */
	char ip[];                        /* its text, with a NUL */
};

/* What one client is being sent in this turn, gathered for one write. Used by one client at a time.
 */
#define GATHER_MOST 64
struct gather_out {
	struct client *owner;
	struct buf raw; /* heads: before the data */
	struct str pieces[GATHER_MOST];
	unsigned n;
	size_t data_len;
};

/* All clients of a worker: a list for each state, oldest use first. */
struct clients {
	struct proxy *proxy;
	struct client *oldest[CLIENT_STATES], *newest[CLIENT_STATES];
	unsigned n, limit;          /* open connections, and how many there may be */
	bool leaving;               /* the loop is stopped when the last one has gone */
	struct loop_later turns;    /* of those in CLIENT_TURN and CLIENT_AGAIN, */
	bool again;                 /* and of which of the two comes next */
	uint64_t turn_us, spent_us; /* the turn of the loop, and what they have taken of it */
	struct gather_out gather;
};

/* Connections past the limit that are there to be told so. */
#define CLIENTS_RESERVE 16

void clients_open(struct clients *c, struct proxy *p, unsigned limit);
/*
 * Take over an accepted descriptor. Without room the one is evicted that has owed us something for
 * the longest: TLS, the end of a head, a body that comes slower than limits.rate_bytes, the taking
 * of a whole reply; else the oldest idle one, else one that lingers; if there is none either, this
 * one gets a 503, or, where it would need TLS to be told, is closed.
 */
void client_accept(struct clients *c, int fd, const union sock_address *peer,
	const struct conf_listen *listen);
/* Close the connection that has been idle longest, or has lingered longest, for its descriptor.
 * False: there is none. */
bool clients_spare(struct clients *c);
/*
 * The worker leaves: idle ones are given at most 10 s more for one last request; the loop is
 * stopped when the last has gone. Replies say Connection: close (proxy->draining, set by the
 * caller).
 */
void clients_drain(struct clients *c);
/* End all requests now; connections close as soon as what they are told has left. */
void clients_stop(struct clients *c);
/* Close everything at once. */
void clients_close(struct clients *c);

#endif
