/*
 * account: what is counted of a request and of its attempts, for /metrics, and alerts about
 * providers that fail again and again.
 */
#ifndef PROXY_ACCOUNT_H
#define PROXY_ACCOUNT_H

#include "proxy/request.h"

/* The attempt has failed, or was answered with 500 or above (UPSTREAM_STATUS). */
void account_failure(struct request *r, enum upstream_end why);
/* The provider has answered, whole. */
void account_success(struct request *r);
/* The router refused the request for a limit. */
void account_limited(struct request *r);
/* A heartbeat was sent. */
void account_heartbeat(struct request *r);

#endif
