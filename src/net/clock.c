/*
 * clock: time, read once a turn.
 *
 * The loop refreshes it after each poll; everyone else reads the remembered values, which costs
 * nothing and gives all handlers of a turn the same time. A request that measures what it has cost
 * moves the monotonic clock on within a turn; the wall clock is not read for that. The text of the
 * wall clock's second is kept, since the access log asks for it at every line.
 *
 * Nothing here fails. Tests put a fake clock in its place, which moves only when they say so.
 */
#include "net/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now_us, wall_ms, fake_cost_us;
static bool fake;

static uint64_t
read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void
clock_refresh(void)
{
	if (fake)
		return;
	now_us = read_us(CLOCK_MONOTONIC);
	wall_ms = read_us(CLOCK_REALTIME) / 1000;
}

uint64_t
clock_again(void)
{
	uint64_t now = clock_now_us();

	if (!fake)
		now_us = now;
	return now;
}

uint64_t
clock_us(void)
{
	if (now_us == 0)
		clock_refresh();
	return now_us;
}

uint64_t
clock_now_us(void)
{
	return fake ? now_us + fake_cost_us : read_us(CLOCK_MONOTONIC);
}

uint64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

uint64_t
clock_wall_ms(void)
{
	if (wall_ms == 0)
		clock_refresh();
	return wall_ms;
}

void
clock_fake(uint64_t ms, uint64_t wall)
{
	fake = true;
	now_us = ms * 1000;
	wall_ms = wall;
}

void
clock_fake_cost(uint64_t us)
{
	fake_cost_us = us;
}

void
clock_text(uint64_t at_ms, char out[CLOCK_TEXT])
{
	static uint64_t kept_s = UINT64_MAX;
	static char kept[CLOCK_TEXT];
	uint64_t s = at_ms / 1000, ms = at_ms % 1000;

	if (s != kept_s) {
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(kept, sizeof kept, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		kept_s = s;
	}
	memcpy(out, kept, CLOCK_TEXT);
	out[20] = (char)('0' + ms / 100);
	out[21] = (char)('0' + ms / 10 % 10);
	out[22] = (char)('0' + ms % 10);
}
