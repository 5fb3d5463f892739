/*
 * Tests of base/shm: tables that are made, handed down, taken as they are or refused.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/shm.h"

struct table {
	struct shm_head head;
	uint32_t word;
	uint8_t rest[4996];
};

static int found_fd;
static unsigned n_found;

static void
find(void *ctx, const char *name, int fd)
{
	n_found++;
	if (strcmp(name, ctx) == 0)
		found_fd = fd;
}

/* A duplicate of the table's descriptor, as the next program has it. */
static int
handed_down(const char *name)
{
	char wanted[32];
	snprintf(wanted, sizeof wanted, "%s", name);
	found_fd = -1;
	n_found = 0;
	shm_each(find, wanted);
	ck_assert_int_ge(found_fd, 0);
	ck_assert_int_eq(fcntl(found_fd, F_GETFD), FD_CLOEXEC);
	return dup(found_fd);
}

static struct table *
make(uint32_t word)
{
	struct table *t = shm_map("one", 7, sizeof *t, false);
	ck_assert_ptr_nonnull(t);
	t->word = word;
	return t;
}

START_TEST(new_memory_is_zero_and_shared)
{
	struct table *t = make(0);
	uint32_t *pages = shm_pages(10000);
	ck_assert_ptr_nonnull(pages);
	for (size_t i = 0; i < sizeof t->rest; i++)
		ck_assert_uint_eq(t->rest[i], 0);
	ck_assert_uint_eq(pages[0] + pages[2499], 0);
	pid_t pid = fork();
	if (pid == 0) {
		t->word = 5;
		pages[1] = 6;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	ck_assert_uint_eq(t->word, 5);
	ck_assert_uint_eq(pages[1], 6);
	shm_pages_free(pages, 10000);
	shm_unmap(t);
	shm_unmap(NULL);
	shm_each(find, NULL);
	ck_assert_uint_eq(n_found, 0);
}
END_TEST

START_TEST(what_fits_is_taken_as_it_is)
{
	struct table *old = make(42);
	int fd = handed_down("one");
	shm_inherit("one", fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	struct table *new = shm_map("one", 7, sizeof *new, false);
	ck_assert_ptr_nonnull(new);
	ck_assert_ptr_ne(new, old);
	ck_assert_uint_eq(new->word, 42);
	ck_assert_ptr_null(shm_refused());
	old->word = 43;
	ck_assert_uint_eq(new->word, 43);
	/* It was taken: another of that name is a new one. */
	struct table *third = make(1);
	ck_assert_uint_eq(old->word, 43);
	shm_unmap(old);
	ck_assert_uint_eq(new->word, 43);
	shm_unmap(new);
	shm_unmap(third);
}
END_TEST

/* Hand down `old`, ask for it, and expect the refusal and an empty table. */
static void
refuse(const char *name, int fd, uint32_t version, size_t size, const char *why)
{
	shm_inherit(name, fd);
	struct table *new = shm_map(name, version, size, false);
	ck_assert_ptr_nonnull(new);
	ck_assert_uint_eq(new->word, 0);
	ck_assert_ptr_nonnull(shm_refused());
	ck_assert_str_eq(shm_refused(), why);
	shm_unmap(new);
	shm_forget();
	ck_assert_ptr_null(shm_refused());
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

START_TEST(what_does_not_fit_is_refused_with_the_reason)
{
	struct table *old = make(42);
	refuse("one", handed_down("one"), 8, sizeof *old,
		"table one has version 7, this program's has 8");
	refuse("one", handed_down("one"), 7, sizeof *old + 1,
		"table one has 5024 bytes, this program's has 5025");
	refuse("two", handed_down("one"), 7, sizeof *old,
		"what was handed down as table two is none");
	refuse("one", open("/dev/null", O_RDWR), 7, sizeof *old,
		"what was handed down as table one is none");
	shm_meaning(99);
	refuse("one", handed_down("one"), 7, sizeof *old,
		"table one was made by a program that counts other things");
	shm_meaning(0);
	shm_unmap(old);
}
END_TEST

START_TEST(another_size_is_taken_where_that_may_be)
{
	struct table *old = make(42);
	shm_inherit("one", handed_down("one"));
	struct table *new = shm_map("one", 7, sizeof *new * 100, true);
	ck_assert_ptr_nonnull(new);
	ck_assert_uint_eq(new->word, 42);
	ck_assert_uint_eq(new->head.size, sizeof *new);
	ck_assert_ptr_null(shm_refused());
	shm_unmap(new);
	shm_unmap(old);
}
END_TEST

START_TEST(a_lock_keeps_others_out_and_goes_with_its_process)
{
	struct table *t = make(0);
	int to_parent[2];
	char byte;
	ck_assert_int_eq(pipe(to_parent), 0);
	pid_t pid = fork();
	if (pid == 0) {
		shm_lock(t);
		t->word = 1;
		if (write(to_parent[1], "", 1) != 1)
			_exit(1);
		usleep(200000);
		t->word = 2;
		_exit(0); /* without unlocking */
	}
	ck_assert_int_eq(read(to_parent[0], &byte, 1), 1);
	ck_assert_int_eq(shm_lock(t), 0);
	ck_assert_uint_eq(t->word, 2);
	shm_unlock(t);
	waitpid(pid, NULL, 0);
	close(to_parent[0]);
	close(to_parent[1]);
	shm_unmap(t);
}
END_TEST

UNIT_MAIN("base/shm", new_memory_is_zero_and_shared, what_fits_is_taken_as_it_is,
	what_does_not_fit_is_refused_with_the_reason, another_size_is_taken_where_that_may_be,
	a_lock_keeps_others_out_and_goes_with_its_process)
