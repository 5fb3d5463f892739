/*
 * Quota: each field of either dialect as the other's; times to wait as instants and back; what
 * cannot be read is left out.
 */
#include "dialect/quota.h"

#include "unit.h"

#define NOW UINT64_C(1790000000500) /* 2026-09-21T14:13:20.5Z */

START_TEST(test_fields)
{
	static const struct {
		enum dialect_id client;
		struct str name, value;
		const char *want;
	} cases[] = {
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-limit-requests"), STR_INIT("100"),
			"anthropic-ratelimit-requests-limit: 100\r\n" },
		{ DIALECT_ANTHROPIC, STR_INIT("X-RateLimit-Remaining-Tokens"), STR_INIT("0"),
			"anthropic-ratelimit-tokens-remaining: 0\r\n" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-requests"), STR_INIT("6m0s"),
			"anthropic-ratelimit-requests-reset: 2026-09-21T14:19:21Z\r\n" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-tokens"), STR_INIT("12ms"),
			"anthropic-ratelimit-tokens-reset: 2026-09-21T14:13:21Z\r\n" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-tokens"), STR_INIT("1h2m3.5s"),
			"anthropic-ratelimit-tokens-reset: 2026-09-21T15:15:24Z\r\n" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-limit-requests"), STR_INIT("-1"), "" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-tokens"), STR_INIT("17"), "" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-tokens"), STR_INIT(""), "" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-reset-tokens"), STR_INIT("inf"), "" },
		{ DIALECT_ANTHROPIC, STR_INIT("x-ratelimit-other"), STR_INIT("1"), "" },
		{ DIALECT_ANTHROPIC, STR_INIT("anthropic-ratelimit-tokens-limit"), STR_INIT("1"),
			"" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-requests-limit"), STR_INIT("50"),
			"x-ratelimit-limit-requests: 50\r\n" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-tokens-reset"),
			STR_INIT("2026-09-21T14:19:20Z"), "x-ratelimit-reset-tokens: 5m59s\r\n" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-tokens-reset"),
			STR_INIT("2026-09-21T14:13:21.25Z"),
			"x-ratelimit-reset-tokens: 500ms\r\n" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-tokens-reset"),
			STR_INIT("2026-09-21T14:13:30+00:00"), "x-ratelimit-reset-tokens: 9s\r\n" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-tokens-reset"),
			STR_INIT("2020-01-01T00:00:00Z"), "x-ratelimit-reset-tokens: 0ms\r\n" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-tokens-reset"),
			STR_INIT("1790000000"), "" },
		{ DIALECT_OPENAI, STR_INIT("anthropic-ratelimit-input-tokens-limit"), STR_INIT("1"),
			"" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out = BUF_EMPTY;

		quota_field(&out, cases[i].client, cases[i].name, cases[i].value, NOW);
		ck_assert_msg(str_eq(buf_str(&out), str_of(cases[i].want)),
			"%.*s: %.*s: '%.*s', want '%s'", STR_ARG(cases[i].name),
			STR_ARG(cases[i].value), STR_ARG(buf_str(&out)), cases[i].want);
		buf_free(&out);
	}
}
END_TEST

START_TEST(test_wait)
{
	static const struct {
		const char *name[2], *value[2];
		int64_t want;
	} cases[] = {
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" },
			{ "0", "6m0s" }, 360000 },
		{ { "X-RateLimit-Reset-Tokens", "X-RateLimit-Remaining-Tokens" }, { "12ms", "0" },
			12 },
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" },
			{ "1", "6m0s" }, -1 },
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens" }, { "0", "6m0s" },
			-1 },
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" },
			{ "0", "soon" }, -1 },
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" }, { "0", "0s" },
			-1 },
		{ { "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" },
			{ "-1", "6m0s" }, -1 },
		{ { "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset" },
			{ "0", "2026-09-21T14:13:30Z" }, 9500 },
		{ { "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset" },
			{ "0", "2026-09-21T14:13:20Z" }, -1 },
		{ { "anthropic-ratelimit-tokens-remaining", "x" }, { "0", "" }, -1 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct field fields[2];
		struct head h = { .fields = fields, .n = 2, .cap = 2 };

		for (size_t j = 0; j < 2; j++)
			fields[j] = (struct field){ .name = str_of(cases[i].name[j]),
				.value = str_of(cases[i].value[j]) };
		ck_assert_msg(quota_wait_ms(&h, NOW) == cases[i].want, "%zu: %lld", i,
			(long long)quota_wait_ms(&h, NOW));
	}
}
END_TEST

UNIT_MAIN("dialect/quota", test_fields, test_wait)
