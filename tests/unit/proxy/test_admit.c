/*
 * Who is admitted and how often: every place where a key can stand, what is left of the head for
 * the provider, the texts of a refusal, and which of the limits that apply are charged.
 *
 * Requests are made from their heads alone: what is said to the client ends up in `told`.
 */
#include <stdio.h>
#include <string.h>

#include "house.h"
#include "proxy/admit.h"
#include "proxy/answer.h"
#include "proxy/forward.h"
#include "unit.h"

#define ALICE "ar-alice-0123456789abcdefghijklmnopqrstuvw"
#define BOB "ar-bob-0123456789abcdefghijklmnopqrstuvwxy"
#define SPACED "a key of words, 30 characters."

static struct house house;
static struct conf_client clients[3];
static struct request *r;
static char told[65536];
static size_t told_len, before;

static void
on_reply(void *client, struct str head, enum framing kind, uint64_t length)
{
	(void)client, (void)kind, (void)length;
	ck_assert_uint_eq(told_len, 0);
	ck_assert_uint_lt(head.len, sizeof told);
	memcpy(told, head.p, head.len);
	told_len = head.len;
}

static void
on_data(void *client, struct str piece)
{
	(void)client;
	ck_assert_uint_lt(told_len + piece.len, sizeof told);
	memcpy(told + told_len, piece.p, piece.len);
	told_len += piece.len;
}

static void
on_end(void *client, bool whole)
{
	(void)client;
	ck_assert(whole);
}

static const struct request_ops ops = { .reply = on_reply, .data = on_data, .end = on_end };

static void
setup(void)
{
	static const struct str keys[] = { STR_INIT(ALICE), STR_INIT(BOB), STR_INIT(SPACED) };

	house_open(&house, 1);
	clients[0] = (struct conf_client){ .name = STR("alice") };
	clients[1] = (struct conf_client){ .name = STR("bob") };
	clients[2] = (struct conf_client){ .name = STR("words") };
	for (size_t i = 0; i < 3; i++)
		secret_hash(keys[i], clients[i].hash);
	house.conf.clients = clients;
	house.conf.n_clients = 3;
	before = mem_used();
}

/* A request with those fields, as far as its head. */
static void
begin(const char *line, const char *fields)
{
	static char head[16384];
	struct request_start start = { .ops = &ops, .client_ip = STR("192.0.2.7") };
	enum head_fault fault;
	int len = snprintf(head, sizeof head, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields);

	ck_assert_int_lt(len, (int)sizeof head);
	start.head = (struct str){ head, (size_t)len };
	memset(told, 0, told_len);
	told_len = 0;
	r = request_new(&house.proxy, &start, &fault);
	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(fault, HEAD_OK);
}

static void
end(void)
{
	if (r->state != REQUEST_OVER)
		request_gone(r, END_CLIENT_GONE);
	request_free(r);
	for (int i = 0; i < 3; i++)
		house_turn(&house, 0);
}

static void
teardown(void)
{
	house_tidy(&house);
	ck_assert_uint_eq(mem_used(), before);
	house_close(&house);
}

#define POST "POST /v1/chat/completions"
#define ck_told(what) ck_assert_msg(strstr(told, what) != NULL, "no %s in: %s", what, told)

/* The head as it would go to the provider. */
static const char *
upstream(enum dialect_id dialect, enum credential credential)
{
	static char text[32768];
	struct conf_provider p = house.providers[HOUSE_REMOTE];
	struct forward_request f = { .client = &r->head,
		.provider = &p,
		.path = STR("/chat/completions"),
		.request_id = r->id };
	struct buf out = BUF_EMPTY;

	p.dialect = dialect;
	p.credential = credential;
	p.api_key = STR("sk-ours");
	forward_request_head(&out, &f);
	ck_assert_uint_lt(buf_len(&out), sizeof text);
	memcpy(text, buf_str(&out).p, buf_len(&out));
	text[buf_len(&out)] = '\0';
	buf_free(&out);
	return text;
}

/* Each place of a key: who is admitted by it, NULL for nobody. */
static bool
is_admitted(struct request *request)
{
	return admit_keys(request) && admit_client(request);
}

START_TEST(places)
{
	static const struct {
		const char *fields, *who;
	} cases[] = {
		{ "Authorization: Bearer " ALICE "\r\n", "alice" },
		{ "authorization:Bearer " ALICE "\r\n", "alice" },
		{ "AUTHORIZATION: bEARER " BOB "\r\n", "bob" },
		{ "Authorization: \t Bearer \t  " ALICE " \t\r\n", "alice" },
		{ "x-api-key: " ALICE "\r\n", "alice" },
		{ "X-API-Key:   " ALICE "\t\r\n", "alice" },
		{ "api-key: " BOB "\r\n", "bob" },
		{ "x-goog-api-key: " BOB "\r\n", "bob" },
		{ "x-api-key: " SPACED "\r\n", "words" },
		{ "Authorization: Bearer " SPACED "\r\n", "words" },
		{ "Authorization: Bearer sk-other\r\nx-api-key: " ALICE "\r\n", "alice" },
		{ "x-api-key: nobody\r\nx-api-key: " ALICE "\r\n", "alice" },
		{ "api-key: " BOB "\r\nx-api-key: " ALICE "\r\n", "bob" },
		{ "Connection: x-api-key\r\nx-api-key: " ALICE "\r\n", "alice" },
		{ "Authorization: Bearer\t" ALICE "\r\n", "alice" },
		{ "", NULL },
		{ "Authorization:\r\n", NULL },
		{ "Authorization: Bearer\r\n", NULL },
		{ "Authorization: Bearer \r\nx-api-key: \r\napi-key:\t\r\n", NULL },
		{ "Authorization: " ALICE "\r\n", NULL },
		{ "Authorization: Basic " ALICE "\r\n", NULL },
		{ "Authorization: Bearer" ALICE "\r\n", NULL },
		{ "Authorization: Bearer " ALICE ALICE "\r\n", NULL },
		{ "Authorization: Bearer ar-alice-\r\n", NULL },
		{ "Authorization: Bearer " ALICE "x\r\n", NULL },
		{ "Authorization: Bearer AR-ALICE-0123456789ABCDEFGHIJKLMNOPQRSTUVW\r\n", NULL },
		{ "Authorization: Bearer \"" ALICE "\"\r\n", NULL },
		{ "x-api-key: Bearer " ALICE "\r\n", NULL },
		{ "x-api-key: " ALICE "," ALICE "\r\n", NULL },
		{ "Proxy-Authorization: Bearer " ALICE "\r\n", NULL },
		{ "Cookie: x-api-key=" ALICE "\r\n", NULL },
		{ "key: " ALICE "\r\n", NULL },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin(POST, cases[i].fields);
		bool admitted = is_admitted(r);

		ck_assert_msg(admitted == (cases[i].who != NULL), "case %zu", i);
		if (admitted) {
			ck_assert_msg(str_eq(r->key->name, str_of(cases[i].who)), "case %zu", i);
			ck_assert_uint_eq(told_len, 0);
		} else {
			ck_assert_ptr_null(r->key);
			ck_assert_uint_eq(r->status, 401);
		}
		end();
	}
	/* a query is no place for a key */
	begin(POST "?key=" ALICE "&api_key=" ALICE, "");
	ck_assert(!is_admitted(r));
	end();
	teardown();
}
END_TEST

START_TEST(without_clients_everyone_is_admitted)
{
	setup();
	house.conf.n_clients = 0;
	begin(POST, "Authorization: Bearer sk-own\r\n");
	ck_assert(is_admitted(r));
	ck_assert_ptr_null(r->key);
	ck_assert_ptr_nonnull(
		strstr(upstream(DIALECT_OPENAI, CREDENTIAL_CLIENT), "Bearer sk-own\r\n"));
	end();
	teardown();
}
END_TEST

/* The hash of an empty key admits nobody, not even who shows an empty one. */
START_TEST(an_empty_key_is_none)
{
	setup();
	secret_hash(STR(""), clients[0].hash);
	begin(POST, "x-api-key:\r\nAuthorization: Bearer\r\nAuthorization: Bearer \t\r\n");
	ck_assert(!is_admitted(r));
	ck_told("a client key is required");
	end();
	teardown();
}
END_TEST

/* What goes on of a head that holds keys: with the client's own credential asked for, the one that
 * is no client key of ours; and never a key. */
START_TEST(keys_go_nowhere)
{
	static const struct {
		const char *fields, *credential;
	} cases[] = {
		{ "Authorization: Bearer " ALICE "\r\n", NULL },
		{ "Authorization: Bearer " ALICE "\r\nx-api-key: sk-own\r\n",
			"x-api-key: sk-own\r\n" },
		{ "x-api-key: " ALICE "\r\nAuthorization: Bearer sk-own\r\n",
			"Authorization: Bearer sk-own\r\n" },
		{ "x-api-key: " ALICE "\r\nx-api-key: sk-own\r\n", "x-api-key: sk-own\r\n" },
		{ "Authorization: Bearer " ALICE "\r\nAuthorization: Bearer sk-own\r\n",
			"Authorization: Bearer sk-own\r\n" },
		{ "x-api-key: " ALICE "\r\nX-Api-Key: " ALICE "\r\nAPI-KEY: " ALICE
		  "\r\nX-Goog-Api-Key: " BOB "\r\nAuthorization: BEARER  " BOB "\r\n",
			NULL },
		/* in a form that admits nobody, beside one that does */
		{ "x-api-key: " ALICE "\r\nAuthorization: " BOB "\r\n", NULL },
		{ "x-api-key: " ALICE "\r\nAuthorization: Bearer\t" BOB "\r\n", NULL },
		{ "x-api-key: " ALICE "\r\nAuthorization: Token  " BOB "\r\n", NULL },
		{ "x-api-key: " ALICE "\r\napi-key: Bearer " BOB "\r\n", NULL },
		/* the one that admits, in any other text */
		{ "x-api-key: " ALICE "\r\nAuthorization: Key=\"" ALICE "\"\r\n", NULL },
		{ "x-api-key: " ALICE "\r\nOpenAI-Organization: " ALICE "\r\nX-Title: my " ALICE
		  "\r\nUser-Agent: x/" ALICE "\r\nX-Request-Id: " ALICE
		  "\r\nanthropic-beta: a," ALICE "\r\n",
			NULL },
		{ "Connection: keep-alive, x-api-key\r\nx-api-key: " ALICE "\r\nx-api-key: " BOB
		  "\r\n",
			NULL },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (int credential = CREDENTIAL_NONE; credential <= CREDENTIAL_CLIENT_OR_PROVIDER;
			credential++) {
			const char *text;

			begin(POST, cases[i].fields);
			ck_assert(is_admitted(r));
			text = upstream(DIALECT_OPENAI, (enum credential)credential);
			ck_assert_msg(!strstr(text, "ar-"), "case %zu: %s", i, text);
			if (credential >= CREDENTIAL_CLIENT && cases[i].credential)
				ck_assert_msg(strstr(text, cases[i].credential) != NULL,
					"case %zu: %s", i, text);
			else
				ck_assert_msg(!strstr(text, "sk-own"), "case %zu: %s", i, text);
			ck_assert_msg((strstr(text, "sk-ours") != NULL) ==
					(credential == CREDENTIAL_PROVIDER ||
						(credential == CREDENTIAL_CLIENT_OR_PROVIDER &&
							!cases[i].credential)),
				"case %zu: %s", i, text);
			text = upstream(DIALECT_ANTHROPIC, (enum credential)credential);
			ck_assert_msg(!strstr(text, "ar-"), "case %zu: %s", i, text);
			end();
		}
	}
	teardown();
}
END_TEST

/* The key that admits does not stand in the query as well: its values go on to the provider. */
START_TEST(a_key_in_the_query_is_refused)
{
	setup();
	begin(POST "?api-version=1&key=" ALICE, "x-api-key: " ALICE "\r\n");
	ck_assert(!is_admitted(r));
	ck_assert_uint_eq(r->status, 400);
	ck_told("the query holds the client key");
	ck_assert_ptr_null(strstr(told, ALICE));
	end();
	begin(POST "?api-version=1&key=sk-other", "x-api-key: " ALICE "\r\n");
	ck_assert(is_admitted(r));
	end();
	teardown();
}
END_TEST

/* A short key is no reason to take out what has its letters by chance. */
START_TEST(a_short_key_is_found_whole_only)
{
	const char *text;

	setup();
	secret_hash(STR("app"), clients[0].hash);
	begin(POST "?version=app", "x-api-key: app\r\nX-Title: my app\r\nOpenAI-Project: app\r\n");
	ck_assert(is_admitted(r));
	text = upstream(DIALECT_OPENAI, CREDENTIAL_CLIENT);
	ck_assert_ptr_nonnull(strstr(text, "X-Title: my app\r\n"));
	ck_assert_ptr_null(strstr(text, "OpenAI-Project"));
	end();
	teardown();
}
END_TEST

/* Each key is compared with those of all clients, which anybody can have done: of a head that holds
 * nothing but keys only the first eight are, and the rest goes nowhere. */
START_TEST(few_keys_are_looked_at)
{
	static char fields[8000];

	setup();
	for (int keys = 7; keys <= 8; keys++) {
		size_t len = 0;

		for (int i = 0; i < keys; i++)
			len += (size_t)snprintf(fields + len, sizeof fields - len,
				"api-key: sk-%d\r\n", i);
		snprintf(fields + len, sizeof fields - len, "x-api-key: " ALICE "\r\n");
		begin(POST, fields);
		ck_assert_int_eq(is_admitted(r), keys == 7);
		ck_assert_ptr_null(strstr(upstream(DIALECT_ANTHROPIC, CREDENTIAL_CLIENT), "ar-"));
		end();
	}
	teardown();
}
END_TEST

static unsigned
known(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < KNOWN_KEYS; i++)
		n += house.proxy.known.all[i].client != NULL;
	return n;
}

/* The client that a key is of; NULL: it was refused. */
static const struct conf_client *
client_of_key(const char *key)
{
	static char fields[200];
	const struct conf_client *client;

	snprintf(fields, sizeof fields, "x-api-key: %s\r\n", key);
	begin(POST, fields);
	is_admitted(r);
	client = r->key;
	end();
	return client;
}

/* A key that was admitted is known again, by its whole hash; what is no key is not remembered, and
 * of none is there more than its hash. */
START_TEST(keys_are_known_again)
{
	setup();
	ck_assert_ptr_null(client_of_key("sk-unknown"));
	ck_assert_uint_eq(known(), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_ptr_eq(client_of_key(ALICE), &clients[0]);
	ck_assert_uint_eq(known(), 1);
	ck_assert_ptr_null(memmem(&house.proxy.known, sizeof house.proxy.known, ALICE, 8));
	memset(clients[0].hash, 0, sizeof clients[0].hash); /* it is not asked for any more */
	ck_assert_ptr_eq(client_of_key(ALICE), &clients[0]);
	for (size_t i = 0; i < KNOWN_KEYS; i++) { /* in each place another */
		house.proxy.known.all[i].hash = siphash(&house.proxy.known.secret, STR(ALICE));
		house.proxy.known.all[i].client = &clients[0];
	}
	for (int i = 0; i < 2; i++)
		ck_assert_ptr_eq(client_of_key(BOB), &clients[1]);
	ck_assert_ptr_null(client_of_key("sk-unknown"));
	teardown();
}
END_TEST

START_TEST(refusals)
{
	static const char required[] =
		"a client key is required: send it as Authorization: Bearer KEY, x-api-key, api-key or x-goog-api-key",
			  unknown[] = "the client key is not one that the router knows";

	setup();
	begin(POST, "");
	ck_assert(!is_admitted(r));
	ck_told("HTTP/1.1 401 Unauthorized\r\n");
	ck_told("\r\nwww-authenticate: Bearer\r\n");
	ck_told("{\"error\":{\"message\":\"");
	ck_told(required);
	ck_told("\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}");
	end();
	begin(POST, "x-api-key: sk-secret-of-someone\r\n");
	ck_assert(!is_admitted(r));
	ck_told(unknown);
	ck_assert_ptr_null(strstr(told, "sk-secret"));
	end();
	begin("POST /v1/messages", "");
	ck_assert(!is_admitted(r));
	ck_told("HTTP/1.1 401 Unauthorized\r\n");
	ck_told("\r\nwww-authenticate: Bearer\r\n");
	ck_told("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"");
	ck_told(required);
	end();
	begin("POST /v1/messages/count_tokens", "Authorization: Bearer sk-secret\r\n");
	ck_assert(!is_admitted(r));
	ck_told("authentication_error");
	ck_told(unknown);
	end();
	for (int i = 0; i < 2; i++) {
		begin(i == 0 ? "GET /v1/models" : "GET /v1/models/echo",
			"anthropic-version: 2023-06-01\r\n");
		ck_assert(answer_own(r));
		ck_told("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\"");
		end();
	}
	teardown();
}
END_TEST

/* Which of the router's own paths ask for a key, by every name that leads there. */
START_TEST(paths)
{
	static const struct {
		const char *line;
		unsigned status; /* without a key; 0: it is for a provider */
	} cases[] = {
		{ "GET /", 200 },
		{ "HEAD /health", 200 },
		{ "GET //health/", 200 },
		{ "GET /metrics", 404 },
		{ "OPTIONS *", 204 },
		{ "OPTIONS /v1/models", 204 },
		{ "OPTIONS /v1/chat/completions", 204 },
		{ "GET /v1/chat/completions", 405 },
		{ "POST /v1/models", 405 },
		{ "GET /v1/models", 401 },
		{ "HEAD /v1/models", 401 },
		{ "GET /v1/models/", 401 },
		{ "GET //v1///models", 401 },
		{ "GET /%76%31/models", 401 },
		{ "GET /v1/models?x=/health", 401 },
		{ "GET http://a/v1/models", 401 },
		{ "GET /v1/models/echo", 401 },
		{ "GET /v1/models%2Fecho", 404 },
		{ "GET /v1%2fmodels", 404 },
		{ "GET /V1/models", 404 },
		{ "GET /health/v1/models", 404 },
		{ "POST //v1/chat//completions/", 401 },
		{ "POST /%761/chat/completions", 401 },
		{ "POST https://a/v1/chat/completions?x", 401 },
		{ "POST /v1/messages", 401 },
		{ "POST /v1/audio/transcriptions", 401 },
		{ "POST /v1/chat%2Fcompletions", 404 },
		{ "PATCH /v1/messages", 405 },
	};

	setup();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin(cases[i].line, "");
		ck_assert_msg(answer_own(r), "%s", cases[i].line);
		ck_assert_msg(r->status == cases[i].status, "%s: %u", cases[i].line, r->status);
		end();
		begin(cases[i].line, "api-key: " ALICE "\r\n");
		bool answered = answer_own(r);
		ck_assert_msg(!answered || r->status != 401, "%s", cases[i].line);
		ck_assert(cases[i].status != 401 || r->key == &clients[0]);
		end();
	}
	teardown();
}
END_TEST

static bool
rate(void)
{
	return admit_rate(r, &house.providers[HOUSE_REMOTE]);
}

/* Is a request of that client admitted, and by whose limit not? */
static const char *
asked(const char *line, const char *key)
{
	static char whose[128];
	char fields[128];

	snprintf(fields, sizeof fields, "x-api-key: %s\r\n", key);
	begin(line, fields);
	ck_assert(is_admitted(r));
	if (rate()) {
		ck_assert(rate()); /* once only: the second changes nothing */
		ck_assert_uint_eq(told_len, 0);
		end();
		return "admitted";
	}
	const char *at = strstr(told, "\"message\":\"");
	ck_assert_ptr_nonnull(at);
	snprintf(whose, sizeof whose, "%.*s", (int)strcspn(at + 11, ":\""), at + 11);
	ck_assert_uint_eq(r->status, 429);
	end();
	return whose;
}

#define ADMITTED "admitted"

/* A client has the general limit, or in its place its own; each client has buckets of its own, and
 * each path. */
START_TEST(own_limit_in_place_of_the_general_one)
{
	setup();
	house.conf.rate = (struct conf_rate){ 60, 2 };
	clients[0].rate = house.conf.rate; /* as the configuration fills it */
	clients[1].rate = (struct conf_rate){ 6, 3 };
	clients[2].rate = (struct conf_rate){ 0, 0 };
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_str_eq(asked(POST, ALICE),
		"the limit of 60 requests a minute for every client on /v1/chat/completions is reached");
	ck_assert_str_eq(asked("POST /v1/embeddings", ALICE), ADMITTED);
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(asked(POST, BOB), ADMITTED);
	ck_assert_str_eq(asked(POST, BOB),
		"the limit of 6 requests a minute for this client on /v1/chat/completions is reached");
	for (int i = 0; i < 20; i++)
		ck_assert_str_eq(asked(POST, SPACED), ADMITTED);
	house.now_ms += 1000;
	house_turn(&house, 0);
	ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_ptr_nonnull(strstr(asked(POST, BOB), "limit of 6"));
	teardown();
}
END_TEST

/* Without clients it is the address that is counted. */
START_TEST(general_limit_by_address)
{
	setup();
	house.conf.n_clients = 0;
	house.conf.rate = (struct conf_rate){ 1, 0 };
	ck_assert_str_eq(asked(POST, "x"), ADMITTED);
	ck_assert_str_eq(asked(POST, "y"),
		"the limit of 1 requests a minute for every client on /v1/chat/completions is reached");
	teardown();
}
END_TEST

START_TEST(endpoints_limit_in_place_of_the_providers)
{
	static struct conf_endpoint chat, embeddings;

	setup();
	house.providers[HOUSE_REMOTE].rate = (struct conf_rate){ 1, 1 };
	chat = (struct conf_endpoint){ .rate = { 60, 3 } };
	embeddings = (struct conf_endpoint){ .rate = { 0, 0 } };
	house.providers[HOUSE_REMOTE].by_endpoint[ENDPOINT_CHAT] = &chat;
	house.providers[HOUSE_REMOTE].by_endpoint[ENDPOINT_EMBEDDINGS] = &embeddings;
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_str_eq(asked(POST, ALICE),
		"the limit of 60 requests a minute at this provider's endpoint on /v1/chat/completions is reached");
	ck_assert_str_eq(asked(POST, BOB), ADMITTED);
	for (int i = 0; i < 9; i++)
		ck_assert_str_eq(asked("POST /v1/embeddings", ALICE), ADMITTED);
	ck_assert_str_eq(asked("POST /v1/completions", ALICE), ADMITTED);
	ck_assert_str_eq(asked("POST /v1/completions", ALICE),
		"the limit of 1 requests a minute at this provider on /v1/completions is reached");
	teardown();
}
END_TEST

/* Requests that alice's own limit of `rate` would still admit at once. */
static uint32_t
left(struct conf_rate of)
{
	struct limit_key key = { .what = STR(""), .who = STR("alice"), .path = ENDPOINT_CHAT };
	struct limit_rate limit = { of.per_minute, of.burst };
	struct limit_state state;

	limit_look(house.limits, &key, &limit, clock_now_us(), &state);
	return state.remaining;
}

/* A request that the second limit refuses costs nothing of the first, and the other way round; what
 * is told is the limit that lasts longer. */
START_TEST(refused_by_one_charges_none)
{
	setup();
	clients[0].rate = (struct conf_rate){ 60, 5 };
	house.providers[HOUSE_REMOTE].rate = (struct conf_rate){ 6, 2 };
	ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_uint_eq(left(clients[0].rate), 3);
	for (int i = 0; i < 5; i++)
		ck_assert_ptr_nonnull(strstr(asked(POST, ALICE),
			"the limit of 6 requests a minute at this provider"));
	ck_assert_uint_eq(left(clients[0].rate), 3);
	house.providers[HOUSE_REMOTE].rate = (struct conf_rate){ 0, 0 };
	for (int i = 0; i < 3; i++)
		ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	house.providers[HOUSE_REMOTE].rate = (struct conf_rate){ 6, 2 };
	ck_assert_ptr_nonnull(
		strstr(asked(POST, ALICE), "the limit of 6 requests a minute at this provider"));
	teardown();
}
END_TEST

/* Another process is faster between the look at both buckets and the second charge: here both are
 * one bucket, which the first charge fills. The first is given back. */
START_TEST(first_is_given_back_when_the_second_refuses)
{
	setup();
	clients[0].rate = house.providers[HOUSE_REMOTE].rate = (struct conf_rate){ 60, 1 };
	house.providers[HOUSE_REMOTE].name = STR("");
	ck_assert_ptr_nonnull(
		strstr(asked(POST, ALICE), "the limit of 60 requests a minute at this provider"));
	ck_assert_uint_eq(left(clients[0].rate), 1);
	house.providers[HOUSE_REMOTE].name = STR("remote");
	ck_assert_str_eq(asked(POST, ALICE), ADMITTED);
	ck_assert_uint_eq(left(clients[0].rate), 0);
	teardown();
}
END_TEST

START_TEST(a_429_says_when_to_come_again)
{
	setup();
	clients[0].rate = (struct conf_rate){ 1, 60 };
	for (int i = 0; i < 60; i++)
		ck_assert_str_eq(asked("POST /v1/messages", ALICE), ADMITTED);
	begin("POST /v1/messages", "Authorization: Bearer " ALICE "\r\n");
	ck_assert(is_admitted(r) && !rate());
	ck_told("HTTP/1.1 429 Too Many Requests\r\n");
	ck_told("\r\nretry-after: 60\r\nretry-after-ms: ");
	ck_told("\r\nx-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: ");
	ck_told("h"); /* an hour is owed, or 59 minutes and some */
	ck_told("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"the limit of 1 requests a minute for this client on /v1/messages is reached: try again in 60 s\"}");
	end();
	ck_assert_uint_eq(house_count(&house, METRIC_RATE_LIMITED), 1);
	teardown();
}
END_TEST

UNIT_MAIN("proxy/admit", places, without_clients_everyone_is_admitted, an_empty_key_is_none,
	keys_go_nowhere, a_key_in_the_query_is_refused, a_short_key_is_found_whole_only,
	few_keys_are_looked_at, keys_are_known_again, refusals, paths,
	own_limit_in_place_of_the_general_one, general_limit_by_address,
	endpoints_limit_in_place_of_the_providers, refused_by_one_charges_none,
	first_is_given_back_when_the_second_refuses, a_429_says_when_to_come_again)
