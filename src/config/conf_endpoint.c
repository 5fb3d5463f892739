/*
 * conf_endpoint: a provider's `endpoints`, what it has for one of the client's paths alone, and
 * rate limits from the environment.
 *
 * Called by conf_value for the list and for the headers in it, while its provider is being read:
 * limits and streams of an endpoint begin as those of the provider and of all. What depends on the
 * provider's dialect and on all of its headers is checked and joined when the provider is read
 * (conf_endpoints_finish). An endpoint that no request could reach, since the dialect neither has
 * its path nor can be translated to, is an error.
 */
#include "config/conf_private.h"

#include <stdlib.h>

#include "dialect/translate.h"

static void
check_path(struct conf_loader *l, config_setting_t *s, struct conf_endpoint *e,
	const struct conf_provider *p)
{
	e->endpoint = endpoint_find(e->path);
	if (!conf_member(s, "path"))
		conf_error(l, s, "has no path");
	else if (!e->endpoint)
		conf_error(l, conf_named(s, "path"),
			"must be one of the paths that go to providers, like \"/v1/chat/completions\", not \"%.*s\"",
			STR_ARG(str_head(e->path, 64)));
	for (const struct conf_endpoint *other = p->endpoints; e->endpoint && other < e; other++) {
		if (other->endpoint == e->endpoint) {
			conf_error(l, conf_named(s, "path"), "is \"%.*s\" a second time",
				STR_ARG(e->path));
			break;
		}
	}
}

static void
read_endpoint(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	struct conf_endpoint *e = &p->endpoints[p->n_endpoints];
	const char *fault;

	conf_preset(&l->conf->arena, SCOPE_ENDPOINT, e);
	e->rate = conf_member(s, "rate_limit") ? (struct conf_rate){ 0, 0 } : p->rate;
	e->stream = l->conf->stream;
	conf_group_read(l, s, SCOPE_ENDPOINT, e);
	conf_rate_check(l, s);
	if (!config_setting_is_group(s))
		return;
	p->n_endpoints++;
	check_path(l, s, e, p);
	e->method_name = conf_word(conf_row_find(SCOPE_ENDPOINT, STR("method"))->text, e->method);
	if (!conf_member(s, "upstream_path"))
		return;
	fault = conf_path_parse(&l->conf->arena, e->upstream_path, &e->target, &e->query);
	if (fault)
		conf_error(l, conf_named(s, "upstream_path"), "%s", fault);
}

void
conf_read_endpoints(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_provider *p = base;

	if (!conf_is_list(l, s))
		return;
	p->endpoints = arena_zero(&l->conf->arena, conf_length(s) * sizeof *p->endpoints);
	for (unsigned i = 0; p->endpoints && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);

		read_endpoint(l, e, p);
		if (config_setting_is_group(e))
			conf_names_check(l, e, SCOPE_ENDPOINT, p->dialect);
	}
}

void
conf_read_endpoint_headers(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_endpoint *e = base;

	conf_headers_read(l, s, &e->headers, &e->n_headers);
}

static bool
has_header(const struct conf_endpoint *e, struct str name)
{
	for (size_t i = 0; i < e->n_headers; i++) {
		if (str_eq_nocase(e->headers[i].name, name))
			return true;
	}
	return false;
}

/* The provider's headers that the endpoint does not replace, then its own. */
static void
join_headers(struct conf_loader *l, const struct conf_provider *p, struct conf_endpoint *e)
{
	size_t most = p->n_headers + e->n_headers;

	e->all_headers = arena_zero(&l->conf->arena, most * sizeof *e->all_headers);
	if (!e->all_headers)
		return;
	for (size_t i = 0; i < p->n_headers; i++) {
		if (!has_header(e, p->headers[i].name))
			e->all_headers[e->n_all_headers++] = p->headers[i];
	}
	for (size_t i = 0; i < e->n_headers; i++)
		e->all_headers[e->n_all_headers++] = e->headers[i];
}

void
conf_endpoints_finish(struct conf_loader *l, config_setting_t *s, struct conf_provider *p)
{
	config_setting_t *list = conf_member(s, "endpoints");

	for (unsigned i = 0; i < p->n_endpoints; i++) {
		struct conf_endpoint *e = &p->endpoints[i];

		join_headers(l, p, e);
		if (!e->endpoint)
			continue;
		p->by_endpoint[e->endpoint->id] = e;
		if (endpoint_upstream(e->endpoint, p->dialect).len == 0 &&
			!translate_can(e->endpoint, p->dialect))
			conf_error(l, config_setting_get_elem(list, i),
				"is about %.*s, which a provider of dialect %.*s does not have",
				STR_ARG(e->path), STR_ARG(dialect_name(p->dialect)));
	}
}

static void
from_environment(struct conf_loader *l, const char *variable, const char *name, uint32_t *out)
{
	const struct conf_row *row = conf_row_find(SCOPE_RATE, str_of(name));
	const char *text = getenv(variable);
	uint64_t n;

	if (!text || !*text)
		return;
	if (str_u64(str_of(text), &n) == 0 && n <= (uint64_t)row->high)
		*out = (uint32_t)n;
	else
		conf_tell(l->teller, l->path, 0,
			"the environment variable %s must be %lld to %lld, not \"%.20s\"", variable,
			row->low, row->high, text);
}

void
conf_rate_check(struct conf_loader *l, config_setting_t *group)
{
	config_setting_t *rate = conf_member(group, "rate_limit");

	if (rate && conf_member(rate, "burst") && !conf_member(rate, "requests_per_minute"))
		conf_error(l, rate,
			"has a burst and no requests_per_minute, and so would be no limit at all: say how many a minute");
}

void
conf_rate_from_environment(struct conf_loader *l)
{
	from_environment(l, "RATE_LIMIT_REQUESTS_PER_MINUTE", "requests_per_minute",
		&l->conf->rate.per_minute);
	from_environment(l, "RATE_LIMIT_BURST", "burst", &l->conf->rate.burst);
}
