/*
 * Tests of shared/scoreboard: claims by several processes at once, releases, sums.
 */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/scoreboard.h"

static struct scoreboard *
board_new(void)
{
	struct scoreboard *b = scoreboard_new();
	ck_assert_ptr_nonnull(b);
	return b;
}

START_TEST(new_board_is_empty)
{
	struct scoreboard *b = board_new();
	uint32_t mean = 99;
	ck_assert_uint_eq(scoreboard_high(b), 0);
	ck_assert_uint_eq(scoreboard_ready(b), 0);
	ck_assert_uint_eq(scoreboard_mean(b, 1, 7, &mean), 0);
	ck_assert_uint_eq(mean, 0);
	ck_assert(!scoreboard_draining(b));
	for (unsigned i = 0; i < SCOREBOARD_ROWS; i++)
		ck_assert_uint_eq(ROW_GET(scoreboard_row(b, i)->state), ROW_FREE);
	scoreboard_free(b);
	scoreboard_free(NULL);
}
END_TEST

START_TEST(rows_do_not_share_a_cache_line)
{
	struct scoreboard *b = board_new();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq((uintptr_t)scoreboard_row(b, i) % 64, 0);
	ck_assert_uint_eq(sizeof(struct row) % 64, 0);
	scoreboard_free(b);
}
END_TEST

START_TEST(claim_fills_in_and_release_keeps_the_counters)
{
	struct scoreboard *b = board_new();
	struct row *r = scoreboard_claim(b, 7);
	ck_assert_ptr_eq(r, scoreboard_row(b, 0));
	ck_assert_uint_eq(ROW_GET(r->state), ROW_STARTING);
	ck_assert_uint_eq(ROW_GET(r->generation), 7);
	ck_assert_int_eq(ROW_GET(r->pid), 0);
	ROW_SET(r->pid, 123);
	ROW_SET(r->clients, 1);
	ROW_SET(r->clients_active, 2);
	ROW_SET(r->upstreams, 3);
	ROW_SET(r->upstreams_idle, 4);
	ROW_SET(r->memory_kib, 5);
	ROW_ADD(r->lines_lost, 9);
	scoreboard_release(r);
	ck_assert_uint_eq(ROW_GET(r->state), ROW_FREE);
	ck_assert_int_eq(ROW_GET(r->pid), 0);
	ck_assert_uint_eq(ROW_GET(r->clients) + ROW_GET(r->clients_active) + ROW_GET(r->upstreams) +
			ROW_GET(r->upstreams_idle) + ROW_GET(r->memory_kib),
		0);
	ck_assert_ptr_eq(scoreboard_claim(b, 8), r);
	ck_assert_uint_eq(ROW_GET(r->generation), 8);
	ck_assert_uint_eq(ROW_GET(r->lines_lost), 9);
	scoreboard_free(b);
}
END_TEST

START_TEST(full_board_refuses_until_a_row_is_released)
{
	struct scoreboard *b = board_new();
	for (unsigned i = 0; i < SCOREBOARD_ROWS; i++) {
		ck_assert_ptr_eq(scoreboard_claim(b, 1), scoreboard_row(b, i));
		ck_assert_uint_eq(scoreboard_high(b), i + 1);
	}
	ck_assert_ptr_null(scoreboard_claim(b, 1));
	scoreboard_release(scoreboard_row(b, 511));
	ck_assert_uint_eq(scoreboard_high(b), SCOREBOARD_ROWS);
	ck_assert_ptr_eq(scoreboard_claim(b, 2), scoreboard_row(b, 511));
	ck_assert_ptr_null(scoreboard_claim(b, 2));
	scoreboard_free(b);
}
END_TEST

#define CLAIMERS 4
#define CLAIMS 200

/*
 * Claim rows and write our number into each; sometimes give one back and take another. Exit 0
 * when no row was anyone else's meanwhile.
 */
static int
claimer(struct scoreboard *b, int number)
{
	struct row *mine[CLAIMS];
	for (int i = 0; i < CLAIMS; i++) {
		mine[i] = scoreboard_claim(b, (uint32_t)number);
		if (mine[i] == NULL)
			return 1;
		ROW_SET(mine[i]->pid, number);
		if (i % 3 == 0) {
			scoreboard_release(mine[i]);
			mine[i] = scoreboard_claim(b, (uint32_t)number);
			ROW_SET(mine[i]->pid, number);
		}
		ROW_ADD(mine[i]->lines_lost, 1);
	}
	for (int i = 0; i < CLAIMS; i++)
		if (ROW_GET(mine[i]->pid) != number ||
			ROW_GET(mine[i]->generation) != (uint32_t)number)
			return 2;
	return 0;
}

START_TEST(no_row_is_claimed_by_two_processes)
{
	struct scoreboard *b = board_new();
	pid_t pids[CLAIMERS];
	for (int i = 0; i < CLAIMERS; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0)
			_exit(claimer(b, i + 1));
	}
	for (int i = 0; i < CLAIMERS; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), 0);
	}
	unsigned owned[CLAIMERS + 1] = { 0 }, taken = 0;
	uint64_t lines = 0;
	ck_assert_uint_ge(scoreboard_high(b), CLAIMERS * CLAIMS);
	for (unsigned i = 0; i < SCOREBOARD_ROWS; i++) {
		const struct row *r = scoreboard_row(b, i);
		lines += ROW_GET(r->lines_lost);
		if (ROW_GET(r->state) == ROW_FREE)
			continue;
		ck_assert_uint_lt(i, scoreboard_high(b));
		taken++;
		owned[ROW_GET(r->pid)]++;
	}
	ck_assert_uint_eq(taken, CLAIMERS * CLAIMS);
	for (int i = 1; i <= CLAIMERS; i++)
		ck_assert_uint_eq(owned[i], CLAIMS);
	ck_assert_uint_eq(lines, CLAIMERS * CLAIMS);
	scoreboard_free(b);
}
END_TEST

START_TEST(mean_is_of_ready_workers_of_one_generation)
{
	static const struct {
		uint32_t generation, state, clients, heartbeat;
	} rows[] = {
		{ 1, ROW_READY, 1000, 1000 }, { 2, ROW_READY, 10, 1000 - SCOREBOARD_STILL_S },
		{ 2, ROW_READY, 21, 1001 }, /* later than the turn of who looks */
		{ 2, ROW_STARTING, 500, 1000 }, { 2, ROW_DRAINING, 700, 1000 },
		{ 2, ROW_READY, 2, 1000 },
		{ 2, ROW_READY, 300, 999 - SCOREBOARD_STILL_S }, /* it stands still */
	};
	struct scoreboard *b = board_new();
	uint32_t mean;
	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct row *r = scoreboard_claim(b, rows[i].generation);
		ROW_SET(r->state, rows[i].state);
		ROW_SET(r->clients, rows[i].clients);
		ROW_SET(r->heartbeat, rows[i].heartbeat);
	}
	ck_assert_uint_eq(scoreboard_mean(b, 2, 1000, &mean), 3);
	ck_assert_uint_eq(mean, 33 * 16 / 3);
	ck_assert_uint_eq(scoreboard_mean(b, 1, 1000, &mean), 1);
	ck_assert_uint_eq(mean, 16000);
	ck_assert_uint_eq(scoreboard_mean(b, 3, 1000, &mean), 0);
	ck_assert_uint_eq(mean, 0);
	ck_assert_uint_eq(scoreboard_ready(b), 5);
	scoreboard_release(scoreboard_row(b, 2));
	ck_assert_uint_eq(scoreboard_mean(b, 2, 1000, &mean), 2);
	ck_assert_uint_eq(mean, 12 * 16 / 2);
	ck_assert_uint_eq(scoreboard_ready(b), 4);
	scoreboard_free(b);
}
END_TEST

START_TEST(draining_is_seen_by_other_processes)
{
	struct scoreboard *b = board_new();
	scoreboard_set_draining(b, true);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		bool seen = scoreboard_draining(b);
		scoreboard_set_draining(b, false);
		_exit(seen ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	ck_assert(!scoreboard_draining(b));
	scoreboard_free(b);
}
END_TEST

/* A master that claims rows for itself and for workers, one of which lives on, and dies. */
static pid_t
dead_master(struct scoreboard *b, pid_t *worker)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		scoreboard_claim_master(b);
		for (int i = 0; i < 3; i++) {
			struct row *r = scoreboard_claim(b, 5);
			ROW_SET(r->clients, 10);
			ROW_SET(r->lines_lost, 1);
			if (i == 2)
				break; /* dies before its worker says who it is */
			pid_t child = fork();
			if (child == 0) {
				while (i == 1)
					pause();
				_exit(0);
			}
			if (i == 0)
				waitpid(child, NULL, 0);
			ROW_SET(r->pid, child);
			ROW_SET(r->state, ROW_READY);
			if (i == 1 && write(ends[1], &child, sizeof child) < 0)
				_exit(1);
		}
		_exit(0);
	}
	ck_assert_int_eq(read(ends[0], worker, sizeof *worker), sizeof *worker);
	close(ends[0]);
	close(ends[1]);
	return pid;
}

START_TEST(rows_of_a_dead_master_are_given_back_when_their_workers_are_gone)
{
	struct scoreboard *b = board_new();
	struct row *own = scoreboard_claim(b, 1), *mine = scoreboard_claim_master(b);
	pid_t worker = 0, master = dead_master(b, &worker);
	siginfo_t info;
	/* Dead, and not waited for: that is gone as well. */
	ck_assert_int_eq(waitid(P_PID, (id_t)master, &info, WEXITED | WNOWAIT), 0);
	ck_assert_uint_eq(scoreboard_sweep(b), 3);
	ck_assert_uint_eq(scoreboard_sweep(b), 0);
	unsigned used = 0;
	uint64_t clients = 0, lines = 0;
	for (unsigned i = 0; i < scoreboard_high(b); i++) {
		const struct row *r = scoreboard_row(b, i);
		used += ROW_GET(r->state) != ROW_FREE;
		clients += ROW_GET(r->clients);
		lines += ROW_GET(r->lines_lost);
	}
	ck_assert_uint_eq(used, 3);
	ck_assert_uint_eq(clients, 10);
	ck_assert_uint_eq(lines, 3);
	kill(worker, SIGKILL);
	for (int i = 0; i < 1000 && scoreboard_sweep(b) == 0; i++)
		usleep(10000);
	ck_assert_uint_eq(ROW_GET(own->state), ROW_STARTING);
	ck_assert_uint_eq(ROW_GET(mine->state), ROW_MASTER);
	ck_assert_int_eq(ROW_GET(mine->pid), getpid());
	for (unsigned i = 2; i < scoreboard_high(b); i++)
		ck_assert_uint_eq(ROW_GET(scoreboard_row(b, i)->state), ROW_FREE);
	waitpid(master, NULL, 0);
	scoreboard_free(b);
}
END_TEST

START_TEST(a_master_serves_with_a_generation)
{
	struct scoreboard *b = board_new();
	struct row *one = scoreboard_claim_master(b), *two = scoreboard_claim_master(b);
	struct row *worker = scoreboard_claim(b, 3);
	ROW_SET(worker->state, ROW_READY);
	ck_assert(!scoreboard_served(b));
	ROW_SET(two->generation, 3);
	ck_assert(scoreboard_served(b));
	ROW_SET(one->generation, 2);
	scoreboard_release(two);
	ck_assert(scoreboard_served(b));
	scoreboard_release(one);
	ck_assert(!scoreboard_served(b));
	scoreboard_free(b);
}
END_TEST

START_TEST(generations_rise_and_the_start_stays)
{
	struct scoreboard *b = board_new();
	ck_assert_uint_eq(scoreboard_next_generation(b), 1);
	ck_assert_uint_eq(scoreboard_next_generation(b), 2);
	ck_assert_uint_eq(scoreboard_started(b, 1000), 1000);
	ck_assert_uint_eq(scoreboard_started(b, 2000), 1000);
	scoreboard_free(b);
}
END_TEST

UNIT_MAIN("shared/scoreboard", rows_of_a_dead_master_are_given_back_when_their_workers_are_gone,
	a_master_serves_with_a_generation, generations_rise_and_the_start_stays, new_board_is_empty,
	rows_do_not_share_a_cache_line, claim_fills_in_and_release_keeps_the_counters,
	full_board_refuses_until_a_row_is_released, no_row_is_claimed_by_two_processes,
	mean_is_of_ready_workers_of_one_generation, draining_is_seen_by_other_processes)
