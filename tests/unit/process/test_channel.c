/*
 * Tests of process/channel: the ready byte, log files handed down, and the end.
 */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process/channel.h"

static struct loop *loop;
static struct sink daemon_log, access_log;
static struct channel child;
static int master, ends_told;

static void
on_end(struct channel *c)
{
	ck_assert_ptr_eq(c, &child);
	ends_told++;
}

static void
open_both(void)
{
	int its;
	ends_told = 0;
	ck_assert_int_eq(channel_pair(&master, &its), 0);
	loop = loop_new(4);
	ck_assert_int_eq(sink_open(&daemon_log, STR("off")), 0);
	ck_assert_int_eq(sink_open(&access_log, STR("off")), 0);
	child = (struct channel){ .log = &daemon_log, .access = &access_log, .on_end = on_end };
	ck_assert_int_eq(channel_watch(&child, loop, its), 0);
}

static void
close_both(void)
{
	close(master);
	close(child.watch.fd);
	sink_close(&daemon_log);
	sink_close(&access_log);
	loop_free(loop);
}

START_TEST(ready_byte_arrives_once)
{
	open_both();
	ck_assert_int_eq(channel_poll(master), 0);
	ck_assert_int_eq(channel_ready(&child), 0);
	ck_assert_int_eq(channel_poll(master), 1);
	ck_assert_int_eq(channel_poll(master), 0);
	close_both();
}
END_TEST

START_TEST(anything_else_from_a_child_is_nothing)
{
	open_both();
	ck_assert_int_eq(send(child.watch.fd, "xyz", 3, 0), 3);
	ck_assert_int_eq(send(child.watch.fd, "rr", 2, 0), 2);
	ck_assert_int_eq(channel_poll(master), 0);
	ck_assert_int_eq(channel_poll(master), 1);
	ck_assert_int_eq(channel_poll(master), 0);
	/* A descriptor that comes along is not taken. */
	int before = dup(master);
	ck_assert_int_eq(channel_send_log(child.watch.fd, false, master), 0);
	ck_assert_int_eq(channel_poll(master), 0);
	int after = dup(master);
	ck_assert_int_eq(after, before + 1);
	close(before);
	close(after);
	close_both();
}
END_TEST

START_TEST(files_reach_their_sinks)
{
	char name[] = "/tmp/channel-XXXXXX", text[64] = "";
	int file = mkstemp(name);
	ck_assert_int_ge(file, 0);
	unlink(name);
	open_both();
	ck_assert_int_eq(channel_send_log(master, true, file), 0);
	loop_turn(loop, 0);
	ck_assert_int_ge(access_log.fd, 0);
	ck_assert_int_ne(access_log.fd, file);
	ck_assert_int_eq(fcntl(access_log.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(write(access_log.fd, "access\n", 7), 7);
	ck_assert_int_eq(daemon_log.fd, -1);
	ck_assert_int_eq(channel_send_log(master, false, file), 0);
	loop_turn(loop, 0);
	ck_assert_int_ge(daemon_log.fd, 0);
	ck_assert_int_eq(write(daemon_log.fd, "daemon\n", 7), 7);
	ck_assert_int_eq(pread(file, text, sizeof text, 0), 14);
	ck_assert_str_eq(text, "access\ndaemon\n");
	ck_assert_int_eq(ends_told, 0);
	close(file);
	close_both();
}
END_TEST

START_TEST(child_without_access_log_closes_one_that_comes)
{
	open_both();
	child.access = NULL;
	int before = dup(master);
	close(before);
	ck_assert_int_eq(channel_send_log(master, true, master), 0);
	loop_turn(loop, 0);
	int after = dup(master);
	ck_assert_int_eq(after, before);
	close(after);
	close_both();
}
END_TEST

START_TEST(end_is_told_once)
{
	open_both();
	close(master);
	loop_turn(loop, 0);
	ck_assert_int_eq(ends_told, 1);
	loop_turn(loop, 0);
	ck_assert_int_eq(ends_told, 1);
	ck_assert(!loop_has(&child.watch));
	master = -1;
	close_both();
	open_both();
	close(child.watch.fd);
	ck_assert_int_eq(channel_poll(master), -1);
	child.watch.fd = -1;
	close_both();
}
END_TEST

START_TEST(child_that_does_not_read_does_not_hold_up_the_master)
{
	open_both();
	int sent = 0;
	while (sent < 100000 && channel_send_log(master, false, master) == 0)
		sent++;
	ck_assert_int_gt(sent, 0);
	ck_assert_int_lt(sent, 100000);
	close_both();
}
END_TEST

UNIT_MAIN("process/channel", ready_byte_arrives_once, anything_else_from_a_child_is_nothing,
	files_reach_their_sinks, child_without_access_log_closes_one_that_comes, end_is_told_once,
	child_that_does_not_read_does_not_hold_up_the_master)
