/*
 * wire: one connection, plain or TLS.
 *
 * Owners: clients and upstream attempts, and the pool for idle ones. A plain wire costs one system
 * call a read or write. A TLS wire may want to write in order to read and the other way round, and
 * may hold decrypted bytes that poll knows nothing of; both are hidden here: want is translated,
 * and a wire with such bytes is called again in the next turn.
 *
 * Whatever a peer sends in TLS that is no data (key updates, attempts to renegotiate), OpenSSL
 * would take it for as long as it comes, and nobody else would be served. So each call has a number
 * of reads, after which it waits as if no more were there: poll tells of the rest.
 *
 * The end of a TLS stream without close_notify is told apart (WIRE_CUT): somebody may have cut the
 * reply. The kernel tells of a reset once, and shows an end from then on: where a write was told,
 * the read that decides what became of the connection is told again.
 */
#include "net/wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/sock.h"
#include "net/tls_private.h"
#include "net/tls_server.h"

#define RECORD 16384 /* plain bytes in a TLS record, RFC 8446 5.1 */
#define READS 64     /* from the socket in one call; a record takes two */

static unsigned
poll_want(const struct wire *w)
{
	unsigned want = w->want;

	if (!w->ssl || w->handshaking)
		return want;
	if (w->shutting || ((w->want & WANT_READ) && w->read_needs_write))
		want |= WANT_WRITE;
	if ((w->want & WANT_WRITE) && w->write_needs_read)
		want = (want | WANT_READ) & ~WANT_WRITE;
	if ((w->want & WANT_HANGUP) && !w->ahead)
		want |= WANT_READ;
	return want;
}

/* BIO_callback_fn_ex: called before each operation, and behind it. */
static long
on_bio(BIO *bio, int operation, const char *p, size_t len, int i, long l, int result, size_t *done)
{
	struct wire *w = (struct wire *)(void *)BIO_get_callback_arg(bio);

	(void)p, (void)len, (void)i, (void)l, (void)done;
	if (operation != BIO_CB_READ)
		return result;
	if (w->reads == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	w->reads--;
	return result;
}

/* What `ssl` reads and writes is this wire's. 0, or -1 without memory. */
static int
attach(struct wire *w, SSL *ssl)
{
	w->ssl = ssl;
	if (!ssl || SSL_set_fd(ssl, w->watch.fd) != 1)
		return -1;
	BIO_set_callback_ex(SSL_get_rbio(ssl), on_bio);
	BIO_set_callback_arg(SSL_get_rbio(ssl), (char *)w);
	w->handshaking = true;
	return 0;
}

/* Before each call that may read. */
static void
begin_call(struct wire *w)
{
	ERR_clear_error();
	errno = 0;
	w->reads = READS;
}

/* Something is there to be read, and the owner wants to know only whether it is the end. */
static unsigned
look_for_end(struct wire *w)
{
	char byte;
	int n, why;

	if (w->ahead)
		return 0;
	begin_call(w);
	n = SSL_peek(w->ssl, &byte, 1);
	why = SSL_get_error(w->ssl, n);
	if (n <= 0 && why == SSL_ERROR_WANT_READ)
		return 0;
	if (n > 0 || why == SSL_ERROR_WANT_WRITE) {
		w->ahead = true;
		loop_want(w->loop, &w->watch, poll_want(w));
		return 0;
	}
	w->broken = w->broken || why != SSL_ERROR_ZERO_RETURN;
	return READY_HANGUP;
}

/* Close_notify once more. */
static void
go_on_shutting(struct wire *w)
{
	wire_shut(w);
	if (!w->shutting)
		loop_want(w->loop, &w->watch, poll_want(w));
}

static void
wire_on_ready(struct loop_watch *watch, unsigned ready)
{
	struct wire *w = (struct wire *)((char *)watch - offsetof(struct wire, watch));

	if (w->ssl && !w->handshaking) {
		if (w->shutting && (ready & READY_WRITE))
			go_on_shutting(w);
		if (w->read_needs_write && (ready & READY_WRITE))
			ready |= READY_READ;
		if (w->write_needs_read && (ready & READY_READ))
			ready |= READY_WRITE;
		if ((ready & READY_READ) && (w->want & (WANT_READ | WANT_HANGUP)) == WANT_HANGUP)
			ready = (ready & ~READY_READ) | look_for_end(w);
	}
	if (ready)
		w->on_ready(w, ready);
}

/* Decrypted bytes are waiting and the owner wants to read, or to know of the end that is there. */
static void
wire_again(struct loop_later *later)
{
	struct wire *w = (struct wire *)((char *)later - offsetof(struct wire, again));

	if (!loop_has(&w->watch))
		return;
	if (w->want & WANT_READ)
		w->on_ready(w, READY_READ);
	else if ((w->want & WANT_HANGUP) && w->end != 0)
		w->on_ready(w, READY_HANGUP);
}

void
wire_open(struct wire *w, struct loop *l, int fd, void (*on_ready)(struct wire *, unsigned))
{
	*w = (struct wire){ .loop = l, .on_ready = on_ready };
	w->watch.fd = fd;
	w->watch.cools = true;
	w->watch.on_ready = wire_on_ready;
	w->again.run = wire_again;
}

bool
wire_is_open(const struct wire *w)
{
	return w->on_ready != NULL && w->watch.fd >= 0;
}

int
wire_start_tls(struct wire *w, struct tls_context *c, struct str server_name)
{
	return attach(w, tls_client_ssl(c, server_name));
}

int
wire_accept_tls(struct wire *w, const struct tls_context *c)
{
	char byte;

	if (recv(w->watch.fd, &byte, 1, MSG_PEEK) == 1 && byte >= 'A' && byte <= 'Z')
		return 0;
	return attach(w, tls_server_ssl(c)) < 0 ? -1 : 1;
}

/* Did TLS fail since the peer has gone? `why` is what SSL_get_error said. */
static bool
was_left(int why)
{
	if (why == SSL_ERROR_SSL)
		return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	return why == SSL_ERROR_SYSCALL;
}

int
wire_handshake(struct wire *w, char *err, size_t err_size)
{
	int result, why;

	begin_call(w);
	result = SSL_do_handshake(w->ssl);
	if (result == 1) {
		w->handshaking = false;
		return 1;
	}
	why = SSL_get_error(w->ssl, result);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		snprintf(err, err_size, "no memory to wait for it");
		return wire_want(w, why == SSL_ERROR_WANT_READ ? WANT_READ : WANT_WRITE);
	}
	w->broken = true;
	if (was_left(why))
		w->end = WIRE_CUT;
	tls_error_text(w->ssl, err, err_size);
	if (SSL_is_server(w->ssl)) {
		SSL_free(w->ssl);
		w->ssl = NULL;
		w->handshaking = false;
	} else {
		tls_forget_session(w->ssl);
	}
	return -1;
}

int
wire_want(struct wire *w, unsigned want)
{
	unsigned added = w->ssl && !w->handshaking ? want & ~w->want : 0;

	if (((added & (WANT_READ | WANT_HANGUP)) && w->end != 0) ||
		((added & WANT_READ) && SSL_has_pending(w->ssl)))
		loop_later(w->loop, &w->again);
	if (loop_has(&w->watch) && w->want == want && !w->ssl)
		return 0;
	w->want = (uint8_t)want;
	if (!loop_has(&w->watch))
		return loop_add(w->loop, &w->watch, poll_want(w));
	loop_want(w->loop, &w->watch, poll_want(w));
	return 0;
}

void
wire_park(struct wire *w)
{
	loop_remove(w->loop, &w->watch);
	w->want = 0;
}

bool
wire_idle_ok(struct wire *w)
{
	char byte;

	if (w->end != 0 || w->broken)
		return false;
	if (w->ssl) {
		begin_call(w);
		if (SSL_peek(w->ssl, &byte, 1) > 0)
			return false;
		return SSL_get_error(w->ssl, -1) == SSL_ERROR_WANT_READ && w->reads > 0;
	}
	return recv(w->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		(errno == EAGAIN || errno == EWOULDBLOCK);
}

/* A read has found that nothing more comes. */
static long
ended(const struct wire *w, long how)
{
	if (!w->reset)
		return how;
	errno = ECONNRESET;
	return WIRE_BROKEN;
}

static long
tls_read_failed(struct wire *w, int result)
{
	int why = SSL_get_error(w->ssl, result);

	w->read_needs_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		if (w->read_needs_write && loop_has(&w->watch))
			loop_want(w->loop, &w->watch, poll_want(w));
		return WIRE_WAIT;
	}
	if (why == SSL_ERROR_ZERO_RETURN)
		return WIRE_END;
	w->broken = true;
	return was_left(why) && (why == SSL_ERROR_SSL || errno == 0) ? ended(w, WIRE_CUT)
								     : WIRE_BROKEN;
}

static long
tls_read(struct wire *w, char *p, size_t size)
{
	size_t got = 0;

	if (w->end != 0)
		return w->end;
	w->read_needs_write = w->ahead = false;
	begin_call(w);
	while (got < size) {
		size_t room = size - got;
		int n;

		ERR_clear_error();
		errno = 0;
		n = SSL_read(w->ssl, p + got, room > INT32_MAX ? INT32_MAX : (int)room);
		if (n <= 0) {
			long failed = tls_read_failed(w, n);

			if (got == 0)
				return failed;
			w->end = (int8_t)failed;
			break;
		}
		got += (size_t)n;
	}
	if (w->end != 0 || SSL_has_pending(w->ssl)) /* what poll will not tell */
		loop_later(w->loop, &w->again);
	return (long)got;
}

long
wire_read(struct wire *w, void *p, size_t size)
{
	ssize_t n;

	if (w->ssl)
		return tls_read(w, p, size);
	do
		n = recv(w->watch.fd, p, size, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return ended(w, WIRE_END);
	return errno == EAGAIN || errno == EWOULDBLOCK ? WIRE_WAIT : WIRE_BROKEN;
}

/* The front of the vector as one record: small pieces (a chunk's head, its data) must not become
 * records of their own. */
static size_t
gather(char record[RECORD], const struct iovec *iov, int n, size_t skip)
{
	size_t len = 0;

	for (int i = 0; i < n && len < RECORD; i++) {
		size_t piece = iov[i].iov_len;

		if (skip >= piece) {
			skip -= piece;
			continue;
		}
		piece -= skip;
		if (piece > RECORD - len)
			piece = RECORD - len;
		memcpy(record + len, (const char *)iov[i].iov_base + skip, piece);
		len += piece;
		skip = 0;
	}
	return len;
}

static long
write_failed(struct wire *w)
{
	w->reset = w->reset || errno == ECONNRESET;
	return WIRE_BROKEN;
}

static long
tls_writev(struct wire *w, const struct iovec *iov, int n)
{
	char record[RECORD];
	size_t sent = 0, len;

	w->write_needs_read = false;
	while ((len = gather(record, iov, n, sent)) > 0) {
		int result, why;

		begin_call(w);
		result = SSL_write(w->ssl, record, (int)len);
		explicit_bzero(record, len); /* it may be a head with a key: the stack is dumped */
		if (result > 0) {
			sent += (size_t)result;
			continue;
		}
		why = SSL_get_error(w->ssl, result);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
			w->broken = true;
			return write_failed(w);
		}
		w->write_needs_read = why == SSL_ERROR_WANT_READ;
		break;
	}
	return (long)sent;
}

long
wire_writev(struct wire *w, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iovlen = (size_t)n };
	ssize_t sent;

	if (w->ssl)
		return tls_writev(w, iov, n);
	memcpy(&msg.msg_iov, &iov, sizeof iov); /* sendmsg only reads it */
	do
		sent = sendmsg(w->watch.fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : write_failed(w);
}

static void
wire_drop(struct wire *w, void (*close_fd)(int))
{
	int fd = w->watch.fd;

	loop_remove(w->loop, &w->watch);
	SSL_free(w->ssl);
	w->ssl = NULL;
	w->want = 0;
	w->shutting = false;
	w->watch.fd = -1;
	close_fd(fd);
}

static void
close_plain(int fd)
{
	close(fd);
}

void
wire_shut(struct wire *w)
{
	w->shutting = false;
	if (w->ssl && !w->broken && !w->handshaking) {
		int result;

		ERR_clear_error();
		result = SSL_shutdown(w->ssl);
		w->shutting = result < 0 && SSL_get_error(w->ssl, result) == SSL_ERROR_WANT_WRITE;
		ERR_clear_error();
	}
	if (!w->shutting)
		shutdown(w->watch.fd, SHUT_WR);
}

void
wire_close(struct wire *w)
{
	if (!wire_is_open(w))
		return;
	if (w->ssl && !w->broken && !w->handshaking) {
		ERR_clear_error();
		SSL_shutdown(w->ssl);
		ERR_clear_error();
	}
	wire_drop(w, close_plain);
}

void
wire_reset(struct wire *w)
{
	if (wire_is_open(w))
		wire_drop(w, sock_reset);
}
