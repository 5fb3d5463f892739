/*
 * openai_request: a request in OpenAI's dialect, of a client that speaks another (Anthropic's).
 * Whom it goes to is mostly not OpenAI but one of the many servers that speak nearly the same: what
 * they are known to trip over is left out or said in the plainest way, and the administrator's
 * options decide where they differ. Fields that a client did not send are not made up.
 *
 * Called by translate; the messages are openai_messages', and so is what is refused.
 */
#include "dialect/openai_request.h"

#include "dialect/chat_adapt.h"
#include "dialect/openai_messages.h"

enum { STOPS_MOST = 4, USER_MOST = 64, NAME_MOST = 64 };

/*
 * Parameters
 */

static void
write_max_tokens(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	uint64_t n = chat_max_tokens(c, q, false, 0);

	chat_carry(q, FIELD_MAX_TOKENS);
	if (n == 0)
		return;
	chat_adapt_count(w,
		c->options->completion_tokens ? STR("max_completion_tokens") : STR("max_tokens"),
		n);
}

static void
write_stream(struct chat *c, struct json_writer *w)
{
	if (!c->stream)
		return;
	json_key(w, STR("stream"));
	json_bool(w, true);
	if (!c->options->no_stream_usage)
		json_pair_value(w, STR("stream_options"), STR("{\"include_usage\":true}"));
}

static void
write_sampling(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	static const struct {
		enum chat_field field;
		struct str name;
	} fields[] = { { FIELD_TEMPERATURE, STR_INIT("temperature") },
		{ FIELD_TOP_P, STR_INIT("top_p") } };

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		struct chat_param *param = q->fields[fields[i].field];

		if (!param)
			continue;
		/* 1 is what both sides take where nothing is said */
		param->carried = !c->options->no_sampling || chat_number(param->raw) == 1;
		if (!c->options->no_sampling)
			json_pair_value(w, fields[i].name, param->raw);
	}
}

static void
write_stops(struct chat_request *q, struct json_writer *w)
{
	if (q->n_stops <= STOPS_MOST)
		chat_carry(q, FIELD_STOP);
	if (q->n_stops == 0)
		return;
	json_key(w, STR("stop"));
	json_array(w);
	for (size_t i = 0; i < q->n_stops && i < STOPS_MOST; i++)
		json_escaped(w, q->stops[i]);
	json_array_end(w);
}

/* OpenAI takes no more than 64 characters; a longer name for a user becomes a hash of it. */
static void
write_user(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	char text[USER_MOST];
	struct str plain = json_unescape(q->user, c->arena);

	chat_carry(q, FIELD_USER);
	if (q->user.len == 0)
		return;
	if (plain.len <= USER_MOST) {
		json_pair_escaped(w, STR("user"), q->user);
		return;
	}
	chat_hash(plain, text, sizeof text);
	json_pair(w, STR("user"), (struct str){ text, sizeof text });
}

static void
write_tier(struct chat_request *q, struct json_writer *w)
{
	if (q->service_tier.len == 0)
		return;
	chat_carry(q, FIELD_SERVICE_TIER);
	json_pair_escaped(w, STR("service_tier"), q->service_tier);
}

/*
 * Tools
 */

static bool
has_tools(const struct chat_request *q)
{
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (chat_allows(q, t))
			return true;
	return false;
}

/* A tool's schema crosses byte for byte, since another order of keys would miss the provider's
 * cache of prompts; but `properties` must be there. */
static void
write_schema(struct chat *c, struct json_writer *w, struct str schema)
{
	const struct json_token *top;
	struct json_doc d;

	if (schema.len == 0) {
		json_value(w, STR("{\"type\":\"object\",\"properties\":{}}"));
		return;
	}
	if (json_doc_read(&d, c->arena, schema, 2, JSON_DEPTH_MAX) < 0) {
		json_value(w, schema);
		return;
	}
	top = json_doc_top(&d);
	if (top->type != JSON_OBJECT ||
		json_member(&d.scan, d.text, top, STR("properties"), NULL)) {
		json_value(w, schema);
		return;
	}
	json_value(w, str_head(schema, (size_t)top->end - 1));
	buf_add(w->out, top->count > 0 ? STR(",") : STR(""));
	buf_add(w->out, STR("\"properties\":{}}"));
}

static void
write_tool(struct chat *c, const struct chat_tool *t, struct json_writer *w)
{
	json_object(w);
	json_pair(w, STR("type"), STR("function"));
	json_key(w, STR("function"));
	json_object(w);
	json_pair_escaped(w, STR("name"), chat_tool_name(c, t->name, NAME_MOST));
	if (t->description.len > 0)
		json_pair_escaped(w, STR("description"), t->description);
	json_key(w, STR("parameters"));
	write_schema(c, w, t->schema);
	if (t->has_strict) {
		json_key(w, STR("strict"));
		json_bool(w, t->strict);
	}
	json_object_end(w);
	json_object_end(w);
}

static bool
is_forced(const struct chat_request *q)
{
	return q->choice == CHOICE_REQUIRED || q->choice == CHOICE_NAMED ||
		q->choice == CHOICE_ALLOWED_REQUIRED;
}

static void
write_choice(struct chat *c, const struct chat_request *q, struct json_writer *w)
{
	enum chat_choice_mode mode = q->choice;

	json_key(w, STR("tool_choice"));
	if (mode == CHOICE_NONE) {
		json_text(w, STR("none"));
	} else if (!is_forced(q) || c->options->no_forced_tools) {
		json_text(w, STR("auto"));
	} else if (mode != CHOICE_NAMED) {
		json_text(w, STR("required"));
	} else {
		json_object(w);
		json_pair(w, STR("type"), STR("function"));
		json_key(w, STR("function"));
		json_object(w);
		json_pair_escaped(w, STR("name"), chat_tool_name(c, q->choice_names[0], NAME_MOST));
		json_object_end(w);
		json_object_end(w);
	}
}

/* Without tools nothing may be said of them. */
static void
write_tools(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	chat_carry(q, FIELD_TOOLS);
	/* an Anthropic client says with the choice that calls come one at a time */
	if (!(c->options->no_forced_tools && has_tools(q) && is_forced(q))) {
		chat_carry(q, FIELD_CHOICE);
		chat_carry(q, FIELD_SERIAL);
	}
	if (!has_tools(q))
		return;
	json_key(w, STR("tools"));
	json_array(w);
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (chat_allows(q, t))
			write_tool(c, t, w);
	json_array_end(w);
	if (q->has_choice)
		write_choice(c, q, w);
	if (q->serial) {
		json_key(w, STR("parallel_tool_calls"));
		json_bool(w, false);
	}
}

/*
 * The form of the answer
 */

static void
write_format(struct chat_request *q, struct json_writer *w)
{
	const struct chat_format *f = &q->format;

	chat_carry(q, FIELD_FORMAT);
	if (f->kind == FORMAT_IS_TEXT)
		return;
	json_key(w, STR("response_format"));
	if (f->kind == FORMAT_IS_JSON) {
		json_value(w, STR("{\"type\":\"json_object\"}"));
		return;
	}
	json_object(w);
	json_pair(w, STR("type"), STR("json_schema"));
	json_key(w, STR("json_schema"));
	json_object(w);
	json_pair_escaped(w, STR("name"), f->name.len > 0 ? f->name : STR("output"));
	if (f->description.len > 0)
		json_pair_escaped(w, STR("description"), f->description);
	json_pair_value(w, STR("schema"), f->schema);
	if (f->strict) {
		json_key(w, STR("strict"));
		json_bool(w, true);
	}
	json_object_end(w);
	json_object_end(w);
}

/*
 * Reasoning
 */

/* The version in "gpt-5.2" as 5002; 0: it is none. */
static unsigned
gpt_version(struct str name)
{
	unsigned at[2] = { 0 }, part = 0;

	if (!str_starts(name, STR("gpt-")))
		return 0;
	for (size_t i = 4; i < name.len && at[part] < 100; i++) {
		if (name.p[i] >= '0' && name.p[i] <= '9')
			at[part] = at[part] * 10 + (unsigned)(name.p[i] - '0');
		else if (name.p[i] != '.' || part++ > 0)
			break;
	}
	return at[0] * 1000 + at[1];
}

static struct str
without_vendor(struct str name) /* "vendor/model" */
{
	while (str_index(name, '/') < name.len)
		name = str_skip(name, str_index(name, '/') + 1);
	return name;
}

/* Only the first of the GPT-5 models take this effort; others answer 400. */
static bool
knows_minimal(struct str name)
{
	return gpt_version(without_vendor(name)) == 5000;
}

/* The hardest that a model can be asked to think, by its name; NONE: it is not known to. */
static enum chat_effort
most_effort(struct str name)
{
	static const struct str known[] = { STR_INIT("o1"), STR_INIT("o3"), STR_INIT("o4"),
		STR_INIT("gpt-oss"), STR_INIT("deepseek-r"), STR_INIT("grok-4") };
	unsigned version;

	name = without_vendor(name);
	version = gpt_version(name);
	if (version >= 5000 && str_find(name, STR("-chat")) == name.len)
		return version >= 5006 ? EFFORT_MAX : version >= 5002 ? EFFORT_XHIGH : EFFORT_HIGH;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_starts(name, known[i]))
			return EFFORT_HIGH;
	return EFFORT_NONE;
}

static void
write_reasoning(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	enum chat_reasoning_style style = c->options->reasoning;
	enum chat_effort effort = q->reasoning.effort, most = EFFORT_MAX;

	if (q->reasoning.effort == EFFORT_NONE) /* also: not asked for */
		chat_carry(q, FIELD_REASONING);
	if (c->options->no_reasoning_with_tools && has_tools(q)) {
		json_pair(w, STR("reasoning_effort"), STR("none"));
		return;
	}
	if (style == STYLE_AUTO)
		most = most_effort(c->target);
	if (effort == EFFORT_NONE || style == STYLE_NONE || most == EFFORT_NONE)
		return;
	if (style == STYLE_AUTO && effort == EFFORT_MINIMAL && !knows_minimal(c->target))
		effort = EFFORT_LOW;
	chat_carry(q, FIELD_REASONING);
	json_pair(w, STR("reasoning_effort"), chat_effort_word(effort < most ? effort : most));
}

int
openai_write_request(struct chat *c, struct chat_request *q, struct buf *out)
{
	struct json_writer w;

	if (chat_adapt_parts(c, q, LIFT_IMAGES | LIFT_FILES) < 0)
		return -1;
	if (c->options->no_structured_output && chat_adapt_format(c, q) < 0)
		return -1;
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("model"), c->target);
	json_key(&w, STR("messages"));
	if (openai_write_messages(c, q, &w) < 0)
		return -1;
	write_max_tokens(c, q, &w);
	write_stream(c, &w);
	write_sampling(c, q, &w);
	write_stops(q, &w);
	write_tools(c, q, &w);
	write_format(q, &w);
	write_reasoning(c, q, &w);
	write_user(c, q, &w);
	write_tier(q, &w);
	json_object_end(&w);
	c->path = STR("/chat/completions");
	return 0;
}
