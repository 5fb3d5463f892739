/*
 * upgrade: from one master to the next, or back: the program is executed again, in another process,
 * with the listening sockets and the tables of this one.
 */
#ifndef PROCESS_UPGRADE_H
#define PROCESS_UPGRADE_H

#include "process/child.h"

/* Start the new master (f->successor), or log why not; then all is as before. */
void upgrade_begin(struct family *f);
/*
 * Something may have changed with f->successor: note that it serves, or what its end means. True
 * when one that had served has ended, or is about to, and this one serves alone again.
 */
bool upgrade_progress(struct family *f);
/* In the new master: the line to the old one. */
void upgrade_watch_elder(struct family *f, pid_t pid, int line);

#endif
