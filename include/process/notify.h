/*
 * notify: the service manager is told how this service is: sd_notify(3)'s protocol, datagrams of
 * NAME=VALUE lines to the socket that $NOTIFY_SOCKET names.
 */
#ifndef PROCESS_NOTIFY_H
#define PROCESS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	struct sockaddr_un to;
	socklen_t to_len;     /* 0: nobody wants to know */
	uint64_t watchdog_ms; /* he wants to hear of us so often; 0: he does not */
	uint64_t barked_ms;   /* clock_ms of the last time */
	bool quiet;           /* it is for another process to say anything */
};

/* From the environment, which stays as it is. */
void notify_open(struct notify *n);
/* Lines of NAME=VALUE, without the last newline. Nothing where nobody wants to know; a failure is
 * logged. */
void notify_send(const struct notify *n, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* To be called each second while the service is well: tells so when half of the time is over. */
void notify_alive(struct notify *n, uint64_t now_ms);

#endif
