/*
 * tls_server: OpenSSL contexts of listeners.
 *
 * Owns what the daemon offers to clients: versions, suites, groups, ALPN, and whose certificate
 * they must have. The master calls it while it reads the configuration; each file is looked at by
 * itself first, since OpenSSL's reason for one that is missing is "system lib", and every error
 * says which setting it is about. What is wrong with a certificate that still works is a warning.
 *
 * Sessions are kept by the clients alone, in tickets. The context of a session is the hash of the
 * CA certificates that clients are checked against: a ticket is good for every listener, worker and
 * reload with the same ones, and a session that began under others is not resumed.
 */
#include "net/tls_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/tls_private.h"

/* TLS 1.2: RFC 9325 4.2, all of them equally good, so that the client may choose. */
#define SUITES                                                       \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

struct maker {
	struct tls_context *context;
	const struct tls_server_settings *settings;
	tls_report *report;
	void *ctx;
	bool failed;
};

static void
tell(struct maker *m, enum tls_setting setting, bool is_error, const char *text)
{
	m->failed |= is_error;
	m->report(m->ctx, setting, is_error, text);
}

/* An error about a file, with OpenSSL's first reason behind it where `why` is NULL. */
static void
fail(struct maker *m, enum tls_setting setting, const char *what, struct str file, const char *why)
{
	const char *reason = why ? why : ERR_reason_error_string(ERR_peek_error());
	char text[400];

	snprintf(text, sizeof text, "%s: %.*s: %s", what, STR_ARG(file),
		reason ? reason : "out of memory");
	tell(m, setting, true, text);
}

static bool
is_readable(struct maker *m, enum tls_setting setting, struct str file)
{
	struct stat st;

	if (access(file.p, R_OK) < 0 || stat(file.p, &st) < 0)
		fail(m, setting, "cannot be read", file, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		fail(m, setting, "cannot be read", file, strerror(EISDIR));
	else
		return true;
	return false;
}

static void
warn_of_time(struct maker *m, const X509 *certificate)
{
	const char *what = NULL;
	char text[400], when[64] = "";
	const ASN1_TIME *after = X509_get0_notAfter(certificate);
	const ASN1_TIME *before = X509_get0_notBefore(certificate);
	BIO *bio = BIO_new(BIO_s_mem());

	if (X509_cmp_current_time(after) < 0)
		what = "has expired";
	else if (X509_cmp_current_time(before) > 0)
		what = "is not valid yet";
	if (what && bio && ASN1_TIME_print(bio, what[0] == 'h' ? after : before) == 1)
		BIO_gets(bio, when, sizeof when);
	BIO_free(bio);
	if (!what)
		return;
	snprintf(text, sizeof text, "%s: %.*s: %s %s; clients will refuse it", what,
		STR_ARG(m->settings->certificate_file),
		what[0] == 'h' ? "its last moment was" : "its first moment is", when);
	tell(m, TLS_CERTIFICATE_FILE, false, text);
}

static bool
load_certificate(struct maker *m)
{
	struct str file = m->settings->certificate_file;

	if (!is_readable(m, TLS_CERTIFICATE_FILE, file))
		return false;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(m->context->ssl, file.p) == 1) {
		warn_of_time(m, SSL_CTX_get0_certificate(m->context->ssl));
		return true;
	}
	if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
		fail(m, TLS_CERTIFICATE_FILE, "is not a certificate", file,
			"there is no -----BEGIN CERTIFICATE----- in it");
	else
		fail(m, TLS_CERTIFICATE_FILE, "is not a certificate that can be used", file, NULL);
	return false;
}

/* A daemon has nobody to ask for a passphrase. */
static int
no_passphrase(char *out, int size, int writing, void *asked)
{
	(void)out;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return 0;
}

static EVP_PKEY *
read_key(struct str file, bool *encrypted)
{
	BIO *bio = BIO_new_file(file.p, "r");
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, encrypted) : NULL;

	BIO_free(bio);
	return key;
}

static void
warn_of_mode(struct maker *m, struct str file)
{
	char text[400];
	struct stat st;

	if (stat(file.p, &st) < 0 || !(st.st_mode & S_IROTH))
		return;
	snprintf(text, sizeof text, "can be read by everybody: %.*s: chmod 600 is better",
		STR_ARG(file));
	tell(m, TLS_KEY_FILE, false, text);
}

static void
load_key(struct maker *m)
{
	struct str file = m->settings->key_file;
	bool encrypted = false;
	EVP_PKEY *key;

	if (file.len == 0)
		file = m->settings->certificate_file;
	if (!is_readable(m, TLS_KEY_FILE, file))
		return;
	warn_of_mode(m, file);
	ERR_clear_error();
	key = read_key(file, &encrypted);
	if (encrypted)
		fail(m, TLS_KEY_FILE, "needs a passphrase", file,
			"write it without one (openssl pkey -in FILE -out OTHER)");
	else if (!key && m->settings->key_file.len == 0)
		fail(m, TLS_KEY_FILE, "is missing", file,
			"there is no key in certificate_file either");
	else if (!key)
		fail(m, TLS_KEY_FILE, "is not a private key", file,
			"it must be PEM, with -----BEGIN PRIVATE KEY----- or the like in it");
	else if (X509_check_private_key(SSL_CTX_get0_certificate(m->context->ssl), key) != 1)
		fail(m, TLS_KEY_FILE, "does not belong to the certificate of certificate_file",
			file, "its public key is another");
	else if (SSL_CTX_use_PrivateKey(m->context->ssl, key) != 1)
		fail(m, TLS_KEY_FILE, "cannot be used", file, NULL);
	EVP_PKEY_free(key);
}

/* The hash of these certificates, as the context of sessions. 0 or -1. */
static int
name_sessions(SSL_CTX *ssl, STACK_OF(X509_NAME) * names, X509_STORE *store)
{
	unsigned char hash[EVP_MAX_MD_SIZE] = "api-router", one[EVP_MAX_MD_SIZE];
	unsigned len = 10, n;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	STACK_OF(X509_OBJECT) *objects = names ? X509_STORE_get0_objects(store) : NULL;
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (int i = 0; good && objects && i < sk_X509_OBJECT_num(objects); i++) {
		const X509 *c = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (c)
			good = X509_digest(c, EVP_sha256(), one, &n) == 1 &&
				EVP_DigestUpdate(md, one, n) == 1;
	}
	if (good && objects)
		good = EVP_DigestFinal_ex(md, hash, &len) == 1;
	EVP_MD_CTX_free(md);
	return good && SSL_CTX_set_session_id_context(ssl, hash, len) == 1 ? 0 : -1;
}

/* Whom clients must have their certificates from: names for the request, certificates to check. */
static void
ask_clients(struct maker *m)
{
	struct str file = m->settings->client_ca_file;
	SSL_CTX *ssl = m->context->ssl;
	STACK_OF(X509_NAME) *names = NULL;

	ERR_clear_error();
	if (file.len > 0 && is_readable(m, TLS_CLIENT_CA_FILE, file)) {
		names = SSL_load_client_CA_file(file.p);
		if (!names || SSL_CTX_load_verify_file(ssl, file.p) != 1) {
			fail(m, TLS_CLIENT_CA_FILE, "holds no CA certificate", file,
				"there must be at least one -----BEGIN CERTIFICATE----- in it");
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			return;
		}
		SSL_CTX_set_client_CA_list(ssl, names);
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		m->context->verify = true;
	}
	if (name_sessions(ssl, names, SSL_CTX_get_cert_store(ssl)) < 0)
		fail(m, TLS_CERTIFICATE_FILE, "cannot be used", file, NULL);
}

/* RFC 7301 3.2: http/1.1 where it is offered, else the connection is refused. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
	unsigned in_len, void *ctx)
{
	static const unsigned char http11[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)ctx;
	if (SSL_select_next_proto(&chosen, len, http11, sizeof http11 - 1, in, in_len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
set_policy(SSL_CTX *ssl)
{
	static char groups[] = GROUPS; /* the macro's cast takes no constant */

	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ssl, TLS_SESSION_S);
	SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
	return SSL_CTX_set_cipher_list(ssl, SUITES) == 1 &&
			SSL_CTX_set1_groups_list(ssl, groups) == 1
		? 0
		: -1;
}

struct tls_context *
tls_server_new(const struct tls_server_settings *s, tls_report *report, void *ctx)
{
	struct maker m = { .settings = s, .report = report, .ctx = ctx };

	m.context = tls_context_new(TLS_server_method());
	if (!m.context || set_policy(m.context->ssl) < 0)
		fail(&m, TLS_CERTIFICATE_FILE, "cannot be used", s->certificate_file, NULL);
	if (!m.failed && load_certificate(&m))
		load_key(&m);
	if (m.context)
		ask_clients(&m);
	ERR_clear_error();
	if (!m.failed)
		return m.context;
	tls_context_free(m.context);
	return NULL;
}

bool
tls_server_verifies(const struct tls_context *c)
{
	return c->verify;
}

struct ssl_ctx_st *
tls_server_openssl(const struct tls_context *c)
{
	return c->ssl;
}

struct ssl_st *
tls_server_ssl(const struct tls_context *c)
{
	SSL *ssl = SSL_new(c->ssl);

	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl;
}
