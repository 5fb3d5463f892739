/*
 * handover: what goes over exec.
 *
 * All descriptors are close-on-exec, in every process, at all times, but for those that stand in
 * the variable, between fork and exec. The variable has an item on each line, NAME=value; a program
 * that does not know an item leaves it alone:
 *
 *	pid      of the old master
 *	line     to it
 *	socket   that listens; port0: likewise, for a listener whose port is 0; file: likewise, a
 *	         unix socket whose file goes with it
 *	table    a name, a space, a descriptor
 *	secret   a variable that held a secret, and holds it again
 *	level, format, log    of the old master's log
 *
 * Called by master at its start and by upgrade. What is not as it should be is left out: then the
 * new master makes its own, or cannot and ends.
 */
#include "process/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/shm.h"
#include "config/secret.h"

#define ACTIVATED 3 /* the first descriptor that a service manager hands down */
#define ACTIVATED_MOST 1024

/*
 * The new master
 */

static int
descriptor(struct str value)
{
	uint64_t n;
	if (str_u64(value, &n) != 0 || n <= STDERR_FILENO || n > INT_MAX ||
		fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0)
		return -1;
	return (int)n;
}

static void
take_socket(struct sockets *s, struct str value, enum inherited how)
{
	int fd = descriptor(value);
	if (fd >= 0 && sockets_inherit(s, fd, how) != 0)
		close(fd);
}

static void
take_table(struct str value)
{
	char name[16];
	size_t len = str_index(value, ' ');
	int fd = len < sizeof name && len < value.len ? descriptor(str_skip(value, len + 1)) : -1;
	if (fd < 0)
		return;
	memcpy(name, value.p, len);
	name[len] = '\0';
	shm_inherit(name, fd);
}

static void
take_item(struct handover *h, struct sockets *s, struct str name, struct str value)
{
	uint64_t n = 0;
	bool number = str_u64(value, &n) == 0;
	if (str_eq(name, STR("pid")) && number && n <= INT_MAX)
		h->old = (pid_t)n;
	else if (str_eq(name, STR("line")))
		h->line = descriptor(value);
	else if (str_eq(name, STR("socket")))
		take_socket(s, value, INHERITED_ADDRESS);
	else if (str_eq(name, STR("port0")))
		take_socket(s, value, INHERITED_ANY_PORT);
	else if (str_eq(name, STR("file")))
		take_socket(s, value, INHERITED_FILE);
	else if (str_eq(name, STR("table")))
		take_table(value);
	else if (str_eq(name, STR("secret")))
		secret_take(value);
	else if (str_eq(name, STR("level")) && number && n <= LEVEL_DEBUG)
		h->level = (enum log_level)n;
	else if (str_eq(name, STR("format")) && number && n <= FORMAT_JSON)
		h->format = (enum log_format)n;
	else if (str_eq(name, STR("log")) && value.len < sizeof h->log)
		memcpy(h->log, value.p, value.len);
}

void
handover_take(struct handover *h, struct sockets *s)
{
	char *variable = getenv(HANDOVER_VARIABLE);
	*h = (struct handover){ .line = -1, .level = LEVEL_INFO };
	if (variable == NULL)
		return;
	struct str rest = str_of(variable);
	while (rest.len > 0) {
		struct str item = str_head(rest, str_index(rest, '\n'));
		size_t name = str_index(item, '=');
		rest = str_skip(rest, item.len < rest.len ? item.len + 1 : item.len);
		if (name < item.len)
			take_item(h, s, str_head(item, name), str_skip(item, name + 1));
	}
	/* Also where /proc shows it: it says nothing any more. */
	memset(variable, 0, strlen(variable));
	unsetenv(HANDOVER_VARIABLE);
}

void
handover_activation(struct sockets *s)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t whom, n = 0;
	bool ours = pid != NULL && fds != NULL && str_u64(str_of(pid), &whom) == 0 &&
		whom == (uint64_t)getpid() && str_u64(str_of(fds), &n) == 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = ACTIVATED; ours && n > 0 && fd < ACTIVATED_MOST; fd++, n--) {
		if (sockets_inherit(s, fd, INHERITED_ADDRESS) == 0)
			continue;
		log_warn("descriptor %d of LISTEN_FDS is not a listening stream socket: closed",
			fd);
		close(fd);
	}
}

/*
 * The old master, between fork and exec
 */

/* The descriptor's number, and it stays open over exec. */
static int
open_over_exec(int fd)
{
	fcntl(fd, F_SETFD, 0);
	return fd;
}

static void
offer_table(void *ctx, const char *name, int fd)
{
	fprintf(ctx, "table=%s %d\n", name, open_over_exec(fd));
}

static void
offer_secret(void *ctx, struct str name)
{
	if (str_index(name, '\n') == name.len)
		fprintf(ctx, "secret=%.*s\n", STR_ARG(name));
}

/* As what the new master is to take it. */
static const char *
socket_item(const struct bound *b)
{
	if (b->address.any.sa_family == AF_UNIX)
		return b->own_file ? "file" : "socket";
	return sock_port(&b->address) == 0 ? "port0" : "socket";
}

char *
handover_offer(pid_t old, int line, const struct sockets *s, const struct conf *c)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL)
		return NULL;
	fprintf(out, HANDOVER_VARIABLE "=pid=%d\nline=%d\n", (int)old, open_over_exec(line));
	for (const struct bound *b = s->all; b != NULL; b = b->next)
		fprintf(out, "%s=%d\n", socket_item(b), open_over_exec(b->fd));
	shm_each(offer_table, out);
	secret_each(offer_secret, out);
	fprintf(out, "level=%d\nformat=%d\n", (int)c->log.level, (int)c->log.format);
	if (str_index(c->log.file, '\n') == c->log.file.len)
		fprintf(out, "log=%.*s\n", STR_ARG(c->log.file));
	return fclose(out) == 0 ? text : NULL;
}
