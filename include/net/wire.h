/*
 * wire: one connection, plain or TLS, behind the same calls. Embedded in its owner.
 */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include <sys/uio.h>

#include "net/loop.h"
#include "net/tls.h"

struct ssl_st;

struct wire {
	struct loop_watch watch;
	struct loop *loop;
	struct ssl_st *ssl; /* NULL: plain */
	void (*on_ready)(struct wire *w, unsigned ready);
	struct loop_later again; /* TLS: bytes are decrypted already, poll would not tell */
	uint8_t want;            /* what the owner wants */
	bool handshaking;
	bool read_needs_write, write_needs_read; /* TLS: what the last call was waiting for */
	bool ahead; /* TLS: bytes wait that nobody wants now, and what is behind them is unseen */
	bool shutting; /* TLS: close_notify waits for room */
	int8_t end; /* TLS: how it ended, found behind bytes that were returned first; 0 when not */
	uint8_t reads; /* TLS: from the socket, that the present call may still make */
	bool broken;   /* no orderly end of TLS is possible any more */
	bool reset;    /* by the peer: a write was told, as the kernel says it once */
};

/* What wire_read returns when there are no bytes. */
#define WIRE_WAIT 0      /* nothing now */
#define WIRE_END (-1)    /* the peer has ended its side in order (TLS: with close_notify) */
#define WIRE_CUT (-2)    /* TLS: the connection ended without close_notify */
#define WIRE_BROKEN (-3) /* reset, also when a write was told first, or a TLS failure; errno */

/* Take over a connected (or connecting) descriptor. Not in the poll set until wire_want. */
void wire_open(struct wire *w, struct loop *l, int fd, void (*on_ready)(struct wire *, unsigned));
bool wire_is_open(const struct wire *w);
/*
 * Begin TLS as a client; then call wire_handshake on each readiness until it returns 1 (done), 0
 * (more to come: want is set by it) or -1 (failed, with a sentence in err). 0, or -1 without
 * memory.
 */
int wire_start_tls(struct wire *w, struct tls_context *c, struct str server_name);
int wire_handshake(struct wire *w, char *err, size_t err_size);
/*
 * Begin TLS as a server, on the first bytes of the client (not before they are there): 1, then
 * wire_handshake; 0 when they are no TLS but the letters of a request, and the wire stays plain; -1
 * without memory. When the handshake fails the client was told, as far as that goes, and the wire
 * is plain from then on: what still comes can be thrown away. w->end is WIRE_CUT where the client
 * left.
 */
int wire_accept_tls(struct wire *w, const struct tls_context *c);
/* WANT_*; 0 keeps it in the poll set for breakage only. WANT_HANGUP alone sees close_notify of TLS
 * too, unless bytes that nobody reads came before it. 0, or -1 without memory. */
int wire_want(struct wire *w, unsigned want);
/* Out of the poll set (an idle connection in a pool). */
void wire_park(struct wire *w);
/* Is a parked connection still good to send a request on: open, and with nothing unexpected to read
 * (TLS: session tickets are read and are no harm)? */
bool wire_idle_ok(struct wire *w);
/* Read what is there, at most `size`. A return less than `size` has drained it, but for TLS in
 * many small records: poll tells of the rest. */
long wire_read(struct wire *w, void *p, size_t size);
/* Send from the vector. Bytes taken (0: none now), or WIRE_BROKEN. After a short write of TLS the
 * same bytes must come first again. */
long wire_writev(struct wire *w, const struct iovec *iov, int n);
/* End our side: the peer sees the end of the stream, what it still sends can be read. */
void wire_shut(struct wire *w);
/* Close: TLS says close_notify where that is possible. Harmless when not open. */
void wire_close(struct wire *w);
/* Close so that the peer sees a reset: a cut reply that must not look whole. */
void wire_reset(struct wire *w);

#endif
