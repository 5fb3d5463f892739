/*
 * count: series by name.
 *
 * A key holds, from the top: metric, path, provider, client, model, detail, bucket; so that keys in
 * order stand together by metric and labels, and the buckets of a histogram stand in order. When
 * the board has no room for another key, the count goes to one in which every name is "other":
 * sums stay what they are.
 *
 * Called by the proxy for each request and by the master; nothing here can fail.
 */
#include "report/count.h"

#define LABEL SERIES_LABEL_BITS
enum {
	DETAIL_BITS = 10,
	PATH_BITS = 5,
	METRIC_BITS = 64 - COUNT_BUCKET_BITS - DETAIL_BITS - 3 * LABEL - PATH_BITS
};

const uint32_t count_bounds_ms10[COUNT_BUCKETS - 1] = { 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
	10000, 25000, 50000, 100000, 300000, 600000, 1200000, 3000000, 6000000 };

struct str
close_word(enum close_reason why)
{
	static const struct str words[] = {
#define CLOSE(name, word) STR_INIT(word),
#include "report/close_reason.def"
#undef CLOSE
	};

	return words[why];
}

unsigned
count_close(enum side side, enum close_reason why)
{
	return (unsigned)side * 32 + (unsigned)why;
}

struct str
path_text(unsigned path)
{
	static const struct str own[] = {
#define OWN_PATH(id, text, longer, keyed) STR_INIT(text),
#include "report/own_path.def"
#undef OWN_PATH
	};

	if (path >= PATH_OWN && path < PATHS)
		return path == PATH_model ? STR("/v1/models/ID") : own[path - PATH_OWN];
	if (path >= PATH_ENDPOINTS && path < PATH_OWN)
		return endpoints[path - PATH_ENDPOINTS].path;
	return STR("other");
}

uint64_t
count_pack(const struct count_key *k, unsigned bucket)
{
	uint64_t key = k->metric;

	_Static_assert(METRICS <= 1 << METRIC_BITS, "every metric has a number");
	_Static_assert(PATHS <= 1 << PATH_BITS, "every path has a number");
	key = key << PATH_BITS | k->path;
	key = key << LABEL | k->provider;
	key = key << LABEL | k->client;
	key = key << LABEL | k->model;
	key = key << DETAIL_BITS | k->detail;
	return key << COUNT_BUCKET_BITS | bucket;
}

static unsigned
take(uint64_t *key, unsigned bits)
{
	unsigned n = (unsigned)(*key & ((UINT64_C(1) << bits) - 1));

	*key >>= bits;
	return n;
}

struct count_key
count_unpack(uint64_t key, unsigned *bucket)
{
	struct count_key k;

	*bucket = take(&key, COUNT_BUCKET_BITS);
	k.detail = take(&key, DETAIL_BITS);
	k.model = take(&key, LABEL);
	k.client = take(&key, LABEL);
	k.provider = take(&key, LABEL);
	k.path = take(&key, PATH_BITS);
	k.metric = (enum metric)key;
	return k;
}

/* Provider, client and model of a key that is packed: 0 in it, they are "other". */
#define NAMES (((UINT64_C(1) << (3 * LABEL)) - 1) << (DETAIL_BITS + COUNT_BUCKET_BITS))
_Static_assert(LABEL_OTHER == 0, "a key without names is that of other");

static void
add(struct series_writer *w, uint64_t key, uint64_t n)
{
	series_add(w, key, key & ~NAMES, n);
}

void
count_add(struct series_writer *w, const struct count_key *k, uint64_t n)
{
	add(w, count_pack(k, 0), n);
}

void
count_begin(struct series_writer *w)
{
	static const enum close_reason none_left[] = { CLOSE_FULL, CLOSE_MEMORY };

	for (unsigned why = 0; why < ACCEPT_FAILURES; why++)
		count_add(w, &(struct count_key){ .metric = METRIC_ACCEPT_FAILURES, .detail = why },
			0);
	for (size_t i = 0; i < sizeof none_left / sizeof none_left[0]; i++)
		count_add(w,
			&(struct count_key){ .metric = METRIC_CLOSES,
				.detail = count_close(SIDE_CLIENT, none_left[i]) },
			0);
}

void
count_time(struct series_writer *w, const struct count_key *k, uint64_t us)
{
	uint64_t key = count_pack(k, 0);
	unsigned bucket = 0;

	while (bucket < COUNT_BUCKETS - 1 && us > (uint64_t)count_bounds_ms10[bucket] * 100)
		bucket++;
	add(w, key | bucket, 1);
	add(w, key | COUNT_SUM, us);
}

unsigned
count_model(const struct conf_provider *p, struct str model, unsigned otherwise)
{
	for (size_t i = 0; i < p->n_models; i++) {
		if (str_eq(p->models[i], model))
			return p->model_labels[i];
	}
	for (size_t i = 0; i < p->n_maps; i++) {
		if (str_eq(p->maps[i].to, model))
			return p->maps[i].label;
	}
	return otherwise;
}

unsigned
path_number(struct str path)
{
	static const struct {
		struct str text;
		bool longer;
	} own[] = {
#define OWN_PATH(id, text, longer, keyed) { STR_INIT(text), longer },
#include "report/own_path.def"
#undef OWN_PATH
	};
	const struct endpoint *e = endpoint_find(path);

	if (e)
		return PATH_ENDPOINTS + e->id;
	for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++) {
		if (own[i].longer ? str_starts(path, own[i].text) && path.len > own[i].text.len
				  : str_eq(path, own[i].text))
			return PATH_OWN + i;
	}
	return PATH_OTHER;
}

/* Names that found no room: they are counted as "other". */
struct lost {
	size_t n;
	struct str first;
};

static uint16_t
number(struct series_board *b, struct str name, struct lost *lost)
{
	unsigned label = series_label(b, name);

	if (label == LABEL_OTHER && name.len > 0 && !str_eq(name, STR("other")) && lost->n++ == 0)
		lost->first = name;
	return (uint16_t)label;
}

static void
name_provider(struct series_board *b, struct conf_provider *p, struct lost *lost)
{
	p->label = number(b, p->name, lost);
	for (size_t i = 0; i < p->n_maps; i++)
		p->maps[i].label = number(b, p->maps[i].to, lost);
	for (size_t i = 0; i < p->n_models; i++)
		p->model_labels[i] = number(b, p->models[i], lost);
}

void
count_name(struct series_board *b, struct conf *c)
{
	struct lost lost = { 0 };

	for (size_t i = 0; i < c->n_providers; i++)
		name_provider(b, &c->providers[i], &lost);
	for (size_t i = 0; i < c->n_clients; i++)
		c->clients[i].label = number(b, c->clients[i].name, &lost);
	for (size_t i = 0; i < c->n_routes; i++) {
		struct conf_route *r = &c->routes[i];

		r->label = number(b, r->model, &lost);
		for (size_t k = 0; k < r->n_targets; k++)
			r->targets[k].label = number(b, r->targets[k].model, &lost);
	}
	if (lost.n > 0)
		log_warn(
			"the metrics have no room for %zu names, of which %.*s is the first: they are counted as other",
			lost.n, STR_ARG(str_head(lost.first, 64)));
}
