/*
 * The heads that cross: exact bytes upstream and to the client; which fields go through, which
 * credential, what the configuration puts in their place.
 */
#include "proxy/forward.h"

#include <string.h>

#include "net/clock.h"
#include "unit.h"

static struct conf_provider provider;
static struct buf out;

static void
setup(enum dialect_id dialect, enum credential credential, const char *key)
{
	clock_fake(1, 1777636800000);
	provider = (struct conf_provider){ .name = STR("p"),
		.dialect = dialect,
		.host_field = STR("api.test:8443"),
		.base_path = STR("/base/v1"),
		.api_key = str_of(key),
		.api_key_name = STR("env:KEY"),
		.credential = credential,
		.version = STR("2023-06-01") };
	buf_free(&out);
}

static struct head
parse_request(const char *text, struct field fields[20])
{
	struct head h = { .fields = fields, .cap = 20 };
	enum head_fault fault;

	ck_assert_msg(head_parse_request(&h, str_of(text), &fault) == 0, "%s", text);
	return h;
}

static void
ck_upstream(const char *head, const char *want)
{
	struct field fields[20];
	struct head h = parse_request(head, fields);
	struct forward_request f = { .client = &h,
		.provider = &provider,
		.path = STR("/chat/completions"),
		.request_id = STR("id-1"),
		.length = 42 };

	buf_free(&out);
	forward_request_head(&out, &f);
	ck_assert_int_eq(out.failed, false);
	buf_add(&out, STR("\0"));
	ck_assert_str_eq(out.p, want);
}

#define LINE "POST /v1/chat/completions HTTP/1.1\r\nHost: router\r\n"
#define UP "POST /base/v1/chat/completions HTTP/1.1\r\nhost: api.test:8443\r\n"

START_TEST(test_fields_upstream)
{
	setup(DIALECT_OPENAI, CREDENTIAL_PROVIDER, "sk-1");
	ck_upstream(LINE "Accept: */*\r\nContent-Type: application/json; charset=utf-8\r\n"
			 "User-Agent: OpenAI/JS\r\nOpenAI-Beta: b\r\nX-Stainless-Lang: js\r\n"
			 "Idempotency-Key: k\r\nTraceparent: t\r\nTracestate: s\r\n"
			 "HTTP-Referer: r\r\nX-Title: x\r\nAnthropic-Beta: a\r\n\r\n",
		UP "Accept: */*\r\nContent-Type: application/json; charset=utf-8\r\n"
		   "User-Agent: OpenAI/JS\r\nOpenAI-Beta: b\r\nX-Stainless-Lang: js\r\n"
		   "Idempotency-Key: k\r\nTraceparent: t\r\nTracestate: s\r\n"
		   "HTTP-Referer: r\r\nX-Title: x\r\nAnthropic-Beta: a\r\n"
		   "accept-encoding: identity\r\nx-request-id: id-1\r\n"
		   "authorization: Bearer sk-1\r\ncontent-length: 42\r\n\r\n");
	/* what stays here */
	ck_upstream(LINE "Cookie: c\r\nAuthorization: Bearer mine\r\nX-Api-Key: mine\r\n"
			 "Api-Key: mine\r\nX-Goog-Api-Key: mine\r\nX-Forwarded-For: 1.2.3.4\r\n"
			 "Accept-Encoding: gzip\r\nX-Request-Id: theirs\r\nOrigin: o\r\n"
			 "Proxy-Authorization: x\r\nTE: trailers\r\nX-Titles: no\r\nAccepts: no\r\n"
			 "Connection: close, X-Title\r\nX-Title: hop\r\nContent-Length: 7\r\n\r\n",
		UP
		"content-type: application/json\r\naccept-encoding: identity\r\n"
		"x-request-id: id-1\r\nauthorization: Bearer sk-1\r\ncontent-length: 42\r\n\r\n");
}
END_TEST

START_TEST(test_configured_fields_win)
{
	struct conf_header headers[] = {
		{ STR("User-Agent"), STR("router/1") },
		{ STR("Content-Type"), STR("application/x") },
		{ STR("X-Odd"), STR("") },
	};

	setup(DIALECT_OPENAI, CREDENTIAL_NONE, "");
	provider.headers = headers;
	provider.n_headers = 3;
	ck_upstream(LINE "user-agent: theirs\r\ncontent-type: theirs\r\naccept: a\r\n\r\n",
		UP "accept: a\r\nUser-Agent: router/1\r\nContent-Type: application/x\r\nX-Odd: \r\n"
		   "accept-encoding: identity\r\nx-request-id: id-1\r\ncontent-length: 42\r\n\r\n");
}
END_TEST

/* The type of a form goes upstream as it came, whatever the configuration or the client says. */
START_TEST(test_type_of_a_form)
{
	static const char head[] = LINE
		"Connection: close, Content-Type\r\nContent-Type: multipart/form-data; boundary=a\r\n"
		"Content-Type: multipart/form-data; boundary=b\r\n\r\n";
	struct conf_header headers[] = {
		{ STR("content-Type"), STR("application/x") },
		{ STR("X-Odd"), STR("1") },
	};
	struct field fields[20];
	struct head h = parse_request(head, fields);
	struct forward_request f = { .client = &h,
		.provider = &provider,
		.path = STR("/audio/transcriptions"),
		.request_id = STR("id-1"),
		.form = true,
		.length = 42 };

	setup(DIALECT_OPENAI, CREDENTIAL_NONE, "");
	provider.headers = headers;
	provider.n_headers = 2;
	forward_request_head(&out, &f);
	ck_assert(str_eq(buf_str(&out),
		STR("POST /base/v1/audio/transcriptions HTTP/1.1\r\nhost: api.test:8443\r\n"
		    "Content-Type: multipart/form-data; boundary=a\r\nX-Odd: 1\r\n"
		    "accept-encoding: identity\r\nx-request-id: id-1\r\ncontent-length: 42\r\n\r\n")));
}
END_TEST

START_TEST(test_query)
{
	static const struct {
		const char *target, *base, *want;
	} cases[] = {
		{ "/v1/chat/completions?a=b&c=%0A", "", "?a=b&c=%0A" },
		{ "/v1/chat/completions", "api-version=1", "?api-version=1" },
		{ "/v1/chat/completions?a=b", "api-version=1", "?api-version=1&a=b" },
		{ "/v1/chat/completions?", "", "" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char head[200], want[300];

		setup(DIALECT_OPENAI, CREDENTIAL_NONE, "");
		provider.base_query = str_of(cases[i].base);
		snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nhost: a\r\n\r\n", cases[i].target);
		snprintf(want, sizeof want,
			"POST /base/v1/chat/completions%s HTTP/1.1\r\nhost: api.test:8443\r\n"
			"content-type: application/json\r\naccept-encoding: identity\r\n"
			"x-request-id: id-1\r\ncontent-length: 42\r\n\r\n",
			cases[i].want);
		ck_upstream(head, want);
	}
}
END_TEST

#define REST "content-type: application/json\r\naccept-encoding: identity\r\nx-request-id: id-1\r\n"
#define VERSION "anthropic-version: 2023-06-01\r\n"
#define END_OF "content-length: 42\r\n\r\n"

START_TEST(test_credentials)
{
	static const struct {
		enum dialect_id dialect;
		enum credential credential;
		const char *key, *fields, *sent;
		bool own, missing;
	} cases[] = {
		{ DIALECT_OPENAI, CREDENTIAL_PROVIDER, "k", "", "authorization: Bearer k\r\n", true,
			false },
		{ DIALECT_ANTHROPIC, CREDENTIAL_PROVIDER, "k", "", "x-api-key: k\r\n", true,
			false },
		{ DIALECT_OPENAI, CREDENTIAL_PROVIDER, "", "Authorization: Bearer mine\r\n", "",
			false, true },
		{ DIALECT_OPENAI, CREDENTIAL_NONE, "k", "Authorization: Bearer mine\r\n", "", false,
			false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT, "k", "Authorization: Bearer mine\r\n",
			"Authorization: Bearer mine\r\n", false, false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT, "k", "", "", false, false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT, "k",
			"X-Api-Key: two\r\nAuthorization: Bearer one\r\n",
			"Authorization: Bearer one\r\n", false, false },
		{ DIALECT_ANTHROPIC, CREDENTIAL_CLIENT, "k",
			"Authorization: Bearer one\r\nX-Api-Key: two\r\n", "X-Api-Key: two\r\n",
			false, false },
		{ DIALECT_ANTHROPIC, CREDENTIAL_CLIENT, "k", "Authorization: Bearer one\r\n",
			"Authorization: Bearer one\r\n", false, false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT_OR_PROVIDER, "k",
			"Authorization: Bearer mine\r\n", "Authorization: Bearer mine\r\n", false,
			false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT_OR_PROVIDER, "k", "Authorization: \r\n",
			"authorization: Bearer k\r\n", true, false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT_OR_PROVIDER, "", "", "", false, false },
		{ DIALECT_OPENAI, CREDENTIAL_CLIENT_OR_PROVIDER, "", "api-key: m\r\n",
			"api-key: m\r\n", false, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char head[400], want[500];
		struct field fields[20];
		struct head h;
		bool missing;

		setup(cases[i].dialect, cases[i].credential, cases[i].key);
		snprintf(head, sizeof head, LINE "%s\r\n", cases[i].fields);
		snprintf(want, sizeof want, UP "%s" REST "%s" END_OF,
			cases[i].dialect == DIALECT_ANTHROPIC ? VERSION : "", cases[i].sent);
		ck_upstream(head, want);
		h = parse_request(head, fields);
		ck_assert_int_eq(forward_own_credential(&h, &provider, &missing), cases[i].own);
		ck_assert_int_eq(missing, cases[i].missing);
	}
}
END_TEST

START_TEST(test_anthropic_version)
{
	setup(DIALECT_ANTHROPIC, CREDENTIAL_NONE, "");
	ck_upstream(LINE "anthropic-version: 2099-01-01\r\n\r\n",
		UP "anthropic-version: 2099-01-01\r\n" REST END_OF);
}
END_TEST

static void
ck_reply(struct forward_reply *f, const char *head, const char *want)
{
	struct field fields[20];
	struct head h = { .fields = fields, .cap = 20 };
	enum head_fault fault;

	if (head) {
		ck_assert_int_eq(head_parse_reply(&h, str_of(head), &fault), 0);
		f->upstream = &h;
		f->status = h.status;
	}
	buf_free(&out);
	forward_reply_head(&out, f);
	buf_add(&out, STR("\0"));
	ck_assert_str_eq(out.p, want);
}

START_TEST(test_reply_fields)
{
	struct forward_reply f = { .request_id = STR("id-1"),
		.provider = STR("p"),
		.model = STR("m"),
		.router_us = 1234,
		.upstream_us = 5000 };

	setup(DIALECT_OPENAI, CREDENTIAL_NONE, "");
	ck_reply(&f,
		"HTTP/1.1 200 Fine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: a/b\r\n"
		"Content-Length: 5\r\nServer: nginx\r\nSet-Cookie: c\r\nAlt-Svc: h3\r\nVia: v\r\n"
		"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTrailer: t\r\n"
		"X-Request-Id: theirs\r\nx-ratelimit-remaining-requests: 9\r\n"
		"X-Api-Router-Model: forged\r\nX-Upstream-Request-Id: forged\r\n"
		"Content-Encoding: gzip\r\nRequest-Id: stays\r\n\r\n",
		"HTTP/1.1 200 Fine\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
		"x-upstream-request-id: theirs\r\nx-ratelimit-remaining-requests: 9\r\n"
		"Content-Encoding: gzip\r\nRequest-Id: stays\r\nx-request-id: id-1\r\n"
		"x-api-router-provider: p\r\nx-api-router-model: m\r\n"
		"server-timing: router;dur=1.234, upstream;dur=5.000\r\n");
	f.dialect = DIALECT_ANTHROPIC;
	f.stream = true;
	ck_reply(&f, "HTTP/1.1 529 \r\nrequest-id: req_1\r\ncache-control: no-store\r\n\r\n",
		"HTTP/1.1 529 \r\nx-upstream-request-id: req_1\r\ncache-control: no-store\r\n"
		"date: Fri, 01 May 2026 12:00:00 GMT\r\nx-accel-buffering: no\r\n"
		"x-request-id: id-1\r\nrequest-id: id-1\r\nx-api-router-provider: p\r\n"
		"x-api-router-model: m\r\nserver-timing: router;dur=1.234, upstream;dur=5.000\r\n");
}
END_TEST

START_TEST(test_own_reply)
{
	struct forward_reply f = { .request_id = STR("id-1"),
		.status = 404,
		.router_us = 50,
		.upstream_us = -1 };

	setup(DIALECT_OPENAI, CREDENTIAL_NONE, "");
	ck_reply(&f, NULL,
		"HTTP/1.1 404 Not Found\r\ndate: Fri, 01 May 2026 12:00:00 GMT\r\n"
		"x-request-id: id-1\r\nserver-timing: router;dur=0.050\r\n");
}
END_TEST

/* Without memory a head is failed as a whole: the buffer says so. */
START_TEST(test_memory)
{
	struct field fields[20];
	struct head h = parse_request(LINE "accept: */*\r\n\r\n", fields);
	struct forward_request f = { .client = &h,
		.provider = &provider,
		.path = STR("/x"),
		.request_id = STR("i") };
	size_t n = 1;

	setup(DIALECT_OPENAI, CREDENTIAL_PROVIDER, "k");
	do {
		buf_free(&out);
		mem_fail_after(n);
		forward_request_head(&out, &f);
		mem_fail_after(0);
	} while (out.failed && n++ < 10);
	ck_assert_uint_gt(n, 1);
	ck_assert(!out.failed);
	ck_assert(str_eq(str_skip(buf_str(&out), buf_len(&out) - 4), STR("\r\n\r\n")));
	buf_free(&out);
}
END_TEST

UNIT_MAIN("proxy/forward", test_fields_upstream, test_configured_fields_win, test_type_of_a_form,
	test_query, test_credentials, test_anthropic_version, test_reply_fields, test_own_reply,
	test_memory)
