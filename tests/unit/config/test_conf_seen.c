/*
 * The files that a reading of the configuration looked at, and whether they have changed.
 */
#include "unit.h"

#include <string.h>

#include "config/conf_private.h"
#include "config_dir.h"

#define ECHO_ "providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };\n"

static struct conf_files files;

static void
say_nothing(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx, (void)file, (void)line, (void)text;
}

/* Read it; does it load? */
static bool
read_conf(void)
{
	struct conf_options o = { .path = in_dir("main.conf"), .files = &files };
	struct conf *c = conf_load(&o, say_nothing, NULL);

	conf_free(c);
	return c != NULL;
}

/* The name of the file that has changed, or "". */
static const char *
changed(uint64_t *now)
{
	const char *path = conf_files_changed(&files, now);

	return path ? strrchr(path, '/') + 1 : "";
}

START_TEST(a_change_of_any_file_is_seen)
{
	uint64_t first, second, third;

	make_dir();
	write_file("main.conf", "@include \"a.conf\"\n@include \"b.conf\"\n");
	write_file("a.conf", "workers = 1;\n");
	write_file("b.conf", ECHO_);
	ck_assert(read_conf());
	ck_assert_uint_eq(files.n, 3);
	ck_assert_str_eq(changed(&first), "");
	write_file("b.conf", ECHO_ "\n");
	ck_assert_str_eq(changed(&second), "b.conf");
	ck_assert_uint_ne(first, second);
	ck_assert_str_eq(changed(&third), "b.conf");
	ck_assert_uint_eq(second, third); /* it has stood still */
	ck_assert(read_conf());
	ck_assert_str_eq(changed(&first), "");
	/* another file in its place, of the same size and time */
	write_file("c.conf", "workers = 2;\n");
	rename(in_dir("c.conf"), in_dir("a.conf"));
	ck_assert_str_eq(changed(&first), "a.conf");
	conf_files_free(&files);
	remove_dir("main.conf", "a.conf", "b.conf", NULL);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* What was read in vain is looked at all the same: a missing file may come, a broken one be mended.
 */
START_TEST(files_of_a_failed_reading)
{
	uint64_t now;

	make_dir();
	write_file("main.conf", "@include \"a.conf\"\n" ECHO_);
	ck_assert(!read_conf());
	ck_assert_uint_eq(files.n, 2);
	ck_assert_str_eq(changed(&now), "");
	write_file("a.conf", "workers = \"many\";\n");
	ck_assert_str_eq(changed(&now), "a.conf");
	ck_assert(!read_conf());
	ck_assert_str_eq(changed(&now), "");
	write_file("a.conf", "workers = 1;\n");
	ck_assert_str_eq(changed(&now), "a.conf");
	ck_assert(read_conf());
	remove(in_dir("main.conf"));
	ck_assert_str_eq(changed(&now), "main.conf");
	ck_assert(!read_conf());
	ck_assert_uint_eq(files.n, 1);
	ck_assert_str_eq(changed(&now), "");
	conf_files_free(&files);
	remove_dir("a.conf", NULL);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(many_files_and_no_memory)
{
	char text[2048] = "";
	uint64_t now;

	make_dir();
	for (int i = 0; i < 20; i++) {
		char name[24];
		size_t len = strlen(text);

		snprintf(name, sizeof name, "%d.conf", i);
		write_file(name, i == 0 ? ECHO_ : "\n");
		snprintf(text + len, sizeof text - len, "@include \"%s\"\n", name);
	}
	write_file("main.conf", text);
	ck_assert(read_conf());
	ck_assert_uint_eq(files.n, 21);
	write_file("19.conf", "\n\n");
	ck_assert_str_eq(changed(&now), "19.conf");
	for (size_t n = 1; n < 200; n++) {
		mem_fail_after(n);
		read_conf();
		mem_fail_after(0);
	}
	conf_files_free(&files);
	ck_assert_uint_eq(mem_used(), 0);
	for (int i = 0; i < 20; i++) {
		char name[24];

		snprintf(name, sizeof name, "%d.conf", i);
		remove(in_dir(name));
	}
	remove_dir("main.conf", NULL);
}
END_TEST

UNIT_MAIN("config/conf_seen", a_change_of_any_file_is_seen, files_of_a_failed_reading,
	many_files_and_no_memory)
