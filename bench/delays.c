/*
 * delays: nanoseconds in one array, in the order in which they came until they are asked for; the
 * beginnings of the windows in another.
 */
#include "delays.h"

#include <stdbool.h>
#include <stdlib.h>

#include "bench.h"

#define WINDOW_NS 100000000
#define WINDOW_LEAST 100 /* delays in one */
#define WINDOWS_LEAST 5

static uint32_t *delays;
static size_t n_delays, cap_delays;
static size_t *windows, n_windows; /* how many there were when each began */
static uint64_t window_ns;         /* when the last one did */
static bool sorted;

static void
window_begin(uint64_t at_ns)
{
	windows = realloc(windows, (n_windows + 1) * sizeof *windows);
	if (!windows)
		die("realloc");
	windows[n_windows++] = n_delays;
	window_ns = at_ns;
}

void
delays_add(uint64_t ns, uint64_t at_ns)
{
	if (at_ns - window_ns >= WINDOW_NS)
		window_begin(at_ns);
	if (n_delays == cap_delays) {
		cap_delays = cap_delays ? 2 * cap_delays : 65536;
		delays = realloc(delays, cap_delays * sizeof *delays);
		if (!delays)
			die("realloc");
	}
	delays[n_delays++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Of a list that is sorted. */
static uint32_t
share_of(const uint32_t *list, size_t n, double share)
{
	size_t at = (size_t)(share * (double)n);

	return list[at < n ? at : n - 1];
}

double
delays_us(double share)
{
	if (n_delays == 0)
		return 0;
	if (!sorted)
		qsort(delays, n_delays, sizeof *delays, by_size);
	sorted = true;
	return share_of(delays, n_delays, share) / 1e3;
}

/* The last window is not whole. */
double
delays_windowed_us(double share)
{
	uint32_t *each = calloc(n_windows + 1, sizeof *each);
	double us = 0;
	size_t n = 0;

	if (!each)
		die("calloc");
	for (size_t i = 0; i + 1 < n_windows; i++) {
		uint32_t *list = delays + windows[i];
		size_t in_it = windows[i + 1] - windows[i];

		if (in_it < WINDOW_LEAST)
			continue;
		qsort(list, in_it, sizeof *list, by_size);
		each[n++] = share_of(list, in_it, share);
	}
	qsort(each, n, sizeof *each, by_size);
	if (n >= WINDOWS_LEAST)
		us = ((double)each[(n - 1) / 2] + each[n / 2]) / 2e3;
	free(each);
	return us;
}
