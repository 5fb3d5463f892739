/*
 * net: sockets of the client and of the upstream.
 *
 * Both are edge-triggered: a descriptor is registered once, for reading and for writing, and no
 * call is spent later on changing that. Who uses it therefore reads until there is no more, and
 * writes until it is told to wait.
 *
 * TLS is OpenSSL's, told as read and write tell: what it wants to wait for is EAGAIN, since every
 * change of the descriptor is reported anyway. Certificates are not verified: the cost of that is
 * the router's to pay, not the client's.
 *
 * Waiting is exact to some microseconds: the timer slack of the process is turned off.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "net.h"

struct sockaddr_in
loopback(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

int
net_listen(int port)
{
	struct sockaddr_in a = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4096) == 0)
		return fd;
	close(fd);
	return -1;
}

int
net_raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		die("getrlimit");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	return files.rlim_cur < 1000000 ? (int)files.rlim_cur : 1000000;
}

void
net_prepare(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void
net_watch(int epoll_fd, int fd, void *data)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = data };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
		die("epoll_ctl");
}

static ssize_t
tls_result(SSL *tls, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(tls, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		errno = EIO;
		return -1;
	}
}

ssize_t
net_read(int fd, SSL *tls, void *buf, size_t size)
{
	return tls ? tls_result(tls, SSL_read(tls, buf, (int)size)) : read(fd, buf, size);
}

ssize_t
net_write(int fd, SSL *tls, const void *buf, size_t len)
{
	return tls ? tls_result(tls, SSL_write(tls, buf, (int)len)) : write(fd, buf, len);
}

SSL_CTX *
net_tls(const char *certificate, const char *key)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_method());

	if (!tls ||
		(certificate &&
			(SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
				SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1))) {
		ERR_print_errors_fp(stderr);
		exit(2);
	}
	SSL_CTX_set_mode(tls,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return tls;
}

int
net_wait(int epoll_fd, struct epoll_event *events, int most, uint64_t until_ns)
{
	uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts = { .tv_sec = (time_t)(left / 1000000000),
		.tv_nsec = (long)(left % 1000000000) };
	int n = epoll_pwait2(epoll_fd, events, most, &ts, NULL);

	if (n < 0 && errno != EINTR)
		die("epoll_pwait2");
	return n;
}

void
stamp_write(char *out, uint64_t ns)
{
	for (int i = STAMP_DIGITS - 1; i >= 0; i--) {
		out[i] = (char)('0' + ns % 10);
		ns /= 10;
	}
}
