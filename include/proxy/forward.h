/*
 * forward: the heads that cross: a request's to the provider, a reply's to the client. Which fields
 * go through, which are the router's own.
 */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "proxy/proxy.h"

struct forward_request {
	const struct head *client; /* the client's head */
	const struct conf_provider *provider;
	const struct conf_endpoint *endpoint; /* what the provider has for it alone, or NULL */
	struct str path;                      /* the endpoint's at that dialect */
	struct str request_id;
	uint64_t length; /* of the body that will be sent */
	bool form;       /* it is not JSON: the client's Content-Type is part of it */
	bool translated; /* the provider speaks another dialect than the client: the path has its
			    own query, the client's does not cross, nor what its dialect has in its
			    head */
};

/* Append the head of the request upstream, with its empty line. Failure is sticky in `out`. */
void forward_request_head(struct buf *out, const struct forward_request *f);
/*
 * The credential that will be used: the provider's (true) or the client's or none (false). *missing
 * is set when the provider's is asked for but is not set and no client's takes its place.
 */
bool forward_own_credential(const struct head *client, const struct conf_provider *provider,
	bool *missing);

struct forward_reply {
	const struct head *upstream; /* NULL: a reply of the router's own */
	enum dialect_id dialect;     /* the client's */
	struct str request_id;
	struct str provider, model; /* empty: there was no attempt */
	bool stream;                /* an event stream: kept from caches and buffering proxies */
	bool translated;            /* from another dialect: fields of a dialect do not cross */
	bool decoded;               /* the content coding was undone */
	struct str left_out;        /* parameters that were not sent; for x-api-router-dropped */
	unsigned status;
	int64_t router_us, upstream_us; /* upstream_us -1: none */
};

/* Append status line and fields, without Content-Type, framing, Connection and the empty line. */
void forward_reply_head(struct buf *out, const struct forward_reply *f);

/* Append one field line. */
void forward_field(struct buf *out, struct str name, struct str value);

#endif
