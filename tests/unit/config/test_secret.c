/*
 * Secrets: where they come from, that the environment is blank afterwards, that no core dump holds
 * the copy, that messages never show one.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "config/secret.h"

static struct arena arena;
static struct str value;
static const char *warning;
static char err[256];

static int
get(const char *spec)
{
	arena_init(&arena, 0);
	err[0] = '\0';
	return secret_read(str_of(spec), &arena, &value, &warning, err, sizeof err);
}

static bool
is(const char *text)
{
	return str_eq(value, str_of(text));
}

/* Does /proc/self/environ, which shows the environment where the kernel put it, hold the text? */
static bool
environ_shows(const char *text)
{
	static char all[1 << 18];
	FILE *f = fopen("/proc/self/environ", "r");
	size_t len;

	ck_assert_ptr_nonnull(f);
	len = fread(all, 1, sizeof all, f);
	fclose(f);
	return str_find((struct str){ all, len }, str_of(text)) < len;
}

START_TEST(literals)
{
	ck_assert_int_eq(get("sk-1"), 0);
	ck_assert(is("sk-1"));
	ck_assert_ptr_null(warning);
	arena_free(&arena);
	ck_assert_int_eq(get("environment:X"), 0);
	ck_assert(is("environment:X"));
	arena_free(&arena);
	ck_assert_int_eq(get(""), 1);
	ck_assert(is(""));
	arena_free(&arena);
}
END_TEST

START_TEST(names)
{
	ck_assert(str_eq(secret_name(STR("env:A")), STR("env:A")));
	ck_assert(str_eq(secret_name(STR("file:/a")), STR("file:/a")));
	ck_assert(str_eq(secret_name(STR("sk-1")), STR("a literal")));
	ck_assert(str_eq(secret_name(STR("")), STR("a literal")));
}
END_TEST

START_TEST(variable_is_moved_out_of_the_environment)
{
	setenv("SECRET_TEST", "sk-moved", 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(get("env:SECRET_TEST"), 0);
		ck_assert(is("sk-moved"));
		ck_assert_str_eq(getenv("SECRET_TEST"), "");
		arena_free(&arena);
	}
}
END_TEST

/* Under valgrind a program has another environment than the one that the kernel shows, and more
 * memory than its own. */
static bool
under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* What was there at exec is blanked where every process of the same user can see it. */
START_TEST(environment_of_the_process_is_blank)
{
	char before[8192], *path_value = getenv("PATH");

	if (under_valgrind())
		return;
	ck_assert_msg(path_value && *path_value, "this test needs PATH in its environment");
	ck_assert_int_lt(snprintf(before, sizeof before, "PATH=%s", path_value),
		(int)sizeof before);
	ck_assert(environ_shows(before));
	ck_assert_int_eq(get("env:PATH"), 0);
	ck_assert(is(before + strlen("PATH=")));
	ck_assert(environ_shows("PATH="));
	ck_assert(!environ_shows(before));
	arena_free(&arena);
}
END_TEST

START_TEST(missing_and_empty_variables)
{
	unsetenv("SECRET_TEST_NONE");
	ck_assert_int_eq(get("env:SECRET_TEST_NONE"), 1);
	ck_assert(is(""));
	ck_assert_str_eq(err, "");
	arena_free(&arena);
	setenv("SECRET_TEST_NONE", "", 1);
	ck_assert_int_eq(get("env:SECRET_TEST_NONE"), 1);
	arena_free(&arena);
	/* set later: found then */
	setenv("SECRET_TEST_NONE", "x", 1);
	ck_assert_int_eq(get("env:SECRET_TEST_NONE"), 0);
	ck_assert(is("x"));
	arena_free(&arena);
}
END_TEST

START_TEST(names_that_no_variable_has)
{
	static const char *const specs[] = { "env:", "env:A=B", "env:=" };

	for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
		ck_assert_int_eq(get(specs[i]), -1);
		ck_assert_str_eq(err, "env: wants the name of an environment variable");
		ck_assert(is(""));
		arena_free(&arena);
	}
}
END_TEST

static char path[64];

static const char *
file_with(const char *text, mode_t mode)
{
	static char spec[80];
	int fd;

	snprintf(path, sizeof path, "/tmp/test_secret.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
	snprintf(spec, sizeof spec, "file:%s", path);
	return spec;
}

START_TEST(files)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "sk-1", "sk-1" },
		{ "sk-1\n", "sk-1" },
		{ "sk-1\r\n", "sk-1" },
		{ " \tsk-1 \nsecond\n", "sk-1" },
		{ "", "" },
		{ "\n", "" },
		{ "\nsk-1\n", "" },
		{ "a b\n", "a b" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(get(file_with(cases[i].text, 0600)), *cases[i].value ? 0 : 1);
		ck_assert_msg(is(cases[i].value), "case %zu: %.*s", i, STR_ARG(value));
		ck_assert_ptr_null(warning);
		arena_free(&arena);
		unlink(path);
	}
}
END_TEST

START_TEST(file_that_others_can_read)
{
	ck_assert_int_eq(get(file_with("sk-1\n", 0604)), 0);
	ck_assert(is("sk-1"));
	ck_assert_str_eq(warning, "the file can be read by every user of this machine: chmod o-r");
	arena_free(&arena);
	unlink(path);
	ck_assert_int_eq(get(file_with("sk-1\n", 0640)), 0);
	ck_assert_ptr_null(warning);
	arena_free(&arena);
	unlink(path);
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
	static const struct {
		const char *spec, *err;
	} cases[] = {
		{ "file:", "file: wants an absolute path" },
		{ "file:key", "file: wants an absolute path" },
		{ "file:/nonexistent/key",
			"cannot read /nonexistent/key: No such file or directory" },
		{ "file:/tmp", "cannot read /tmp: Is a directory" },
		{ "file:/dev/zero", "cannot read /dev/zero: Invalid argument" },
	};
	char *large = calloc(1, 20001);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(get(cases[i].spec), -1);
		ck_assert_str_eq(err, cases[i].err);
		arena_free(&arena);
	}
	memset(large, 'x', 20000);
	ck_assert_int_eq(get(file_with(large, 0600)), -1);
	ck_assert_ptr_nonnull(strstr(err, "is too long"));
	arena_free(&arena);
	unlink(path);
	large[0] = ' '; /* what is trimmed does not hide that the rest is missing */
	ck_assert_int_eq(get(file_with(large, 0600)), -1);
	ck_assert_ptr_nonnull(strstr(err, "is too long"));
	ck_assert_ptr_null(strstr(err, "xxx"));
	arena_free(&arena);
	unlink(path);
	free(large);
}
END_TEST

START_TEST(out_of_memory)
{
	setenv("SECRET_TEST_OOM", "sk-oom", 1);
	static const char *const specs[] = { "sk-1", "env:SECRET_TEST_OOM", "file:/x" };

	for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
		mem_fail_after(1);
		ck_assert_int_eq(get(specs[i]), -1);
		ck_assert_ptr_nonnull(strstr(err, "no memory"));
		mem_fail_after(0);
		arena_free(&arena);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(wipe)
{
	char text[] = "secret";

	secret_wipe(text, 3);
	ck_assert_mem_eq(text, "\0\0\0ret", 6);
	secret_wipe(NULL, 0);
}
END_TEST

/* Is the text somewhere in the heap or another writable mapping of this process, besides the one
 * that holds `mine`? */
static unsigned
count_in_memory(const char *text, size_t len)
{
	FILE *maps = fopen("/proc/self/maps", "r"), *mem = fopen("/proc/self/mem", "r");
	char line[512], mode[8];
	unsigned long from, to;
	unsigned found = 0;

	ck_assert(maps && mem);
	while (fgets(line, sizeof line, maps)) {
		char *bytes;

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w' ||
			to - from > 1 << 26 || strstr(line, "[stack]"))
			continue;
		bytes = malloc(to - from);
		fseek(mem, (long)from, SEEK_SET);
		if (bytes && fread(bytes, 1, to - from, mem) == to - from) {
			for (size_t i = 0; i + len <= to - from; i++)
				found += (bytes + i < text || bytes + i > text + len) &&
					memcmp(bytes + i, text, len) == 0;
		}
		explicit_bzero(bytes, to - from);
		free(bytes);
	}
	fclose(maps);
	fclose(mem);
	return found;
}

static void
ignore(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx, (void)file, (void)line, (void)text;
}

/* A key that stands in the text is afterwards in the configuration and nowhere else, not where
 * libconfig had its copies. */
START_TEST(literal_is_left_nowhere)
{
	static const char before[] = "providers: { o: { base_url = \"http://h\"; api_key = \"",
			  after[] = "\"; }; };";
	char *text = malloc(128), key[33];
	struct conf_options o = { .path = "/etc/t.conf" };
	struct conf *c;

	if (under_valgrind()) {
		free(text);
		return;
	}
	for (int i = 0; i < 32; i++)
		key[i] = (char)('a' + i * 7 % 26);
	key[32] = '\0';
	snprintf(text, 128, "%s%s%s", before, key, after);
	c = conf_load_text(&o, str_of(text), ignore, NULL);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->providers[0].api_key.p, key);
	explicit_bzero(text, 128);
	ck_assert_uint_eq(count_in_memory(key, 32), 1);
	conf_free(c);
	ck_assert_uint_eq(count_in_memory(key, 32), 0);
	free(text);
}
END_TEST

/* Of a client's key nothing is left: neither of one that a file gives, nor of one that was written
 * in the text, where it may not stand. */
START_TEST(client_keys_are_left_nowhere)
{
	static const char *const texts[][2] = { { "clients: { a: { key = \"", "\"; }; };" },
		{ "clients = ( { key = \"", "\" \"x\"; } );" } };
	struct conf_options o = { .path = "/etc/t.conf" };
	char *text = malloc(128), key[33];
	struct conf *c;

	for (int i = 0; i < 32; i++)
		key[i] = (char)('a' + i * 11 % 26);
	key[32] = '\0';
	for (size_t i = 0; i < sizeof texts / sizeof texts[0] && !under_valgrind(); i++) {
		snprintf(text, 128, "%s%s%s", texts[i][0], key, texts[i][1]);
		ck_assert_ptr_null(conf_load_text(&o, str_of(text), ignore, NULL));
		explicit_bzero(text, 128);
		ck_assert_msg(count_in_memory(key, 32) == 0, "case %zu", i);
	}
	snprintf(text, 128,
		"clients: { a: { key = \"%s\"; }; };\n"
		"providers: { e: { dialect = \"echo\"; }; };",
		file_with(key, 0600));
	c = conf_load_text(&o, str_of(text), ignore, NULL);
	ck_assert_ptr_nonnull(c);
	if (!under_valgrind())
		ck_assert_uint_eq(count_in_memory(key, 32), 0);
	conf_free(c);
	unlink(path);
	free(text);
}
END_TEST

static char *
listed(const struct secret_environment *e, const char *name)
{
	size_t len = strlen(name);

	for (char **v = e->list; *v; v++) {
		if (strncmp(*v, name, len) == 0 && (*v)[len] == '=')
			return *v + len + 1;
	}
	return NULL;
}

static bool
all_but_unwanted(struct str name)
{
	return !str_eq(name, STR("UNWANTED"));
}

static void
count_name_of(void *ctx, struct str name)
{
	if (str_eq(name, STR("TAKEN_ONE")) || str_eq(name, STR("TAKEN_TWO")))
		++*(unsigned *)ctx;
}

START_TEST(the_environment_is_rebuilt_for_the_next_program)
{
	struct secret_environment e;
	static char more[] = "MORE=yes";
	unsigned n = 0;

	setenv("TAKEN_ONE", "sk-one", 1);
	setenv("TAKEN_TWO", "sk=two=\"", 1);
	setenv("TAKEN", "is another name", 1);
	setenv("EMPTY", "", 1);
	setenv("UNWANTED", "stays here", 1);
	ck_assert_int_eq(get("env:TAKEN_ONE"), 0);
	arena_free(&arena);
	secret_take(STR("TAKEN_TWO"));
	secret_take(STR("TAKEN_TWO"));
	secret_take(STR("EMPTY"));
	secret_take(STR("IS_NOT_SET"));
	ck_assert_str_eq(getenv("TAKEN_ONE"), "");
	ck_assert_str_eq(getenv("TAKEN_TWO"), "");
	secret_each(count_name_of, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(secret_environment(&e, all_but_unwanted, more), 0);
	ck_assert_ptr_eq(e.list[0], more);
	ck_assert_str_eq(listed(&e, "TAKEN_ONE"), "sk-one");
	ck_assert_str_eq(listed(&e, "TAKEN_TWO"), "sk=two=\"");
	ck_assert_str_eq(listed(&e, "TAKEN"), "is another name");
	ck_assert_str_eq(listed(&e, "EMPTY"), "");
	ck_assert_str_eq(listed(&e, "PATH"), getenv("PATH"));
	ck_assert_ptr_null(listed(&e, "UNWANTED"));
	ck_assert_str_eq(getenv("TAKEN_ONE"), "");
	secret_environment_wipe(&e);
	ck_assert_ptr_null(e.list);
	ck_assert_int_eq(get("env:TAKEN_TWO"), 0);
	ck_assert(is("sk=two=\""));
	arena_free(&arena);
}
END_TEST

UNIT_MAIN("config/secret", the_environment_is_rebuilt_for_the_next_program, literals, names,
	variable_is_moved_out_of_the_environment, environment_of_the_process_is_blank,
	missing_and_empty_variables, names_that_no_variable_has, files, file_that_others_can_read,
	files_that_cannot_be_read, out_of_memory, wipe, literal_is_left_nowhere,
	client_keys_are_left_nowhere)
