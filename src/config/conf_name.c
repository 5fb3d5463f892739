/*
 * conf_name: the table of names, and names that are almost known.
 *
 * Whoever writes a name wrong is told the nearest one: the fewest letters to put in, take out,
 * replace or swap. Names are few and short, so every lookup goes through the whole table.
 *
 * conf_names.def is the one place for every name, its type, range and default; here it becomes an
 * array. Called by all that reads or prints a configuration. Nothing here can fail.
 */
#include "config/conf_private.h"

#include <string.h>

#define CONF_STRUCT_ROOT struct conf
#define CONF_STRUCT_LISTEN struct conf_listen
#define CONF_STRUCT_LISTEN_TLS struct conf_listen
#define CONF_STRUCT_LOG struct conf
#define CONF_STRUCT_ACCESS_LOG struct conf
#define CONF_STRUCT_LIMITS struct conf
#define CONF_STRUCT_TIMEOUTS struct conf
#define CONF_STRUCT_RATE struct conf
#define CONF_STRUCT_STREAM struct conf
#define CONF_STRUCT_CLIENT struct conf_client
#define CONF_STRUCT_CLIENT_RATE struct conf_client
#define CONF_STRUCT_PROVIDER struct conf_provider
#define CONF_STRUCT_TLS struct conf_provider
#define CONF_STRUCT_CONNECTIONS struct conf_provider
#define CONF_STRUCT_ATTEMPT struct conf_provider
#define CONF_STRUCT_PROVIDER_RATE struct conf_provider
#define CONF_STRUCT_ENDPOINT struct conf_endpoint
#define CONF_STRUCT_ENDPOINT_RATE struct conf_endpoint
#define CONF_STRUCT_ENDPOINT_STREAM struct conf_endpoint
#define CONF_STRUCT_ECHO struct conf_provider
#define CONF_STRUCT_HEADER struct conf_header
#define CONF_STRUCT_MODEL struct conf_model
#define CONF_STRUCT_MAP struct conf_map
#define CONF_STRUCT_ROUTE struct conf_written_route
#define CONF_STRUCT_TARGET struct conf_written_target

#define CONF(scope, name, kind, member, low, high, preset, text, dialects)              \
	{ SCOPE_##scope, #name, KIND_##kind, offsetof(CONF_STRUCT_##scope, member),     \
		sizeof(((CONF_STRUCT_##scope *)NULL)->member), low, high, preset, text, \
		FOR_##dialects, 0 },
#define CONF_IN(scope, name, in, dialects) \
	{ SCOPE_##scope, #name, KIND_IN, 0, 0, 0, 0, 0, "", FOR_##dialects, SCOPE_##in },
#define CONF_MANY(scope, name, many, dialects) \
	{ SCOPE_##scope, #name, KIND_MANY, 0, 0, 0, 0, 0, "", FOR_##dialects, MANY_##many },

const struct conf_row conf_rows[] = {
#include "config/conf_names.def"
};
const size_t conf_n_rows = sizeof conf_rows / sizeof conf_rows[0];

/* Longest name that is compared letter by letter. */
#define NAME_MOST 32

const struct conf_row *
conf_row_find(enum conf_scope scope, struct str name)
{
	for (size_t i = 0; i < conf_n_rows; i++) {
		if (conf_rows[i].scope == scope && str_eq(str_of(conf_rows[i].name), name))
			return &conf_rows[i];
	}
	return NULL;
}

bool
conf_name_is_secret(struct str name)
{
	for (size_t i = 0; i < conf_n_rows; i++) {
		if (conf_rows[i].kind == KIND_SECRET && str_eq(str_of(conf_rows[i].name), name))
			return true;
	}
	return false;
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t
conf_distance(struct str a, struct str b)
{
	size_t rows[3][NAME_MOST + 1];

	a = str_head(a, NAME_MOST);
	b = str_head(b, NAME_MOST);
	for (size_t j = 0; j <= b.len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *now = rows[i % 3], *above = rows[(i - 1) % 3], *two = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t differs = a.p[i - 1] != b.p[j - 1];

			now[j] = least(above[j - 1] + differs, least(above[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				now[j] = least(now[j], two[j - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

bool
conf_is_slip(size_t distance, struct str name)
{
	return distance <= 1 + least(name.len, NAME_MOST) / 4;
}

const char *
conf_name_nearest(enum conf_scope scope, struct str name, bool *close)
{
	size_t best = SIZE_MAX;
	const char *found = NULL;

	for (size_t i = 0; i < conf_n_rows; i++) {
		size_t d = conf_rows[i].scope == scope
			? conf_distance(name, str_of(conf_rows[i].name))
			: SIZE_MAX;

		if (d < best) {
			best = d;
			found = conf_rows[i].name;
		}
	}
	*close = found && conf_is_slip(best, name);
	return found;
}

struct str
conf_word(const char *words, size_t i)
{
	struct str s = str_of(words);

	for (; i > 0 && s.len > 0; i--)
		s = str_skip(s, str_index(s, '|') + 1);
	return str_head(s, str_index(s, '|'));
}
