/*
 * Tests of shared/limit: what it admits at which time, held against a plain reckoning; its table
 * when it is full and when times wrap; many processes on it, killed at random and after each single
 * instruction. (Every order of a few takers' steps: test_limit_steps.c.)
 */
#include "random.h"
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/shm.h"
#include "net/clock.h"
#include "shared/limit.h"

#define DAY UINT64_C(86400000000)
#define WRAP (UINT64_C(1) << 43)

static const struct limit_rate rates[] = { { 1, 0 }, { 1, 1 }, { 1, 100000 }, { 2, 3 }, { 7, 5 },
	{ 30, 1 }, { 60, 10 }, { 61, 2 }, { 999, 20 }, { 60000, 1 }, { 999999, 7 }, { 1000000, 1 },
	{ 1000000, 100000 } };

static const struct limit_key hot = { .what = { "", 0 }, .who = { "hot", 3 }, .path = 3 };

/* A table and a clock that never is ahead of the times that a test gives. */
static struct limit_table *
table_new(size_t buckets)
{
	struct limit_table *t = limit_new(buckets);

	ck_assert_ptr_nonnull(t);
	clock_fake(0, 0);
	return t;
}

static struct limit_key
key_of(unsigned n, char room[16])
{
	int len = snprintf(room, 16, "client-%u", n);
	return (struct limit_key){ .what = STR(""), .who = { room, (size_t)len }, .path = n % 3 };
}

/* The plain reckoning: times that never wrap. */
struct plain {
	uint64_t tat, step, burst;
};

static struct plain
plain_of(const struct limit_rate *r)
{
	return (struct plain){ 0, (60000000 + (uint64_t)r->per_minute - 1) / r->per_minute,
		r->burst ? r->burst : 1 };
}

static bool
plain_take(struct plain *p, uint64_t now, struct limit_state *s, bool look)
{
	uint64_t debt = p->tat > now ? p->tat - now : 0, slack = (p->burst - 1) * p->step;
	bool admitted = debt <= slack;

	if (admitted && !look)
		p->tat = now + (debt += p->step);
	*s = (struct limit_state){ .remaining = debt > slack
			? 0
			: (uint32_t)((slack - debt) / p->step + 1),
		.wait_us = debt > slack ? debt - slack : 0,
		.full_us = debt };
	return admitted;
}

static void
assert_state(const struct limit_state *got, const struct limit_state *want)
{
	ck_assert_uint_eq(got->remaining, want->remaining);
	ck_assert_uint_eq(got->wait_us, want->wait_us);
	ck_assert_uint_eq(got->full_us, want->full_us);
}

START_TEST(random_sequences_are_admitted_as_reckoned)
{
	const struct limit_rate *r = &rates[_i];
	uint64_t step = plain_of(r).step;

	/* The second time over the moment at which the times in the words begin again. */
	for (unsigned round = 0; round < 2; round++) {
		struct limit_table *t = table_new(64);
		uint64_t now = round ? WRAP - 20 * step : 1000000;
		struct limit_state got, want;
		struct plain plain = plain_of(r);
		for (unsigned n = 0; n < 5000; n++) {
			bool look = below(4) == 0;
			bool wanted = plain_take(&plain, now, &want, look);
			ck_assert_int_eq((look ? limit_look : limit_take)(t, &hot, r, now, &got),
				wanted);
			assert_state(&got, &want);
			switch (below(4)) {
			case 0:
				now += below(3);
				break;
			case 1:
				now += below(3 * step);
				break;
			case 2:
				now += want.wait_us;
				break;
			}
		}
		limit_free(t);
	}
}
END_TEST

START_TEST(a_burst_and_then_one_each_step)
{
	const struct limit_rate *r = &rates[_i];
	struct plain plain = plain_of(r);
	struct limit_table *t = table_new(64);
	struct limit_state s;
	uint64_t now = 5000000;

	for (uint64_t n = 1; n <= plain.burst; n++) {
		ck_assert(limit_take(t, &hot, r, now, &s));
		ck_assert_uint_eq(s.remaining, plain.burst - n);
		ck_assert_uint_eq(s.full_us, n * plain.step);
	}
	for (unsigned n = 0; n < 3; n++) {
		ck_assert_uint_eq(s.wait_us, plain.step);
		ck_assert(!limit_take(t, &hot, r, now, NULL));
		ck_assert(!limit_take(t, &hot, r, now + s.wait_us - 1, NULL));
		now += s.wait_us;
		ck_assert(limit_look(t, &hot, r, now, &s));
		ck_assert_uint_eq(s.remaining, 1);
		ck_assert_uint_eq(s.wait_us, 0);
		ck_assert(limit_take(t, &hot, r, now, &s));
	}
	now += s.full_us;
	ck_assert_int_eq(limit_look(t, &hot, r, now - 1, &s), plain.burst > 1);
	ck_assert_uint_eq(s.full_us, 1);
	ck_assert(limit_look(t, &hot, r, now, &s));
	ck_assert_uint_eq(s.full_us, 0);
	ck_assert_uint_eq(s.remaining, plain.burst);
	limit_free(t);
}
END_TEST

START_TEST(what_is_given_back_can_be_taken_again)
{
	struct limit_table *t = table_new(64);
	struct limit_rate r = { 60, 2 };
	struct limit_state s;

	limit_return(t, &hot, &r, 1000); /* there is none: nothing happens */
	for (unsigned n = 0; n < 5; n++) {
		ck_assert(limit_take(t, &hot, &r, 1000, NULL));
		ck_assert(limit_take(t, &hot, &r, 1000, NULL));
		ck_assert(!limit_take(t, &hot, &r, 1000, NULL));
		limit_return(t, &hot, &r, 1000);
		ck_assert(limit_take(t, &hot, &r, 1000, NULL));
		limit_return(t, &hot, &r, 1000);
		limit_return(t, &hot, &r, 1000);
		ck_assert(limit_look(t, &hot, &r, 1000, &s));
		ck_assert_uint_eq(s.full_us, 0);
	}
	/* A second later it has come back by itself; given back again, it would be admitted twice.
	 */
	ck_assert(limit_take(t, &hot, &r, 2000000, NULL));
	clock_fake(3000, 0);
	ck_assert(limit_take(t, &hot, &r, 3000000, NULL));
	ck_assert(limit_take(t, &hot, &r, 3000000, NULL));
	limit_return(t, &hot, &r, 2000000);
	ck_assert(!limit_take(t, &hot, &r, 3000000, NULL));
	limit_free(t);
}
END_TEST

START_TEST(every_part_of_a_key_makes_another_bucket)
{
	static const struct limit_key keys[] = {
		{ STR_INIT(""), STR_INIT("a"), 0 },
		{ STR_INIT(""), STR_INIT("a"), 1 },
		{ STR_INIT(""), STR_INIT("b"), 0 },
		{ STR_INIT("a"), STR_INIT(""), 0 },
		{ STR_INIT("a"), STR_INIT("a"), 0 },
		{ STR_INIT("aa"), STR_INIT(""), 0 },
		{ STR_INIT(""), STR_INIT("aa"), 0 },
		{ STR_INIT(""), STR_INIT("12345678"), 0 },
		{ STR_INIT(""), STR_INIT("123456789"), 0 },
		{ STR_INIT(""), STR_INIT("12345678\0"), 0 },
		{ STR_INIT("12345678"), STR_INIT("9"), 31 },
	};
	enum { KEYS = sizeof keys / sizeof keys[0] };
	struct limit_table *t = table_new(1024);
	struct limit_rate r = { 60, 1 };
	size_t by_path[LIMIT_PATHS];

	for (size_t i = 0; i < KEYS; i++)
		ck_assert_msg(limit_take(t, &keys[i], &r, 1000, NULL), "key %zu", i);
	for (size_t i = 0; i < KEYS; i++)
		ck_assert(!limit_take(t, &keys[i], &r, 1000, NULL));
	ck_assert_uint_eq(limit_active(t, 1000, by_path), KEYS);
	ck_assert_uint_eq(by_path[0], KEYS - 2);
	ck_assert_uint_eq(by_path[1], 1);
	ck_assert_uint_eq(by_path[31], 1);
	ck_assert_uint_eq(limit_active(t, 1000999, by_path), KEYS);
	ck_assert_uint_eq(limit_active(t, 1001000, by_path), 0);
	ck_assert_uint_eq(by_path[0], 0);
	ck_assert_uint_eq(limit_evictions(t), 0);
	limit_free(t);
}
END_TEST

START_TEST(a_changed_limit_applies_at_once)
{
	static const struct {
		struct limit_rate old;
		unsigned taken;
		struct limit_rate new;
		unsigned admitted; /* at once */
		uint64_t wait_us;
	} cases[] = {
		{ { 60, 10 }, 4, { 60, 10 }, 6, 1000000 },
		{ { 60, 10 }, 4, { 60, 20 }, 16, 1000000 },
		{ { 60, 10 }, 4, { 60, 5 }, 1, 1000000 },
		{ { 60, 10 }, 10, { 60, 5 }, 0, 1000000 },
		{ { 1, 100000 }, 100000, { 60, 5 }, 0, 1000000 },
		{ { 60, 100 }, 100, { 6000, 10 }, 0, 10000 },
		{ { 6000, 10 }, 10, { 6, 10 }, 9, 100000 },
		{ { 1, 1 }, 1, { 1000000, 1 }, 0, 60 },
	};
	const struct limit_rate *r = &cases[_i].new;
	struct limit_table *t = table_new(64);
	struct limit_state s;
	uint64_t now = 1000000;
	unsigned n = 0;

	for (; n < cases[_i].taken; n++)
		ck_assert(limit_take(t, &hot, &cases[_i].old, now, NULL));
	for (n = 0; limit_take(t, &hot, r, now, &s); n++)
		;
	ck_assert_uint_eq(n, cases[_i].admitted);
	ck_assert_uint_eq(s.wait_us, cases[_i].wait_us);
	ck_assert(!limit_look(t, &hot, r, now + s.wait_us - 1, NULL));
	ck_assert_msg(limit_take(t, &hot, r, now + s.wait_us, NULL), "it was told to come then");
	limit_free(t);
}
END_TEST

START_TEST(a_process_that_slept_does_not_take_a_debt_for_one_of_an_older_limit)
{
	struct limit_table *t = table_new(64);
	struct limit_rate r = { 60, 2 };

	clock_fake(100000, 0);
	ck_assert(limit_take(t, &hot, &r, 100000000, NULL));
	ck_assert(limit_take(t, &hot, &r, 100000000, NULL));
	ck_assert(!limit_take(t, &hot, &r, 1000000, NULL));
	ck_assert(!limit_look(t, &hot, &r, 1000000, NULL));
	ck_assert(!limit_take(t, &hot, &r, 100000000, NULL));
	limit_free(t);
}
END_TEST

START_TEST(times_that_have_passed_do_not_come_back)
{
	struct limit_table *t = table_new(2048); /* no set gets more than eight */
	struct limit_rate r = { 60, 1 };
	size_t by_path[LIMIT_PATHS];
	char room[16];

	for (unsigned n = 0; n < 100; n++) {
		struct limit_key k = key_of(n, room);
		ck_assert(limit_take(t, &k, &r, 1000, NULL));
	}
	for (uint64_t day = 1; day < 500; day++) {
		limit_sweep(t, day * DAY);
		ck_assert_uint_eq(limit_active(t, day * DAY, by_path), 0);
	}
	for (unsigned n = 0; n < 100; n++) {
		struct limit_key k = key_of(n, room);
		ck_assert(limit_take(t, &k, &r, 500 * DAY, NULL));
	}
	limit_sweep(t, 500 * DAY);
	ck_assert_uint_eq(limit_active(t, 500 * DAY, by_path), 100);
	ck_assert_uint_eq(limit_evictions(t), 0);
	limit_free(t);
}
END_TEST

START_TEST(ten_times_more_keys_than_places)
{
	enum { BUCKETS = 512, KEYS = 10 * BUCKETS };
	struct limit_table *t = table_new(BUCKETS);
	struct limit_rate r = { 60, 1 };
	size_t by_path[LIMIT_PATHS];
	unsigned refused = 0;
	char room[16];

	ck_assert_uint_eq(limit_buckets(t), BUCKETS);
	for (unsigned n = 0; n < KEYS; n++) {
		struct limit_key k = key_of(n, room);
		refused += !limit_take(t, &k, &r, 1000 + n, NULL);
		ck_assert_uint_le(limit_active(t, 1000 + n, by_path), BUCKETS);
	}
	/* Two keys can have the same tag in the same set, one pair in a million: 0.04 in this test.
	 */
	ck_assert_uint_le(refused, 2);
	ck_assert_uint_eq(limit_active(t, 1000 + KEYS, by_path), BUCKETS);
	ck_assert_uint_eq(by_path[0] + by_path[1] + by_path[2], BUCKETS);
	ck_assert_uint_eq(limit_evictions(t), KEYS - BUCKETS - refused);
	/* And all over again in the same places, when everything has run out: without evictions. */
	uint64_t evicted = limit_evictions(t);
	for (unsigned n = 0; n < BUCKETS / 16; n++) {
		struct limit_key k = key_of(n, room);
		ck_assert(limit_take(t, &k, &r, 3000000, NULL));
	}
	ck_assert_uint_eq(limit_active(t, 3000000, by_path), BUCKETS / 16);
	ck_assert_uint_eq(limit_evictions(t), evicted);
	limit_free(t);
}
END_TEST

/* A flood of new keys takes the places of those that owe least: who hammers stays limited. */
static int handed_down;

static void
on_table(void *ctx, const char *name, int fd)
{
	if (strcmp(name, ctx) == 0)
		handed_down = dup(fd);
}

/* As long as its head says, but too short for `sets`, which stands behind head and seed. */
START_TEST(a_table_that_is_shorter_than_it_says_is_not_taken)
{
	static char limits[] = "limits";
	static const uint32_t sets[] = { 0, 1, UINT32_MAX };
	struct fake {
		struct shm_head head;
		uint64_t seed;
		uint32_t sets;
	};
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		struct fake *t = shm_map(limits, 3, sizeof *t, true);
		ck_assert_ptr_nonnull(t);
		t->sets = sets[i];
		shm_each(on_table, limits);
		shm_unmap(t);
		shm_inherit(limits, handed_down);
		struct limit_table *new = limit_new(100);
		ck_assert_ptr_nonnull(new);
		ck_assert_uint_eq(limit_buckets(new), 128);
		ck_assert_str_eq(shm_refused(), "what was handed down as table limits is none");
		ck_assert(limit_take(new, &hot, &rates[0], 0, NULL));
		limit_free(new);
		shm_forget();
	}
}
END_TEST

START_TEST(a_full_table_gives_up_the_bucket_that_is_free_first)
{
	struct limit_table *t = table_new(64);
	struct limit_rate r = { 60, 100 }, once = { 60, 1 };
	unsigned refused = 0;
	char room[16];

	for (unsigned n = 0; n < 100; n++)
		ck_assert(limit_take(t, &hot, &r, 1000, NULL));
	for (unsigned n = 0; n < 640; n++) {
		struct limit_key k = key_of(n, room);
		refused += !limit_take(t, &k, &once, 1000, NULL);
		ck_assert(!limit_take(t, &hot, &r, 1000, NULL));
	}
	ck_assert_uint_le(refused, 2); /* as above */
	ck_assert_uint_gt(limit_evictions(t), 500);
	limit_free(t);
}
END_TEST

#define PROCESSES 8
#define HOT_KEYS 3
#define NOTES 40000

/* What was admitted, by whom it may be. */
struct notes {
	_Atomic unsigned n[HOT_KEYS];
	uint64_t at[HOT_KEYS][NOTES];
};

static struct notes *
notes_new(void)
{
	struct notes *all =
		mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(all, MAP_FAILED);
	return all;
}

static const struct limit_rate hot_rates[HOT_KEYS] = { { 60000, 50 }, { 6000, 1 }, { 600000, 2 } };

static struct limit_key
hot_key(unsigned i)
{
	static const struct str names[HOT_KEYS] = { STR_INIT("x"), STR_INIT("y"), STR_INIT("z") };
	return (struct limit_key){ .what = STR(""), .who = names[i], .path = i };
}

/* Ask as fast as it goes. A place in the notes is taken before, so that a death can leave one empty
 * and none lost. */
static void
hammer(struct limit_table *t, struct notes *all, uint64_t until)
{
	uint64_t now;
	unsigned i = (unsigned)getpid();

	while ((now = clock_now_us()) < until) {
		struct limit_key k = hot_key(i++ % HOT_KEYS);
		if (limit_take(t, &k, &hot_rates[k.path], now, NULL)) {
			unsigned n = atomic_fetch_add(&all->n[k.path], 1);
			if (n < NOTES)
				all->at[k.path][n] = now;
		}
	}
	_exit(0);
}

static int
by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* No window of time has more than burst + rate * its length. Looking for the largest excess:
 * (j - i + 1) * step - (t_j - t_i) <= burst * step, for all i <= j, in one pass. */
static unsigned
assert_windows(uint64_t *at, unsigned n, const struct limit_rate *r)
{
	int64_t step = (60000000 + (int64_t)r->per_minute - 1) / r->per_minute, least = INT64_MAX;
	unsigned empty = 0;

	ck_assert_uint_le(n, NOTES);
	qsort(at, n, sizeof *at, by_time);
	while (empty < n && at[empty] == 0)
		empty++;
	for (unsigned j = empty; j < n; j++) {
		int64_t here = (int64_t)(at[j] - at[empty]) - (int64_t)j * step;
		/* here_i - here_j is (j - i) * step - (t_j - t_i) */
		if (least == INT64_MAX || here > least)
			least = here;
		ck_assert_msg(least - here + step <= (int64_t)r->burst * step,
			"%u per minute, burst %u: too many up to the admission %u of %u",
			r->per_minute, r->burst, j, n);
	}
	return n - empty;
}

static pid_t
start_one(struct limit_table *t, struct notes *all, uint64_t until)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		hammer(t, all, until);
	return pid;
}

/* Time that children which were waited for had a processor. */
static uint64_t
children_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Have they hammered without a pause, or was the machine busy with other things? */
static bool
had_the_machine(uint64_t us, uint64_t of_us)
{
	uint64_t processors = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);

	return us * 10 >= of_us * 9 * (processors < PROCESSES ? processors : PROCESSES);
}

START_TEST(many_processes_admit_no_more_than_the_limit)
{
	bool killing = _i == 1;
	struct limit_table *t = limit_new(64);
	struct notes *all = notes_new();
	uint64_t before_us = children_us(), until = clock_now_us() + 1000000;
	pid_t pids[PROCESSES];
	unsigned kills = 0;

	for (unsigned i = 0; i < PROCESSES; i++)
		pids[i] = start_one(t, all, until);
	while (killing && clock_now_us() < until) {
		unsigned i = below(PROCESSES);
		usleep(below(2000));
		kill(pids[i], SIGKILL);
		ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
		pids[i] = start_one(t, all, until);
		kills++;
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
	bool whole = !killing && had_the_machine(children_us() - before_us, 1000000);
	for (unsigned i = 0; i < HOT_KEYS; i++) {
		const struct limit_rate *r = &hot_rates[i];
		unsigned n = assert_windows(all->at[i], all->n[i], r);
		ck_assert_uint_gt(n, 0);
		/* Who hammers without a pause gets all that there is, but for what died. */
		if (whole && i < 2)
			ck_assert_uint_ge(n + n / 5, r->burst + r->per_minute / 60);
	}
	if (killing)
		ck_assert_uint_gt(kills, 0);
	munmap(all, sizeof *all);
	limit_free(t);
}
END_TEST

/* A child that stops and then takes one; the parent can let it go on step by step. */
static pid_t
traced_taker(struct limit_table *t, const struct limit_key *k, const struct limit_rate *r)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	raise(SIGSTOP);
	_exit(limit_take(t, k, r, 1000, NULL) ? 1 : 2);
}

/* What more is admitted, with the table as it was afterwards: it fills no more than a page. */
static unsigned
more_than_this(struct limit_table *t, const struct limit_rate *r)
{
	char page[4096];
	unsigned more = 0;

	memcpy(page, t, sizeof page);
	while (more < 10 && limit_take(t, &hot, r, 1000, NULL))
		more++;
	memcpy(t, page, sizeof page);
	return more;
}

/* Whether it is stopped for good or dead, a process does nothing to the table any more. So one is
 * stopped after each instruction, others have their turn, and it goes on as if they had not. */
START_TEST(a_death_after_any_instruction_costs_one_request_at_most)
{
	/* A bucket that is new, one that is there, and one in a set that is full of others. */
	struct limit_table *t = table_new(8);
	struct limit_rate r = { 60, 3 };
	unsigned n = 0, lost = 0, all = _i == 1 ? 2 : 3;
	char room[16];
	int status;

	if (getenv("CK_FORK") && strcmp(getenv("CK_FORK"), "no") == 0)
		return; /* under valgrind: what it runs is not what can be stepped through */
	for (unsigned i = all; i < r.burst; i++)
		ck_assert(limit_take(t, &hot, &r, 1000, NULL));
	for (unsigned i = 0; _i == 2 && i < 8; i++) {
		struct limit_key k = key_of(i, room);
		ck_assert(limit_take(t, &k, &r, 1000, NULL));
	}
	pid_t pid = traced_taker(t, &hot, &r);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	for (; WIFSTOPPED(status); n++) {
		unsigned more = more_than_this(t, &r);
		ck_assert_msg(more == all - (lost > 0) || (lost == 0 && more == all - 1),
			"after %u instructions %u are admitted", n, more);
		lost += more != all;
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	}
	ck_assert(WIFEXITED(status));
	limit_free(t);
	if (WEXITSTATUS(status) == 77)
		return; /* no ptrace in this container */
	ck_assert_int_eq(WEXITSTATUS(status), 1);
	ck_assert_uint_gt(n, 100);
	ck_assert_uint_gt(lost, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("shared/limit");
	TCase *tcase = tcase_create("limit");
	int n_rates = sizeof rates / sizeof rates[0];
	tcase_set_timeout(tcase, 300);
	/* First, since the others stop the clock, in one and the same process under valgrind. */
	tcase_add_loop_test(tcase, many_processes_admit_no_more_than_the_limit, 0, 2);
	tcase_add_loop_test(tcase, random_sequences_are_admitted_as_reckoned, 0, n_rates);
	tcase_add_loop_test(tcase, a_burst_and_then_one_each_step, 0, n_rates);
	tcase_add_test(tcase, what_is_given_back_can_be_taken_again);
	tcase_add_test(tcase, every_part_of_a_key_makes_another_bucket);
	tcase_add_loop_test(tcase, a_changed_limit_applies_at_once, 0, 8);
	tcase_add_test(tcase, a_process_that_slept_does_not_take_a_debt_for_one_of_an_older_limit);
	tcase_add_test(tcase, times_that_have_passed_do_not_come_back);
	tcase_add_test(tcase, ten_times_more_keys_than_places);
	tcase_add_test(tcase, a_full_table_gives_up_the_bucket_that_is_free_first);
	tcase_add_test(tcase, a_table_that_is_shorter_than_it_says_is_not_taken);
	tcase_add_loop_test(tcase, a_death_after_any_instruction_costs_one_request_at_most, 0, 3);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
