/*
 * Tests of shared/limit: every order in which the atomic steps of a few takers can fall, and the
 * death of all of them after every step.
 *
 * The module is compiled once more, here, with its atomic operations put off: a taker is run again
 * and again from its start with the answers that it has had so far, until it asks for a step that
 * has no answer yet. So its state is the list of its answers, and a state of all is those lists and
 * the words of one set. A search visits all states that can be reached, each once.
 */
#include "unit.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "net/clock.h"

enum op { LOAD, SWAP, COUNT };

static uint64_t step(enum op op, _Atomic uint64_t *at, uint64_t *expected, uint64_t value);
static uint64_t latest(void);

#undef atomic_load
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_load_explicit
#undef atomic_store_explicit
#define atomic_load(at) step(LOAD, at, NULL, 0)
#define atomic_compare_exchange_strong(at, expected, value) (step(SWAP, at, expected, value) == 1)
#define atomic_compare_exchange_weak(at, expected, value) (step(SWAP, at, expected, value) == 1)
#define atomic_fetch_add(at, value) step(COUNT, at, NULL, value)
/* What only counts and gauges depend on is left out. */
#define atomic_fetch_add_explicit(at, value, order) ((void)(at), (void)(value))
#define atomic_load_explicit(at, order) (*(at))
#define atomic_store_explicit(at, value, order) ((void)(at), (void)(value))
/* The clock, which has been read last by whoever came last. */
#define clock_now_us() latest()
#include "../../../src/shared/limit.c" // NOLINT(bugprone-suspicious-include)

#define ANSWERS 160
#define TAKERS 3
#ifdef __SANITIZE_ADDRESS__
static const bool slow = true; /* what a sanitizer looks for is in the first orders too */
#else
static const bool slow = false;
#endif
#define STEP 1000u /* microseconds between two requests at the rates below */
#define PER_MINUTE 60000u

/* A caller of limit_take, or of limit_return after it when `returns`. */
struct taker {
	const char *who;
	uint64_t now;
	bool returns;
	uint32_t burst;
	bool done, admitted;
	unsigned n;
	uint64_t value[ANSWERS]; /* the word that was found, or the number */
	bool swapped[ANSWERS];
	/* The step that it asks for. */
	enum op op;
	unsigned at;
	uint64_t expected, wanted;
};

struct state {
	uint64_t words[PLACES], claims;
	struct taker takers[TAKERS];
};

static struct limit_table *table;
static unsigned n_takers;
static uint64_t now_latest;   /* what the clock says whenever it is read: no taker came later */
static bool constant[PLACES]; /* places with words of others that nobody changes */

/* The run of one taker. */
static struct state *world;
static struct taker *runner;
static unsigned answered;
static jmp_buf put_off;
static bool direct; /* steps are taken at once */

static uint64_t
latest(void)
{
	return now_latest;
}

/* Take the step that a taker asks for, and add the answer to its list. */
static void
answer(struct state *s, struct taker *t)
{
	uint64_t *word = t->op == COUNT ? &s->claims : &s->words[t->at];

	ck_assert_uint_lt(t->n, ANSWERS);
	t->value[t->n] = *word;
	t->swapped[t->n] = t->op == SWAP && *word == t->expected;
	if (t->op == COUNT)
		*word += t->wanted;
	if (t->swapped[t->n]) {
		ck_assert_msg(!constant[t->at], "place %u was to stay as it is", t->at);
		*word = t->wanted;
	}
	t->n++;
}

static uint64_t
step(enum op op, _Atomic uint64_t *at, uint64_t *expected, uint64_t value)
{
	struct taker *t = runner;
	ptrdiff_t place = at - table->all[0].words;

	if (answered == t->n) {
		t->op = op;
		t->at = op == COUNT ? 0 : (unsigned)place;
		t->expected = expected ? *expected : 0;
		t->wanted = value;
		if (!direct && !(op == LOAD && constant[place]))
			longjmp(put_off, 1);
		answer(world, t);
	}
	answered++;
	if (op == SWAP && !t->swapped[answered - 1])
		*expected = t->value[answered - 1];
	return op == SWAP ? t->swapped[answered - 1] : t->value[answered - 1];
}

/* Run a taker with the answers that it has, to its end or to its next step. */
static void
run(struct state *s, struct taker *t)
{
	struct limit_key k = { .what = STR(""), .who = str_of(t->who) };
	struct limit_rate r = { PER_MINUTE, t->burst };

	world = s;
	runner = t;
	answered = 0;
	if (setjmp(put_off))
		return;
	t->admitted = limit_take(table, &k, &r, t->now, NULL);
	if (t->admitted && t->returns)
		limit_return(table, &k, &r, t->now);
	t->done = true;
}

/* One request from start to end with nobody else there. */
static bool
take_alone(struct state *s, const char *who, uint32_t burst, uint64_t now)
{
	struct taker t = { .who = who, .now = now, .burst = burst };

	direct = true;
	run(s, &t);
	direct = false;
	return t.admitted;
}

/* Which states have been seen: their hashes. */
static uint64_t *seen;
static size_t n_seen, room;

static bool
is_new(uint64_t hash)
{
	size_t at = hash & (room - 1);

	hash |= 1;
	while (seen[at] != 0 && seen[at] != hash)
		at = (at + 1) & (room - 1);
	if (seen[at] == hash)
		return false;
	seen[at] = hash;
	ck_assert_uint_lt(++n_seen, room / 4 * 3);
	return true;
}

static uint64_t
state_hash(const struct state *s)
{
	uint64_t h = fold(1, s->claims);

	for (unsigned i = 0; i < PLACES; i++)
		h = fold(h, s->words[i]);
	for (unsigned i = 0; i < n_takers; i++) {
		const struct taker *t = &s->takers[i];
		h = fold(h, t->done * 2u + t->admitted);
		for (unsigned n = 0; n < t->n && !t->done; n++)
			h = fold(h, t->value[n] * 2 + t->swapped[n]);
	}
	return h ^ h >> 32;
}

/* What is tried, and what went before it. */
static struct scenario {
	const char *name;
	uint32_t burst;
	struct {
		const char *who;
		uint64_t at;
		uint32_t burst; /* 0: that of the scenario */
	} before[8];
	unsigned taken; /* places that long-lived buckets of others have */
	struct {
		const char *who;
		uint64_t now;
		bool returns;
	} takers[TAKERS];
	uint64_t latest;
	bool changed; /* the limit was another one before: what was admitted then does not count */
} cases[] = {
	{ "two begin a bucket", 1, .takers = { { "k", 0 }, { "k", 0 } } },
	{ "two begin a larger one", 2, .takers = { { "k", 0 }, { "k", 0 } } },
	{ "three begin a bucket", 1, .taken = 6, .takers = { { "k", 0 }, { "k", 0 }, { "k", 0 } } },
	{ "three begin a larger one", 2, .taken = 6,
		.takers = { { "k", 0 }, { "k", 0 }, { "k", 0 } } },
	{ "the clock was read in another order", 2, .taken = 6,
		.takers = { { "k", 0 }, { "k", 500 }, { "k", 900 } }, .latest = 950 },
	{ "places look free to some", 2, .before = { { "x", 0 }, { "y", 400 } }, .taken = 5,
		.takers = { { "k", 999 }, { "k", 1400 } }, .latest = 1400 },
	{ "another place looks free to each", 2, .before = { { "x", 0 }, { "y", 400 } }, .taken = 6,
		.takers = { { "k", 999 }, { "k", 1200 }, { "k", 1400 } }, .latest = 1400 },
	{ "it runs out for some", 1, .before = { { "k", 0 } }, .taken = 5,
		.takers = { { "k", 999 }, { "k", 1000 }, { "k", 1001 } }, .latest = 1001 },
	{ "a larger one runs out for some", 2, .before = { { "k", 0 } }, .taken = 5,
		.takers = { { "k", 999 }, { "k", 1050 }, { "k", 1050 } }, .latest = 1060 },
	{ "its place is another's when it has run out", 2, .before = { { "k", 0 } }, .taken = 6,
		.takers = { { "k", 999 }, { "x", 1050 }, { "k", 1050 } }, .latest = 1060 },
	{ "another's place runs out under it", 2, .before = { { "x", 0 } }, .taken = 6,
		.takers = { { "k", 999 }, { "x", 1000 }, { "k", 1000 } }, .latest = 1000 },
	{ "one is given back", 2, .taken = 6,
		.takers = { { "k", 0 }, { "k", 0, true }, { "k", 0 } } },
	{ "one is given back too late", 1, .before = { { "k", 0 } }, .taken = 7,
		.takers = { { "k", 1000, true }, { "k", 2001 } }, .latest = 2001 },
	{ "one is given back in time", 2, .before = { { "k", 0 } }, .taken = 7,
		.takers = { { "k", 0, true }, { "k", 0 }, { "k", 1 } }, .latest = 1 },
	{ "a limit that was lowered", 2,
		.before = { { "k", 0, 9 }, { "k", 0, 9 }, { "k", 0, 9 }, { "k", 0, 9 },
			{ "k", 0, 9 } },
		.taken = 7, .takers = { { "k", 0 }, { "k", 500 }, { "k", 1600 } }, .latest = 1600,
		.changed = true },
	{ "one that has slept is no lowered limit", 2, .before = { { "k", 10000 }, { "k", 10000 } },
		.taken = 7, .takers = { { "k", 0 }, { "k", 10000 } }, .latest = 10000 },
};
static const struct scenario *now_tried;
/* Takers of different keys could take the one free place from each other for ever, if they always
 * came between: such orders are followed so far only. */
static uint64_t most_claims;
static size_t most_states;
static const uint64_t start = 1000000000;

/* When requests of k were admitted, those that went before it too, in order. */
static unsigned
admissions(const struct state *s, uint64_t at[8 + TAKERS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < 8 && now_tried->before[i].who && !now_tried->changed; i++)
		if (now_tried->before[i].who[0] == 'k')
			at[n++] = start + now_tried->before[i].at;
	for (unsigned i = 0; i < n_takers; i++) {
		const struct taker *t = &s->takers[i];
		if (t->who[0] == 'k' && t->done && t->admitted && !t->returns)
			at[n++] = t->now;
	}
	for (unsigned i = 1; i < n; i++) {
		for (unsigned j = i; j > 0 && at[j] < at[j - 1]; j--) {
			uint64_t other = at[j];
			at[j] = at[j - 1];
			at[j - 1] = other;
		}
	}
	return n;
}

static uint64_t
charged(uint64_t tat, uint64_t at)
{
	return (tat > at ? tat : at) + STEP;
}

/* What a bucket without haste and without deaths would still admit, when every taker that has not
 * come to its end has taken one. */
static unsigned
left_over(const struct state *s, const uint64_t *at, unsigned n_at)
{
	uint64_t tat = 0, slack = (now_tried->burst - 1) * STEP;
	unsigned n = 0;

	for (unsigned i = 0; i < n_at; i++)
		tat = charged(tat, at[i]);
	for (unsigned i = 0; i < n_takers; i++)
		if (s->takers[i].who[0] == 'k' && !s->takers[i].done)
			tat = charged(tat, now_latest);
	for (; tat <= now_latest + slack; n++)
		tat = charged(tat, now_latest);
	return n;
}

static void
show(const struct state *s)
{
	for (unsigned i = 0; i < n_takers; i++) {
		const struct taker *t = &s->takers[i];
		printf("taker %u of %s at %llu, %u steps, %s\n", i, t->who,
			(unsigned long long)(t->now - start), t->n,
			!t->done              ? "dead"
				: t->admitted ? "admitted"
					      : "refused");
	}
	for (unsigned i = 0; i < PLACES; i++)
		printf("place %u: %016llx\n", i, (unsigned long long)s->words[i]);
}

/* All who are under way die. What do those admit who come then? */
static void
check(const struct state *s)
{
	static struct state after;
	uint64_t at[8 + TAKERS];
	unsigned n = 0, all_done = 1, n_at = admissions(s, at);

	after = *s;
	while (n < 20 && take_alone(&after, "k", now_tried->burst, now_latest))
		n++;
	for (unsigned i = 0; i <= n_at; i++) {
		unsigned all = n_at - i + n;
		uint64_t span = i < n_at ? now_latest - at[i] : 0;
		if (all > now_tried->burst && (all - now_tried->burst) * STEP > span) {
			show(s);
			ck_abort_msg("%s: %u admitted in %llu us", now_tried->name, all,
				(unsigned long long)span);
		}
	}
	for (unsigned i = 0; i < n_takers; i++)
		all_done &= s->takers[i].done;
	if (!now_tried->changed && n < left_over(s, at, n_at)) {
		show(s);
		ck_abort_msg("%s: only %u more are admitted, of %u", now_tried->name, n,
			left_over(s, at, n_at));
	}
	/* At one and the same time nobody is refused in favour of nobody. */
	for (unsigned i = 0; i < n_takers && all_done; i++) {
		const struct taker *t = &s->takers[i];
		if (t->who[0] == 'k' && t->now == now_latest && !t->admitted && n > 0 &&
			!now_tried->takers[1].returns && !now_tried->takers[0].returns) {
			show(s);
			ck_abort_msg("%s: refused though %u were left", now_tried->name, n);
		}
	}
}

static void
search(const struct state *s)
{
	if (s->claims > most_claims || n_seen >= most_states || !is_new(state_hash(s)))
		return;
	check(s);
	for (unsigned i = 0; i < n_takers; i++) {
		if (s->takers[i].done)
			continue;
		struct state next = *s;
		answer(&next, &next.takers[i]);
		run(&next, &next.takers[i]);
		search(&next);
	}
}

START_TEST(no_order_of_steps_and_no_death_admits_too_many_or_too_few)
{
	now_tried = &cases[_i];
	memset(constant, 0, sizeof constant);
	table = limit_new(8);
	room = 1u << 21;
	seen = calloc(room, sizeof *seen);
	now_latest = start + now_tried->latest;
	struct state s = { .claims = 0 };
	/* Buckets of others, which will outlive this, stand in the first places. */
	for (unsigned i = 0; i < now_tried->taken; i++) {
		char who[] = { (char)('A' + i), '\0' };
		for (unsigned n = 0; n < 50; n++)
			ck_assert(take_alone(&s, who, 100, start));
	}
	for (unsigned i = 0; i < PLACES; i++)
		constant[i] = s.words[i] != 0;
	uint64_t last = now_latest;
	for (unsigned i = 0; i < 8 && now_tried->before[i].who; i++) {
		uint32_t burst = now_tried->before[i].burst;
		now_latest = start + now_tried->before[i].at;
		ck_assert(take_alone(&s, now_tried->before[i].who, burst ? burst : now_tried->burst,
			now_latest));
	}
	now_latest = last;
	for (n_takers = 0; n_takers < TAKERS && now_tried->takers[n_takers].who; n_takers++) {
		struct taker *t = &s.takers[n_takers];
		t->who = now_tried->takers[n_takers].who;
		t->now = start + now_tried->takers[n_takers].now;
		t->returns = now_tried->takers[n_takers].returns;
		t->burst = now_tried->burst;
		run(&s, t);
	}
	most_claims = s.claims + 3;
	most_states = slow ? 20000 : SIZE_MAX;
	/* Without fork it runs under valgrind, where the whole would take hours. */
	const char *fork_wanted = getenv("CK_FORK");
	if (fork_wanted && strcmp(fork_wanted, "no") == 0)
		most_states = 500;
	n_seen = 0;
	search(&s);
	fprintf(stderr, "%s: %zu states\n", now_tried->name, n_seen);
	free(seen);
	limit_free(table);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("shared/limit, step by step");
	TCase *tcase = tcase_create("steps");
	tcase_set_timeout(tcase, 600);
	tcase_add_loop_test(tcase, no_order_of_steps_and_no_death_admits_too_many_or_too_few, 0,
		sizeof cases / sizeof cases[0]);
	suite_add_tcase(suite, tcase);
	SRunner *runner_of_all = srunner_create(suite);
	srunner_run_all(runner_of_all, CK_ENV);
	int failed = srunner_ntests_failed(runner_of_all);
	srunner_free(runner_of_all);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
