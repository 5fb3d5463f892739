/*
 * pid_file alone, from configurations that may be broken.
 */
#include "unit.h"

#include <string.h>

#include "config/conf_private.h"
#include "config_dir.h"

START_TEST(pid_file_of_broken_files)
{
	static const struct {
		const char *text, *pid; /* NULL: -1 */
	} cases[] = {
		{ "", "/run/api-router.pid" },
		{ "workers = 2;\npid_file = \"/a/b.pid\";\n", "/a/b.pid" },
		{ "pid_file = \"\";", "" },
		{ "pid_file : \"/a\"", "/a" },
		{ "pid_file = \"/a\" \"/b\"\n\"c\"; \"d\"", "/a/bc" },
		{ "\xef\xbb\xbfworkers = 1;\npid_file = \"/a\";", "/a" },
		{ "log: {\n\npid_file = \"/a\";", "/a" },
		{ "user = \"x;\npid_file = \"/a\";", "/a" },
		{ "user = \"x\\\npid_file = \"/a\";", "/a" },
		{ "pid_file = \"/a;\nworkers = 2;", "/a;" },
		{ "} ) = = , pid_file = \"/a\";", "/a" },
		{ "@include \"/nonexistent\"\npid_file = \"/a\";", "/a" },
		{ "@include nothing\npid_file = \"/a\";", "/a" },
		{ "@include \"main.conf\"\npid_file = \"/a\";", "/a" },
		{ "/* open\npid_file = \"/a\";", "/a" },
		{ "# pid_file = \"/b\";\npid_file = \"/a\";", "/a" },
		{ "pid_files = \"/b\"; pid_file = \"/a\";", "/a" },
		{ "user = \"\\x00\"; pid_file = \"/a\";", "/a" },
		{ "pid_file = 3;", NULL },
		{ "pid_file = ", NULL },
	};
	char out[64];

	make_dir();
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		write_file("main.conf", cases[i].text);
		ck_assert_msg(conf_pid_file(in_dir("main.conf"), out, sizeof out) ==
				(cases[i].pid ? 0 : -1),
			"%s", cases[i].text);
		if (cases[i].pid)
			ck_assert_str_eq(out, cases[i].pid);
		ck_assert_uint_eq(mem_used(), 0);
	}
	write_file("main.conf", "pid_file = \"x.pid\";");
	ck_assert_int_eq(conf_pid_file(in_dir("main.conf"), out, sizeof out), 0);
	ck_assert_str_eq(out, in_dir("x.pid"));
	ck_assert_int_eq(conf_pid_file(in_dir("main.conf"), out, 5), -1);
	remove_dir("main.conf", NULL);
	ck_assert_int_eq(conf_pid_file("/nonexistent/t.conf", out, sizeof out), -1);
}
END_TEST

UNIT_MAIN("config/conf_pid", pid_file_of_broken_files)
