/*
 * tls: OpenSSL contexts. Made by the master, before the fork, so that certificates are read as root
 * and shared.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/str.h"

struct tls_settings {
	bool verify;
	struct str ca_file; /* empty: the system's store, loaded once for all contexts */
	struct str certificate_file, key_file; /* empty: none */
};

struct tls_context;
/*
 * A client context: TLS 1.2 and 1.3, ALPN http/1.1, session resumption. NULL with a sentence in
 * `err` that names the file (all slices must end with a NUL).
 */
struct tls_context *tls_client_new(const struct tls_settings *s, char *err, size_t err_size);
void tls_context_free(struct tls_context *c);
/* The shared store of the system's CA certificates is dropped when no context uses it any more. */

#endif
