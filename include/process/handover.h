/*
 * handover: what one master hands down to the next over exec: an environment variable that says
 * which descriptors are what. And the sockets that a service manager hands down in the same way.
 */
#ifndef PROCESS_HANDOVER_H
#define PROCESS_HANDOVER_H

#include <limits.h>

#include "base/log.h"
#include "config/conf.h"
#include "process/sockets.h"

#define HANDOVER_VARIABLE "API_ROUTER_UPGRADE"

/* As the new master finds it. */
struct handover {
	pid_t old; /* the old master; 0: there is none */
	int line;  /* to it (process/peer); -1: none */
	/* where the old master's log is, for as long as there is no other; "" when unknown */
	char log[PATH_MAX];
	enum log_level level;
	enum log_format format;
};

/*
 * At the start: read the variable and unset it; what it names is close-on-exec then, the sockets
 * are in `s`, the tables wait in base/shm, and the variables that held secrets are blank.
 */
void handover_take(struct handover *h, struct sockets *s);
/*
 * In the process that is to execute the new master: the variable, NAME=value, of malloc; NULL
 * without memory. The descriptors that it names stay open over exec. `line`: the new master's end.
 */
char *handover_offer(pid_t old, int line, const struct sockets *s, const struct conf *c);
/*
 * The sockets of sd_listen_fds(3), if they are for this process; the variables are unset. What is
 * no listening socket is closed, with a warning.
 */
void handover_activation(struct sockets *s);

#endif
