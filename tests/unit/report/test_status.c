/*
 * Status: the bodies of /health and of the model lists, byte for byte.
 */
#include "report/status.h"

#include <string.h>

#include "base/version.h"
#include "net/clock.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void
assert_text(struct buf *got, const char *want)
{
	struct str text = buf_str(got);

	ck_assert_msg(str_eq(text, str_of(want)), "got '%.*s', want '%s'", STR_ARG(text), want);
	buf_free(got);
}

#define LIMITER                                                                        \
	"\"rateLimiter\":{\"activeBuckets\":3,\"routes\":{\"/v1/chat/completions\":2," \
	"\"/v1/messages\":1}}"

START_TEST(test_health)
{
	struct scoreboard *b = scoreboard_new();
	struct limit_table *limits = limit_new(64);
	const struct limit_rate rate = { 60, 1 };
	struct buf out = BUF_EMPTY;
	unsigned status;

	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_nonnull(limits);
	clock_fake(999, 0);
	for (int i = 0; i < 3; i++) {
		struct limit_key k = { STR(""), i == 0 ? STR("a") : STR("b"),
			i == 2 ? ENDPOINT_MESSAGES : ENDPOINT_CHAT };
		limit_take(limits, &k, &rate, 999999, NULL);
	}
	for (int i = 0; i < 2; i++)
		ROW_SET(scoreboard_claim(b, 1)->state, ROW_READY);
	scoreboard_claim(b, 1); /* one that is still starting */
	ck_assert_int_eq(status_health(&out, b, NULL, 0, &status), 0);
	ck_assert_uint_eq(status, 200);
	assert_text(&out, "{\"status\":\"ok\"}");
	ck_assert_int_eq(status_health(&out, b, limits, 1000000, &status), 0);
	ck_assert_uint_eq(status, 200);
	assert_text(&out,
		"{\"status\":\"ok\",\"version\":\"" VERSION "\",\"workers\":2," LIMITER "}");
	scoreboard_set_draining(b, true);
	ck_assert_int_eq(status_health(&out, b, NULL, 0, &status), 0);
	ck_assert_uint_eq(status, 503);
	assert_text(&out, "{\"status\":\"draining\"}");
	ck_assert_int_eq(status_health(&out, b, limits, 1000000, &status), 0);
	ck_assert_uint_eq(status, 503);
	assert_text(&out,
		"{\"status\":\"draining\",\"version\":\"" VERSION "\",\"workers\":2," LIMITER "}");
	mem_fail_after(1);
	ck_assert_int_eq(status_health(&out, b, limits, 1000000, &status), -1);
	mem_fail_after(0);
	buf_free(&out);
	limit_free(limits);
	scoreboard_free(b);
}
END_TEST

static struct str models_a[] = { STR_INIT("gpt-4o"), STR_INIT("shared"), STR_INIT("org/m\"x") };
static struct str models_b[] = { STR_INIT("claude-x"), STR_INIT("shared") };
static struct conf_provider providers[] = {
	{ .name = STR_INIT("openai"), .models = models_a, .n_models = COUNT(models_a) },
	{ .name = STR_INIT("none") },
	{ .name = STR_INIT("anthropic"), .models = models_b, .n_models = COUNT(models_b) },
};
static struct conf_target targets[] = { { .provider = &providers[2] },
	{ .provider = &providers[0] } };
static struct conf_route routes[] = {
	{ .path = STR_INIT("*"), .model = STR_INIT("fast"), .targets = targets, .n_targets = 2 },
	{ .path = STR_INIT("*"),
		.model = STR_INIT("claude-*"),
		.targets = targets,
		.n_targets = 1 },
	{ .path = STR_INIT("*"),
		.model = STR_INIT("gpt-4o"),
		.literal_model = true,
		.targets = targets + 1,
		.n_targets = 1 },
	{ .path = STR_INIT("*"), .model = STR_INIT("*"), .targets = targets + 1, .n_targets = 1 },
};
static const struct conf conf = { .providers = providers,
	.n_providers = COUNT(providers),
	.routes = routes,
	.n_routes = COUNT(routes) };
static const struct conf empty;

#define OPENAI(id, owner) \
	"{\"id\":\"" id "\",\"object\":\"model\",\"created\":1777636800,\"owned_by\":\"" owner "\"}"
#define ANTHROPIC(id)                                                  \
	"{\"type\":\"model\",\"id\":\"" id "\",\"display_name\":\"" id \
	"\",\"created_at\":\"2026-05-01T12:00:00Z\"}"

/* Providers' models in their order, each once, then what a route names; globs are not names. */
START_TEST(test_models)
{
	struct buf out = BUF_EMPTY;

	ck_assert_int_eq(status_models(&out, &conf, NULL, false, 1777636800), 0);
	assert_text(&out,
		"{\"object\":\"list\",\"data\":[" OPENAI("gpt-4o", "openai") "," OPENAI("shared",
			"openai") "," OPENAI("org/m\\\"x", "openai") "," OPENAI("claude-x",
			"anthropic") "," OPENAI("fast", "anthropic") "]}");
	ck_assert_int_eq(status_models(&out, &conf, NULL, true, 1777636800), 0);
	assert_text(&out,
		"{\"data\":[" ANTHROPIC("gpt-4o") "," ANTHROPIC("shared") "," ANTHROPIC("org/m\\\"x") "," ANTHROPIC(
			"claude-x") "," ANTHROPIC("fast") "],\"has_more\":false,\"first_id\":\"gpt-4o\",\"last_id\":\"fast\"}");
	ck_assert_int_eq(status_models(&out, &empty, NULL, false, 1), 0);
	assert_text(&out, "{\"object\":\"list\",\"data\":[]}");
	ck_assert_int_eq(status_models(&out, &empty, NULL, true, 1), 0);
	assert_text(&out, "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
}
END_TEST

START_TEST(test_model)
{
	struct buf out = BUF_EMPTY;

	ck_assert_int_eq(status_model(&out, &conf, NULL, STR("shared"), false, 1777636800), 0);
	assert_text(&out, OPENAI("shared", "openai"));
	ck_assert_int_eq(status_model(&out, &conf, NULL, STR("org/m\"x"), true, 1777636800), 0);
	assert_text(&out, ANTHROPIC("org/m\\\"x"));
	ck_assert_int_eq(status_model(&out, &conf, NULL, STR("fast"), false, 1777636800), 0);
	assert_text(&out, OPENAI("fast", "anthropic"));
	static const char *const absent[] = { "", "claude-*", "*", "claude-y", "gpt-4", "GPT-4O" };
	for (size_t i = 0; i < COUNT(absent); i++) {
		ck_assert_msg(status_model(&out, &conf, NULL, str_of(absent[i]), false, 1) == 1,
			"%s", absent[i]);
		ck_assert_uint_eq(buf_len(&out), 0);
	}
}
END_TEST

START_TEST(test_no_memory)
{
	for (int anthropic = 0; anthropic < 2; anthropic++) {
		int rc = -1;
		size_t n;
		for (n = 1; rc != 0; n++) {
			struct buf out = BUF_EMPTY;
			mem_fail_after(n);
			rc = status_models(&out, &conf, NULL, anthropic, 1);
			mem_fail_after(0);
			ck_assert(rc == 0 || rc == -1);
			buf_free(&out);
		}
		ck_assert_uint_gt(n, 2);
		struct buf out = BUF_EMPTY;
		mem_fail_after(1);
		ck_assert_int_eq(status_model(&out, &conf, NULL, STR("fast"), anthropic, 1), -1);
		mem_fail_after(0);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

UNIT_MAIN("report/status", test_health, test_models, test_model, test_no_memory)
