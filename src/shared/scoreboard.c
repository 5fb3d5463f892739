/*
 * scoreboard: one mapping shared by the master and all its workers: a header, a few service-wide
 * words, and a row for each worker.
 *
 * The master makes it before the first fork and claims a row for each worker that it is about to
 * fork; from then on the worker alone writes the row until its pid has been waited for. Nothing
 * here locks: a worker may die at any instruction and leaves at worst a row whose gauges are
 * stale until the master releases it. Counters are never reset, so sums over all rows only grow.
 *
 *	FREE ──claim──> STARTING ──> READY ──> DRAINING
 *	  ^                  \         |          /
 *	  └──────── DEAD <────── release (pid waited for)
 *
 * Only scoreboard_new can fail, with errno of memfd_create, ftruncate or mmap; a full board makes
 * scoreboard_claim return NULL.
 */
#include "shared/scoreboard.h"

#include "base/shm.h"

#define SCOREBOARD_MAGIC 0x41505253u /* "APRS" */
#define SCOREBOARD_VERSION 2u

struct scoreboard {
	uint32_t magic, version;
	uint64_t size;
	int fd;
	_Atomic uint32_t draining;
	_Atomic uint32_t generation;
	_Atomic uint32_t high;
	struct row rows[SCOREBOARD_ROWS];
};

struct scoreboard *
scoreboard_new(void)
{
	int fd;
	struct scoreboard *b = shm_map("api-router-scoreboard", sizeof *b, &fd);
	if (b == NULL)
		return NULL;
	b->magic = SCOREBOARD_MAGIC;
	b->version = SCOREBOARD_VERSION;
	b->size = sizeof *b;
	b->fd = fd;
	return b;
}

void
scoreboard_free(struct scoreboard *b)
{
	if (b != NULL)
		shm_unmap(b, sizeof *b, b->fd);
}

/* Row `i` is in use from now on: no scan may stop before it. */
static void
raise_high(struct scoreboard *b, uint32_t i)
{
	uint32_t high = atomic_load(&b->high);
	while (high < i + 1 && !atomic_compare_exchange_weak(&b->high, &high, i + 1))
		;
}

struct row *
scoreboard_claim(struct scoreboard *b, uint32_t generation)
{
	for (uint32_t i = 0; i < SCOREBOARD_ROWS; i++) {
		struct row *r = &b->rows[i];
		uint32_t free_row = ROW_FREE;
		/*
		 * The row is DEAD, which nobody counts, until all that readers look at is in
		 * place.
		 */
		if (!atomic_compare_exchange_strong(&r->state, &free_row, ROW_DEAD))
			continue;
		ROW_SET(r->generation, generation);
		ROW_SET(r->pid, 0);
		raise_high(b, i);
		atomic_store(&r->state, ROW_STARTING);
		return r;
	}
	return NULL;
}

void
scoreboard_release(struct row *r)
{
	atomic_store(&r->state, ROW_DEAD);
	ROW_SET(r->clients, 0);
	ROW_SET(r->clients_active, 0);
	ROW_SET(r->upstreams, 0);
	ROW_SET(r->upstreams_idle, 0);
	ROW_SET(r->memory_kib, 0);
	ROW_SET(r->pid, 0);
	atomic_store(&r->state, ROW_FREE);
}

struct row *
scoreboard_row(struct scoreboard *b, unsigned i)
{
	return &b->rows[i];
}

unsigned
scoreboard_high(const struct scoreboard *b)
{
	return atomic_load(&b->high);
}

unsigned
scoreboard_mean(struct scoreboard *b, uint32_t generation, uint32_t now_s, uint32_t *clients_16ths)
{
	unsigned ready = 0, high = scoreboard_high(b);
	uint64_t clients = 0;
	for (unsigned i = 0; i < high; i++) {
		const struct row *r = &b->rows[i];
		if (ROW_GET(r->state) != ROW_READY || ROW_GET(r->generation) != generation ||
			(int32_t)(now_s - ROW_GET(r->heartbeat)) > SCOREBOARD_STILL_S)
			continue;
		ready++;
		clients += ROW_GET(r->clients);
	}
	*clients_16ths = ready == 0 ? 0 : (uint32_t)(clients * 16 / ready);
	return ready;
}

unsigned
scoreboard_ready(struct scoreboard *b)
{
	unsigned ready = 0, high = scoreboard_high(b);
	for (unsigned i = 0; i < high; i++)
		ready += ROW_GET(b->rows[i].state) == ROW_READY;
	return ready;
}

void
scoreboard_set_draining(struct scoreboard *b, bool draining)
{
	atomic_store(&b->draining, draining);
}

bool
scoreboard_draining(const struct scoreboard *b)
{
	return atomic_load(&b->draining) != 0;
}

struct row *
scoreboard_claim_master(struct scoreboard *b)
{
	struct row *r = scoreboard_claim(b, 0);

	if (r)
		atomic_store(&r->state, ROW_MASTER);
	return r;
}

unsigned
scoreboard_index(const struct scoreboard *b, const struct row *r)
{
	return (unsigned)(r - b->rows);
}

void
scoreboard_set_generation(struct scoreboard *b, uint32_t generation)
{
	atomic_store(&b->generation, generation);
}

uint32_t
scoreboard_generation(const struct scoreboard *b)
{
	return atomic_load(&b->generation);
}
