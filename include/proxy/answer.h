/*
 * answer: the paths that the router answers itself, and the refusals of paths and methods.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "proxy/request.h"

/* Answer it if it needs no provider: own path, unknown path, wrong method. False: it is a POST to
 * r->endpoint. */
bool answer_own(struct request *r);

#endif
