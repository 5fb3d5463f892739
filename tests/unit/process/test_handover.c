/*
 * Tests of process/handover: what is offered is what is taken, and stays open over exec only then.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/shm.h"
#include "config/secret.h"
#include "process/handover.h"

static int
listening(uint16_t *port)
{
	union sock_address a;
	socklen_t len = sizeof a;
	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	int fd = sock_listen(&a, true);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, &a.any, &len), 0);
	*port = sock_port(&a);
	return fd;
}

static bool
stays_open(int fd)
{
	int flags = fcntl(fd, F_GETFD);
	ck_assert_int_ge(flags, 0);
	return !(flags & FD_CLOEXEC);
}

static int table_fd;

static void
note(void *ctx, const char *name, int fd)
{
	(void)ctx;
	if (strcmp(name, "things") == 0)
		table_fd = fd;
}

/* The variable of all that can be handed down, as the next program finds it. */
static void
offer(struct sockets *s, int line)
{
	struct conf c = {
		.log = { .file = STR("/var/log/x y"), .level = LEVEL_DEBUG, .format = FORMAT_JSON }
	};
	char *text = handover_offer(77, line, s, &c);
	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(strncmp(text, HANDOVER_VARIABLE "=pid=77\n", 26), 0);
	setenv(HANDOVER_VARIABLE, strchr(text, '=') + 1, 1);
	free(text);
}

START_TEST(what_is_offered_is_taken)
{
	struct sockets old = { 0 }, new = { 0 };
	struct handover h;
	uint16_t port, other;
	int fd = listening(&port), any = listening(&other), line = open("/dev/null", O_CLOEXEC);
	ck_assert_int_eq(sockets_inherit(&old, fd, false), 0);
	ck_assert_int_eq(sockets_inherit(&old, any, true), 0);
	ck_assert_ptr_nonnull(shm_map("things", 1, 4096, false));
	shm_each(note, NULL);
	ck_assert(
		!stays_open(fd) && !stays_open(any) && !stays_open(line) && !stays_open(table_fd));
	/* In a child, since the descriptors are had twice then. */
	pid_t pid = fork();
	if (pid == 0) {
		offer(&old, line);
		ck_assert(stays_open(fd) && stays_open(any) && stays_open(line) &&
			stays_open(table_fd));
		handover_take(&h, &new);
		ck_assert(!stays_open(fd) && !stays_open(any) && !stays_open(line) &&
			!stays_open(table_fd));
		ck_assert_int_eq(h.old, 77);
		ck_assert_int_eq(h.line, line);
		ck_assert_str_eq(h.log, "/var/log/x y");
		ck_assert_int_eq(h.level, LEVEL_DEBUG);
		ck_assert_int_eq(h.format, FORMAT_JSON);
		ck_assert_ptr_null(getenv(HANDOVER_VARIABLE));
		ck_assert_int_eq(new.all->fd, fd);
		ck_assert_uint_eq(sock_port(&new.all->address), port);
		ck_assert_int_eq(new.all->next->fd, any);
		ck_assert_uint_eq(sock_port(&new.all->next->address), 0);
		ck_assert_ptr_null(new.all->next->next);
		ck_assert_ptr_nonnull(shm_map("things", 1, 4096, false));
		ck_assert_ptr_null(shm_refused());
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	sockets_drop(&old);
	close(line);
}
END_TEST

START_TEST(without_the_variable_there_is_nothing)
{
	struct sockets s = { 0 };
	struct handover h;
	unsetenv(HANDOVER_VARIABLE);
	handover_take(&h, &s);
	ck_assert_int_eq(h.old, 0);
	ck_assert_int_eq(h.line, -1);
	ck_assert_ptr_null(s.all);
}
END_TEST

START_TEST(what_makes_no_sense_is_left_out)
{
	struct sockets s = { 0 };
	struct handover h;
	setenv(HANDOVER_VARIABLE,
		"pid=x\nline=-1\nsocket=900\nsocket=1\nport0=\ntable=things\ntable=a-name-that-is-too-long 3\n"
		"table=x 900\nlevel=9\nformat=7\nlater=item\n\n=\nno item",
		1);
	handover_take(&h, &s);
	ck_assert_int_eq(h.old, 0);
	ck_assert_int_eq(h.line, -1);
	ck_assert_ptr_null(s.all);
	ck_assert_int_eq(h.level, LEVEL_INFO);
	ck_assert_int_eq(h.format, FORMAT_TEXT);
}
END_TEST

START_TEST(secrets_are_blank_at_once)
{
	struct sockets s = { 0 };
	struct handover h;
	setenv("HANDED_DOWN", "sk-secret", 1);
	setenv(HANDOVER_VARIABLE, "secret=HANDED_DOWN\nsecret=IS_NOT_SET", 1);
	handover_take(&h, &s);
	ck_assert_str_eq(getenv("HANDED_DOWN"), "");
	char *text = handover_offer(1, 0, &s, &(struct conf){ .log.file = STR("off") });
	ck_assert_ptr_nonnull(strstr(text, "\nsecret=HANDED_DOWN\n"));
	free(text);
}
END_TEST

START_TEST(sockets_of_a_manager_are_for_the_process_it_names)
{
	static const char *const pids[] = { "1", "", "x" };
	struct sockets s = { 0 };
	for (size_t i = 0; i < 3; i++) {
		setenv("LISTEN_PID", pids[i], 1);
		setenv("LISTEN_FDS", "1", 1);
		setenv("LISTEN_FDNAMES", "http", 1);
		handover_activation(&s);
		ck_assert_ptr_null(s.all);
		ck_assert_ptr_null(getenv("LISTEN_PID"));
		ck_assert_ptr_null(getenv("LISTEN_FDS"));
		ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
	}
}
END_TEST

UNIT_MAIN("process/handover", what_is_offered_is_taken, without_the_variable_there_is_nothing,
	what_makes_no_sense_is_left_out, secrets_are_blank_at_once,
	sockets_of_a_manager_are_for_the_process_it_names)
