/*
 * instant: when something was or will be, as providers write it.
 */
#ifndef DIALECT_INSTANT_H
#define DIALECT_INSTANT_H

#include "base/str.h"

/* Seconds since 1970-01-01 UTC of an RFC 3339 time, its fraction cut; 0 when it is none, or before
 * that. */
uint64_t instant_s(struct str text);
/* The same of an IMF-fixdate, RFC 9110 5.6.7, as in the field Date. */
uint64_t instant_http_s(struct str text);

#endif
