/*
 * clock: time. Durations are in milliseconds on a clock that never jumps; the wall clock is for the
 * log alone.
 */
#ifndef NET_CLOCK_H
#define NET_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic milliseconds (microseconds) as of the last clock_refresh: one reading a turn of the
 * loop is enough. */
uint64_t clock_ms(void);
uint64_t clock_us(void);
/* The same read now, for what other processes must agree on and for measuring within a turn. */
uint64_t clock_now_us(void);
/* Read the clocks; the loop calls it once after each poll. */
void clock_refresh(void);
/* Read the monotonic clock once more within a turn: what that has cost so far counts too. What
 * clock_now_us says. */
uint64_t clock_again(void);
/* Wall clock, milliseconds since the epoch, as of the last refresh. */
uint64_t clock_wall_ms(void);
/* RFC 3339 with milliseconds in UTC, "2026-05-01T12:00:00.123Z" and NUL; the second is formatted
 * once and kept. */
#define CLOCK_TEXT 25
void clock_text(uint64_t wall_ms, char out[CLOCK_TEXT]);
/* For tests: from now on the clocks stand at these values and move only by this call. */
void clock_fake(uint64_t ms, uint64_t wall_ms);
/* For tests: with the fake clock, how far clock_now_us is ahead: what the turn has cost so far. */
void clock_fake_cost(uint64_t us);

#endif
