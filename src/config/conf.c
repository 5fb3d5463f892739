/*
 * conf: the configuration from file to structs.
 *
 * Called by the master at start and on HUP, and by -t and -T. The steps: read and check the text
 * (conf_text), let libconfig make its tree, read the tree by the table of names (conf_value and the
 * files of the lists), then check what only the whole can tell. All that is kept lives in one arena
 * of pages, the struct itself included, which conf_seal makes read-only before the first fork.
 * Everything else, libconfig's tree, the texts and half-made TLS contexts, is freed before
 * conf_load returns, well or in vain, and what could hold a secret, the bytes of the files, is
 * wiped.
 *
 * What can fail is told through the caller's function, all that one run can find, and the answer is
 * then NULL. Nothing of an earlier configuration is touched.
 */
#include "config/conf_private.h"

#include <pwd.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define WORKERS_MOST 256

const char *
conf_default_path(void)
{
	const char *path = getenv("API_ROUTER_CONFIG_PATH");

	return path && *path ? path : SYSCONFDIR "/api-router/api-router.conf";
}

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_providers; i++)
		tls_context_free(c->providers[i].tls);
	for (size_t i = 0; i < c->n_listens; i++)
		tls_context_free(c->listens[i].tls);
	arena_free(&c->arena);
}

void
conf_seal(struct conf *c)
{
	arena_seal(&c->arena);
}

/* An empty configuration, which lives in its own arena. */
static struct conf *
conf_new(void)
{
	struct arena a;
	struct conf *c;

	arena_init_pages(&a);
	c = arena_zero(&a, sizeof *c);
	if (c)
		c->arena = a;
	return c;
}

/* The path of the file, absolute, so that it and what is named beside it can be found after chdir.
 */
static struct str
absolute(struct arena *a, const char *path)
{
	char dir[PATH_MAX];

	if (path[0] == '/' || !getcwd(dir, sizeof dir))
		return arena_copy(a, str_of(path));
	return arena_printf(a, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, path);
}

static unsigned
processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > WORKERS_MOST ? WORKERS_MOST : (unsigned)n;
}

/* Workers must not be root. */
static void
check_user(struct conf_loader *l)
{
	struct conf *c = l->conf;
	struct str shown = str_head(c->user, 64);
	config_setting_t *place = conf_named(l->root, "user");
	/* cppcheck-suppress getpwnamCalled ; there are no threads */
	const struct passwd *pw = getpwnam(c->user.p);

	if (!pw)
		conf_error(l, place,
			"is \"%.*s\", an account that does not exist: useradd --system makes one",
			STR_ARG(shown));
	else if (pw->pw_uid == 0)
		conf_error(l, place,
			"must be an account of other rights than root's, not \"%.*s\", which has uid 0: leave it out for api-router or nobody",
			STR_ARG(shown));
	else if (pw->pw_gid == 0 && c->group.len == 0)
		conf_error(l, place,
			"is \"%.*s\", an account in root's group: name another group as group",
			STR_ARG(shown));
}

static void
check_group(struct conf_loader *l)
{
	struct conf *c = l->conf;
	config_setting_t *place = conf_named(l->root, "group");
	/* cppcheck-suppress getgrnamCalled */
	const struct group *gr = getgrnam(c->group.p);

	if (!gr)
		conf_error(l, place,
			"is \"%.*s\", a group that does not exist: groupadd --system makes one",
			STR_ARG(str_head(c->group, 64)));
	else if (gr->gr_gid == 0)
		conf_error(l, place,
			"must be another group than root's, not \"%.*s\", which has gid 0: leave it out for the user's own",
			STR_ARG(str_head(c->group, 64)));
}

/* Accounts matter only to a master that can become another user. */
static void
check_accounts(struct conf_loader *l)
{
	struct conf *c = l->conf;
	bool root = geteuid() == 0, given = c->user.len > 0;

	if (!given) {
		/* cppcheck-suppress getpwnamCalled */
		c->user = getpwnam("api-router") ? STR("api-router") : STR("nobody");
		if (root && str_eq(c->user, STR("nobody")))
			log_info("there is no account api-router: workers run as nobody");
	}
	if (root)
		check_user(l);
	if (root && c->group.len > 0)
		check_group(l);
}

/* The default's directory is the system's, and in the foreground that file may be missing. */
static void
finish_pid_file(struct conf_loader *l)
{
	config_setting_t *s = conf_member(l->root, "pid_file");
	struct conf *c = l->conf;

	c->pid_file_at = conf_spot(l, s);
	if (s && config_setting_type(s) == CONFIG_TYPE_STRING && c->pid_file.len > 0)
		conf_directory_check(l, s, c->pid_file);
}

static void
finish(struct conf_loader *l)
{
	struct conf *c = l->conf;

	finish_pid_file(l);
	if (c->rate.burst > 0 && c->rate.per_minute == 0)
		log_warn(
			"%s: rate_limit has a burst and no requests_per_minute, and so is no limit",
			c->path.p);
	if (c->workers == 0)
		c->workers = processors();
	check_accounts(l);
	conf_listens_finish(l);
	conf_logs_finish(l);
	conf_routes_finish(l);
	conf_providers_finish(l);
}

/* From libconfig's tree to the structs. */
static void
read_tree(struct conf_loader *l, struct conf_text *t)
{
	config_t tree;

	config_init(&tree);
	if (config_read_string(&tree, t->out.p + t->out.start) != CONFIG_TRUE) {
		conf_tell(l->teller, l->path, 0, "libconfig refuses the text: %s",
			config_error_text(&tree));
	} else {
		conf_text_attach(t, &tree);
		l->root = config_root_setting(&tree);
		conf_preset(&l->conf->arena, SCOPE_ROOT, l->conf);
		conf_rate_from_environment(l);
		conf_group_read(l, l->root, SCOPE_ROOT, l->conf);
		finish(l);
	}
	config_destroy(&tree);
}

/* `text` in the place of the file, or NULL. */
static struct conf *
load(const struct conf_options *o, const struct str *text, conf_report *report, void *ctx)
{
	struct conf_teller teller = { .report = report, .ctx = ctx };
	struct conf_loader l = { .options = o,
		.teller = &teller,
		.path = o->path ? o->path : conf_default_path() };
	struct conf_file *file;
	struct conf_text t;

	conf_text_init(&t, &teller);
	t.seen = o->files;
	if (t.seen)
		conf_files_free(t.seen);
	l.conf = conf_new();
	if (!l.conf) {
		conf_tell(&teller, l.path, 0, "out of memory");
		return NULL;
	}
	l.conf->path = absolute(&l.conf->arena, l.path);
	file = text ? conf_file_of(&t, l.path, *text) : conf_file_read(&t, l.path, NULL, 0);
	if (file && conf_text_parse(&t, file) == 0)
		read_tree(&l, &t);
	if (teller.n == 0 && l.conf->arena.failed)
		conf_tell(&teller, l.path, 0, "out of memory");
	conf_text_free(&t);
	if (teller.n == 0)
		return l.conf;
	conf_free(l.conf);
	return NULL;
}

struct conf *
conf_load(const struct conf_options *o, conf_report *report, void *ctx)
{
	return load(o, NULL, report, ctx);
}

struct conf *
conf_load_text(const struct conf_options *o, struct str text, conf_report *report, void *ctx)
{
	return load(o, &text, report, ctx);
}
