/*
 * sandbox: the system calls that a worker may make, and death for the rest.
 *
 * A worker reads what strangers send. Should they ever make it do what it was not written for, it
 * can still only do what is on the list: move bytes on sockets that it has, accept and connect,
 * have memory, tell the time, and end. It opens no file, runs no program, forks nothing, listens
 * nowhere and looks into no other process. The kernel kills the process at the first other call,
 * whoever made it; the master says so in its obituary (reap) and starts another.
 *
 *	master: sandbox_prepare ── libseccomp: list -> BPF ──fork──> worker: sandbox_enter
 *
 * libseccomp works in the master alone, once: a worker hands the finished program to the kernel.
 * What libraries would open at their first use, the zone of the time and the size of the memory,
 * is asked for before. OpenSSL has read its configuration, and the system's certificates were read,
 * where the master made a context of TLS (net/tls); where it made none nothing that a worker calls
 * of OpenSSL opens a file.
 *
 * A kernel or a container without seccomp is no reason not to serve: it is said once.
 */
#include "process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#ifdef SANITIZED
enum { WANTED = 0 };
#else
enum { WANTED = 1 };
#endif

/* In the program, where the worker puts its own number: no process has this one. */
#define SELF 0x3ffffffe

/* Whatever their arguments are. What a machine has not is left out by libseccomp. */
static const int allowed[] = {
	/* sockets and pipes that it has, and logs */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(close),
	/* the end of a line that a full disk has cut is taken back */
	SCMP_SYS(ftruncate),
	SCMP_SYS(lseek),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(timer_settime),
	/* memory; that which can be executed is below */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* time and chance */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	/* signals, locks of libraries, and the end */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* The finished program; len 0: none. */
static struct sock_fprog program;

static int
allow_all(scmp_filter_ctx *ctx)
{
	for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
		int failed = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
		if (failed && allowed[i] >= 0)
			return failed;
	}
	return 0;
}

/* Calls of which only some are allowed. 0, or a negative errno. */
static int
allow_some(scmp_filter_ctx *ctx)
{
	const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct {
		int call;
		unsigned n;
		struct scmp_arg_cmp args[2];
	} rules[] = {
		/* to providers, and to the system's log */
		{ SCMP_SYS(socket), 2,
			{ SCMP_A0(SCMP_CMP_EQ, AF_INET, 0),
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM) } },
		{ SCMP_SYS(socket), 2,
			{ SCMP_A0(SCMP_CMP_EQ, AF_INET6, 0),
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM) } },
		{ SCMP_SYS(socket), 2,
			{ SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0),
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM) } },
		{ SCMP_SYS(mmap), 1, { not_executable } },
		/* what sort of file a new log is; fstat comes as either of two */
		{ SCMP_SYS(fcntl), 1, { SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0) } },
		{ SCMP_SYS(fstat), 0, { { 0 } } },
		{ SCMP_SYS(newfstatat), 1, { SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0) } },
		/* hints (net/hints), of which itself is told, nobody else */
		{ SCMP_SYS(fcntl), 1, { SCMP_A1(SCMP_CMP_EQ, F_SETSIG, 0) } },
		{ SCMP_SYS(fcntl), 2,
			{ SCMP_A1(SCMP_CMP_EQ, F_SETOWN, 0), SCMP_A2(SCMP_CMP_EQ, SELF, 0) } },
		{ SCMP_SYS(ioctl), 1, { SCMP_A1(SCMP_CMP_EQ, FIOASYNC, 0) } },
		/* how many descriptors there may be, now; nothing is set */
		{ SCMP_SYS(getrlimit), 0, { { 0 } } },
		{ SCMP_SYS(prlimit64), 2,
			{ SCMP_A0(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_EQ, 0, 0) } },
		/* abort() */
		{ SCMP_SYS(tgkill), 1, { SCMP_A2(SCMP_CMP_EQ, SIGABRT, 0) } },
	};
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		int failed = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call, rules[i].n,
			rules[i].args);
		if (failed)
			return failed;
	}
	return 0;
}

/* From the file that libseccomp wrote. 0, or a negative errno. */
static int
take_program(int fd)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return -errno;
	size_t size = (size_t)st.st_size;
	struct sock_filter *code = mem_boot(size);
	if (pread(fd, code, size, 0) != st.st_size) {
		free(code);
		return -EIO;
	}
	program.filter = code;
	program.len = (unsigned short)(size / sizeof *code);
	return 0;
}

static int
compile(scmp_filter_ctx *ctx)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int failed = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!failed)
		failed = allow_all(ctx);
	if (!failed)
		failed = allow_some(ctx);
	if (!failed)
		failed = seccomp_export_bpf(ctx, fd);
	if (!failed)
		failed = take_program(fd);
	close(fd);
	return failed;
}

void
sandbox_prepare(void)
{
	static bool tried = !WANTED;
	if (tried)
		return;
	tried = true;
	scmp_filter_ctx *ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int failed = ctx == NULL ? -ENOSYS : compile(ctx);
	if (failed)
		log_warn("workers run without a seccomp filter: %s", strerror(-failed));
	if (ctx != NULL)
		seccomp_release(ctx);
}

static int
compare_bytes(const void *a, const void *b)
{
	return *(const char *)a - *(const char *)b;
}

/* glibc opens files when it is first asked for a time, or to sort more than a kilobyte. */
static void
ask_before(void)
{
	char many[2048] = { 0 };
	tzset();
	qsort(many, sizeof many, 1, compare_bytes);
}

static void
set_self(void)
{
	for (size_t i = 0; i < program.len; i++)
		if (program.filter[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
			program.filter[i].k == SELF)
			program.filter[i].k = (uint32_t)getpid();
}

void
sandbox_enter(void)
{
	if (program.len == 0)
		return;
	set_self();
	ask_before();
	/*
	 * Without the flag, kernels before 5.16 take the filter for a sign of foreign code and turn
	 * a slow protection on that this one does not need; before 4.17 there was none to refuse.
	 */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		    &program) != 0 &&
		(errno != EINVAL ||
			syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0))
		log_warn("running without a seccomp filter: %s", strerror(errno));
}
