/*
 * random: numbers for tests of anything in any order, the same in every run: a failure comes again.
 * A test that shall be able to name a case by a number sets random_seed before it.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stddef.h>
#include <stdint.h>

static uint64_t random_seed = 1;

/* One of 0 to n - 1; n is 2^31 at most. */
static inline unsigned
below(size_t n)
{
	random_seed = random_seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((random_seed >> 33) % n);
}

#endif
