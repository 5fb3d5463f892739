/*
 * tls_private: what a context holds, for the files of net/ that use OpenSSL.
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
	SSL_CTX *ssl;
	SSL_SESSION *
		session; /* the newest one of this process, for resumption; NULL before the first */
	bool verify;     /* the other side's certificate */
	struct tls_context *next; /* in the list of all of this process */
};

/* A context of either side, in the list, with what both have in common. NULL without memory. */
struct tls_context *tls_context_new(const SSL_METHOD *method);
/* A connection object for `server_name` (a name or a numeric address; NUL behind it), resuming when
 * possible. NULL without memory. */
SSL *tls_client_ssl(struct tls_context *c, struct str server_name);
/* The newest error of OpenSSL's queue as a sentence in `out`, the queue emptied; a failed
 * verification names its reason. */
void tls_error_text(const SSL *ssl, char *out, size_t size);
/* A handshake failed: the session that it may have offered is not offered again. */
void tls_forget_session(SSL *ssl);

#endif
