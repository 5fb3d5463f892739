/*
 * anthropic_request: the neutral request as a body for Anthropic's /v1/messages: parameters, tools,
 * structured answers, thinking. The conversation itself is written by anthropic_messages.
 *
 * Called by translate through anthropic_provider. First everything is settled that depends on the
 * model, on the API's version and on each other (thinking takes tokens, forbids sampling and forced
 * tools), then the body is written from front to back. Fails, with a 400 in c->error, on what would
 * change the answer if it were left out: several choices, audio, parts of unknown kinds.
 */
#include "dialect/anthropic_request.h"

#include <string.h>

#include "dialect/anthropic_block.h"
#include "dialect/anthropic_messages.h"
#include "dialect/anthropic_model.h"
#include "dialect/anthropic_schema.h"
#include "dialect/chat_adapt.h"

enum { TOKENS_DEFAULT = 4096, BUDGET_LEAST = 1024 };

/* From this version on sampling parameters are refused, whatever the model. */
#define VERSION_NO_SAMPLING "2026-10-21"

/*
 * What is settled first
 */

enum thinking { THINKING_UNSAID, THINKING_DISABLED, THINKING_ADAPTIVE, THINKING_BUDGET };

struct plan {
	struct anthropic_model model;
	uint64_t max_tokens;
	enum thinking thinking;
	uint64_t budget;
	struct str own_thinking; /* raw, as the client gave it in Anthropic's words; or empty */
	bool thinks;
	struct str effort;  /* of output_config; or empty */
	bool has_tools;     /* of the client's, that are sent */
	bool schema;        /* output_config has the schema */
	const char *choice; /* type of tool_choice; NULL: none is sent */
	struct str forced;  /* the tool that it names */
	struct str order;   /* said of the answer's form; or empty */
};

/* The thinking that the client asks for in Anthropic's own words. */
static void
take_own_thinking(struct chat *c, struct chat_request *q, struct plan *p)
{
	const struct json_token *own = json_get(&q->doc, json_doc_top(&q->doc), STR("thinking"));
	int64_t budget = json_get_count(&q->doc, own, STR("budget_tokens"));
	bool thinks = !json_get_is(&q->doc, own, STR("type"), STR("disabled"));

	if (thinks && anthropic_lacks_thinking(q)) {
		chat_param(q, STR("thinking"))->spared = true;
		return;
	}
	p->own_thinking = chat_carry_param(q, STR("thinking"));
	p->thinks = thinks;
	if (q->max_tokens == 0 && budget > 0)
		p->max_tokens = chat_max_tokens(c, q, true, (uint64_t)budget);
}

static uint64_t
budget_of(const struct chat_reasoning *r)
{
	if (r->budget > 0)
		return r->budget > BUDGET_LEAST ? r->budget : BUDGET_LEAST;
	switch (r->effort) {
	case EFFORT_NONE:
		return 0;
	case EFFORT_MINIMAL:
	case EFFORT_LOW:
		return 1024;
	case EFFORT_MEDIUM:
		return 2048;
	case EFFORT_HIGH:
		return 4096;
	case EFFORT_XHIGH:
	case EFFORT_MAX:
		break;
	}
	return 16384;
}

/* A budget beside the answer's tokens, as far as the model has room for both. */
static void
take_budget(struct chat *c, struct chat_request *q, struct plan *p)
{
	uint64_t budget = budget_of(&q->reasoning), most = chat_max_tokens(c, q, true, budget);

	if (most == 0)
		most = TOKENS_DEFAULT + budget;
	if (budget >= most)
		budget = most - 1;
	if (anthropic_lacks_thinking(q)) { /* as in all later rounds of an OpenAI client's */
		q->fields[FIELD_REASONING]->spared = true;
		return;
	}
	if (budget < BUDGET_LEAST)
		return;
	chat_carry(q, FIELD_REASONING);
	p->thinking = THINKING_BUDGET;
	p->budget = budget;
	p->max_tokens = most;
	p->thinks = true;
}

static void
take_adaptive(struct chat_request *q, struct plan *p)
{
	enum chat_effort effort = q->reasoning.effort;

	chat_carry(q, FIELD_REASONING);
	if (effort == EFFORT_NONE) {
		p->thinking = p->own_thinking.len > 0 || p->model.always_thinks ? THINKING_UNSAID
										: THINKING_DISABLED;
		return;
	}
	p->effort = chat_effort_word(effort == EFFORT_MINIMAL ? EFFORT_LOW : effort);
	if (p->own_thinking.len > 0 || anthropic_lacks_thinking(q))
		return;
	p->thinking = THINKING_ADAPTIVE;
	p->thinks = true;
}

static void
plan_thinking(struct chat *c, struct chat_request *q, struct plan *p)
{
	enum chat_reasoning_style style = c->options->reasoning;
	struct chat_param *own = chat_param(q, STR("thinking"));

	if (style == STYLE_AUTO)
		style = p->model.budget ? STYLE_BUDGET : STYLE_ADAPTIVE;
	p->max_tokens = chat_max_tokens(c, q, true, 0);
	if (own)
		take_own_thinking(c, q, p);
	if (q->reasoning.asked && q->fields[FIELD_REASONING] != own && style != STYLE_NONE) {
		if (style != STYLE_BUDGET)
			take_adaptive(q, p);
		else if (q->reasoning.effort == EFFORT_NONE)
			chat_carry(q, FIELD_REASONING);
		else if (!own)
			take_budget(c, q, p);
	}
	if (p->max_tokens == 0)
		p->max_tokens = TOKENS_DEFAULT;
}

/* How the answer's form is asked for. */
static void
plan_format(struct chat *c, struct chat_request *q, struct plan *p)
{
	const struct chat_format *f = &q->format;

	chat_carry(q, FIELD_FORMAT);
	if (f->kind == FORMAT_IS_TEXT)
		return;
	if (f->kind == FORMAT_IS_SCHEMA && !c->options->no_structured_output &&
		!p->model.no_structured_output)
		p->schema = true;
	else if (f->kind == FORMAT_IS_SCHEMA && !chat_find_tool(q, STR(CHAT_JSON_TOOL)))
		c->json_tool = true;
	else /* also where the client has a tool of that name */
		p->order = chat_adapt_order(c, f);
}

static void
plan_choice(struct chat *c, struct chat_request *q, struct plan *p)
{
	enum chat_choice_mode mode = q->has_choice ? q->choice : CHOICE_AUTO;
	bool forced =
		mode == CHOICE_NAMED || mode == CHOICE_REQUIRED || mode == CHOICE_ALLOWED_REQUIRED;
	bool unforceable = c->options->no_forced_tools || p->model.no_forced_tools || p->thinks;

	for (const struct chat_tool *t = q->tools; t && !p->has_tools; t = t->next)
		p->has_tools = chat_allows(q, t);
	if ((p->has_tools || !forced) && !(forced && unforceable))
		chat_carry(q, FIELD_CHOICE);
	chat_carry(q, FIELD_TOOLS);
	chat_carry(q, FIELD_SERIAL);
	if (!p->has_tools && !c->json_tool)
		return;
	if (c->json_tool && (!p->has_tools || mode == CHOICE_NONE)) {
		p->choice = "tool";
		p->forced = STR(CHAT_JSON_TOOL);
	} else if (mode == CHOICE_NAMED && q->n_choice_names > 0) {
		p->choice = "tool";
		p->forced = chat_tool_name(c, q->choice_names[0], ANTHROPIC_NAME_MOST);
	} else if (mode == CHOICE_NONE) {
		p->choice = "none";
		return;
	} else {
		p->choice = forced || c->json_tool ? "any" : q->serial ? "auto" : NULL;
	}
	if (p->choice && unforceable)
		p->choice = "auto";
}

/*
 * Parameters
 */

static int
refuse_unspeakable(struct chat *c, struct chat_request *q)
{
	const struct json_token *t, *modalities;

	if (q->n > 1)
		return chat_refuse(c, STR("n"),
			"this model's provider gives one choice only; `n` must be 1");
	chat_carry(q, FIELD_N);
	if (chat_get(c, q, STR("modalities"), JSON_ARRAY, &modalities) < 0)
		return -1;
	for (t = json_first(&q->doc, modalities); t; t = json_next(&q->doc, modalities, t))
		if (t->type == JSON_STRING && json_doc_is(&q->doc, t, STR("audio")))
			return chat_refuse(c, STR("modalities"),
				"this model's provider does not answer with audio");
	if (modalities)
		chat_note(q, STR("modalities"));
	if (chat_param(q, STR("audio")))
		return chat_refuse(c, STR("audio"),
			"this model's provider does not answer with audio");
	return 0;
}

/* The raw value of a sampling field if it is to be sent; empty: not. One that is the default of
 * both sides is no loss. */
static struct str
sampling_of(struct chat_request *q, enum chat_field field, bool sent)
{
	struct chat_param *param = q->fields[field];

	if (!param)
		return STR("");
	if (sent || (field != FIELD_TOP_K && chat_number(param->raw) == 1))
		param->carried = true;
	return sent ? param->raw : STR("");
}

static void
write_sampling(struct chat *c, struct chat_request *q, struct json_writer *w, const struct plan *p)
{
	bool sent = !c->options->no_sampling && !p->model.no_sampling && !p->thinks &&
		!str_eq(c->version, STR(VERSION_NO_SAMPLING));
	struct str temperature = sampling_of(q, FIELD_TEMPERATURE, sent),
		   top_p = sampling_of(q, FIELD_TOP_P, sent && temperature.len == 0),
		   top_k = sampling_of(q, FIELD_TOP_K, sent);

	if (temperature.len > 0)
		json_pair_value(w, STR("temperature"), chat_clamp(temperature, STR("0"), STR("1")));
	if (top_p.len > 0)
		json_pair_value(w, STR("top_p"), chat_clamp(top_p, STR("0"), STR("1")));
	if (top_k.len > 0)
		json_pair_value(w, STR("top_k"), top_k);
}

/* Stops of white space alone are refused by Anthropic. */
static void
write_stops(struct chat_request *q, struct json_writer *w)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n_stops; i++) {
		if (block_trim(q->stops[i]).len == 0)
			continue;
		if (n++ == 0) {
			json_key(w, STR("stop_sequences"));
			json_array(w);
		}
		json_escaped(w, q->stops[i]);
	}
	if (n > 0)
		json_array_end(w);
	if (n == q->n_stops)
		chat_carry(q, FIELD_STOP);
}

/* Anthropic refuses e-mail addresses and telephone numbers as the name of a user. */
static bool
is_personal(struct str plain)
{
	size_t digits = 0, marks = 0;

	for (size_t i = 0; i < plain.len; i++) {
		if (plain.p[i] == '@')
			return true;
		if (plain.p[i] >= '0' && plain.p[i] <= '9')
			digits++;
		else if (memchr("+-(). /", plain.p[i], 7))
			marks++;
	}
	return digits + marks == plain.len && digits >= (marks > 0 ? 7 : 10) && digits <= 15;
}

static void
write_user(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	if (q->user.len == 0 || is_personal(json_unescape(q->user, c->arena)))
		return;
	chat_carry(q, FIELD_USER);
	json_key(w, STR("metadata"));
	json_object(w);
	json_pair_escaped(w, STR("user_id"), q->user);
	json_object_end(w);
}

static void
write_tier(struct chat_request *q, struct json_writer *w)
{
	struct str tier = STR("");

	if (str_eq(q->service_tier, STR("auto")))
		tier = STR("auto");
	else if (str_eq(q->service_tier, STR("default")))
		tier = STR("standard_only");
	if (tier.len == 0)
		return;
	chat_carry(q, FIELD_SERVICE_TIER);
	json_pair(w, STR("service_tier"), tier);
}

static void
write_thinking(struct json_writer *w, const struct plan *p)
{
	static const char *const types[] = { [THINKING_DISABLED] = "disabled",
		[THINKING_ADAPTIVE] = "adaptive",
		[THINKING_BUDGET] = "enabled" };

	if (p->own_thinking.len > 0)
		json_pair_value(w, STR("thinking"), p->own_thinking);
	if (p->thinking == THINKING_UNSAID)
		return;
	json_key(w, STR("thinking"));
	json_object(w);
	json_pair(w, STR("type"), str_of(types[p->thinking]));
	if (p->thinking == THINKING_BUDGET)
		chat_adapt_count(w, STR("budget_tokens"), p->budget);
	json_object_end(w);
}

static void
write_output(struct chat *c, struct chat_request *q, struct json_writer *w, const struct plan *p)
{
	if (p->effort.len == 0 && !p->schema)
		return;
	json_key(w, STR("output_config"));
	json_object(w);
	if (p->effort.len > 0)
		json_pair(w, STR("effort"), p->effort);
	if (p->schema) {
		json_key(w, STR("format"));
		json_object(w);
		json_pair(w, STR("type"), STR("json_schema"));
		json_key(w, STR("schema"));
		if (q->format.strict)
			json_value(w, q->format.schema);
		else
			anthropic_write_closed(c, w, q->format.schema);
		json_object_end(w);
	}
	json_object_end(w);
}

/* What clients say in Anthropic's own words. */
static void
write_extensions(struct chat_request *q, struct json_writer *w)
{
	static const struct str names[] = { STR_INIT("cache_control"),
		STR_INIT("context_management"), STR_INIT("mcp_servers"), STR_INIT("container") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct str raw = chat_carry_param(q, names[i]);

		if (raw.len > 0)
			json_pair_value(w, names[i], raw);
	}
}

/*
 * Tools
 */

static int
write_tool(struct chat *c, const struct chat_tool *t, struct json_writer *w)
{
	struct str name = chat_tool_name(c, t->name, ANTHROPIC_NAME_MOST);

	if (t->custom && chat_custom_name(c, t->name) < 0)
		return -1;
	json_object(w);
	json_pair_escaped(w, STR("name"), name);
	if (t->description.len > 0)
		json_pair_escaped(w, STR("description"), t->description);
	json_key(w, STR("input_schema"));
	if (t->custom)
		json_value(w, STR(CHAT_CUSTOM_SCHEMA));
	else if (anthropic_write_input(c, w, t->schema) < 0)
		return c->arena->failed
			? chat_no_memory(c)
			: chat_refuse(c, STR("tools"),
				  "the parameters of tool `%.*s` must be an object",
				  (int)(t->name.len < 128 ? t->name.len : 128), t->name.p);
	if (t->has_strict)
		json_pair_value(w, STR("strict"), t->strict ? STR("true") : STR("false"));
	if (t->cache.len > 0)
		json_pair_value(w, STR("cache_control"), t->cache);
	json_object_end(w);
	return 0;
}

/* The tool that stands in for a response format. */
static int
write_json_tool(struct chat *c, const struct chat_format *f, struct json_writer *w)
{
	json_object(w);
	json_pair(w, STR("name"), STR(CHAT_JSON_TOOL));
	if (f->description.len > 0)
		json_pair_escaped(w, STR("description"), f->description);
	else
		json_pair(w, STR("description"), STR("Give the final answer with this tool."));
	json_key(w, STR("input_schema"));
	if (anthropic_write_input(c, w, f->schema) < 0)
		return c->arena->failed ? chat_no_memory(c)
					: chat_refuse(c, STR("response_format"),
						  "the schema of `response_format` must be an "
						  "object");
	json_object_end(w);
	return 0;
}

static int
write_tools(struct chat *c, struct chat_request *q, struct json_writer *w, const struct plan *p)
{
	if (!p->has_tools && !c->json_tool)
		return 0;
	json_key(w, STR("tools"));
	json_array(w);
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (chat_allows(q, t) && write_tool(c, t, w) < 0)
			return -1;
	if (c->json_tool && write_json_tool(c, &q->format, w) < 0)
		return -1;
	json_array_end(w);
	if (!p->choice)
		return 0;
	json_key(w, STR("tool_choice"));
	json_object(w);
	json_pair(w, STR("type"), str_of(p->choice));
	if (str_eq(str_of(p->choice), STR("tool")))
		json_pair_escaped(w, STR("name"), p->forced);
	if (q->serial && !str_eq(str_of(p->choice), STR("none")))
		json_pair_value(w, STR("disable_parallel_tool_use"), STR("true"));
	json_object_end(w);
	return 0;
}

int
anthropic_write_request(struct chat *c, struct chat_request *q, struct buf *out)
{
	struct plan p = { .model = anthropic_model_of(c->target) };
	struct json_writer w;

	if (refuse_unspeakable(c, q) < 0)
		return -1;
	plan_thinking(c, q, &p);
	plan_format(c, q, &p);
	plan_choice(c, q, &p);
	chat_carry(q, FIELD_MAX_TOKENS);
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("model"), c->target);
	chat_adapt_count(&w, STR("max_tokens"), p.max_tokens);
	if (c->stream)
		json_pair_value(&w, STR("stream"), STR("true"));
	write_sampling(c, q, &w, &p);
	write_stops(q, &w);
	write_user(c, q, &w);
	write_tier(q, &w);
	write_thinking(&w, &p);
	write_output(c, q, &w, &p);
	write_extensions(q, &w);
	if (anthropic_write_messages(c, q, &w, p.order) < 0 || write_tools(c, q, &w, &p) < 0)
		return -1;
	json_object_end(&w);
	c->path = STR("/v1/messages");
	return c->arena->failed ? chat_no_memory(c) : 0;
}
