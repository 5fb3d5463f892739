/*
 * Tests of process/program: absolute paths, and the arguments of the next start.
 */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process/program.h"

START_TEST(paths_begin_at_the_root)
{
	char out[PATH_MAX], here[PATH_MAX], joined[PATH_MAX + 8];
	ck_assert_str_eq(program_absolute("/a/b", out), "/a/b");
	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	snprintf(joined, sizeof joined, "%s/a/b", here);
	ck_assert_str_eq(program_absolute("a/b", out), joined);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_str_eq(program_absolute("a/b", out), "/a/b");
	ck_assert_int_eq(chdir(here), 0);
}
END_TEST

START_TEST(this_program_is_found)
{
	char *argv[] = { NULL };
	struct program p;
	program_open(&p, argv);
	ck_assert_int_eq(p.path[0], '/');
	ck_assert_ptr_nonnull(strstr(p.path, "test_program"));
	ck_assert_int_eq(access(p.path, X_OK), 0);
	ck_assert_ptr_eq(p.argv, argv);
}
END_TEST

static const struct {
	const char *given[6], *then[8];
} cases[] = {
	{ { "p" }, { "p", "-c", "/conf" } },
	{ { "p", "-D" }, { "p", "-D", "-c", "/conf" } },
	{ { "p", "-c", "/conf", "-D" }, { "p", "-c", "/conf", "-D" } },
	{ { "p", "-c", "conf" }, { "p", "-c", "conf", "-c", "/conf" } },
	{ { "p", "-c", "conf", "-c", "/conf" }, { "p", "-c", "conf", "-c", "/conf" } },
	{ { "p", "-c", "/conf", "-c", "conf" },
		{ "p", "-c", "/conf", "-c", "conf", "-c", "/conf" } },
	{ { "p", "-Dc", "conf" }, { "p", "-Dc", "conf", "-c", "/conf" } },
	{ { "p", "-c/conf" }, { "p", "-c/conf", "-c", "/conf" } },
};

START_TEST(arguments_name_the_configuration_from_the_root)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct program p = { 0 };
		char *argv[6];
		memcpy(argv, cases[i].given, sizeof argv);
		p.argv = argv;
		char **all = program_arguments(&p, "/conf");
		size_t n = 0;
		ck_assert_ptr_nonnull(all);
		for (; cases[i].then[n] != NULL; n++)
			ck_assert_str_eq(all[n], cases[i].then[n]);
		ck_assert_ptr_null(all[n]);
		free(all);
	}
}
END_TEST

UNIT_MAIN("process/program", paths_begin_at_the_root, this_program_is_found,
	arguments_name_the_configuration_from_the_root)
