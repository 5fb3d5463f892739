/*
 * cohere_request: the neutral request as Cohere's v2 chat (Cohere API reference: POST /v2/chat).
 *
 * Called by translate through cohere's table, once an attempt. Cohere takes ranges where others
 * take any number: what lies beyond is clamped, by the bytes of the bound. It has no named tool
 * choice (only that tool is sent, and REQUIRED), no choices but one, and at most 5 stop sequences;
 * a response format cannot go with tools or documents. Text said before tool calls is the plan of
 * these calls.
 *
 * Fails on parts that Cohere cannot carry and on client's values of a wrong type, which it names.
 */
#include "dialect/cohere_request.h"

#include "dialect/chat_adapt.h"

enum { STOPS_MOST = 5, BUDGET_LOW = 1024, BUDGET_MEDIUM = 4096, BUDGET_HIGH = 16384 };

/*
 * Messages
 */

static void
write_text(struct json_writer *w, struct str kind, struct str text)
{
	json_object(w);
	json_pair(w, STR("type"), kind);
	json_pair_escaped(w, kind, text);
	json_object_end(w);
}

/* Is it "type/subtype", of bytes that a data URL can hold? */
static bool
is_media(struct str s)
{
	size_t slash = str_index(s, '/');

	if (slash == 0 || slash + 1 >= s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char b = s.p[i];

		if (!(b >= 'a' && b <= 'z') && !(b >= 'A' && b <= 'Z') && !(b >= '0' && b <= '9') &&
			b != '/' && b != '-' && b != '+' && b != '.')
			return false;
	}
	return true;
}

static int
write_image(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w)
{
	const struct chat_source *s = &p->source;
	struct str media = json_unescape(s->media, c->arena);

	if (s->kind != SOURCE_URL && s->kind != SOURCE_DATA)
		return chat_refuse_part(c, m, p,
			"this model's provider cannot fetch files by id; send the image's data");
	if (c->arena->failed)
		return chat_no_memory(c);
	if (s->kind == SOURCE_DATA && !is_media(media))
		return chat_refuse_part(c, m, p, "an image needs its media type, as in image/png");
	json_object(w);
	json_pair(w, STR("type"), STR("image_url"));
	json_key(w, STR("image_url"));
	json_object(w);
	json_key(w, STR("url"));
	json_text_open(w);
	if (s->kind == SOURCE_DATA) {
		json_text_more(w, STR("data:"));
		json_text_more(w, media);
		json_text_more(w, STR(";base64,"));
	}
	json_text_more_escaped(w, s->text);
	json_text_close(w);
	json_object_end(w);
	json_object_end(w);
	return 0;
}

/* Content of texts and images: a string where one text is all. */
static int
write_content(struct chat *c, const struct chat_message *m, const struct chat_part *parts,
	struct json_writer *w)
{
	const struct chat_part *only = NULL;
	size_t n = 0;

	for (const struct chat_part *p = parts; p; p = p->next) {
		if (p->type == PART_TEXT && p->text.len == 0)
			continue;
		only = p;
		n++;
	}
	json_key(w, STR("content"));
	if (n == 0 || (n == 1 && only->type == PART_TEXT)) {
		json_escaped(w, n == 0 ? STR("") : only->text);
		return 0;
	}
	json_array(w);
	for (const struct chat_part *p = parts; p; p = p->next) {
		if (p->type == PART_TEXT && p->text.len > 0)
			write_text(w, STR("text"), p->text);
		else if (p->type == PART_IMAGE && write_image(c, m, p, w) < 0)
			return -1;
		else if (p->type != PART_TEXT && p->type != PART_IMAGE)
			return chat_refuse_part(c, m, p,
				"this model's provider takes text and images, nothing else");
	}
	json_array_end(w);
	return 0;
}

static void
write_call(struct chat *c, const struct chat_part *call, struct json_writer *w)
{
	json_object(w);
	json_pair_escaped(w, STR("id"), call->id);
	json_pair(w, STR("type"), STR("function"));
	json_key(w, STR("function"));
	json_object(w);
	json_pair_escaped(w, STR("name"), call->name);
	json_pair_escaped(w, STR("arguments"), chat_args_text(c, call));
	json_object_end(w);
	json_object_end(w);
}

static void
write_calls(struct chat *c, const struct chat_message *m, struct str plan, struct json_writer *w)
{
	if (plan.len > 0)
		json_pair_escaped(w, STR("tool_plan"), plan);
	json_key(w, STR("tool_calls"));
	json_array(w);
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (p->type == PART_CALL)
			write_call(c, p, w);
	json_array_end(w);
}

/* What the assistant thought, where the administrator says that it is wanted back, and said. */
static void
write_thought(struct json_writer *w, struct str thought, struct str text)
{
	json_key(w, STR("content"));
	if (thought.len == 0) {
		json_escaped(w, text);
		return;
	}
	json_array(w);
	write_text(w, STR("thinking"), thought);
	if (text.len > 0)
		write_text(w, STR("text"), text);
	json_array_end(w);
}

static int
write_assistant(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	struct str text = chat_adapt_text(c, m, PART_TEXT, STR("")), thought = STR("");
	bool calls = false;

	if (c->options->reasoning_field.len > 0)
		thought = chat_adapt_text(c, m, PART_REASONING, STR(""));
	if (c->arena->failed)
		return chat_no_memory(c);
	for (const struct chat_part *p = m->parts; p; p = p->next)
		calls |= p->type == PART_CALL;
	if (!calls && text.len == 0 && thought.len == 0)
		return 0;
	json_object(w);
	json_pair(w, STR("role"), STR("assistant"));
	if (!calls || thought.len > 0)
		write_thought(w, thought, calls ? STR("") : text);
	if (calls)
		write_calls(c, m, text, w);
	json_object_end(w);
	return 0;
}

static int
write_results(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (p->type != PART_RESULT)
			continue;
		json_object(w);
		json_pair(w, STR("role"), STR("tool"));
		json_pair_escaped(w, STR("tool_call_id"), p->id);
		if (write_content(c, m, p->parts, w) < 0)
			return -1;
		json_object_end(w);
	}
	return 0;
}

static bool
is_empty(const struct chat_message *m)
{
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (p->type != PART_TEXT || p->text.len > 0)
			return false;
	return true;
}

static int
write_message(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	if (m->role == CHAT_ASSISTANT)
		return write_assistant(c, m, w);
	if (m->role == CHAT_TOOL)
		return write_results(c, m, w);
	if (m->role == CHAT_SYSTEM && is_empty(m))
		return 0;
	json_object(w);
	json_pair(w, STR("role"), m->role == CHAT_SYSTEM ? STR("system") : STR("user"));
	if (write_content(c, m, m->parts, w) < 0)
		return -1;
	json_object_end(w);
	return 0;
}

static int
write_messages(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	chat_note(q, STR("messages"));
	json_key(w, STR("messages"));
	json_array(w);
	for (const struct chat_message *m = q->messages; m; m = m->next)
		if (write_message(c, m, w) < 0)
			return -1;
	json_array_end(w);
	return 0;
}

/*
 * Parameters
 */

static void
write_clamped(struct chat_request *q, enum chat_field field, struct json_writer *w, struct str name,
	struct str low, struct str high)
{
	if (chat_has(q, field))
		json_pair_value(w, name, chat_clamp(chat_carry(q, field), low, high));
}

/* Some models take only one of the penalties: with both, it is the one of frequency. */
static void
write_penalties(struct chat_request *q, struct json_writer *w)
{
	const struct chat_param *frequency = q->fields[FIELD_FREQUENCY_PENALTY],
				*presence = q->fields[FIELD_PRESENCE_PENALTY];
	struct str none = STR("0"), most = STR("1");
	bool both = frequency && presence &&
		chat_number(chat_clamp(frequency->raw, none, most)) != 0 &&
		chat_number(chat_clamp(presence->raw, none, most)) != 0;

	write_clamped(q, FIELD_FREQUENCY_PENALTY, w, STR("frequency_penalty"), none, most);
	if (!both)
		write_clamped(q, FIELD_PRESENCE_PENALTY, w, STR("presence_penalty"), none, most);
}

static void
write_sampling(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	if (!c->options->no_sampling) {
		write_clamped(q, FIELD_TEMPERATURE, w, STR("temperature"), STR("0"), STR("1"));
		/* 1 is no limit, which is said by silence */
		if (chat_has(q, FIELD_TOP_P) && chat_number(q->fields[FIELD_TOP_P]->raw) == 1)
			chat_carry(q, FIELD_TOP_P);
		else
			write_clamped(q, FIELD_TOP_P, w, STR("p"), STR("0.01"), STR("0.99"));
		write_clamped(q, FIELD_TOP_K, w, STR("k"), STR("0"), STR("500"));
	}
	if (chat_has(q, FIELD_SEED))
		json_pair_value(w, STR("seed"), chat_carry(q, FIELD_SEED));
	write_penalties(q, w);
}

static void
write_limits(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	uint64_t most = chat_max_tokens(c, q, false, 0);

	chat_carry(q, FIELD_MAX_TOKENS);
	if (most > 0)
		chat_adapt_count(w, STR("max_tokens"), most);
	chat_carry(q, FIELD_STOP);
	if (q->n_stops == 0)
		return;
	json_key(w, STR("stop_sequences"));
	json_array(w);
	for (size_t i = 0; i < q->n_stops; i++)
		json_escaped(w, q->stops[i]);
	json_array_end(w);
}

static void
write_choice(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	bool forced = q->choice == CHOICE_REQUIRED || q->choice == CHOICE_NAMED ||
		q->choice == CHOICE_ALLOWED_REQUIRED;

	if (!q->has_choice || (forced && (!q->tools || c->options->no_forced_tools)))
		return;
	chat_carry(q, FIELD_CHOICE);
	if (forced)
		json_pair(w, STR("tool_choice"), STR("REQUIRED"));
	else if (q->choice == CHOICE_NONE && q->tools)
		json_pair(w, STR("tool_choice"), STR("NONE"));
}

static int
write_tools(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	bool strict = false;

	if (chat_adapt_tools(c, q, w) < 0)
		return -1;
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		strict |= chat_adapt_sends(q, t) && t->strict;
	if (strict) {
		json_key(w, STR("strict_tools"));
		json_bool(w, true);
	}
	write_choice(c, q, w);
	return 0;
}

static void
write_format(struct chat_request *q, struct json_writer *w)
{
	if (q->format.kind == FORMAT_IS_TEXT || q->tools || chat_param(q, STR("documents")))
		return;
	chat_carry(q, FIELD_FORMAT);
	json_key(w, STR("response_format"));
	json_object(w);
	json_pair(w, STR("type"), STR("json_object"));
	if (q->format.kind == FORMAT_IS_SCHEMA)
		json_pair_value(w, STR("json_schema"), q->format.schema);
	json_object_end(w);
}

static uint64_t
budget_of(const struct chat_reasoning *r)
{
	if (r->budget > 0)
		return r->budget;
	return r->effort <= EFFORT_LOW       ? BUDGET_LOW
		: r->effort == EFFORT_MEDIUM ? BUDGET_MEDIUM
					     : BUDGET_HIGH;
}

static void
write_thinking(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	bool on = q->reasoning.effort != EFFORT_NONE;

	if (!q->reasoning.asked || c->options->reasoning == STYLE_NONE)
		return;
	chat_carry(q, FIELD_REASONING);
	json_key(w, STR("thinking"));
	json_object(w);
	json_pair(w, STR("type"), on ? STR("enabled") : STR("disabled"));
	if (on)
		chat_adapt_count(w, STR("token_budget"), budget_of(&q->reasoning));
	json_object_end(w);
}

static int
write_extensions(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	static const struct {
		struct str name;
		enum json_type type;
	} all[] = { { STR_INIT("documents"), JSON_ARRAY },
		{ STR_INIT("citation_options"), JSON_OBJECT },
		{ STR_INIT("safety_mode"), JSON_STRING } };

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (chat_adapt_copy(c, q, w, all[i].name, all[i].type) < 0)
			return -1;
	return 0;
}

static int
check(struct chat *c, const struct chat_request *q)
{
	if (q->n > 1)
		return chat_adapt_refuse(c, q, FIELD_N,
			"must be 1: this model's provider gives one choice");
	if (q->n_stops > STOPS_MOST)
		return chat_adapt_refuse(c, q, FIELD_STOP,
			"must hold at most 5 texts for this model's provider");
	return 0;
}

int
cohere_write_request(struct chat *c, struct chat_request *q, struct buf *out)
{
	struct json_writer w;

	if (check(c, q) < 0 || chat_adapt_modalities(c, q) < 0 ||
		chat_adapt_parts(c, q, LIFT_IMAGES) < 0)
		return -1;
	chat_adapt_defaults(q);
	if (c->options->no_structured_output && chat_adapt_format(c, q) < 0)
		return -1;
	c->path = STR("/v2/chat");
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("model"), c->target);
	if (c->stream) {
		json_key(&w, STR("stream"));
		json_bool(&w, true);
	}
	if (write_messages(c, q, &w) < 0)
		return -1;
	write_limits(c, q, &w);
	write_sampling(c, q, &w);
	if (write_tools(c, q, &w) < 0)
		return -1;
	write_format(q, &w);
	write_thinking(c, q, &w);
	if (write_extensions(c, q, &w) < 0)
		return -1;
	json_object_end(&w);
	return c->arena->failed ? chat_no_memory(c) : 0;
}
