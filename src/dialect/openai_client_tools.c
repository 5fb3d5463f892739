/*
 * openai_client_tools: tools and the choice among them in a chat completion request (OpenAI API
 * reference: create chat completion, tools, tool_choice), and their deprecated predecessors
 * functions and function_call.
 *
 * Called by openai_client. Where both generations are there the newer counts, and the older is left
 * to be reported as dropped. A custom tool's input is one free text; how it is said to the provider
 * is the adapter's business, and so are limits on names. Fails on what has a wrong type, which is
 * refused by its place (tools[1].function.name), and for want of memory.
 */
#include "dialect/openai_client_tools.h"

#include "dialect/openai_client_params.h"
#include "dialect/place.h"

/*
 * Tools
 */

/* The members of a function, which stand in `body`. */
static int
read_function(struct chat *c, const struct json_doc *d, const struct json_token *body,
	const struct place *at, struct chat_tool *tool)
{
	const struct json_token *schema;

	if (place_text(c, d, body, at, STR("name"), true, &tool->name) < 0 ||
		place_text(c, d, body, at, STR("description"), false, &tool->description) < 0 ||
		place_get(c, d, body, at, STR("parameters"), JSON_OBJECT, false, &schema) < 0 ||
		place_flag(c, d, body, at, STR("strict"), &tool->strict) < 0)
		return -1;
	if (schema)
		tool->schema = json_doc_raw(d, schema);
	tool->has_strict = json_get(d, body, STR("strict")) != NULL;
	return 0;
}

static int
read_tool(struct chat *c, const struct json_doc *d, const struct json_token *t,
	const struct place *at, struct chat_tool *tool)
{
	const struct place in = { at, tool->custom ? STR("custom") : STR("function"), -1 };
	const struct json_token *body, *cache;

	if (place_get(c, d, t, at, in.name, JSON_OBJECT, true, &body) < 0 ||
		place_get(c, d, t, at, STR("cache_control"), JSON_OBJECT, false, &cache) < 0)
		return -1;
	tool->cache = cache ? json_doc_raw(d, cache) : json_get_raw(d, body, STR("cache_control"));
	if (!tool->custom)
		return read_function(c, d, body, &in, tool);
	return place_text(c, d, body, &in, STR("name"), true, &tool->name) < 0
		? -1
		: place_text(c, d, body, &in, STR("description"), false, &tool->description);
}

/* Is it a custom tool (or the name of one), or a function? 0; -1: neither. */
static int
read_type(struct chat *c, const struct json_doc *d, const struct json_token *t,
	const struct place *at, bool *custom)
{
	const struct place here = { at, STR_INIT("type"), -1 };
	const struct json_token *type;

	if (t->type != JSON_OBJECT)
		return place_refuse(c, at, "must be an object");
	if (place_get(c, d, t, at, here.name, JSON_STRING, true, &type) < 0)
		return -1;
	*custom = json_doc_is(d, type, STR("custom"));
	if (!*custom && !json_doc_is(d, type, STR("function")))
		return place_refuse(c, &here, "must be `function` or `custom`");
	return 0;
}

static int
read_list(struct chat *c, struct chat_request *q, struct str name, bool legacy)
{
	const struct json_doc *d = &q->doc;
	struct place at = { NULL, name, 0 };
	const struct json_token *list, *t;

	if (chat_take(c, q, FIELD_TOOLS, name, JSON_ARRAY, &list) < 0)
		return -1;
	for (t = json_first(d, list); t; t = json_next(d, list, t), at.index++) {
		struct chat_tool *tool = chat_add_tool(c, q);

		if (!tool)
			return chat_no_memory(c);
		if (legacy && t->type != JSON_OBJECT)
			return place_refuse(c, &at, "must be an object");
		if (!legacy && read_type(c, d, t, &at, &tool->custom) < 0)
			return -1;
		if ((legacy ? read_function(c, d, t, &at, tool) : read_tool(c, d, t, &at, tool)) <
			0)
			return -1;
	}
	c->functions = legacy && q->tools;
	if (!q->tools)
		chat_carry(q, FIELD_TOOLS);
	return 0;
}

/*
 * The choice
 */

static int
add_name(struct chat *c, struct chat_request *q, size_t room, struct str name)
{
	if (!q->choice_names)
		q->choice_names = arena_alloc(c->arena, room * sizeof *q->choice_names);
	if (!q->choice_names)
		return chat_no_memory(c);
	q->choice_names[q->n_choice_names++] = name;
	return 0;
}

/* The name in {"type":"function","function":{"name":…}}, or in the same of a custom tool. */
static int
read_name(struct chat *c, const struct json_doc *d, const struct json_token *t,
	const struct place *at, struct str *name)
{
	struct place in = { at, STR_INIT("function"), -1 };
	const struct json_token *body;
	bool custom;

	if (read_type(c, d, t, at, &custom) < 0)
		return -1;
	if (custom)
		in.name = STR("custom");
	if (place_get(c, d, t, at, in.name, JSON_OBJECT, true, &body) < 0)
		return -1;
	return place_text(c, d, body, &in, STR("name"), true, name);
}

static int
read_allowed(struct chat *c, struct chat_request *q, const struct json_token *t,
	const struct place *top)
{
	const struct json_doc *d = &q->doc;
	const struct place at = { top, STR_INIT("allowed_tools"), -1 },
			   how = { &at, STR_INIT("mode"), -1 };
	struct place item = { &at, STR_INIT("tools"), -1 };
	const struct json_token *body, *mode, *list;
	struct str name;

	if (place_get(c, d, t, top, at.name, JSON_OBJECT, true, &body) < 0 ||
		place_get(c, d, body, &at, how.name, JSON_STRING, true, &mode) < 0 ||
		place_get(c, d, body, &at, item.name, JSON_ARRAY, true, &list) < 0)
		return -1;
	q->choice =
		json_doc_is(d, mode, STR("required")) ? CHOICE_ALLOWED_REQUIRED : CHOICE_ALLOWED;
	if (q->choice == CHOICE_ALLOWED && !json_doc_is(d, mode, STR("auto")))
		return place_refuse(c, &how, "must be `auto` or `required`");
	if (list->count == 0)
		return place_refuse(c, &item, "must not be empty");
	for (t = json_first(d, list); t; t = json_next(d, list, t)) {
		item.index++;
		if (read_name(c, d, t, &item, &name) < 0 || add_name(c, q, list->count, name) < 0)
			return -1;
	}
	chat_sort_choice(q);
	return 0;
}

static int
read_word(struct chat *c, struct chat_request *q, const struct json_token *t, struct str name,
	bool legacy)
{
	q->choice = CHOICE_AUTO;
	if (json_doc_is(&q->doc, t, STR("none")))
		q->choice = CHOICE_NONE;
	else if (!legacy && json_doc_is(&q->doc, t, STR("required")))
		q->choice = CHOICE_REQUIRED;
	else if (!json_doc_is(&q->doc, t, STR("auto")))
		return chat_refuse(c, name, "`%.*s` must be `none`, `auto`%s or an object",
			STR_ARG(name), legacy ? "" : ", `required`");
	return 0;
}

static int
read_choice(struct chat *c, struct chat_request *q, struct str name, bool legacy)
{
	const struct place at = { NULL, name, -1 };
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), name);
	struct str chosen;

	if (!t)
		return 0;
	q->has_choice = true;
	q->fields[FIELD_CHOICE] = chat_param(q, name);
	if (t->type == JSON_STRING)
		return read_word(c, q, t, name, legacy);
	if (t->type != JSON_OBJECT)
		return chat_refuse(c, name, "`%.*s` must be a string or an object", STR_ARG(name));
	if (!legacy && json_get_is(&q->doc, t, STR("type"), STR("allowed_tools")))
		return read_allowed(c, q, t, &at);
	q->choice = CHOICE_NAMED;
	if (legacy ? place_text(c, &q->doc, t, &at, STR("name"), true, &chosen) < 0
		   : read_name(c, &q->doc, t, &at, &chosen) < 0)
		return -1;
	return add_name(c, q, 1, chosen);
}

int
tools_read(struct chat *c, struct chat_request *q)
{
	bool old_tools = !chat_param(q, STR("tools")),
	     old_choice = !chat_param(q, STR("tool_choice")), parallel = true;

	if (read_list(c, q, old_tools ? STR("functions") : STR("tools"), old_tools) < 0 ||
		read_choice(c, q, old_choice ? STR("function_call") : STR("tool_choice"),
			old_choice) < 0 ||
		param_bool(c, q, STR("parallel_tool_calls"), &parallel) < 0)
		return -1;
	q->serial = !parallel;
	q->fields[FIELD_SERIAL] = chat_param(q, STR("parallel_tool_calls"));
	if (parallel)
		chat_carry(q, FIELD_SERIAL);
	if (q->has_choice && q->choice == CHOICE_AUTO)
		chat_carry(q, FIELD_CHOICE);
	return 0;
}
