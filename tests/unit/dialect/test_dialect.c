/*
 * Dialect: the tables of endpoints, and the exact bytes of every error in every dialect and of the
 * heartbeats.
 */
#include "dialect/dialect.h"

#include <string.h>

#include "json/write.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void
assert_text(struct str got, const char *want)
{
	ck_assert_msg(str_eq(got, str_of(want)), "got '%.*s', want '%s'", STR_ARG(got), want);
}

START_TEST(test_endpoints)
{
	static const struct {
		const char *path;
		int id; /* -1: none */
		const char *openai, *anthropic, *echo;
		int streams, chat;
	} cases[] = {
		{ "/v1/chat/completions", ENDPOINT_CHAT, "/chat/completions", "",
			"/v1/chat/completions", 1, 1 },
		{ "/v1/completions", ENDPOINT_COMPLETIONS, "/completions", "", "/v1/completions", 1,
			0 },
		{ "/v1/embeddings", ENDPOINT_EMBEDDINGS, "/embeddings", "", "/v1/embeddings", 0,
			0 },
		{ "/v1/responses", ENDPOINT_RESPONSES, "/responses", "", "", 1, 0 },
		{ "/v1/moderations", ENDPOINT_MODERATIONS, "/moderations", "", "", 0, 0 },
		{ "/v1/images/generations", ENDPOINT_IMAGES, "/images/generations", "", "", 1, 0 },
		{ "/v1/audio/speech", ENDPOINT_SPEECH, "/audio/speech", "", "", 0, 0 },
		{ "/v1/rerank", ENDPOINT_RERANK, "/rerank", "", "", 0, 0 },
		{ "/v1/messages", ENDPOINT_MESSAGES, "", "/v1/messages", "/v1/messages", 1, 1 },
		{ "/v1/audio/transcriptions", ENDPOINT_TRANSCRIPTIONS, "/audio/transcriptions", "",
			"", 1, 0 },
		{ "/v1/audio/translations", ENDPOINT_TRANSLATIONS, "/audio/translations", "", "", 0,
			0 },
		{ "/v1/images/edits", ENDPOINT_EDITS, "/images/edits", "", "", 1, 0 },
		{ "/v1/images/variations", ENDPOINT_VARIATIONS, "/images/variations", "", "", 0,
			0 },
		{ "/v1/messages/count_tokens", ENDPOINT_COUNT_TOKENS, "",
			"/v1/messages/count_tokens", "", 0, 0 },
		{ "/chat/completions", -1, "", "", "", 0, 0 },
		{ "/v1/chat/completions/", -1, "", "", "", 0, 0 },
		{ "/V1/messages", -1, "", "", "", 0, 0 },
		{ "", -1, "", "", "", 0, 0 },
	};
	size_t known = 0;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct endpoint *e = endpoint_find(str_of(cases[i].path));
		if (cases[i].id < 0) {
			ck_assert_msg(e == NULL, "%s", cases[i].path);
			continue;
		}
		ck_assert_ptr_nonnull(e);
		known++;
		ck_assert_int_eq(e->id, cases[i].id);
		ck_assert_ptr_eq(e, &endpoints[cases[i].id]);
		assert_text(endpoint_upstream(e, DIALECT_OPENAI), cases[i].openai);
		assert_text(endpoint_upstream(e, DIALECT_ANTHROPIC), cases[i].anthropic);
		assert_text(endpoint_upstream(e, DIALECT_ECHO), cases[i].echo);
		ck_assert_int_eq(e->streams, cases[i].streams);
		ck_assert_int_eq(e->chat, cases[i].chat);
		ck_assert_int_eq(e->form,
			e->id >= ENDPOINT_TRANSCRIPTIONS && e->id <= ENDPOINT_VARIATIONS);
		ck_assert_int_eq(e->client, dialect_of_path(e->path));
	}
	ck_assert_uint_eq(known, ENDPOINTS);
}
END_TEST

START_TEST(test_dialect_of_path)
{
	static const struct {
		const char *path;
		enum dialect_id dialect;
	} cases[] = {
		{ "/v1/messages", DIALECT_ANTHROPIC },
		{ "/v1/messages/batches/x", DIALECT_ANTHROPIC },
		{ "/v1/messagesx", DIALECT_OPENAI },
		{ "/v1/message", DIALECT_OPENAI },
		{ "/v1/models", DIALECT_OPENAI },
		{ "", DIALECT_OPENAI },
		{ "/", DIALECT_OPENAI },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		ck_assert_msg(dialect_of_path(str_of(cases[i].path)) == cases[i].dialect, "%s",
			cases[i].path);
	assert_text(dialect_name(DIALECT_OPENAI), "openai");
	assert_text(dialect_name(DIALECT_ANTHROPIC), "anthropic");
	assert_text(dialect_name(DIALECT_ECHO), "echo");
}
END_TEST

static const struct {
	enum error_kind kind;
	unsigned openai_status;
	const char *openai;
	unsigned anthropic_status;
	const char *anthropic;
} errors[] = {
#define OPENAI(type, code) \
	"{\"error\":{\"message\":\"No.\",\"type\":\"" type "\",\"param\":null,\"code\":" code "}}"
#define ANTHROPIC(type)                                   \
	"{\"type\":\"error\",\"error\":{\"type\":\"" type \
	"\",\"message\":\"No.\"},\"request_id\":\"req_01\"}"
	{ ERROR_INVALID, 400, OPENAI("invalid_request_error", "null"), 400,
		ANTHROPIC("invalid_request_error") },
	{ ERROR_TOO_LONG, 400, OPENAI("invalid_request_error", "\"context_length_exceeded\""), 400,
		"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
		"\"message\":\"prompt is too long: No.\"},\"request_id\":\"req_01\"}" },
	{ ERROR_TOO_LARGE, 413, OPENAI("invalid_request_error", "\"request_too_large\""), 413,
		ANTHROPIC("request_too_large") },
	{ ERROR_AUTH, 401, OPENAI("invalid_request_error", "\"invalid_api_key\""), 401,
		ANTHROPIC("authentication_error") },
	{ ERROR_FORBIDDEN, 403, OPENAI("permission_error", "null"), 403,
		ANTHROPIC("permission_error") },
	{ ERROR_NOT_FOUND, 404, OPENAI("invalid_request_error", "null"), 404,
		ANTHROPIC("not_found_error") },
	{ ERROR_CONFLICT, 409, OPENAI("invalid_request_error", "null"), 409,
		ANTHROPIC("conflict_error") },
	{ ERROR_RATE, 429, OPENAI("rate_limit_error", "\"rate_limit_exceeded\""), 429,
		ANTHROPIC("rate_limit_error") },
	{ ERROR_QUOTA, 429, OPENAI("insufficient_quota", "\"insufficient_quota\""), 402,
		ANTHROPIC("billing_error") },
	{ ERROR_FILTERED, 400, OPENAI("invalid_request_error", "\"content_filter\""), 400,
		ANTHROPIC("invalid_request_error") },
	{ ERROR_UPSTREAM, 502, OPENAI("server_error", "\"upstream_error\""), 502,
		ANTHROPIC("api_error") },
	{ ERROR_OVERLOADED, 503, OPENAI("server_error", "\"overloaded\""), 529,
		ANTHROPIC("overloaded_error") },
	{ ERROR_TIMEOUT, 504, OPENAI("server_error", "\"timeout\""), 504,
		ANTHROPIC("timeout_error") },
	{ ERROR_INTERNAL, 500, OPENAI("server_error", "null"), 500, ANTHROPIC("api_error") },
};

START_TEST(test_error_bodies)
{
	ck_assert_uint_eq(COUNT(errors), ERROR_KINDS);
	for (size_t i = 0; i < COUNT(errors); i++) {
		struct error e = { .kind = errors[i].kind, .message = STR("No.") };
		struct buf out = BUF_EMPTY;
		ck_assert_uint_eq(error_status(&e, DIALECT_OPENAI), errors[i].openai_status);
		ck_assert_uint_eq(error_status(&e, DIALECT_ANTHROPIC), errors[i].anthropic_status);
		ck_assert_int_eq(error_body(&out, &e, DIALECT_OPENAI, STR("req_01")), 0);
		assert_text(buf_str(&out), errors[i].openai);
		buf_free(&out);
		ck_assert_int_eq(error_body(&out, &e, DIALECT_ANTHROPIC, STR("req_01")), 0);
		assert_text(buf_str(&out), errors[i].anthropic);
		buf_free(&out);
	}
}
END_TEST

/* Who says it that way already is not said it twice. */
START_TEST(test_too_long)
{
	struct error e = { .kind = ERROR_TOO_LONG,
		.message = STR("prompt is too long: 208310 tokens > 200000 maximum") };
	struct buf out = BUF_EMPTY;

	ck_assert_int_eq(error_body(&out, &e, DIALECT_ANTHROPIC, STR("r")), 0);
	assert_text(buf_str(&out),
		"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
		"\"prompt is too long: 208310 tokens > 200000 maximum\"},\"request_id\":\"r\"}");
	buf_free(&out);
}
END_TEST

/* A status, a code and a param of their own; text from outside stays inside its string. */
START_TEST(test_error_details)
{
	struct error e = { ERROR_INVALID, 405, STR("a\"b\\c\n\x01\xff\xc3\xa9"), STR("messages[2]"),
		STR("invalid_json") };
	struct buf out = BUF_EMPTY;

	ck_assert_uint_eq(error_status(&e, DIALECT_OPENAI), 405);
	ck_assert_uint_eq(error_status(&e, DIALECT_ANTHROPIC), 405);
	ck_assert_int_eq(error_body(&out, &e, DIALECT_OPENAI, STR("")), 0);
	assert_text(buf_str(&out),
		"{\"error\":{\"message\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"type\":\"invalid_request_error\","
		"\"param\":\"messages[2]\",\"code\":\"invalid_json\"}}");
	buf_free(&out);
	ck_assert_int_eq(error_body(&out, &e, DIALECT_ANTHROPIC, STR("")), 0);
	assert_text(buf_str(&out),
		"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
		"\"message\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa9\"},\"request_id\":null}");
	buf_free(&out);
}
END_TEST

#define FAILED                                                                                             \
	"event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":0,\"response\":{" \
	"\"id\":\"req_01\",\"object\":\"response\",\"created_at\":0,\"status\":\"failed\",\"model\":\"\",\"output\":[],"

START_TEST(test_error_events)
{
	static const char chat[] =
		"data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded\"}}\n\n";
	static const char anthropic[] =
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":\"req_01\"}\n\n";
	static const char responses[] = FAILED
		"\"error\":{\"code\":\"overloaded\",\"message\":\"Overloaded\"},\"incomplete_details\":null,"
		"\"instructions\":null,\"metadata\":{},\"parallel_tool_calls\":true,\"temperature\":null,"
		"\"top_p\":null,\"tool_choice\":\"auto\",\"tools\":[]}}\n\n";
	struct error e = { .kind = ERROR_OVERLOADED, .message = STR("Overloaded") };

	for (int id = 0; id < ENDPOINTS; id++) {
		const struct endpoint *ep = &endpoints[id];
		struct buf out = BUF_EMPTY;
		ck_assert_int_eq(error_event(&out, &e, ep, STR("req_01")), 0);
		assert_text(buf_str(&out),
			id == ENDPOINT_RESPONSES                  ? responses
				: ep->client == DIALECT_ANTHROPIC ? anthropic
								  : chat);
		buf_free(&out);
	}
	/* a kind without a code still has one there: SDKs read it */
	struct buf out = BUF_EMPTY;
	e = (struct error){ .kind = ERROR_INTERNAL, .message = STR("x") };
	ck_assert_int_eq(error_event(&out, &e, &endpoints[ENDPOINT_RESPONSES], STR("req_01")), 0);
	ck_assert(str_starts(buf_str(&out),
		STR(FAILED "\"error\":{\"code\":\"server_error\",\"message\":\"x\"}")));
	buf_free(&out);
}
END_TEST

START_TEST(test_error_no_memory)
{
	struct error e = { .kind = ERROR_OVERLOADED, .message = STR("Overloaded") };

	for (int id = 0; id < ENDPOINTS; id++) {
		int tries = 0;
		for (size_t n = 1;; n++) {
			struct buf out = BUF_EMPTY;
			mem_fail_after(n);
			int rc = error_event(&out, &e, &endpoints[id], STR("req_01"));
			mem_fail_after(0);
			buf_free(&out);
			if (rc == 0)
				break;
			ck_assert_int_eq(rc, -1);
			tries++;
		}
		ck_assert_int_gt(tries, 0);
	}
	struct buf out = BUF_EMPTY;
	mem_fail_after(1);
	ck_assert_int_eq(error_body(&out, &e, DIALECT_OPENAI, STR("")), -1);
	mem_fail_after(0);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_heartbeats)
{
	for (int id = 0; id < ENDPOINTS; id++) {
		bool anthropic = endpoints[id].client == DIALECT_ANTHROPIC;
		assert_text(dialect_heartbeat(&endpoints[id], false),
			anthropic ? "" : ": keep-alive\n");
		assert_text(dialect_heartbeat(&endpoints[id], true),
			anthropic ? "event: ping\ndata: {\"type\":\"ping\"}\n\n"
				  : ": keep-alive\n");
	}
}
END_TEST

UNIT_MAIN("dialect/dialect", test_endpoints, test_dialect_of_path, test_error_bodies, test_too_long,
	test_error_details, test_error_events, test_error_no_memory, test_heartbeats)
