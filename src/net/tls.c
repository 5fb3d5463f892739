/*
 * tls: OpenSSL contexts: what all have in common, and those for the upstream side. tls_server makes
 * those of listeners.
 *
 * The master makes them while it reads the configuration, so certificate files are read with its
 * rights and a bad one is an error of the configuration. All contexts that trust the system's
 * certificates share one store (tls_roots), which is made with the first of them. Workers inherit
 * the contexts by fork; the session kept for resumption is each worker's own.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_private.h"
#include "net/tls_roots.h"

/*
 * All contexts of this process. Those who own them lie in sealed memory, which leak checkers do not
 * look into; a child that inherited them need not free them.
 */
static struct tls_context *contexts;
static X509_STORE *system_store;
static unsigned system_users; /* contexts that hold system_store */

void
tls_error_text(const SSL *ssl, char *out, size_t size)
{
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	if (verdict != X509_V_OK)
		snprintf(out, size, "certificate refused: %s",
			X509_verify_cert_error_string(verdict));
	else
		snprintf(out, size, "%s",
			code == 0        ? "connection closed"
				: reason ? reason
					 : "TLS error");
	ERR_clear_error();
}

/* OpenSSL has many words for a file that is something else, like "PEM lib" or "unsupported". */
static bool
is_no_pem(void)
{
	unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();

	return (ERR_GET_LIB(first) == ERR_LIB_PEM &&
		       ERR_GET_REASON(first) == PEM_R_NO_START_LINE) ||
		(ERR_GET_LIB(first) == ERR_LIB_OSSL_DECODER &&
			ERR_GET_REASON(first) == ERR_R_UNSUPPORTED) ||
		(ERR_GET_LIB(last) == ERR_LIB_X509 &&
			ERR_GET_REASON(last) == X509_R_NO_CERTIFICATE_OR_CRL_FOUND);
}

static int
fail(char *err, size_t size, const char *what, struct str file)
{
	char text[160];
	bool no_pem = is_no_pem();
	bool is_other_key = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;

	tls_error_text(NULL, text, sizeof text);
	if (no_pem)
		snprintf(text, sizeof text, "it holds none in PEM (-----BEGIN ...)");
	if (is_other_key)
		snprintf(text, sizeof text, "it is the key of another certificate");
	snprintf(err, size, "%s %.*s: %s", what, STR_ARG(file), text);
	return -1;
}

static const char *
or_default(const char *variable, const char *preset)
{
	const char *value = getenv(variable);

	return value && *value ? value : preset;
}

/* What X509_STORE_set_default_paths names. */
static int
load_system_store(char *err, size_t size)
{
	if (!system_store)
		system_store = tls_roots_new(
			or_default(X509_get_default_cert_file_env(), X509_get_default_cert_file()),
			or_default(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
	if (!system_store)
		return fail(err, size, "cannot load", STR("the system's CA certificates"));
	ERR_clear_error();
	return 0;
}

static int
trust(struct tls_context *c, const struct tls_settings *s, char *err, size_t size)
{
	if (!s->verify)
		return 0;
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	if (s->ca_file.len > 0) {
		if (SSL_CTX_load_verify_file(c->ssl, s->ca_file.p) != 1)
			return fail(err, size, "cannot load the CA file", s->ca_file);
		return 0;
	}
	if (load_system_store(err, size) < 0)
		return -1;
	SSL_CTX_set1_cert_store(c->ssl, system_store);
	system_users++;
	return 0;
}

static int
identify(struct tls_context *c, const struct tls_settings *s, char *err, size_t size)
{
	struct str key = s->key_file.len > 0 ? s->key_file : s->certificate_file;

	if (s->certificate_file.len == 0)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(c->ssl, s->certificate_file.p) != 1)
		return fail(err, size, "cannot load the certificate", s->certificate_file);
	if (SSL_CTX_use_PrivateKey_file(c->ssl, key.p, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(c->ssl) != 1)
		return fail(err, size, "cannot use the key", key);
	return 0;
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(c->session);
	c->session = session;
	return 1; /* the reference is ours now */
}

void
tls_forget_session(SSL *ssl)
{
	struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(c->session);
	c->session = NULL;
}

struct tls_context *
tls_context_new(const SSL_METHOD *method)
{
	struct tls_context *c = calloc(1, sizeof *c);

	ERR_clear_error();
	if (!c || !(c->ssl = SSL_CTX_new(method))) {
		free(c);
		return NULL;
	}
	c->next = contexts;
	contexts = c;
	SSL_CTX_set_app_data(c->ssl, c);
	SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
	SSL_CTX_set_mode(c->ssl,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	return c;
}

static int
configure(struct tls_context *c, const struct tls_settings *s, char *err, size_t size)
{
	static const unsigned char http11[] = "\x08http/1.1";

	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ssl, keep_session);
	if (SSL_CTX_set_alpn_protos(c->ssl, http11, sizeof http11 - 1) != 0)
		return fail(err, size, "cannot set", STR("ALPN"));
	if (trust(c, s, err, size) < 0)
		return -1;
	return identify(c, s, err, size);
}

struct tls_context *
tls_client_new(const struct tls_settings *s, char *err, size_t err_size)
{
	struct tls_context *c = tls_context_new(TLS_client_method());

	if (!c) {
		snprintf(err, err_size, "no memory for a TLS context");
		return NULL;
	}
	c->verify = s->verify;
	if (configure(c, s, err, err_size) < 0) {
		tls_context_free(c);
		return NULL;
	}
	return c;
}

void
tls_context_free(struct tls_context *c)
{
	struct tls_context **at = &contexts;

	if (!c)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (system_store && SSL_CTX_get_cert_store(c->ssl) == system_store && --system_users == 0) {
		X509_STORE_free(system_store);
		system_store = NULL;
	}
	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->ssl);
	free(c);
}

static bool
is_numeric(const char *name)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static int
name_peer(const struct tls_context *c, SSL *ssl, const char *name)
{
	bool numeric = is_numeric(name);
	void *sni;

	memcpy(&sni, &name, sizeof sni); /* OpenSSL copies it, its prototype cannot say so */
	if (!numeric &&
		SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni) != 1)
		return -1;
	if (!c->verify)
		return 0;
	if (numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -1;
	return SSL_set1_host(ssl, name) == 1 ? 0 : -1;
}

/*
 * Offer the kept session. A copy: OpenSSL marks one that was resumed by TLS 1.3 as
 * used up, but not every server gives a new ticket then.
 */
static int
offer_session(const struct tls_context *c, SSL *ssl)
{
	SSL_SESSION *copy = c->session ? SSL_SESSION_dup(c->session) : NULL;
	int result = copy && SSL_set_session(ssl, copy) != 1 ? -1 : 0;

	SSL_SESSION_free(copy);
	return result;
}

SSL *
tls_client_ssl(struct tls_context *c, struct str server_name)
{
	SSL *ssl = SSL_new(c->ssl);

	if (!ssl)
		return NULL;
	SSL_set_connect_state(ssl);
	if (name_peer(c, ssl, server_name.p) < 0 || offer_session(c, ssl) < 0) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}
