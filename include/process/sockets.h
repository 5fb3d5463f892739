/*
 * sockets: the listening sockets, shared by the generations that want the same address.
 */
#ifndef PROCESS_SOCKETS_H
#define PROCESS_SOCKETS_H

#include "config/conf.h"
#include "net/sock_file.h"
#include "proxy/service.h"

/* An open one. */
struct bound {
	struct bound *next;
	union sock_address address; /* as configured: with port 0 the kernel has chosen another */
	struct sock_file file;      /* of a unix socket */
	int fd;
	unsigned users; /* generations in service or starting that want it */
	bool inherited; /* it was open when this process was executed */
	bool own_file;  /* the file of this unix socket goes with it */
};

struct sockets {
	struct bound *all;
	struct bound *left; /* closed; but the file stayed */
	bool shared;        /* another master has them too: files of unix sockets stay */
};

/* What one generation wants of them. */
struct claim {
	struct service_socket *sockets;
	struct bound **bound; /* bound[i] is that of sockets[i] */
	bool *fresh;          /* fresh[i]: this claim is the first that wants it */
	size_t n, cap;
};

/* As what a socket was handed down; INHERITED_FILE: a unix socket whose file is to go with it. */
enum inherited { INHERITED_ADDRESS, INHERITED_ANY_PORT, INHERITED_FILE };
/*
 * Take over a listening socket that this process inherited, for a listener with the address that it
 * has; INHERITED_ANY_PORT: for one with port 0. 0, or -1 when it is no listening stream socket;
 * then it is the caller's still.
 */
int sockets_inherit(struct sockets *s, int fd, enum inherited how);
/* Close those inherited sockets that no claim wants, with a warning for each. */
void sockets_drop(struct sockets *s);
/*
 * Claim every address of the configuration: open sockets are shared, missing ones bound, whose
 * every error goes to `report`. 0, or -1; the claim must be released in both cases.
 */
int sockets_claim(struct sockets *s, const struct conf *c, struct claim *out, conf_report *report,
	void *ctx);
/* Give up a claim; what nobody wants any more is closed. */
void sockets_release(struct sockets *s, struct claim *c);
/* When all children are gone: remove those files that stayed and that nobody listens at any more.
 */
void sockets_end(struct sockets *s);
/* In a child: close every socket that is not in its claim (NULL: every one). */
void sockets_keep(struct sockets *s, const struct claim *c);
/*
 * One info line for each fresh socket of the claim: "listening on 127.0.0.1:8000", with the port
 * that it really has, and ", inherited" behind it.
 */
void sockets_log(const struct claim *c);

#endif
