/*
 * Tests of shared/series: labels, keys that several processes add at once, deaths, a full board,
 * rows.
 */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/series.h"

static struct series_board *
board_new(void)
{
	struct series_board *b = series_new();

	ck_assert_ptr_nonnull(b);
	return b;
}

/* Keys as they come: their order says nothing, their bits are spread. */
static uint64_t
key(unsigned i)
{
	return (i + 1) * UINT64_C(0x100000001b3);
}

static unsigned
n_keys(const struct series_board *b)
{
	unsigned n = 0;

	while (series_key(b, n) != 0)
		n++;
	return n;
}

static uint64_t
total(const struct series_board *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; series_key(b, i) != 0; i++)
		sum += series_sum(b, i, SCOREBOARD_ROWS);
	return sum;
}

/* The sum of a key, which stands on the board once or not at all. */
static uint64_t
sum_of(const struct series_board *b, uint64_t wanted)
{
	unsigned times = 0;
	uint64_t sum = 0;

	for (unsigned i = 0; series_key(b, i) != 0; i++) {
		if (series_key(b, i) != wanted)
			continue;
		sum = series_sum(b, i, SCOREBOARD_ROWS);
		times++;
	}
	ck_assert_uint_le(times, 1);
	return sum;
}

static void
join(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static void
assert_label(const struct series_board *b, unsigned label, struct str want)
{
	struct str got = series_label_text(b, label);

	ck_assert_msg(str_eq(got, want), "%u is '%.*s', not '%.*s'", label, STR_ARG(got),
		STR_ARG(want));
}

START_TEST(labels_have_a_number_each)
{
	static const struct str texts[] = { STR_INIT("other"), STR_INIT("openai"),
		STR_INIT("openai "), STR_INIT("OpenAI"), STR_INIT("a\"b\\c\nd"),
		STR_INIT("gr\xc3\xbc\xc3\x9f"), STR_INIT("a\0b"), STR_INIT("a") };
	enum { N = sizeof texts / sizeof texts[0] };
	struct series_board *b = board_new();

	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++)
			ck_assert_uint_eq(series_label(b, texts[i]), i);
	}
	for (unsigned i = 0; i < N; i++)
		assert_label(b, i, texts[i]);
	ck_assert_uint_eq(series_label(b, STR("")), LABEL_OTHER);
	assert_label(b, SERIES_LABELS, STR("other"));
	assert_label(b, UINT32_MAX, STR("other"));
	series_free(b);
	series_free(NULL);
}
END_TEST

START_TEST(labels_that_are_too_long_are_other)
{
	struct series_board *b = board_new();
	char text[SERIES_LABEL_MOST + 1];

	memset(text, 'x', sizeof text);
	ck_assert_uint_eq(series_label(b, (struct str){ text, sizeof text }), LABEL_OTHER);
	ck_assert_uint_eq(series_label(b, (struct str){ text, SERIES_LABEL_MOST }), 1);
	assert_label(b, 1, (struct str){ text, SERIES_LABEL_MOST });
	ck_assert_uint_eq(series_label(b, (struct str){ text, SERIES_LABEL_MOST - 1 }), 2);
	series_free(b);
}
END_TEST

START_TEST(labels_past_the_last_are_other_and_the_first_stay)
{
	struct series_board *b = board_new();
	char text[16];

	for (unsigned i = 1; i < SERIES_LABELS; i++) {
		snprintf(text, sizeof text, "label %u", i);
		ck_assert_uint_eq(series_label(b, str_of(text)), i);
	}
	ck_assert_uint_eq(series_label(b, STR("one too many")), LABEL_OTHER);
	ck_assert_uint_eq(series_label(b, STR("label 1")), 1);
	ck_assert_uint_eq(series_label(b, str_of(text)), SERIES_LABELS - 1);
	assert_label(b, SERIES_LABELS - 1, STR("label 8191"));
	series_free(b);
}
END_TEST

START_TEST(rows_are_summed)
{
	struct series_board *b = board_new();
	struct series_writer first, second, last;

	series_open(&first, b, 0);
	series_open(&second, b, 1);
	series_open(&last, b, SCOREBOARD_ROWS - 1);
	ck_assert_uint_eq(series_key(b, 0), 0);
	ck_assert_uint_eq(series_key(b, SERIES_MOST), 0);
	series_add(&first, key(7), 1, 3);
	series_add(&second, key(8), 1, 10);
	series_add(&second, key(7), 1, 4);
	series_add(&last, key(7), 1, UINT64_C(1) << 40);
	ck_assert_uint_eq(n_keys(b), 2);
	ck_assert_uint_eq(series_key(b, 0), key(7));
	ck_assert_uint_eq(series_sum(b, 0, 0), 0);
	ck_assert_uint_eq(series_sum(b, 0, 1), 3);
	ck_assert_uint_eq(series_sum(b, 0, 2), 7);
	ck_assert_uint_eq(series_sum(b, 0, UINT32_MAX), (UINT64_C(1) << 40) + 7);
	ck_assert_uint_eq(series_sum(b, 1, 2), 10);
	series_close(&first);
	series_open(&first, b, 0); /* a row that is used again goes on where it stood */
	series_add(&first, key(8), 1, 1);
	series_add(&first, key(7), 1, 1);
	ck_assert_uint_eq(series_sum(b, 0, 2), 8);
	ck_assert_uint_eq(series_sum(b, 1, 2), 11);
	series_close(&first);
	series_close(&second);
	series_close(&last);
	series_free(b);
}
END_TEST

/* So many keys are shared by all, so many are each process' own. */
enum { ADDERS = 4, SHARED = 3000, OWN = 1000, ROUNDS = 5 };

static int
adder(struct series_board *b, unsigned number)
{
	static const unsigned strides[ADDERS] = { 1, 7, 1999, 2999 }; /* coprime with SHARED */
	struct series_writer w;

	series_open(&w, b, number);
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < SHARED; i++) {
			unsigned k = i * strides[number] % SHARED;

			series_add(&w, key(k), 1, k % 5);
			if (i < OWN)
				series_add(&w, key(SHARED + number * OWN + i), 1, number + 1);
		}
	}
	series_close(&w);
	return 0;
}

START_TEST(keys_added_by_many_processes_stand_there_once)
{
	struct series_board *b = board_new();
	pid_t pids[ADDERS];
	bool seen[SHARED + ADDERS * OWN] = { false };

	for (unsigned i = 0; i < ADDERS; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0)
			_exit(adder(b, i));
	}
	for (unsigned i = 0; i < ADDERS; i++)
		join(pids[i]);
	ck_assert_uint_eq(n_keys(b), SHARED + ADDERS * OWN);
	for (unsigned i = 0; i < SHARED + ADDERS * OWN; i++) {
		unsigned k = (unsigned)(series_key(b, i) / key(0)) - 1;

		ck_assert_uint_lt(k, SHARED + ADDERS * OWN);
		ck_assert_uint_eq(series_key(b, i), key(k));
		ck_assert(!seen[k]);
		seen[k] = true;
		ck_assert_uint_eq(series_sum(b, i, ADDERS),
			k < SHARED ? ADDERS * ROUNDS * (k % 5) : ROUNDS * ((k - SHARED) / OWN + 1));
	}
	series_free(b);
}
END_TEST

/* What a process was about to count, and what it had. */
struct tally {
	_Atomic uint64_t begun, done;
};

/* New keys and old ones until somebody kills it. */
static void
count_for_ever(struct series_board *b, unsigned row, struct tally *t)
{
	struct series_writer w;
	static unsigned next;

	series_open(&w, b, row);
	for (;; next++) {
		atomic_fetch_add(&t->begun, 1);
		series_add(&w, key(next * 13 % 6007), 1, 1);
		atomic_fetch_add(&t->done, 1);
	}
}

START_TEST(a_process_killed_while_it_adds_loses_one_count_at_most)
{
	enum { DEATHS = 40 };
	struct series_board *b = board_new();
	struct tally *t =
		mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct series_writer w;
	uint64_t sum;

	ck_assert_ptr_ne(t, MAP_FAILED);
	for (unsigned i = 0; i < DEATHS; i++) {
		uint64_t before = atomic_load(&t->done);
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			count_for_ever(b, i % 2, t); /* rows are used again */
		while (atomic_load(&t->done) < before + 50 + i * 37 % 400)
			;
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	}
	sum = total(b);
	ck_assert_uint_ge(sum, atomic_load(&t->done));
	ck_assert_uint_le(sum, atomic_load(&t->begun));
	ck_assert_uint_le(atomic_load(&t->begun) - atomic_load(&t->done), DEATHS);
	series_open(&w, b, 0); /* whoever comes next finds all keys, and no holes */
	for (unsigned i = 0; i < 6007; i++)
		series_add(&w, key(i), 1, 1);
	ck_assert_uint_eq(n_keys(b), 6007);
	ck_assert_uint_eq(total(b), sum + 6007);
	for (unsigned i = 0; i < 6007; i += 97)
		ck_assert_uint_ge(sum_of(b, key(i)), 1);
	series_close(&w);
	munmap(t, sizeof *t);
	series_free(b);
}
END_TEST

START_TEST(a_full_board_counts_under_the_rest)
{
	enum { KEYS = SERIES_MOST + 500 };
	static const uint64_t rests[] = { 1, 2, 3 };
	struct series_board *b = board_new();
	struct series_writer w, other;
	unsigned own;
	uint64_t with_rest = 0;

	series_open(&w, b, 0);
	series_open(&other, b, 5);
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < KEYS; i++)
			series_add(&w, key(i), rests[i % 3], 1);
		own = n_keys(b) - 3;
		ck_assert_uint_gt(own, SERIES_MOST / 2);
		ck_assert_uint_lt(own, SERIES_MOST);
		ck_assert_uint_eq(total(b), (uint64_t)KEYS * (unsigned)(round + 1));
	}
	for (unsigned i = 0; i < 3; i++)
		with_rest += sum_of(b, rests[i]);
	ck_assert_uint_eq(with_rest, 2 * (KEYS - own));
	for (unsigned i = 0; i < own; i += 501)
		ck_assert_uint_eq(sum_of(b, key(i)), 2);
	/* Who comes late finds the same keys and the same rest. */
	for (unsigned i = KEYS; i-- > 0;)
		series_add(&other, key(i), rests[i % 3], 1);
	ck_assert_uint_eq(n_keys(b), own + 3);
	ck_assert_uint_eq(total(b), 3 * (uint64_t)KEYS);
	for (unsigned i = 0; i < own; i += 501)
		ck_assert_uint_eq(sum_of(b, key(i)), 3);
	/* More kinds of rest than there is room for: they are lost, and nothing else is. */
	for (unsigned i = 0; i < SERIES_MOST; i++)
		series_add(&w, key(KEYS + i), key(4 * SERIES_MOST + i), 1);
	ck_assert_uint_eq(n_keys(b), SERIES_MOST);
	ck_assert_uint_eq(total(b), 3 * (uint64_t)KEYS + SERIES_MOST - own - 3);
	series_add(&other, key(0), rests[0], 1);
	series_add(&other, key(KEYS - 1), rests[0], 1);
	ck_assert_uint_eq(sum_of(b, key(0)), 4);
	ck_assert_uint_eq(total(b), 3 * (uint64_t)KEYS + SERIES_MOST - own - 1);
	series_close(&w);
	series_close(&other);
	series_free(b);
}
END_TEST

START_TEST(a_board_filled_by_many_processes_loses_nothing)
{
	enum { FILLERS = 3, EACH = 9000 };
	struct series_board *b = board_new();
	pid_t pids[FILLERS];

	for (unsigned p = 0; p < FILLERS; p++) {
		struct series_writer w;

		pids[p] = fork();
		ck_assert_int_ge(pids[p], 0);
		if (pids[p] > 0)
			continue;
		series_open(&w, b, p);
		for (unsigned i = 0; i < EACH; i++) {
			series_add(&w, key(p * EACH + i), 1, 1);
			series_add(&w, key(i), 2, 1);
		}
		series_close(&w);
		_exit(0);
	}
	for (unsigned p = 0; p < FILLERS; p++)
		join(pids[p]);
	ck_assert_uint_eq(total(b), 2 * FILLERS * EACH);
	ck_assert_uint_gt(sum_of(b, 1), 0);
	for (unsigned i = 0; series_key(b, i) != 0; i += 211)
		sum_of(b, series_key(b, i));
	series_free(b);
}
END_TEST

START_TEST(two_masters_give_no_text_two_numbers)
{
	struct series_board *b = board_new();
	unsigned taken[401] = { 0 };

	for (int process = 0; process < 3; process++) {
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		for (unsigned i = 0; pid == 0 && i < 400; i++) {
			char text[16];
			unsigned n = (i * 7 + (unsigned)process * 131) % 400;

			snprintf(text, sizeof text, "text %u", n);
			series_label(b, str_of(text));
		}
		if (pid == 0)
			_exit(0);
	}
	for (int process = 0; process < 3; process++) {
		int status;

		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	for (unsigned n = 0; n < 400; n++) {
		char text[16];
		unsigned label;

		snprintf(text, sizeof text, "text %u", n);
		label = series_label(b, str_of(text));
		ck_assert_uint_le(label, 400); /* "other" and 400 */
		ck_assert_uint_gt(label, 0);
		ck_assert(str_eq(series_label_text(b, label), str_of(text)));
		ck_assert_uint_eq(taken[label]++, 0);
	}
	series_free(b);
}
END_TEST

UNIT_MAIN("shared/series", two_masters_give_no_text_two_numbers, labels_have_a_number_each,
	labels_that_are_too_long_are_other, labels_past_the_last_are_other_and_the_first_stay,
	rows_are_summed, keys_added_by_many_processes_stand_there_once,
	a_process_killed_while_it_adds_loses_one_count_at_most, a_full_board_counts_under_the_rest,
	a_board_filled_by_many_processes_loses_nothing)
