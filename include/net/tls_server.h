/*
 * tls_server: OpenSSL contexts of listeners. Made by the master while it reads the configuration,
 * and inherited by its workers; freed with tls_context_free.
 */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include "net/tls.h"

struct ssl_st;
struct ssl_ctx_st;

/* All slices must end with a NUL. */
struct tls_server_settings {
	struct str certificate_file; /* PEM: the server's certificate, then those that lead to its
					CA */
	struct str key_file;         /* empty: the key stands in certificate_file too */
	struct str client_ca_file;   /* not empty: clients must have a certificate of these */
};

/* Which setting an error or warning is about, and a sentence about it that names the file. */
enum tls_setting { TLS_CERTIFICATE_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE };
typedef void tls_report(void *ctx, enum tls_setting setting, bool is_error, const char *text);

/*
 * A server context: TLS 1.2 and 1.3, suites with forward secrecy and AEAD only, ALPN http/1.1, no
 * renegotiation, no early data, sessions only in tickets, which last TLS_SESSION_S. NULL after at
 * least one error went to `report`; a certificate that has expired or a key that others can read
 * is a warning.
 */
struct tls_context *tls_server_new(const struct tls_server_settings *s, tls_report *report,
	void *ctx);
#define TLS_SESSION_S 7200
/* Does it ask clients for a certificate? */
bool tls_server_verifies(const struct tls_context *c);
/* For whoever makes the tickets of its sessions. */
struct ssl_ctx_st *tls_server_openssl(const struct tls_context *c);
/* A connection object; NULL without memory. */
struct ssl_st *tls_server_ssl(const struct tls_context *c);

#endif
