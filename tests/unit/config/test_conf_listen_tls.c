/*
 * The group tls of listeners: contexts where they belong, what is printed loads to the same, and
 * each fault at the line of its setting, errors and warnings; unix sockets beside them.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "net/tls_peer.h"
#include "net/tls_server.h"

#define ECHO_ "providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };\n"

static char told[2048];

static void
collect(void *ctx, const char *file, unsigned line, const char *text)
{
	size_t len = strlen(told);

	ck_assert_ptr_null(ctx);
	snprintf(told + len, sizeof told - len, "%s:%u: %s\n", file, line, text);
}

/* Load a text made of a format with the file of the certificate in it; stderr goes to `said`. */
static struct conf *
load(const char *format, const char *file, char *said, size_t size)
{
	const struct conf_options o = { .path = "/x/t.conf" };
	int memory = memfd_create("stderr", 0), saved = dup(STDERR_FILENO);
	struct conf *c;
	char text[2048];

	told[0] = '\0';
	/* the format is this test's own */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof text, format, file, file, file);
#pragma GCC diagnostic pop
	fflush(stderr);
	ck_assert_int_eq(dup2(memory, STDERR_FILENO), STDERR_FILENO);
	c = conf_load_text(&o, str_of(text), collect, NULL);
	fflush(stderr);
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	said[0] = '\0';
	ssize_t len = pread(memory, said, size - 1, 0);
	ck_assert_int_ge(len, 0);
	said[len] = '\0';
	close(memory);
	return c;
}

static char *
print(const struct conf *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	conf_print(c, f);
	fclose(f);
	return text;
}

START_TEST(contexts_and_what_is_printed)
{
	static const char text[] =
		"listen = ( { port = 1; },\n"
		" { port = 2; tls: { certificate_file = \"%s\"; }; },\n"
		" { address = \"unix:/tmp/x\"; tls: { certificate_file = \"%s\";\n"
		"   key_file = \"%s\"; client_ca_file = \"/dev/fd/9\"; }; },\n"
		" { address = \"unix:/tmp/y\"; } );\n" ECHO_;
	char said[512], *first, *second;
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	int ca = open(peer.ca_file, O_RDONLY);
	ck_assert_int_eq(dup2(ca, 9), 9);
	struct conf *c = load(text, peer.certificate_file, said, sizeof said);
	ck_assert_msg(c != NULL, "%s", told);
	ck_assert_str_eq(said, "");
	ck_assert_ptr_null(c->listens[0].tls);
	ck_assert_ptr_nonnull(c->listens[1].tls);
	ck_assert(!tls_server_verifies(c->listens[1].tls));
	ck_assert(tls_server_verifies(c->listens[2].tls));
	ck_assert_ptr_null(c->listens[3].tls);
	ck_assert(c->listens[2].admin && c->listens[3].admin);
	ck_assert_uint_eq(c->listens[2].port, 0);
	first = print(c);
	conf_free(c);
	ck_assert_ptr_nonnull(
		strstr(first, "{ address = \"127.0.0.1\"; port = 1; admin = true; },\n"));
	ck_assert_ptr_nonnull(strstr(first, "{ address = \"unix:/tmp/y\"; admin = true; }\n"));
	ck_assert_ptr_nonnull(strstr(first, "client_ca_file = \"/dev/fd/9\"; }; },\n"));
	c = load("%s%.0s%.0s", first, said, sizeof said);
	ck_assert_msg(c != NULL, "%s", told);
	second = print(c);
	ck_assert_str_eq(first, second);
	conf_free(c);
	free(first);
	free(second);
	close(ca);
	close(9);
	tls_peer_close(&peer);
}
END_TEST

START_TEST(warnings_stand_at_their_line)
{
	static const char text[] = "listen = ( { port = 2;\n"
				   "\ttls: {\n"
				   "\t\tcertificate_file = \"%s\";\n"
				   "\t\tkey_file = \"%s\"; }; } );\n" ECHO_;
	char said[512], wanted[512];
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	ck_assert_int_eq(chmod(peer.certificate_file, 0644), 0);
	struct conf *c = load(text, peer.certificate_file, said, sizeof said);
	ck_assert_ptr_nonnull(c);
	conf_free(c);
	snprintf(wanted, sizeof wanted,
		"api-router: /x/t.conf:4: listen[0].tls.key_file can be read by everybody: %s: chmod 600 is better\n",
		peer.certificate_file);
	ck_assert_str_eq(said, wanted);
	tls_peer_close(&peer);
}
END_TEST

/* All of them, and all else that is wrong. */
START_TEST(errors_stand_at_their_lines)
{
	static const char text[] = "workers = 0;\n"
				   "listen = ( { port = 2;\n"
				   "\ttls: { certificate_file = \"/nowhere/c\";\n"
				   "\t\tclient_ca_file = \"/nowhere/a\"; }; },\n"
				   "\t{ port = 3; tls: { certificate_file = \"%s\";\n"
				   "\t\tkey_file = \"/nowhere/k\"; }; },\n"
				   "\t{ port = 4; tls = 3; } );\n" ECHO_;
	char said[512];
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	ck_assert_ptr_null(load(text, peer.certificate_file, said, sizeof said));
	ck_assert_str_eq(told,
		"/x/t.conf:1: workers must be \"auto\" or 1 to 256, not 0\n"
		"/x/t.conf:7: listen[2].tls must be a group { ... }, not 3\n"
		"/x/t.conf:3: listen[0].tls.certificate_file cannot be read: /nowhere/c: No such file or directory\n"
		"/x/t.conf:4: listen[0].tls.client_ca_file cannot be read: /nowhere/a: No such file or directory\n"
		"/x/t.conf:6: listen[1].tls.key_file cannot be read: /nowhere/k: No such file or directory\n");
	tls_peer_close(&peer);
}
END_TEST

#define LONG_NAME \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

START_TEST(what_cannot_be)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "listen = ( { address = \"localhost\"; } );\n",
			"1: listen[0].address must be a numeric address, like \"127.0.0.1\" or \"::1\", \"*\", or a unix socket, like \"unix:/run/api-router/socket\", not \"localhost\"" },
		{ "listen = ( { address = \"unix:run/x\"; } );\n",
			"1: listen[0].address must have an absolute path behind unix:, like \"unix:/run/api-router/socket\", not \"run/x\"" },
		{ "listen = ( { address = \"unix:/nonexistent/x\"; } );\n",
			"1: listen[0].address is in a directory that does not exist: mkdir /nonexistent/" },
		{ "listen = ( { address = \"unix:/tmp/x\";\n port = 8000; } );\n",
			"2: listen[0].port means nothing to a unix socket: leave it out" },
		{ "listen = ( { address = \"unix:/tmp/" LONG_NAME "\"; } );\n",
			"1: listen[0].address has a path of 108 bytes, but the path of a unix socket is 107 at most: \"/tmp/" LONG_NAME
			"\"" },
		{ "listen = ( { address = \"unix:/tmp/x\"; },\n { address = \"unix:/tmp/x\"; } );\n",
			"2: listen[1] is in the way of listen[0]: both are \"unix:/tmp/x\"" },
		{ "listen = ( {\n tls: { key_file = \"/tmp/x\"; }; } );\n",
			"2: listen[0].tls needs a certificate_file, a PEM file with the certificate of this server that key_file belongs to" },
		{ "listen = ( { tls: {\n certificate_file = \"\"; }; } );\n",
			"2: listen[0].tls.certificate_file is empty: tls needs a certificate_file, a PEM file with the certificate of this server" },
		{ "listen = ( { tls: { certificate_file = \"/dev/null\"; }; } );\n",
			"1: listen[0].tls.certificate_file is not a certificate: /dev/null: there is no -----BEGIN CERTIFICATE----- in it" },
		{ "listen = ( { tls: { ca_file = \"x\"; certificate_file = \"/dev/null\"; }; } );\n",
			"1: listen[0].tls.ca_file is unknown: nearest is key_file, of certificate_file, key_file, client_ca_file" },
	};
	char said[512], wanted[600];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_ptr_null(load("%s" ECHO_, cases[i].text, said, sizeof said));
		snprintf(wanted, sizeof wanted, "/x/t.conf:%s\n", cases[i].says);
		ck_assert_msg(strstr(told, wanted) == told, "%s\nwanted:\n%s", told, wanted);
	}
}
END_TEST

START_TEST(the_port_of_the_command_line)
{
	const struct conf_options o = { .path = "/x/t.conf", .port = 8123 };

	told[0] = '\0';
	ck_assert_ptr_null(conf_load_text(&o,
		STR("\nlisten = ( { address = \"unix:/tmp/x\"; }, { port = 2; } );\n" ECHO_),
		collect, NULL));
	ck_assert_str_eq(told,
		"/x/t.conf:2: listen[0] is a unix socket and has no port that -p 8123 could set: put a listener with an address before it\n");
	struct conf *c = conf_load_text(&o,
		STR("listen = ( { port = 2; }, { address = \"unix:/tmp/x\"; } );\n" ECHO_), collect,
		NULL);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->listens[0].port, 8123);
	ck_assert_uint_eq(c->listens[1].port, 0);
	conf_free(c);
}
END_TEST

UNIT_MAIN("config/conf_listen_tls", contexts_and_what_is_printed, warnings_stand_at_their_line,
	errors_stand_at_their_lines, what_cannot_be, the_port_of_the_command_line)
