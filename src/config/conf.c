/*
 * conf: the configuration from file to structs.
 *
 * Called by the master at start and on HUP, and by -t and -T. The steps: read and check the text
 * (conf_text), let libconfig make its tree, read the tree by the table of names (conf_value and the
 * files of the lists), then check what only the whole can tell. All that is kept lives in one arena
 * of pages, the struct itself included, which conf_seal makes read-only before the first fork.
 * Everything else, libconfig's tree, the texts and half-made TLS contexts, is freed before
 * conf_load returns, and what could hold a secret is wiped.
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

#include "config/secret.h"

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

/* Accounts matter only to a master that can become another user. */
static void
check_accounts(struct conf_loader *l)
{
	struct conf *c = l->conf;
	bool root = geteuid() == 0;

	if (c->user.len == 0) {
		/* cppcheck-suppress getpwnamCalled ; there are no threads */
		c->user = getpwnam("api-router") ? STR("api-router") : STR("nobody");
		if (root && str_eq(c->user, STR("nobody")))
			log_info("there is no account api-router: workers run as nobody");
		/* cppcheck-suppress getpwnamCalled */
	} else if (root && !getpwnam(c->user.p)) {
		conf_error(l, conf_member(l->root, "user"),
			"is \"%.*s\", an account that does not exist: useradd --system makes one",
			STR_ARG(str_head(c->user, 64)));
	}
	/* cppcheck-suppress getgrnamCalled */
	if (root && c->group.len > 0 && !getgrnam(c->group.p))
		conf_error(l, conf_member(l->root, "group"),
			"is \"%.*s\", a group that does not exist: groupadd --system makes one",
			STR_ARG(str_head(c->group, 64)));
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

/* libconfig keeps a copy of each string: headers, for one, may hold what should not stay in memory.
 */
static void
wipe_strings(config_setting_t *s)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING && s->value.sval)
		secret_wipe(s->value.sval, strlen(s->value.sval));
	if (!config_setting_is_aggregate(s))
		return;
	for (unsigned i = 0; i < conf_length(s); i++)
		wipe_strings(config_setting_get_elem(s, i));
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
		wipe_strings(l->root);
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
	if (t.out.p)
		secret_wipe(t.out.p, t.out.cap);
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
