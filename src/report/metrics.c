/*
 * metrics: what all processes have counted, as text for Prometheus.
 *
 * Called by answer in whatever worker is asked. It reads the keys of the series board, puts them in
 * order, in which they stand together by metric and labels, sums each over the rows of all workers
 * there ever were, and writes the metrics in the order of metric.def. Every metric has its HELP and
 * TYPE, also while nothing has been counted. Gauges are read off the scoreboard and the table of
 * limits. Only memory can be lacking: the keys are sorted in a copy.
 */
#include "report/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"

enum type { COUNTER, HISTOGRAM, GAUGE, TOTAL };

static const struct metric_row {
	struct str name, help;
	enum type type;
	unsigned labels;
} rows[METRICS] = {
#define METRIC(id, text, kind, has, about) \
	[METRIC_##id] = { STR_INIT("api_router_" text), STR_INIT(about), kind, has },
#include "report/metric.def"
#undef METRIC
};

static const struct str kinds[] = {
	STR_INIT("ok"),
#define UPSTREAM_END(name, kind, word, text) STR_INIT(word),
#include "report/upstream_end.def"
#undef UPSTREAM_END
	STR_INIT("status"),
};
static const struct str token_kinds[] = { STR_INIT("input"), STR_INIT("output"),
	STR_INIT("cache_read"), STR_INIT("cache_write"), STR_INIT("reasoning") };
static const struct str exits[] = { STR_INIT("ok"), STR_INIT("failed"), STR_INIT("config"),
	STR_INIT("signal"), STR_INIT("watchdog") };
static const struct str accept_failures[] = {
#define ACCEPT_FAILURE(name, word) STR_INIT(word),
#include "report/accept_failure.def"
#undef ACCEPT_FAILURE
};
static const struct str results[] = { STR_INIT("ok"), STR_INIT("failed") };

/* A series of the board that is being written. */
struct writer {
	struct buf *out;
	const struct metrics_source *from;
	bool first; /* of the labels between { and } */
};

/* Counters of one key. */
struct item {
	uint64_t key;
	uint32_t at;
};

static void
put(struct writer *w, struct str s)
{
	buf_add(w->out, s);
}

/* `name="value"`, escaped as the format says. */
static void
label(struct writer *w, struct str name, struct str value)
{
	put(w, w->first ? STR("{") : STR(","));
	w->first = false;
	put(w, name);
	put(w, STR("=\""));
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];

		if (c == '\\' || c == '"')
			put(w, STR("\\"));
		put(w, c == '\n' ? STR("\\n") : str_head(str_skip(value, i), 1));
	}
	put(w, STR("\""));
}

static void
label_status(struct writer *w, unsigned status)
{
	char digits[] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
		(char)('0' + status % 10) };
	bool known = status >= 100 && status <= 999;

	label(w, STR("status"), known ? (struct str){ digits, sizeof digits } : STR("other"));
}

static void
label_word(struct writer *w, struct str name, const struct str *words, size_t n, unsigned i)
{
	label(w, name, i < n ? words[i] : STR("other"));
}

#define N(words) (sizeof(words) / sizeof(words)[0])

static void
labels(struct writer *w, unsigned has, const struct count_key *k)
{
	const struct series_board *b = w->from->series;
	unsigned why = k->detail % 32;

	w->first = true;
	if (has & LABEL_PATH)
		label(w, STR("path"), path_text(k->path));
	if (has & LABEL_PROVIDER)
		label(w, STR("provider"), series_label_text(b, k->provider));
	if (has & LABEL_MODEL)
		label(w, STR("model"), series_label_text(b, k->model));
	if (has & LABEL_TOKENS)
		label_word(w, STR("kind"), token_kinds, N(token_kinds), k->detail);
	if (has & LABEL_KIND)
		label_word(w, STR("kind"), kinds, N(kinds), k->detail);
	if (has & LABEL_STATUS)
		label_status(w, k->detail);
	if (has & LABEL_EXIT)
		label_word(w, STR("reason"), exits, N(exits), k->detail);
	if (has & LABEL_ACCEPT)
		label_word(w, STR("reason"), accept_failures, N(accept_failures), k->detail);
	if (has & LABEL_RESULT)
		label_word(w, STR("result"), results, N(results), k->detail);
	if (has & LABEL_CLOSE) {
		label(w, STR("side"),
			k->detail / 32 == SIDE_CLIENT ? STR("client") : STR("upstream"));
		label(w, STR("reason"), why < CLOSE_REASONS ? close_word(why) : STR("other"));
	}
	if (has & LABEL_CLIENT)
		label(w, STR("client"), series_label_text(b, k->client));
}

static void
close_labels(struct writer *w)
{
	put(w, w->first ? STR(" ") : STR("} "));
}

static void
number(struct writer *w, uint64_t n)
{
	buf_u64(w->out, n, 1);
	put(w, STR("\n"));
}

/* Without labels. */
static void
plain(struct writer *w, const struct metric_row *m, uint64_t n)
{
	put(w, m->name);
	put(w, STR(" "));
	number(w, n);
}

/* With one or two labels of fixed words; `value2` empty: one. */
static void
worded(struct writer *w, const struct metric_row *m, struct str name, struct str value,
	struct str name2, struct str value2, uint64_t n)
{
	w->first = true;
	put(w, m->name);
	label(w, name, value);
	if (value2.len > 0)
		label(w, name2, value2);
	close_labels(w);
	number(w, n);
}

/* Tenths of milliseconds as seconds: 0.0025, 600. */
static void
put_bound(struct writer *w, uint32_t ms10)
{
	char digits[8];
	size_t len = 4;
	uint32_t rest = ms10 % 10000;

	buf_u64(w->out, ms10 / 10000, 1);
	if (rest == 0)
		return;
	for (int i = 3; i >= 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	while (digits[len - 1] == '0')
		len--;
	put(w, STR("."));
	put(w, (struct str){ digits, len });
}

static void
bucket(struct writer *w, const struct metric_row *m, const struct count_key *k, unsigned i,
	uint64_t n)
{
	put(w, m->name);
	put(w, STR("_bucket"));
	labels(w, m->labels, k);
	put(w, STR(",le=\""));
	if (i < COUNT_BUCKETS - 1)
		put_bound(w, count_bounds_ms10[i]);
	else
		put(w, STR("+Inf"));
	put(w, STR("\"} "));
	number(w, n);
}

/* The buckets and the sum of one histogram stand together: how many of `items` they are. */
static size_t
histogram(struct writer *w, const struct metric_row *m, const struct item *items, size_t n,
	unsigned n_rows)
{
	uint64_t counts[COUNT_SUM + 1] = { 0 }, all = 0, sum;
	struct count_key k;
	unsigned i;
	size_t used;

	for (used = 0; used < n &&
		items[used].key >> COUNT_BUCKET_BITS == items[0].key >> COUNT_BUCKET_BITS;
		used++) {
		k = count_unpack(items[used].key, &i);
		counts[i] = series_sum(w->from->series, items[used].at, n_rows);
	}
	k = count_unpack(items[0].key, &i);
	for (i = 0; i < COUNT_BUCKETS; i++) {
		all += counts[i];
		bucket(w, m, &k, i, all);
	}
	sum = counts[COUNT_SUM];
	put(w, m->name);
	put(w, STR("_sum"));
	labels(w, m->labels, &k);
	close_labels(w);
	buf_u64(w->out, sum / 1000000, 1);
	put(w, STR("."));
	buf_u64(w->out, sum % 1000000, 6);
	put(w, STR("\n"));
	put(w, m->name);
	put(w, STR("_count"));
	labels(w, m->labels, &k);
	close_labels(w);
	number(w, all);
	return used;
}

/* The series of one metric. How many of `items` they are. */
static size_t
series(struct writer *w, enum metric metric, const struct item *items, size_t n, unsigned n_rows)
{
	const struct metric_row *m = &rows[metric];
	size_t used = 0;
	unsigned i;

	while (used < n) {
		struct count_key k = count_unpack(items[used].key, &i);

		if (k.metric != metric)
			break;
		if (m->type == HISTOGRAM) {
			used += histogram(w, m, items + used, n - used, n_rows);
			continue;
		}
		put(w, m->name);
		labels(w, m->labels, &k);
		close_labels(w);
		number(w, series_sum(w->from->series, items[used++].at, n_rows));
	}
	if (used == 0 && m->labels == 0)
		plain(w, m, 0);
	return used;
}

static void
connections(struct writer *w, const struct metric_row *m)
{
	struct str side = STR("side"), state = STR("state");
	uint64_t clients = 0, clients_active = 0, upstreams = 0, idle = 0;

	for (unsigned i = 0; i < scoreboard_high(w->from->board); i++) {
		const struct row *r = scoreboard_row(w->from->board, i);

		clients += ROW_GET(r->clients);
		clients_active += ROW_GET(r->clients_active);
		upstreams += ROW_GET(r->upstreams);
		idle += ROW_GET(r->upstreams_idle);
	}
	/* the rows are read while they change: what is left is never less than nothing */
	worded(w, m, side, STR("client"), state, STR("active"), clients_active);
	worded(w, m, side, STR("client"), state, STR("idle"),
		clients > clients_active ? clients - clients_active : 0);
	worded(w, m, side, STR("upstream"), state, STR("active"),
		upstreams > idle ? upstreams - idle : 0);
	worded(w, m, side, STR("upstream"), state, STR("idle"), idle);
}

static void
workers(struct writer *w, const struct metric_row *m)
{
	static const struct {
		enum row_state state;
		struct str word;
	} states[] = { { ROW_STARTING, STR_INIT("starting") }, { ROW_READY, STR_INIT("ready") },
		{ ROW_DRAINING, STR_INIT("draining") } };

	for (size_t s = 0; s < N(states); s++) {
		uint64_t n = 0;

		for (unsigned i = 0; i < scoreboard_high(w->from->board); i++)
			n += ROW_GET(scoreboard_row(w->from->board, i)->state) == states[s].state;
		worded(w, m, STR("state"), states[s].word, STR(""), STR(""), n);
	}
}

static uint64_t
lines_lost(struct scoreboard *b)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < scoreboard_high(b); i++)
		n += ROW_GET(scoreboard_row(b, i)->lines_lost);
	return n;
}

/* What is no series. */
static void
other(struct writer *w, enum metric metric)
{
	const struct metrics_source *from = w->from;
	const struct metric_row *m = &rows[metric];
	size_t by_path[LIMIT_PATHS];

	switch (metric) {
	case METRIC_RATE_BUCKETS:
		plain(w, m, limit_active(from->limits, from->now_us, by_path));
		break;
	case METRIC_RATE_EVICTIONS:
		plain(w, m, limit_evictions(from->limits));
		break;
	case METRIC_CONNECTIONS:
		connections(w, m);
		break;
	case METRIC_WORKERS:
		workers(w, m);
		break;
	case METRIC_GENERATION:
		plain(w, m, scoreboard_generation(from->board));
		break;
	case METRIC_LINES_LOST:
		plain(w, m, lines_lost(from->board));
		break;
	case METRIC_BUILD_INFO:
		worded(w, m, STR("version"), STR(VERSION), STR(""), STR(""), 1);
		break;
	default:
		plain(w, m, from->started_s);
	}
}

static void
about(struct writer *w, const struct metric_row *m)
{
	put(w, STR("# HELP "));
	put(w, m->name);
	put(w, STR(" "));
	put(w, m->help);
	put(w, STR("\n# TYPE "));
	put(w, m->name);
	put(w,
		m->type == HISTOGRAM       ? STR(" histogram\n")
			: m->type == GAUGE ? STR(" gauge\n")
					   : STR(" counter\n"));
}

static int
compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* The keys in order, in memory of mem_get. NULL without it. */
static struct item *
sorted(const struct series_board *b, size_t *n)
{
	struct item *items;

	*n = 0;
	while (series_key(b, (unsigned)*n) != 0)
		++*n;
	items = mem_get((*n + 1) * sizeof *items);
	if (!items)
		return NULL;
	for (size_t i = 0; i < *n; i++)
		items[i] = (struct item){ series_key(b, (unsigned)i), (uint32_t)i };
	qsort(items, *n, sizeof *items, compare);
	return items;
}

/* FNV-1a, and a zero behind each text so that no two lists are the same bytes. */
static uint64_t
mix(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
	return h * UINT64_C(0x100000001b3);
}

static uint64_t
mix_number(uint64_t h, uint64_t n)
{
	return mix(h, (struct str){ (const char *)&n, sizeof n });
}

static uint64_t
mix_words(uint64_t h, const struct str *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = mix(h, words[i]);
	return mix_number(h, n);
}

uint64_t
metrics_meaning(void)
{
	const struct count_key ones = { 1, 1, 1, 1, 1, 1 };
	uint64_t h = mix_number(UINT64_C(0xcbf29ce484222325), count_pack(&ones, 1));

	for (unsigned i = METRIC_NONE + 1; i < METRICS; i++) {
		h = mix(h, rows[i].name);
		h = mix_number(h, (uint64_t)rows[i].type << 32 | rows[i].labels);
	}
	for (unsigned i = 0; i < PATHS; i++)
		h = mix(h, path_text(i));
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		h = mix(h, close_word((enum close_reason)i));
	for (unsigned i = 0; i < COUNT_BUCKETS - 1; i++)
		h = mix_number(h, count_bounds_ms10[i]);
	h = mix_words(h, kinds, N(kinds));
	h = mix_words(h, token_kinds, N(token_kinds));
	h = mix_words(h, exits, N(exits));
	return mix_words(h, results, N(results));
}

int
metrics_text(struct buf *out, const struct metrics_source *m)
{
	struct writer w = { .out = out, .from = m };
	unsigned n_rows = scoreboard_high(m->board);
	size_t n, at = 0;
	struct item *items = sorted(m->series, &n);

	if (!items)
		return -1;
	for (unsigned i = METRIC_NONE + 1; i < METRICS; i++) {
		about(&w, &rows[i]);
		if (rows[i].type == COUNTER || rows[i].type == HISTOGRAM)
			at += series(&w, (enum metric)i, items + at, n - at, n_rows);
		else
			other(&w, (enum metric)i);
	}
	mem_put(items, (n + 1) * sizeof *items);
	return out->failed ? -1 : 0;
}
