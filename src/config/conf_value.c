/*
 * conf_value: groups and single values: types, ranges, defaults, unknown names.
 *
 * Called with a group of libconfig's tree and the struct that it fills; the table of names says
 * where each value goes. Every fault is told with its place, the value and what would do, and
 * reading goes on with the default, so that one run finds all of them. Lists, and groups of freely
 * chosen names, are handed to the functions of the files that know them.
 */
#include "config/conf_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json/text.h"

/* Room for a value as messages show it, and for the path of a setting. */
#define SHOWN 80
#define PATH 256

static conf_reader *const readers[CONF_MANIES] = {
	[MANY_LISTEN] = conf_read_listens,
	[MANY_CLIENTS] = conf_read_clients,
	[MANY_CLIENT_MODELS] = conf_read_client_models,
	[MANY_PROVIDERS] = conf_read_providers,
	[MANY_ROUTES] = conf_read_routes,
	[MANY_HEADERS] = conf_read_headers,
	[MANY_MODELS] = conf_read_models,
	[MANY_MAPS] = conf_read_maps,
	[MANY_MODEL_OPTIONS] = conf_read_model_options,
	[MANY_STRIP] = conf_read_strip,
	[MANY_ENDPOINTS] = conf_read_endpoints,
	[MANY_ENDPOINT_HEADERS] = conf_read_endpoint_headers,
	[MANY_TARGETS] = conf_read_targets,
};

const struct conf_place *
conf_place(const config_setting_t *s)
{
	static const struct conf_place nowhere = { .file = "" };

	return s->hook ? s->hook : &nowhere;
}

struct conf_spot
conf_spot(struct conf_loader *l, const config_setting_t *s)
{
	const struct conf_place *place = s ? conf_place(s) : NULL;

	if (!place || place->line == 0)
		return (struct conf_spot){ l->conf->path.p, 0 };
	return (struct conf_spot){ arena_copy(&l->conf->arena, str_of(place->file)).p,
		place->line };
}

unsigned
conf_length(const config_setting_t *s)
{
	return (unsigned)config_setting_length(s);
}

config_setting_t *
conf_member(config_setting_t *group, const char *name)
{
	return config_setting_is_group(group) ? config_setting_get_member(group, name) : NULL;
}

config_setting_t *
conf_named(config_setting_t *group, const char *name)
{
	config_setting_t *s = conf_member(group, name);

	return s ? s : group;
}

/* providers.openai.headers, routes[0].model. Returns the length; cut to the room there is. */
static size_t
put_path(const config_setting_t *s, char *out, size_t size)
{
	const config_setting_t *parent = config_setting_parent(s);
	size_t at;
	int n;

	if (!parent) {
		out[0] = '\0';
		return 0;
	}
	at = put_path(parent, out, size);
	if (config_setting_name(s))
		n = snprintf(out + at, size - at, "%s%s", at > 0 ? "." : "",
			config_setting_name(s));
	else
		n = snprintf(out + at, size - at, "[%d]", config_setting_index(s));
	return n < 0 || (size_t)n >= size - at ? size - 1 : at + (size_t)n;
}

void
conf_error(struct conf_loader *l, const config_setting_t *s, const char *fmt, ...)
{
	const struct conf_place *place = conf_place(s);
	char path[PATH], text[512];
	va_list ap;

	put_path(s, path, sizeof path);
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	conf_tell(l->teller, place->line > 0 ? place->file : l->path, place->line, "%s%s%s", path,
		path[0] ? " " : "", text);
}

void
conf_warn(const config_setting_t *s, const char *text)
{
	const struct conf_place *place = conf_place(s);
	char path[PATH];

	put_path(s, path, sizeof path);
	log_warn("%s:%u: %s %s", place->file, place->line, path, text);
}

/* A value for a message. */
static const char *
show(const config_setting_t *s, char out[SHOWN])
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_LIST:
		return "a list";
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(s) ? "true" : "false";
	case CONFIG_TYPE_FLOAT:
		snprintf(out, SHOWN, "%.10g", config_setting_get_float(s));
		if (strspn(out, "-0123456789") == strlen(out))
			snprintf(out, SHOWN, "%.1f", config_setting_get_float(s));
		break;
	case CONFIG_TYPE_STRING:
		snprintf(out, SHOWN, "\"%.*s\"", STR_ARG(str_head(conf_place(s)->text, 60)));
		break;
	default:
		snprintf(out, SHOWN, "%lld", config_setting_get_int64(s));
	}
	return out;
}

static void
wrong(struct conf_loader *l, const config_setting_t *s, const char *must)
{
	char shown[SHOWN];

	if (conf_place(s)->hidden)
		conf_error(l, s, "must be %s", must);
	else
		conf_error(l, s, "must be %s, not %s", must, show(s, shown));
}

bool
conf_is_group(struct conf_loader *l, config_setting_t *s)
{
	if (!config_setting_is_group(s))
		wrong(l, s, "a group { ... }");
	return config_setting_is_group(s);
}

bool
conf_is_list(struct conf_loader *l, config_setting_t *s)
{
	if (!config_setting_is_list(s))
		wrong(l, s, "a list ( ... )");
	return config_setting_is_list(s);
}

bool
conf_text_value(struct conf_loader *l, config_setting_t *s, const char *must, struct str *out)
{
	struct str text;

	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		wrong(l, s, must);
		return false;
	}
	text = conf_place(s)->text;
	if (!json_text_plain(text)) {
		conf_error(l, s,
			"holds a control character or a broken one: write UTF-8, in one line");
		return false;
	}
	*out = arena_copy(&l->conf->arena, text);
	return out->p != NULL;
}

static void
put_number(const struct conf_row *row, void *base, long long n)
{
	char *at = (char *)base + row->offset;

	if (row->kind == KIND_NOT)
		n = !n;
	switch (row->size) {
	case sizeof(bool):
		*at = n != 0;
		break;
	case sizeof(uint16_t):
		memcpy(at, &(uint16_t){ (uint16_t)n }, sizeof(uint16_t));
		break;
	case sizeof(uint32_t):
		memcpy(at, &(uint32_t){ (uint32_t)n }, sizeof(uint32_t));
		break;
	default:
		memcpy(at, &(uint64_t){ (uint64_t)n }, sizeof(uint64_t));
	}
}

static void
put_text(const struct conf_row *row, void *base, struct str text)
{
	memcpy((char *)base + row->offset, &text, sizeof text);
}

void
conf_preset(struct arena *a, enum conf_scope scope, void *base)
{
	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (row->scope != scope || row->kind == KIND_MANY)
			continue;
		if (row->kind == KIND_IN)
			conf_preset(a, (enum conf_scope)row->inner, base);
		else if (row->kind == KIND_TEXT || row->kind == KIND_PATH ||
			row->kind == KIND_SECRET)
			put_text(row, base, arena_copy(a, str_of(row->text)));
		else
			put_number(row, base, row->preset);
	}
}

/* Seconds to milliseconds; -1 when they are no number that could be a time. More than 0 never
 * becomes 0. */
static long long
time_ms(const config_setting_t *s)
{
	double seconds;

	if (!config_setting_is_number(s))
		return -1;
	seconds = config_setting_type(s) == CONFIG_TYPE_FLOAT ? config_setting_get_float(s)
							      : (double)config_setting_get_int64(s);
	if (!(seconds >= 0 && seconds <= 1e9))
		return -1;
	return seconds > 0 && seconds < 0.001 ? -1 : llround(seconds * 1000);
}

/* What would do for a number, as text. */
static void
number_range(const struct conf_row *row, char out[SHOWN])
{
	double low = (double)row->low / 1000, high = (double)row->high / 1000;

	if (row->kind == KIND_TIME && row->low > 0)
		snprintf(out, SHOWN, "%.10g to %.10g seconds", low, high);
	else if (row->kind == KIND_TIME)
		snprintf(out, SHOWN, "0, or 0.001 to %.10g seconds", high);
	else
		snprintf(out, SHOWN, "%s%lld to %lld%s",
			row->kind == KIND_AUTO ? "\"auto\" or " : "", row->low, row->high,
			row->kind == KIND_BYTES ? " bytes" : "");
}

static bool
is_auto(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_STRING &&
		str_eq(conf_place(s)->text, STR("auto"));
}

static void
read_number(struct conf_loader *l, config_setting_t *s, const struct conf_row *row, void *base)
{
	bool integer = config_setting_type(s) == CONFIG_TYPE_INT ||
		config_setting_type(s) == CONFIG_TYPE_INT64;
	long long n = row->kind == KIND_TIME ? time_ms(s)
		: integer                    ? config_setting_get_int64(s)
					     : -1;
	char must[SHOWN];

	if (row->kind == KIND_AUTO && is_auto(s)) {
		put_number(row, base, 0);
	} else if (n >= row->low && n <= row->high) {
		put_number(row, base, n);
	} else {
		number_range(row, must);
		wrong(l, s, must);
	}
}

static void
read_word(struct conf_loader *l, config_setting_t *s, const struct conf_row *row, void *base)
{
	struct str text = conf_place(s)->text;
	char must[SHOWN] = "";
	size_t i, at = 0;

	for (i = 0; conf_word(row->text, i).len > 0; i++) {
		struct str word = conf_word(row->text, i);
		bool last = conf_word(row->text, i + 1).len == 0;

		if (str_eq(text, word)) {
			put_number(row, base, row->low + (long long)i);
			return;
		}
		at += (size_t)snprintf(must + at, sizeof must - at, "%s\"%.*s\"",
			i == 0         ? ""
				: last ? " or "
				       : ", ",
			STR_ARG(word));
	}
	wrong(l, s, must);
}

static void
read_secret(struct conf_loader *l, config_setting_t *s, const struct conf_row *row, void *base)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		put_text(row, base, conf_place(s)->text);
	else
		wrong(l, s, "text in double quotes");
}

static void
read_text(struct conf_loader *l, config_setting_t *s, const struct conf_row *row, void *base)
{
	struct str text = { "", 0 };

	if (row->kind == KIND_SECRET) { /* never copied */
		read_secret(l, s, row, base);
		return;
	}
	if (!conf_text_value(l, s, "text in double quotes", &text))
		return;
	if (row->kind == KIND_PATH && text.len > 0)
		text = conf_file_beside(&l->conf->arena, l->conf->path.p, text);
	put_text(row, base, text);
}

static void
read_value(struct conf_loader *l, config_setting_t *s, const struct conf_row *row, void *base)
{
	switch (row->kind) {
	case KIND_TEXT:
	case KIND_PATH:
	case KIND_SECRET:
		read_text(l, s, row, base);
		break;
	case KIND_FLAG:
	case KIND_NOT:
		if (config_setting_type(s) == CONFIG_TYPE_BOOL)
			put_number(row, base, config_setting_get_bool(s));
		else
			wrong(l, s, "true or false");
		break;
	case KIND_WORD:
		read_word(l, s, row, base);
		break;
	case KIND_IN:
		conf_group_read(l, s, (enum conf_scope)row->inner, base);
		break;
	case KIND_MANY:
		break;
	default:
		read_number(l, s, row, base);
	}
}

/* All names of a scope, for a message: "connect, first_byte, idle". */
static void
list_names(enum conf_scope scope, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < conf_n_rows && at < size; i++) {
		if (conf_rows[i].scope == scope)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "",
				conf_rows[i].name);
	}
}

static void
unknown(struct conf_loader *l, const config_setting_t *s, enum conf_scope scope)
{
	bool close;
	const char *nearest = conf_name_nearest(scope, str_of(config_setting_name(s)), &close);
	char names[SHOWN * 4];

	list_names(scope, names, sizeof names);
	if (close)
		conf_error(l, s, "is unknown: did you mean %s?", nearest);
	else
		conf_error(l, s, "is unknown: nearest is %s, of %s", nearest, names);
}

bool
conf_slipped(config_setting_t *group, enum conf_scope scope, const char *name)
{
	bool close = false;

	for (unsigned i = 0; i < conf_length(group); i++) {
		struct str other = str_of(config_setting_name(config_setting_get_elem(group, i)));

		if (!conf_row_find(scope, other) &&
			strcmp(conf_name_nearest(scope, other, &close), name) == 0 && close)
			return true;
	}
	return false;
}

void
conf_group_read(struct conf_loader *l, config_setting_t *group, enum conf_scope scope, void *base)
{
	if (!conf_is_group(l, group))
		return;
	for (unsigned i = 0; i < conf_length(group); i++) {
		config_setting_t *s = config_setting_get_elem(group, i);
		const struct conf_row *row = conf_row_find(scope, str_of(config_setting_name(s)));

		if (row)
			read_value(l, s, row, base);
		else
			unknown(l, s, scope);
	}
	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];
		config_setting_t *s = row->scope == scope && row->kind == KIND_MANY
			? conf_member(group, row->name)
			: NULL;

		if (s)
			readers[row->inner](l, s, base);
	}
}
