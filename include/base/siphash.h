/*
 * siphash: a hash with a key, of short texts: SipHash-2-4 with 128 bits (Aumasson and Bernstein).
 * Who does not know the key can neither predict it nor find two texts that have the same.
 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include "base/str.h"

struct siphash_key {
	uint64_t k[2];
};
struct siphash {
	uint64_t h[2];
};

struct siphash siphash(const struct siphash_key *key, struct str text);

#endif
