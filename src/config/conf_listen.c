/*
 * conf_listen: where the daemon listens, and where its logs go.
 *
 * Owns the meaning of `address`, of "*", of "unix:" and of the words that a log's file can be.
 * Nothing is bound or opened here: that is the master's, and what can fail then (an address in use,
 * a log that cannot be written) is told by it.
 *
 * Called by conf_value for the list `listen`, and by conf once all is read: only then it is known
 * whether other machines may connect (`open`), which ports collide and what -p and -D change.
 */
#include "config/conf_private.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>

#define UNIX STR("unix:")

static bool
is_any(const union sock_address *a)
{
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static bool
is_unix(const struct conf_listen *li)
{
	return str_starts(li->address, UNIX);
}

/* Addresses of the listener from its text and port. 0, or -1 when it is none. */
static int
resolve(struct conf_listen *li)
{
	if (str_eq(li->address, STR("*"))) {
		sock_parse(STR("::"), li->port, &li->socks[0]);
		sock_parse(STR("0.0.0.0"), li->port, &li->socks[1]);
		li->n_socks = 2;
		return 0;
	}
	li->n_socks = 1;
	if (is_unix(li))
		return sock_of_path(str_skip(li->address, UNIX.len), &li->socks[0]);
	return sock_parse(li->address, li->port, &li->socks[0]);
}

/* What must hold for a unix socket before it can be bound. */
static void
check_unix(struct conf_loader *l, config_setting_t *s, struct conf_listen *li)
{
	config_setting_t *at = conf_named(s, "address");
	struct str path = str_skip(li->address, UNIX.len);

	if (path.len == 0 || path.p[0] != '/')
		conf_error(l, at,
			"must have an absolute path behind unix:, like \"unix:/run/api-router/socket\", not \"%.*s\"",
			STR_ARG(str_head(path, 64)));
	else if (path.len > SOCK_PATH_MOST)
		conf_error(l, at,
			"has a path of %zu bytes, but the path of a unix socket is %zu at most: \"%.*s\"",
			path.len, SOCK_PATH_MOST, STR_ARG(path));
	else
		conf_directory_check(l, at, path);
	if (conf_member(s, "port"))
		conf_error(l, conf_named(s, "port"),
			"means nothing to a unix socket: leave it out");
	li->port = 0;
}

static void
read_listen(struct conf_loader *l, config_setting_t *s, struct conf_listen *li)
{
	conf_preset(&l->conf->arena, SCOPE_LISTEN, li);
	conf_group_read(l, s, SCOPE_LISTEN, li);
	li->at = conf_spot(l, s);
	if (is_unix(li))
		check_unix(l, s, li);
	if (resolve(li) < 0 && !is_unix(li))
		conf_error(l, conf_named(s, "address"),
			"must be a numeric address, like \"127.0.0.1\" or \"::1\", \"*\", or a unix socket, like \"unix:/run/api-router/socket\", not \"%.*s\"",
			STR_ARG(str_head(li->address, 64)));
	else if (!config_setting_is_group(s) || !conf_member(s, "admin"))
		li->admin = sock_is_loopback(&li->socks[0]);
}

void
conf_read_listens(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf *c = base;

	if (!conf_is_list(l, s))
		return;
	if (conf_length(s) == 0)
		conf_error(l, s,
			"must name at least one listener, or be left out for 127.0.0.1 port 8000");
	c->listens = arena_zero(&c->arena, conf_length(s) * sizeof *c->listens);
	if (!c->listens)
		return;
	for (; c->n_listens < conf_length(s); c->n_listens++)
		read_listen(l, config_setting_get_elem(s, (unsigned)c->n_listens),
			&c->listens[c->n_listens]);
}

/* Would the second of two sockets find its address in use? Port 0 is a free one. */
static bool
collide(const union sock_address *a, const union sock_address *b)
{
	if (a->any.sa_family != b->any.sa_family || sock_port(a) != sock_port(b) ||
		(sock_port(a) == 0 && a->any.sa_family != AF_UNIX))
		return false;
	return is_any(a) || is_any(b) || sock_equal(a, b);
}

static bool
listens_collide(const struct conf_listen *a, const struct conf_listen *b)
{
	for (unsigned i = 0; i < a->n_socks; i++) {
		for (unsigned j = 0; j < b->n_socks; j++) {
			if (collide(&a->socks[i], &b->socks[j]))
				return true;
		}
	}
	return false;
}

static void
check_listen(struct conf_loader *l, config_setting_t *s, unsigned i)
{
	const struct conf_listen *li = &l->conf->listens[i];

	if (!l->conf->open && l->conf->n_clients == 0 && !sock_is_loopback(&li->socks[0]))
		conf_error(l, s,
			"admits everyone who can reach \"%.*s\": name clients (api-router -k NAME makes a key), or, if that is meant, say open = true;",
			STR_ARG(li->address));
	for (unsigned j = 0; j < i; j++) {
		const struct conf_listen *other = &l->conf->listens[j];

		if (!listens_collide(li, other))
			continue;
		if (is_unix(li))
			conf_error(l, s, "is in the way of listen[%u]: both are \"%.*s\"", j,
				STR_ARG(li->address));
		else
			conf_error(l, s,
				"is in the way of listen[%u]: both take port %u of \"%.*s\"; give one another port",
				j, li->port, STR_ARG(li->address));
		break;
	}
}

void
conf_listens_finish(struct conf_loader *l)
{
	config_setting_t *list = conf_member(l->root, "listen");
	struct conf *c = l->conf;

	if (!list) {
		c->listens = arena_zero(&c->arena, sizeof *c->listens);
		if (!c->listens)
			return;
		conf_preset(&c->arena, SCOPE_LISTEN, c->listens);
		c->n_listens = 1;
		c->listens->at = conf_spot(l, NULL);
		c->listens->admin = true;
	}
	if (c->n_listens > 0 && l->options->port > 0) {
		if (is_unix(&c->listens[0]))
			conf_error(l, config_setting_get_elem(list, 0),
				"is a unix socket and has no port that -p %u could set: put a listener with an address before it",
				l->options->port);
		c->listens[0].port = l->options->port;
	}
	for (unsigned i = 0; i < c->n_listens; i++) {
		config_setting_t *s = list ? config_setting_get_elem(list, i) : NULL;

		if (resolve(&c->listens[i]) == 0 && s)
			check_listen(l, s, i);
		if (s)
			conf_listen_tls(l, s, &c->listens[i]);
	}
}

void
conf_directory_check(struct conf_loader *l, const config_setting_t *s, struct str file)
{
	const char *slash = memrchr(file.p, '/', file.len);
	struct stat st;
	struct str dir;

	if (!slash)
		return;
	dir = arena_copy(&l->conf->arena, str_head(file, (size_t)(slash + 1 - file.p)));
	if (dir.p && (stat(dir.p, &st) < 0 || !S_ISDIR(st.st_mode)))
		conf_error(l, s, "is in a directory that does not exist: mkdir %.*s", STR_ARG(dir));
}

/* A log's file: one of the words, or a path, made absolute. `s` is the setting, NULL where it was
 * left out. */
static void
check_log(struct conf_loader *l, config_setting_t *s, struct str *file, const char *words,
	const char *shown)
{
	for (size_t i = 0; conf_word(words, i).len > 0; i++) {
		if (str_eq(*file, conf_word(words, i)))
			return;
	}
	if (str_index(*file, '/') == file->len) {
		conf_error(l, s, "must be %s or a path with a / in it, not \"%.*s\"", shown,
			STR_ARG(str_head(*file, 64)));
		return;
	}
	*file = conf_file_beside(&l->conf->arena, l->conf->path.p, *file);
	if (file->p)
		conf_directory_check(l, s, *file);
}

static bool
is_standard(struct str file)
{
	return str_eq(file, STR("stdout")) || str_eq(file, STR("stderr"));
}

/* With -D there is no terminal behind the daemon: the default becomes syslog, and what names a
 * terminal is an error. */
static bool
finish_log(struct conf_loader *l, const char *name, struct str *file, struct conf_spot *at,
	const char *words, const char *shown)
{
	config_setting_t *group = conf_member(l->root, name);
	config_setting_t *s = group ? conf_member(group, "file") : NULL;

	*at = conf_spot(l, s);
	if (!s && l->options->detach)
		*file = STR("syslog");
	if (!s || config_setting_type(s) != CONFIG_TYPE_STRING)
		return s;
	if (l->options->detach && is_standard(*file))
		conf_error(l, s, "cannot be \"%.*s\" with -D: name a path, or \"syslog\"",
			STR_ARG(*file));
	else
		check_log(l, s, file, words, shown);
	return true;
}

void
conf_logs_finish(struct conf_loader *l)
{
	struct conf *c = l->conf;

	c->log.given = finish_log(l, "log", &c->log.file, &c->log.at, "stderr|syslog",
		"\"stderr\", \"syslog\"");
	c->access_log.given = finish_log(l, "access_log", &c->access_log.file, &c->access_log.at,
		"stdout|stderr|syslog|off", "\"stdout\", \"stderr\", \"syslog\", \"off\"");
}
