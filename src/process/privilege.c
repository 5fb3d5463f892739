/*
 * privilege: what a process gives up before it meets the network.
 *
 * Workers hold provider keys and read what strangers send. So they leave no core (a core is a
 * copy of the keys), cannot gain privileges by exec, and are not root: real, effective and saved
 * ids change together, supplementary groups first, since a process that is no longer root cannot
 * change them. Capabilities go by a call of their own: those that a service manager lent to a
 * master that is not root would stay over fork. A process that finds itself root after all that
 * refuses to serve.
 *
 * A build with CORES leaves cores on, for whoever looks for a fault; what holds secrets is left out
 * of them (base/heap).
 *
 * The account is looked up by the master, so that a missing user is an error of the configuration
 * and not of a worker. Whatever then fails in a child is logged, and the child leaves with status
 * 78: the next attempt would fail the same way.
 */
#include "process/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"

#ifdef CORES
enum { DUMPABLE = 1 };
#else
enum { DUMPABLE = 0 };
#endif

/* The name with a NUL behind it; -1 when it is too long to be one. */
static int
name_copy(struct str name, char out[USER_MAX])
{
	if (name.len >= USER_MAX)
		return -1;
	memcpy(out, name.p, name.len);
	out[name.len] = '\0';
	return 0;
}

int
privilege_account(struct str user, struct str group, struct account *out, char *err,
	size_t err_size)
{
	char name[USER_MAX];
	*out = (struct account){ .uid = geteuid(), .gid = getegid() };
	if (geteuid() != 0)
		return 0;
	/* cppcheck-suppress getpwnamCalled ; there are no threads */
	const struct passwd *pw = name_copy(user, out->user) == 0 ? getpwnam(out->user) : NULL;
	if (pw == NULL) {
		snprintf(err, err_size, "user: there is no account \"%.*s\" here", STR_ARG(user));
		return -1;
	}
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	if (group.len == 0)
		return 0;
	/* cppcheck-suppress getgrnamCalled */
	const struct group *gr = name_copy(group, name) == 0 ? getgrnam(name) : NULL;
	if (gr == NULL) {
		snprintf(err, err_size, "group: there is no group \"%.*s\" here", STR_ARG(group));
		return -1;
	}
	out->gid = gr->gr_gid;
	return 0;
}

static int
become(const struct account *a)
{
	if (initgroups(a->user, a->gid) == 0 && setresgid(a->gid, a->gid, a->gid) == 0 &&
		setresuid(a->uid, a->uid, a->uid) == 0)
		return 0;
	log_error("cannot become user %s (uid %u, gid %u): %s", a->user, (unsigned)a->uid,
		(unsigned)a->gid, strerror(errno));
	return -1;
}

/* All sets of them. 0, or -1 with errno. */
static int
drop_capabilities(void)
{
	struct __user_cap_header_struct self = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	return (int)syscall(SYS_capset, &self, none);
}

static bool
is_root(void)
{
	return getuid() == 0 || geteuid() == 0 || setuid(0) == 0;
}

int
privilege_drop(const struct account *a)
{
	privilege_no_core();
	heap_leave_out();
	if (geteuid() == 0 && become(a) != 0)
		return -1;
	/* A change of ids sets DUMPABLE to 0 as well, but not every worker changes them. */
	if (drop_capabilities() != 0 || prctl(PR_SET_DUMPABLE, DUMPABLE) != 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		log_error("cannot give up privileges: %s", strerror(errno));
		return -1;
	}
	if (is_root()) {
		log_error("still root as user %s: refused; name another account as user", a->user);
		return -1;
	}
	return 0;
}

void
privilege_no_core(void)
{
	const struct rlimit none = { 0, 0 };
	if (DUMPABLE)
		return;
	setrlimit(RLIMIT_CORE, &none);
	/*
	 * The limit does not bind a pipe in core_pattern, this does. But it also closes
	 * /proc/self to all but root, and the master reopens its standard files there.
	 */
	if (geteuid() == 0)
		prctl(PR_SET_DUMPABLE, 0);
}

size_t
privilege_descriptors(size_t wanted)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	const struct rlimit raised = { wanted, wanted };
	const struct rlimit full = { limit.rlim_max, limit.rlim_max };
	if (limit.rlim_max < wanted && setrlimit(RLIMIT_NOFILE, &raised) == 0)
		return wanted;
	if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &full) == 0)
		return limit.rlim_max;
	return limit.rlim_cur;
}
