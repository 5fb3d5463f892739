/*
 * Fault: the errors of each provider as kind, message, code and param; what a client must not see
 * of them.
 */
#include "dialect/fault.h"

#include <string.h>

#include "json/write.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void
assert_text(struct str got, const char *want, const char *body)
{
	ck_assert_msg(str_eq(got, str_of(want)), "%s: got '%.*s', want '%s'", body, STR_ARG(got),
		want);
}

static const struct {
	unsigned status;
	const char *body;
	enum error_kind kind;
	const char *message, *code, *param;
	bool auth;
	long retry_ms; /* 0: not said */
} cases[] = {
/* OpenAI's own errors */
#define E(message, rest) "{\"error\":{\"message\":\"" message "\"" rest "}}"
	{ 400,
		E("Bad.",
			",\"type\":\"invalid_request_error\",\"param\":\"messages[2].role\",\"code\":\"invalid_value\""),
		ERROR_INVALID, "Bad.", "invalid_value", "messages[2].role", 0, 0 },
	{ 400, E("Bad.", ",\"param\":null,\"code\":null"), ERROR_INVALID, "Bad.", "", "", 0, 0 },
	{ 422, E("Bad.", ",\"code\":1214"), ERROR_INVALID, "Bad.", "1214", "", 0, 0 },
	{ 400, E("Bad.", ",\"code\":400"), ERROR_INVALID, "Bad.", "", "", 0, 0 },
	{ 400, E("Bad.", ",\"code\":\"no words\",\"param\":{}"), ERROR_INVALID, "Bad.", "", "", 0,
		0 },
	{ 400, E("Bad.", ",\"code\":[1]"), ERROR_INVALID, "Bad.", "", "", 0, 0 },
	{ 400,
		E("Bad.",
			",\"code\":\"a234567890123456789012345678901234567890123456789012345678901234\""),
		ERROR_INVALID, "Bad.",
		"a234567890123456789012345678901234567890123456789012345678901234", "", 0, 0 },
	{ 400,
		E("Bad.",
			",\"code\":\"a2345678901234567890123456789012345678901234567890123456789012345\""),
		ERROR_INVALID, "Bad.", "", "", 0, 0 },
	{ 400, E("x", ",\"code\":\"context_length_exceeded\",\"param\":\"messages\""),
		ERROR_TOO_LONG, "x", "", "messages", 0, 0 },
	{ 400, E("x", ",\"code\":\"content_filter\""), ERROR_FILTERED, "x", "", "", 0, 0 },
	{ 400, E("x", ",\"code\":\"content_policy_violation\""), ERROR_FILTERED, "x", "", "", 0,
		0 },
	{ 404, E("The model `x1` does not exist", ",\"code\":\"model_not_found\""), ERROR_NOT_FOUND,
		"The model `x1` does not exist", "model_not_found", "", 0, 0 },
	{ 404, E("No such file", ",\"code\":null"), ERROR_NOT_FOUND, "No such file", "", "", 0, 0 },
	{ 429, E("Slow.", ",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\""), ERROR_RATE,
		"Slow.", "", "", 0, 0 },
	{ 429, E("Pay.", ",\"type\":\"insufficient_quota\",\"code\":429"), ERROR_QUOTA, "Pay.", "",
		"", 0, 0 },
	{ 429, E("Pay.", ",\"code\":\"credit_balance_exhausted\""), ERROR_QUOTA, "Pay.", "", "", 0,
		0 },
	{ 429, E("Pay.", ",\"code\":\"billing_hard_limit_reached\""), ERROR_QUOTA, "Pay.", "", "",
		0, 0 },
	{ 401,
		E("Incorrect API key provided: sk-ab***yz. Find it at https://x.",
			",\"code\":\"invalid_api_key\""),
		ERROR_AUTH, "Incorrect API key provided: ***. Find it at https://x.", "", "", 1,
		0 },
	{ 403, E("Country not supported", ",\"code\":\"unsupported_country_region_territory\""),
		ERROR_FORBIDDEN, "Country not supported", "", "", 0, 0 },
	{ 403, E("This API key may not do that", ""), ERROR_FORBIDDEN,
		"This API key may not do that", "", "", 1, 0 },
	/* an object without a message, and one that is none */
	{ 400, "{\"error\":{\"code\":\"x\"}}", ERROR_INVALID, "{\"code\":\"x\"}", "x", "", 0, 0 },
	{ 400, E("", ",\"code\":\"x\""), ERROR_INVALID, "HTTP 400 from upstream", "x", "", 0, 0 },
	{ 400, "{\"error\":{\"message\":{\"why\":1}}}", ERROR_INVALID, "{\"why\":1}", "", "", 0,
		0 },
	{ 400, "{\"error\":{\"message\":\"a\\u00e9\\n\\ud800\"}}", ERROR_INVALID,
		"a\xc3\xa9\n\xef\xbf\xbd", "", "", 0, 0 },
	/* Anthropic's */
	{ 404, "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: claude-nope\"},\"request_id\":\"r\"}",
		ERROR_NOT_FOUND, "model: claude-nope", "model_not_found", "", 0, 0 },
	{ 400, E("prompt is too long: 2 > 1", ",\"type\":\"invalid_request_error\""),
		ERROR_TOO_LONG, "prompt is too long: 2 > 1", "", "", 0, 0 },
	{ 400, E("Your credit balance is too low to go on", ""), ERROR_QUOTA,
		"Your credit balance is too low to go on", "", "", 0, 0 },
	{ 402, E("Pay.", ",\"type\":\"billing_error\""), ERROR_QUOTA, "Pay.", "", "", 0, 0 },
	{ 429, E("x", ",\"details\":{\"error_code\":\"workspace_spend_limit_reached\"}"),
		ERROR_QUOTA, "x", "", "", 0, 0 },
	{ 429, E("x", ",\"details\":{\"error_code\":\"other\"}"), ERROR_RATE, "x", "", "", 0, 0 },
	{ 529, E("Overloaded", ",\"type\":\"overloaded_error\""), ERROR_OVERLOADED, "Overloaded",
		"", "", 0, 0 },
	/* Gemini's */
	{ 429,
		"[{\"error\":{\"code\":429,\"message\":\"Quota exceeded.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
		"{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34.074824224s\"},"
		"{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaId\":\"x\"}]}]}}]",
		ERROR_RATE, "Quota exceeded.", "", "", 0, 34075 },
	{ 429, E("x", ",\"details\":[{\"retryDelay\":\"34.07s\"}]"), ERROR_RATE, "x", "", "", 0,
		34070 },
	{ 429, E("x", ",\"details\":[{\"retryDelay\":\"7s\"},3,null]"), ERROR_RATE, "x", "", "", 0,
		7000 },
	{ 429, E("x", ",\"details\":[{\"retryDelay\":\"99999999999999999s\"}]"), ERROR_RATE, "x",
		"", "", 0, 86400000 },
	{ 429,
		E("x",
			",\"details\":[{\"retryDelay\":\"1.x s\"},{\"retryDelay\":\"s\"},{\"retryDelay\":\"-1s\"},"
			"{\"retryDelay\":5}]"),
		ERROR_RATE, "x", "", "", 0, 0 },
	{ 400,
		"{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":\"INVALID_ARGUMENT\","
		"\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}",
		ERROR_AUTH, "API key not valid.", "", "", 1, 0 },
	{ 400, E("The input token count (9) exceeds the maximum number of tokens allowed (8).", ""),
		ERROR_TOO_LONG,
		"The input token count (9) exceeds the maximum number of tokens allowed (8).", "",
		"", 0, 0 },
	{ 400, E("x", ",\"details\":[{\"reason\":\"PROHIBITED_CONTENT\"}]"), ERROR_FILTERED, "x",
		"", "", 0, 0 },
	{ 403, E("Method doesn't allow unregistered callers.", ",\"status\":\"PERMISSION_DENIED\""),
		ERROR_FORBIDDEN, "Method doesn't allow unregistered callers.", "", "", 1, 0 },
	{ 404, E("models/x is not found for API version v1beta", ""), ERROR_NOT_FOUND,
		"models/x is not found for API version v1beta", "model_not_found", "", 0, 0 },
	/* Cohere's */
	{ 400, "{\"id\":\"4f2c\",\"message\":\"Too many tokens: 9\"}", ERROR_TOO_LONG,
		"Too many tokens: 9", "", "", 0, 0 },
	{ 498, "{\"message\":\"invalid api token\"}", ERROR_AUTH, "invalid api token", "", "", 1,
		0 },
	{ 499, "{\"message\":\"gone\"}", ERROR_TIMEOUT, "gone", "", "", 0, 0 },
	/* Ollama's */
	{ 404, "{\"error\":\"model 'nope' not found\"}", ERROR_NOT_FOUND, "model 'nope' not found",
		"model_not_found", "", 0, 0 },
	{ 503, "{\"error\":\"server busy, please try again\"}", ERROR_OVERLOADED,
		"server busy, please try again", "", "", 0, 0 },
	/* others */
	{ 400, "{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"param\":\"n\",\"code\":400}",
		ERROR_INVALID, "m", "", "n", 0, 0 },
	{ 422, "{\"detail\":\"Bad.\"}", ERROR_INVALID, "Bad.", "", "", 0, 0 },
	{ 422,
		"{\"detail\":[{\"loc\":[\"body\",\"messages\",0,\"role\"],\"msg\":\"Field required\",\"input\":[[[[[[[[1]]]]]]]]},"
		"{\"loc\":[],\"msg\":\"b\"},\"c\",{\"loc\":7},null]}",
		ERROR_INVALID, "body.messages.0.role: Field required; b; c; ; null", "", "", 0, 0 },
	{ 422, "{\"detail\":{\"a\":1}}", ERROR_INVALID, "{\"a\":1}", "", "", 0, 0 },
	{ 400, "{\"errors\":[{\"message\":\"first\"},{\"message\":\"second\"}]}", ERROR_INVALID,
		"first", "", "", 0, 0 },
	{ 400, "{\"errors\":[\"first\"]}", ERROR_INVALID, "first", "", "", 0, 0 },
	{ 400, "{\"error_description\":\"d\"}", ERROR_INVALID, "d", "", "", 0, 0 },
	{ 400, "{\"error\":true,\"message\":\"m\"}", ERROR_INVALID, "m", "", "", 0, 0 },
	{ 400, "{\"error\":\"\",\"message\":\"m\"}", ERROR_INVALID, "m", "", "", 0, 0 },
	{ 400, "{\"error\":null,\"id\":1}", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	{ 400, "{\"errors\":[],\"detail\":[]}", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0,
		0 },
	{ 400, "[]", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	{ 400, "[[{\"error\":\"x\"}]]", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	{ 400, "\"said\"", ERROR_INVALID, "said", "", "", 0, 0 },
	{ 400, "17", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	{ 500, " upstream connect error\r\n or reset \n", ERROR_UPSTREAM,
		"upstream connect error\r\n or reset", "", "", 0, 0 },
	{ 502, "<html><h1>502 Bad Gateway</h1></html>", ERROR_UPSTREAM, "HTTP 502 from upstream",
		"", "", 0, 0 },
	{ 502, "\n <!DOCTYPE html>", ERROR_UPSTREAM, "HTTP 502 from upstream", "", "", 0, 0 },
	{ 503, "", ERROR_OVERLOADED, "HTTP 503 from upstream", "", "", 0, 0 },
	{ 503, " \n", ERROR_OVERLOADED, "HTTP 503 from upstream", "", "", 0, 0 },
	{ 400, "{\"error\":{\"message\":\"cut", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0,
		0 },
	{ 400, "\x1f\x8b\x08", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	{ 400, "text \xff", ERROR_INVALID, "HTTP 400 from upstream", "", "", 0, 0 },
	/* an error behind a 200, and in a stream */
	{ 200, E("x", ",\"code\":429"), ERROR_RATE, "x", "", "", 0, 0 },
	{ 200, E("x", ",\"code\":\"503\""), ERROR_OVERLOADED, "x", "", "", 0, 0 },
	{ 200, E("maximum context length is 5", ",\"code\":400"), ERROR_TOO_LONG,
		"maximum context length is 5", "", "", 0, 0 },
	{ 200, E("x", ",\"code\":7"), ERROR_UPSTREAM, "x", "", "", 0, 0 },
	{ 200, E("x", ",\"code\":500,\"status\":\"UNAVAILABLE\""), ERROR_UPSTREAM, "x", "", "", 0,
		0 },
	{ 200, E("x", ",\"status\":\"UNAVAILABLE\""), ERROR_OVERLOADED, "x", "", "", 0, 0 },
	{ 200, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
		ERROR_OVERLOADED, "Overloaded", "", "", 0, 0 },
	{ 200, E("x", ",\"type\":\"api_error\""), ERROR_UPSTREAM, "x", "", "", 0, 0 },
	{ 200, "{\"error\":\"boom\"}", ERROR_UPSTREAM, "boom", "", "", 0, 0 },
	{ 200, "{\"error\":{\"message\":\"\"}}", ERROR_UPSTREAM,
		"the provider reported an error without a message", "", "", 0, 0 },
};

START_TEST(test_bodies)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *body = cases[i].body;
		struct fault f;
		struct arena a;

		arena_init(&a, 0);
		fault_read(&a, cases[i].status, str_of(body), &f);
		ck_assert_msg(f.error.kind == cases[i].kind, "%u %s: kind %d", cases[i].status,
			body, f.error.kind);
		assert_text(f.error.message, cases[i].message, body);
		assert_text(f.error.code, cases[i].code, body);
		assert_text(f.error.param, cases[i].param, body);
		ck_assert_uint_eq(f.error.status, 0);
		ck_assert_msg(f.auth == cases[i].auth, "%s: auth", body);
		ck_assert_msg(f.retry_ms == (cases[i].retry_ms ? cases[i].retry_ms : -1), "%s: %ld",
			body, (long)f.retry_ms);
		arena_free(&a);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_statuses)
{
	static const struct {
		unsigned from, to;
		enum error_kind kind;
	} ranges[] = {
		{ 300, 399, ERROR_UPSTREAM },
		{ 400, 400, ERROR_INVALID },
		{ 401, 401, ERROR_AUTH },
		{ 402, 402, ERROR_QUOTA },
		{ 403, 403, ERROR_FORBIDDEN },
		{ 404, 404, ERROR_NOT_FOUND },
		{ 405, 407, ERROR_INVALID },
		{ 408, 408, ERROR_TIMEOUT },
		{ 409, 409, ERROR_CONFLICT },
		{ 410, 410, ERROR_NOT_FOUND },
		{ 411, 412, ERROR_INVALID },
		{ 413, 413, ERROR_TOO_LARGE },
		{ 414, 428, ERROR_INVALID },
		{ 429, 429, ERROR_RATE },
		{ 430, 497, ERROR_INVALID },
		{ 498, 498, ERROR_AUTH },
		{ 499, 499, ERROR_TIMEOUT },
		{ 500, 502, ERROR_UPSTREAM },
		{ 503, 503, ERROR_OVERLOADED },
		{ 504, 504, ERROR_TIMEOUT },
		{ 505, 523, ERROR_UPSTREAM },
		{ 524, 524, ERROR_TIMEOUT },
		{ 525, 528, ERROR_UPSTREAM },
		{ 529, 529, ERROR_OVERLOADED },
		{ 530, 999, ERROR_UPSTREAM },
	};

	for (size_t i = 0; i < COUNT(ranges); i++) {
		for (unsigned status = ranges[i].from; status <= ranges[i].to; status++) {
			struct fault f;
			struct arena a;

			arena_init(&a, 0);
			fault_read(&a, status, STR("no"), &f);
			ck_assert_msg(f.error.kind == ranges[i].kind, "%u", status);
			arena_free(&a);
		}
	}
}
END_TEST

START_TEST(test_kinds)
{
	static const struct {
		const char *type, *code;
		enum error_kind kind;
	} kinds[] = {
		{ "overloaded_error", "", ERROR_OVERLOADED },
		{ "rate_limit_error", "", ERROR_RATE },
		{ "invalid_request_error", "", ERROR_INVALID },
		{ "timeout_error", "", ERROR_TIMEOUT },
		{ "api_error", "", ERROR_UPSTREAM },
		{ "permission_error", "", ERROR_UPSTREAM },
		{ "", "", ERROR_UPSTREAM },
		{ "invalid_request_error", "context_length_exceeded", ERROR_TOO_LONG },
		{ "rate_limit_error", "insufficient_quota", ERROR_QUOTA },
		{ "server_error", "server_is_overloaded", ERROR_OVERLOADED },
		{ "server_error", "", ERROR_UPSTREAM },
		{ "rate_limit_error", "odd", ERROR_RATE },
		{ "", "RESOURCE_EXHAUSTED", ERROR_RATE },
		{ "", "DEADLINE_EXCEEDED", ERROR_TIMEOUT },
		{ "", "404", ERROR_NOT_FOUND },
		{ "rate_limit_error", "500", ERROR_UPSTREAM },
		{ "rate_limit_error", "200", ERROR_RATE },
	};

	for (size_t i = 0; i < COUNT(kinds); i++)
		ck_assert_msg(fault_kind(str_of(kinds[i].type), str_of(kinds[i].code)) ==
				kinds[i].kind,
			"%s %s", kinds[i].type, kinds[i].code);
}
END_TEST

START_TEST(test_secrets)
{
	static const struct {
		const char *text, *want;
	} texts[] = {
		{ "key sk-proj-abc123_x is bad", "key *** is bad" },
		{ "sk-abcdefgh", "***" },
		{ "'SK-ABCDEFGH'", "'***'" },
		{ "task-oriented work", "task-oriented work" },
		{ "sk-1", "sk-1" },
		{ "AIzaSyA1234567890.", "***." },
		{ "gsk_abcdef123, xai-abcdef123", "***, ***" },
		{ "hf_abcdef123 or hf_transfer", "*** or hf_transfer" },
		{ "Authorization: Bearer abc.def-123==, sir", "Authorization: Bearer ***, sir" },
		{ "bearer authentication is needed", "bearer authentication is needed" },
		{ "in organization org-AbC123xyz on", "in organization org-*** on" },
		{ "consumer 'project_number:123456789'", "consumer 'project_number:***'" },
		{ "POST https://h/v1?alt=sse&key=x&b=c failed",
			"POST https://h/v1?alt=sse&key=***&b=c failed" },
		{ "https://h/?api_key=a%20b\"", "https://h/?api_key=***\"" },
		{ "https://h/?access_token=q#f", "https://h/?access_token=***#f" },
		{ "https://h/?key=", "https://h/?key=***" },
		{ "https://h/?model=x", "https://h/?model=x" },
		{ "the pair key=value", "the pair key=value" },
		{ "", "" },
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct arena a;

		arena_init(&a, 0);
		assert_text(fault_text(&a, str_of(texts[i].text)), texts[i].want, texts[i].text);
		arena_free(&a);
	}
}
END_TEST

/* Long texts end with a whole character; long bodies are read no further. */
START_TEST(test_bounds)
{
	static char body[200 << 10];
	struct fault f;
	struct arena a;

	for (size_t shift = 0; shift < 4; shift++) {
		memset(body, 'x', shift);
		for (size_t i = 0; i + 3 < 8192; i += 3)
			memcpy(body + shift + i, "\xe2\x82\xac", 3);
		arena_init(&a, 0);
		fault_read(&a, 400, (struct str){ body, shift + 8190 }, &f);
		ck_assert_uint_gt(f.error.message.len, FAULT_TEXT_MOST - 3);
		ck_assert_uint_le(f.error.message.len, FAULT_TEXT_MOST);
		ck_assert_uint_eq((f.error.message.len - shift) % 3, 0);
		arena_free(&a);
	}
	/* queries without values would grow when they are masked */
	for (size_t i = 0; i < 8190; i += 5)
		memcpy(body + i, "&key=", 5);
	arena_init(&a, 0);
	ck_assert_uint_le(fault_text(&a, (struct str){ body, 8190 }).len, FAULT_TEXT_MOST);
	arena_free(&a);
	/* a list of a hundred thousand, and one as deep */
	for (int deep = 0; deep < 2; deep++) {
		for (size_t i = 0; i < sizeof body; i++)
			body[i] = deep || i == 0 ? '[' : i % 2 ? '0' : ',';
		arena_init(&a, 1 << 20);
		fault_read(&a, 400, (struct str){ body, sizeof body }, &f);
		assert_text(f.error.message, "HTTP 400 from upstream", "a long list");
		ck_assert(!a.failed);
		arena_free(&a);
	}
}
END_TEST

START_TEST(test_no_memory)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t n = 1; n < 8; n++) {
			struct fault f;
			struct arena a;

			arena_init(&a, 0);
			mem_fail_after(n);
			fault_read(&a, cases[i].status, str_of(cases[i].body), &f);
			mem_fail_after(0);
			ck_assert_uint_gt(f.error.message.len, 0);
			ck_assert_ptr_nonnull(f.error.code.p);
			ck_assert_ptr_nonnull(f.error.param.p);
			arena_free(&a);
		}
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

UNIT_MAIN("dialect/fault", test_bodies, test_statuses, test_kinds, test_secrets, test_bounds,
	test_no_memory)
