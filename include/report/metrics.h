/*
 * metrics: the text of /metrics (Prometheus text format 0.0.4), for all processes at once.
 */
#ifndef REPORT_METRICS_H
#define REPORT_METRICS_H

#include "base/buf.h"
#include "report/count.h"
#include "shared/limit.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_source {
	struct scoreboard *board;
	const struct series_board *series;
	struct limit_table *limits;
	uint64_t started_s; /* seconds since the epoch */
	uint64_t now_us;    /* clock_now_us */
};

/* 0, or -1 without memory. */
int metrics_text(struct buf *out, const struct metrics_source *m);
/*
 * A fingerprint of the tables that give the numbers in keys, and in the paths of rate limits, their
 * meaning: programs with another one cannot read each other's counters.
 */
uint64_t metrics_meaning(void);

#endif
