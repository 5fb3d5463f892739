/*
 * privilege: what a process gives up before it meets the network: its user, its groups,
 * capabilities, new privileges, core dumps (but in a build with CORES).
 */
#ifndef PROCESS_PRIVILEGE_H
#define PROCESS_PRIVILEGE_H

#include <sys/types.h>

#include "base/str.h"

#define USER_MAX 64

/* Whom workers become. */
struct account {
	char user[USER_MAX];
	uid_t uid;
	gid_t gid;
};

/*
 * Look up the account: `user`, and `group`, by default the user's own. For a master that is not
 * root's, and cannot make its workers anybody else, it is its own. 0; -1 with a sentence in `err`
 * that begins with the setting's name.
 */
int privilege_account(struct str user, struct str group, struct account *out, char *err,
	size_t err_size);
/*
 * In a worker or the resolver: no core dumps, no capabilities, no new privileges, and, if this
 * process is root's, become `a` for good. 0, or -1 with a logged reason, also where it is root
 * all the same.
 */
int privilege_drop(const struct account *a);
/* In the master, before it reads a secret: no core dumps, of children either. */
void privilege_no_core(void);
/*
 * Raise the limit of open descriptors as far as it goes, for root at least to `wanted`. The limit
 * that holds now, for this process and for its children.
 */
size_t privilege_descriptors(size_t wanted);

#endif
