/*
 * What the configuration has of clients, their keys and their limits beside what stands in the
 * file: the environment, and what follows for listeners.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "config/conf_private.h"

#define ECHO_ "providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };\n"

static char told[1024];

static void
collect(void *ctx, const char *file, unsigned line, const char *text)
{
	size_t len = strlen(told);

	(void)ctx;
	snprintf(told + len, sizeof told - len, "%s:%u: %s\n", file, line, text);
}

static struct conf *
load(const char *text)
{
	struct conf_options o = { .path = "t.conf" };
	struct conf *c;

	told[0] = '\0';
	c = conf_load_text(&o, str_of(text), collect, NULL);
	ck_assert_msg(c != NULL, "%s", told);
	return c;
}

static void
refuse(const char *text, const char *messages)
{
	struct conf_options o = { .path = "t.conf" };

	told[0] = '\0';
	ck_assert_ptr_null(conf_load_text(&o, str_of(text), collect, NULL));
	ck_assert_str_eq(told, messages);
}

#define ck_assert_text(s, literal) ck_assert(str_eq(s, STR(literal)))
#define ck_assert_rate(r, per, b)                       \
	do {                                            \
		ck_assert_uint_eq((r).per_minute, per); \
		ck_assert_uint_eq((r).burst, b);        \
	} while (0)

/* Of a client's key nothing is kept but its hash. */
START_TEST(client_keys_of_the_environment)
{
	static const char text[] = "clients: { a: { key = \"env:TEST_CONF_CLIENT\"; }; };\n" ECHO_;
	uint8_t hash[SECRET_HASH];
	struct conf *c;

	unsetenv("TEST_CONF_CLIENT");
	refuse(text, "t.conf:1: clients.a.key cannot be had: env:TEST_CONF_CLIENT is not set\n");
	setenv("TEST_CONF_CLIENT", "a-key-of-20-letters.", 1);
	secret_hash(STR("a-key-of-20-letters."), hash);
	for (int i = 0; i < 2; i++) { /* the second time from the copy */
		c = load(text);
		ck_assert(secret_hash_eq(c->clients[0].hash, hash));
		ck_assert_text(c->clients[0].key, "env:TEST_CONF_CLIENT");
		conf_free(c);
	}
	setenv("TEST_CONF_SHORT", "short", 1);
	refuse("clients: { a: { key = \"env:TEST_CONF_SHORT\"; }; };\n" ECHO_,
		"t.conf:1: clients.a.key has fewer than 16 characters, which is soon guessed: api-router -k makes a key\n");
	setenv("TEST_CONF_BLANK", "a-key-of-20-letters. ", 1);
	refuse("clients: { a: { key = \"env:TEST_CONF_BLANK\"; }; };\n" ECHO_,
		"t.conf:1: clients.a.key is not what a key can be: it holds a control character, or begins or ends with white space\n");
}
END_TEST

START_TEST(clients_open_a_listener)
{
	struct conf *c = load(
		"listen = ( { address = \"*\"; } );\n"
		"clients = ( { name = \"bob@x\"; key = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"; } );\n" ECHO_);

	ck_assert_text(c->clients[0].name, "bob@x");
	conf_free(c);
}
END_TEST

/* The environment fills what the file leaves out. */
START_TEST(rates_of_the_environment)
{
	struct conf *c;

	setenv("RATE_LIMIT_REQUESTS_PER_MINUTE", "30", 1);
	setenv("RATE_LIMIT_BURST", "4", 1);
	c = load(ECHO_);
	ck_assert_rate(c->rate, 30, 4);
	ck_assert_rate(c->providers[0].rate, 0, 0);
	conf_free(c);
	c = load("rate_limit: { burst = 9; };\n" ECHO_);
	ck_assert_rate(c->rate, 30, 9);
	conf_free(c);
	setenv("RATE_LIMIT_BURST", "-1", 1);
	refuse(ECHO_,
		"t.conf:0: the environment variable RATE_LIMIT_BURST must be 0 to 100000, not \"-1\"\n");
	unsetenv("RATE_LIMIT_REQUESTS_PER_MINUTE");
	unsetenv("RATE_LIMIT_BURST");
}
END_TEST

/* The name of a setting that is a secret elsewhere may be that of a header. */
START_TEST(header_called_key)
{
	struct conf *c = load(
		"providers: { p: { base_url = \"http://127.0.0.1:9\"; headers: { key = \"v\"; }; }; };\n");

	ck_assert_text(c->providers[0].headers[0].value, "v");
	conf_free(c);
}
END_TEST

START_TEST(strings_in_a_row_are_one)
{
	struct conf *c = load(
		"providers: { o: { base_url = \"http:\" \"//h\"; api_key = \"sk\\x2d\" # ;\n\t\"\" /* \"c\" */ \"more\"\"\"; }; };");

	ck_assert_text(c->providers[0].base_url, "http://h");
	ck_assert_text(c->providers[0].api_key, "sk-more");
	conf_free(c);
}
END_TEST

UNIT_MAIN("config/conf_admit", client_keys_of_the_environment, clients_open_a_listener,
	rates_of_the_environment, header_called_key, strings_in_a_row_are_one)
