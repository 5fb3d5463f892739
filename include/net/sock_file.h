/*
 * sock_file: the file that a unix socket has in the file system: who made it, and whether it may
 * go. For an address that is no unix socket nothing is done and all is well.
 */
#ifndef NET_SOCK_FILE_H
#define NET_SOCK_FILE_H

#include <sys/types.h>

#include "net/sock.h"

/* Which file it was; both 0: not ours. */
struct sock_file {
	dev_t device;
	ino_t inode;
};

/*
 * Make way for a new socket: one that nobody listens on any more is removed. 0, or -1 with errno:
 * EADDRINUSE when somebody does listen, ENOTSOCK when the file is no socket; it is left alone.
 */
int sock_file_clear(const union sock_address *a);
/* Note the file that has just been bound. */
void sock_file_note(const union sock_address *a, struct sock_file *f);
/* Is that file still there? */
bool sock_file_is(const union sock_address *a, const struct sock_file *f);
/* Remove the file if it is that one. */
void sock_file_remove(const union sock_address *a, const struct sock_file *f);

#endif
