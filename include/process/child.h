/*
 * child: the master's children: how they are born, told things, and watched. `struct family` is
 * what the parts of the master share.
 */
#ifndef PROCESS_CHILD_H
#define PROCESS_CHILD_H

#include "process/generation.h"
#include "process/notify.h"
#include "process/peer.h"
#include "process/pidfile.h"
#include "process/program.h"
#include "report/count.h"
#include "shared/limit.h"
#include "shared/ticket.h"
#include "shared/trouble.h"

/* Ticks without a heartbeat until a worker is aborted, and killed. */
#define STILL_ABORT 10
#define STILL_WELL 2 /* no longer than so: its own second and ours need not meet */
#define STILL_KILL 12

enum child_kind { CHILD_WORKER, CHILD_RESOLVER };

struct child {
	struct child *next;
	struct family *family;
	struct generation *generation;
	struct slot *slot; /* NULL: its slot was taken away (TTOU) */
	unsigned number;   /* of the slot it was born in */
	enum child_kind kind;
	pid_t pid;
	struct row *row;            /* a worker's */
	struct sink_lines *lines;   /* of its access log; NULL: it gathers none */
	struct loop_watch watch;    /* the master's end of its channel */
	struct loop_timer deadline; /* to be ready */
	uint64_t born_ms;
	bool ready;
	uint32_t heartbeat; /* as of the last tick, and */
	unsigned still;     /* for how many ticks it has not changed */
};

/* The master that is to take over from this one. */
struct successor {
	struct family *family;
	struct peer peer;
	struct loop_timer deadline; /* to serve */
	bool served;                /* it did so at some time */
	bool died;                  /* and how: */
	int status;
};

struct family {
	struct loop *loop;
	struct scoreboard *board;
	struct series_board *series;
	struct series_writer counts; /* the master's own, in its row */
	struct row *row;
	const struct sink *counted_log; /* whose lost lines are in that row, and how many */
	uint64_t counted_lost;
	struct trouble_table *troubles;
	struct ticket_table *tickets; /* keys of TLS sessions */
	struct limit_table *limits;   /* made for the first configuration; its size stays */
	struct sockets sockets;
	struct generation *generations;
	struct generation *current; /* in service, or starting when there is none in service yet */
	struct generation *coming;  /* being started to take over, or NULL */
	struct child *children;
	struct conf_options options; /* `path` absolute */
	struct conf_files files;     /* that the last reading of the configuration looked at */
	struct pidfile pid, coming_pid;
	const struct program *program;
	struct peer elder;          /* the master that this one is to take over from */
	struct successor successor; /* and the other way round */
	struct notify notify;
	int verdict; /* the -D parent waits at the other end; -1 */
	uint64_t started_s;
	bool leaving;              /* nobody is born any more */
	struct loop_later changed; /* asked for whenever a child became ready or died */
};

/* "worker 3" or "resolver". */
#define CHILD_NAME 24
void child_name(enum child_kind kind, unsigned number, char out[CHILD_NAME]);
/* Fork a child into an empty slot. 0, or -1 with a logged reason. */
int child_spawn(struct family *f, struct slot *s);
/* Fill the slots of a new generation; what goes wrong is in g->reason. */
void children_start(struct family *f, struct generation *g);
/* Send a signal to children of a generation (NULL: of all), workers or resolvers only, or both. */
#define ONLY_WORKERS (1u << CHILD_WORKER)
#define ONLY_RESOLVERS (1u << CHILD_RESOLVER)
void children_signal(const struct family *f, const struct generation *g, unsigned kinds, int signo);
/* Tell the resolvers of a generation (NULL: of all) to end, one that was stopped too: nobody
 * watches them, and without their end neither a generation nor the master has one. */
void children_end_resolvers(const struct family *f, const struct generation *g);
/* Workers of a generation that are ready. */
unsigned children_ready(const struct generation *g);
/* Workers alive, of any generation. */
unsigned children_workers(const struct family *f);
/*
 * Log paths of all generations anew: open, hand down, put in place. What cannot be opened is
 * logged and stays as it is.
 */
void children_reopen(struct family *f);
/* Is there a worker of the generation whose heartbeat moves? */
bool children_beat(const struct family *f, const struct generation *g);
/*
 * A second has passed: abort a worker whose heartbeat has stood still for ten such calls, and
 * kill it two later.
 */
void children_watch(struct family *f);

#endif
