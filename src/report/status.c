/*
 * status: bodies of the paths that the router answers by itself: /health and the lists of models.
 *
 * Called by the request. /health reads the scoreboard, which all workers share, so that any of them
 * answers for all. The models are those that a client can name: the providers' `models` in the
 * order of the configuration, then the models that a route names literally. Each call fails only
 * for want of memory, which the buffer remembers.
 */
#include "report/status.h"

#include <time.h>

#include "base/version.h"
#include "json/write.h"

/* Buckets in use, all and by path, of those paths that have some. */
static void
rate_limiter(struct json_writer *w, struct limit_table *limits, uint64_t now_us)
{
	size_t by_path[LIMIT_PATHS];

	json_key(w, STR("rateLimiter"));
	json_object(w);
	json_key(w, STR("activeBuckets"));
	json_number(w, (int64_t)limit_active(limits, now_us, by_path));
	json_key(w, STR("routes"));
	json_object(w);
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		if (by_path[i] == 0)
			continue;
		json_key(w, endpoints[i].path);
		json_number(w, (int64_t)by_path[i]);
	}
	json_object_end(w);
	json_object_end(w);
}

int
status_health(struct buf *out, struct scoreboard *b, struct limit_table *limits, uint64_t now_us,
	unsigned *status)
{
	bool draining = scoreboard_draining(b);
	struct json_writer w;

	*status = draining ? 503 : 200;
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("status"), draining ? STR("draining") : STR("ok"));
	if (limits) {
		json_pair(&w, STR("version"), STR(VERSION));
		json_key(&w, STR("workers"));
		json_number(&w, scoreboard_ready(b));
		rate_limiter(&w, limits, now_us);
	}
	json_object_end(&w);
	return out->failed ? -1 : 0;
}

/* A model as it is listed: its name and whose it is. */
struct model {
	struct str name, owner;
};

/* Where in the configuration the walk over its models stands. */
struct models {
	const struct conf *conf;
	const struct conf_client *key; /* who asks: what it may not use is not listed */
	size_t provider, model, route;
};

/* Every name in turn, those that stand twice too. */
static bool
models_step(struct models *at, struct model *m)
{
	const struct conf *c = at->conf;

	for (; at->provider < c->n_providers; at->provider++, at->model = 0) {
		const struct conf_provider *p = &c->providers[at->provider];
		if (at->model < p->n_models) {
			*m = (struct model){ p->models[at->model++], p->name };
			return true;
		}
	}
	while (at->route < c->n_routes) {
		const struct conf_route *r = &c->routes[at->route++];
		if (str_index(r->model, '*') < r->model.len)
			continue;
		*m = (struct model){ r->model, r->targets[0].provider->name };
		return true;
	}
	return false;
}

static bool
same_place(const struct models *a, const struct models *b)
{
	return a->provider == b->provider && a->model == b->model && a->route == b->route;
}

/* Every name once: one is passed over when an earlier one equals it. */
static bool
models_next(struct models *at, struct model *m)
{
	while (models_step(at, m)) {
		struct models before = { .conf = at->conf };
		struct model other;

		if (!route_admits(at->key, m->name))
			continue;
		while (models_step(&before, &other) && !str_eq(other.name, m->name))
			;
		if (same_place(&before, at))
			return true;
	}
	return false;
}

static void
model_write(struct json_writer *w, const struct model *m, bool anthropic, uint64_t started_s)
{
	char when[32];
	time_t started = (time_t)started_s;
	struct tm tm;

	json_object(w);
	if (anthropic) {
		size_t len =
			strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&started, &tm));
		json_pair(w, STR("type"), STR("model"));
		json_pair(w, STR("id"), m->name);
		json_pair(w, STR("display_name"), m->name);
		json_pair(w, STR("created_at"), (struct str){ when, len });
	} else {
		json_pair(w, STR("id"), m->name);
		json_pair(w, STR("object"), STR("model"));
		json_key(w, STR("created"));
		json_number(w, (int64_t)started_s);
		json_pair(w, STR("owned_by"), m->owner);
	}
	json_object_end(w);
}

static void
id_or_null(struct json_writer *w, struct str key, const struct model *m)
{
	json_key(w, key);
	if (m->name.len > 0)
		json_text(w, m->name);
	else
		json_null(w);
}

int
status_models(struct buf *out, const struct conf *c, const struct conf_client *key, bool anthropic,
	uint64_t started_s)
{
	struct models at = { .conf = c, .key = key };
	struct model m, first = { 0 }, last = { 0 };
	struct json_writer w;

	json_writer_init(&w, out);
	json_object(&w);
	if (!anthropic)
		json_pair(&w, STR("object"), STR("list"));
	json_key(&w, STR("data"));
	json_array(&w);
	while (models_next(&at, &m)) {
		if (first.name.len == 0)
			first = m;
		last = m;
		model_write(&w, &m, anthropic, started_s);
	}
	json_array_end(&w);
	if (anthropic) {
		json_key(&w, STR("has_more"));
		json_bool(&w, false);
		id_or_null(&w, STR("first_id"), &first);
		id_or_null(&w, STR("last_id"), &last);
	}
	json_object_end(&w);
	return out->failed ? -1 : 0;
}

int
status_model(struct buf *out, const struct conf *c, const struct conf_client *key, struct str id,
	bool anthropic, uint64_t started_s)
{
	struct models at = { .conf = c };
	struct model m;
	struct json_writer w;

	while (models_step(&at, &m)) {
		if (!str_eq(m.name, id) || !route_admits(key, id))
			continue;
		json_writer_init(&w, out);
		model_write(&w, &m, anthropic, started_s);
		return out->failed ? -1 : 0;
	}
	return 1;
}
