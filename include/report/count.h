/*
 * count: the vocabulary of the metrics: which there are, how a series is named by a key of 64 bits,
 * and how one is counted.
 */
#ifndef REPORT_COUNT_H
#define REPORT_COUNT_H

#include "config/conf.h"
#include "shared/series.h"

enum metric {
	METRIC_NONE, /* so that no key is 0 */
#define METRIC(id, ...) METRIC_##id,
#include "report/metric.def"
#undef METRIC
	METRICS
};

/* The labels that a metric has. */
enum {
	LABEL_PATH = 1,
	LABEL_PROVIDER = 2,
	LABEL_CLIENT = 4,
	LABEL_MODEL = 8,
	LABEL_STATUS = 16,
	LABEL_KIND = 32,         /* how an attempt failed */
	LABEL_TOKENS = 64,       /* kind of tokens */
	LABEL_CLOSE = 128,       /* side and reason */
	LABEL_EXIT = 256,        /* of a worker */
	LABEL_RESULT = 512,      /* of a reload or an upgrade */
	LABEL_CONNECTION = 1024, /* side and state */
	LABEL_STATE = 2048,      /* of a worker */
	LABEL_VERSION = 4096,
	LABEL_ACCEPT = 8192, /* why accepting failed */
};

/* The ways that an attempt can fail, and what its number is for an answer of 500 or above. */
enum upstream_end {
	UPSTREAM_OK,
#define UPSTREAM_END(name, ...) UPSTREAM_##name,
#include "report/upstream_end.def"
#undef UPSTREAM_END
	UPSTREAM_STATUS
};

enum close_reason {
#define CLOSE(name, word) CLOSE_##name,
#include "report/close_reason.def"
#undef CLOSE
	CLOSE_REASONS
};
struct str close_word(enum close_reason why);
enum accept_failure {
#define ACCEPT_FAILURE(name, word) ACCEPT_##name,
#include "report/accept_failure.def"
#undef ACCEPT_FAILURE
	ACCEPT_FAILURES
};
enum side { SIDE_CLIENT, SIDE_UPSTREAM };

enum token_kind {
	TOKENS_INPUT,
	TOKENS_OUTPUT,
	TOKENS_CACHE_READ,
	TOKENS_CACHE_WRITE,
	TOKENS_REASONING
};
enum exit_reason { EXIT_OK, EXIT_FAILED, EXIT_CONFIG, EXIT_SIGNAL, EXIT_WATCHDOG };
enum reload_result { RESULT_OK, RESULT_FAILED };

/* Numbers of paths: 0 is any other, then the endpoints, then the router's own. */
enum {
	PATH_OTHER,
	PATH_ENDPOINTS,
	PATH_OWN = PATH_ENDPOINTS + ENDPOINTS,
	PATH_OWN_before = PATH_OWN - 1,
#define OWN_PATH(id, ...) PATH_##id,
#include "report/own_path.def"
#undef OWN_PATH
	PATHS
};
struct str path_text(unsigned path);
/* Of a decoded path. */
unsigned path_number(struct str path);

/*
 * What a series is about. Numbers of labels come from series_label; those that a metric does not
 * have are 0. `detail`: a status, an upstream_end, a token_kind, a count_close, an
 * exit_reason, a reload_result, an accept_failure.
 */
struct count_key {
	enum metric metric;
	unsigned path, provider, client, model, detail;
};

unsigned count_close(enum side side, enum close_reason why);

/* Buckets of a histogram: one for each bound, one for all above; and a place for the sum, in
 * microseconds. */
#define COUNT_BUCKETS 19
#define COUNT_SUM 31
#define COUNT_BUCKET_BITS \
	5 /* of a key, the lowest: without them it is that of the whole histogram */
extern const uint32_t count_bounds_ms10[COUNT_BUCKETS - 1]; /* tenths of milliseconds */

uint64_t count_pack(const struct count_key *k, unsigned bucket);
struct count_key count_unpack(uint64_t key, unsigned *bucket);

void count_add(struct series_writer *w, const struct count_key *k, uint64_t n);
/* Have the series that a rule compares with what they were before: there from the start, at 0. */
void count_begin(struct series_writer *w);
/* Into a histogram. */
void count_time(struct series_writer *w, const struct count_key *k, uint64_t us);

/* The label of the model that was asked for at the provider: its name where the configuration has
 * it, else `otherwise`. */
unsigned count_model(const struct conf_provider *p, struct str model, unsigned otherwise);

/* Give every name in the configuration that labels hold its number. Master, before conf_seal. */
void count_name(struct series_board *b, struct conf *c);

#endif
