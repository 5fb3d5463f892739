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
 * While the binary is changed there are two masters, each with rows of its own. When one of them is
 * killed, the other gives back what rows are left, once their processes are gone too.
 *
 * Only scoreboard_new can fail, with errno of memfd_create, ftruncate or mmap; a full board makes
 * scoreboard_claim return NULL.
 */
#include "shared/scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/shm.h"

#ifndef SCOREBOARD_VERSION /* tests/system/upgrade has a build with another one */
#define SCOREBOARD_VERSION 3u
#endif

struct scoreboard {
	struct shm_head head;
	_Atomic uint64_t started_s;
	_Atomic uint32_t draining;
	_Atomic uint32_t generation;
	_Atomic uint32_t last_generation;
	_Atomic uint32_t high;
	struct row rows[SCOREBOARD_ROWS];
};

struct scoreboard *
scoreboard_new(void)
{
	return shm_map("scoreboard", SCOREBOARD_VERSION, sizeof(struct scoreboard), false);
}

void
scoreboard_free(struct scoreboard *b)
{
	shm_unmap(b);
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
		ROW_SET(r->master, getpid());
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
	ROW_SET(r->master, 0);
	atomic_store(&r->state, ROW_FREE);
}

/* Is there no such process, or only what its parent has not waited for? */
static bool
is_gone(int32_t pid)
{
	char path[32], stat[256];

	if (kill(pid, 0) != 0)
		return errno == ESRCH;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, stat, sizeof stat - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	const char *name_end = strrchr(stat, ')');
	return name_end != NULL && strncmp(name_end, ") Z", 3) == 0;
}

/* A row whose process is gone, and the master that would give it back as well. */
static bool
is_left(const struct row *r)
{
	int32_t master = ROW_GET(r->master), pid = ROW_GET(r->pid);
	return atomic_load(&r->state) != ROW_FREE && master != 0 && master != getpid() &&
		is_gone(master) && (pid == 0 || is_gone(pid));
}

unsigned
scoreboard_sweep(struct scoreboard *b)
{
	unsigned n = 0, high = scoreboard_high(b);
	for (unsigned i = 0; i < high; i++) {
		/* Twice: another master may have given it back and claimed it meanwhile. */
		if (!is_left(&b->rows[i]) || shm_lock(b) != 0)
			continue;
		if (is_left(&b->rows[i])) {
			scoreboard_release(&b->rows[i]);
			n++;
		}
		shm_unlock(b);
	}
	return n;
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

	if (r) {
		ROW_SET(r->pid, getpid());
		atomic_store(&r->state, ROW_MASTER);
	}
	return r;
}

bool
scoreboard_served(struct scoreboard *b)
{
	unsigned high = scoreboard_high(b);
	for (unsigned i = 0; i < high; i++)
		if (ROW_GET(b->rows[i].state) == ROW_MASTER && ROW_GET(b->rows[i].generation) > 0)
			return true;
	return false;
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
scoreboard_next_generation(struct scoreboard *b)
{
	return atomic_fetch_add(&b->last_generation, 1) + 1;
}

uint64_t
scoreboard_started(struct scoreboard *b, uint64_t now_s)
{
	uint64_t started_s = 0;
	return atomic_compare_exchange_strong(&b->started_s, &started_s, now_s) ? now_s : started_s;
}

uint32_t
scoreboard_generation(const struct scoreboard *b)
{
	return atomic_load(&b->generation);
}
