/*
 * program: this program as it was started, to be executed again in the same way.
 */
#ifndef PROCESS_PROGRAM_H
#define PROCESS_PROGRAM_H

#include <limits.h>

struct program {
	char path[PATH_MAX]; /* from the root; "" when it cannot be told */
	char **argv;
};

/*
 * `path` from the root, in `out` of PATH_MAX bytes; as it is when it is absolute or cannot be made
 * so.
 */
const char *program_absolute(const char *path, char *out);
/* At the start, before the directory changes. `argv` is borrowed. */
void program_open(struct program *p, char **argv);
/*
 * Its arguments, with `-c conf` behind them if they do not say so: what they name from another
 * directory has another name here. Ended by NULL, of malloc; NULL without memory.
 */
char **program_arguments(const struct program *p, const char *conf);

#endif
