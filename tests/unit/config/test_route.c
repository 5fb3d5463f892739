/*
 * Routes: which target serves a path and a model, by which weight, under which name, and what
 * /v1/models lists; and the routes of etc/api-router.conf.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "config/route.h"

#define NONE "-"

static void
fail_test(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	ck_abort_msg("%s:%u: %s", file, line, text);
}

static struct conf *
load(const char *providers, const char *routes)
{
	char text[4096];
	struct conf_options o = { .path = "/etc/t.conf" };

	snprintf(text, sizeof text, "providers: { %s };\nroutes = ( %s );\n", providers, routes);
	return conf_load_text(&o, str_of(text), fail_test, NULL);
}

#define PROVIDERS                                                                                                         \
	"one: { base_url = \"http://one\"; models = ( \"m1\", \"m2\" ); model_map = ( { from = \"old\"; to = \"new\"; }," \
	"	{ from = \"m1\"; to = \"real-m1\"; } ); };"                                                                     \
	"two: { dialect = \"anthropic\"; base_url = \"http://two\"; models = ( \"m2\", \"m3\" ); };"                      \
	"echo: { dialect = \"echo\"; models = ( \"echo\" ); };"

/* "PROVIDER/MODEL" of the only target, or NONE. A model of NONE asks without one. */
static void
check(const struct conf *c, const char *path, const char *model, const char *want)
{
	struct str name = strcmp(model, NONE) == 0 ? (struct str){ NULL, 0 } : str_of(model);
	struct route_match m;
	char got[256] = NONE;

	if (route_find(c, str_of(path), name, &m)) {
		const struct conf_target *t = route_choose(&m, 0);
		struct str upstream = route_model(t, name);

		ck_assert_uint_eq(m.n_targets, 1);
		snprintf(got, sizeof got, "%.*s/%.*s", STR_ARG(t->provider->name),
			(int)upstream.len, upstream.p ? upstream.p : "");
	}
	ck_assert_msg(strcmp(got, want) == 0, "%s %s: %s, not %s", path, model, got, want);
}

START_TEST(first_match_wins)
{
	static const struct {
		const char *path, *model, *want;
	} cases[] = {
		/* routes as they are written */
		{ "/v1/chat/completions", "gpt-4o", "one/gpt-4o" },
		{ "/v1/chat/completions", "gpt-", "one/gpt-" },
		{ "/v1/chat/completions", "xgpt-4o", NONE },
		{ "/v1/chat/completions", "GPT-4o", NONE },
		{ "/v1/messages", "gpt-4o", "two/claude" },
		{ "/v1/messages", "anything", "two/anything" },
		{ "/v1/messages", "m1", "two/m1" },
		{ "/v1/audio/speech", "tts", "one/tts" },
		{ "/v1/audio/speech", NONE, "one/" },
		{ "/v1/audio", "tts", NONE },
		/* the providers' own models; m2 is of two of them */
		{ "/v1/chat/completions", "m1", "one/real-m1" },
		{ "/v1/chat/completions", "m2", "one/m2" },
		{ "/v1/chat/completions", "m3", "two/m3" },
		{ "/v1/chat/completions", "echo", "echo/echo" },
		{ "/v1/chat/completions", "m", NONE },
		{ "/v1/chat/completions", "m12", NONE },
		/* provider/model */
		{ "/v1/chat/completions", "two/gpt-4o", "two/gpt-4o" },
		{ "/v1/chat/completions", "one/meta/llama", "one/meta/llama" },
		{ "/v1/chat/completions", "one/old", "one/old" },
		{ "/v1/chat/completions", "one/", NONE },
		{ "/v1/chat/completions", "/one", NONE },
		{ "/v1/chat/completions", "three/x", NONE },
		{ "/v1/chat/completions", "One/x", NONE },
		/* and neither */
		{ "/v1/chat/completions", "", NONE },
		{ "/v1/chat/completions", NONE, NONE },
		{ "/v1/chat/completions", "*", NONE },
	};
	struct conf *c = load(PROVIDERS,
		"{ path = \"/v1/messages\"; model = \"gpt-*\"; targets = ( { provider = \"two\"; model = \"claude\"; } ); },"
		"{ model = \"gpt-*\"; provider = \"one\"; }, { path = \"/v1/messages\"; provider = \"two\"; },"
		"{ path = \"/v1/audio/*\"; model = \"*\"; provider = \"one\"; }");

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check(c, cases[i].path, cases[i].model, cases[i].want);
	conf_free(c);
}
END_TEST

START_TEST(catch_all_takes_all)
{
	struct conf *c = load(PROVIDERS, "{ model = \"*\"; provider = \"echo\"; }");

	check(c, "/v1/x", "m1", "echo/m1");
	check(c, "/v1/x", "one/m1", "echo/one/m1");
	check(c, "/v1/x", "", "echo/");
	check(c, "/v1/x", NONE, "echo/");
	conf_free(c);
}
END_TEST

/* A model that a route names is that route's alone, on the paths that it has and on no other. */
START_TEST(named_model_is_the_routes)
{
	struct conf *c =
		load(PROVIDERS, "{ path = \"/v1/messages\"; model = \"m1\"; provider = \"two\"; }");

	check(c, "/v1/messages", "m1", "two/m1");
	check(c, "/v1/chat/completions", "m1", NONE);
	check(c, "/v1/chat/completions", "m2", "one/m2");
	conf_free(c);
}
END_TEST

START_TEST(map_applies_where_the_target_has_no_model)
{
	struct conf *c = load(PROVIDERS,
		"{ model = \"old\"; provider = \"one\"; },"
		"{ model = \"m1\"; targets = ( { provider = \"one\"; model = \"old\"; } ); }, { model = \"new\"; provider = \"one\"; }");

	check(c, "/", "old", "one/new");
	check(c, "/", "m1", "one/old");
	check(c, "/", "new", "one/new");
	conf_free(c);
}
END_TEST

/* All of 2^32 random numbers, sampled evenly, choose by weight to one part in a thousand; both ends
 * of the range choose. */
START_TEST(weights)
{
	struct conf *c = load(PROVIDERS,
		"{ model = \"w\"; targets = ( { provider = \"one\"; weight = 3; }, { provider = \"two\"; weight = 1; },"
		"{ provider = \"echo\"; weight = 1000; }, { provider = \"one\"; model = \"x\"; } ); }");
	static const double want[] = { 3, 1, 1000, 1 };
	unsigned n[4] = { 0 }, all = 0;
	struct route_match m;

	ck_assert(route_find(c, STR("/"), STR("w"), &m));
	ck_assert_uint_eq(m.n_targets, 4);
	ck_assert_uint_eq(m.weights, 1005);
	for (uint64_t random = 0; random <= UINT32_MAX; random += 4273) {
		const struct conf_target *t = route_choose(&m, (uint32_t)random);

		ck_assert(t >= m.targets && t < m.targets + 4);
		n[t - m.targets]++;
		all++;
	}
	for (int i = 0; i < 4; i++) {
		double share = want[i] / 1005;

		ck_assert_double_eq_tol((double)n[i] / all, share, 0.00001);
	}
	ck_assert_ptr_eq(route_choose(&m, 0), &m.targets[0]);
	ck_assert_ptr_eq(route_choose(&m, UINT32_MAX), &m.targets[3]);
	conf_free(c);
}
END_TEST

START_TEST(weights_of_equals)
{
	struct conf *c = load(PROVIDERS,
		"{ model = \"w\"; targets = ( { provider = \"one\"; }, { provider = \"two\"; } ); }");
	struct route_match m;

	ck_assert(route_find(c, STR("/"), STR("w"), &m));
	ck_assert_ptr_eq(route_choose(&m, 0x7fffffff), &m.targets[0]);
	ck_assert_ptr_eq(route_choose(&m, 0x80000000), &m.targets[1]);
	conf_free(c);
}
END_TEST

START_TEST(no_routes_at_all)
{
	struct conf *c = load("echo: { dialect = \"echo\"; };", "");

	check(c, "/v1/chat/completions", "echo", NONE);
	check(c, "/v1/chat/completions", "echo/x", "echo/x");
	conf_free(c);
}
END_TEST

/* Present-day names, and how the patterns of etc/api-router.conf tell their owners apart. */
START_TEST(shipped_routes)
{
	static const struct {
		const char *provider, *models[16];
	} cases[] = {
		{ "openai",
			{ "gpt-4o-mini", "gpt-5.1", "gpt-image-1", "gpt-4o-transcribe",
				"chatgpt-4o-latest", "o1", "o3-mini", "o4-mini",
				"text-embedding-3-small", "omni-moderation-latest", "whisper-1",
				"tts-1-hd", "dall-e-3", "ft:gpt-4o-mini:org::id" } },
		{ "anthropic", { "claude-sonnet-4-5", "claude-opus-4-1-20250805" } },
		{ "gemini", { "gemini-2.5-flash", "gemini-embedding-001", "gemma-3-27b-it" } },
		{ "cohere",
			{ "command-a-03-2025", "c4ai-aya-expanse-32b", "embed-v4.0",
				"rerank-v3.5" } },
		{ "qwen", { "qwen3-coder-plus", "qwen-max", "qwq-plus", "qvq-max" } },
		{ "ollama",
			{ "llama3.2", "llama3.1:70b", "mistral", "mistral-nemo", "gemma3",
				"deepseek-r1", "phi4", "nomic-embed-text", "gpt-oss:20b",
				"qwen3:8b", "gemma-3:x", "embeddinggemma:300m" } },
		{ "echo", { "echo" } },
	};
	struct conf_options o = { .path = "etc/api-router.conf" };
	struct conf *c;
	char want[128];

	if (access(o.path, R_OK) < 0)
		o.path = "../etc/api-router.conf";
	c = conf_load(&o, fail_test, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (size_t j = 0; j < 16 && cases[i].models[j]; j++) {
			snprintf(want, sizeof want, "%s/%s", cases[i].provider, cases[i].models[j]);
			check(c, "/v1/chat/completions", cases[i].models[j], want);
		}
	}
	check(c, "/v1/chat/completions", "openai/gpt-oss", "openai/gpt-oss");
	check(c, "/v1/chat/completions", "unheard-of", NONE);
	/* images are passed through to OpenAI's dialect alone */
	check(c, "/v1/images/generations", "imagen-4.0-generate-001", NONE);
	conf_free(c);
}
END_TEST

UNIT_MAIN("config/route", first_match_wins, catch_all_takes_all, named_model_is_the_routes,
	map_applies_where_the_target_has_no_model, weights, weights_of_equals, no_routes_at_all,
	shipped_routes)
