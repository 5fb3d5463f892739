/*
 * admit: who may ask, and how often.
 */
#ifndef PROXY_ADMIT_H
#define PROXY_ADMIT_H

#include "proxy/request.h"

/*
 * Find the client whose key the request shows (r->key), where the configuration names clients. The
 * fields that show a client's key, in whatever form, are taken out of the head, so that they go
 * nowhere; where it stands in the query, too, that is refused. False: the request was refused.
 */
bool admit_client(struct request *r);
/* Charge the request to the limits that apply to it at this provider, once. False: it was refused,
 * and nothing is charged. */
bool admit_rate(struct request *r, const struct conf_provider *provider);

#endif
