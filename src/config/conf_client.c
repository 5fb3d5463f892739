/*
 * conf_client: the group `clients`: who is admitted.
 *
 * Called by conf_value for the group and for the models of each client. Of a key only its SHA-256
 * is kept. It stands in the file as that, or the key itself is read from the environment or from a
 * file and wiped as soon as it is hashed; a key in so many words is an error, since configurations
 * are copied about. A key that cannot be had is an error as well: whoever it is for would be shut
 * out. The same key twice is one, since it could not be told who came.
 */
#include "config/conf_private.h"

#include <string.h>

#include "config/secret.h"
#include "http/head.h"

#define NAME_MOST 128
#define KEY_LEAST 16 /* bytes of a key that was not made by -k */
#define SHA256 STR("sha256:")

/* Of 64 hexadecimal digits. 0, or -1 when one is none. */
static int
read_hex(struct str s, uint8_t out[SECRET_HASH])
{
	for (size_t i = 0; i < s.len; i++) {
		int digit = head_hex_value(s.p[i]);

		if (digit < 0)
			return -1;
		out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
	}
	return 0;
}

/* The hash of nothing is what comes of hashing a variable that is not set. */
static bool
is_of_nothing(const uint8_t hash[SECRET_HASH])
{
	uint8_t nothing[SECRET_HASH];

	secret_hash(STR(""), nothing);
	return secret_hash_eq(hash, nothing);
}

/* A key from the environment or from a file becomes its hash. */
static void
fetch_key(struct conf_loader *l, const config_setting_t *s, struct str spec, struct conf_client *c)
{
	struct arena once;
	struct str key;
	const char *warning;
	char err[256];
	int found;

	arena_init(&once, 0);
	found = secret_read(spec, &once, &key, &warning, err, sizeof err);
	if (found < 0)
		conf_error(l, s, "cannot be had: %s", err);
	else if (found > 0)
		conf_error(l, s, "cannot be had: %.*s is %s", STR_ARG(spec),
			str_starts(spec, STR("env:")) ? "not set" : "empty");
	else if (key.len < KEY_LEAST)
		conf_error(l, s,
			"has fewer than %d characters, which is soon guessed: api-router -k makes a key",
			KEY_LEAST);
	else if (!head_value_valid(key))
		conf_error(l, s,
			"is not what a key can be: it holds a control character, or begins or ends with white space");
	else
		secret_hash(key, c->hash);
	if (warning)
		log_warn("%s:%u: %.*s: %s", conf_place(s)->file, conf_place(s)->line, STR_ARG(spec),
			warning);
	if (key.p && key.len > 0) {
		char *p;

		memcpy(&p, &key.p, sizeof p);
		secret_wipe(p, key.len);
	}
	arena_free(&once);
}

/* c->key holds what was written. */
static void
read_key(struct conf_loader *l, config_setting_t *s, struct conf_client *c)
{
	config_setting_t *place = conf_named(s, "key");
	struct str spec = c->key;

	c->key = STR("");
	if (!conf_member(s, "key")) {
		conf_error(l, s, "has no key: api-router -k %.*s makes one",
			STR_ARG(str_head(c->name, 64)));
	} else if (str_starts(spec, SHA256)) {
		if (spec.len - SHA256.len != (size_t)SECRET_HASH * 2)
			conf_error(l, place,
				"must have 64 hexadecimal digits behind sha256:, not %zu: api-router -k %.*s prints such a line",
				spec.len - SHA256.len, STR_ARG(str_head(c->name, 64)));
		else if (read_hex(str_skip(spec, SHA256.len), c->hash) < 0)
			conf_error(l, place,
				"must have 64 hexadecimal digits behind sha256:, and one of these is none: api-router -k %.*s prints such a line",
				STR_ARG(str_head(c->name, 64)));
		else if (is_of_nothing(c->hash))
			conf_error(l, place,
				"is the hash of an empty key, which nobody can send: api-router -k %.*s makes one",
				STR_ARG(str_head(c->name, 64)));
		c->key = arena_copy(&l->conf->arena, spec);
	} else if (str_starts(spec, STR("env:")) || str_starts(spec, STR("file:"))) {
		c->key = arena_copy(&l->conf->arena, spec);
		fetch_key(l, place, spec, c);
	} else {
		conf_error(l, place,
			"must be \"sha256:...\", the hash of a key as api-router -k %.*s makes it, or \"env:NAME\" or \"file:/path\", where the key itself is",
			STR_ARG(str_head(c->name, 64)));
	}
}

/* Against those before it. */
static void
check_twins(struct conf_loader *l, config_setting_t *s, const struct conf_client *c)
{
	for (const struct conf_client *other = l->conf->clients; other < c; other++) {
		if (str_eq(other->name, c->name))
			conf_error(l, s, "is \"%.*s\" a second time", STR_ARG(c->name));
		else if (other->key.len > 0 && c->key.len > 0 &&
			memcmp(other->hash, c->hash, SECRET_HASH) == 0)
			conf_error(l, conf_named(s, "key"),
				"is the key of \"%.*s\", too: api-router -k %.*s makes another",
				STR_ARG(other->name), STR_ARG(str_head(c->name, 64)));
		else
			continue;
		break;
	}
}

static void
read_client(struct conf_loader *l, config_setting_t *s, struct conf_client *c, bool list)
{
	unsigned errors = l->teller->n;

	if (!config_setting_is_group(s)) { /* not shown: it may be a key */
		conf_error(l, s, "must be a group { key = \"...\"; }");
		return;
	}
	conf_preset(&l->conf->arena, SCOPE_CLIENT, c);
	c->rate = conf_member(s, "rate_limit") ? (struct conf_rate){ 0, 0 } : l->conf->rate;
	conf_group_read(l, s, SCOPE_CLIENT, c);
	conf_rate_check(l, s);
	if (!list) {
		if (conf_member(s, "name"))
			conf_error(l, conf_named(s, "name"),
				"is too much: the name of the group is the name of the client");
		c->name = arena_copy(&l->conf->arena, str_of(config_setting_name(s)));
	}
	if (list && !conf_member(s, "name"))
		conf_error(l, s, "has no name");
	else if (c->name.len == 0 || c->name.len > NAME_MOST)
		conf_error(l, conf_named(s, "name"), "must be a name of 1 to %d bytes", NAME_MOST);
	if (l->teller->n == errors)
		read_key(l, s, c);
	if (l->teller->n == errors)
		check_twins(l, s, c);
}

/* { alice: { key = "..."; }; } or ( { name = "alice"; key = "..."; } ) */
void
conf_read_clients(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf *c = base;
	bool list = config_setting_is_list(s);

	if (!list && !config_setting_is_group(s)) {
		conf_error(l, s, "must be a group { ... } or a list ( ... )");
		return;
	}
	if (conf_length(s) == 0)
		conf_error(l, s,
			"is empty, which would admit everyone: name a client (api-router -k NAME makes a key), or leave it out");
	c->clients = arena_zero(&c->arena, conf_length(s) * sizeof *c->clients);
	for (unsigned i = 0; c->clients && i < conf_length(s); i++) {
		struct conf_client *client = &c->clients[c->n_clients];

		read_client(l, config_setting_get_elem(s, i), client, list);
		c->n_clients++;
	}
}

void
conf_read_client_models(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_client *c = base;

	if (!conf_is_list(l, s))
		return;
	if (conf_length(s) == 0)
		conf_error(l, s, "is empty: leave it out for all models");
	c->models = arena_zero(&l->conf->arena, conf_length(s) * sizeof *c->models);
	for (unsigned i = 0; c->models && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct str *model = &c->models[c->n_models];

		if (!conf_text_value(l, e, "a pattern of models in double quotes", model))
			continue;
		if (model->len == 0)
			conf_error(l, e, "is an empty pattern");
		c->n_models++;
	}
}
