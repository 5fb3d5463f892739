/*
 * throttle: how long to wait before a dead child is replaced. Pure arithmetic.
 */
#ifndef PROCESS_THROTTLE_H
#define PROCESS_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_MAX_S 60

/* Had it lived: was it ready, and did it last a second? */
bool throttle_lived(bool ready, uint64_t age_ms);
/*
 * The next delay in seconds from the last one (0: none yet): none for a child that had lived,
 * else 1, 2, 4 … THROTTLE_MAX_S.
 */
unsigned throttle_next(unsigned last_s, bool lived);

#endif
