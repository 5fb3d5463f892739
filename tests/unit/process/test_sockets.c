/*
 * Tests of process/sockets: what two generations share, what is bound and what is closed.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process/sockets.h"

#define MOST 4

static char reports[512];
static unsigned n_reports, last_line;

static void
report(void *ctx, const char *file, unsigned line, const char *text)
{
	ck_assert_ptr_eq(ctx, &reports);
	ck_assert_str_eq(file, "/etc/x.conf");
	ck_assert(line == 0 || line / 10 < MOST);
	last_line = line;
	n_reports++;
	snprintf(reports, sizeof reports, "%s", text);
}

/*
 * A configuration that listens on 127.0.0.1 with these ports; the i-th stands on line 10 * i, and
 * so the first one nowhere.
 */
static struct conf
conf_of(struct conf_listen *listens, const uint16_t *ports, size_t n)
{
	struct conf c = { .path = STR("/etc/x.conf"), .listens = listens, .n_listens = n };
	memset(listens, 0, MOST * sizeof *listens);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(sock_parse(STR("127.0.0.1"), ports[i], &listens[i].socks[0]), 0);
		listens[i].n_socks = 1;
		listens[i].at = (struct conf_spot){ "/etc/x.conf", 10 * (unsigned)i };
	}
	n_reports = 0;
	return c;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static uint16_t
port_of(int fd)
{
	union sock_address a;
	socklen_t len = sizeof a;
	ck_assert_int_eq(getsockname(fd, &a.any, &len), 0);
	return sock_port(&a);
}

START_TEST(each_listener_with_port_0_has_its_own)
{
	static const uint16_t ports[] = { 0, 0 };
	struct conf_listen listens[MOST];
	struct conf c = conf_of(listens, ports, 2);
	struct sockets s = { 0 };
	struct claim a;
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert_uint_eq(a.n, 2);
	ck_assert_uint_ne(port_of(a.sockets[0].fd), port_of(a.sockets[1].fd));
	ck_assert_ptr_eq(a.sockets[0].listen, &listens[0]);
	ck_assert_ptr_eq(a.sockets[1].listen, &listens[1]);
	ck_assert(a.fresh[0] && a.fresh[1]);
	int fds[] = { a.sockets[0].fd, a.sockets[1].fd };
	sockets_release(&s, &a);
	ck_assert(!is_open(fds[0]) && !is_open(fds[1]));
	ck_assert_ptr_null(s.all);
	sockets_release(&s, &a);
}
END_TEST

START_TEST(next_generation_shares_what_it_wants_too)
{
	static const uint16_t zero[] = { 0, 0 };
	struct conf_listen listens[MOST], later[MOST];
	struct conf c = conf_of(listens, zero, 2);
	struct sockets s = { 0 };
	struct claim a, b;
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	struct conf d = conf_of(later, zero, 1);
	ck_assert_int_eq(sockets_claim(&s, &d, &b, report, &reports), 0);
	ck_assert(!b.fresh[0]);
	ck_assert_ptr_eq(b.sockets[0].listen, &later[0]);
	int shared = b.sockets[0].fd,
	    other = a.sockets[0].fd == shared ? a.sockets[1].fd : a.sockets[0].fd;
	ck_assert(shared == a.sockets[0].fd || shared == a.sockets[1].fd);
	sockets_release(&s, &a);
	ck_assert(is_open(shared));
	ck_assert(!is_open(other));
	sockets_release(&s, &b);
	ck_assert(!is_open(shared));
}
END_TEST

START_TEST(failed_claim_leaves_the_earlier_one_alone)
{
	static const uint16_t zero[] = { 0 };
	struct conf_listen listens[MOST], later[MOST];
	struct conf c = conf_of(listens, zero, 1);
	struct sockets s = { 0 }, elsewhere = { 0 };
	struct claim a, b, busy;
	char expected[200];
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert_int_eq(sockets_claim(&elsewhere, &c, &busy, report, &reports), 0);
	uint16_t taken = port_of(busy.sockets[0].fd);
	const uint16_t ports[] = { 0, taken, 0, taken };
	struct conf d = conf_of(later, ports, 4);
	ck_assert_int_eq(sockets_claim(&s, &d, &b, report, &reports), -1);
	ck_assert_uint_eq(n_reports, 2);
	snprintf(expected, sizeof expected,
		"listen[3]: cannot listen on 127.0.0.1:%u: Address already in use; another process listens there (ss -ltnp names it): stop it, or take another port",
		taken);
	ck_assert_str_eq(reports, expected);
	ck_assert_uint_eq(last_line, 30);
	ck_assert_uint_eq(b.n, 2);
	int fresh = b.fresh[0] ? b.sockets[0].fd : b.sockets[1].fd;
	sockets_release(&s, &b);
	ck_assert(!is_open(fresh));
	ck_assert(is_open(a.sockets[0].fd));
	sockets_release(&s, &a);
	sockets_release(&elsewhere, &busy);
}
END_TEST

START_TEST(child_keeps_its_own_only)
{
	static const uint16_t zero[] = { 0, 0 };
	struct conf_listen listens[MOST], later[MOST];
	struct conf c = conf_of(listens, zero, 2);
	struct sockets s = { 0 };
	struct claim a, b;
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	struct conf d = conf_of(later, zero, 1);
	ck_assert_int_eq(sockets_claim(&s, &d, &b, report, &reports), 0);
	int own = b.sockets[0].fd,
	    other = a.sockets[0].fd == own ? a.sockets[1].fd : a.sockets[0].fd;
	sockets_keep(&s, &b);
	ck_assert(is_open(own));
	ck_assert(!is_open(other));
	sockets_keep(&s, NULL);
	ck_assert(!is_open(own));
	sockets_release(&s, &a);
	sockets_release(&s, &b);
}
END_TEST

START_TEST(failing_memory_is_reported)
{
	static const uint16_t zero[] = { 0, 0 };
	struct conf_listen listens[MOST];
	struct conf c = conf_of(listens, zero, 2);
	size_t before = mem_used();
	for (size_t n = 1; n <= 5; n++) {
		struct sockets s = { 0 };
		struct claim a;
		n_reports = 0;
		mem_fail_after(n);
		int result = sockets_claim(&s, &c, &a, report, &reports);
		mem_fail_after(0);
		ck_assert_int_eq(result, -1);
		ck_assert_uint_ge(n_reports, 1);
		ck_assert_str_eq(reports,
			n <= 3 ? "out of memory for listeners"
			       : "listen[1]: cannot listen on 127.0.0.1:0: Cannot allocate memory");
		sockets_release(&s, &a);
		ck_assert_ptr_null(s.all);
		ck_assert_uint_eq(mem_used(), before);
	}
}
END_TEST

UNIT_MAIN("process/sockets", each_listener_with_port_0_has_its_own,
	next_generation_shares_what_it_wants_too, failed_claim_leaves_the_earlier_one_alone,
	child_keeps_its_own_only, failing_memory_is_reported)
