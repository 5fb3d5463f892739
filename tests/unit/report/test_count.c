/*
 * Tests of report/count: keys at the extremes of their fields, the buckets of times, the numbers of
 * paths, the labels of models.
 */
#include "report/count.h"

#include <string.h>

#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct series_board *board;
static struct series_writer writer;

static void
setup(void)
{
	board = series_new();
	ck_assert_ptr_nonnull(board);
	series_open(&writer, board, 0);
}

static void
teardown(void)
{
	series_close(&writer);
	series_free(board);
}

/* What was counted under a key; 0 also where it is not on the board. */
static uint64_t
counted(const struct count_key *k, unsigned bucket)
{
	uint64_t key;

	for (unsigned i = 0; (key = series_key(board, i)) != 0; i++)
		if (key == count_pack(k, bucket))
			return series_sum(board, i, 1);
	return 0;
}

#define LABEL_LAST (SERIES_LABELS - 1)

/* Each field is at its least, its greatest, or between. */
static const unsigned metrics[] = { METRIC_NONE + 1, METRIC_TOKENS, METRICS - 1 };
static const unsigned paths[] = { 0, PATH_OWN, PATHS - 1 };
static const unsigned labels[] = { 0, 1, 4096, LABEL_LAST };
static const unsigned details[] = { 0, 503, 1023 };
static const unsigned buckets[] = { 0, COUNT_BUCKETS - 1, COUNT_SUM };

#define EACH(name, all) for (size_t name = 0; name < COUNT(all); name++)

/* Every combination comes out as it went in, and the order of keys is that of the loops. */
START_TEST(keys_hold_every_field_at_its_extremes)
{
	uint64_t before = 0;

	EACH(m, metrics)
	EACH(p, paths)
	EACH(pr, labels)
	EACH(cl, labels)
	EACH(mo, labels)
	EACH(d, details)
	EACH(b, buckets)
	{
		struct count_key in = { (enum metric)metrics[m], paths[p], labels[pr], labels[cl],
			labels[mo], details[d] };
		uint64_t key = count_pack(&in, buckets[b]);
		unsigned bucket;
		struct count_key out = count_unpack(key, &bucket);

		ck_assert_uint_gt(key, before);
		ck_assert_uint_eq(bucket, buckets[b]);
		ck_assert_mem_eq(&in, &out, sizeof in);
		before = key;
	}
}
END_TEST

START_TEST(details_fit)
{
	ck_assert_uint_lt(count_close(SIDE_UPSTREAM, CLOSE_REASONS - 1), 1024);
	ck_assert_uint_lt(UPSTREAM_STATUS, 1024);
	for (unsigned a = 0; a < CLOSE_REASONS; a++) {
		ck_assert_uint_ne(count_close(SIDE_CLIENT, a), count_close(SIDE_UPSTREAM, a));
		ck_assert_uint_gt(close_word(a).len, 0);
		for (unsigned b = 0; b < a; b++) {
			ck_assert(!str_eq(close_word(a), close_word(b)));
			ck_assert_uint_ne(count_close(SIDE_CLIENT, a),
				count_close(SIDE_UPSTREAM, b));
		}
	}
}
END_TEST

/* A time on a bound belongs to its bucket, one a microsecond longer to the next. */
START_TEST(times_fall_into_their_buckets)
{
	struct count_key k = { .metric = METRIC_REQUEST_SECONDS, .path = 1, .provider = 2 };
	uint64_t sum = 0, n = 0;

	setup();
	ck_assert_uint_eq(count_bounds_ms10[0], 10);
	ck_assert_uint_eq(count_bounds_ms10[COUNT_BUCKETS - 2], 6000000);
	for (unsigned i = 0; i < COUNT_BUCKETS - 1; i++) {
		uint64_t bound = (uint64_t)count_bounds_ms10[i] * 100;

		ck_assert(i == 0 || count_bounds_ms10[i] > count_bounds_ms10[i - 1]);
		for (int off = -1; off <= 1; off++) {
			uint64_t us = bound + (uint64_t)off;
			uint64_t here = counted(&k, i), above = counted(&k, i + 1);

			count_time(&writer, &k, us);
			sum += us;
			n++;
			ck_assert_uint_eq(counted(&k, i), here + (off <= 0));
			ck_assert_uint_eq(counted(&k, i + 1), above + (off > 0));
		}
	}
	count_time(&writer, &k, 0);
	ck_assert_uint_eq(counted(&k, 0), 3);
	count_time(&writer, &k, UINT64_C(1) << 50);
	ck_assert_uint_eq(counted(&k, COUNT_BUCKETS - 1), 2);
	ck_assert_uint_eq(counted(&k, COUNT_SUM), sum + (UINT64_C(1) << 50));
	for (unsigned i = 0; i < COUNT_BUCKETS; i++)
		n -= counted(&k, i);
	ck_assert_uint_eq(n + 2, 0);
	teardown();
}
END_TEST

START_TEST(counts_add_up)
{
	struct count_key k = { .metric = METRIC_TOKENS, .provider = 3, .client = 4, .model = 5 };

	setup();
	count_add(&writer, &k, 10);
	count_add(&writer, &k, 0);
	count_add(&writer, &k, UINT64_C(1) << 40);
	ck_assert_uint_eq(counted(&k, 0), (UINT64_C(1) << 40) + 10);
	k.detail = TOKENS_REASONING;
	count_add(&writer, &k, 1);
	ck_assert_uint_eq(counted(&k, 0), 1);
	teardown();
}
END_TEST

/* All names in one series then, but what was counted is still told apart. */
START_TEST(a_full_board_keeps_metric_and_detail)
{
	struct count_key k = { .metric = METRIC_REQUESTS, .detail = 200 };
	struct count_key rest = k;

	setup();
	for (unsigned i = 0; i < SERIES_MOST; i++) {
		k.provider = i % SERIES_LABELS;
		k.client = 1 + i / SERIES_LABELS;
		count_add(&writer, &k, 1);
	}
	ck_assert_uint_gt(counted(&rest, 0), 0);
	k.metric = METRIC_FIRST_BYTE_SECONDS;
	k.detail = 0;
	count_time(&writer, &k, 1000);
	rest = (struct count_key){ .metric = METRIC_FIRST_BYTE_SECONDS };
	ck_assert_uint_eq(counted(&k, 0), 0);
	ck_assert_uint_eq(counted(&rest, 0), 1);
	ck_assert_uint_eq(counted(&rest, COUNT_SUM), 1000);
	teardown();
}
END_TEST

START_TEST(paths_have_numbers)
{
	static const struct {
		const char *path, *text;
	} cases[] = { { "/", "/" }, { "/health", "/health" }, { "/metrics", "/metrics" },
		{ "/v1/models", "/v1/models" }, { "/v1/models/gpt-4o", "/v1/models/ID" },
		{ "/v1/models/a/b", "/v1/models/ID" }, { "/v1/models/", "other" },
		{ "/v1/model", "other" }, { "/v1/modelsx", "other" }, { "/healthy", "other" },
		{ "/V1/models", "other" }, { "", "other" }, { "*", "other" },
		{ "/v1/chat/completions/", "other" }, { "/chat/completions", "other" },
		{ "other", "other" } };

	for (unsigned i = 0; i < ENDPOINTS; i++) {
		unsigned n = path_number(endpoints[i].path);

		ck_assert_uint_eq(n, PATH_ENDPOINTS + i);
		ck_assert(str_eq(path_text(n), endpoints[i].path));
	}
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct str text = path_text(path_number(str_of(cases[i].path)));

		ck_assert_msg(str_eq(text, str_of(cases[i].text)), "%s is %.*s", cases[i].path,
			STR_ARG(text));
	}
	for (unsigned i = 0; i < PATHS; i++)
		for (unsigned k = 0; k < i; k++)
			ck_assert(!str_eq(path_text(i), path_text(k)));
	ck_assert(str_eq(path_text(PATHS), STR("other")));
	ck_assert(str_eq(path_text(UINT32_MAX), STR("other")));
}
END_TEST

static struct str models[] = { STR_INIT("gpt-4o"), STR_INIT("a \"b\"") };
static uint16_t model_labels[COUNT(models)];
static struct conf_map maps[] = { { .from = STR_INIT("small"), .to = STR_INIT("gpt-4o-mini") },
	{ .from = STR_INIT("big"), .to = STR_INIT("gpt-4o") } };
static struct conf_provider providers[] = { { .name = STR_INIT("openai"),
						    .models = models,
						    .model_labels = model_labels,
						    .n_models = COUNT(models),
						    .maps = maps,
						    .n_maps = COUNT(maps) },
	{ .name = STR_INIT("bare") } };
static struct conf_client clients[] = { { .name = STR_INIT("alice") },
	{ .name = STR_INIT("bare") } };
static struct conf_target targets[] = { { .provider = providers },
	{ .provider = providers, .model = STR_INIT("o3") } };
static struct conf_route routes[] = {
	{ .model = STR_INIT("gpt-*"), .targets = targets, .n_targets = COUNT(targets) }
};

static void
assert_label(unsigned label, const char *want)
{
	struct str text = series_label_text(board, label);

	ck_assert_msg(str_eq(text, str_of(want)), "%.*s is not %s", STR_ARG(text), want);
}

/* Names of the configuration, the same text the same number; and a model by its name where that is
 * spelled out, else by what its route says. */
START_TEST(names_and_models)
{
	struct conf c = { .providers = providers,
		.n_providers = COUNT(providers),
		.clients = clients,
		.n_clients = COUNT(clients),
		.routes = routes,
		.n_routes = COUNT(routes) };

	setup();
	for (int round = 0; round < 2; round++) {
		count_name(board, &c);
		assert_label(providers[0].label, "openai");
		assert_label(maps[0].label, "gpt-4o-mini");
		assert_label(model_labels[1], "a \"b\"");
		assert_label(clients[0].label, "alice");
		assert_label(routes[0].label, "gpt-*");
		assert_label(targets[1].label, "o3");
		ck_assert_uint_eq(targets[0].label, LABEL_OTHER);
		ck_assert_uint_eq(maps[1].label, model_labels[0]);
		ck_assert_uint_eq(clients[1].label, providers[1].label);
		/* nine texts, and "other" before them */
		ck_assert_uint_eq(series_label(board, round ? STR("y") : STR("x")), 9 + round);
	}
	assert_label(count_model(providers, STR("gpt-4o"), 3), "gpt-4o");
	assert_label(count_model(providers, STR("gpt-4o-mini"), 3), "gpt-4o-mini");
	ck_assert_uint_eq(count_model(providers, STR("small"), 3), 3);
	ck_assert_uint_eq(count_model(providers, STR("gpt-4"), 3), 3);
	ck_assert_uint_eq(count_model(providers, STR(""), 3), 3);
	ck_assert_uint_eq(count_model(&providers[1], STR("gpt-4o"), LABEL_OTHER), LABEL_OTHER);
	teardown();
}
END_TEST

/* Each reason has a series before it is counted. */
START_TEST(what_is_there_from_the_start)
{
	setup();
	count_begin(&writer);
	for (unsigned why = 0; why < ACCEPT_FAILURES; why++) {
		const struct count_key k = { .metric = METRIC_ACCEPT_FAILURES, .detail = why };
		uint64_t key = series_key(board, why);

		ck_assert_uint_eq(key, count_pack(&k, 0));
		ck_assert_uint_eq(counted(&k, 0), 0);
	}
	ck_assert_uint_eq(series_key(board, ACCEPT_FAILURES + 2), 0);
	teardown();
}
END_TEST

UNIT_MAIN("report/count", keys_hold_every_field_at_its_extremes, details_fit,
	times_fall_into_their_buckets, counts_add_up, a_full_board_keeps_metric_and_detail,
	paths_have_numbers, names_and_models, what_is_there_from_the_start)
