/*
 * conf_routes: the list `routes`, and the routes that the providers' own models make.
 *
 * Called by conf_value for `routes` (after the providers, to which targets point) and for the
 * targets of each, and by conf when all is read. A model that a provider lists is a route of its
 * own when no written route has it as its model, and the first provider that lists it gets it. The
 * array is made once, large enough for both kinds.
 */
#include "config/conf_private.h"

#include <stdio.h>

/* The provider that may have been meant, or NULL. */
static const struct conf_provider *
nearest(const struct conf *c, struct str name)
{
	const struct conf_provider *found = NULL;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < c->n_providers; i++) {
		size_t d = conf_distance(name, c->providers[i].name);

		if (d < best) {
			best = d;
			found = &c->providers[i];
		}
	}
	return found && conf_is_slip(best, name) ? found : NULL;
}

/* A target's provider by its name; NULL after an error, which offers the names that there are. */
static const struct conf_provider *
target_provider(struct conf_loader *l, config_setting_t *s, struct str name)
{
	const struct conf_provider *p = conf_provider_find(l->conf, name);

	if (p)
		return p;
	if (name.len == 0)
		conf_error(l, s, "names no provider");
	else if ((p = nearest(l->conf, name)))
		conf_error(l, conf_named(s, "provider"),
			"is \"%.*s\", which providers does not have: did you mean %s?",
			STR_ARG(str_head(name, 64)), p->name.p);
	else
		conf_error(l, conf_named(s, "provider"),
			"is \"%.*s\", which providers does not have: add it there, or name one that it has",
			STR_ARG(str_head(name, 64)));
	return NULL;
}

void
conf_read_targets(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_written_route *r = base;

	if (!conf_is_list(l, s))
		return;
	r->targets = arena_zero(&l->conf->arena, conf_length(s) * sizeof *r->targets);
	if (conf_length(s) == 0)
		conf_error(l, s, "must name at least one target");
	for (unsigned i = 0; r->targets && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct conf_written_target t;

		conf_preset(&l->conf->arena, SCOPE_TARGET, &t);
		conf_group_read(l, e, SCOPE_TARGET, &t);
		if (!config_setting_is_group(e))
			continue;
		r->targets[r->n_targets++] = (struct conf_target){
			.provider = target_provider(l, e, t.provider),
			.model = t.model,
			.weight = t.weight,
		};
	}
}

/* `provider = "x"` is short for one target. */
static void
one_target(struct conf_loader *l, config_setting_t *s, struct conf_written_route *r)
{
	r->targets = arena_zero(&l->conf->arena, sizeof *r->targets);
	if (!r->targets)
		return;
	r->n_targets = 1;
	*r->targets = (struct conf_target){
		.provider = target_provider(l, s, r->provider),
		.model = { "", 0 },
		.weight = 1,
	};
}

static void
read_route(struct conf_loader *l, config_setting_t *s, struct conf_route *route)
{
	struct conf_written_route r = { .targets = NULL };

	conf_preset(&l->conf->arena, SCOPE_ROUTE, &r);
	conf_group_read(l, s, SCOPE_ROUTE, &r);
	if (!config_setting_is_group(s))
		return;
	if (conf_member(s, "targets") && conf_member(s, "provider"))
		conf_error(l, s, "has both provider and targets: one of them is enough");
	else if (!conf_member(s, "targets"))
		one_target(l, s, &r);
	if (r.path.len == 0 || (r.path.p[0] != '/' && r.path.p[0] != '*'))
		conf_error(l, conf_named(s, "path"), "must begin with / or *, not be \"%.*s\"",
			STR_ARG(str_head(r.path, 64)));
	if (r.model.len == 0)
		conf_error(l, conf_named(s, "model"), "must not be empty: \"*\" is every model");
	*route = (struct conf_route){ .path = r.path,
		.model = r.model,
		.targets = r.targets,
		.n_targets = r.n_targets,
		.line = conf_place(s)->line };
	for (size_t i = 0; i < r.n_targets; i++)
		route->weights += r.targets[i].weight;
}

/* Whether one before it takes all that it would. What an earlier pattern makes of the text of a
 * later one it makes of all that this stands for, since only a * takes a *; "*" alone takes
 * requests without a model, too, which nothing else does. */
static void
warn_if_never_reached(const struct conf *c, config_setting_t *s, const struct conf_route *r)
{
	char text[80];

	for (const struct conf_route *other = c->routes; other < r; other++) {
		if (!str_glob(other->path, r->path) || !str_glob(other->model, r->model) ||
			(str_eq(r->model, STR("*")) && !str_eq(other->model, STR("*"))))
			continue;
		snprintf(text, sizeof text,
			"is never reached: routes[%zu] takes all of its requests",
			(size_t)(other - c->routes));
		conf_warn(s, text);
		return;
	}
}

/* Most routes that the providers' models can make. */
static size_t
count_models(const struct conf *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_providers; i++)
		n += c->providers[i].n_models;
	return n;
}

void
conf_read_routes(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf *c = base;

	if (!conf_is_list(l, s))
		return;
	c->routes = arena_zero(&c->arena, (conf_length(s) + count_models(c)) * sizeof *c->routes);
	for (unsigned i = 0; c->routes && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct conf_route *r = &c->routes[c->n_routes++];

		read_route(l, e, r);
		if (r->model.len > 0)
			warn_if_never_reached(c, e, r);
	}
}

static bool
is_named(const struct conf *c, struct str model)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		if (str_eq(c->routes[i].model, model))
			return true;
	}
	return false;
}

static void
add_model(struct conf *c, const struct conf_provider *p, struct str model)
{
	struct conf_target *t = arena_zero(&c->arena, sizeof *t);

	if (!t)
		return;
	*t = (struct conf_target){ .provider = p, .model = { "", 0 }, .weight = 1 };
	c->routes[c->n_routes++] = (struct conf_route){ .path = STR_INIT("*"),
		.model = model,
		.literal_model = true,
		.targets = t,
		.n_targets = 1,
		.weights = 1 };
}

void
conf_routes_finish(struct conf_loader *l)
{
	struct conf *c = l->conf;

	if (!c->routes)
		c->routes = arena_zero(&c->arena, count_models(c) * sizeof *c->routes);
	for (size_t i = 0; c->routes && i < c->n_providers; i++) {
		for (size_t j = 0; j < c->providers[i].n_models; j++) {
			if (!is_named(c, c->providers[i].models[j]))
				add_model(c, &c->providers[i], c->providers[i].models[j]);
		}
	}
}
