/*
 * sha256: the digest of FIPS 180-4, by OpenSSL's functions for this one algorithm.
 *
 * Its manuals prefer EVP, which finds the same code by name: that wakes the whole library, with its
 * providers, its configuration file and its names of errors, 2 MB of which a daemon without TLS
 * needs nothing; and each digest costs twice as much when it is as short as a key. These functions
 * allocate nothing, open nothing and cannot fail.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/sha256.h"

#include <openssl/sha.h>

void
sha256(struct str bytes, uint8_t out[SHA256_SIZE])
{
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, bytes.p, bytes.len);
	SHA256_Final(out, &ctx);
}
