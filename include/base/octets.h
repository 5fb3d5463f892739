/*
 * octets: sixteen bytes compared at once, for text that is looked through at memory speed. By the
 * vector types of gcc and clang; the only instruction of one processor is x86's that gathers a bit
 * of each byte, others do it by a multiplication.
 */
#ifndef BASE_OCTETS_H
#define BASE_OCTETS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef signed char bytes16 __attribute__((vector_size(16)));
typedef unsigned char octets16 __attribute__((vector_size(16)));

static inline bytes16
octets_load(const char *p)
{
	bytes16 v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* One bit for each byte of a comparison's result, the first byte's the lowest. */
static inline uint64_t
octets_bits(bytes16 v)
{
#ifdef __SSE2__
	return (uint32_t)__builtin_ia32_pmovmskb128((char __attribute__((vector_size(16))))v);
#else
	typedef uint64_t words2 __attribute__((vector_size(16)));
	words2 w = (words2)v & 0x0101010101010101;
	return (le64toh(w[0]) * 0x0102040810204080) >> 56 |
		(le64toh(w[1]) * 0x0102040810204080) >> 56 << 8;
#endif
}

#endif
