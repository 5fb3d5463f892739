/*
 * worker: one process that serves. Everything that it needs was inherited; the traffic itself is
 * proxy/service.
 */
#ifndef PROCESS_WORKER_H
#define PROCESS_WORKER_H

#include "process/privilege.h"
#include "proxy/service.h"

struct worker_start {
	struct service_start service; /* all but the loop */
	const struct account *account;
	struct sink *log;
	int channel;
};

/* Serve until told to stop or drained. The exit status of the process. */
int worker_run(const struct worker_start *start);

#endif
