/*
 * delays: how long each of many things took, and what share of them took at most how long.
 */
#ifndef BENCH_DELAYS_H
#define BENCH_DELAYS_H

#include <stdint.h>

/* One more, at a time (now_ns) that is not before that of the last one. */
void delays_add(uint64_t ns, uint64_t at_ns);

/* What this share (0 to 1) of them took at most, in microseconds; 0 where there are none. */
double delays_us(double share);

/* The median of what delays_us would be for each tenth of a second by itself, if there are five
 * with at least a hundred of them, else 0. What happens seldom, whoever is to blame,
 * is not seen here. To be asked for before delays_us, which no longer knows the order. */
double delays_windowed_us(double share);

#endif
