/*
 * sockets: the listening sockets.
 *
 * They belong to the master and are inherited; a socket that two generations want is one socket
 * with two users, so a reload leaves its queue of waiting connections alone. What is compared are
 * the addresses as configured: with port 0 the kernel chooses, and the choice stays for as long
 * as the configuration says the same. Sockets that a new master inherits wait in the list for the
 * first claim. A unix socket's file goes with the socket, unless somebody else has the socket too:
 * whoever handed it down, or another master; then it is looked at again at the end.
 *
 *	claim for the coming generation ──commit─────> release the old one's: closes the dropped
 *	                                └─roll back──> release the coming one's: closes the new
 *
 * Called by generation, and by child for what a fork inherits. Binding can fail (address in use,
 * privileged port): the error names the address, and the remaining ones are tried as well so that
 * all errors are reported together.
 */
#include "process/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static bool
in_claim(const struct claim *c, const struct bound *b)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->bound[i] == b)
			return true;
	return false;
}

/*
 * An open socket for that address which this claim has not got yet: two listeners with port 0 are
 * two. A unix socket whose file somebody has removed can be reached by nobody, and is made anew.
 */
static struct bound *
find_open(const struct sockets *s, const struct claim *c, const union sock_address *a)
{
	for (struct bound *b = s->all; b != NULL; b = b->next)
		if (sock_equal(&b->address, a) && !in_claim(c, b) && sock_file_is(a, &b->file))
			return b;
	return NULL;
}

/* In the list, as the last one. NULL without memory. */
static struct bound *
bound_new(struct sockets *s, const union sock_address *a, int fd)
{
	struct bound *b = mem_get(sizeof *b), **at = &s->all;
	if (b == NULL)
		return NULL;
	*b = (struct bound){ .address = *a, .fd = fd };
	sock_file_note(a, &b->file);
	while (*at != NULL)
		at = &(*at)->next;
	*at = b;
	return b;
}

/* Bind a new one; NULL with errno. */
static struct bound *
bind_new(struct sockets *s, const union sock_address *a)
{
	if (sock_file_clear(a) != 0)
		return NULL;
	int fd = sock_listen(a, true);
	if (fd < 0)
		return NULL;
	struct bound *b = bound_new(s, a, fd);
	if (b == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	b->own_file = a->any.sa_family == AF_UNIX;
	return b;
}

static void
set_port(union sock_address *a, uint16_t port)
{
	if (a->any.sa_family == AF_INET)
		a->v4.sin_port = htons(port);
	else if (a->any.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
}

int
sockets_inherit(struct sockets *s, int fd, enum inherited how)
{
	union sock_address a;
	socklen_t len = sizeof a, option = sizeof(int);
	int listening = 0, type = 0;
	memset(&a, 0, sizeof a);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &option) != 0 || !listening ||
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &option) != 0 || type != SOCK_STREAM ||
		getsockname(fd, &a.any, &len) != 0)
		return -1;
	if (how == INHERITED_ANY_PORT)
		set_port(&a, 0);
	struct bound *b = bound_new(s, &a, fd);
	if (b == NULL)
		return -1;
	b->inherited = true;
	b->own_file = how == INHERITED_FILE;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return 0;
}

/* "*" asks for IPv6 and IPv4; a system without IPv6 serves IPv4 alone. */
static bool
may_be_missing(const struct conf_listen *l, const union sock_address *a)
{
	return l->n_socks > 1 && a->any.sa_family == AF_INET6 &&
		(errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
}

/* 0, or -1 with errno. */
static int
claim_one(struct sockets *s, struct claim *c, const struct conf_listen *l,
	const union sock_address *a)
{
	struct bound *b = find_open(s, c, a);
	if (b == NULL)
		b = bind_new(s, a);
	if (b == NULL)
		return may_be_missing(l, a) ? 0 : -1;
	c->bound[c->n] = b;
	c->fresh[c->n] = b->users++ == 0;
	c->sockets[c->n++] = (struct service_socket){ .fd = b->fd, .listen = l };
	return 0;
}

static int
claim_room(struct claim *c, size_t cap)
{
	*c = (struct claim){ .cap = cap };
	c->sockets = mem_get(cap * sizeof *c->sockets);
	c->bound = mem_get(cap * sizeof(struct bound *));
	c->fresh = mem_get(cap * sizeof *c->fresh);
	return c->sockets == NULL || c->bound == NULL || c->fresh == NULL ? -1 : 0;
}

/* What to do about it, as the end of a message. */
static const char *
remedy(const union sock_address *a, int why)
{
	bool file = a->any.sa_family == AF_UNIX;
	switch (why) {
	case EADDRINUSE:
		return file
			? "; another process listens there: stop it, or take another path"
			: "; another process listens there (ss -ltnp names it): stop it, or take another port";
	case EACCES:
		return file ? "; whoever starts api-router must be able to write the directory"
			    : "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
	case EADDRNOTAVAIL:
		return "; this machine has no such address (ip address lists those that it has)";
	default:
		return "";
	}
}

static void
tell_unbound(const struct conf *c, size_t i, const union sock_address *a, int why,
	conf_report *report, void *ctx)
{
	const struct conf_spot *at = &c->listens[i].at;
	char name[SOCK_NAME], which[32] = "listen", text[512];
	sock_name(a, name);
	if (at->line > 0)
		snprintf(which, sizeof which, "listen[%zu]", i);
	snprintf(text, sizeof text, "%s: cannot listen on %s: %s%s", which, name,
		why == ENOTSOCK ? "a file that is no socket is in its place" : strerror(why),
		remedy(a, why));
	report(ctx, at->file, at->line, text);
}

int
sockets_claim(struct sockets *s, const struct conf *c, struct claim *out, conf_report *report,
	void *ctx)
{
	int result = claim_room(out, c->n_listens * 2 + 1);
	if (result != 0)
		report(ctx, c->path.p, 0, "out of memory for listeners");
	for (size_t i = 0; result != -1 && i < c->n_listens; i++) {
		const struct conf_listen *l = &c->listens[i];
		for (unsigned k = 0; k < l->n_socks; k++) {
			if (claim_one(s, out, l, &l->socks[k]) == 0)
				continue;
			tell_unbound(c, i, &l->socks[k], errno, report, ctx);
			result = 1;
		}
	}
	return result == 0 ? 0 : -1;
}

static void
close_unused(struct sockets *s)
{
	struct bound **at = &s->all;
	while (*at != NULL) {
		struct bound *b = *at;
		if (b->users > 0) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		if (b->own_file && !s->shared)
			sock_file_remove(&b->address, &b->file);
		close(b->fd);
		if (b->own_file && s->shared) {
			b->next = s->left;
			s->left = b;
		} else {
			mem_put(b, sizeof *b);
		}
	}
}

void
sockets_end(struct sockets *s)
{
	while (s->left != NULL) {
		struct bound *b = s->left;
		s->left = b->next;
		/* Where nobody answers: the other master may be gone, or not want it. */
		if (sock_file_is(&b->address, &b->file))
			sock_file_clear(&b->address);
		mem_put(b, sizeof *b);
	}
}

void
sockets_release(struct sockets *s, struct claim *c)
{
	for (size_t i = 0; i < c->n; i++)
		c->bound[i]->users--;
	close_unused(s);
	if (c->sockets != NULL)
		mem_put(c->sockets, c->cap * sizeof *c->sockets);
	if (c->bound != NULL)
		mem_put(c->bound, c->cap * sizeof(struct bound *));
	if (c->fresh != NULL)
		mem_put(c->fresh, c->cap * sizeof *c->fresh);
	*c = (struct claim){ 0 };
}

/* With the port that it really has. */
static int
real_name(int fd, char out[SOCK_NAME])
{
	union sock_address real;
	socklen_t len = sizeof real;
	memset(&real, 0, sizeof real);
	if (getsockname(fd, &real.any, &len) != 0)
		return -1;
	sock_name(&real, out);
	return 0;
}

void
sockets_drop(struct sockets *s)
{
	char name[SOCK_NAME];
	for (const struct bound *b = s->all; b != NULL; b = b->next)
		if (b->users == 0 && real_name(b->fd, name) == 0)
			log_warn("no listener has the address of the inherited socket %s: closed",
				name);
	close_unused(s);
}

void
sockets_keep(struct sockets *s, const struct claim *c)
{
	for (struct bound *b = s->all; b != NULL; b = b->next)
		if (c == NULL || !in_claim(c, b))
			close(b->fd);
}

void
sockets_log(const struct claim *c)
{
	for (size_t i = 0; i < c->n; i++) {
		char name[SOCK_NAME];
		if (c->fresh[i] && real_name(c->sockets[i].fd, name) == 0)
			log_info("listening on %s%s", name,
				c->bound[i]->inherited ? ", inherited" : "");
	}
}
