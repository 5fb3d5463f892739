/*
 * tls_roots: the CA certificates of the system: all are read at once, and each is understood when a
 * chain leads to it.
 */
#ifndef NET_TLS_ROOTS_H
#define NET_TLS_ROOTS_H

#include <openssl/x509.h>

#include "base/str.h"

/*
 * A store with the PEM certificates of `file` and of the directories `dirs` (separated by ':'),
 * there of those files that are named by a hash (openssl-rehash(1)). No file is opened afterwards.
 * What cannot be read, or is no certificate, is as if it were not there. NULL without memory.
 */
X509_STORE *tls_roots_new(const char *file, const char *dirs);

#endif
