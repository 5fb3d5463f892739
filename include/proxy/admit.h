/*
 * admit: who may ask, and how often.
 */
#ifndef PROXY_ADMIT_H
#define PROXY_ADMIT_H

#include "proxy/request.h"

/*
 * Find the client whose key the request shows (r->key), where the configuration names clients. What
 * shows a client's key, in whatever form, is taken out of the head, so that it goes nowhere and is
 * not logged; where it stands in the target, too, that is refused. False: it was refused.
 */
bool admit_keys(struct request *r);
/* After that: is it a client's? False: the request was refused. */
bool admit_client(struct request *r);
/* Charge the request to the limits that apply to it at this provider, once. False: it was refused,
 * and nothing is charged. */
bool admit_rate(struct request *r, const struct conf_provider *provider);

#endif
