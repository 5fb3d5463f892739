/*
 * gemini_request: a request as Gemini's generateContent takes it: tools, modes, Google's own
 * extensions; conversation and generationConfig are files of their own.
 *
 * Called by translate through gemini_provider. What the client says beyond what Gemini knows stays
 * unmarked, and is reported as dropped; refused (c->error) is what has the wrong type, and what
 * would give back something else than was asked for.
 */
#include "dialect/gemini_private.h"

#include <string.h>

/* Google's extensions of its OpenAI surface; raw, empty: not given. */
struct extra {
	struct str thinking, cached, safety;
};

/*
 * Extensions
 */

/* A member of `google`: 1 when it is known, 0 when not, -1 when it has the wrong type. */
static int
take_google(struct chat *c, const struct json_doc *d, const struct json_token *key,
	struct extra *extra)
{
	const struct json_token *value = key + 1;
	bool thinking = json_doc_is(d, key, STR("thinking_config")) ||
		json_doc_is(d, key, STR("thinkingConfig")),
	     cached = json_doc_is(d, key, STR("cached_content")) ||
		json_doc_is(d, key, STR("cachedContent"));

	if (value->type == JSON_NULL)
		return 1;
	if (!thinking && !cached)
		return 0;
	if (value->type != (thinking ? JSON_OBJECT : JSON_STRING))
		return chat_refuse(c, json_doc_inner(d, key), "`%.*s` must be %s",
			STR_ARG(json_doc_inner(d, key)), thinking ? "an object" : "a string");
	*(thinking ? &extra->thinking : &extra->cached) = json_doc_raw(d, value);
	return 1;
}

/* All of `google`. 1 when all of it is known, 0 when some of it is not, -1. */
static int
read_google(struct chat *c, const struct json_doc *d, const struct json_token *google,
	struct extra *extra)
{
	const struct json_token *key;
	int known = 1;

	if (google->type != JSON_OBJECT)
		return chat_refuse(c, STR("google"), "`google` must be an object");
	for (key = json_first(d, google); key; key = json_next(d, google, key)) {
		int rc = take_google(c, d, key, extra);

		if (rc < 0)
			return -1;
		known &= rc;
	}
	return known;
}

/* Extensions stand at the top, or in the extra_body of a client that nests it. */
static int
read_extra(struct chat *c, struct chat_request *q, struct extra *extra)
{
	const struct json_doc *d = &q->doc;
	const struct json_token *body, *google;
	int known = 1;

	if (chat_get(c, q, STR("extra_body"), JSON_OBJECT, &body) < 0)
		return -1;
	google = json_get(d, body, STR("google"));
	if (google)
		known = read_google(c, d, google, extra);
	if (known > 0 && body && body->count == (google != NULL))
		chat_note(q, STR("extra_body"));
	google = json_get(d, json_doc_top(d), STR("google"));
	if (google && known >= 0) {
		known = read_google(c, d, google, extra);
		if (known > 0)
			chat_note(q, STR("google"));
	}
	return known < 0 ? -1 : 0;
}

static int
read_safety(struct chat *c, struct chat_request *q, struct extra *extra)
{
	static const struct str names[] = { STR_INIT("safety_settings"),
		STR_INIT("safetySettings") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct json_token *t;
		int rc = chat_get(c, q, names[i], JSON_ARRAY, &t);

		if (rc < 0)
			return -1;
		if (rc > 0)
			extra->safety = chat_carry_param(q, names[i]);
	}
	return 0;
}

/*
 * Tools
 */

/* Does the schema allow anything? Gemini refuses an object without properties. */
static bool
has_arguments(struct chat *c, struct str schema)
{
	static const struct str members[] = { STR_INIT("properties"), STR_INIT("patternProperties"),
		STR_INIT("$ref"), STR_INIT("anyOf"), STR_INIT("oneOf"), STR_INIT("allOf") };
	struct json_doc d;

	if (schema.len == 0 || json_doc_read(&d, c->arena, schema, 2, JSON_DEPTH_MAX) < 0)
		return false;
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		const struct json_token *t = json_get(&d, json_doc_top(&d), members[i]);

		if (t && ((t->type != JSON_OBJECT && t->type != JSON_ARRAY) || t->count > 0))
			return true;
	}
	return false;
}

static int
write_tool(struct chat *c, const struct chat_tool *t, struct json_writer *w)
{
	struct str name = gemini_tool_name(c, t->name);

	if (!name.p)
		return chat_no_memory(c);
	if (t->custom && chat_custom_name(c, t->name) < 0)
		return -1;
	json_object(w);
	json_pair_escaped(w, STR("name"), name);
	if (t->description.len > 0)
		json_pair_escaped(w, STR("description"), t->description);
	if (t->custom)
		json_pair_value(w, STR("parametersJsonSchema"), STR(CHAT_CUSTOM_SCHEMA));
	else if (has_arguments(c, t->schema))
		json_pair_value(w, STR("parametersJsonSchema"), t->schema);
	json_object_end(w);
	return 0;
}

static int
write_tools(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	chat_carry(q, FIELD_TOOLS);
	if (!q->tools)
		return 0;
	json_key(w, STR("tools"));
	json_array(w);
	json_object(w);
	json_key(w, STR("functionDeclarations"));
	json_array(w);
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (write_tool(c, t, w) < 0)
			return -1;
	json_array_end(w);
	json_object_end(w);
	json_array_end(w);
	return 0;
}

/* The choice as far as the model takes it. */
static enum chat_choice_mode
choice_of(const struct chat *c, const struct chat_request *q)
{
	enum chat_choice_mode mode = q->has_choice ? q->choice : CHOICE_AUTO;

	if (!c->options->no_forced_tools)
		return mode;
	if (mode == CHOICE_ALLOWED_REQUIRED)
		return CHOICE_ALLOWED;
	return mode == CHOICE_REQUIRED || mode == CHOICE_NAMED ? CHOICE_AUTO : mode;
}

static struct str
mode_of(const struct chat_request *q, enum chat_choice_mode choice)
{
	switch (choice) {
	case CHOICE_NONE:
		return STR("NONE");
	case CHOICE_REQUIRED:
	case CHOICE_NAMED:
	case CHOICE_ALLOWED_REQUIRED:
		return STR("ANY");
	case CHOICE_ALLOWED:
		return STR("VALIDATED");
	case CHOICE_AUTO:
		break;
	}
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (t->strict)
			return STR("VALIDATED");
	return STR(""); /* the default */
}

static int
write_choice_names(struct chat *c, const struct chat_request *q, struct json_writer *w)
{
	json_key(w, STR("allowedFunctionNames"));
	json_array(w);
	for (size_t i = 0; i < q->n_choice_names; i++) {
		struct str name = gemini_tool_name(c, q->choice_names[i]);

		if (!name.p)
			return chat_no_memory(c);
		json_escaped(w, name);
	}
	json_array_end(w);
	return 0;
}

static int
write_choice(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	enum chat_choice_mode choice = choice_of(c, q);
	struct str mode = mode_of(q, choice);
	int rc = 0;

	if (!q->has_choice || !q->tools || choice == q->choice)
		chat_carry(q, FIELD_CHOICE);
	if (!q->serial)
		chat_carry(q, FIELD_SERIAL);
	else if (q->fields[FIELD_SERIAL] == q->fields[FIELD_CHOICE])
		chat_drop(c, STR("disable_parallel_tool_use"));
	if (!q->tools || mode.len == 0)
		return 0;
	json_key(w, STR("toolConfig"));
	json_object(w);
	json_key(w, STR("functionCallingConfig"));
	json_object(w);
	json_pair(w, STR("mode"), mode);
	if (choice == CHOICE_NAMED || choice == CHOICE_ALLOWED || choice == CHOICE_ALLOWED_REQUIRED)
		rc = write_choice_names(c, q, w);
	json_object_end(w);
	json_object_end(w);
	return rc;
}

static void
write_tier(struct chat_request *q, struct json_writer *w)
{
	struct str tier = q->service_tier;

	if (str_eq(tier, STR("default")))
		tier = STR("standard");
	else if (str_eq(tier, STR("auto")))
		tier = STR("");
	else if (!str_eq(tier, STR("flex")) && !str_eq(tier, STR("priority")))
		return;
	chat_carry(q, FIELD_SERVICE_TIER);
	if (tier.len > 0)
		json_pair(w, STR("serviceTier"), tier);
}

int
gemini_write_request(struct chat *c, struct chat_request *q, struct buf *out)
{
	struct extra extra = { STR(""), STR(""), STR("") };
	struct str method =
		c->stream ? STR("streamGenerateContent?alt=sse") : STR("generateContent");
	struct json_writer w;

	if (gemini_set_path(c, method) < 0 || read_extra(c, q, &extra) < 0 ||
		read_safety(c, q, &extra) < 0)
		return -1;
	if (chat_adapt_parts(c, q, LIFT_IMAGES | LIFT_FILES) < 0 ||
		(c->options->no_structured_output && chat_adapt_format(c, q) < 0))
		return -1;
	json_writer_init(&w, out);
	json_object(&w);
	if (gemini_write_contents(c, q, &w) < 0 || write_tools(c, q, &w) < 0 ||
		write_choice(c, q, &w) < 0)
		return -1;
	if (extra.safety.len > 0)
		json_pair_value(&w, STR("safetySettings"), extra.safety);
	if (extra.cached.len > 0)
		json_pair_value(&w, STR("cachedContent"), extra.cached);
	write_tier(q, &w);
	if (gemini_write_config(c, q, extra.thinking, &w) < 0)
		return -1;
	json_object_end(&w);
	return 0;
}
