/*
 * Tests of process/sandbox: each call is made for real, by a child that is confined. What is
 * forbidden ends it by SIGSYS; what a worker needs does not, also where a library makes the call.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/secret.h"
#include "net/hints.h"
#include "process/sandbox.h"

#define P(pointer) (long)(uintptr_t)(pointer)

/* Sanitizers and valgrind make calls of their own. */
static bool
is_watched(void)
{
	const char *preloaded = getenv("LD_PRELOAD");
#ifdef SANITIZED
	return true;
#endif
	return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

/* Fork, confine the child, have it do something and leave; how it ended. */
static int
confined(void (*act)(const void *), const void *arg)
{
	int status;
	sandbox_prepare();
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		sandbox_enter();
		act(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

struct call {
	const char *what;
	long number;
	long args[6];
};

static void
make_call(const void *arg)
{
	const struct call *c = arg;
	syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5]);
}

START_TEST(the_rest_is_forbidden)
{
	static const char *const nothing[] = { NULL };
	const struct call calls[] = {
		{ "execve", SYS_execve, { P("/bin/true"), P(nothing), P(nothing) } },
		{ "execveat", SYS_execveat, { AT_FDCWD, P("/bin/true"), P(nothing), P(nothing) } },
#ifdef SYS_open
		{ "open", SYS_open, { P("/etc/passwd"), O_RDONLY } },
		{ "fork", SYS_fork, { 0 } },
		{ "vfork", SYS_vfork, { 0 } },
		{ "unlink", SYS_unlink, { P("/nonexistent") } },
#endif
		{ "openat", SYS_openat, { AT_FDCWD, P("/etc/passwd"), O_RDONLY } },
		{ "openat2", 437, { AT_FDCWD, P("/etc/passwd") } },
		{ "creating a file", SYS_openat, { AT_FDCWD, P("/x"), O_CREAT | O_WRONLY, 0600 } },
		{ "clone", SYS_clone, { SIGCHLD } },
		{ "clone3", 435, { 0 } },
		{ "ptrace", SYS_ptrace, { PTRACE_TRACEME } },
		{ "process_vm_readv", SYS_process_vm_readv, { 1 } },
		{ "kill", SYS_kill, { 1, 0 } },
		{ "kill of itself", SYS_kill, { 0, SIGKILL } },
		{ "tgkill with KILL", SYS_tgkill, { 1, 1, SIGKILL } },
		{ "netlink", SYS_socket, { AF_NETLINK, SOCK_RAW } },
		{ "UDP", SYS_socket, { AF_INET, SOCK_DGRAM } },
		{ "raw sockets", SYS_socket, { AF_INET, SOCK_RAW, 1 } },
		{ "packets", SYS_socket, { AF_PACKET, SOCK_RAW } },
		{ "streams on this machine", SYS_socket, { AF_UNIX, SOCK_STREAM } },
		{ "bind", SYS_bind, { -1 } },
		{ "listen", SYS_listen, { -1 } },
		{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM } },
		{ "mount", SYS_mount, { P("none"), P("/mnt"), P("tmpfs") } },
		{ "unshare", SYS_unshare, { 0 } },
		{ "setns", SYS_setns, { -1 } },
		{ "chroot", SYS_chroot, { P("/") } },
		{ "setuid", SYS_setuid, { 0 } },
		{ "setresuid", SYS_setresuid, { 0, 0, 0 } },
		{ "setgroups", SYS_setgroups, { 0 } },
		{ "capset", SYS_capset, { 0 } },
		{ "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
		{ "prlimit", SYS_prlimit64, { 0, 0, P(nothing) } },
		{ "limits of others", SYS_prlimit64, { 1, 0 } },
		{ "executable memory", SYS_mmap,
			{ 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
		{ "mprotect", SYS_mprotect, { 0, 4096, PROT_EXEC } },
		{ "memfd_create", SYS_memfd_create, { P("x") } },
		{ "duplicates", SYS_fcntl, { 0, F_DUPFD, 0 } },
		{ "flags of others", SYS_fcntl, { 0, F_SETFL, 0 } },
		{ "signals to others", SYS_fcntl, { 0, F_SETOWN, 1 } },
		{ "signals to its group", SYS_fcntl, { 0, F_SETOWN, -1 } },
		{ "signals to any", SYS_fcntl, { 0, F_SETOWN_EX, P(nothing) } },
		{ "input for a terminal", SYS_ioctl, { 0, TIOCSTI, P("x") } },
		{ "owners by another way", SYS_ioctl, { 0, FIOSETOWN, P(nothing) } },
		{ "stat", SYS_newfstatat, { AT_FDCWD, P("/etc/passwd"), 0, 0 } },
		{ "io_uring", 425, { 0 } },
		{ "bpf", SYS_bpf, { 0 } },
		{ "keyctl", SYS_keyctl, { 0 } },
		{ "perf_event_open", SYS_perf_event_open, { 0 } },
		{ "reboot", SYS_reboot, { 0 } },
		{ "a number that nothing has", 4000, { 0 } },
	};
	for (size_t i = 0; i < sizeof calls / sizeof calls[0] && !is_watched(); i++) {
		int status = confined(make_call, &calls[i]);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: status %#x",
			calls[i].what, status);
	}
}
END_TEST

/* Exit with a number that says which failed. */
#define must(number, condition)        \
	do {                           \
		if (!(condition))      \
			_exit(number); \
	} while (0)

struct listener {
	struct sockaddr_in address;
	int fd, hints;
};

static void
use_sockets(const void *arg)
{
	const struct listener *l = arg;
	const struct sockaddr_un log = { .sun_family = AF_UNIX, .sun_path = "/nonexistent" };
	struct sockaddr_in peer;
	socklen_t len = sizeof peer;
	struct iovec iov = { .iov_base = &peer, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd polled = { .events = POLLIN };
	struct timeval none = { 0 };
	int on = 1, hinted;
	bool lost = false, alarmed = false;
	fd_set set;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(1, fd >= 0 && setsockopt(fd, IPPROTO_TCP, 1, &on, sizeof on) == 0);
	must(2,
		connect(fd, (const struct sockaddr *)&l->address, sizeof l->address) == 0 ||
			errno == EINPROGRESS);
	int accepted = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	len = sizeof on;
	must(3, accepted >= 0 && getsockopt(accepted, SOL_SOCKET, SO_ERROR, &on, &len) == 0);
	must(13, hints_on(accepted) == 0 && hints_off(accepted) == 0 && hints_on(accepted) == 0);
	must(4, send(fd, "ab", 2, MSG_NOSIGNAL) == 2 && sendmsg(fd, &msg, 0) == 1);
	polled.fd = accepted;
	must(5, poll(&polled, 1, 1000) == 1 && recv(accepted, &peer, 1, 0) == 1);
	FD_ZERO(&set);
	FD_SET(accepted, &set);
	must(14,
		hints_read(l->hints, &hinted, 1, &lost, &alarmed) == 1 && hinted == accepted &&
			!lost && !alarmed);
	must(15, hints_alarm(1) < 0 && errno == EINVAL); /* the timer is the parent's */
	must(6, select(accepted + 1, &set, NULL, NULL, &none) == 1);
	must(7, recvmsg(accepted, &msg, 0) == 1 && shutdown(fd, SHUT_WR) == 0);
	must(8, write(accepted, "x", 1) == 1 && writev(accepted, &iov, 1) == 1);
	must(9, read(accepted, &peer, 1) == 1 && close(fd) == 0 && close(accepted) == 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(10, fd >= 0 && connect(fd, (const struct sockaddr *)&log, sizeof log) < 0);
	must(11, errno == ENOENT);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	must(12, fd >= 0 || errno == EAFNOSUPPORT);
}

static void
use_library(const void *arg)
{
	char many[8192], text[64];
	time_t now = time(NULL);
	struct timespec clock;
	struct stat st;
	struct tm tm;
	uint8_t hash[SECRET_HASH];
	sigset_t set;
	(void)arg;
	char *p = malloc(100000);
	must(1, p != NULL && (p = realloc(p, 50 << 20)) != NULL);
	memset(p, 1, 50 << 20);
	p = realloc(p, 90 << 20);
	must(2, p != NULL);
	free(p);
	must(3, getrandom(many, sizeof many, 0) == sizeof many);
	qsort(many, sizeof many / 8, 8, (int (*)(const void *, const void *))strcmp);
	must(4,
		localtime_r(&now, &tm) != NULL &&
			strftime(text, sizeof text, "%b %e %H:%M:%S %Z", &tm) > 0);
	must(5, gmtime_r(&now, &tm) != NULL && strftime(text, sizeof text, "%Y-%m-%d", &tm) > 0);
	must(6, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &clock) == 0);
	must(7, fstat(0, &st) == 0 || errno == EBADF);
	must(8, fcntl(1, F_GETFL) >= 0 || errno == EBADF);
	secret_random(hash, sizeof hash);
	secret_hash(STR("x"), hash);
	sigemptyset(&set);
	must(9, sigprocmask(SIG_SETMASK, &set, NULL) == 0 && signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	must(10, strerror(ENOENT) != NULL && strsignal(SIGSYS) != NULL);
}

START_TEST(what_a_worker_needs_is_allowed)
{
	struct listener l = { .address.sin_family = AF_INET };
	socklen_t len = sizeof l.address;
	if (is_watched())
		return;
	l.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l.fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(l.fd, 0);
	ck_assert_int_eq(bind(l.fd, (const struct sockaddr *)&l.address, len), 0);
	ck_assert_int_eq(listen(l.fd, 1), 0);
	ck_assert_int_eq(getsockname(l.fd, (struct sockaddr *)&l.address, &len), 0);
	l.hints = hints_open();
	ck_assert_int_eq(confined(use_sockets, &l), 0);
	close(l.hints);
	close(l.fd);
	ck_assert_int_eq(confined(use_library, NULL), 0);
}
END_TEST

static void
fail_assertion(const void *arg)
{
	assert(arg != NULL);
}

static void
corrupt(const void *arg)
{
	char *volatile p = malloc(10), *volatile again = p;
	(void)arg;
	free(p);
	free(again); /* glibc finds it and aborts */
}

static void
crash(const void *arg)
{
	(void)arg;
	raise(SIGABRT);
}

/* What tells of a fault must not look like a call that is forbidden. */
START_TEST(faults_end_as_they_always_do)
{
	static void (*const faults[])(const void *) = { fail_assertion, corrupt, crash };
	for (size_t i = 0; i < 3 && !is_watched(); i++) {
		int status = confined(faults[i], NULL);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
			"fault %zu: status %#x", i, status);
	}
}
END_TEST

/* A container whose own filter refuses another one. */
static void
refuse_filters(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = 4, .filter = code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		_exit(1);
}

START_TEST(where_it_is_refused_it_goes_on)
{
	int status;
	if (is_watched())
		return;
	sandbox_prepare();
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		refuse_filters();
		sandbox_enter();
		_exit(open("/dev/null", O_RDONLY) >= 0 ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

UNIT_MAIN("process/sandbox", the_rest_is_forbidden, what_a_worker_needs_is_allowed,
	faults_end_as_they_always_do, where_it_is_refused_it_goes_on)
