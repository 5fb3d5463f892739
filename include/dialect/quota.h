/*
 * quota: the fields in which OpenAI and Anthropic tell what is left of a rate limit, one as the
 * other (OpenAI API: x-ratelimit-*; Anthropic API: anthropic-ratelimit-*).
 */
#ifndef DIALECT_QUOTA_H
#define DIALECT_QUOTA_H

#include "dialect/dialect.h"
#include "http/head.h"

/*
 * Append the field as the client's dialect has it, with CRLF, when it is such a field of the other
 * dialect and its value can be read; else nothing. A reset is a time to wait with OpenAI, an
 * instant with Anthropic: now_ms is the time of day. Failure is sticky in `out`.
 */
void quota_field(struct buf *out, enum dialect_id client, struct str name, struct str value,
	uint64_t now_ms);

/*
 * How long a provider of either dialect has no room, in milliseconds: until the latest reset of
 * those limits of which nothing is left. -1: it does not say.
 */
int64_t quota_wait_ms(const struct head *h, uint64_t now_ms);

#endif
