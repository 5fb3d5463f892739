/*
 * Fuzzes the configuration: the input is the text of a file. What must hold: it loads, or at least
 * one message says why not, at a line of the text and without control characters; libconfig never
 * finds a fault in what our own pass let through; what loads is printed as a text that loads to the
 * same again; `-s` finds the same pid_file as the daemon; and no memory is kept.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/conf_private.h"
#include "config/route.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file;
static char path[64];

struct told {
	unsigned n, lines;
};

static void
collect(void *ctx, const char *name, unsigned line, const char *text)
{
	struct told *t = ctx;

	assert(name && *name && *text);
	assert(line > 0 || strncmp(text, "libconfig refuses", strlen("libconfig refuses")) != 0);
	for (const char *p = text; *p; p++)
		assert((unsigned char)*p >= ' ' && *p != 0x7f);
	if (strcmp(name, path) == 0)
		assert(line <= t->lines);
	t->n++;
}

/* The system's certificates are read once, not for each input. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct tls_context *kept;
	char err[256];

	(void)argc, (void)argv;
	kept = tls_client_new(&(struct tls_settings){ .verify = true }, err, sizeof err);
	assert(kept);
	file = memfd_create("conf", 0);
	assert(file >= 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	return 0;
}

static struct conf *
load(struct str text)
{
	struct conf_options o = { .path = path };
	struct told t = { .lines = 1 };
	struct conf *c;

	for (size_t i = 0; i < text.len; i++)
		t.lines += text.p[i] == '\n';
	c = conf_load_text(&o, text, collect, &t);
	assert(!c == (t.n > 0));
	return c;
}

static struct str
print(const struct conf *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert(f);
	conf_print(c, f);
	fclose(f);
	return (struct str){ text, len };
}

static void
check_print(const struct conf *c)
{
	struct str first = print(c), second;
	struct conf *again = load(first);

	assert(again);
	second = print(again);
	assert(str_eq(first, second));
	conf_free(again);
	free((char *)(uintptr_t)first.p);
	free((char *)(uintptr_t)second.p);
}

/* A model that a route names is found and leads to a provider. */
static void
check_model(const struct conf *c, const struct conf_route *r)
{
	struct route_match m;

	assert(route_find(c, r->path, r->model, &m));
	for (unsigned i = 0; i < 2; i++) {
		const struct conf_target *t = route_choose(&m, i == 0 ? 0 : UINT32_MAX);

		assert(t && conf_provider_find(c, t->provider->name) == t->provider);
	}
}

static void
check_routes(const struct conf *c)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct conf_route *r = &c->routes[i];

		assert(r->n_targets > 0 && r->weights > 0);
		if (str_index(r->model, '*') == r->model.len)
			check_model(c, r);
	}
}

static void
check_pid_file(const struct conf *c, const uint8_t *data, size_t size)
{
	char pid_file[8192];
	int result;

	assert(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	result = conf_pid_file(path, pid_file, sizeof pid_file);
	assert(ftruncate(file, 0) == 0); /* the next input may include it */
	if (c && c->pid_file.len < sizeof pid_file)
		assert(result == 0 && str_eq(c->pid_file, str_of(pid_file)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c = load((struct str){ (const char *)data, size });

	check_pid_file(c, data, size);
	if (c) {
		check_print(c);
		check_routes(c);
		conf_seal(c);
	}
	conf_free(c);
	assert(mem_used() == 0);
	return 0;
}
