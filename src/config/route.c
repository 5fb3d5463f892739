/*
 * route: from (path, model) to the targets that may serve it.
 *
 * Which of several targets is taken is drawn by the caller's random number: nothing here has a
 * state of its own.
 *
 * Called by the proxy for each request. Reads the sealed configuration and keeps nothing; the only
 * failure is that nothing matches. The order: the routes as written, then those that the providers'
 * models made (both in conf.routes), then "provider/model".
 */
#include "config/route.h"

static bool
route_matches(const struct conf_route *r, struct str path, struct str model)
{
	if (!str_glob(r->path, path))
		return false;
	if (!model.p)
		return str_eq(r->model, STR("*"));
	return r->literal_model ? str_eq(r->model, model) : str_glob(r->model, model);
}

/* "provider/model" in so many words: text before the first slash that is the name of a provider,
 * and a model behind it. */
static bool
route_spelled(const struct conf *c, struct str model, struct route_match *m)
{
	size_t slash = str_index(model, '/');
	struct str name = str_head(model, slash), rest = str_skip(model, slash + 1);

	if (slash == model.len || rest.len == 0)
		return false;
	for (size_t i = 0; i < c->n_providers; i++) {
		if (!str_eq(c->providers[i].name, name))
			continue;
		m->one = (struct conf_target){ .provider = &c->providers[i],
			.model = rest,
			.weight = 1 };
		m->targets = &m->one;
		m->n_targets = m->weights = 1;
		m->label = 0;
		return true;
	}
	return false;
}

bool
route_find(const struct conf *c, struct str path, struct str model, struct route_match *m)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct conf_route *r = &c->routes[i];

		if (!route_matches(r, path, model))
			continue;
		m->targets = r->targets;
		m->n_targets = r->n_targets;
		m->weights = r->weights;
		m->label = r->label;
		return true;
	}
	return model.p && route_spelled(c, model, m);
}

const struct conf_target *
route_choose(const struct route_match *m, uint32_t random)
{
	uint64_t at = (uint64_t)random * m->weights >> 32;
	const struct conf_target *t = m->targets;

	while (at >= t->weight) {
		at -= t->weight;
		t++;
	}
	return t;
}

struct str
route_model(const struct conf_target *t, struct str model)
{
	const struct conf_provider *p = t->provider;

	if (t->model.len > 0)
		return t->model;
	for (size_t i = 0; i < p->n_maps; i++) {
		if (str_eq(p->maps[i].from, model))
			return p->maps[i].to;
	}
	return model;
}

bool
route_admits(const struct conf_client *c, struct str model)
{
	if (!c || c->n_models == 0)
		return true;
	for (size_t i = 0; i < c->n_models; i++) {
		if (model.p ? str_glob(c->models[i], model) : str_eq(c->models[i], STR("*")))
			return true;
	}
	return false;
}
