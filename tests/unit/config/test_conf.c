/*
 * Configurations that are right: defaults, every name read back, what is printed loads to the same,
 * includes, command line, pid_file.
 */
#include "unit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "config_dir.h"

#define ECHO_ "providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };\n"

/* What was told, as "FILE:LINE: TEXT" lines without the directory of the test. */
struct told {
	char text[4096];
	size_t len;
};

static void
collect(void *ctx, const char *file, unsigned line, const char *text)
{
	struct told *t = ctx;
	size_t skip = strncmp(file, dir, strlen(dir)) == 0 && dir[0] ? strlen(dir) + 1 : 0;

	t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, "%s:%u: %s\n",
		file + skip, line, text);
}

static struct conf *
load_with(struct conf_options o, const char *text)
{
	struct told t = { .len = 0 };
	struct conf *c;

	if (!o.path)
		o.path = "/etc/x/t.conf";
	c = conf_load_text(&o, str_of(text), collect, &t);
	ck_assert_msg(c != NULL, "%s", t.text);
	return c;
}

static struct conf *
load(const char *text)
{
	return load_with((struct conf_options){ .path = NULL }, text);
}

static void
refuse(struct conf_options o, const char *text, const char *messages)
{
	struct told t = { .len = 0 };

	if (!o.path)
		o.path = "t.conf";
	ck_assert_ptr_null(conf_load_text(&o, str_of(text), collect, &t));
	ck_assert_str_eq(t.text, messages);
}

#define ck_assert_text(s, literal)                                                            \
	do {                                                                                  \
		struct str is_ = (s);                                                         \
		ck_assert_msg(str_eq(is_, STR(literal)), "%s is \"%.*s\"", #s, STR_ARG(is_)); \
	} while (0)

START_TEST(defaults)
{
	struct conf *c = load(ECHO_);
	const struct conf_provider *p;

	ck_assert_text(c->path, "/etc/x/t.conf");
	ck_assert_uint_gt(c->user.len, 0);
	ck_assert_text(c->group, "");
	ck_assert(c->workers >= 1 && c->workers <= 256);
	ck_assert_text(c->pid_file, "/run/api-router.pid");
	ck_assert(c->pid_file_at.line == 0);
	ck_assert_uint_eq(c->n_listens, 1);
	ck_assert_text(c->listens[0].address, "127.0.0.1");
	ck_assert_uint_eq(c->listens[0].port, 8000);
	ck_assert_uint_eq(sock_port(&c->listens[0].socks[0]), 8000);
	ck_assert_uint_eq(c->listens[0].n_socks, 1);
	ck_assert(c->listens[0].admin);
	ck_assert_text(c->log.file, "stderr");
	ck_assert_int_eq(c->log.level, LEVEL_INFO);
	ck_assert_int_eq(c->log.format, FORMAT_TEXT);
	ck_assert(!c->log.given);
	ck_assert_text(c->access_log.file, "stdout");
	ck_assert_int_eq(c->access_log.format, FORMAT_TEXT);
	ck_assert(!c->access_log.given);
	ck_assert_uint_eq(c->limits.connections, 2000);
	ck_assert_uint_eq(c->limits.memory, 268435456);
	ck_assert_uint_eq(c->limits.header_bytes, 32768);
	ck_assert_uint_eq(c->limits.headers, 100);
	ck_assert_uint_eq(c->limits.body_bytes, 33554432);
	ck_assert_uint_eq(c->limits.reply_bytes, 33554432);
	ck_assert_uint_eq(c->limits.event_bytes, 33554432);
	ck_assert_uint_eq(c->limits.rate_bytes, 240);
	ck_assert_uint_eq(c->limits.json_depth, 512);
	ck_assert_uint_eq(c->timeouts.head_ms, 10000);
	ck_assert_uint_eq(c->timeouts.body_ms, 30000);
	ck_assert_uint_eq(c->timeouts.keep_alive_ms, 75000);
	ck_assert_uint_eq(c->timeouts.send_ms, 60000);
	ck_assert_uint_eq(c->timeouts.drain_ms, 0);
	ck_assert_uint_eq(c->attempt.connect_ms, 5000);
	ck_assert_uint_eq(c->attempt.first_byte_ms, 600000);
	ck_assert_uint_eq(c->attempt.idle_ms, 300000);
	ck_assert_uint_eq(c->attempt.total_ms, 0);
	ck_assert_uint_eq(c->stream.heartbeat_ms, 15000);
	ck_assert_uint_eq(c->stream.buffer_bytes, 65536);
	ck_assert(!c->open);
	ck_assert_uint_eq(c->n_providers, 1);
	p = &c->providers[0];
	ck_assert_text(p->name, "echo");
	ck_assert_int_eq(p->dialect, DIALECT_ECHO);
	ck_assert_int_eq(p->credential, CREDENTIAL_NONE);
	ck_assert_uint_eq(p->echo_first_byte_ms, 0);
	ck_assert_uint_eq(p->echo_interval_ms, 0);
	ck_assert_text(p->api_key, "");
	ck_assert_text(p->api_key_name, "");
	ck_assert_uint_eq(c->n_routes, 1);
	ck_assert(c->routes[0].literal_model);
	conf_free(c);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(defaults_of_providers)
{
	struct conf *c = load(
		"timeouts: { connect = 2.0; first_byte = 3; idle = 4; total = 5; };\n"
		"limits: { connections = 77; };\n"
		"providers: { o: { base_url = \"http://h/v1\"; };\n"
		"a: { dialect = \"anthropic\"; base_url = \"http://h\"; api_key = \"k\"; timeouts: { idle = 9; }; }; };");
	const struct conf_provider *o = &c->providers[0], *a = &c->providers[1];

	ck_assert_int_eq(o->dialect, DIALECT_OPENAI);
	ck_assert_int_eq(o->credential, CREDENTIAL_NONE);
	ck_assert_text(o->version, "");
	ck_assert(o->verify);
	ck_assert(!o->https);
	ck_assert_ptr_null(o->tls);
	ck_assert_text(o->server_name, "h");
	ck_assert_uint_eq(o->connections.max, 77);
	ck_assert_uint_eq(o->connections.idle, 64);
	ck_assert_uint_eq(o->connections.idle_timeout_ms, 60000);
	ck_assert_uint_eq(o->timeouts.connect_ms, 2000);
	ck_assert_uint_eq(o->timeouts.first_byte_ms, 3000);
	ck_assert_uint_eq(o->timeouts.idle_ms, 4000);
	ck_assert_uint_eq(o->timeouts.total_ms, 5000);
	ck_assert_uint_eq(a->index, 1);
	ck_assert_int_eq(a->dialect, DIALECT_ANTHROPIC);
	ck_assert_int_eq(a->credential, CREDENTIAL_PROVIDER);
	ck_assert_text(a->version, "2023-06-01");
	ck_assert_text(a->api_key, "k");
	ck_assert_text(a->api_key_name, "a literal");
	ck_assert_uint_eq(a->timeouts.connect_ms, 2000);
	ck_assert_uint_eq(a->timeouts.idle_ms, 9000);
	conf_free(c);
}
END_TEST

#define ck_assert_rate(r, per, b)                       \
	do {                                            \
		ck_assert_uint_eq((r).per_minute, per); \
		ck_assert_uint_eq((r).burst, b);        \
	} while (0)

static const char everything[] =
	"user = \"daemon\"; group = \"daemon\"; workers = 3; pid_file = \"/tmp/x.pid\"; open = true;\n"
	"listen = ( { address = \"*\"; port = 8001; admin = true; }, { address = \"::1\"; port = 8002; admin = false; },\n"
	"	{ address = \"127.0.0.2\"; }, { address = \"192.0.2.1\"; port = 8003; } );\n"
	"log: { file = \"/tmp/a.log\"; level = \"debug\"; format = \"json\"; };\n"
	"access_log: { file = \"off\"; format = \"json\"; };\n"
	"limits: { connections = 10; memory = 5000000000; header_bytes = 2048; headers = 20; body_bytes = 0x1000;\n"
	"	reply_bytes = 3000L; event_bytes = 4000LL; rate_bytes = 0; json_depth = 8; rate_buckets = 128; };\n"
	"timeouts: { head = 0.1; body = 1.5; keep_alive = 2; send = 3.25; connect = 0.5; first_byte = 1e1; idle = .25;\n"
	"	total = 100.; drain = 86400; };\n"
	"stream: { heartbeat = 0; buffer_bytes = 1024; }; reload = \"auto\"; rate_limit: { requests_per_minute = 50; burst = 5; };\n"
	"clients: { alice: { key = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"; models = ( \"m*\", \"e\" ); };\n"
	"	bob: { key = \"sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210\"; rate_limit: { requests_per_minute = 7; }; }; };\n"
	"providers: {\n"
	"	one: { dialect = \"openai\"; base_url = \"https://API.Example.com:8443/v1/?a=b\"; api_key = \"sk-\\x31\\\"2\";\n"
	"		credential = \"client-or-provider\"; headers: { User-Agent = \"api-router/1.0\"; X-API-Key = \"hush\"; };\n"
	"		models = [ \"m1\", \"m2\" ]; model_map = ( { from = \"a\"; to = \"b\"; }, { from = \"c\"; to = \"d\"; } );\n"
	"		tls: { verify = false; server_name = \"other.example.com\"; };\n"
	"		connections: { max = 5; idle = 0; idle_timeout = 0.5; };\n"
	"		timeouts: { connect = 1; first_byte = 2; idle = 3; total = 4; };\n"
	"		endpoints = ( { path = \"/v1/chat/completions\"; upstream_path = \"/chat?x=1\"; method = \"PUT\";\n"
	"			headers: { Accept = \"a/b\"; user-agent = \"own\"; }; rate_limit: { requests_per_minute = 3; };\n"
	"			stream: { heartbeat = 2.5; }; }, { path = \"/v1/embeddings\"; } );\n"
	"		max_tokens = 100000000; unsupported = \"reject\"; model_options = ( { model = \"m*\"; strip = [ \"x\" ]; }, { } );\n"
	"		rate_limit: { requests_per_minute = 1000000; burst = 100000; }; };\n"
	"	two: { dialect = \"anthropic\"; base_url = \"http://[::1]:81\"; version = \"2024-01-01\"; credential = \"client\";\n"
	"		headers = ( { name = \"x.odd\"; value = \"a \\\\ b\"; } ); };\n"
	"	three: { dialect = \"echo\"; models = ( \"m1\", \"e\" ); echo: { first_byte = 0.5; interval = 0.02; }; };\n"
	"};\n"
	"routes = (\n"
	"	{ path = \"/v1/chat/*\"; model = \"fast\"; targets = ( { provider = \"one\"; model = \"m1\"; weight = 3; },\n"
	"		{ provider = \"three\"; } ); },\n"
	"	{ model = \"claude-*\"; provider = \"two\"; } );\n";

static void
check_general(const struct conf *c)
{
	ck_assert_text(c->user, "daemon");
	ck_assert_text(c->group, "daemon");
	ck_assert_uint_eq(c->workers, 3);
	ck_assert_text(c->pid_file, "/tmp/x.pid");
	ck_assert(c->pid_file_at.line > 0 && c->open && c->log.given && c->access_log.given);
	ck_assert_text(c->log.file, "/tmp/a.log");
	ck_assert_int_eq(c->log.level, LEVEL_DEBUG);
	ck_assert_int_eq(c->log.format, FORMAT_JSON);
	ck_assert_text(c->access_log.file, "off");
	ck_assert_int_eq(c->access_log.format, FORMAT_JSON);
	ck_assert_uint_eq(c->limits.connections, 10);
	ck_assert_uint_eq(c->limits.memory, 5000000000);
	ck_assert_uint_eq(c->limits.header_bytes, 2048);
	ck_assert_uint_eq(c->limits.headers, 20);
	ck_assert_uint_eq(c->limits.body_bytes, 4096);
	ck_assert_uint_eq(c->limits.reply_bytes, 3000);
	ck_assert_uint_eq(c->limits.event_bytes, 4000);
	ck_assert_uint_eq(c->limits.rate_bytes, 0);
	ck_assert_uint_eq(c->limits.json_depth, 8);
	ck_assert_uint_eq(c->timeouts.head_ms, 100);
	ck_assert_uint_eq(c->timeouts.body_ms, 1500);
	ck_assert_uint_eq(c->timeouts.keep_alive_ms, 2000);
	ck_assert_uint_eq(c->timeouts.send_ms, 3250);
	ck_assert_uint_eq(c->timeouts.drain_ms, 86400000);
	ck_assert_uint_eq(c->attempt.connect_ms, 500);
	ck_assert_uint_eq(c->attempt.first_byte_ms, 10000);
	ck_assert_uint_eq(c->attempt.idle_ms, 250);
	ck_assert_uint_eq(c->attempt.total_ms, 100000);
	ck_assert_uint_eq(c->stream.heartbeat_ms, 0);
	ck_assert_uint_eq(c->stream.buffer_bytes, 1024);
	ck_assert_uint_eq(c->limits.rate_buckets, 128);
	ck_assert_int_eq(c->reload, RELOAD_AUTO);
	ck_assert_rate(c->rate, 50, 5);
}

static void
check_clients(const struct conf *c)
{
	const struct conf_client *alice = &c->clients[0], *bob = &c->clients[1];

	ck_assert_uint_eq(c->n_clients, 2);
	ck_assert_text(alice->name, "alice");
	ck_assert_uint_eq(alice->hash[0], 0x01);
	ck_assert_uint_eq(alice->hash[31], 0xef);
	ck_assert_uint_eq(alice->n_models, 2);
	ck_assert_text(alice->models[0], "m*");
	ck_assert_rate(alice->rate, 50, 5);
	ck_assert_text(bob->name, "bob");
	ck_assert_uint_eq(bob->hash[0], 0xfe);
	/* its own takes the place of the general one, all of it */
	ck_assert_rate(bob->rate, 7, 0);
}

static void
check_endpoints(const struct conf_provider *p)
{
	const struct conf_endpoint *chat = &p->endpoints[0], *embeddings = &p->endpoints[1];

	ck_assert_rate(p->rate, 1000000, 100000);
	ck_assert_uint_eq(p->n_endpoints, 2);
	ck_assert_ptr_eq(p->by_endpoint[ENDPOINT_CHAT], chat);
	ck_assert_ptr_eq(p->by_endpoint[ENDPOINT_EMBEDDINGS], embeddings);
	ck_assert_ptr_null(p->by_endpoint[ENDPOINT_COMPLETIONS]);
	ck_assert_text(chat->target, "/chat");
	ck_assert_text(chat->query, "x=1");
	ck_assert_text(chat->method_name, "PUT");
	ck_assert_rate(chat->rate, 3, 0);
	ck_assert_uint_eq(chat->stream.heartbeat_ms, 2500);
	ck_assert_uint_eq(chat->stream.buffer_bytes, 1024);
	ck_assert_uint_eq(chat->n_all_headers, 3);
	ck_assert_text(chat->all_headers[0].name, "X-API-Key");
	ck_assert_text(chat->all_headers[1].name, "Accept");
	ck_assert_text(chat->all_headers[2].value, "own");
	ck_assert_text(embeddings->target, "");
	ck_assert_text(embeddings->method_name, "POST");
	ck_assert_rate(embeddings->rate, 1000000, 100000);
	ck_assert_uint_eq(embeddings->n_all_headers, 2);
}

static void
check_listens(const struct conf *c)
{
	ck_assert_uint_eq(c->n_listens, 4);
	ck_assert_uint_eq(c->listens[0].n_socks, 2);
	ck_assert_int_eq(c->listens[0].socks[0].any.sa_family, AF_INET6);
	ck_assert_int_eq(c->listens[0].socks[1].any.sa_family, AF_INET);
	ck_assert_uint_eq(sock_port(&c->listens[0].socks[1]), 8001);
	ck_assert(c->listens[0].admin);
	ck_assert(!c->listens[1].admin);
	ck_assert_int_eq(c->listens[1].socks[0].any.sa_family, AF_INET6);
	ck_assert(c->listens[2].admin);
	ck_assert_uint_eq(c->listens[2].port, 8000);
	ck_assert(!c->listens[3].admin);
}

static void
check_one(const struct conf_provider *p)
{
	ck_assert_text(p->base_url, "https://API.Example.com:8443/v1/?a=b");
	ck_assert(p->https && p->tls && !p->verify && !p->is_numeric);
	ck_assert_text(p->host, "api.example.com");
	ck_assert_int_eq(p->host.p[p->host.len], '\0');
	ck_assert_uint_eq(p->port, 8443);
	ck_assert_text(p->host_field, "api.example.com:8443");
	ck_assert_text(p->base_path, "/v1");
	ck_assert_text(p->base_query, "a=b");
	ck_assert_text(p->server_name, "other.example.com");
	ck_assert_text(p->api_key, "sk-1\"2");
	ck_assert_text(p->api_key_name, "a literal");
	ck_assert_int_eq(p->credential, CREDENTIAL_CLIENT_OR_PROVIDER);
	ck_assert_uint_eq(p->n_headers, 2);
	ck_assert_text(p->headers[0].name, "User-Agent");
	ck_assert_text(p->headers[0].value, "api-router/1.0");
	ck_assert_text(p->headers[1].value, "hush");
	ck_assert_uint_eq(p->n_models, 2);
	ck_assert_text(p->models[1], "m2");
	ck_assert_uint_eq(p->n_maps, 2);
	ck_assert_text(p->maps[1].from, "c");
	ck_assert_text(p->maps[1].to, "d");
	ck_assert_uint_eq(p->connections.max, 5);
	ck_assert_uint_eq(p->connections.idle, 0);
	ck_assert_uint_eq(p->connections.idle_timeout_ms, 500);
	ck_assert_uint_eq(p->timeouts.connect_ms, 1000);
	ck_assert_uint_eq(p->timeouts.first_byte_ms, 2000);
	ck_assert_uint_eq(p->timeouts.idle_ms, 3000);
	ck_assert_uint_eq(p->timeouts.total_ms, 4000);
}

static void
check_routes(const struct conf *c)
{
	const struct conf_route *r = c->routes;

	ck_assert_uint_eq(c->n_routes, 5);
	ck_assert_text(r[0].path, "/v1/chat/*");
	ck_assert_text(r[0].model, "fast");
	ck_assert_uint_eq(r[0].line, 30);
	ck_assert_uint_eq(r[0].n_targets, 2);
	ck_assert_uint_eq(r[0].weights, 4);
	ck_assert_ptr_eq(r[0].targets[0].provider, &c->providers[0]);
	ck_assert_text(r[0].targets[0].model, "m1");
	ck_assert_uint_eq(r[0].targets[0].weight, 3);
	ck_assert_ptr_eq(r[0].targets[1].provider, &c->providers[2]);
	ck_assert_text(r[0].targets[1].model, "");
	ck_assert_uint_eq(r[0].targets[1].weight, 1);
	ck_assert_text(r[1].path, "*");
	ck_assert_uint_eq(r[1].line, 32);
	ck_assert_ptr_eq(r[1].targets[0].provider, &c->providers[1]);
	/* m1 of `one`, m2, e; m1 of `three` has its route already */
	ck_assert_text(r[2].model, "m1");
	ck_assert_ptr_eq(r[2].targets[0].provider, &c->providers[0]);
	ck_assert_text(r[3].model, "m2");
	ck_assert_text(r[4].model, "e");
	for (size_t i = 0; i < c->n_routes; i++)
		ck_assert_int_eq(r[i].literal_model, i >= 2);
}

START_TEST(everything_is_read_back)
{
	struct conf *c = load(everything);

	check_general(c);
	check_listens(c);
	check_clients(c);
	check_one(&c->providers[0]);
	check_endpoints(&c->providers[0]);
	ck_assert_text(c->providers[1].version, "2024-01-01");
	ck_assert_int_eq(c->providers[1].credential, CREDENTIAL_CLIENT);
	ck_assert(c->providers[1].is_numeric);
	ck_assert_text(c->providers[1].host, "::1");
	ck_assert_text(c->providers[1].host_field, "[::1]:81");
	ck_assert_text(c->providers[1].headers[0].name, "x.odd");
	ck_assert_text(c->providers[1].headers[0].value, "a \\ b");
	ck_assert_uint_eq(c->providers[2].echo_first_byte_ms, 500);
	ck_assert_uint_eq(c->providers[2].echo_interval_ms, 20);
	check_routes(c);
	conf_free(c);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

static char *
print(const struct conf *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(f);
	conf_print(c, f);
	fclose(f);
	return text;
}

START_TEST(print_loads_to_the_same)
{
	static const char *const texts[] = { everything, ECHO_,
		"workers = \"auto\"; routes = ( );" ECHO_ };

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct conf *c = load(texts[i]);
		char *first = print(c), *second;

		conf_free(c);
		c = load(first);
		second = print(c);
		ck_assert_str_eq(first, second);
		conf_free(c);
		free(first);
		free(second);
	}
}
END_TEST

START_TEST(print_says_all_but_secrets)
{
	struct conf *c = load(everything);
	char *text = print(c);

	ck_assert_ptr_null(strstr(text, "sk-"));
	ck_assert_ptr_null(strstr(text, "hush"));
	ck_assert_ptr_nonnull(strstr(text, "api_key = \"***\";\n"));
	ck_assert_ptr_nonnull(strstr(text, "{ name = \"X-API-Key\"; value = \"***\"; }\n"));
	ck_assert_ptr_nonnull(strstr(text, "{ name = \"x.odd\"; value = \"a \\\\ b\"; }\n"));
	ck_assert_ptr_nonnull(strstr(text, "memory = 5000000000;\n"));
	ck_assert_ptr_nonnull(strstr(text, "send = 3.25;\n"));
	ck_assert_ptr_nonnull(strstr(text, "keep_alive = 2.0;\n"));
	ck_assert_ptr_nonnull(strstr(text,
		"{ path = \"*\"; model = \"claude-*\"; targets = ( { provider = \"two\"; "
		"model = \"\"; weight = 1; } ); }\n"));
	ck_assert_ptr_null(strstr(text, "api_key = \"\""));
	/* every name of the table that stands in this text */
	for (size_t i = 0; i < conf_n_rows; i++) {
		if (conf_rows[i].scope != SCOPE_ROUTE && conf_rows[i].scope != SCOPE_LISTEN_TLS)
			ck_assert_msg(strstr(text, conf_rows[i].name) != NULL, "%s",
				conf_rows[i].name);
	}
	free(text);
	conf_free(c);
}
END_TEST

START_TEST(urls)
{
	static const struct {
		const char *url, *host, *field, *path, *query;
		uint16_t port;
		bool https, numeric;
	} cases[] = {
		{ "https://api.openai.com/v1", "api.openai.com", "api.openai.com", "/v1", "", 443,
			true, false },
		{ "https://api.anthropic.com", "api.anthropic.com", "api.anthropic.com", "", "",
			443, true, false },
		{ "HTTPS://A.B", "a.b", "a.b", "", "", 443, true, false },
		{ "http://h/", "h", "h", "", "", 80, false, false },
		{ "http://h:80//", "h", "h", "", "", 80, false, false },
		{ "http://h:443", "h", "h:443", "", "", 443, false, false },
		{ "http://h:/x", "h", "h", "/x", "", 80, false, false },
		{ "http://h?x=1", "h", "h", "", "x=1", 80, false, false },
		{ "http://h/a/b/?x=1/", "h", "h", "/a/b", "x=1/", 80, false, false },
		{ "http://h/a%20b?", "h", "h", "/a%20b", "", 80, false, false },
		{ "http://127.0.0.1:11434/v1/", "127.0.0.1", "127.0.0.1:11434", "/v1", "", 11434,
			false, true },
		{ "http://[::1]", "::1", "[::1]", "", "", 80, false, true },
		{ "http://[2001:DB8::1]:8080/v1", "2001:db8::1", "[2001:db8::1]:8080", "/v1", "",
			8080, false, true },
		{ "http://my_host.internal.:65535/", "my_host.internal.", "my_host.internal.:65535",
			"", "", 65535, false, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conf_provider p = { .index = 0 };
		struct arena a;
		const char *fault;

		arena_init(&a, 0);
		fault = conf_url_parse(&a, str_of(cases[i].url), &p);
		ck_assert_msg(!fault, "%s: %s", cases[i].url, fault);
		ck_assert_msg(str_eq(p.host, str_of(cases[i].host)), "%s", cases[i].url);
		ck_assert_msg(str_eq(p.host_field, str_of(cases[i].field)), "%s", cases[i].url);
		ck_assert_msg(str_eq(p.base_path, str_of(cases[i].path)), "%s", cases[i].url);
		ck_assert_msg(str_eq(p.base_query, str_of(cases[i].query)), "%s", cases[i].url);
		ck_assert_msg(p.port == cases[i].port, "%s", cases[i].url);
		ck_assert_msg(p.https == cases[i].https && p.is_numeric == cases[i].numeric, "%s",
			cases[i].url);
		if (p.is_numeric)
			ck_assert_uint_eq(sock_port(&p.numeric), cases[i].port);
		arena_free(&a);
	}
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *text;
		int kind;
		long long n;
	} cases[] = {
		{ "0", 0, 0 },
		{ "+5", 0, 5 },
		{ "-5", 0, -5 },
		{ "010", 0, 10 },
		{ "0x1F", 0, 31 },
		{ "0xfL", 0, 15 },
		{ "12LL", 0, 12 },
		{ "12LLL", -1, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -2, 0 },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "-9223372036854775809", -2, 0 },
		{ "0x7fffffffffffffff", 0, INT64_MAX },
		{ "0x8000000000000000", -2, 0 },
		{ "18446744073709551616", -2, 0 },
		{ "184467440737095516160000", -2, 0 },
		{ "1.", 1, 0 },
		{ ".5", 1, 0 },
		{ "-1.5e-3", 1, 0 },
		{ "1e9", 1, 0 },
		{ "+2.5E+1", 1, 0 },
		{ ".", -1, 0 },
		{ "1e", -1, 0 },
		{ "e5", -1, 0 },
		{ "1.2.3", -1, 0 },
		{ "-", -1, 0 },
		{ "+", -1, 0 },
		{ "0x", -1, 0 },
		{ "-0x10", -1, 0 },
		{ "L", -1, 0 },
		{ "1_000", -1, 0 },
		{ "5k", -1, 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		long long n = 0;

		ck_assert_msg(conf_number(str_of(cases[i].text), &n) == cases[i].kind, "%s",
			cases[i].text);
		ck_assert_msg(cases[i].kind != 0 || n == cases[i].n, "%s is %lld", cases[i].text,
			n);
	}
}
END_TEST

START_TEST(syntax_of_libconfig)
{
	struct conf *c = load(
		"# one\n// two\n/* three\n four */ workers : 2, pid_file = \"/t\" \"m\" // five\n \"p\\x2f\\\\\\q\";\r\n"
		"open = TRUE; log = { level = \"warn\" }; providers = { e = { dialect = \"echo\", models = [ ] } }");

	ck_assert_uint_eq(c->workers, 2);
	ck_assert_text(c->pid_file, "/tmp/\\\\q");
	ck_assert(c->open);
	ck_assert_int_eq(c->log.level, LEVEL_WARN);
	ck_assert_uint_eq(c->n_routes, 0);
	conf_free(c);
}
END_TEST

START_TEST(includes)
{
	struct told t = { .len = 0 };
	struct conf_options o;
	struct conf *c;

	make_dir();
	ck_assert_int_eq(mkdir(in_dir("sub"), 0700), 0);
	write_file("main.conf",
		"workers = 2;\n  @include \"sub/providers.conf\"\nroutes = (\n@include\t\"routes.inc\"\n);\n");
	write_file("sub/providers.conf", "providers: {\n@include \"echo.conf\"\n};\n");
	write_file("sub/echo.conf", "echo: { dialect = \"echo\"; };");
	write_file("routes.inc",
		"{ model = \"a\"; provider = \"echo\"; },\n{ model = \"b\"; provider = \"echo\"; }");
	o = (struct conf_options){ .path = in_dir("main.conf") };
	c = conf_load(&o, collect, &t);
	ck_assert_msg(c != NULL, "%s", t.text);
	ck_assert_uint_eq(c->n_providers, 1);
	ck_assert_uint_eq(c->n_routes, 2);
	ck_assert_uint_eq(c->routes[1].line, 2);
	conf_free(c);

	/* Errors name the file in which they stand. */
	write_file("sub/echo.conf", "\necho: { dialect = \"ecco\"; };");
	write_file("routes.inc", "\n\n{ modle = \"a\"; provider = \"echo\"; }");
	ck_assert_ptr_null(conf_load(&o, collect, &t));
	ck_assert_str_eq(t.text,
		"sub/echo.conf:2: providers.echo.dialect must be \"openai\", \"anthropic\", \"gemini\", \"cohere\", \"ollama\" or \"echo\", not \"ecco\"\n"
		"sub/echo.conf:2: providers.echo needs a base_url, like \"https://api.openai.com/v1\"\n"
		"routes.inc:3: routes[0].modle is unknown: did you mean model?\n");
	ck_assert_uint_eq(mem_used(), 0);
	remove_dir("main.conf", "sub/providers.conf", "sub/echo.conf", "routes.inc", "sub", NULL);
}
END_TEST

static void
refuse_file(const char *messages)
{
	struct conf_options o = { .path = in_dir("main.conf") };
	struct told t = { .len = 0 };

	ck_assert_ptr_null(conf_load(&o, collect, &t));
	ck_assert_str_eq(t.text, messages);
	ck_assert_uint_eq(mem_used(), 0);
}

START_TEST(includes_that_are_wrong)
{
	make_dir();
	write_file("main.conf", "\n@include \"main.conf\"\n" ECHO_);
	refuse_file(
		"main.conf:2: @include: too many files inside each other (does one include itself?)\n");
	write_file("main.conf", ECHO_ "\n@include \"part.conf\"\n");
	write_file("part.conf", "log: {\nlevel = \"info\";\n");
	refuse_file("part.conf:1: this { is never closed\n");
	write_file("main.conf", "\n@include \"part.conf\"\n};\n" ECHO_);
	refuse_file("part.conf:1: this { is not closed in its own file\n");
	write_file("part.conf", "workers = 2;\n\nopen = \"x;");
	refuse_file(
		"part.conf:3: a string is not closed on its line (a line break inside is written \\n)\n");
	write_file("part.conf", "\xef\xbb\xbfworkers = 2;\n");
	refuse_file(
		"part.conf:1: the file begins with a byte-order mark: save it as UTF-8 without one\n");
	write_file("main.conf", "workers = 2;\n@include \"part.conf\"\n" ECHO_);
	write_file("part.conf", "workers = 3;\n");
	refuse_file("part.conf:1: workers stands twice in this group\n");
	write_file("part.conf", "user = \"x\"");
	refuse_file("part.conf:1: a ; is missing after user\n");
	write_file("main.conf", "user = \"a\"\n@include \"part.conf\"\n;" ECHO_);
	write_file("part.conf", "\"b\"");
	refuse_file("main.conf:1: user: a string goes on in another file\n");
	remove_dir("main.conf", "part.conf", NULL);
}
END_TEST

START_TEST(files_that_are_wrong)
{
	struct told t = { .len = 0 };
	struct conf_options o = { .path = "/nonexistent/t.conf" };
	char *large = malloc(CONF_FILE_MOST + 2);

	ck_assert_ptr_null(conf_load(&o, collect, &t));
	ck_assert_str_eq(t.text,
		"/nonexistent/t.conf:0: cannot read the configuration: No such file or directory; the option -c names another\n");
	t.len = 0;
	o.path = "/";
	ck_assert_ptr_null(conf_load(&o, collect, &t));
	ck_assert_str_eq(t.text, "/:0: cannot read the configuration: Is a directory\n");
	t.len = 0;
	o.path = "/dev/null";
	ck_assert_ptr_null(conf_load(&o, collect, &t));
	ck_assert_str_eq(t.text, "/dev/null:0: cannot read the configuration: Invalid argument\n");

	make_dir();
	memset(large, ' ', CONF_FILE_MOST + 1);
	large[CONF_FILE_MOST + 1] = '\0';
	write_file("main.conf", large);
	refuse_file(
		"main.conf:0: cannot read the configuration: larger than a configuration can be\n");
	remove_dir("main.conf", NULL);
	free(large);
}
END_TEST

START_TEST(relative_path_of_the_file)
{
	struct told t = { .len = 0 };
	struct conf_options o = { .path = "main.conf" };
	char home[4096];
	struct conf *c;

	make_dir();
	write_file("main.conf", ECHO_ "pid_file = \"x.pid\"; access_log: { file = \"./a.log\"; };");
	ck_assert_ptr_nonnull(getcwd(home, sizeof home));
	ck_assert_int_eq(chdir(dir), 0);
	c = conf_load(&o, collect, &t);
	ck_assert_msg(c != NULL, "%s", t.text);
	ck_assert_str_eq(c->path.p, in_dir("main.conf"));
	ck_assert_str_eq(c->pid_file.p, in_dir("x.pid"));
	ck_assert_str_eq(c->access_log.file.p, in_dir("./a.log"));
	conf_free(c);
	ck_assert_int_eq(chdir(home), 0);
	remove_dir("main.conf", NULL);
}
END_TEST

START_TEST(port_of_the_command_line)
{
	struct conf_options o = { .port = 9000 };
	struct conf *c = load_with(o, ECHO_);

	ck_assert_uint_eq(c->listens[0].port, 9000);
	ck_assert_uint_eq(sock_port(&c->listens[0].socks[0]), 9000);
	conf_free(c);
	c = load_with(o, "listen = ( { port = 1; }, { port = 2; } );" ECHO_);
	ck_assert_uint_eq(sock_port(&c->listens[0].socks[0]), 9000);
	ck_assert_uint_eq(sock_port(&c->listens[1].socks[0]), 2);
	conf_free(c);
	refuse(o, "listen = ( { port = 1; },\n{ port = 9000; } );" ECHO_,
		"t.conf:2: listen[1] is in the way of listen[0]: both take port 9000 of \"127.0.0.1\"; give one another port\n");
}
END_TEST

/* The kernel chooses: several listeners may ask for that. */
START_TEST(port_zero)
{
	struct conf *c = load("listen = ( { port = 0; }, { port = 0; } );" ECHO_);

	ck_assert_uint_eq(c->n_listens, 2);
	ck_assert_uint_eq(c->listens[1].port, 0);
	ck_assert_uint_eq(sock_port(&c->listens[1].socks[0]), 0);
	conf_free(c);
}
END_TEST

START_TEST(detached)
{
	struct conf_options o = { .detach = true };
	struct conf *c = load_with(o, ECHO_);

	ck_assert_text(c->log.file, "syslog");
	ck_assert_text(c->access_log.file, "syslog");
	conf_free(c);
	c = load_with(o,
		"log: { level = \"warn\"; }; access_log: { file = \"/tmp/x.log\"; };" ECHO_);
	ck_assert_text(c->log.file, "syslog");
	ck_assert_text(c->access_log.file, "/tmp/x.log");
	conf_free(c);
	refuse(o, "log: { file = \"stderr\"; };\naccess_log: { file = \"stdout\"; };" ECHO_,
		"t.conf:1: log.file cannot be \"stderr\" with -D: name a path, or \"syslog\"\n"
		"t.conf:2: access_log.file cannot be \"stdout\" with -D: name a path, or \"syslog\"\n");
}
END_TEST

START_TEST(accounts_of_root)
{
	if (geteuid() != 0)
		return;
	refuse((struct conf_options){ .port = 0 },
		"user = \"nobody-of-that-name\";\ngroup = \"no-such-group\";" ECHO_,
		"t.conf:1: user is \"nobody-of-that-name\", an account that does not exist: useradd --system makes one\n"
		"t.conf:2: group is \"no-such-group\", a group that does not exist: groupadd --system makes one\n");
	refuse((struct conf_options){ .port = 0 }, "\nuser = \"root\";\ngroup = \"root\";" ECHO_,
		"t.conf:2: user must be an account of other rights than root's, not \"root\", which has uid 0: leave it out for api-router or nobody\n"
		"t.conf:3: group must be another group than root's, not \"root\", which has gid 0: leave it out for the user's own\n");
}
END_TEST

START_TEST(key_that_is_not_set_is_no_error)
{
	struct conf *c;

	unsetenv("CONF_TEST_UNSET");
	c = load(
		"providers: { o: { base_url = \"http://h\"; api_key = \"env:CONF_TEST_UNSET\"; }; };");
	ck_assert_text(c->providers[0].api_key, "");
	ck_assert_text(c->providers[0].api_key_name, "env:CONF_TEST_UNSET");
	ck_assert_int_eq(c->providers[0].credential, CREDENTIAL_PROVIDER);
	conf_free(c);
}
END_TEST

START_TEST(key_of_the_environment)
{
	struct conf *c;

	setenv("CONF_TEST_KEY", "sk-env", 1);
	for (int i = 0; i < 2; i++) {
		c = load(
			"providers: { o: { base_url = \"http://h\"; api_key = \"env:CONF_TEST_KEY\"; credential = \"none\"; }; };");
		ck_assert_text(c->providers[0].api_key, "sk-env");
		ck_assert_int_eq(c->providers[0].credential, CREDENTIAL_NONE);
		conf_free(c);
	}
	setenv("CONF_TEST_BAD", "a\nb", 1);
	refuse((struct conf_options){ .port = 0 },
		"providers: { o: { base_url = \"http://h\";\napi_key = \"env:CONF_TEST_BAD\"; }; };",
		"t.conf:2: providers.o.api_key is not what a key can be: it holds a control character\n");
}
END_TEST

/* May this process write there? As the kernel says. */
static bool
is_writable(const void *p)
{
	FILE *f = fopen("/proc/self/maps", "r");
	uintptr_t at = (uintptr_t)p, from, to;
	char line[512], mode[8] = "";

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, mode) == 3 &&
			at >= from && at < to)
			break;
		mode[0] = '\0';
	}
	fclose(f);
	ck_assert_msg(mode[0] == 'r', "no mapping that can be read");
	return mode[1] == 'w';
}

START_TEST(sealed_is_read_only)
{
	struct conf *c = load(everything);

	ck_assert(is_writable(c));
	conf_seal(c);
	ck_assert(!is_writable(c));
	ck_assert(!is_writable(c->providers));
	ck_assert(!is_writable(c->providers[0].api_key.p));
	ck_assert(!is_writable(c->routes[c->n_routes - 1].targets));
	ck_assert_uint_eq(c->workers, 3);
	conf_free(c);
}
END_TEST

START_TEST(shipped_configuration)
{
	static const struct {
		const char *name, *host, *path, *key;
		enum dialect_id dialect;
	} want[] = {
		{ "openai", "api.openai.com", "/v1", "OPENAI_API_KEY", DIALECT_OPENAI },
		{ "anthropic", "api.anthropic.com", "", "ANTHROPIC_API_KEY", DIALECT_ANTHROPIC },
		{ "gemini", "generativelanguage.googleapis.com", "", "GEMINI_API_KEY",
			DIALECT_GEMINI },
		{ "cohere", "api.cohere.com", "", "CO_API_KEY", DIALECT_COHERE },
		{ "qwen", "dashscope-intl.aliyuncs.com", "/compatible-mode/v1", "DASHSCOPE_API_KEY",
			DIALECT_OPENAI },
		{ "ollama", "localhost", "", "", DIALECT_OLLAMA },
		{ "echo", "", "", "", DIALECT_ECHO },
	};
	struct told t = { .len = 0 };
	struct conf_options o = { .path = "etc/api-router.conf" };
	struct conf *c;

	if (access(o.path, R_OK) < 0)
		o.path = "../etc/api-router.conf";
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
		unsetenv(want[i].key);
	c = conf_load(&o, collect, &t);
	ck_assert_msg(c != NULL && t.len == 0, "%s", t.text);
	ck_assert_uint_eq(c->n_providers, sizeof want / sizeof want[0]);
	for (size_t i = 0; i < c->n_providers; i++) {
		const struct conf_provider *p = &c->providers[i];

		ck_assert(str_eq(p->name, str_of(want[i].name)));
		ck_assert_msg(str_eq(p->host, str_of(want[i].host)), "%s", want[i].name);
		ck_assert_msg(str_eq(p->base_path, str_of(want[i].path)), "%s", want[i].name);
		ck_assert_msg(str_eq(p->api_key_name,
				      want[i].key[0]
					      ? arena_printf(&c->arena, "env:%s", want[i].key)
					      : STR("")),
			"%s: %.*s", want[i].name, STR_ARG(p->api_key_name));
		ck_assert_uint_eq(p->api_key.len, 0);
		ck_assert_int_eq(p->dialect, want[i].dialect);
		ck_assert_int_eq(conf_model_options(p, STR("any"))->completion_tokens, i == 0);
	}
	ck_assert_uint_eq(c->n_listens, 1);
	ck_assert_text(c->listens[0].address, "127.0.0.1");
	ck_assert_uint_eq(c->listens[0].port, 8000);
	ck_assert_uint_eq(c->n_clients, 0);
	ck_assert(!c->open);
	conf_free(c);
}
END_TEST

START_TEST(default_path)
{
	unsetenv("API_ROUTER_CONFIG_PATH");
	ck_assert_ptr_nonnull(strstr(conf_default_path(), "/api-router/api-router.conf"));
	setenv("API_ROUTER_CONFIG_PATH", "", 1);
	ck_assert_ptr_nonnull(strstr(conf_default_path(), "/api-router/api-router.conf"));
	setenv("API_ROUTER_CONFIG_PATH", "/x/y.conf", 1);
	ck_assert_str_eq(conf_default_path(), "/x/y.conf");
}
END_TEST

UNIT_MAIN("config/conf", defaults, defaults_of_providers, everything_is_read_back,
	print_loads_to_the_same, print_says_all_but_secrets, urls, numbers, syntax_of_libconfig,
	includes, includes_that_are_wrong, files_that_are_wrong, relative_path_of_the_file,
	port_of_the_command_line, port_zero, detached, accounts_of_root,
	key_that_is_not_set_is_no_error, key_of_the_environment, sealed_is_read_only,
	shipped_configuration, default_path)
