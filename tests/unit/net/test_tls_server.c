/*
 * Contexts of listeners: files that are missing or do not fit are told at their setting, what still
 * works as a warning; and what a connection agrees to: versions, suites, ALPN, certificates of
 * clients, and which sessions are resumed.
 */
#include "net/tls_server.h"

#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/tls_private.h"
#include "tls_peer.h"

static char told[1000]; /* a line for each report: setting, E or W, text */

static void
report(void *ctx, enum tls_setting setting, bool is_error, const char *text)
{
	size_t len = strlen(told);

	ck_assert_ptr_eq(ctx, told);
	snprintf(told + len, sizeof told - len, "%d%s %s\n", setting, is_error ? "E" : "W", text);
}

static struct tls_context *
try_files(const char *certificate, const char *key, const char *ca)
{
	struct tls_server_settings s = { .certificate_file = str_of(certificate),
		.key_file = str_of(key),
		.client_ca_file = str_of(ca) };

	told[0] = '\0';
	return tls_server_new(&s, report, told);
}

static struct tls_context *
server_of(const struct tls_peer *p, const char *ca)
{
	struct tls_context *c = try_files(p->certificate_file, "", ca);

	ck_assert_msg(c != NULL && told[0] == '\0', "%s", told);
	ck_assert_int_eq(tls_server_verifies(c), ca[0] != '\0');
	return c;
}

/* One connection of a client of `options` to `c`. 0, or -1 with the server's reason in `why`. */
struct outcome {
	char why[200], alert[200];
	bool resumed;
	int version;
	SSL_SESSION *session;
};

static int
shake(SSL *client, SSL *server, struct outcome *o)
{
	int one = 0, two = 0;

	for (int i = 0; i < 20 && (one != 1 || two != 1); i++) {
		ERR_clear_error();
		one = SSL_do_handshake(client);
		if (one != 1 && SSL_get_error(client, one) != SSL_ERROR_WANT_READ)
			tls_error_text(NULL, o->alert, sizeof o->alert);
		ERR_clear_error();
		two = SSL_do_handshake(server);
		if (two != 1 && SSL_get_error(server, two) != SSL_ERROR_WANT_READ) {
			tls_error_text(server, o->why, sizeof o->why);
			ERR_clear_error();
			if (SSL_read(client, &(char){ 0 }, 1) <= 0) /* the alert */
				tls_error_text(NULL, o->alert, sizeof o->alert);
			return -1;
		}
	}
	return one == 1 && two == 1 ? 0 : -1;
}

static int
try_client(const struct tls_context *c, SSL_CTX *options, struct outcome *o)
{
	SSL_SESSION *offered = o->session;
	int pair[2], result;
	SSL *client = SSL_new(options), *server = tls_server_ssl(c);
	char byte[2];

	*o = (struct outcome){ 0 };
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(SSL_set_fd(client, pair[0]), 1);
	ck_assert_int_eq(SSL_set_fd(server, pair[1]), 1);
	SSL_set_connect_state(client);
	if (offered)
		ck_assert_int_eq(SSL_set_session(client, offered), 1);
	SSL_SESSION_free(offered);
	result = shake(client, server, o);
	if (result == 0) {
		ck_assert_int_eq(SSL_write(server, "x", 1), 1);
		ck_assert_int_eq(SSL_read(client, byte, 2), 1);
		o->resumed = SSL_session_reused(server) == 1;
		o->version = SSL_version(server);
		SSL_shutdown(client);
		o->session = SSL_get1_session(client);
	}
	SSL_free(client);
	SSL_free(server);
	close(pair[0]);
	close(pair[1]);
	return result;
}

static void
forget(struct outcome *o)
{
	SSL_SESSION_free(o->session);
	o->session = NULL;
}

static SSL_CTX *
client_of(int version)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_security_level(c, 0);
	SSL_CTX_set_min_proto_version(c, version);
	SSL_CTX_set_max_proto_version(c, version);
	return c;
}

static void
write_key(char path[64], const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *f;

	snprintf(path, 64, "/tmp/tls-peer-XXXXXX");
	f = fdopen(mkstemp(path), "w");
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL,
				 (const unsigned char *)passphrase,
				 passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
		1);
	fclose(f);
	EVP_PKEY_free(key);
}

START_TEST(each_file_has_its_error)
{
	struct tls_peer one, other;
	char locked[64], wanted[300];

	tls_peer_open(&one, "DNS:a.test");
	tls_peer_open(&other, "DNS:a.test");
	write_key(locked, "secret");
	const struct {
		const char *certificate, *key, *ca, *says, *file, *why;
	} cases[] = {
		{ "/nowhere/c", "", "", "0E cannot be read", "/nowhere/c",
			"No such file or directory" },
		{ "/tmp", "", "", "0E cannot be read", "/tmp", "Is a directory" },
		{ "/dev/null", "", "", "0E is not a certificate", "/dev/null",
			"there is no -----BEGIN CERTIFICATE----- in it" },
		{ one.ca_file, "", "", "1E is missing", one.ca_file,
			"there is no key in certificate_file either" },
		{ one.ca_file, "/nowhere/k", "", "1E cannot be read", "/nowhere/k",
			"No such file or directory" },
		{ one.ca_file, one.ca_file, "", "1E is not a private key", one.ca_file,
			"it must be PEM, with -----BEGIN PRIVATE KEY----- or the like in it" },
		{ one.ca_file, locked, "", "1E needs a passphrase", locked,
			"write it without one (openssl pkey -in FILE -out OTHER)" },
		{ one.ca_file, other.certificate_file, "",
			"1E does not belong to the certificate of certificate_file",
			other.certificate_file, "its public key is another" },
		{ one.certificate_file, "", "/nowhere/a", "2E cannot be read", "/nowhere/a",
			"No such file or directory" },
		{ one.certificate_file, "", locked, "2E holds no CA certificate", locked,
			"there must be at least one -----BEGIN CERTIFICATE----- in it" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tls_context *c = try_files(cases[i].certificate, cases[i].key, cases[i].ca);

		ck_assert_ptr_null(c);
		snprintf(wanted, sizeof wanted, "%s: %s: %s\n", cases[i].says, cases[i].file,
			cases[i].why);
		ck_assert_str_eq(told, wanted);
	}
	ck_assert_ptr_null(try_files("/nowhere/c", "/nowhere/k", "/nowhere/a")); /* both at once */
	ck_assert_ptr_nonnull(strstr(told, "0E "));
	ck_assert_ptr_nonnull(strstr(told, "2E "));
	unlink(locked);
	tls_peer_close(&one);
	tls_peer_close(&other);
}
END_TEST

/* A certificate valid from and to so many seconds from now, with its key, in one file. */
static void
write_dated(char path[64], long from, long to)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *c = make_certificate(key, "DNS:a.test");

	X509_gmtime_adj(X509_getm_notBefore(c), from);
	X509_gmtime_adj(X509_getm_notAfter(c), to);
	ck_assert_int_gt(X509_sign(c, key, EVP_sha256()), 0);
	write_pem(path, c, key);
	X509_free(c);
	EVP_PKEY_free(key);
}

START_TEST(what_still_works_is_a_warning)
{
	static const struct {
		long from, to;
		const char *says, *ends;
	} cases[] = {
		{ -7200, -3600, "0W has expired: ", "; clients will refuse it\n" },
		{ 3600, 7200, "0W is not valid yet: ", "; clients will refuse it\n" },
		{ -60, 3600, "", "" },
	};
	char path[64], wanted[200];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		write_dated(path, cases[i].from, cases[i].to);
		struct tls_context *c = try_files(path, "", "");

		ck_assert_ptr_nonnull(c);
		ck_assert_msg(strstr(told, cases[i].says) == told, "%s", told);
		ck_assert_msg(strstr(told, cases[i].ends) != NULL, "%s", told);
		if (cases[i].says[0])
			ck_assert_ptr_nonnull(strstr(told, " GMT; "));
		else
			ck_assert_str_eq(told, "");
		tls_context_free(c);
		unlink(path);
	}
	write_dated(path, -60, 3600);
	ck_assert_int_eq(chmod(path, 0644), 0);
	tls_context_free(try_files(path, "", ""));
	snprintf(wanted, sizeof wanted, "1W can be read by everybody: %s: chmod 600 is better\n",
		path);
	ck_assert_str_eq(told, wanted);
	ck_assert_int_eq(chmod(path, 0640), 0);
	tls_context_free(try_files(path, "", ""));
	ck_assert_str_eq(told, "");
	unlink(path);
}
END_TEST

START_TEST(versions)
{
	static const struct {
		int version, result;
	} cases[] = { { TLS1_VERSION, -1 }, { TLS1_1_VERSION, -1 }, { TLS1_2_VERSION, 0 },
		{ TLS1_3_VERSION, 0 } };
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	struct tls_context *c = server_of(&peer, "");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		SSL_CTX *client = client_of(cases[i].version);
		struct outcome o = { 0 };

		ck_assert_int_eq(try_client(c, client, &o), cases[i].result);
		if (cases[i].result < 0)
			ck_assert_str_eq(o.why, "unsupported protocol");
		else
			ck_assert_int_eq(o.version, cases[i].version);
		forget(&o);
		SSL_CTX_free(client);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

START_TEST(suites_and_groups)
{
	static const struct {
		const char *suite, *group;
		int result;
	} cases[] = {
		{ "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256", 0 },
		{ "ECDHE-ECDSA-AES256-GCM-SHA384", "P-384:P-256", 0 },
		{ "ECDHE-ECDSA-CHACHA20-POLY1305", "X25519:P-256", 0 },
		{ "ECDHE-ECDSA-AES128-GCM-SHA256", "P-521", -1 },
		{ "ECDHE-ECDSA-AES128-SHA256", "P-256", -1 }, /* CBC */
		{ "ECDHE-ECDSA-AES256-SHA", "P-256", -1 },
		{ "ECDHE-ECDSA-AES128-CCM8", "P-256", -1 },
		{ "ECDHE-ECDSA-NULL-SHA", "P-256", -1 },
		{ "AECDH-AES128-SHA", "P-256", -1 },
	};
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	struct tls_context *c = server_of(&peer, "");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		SSL_CTX *client = client_of(TLS1_2_VERSION);
		struct outcome o = { 0 };

		ck_assert_int_eq(SSL_CTX_set_cipher_list(client, cases[i].suite), 1);
		ck_assert_int_eq(SSL_CTX_set1_groups_list(client, cases[i].group), 1);
		ck_assert_msg(try_client(c, client, &o) == cases[i].result, "%s %s: %s",
			cases[i].suite, cases[i].group, o.why);
		if (cases[i].result < 0)
			ck_assert_str_eq(o.why, "no shared cipher");
		forget(&o);
		SSL_CTX_free(client);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

/* RFC 7301 3.2 */
START_TEST(alpn)
{
	static const struct {
		const char *offers, *chosen;
	} cases[] = {
		{ "\x08http/1.1", "http/1.1" },
		{ "\x02h2\x08http/1.1", "http/1.1" },
		{ "\x02h2", NULL },
		{ "\x08http/1.0\x02h2", NULL },
	};
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	struct tls_context *c = server_of(&peer, "");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		SSL_CTX *client = client_of(TLS1_3_VERSION);
		struct outcome o = { 0 };
		const char *offers = cases[i].offers;

		ck_assert_int_eq(SSL_CTX_set_alpn_protos(client, (const unsigned char *)offers,
					 (unsigned)strlen(offers)),
			0);
		ck_assert_int_eq(try_client(c, client, &o), cases[i].chosen ? 0 : -1);
		if (!cases[i].chosen)
			ck_assert_msg(strstr(o.alert, "no application protocol") != NULL, "%s",
				o.alert);
		forget(&o);
		SSL_CTX_free(client);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

static SSL_CTX *
client_with(const struct tls_peer *p, int version)
{
	SSL_CTX *client = client_of(version);

	if (p) {
		ck_assert_int_eq(
			SSL_CTX_use_certificate_file(client, p->certificate_file, SSL_FILETYPE_PEM),
			1);
		ck_assert_int_eq(
			SSL_CTX_use_PrivateKey_file(client, p->certificate_file, SSL_FILETYPE_PEM),
			1);
	}
	return client;
}

START_TEST(certificates_of_clients)
{
	static const int both[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_peer peer, other;

	tls_peer_open(&peer, "DNS:a.test");
	tls_peer_open(&other, "DNS:b.test");
	struct tls_context *c = server_of(&peer, peer.ca_file);
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *good = client_with(&peer, both[i]), *wrong = client_with(&other, both[i]),
			*none = client_with(NULL, both[i]);
		struct outcome o = { 0 };

		ck_assert_int_eq(try_client(c, good, &o), 0);
		forget(&o);
		ck_assert_int_eq(try_client(c, wrong, &o), -1);
		ck_assert_msg(strstr(o.why, "certificate refused: self") == o.why, "%s", o.why);
		ck_assert_int_eq(try_client(c, none, &o), -1);
		ck_assert_str_eq(o.why, "peer did not return a certificate");
		SSL_CTX_free(good);
		SSL_CTX_free(wrong);
		SSL_CTX_free(none);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
	tls_peer_close(&other);
}
END_TEST

/* Resumed where the server is the same; where another authority is asked for, from the beginning.
 */
START_TEST(sessions)
{
	static const int both[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_peer peer, other;

	tls_peer_open(&peer, "DNS:a.test");
	tls_peer_open(&other, "DNS:b.test");
	for (size_t i = 0; i < 2; i++) {
		struct tls_context *open = server_of(&peer, ""),
				   *closed = server_of(&peer, peer.ca_file),
				   *again = server_of(&peer, peer.ca_file),
				   *others = server_of(&peer, other.ca_file);
		struct tls_context *all[] = { open, closed, again, others };
		unsigned char keys[80] = "the same keys for all";
		SSL_CTX *client = client_with(&peer, both[i]);
		struct outcome o = { 0 };

		for (size_t k = 0; k < 4; k++) /* a long with the size is asked for by NULL */
			ck_assert_int_eq(SSL_CTX_set_tlsext_ticket_keys(tls_server_openssl(all[k]),
						 keys, sizeof keys),
				1);
		ck_assert_int_eq(try_client(open, client, &o), 0);
		ck_assert(!o.resumed);
		ck_assert_int_eq(try_client(open, client, &o), 0);
		ck_assert(o.resumed);
		ck_assert_int_eq(try_client(closed, client, &o), 0);
		ck_assert(!o.resumed); /* no certificate was looked at yet */
		ck_assert_int_eq(try_client(again, client, &o), 0);
		ck_assert(o.resumed);
		ck_assert_int_eq(try_client(others, client, &o), -1);
		SSL_CTX_free(client);
		for (size_t k = 0; k < 4; k++)
			tls_context_free(all[k]);
	}
	tls_peer_close(&peer);
	tls_peer_close(&other);
}
END_TEST

UNIT_MAIN("net/tls_server", each_file_has_its_error, what_still_works_is_a_warning, versions,
	suites_and_groups, alpn, certificates_of_clients, sessions)
