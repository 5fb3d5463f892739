/*
 * generation: one reading of the configuration with all that hangs on it.
 *
 * A generation is made whole or not at all: listening sockets, log files and the address table are
 * each asked for before anything of the earlier generation is touched, and a failure gives back
 * what was had so far. Its configuration is then sealed, so that no worker's wild store can change
 * what another generation of workers will read.
 *
 *	STARTING ──workers ready──> SERVING ──another serves──> RETIRED ──last child gone──> freed
 *	    │                          └──WINCH──> RESTING ─────────^
 *	    └────────────────────────start failed──────────────────/
 *
 * Each generation has sinks of its own, also when they lead to the same file: whichever generation
 * ends first closes only its own. Called by master and reload, which decide; by child for what a
 * fork inherits.
 */
#include "process/generation.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Beside clients and their upstream connections: listeners, logs, pipes, and what libraries open.
 */
#define SPARE_DESCRIPTORS 64

struct conf *
generation_conf(const struct conf_options *o, struct account *a, conf_report *report, void *ctx)
{
	char err[160];
	struct conf *c = conf_load(o, report, ctx);
	if (c == NULL || privilege_account(c->user, c->group, a, err, sizeof err) == 0)
		return c;
	report(ctx, c->path.p, 0, err);
	conf_free(c);
	return NULL;
}

void
generation_tell_keys(const struct conf *c)
{
	char text[1024];
	if (conf_keys_missing(c, text, sizeof text) > 0)
		log_info("no key yet: %s", text);
}

static int
open_log(struct sink *s, struct str where, const char *setting, const struct conf_spot *at,
	conf_report *report, void *ctx)
{
	char err[PATH_MAX + 160];
	if (sink_open(s, where) == 0)
		return 0;
	const char *remedy = errno == EACCES
		? "; whoever starts api-router must be able to write it"
		: errno == EISDIR ? "; name a file in it"
				  : "";
	snprintf(err, sizeof err, "%s: cannot open %.*s: %s%s", setting, STR_ARG(where),
		strerror(errno), remedy);
	s->fd = -1;
	report(ctx, at->file, at->line, err);
	return -1;
}

static int
make_addresses(struct generation *g, const struct generation *old, conf_report *report, void *ctx)
{
	const struct conf *c = g->conf;
	g->addresses = address_new((unsigned)c->n_providers);
	if (g->addresses == NULL) {
		report(ctx, c->path.p, 0, "no shared memory for addresses");
		return -1;
	}
	for (unsigned i = 0; i < c->n_providers; i++) {
		const struct conf_provider *p = &c->providers[i];
		bool named = !p->is_numeric && p->dialect != DIALECT_ECHO;
		address_name(g->addresses, i, named ? p->host : STR(""),
			old == NULL ? NULL : old->addresses);
	}
	return 0;
}

static void
check_descriptors(const struct conf *c)
{
	size_t wanted = c->limits.connections * 2 + c->n_listens * 2 + SPARE_DESCRIPTORS;
	size_t limit = privilege_descriptors(wanted);
	if (limit < wanted)
		log_warn(
			"%s: limits.connections = %zu takes %zu open files, but the limit is %zu: raise it (ulimit -n) or lower limits.connections",
			c->path.p, c->limits.connections, wanted, limit);
}

/* As configured; but a number that TTIN or TTOU changed stays while the configured one does. */
static unsigned
workers_wanted(const struct conf *c, const struct generation *old)
{
	return old != NULL && old->conf->workers == c->workers ? old->wanted : c->workers;
}

static void
name_slots(struct generation *g)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		g->workers[i] = (struct slot){ .generation = g, .number = i };
	g->resolver = (struct slot){ .generation = g };
}

struct generation *
generation_new(struct conf *c, const struct account *a, struct sockets *s,
	const struct generation *old, conf_report *report, void *ctx)
{
	struct generation *g = mem_zero(sizeof *g, sizeof *g);
	if (g == NULL) {
		report(ctx, c->path.p, 0, "out of memory");
		conf_free(c);
		return NULL;
	}
	g->conf = c;
	g->account = *a;
	g->log.fd = g->access.fd = -1;
	g->wanted = workers_wanted(c, old);
	name_slots(g);
	check_descriptors(c);
	/* All of them, so that all errors are told at once. */
	int failed = sockets_claim(s, c, &g->claim, report, ctx);
	failed |= open_log(&g->log, c->log.file, "log.file", &c->log.at, report, ctx);
	failed |= open_log(&g->access, c->access_log.file, "access_log.file", &c->access_log.at,
		report, ctx);
	failed |= make_addresses(g, old, report, ctx);
	if (failed) {
		generation_free(g, s);
		return NULL;
	}
	conf_seal(c);
	return g;
}

void
generation_free(struct generation *g, struct sockets *s)
{
	sockets_release(s, &g->claim);
	generation_forget(g);
	mem_put(g, sizeof *g);
}

void
generation_forget(struct generation *g)
{
	sink_close(&g->log);
	sink_close(&g->access);
	address_free(g->addresses);
	conf_free(g->conf);
}
