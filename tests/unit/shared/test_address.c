/*
 * Tests of shared/address: names, answers, the order to try, and that a reader never sees half an
 * answer: neither of a writer that was stopped and killed between any two of its instructions,
 * nor of one that writes at the same time.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/address.h"

/* An answer all of whose bytes follow from one number, so that a mixture of two is seen. */
static struct address_list
answer_of(unsigned number)
{
	struct address_list l;
	memset(&l, 0, sizeof l);
	l.n = 1 + number % ADDRESS_MAX;
	l.resolved_at_ms = number;
	memset(l.error, (int)('a' + number % 26), sizeof l.error);
	for (unsigned i = 0; i < ADDRESS_MAX; i++) {
		l.address[i].v6 = number % 2;
		memset(l.address[i].bytes, (int)(number % 251), sizeof l.address[i].bytes);
	}
	return l;
}

static bool
is_answer_of(const struct address_list *l, unsigned number)
{
	struct address_list expected = answer_of(number);
	return memcmp(l, &expected, sizeof expected) == 0;
}

static struct address_table *
table_of(unsigned n)
{
	struct address_table *t = address_new(n);
	ck_assert_ptr_nonnull(t);
	return t;
}

START_TEST(names_are_kept_and_cut)
{
	char longest[300];
	memset(longest, 'x', sizeof longest);
	struct address_table *t = table_of(3);
	address_name(t, 0, STR("api.example.com"), NULL);
	address_name(t, 1, (struct str){ longest, sizeof longest }, NULL);
	ck_assert_uint_eq(address_count(t), 3);
	ck_assert_str_eq(address_host(t, 0), "api.example.com");
	ck_assert_uint_eq(strlen(address_host(t, 1)), 255);
	ck_assert_str_eq(address_host(t, 2), "");
	struct address_list l;
	address_get(t, 0, &l);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_uint_eq(l.resolved_at_ms, 0);
	address_free(t);
	address_free(NULL);
}
END_TEST

START_TEST(answers_belong_to_their_entry)
{
	struct address_table *t = table_of(3);
	struct address_list l;
	for (unsigned round = 0; round < 5; round++)
		for (unsigned i = 0; i < 3; i++) {
			struct address_list a = answer_of(100 * round + i);
			address_set(t, i, &a);
		}
	for (unsigned i = 0; i < 3; i++) {
		address_get(t, i, &l);
		ck_assert(is_answer_of(&l, 400 + i));
	}
	address_free(t);
}
END_TEST

START_TEST(failure_does_not_replace_a_good_answer)
{
	struct address_table *t = table_of(1);
	struct address_list good = answer_of(3), l,
			    failure = { .resolved_at_ms = 5, .error = "no such host" };
	address_set(t, 0, &failure);
	address_get(t, 0, &l);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_uint_eq(l.resolved_at_ms, 5);
	ck_assert_str_eq(l.error, "no such host");
	address_set(t, 0, &good);
	address_set(t, 0, &failure);
	address_get(t, 0, &l);
	ck_assert(is_answer_of(&l, 3));
	address_free(t);
}
END_TEST

START_TEST(new_table_takes_over_answers_by_name)
{
	struct address_table *old = table_of(2), *new = table_of(4);
	struct address_list a = answer_of(1), b = answer_of(2), l;
	address_name(old, 0, STR("a"), NULL);
	address_name(old, 1, STR("b"), NULL);
	address_set(old, 0, &a);
	address_set(old, 1, &b);
	address_name(new, 0, STR("b"), old);
	address_name(new, 1, STR("c"), old);
	address_name(new, 2, STR(""), old);
	address_name(new, 3, STR("b"), old);
	address_get(new, 0, &l);
	ck_assert(is_answer_of(&l, 2));
	address_get(new, 3, &l);
	ck_assert(is_answer_of(&l, 2));
	for (unsigned i = 1; i < 3; i++) {
		address_get(new, i, &l);
		ck_assert_uint_eq(l.n, 0);
		ck_assert_uint_eq(l.resolved_at_ms, 0);
	}
	address_free(old);
	address_get(new, 0, &l);
	ck_assert(is_answer_of(&l, 2));
	address_free(new);
}
END_TEST

/*
 * Stop a writer between all its instructions and read each time: it must be the old answer or the
 * new one, and from some instruction on the new one. Killed there it would leave just what is
 * read. Under an emulator that does not step, the writer is only run to its end.
 */
START_TEST(writer_stopped_at_any_instruction_leaves_a_whole_answer)
{
	struct address_table *t = table_of(1);
	struct address_list old = answer_of(1), new = answer_of(2), l;
	address_set(t, 0, &old);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(2);
		raise(SIGSTOP);
		address_set(t, 0, &new);
		_exit(0);
	}
	int status;
	unsigned steps = 0, switched = 0;
	bool is_new = false;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status) && steps < 200000) {
		address_get(t, 0, &l);
		ck_assert(is_answer_of(&l, is_new ? 2 : 1) || is_answer_of(&l, 2));
		if (!is_new && is_answer_of(&l, 2)) {
			is_new = true;
			switched = steps;
		}
		steps++;
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	}
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		ck_assert(is_new);
		ck_assert_uint_gt(switched, sizeof l / 8);
	}
	address_get(t, 0, &l);
	ck_assert(is_answer_of(&l, 1) || is_answer_of(&l, 2));
	/* And its successor can write. */
	struct address_list next = answer_of(3);
	address_set(t, 0, &next);
	address_get(t, 0, &l);
	ck_assert(is_answer_of(&l, 3));
	address_free(t);
}
END_TEST

START_TEST(reader_beside_a_busy_writer_sees_whole_answers)
{
	struct address_table *t = table_of(1);
	struct address_list first = answer_of(0), l;
	address_set(t, 0, &first);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		for (unsigned number = 1;; number++) {
			struct address_list a = answer_of(number);
			address_set(t, 0, &a);
		}
	uint64_t last = 0;
	unsigned moved = 0;
	for (unsigned i = 0; i < 200000 && moved < 20000; i++) {
		address_get(t, 0, &l);
		ck_assert(is_answer_of(&l, (unsigned)l.resolved_at_ms));
		ck_assert_uint_ge(l.resolved_at_ms, last);
		moved += l.resolved_at_ms != last;
		last = l.resolved_at_ms;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_uint_gt(moved, 0);
	address_free(t);
}
END_TEST

/* "4a4b6c" stands for the IPv4 addresses a, b and the IPv6 address c. */
static struct address_list
list_of(const char *text)
{
	struct address_list l = { 0 };
	for (; *text != '\0'; text += 2, l.n++) {
		l.address[l.n].v6 = text[0] == '6';
		l.address[l.n].bytes[0] = (uint8_t)text[1];
	}
	return l;
}

START_TEST(families_are_interleaved)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "4a", "4a" },
		{ "4a4b", "4a4b" },
		{ "6a6b6c", "6a6b6c" },
		{ "6a6b4c4d", "6a4c6b4d" },
		{ "4a4b6c6d", "4a6c4b6d" },
		{ "6a4b4c4d", "6a4b4c4d" },
		{ "4a4b4c6d", "4a6d4b4c" },
		{ "6a6b6c6d4e", "6a4e6b6c6d" },
		{ "4a6b4c6d4e", "4a6b4c6d4e" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct address_list l = list_of(cases[i].in), expected = list_of(cases[i].out);
		address_interleave(&l);
		ck_assert_msg(memcmp(&l, &expected, sizeof l) == 0, "case %zu: %s", i, cases[i].in);
	}
	struct address_list full = { .n = ADDRESS_MAX };
	for (unsigned i = 0; i < ADDRESS_MAX; i++) {
		full.address[i].v6 = i < ADDRESS_MAX / 2;
		full.address[i].bytes[0] = (uint8_t)i;
	}
	address_interleave(&full);
	for (unsigned i = 0; i < ADDRESS_MAX; i++)
		ck_assert_uint_eq(full.address[i].bytes[0], i / 2 + (i % 2) * ADDRESS_MAX / 2);
}
END_TEST

START_TEST(addresses_are_added_once_up_to_the_most)
{
	struct address_list l = { 0 };
	union sock_address a;
	for (unsigned i = 0; i < ADDRESS_MAX - 1; i++) {
		char text[16];
		int len = snprintf(text, sizeof text, "10.0.0.%u", i);
		ck_assert_int_eq(sock_parse((struct str){ text, (size_t)len }, 80, &a), 0);
		ck_assert(address_add(&l, &a.any));
		ck_assert(!address_add(&l, &a.any));
	}
	ck_assert_uint_eq(l.n, ADDRESS_MAX - 1);
	const struct sockaddr unix_address = { .sa_family = AF_UNIX };
	ck_assert(!address_add(&l, &unix_address));
	ck_assert_int_eq(sock_parse(STR("2001:db8::1"), 80, &a), 0);
	ck_assert(address_add(&l, &a.any));
	ck_assert_int_eq(sock_parse(STR("2001:db8::2"), 80, &a), 0);
	ck_assert(!address_add(&l, &a.any));
	ck_assert_uint_eq(l.n, ADDRESS_MAX);
	char text[SOCK_TEXT];
	address_sock(&l, 3, 443, &a);
	sock_text(&a, text);
	ck_assert_str_eq(text, "10.0.0.3");
	ck_assert_uint_eq(sock_port(&a), 443);
	address_sock(&l, ADDRESS_MAX - 1, 8443, &a);
	sock_text(&a, text);
	ck_assert_str_eq(text, "2001:db8::1");
	ck_assert_uint_eq(sock_port(&a), 8443);
}
END_TEST

UNIT_MAIN("shared/address", names_are_kept_and_cut, answers_belong_to_their_entry,
	failure_does_not_replace_a_good_answer, new_table_takes_over_answers_by_name,
	writer_stopped_at_any_instruction_leaves_a_whole_answer,
	reader_beside_a_busy_writer_sees_whole_answers, families_are_interleaved,
	addresses_are_added_once_up_to_the_most)
