/*
 * Tests of shared/trouble: the fifth failure within five minutes is told of once, whoever sees it,
 * and so is the success after it. All times are given.
 */
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "shared/trouble.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct trouble_table *
table_new(unsigned n)
{
	struct trouble_table *t = trouble_new(n);

	ck_assert_ptr_nonnull(t);
	return t;
}

/* What happens to a provider: a failure or a success at a time in seconds, and whether it is told
 * of. */
struct step {
	double at;
	enum { FAILS, FAILS_TOLD, ANSWERS, ANSWERS_TOLD } what;
};

static void
play(const char *name, const struct step *steps, size_t n)
{
	struct trouble_table *t = table_new(1);

	for (size_t i = 0; i < n; i++) {
		bool fails = steps[i].what <= FAILS_TOLD;
		bool told = fails ? trouble_failure(t, 0, (uint64_t)(steps[i].at * 1000))
				  : trouble_success(t, 0);

		ck_assert_msg(told ==
				(steps[i].what == FAILS_TOLD || steps[i].what == ANSWERS_TOLD),
			"%s: step %zu: %s", name, i, told ? "told" : "not told");
	}
	trouble_free(t);
}

#define PLAY(name, ...)                                  \
	play(name, (const struct step[]){ __VA_ARGS__ }, \
		COUNT(((const struct step[]){ __VA_ARGS__ })))

START_TEST(the_fifth_within_five_minutes)
{
	PLAY("at once", { 0, FAILS }, { 0, FAILS }, { 0, FAILS }, { 0, FAILS }, { 0, FAILS_TOLD },
		{ 0, FAILS }, { 1, FAILS }, { 2, FAILS }, { 3, FAILS }, { 4, FAILS }, { 5, FAILS });
	PLAY("just within", { 1000, FAILS }, { 1001, FAILS }, { 1002, FAILS }, { 1298, FAILS },
		{ 1299, FAILS_TOLD });
	PLAY("just not", { 1000, FAILS }, { 1001, FAILS }, { 1010, FAILS }, { 1298, FAILS },
		{ 1301, FAILS }, { 1302, FAILS }, { 1303, FAILS_TOLD });
	PLAY("one a minute and a half", { 0, FAILS }, { 90, FAILS }, { 180, FAILS }, { 270, FAILS },
		{ 360, FAILS }, { 450, FAILS }, { 540, FAILS }, { 630, FAILS }, { 720, FAILS });
	PLAY("four", { 5, FAILS }, { 5, FAILS }, { 5, FAILS }, { 5, FAILS }, { 5, ANSWERS });
	PLAY("the fifth is late by a day", { 5, FAILS }, { 5, FAILS }, { 5, FAILS }, { 5, FAILS },
		{ 86405, FAILS });
}
END_TEST

START_TEST(successes_between_failures_change_nothing)
{
	PLAY("mixed", { 0, ANSWERS }, { 0, FAILS }, { 1, ANSWERS }, { 1, FAILS }, { 2, FAILS },
		{ 3, ANSWERS }, { 3, FAILS }, { 4, ANSWERS }, { 5, FAILS_TOLD });
}
END_TEST

START_TEST(recovery_once_and_then_trouble_again)
{
	PLAY("again", { 0, FAILS }, { 0, FAILS }, { 0, FAILS }, { 0, FAILS }, { 0, FAILS_TOLD },
		{ 1, FAILS }, { 2, ANSWERS_TOLD }, { 2, ANSWERS }, { 3, FAILS }, { 3, FAILS },
		{ 3, FAILS }, { 3, FAILS }, { 3, ANSWERS }, { 4, FAILS_TOLD }, { 5, FAILS },
		{ 900, ANSWERS_TOLD }, { 900, ANSWERS });
}
END_TEST

/* A provider of which every other request fails, for ten minutes. */
START_TEST(now_and_then_for_long)
{
	struct trouble_table *t = table_new(1);
	unsigned troubles = 0, recoveries = 0;

	for (uint64_t ms = 0; ms < 600000; ms += 10) {
		troubles += trouble_failure(t, 0, ms);
		recoveries += trouble_success(t, 0);
	}
	ck_assert_uint_eq(troubles, 10 * TROUBLE_MOST);
	ck_assert_uint_eq(recoveries, troubles);
	trouble_free(t);
}
END_TEST

/* Each process has the time of its own turn: one that is behind may see the fifth. */
START_TEST(clocks_that_differ_by_a_turn)
{
	PLAY("behind", { 100.0, FAILS }, { 100.0, FAILS }, { 100.0, FAILS }, { 100.0, FAILS },
		{ 99.9, FAILS_TOLD });
}
END_TEST

START_TEST(providers_are_apart)
{
	struct trouble_table *t = table_new(3);

	for (int i = 0; i < 4; i++)
		for (unsigned p = 0; p < 3; p++)
			ck_assert(!trouble_failure(t, p, 1000));
	ck_assert(trouble_failure(t, 1, 1000));
	ck_assert(!trouble_success(t, 0));
	ck_assert(!trouble_success(t, 2));
	ck_assert(trouble_success(t, 1));
	ck_assert(trouble_failure(t, 0, 1000));
	ck_assert(trouble_failure(t, 2, 1000));
	trouble_free(t);
	trouble_free(NULL);
}
END_TEST

enum { PROCESSES = 6 };

/* Run it in several processes at once; the sum of what they return. */
static unsigned
everywhere(struct trouble_table *t, unsigned (*run)(struct trouble_table *t, unsigned number))
{
	pid_t pids[PROCESSES];
	int gate[2];
	unsigned sum = 0;

	ck_assert_int_eq(pipe(gate), 0);
	for (unsigned i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0) {
			char c;

			close(gate[1]);
			_exit(read(gate[0], &c, 1) == 0 ? (int)run(t, i) : 99);
		}
	}
	close(gate[0]);
	close(gate[1]); /* they all begin */
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status));
		ck_assert_int_lt(WEXITSTATUS(status), 99);
		sum += (unsigned)WEXITSTATUS(status);
	}
	return sum;
}

static uint64_t round_ms; /* each round is minutes after the one before */

static unsigned
fail_a_lot(struct trouble_table *t, unsigned number)
{
	unsigned told = 0;

	for (unsigned i = 0; i < 1000; i++)
		told += trouble_failure(t, 0, round_ms + 50000 + (i + number) % 7 * 100);
	return told;
}

static unsigned
fail_once(struct trouble_table *t, unsigned number)
{
	return trouble_failure(t, 0, round_ms + 70000 + number * 100);
}

static unsigned
answer_a_lot(struct trouble_table *t, unsigned number)
{
	unsigned told = 0;

	(void)number;
	for (unsigned i = 0; i < 1000; i++)
		told += trouble_success(t, 0);
	return told;
}

START_TEST(all_processes_together_tell_once)
{
	struct trouble_table *t = table_new(1);

	for (int i = 0; i < 20; i++) {
		round_ms = (uint64_t)i * 200000;
		ck_assert_uint_eq(everywhere(t, fail_a_lot), 1);
		ck_assert_uint_eq(everywhere(t, answer_a_lot), 1);
		ck_assert_uint_eq(everywhere(t, answer_a_lot), 0);
		ck_assert_uint_eq(everywhere(t, fail_once),
			1); /* PROCESSES of them: five would do */
		ck_assert_uint_eq(everywhere(t, answer_a_lot), 1);
	}
	trouble_free(t);
}
END_TEST

enum { STEPS = 20000 };

/* Failures, and now and then a success: times of trouble less recoveries, plus 1. */
static unsigned
fail_and_answer(struct trouble_table *t, unsigned number)
{
	int balance = 0;

	for (unsigned i = 0; i < STEPS; i++)
		balance += (i + number) % 11 == 0 ? -(int)trouble_success(t, 0)
						  : (int)trouble_failure(t, 0, 90000);
	return (unsigned)(balance + 20000) % 50; /* an exit status has few bits */
}

/* Whoever wins, trouble and recovery take turns. */
START_TEST(trouble_and_recovery_take_turns)
{
	struct trouble_table *t = table_new(1);
	unsigned balance = everywhere(t, fail_and_answer);

	balance = (balance + 50 * PROCESSES - PROCESSES * (20000 % 50)) % 50;
	ck_assert_uint_le(balance, 1);
	ck_assert_uint_eq(trouble_success(t, 0), balance);
	trouble_free(t);
}
END_TEST

UNIT_MAIN("shared/trouble", the_fifth_within_five_minutes,
	successes_between_failures_change_nothing, recovery_once_and_then_trouble_again,
	now_and_then_for_long, clocks_that_differ_by_a_turn, providers_are_apart,
	all_processes_together_tell_once, trouble_and_recovery_take_turns)
