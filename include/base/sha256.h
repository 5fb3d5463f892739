/*
 * sha256: the digest of FIPS 180-4.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stdint.h>

#include "base/str.h"

#define SHA256_SIZE 32
void sha256(struct str bytes, uint8_t out[SHA256_SIZE]);

#endif
