/*
 * Tests of process/notify: where messages go, what they are, and how often all is well.
 */
#include "unit.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "process/notify.h"

static char dir[32], path[64];
static int manager;

static void
open_manager(const char *name)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	memcpy(to.sun_path, name, len);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	ck_assert_int_eq(bind(manager, (const struct sockaddr *)&to,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void
open_at_path(void)
{
	snprintf(dir, sizeof dir, "/tmp/notify-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/socket", dir);
	open_manager(path);
}

static void
close_manager(void)
{
	close(manager);
	unlink(path);
	rmdir(dir);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void
assert_told(const char *text)
{
	char got[1024];
	ssize_t n = recv(manager, got, sizeof got - 1, 0);
	if (text == NULL) {
		ck_assert_int_eq(n, -1);
		return;
	}
	ck_assert_int_ge(n, 0);
	got[n] = '\0';
	ck_assert_str_eq(got, text);
}

START_TEST(messages_go_to_the_path_or_the_abstract_name)
{
	struct notify n;
	char name[64];
	open_at_path();
	notify_open(&n);
	notify_send(&n, "READY=1\nSTATUS=%u workers", 3u);
	assert_told("READY=1\nSTATUS=3 workers");
	assert_told(NULL);
	close_manager();
	snprintf(name, sizeof name, "@test-notify-%d", (int)getpid());
	open_manager(name);
	notify_open(&n);
	ck_assert_str_eq(getenv("NOTIFY_SOCKET"), name);
	notify_send(&n, "STOPPING=1");
	assert_told("STOPPING=1");
	n.quiet = true;
	notify_send(&n, "STOPPING=1");
	assert_told(NULL);
	close_manager();
}
END_TEST

START_TEST(a_long_message_is_cut)
{
	struct notify n;
	char text[600], cut[512];
	open_at_path();
	notify_open(&n);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	memset(cut, 'x', sizeof cut - 1);
	cut[sizeof cut - 1] = '\0';
	notify_send(&n, "%s", text);
	assert_told(cut);
	close_manager();
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
	static const char *const names[] = { NULL, "", "relative", "@", "/", "/nowhere/at/all" };
	struct notify n;
	struct sink off;
	ck_assert_int_eq(sink_open(&off, STR("off")), 0);
	log_open(&off, LEVEL_WARN, FORMAT_TEXT);
	setenv("WATCHDOG_USEC", "1000000", 1);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (names[i] == NULL)
			unsetenv("NOTIFY_SOCKET");
		else
			setenv("NOTIFY_SOCKET", names[i], 1);
		notify_open(&n);
		notify_send(&n, "READY=1");
		ck_assert(i == 5 || n.to_len == 0);
		ck_assert(i == 5 || n.watchdog_ms == 0);
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	log_open(NULL, LEVEL_WARN, FORMAT_TEXT);
}
END_TEST

START_TEST(half_of_the_watchdogs_time)
{
	struct notify n;
	open_at_path();
	setenv("WATCHDOG_USEC", "3000000", 1);
	notify_open(&n);
	ck_assert_uint_eq(n.watchdog_ms, 3000);
	notify_alive(&n, 10000);
	assert_told("WATCHDOG=1");
	notify_alive(&n, 11000);
	assert_told(NULL);
	notify_alive(&n, 11500);
	assert_told("WATCHDOG=1");
	n.quiet = true;
	notify_alive(&n, 20000);
	assert_told(NULL);
	n.quiet = false;
	notify_alive(&n, 20000);
	assert_told("WATCHDOG=1");
	close_manager();
}
END_TEST

START_TEST(the_watchdog_is_for_whom_it_names)
{
	static const struct {
		const char *usec, *pid;
		uint64_t ms;
	} cases[] = {
		{ "2000000", NULL, 2000 },
		{ "2000000", "1", 0 },
		{ "2000000", "", 0 },
		{ "2000000", "x", 0 },
		{ "", NULL, 0 },
		{ "-1", NULL, 0 },
		{ "0", NULL, 0 },
	};
	struct notify n;
	char own[16];
	open_at_path();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setenv("WATCHDOG_USEC", cases[i].usec, 1);
		unsetenv("WATCHDOG_PID");
		if (cases[i].pid != NULL)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		notify_open(&n);
		ck_assert_uint_eq(n.watchdog_ms, cases[i].ms);
	}
	snprintf(own, sizeof own, "%d", (int)getpid());
	setenv("WATCHDOG_USEC", "2000000", 1);
	setenv("WATCHDOG_PID", own, 1);
	notify_open(&n);
	ck_assert_uint_eq(n.watchdog_ms, 2000);
	close_manager();
}
END_TEST

UNIT_MAIN("process/notify", messages_go_to_the_path_or_the_abstract_name, a_long_message_is_cut,
	without_a_manager_nothing_happens, half_of_the_watchdogs_time,
	the_watchdog_is_for_whom_it_names)
