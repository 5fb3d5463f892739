/*
 * conf_print: the effective configuration as a text that loads to the same again (-T).
 *
 * Called with a configuration that was loaded. Every name is printed that has a meaning where it
 * stands, from the same table that reading uses, so that a new name is printed as soon as it is
 * read. Secrets are printed as "***": an api_key, and the value of a header whose name says that it
 * is one. The key of a client is none: it is a hash, or the name of the place where the key is.
 * Nothing here can fail but the stream, which is the caller's.
 */
#include "config/conf_private.h"

#include <string.h>

#define MASK STR("***")

struct printer {
	FILE *out;
	const struct conf *conf;
	unsigned indent;
	bool flat; /* all on one line, until the group or list that began so ends */
};

static void
begin(const struct printer *p)
{
	for (unsigned i = 0; i < p->indent && !p->flat; i++)
		fputc('\t', p->out);
}

static void
end(const struct printer *p)
{
	fputc(p->flat ? ' ' : '\n', p->out);
}

static void
put_string(const struct printer *p, struct str s)
{
	fputc('"', p->out);
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			fputc('\\', p->out);
		fputc(s.p[i], p->out);
	}
	fputc('"', p->out);
}

static void
open_group(struct printer *p, const char *name)
{
	begin(p);
	fprintf(p->out, "%s: {", name);
	end(p);
	p->indent++;
}

static void
close_group(struct printer *p)
{
	p->indent--;
	begin(p);
	fputs("};", p->out);
	end(p);
}

/* A list without elements stands on one line. What close_list is to be given. */
static bool
open_list(struct printer *p, const char *name, bool empty)
{
	bool flat = p->flat;

	begin(p);
	fprintf(p->out, "%s = (", name);
	p->flat = flat || empty;
	end(p);
	p->indent++;
	return flat;
}

static void
close_list(struct printer *p, bool flat)
{
	p->indent--;
	begin(p);
	fputs(");", p->out);
	p->flat = flat;
	end(p);
}

static void put_scope(struct printer *p, enum conf_scope scope, const void *base,
	unsigned dialects);

/* An element of a list, on a line of its own. */
static void
put_element(struct printer *p, enum conf_scope scope, const void *base, unsigned dialects,
	bool last)
{
	bool flat = p->flat;

	begin(p);
	fputs("{ ", p->out);
	p->flat = true;
	put_scope(p, scope, base, dialects);
	p->flat = flat;
	fputs(last ? "}" : "},", p->out);
	end(p);
}

static long long
get_number(const struct conf_row *row, const void *base)
{
	const char *at = (const char *)base + row->offset;
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	switch (row->size) {
	case sizeof(bool):
		return row->kind == KIND_NOT ? !*at : *at;
	case sizeof two:
		memcpy(&two, at, sizeof two);
		return two;
	case sizeof four:
		memcpy(&four, at, sizeof four);
		return four;
	default:
		memcpy(&eight, at, sizeof eight);
		return (long long)eight;
	}
}

/* Milliseconds as seconds: 5.0, 0.25 */
static void
put_time(const struct printer *p, long long ms)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%lld.%03lld", ms / 1000, ms % 1000);

	while (text[len - 1] == '0' && text[len - 2] != '.')
		len--;
	fprintf(p->out, "%.*s", len, text);
}

static void
put_value(const struct printer *p, const struct conf_row *row, const void *base)
{
	long long n = row->size <= sizeof(uint64_t) ? get_number(row, base) : 0;
	struct str text = { "", 0 };

	if (row->size == sizeof text)
		memcpy(&text, (const char *)base + row->offset, sizeof text);
	switch (row->kind) {
	case KIND_TEXT:
	case KIND_PATH:
		put_string(p, text);
		break;
	case KIND_SECRET:
		put_string(p, row->scope == SCOPE_CLIENT ? text : MASK);
		break;
	case KIND_FLAG:
	case KIND_NOT:
		fputs(n ? "true" : "false", p->out);
		break;
	case KIND_WORD:
		put_string(p, conf_word(row->text, (size_t)(n - row->low)));
		break;
	case KIND_TIME:
		put_time(p, n);
		break;
	default:
		fprintf(p->out, "%lld", n);
	}
}

static void
put_scalar(const struct printer *p, const struct conf_row *row, const void *base)
{
	begin(p);
	fprintf(p->out, "%s = ", row->name);
	put_value(p, row, base);
	fputc(';', p->out);
	end(p);
}

static void
put_listens(struct printer *p)
{
	for (size_t i = 0; i < p->conf->n_listens; i++)
		put_element(p, SCOPE_LISTEN, &p->conf->listens[i], FOR_ALL,
			i + 1 == p->conf->n_listens);
}

/* May this header hold a credential? */
static bool
is_sensitive(struct str name)
{
	static const struct str parts[] = { STR_INIT("auth"), STR_INIT("key"), STR_INIT("token"),
		STR_INIT("secret"), STR_INIT("cookie"), STR_INIT("password") };

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		for (size_t at = 0; at + parts[i].len <= name.len; at++) {
			if (str_eq_nocase(str_head(str_skip(name, at), parts[i].len), parts[i]))
				return true;
		}
	}
	return false;
}

static void
put_headers(struct printer *p, const struct conf_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct conf_header h = headers[i];

		if (is_sensitive(h.name))
			h.value = MASK;
		put_element(p, SCOPE_HEADER, &h, FOR_ALL, i + 1 == n);
	}
}

static void
put_names(struct printer *p, const struct str *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		begin(p);
		put_string(p, names[i]);
		fputs(i + 1 < n ? "," : "", p->out);
		end(p);
	}
}

static void
put_clients(struct printer *p)
{
	for (size_t i = 0; i < p->conf->n_clients; i++)
		put_element(p, SCOPE_CLIENT, &p->conf->clients[i], FOR_ALL,
			i + 1 == p->conf->n_clients);
}

static void
put_endpoints(struct printer *p, const struct conf_provider *provider)
{
	for (size_t i = 0; i < provider->n_endpoints; i++)
		put_element(p, SCOPE_ENDPOINT, &provider->endpoints[i], 1u << provider->dialect,
			i + 1 == provider->n_endpoints);
}

static void
put_model_options(struct printer *p, const struct conf_provider *provider)
{
	for (size_t i = 0; i < provider->n_model_options; i++)
		put_element(p, SCOPE_MODEL, &provider->model_options[i], 1u << provider->dialect,
			i + 1 == provider->n_model_options);
}

static void
put_maps(struct printer *p, const struct conf_provider *provider)
{
	for (size_t i = 0; i < provider->n_maps; i++)
		put_element(p, SCOPE_MAP, &provider->maps[i], FOR_ALL, i + 1 == provider->n_maps);
}

static void
put_targets(struct printer *p, const struct conf_route *r)
{
	for (size_t i = 0; i < r->n_targets; i++) {
		struct conf_written_target t = { r->targets[i].provider->name, r->targets[i].model,
			r->targets[i].weight };

		put_element(p, SCOPE_TARGET, &t, FOR_ALL, i + 1 == r->n_targets);
	}
}

/* The written routes: they stand before those which the providers' models make again. */
static size_t
count_written(const struct conf *c)
{
	size_t n = 0;

	while (n < c->n_routes && !c->routes[n].literal_model)
		n++;
	return n;
}

static void
put_routes(struct printer *p)
{
	size_t n = count_written(p->conf);

	for (size_t i = 0; i < n; i++) {
		const struct conf_route *r = &p->conf->routes[i];
		struct conf_written_route written = { .path = r->path, .model = r->model };
		bool flat;

		begin(p);
		fputs("{ ", p->out);
		p->flat = true;
		put_scalar(p, conf_row_find(SCOPE_ROUTE, STR("path")), &written);
		put_scalar(p, conf_row_find(SCOPE_ROUTE, STR("model")), &written);
		flat = open_list(p, "targets", false);
		put_targets(p, r);
		close_list(p, flat);
		p->flat = false;
		fputs(i + 1 < n ? "},\n" : "}\n", p->out);
	}
}

static void
put_providers(struct printer *p)
{
	for (size_t i = 0; i < p->conf->n_providers; i++) {
		const struct conf_provider *provider = &p->conf->providers[i];

		open_group(p, provider->name.p);
		put_scope(p, SCOPE_PROVIDER, provider, 1u << provider->dialect);
		close_group(p);
	}
}

/* Elements of the list that hangs on `base`. */
static size_t
count(const struct printer *p, int many, const void *base)
{
	const struct conf_provider *provider = base;
	const struct conf_endpoint *endpoint = base;
	const struct conf_client *client = base;
	const struct conf_model *model = base;

	switch (many) {
	case MANY_LISTEN:
		return p->conf->n_listens;
	case MANY_CLIENTS:
		return p->conf->n_clients;
	case MANY_CLIENT_MODELS:
		return client->n_models;
	case MANY_ROUTES:
		return count_written(p->conf);
	case MANY_HEADERS:
		return provider->n_headers;
	case MANY_ENDPOINTS:
		return provider->n_endpoints;
	case MANY_ENDPOINT_HEADERS:
		return endpoint->n_headers;
	case MANY_MODELS:
		return provider->n_models;
	case MANY_MODEL_OPTIONS:
		return provider->n_model_options;
	case MANY_STRIP:
		return model->chat.n_strip;
	default:
		return provider->n_maps;
	}
}

static void
put_elements(struct printer *p, int many, const void *base)
{
	const struct conf_provider *provider = base;
	const struct conf_endpoint *endpoint = base;
	const struct conf_client *client = base;
	const struct conf_model *model = base;

	switch (many) {
	case MANY_LISTEN:
		put_listens(p);
		break;
	case MANY_CLIENTS:
		put_clients(p);
		break;
	case MANY_CLIENT_MODELS:
		put_names(p, client->models, client->n_models);
		break;
	case MANY_ROUTES:
		put_routes(p);
		break;
	case MANY_HEADERS:
		put_headers(p, provider->headers, provider->n_headers);
		break;
	case MANY_ENDPOINTS:
		put_endpoints(p, provider);
		break;
	case MANY_ENDPOINT_HEADERS:
		put_headers(p, endpoint->headers, endpoint->n_headers);
		break;
	case MANY_MODELS:
		put_names(p, provider->models, provider->n_models);
		break;
	case MANY_MODEL_OPTIONS:
		put_model_options(p, provider);
		break;
	case MANY_STRIP:
		put_names(p, model->chat.strip, model->chat.n_strip);
		break;
	default:
		put_maps(p, provider);
	}
}

/* A list whose being empty is an error is left out when it is. */
static void
put_many(struct printer *p, const struct conf_row *row, const void *base)
{
	bool empty, flat;

	if (row->inner == MANY_PROVIDERS) {
		open_group(p, row->name);
		put_providers(p);
		close_group(p);
		return;
	}
	empty = count(p, row->inner, base) == 0;
	if (empty && (row->inner == MANY_CLIENTS || row->inner == MANY_CLIENT_MODELS))
		return;
	flat = open_list(p, row->name, empty);
	put_elements(p, row->inner, base);
	close_list(p, flat);
}

/* Does the name mean something to this provider? */
static bool
is_meant(const struct conf_row *row, const struct conf_provider *provider)
{
	if (row->kind == KIND_SECRET)
		return provider->api_key_name.len > 0;
	return row->kind != KIND_IN || row->inner != SCOPE_TLS || provider->https;
}

/* A unix socket has no port, and a listener without a certificate no TLS. */
static bool
is_of_listener(const struct conf_row *row, const struct conf_listen *li)
{
	if (row->kind == KIND_IN)
		return li->certificate_file.len > 0;
	return row->offset != offsetof(struct conf_listen, port) ||
		li->socks[0].any.sa_family != AF_UNIX;
}

/* The dialect's own path has no name here. */
static bool
is_written(const struct conf_row *row, const struct conf_endpoint *e)
{
	return row->offset != offsetof(struct conf_endpoint, upstream_path) ||
		e->upstream_path.len > 0;
}

static void
put_scope(struct printer *p, enum conf_scope scope, const void *base, unsigned dialects)
{
	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (row->scope != scope || !(row->dialects & dialects))
			continue;
		if (scope == SCOPE_LISTEN && !is_of_listener(row, base))
			continue;
		if (scope == SCOPE_PROVIDER && !is_meant(row, base))
			continue;
		if (scope == SCOPE_ENDPOINT && !is_written(row, base))
			continue;
		if (row->kind == KIND_MANY) {
			put_many(p, row, base);
		} else if (row->kind == KIND_IN) {
			open_group(p, row->name);
			put_scope(p, (enum conf_scope)row->inner, base, dialects);
			close_group(p);
		} else {
			put_scalar(p, row, base);
		}
	}
}

void
conf_print(const struct conf *c, FILE *out)
{
	struct printer p = { .out = out, .conf = c };

	put_scope(&p, SCOPE_ROOT, c, FOR_ALL);
}
