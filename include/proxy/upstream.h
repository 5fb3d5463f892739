/*
 * upstream: one attempt: a request sent to a provider and its reply read, over a pooled or a new
 * connection.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "http/body.h"
#include "proxy/pool.h"
#include "report/count.h"

/* Its error kind, its word for the log, its sentence. */
enum error_kind upstream_end_kind(enum upstream_end end);
struct str upstream_end_word(enum upstream_end end);
struct str upstream_end_text(enum upstream_end end);

/*
 * What the attempt tells its owner, in this order: head once, data any number of times, then done
 * or failed, once and last. `turn` follows each batch of head and data: everything that was
 * readable has been told (not after done or failed). `room` is told when what upstream_send queued
 * has been sent. The slices of `head` are valid during the call; those of `data` until the turn,
 * done or failed that follows returns. The owner may call upstream_close from any of them.
 */
struct upstream_ops {
	void (*head)(void *owner, const struct head *h, const struct head_framing *f);
	void (*data)(void *owner, struct str data);
	void (*turn)(void *owner);
	void (*room)(void *owner);
	void (*done)(void *owner);
	/* `detail` says more where there is more to say (an errno's text, OpenSSL's), else it is
	 * empty. `begun`: the whole request may have reached the provider. */
	void (*failed)(void *owner, enum upstream_end why, struct str detail, bool begun);
};

/* What is sent: slices that stay valid until the attempt is over. */
#define UPSTREAM_PARTS 4
struct upstream_message {
	struct str parts[UPSTREAM_PARTS];
	uint64_t more;   /* bytes that follow by upstream_send */
	bool replayable; /* may use a pooled connection, and be sent again when that one turns out
			    to be dead */
};

enum upstream_state {
	UPSTREAM_IDLE,
	UPSTREAM_STARTING,
	UPSTREAM_RESOLVING,
	UPSTREAM_CONNECTING,
	UPSTREAM_HANDSHAKING,
	UPSTREAM_TALKING
};

/* Embedded in its owner. */
struct upstream {
	struct proxy *proxy;
	const struct conf_provider *provider;
	const struct upstream_ops *ops;
	void *owner;
	struct link *link;
	struct loop_timer timer;
	uint64_t connect_due_ms, phase_due_ms, total_due_ms; /* 0: none */
	struct upstream_message message;
	size_t sent;    /* bytes of the parts sent */
	struct buf out; /* upstream_send's bytes that could not be sent yet */
	struct buf in;  /* the part of a reply head that came earlier */
	size_t scanned;
	struct body body;
	uint8_t state;
	uint8_t next_address;
	bool reused, got_bytes, got_data, got_head, keep, paused, write_failed;
	int last_errno;
	uint64_t connected_us; /* clock_us when the connection was ready */
};

/* From now on it is open; it does nothing, and tells nothing, before upstream_begin. */
void upstream_start(struct upstream *u, struct proxy *p, const struct conf_provider *provider,
	const struct upstream_ops *ops, void *owner, const struct upstream_message *m);
/* Begin, if it was started. ops->failed may be told before this returns. */
void upstream_begin(struct upstream *u);
/* The next piece of a body that streams. What cannot be sent at once is queued. */
void upstream_send(struct upstream *u, struct str piece);
/* Bytes queued. */
size_t upstream_queued(const struct upstream *u);
/* Has the whole message left? Its slices are not needed any more once a reply has begun. */
bool upstream_all_sent(const struct upstream *u);
/* Stop reading the reply, or go on. */
void upstream_pause(struct upstream *u, bool paused);
/* Give the attempt up (or nothing, when it is over): the connection is closed at once, nothing more
 * is told. */
void upstream_close(struct upstream *u);
bool upstream_is_open(const struct upstream *u);

#endif
