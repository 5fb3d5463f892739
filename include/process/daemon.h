/*
 * daemon: into the background, with a parent that stays until it is known whether that worked.
 */
#ifndef PROCESS_DAEMON_H
#define PROCESS_DAEMON_H

/*
 * Fork. The parent waits for the verdict and exits with it: 0 when daemon_ready was called, else
 * the child's own exit status (1 if that is 0 or a signal), after printing the reason of
 * daemon_failed. Returns in the child, which leads a new session with / as its directory: the
 * descriptor to give the verdict by, or -1 with errno when there was no fork.
 */
int daemon_detach(void);
/* The verdict, once; the descriptor is closed. -1 for `fd` is harmless. */
void daemon_ready(int fd);
void daemon_failed(int fd, const char *reason);
/*
 * Connect stdin, stdout and stderr to /dev/null: whoever started the daemon may wait for their
 * end.
 */
void daemon_quiet(void);

#endif
