/*
 * anthropic_client: the requests of clients that speak Anthropic messages (its SDKs, Claude Code),
 * read into the neutral form. The conversation is read by anthropic_client_messages, the answer
 * written by anthropic_client_write.
 *
 * Called by translate. What only Anthropic can do is left out without a word where Claude Code
 * sends it by itself and cannot be told not to (cache_control, context_management, betas …): even
 * `unsupported = "reject"` must not lock it out; nor for thinking, or fields that are not known,
 * which are named. Tools that run at Anthropic are left out too, and named. A value of a wrong type
 * is a 400 whose message begins with its path, since that message is all that this dialect's errors
 * show.
 */
#include "dialect/anthropic_client.h"

#include "dialect/anthropic_client_messages.h"
#include "dialect/anthropic_client_write.h"
#include "dialect/place.h"

enum { CLOSED_MOST = 256 };

/*
 * Numbers, words
 */

static int
read_max_tokens(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR("max_tokens"), -1 };
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), at.name);

	q->fields[FIELD_MAX_TOKENS] = chat_param(q, at.name);
	if (!t || t->type != JSON_NUMBER || json_u64(q->doc.text, t, &q->max_tokens) < 0)
		return place_refuse(c, &at, "Field required");
	c->unasked = q->max_tokens == 0; /* it would only fill Anthropic's prompt cache */
	return 0;
}

static int
read_sampling(struct chat *c, struct chat_request *q)
{
	const struct json_token *t;

	return chat_take(c, q, FIELD_TEMPERATURE, STR("temperature"), JSON_NUMBER, &t) < 0 ||
			chat_take(c, q, FIELD_TOP_P, STR("top_p"), JSON_NUMBER, &t) < 0 ||
			chat_take(c, q, FIELD_TOP_K, STR("top_k"), JSON_NUMBER, &t) < 0
		? -1
		: 0;
}

static int
read_stops(struct chat *c, struct chat_request *q)
{
	struct place at = { NULL, STR("stop_sequences"), 0 };
	const struct json_token *list;
	int rc = chat_take(c, q, FIELD_STOP, at.name, JSON_ARRAY, &list);

	if (rc <= 0)
		return rc;
	q->stops = arena_alloc(c->arena, (list->count + 1) * sizeof *q->stops);
	if (!q->stops)
		return chat_no_memory(c);
	for (const struct json_token *t = json_first(&q->doc, list); t;
		t = json_next(&q->doc, list, t)) {
		if (t->type != JSON_STRING)
			return place_refuse(c, &at, "must be a string");
		if (json_doc_inner(&q->doc, t).len > 0) /* refused by some, and ends nothing */
			q->stops[q->n_stops++] = json_doc_inner(&q->doc, t);
		at.index++;
	}
	if (q->n_stops == 0)
		chat_carry(q, FIELD_STOP);
	return 0;
}

static int
read_tier(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR("service_tier"), -1 };
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_SERVICE_TIER, at.name, JSON_STRING, &t);

	if (rc <= 0)
		return rc;
	if (json_doc_is(&q->doc, t, STR("auto")))
		q->service_tier = STR("auto");
	else if (json_doc_is(&q->doc, t, STR("standard_only")))
		q->service_tier = STR("default");
	else
		return place_refuse(c, &at, "must be `auto` or `standard_only`");
	return 0;
}

/* The id says who pays, not what is asked: where it cannot cross, nothing of the answer is lost. */
static int
read_user(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR("metadata"), -1 };
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_USER, at.name, JSON_OBJECT, &t);

	if (rc <= 0)
		return rc;
	chat_note(q, at.name);
	return place_text(c, &q->doc, t, &at, STR("user_id"), false, &q->user);
}

/*
 * Tools
 */

static int
read_client_tool(struct chat *c, struct chat_request *q, const struct json_token *t,
	const struct place *at)
{
	struct chat_tool *tool = chat_add_tool(c, q);
	const struct json_token *schema;

	if (!tool)
		return chat_no_memory(c);
	if (place_text(c, &q->doc, t, at, STR("name"), true, &tool->name) < 0 ||
		place_text(c, &q->doc, t, at, STR("description"), false, &tool->description) < 0 ||
		place_get(c, &q->doc, t, at, STR("input_schema"), JSON_OBJECT, false, &schema) <
			0 ||
		place_flag(c, &q->doc, t, at, STR("strict"), &tool->strict) < 0)
		return -1;
	tool->has_strict = json_get(&q->doc, t, STR("strict")) != NULL;
	tool->schema = schema ? json_doc_raw(&q->doc, schema) : STR("");
	tool->cache = json_get_raw(&q->doc, t, STR("cache_control"));
	return 0;
}

/* A tool that runs at Anthropic, told by its dated type. */
static int
drop_tool(struct chat *c, const struct place *at, struct str type)
{
	struct str name;

	if (c->reject)
		return place_refuse(c, at,
			"`%.*s` is a tool of Anthropic's, which this model's provider does not "
			"have; leave it out",
			STR_ARG(place_quote(type)));
	name = arena_printf(c->arena, "tools[%lld]", (long long)at->index);
	if (!name.p)
		return chat_no_memory(c);
	chat_drop(c, name);
	return 0;
}

static int
read_tool(struct chat *c, struct chat_request *q, const struct json_token *t,
	const struct place *at)
{
	struct str type;

	if (t->type != JSON_OBJECT)
		return place_refuse(c, at, "must be an object");
	if (place_text(c, &q->doc, t, at, STR("type"), false, &type) < 0)
		return -1;
	if (type.len > 0 && !json_get_is(&q->doc, t, STR("type"), STR("custom")))
		return drop_tool(c, at, type);
	return read_client_tool(c, q, t, at);
}

static int
read_tools(struct chat *c, struct chat_request *q)
{
	struct place at = { NULL, STR("tools"), 0 };
	const struct json_token *list;
	int rc = chat_take(c, q, FIELD_TOOLS, at.name, JSON_ARRAY, &list);

	if (rc <= 0)
		return rc;
	for (const struct json_token *t = json_first(&q->doc, list); t;
		t = json_next(&q->doc, list, t)) {
		if (read_tool(c, q, t, &at) < 0)
			return -1;
		at.index++;
	}
	if (!q->tools)
		chat_note(q, at.name);
	return 0;
}

static int
read_choice_mode(struct chat *c, struct chat_request *q, const struct json_token *choice,
	const struct place *in)
{
	const struct place at = { in, STR("type"), -1 };
	const struct json_token *type;
	struct str name;

	if (place_get(c, &q->doc, choice, in, at.name, JSON_STRING, true, &type) < 0)
		return -1;
	q->has_choice = true;
	if (json_doc_is(&q->doc, type, STR("auto")))
		q->choice = CHOICE_AUTO;
	else if (json_doc_is(&q->doc, type, STR("any")))
		q->choice = CHOICE_REQUIRED;
	else if (json_doc_is(&q->doc, type, STR("none")))
		q->choice = CHOICE_NONE;
	else if (!json_doc_is(&q->doc, type, STR("tool")))
		return place_refuse(c, &at, "must be `auto`, `any`, `tool` or `none`");
	else
		q->choice = CHOICE_NAMED;
	if (q->choice != CHOICE_NAMED)
		return 0;
	if (place_text(c, &q->doc, choice, in, STR("name"), true, &name) < 0)
		return -1;
	q->choice_names = arena_alloc(c->arena, sizeof *q->choice_names);
	if (!q->choice_names)
		return chat_no_memory(c);
	q->choice_names[0] = name;
	q->n_choice_names = 1;
	return 0;
}

/* Without tools there is nothing to choose; and a tool that was left out cannot be asked for. */
static void
settle_choice(struct chat *c, struct chat_request *q)
{
	bool missing = q->choice == CHOICE_NAMED && !chat_find_tool(q, q->choice_names[0]);

	if (!q->tools) {
		q->serial = false;
		q->fields[FIELD_CHOICE] = q->fields[FIELD_SERIAL] = NULL;
	}
	if (!q->tools || (missing && c->dropped.len > 0)) {
		q->has_choice = false;
		q->choice = CHOICE_AUTO;
		q->n_choice_names = 0;
		chat_note(q, STR("tool_choice"));
	}
}

static int
read_choice(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR("tool_choice"), -1 };
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_CHOICE, at.name, JSON_OBJECT, &t);

	if (rc <= 0)
		return rc;
	if (read_choice_mode(c, q, t, &at) < 0 ||
		place_flag(c, &q->doc, t, &at, STR("disable_parallel_tool_use"), &q->serial) < 0)
		return -1;
	if (q->serial)
		q->fields[FIELD_SERIAL] = q->fields[FIELD_CHOICE];
	settle_choice(c, q);
	return 0;
}

/*
 * Thinking, effort, format
 */

/* LiteLLM's thresholds. */
static enum chat_effort
effort_of_budget(uint64_t budget)
{
	if (budget >= 10000)
		return EFFORT_HIGH;
	if (budget >= 5000)
		return EFFORT_MEDIUM;
	return budget >= 2000 ? EFFORT_LOW : EFFORT_MINIMAL;
}

static int
read_budget(struct chat *c, struct chat_request *q, const struct json_token *thinking,
	const struct place *in)
{
	const struct place at = { in, STR("budget_tokens"), -1 };
	const struct json_token *t;

	if (place_get(c, &q->doc, thinking, in, at.name, JSON_NUMBER, true, &t) < 0)
		return -1;
	if (json_u64(q->doc.text, t, &q->reasoning.budget) < 0 || q->reasoning.budget == 0)
		return place_refuse(c, &at, "must be a positive integer");
	q->reasoning.effort = effort_of_budget(q->reasoning.budget);
	return 0;
}

static int
read_thinking(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR("thinking"), -1 }, type = { &at, STR("type"), -1 };
	const struct json_token *t, *word;
	int rc = chat_take(c, q, FIELD_REASONING, at.name, JSON_OBJECT, &t);

	if (rc <= 0)
		return rc;
	if (place_get(c, &q->doc, t, &at, type.name, JSON_STRING, true, &word) < 0)
		return -1;
	q->reasoning.asked = true;
	q->reasoning.effort = EFFORT_HIGH; /* what Anthropic takes where nothing is said */
	q->reasoning.shown = !json_get_is(&q->doc, t, STR("display"), STR("omitted"));
	if (json_doc_is(&q->doc, word, STR("enabled")))
		return read_budget(c, q, t, &at);
	if (json_doc_is(&q->doc, word, STR("adaptive")) ||
		json_doc_is(&q->doc, word, STR("between_tools")))
		return 0;
	if (!json_doc_is(&q->doc, word, STR("disabled")))
		return place_refuse(c, &type,
			"must be `enabled`, `adaptive`, `between_tools` or `disabled`");
	q->reasoning.effort = EFFORT_NONE;
	q->reasoning.shown = false;
	chat_note(q, at.name);
	return 0;
}

/* It wins over what `thinking` says of the depth. */
static int
read_effort(struct chat *c, struct chat_request *q, const struct json_token *config,
	const struct place *in)
{
	const struct place at = { in, STR("effort"), -1 };
	struct chat_param *param = chat_param(q, in->name);
	enum chat_effort effort;
	struct str word;

	if (place_text(c, &q->doc, config, in, at.name, false, &word) < 0)
		return -1;
	if (word.len == 0)
		return 0;
	if (chat_effort_of(word, &effort) < 0 || effort < EFFORT_LOW)
		return place_refuse(c, &at, "must be `low`, `medium`, `high`, `xhigh` or `max`");
	q->reasoning.asked = true;
	q->reasoning.effort = effort;
	q->reasoning.budget = 0;
	if (q->fields[FIELD_REASONING])
		param->carried = true; /* `thinking` stands for both */
	else
		q->fields[FIELD_REASONING] = param;
	return 0;
}

static bool
is_required(const struct json_doc *d, const struct json_token *required,
	const struct json_token *key)
{
	for (const struct json_token *t = json_first(d, required); t; t = json_next(d, required, t))
		if (t->type == JSON_STRING && str_eq(json_doc_inner(d, t), json_doc_inner(d, key)))
			return true;
	return false;
}

/* An object that is a schema of objects: does it list all of them, and allow no others? */
static bool
is_closed(const struct json_doc *d, const struct json_token *schema)
{
	const struct json_token *properties =
					json_get_type(d, schema, STR("properties"), JSON_OBJECT),
				*required = json_get_type(d, schema, STR("required"), JSON_ARRAY),
				*more = json_get(d, schema, STR("additionalProperties"));

	if (!properties && !json_get_is(d, schema, STR("type"), STR("object")))
		return true;
	if (!more || more->type != JSON_FALSE)
		return false;
	if (!properties)
		return true;
	if (properties->count > CLOSED_MOST || (required && required->count > CLOSED_MOST))
		return false;
	for (const struct json_token *key = json_first(d, properties); key;
		key = json_next(d, properties, key))
		if (!is_required(d, required, key))
			return false;
	return true;
}

/* Is the schema one that OpenAI calls strict, at every level? Then it may be said so, and the
 * meaning stays. */
static bool
is_strict(const struct json_doc *d, const struct json_token *schema)
{
	const struct json_token *end = d->scan.tokens + schema->next;

	for (const struct json_token *t = schema; t < end; t++)
		if (t->type == JSON_OBJECT && !is_closed(d, t))
			return false;
	return true;
}

static int
read_format(struct chat *c, struct chat_request *q, const struct json_token *format,
	const struct place *in, struct chat_param *param)
{
	const struct place at = { in, STR("type"), -1 };
	const struct json_token *schema;

	if (!json_get_is(&q->doc, format, at.name, STR("json_schema")))
		return place_refuse(c, &at, "must be `json_schema`");
	if (place_get(c, &q->doc, format, in, STR("schema"), JSON_OBJECT, true, &schema) < 0)
		return -1;
	q->format = (struct chat_format){ .kind = FORMAT_IS_SCHEMA,
		.schema = json_doc_raw(&q->doc, schema),
		.name = STR("output"),
		.strict = is_strict(&q->doc, schema) };
	q->fields[FIELD_FORMAT] = param;
	return 0;
}

/* output_config, and the older output_format. */
static int
read_output(struct chat *c, struct chat_request *q)
{
	const struct place config_at = { NULL, STR("output_config"), -1 },
			   format_at = { &config_at, STR("format"), -1 },
			   old_at = { NULL, STR("output_format"), -1 };
	const struct json_token *top = json_doc_top(&q->doc), *config, *format, *old;

	if (place_get(c, &q->doc, top, NULL, config_at.name, JSON_OBJECT, false, &config) < 0 ||
		place_get(c, &q->doc, top, NULL, old_at.name, JSON_OBJECT, false, &old) < 0 ||
		place_get(c, &q->doc, config, &config_at, format_at.name, JSON_OBJECT, false,
			&format) < 0)
		return -1;
	if (config && read_effort(c, q, config, &config_at) < 0)
		return -1;
	if (config && config->count == 0)
		chat_note(q, config_at.name);
	if (format)
		return read_format(c, q, format, &format_at, chat_param(q, config_at.name));
	return old ? read_format(c, q, old, &old_at, chat_param(q, old_at.name)) : 0;
}

/*
 * The request
 */

/* What Claude Code adds tomorrow is not known today, and how hard a model thinks is no part of the
 * answer: where they do not cross, that is no reason to lock it out. */
static void
spare(struct chat_request *q)
{
	static const struct str kept[] = { STR_INIT("system"), STR_INIT("messages"),
		STR_INIT("stop_sequences"), STR_INIT("temperature"), STR_INIT("top_p"),
		STR_INIT("top_k"), STR_INIT("tools"), STR_INIT("tool_choice"),
		STR_INIT("service_tier"), STR_INIT("output_format") };

	for (size_t i = 0; i < q->n_params; i++) {
		struct chat_param *p = &q->params[i];
		bool known = p == q->fields[FIELD_FORMAT];

		for (size_t j = 0; j < sizeof kept / sizeof kept[0]; j++)
			known |= str_eq(p->name, kept[j]);
		p->spared = !known;
	}
}

/* Sent by Claude Code on its own, and without a meaning elsewhere. */
static void
note_own(struct chat_request *q)
{
	static const struct str names[] = { STR_INIT("cache_control"),
		STR_INIT("context_management"), STR_INIT("container"), STR_INIT("mcp_servers"),
		STR_INIT("diagnostics"), STR_INIT("inference_geo"), STR_INIT("speed"),
		STR_INIT("betas") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		chat_note(q, names[i]);
}

static int
read_request(struct chat *c, struct chat_request *q, struct str body)
{
	if (chat_read_params(c, q, body) < 0)
		return -1;
	note_own(q);
	if (read_max_tokens(c, q) < 0 || read_sampling(c, q) < 0 || read_stops(c, q) < 0 ||
		read_tier(c, q) < 0 || read_user(c, q) < 0 || read_tools(c, q) < 0 ||
		read_choice(c, q) < 0 || read_thinking(c, q) < 0 || read_output(c, q) < 0)
		return -1;
	spare(q);
	return anthropic_client_messages(c, q);
}

const struct chat_client anthropic_client = {
	.read_request = read_request,
	.open = anthropic_client_open,
	.write_event = anthropic_client_event,
	.write_reply = anthropic_client_reply,
};
