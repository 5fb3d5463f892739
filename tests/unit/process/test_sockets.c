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

START_TEST(inherited_sockets_serve_their_own_addresses)
{
	struct conf_listen listens[MOST];
	struct sockets s = { 0 };
	struct claim a;
	union sock_address any;
	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &any), 0);
	int known = sock_listen(&any, true), unknown = sock_listen(&any, true),
	    zero = sock_listen(&any, true);
	const uint16_t ports[] = { port_of(known), 0, 0 };
	/* As another program may have left them. */
	fcntl(known, F_SETFD, 0);
	fcntl(known, F_SETFL, 0);
	ck_assert_int_eq(sockets_inherit(&s, known, INHERITED_ADDRESS), 0);
	ck_assert_int_eq(sockets_inherit(&s, unknown, INHERITED_FILE), 0);
	ck_assert_int_eq(sockets_inherit(&s, zero, INHERITED_ANY_PORT), 0);
	ck_assert_int_eq(fcntl(known, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(known, F_GETFL) & O_NONBLOCK);
	struct conf c = conf_of(listens, ports, 3);
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert_int_eq(a.sockets[0].fd, known);
	ck_assert_int_eq(a.sockets[1].fd, zero);
	ck_assert(a.sockets[2].fd != unknown); /* its port is none that was asked for */
	ck_assert(a.fresh[0] && a.fresh[1] && a.fresh[2]);
	ck_assert(a.bound[0]->inherited && a.bound[1]->inherited && !a.bound[2]->inherited);
	sockets_drop(&s);
	ck_assert(!is_open(unknown) && is_open(known) && is_open(zero));
	sockets_release(&s, &a);
	ck_assert(!is_open(known) && !is_open(zero));
}
END_TEST

START_TEST(what_does_not_listen_is_not_inherited)
{
	struct sockets s = { 0 };
	int fds[] = { socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0),
		open("/dev/null", O_RDWR), -1 };
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(sockets_inherit(&s, fds[i], INHERITED_FILE), -1);
		if (fds[i] >= 0)
			ck_assert_int_eq(close(fds[i]), 0);
	}
	ck_assert_ptr_null(s.all);
}
END_TEST

START_TEST(listeners_with_port_0_stay_who_they_are)
{
	static const uint16_t zero[] = { 0, 0, 0 };
	struct conf_listen listens[MOST], later[MOST];
	struct conf c = conf_of(listens, zero, 3), d = conf_of(later, zero, 3);
	struct sockets s = { 0 };
	struct claim a, b;
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert_int_eq(sockets_claim(&s, &d, &b, report, &reports), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(a.sockets[i].fd, b.sockets[i].fd);
	sockets_release(&s, &a);
	sockets_release(&s, &b);
}
END_TEST

/* A unix socket: who shares it, whose its file is, what is in its way. */
START_TEST(unix_sockets)
{
	char dir[] = "/tmp/test_sockets.XXXXXX", path[64], expected[200];
	struct conf_listen listens[MOST] = { { .n_socks = 1, .at.file = "/etc/x.conf" } };
	struct conf c = { .path = STR("/etc/x.conf"), .listens = listens, .n_listens = 1 };
	struct sockets s = { 0 }, elsewhere = { 0 };
	struct claim a, b, other;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	ck_assert_int_eq(sock_of_path(str_of(path), &listens[0].socks[0]), 0);
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert_int_eq(sockets_claim(&s, &c, &b, report, &reports), 0);
	ck_assert(a.fresh[0] && !b.fresh[0]);
	ck_assert_int_eq(a.sockets[0].fd, b.sockets[0].fd);
	ck_assert_int_eq(sockets_claim(&elsewhere, &c, &other, report, &reports), -1);
	snprintf(expected, sizeof expected,
		"listen: cannot listen on unix:%s: Address already in use; another process listens there: stop it, or take another path",
		path);
	ck_assert_str_eq(reports, expected);
	sockets_release(&elsewhere, &other);
	sockets_release(&s, &a);
	ck_assert_int_eq(access(path, F_OK), 0); /* b wants it */
	ck_assert_int_eq(unlink(path), 0);       /* somebody tidies up */
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), 0);
	ck_assert(a.fresh[0]);
	sockets_release(&s, &b);
	ck_assert_int_eq(access(path, F_OK), 0); /* the new one's */
	sockets_release(&s, &a);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_ptr_null(s.all);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(sockets_claim(&s, &c, &a, report, &reports), -1);
	snprintf(expected, sizeof expected,
		"listen: cannot listen on unix:%s: a file that is no socket is in its place", path);
	ck_assert_str_eq(reports, expected);
	sockets_release(&s, &a);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(a_unix_socket_that_two_masters_have_stays)
{
	char dir[] = "/tmp/test_sockets.XXXXXX", path[64];
	struct conf_listen listens[MOST] = { { .n_socks = 1, .at.file = "/etc/x.conf" } };
	static const enum inherited ways[] = { INHERITED_FILE, INHERITED_ADDRESS };
	struct conf c = { .path = STR("/etc/x.conf"), .listens = listens, .n_listens = 1 };
	struct sockets old = { 0 };
	struct claim a, b;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	ck_assert_int_eq(sock_of_path(str_of(path), &listens[0].socks[0]), 0);
	for (int i = 0; i < 2; i++) {
		struct sockets new = { 0 };
		ck_assert_int_eq(sockets_claim(&old, &c, &a, report, &reports), 0);
		ck_assert_int_eq(sockets_inherit(&new, dup(a.sockets[0].fd), ways[i]), 0);
		ck_assert_int_eq(sockets_claim(&new, &c, &b, report, &reports), 0);
		ck_assert(b.bound[0]->inherited);
		old.shared = true;
		sockets_release(&old, &a);
		ck_assert_int_eq(access(path, F_OK), 0); /* the other one has it */
		sockets_release(&new, &b);
		/* The last one removes it, if it is a master's. */
		ck_assert_int_eq(access(path, F_OK), ways[i] == INHERITED_ADDRESS ? 0 : -1);
		old.shared = false;
	}
	sockets_end(&old); /* what it left to the other one, which did not see to it */
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

UNIT_MAIN("process/sockets", inherited_sockets_serve_their_own_addresses,
	what_does_not_listen_is_not_inherited, listeners_with_port_0_stay_who_they_are,
	unix_sockets, a_unix_socket_that_two_masters_have_stays,
	each_listener_with_port_0_has_its_own, next_generation_shares_what_it_wants_too,
	failed_claim_leaves_the_earlier_one_alone, child_keeps_its_own_only,
	failing_memory_is_reported)
