/*
 * pidfile: one master per pid file. The lock says who runs; the number in the file is for people
 * and scripts.
 */
#ifndef PROCESS_PIDFILE_H
#define PROCESS_PIDFILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct pidfile {
	int fd;     /* -1: none */
	bool aside; /* under the other name */
	char path[PATH_MAX];
};

/*
 * Create or take over `path`, lock it and write our pid. 0; 1 when *holder has it; -1 with errno.
 */
int pidfile_take(struct pidfile *p, const char *path, pid_t *holder);
/* Remove the file and let go of the lock. Harmless without one. */
void pidfile_remove(struct pidfile *p);
/*
 * Give the file another name, which has ".oldbin" behind it, so that another master can take this
 * one. The lock stays. 0, or -1 with errno.
 */
int pidfile_aside(struct pidfile *p);
/* Give it its name back, in place of a file that nobody holds. 0; 1 when *holder has it; -1 with
 * errno. */
int pidfile_back(struct pidfile *p, pid_t *holder);
bool pidfile_is_aside(const struct pidfile *p);
/* Is it the file there, by whatever name? To take it again would end in losing the lock. */
bool pidfile_is(const struct pidfile *p, const char *path);
/* Remove what another master set aside, for this one to take the name, and nobody holds. */
void pidfile_clear_aside(const struct pidfile *p);
/* In a child: close the descriptor only. The lock is the master's and stays. */
void pidfile_forget(struct pidfile *p);
/*
 * The pid that holds the lock of `path`: 0 when nobody does, -1 with errno when that cannot be
 * told.
 */
pid_t pidfile_holder(const char *path);

#endif
