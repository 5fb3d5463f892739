/*
 * limit: buckets of the generic cell rate algorithm in shared memory.
 *
 * A bucket is one word: a tag of its key (20 bits) and the time at which it would be full again,
 * the theoretical arrival time (44 bits of microseconds, compared modulo 2^44). A word of which the
 * time has passed is a free place; there is nothing to sweep. A key has eight places, one line of
 * the cache:
 *
 *	scan: the first living word with my tag, or else a free one, or else the one that is free
 *first compare-and-swap it ──lost──> scan again scan once more: a twin of a new one? ──> take it
 *back and scan again
 *
 * A new key can be claimed by two processes in two places at the same time. Each looks for a twin
 * after its own swap, so at least one of them finds the other, withdraws and asks there. The swap
 * that claims is the swap that charges: a process that dies between two steps leaves whole buckets,
 * at worst a twin, which the next one joins. Beside the words stands a byte for each, which path it
 * is for: only a count depends on it.
 *
 * Called by the proxy for each request that is limited. Only limit_new can fail.
 */
#include "shared/limit.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "base/shm.h"

#define LIMIT_MAGIC 0x41504c54u /* "APLT" */
#define LIMIT_VERSION 1u

enum { PLACES = 8, TIME_BITS = 44 };
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
/* No bucket is in debt for longer: 100,000 requests at one a minute are 69.4 days. */
#define DEBT_MOST (UINT64_C(6100000) * 1000000)

struct set {
	_Atomic uint64_t words[PLACES];
} __attribute__((aligned(64)));

struct limit_table {
	uint32_t magic, version;
	uint64_t size;
	uint64_t seed; /* of the hash, so that nobody can aim at a set */
	int fd;
	uint32_t sets; /* a power of two */
	_Atomic uint64_t evictions;
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
	struct limit_table *t;
	int fd;

	t = shm_map("api-router-limit", table_size(sets), &fd);
	if (!t)
		return NULL;
	t->magic = LIMIT_MAGIC;
	t->version = LIMIT_VERSION;
	t->size = table_size(sets);
	t->fd = fd;
	t->sets = (uint32_t)sets;
	if (getrandom(&t->seed, sizeof t->seed, 0) != (ssize_t)sizeof t->seed)
		t->seed = (uint64_t)(uintptr_t)t;
	return t;
}

void
limit_free(struct limit_table *t)
{
	if (t)
		shm_unmap(t, t->size, t->fd);
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
	uint64_t tag; /* shifted to where it stands in a word */
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
	uint64_t step = (UINT64_C(60000000) + r->per_minute - 1) / r->per_minute;

	h = fold(h, h >> 32);
	return (struct place){ .table = t,
		.set = &t->all[h & (t->sets - 1)],
		.tag = h & ~TIME_MASK,
		.now = now_us & TIME_MASK,
		.step = step,
		.slack = step * (r->burst > 1 ? r->burst - 1 : 0),
		.path = (uint8_t)k->path };
}

/* How far a word's time lies ahead; 0: it has passed, the place is free. */
static uint64_t
debt_of(uint64_t word, uint64_t now)
{
	uint64_t ahead = (word - now) & TIME_MASK;

	return ahead <= DEBT_MOST && word != 0 ? ahead : 0;
}

static uint64_t
word_of(const struct place *p, uint64_t debt)
{
	return p->tag | ((p->now + debt) & TIME_MASK);
}

static bool
is_mine(const struct place *p, uint64_t word)
{
	return (word & ~TIME_MASK) == p->tag && debt_of(word, p->now) > 0;
}

/* A limit that was lowered leaves debts that it cannot have: they count as its largest. */
static uint64_t
debt_within(const struct place *p, uint64_t debt)
{
	uint64_t most = p->slack + p->step;

	return debt < most ? debt : most;
}

/* Where this bucket is or can be. *word: what stands there. */
static unsigned
find(const struct place *p, uint64_t *word)
{
	unsigned found = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < PLACES; i++) {
		uint64_t w = atomic_load(&p->set->words[i]), debt = debt_of(w, p->now);

		if (is_mine(p, w)) {
			*word = w;
			return i;
		}
		if (debt < least) {
			least = debt;
			found = i;
			*word = w;
		}
	}
	return found;
}

/* Add to the debt of the bucket at `at`, or take off it. False when it is not there any more. */
static bool
change(const struct place *p, unsigned at, uint64_t more, uint64_t less)
{
	uint64_t word = atomic_load(&p->set->words[at]), debt;

	do {
		if (!is_mine(p, word))
			return false;
		debt = debt_of(word, p->now) + more;
		debt = debt > less ? debt - less : 0;
	} while (!atomic_compare_exchange_weak(&p->set->words[at], &word,
		debt > 0 ? word_of(p, debt) : 0));
	return true;
}

/* The first place from `from` on where a living bucket of this key is, or PLACES. */
static unsigned
living(const struct place *p, unsigned from, unsigned but)
{
	for (unsigned i = from; i < PLACES; i++) {
		if (i != but && is_mine(p, atomic_load(&p->set->words[i])))
			return i;
	}
	return PLACES;
}

/*
 * Put the debts of all twins into the first. A debt is added there before it is cleared here, and
 * taken off again when somebody was faster: who dies in between leaves too much of it, never too
 * little.
 */
static void
join_twins(const struct place *p)
{
	unsigned first = living(p, 0, PLACES);

	for (unsigned i = living(p, first + 1, PLACES); i < PLACES; i = living(p, i, PLACES)) {
		uint64_t word = atomic_load(&p->set->words[i]), debt = debt_of(word, p->now);

		if (!is_mine(p, word))
			continue;
		if (!change(p, first, debt, 0))
			return;
		if (!atomic_compare_exchange_strong(&p->set->words[i], &word, 0))
			change(p, first, 0, debt);
	}
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

void
limit_return(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us)
{
	struct place p = place_of(t, k, r, now_us);
	unsigned at = living(&p, 0, PLACES);

	while (at < PLACES && !change(&p, at, 0, p.step))
		at = living(&p, 0, PLACES);
}

/* A place was taken from whoever had it. */
static void
settle(const struct place *p, unsigned at, uint64_t before)
{
	size_t i = (size_t)(p->set - p->table->all) * PLACES + at;

	if (debt_of(before, p->now) > 0)
		atomic_fetch_add_explicit(&p->table->evictions, 1, memory_order_relaxed);
	atomic_store_explicit(&paths_of(p->table)[i], p->path, memory_order_relaxed);
}

bool
limit_take(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s)
{
	struct place p = place_of(t, k, r, now_us);
	uint64_t word, debt;
	unsigned at;
	bool known;

	for (;;) {
		at = find(&p, &word);
		known = is_mine(&p, word);
		debt = known ? debt_within(&p, debt_of(word, p.now)) : 0;
		if (debt > p.slack) {
			tell(&p, debt, s);
			return false;
		}
		if (!atomic_compare_exchange_strong(&p.set->words[at], &word,
			    word_of(&p, debt + p.step)))
			continue;
		if (known || living(&p, 0, at) == PLACES)
			break;
		if (!change(&p, at, 0, p.step)) /* the other is asked, since it was there first */
			limit_return(t, k, r, now_us);
	}
	if (!known)
		settle(&p, at, word);
	join_twins(&p);
	tell(&p, debt + p.step, s);
	return true;
}

bool
limit_look(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r,
	uint64_t now_us, struct limit_state *s)
{
	struct place p = place_of(t, k, r, now_us);
	uint64_t word, debt = 0;

	find(&p, &word);
	if (is_mine(&p, word))
		debt = debt_within(&p, debt_of(word, p.now));
	tell(&p, debt, s);
	return debt <= p.slack;
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
