/*
 * limit: buckets of the generic cell rate algorithm in shared memory.
 *
 * A bucket is one word: a tag of its key (20 bits) and the time at which it would be full again,
 * the theoretical arrival time (43 bits of microseconds, compared modulo 2^43). A word of which the
 * time has passed is a free place. A key has eight places, one line of the cache, and at most one
 * bucket in them, living or not: whoever finds it charges it with one swap. Who finds none:
 *
 *	claim a place ──> read all places again ──> a bucket: leave the claim, charge that
 *	                  ├─> a claim in a lower place: go on with that one
 *	                  └─> claims in higher places: clear them, then
 *	                      swap the claim for a bucket that is charged
 *
 * A claim is nobody's: any process of that key goes on with it, one of another key takes its place,
 * and so it does not matter where its process dies. Each is a word that never was before. Of two in
 * different places one is seen by both processes, since each reads after its claim stood there; it
 * is cleared, or the lower one is turned to, and a swap of a claim that was cleared fails.
 *
 * A time that was read long before the swap does no harm to a bucket that is found. Where it would,
 * the clock is read again, after the words: then nobody who wrote them had a later time.
 *
 * Called by the proxy for each request that is limited. Only limit_new can fail.
 */
#include "shared/limit.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/shm.h"
#include "net/clock.h"

#define LIMIT_VERSION 3u

enum { PLACES = 8, TIME_BITS = 43 };
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define CLAIM (TIME_MASK + 1) /* the bit between time and tag; the time is a number then */
#define TAG_LEAST (CLAIM * 2)
/* No bucket is in debt for longer: 100,000 requests at one a minute are 69.4 days. */
#define DEBT_MOST (UINT64_C(6100000) * 1000000)

struct set {
	_Atomic uint64_t words[PLACES];
} __attribute__((aligned(64)));

struct limit_table {
	struct shm_head head;
	uint64_t seed; /* of the hash, so that nobody can aim at a set */
	uint32_t sets; /* a power of two */
	_Atomic uint64_t evictions, claims;
	struct set all[]; /* then a byte for each word: its path */
};

static _Atomic uint8_t *
paths_of(struct limit_table *t)
{
	return (_Atomic uint8_t *)&t->all[t->sets];
}

static size_t
table_size(size_t sets)
{
	return sizeof(struct limit_table) + sets * (sizeof(struct set) + PLACES);
}

size_t
limit_size(size_t buckets)
{
	size_t n = PLACES;

	while (n < buckets)
		n *= 2;
	return n;
}

struct limit_table *
limit_new(size_t buckets)
{
	size_t sets = limit_size(buckets) / PLACES;
	struct limit_table *t = shm_map("limits", LIMIT_VERSION, table_size(sets), true);

	/* One that was handed down, and has not the sets that it tells of. */
	if (t && t->head.size != table_size(t->sets > 0 ? t->sets : sets)) {
		shm_refuse(t);
		t = shm_map("limits", LIMIT_VERSION, table_size(sets), true);
	}
	if (!t || t->sets > 0)
		return t;
	t->sets = (uint32_t)sets;
	if (getrandom(&t->seed, sizeof t->seed, 0) != (ssize_t)sizeof t->seed)
		t->seed = (uint64_t)(uintptr_t)t;
	return t;
}

void
limit_free(struct limit_table *t)
{
	shm_unmap(t);
}

size_t
limit_buckets(const struct limit_table *t)
{
	return (size_t)t->sets * PLACES;
}

uint64_t
limit_evictions(const struct limit_table *t)
{
	return atomic_load_explicit(&t->evictions, memory_order_relaxed);
}

/*
 * The hash: multiply and fold, keyed. Lengths go in, so that no two keys are the same text.
 */

static uint64_t
fold(uint64_t h, uint64_t n)
{
	h = (h ^ n) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t
fold_text(uint64_t h, struct str s)
{
	h = fold(h, s.len);
	for (size_t i = 0; i < s.len; i += sizeof h) {
		uint64_t n = 0;

		memcpy(&n, s.p + i, s.len - i < sizeof n ? s.len - i : sizeof n);
		h = fold(h, n);
	}
	return h;
}

/* A bucket that is being worked on. */
struct place {
	struct limit_table *table;
	struct set *set;
	uint64_t tag; /* shifted to where it stands in a word, not 0 */
	uint64_t now;
	uint64_t step;  /* between two requests */
	uint64_t slack; /* debt with which one is still admitted */
	uint8_t path;
};

static struct place
place_of(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us)
{
	uint64_t h = fold(fold_text(fold_text(t->seed, k->what), k->who), k->path);
	uint64_t step = (UINT64_C(60000000) + r->per_minute - 1) / r->per_minute, tag;

	h = fold(h, h >> 32);
	tag = h & ~(TAG_LEAST - 1);
	return (struct place){ .table = t,
		.set = &t->all[h & (t->sets - 1)],
		.tag = tag > 0 ? tag : TAG_LEAST,
		.now = now_us & TIME_MASK,
		.step = step,
		.slack = step * (r->burst > 1 ? r->burst - 1 : 0),
		.path = (uint8_t)k->path };
}

/* How far a word's time lies ahead; 0: it has passed, or it is a claim or nothing. */
static uint64_t
debt_of(uint64_t word, uint64_t now)
{
	uint64_t ahead = (word - now) & TIME_MASK;

	return ahead <= DEBT_MOST && word >= TAG_LEAST && !(word & CLAIM) ? ahead : 0;
}

static uint64_t
word_of(const struct place *p, uint64_t debt)
{
	return p->tag | ((p->now + debt) & TIME_MASK);
}

/* The time as it is now. */
static void
refresh(struct place *p, uint64_t not_before)
{
	uint64_t now = clock_now_us();

	p->now = (now > not_before ? now : not_before) & TIME_MASK;
}

static bool
swap(const struct place *p, unsigned at, uint64_t word, uint64_t other)
{
	return atomic_compare_exchange_strong(&p->set->words[at], &word, other);
}

/* A set as it was read, place by place; each of these is PLACES when there is none. */
struct view {
	uint64_t words[PLACES];
	unsigned bucket; /* of this key, living or not */
	unsigned claim;  /* of this key, the lowest */
	unsigned spare;  /* where a new bucket takes least from others */
};

static struct view
view_of(const struct place *p)
{
	struct view v = { .bucket = PLACES, .claim = PLACES, .spare = PLACES };
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < PLACES; i++) {
		uint64_t w = v.words[i] = atomic_load(&p->set->words[i]);
		uint64_t cost = w & CLAIM ? 1 : debt_of(w, p->now);

		if ((w & ~TIME_MASK) == p->tag) {
			v.bucket = i;
			break;
		}
		if ((w & ~TIME_MASK) == (p->tag | CLAIM) && v.claim == PLACES)
			v.claim = i;
		if (cost < least) {
			least = cost;
			v.spare = i;
		}
	}
	return v;
}

/*
 * The debt of the bucket that was found. If it is more than the limit allows, either this process
 * has slept since it read the clock, or it is left from a limit that has been lowered: that counts,
 * and stands there from now on, as the most that there can be.
 */
static uint64_t
debt_in(const struct place *p, const struct view *v, uint64_t now_us)
{
	uint64_t word = v->words[v->bucket], debt = debt_of(word, p->now);
	uint64_t most = p->slack + p->step;
	struct place late = *p;

	if (debt <= most)
		return debt;
	refresh(&late, now_us);
	if (debt_of(word, late.now) <= most)
		return debt;
	swap(p, v->bucket, word, word_of(&late, most));
	return most;
}

/* Go on towards a bucket where none was found. True when it is there, charged; else look again. */
static bool
begin(struct place *p, const struct view *v, uint64_t now_us)
{
	unsigned at = v->claim;
	uint64_t claim, spare;
	struct view all;

	if (at == PLACES) {
		spare = v->words[v->spare];
		claim = atomic_fetch_add(&p->table->claims, 1) & TIME_MASK;
		if (swap(p, v->spare, spare, p->tag | CLAIM | claim) && debt_of(spare, p->now) > 0)
			atomic_fetch_add_explicit(&p->table->evictions, 1, memory_order_relaxed);
		return false;
	}
	all = view_of(p);
	if (all.bucket < PLACES || all.claim != at || all.words[at] != v->words[at])
		return false;
	for (unsigned i = at + 1; i < PLACES; i++) {
		if ((all.words[i] & ~TIME_MASK) == (p->tag | CLAIM) && !swap(p, i, all.words[i], 0))
			return false;
	}
	refresh(p, now_us);
	return swap(p, at, v->words[at], word_of(p, p->step));
}

static void
tell(const struct place *p, uint64_t debt, struct limit_state *s)
{
	if (!s)
		return;
	s->full_us = debt;
	s->wait_us = debt > p->slack ? debt - p->slack : 0;
	s->remaining = debt > p->slack ? 0 : (uint32_t)((p->slack - debt) / p->step + 1);
}

/* A bucket was charged. Which path a place is for may have been written late by who had it before.
 */
static void
note_path(const struct place *p, unsigned at)
{
	size_t i = (size_t)(p->set - p->table->all) * PLACES + at;
	_Atomic uint8_t *path = &paths_of(p->table)[i];

	if (atomic_load_explicit(path, memory_order_relaxed) != p->path)
		atomic_store_explicit(path, p->path, memory_order_relaxed);
}

bool
limit_take(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s)
{
	struct place p = place_of(t, k, r, now_us);
	uint64_t debt = 0;
	struct view v;

	for (;;) {
		v = view_of(&p);
		if (v.bucket == PLACES) {
			if (begin(&p, &v, now_us))
				break;
			continue;
		}
		debt = debt_in(&p, &v, now_us);
		if (debt > p.slack) {
			tell(&p, debt, s);
			return false;
		}
		if (swap(&p, v.bucket, v.words[v.bucket], word_of(&p, debt + p.step)))
			break;
		debt = 0;
	}
	note_path(&p, v.bucket < PLACES ? v.bucket : v.claim);
	tell(&p, debt + p.step, s);
	return true;
}

bool
limit_look(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s)
{
	struct place p = place_of(t, k, r, now_us);
	struct view v = view_of(&p);
	uint64_t debt = v.bucket < PLACES ? debt_in(&p, &v, now_us) : 0;

	tell(&p, debt, s);
	return debt <= p.slack;
}

void
limit_return(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t taken_us)
{
	struct place p = place_of(t, k, r, taken_us);

	for (;;) {
		struct view v = view_of(&p);
		uint64_t debt = v.bucket < PLACES ? debt_of(v.words[v.bucket], p.now) : 0;

		if (debt == 0 || clock_now_us() >= taken_us + p.step ||
			swap(&p, v.bucket, v.words[v.bucket],
				word_of(&p, debt > p.step ? debt - p.step : 0)))
			return;
	}
}

void
limit_sweep(struct limit_table *t, uint64_t now_us)
{
	for (size_t i = 0; i < (size_t)t->sets * PLACES; i++) {
		_Atomic uint64_t *at = &t->all[i / PLACES].words[i % PLACES];
		uint64_t w = atomic_load_explicit(at, memory_order_relaxed);

		if (w != 0 && !(w & CLAIM) && debt_of(w, now_us & TIME_MASK) == 0)
			(void)atomic_compare_exchange_strong(at, &w, 0);
	}
}

size_t
limit_active(struct limit_table *t, uint64_t now_us, size_t by_path[LIMIT_PATHS])
{
	size_t n = 0;

	memset(by_path, 0, LIMIT_PATHS * sizeof *by_path);
	for (size_t i = 0; i < (size_t)t->sets * PLACES; i++) {
		uint64_t w = atomic_load_explicit(&t->all[i / PLACES].words[i % PLACES],
			memory_order_relaxed);

		if (debt_of(w, now_us & TIME_MASK) == 0)
			continue;
		n++;
		by_path[atomic_load_explicit(&paths_of(t)[i], memory_order_relaxed) %
			LIMIT_PATHS]++;
	}
	return n;
}
