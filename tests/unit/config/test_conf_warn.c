/*
 * Configurations that load, with a warning on the log (stderr, before a log is opened): a base_url
 * to which the paths would be added twice, an api_key that names something in another program's
 * words, a route that is never reached. And what a configuration that loaded can tell later:
 * where something stands in it, and which keys are not there yet.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "config_dir.h"

static void
refused(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	ck_abort_msg("%s:%u: %s", file, line, text);
}

/* Load the text with stderr led to memory, and say what stands there: all of it, with its NUL. */
static const char *
warnings(const char *text)
{
	static char told[4096];
	const struct conf_options o = { .path = "t.conf" };
	int memory = memfd_create("stderr", 0), saved = dup(STDERR_FILENO);

	ck_assert(memory >= 0 && saved >= 0);
	fflush(stderr);
	ck_assert_int_eq(dup2(memory, STDERR_FILENO), STDERR_FILENO);
	struct conf *c = conf_load_text(&o, str_of(text), refused, NULL);
	fflush(stderr);
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	ck_assert_ptr_nonnull(c);
	conf_free(c);
	ssize_t len = pread(memory, told, sizeof told - 1, 0);
	ck_assert_int_ge(len, 0);
	told[len] = '\0';
	close(memory);
	return told;
}

#define WARNING(provider, end)                                   \
	"t.conf:2: providers." provider ".base_url ends in " end \
	": the paths are added to it, leave " end " out\n"

static const struct {
	const char *dialect, *url, *warning;
} urls[] = {
	{ "openai", "http://h/v1", "" },
	{ "openai", "http://h/v1/", "" },
	{ "openai", "http://h", "" },
	{ "openai", "http://h/v1/completions", "" },
	{ "openai", "http://h/v1/messages", "" },
	{ "openai", "http://h/chat/completions/v1", "" },
	{ "openai", "http://h/v1/chat/completions", WARNING("x", "/chat/completions") },
	{ "openai", "http://h/v1/chat/completions/", WARNING("x", "/chat/completions") },
	{ "openai", "http://h/chat/completions?a=b", WARNING("x", "/chat/completions") },
	{ "anthropic", "http://h", "" },
	{ "anthropic", "http://h/", "" },
	{ "anthropic", "http://h/av1", "" },
	{ "anthropic", "http://h/v1/x", "" },
	{ "anthropic", "http://h/v1", WARNING("x", "/v1") },
	{ "anthropic", "http://h/proxy/v1/", WARNING("x", "/v1") },
	{ "anthropic", "http://h/v1/messages", WARNING("x", "/v1/messages") },
	{ "gemini", "http://h", "" },
	{ "gemini", "http://h/v1", "" },
	{ "gemini", "http://h/v1beta/models", "" },
	{ "gemini", "http://h/v1beta/", WARNING("x", "/v1beta") },
	{ "gemini", "http://h/v1beta/openai", WARNING("x", "/v1beta/openai") },
	{ "cohere", "http://h", "" },
	{ "cohere", "http://h/v1", "" },
	{ "cohere", "http://h/proxy/v2", WARNING("x", "/v2") },
	{ "cohere", "http://h/compatibility/v1", WARNING("x", "/compatibility/v1") },
	{ "ollama", "http://h:11434", "" },
	{ "ollama", "http://h/ollama", "" },
	{ "ollama", "http://h/api", WARNING("x", "/api") },
	{ "ollama", "http://h/v1", WARNING("x", "/v1") },
	{ "openai", "http://h/v2", "" },
	{ "openai", "http://h/api", "" },
	{ "openai", "http://h/v1beta/openai", "" },
};

START_TEST(base_url_with_what_is_added_to_it)
{
	char text[512];

	for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
		snprintf(text, sizeof text,
			"providers: { x: { dialect = \"%s\";\nbase_url = \"%s\"; }; };",
			urls[i].dialect, urls[i].url);
		const char *told = warnings(text);
		/* A line of the log begins with time, level and process. */
		const char *message = strstr(told, "t.conf:");
		if (urls[i].warning[0] == '\0')
			ck_assert_msg(told[0] == '\0', "%s: %s", urls[i].url, told);
		else
			ck_assert_msg(message != NULL && strcmp(message, urls[i].warning) == 0,
				"%s: %s", urls[i].url, told);
	}
}
END_TEST

#define KEY_WARNING(start, kind)                                     \
	"t.conf:2: providers.x.api_key begins with " start ": " kind \
	"; this is sent as the key itself\n"

static const struct {
	const char *key, *warning;
} keys[] = {
	{ "sk-1/$2", "" },
	{ "$TEST_KEY", KEY_WARNING("$", "a variable is written \"env:NAME\"") },
	{ "${TEST_KEY}", KEY_WARNING("$", "a variable is written \"env:NAME\"") },
	{ "/etc/keys/x", KEY_WARNING("/", "a file is written \"file:/path\"") },
};

START_TEST(api_key_in_another_programs_words)
{
	char text[512];

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		snprintf(text, sizeof text,
			"providers: { x: { base_url = \"http://h\";\napi_key = \"%s\"; }; };",
			keys[i].key);
		const char *told = warnings(text), *message = strstr(told, "t.conf:");
		if (keys[i].warning[0] == '\0')
			ck_assert_msg(told[0] == '\0', "%s: %s", keys[i].key, told);
		else
			ck_assert_msg(message != NULL && strcmp(message, keys[i].warning) == 0,
				"%s: %s", keys[i].key, told);
	}
}
END_TEST

#define NEVER(i, other)                                                \
	"t.conf:3: routes[" i "] is never reached: routes[" other "] " \
	"takes all of its requests\n"
#define TO_E "provider = \"e\"; }"

static const struct {
	const char *earlier, *later, *warning;
} routes[] = {
	{ "{ model = \"a\"; " TO_E, "{ model = \"*\"; " TO_E, "" },
	{ "{ model = \"gpt-*\"; " TO_E, "{ model = \"*-mini\"; " TO_E, "" },
	{ "{ path = \"/v1/audio/*\"; " TO_E, "{ model = \"whisper-1\"; " TO_E, "" },
	{ "{ model = \"**\"; " TO_E, "{ " TO_E, "" },
	{ "{ model = \"*\"; " TO_E, "{ model = \"gpt-*\"; " TO_E, NEVER("1", "0") },
	{ "{ model = \"gpt-*\"; " TO_E, "{ model = \"gpt-4*\"; " TO_E, NEVER("1", "0") },
	{ "{ model = \"b\"; " TO_E ", { model = \"a\"; " TO_E,
		"{ path = \"/v1/messages\"; model = \"a\"; " TO_E, NEVER("2", "1") },
	{ "{ " TO_E, "{ " TO_E, NEVER("1", "0") },
};

START_TEST(route_behind_one_that_takes_all_of_it)
{
	char text[512];

	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		snprintf(text, sizeof text,
			"providers: { e: { dialect = \"echo\"; }; };\nroutes = ( %s,\n%s );",
			routes[i].earlier, routes[i].later);
		const char *told = warnings(text), *message = strstr(told, "t.conf:");
		if (routes[i].warning[0] == '\0')
			ck_assert_msg(told[0] == '\0', "%s: %s", text, told);
		else
			ck_assert_msg(message != NULL && strcmp(message, routes[i].warning) == 0,
				"%s: %s", text, told);
	}
}
END_TEST

START_TEST(spots_are_those_of_the_text)
{
	char path[128];
	make_dir();
	snprintf(path, sizeof path, "%s", in_dir("main.conf"));
	const struct conf_options o = { .path = path };
	write_file("main.conf",
		"\nworkers = 1;\n@include \"rest.conf\"\nlog: {\n\tfile = \"/tmp/x.log\"; };\n");
	write_file("rest.conf",
		"listen = (\n\t{ port = 0; },\n\t{ port = 0; }\n);\nproviders: { e: { dialect = \"echo\"; }; };\n");
	struct conf *c = conf_load(&o, refused, NULL);
	ck_assert_str_eq(c->listens[0].at.file, in_dir("rest.conf"));
	ck_assert_uint_eq(c->listens[0].at.line, 2);
	ck_assert_uint_eq(c->listens[1].at.line, 3);
	ck_assert_str_eq(c->log.at.file, in_dir("main.conf"));
	ck_assert_uint_eq(c->log.at.line, 5);
	ck_assert_str_eq(c->pid_file_at.file, in_dir("main.conf"));
	ck_assert_uint_eq(c->pid_file_at.line, 0);
	ck_assert_uint_eq(c->access_log.at.line, 0);
	conf_free(c);
	remove_dir("main.conf", "rest.conf", NULL);
}
END_TEST

START_TEST(missing_keys_are_named)
{
	static const char form[] = "providers: {\n"
				   "a: { base_url = \"http://h\"; api_key = \"env:TEST_NONE\"; };\n"
				   "b: { base_url = \"http://h\"; api_key = \"literal\"; };\n"
				   "c: { base_url = \"http://h\"; api_key = \"file:%s\"; };\n"
				   "d: { base_url = \"http://h\"; };\n"
				   "};\n";
	const struct conf_options o = { .path = "t.conf" };
	char text[512], wanted[256], told[256], cut[12];
	make_dir();
	write_file("empty", "");
	ck_assert_int_eq(chmod(in_dir("empty"), 0600), 0);
	snprintf(text, sizeof text, form, in_dir("empty"));
	snprintf(wanted, sizeof wanted, "a (env:TEST_NONE is not set), c (file:%s is empty)",
		in_dir("empty"));
	unsetenv("TEST_NONE");
	struct conf *c = conf_load_text(&o, str_of(text), refused, NULL);
	ck_assert_uint_eq(conf_keys_missing(c, told, sizeof told), 2);
	ck_assert_str_eq(told, wanted);
	ck_assert_uint_eq(conf_keys_missing(c, cut, sizeof cut), 2);
	ck_assert_str_eq(cut, "a (env:TEST");
	conf_free(c);
	remove_dir("empty", NULL);
}
END_TEST

START_TEST(each_provider_is_warned_of_once)
{
	const char *told =
		warnings("providers: {\nx: { base_url = \"http://h/chat/completions\"; };"
			 " e: { dialect = \"echo\"; };"
			 " y: { dialect = \"anthropic\"; base_url = \"http://h/v1\"; }; };");
	const char *first = strstr(told, WARNING("x", "/chat/completions"));
	const char *second = strstr(told, WARNING("y", "/v1"));

	ck_assert_msg(first != NULL && second != NULL && first < second, "%s", told);
	ck_assert_msg(strstr(first + strlen("t.conf"), "t.conf") == second, "%s", told);
	ck_assert_ptr_null(strstr(second + strlen("t.conf"), "t.conf"));
}
END_TEST

UNIT_MAIN("config/conf_warn", base_url_with_what_is_added_to_it, each_provider_is_warned_of_once,
	api_key_in_another_programs_words, route_behind_one_that_takes_all_of_it,
	spots_are_those_of_the_text, missing_keys_are_named)
