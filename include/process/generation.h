/*
 * generation: one reading of the configuration with all that hangs on it: sockets, logs,
 * addresses, and the slots of its workers.
 */
#ifndef PROCESS_GENERATION_H
#define PROCESS_GENERATION_H

#include "process/privilege.h"
#include "process/sockets.h"
#include "shared/address.h"

#define WORKERS_MAX 256

struct child;
struct family;
struct generation;

/* A place for a child that is filled again when the child dies. */
struct slot {
	struct generation *generation;
	unsigned number;
	struct child *child; /* NULL: nobody lives here */
	struct loop_timer respawn;
	unsigned delay_s; /* of the last respawn that had to wait */
	bool given_up;    /* its child left with status 78 */
};

enum generation_state {
	GENERATION_STARTING, /* not all ready yet */
	GENERATION_SERVING,
	GENERATION_RESTING, /* its workers were told to leave, and nobody has taken over (WINCH) */
	GENERATION_RETIRED, /* being drained; freed with its last child */
};

struct generation {
	struct generation *next; /* newest first */
	struct family *family;
	enum generation_state state;
	uint32_t number;
	struct conf *conf;
	struct account account;
	struct address_table *addresses;
	struct sink log, access;
	struct claim claim;
	struct slot workers[WORKERS_MAX];
	unsigned wanted; /* workers[0..wanted) are to be filled */
	struct slot resolver;
	unsigned children; /* alive, of this generation */
	char reason[256];  /* why its start fails; "" as long as it does not */
};

/*
 * The configuration with the account that its workers are to be, both checked; all that -t does.
 * NULL after at least one report.
 */
struct conf *generation_conf(const struct conf_options *o, struct account *a, conf_report *report,
	void *ctx);
/* One info line names the providers that have no key, if there are any. */
void generation_tell_keys(const struct conf *c);
/*
 * All that a generation needs before its first fork: sockets, logs, addresses with the answers of
 * `old` (or NULL). The configuration is taken over and sealed. NULL after every error has gone to
 * `report`; the configuration is freed then.
 */
struct generation *generation_new(struct conf *c, const struct account *a, struct sockets *s,
	const struct generation *old, conf_report *report, void *ctx);
/* Give back everything. No child of it may be alive. */
void generation_free(struct generation *g, struct sockets *s);
/* In a child of another generation: close its files, free its memory. */
void generation_forget(struct generation *g);

#endif
