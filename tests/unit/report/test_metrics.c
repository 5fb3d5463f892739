/*
 * Tests of report/metrics: the text of a small board, byte for byte (tests/golden/metrics.txt), of
 * an empty one, of every kind of label, and without memory.
 */
#include "report/metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct scoreboard *board;
static struct series_board *series;
static struct limit_table *limits;
static struct row *rows[4];
static struct series_writer writers[COUNT(rows)];
static struct metrics_source source;

/* The master's row and three workers', one of them of the next generation. */
static void
setup(void)
{
	board = scoreboard_new();
	series = series_new();
	limits = limit_new(64);
	ck_assert(board && series && limits);
	for (unsigned i = 0; i < COUNT(rows); i++) {
		rows[i] = i == 0 ? scoreboard_claim_master(board)
				 : scoreboard_claim(board, 1 + i / 3);
		series_open(&writers[i], series, scoreboard_index(board, rows[i]));
	}
	source = (struct metrics_source){ .board = board,
		.series = series,
		.limits = limits,
		.started_s = 1777636800,
		.now_us = 5000000 };
}

static void
teardown(void)
{
	for (unsigned i = 0; i < COUNT(rows); i++)
		series_close(&writers[i]);
	limit_free(limits);
	series_free(series);
	scoreboard_free(board);
	ck_assert_uint_eq(mem_used(), 0);
}

static struct buf
text_now(void)
{
	struct buf out = BUF_EMPTY;

	ck_assert_int_eq(metrics_text(&out, &source), 0);
	return out;
}

/* The golden file with the version put in. */
static struct buf
golden(const char *name)
{
	const char *slash = strrchr(__FILE__, '/');
	struct buf out = BUF_EMPTY;
	char path[512], line[1024];
	FILE *f;

	snprintf(path, sizeof path, "%.*s/../../golden/%s", (int)(slash - __FILE__), __FILE__,
		name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "cannot read %s", path);
	while (fgets(line, sizeof line, f)) {
		char *at = strstr(line, "@VERSION@");

		if (at)
			buf_add(&out, (struct str){ line, (size_t)(at - line) });
		if (at)
			buf_add(&out, STR(VERSION));
		buf_add(&out, str_of(at ? at + strlen("@VERSION@") : line));
	}
	fclose(f);
	return out;
}

static void
assert_golden(const char *name)
{
	struct buf out = text_now(), want = golden(name);
	struct str got = buf_str(&out), expected = buf_str(&want);
	size_t at = 0, line = 0;

	for (; at < got.len && at < expected.len && got.p[at] == expected.p[at]; at++)
		line = got.p[at] == '\n' ? at + 1 : line;
	ck_assert_msg(str_eq(got, expected), "%s: got '%.*s', want '%.*s'", name,
		(int)(got.len - line < 200 ? got.len - line : 200), got.p + line,
		(int)(expected.len - line < 200 ? expected.len - line : 200), expected.p + line);
	buf_free(&out);
	buf_free(&want);
}

static void
add(unsigned row, struct count_key k, uint64_t n)
{
	count_add(&writers[row], &k, n);
}

static void
fill(void)
{
	unsigned openai = series_label(series, STR("openai"));
	unsigned odd = series_label(series, STR("a \"b\" \\ c\nd gr\xc3\xbc\xc3\x9f"));
	unsigned alice = series_label(series, STR("alice"));
	struct count_key chat = { .metric = METRIC_REQUESTS,
		.path = PATH_ENDPOINTS + ENDPOINT_CHAT,
		.provider = openai,
		.client = alice,
		.detail = 200 };
	struct count_key time = { .metric = METRIC_REQUEST_SECONDS,
		.path = chat.path,
		.provider = odd };

	add(2, chat, 3);
	add(1, chat, 1);
	add(3, (struct count_key){ .metric = METRIC_REQUESTS, .detail = 0 },
		2); /* refused, nothing sent */
	chat.detail = 599;
	add(1, chat, 1);
	count_time(&writers[1], &time, 999);
	count_time(&writers[2], &time, 1000);
	count_time(&writers[3], &time, 2500001);
	count_time(&writers[3], &time, 600000001);
	time.provider = openai;
	count_time(&writers[3], &time, 5);
	add(1,
		(struct count_key){ .metric = METRIC_UPSTREAM_ERRORS,
			.provider = openai,
			.detail = UPSTREAM_STATUS },
		1);
	add(1,
		(struct count_key){ .metric = METRIC_UPSTREAM_ERRORS,
			.provider = openai,
			.detail = UPSTREAM_CUT },
		1);
	add(2,
		(struct count_key){ .metric = METRIC_TOKENS,
			.provider = openai,
			.model = odd,
			.client = alice,
			.detail = TOKENS_CACHE_READ },
		UINT64_MAX);
	add(2,
		(struct count_key){ .metric = METRIC_RATE_LIMITED,
			.path = PATH_models,
			.client = alice },
		1);
	add(1,
		(struct count_key){ .metric = METRIC_CLOSES,
			.detail = count_close(SIDE_CLIENT, CLOSE_DONE) },
		4);
	add(1,
		(struct count_key){ .metric = METRIC_CLOSES,
			.detail = count_close(SIDE_UPSTREAM, CLOSE_DRAIN) },
		5);
	add(1, (struct count_key){ .metric = METRIC_HEARTBEATS }, 6);
	add(3, (struct count_key){ .metric = METRIC_HEARTBEATS }, 1);
	add(0, (struct count_key){ .metric = METRIC_ACCEPT_FAILURES, .detail = ACCEPT_DESCRIPTORS },
		2);
	add(0, (struct count_key){ .metric = METRIC_WORKER_EXITS, .detail = EXIT_WATCHDOG }, 1);
	add(0, (struct count_key){ .metric = METRIC_RELOADS, .detail = RESULT_FAILED }, 1);
}

static void
fill_rows(void)
{
	const struct limit_key k = { STR(""), STR("a"), ENDPOINT_CHAT };
	const struct limit_rate rate = { 60, 1 };

	limit_take(limits, &k, &rate, source.now_us, NULL);
	scoreboard_set_generation(board, 2);
	ROW_SET(rows[1]->state, ROW_DRAINING);
	ROW_SET(rows[2]->state, ROW_READY);
	ROW_SET(rows[2]->clients, 5);
	ROW_SET(rows[2]->clients_active, 2);
	ROW_SET(rows[2]->upstreams, 7);
	ROW_SET(rows[2]->upstreams_idle, 4);
	ROW_SET(rows[1]->clients, 1);
	ROW_SET(rows[1]->clients_active, 1);
	ROW_SET(rows[0]->lines_lost, 8);
	ROW_SET(rows[3]->lines_lost, 1);
}

START_TEST(a_small_board)
{
	setup();
	fill();
	fill_rows();
	assert_golden("metrics.txt");
	/* Workers that have died have no connections, and what they counted stays. */
	scoreboard_release(rows[1]);
	scoreboard_release(rows[2]);
	scoreboard_release(rows[3]);
	assert_golden("metrics-dead.txt");
	teardown();
}
END_TEST

/* Gauges that are read while they change are never below nothing. */
START_TEST(gauges_in_the_middle_of_a_change)
{
	struct buf out;

	setup();
	ROW_SET(rows[1]->clients_active, 1);
	ROW_SET(rows[1]->upstreams_idle, 1);
	out = text_now();
	buf_add(&out, (struct str){ "", 1 });
	ck_assert_ptr_nonnull(strstr(buf_str(&out).p, "{side=\"client\",state=\"idle\"} 0\n"));
	ck_assert_ptr_nonnull(strstr(buf_str(&out).p, "{side=\"upstream\",state=\"active\"} 0\n"));
	buf_free(&out);
	teardown();
}
END_TEST

/* Lines that begin so. */
static unsigned
lines(struct str text, const char *start)
{
	struct str s = str_of(start);
	unsigned n = 0;

	for (size_t at = 0; at < text.len; at += str_index(str_skip(text, at), '\n') + 1)
		n += str_starts(str_skip(text, at), s);
	return n;
}

/* Every metric is announced once, also when nothing has been counted; those without labels are 0
 * then. */
START_TEST(an_empty_board)
{
	static const struct {
		const char *name, *type;
	} all[] = {
#define COUNTER "counter"
#define TOTAL "counter"
#define HISTOGRAM "histogram"
#define GAUGE "gauge"
#define METRIC(id, name, type, labels, help) { "api_router_" name, type },
#include "report/metric.def"
#undef METRIC
	};
	struct buf out;
	char line[200];

	setup();
	out = text_now();
	ck_assert_uint_eq(COUNT(all), METRICS - 1);
	for (size_t i = 0; i < COUNT(all); i++) {
		bool total = strlen(all[i].name) > 6 &&
			strcmp(all[i].name + strlen(all[i].name) - 6, "_total") == 0;

		snprintf(line, sizeof line, "# HELP %s ", all[i].name);
		ck_assert_msg(lines(buf_str(&out), line) == 1, "%s", line);
		snprintf(line, sizeof line, "# TYPE %s %s\n", all[i].name, all[i].type);
		ck_assert_msg(lines(buf_str(&out), line) == 1, "%s", line);
		ck_assert_int_eq(total, strcmp(all[i].type, "counter") == 0);
	}
	ck_assert_uint_eq(lines(buf_str(&out), "api_router_heartbeats_total 0\n"), 1);
	ck_assert_uint_eq(lines(buf_str(&out), "api_router_log_lines_lost_total 0\n"), 1);
	ck_assert_uint_eq(lines(buf_str(&out), "api_router_requests_total"), 0);
	ck_assert_uint_eq(lines(buf_str(&out), "api_router_request_seconds"), 0);
	buf_free(&out);
	teardown();
}
END_TEST

/* Numbers that no table knows, as another version could leave them, are "other" and harm nobody. */
START_TEST(details_out_of_range)
{
	static const enum metric counters[] = { METRIC_REQUESTS, METRIC_CLOSES, METRIC_WORKER_EXITS,
		METRIC_RELOADS, METRIC_TOKENS, METRIC_UPSTREAM_ERRORS };
	struct buf out;

	setup();
	for (size_t i = 0; i < COUNT(counters); i++)
		add(1, (struct count_key){ counters[i], PATHS, 0, 0, 0, 1023 }, 1);
	out = text_now();
	ck_assert_uint_eq(
		lines(buf_str(&out),
			"api_router_requests_total{path=\"other\",provider=\"other\",status=\"other\",client=\"other\"} 1\n"),
		1);
	ck_assert_uint_eq(
		lines(buf_str(&out),
			"api_router_closes_total{side=\"upstream\",reason=\"other\"} 1\n"),
		1);
	ck_assert_uint_eq(
		lines(buf_str(&out), "api_router_worker_exits_total{reason=\"other\"} 1\n"), 1);
	ck_assert_uint_eq(lines(buf_str(&out), "api_router_reloads_total{result=\"other\"} 1\n"),
		1);
	buf_free(&out);
	teardown();
}
END_TEST

START_TEST(no_memory)
{
	struct buf out = BUF_EMPTY;
	size_t n = 1;

	setup();
	fill();
	for (;; n++) {
		int result;

		mem_fail_after(n);
		result = metrics_text(&out, &source);
		mem_fail_after(0);
		if (result == 0)
			break;
		ck_assert_int_eq(result, -1);
		buf_free(&out);
		ck_assert_uint_eq(mem_used(), 0);
	}
	ck_assert_uint_gt(n, 2);
	buf_free(&out);
	teardown();
}
END_TEST

/* What another program would have to share. It changes with metric.def and the other tables, as it
 * should; within one program it does not. */
START_TEST(the_fingerprint_of_the_tables_is_always_the_same)
{
	uint64_t first = metrics_meaning();

	ck_assert_uint_ne(first, 0);
	ck_assert_uint_eq(metrics_meaning(), first);
}
END_TEST

UNIT_MAIN("report/metrics", the_fingerprint_of_the_tables_is_always_the_same, a_small_board,
	gauges_in_the_middle_of_a_change, an_empty_board, details_out_of_range, no_memory)
