/*
 * program: where the program is that runs here, and with what arguments.
 *
 * An upgrade executes the file that stands where ours stood when it was started: so its path is
 * found out at the start, before somebody puts another one there and the system calls ours deleted.
 * It is the path that was executed, symbolic links and all, since what is changed may be the link;
 * /proc/self/exe, which has followed them, stands in where the system does not tell it.
 *
 * Called by main and by upgrade. Nothing fails but for want of memory.
 */
#include "process/program.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

const char *
program_absolute(const char *path, char *out)
{
	char here[PATH_MAX];
	if (path[0] == '/' || getcwd(here, sizeof here) == NULL)
		return path;
	int len = snprintf(out, PATH_MAX, "%s/%s", strcmp(here, "/") == 0 ? "" : here, path);
	return len > 0 && len < PATH_MAX ? out : path;
}

static int
is_this(const char *path)
{
	struct stat ours, named;
	return strncmp(path, "/dev/fd/", 8) != 0 && strncmp(path, "/proc/", 6) != 0 &&
		stat("/proc/self/exe", &ours) == 0 && stat(path, &named) == 0 &&
		ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

void
program_open(struct program *p, char **argv)
{
	char joined[PATH_MAX];
	const char *executed = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	p->argv = argv;
	p->path[0] = '\0';
	if (executed != NULL)
		executed = program_absolute(executed, joined);
	if (executed != NULL && strlen(executed) < sizeof p->path && is_this(executed)) {
		memcpy(p->path, executed, strlen(executed) + 1);
		return;
	}
	ssize_t len = readlink("/proc/self/exe", p->path, sizeof p->path - 1);
	p->path[len > 0 ? len : 0] = '\0';
}

char **
program_arguments(const struct program *p, const char *conf)
{
	size_t n = 0, last = 0;
	while (p->argv[n] != NULL) {
		if (strcmp(p->argv[n], "-c") == 0)
			last = n;
		n++;
	}
	char **all = calloc(n + 3, sizeof *all);
	if (all == NULL)
		return NULL;
	memcpy(all, p->argv, n * sizeof *all);
	if (last > 0 && p->argv[last + 1] != NULL && strcmp(p->argv[last + 1], conf) == 0)
		return all;
	static char option[] = "-c";
	all[n] = option;
	memcpy(&all[n + 1], &conf, sizeof conf); /* execve reads it, its type cannot say so */
	return all;
}
