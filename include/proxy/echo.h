/*
 * echo: a provider that answers itself, in the client's dialect, with the last user message, word
 * by word. It tells its owner the same things in the same way as upstream, so that every path of
 * the daemon runs with no network and no key.
 */
#ifndef PROXY_ECHO_H
#define PROXY_ECHO_H

#include "proxy/echo_reply.h"
#include "proxy/upstream.h"

/* Embedded in its owner. */
struct echo {
	struct proxy *proxy;
	const struct conf_provider *provider;
	const struct upstream_ops *ops;
	void *owner;
	struct loop_timer timer;
	struct echo_reply reply;
	size_t said; /* bytes of its text said in the stream */
	bool open, paused, begun;
};

/* Begin; everything is told from a later turn on. Memory comes from `arena`. */
void echo_start(struct echo *e, struct proxy *p, const struct conf_provider *provider,
	const struct upstream_ops *ops, void *owner, struct arena *arena,
	const struct echo_request *r);
void echo_pause(struct echo *e, bool paused);
/* Give it up; nothing more is told. */
void echo_close(struct echo *e);

#endif
