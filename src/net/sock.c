/*
 * sock: sockets and addresses as a few plain calls.
 *
 * Called by the master (listening), workers (accepting, connecting) and whoever passes a
 * descriptor on. Every descriptor made here is non-blocking and close-on-exec, and carries
 * TCP_NODELAY where that means something: an event of a stream must not wait for an
 * acknowledgement. Failures are returned with errno, nothing half-made stays open, nothing is
 * logged.
 */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096
#define NOT_FOR_ALL 0111 /* the mask for rw-rw-rw- */

int
sock_parse(struct str text, uint16_t port, union sock_address *out)
{
	char host[SOCK_TEXT];

	if (text.len >= 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
		text = str_head(str_skip(text, 1), text.len - 2);
	if (text.len == 0 || text.len >= sizeof host)
		return -1;
	memcpy(host, text.p, text.len);
	host[text.len] = '\0';
	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		return 0;
	}
	return -1;
}

int
sock_of_path(struct str path, union sock_address *out)
{
	memset(out, 0, sizeof *out);
	if (path.len == 0 || path.len > SOCK_PATH_MOST)
		return -1;
	out->file.sun_family = AF_UNIX;
	memcpy(out->file.sun_path, path.p, path.len);
	return 0;
}

socklen_t
sock_len(const union sock_address *a)
{
	if (a->any.sa_family == AF_UNIX)
		return sizeof a->file;
	return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

bool
sock_is_loopback(const union sock_address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	if (a->any.sa_family == AF_UNIX)
		return true;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
		(IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && a->v6.sin6_addr.s6_addr[12] == 127);
}

void
sock_text(const union sock_address *a, char out[SOCK_TEXT])
{
	const void *bytes = &a->v4.sin_addr;
	int family = a->any.sa_family;

	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
		bytes = a->v6.sin6_addr.s6_addr + 12;
		family = AF_INET;
	} else if (family == AF_INET6) {
		bytes = &a->v6.sin6_addr;
	}
	if (family == AF_UNIX)
		memcpy(out, "unix:", 6);
	else if (!inet_ntop(family, bytes, out, SOCK_TEXT))
		memcpy(out, "-", 2);
}

uint16_t
sock_port(const union sock_address *a)
{
	if (a->any.sa_family == AF_UNIX)
		return 0;
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void
sock_name(const union sock_address *a, char out[SOCK_NAME])
{
	char text[SOCK_TEXT];

	if (a->any.sa_family == AF_UNIX) {
		snprintf(out, SOCK_NAME, "unix:%.*s", (int)sizeof a->file.sun_path,
			a->file.sun_path);
		return;
	}
	sock_text(a, text);
	snprintf(out, SOCK_NAME, a->any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", text,
		sock_port(a));
}

bool
sock_equal(const union sock_address *a, const union sock_address *b)
{
	if (a->any.sa_family != b->any.sa_family || sock_port(a) != sock_port(b))
		return false;
	if (a->any.sa_family == AF_UNIX)
		return strncmp(a->file.sun_path, b->file.sun_path, sizeof a->file.sun_path) == 0;
	if (a->any.sa_family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

static void
set_flag(int fd, int level, int option)
{
	int on = 1;

	setsockopt(fd, level, option, &on, sizeof on);
}

static int
close_with_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

static int
sock_new(const union sock_address *a)
{
	return socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Whatever the mask of the process is, a unix socket comes into being with its own. */
static int
sock_bind(int fd, const union sock_address *a)
{
	bool file = a->any.sa_family == AF_UNIX;
	mode_t mask = file ? umask(NOT_FOR_ALL) : 0;
	int result = bind(fd, &a->any, sock_len(a));

	if (file)
		umask(mask);
	return result;
}

int
sock_listen(const union sock_address *a, bool v6_only)
{
	int fd = sock_new(a);

	if (fd < 0)
		return -1;
	if (a->any.sa_family != AF_UNIX)
		set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
	if (a->any.sa_family == AF_INET6 && v6_only)
		set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (sock_bind(fd, a) < 0 || listen(fd, BACKLOG) < 0)
		return close_with_errno(fd);
	return fd;
}

int
sock_accept(int fd, union sock_address *peer)
{
	socklen_t len = sizeof *peer;
	int client = accept4(fd, &peer->any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client >= 0 && peer->any.sa_family != AF_UNIX)
		set_flag(client, IPPROTO_TCP, TCP_NODELAY);
	return client;
}

int
sock_connect(const union sock_address *a, bool *done)
{
	int fd = sock_new(a);

	if (fd < 0)
		return -1;
	set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	*done = connect(fd, &a->any, sock_len(a)) == 0;
	if (!*done && errno != EINPROGRESS)
		return close_with_errno(fd);
	return fd;
}

int
sock_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

void
sock_reset(int fd)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
}

long
sock_send_fd(int socket, const void *p, size_t len, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(&iov.iov_base, &p, sizeof p); /* sendmsg reads it, iovec cannot say so */
	if (fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof control.space;
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

long
sock_receive_fd(int socket, void *p, size_t len, int *fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = p, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	long n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	*fd = -1;
	if (n < 0)
		return n;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return n;
}
