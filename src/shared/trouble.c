/*
 * trouble: failures of providers, counted by all processes together.
 *
 * For each provider there is a ring of the times of its last failures, a number of how many there
 * were, and whether it is in trouble. Each is one atomic word: a failure takes a number, puts its
 * time where that points, and looks at the time four numbers earlier. Who swaps the state is the
 * one that tells of it.
 *
 *	well ──five failures within five minutes──> in trouble ──a success──> well
 *
 * After a success the failures before it count no more: they are behind `since`. A process that
 * dies between number and time leaves an old time there, and one failure is missed. Called by the
 * proxy when a request has ended. Only trouble_new can fail, with errno.
 */
#include "shared/trouble.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/shm.h"

#define TROUBLE_VERSION 1u

struct entry {
	_Atomic uint32_t n;     /* failures so far */
	_Atomic uint32_t since; /* those before this number do not count */
	_Atomic uint32_t state; /* 1: in trouble */
	_Atomic uint32_t times; /* it was in trouble, and when that began */
	_Atomic uint32_t began_s[TROUBLE_MOST];
	_Atomic uint32_t when_s[TROUBLE_FAILURES];
};

struct trouble_table {
	struct shm_head head;
	struct entry entries[];
};

struct trouble_table *
trouble_new(unsigned n)
{
	size_t size = sizeof(struct trouble_table) + n * sizeof(struct entry);

	return shm_map("trouble", TROUBLE_VERSION, size, false);
}

void
trouble_free(struct trouble_table *t)
{
	shm_unmap(t);
}

bool
trouble_failure(struct trouble_table *t, unsigned i, uint64_t now_ms)
{
	struct entry *e = &t->entries[i];
	uint32_t now = (uint32_t)(now_ms / 1000) + 1, number, first, began, times, calm = 0;
	int32_t before; /* failures that count, and came before this one */

	number = atomic_fetch_add(&e->n, 1);
	atomic_store(&e->when_s[number % TROUBLE_FAILURES], now);
	/* less than none: a success has come in between */
	before = (int32_t)(number - atomic_load(&e->since));
	if (before < TROUBLE_FAILURES - 1)
		return false;
	/* it may seem to lie ahead: each process has the time of its own turn */
	first = atomic_load(&e->when_s[(number + 1) % TROUBLE_FAILURES]);
	times = atomic_load(&e->times);
	began = atomic_load(&e->began_s[times % TROUBLE_MOST]);
	if (first == 0 || (int32_t)(now - first) >= TROUBLE_SECONDS ||
		(began > 0 && (int32_t)(now - began) < TROUBLE_MOST_SECONDS) ||
		!atomic_compare_exchange_strong(&e->state, &calm, 1))
		return false;
	atomic_store(&e->began_s[times % TROUBLE_MOST], now);
	atomic_store(&e->times, times + 1);
	return true;
}

bool
trouble_success(struct trouble_table *t, unsigned i)
{
	struct entry *e = &t->entries[i];
	uint32_t in_trouble = 1;

	/* the common case writes nothing */
	if (atomic_load(&e->state) == 0)
		return false;
	atomic_store(&e->since, atomic_load(&e->n));
	return atomic_compare_exchange_strong(&e->state, &in_trouble, 0);
}
