/*
 * conf_provider: the group `providers`.
 *
 * Called by conf_value for `providers` and for the lists inside a provider. Each provider is read,
 * then what its parts demand of each other is checked: a base_url except for echo, names that mean
 * something to its dialect, a credential that there is. Its secret is fetched; a variable that is
 * not set is no error, since the shipped configuration names several: requests that need it will be
 * refused, by name. TLS contexts are made last (conf_providers_finish), when everything else is
 * right.
 */
#include "config/conf_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/secret.h"
#include "http/head.h"

/* Headers that the router sets itself, or that frame the message (RFC 9110 7.6.1, RFC 9112 6). */
static const struct str own_headers[] = {
	STR_INIT("host"),
	STR_INIT("content-length"),
	STR_INIT("transfer-encoding"),
	STR_INIT("connection"),
	STR_INIT("keep-alive"),
	STR_INIT("te"),
	STR_INIT("trailer"),
	STR_INIT("upgrade"),
	STR_INIT("expect"),
	STR_INIT("proxy-connection"),
	STR_INIT("proxy-authenticate"),
	STR_INIT("proxy-authorization"),
	STR_INIT("accept-encoding"),
	STR_INIT("x-request-id"),
};

static bool
is_own_header(struct str name)
{
	for (size_t i = 0; i < sizeof own_headers / sizeof own_headers[0]; i++) {
		if (str_eq_nocase(name, own_headers[i]))
			return true;
	}
	return false;
}

struct conf_provider *
conf_provider_find(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->n_providers; i++) {
		if (str_eq(c->providers[i].name, name))
			return &c->providers[i];
	}
	return NULL;
}

/* Check the header that was read last against the rules and those before it. */
static void
check_header(struct conf_loader *l, config_setting_t *s, const struct conf_header *headers,
	const struct conf_header *h)
{
	if (!head_token_valid(h->name))
		conf_error(l, s, "has the name \"%.*s\", which HTTP does not allow",
			STR_ARG(str_head(h->name, 64)));
	else if (is_own_header(h->name))
		conf_error(l, s, "sets %.*s, which is the router's own to set", STR_ARG(h->name));
	if (!head_value_valid(h->value) || h->value.len == 0)
		conf_error(l, s, "has a value that is empty or that HTTP does not allow");
	for (const struct conf_header *other = headers; other < h; other++) {
		if (str_eq_nocase(other->name, h->name)) {
			conf_error(l, s, "sets %.*s a second time", STR_ARG(str_head(h->name, 64)));
			break;
		}
	}
}

void
conf_headers_read(struct conf_loader *l, config_setting_t *s, struct conf_header **headers,
	size_t *n)
{
	bool list = config_setting_is_list(s);

	if (!list && !config_setting_is_group(s)) {
		conf_error(l, s, "must be a group { ... } or a list ( ... )");
		return;
	}
	*headers = arena_zero(&l->conf->arena, conf_length(s) * sizeof **headers);
	for (unsigned i = 0; *headers && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct conf_header *h = &(*headers)[*n];
		unsigned errors = l->teller->n;

		*h = (struct conf_header){ STR_INIT(""), STR_INIT("") };
		if (list) {
			conf_group_read(l, e, SCOPE_HEADER, h);
		} else {
			h->name = arena_copy(&l->conf->arena, str_of(config_setting_name(e)));
			conf_text_value(l, e, "text in double quotes", &h->value);
		}
		if (l->teller->n > errors)
			continue;
		++*n;
		check_header(l, e, *headers, h);
	}
}

void
conf_read_headers(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_provider *p = base;

	conf_headers_read(l, s, &p->headers, &p->n_headers);
}

static bool
has_model(const struct conf_provider *p, struct str model)
{
	for (size_t i = 0; i < p->n_models; i++) {
		if (str_eq(p->models[i], model))
			return true;
	}
	return false;
}

void
conf_read_models(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_provider *p = base;

	if (!conf_is_list(l, s))
		return;
	p->models = arena_zero(&l->conf->arena, conf_length(s) * sizeof *p->models);
	p->model_labels = arena_zero(&l->conf->arena, conf_length(s) * sizeof *p->model_labels);
	for (unsigned i = 0; p->models && p->model_labels && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct str model;

		if (!conf_text_value(l, e, "the name of a model in double quotes", &model))
			continue;
		if (model.len == 0)
			conf_error(l, e, "is an empty name");
		else if (str_index(model, '*') < model.len)
			conf_error(l, e,
				"must be the name of one model, not the pattern \"%.*s\": patterns stand in routes",
				STR_ARG(str_head(model, 64)));
		else if (has_model(p, model))
			conf_error(l, e, "names \"%.*s\" a second time",
				STR_ARG(str_head(model, 64)));
		else
			p->models[p->n_models++] = model;
	}
}

void
conf_read_maps(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_provider *p = base;

	if (!conf_is_list(l, s))
		return;
	p->maps = arena_zero(&l->conf->arena, conf_length(s) * sizeof *p->maps);
	for (unsigned i = 0; p->maps && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct conf_map *m = &p->maps[p->n_maps];

		conf_group_read(l, e, SCOPE_MAP, m);
		if (!config_setting_is_group(e))
			continue;
		if (m->from.len == 0 || m->to.len == 0)
			conf_error(l, e, "needs both from and to, which are not empty");
		for (size_t j = 0; j < p->n_maps; j++) {
			if (m->from.len > 0 && str_eq(p->maps[j].from, m->from)) {
				conf_error(l, e, "maps \"%.*s\" a second time",
					STR_ARG(str_head(m->from, 64)));
				break;
			}
		}
		p->n_maps++;
	}
}

void
conf_names_check(struct conf_loader *l, config_setting_t *s, enum conf_scope scope,
	enum dialect_id dialect)
{
	for (unsigned i = 0; i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		const struct conf_row *row = conf_row_find(scope, str_of(config_setting_name(e)));

		if (row && !(row->dialects & 1u << dialect))
			conf_error(l, e, "means nothing to a provider of dialect %.*s",
				STR_ARG(dialect_name(dialect)));
	}
}

/* Ends of a base_url that are the start of what is added to it, or of the same vendor's paths in
 * OpenAI's protocol: upstream, all paths would be wrong. A warning only, since a server may have
 * them all the same. */
static const struct {
	enum dialect_id dialect;
	struct str end;
} url_slips[] = {
	{ DIALECT_OPENAI, STR_INIT("/chat/completions") },
	{ DIALECT_ANTHROPIC, STR_INIT("/v1") },
	{ DIALECT_ANTHROPIC, STR_INIT("/v1/messages") },
	{ DIALECT_GEMINI, STR_INIT("/v1beta") },
	{ DIALECT_GEMINI, STR_INIT("/v1beta/openai") },
	{ DIALECT_COHERE, STR_INIT("/v2") },
	{ DIALECT_COHERE, STR_INIT("/compatibility/v1") },
	{ DIALECT_OLLAMA, STR_INIT("/api") },
	{ DIALECT_OLLAMA, STR_INIT("/v1") },
};

static void
warn_of_url(config_setting_t *s, const struct conf_provider *p)
{
	const struct conf_place *place = conf_place(conf_named(s, "base_url"));

	for (size_t i = 0; i < sizeof url_slips / sizeof url_slips[0]; i++) {
		struct str end = url_slips[i].end;

		if (p->dialect == url_slips[i].dialect && p->base_path.len >= end.len &&
			str_eq(str_skip(p->base_path, p->base_path.len - end.len), end))
			log_warn(
				"%s:%u: providers.%.*s.base_url ends in %.*s: the paths are added to it, leave %.*s out",
				place->file, place->line, STR_ARG(p->name), STR_ARG(end),
				STR_ARG(end));
	}
}

static void
check_url(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	const char *fault;

	if (p->base_url.len == 0) {
		if (conf_slipped(s, SCOPE_PROVIDER, "base_url"))
			return;
		conf_error(l, conf_named(s, "base_url"),
			conf_member(s, "base_url")
				? "must not be empty"
				: "needs a base_url, like \"https://api.openai.com/v1\"");
		return;
	}
	fault = conf_url_parse(&l->conf->arena, p->base_url, p);
	if (fault && str_index(p->base_url, '@') == p->base_url.len &&
		str_index(p->base_url, '?') == p->base_url.len)
		conf_error(l, conf_named(s, "base_url"), "%s (it is \"%.*s\")", fault,
			STR_ARG(str_head(p->base_url, 64)));
	else if (fault) /* it may hold a password */
		conf_error(l, conf_named(s, "base_url"), "%s", fault);
	else if (!p->https && conf_member(s, "tls"))
		conf_error(l, conf_named(s, "tls"), "means nothing to a base_url without https");
	else
		warn_of_url(s, p);
}

/* What is meant as the name of a variable or of a file, as shells and other programs write it, and
 * would be sent as the key itself. It is not shown: it may be a key all the same. */
static void
warn_of_key(config_setting_t *place, const struct conf_provider *p, struct str spec)
{
	const char *kind = spec.p[0] == '$' ? "$: a variable is written \"env:NAME\""
		: spec.p[0] == '/'          ? "/: a file is written \"file:/path\""
					    : NULL;

	if (kind)
		log_warn(
			"%s:%u: providers.%.*s.api_key begins with %s; this is sent as the key itself",
			conf_place(place)->file, conf_place(place)->line, STR_ARG(p->name), kind);
}

/* p->api_key holds what names the secret; put the secret there. */
static void
fetch_key(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	config_setting_t *place = conf_named(s, "api_key");
	struct str spec = p->api_key;
	const char *warning;
	char err[256];

	p->api_key = (struct str){ "", 0 };
	if (spec.len == 0)
		return;
	warn_of_key(place, p, spec);
	p->api_key_name = arena_copy(&l->conf->arena, secret_name(spec));
	if (secret_read(spec, &l->conf->arena, &p->api_key, &warning, err, sizeof err) < 0)
		conf_error(l, place, "cannot be had: %s", err);
	if (!head_value_valid(p->api_key))
		conf_error(l, place, "is not what a key can be: it holds a control character");
	if (warning)
		log_warn("%s:%u: %.*s: %s", conf_place(place)->file, conf_place(place)->line,
			STR_ARG(p->api_key_name), warning);
}

size_t
conf_keys_missing(const struct conf *c, char *out, size_t size)
{
	size_t n = 0, at = 0;

	out[0] = '\0';
	for (const struct conf_provider *p = c->providers; p < c->providers + c->n_providers; p++) {
		if (p->api_key_name.len == 0 || p->api_key.len > 0)
			continue;
		if (at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%.*s (%.*s %s)",
				n > 0 ? ", " : "", STR_ARG(p->name), STR_ARG(p->api_key_name),
				str_starts(p->api_key_name, STR("env:")) ? "is not set"
									 : "is empty");
		n++;
	}
	return n;
}

static void
check_credential(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	bool has_key = p->api_key_name.len > 0;

	if (!conf_member(s, "credential"))
		p->credential = has_key ? CREDENTIAL_PROVIDER : CREDENTIAL_NONE;
	else if (p->credential == CREDENTIAL_PROVIDER && !has_key)
		conf_error(l, conf_named(s, "credential"),
			"is \"provider\", but the provider has no api_key");
}

/* OpenSSL's own reason for a missing file is "system lib". */
static void
check_file(struct conf_loader *l, config_setting_t *tls, const char *name, struct str path)
{
	if (path.len > 0 && access(path.p, R_OK) < 0)
		conf_error(l, conf_named(tls, name), "cannot be read: %s: %s", path.p,
			strerror(errno));
}

static void
check_tls(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	config_setting_t *tls = conf_named(s, "tls");

	check_file(l, tls, "ca_file", p->ca_file);
	check_file(l, tls, "certificate_file", p->certificate_file);
	check_file(l, tls, "key_file", p->key_file);
	if (p->key_file.len > 0 && p->certificate_file.len == 0)
		conf_error(l, tls, "has a key_file without a certificate_file");
	if (p->server_name.len > 0 &&
		(!head_value_valid(p->server_name) ||
			str_index(p->server_name, ' ') < p->server_name.len))
		conf_error(l, conf_named(tls, "server_name"), "is not a host name");
	if (p->server_name.len == 0)
		p->server_name = p->host;
}

static void
read_provider(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	conf_preset(&l->conf->arena, SCOPE_PROVIDER, p);
	conf_preset(&l->conf->arena, SCOPE_MODEL, &p->other_models);
	p->name = arena_copy(&l->conf->arena, str_of(config_setting_name(s)));
	p->timeouts = l->conf->attempt;
	p->api_key_name = (struct str){ "", 0 };
	conf_group_read(l, s, SCOPE_PROVIDER, p);
	conf_rate_check(l, s);
	if (!config_setting_is_group(s))
		return;
	conf_names_check(l, s, SCOPE_PROVIDER, p->dialect);
	conf_endpoints_finish(l, s, p);
	if (p->connections.max == 0)
		p->connections.max = (uint32_t)l->conf->limits.connections;
	if (p->dialect != DIALECT_ANTHROPIC)
		p->version = (struct str){ "", 0 };
	else if (!head_value_valid(p->version) || p->version.len == 0)
		conf_error(l, conf_named(s, "version"), "is not what a header can hold");
	if (p->dialect == DIALECT_ECHO)
		return;
	check_url(l, s, p);
	fetch_key(l, s, p);
	check_credential(l, s, p);
	check_tls(l, s, p);
}

void
conf_read_providers(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf *c = base;

	if (!conf_is_group(l, s))
		return;
	c->providers = arena_zero(&c->arena, conf_length(s) * sizeof *c->providers);
	for (unsigned i = 0; c->providers && i < conf_length(s); i++) {
		c->providers[i].index = i;
		read_provider(l, config_setting_get_elem(s, i), &c->providers[i]);
		c->n_providers++;
	}
}

void
conf_providers_finish(struct conf_loader *l)
{
	config_setting_t *group = conf_member(l->root, "providers");
	struct conf *c = l->conf;
	char err[256];

	if (!group || (config_setting_is_group(group) && conf_length(group) == 0))
		conf_error(l, group ? group : l->root,
			"%sone provider at least is needed, like "
			"providers: { echo: { dialect = \"echo\"; models = ( \"echo\" ); }; };",
			group ? "is empty: " : "");
	for (size_t i = 0; i < c->n_providers && l->teller->n == 0; i++) {
		struct conf_provider *p = &c->providers[i];
		struct tls_settings settings = { .verify = p->verify,
			.ca_file = p->ca_file,
			.certificate_file = p->certificate_file,
			.key_file = p->key_file };
		config_setting_t *s = config_setting_get_elem(group, (unsigned)i);

		if (!p->https)
			continue;
		p->tls = tls_client_new(&settings, err, sizeof err);
		if (!p->tls)
			conf_error(l, conf_named(s, "tls"), "cannot be used: %s", err);
	}
}
