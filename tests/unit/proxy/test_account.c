/*
 * What is counted of a request, whichever way it ends: once, under the right names; and each
 * connection once when it is closed. The test is the client, at one end of a pair of sockets, and
 * the provider.
 */
#include "proxy/account.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "house.h"
#include "report/metrics.h"
#include "unit.h"

#define ANY UINT32_MAX

static struct house house;
static struct conf_client keys[] = { { .name = STR_INIT("alice") }, { .name = STR_INIT("bob") } };
static int fd = -1, listener = -1, provider = -1;
static unsigned accepted;
static char got[1 << 18], asked[1 << 12];
static size_t got_len;

static void
setup(void)
{
	union sock_address a;
	socklen_t len = sizeof a;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	listener = sock_listen(&a, false);
	ck_assert_int_eq(getsockname(listener, &a.any, &len), 0);
	house_open(&house, sock_port(&a));
	count_name(house.series, &house.conf);
}

static void
turns(int n)
{
	union sock_address peer;
	ssize_t len;

	while (n-- > 0) {
		house_turn(&house, 1);
		while (fd >= 0 && (len = read(fd, got + got_len, sizeof got - 1 - got_len)) > 0)
			got_len += (size_t)len;
		got[got_len] = '\0';
		if (provider < 0)
			provider = sock_accept(listener, &peer);
		while (provider >= 0 && read(provider, asked, sizeof asked) > 0)
			; /* what is left unread would make a close a reset */
	}
}

/* One end for the router; the other. */
static int
connection(void)
{
	union sock_address a;
	int pair[2];

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 1, &a), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
		0);
	accepted++;
	client_accept(&house.clients, pair[0], &a, &admin_listen);
	return pair[1];
}

static void
open_client(void)
{
	fd = connection();
	got_len = 0;
}

static void
close_client(void)
{
	close(fd);
	fd = -1;
	turns(30); /* while he waits for a reply he is looked at after 10 ms */
}

static void
say(const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(6);
}

static void
post(const char *path, const char *body)
{
	char text[1000];

	snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
		path, strlen(body), body);
	say(text);
}

static void
provider_says(const char *text)
{
	for (int i = 0; i < 100 && provider < 0; i++)
		turns(1);
	ck_assert_int_ge(provider, 0);
	ck_assert_int_eq(send(provider, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns(6);
}

static void
provider_closes(void)
{
	for (int i = 0; i < 100 && provider < 0; i++)
		turns(1);
	turns(4);
	close(provider);
	provider = -1;
	turns(6);
}

/* The sum of a metric over what has these labels. */
static uint64_t
counted(enum metric metric, unsigned path, unsigned provider_label, unsigned detail)
{
	uint64_t key, n = 0;
	unsigned bucket;

	for (unsigned i = 0; (key = series_key(house.series, i)) != 0; i++) {
		struct count_key k = count_unpack(key, &bucket);

		if (k.metric == metric && bucket < COUNT_BUCKETS &&
			(path == ANY || k.path == path) &&
			(provider_label == ANY || k.provider == provider_label) &&
			(detail == ANY || k.detail == detail))
			n += series_sum(house.series, i, SCOREBOARD_ROWS);
	}
	return n;
}

/* The sum, in microseconds, of a histogram. */
static uint64_t
time_of(enum metric metric)
{
	uint64_t key, n = 0;
	unsigned bucket;

	for (unsigned i = 0; (key = series_key(house.series, i)) != 0; i++)
		if (count_unpack(key, &bucket).metric == metric && bucket == COUNT_SUM)
			n += series_sum(house.series, i, SCOREBOARD_ROWS);
	return n;
}

#define ck_counted(n, ...) ck_assert_uint_eq(counted(__VA_ARGS__), n)

static uint64_t
tokens(enum token_kind kind)
{
	return counted(METRIC_TOKENS, ANY, ANY, kind);
}

static uint64_t
closes(enum side side, enum close_reason why)
{
	return counted(METRIC_CLOSES, ANY, ANY, count_close(side, why));
}

/* Each request that has ended has its times, and each connection is closed once or open. */
static void
check_sums(void)
{
	uint64_t n = counted(METRIC_REQUESTS, ANY, ANY, ANY), closed = 0;

	ck_counted(n, METRIC_REQUEST_SECONDS, ANY, ANY, ANY);
	ck_counted(n, METRIC_OVERHEAD_SECONDS, ANY, ANY, ANY);
	ck_assert_uint_le(counted(METRIC_FIRST_BYTE_SECONDS, ANY, ANY, ANY), n);
	ck_assert_uint_le(time_of(METRIC_OVERHEAD_SECONDS), time_of(METRIC_REQUEST_SECONDS));
	ck_assert_uint_eq(ROW_GET(house.proxy.row->clients), house.clients.n);
	for (unsigned why = 0; why < CLOSE_REASONS; why++)
		closed += closes(SIDE_CLIENT, why);
	ck_assert_uint_eq(accepted, closed + house.clients.n);
	closed = counted(METRIC_CLOSES, ANY, ANY, ANY) - closed;
	ck_assert_uint_ge(closed + ROW_GET(house.proxy.row->upstreams),
		house_count(&house, METRIC_UPSTREAM_CONNECTS));
}

static void
teardown(void)
{
	if (fd >= 0)
		close_client();
	if (provider >= 0)
		close(provider);
	provider = -1;
	house_tidy(&house);
	turns(2);
	check_sums();
	ck_assert_uint_eq(house.clients.n, 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->clients_active), 0);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
	ck_assert_uint_eq(mem_used(), 0);
	close(listener);
	house_close(&house);
	accepted = 0;
}

#define CHAT_PATH (PATH_ENDPOINTS + ENDPOINT_CHAT)
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHAT(model, stream)                           \
	"{\"model\":\"" model "\",\"stream\":" stream \
	",\"messages\":[{\"role\":\"user\",\"content\":\"one two three\"}]}"
#define UP "HTTP/1.1 200 OK\r\nContent-Type: "
#define USAGE                                                                         \
	"\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,"                  \
	"\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":10}," \
	"\"completion_tokens_details\":{\"reasoning_tokens\":15}}"

START_TEST(refused_requests_are_counted_once)
{
	setup();
	open_client();
	say(GET("/") GET("/nowhere") "DELETE /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" GET(
		"/v1/models/x") "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
	turns(20);
	post("/v1/chat/completions", "{\"model\":\"nobody\"}");
	post("/v1/chat/completions", "{");
	post("/v1/embeddings", "{}");
	ck_counted(1, METRIC_REQUESTS, PATH_root, LABEL_OTHER, 200);
	ck_counted(1, METRIC_REQUESTS, PATH_OTHER, LABEL_OTHER, 404);
	ck_counted(1, METRIC_REQUESTS, PATH_models, LABEL_OTHER, 405);
	ck_counted(1, METRIC_REQUESTS, PATH_model, LABEL_OTHER, 404);
	ck_counted(1, METRIC_REQUESTS, PATH_health, LABEL_OTHER, 200);
	ck_counted(1, METRIC_REQUESTS, PATH_OTHER, LABEL_OTHER, 204);
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, LABEL_OTHER, 404);
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, LABEL_OTHER, 400);
	ck_counted(1, METRIC_REQUESTS, PATH_ENDPOINTS + ENDPOINT_EMBEDDINGS, LABEL_OTHER, 400);
	ck_counted(9, METRIC_REQUESTS, ANY, ANY, ANY);
	close_client();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_PEER), 1);
	open_client();
	say("this is no HTTP\r\n\r\n");
	ck_counted(1, METRIC_REQUESTS, PATH_OTHER, LABEL_OTHER, 400);
	close_client();
	open_client();
	say("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, LABEL_OTHER, 413);
	close_client();
	open_client();
	say("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n");
	ck_counted(2, METRIC_REQUESTS, CHAT_PATH, LABEL_OTHER, 400);
	close_client();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_REFUSED), 2);
	ck_counted(12, METRIC_REQUESTS, ANY, ANY, ANY);
	ck_counted(0, METRIC_FIRST_BYTE_SECONDS, ANY, ANY, ANY);
	teardown();
}
END_TEST

START_TEST(time_ends_requests_and_connections)
{
	setup();
	open_client();
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n{");
	house.now_ms += 30001;
	turns(4);
	ck_counted(1, METRIC_REQUESTS, PATH_ENDPOINTS + ENDPOINT_COMPLETIONS, LABEL_OTHER, 408);
	ck_assert_uint_ge(time_of(METRIC_REQUEST_SECONDS), 30000000);
	ck_assert_uint_lt(time_of(METRIC_OVERHEAD_SECONDS), 1000000);
	close_client();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_TIMEOUT), 1);
	open_client(); /* nothing was asked: nothing is counted but the connection */
	house.now_ms += 10001;
	turns(4);
	house.now_ms += 2001;
	turns(4);
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_IDLE), 1);
	ck_counted(1, METRIC_REQUESTS, ANY, ANY, ANY);
	teardown();
}
END_TEST

START_TEST(answered_requests)
{
	unsigned echo, remote;

	setup();
	echo = house.providers[HOUSE_ECHO].label;
	remote = house.providers[HOUSE_REMOTE].label;
	open_client();
	post("/v1/chat/completions", CHAT("echo", "false"));
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, echo, 200);
	ck_assert_uint_eq(tokens(TOKENS_INPUT), 3);
	ck_assert_uint_eq(tokens(TOKENS_OUTPUT), 3);
	for (int i = 1; i <= 3; i++) {
		post("/v1/chat/completions", CHAT("remote", "false"));
		provider_says(UP "application/json\r\nContent-Length: 175\r\n\r\n{" USAGE "}");
		ck_counted((unsigned)i, METRIC_REQUESTS, CHAT_PATH, remote, 200);
		ck_counted((unsigned)i, METRIC_FIRST_BYTE_SECONDS, CHAT_PATH, remote, ANY);
	}
	ck_counted(1, METRIC_UPSTREAM_CONNECTS, ANY, remote, ANY);
	ck_counted(2, METRIC_UPSTREAM_REUSES, ANY, remote, ANY);
	ck_assert_uint_eq(tokens(TOKENS_INPUT), 3 + 3 * 30);
	ck_assert_uint_eq(tokens(TOKENS_OUTPUT), 3 + 3 * 5);
	ck_assert_uint_eq(tokens(TOKENS_CACHE_READ), 3 * 60);
	ck_assert_uint_eq(tokens(TOKENS_CACHE_WRITE), 3 * 10);
	ck_assert_uint_eq(tokens(TOKENS_REASONING), 3 * 15);
	ck_counted(0, METRIC_USAGE_MISSING, ANY, ANY, ANY);
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says(UP "application/json\r\nContent-Length: 2\r\n\r\n{}");
	ck_counted(1, METRIC_USAGE_MISSING, ANY, remote, ANY);
	post("/v1/audio/speech", "{\"model\":\"remote\"}");
	provider_says(UP "audio/mpeg\r\nContent-Length: 2\r\n\r\n{}");
	ck_counted(1, METRIC_USAGE_MISSING, ANY, ANY, ANY);
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says(
		"HTTP/1.1 429 Too Many\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, remote, 429);
	ck_counted(0, METRIC_UPSTREAM_ERRORS, ANY, ANY, ANY);
	ck_counted(1, METRIC_USAGE_MISSING, ANY, ANY, ANY);
	ck_counted(0, METRIC_RATE_LIMITED, ANY, ANY, ANY);
	check_sums();
	teardown();
}
END_TEST

START_TEST(streamed_requests)
{
	static const char stream[] = UP "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
					"10\r\ndata: {\"id\":0}\n\n\r\n";
	static const char end[] =
		"b7\r\ndata: {" USAGE "}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

	setup();
	house.providers[HOUSE_REMOTE].timeouts.idle_ms = 60000;
	open_client();
	post("/v1/chat/completions",
		CHAT("echo", "true")); /* who does not ask for usage gets none */
	ck_counted(1, METRIC_USAGE_MISSING, ANY, ANY, ANY);
	post("/v1/chat/completions", CHAT("remote", "true"));
	provider_says(stream);
	ck_counted(0, METRIC_HEARTBEATS, ANY, ANY, ANY);
	for (unsigned i = 1; i <= 2; i++) {
		house.now_ms += 15001;
		turns(5);
		ck_counted(i, METRIC_HEARTBEATS, ANY, ANY, ANY);
	}
	ck_counted(1, METRIC_REQUESTS, ANY, ANY, ANY); /* it is not over */
	provider_says(end);
	ck_counted(2, METRIC_REQUESTS, CHAT_PATH, ANY, 200);
	ck_assert_uint_eq(tokens(TOKENS_INPUT), 30);
	ck_assert_uint_eq(tokens(TOKENS_REASONING), 15);
	ck_counted(1, METRIC_USAGE_MISSING, ANY, ANY, ANY);
	ck_counted(2, METRIC_FIRST_BYTE_SECONDS, ANY, ANY, ANY);
	ck_assert_uint_ge(time_of(METRIC_REQUEST_SECONDS), 30000000);
	ck_assert_uint_lt(time_of(METRIC_FIRST_BYTE_SECONDS), 15000000);
	ck_assert_uint_lt(time_of(METRIC_OVERHEAD_SECONDS), 1000000);
	teardown();
}
END_TEST

START_TEST(the_client_goes)
{
	unsigned remote;

	setup();
	remote = house.providers[HOUSE_REMOTE].label;
	open_client(); /* in the middle of a head: there is no request */
	say("POST /v1/chat/comp");
	close_client();
	ck_counted(0, METRIC_REQUESTS, ANY, ANY, ANY);
	open_client(); /* of a body */
	say("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{");
	close_client();
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, LABEL_OTHER, 0);
	open_client(); /* before an answer */
	post("/v1/chat/completions", CHAT("remote", "false"));
	turns(10);
	close_client();
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, remote, 0);
	ck_assert_uint_eq(closes(SIDE_UPSTREAM, CLOSE_ABANDONED), 1);
	close(provider);
	provider = -1;
	open_client(); /* in the middle of one */
	post("/v1/audio/speech", "{\"model\":\"remote\"}");
	provider_says(UP "audio/mpeg\r\nContent-Length: 10\r\n\r\n123");
	ck_assert_ptr_nonnull(strstr(got, "123"));
	close_client();
	ck_counted(1, METRIC_REQUESTS, PATH_ENDPOINTS + ENDPOINT_SPEECH, remote, 200);
	ck_counted(1, METRIC_FIRST_BYTE_SECONDS, ANY, remote, ANY);
	ck_assert_uint_eq(closes(SIDE_UPSTREAM, CLOSE_ABANDONED), 2);
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_PEER), 4);
	ck_counted(0, METRIC_UPSTREAM_ERRORS, ANY, ANY, ANY);
	ck_counted(3, METRIC_REQUESTS, ANY, ANY, ANY);
	teardown();
}
END_TEST

START_TEST(the_provider_fails)
{
	unsigned remote;

	setup();
	remote = house.providers[HOUSE_REMOTE].label;
	open_client();
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_closes();
	ck_counted(1, METRIC_UPSTREAM_ERRORS, ANY, remote, UPSTREAM_CLOSED);
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says("nonsense\r\n\r\n");
	provider_closes();
	ck_counted(1, METRIC_UPSTREAM_ERRORS, ANY, remote, UPSTREAM_HTTP);
	ck_counted(2, METRIC_REQUESTS, CHAT_PATH, remote, 502);
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says(
		"HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	ck_counted(1, METRIC_UPSTREAM_ERRORS, ANY, remote, UPSTREAM_STATUS);
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, remote, 503);
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
	ck_counted(1, METRIC_UPSTREAM_ERRORS, ANY, remote, UPSTREAM_REDIRECT);
	provider_closes();
	ck_counted(0, METRIC_UPSTREAM_ALERTS, ANY, ANY, ANY);
	post("/v1/audio/speech", "{\"model\":\"remote\"}");
	provider_says(UP "audio/mpeg\r\nContent-Length: 10\r\n\r\n123");
	provider_closes();
	ck_counted(1, METRIC_UPSTREAM_ERRORS, ANY, remote, UPSTREAM_CUT);
	ck_counted(1, METRIC_REQUESTS, PATH_ENDPOINTS + ENDPOINT_SPEECH, remote, 200);
	ck_counted(5, METRIC_UPSTREAM_ERRORS, ANY, ANY, ANY);
	ck_counted(5, METRIC_REQUESTS, ANY, ANY, ANY);
	ck_counted(1, METRIC_UPSTREAM_ALERTS, ANY, remote, ANY);
	turns(4);
	close_client();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_CUT), 1);
	teardown();
}
END_TEST

/* What the router itself lacks is no trouble of the provider. */
START_TEST(a_full_pool_is_no_alert)
{
	setup();
	house.providers[HOUSE_REMOTE].connections.max = 0;
	open_client();
	for (int i = 0; i < 6; i++)
		post("/v1/chat/completions", CHAT("remote", "false"));
	ck_counted(6, METRIC_UPSTREAM_ERRORS, ANY, ANY, UPSTREAM_FULL);
	ck_counted(6, METRIC_REQUESTS, CHAT_PATH, house.providers[HOUSE_REMOTE].label, 503);
	ck_counted(0, METRIC_UPSTREAM_ALERTS, ANY, ANY, ANY);
	teardown();
}
END_TEST

#define ERRORS "api_router_upstream_errors_total"

/* Two ways to fail have one word; a series must not stand in the text twice. */
START_TEST(a_missing_and_a_refused_credential_are_one_series)
{
	struct conf_provider *p = &house.providers[HOUSE_REMOTE];
	struct buf out = BUF_EMPTY;
	struct metrics_source from;
	static const char want[] = ERRORS "{provider=\"remote\",kind=\"credential\"} 2\n#";
	const char *first;

	setup();
	p->credential = CREDENTIAL_PROVIDER;
	p->api_key_name = STR("env:KEY");
	open_client();
	post("/v1/chat/completions", CHAT("remote", "false")); /* the variable is not set */
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, p->label, 502);
	p->api_key = STR("secret");
	post("/v1/chat/completions", CHAT("remote", "false"));
	provider_says("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
	ck_counted(2, METRIC_UPSTREAM_ERRORS, ANY, ANY, ANY);
	from = (struct metrics_source){ .board = house.board,
		.series = house.series,
		.limits = house.limits };
	ck_assert_int_eq(metrics_text(&out, &from), 0);
	buf_add(&out, (struct str){ "", 1 });
	first = strstr(buf_str(&out).p, "\n" ERRORS "{");
	ck_assert_ptr_nonnull(first);
	ck_assert_msg(strncmp(first + 1, want, strlen(want)) == 0, "%.200s", first);
	buf_free(&out);
	teardown();
}
END_TEST

START_TEST(keys_and_limits)
{
	uint64_t key, by_bob = 0;
	unsigned bucket;

	setup();
	for (unsigned i = 0; i < 2; i++) {
		secret_hash(i ? STR("bobs-long-key") : STR("alices-long-key"), keys[i].hash);
		keys[i].rate = (struct conf_rate){ 0, 0 };
	}
	keys[1].rate = (struct conf_rate){ 1, 2 };
	house.conf.clients = keys;
	house.conf.n_clients = 2;
	count_name(house.series, &house.conf);
	open_client();
	for (int i = 0; i < 5; i++)
		say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nx-api-key: bobs-long-key\r\nContent-Length: 31\r\n\r\n"
		    "{\"model\":\"echo\",\"prompt\":\"a b\"}");
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nx-api-key: alices-long-key\r\nContent-Length: 31\r\n\r\n"
	    "{\"model\":\"echo\",\"prompt\":\"a b\"}");
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nx-api-key: somebody\r\nContent-Length: 31\r\n\r\n"
	    "{\"model\":\"echo\",\"prompt\":\"a b\"}");
	ck_counted(3, METRIC_REQUESTS, ANY, house.providers[HOUSE_ECHO].label, 200);
	ck_counted(3, METRIC_REQUESTS, ANY, LABEL_OTHER, 429);
	ck_counted(1, METRIC_REQUESTS, ANY, LABEL_OTHER, 401);
	ck_counted(3, METRIC_RATE_LIMITED, PATH_ENDPOINTS + ENDPOINT_COMPLETIONS, ANY, ANY);
	for (unsigned i = 0; (key = series_key(house.series, i)) != 0; i++) {
		struct count_key k = count_unpack(key, &bucket);

		if (k.metric == METRIC_REQUESTS && k.detail == 401)
			ck_assert_uint_eq(k.client, LABEL_OTHER);
		if (k.metric == METRIC_RATE_LIMITED)
			ck_assert_uint_eq(k.client, keys[1].label);
		if (k.metric == METRIC_REQUESTS && k.client == keys[1].label)
			by_bob += series_sum(house.series, i, SCOREBOARD_ROWS);
	}
	ck_assert_uint_eq(by_bob, 5);
	teardown();
}
END_TEST

START_TEST(one_request_however_it_comes)
{
	setup();
	open_client(); /* told to go on first */
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 32\r\n\r\n");
	ck_assert_str_eq(got, "HTTP/1.1 100 Continue\r\n\r\n");
	ck_counted(0, METRIC_REQUESTS, ANY, ANY, ANY);
	say("{\"model\":\"echo\",\"prompt\":\"word\"}");
	ck_counted(1, METRIC_REQUESTS, ANY, ANY, 200);
	for (const char *p = GET("/"); *p; p++) /* in pieces */
		say((char[]){ *p, '\0' });
	ck_counted(1, METRIC_REQUESTS, PATH_root, ANY, 200);
	say(GET("/health") GET("/health") GET("/health")); /* at once */
	turns(10);
	ck_counted(3, METRIC_REQUESTS, PATH_health, ANY, 200);
	ck_counted(5, METRIC_REQUESTS, ANY, ANY, ANY);
	check_sums();
	teardown();
}
END_TEST

START_TEST(drained_and_stopped)
{
	setup();
	open_client();
	say(GET("/"));
	house.proxy.draining = true;
	clients_drain(&house.clients);
	say(GET("/"));
	ck_counted(2, METRIC_REQUESTS, PATH_root, ANY, 200);
	close_client();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_DRAIN), 1);
	house.proxy.draining = false;
	open_client();
	post("/v1/chat/completions", CHAT("remote", "false"));
	turns(10);
	clients_stop(&house.clients);
	turns(4);
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, house.providers[HOUSE_REMOTE].label, 503);
	close_client();
	ck_counted(3, METRIC_REQUESTS, ANY, ANY, ANY);
	open_client(); /* closed at once, with a request and its connection under way */
	close(provider);
	provider = -1;
	post("/v1/chat/completions", CHAT("remote", "false"));
	clients_close(&house.clients);
	turns(4);
	ck_counted(1, METRIC_REQUESTS, CHAT_PATH, house.providers[HOUSE_REMOTE].label, 0);
	ck_counted(4, METRIC_REQUESTS, ANY, ANY, ANY);
	teardown();
}
END_TEST

/* Those that were closed as soon as they were accepted are counted too. */
START_TEST(connections_without_room_are_counted)
{
	enum { MANY = 30 };
	int fds[MANY];

	setup();
	house.clients.limit = 1;
	open_client();
	say("POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\n");
	for (int i = 0; i < MANY; i++)
		fds[i] = connection();
	check_sums();
	turns(4);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	turns(4);
	check_sums();
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_FULL), MANY);
	house.clients.limit = 100;
	mem_fail_after(1);
	close(connection());
	mem_fail_after(0);
	ck_assert_uint_eq(closes(SIDE_CLIENT, CLOSE_MEMORY), 1);
	teardown();
}
END_TEST

/* A reply whose head comes in two pieces: what the turns have cost counts once, however many things
 * of this request each of them saw. */
START_TEST(overhead_is_counted_once)
{
	setup();
	open_client();
	post("/v1/chat/completions", CHAT("remote", "false"));
	turns(10);
	provider_says("HTTP/1.1 200 OK\r\nContent-Type: appl");
	ck_assert_uint_eq(time_of(METRIC_OVERHEAD_SECONDS), 0);
	clock_fake_cost(50); /* of each turn, until somebody looks */
	provider_says("ication/json\r\nContent-Length: 10\r\n\r\n12345");
	provider_says("67890");
	ck_counted(1, METRIC_REQUESTS, ANY, ANY, 200);
	ck_assert_uint_eq(time_of(METRIC_OVERHEAD_SECONDS), 100);
	clock_fake_cost(0);
	teardown();
}
END_TEST

/* Whatever fails for want of memory is counted once, or not at all where there is none for a
 * request. */
START_TEST(without_memory)
{
	setup();
	for (size_t n = 1; n < 60; n++) {
		uint64_t before = counted(METRIC_REQUESTS, ANY, ANY, ANY);

		open_client();
		mem_fail_after(n);
		post("/v1/chat/completions", CHAT("echo", "true"));
		mem_fail_after(0);
		turns(5);
		close_client();
		ck_assert_uint_le(counted(METRIC_REQUESTS, ANY, ANY, ANY), before + 1);
		check_sums();
	}
	teardown();
}
END_TEST

UNIT_MAIN("proxy/account", refused_requests_are_counted_once, time_ends_requests_and_connections,
	answered_requests, streamed_requests, the_client_goes, the_provider_fails,
	a_full_pool_is_no_alert, a_missing_and_a_refused_credential_are_one_series, keys_and_limits,
	one_request_however_it_comes, drained_and_stopped, connections_without_room_are_counted,
	overhead_is_counted_once, without_memory)
