/*
 * throttle: how long to wait before a dead child is replaced.
 *
 * A child that had served is replaced at once: whatever killed it, its clients should not wait
 * for our caution. One that died young would most likely do so again, and a fork a turn of the
 * loop helps nobody; its replacement waits one second, then two, four and so on to a minute,
 * until one lives. Kept apart from the master so that the rule can be read, and tested, in one
 * place.
 *
 * Called by reap for each death. Nothing can fail.
 */
#include "process/throttle.h"

#define LIVED_MS 1000

bool
throttle_lived(bool ready, uint64_t age_ms)
{
	return ready && age_ms >= LIVED_MS;
}

unsigned
throttle_next(unsigned last_s, bool lived)
{
	if (lived)
		return 0;
	if (last_s == 0)
		return 1;
	return last_s >= THROTTLE_MAX_S / 2 ? THROTTLE_MAX_S : last_s * 2;
}
