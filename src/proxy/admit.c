/*
 * admit: who may ask, and how often.
 *
 * Called by answer, when the head is known, for the key, and by attempt, when a provider is chosen,
 * for the limits. A key is compared by its hash with those of all clients, each to
 * its end, so that the time says nothing of them; and since that is work which anybody can ask for,
 * of few fields only. A key that was admitted is known from then on by another hash, whose secret
 * nobody else has: neither can it be told from the time, nor can another text be made to have the
 * same. What was a key goes nowhere, wherever in the head it stands. Of limits two
 * can apply: the client's own or the general one, and the endpoint's or the provider's. Two are
 * looked at before they are charged; when another process has been faster in between, the first is
 * given back.
 *
 * A refusal is a whole reply: 401, or 429 with the time after which another try is worth while.
 */
#include "proxy/admit.h"

#include <inttypes.h>

#include "net/clock.h"
#include "proxy/account.h"
#include "proxy/request_private.h"

/* Where a key may stand (OpenAI, Anthropic, Azure and Gemini clients). */
static const struct str key_fields[] = { STR_INIT("authorization"), STR_INIT("x-api-key"),
	STR_INIT("api-key"), STR_INIT("x-goog-api-key") };
#define KEY_FIELDS (sizeof key_fields / sizeof key_fields[0])
#define KEY_BITS                                                                   \
	(HEAD_BIT("authorization") | HEAD_BIT("x-api-key") | HEAD_BIT("api-key") | \
		HEAD_BIT("x-goog-api-key"))

/* Fields of a request that are looked at for a key: each is compared with those of all clients. */
#define LOOKED_MOST 8
/* Bytes of a key that is found inside other text, too; a shorter one may stand there by chance. */
#define FOUND_LEAST 16

/* What a field shows as a key; empty when it is another field. *accepted: it stands there as a key
 * should, and not behind a scheme that is none or is not known. */
static struct str
key_in(const struct field *f, bool *accepted)
{
	size_t i = 0, blank, tab;
	struct str scheme, rest;
	bool bearer;

	*accepted = false;
	if ((head_bit(f->name) & KEY_BITS) == 0)
		return STR("");
	while (i < KEY_FIELDS && !str_eq_nocase(f->name, key_fields[i]))
		i++;
	if (i == KEY_FIELDS)
		return STR("");
	blank = str_index(f->value, ' ');
	tab = str_index(f->value, '\t');
	scheme = str_head(f->value, blank < tab ? blank : tab);
	rest = str_trim(str_skip(f->value, scheme.len));
	bearer = rest.len > 0 && str_eq_nocase(scheme, STR("bearer"));
	*accepted = (i == 0) == bearer;
	return rest.len > 0 && (i == 0 || bearer) ? rest : f->value;
}

static const struct conf_client *
client_of(const struct conf *c, struct str key)
{
	const struct conf_client *found = NULL;
	uint8_t hash[SECRET_HASH];

	secret_hash(key, hash);
	for (size_t i = 0; i < c->n_clients; i++) {
		if (secret_hash_eq(hash, c->clients[i].hash))
			found = &c->clients[i];
	}
	return found;
}

/* The same, sooner for a key that was admitted not long ago. */
static const struct conf_client *
client_known(struct proxy *p, struct str key)
{
	struct siphash hash = siphash(&p->known.secret, key);
	size_t at = hash.h[0] % KNOWN_KEYS;
	const struct conf_client *client = p->known.all[at].client;

	if (client && p->known.all[at].hash.h[0] == hash.h[0] &&
		p->known.all[at].hash.h[1] == hash.h[1])
		return client;
	client = client_of(p->conf, key);
	if (client) {
		p->known.all[at].hash = hash;
		p->known.all[at].client = client;
	}
	return client;
}

static void
refuse_key(struct request *r, bool shown)
{
	struct error e = { .kind = ERROR_AUTH };

	e.message = shown
		? STR("the client key is not one that the router knows")
		: STR("a client key is required: send it as Authorization: Bearer KEY, x-api-key, api-key or x-goog-api-key");
	request_fail(r, &e, STR("www-authenticate: Bearer\r\n"));
}

/* Field `i` is kept, as field `n`. */
static void
keep(struct field *fields, size_t n, size_t i)
{
	if (n < i)
		fields[n] = fields[i];
}

/* Take out every field that shows a client's key, and unseen those past LOOKED_MOST. *key: the
 * first that admits; its client is r->key; else the first that is one, where none admits. */
static void
take_keys(struct request *r, struct str *key)
{
	bool accepted;
	unsigned looked = 0;
	size_t n = 0;

	for (size_t i = 0; i < r->head.n; i++) {
		const struct field *f = &r->head.fields[i];
		struct str shown = key_in(f, &accepted);
		const struct conf_client *client;

		if (shown.len > 0 && ++looked > LOOKED_MOST)
			continue;
		client = shown.len > 0 ? client_known(r->proxy, shown) : NULL;
		r->key_shown = r->key_shown || (accepted && shown.len > 0);
		if (client && !r->key && (accepted || key->len == 0))
			*key = shown;
		if (client && accepted && !r->key)
			r->key = client;
		if (!client)
			keep(r->head.fields, n++, i);
	}
	r->head.n = n;
}

static bool
holds(struct str text, struct str key)
{
	return key.len < FOUND_LEAST ? str_eq(text, key) : str_find(text, key) < text.len;
}

/* A key in the target would be logged, or go on to the provider. */
static bool
refuse_target(struct request *r, const char *part)
{
	r->head.path = r->path = STR("/");
	r->head.query = STR("");
	request_fail_text(r, ERROR_INVALID,
		arena_printf(&r->arena,
			"the %s holds the client key: send it in a field of the head alone", part),
		STR(""));
	return false;
}

/* Whatever else of the head holds the key. False: the request was refused. */
static bool
take_strays(struct request *r, struct str key)
{
	size_t n = 0;

	for (size_t i = 0; i < r->head.n; i++) {
		if (!holds(r->head.fields[i].value, key))
			keep(r->head.fields, n++, i);
	}
	r->head.n = n;
	if (holds(r->id, key))
		request_set_id(r);
	if (holds(r->head.path, key))
		return refuse_target(r, "path");
	return !holds(r->head.query, key) || refuse_target(r, "query");
}

bool
admit_keys(struct request *r)
{
	struct str key = STR("");

	if (r->proxy->conf->n_clients == 0)
		return true;
	take_keys(r, &key);
	return key.len == 0 || take_strays(r, key);
}

bool
admit_client(struct request *r)
{
	if (r->proxy->conf->n_clients == 0 || r->key)
		return true;
	if (client_of(r->proxy->conf, r->id)) /* a key there, and in no place where it admits */
		request_make_id(r);
	refuse_key(r, r->key_shown);
	return false;
}

/* A limit that applies. */
struct charge {
	const char *whose;
	struct limit_key key;
	struct limit_rate rate;
	struct limit_state state;
};

static void
add(struct charge *all, unsigned *n, const struct charge *c, struct conf_rate rate)
{
	if (rate.per_minute == 0)
		return;
	all[*n] = *c;
	all[(*n)++].rate = (struct limit_rate){ rate.per_minute, rate.burst };
}

static bool
same_rate(struct conf_rate a, struct conf_rate b)
{
	return a.per_minute == b.per_minute && a.burst == b.burst;
}

static unsigned
charges_of(const struct request *r, const struct conf_provider *provider, struct charge all[2])
{
	const struct conf_endpoint *e = provider->by_endpoint[r->endpoint->id];
	struct limit_key key = { .what = STR(""),
		.who = r->key ? r->key->name : r->client_ip,
		.path = r->endpoint->id };
	struct conf_rate rate = r->key ? r->key->rate : r->proxy->conf->rate;
	struct charge general = { .whose = "for every client", .key = key };
	struct charge special = { .whose = "at this provider", .key = key };
	unsigned n = 0;

	if (!same_rate(rate, r->proxy->conf->rate))
		general.whose = "for this client";
	if (e && !same_rate(e->rate, provider->rate))
		special.whose = "at this provider's endpoint";
	special.key.what = provider->name;
	add(all, &n, &general, rate);
	add(all, &n, &special, e ? e->rate : provider->rate);
	return n;
}

/* Seconds as OpenAI writes them in such fields: 12s, 1m30s, 2h0m5s. */
static struct str
duration(struct arena *a, uint64_t us)
{
	uint64_t s = (us + 999999) / 1000000;

	if (s >= 3600)
		return arena_printf(a, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", s / 3600,
			s / 60 % 60, s % 60);
	if (s >= 60)
		return arena_printf(a, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
	return arena_printf(a, "%" PRIu64 "s", s);
}

static void
refuse_rate(struct request *r, const struct charge *c)
{
	struct error e = { .kind = ERROR_RATE };
	uint64_t seconds = (c->state.wait_us + 999999) / 1000000;
	struct str fields;

	e.message = arena_printf(&r->arena,
		"the limit of %" PRIu32
		" requests a minute %s on %.*s is reached: try again in %" PRIu64 " s",
		c->rate.per_minute, c->whose, STR_ARG(r->endpoint->path), seconds);
	fields = arena_printf(&r->arena,
		"retry-after: %" PRIu64 "\r\nretry-after-ms: %" PRIu64
		"\r\nx-ratelimit-limit-requests: %" PRIu32
		"\r\nx-ratelimit-remaining-requests: %" PRIu32
		"\r\nx-ratelimit-reset-requests: %.*s\r\n",
		seconds, (c->state.wait_us + 999) / 1000, c->rate.per_minute, c->state.remaining,
		STR_ARG(duration(&r->arena, c->state.full_us)));
	if (e.message.p && fields.p)
		request_fail(r, &e, fields);
	else
		request_fail_memory(r);
}

/* Take from all, or from none. The one that refused, or NULL. */
static const struct charge *
charge(struct limit_table *t, struct charge *all, unsigned n)
{
	uint64_t now = clock_us(); /* attempt has read it */
	const struct charge *refused = NULL;

	for (unsigned i = 0; i < n && n > 1; i++) { /* of one alone the charge itself tells */
		if (!limit_look(t, &all[i].key, &all[i].rate, now, &all[i].state) &&
			(!refused || all[i].state.wait_us > refused->state.wait_us))
			refused = &all[i];
	}
	for (unsigned i = 0; i < n && !refused; i++) {
		if (!limit_take(t, &all[i].key, &all[i].rate, now, &all[i].state)) {
			refused = &all[i];
			while (i-- > 0)
				limit_return(t, &all[i].key, &all[i].rate, now);
			break;
		}
	}
	return refused;
}

bool
admit_rate(struct request *r, const struct conf_provider *provider)
{
	struct charge all[2];
	unsigned n = r->charged ? 0 : charges_of(r, provider, all);
	const struct charge *refused = n > 0 ? charge(r->proxy->limits, all, n) : NULL;

	if (refused) {
		account_limited(r);
		refuse_rate(r, refused);
		return false;
	}
	r->charged = true;
	return true;
}
