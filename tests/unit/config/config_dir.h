/*
 * config_dir: files in a directory of a test's own.
 */
#ifndef CONFIG_DIR_H
#define CONFIG_DIR_H

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

static char dir[64];

static inline void
make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static inline const char *
in_dir(const char *name)
{
	static char path[4][128];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
	return path[i];
}

static inline void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* Remove the files that a test wrote, named one after the other, and the directory. */
static inline void
remove_dir(const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	for (; name; name = va_arg(ap, const char *))
		remove(in_dir(name));
	va_end(ap);
	ck_assert_int_eq(rmdir(dir), 0);
}

#endif
