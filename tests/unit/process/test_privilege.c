/*
 * Tests of process/privilege: the account, its messages, and what a child has given up
 * afterwards.
 */
#include "unit.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/privilege.h"

START_TEST(accounts_are_found_by_name)
{
	struct account a;
	char err[160] = "";
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(privilege_account(STR("nobody"), STR(""), &a, err, sizeof err), 0);
	const struct passwd *nobody = getpwnam("nobody");
	ck_assert_ptr_nonnull(nobody);
	ck_assert_str_eq(a.user, "nobody");
	ck_assert_uint_eq(a.uid, nobody->pw_uid);
	ck_assert_uint_eq(a.gid, nobody->pw_gid);
	const struct group *root = getgrgid(0);
	ck_assert_ptr_nonnull(root);
	ck_assert_int_eq(
		privilege_account(STR("nobody"), str_of(root->gr_name), &a, err, sizeof err), 0);
	ck_assert_uint_eq(a.uid, nobody->pw_uid);
	ck_assert_uint_eq(a.gid, 0);
}
END_TEST

START_TEST(without_root_there_is_no_choice)
{
	int status;
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct account a;
		char err[160];
		if (geteuid() == 0 && setresuid(12345, 12345, 12345) != 0)
			_exit(1);
		_exit(privilege_account(STR("no-such-user"), STR("no-such-group"), &a, err,
			      sizeof err) == 0 &&
					a.uid == geteuid()
				? 0
				: 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(unknown_names_are_told)
{
	static const char longest[] =
		"an-account-name-that-is-longer-than-any-account-name-on-any-system-can-be";
	static const struct {
		const char *user, *group, *message;
	} cases[] = {
		{ "no-such-user", "", "user: there is no account \"no-such-user\" here" },
		{ "no-such-user", "no-such-group",
			"user: there is no account \"no-such-user\" here" },
		{ "nobody", "no-such-group", "group: there is no group \"no-such-group\" here" },
		{ longest, "",
			"user: there is no account \"an-account-name-that-is-longer-than-any-account-name-on-any-system-can-be\" here" },
		{ "nobody", longest,
			"group: there is no group \"an-account-name-that-is-longer-than-any-account-name-on-any-system-can-be\" here" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0] && geteuid() == 0; i++) {
		struct account a;
		char err[160] = "";
		ck_assert_int_eq(privilege_account(str_of(cases[i].user), str_of(cases[i].group),
					 &a, err, sizeof err),
			-1);
		ck_assert_str_eq(err, cases[i].message);
	}
}
END_TEST

/* Which of the things that a worker must have given up is still there; 0 for none. */
static int
what_is_left(const struct account *a, bool root)
{
	struct rlimit core;
	uid_t r, e, s;
	gid_t groups[64];
	if (privilege_drop(a) != 0)
		return 1;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 2;
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 4;
	if (!root)
		return 0;
	if (getresuid(&r, &e, &s) != 0 || r != a->uid || e != a->uid || s != a->uid ||
		setuid(0) == 0)
		return 5;
	if (getresgid(&r, &e, &s) != 0 || r != a->gid || e != a->gid || s != a->gid ||
		setgid(0) == 0)
		return 6;
	int n = getgroups(64, groups);
	for (int i = 0; i < n; i++)
		if (groups[i] == 0)
			return 7;
	return 0;
}

START_TEST(nothing_is_left_after_a_drop)
{
	struct account a;
	char err[160];
	int status;
	ck_assert_int_eq(privilege_account(STR("nobody"), STR(""), &a, err, sizeof err), 0);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(what_is_left(&a, geteuid() == 0));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(who_stays_root_is_refused)
{
	const struct account root = { .user = "root" };
	int status;
	if (geteuid() != 0)
		return;
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(privilege_drop(&root) == -1 ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static int
raise_descriptors(void)
{
	struct rlimit now, low;
	if (getrlimit(RLIMIT_NOFILE, &low) != 0)
		return 1;
	size_t hard = low.rlim_max;
	low.rlim_cur = 64;
	if (setrlimit(RLIMIT_NOFILE, &low) != 0)
		return 2;
	if (privilege_descriptors(65) != hard || getrlimit(RLIMIT_NOFILE, &now) != 0 ||
		now.rlim_cur != hard)
		return 3;
	/* Above the hard limit only for root, and not in every container. */
	size_t more = hard == RLIM_INFINITY ? hard : hard + 1, got = privilege_descriptors(more);
	if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur != got)
		return 4;
	return got == hard || (got == more && geteuid() == 0) ? 0 : 5;
}

START_TEST(descriptors_are_raised_as_far_as_allowed)
{
	int status;
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(raise_descriptors());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

UNIT_MAIN("process/privilege", accounts_are_found_by_name, without_root_there_is_no_choice,
	unknown_names_are_told, nothing_is_left_after_a_drop, who_stays_root_is_refused,
	descriptors_are_raised_as_far_as_allowed)
