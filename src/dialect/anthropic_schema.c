/*
 * anthropic_schema: JSON Schemas in a request to Anthropic: those of tools, which go as they are,
 * and those of structured answers that were not made for a strict reader, which are cleaned as
 * Vercel's AI SDK does it (@ai-sdk/anthropic, sanitizeJsonSchema).
 *
 * Called by anthropic_request. Values that are not touched keep their bytes, and members their
 * order, since the provider caches prompts by them. A schema is walked no deeper than LEVELS_MOST:
 * what is below that is copied. Fails only for want of memory, and on a tool's schema that is no
 * object.
 */
#include "dialect/anthropic_schema.h"

enum { LEVELS_MOST = 64, KEEP_ALL = UINT32_MAX };

/* Keywords that hold schemas, and in what. */
enum shape { HOLDS_NONE, HOLDS_SCHEMA, HOLDS_LIST, HOLDS_MAP };

/* Limits, with what the description calls them. */
static const struct {
	struct str key, words;
} limits[] = {
	{ STR_INIT("minimum"), STR_INIT("minimum") },
	{ STR_INIT("maximum"), STR_INIT("maximum") },
	{ STR_INIT("exclusiveMinimum"), STR_INIT("exclusive minimum") },
	{ STR_INIT("exclusiveMaximum"), STR_INIT("exclusive maximum") },
	{ STR_INIT("multipleOf"), STR_INIT("multiple of") },
	{ STR_INIT("minLength"), STR_INIT("min length") },
	{ STR_INIT("maxLength"), STR_INIT("max length") },
	{ STR_INIT("pattern"), STR_INIT("pattern") },
	{ STR_INIT("minItems"), STR_INIT("min items") },
	{ STR_INIT("maxItems"), STR_INIT("max items") },
	{ STR_INIT("uniqueItems"), STR_INIT("unique items") },
	{ STR_INIT("minProperties"), STR_INIT("min properties") },
	{ STR_INIT("maxProperties"), STR_INIT("max properties") },
	{ STR_INIT("not"), STR_INIT("not") },
};

static const struct str formats[] = { STR_INIT("date-time"), STR_INIT("time"), STR_INIT("date"),
	STR_INIT("duration"), STR_INIT("email"), STR_INIT("hostname"), STR_INIT("uri"),
	STR_INIT("ipv4"), STR_INIT("ipv6"), STR_INIT("uuid") };

static void write_schema(struct json_writer *w, const struct json_doc *d,
	const struct json_token *schema, unsigned level);

/* What the description calls this member, when it may not stay; empty when it may. */
static struct str
limit_words(const struct json_doc *d, const struct json_token *key)
{
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
		if (json_doc_is(d, key, limits[i].key))
			return limits[i].words;
	if (!json_doc_is(d, key, STR("format")) || key[1].type != JSON_STRING)
		return STR("");
	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
		if (json_doc_is(d, key + 1, formats[i]))
			return STR("");
	return STR("format");
}

static enum shape
shape_of(const struct json_doc *d, const struct json_token *key)
{
	enum json_type type = key[1].type;

	if (json_doc_is(d, key, STR("items")))
		return type == JSON_ARRAY ? HOLDS_LIST : HOLDS_SCHEMA;
	if (type == JSON_ARRAY &&
		(json_doc_is(d, key, STR("anyOf")) || json_doc_is(d, key, STR("oneOf")) ||
			json_doc_is(d, key, STR("allOf"))))
		return HOLDS_LIST;
	if (type == JSON_OBJECT &&
		(json_doc_is(d, key, STR("properties")) || json_doc_is(d, key, STR("$defs")) ||
			json_doc_is(d, key, STR("definitions"))))
		return HOLDS_MAP;
	return HOLDS_NONE;
}

/* A key that is escaped already. */
static void
write_key(struct json_writer *w, struct str inner)
{
	json_escaped(w, inner);
	buf_add(w->out, STR(":"));
	w->comma = false;
}

static void
write_value(struct json_writer *w, const struct json_doc *d, const struct json_token *key,
	unsigned level)
{
	const struct json_token *value = key + 1, *t;

	switch (shape_of(d, key)) {
	case HOLDS_NONE:
		json_value(w, json_doc_raw(d, value));
		break;
	case HOLDS_SCHEMA:
		write_schema(w, d, value, level);
		break;
	case HOLDS_LIST:
		json_array(w);
		for (t = json_first(d, value); t; t = json_next(d, value, t))
			write_schema(w, d, t, level);
		json_array_end(w);
		break;
	case HOLDS_MAP:
		json_object(w);
		for (t = json_first(d, value); t; t = json_next(d, value, t)) {
			write_key(w, json_doc_inner(d, t));
			write_schema(w, d, t + 1, level);
		}
		json_object_end(w);
		break;
	}
}

/* "minimum: 1; max length: 5." behind what the description says itself. */
static void
write_description(struct json_writer *w, const struct json_doc *d, const struct json_token *schema)
{
	struct str own = json_get_text(d, schema, STR("description"));
	bool first = true;

	json_key(w, STR("description"));
	json_text_open(w);
	json_text_more_escaped(w, own);
	for (const struct json_token *key = json_first(d, schema); key;
		key = json_next(d, schema, key)) {
		struct str words = limit_words(d, key);

		if (words.len == 0 || key[1].type == JSON_NULL || key[1].type == JSON_FALSE)
			continue;
		if (!first)
			json_text_more(w, STR("; "));
		else if (own.len > 0)
			json_text_more(w, STR("\n"));
		first = false;
		json_text_more(w, words);
		json_text_more(w, STR(": "));
		if (key[1].type == JSON_STRING)
			json_text_more_escaped(w, json_doc_inner(d, key + 1));
		else
			json_text_more(w, json_doc_raw(d, key + 1));
	}
	json_text_more(w, STR("."));
	json_text_close(w);
}

static bool
is_limited(const struct json_doc *d, const struct json_token *schema)
{
	for (const struct json_token *key = json_first(d, schema); key;
		key = json_next(d, schema, key))
		if (limit_words(d, key).len > 0 && key[1].type != JSON_NULL &&
			key[1].type != JSON_FALSE)
			return true;
	return false;
}

static void
write_schema(struct json_writer *w, const struct json_doc *d, const struct json_token *schema,
	unsigned level)
{
	bool limited, closed, any_of;

	if (schema->type != JSON_OBJECT || level == LEVELS_MOST) {
		json_value(w, json_doc_raw(d, schema));
		return;
	}
	limited = is_limited(d, schema);
	closed = json_get_is(d, schema, STR("type"), STR("object")) ||
		json_get(d, schema, STR("properties"));
	any_of = json_get(d, schema, STR("anyOf"));
	json_object(w);
	for (const struct json_token *key = json_first(d, schema); key;
		key = json_next(d, schema, key)) {
		if (limit_words(d, key).len > 0 ||
			json_doc_is(d, key, STR("additionalProperties")) ||
			(limited && json_doc_is(d, key, STR("description"))))
			continue;
		write_key(w,
			!any_of && json_doc_is(d, key, STR("oneOf")) ? STR("anyOf")
								     : json_doc_inner(d, key));
		write_value(w, d, key, level + 1);
	}
	if (closed)
		json_pair_value(w, STR("additionalProperties"), STR("false"));
	if (limited)
		write_description(w, d, schema);
	json_object_end(w);
}

void
anthropic_write_closed(struct chat *c, struct json_writer *w, struct str schema)
{
	struct json_doc d;

	if (json_doc_read(&d, c->arena, schema, KEEP_ALL, JSON_DEPTH_MAX) < 0)
		json_null(w);
	else
		write_schema(w, &d, json_doc_top(&d), 0);
}

int
anthropic_write_input(struct chat *c, struct json_writer *w, struct str schema)
{
	struct json_doc d;
	const struct json_token *top;

	if (schema.len == 0 || str_eq(schema, STR("null"))) {
		json_value(w, STR("{\"type\":\"object\",\"properties\":{}}"));
		return 0;
	}
	if (json_doc_read(&d, c->arena, schema, 2, JSON_DEPTH_MAX) < 0)
		return -1;
	top = json_doc_top(&d);
	if (top->type != JSON_OBJECT)
		return -1;
	if (json_member(&d.scan, schema, top, STR("type"), NULL)) {
		json_value(w, schema);
		return 0;
	}
	/* as raw text: the members behind the new one keep every byte */
	json_value(w, STR("{\"type\":\"object\""));
	if (top->count > 0)
		buf_add(w->out, STR(","));
	buf_add(w->out, str_skip(schema, 1));
	return 0;
}
