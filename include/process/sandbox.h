/*
 * sandbox: the system calls that a worker may make, and death for the rest (seccomp).
 */
#ifndef PROCESS_SANDBOX_H
#define PROCESS_SANDBOX_H

/*
 * In the master, before it forks workers that are to be confined: make the filter, once. A kernel
 * that has none is warned of, once. Nothing is done in a build with sanitizers, which need calls of
 * their own.
 */
void sandbox_prepare(void);
/*
 * In a worker that has opened all that it will need: from now on the first call that is not on the
 * list ends the process by SIGSYS. Asks for no_new_privs. Without a filter nothing is done; a
 * kernel that refuses it is warned of.
 */
void sandbox_enter(void);

#endif
