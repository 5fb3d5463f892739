/*
 * sock: sockets and addresses as a few plain calls. Every descriptor is non-blocking and
 * close-on-exec.
 */
#ifndef NET_SOCK_H
#define NET_SOCK_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

/* An IPv4 or IPv6 address with its port, or the path of a unix socket. */
union sock_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un file;
	struct sockaddr_storage storage;
};

/* Parse "127.0.0.1", "::1" or "[::1]" with a port. 0, or -1 when it is not a numeric address. */
int sock_parse(struct str text, uint16_t port, union sock_address *out);
/* A unix socket of that path. 0, or -1 when it is too long: SOCK_PATH_MOST bytes. */
#define SOCK_PATH_MOST (sizeof((struct sockaddr_un *)NULL)->sun_path - 1)
int sock_of_path(struct str path, union sock_address *out);
socklen_t sock_len(const union sock_address *a);
/* Can only this machine reach it? */
bool sock_is_loopback(const union sock_address *a);
/* "127.0.0.1" or "::1" without port and with NUL; IPv4 mapped in IPv6 is written as IPv4. The peer
 * of a unix socket has no name, and is "unix:". */
#define SOCK_TEXT 46
void sock_text(const union sock_address *a, char out[SOCK_TEXT]);
/* 0 for a unix socket. */
uint16_t sock_port(const union sock_address *a);
/* "127.0.0.1:8000", "[::1]:8000" or "unix:/run/x" */
#define SOCK_NAME (sizeof(struct sockaddr_un) + 8)
void sock_name(const union sock_address *a, char out[SOCK_NAME]);
bool sock_equal(const union sock_address *a, const union sock_address *b);

/* Bind and listen (SO_REUSEADDR; IPV6_V6ONLY when `v6_only`; backlog 4096; a unix socket can be
 * connected to by everybody who reaches its directory). The descriptor, or -1 with errno. */
int sock_listen(const union sock_address *a, bool v6_only);
/* Accept; the descriptor, or -1 with errno. TCP_NODELAY is set. */
int sock_accept(int fd, union sock_address *peer);
/* Begin to connect; *done when it was immediate. The descriptor, or -1 with errno. TCP_NODELAY is
 * set. */
int sock_connect(const union sock_address *a, bool *done);
/* The outcome of a connect that has become writable: 0 or an errno. */
int sock_error(int fd);
/* Close so that the peer sees a reset, not an end. */
void sock_reset(int fd);
/* Send bytes with at most one descriptor (fd -1: none) over a unix socket; receive likewise (*fd -1
 * when none came). Bytes moved, 0 at the end, -1 with errno. */
long sock_send_fd(int socket, const void *p, size_t len, int fd);
long sock_receive_fd(int socket, void *p, size_t len, int *fd);

#endif
