/*
 * status: the bodies of the paths that the router answers itself: /, /health, /v1/models.
 */
#ifndef REPORT_STATUS_H
#define REPORT_STATUS_H

#include "config/route.h"
#include "shared/limit.h"
#include "shared/scoreboard.h"

/* /health; `limits`: with details, or NULL. *status is 200, or 503 when draining. 0 or -1. */
int status_health(struct buf *out, struct scoreboard *b, struct limit_table *limits,
	uint64_t now_us, unsigned *status);
/* /v1/models in OpenAI's or Anthropic's shape. created is 0 in neither: the start time of the
 * daemon in seconds. Only what the client may use is listed; `key` NULL: all. */
int status_models(struct buf *out, const struct conf *c, const struct conf_client *key,
	bool anthropic, uint64_t started_s);
/* /v1/models/ID (decoded). 0, 1 when there is no such model, -1. */
int status_model(struct buf *out, const struct conf *c, const struct conf_client *key,
	struct str id, bool anthropic, uint64_t started_s);

#endif
