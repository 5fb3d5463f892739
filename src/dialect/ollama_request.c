/*
 * ollama_request: the neutral request as Ollama's native API (Ollama API: POST /api/chat, POST
 * /api/generate).
 *
 * Called by translate through ollama's table, once an attempt. Sampling and limits stand in
 * `options`, where what the client says there itself comes before what its other parameters say.
 * `stream` is always written, since true is the default there. Content is one string; images stand
 * beside it, as bare base64. Calls have no ids: results name their tool. Which tool is called
 * cannot be forced; a choice is kept as far as leaving tools out does.
 *
 * A legacy completion has a path of its own, with `prompt` and `suffix` in the place of messages.
 *
 * Fails on parts that Ollama cannot carry and on client's values of a wrong type, which it names.
 */
#include "dialect/ollama_request.h"

#include "dialect/chat_adapt.h"

/*
 * Messages
 */

static int
write_images(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	bool any = false;

	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (p->type == PART_TEXT)
			continue;
		if (p->type != PART_IMAGE)
			return chat_refuse_part(c, m, p,
				"this model's provider takes text and images, nothing else");
		if (p->source.kind != SOURCE_DATA)
			return chat_refuse_part(c, m, p,
				"this model's provider does not fetch images; send a data URL");
		if (!any) {
			json_key(w, STR("images"));
			json_array(w);
		}
		any = true;
		json_escaped(w, p->source.text);
	}
	if (any)
		json_array_end(w);
	return 0;
}

static int
write_plain(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	struct str text = chat_adapt_text(c, m, PART_TEXT, STR("\\n"));

	if (c->arena->failed)
		return chat_no_memory(c);
	if (m->role == CHAT_SYSTEM && text.len == 0)
		return 0;
	json_object(w);
	json_pair(w, STR("role"), m->role == CHAT_SYSTEM ? STR("system") : STR("user"));
	json_pair_escaped(w, STR("content"), text);
	if (write_images(c, m, w) < 0)
		return -1;
	json_object_end(w);
	return 0;
}

static int
write_calls(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	json_key(w, STR("tool_calls"));
	json_array(w);
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		struct str args;

		if (p->type != PART_CALL)
			continue;
		args = chat_args_object(c, p);
		if (!args.p)
			return chat_no_memory(c);
		json_object(w);
		json_key(w, STR("function"));
		json_object(w);
		json_pair_escaped(w, STR("name"), p->name);
		json_pair_value(w, STR("arguments"), args);
		json_object_end(w);
		json_object_end(w);
	}
	json_array_end(w);
	return 0;
}

static int
write_assistant(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	struct str text = chat_adapt_text(c, m, PART_TEXT, STR("\\n")),
		   thought = chat_adapt_text(c, m, PART_REASONING, STR(""));
	bool calls = false;

	if (c->arena->failed)
		return chat_no_memory(c);
	for (const struct chat_part *p = m->parts; p; p = p->next)
		calls |= p->type == PART_CALL;
	if (!calls && text.len == 0 && thought.len == 0)
		return 0;
	json_object(w);
	json_pair(w, STR("role"), STR("assistant"));
	json_pair_escaped(w, STR("content"), text);
	if (thought.len > 0)
		json_pair_escaped(w, STR("thinking"), thought);
	if (calls && write_calls(c, m, w) < 0)
		return -1;
	json_object_end(w);
	return 0;
}

static int
write_results(struct chat *c, const struct chat_message *m, const struct chat_calls *calls,
	struct json_writer *w)
{
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		struct str name, text;

		if (p->type != PART_RESULT)
			continue;
		name = chat_calls_name(calls, m, p->id);
		text = chat_join_text(c->arena, p->parts, STR("\\n"));
		if (c->arena->failed)
			return chat_no_memory(c);
		json_object(w);
		json_pair(w, STR("role"), STR("tool"));
		json_pair_escaped(w, STR("content"), text);
		if (name.len > 0)
			json_pair_escaped(w, STR("tool_name"), name);
		json_object_end(w);
	}
	return 0;
}

static int
write_messages(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	struct chat_calls calls;
	int rc = 0;

	if (chat_calls_read(c, q, &calls) < 0)
		return -1;
	chat_note(q, STR("messages"));
	json_key(w, STR("messages"));
	json_array(w);
	for (const struct chat_message *m = q->messages; m && rc == 0; m = m->next) {
		if (m->role == CHAT_ASSISTANT)
			rc = write_assistant(c, m, w);
		else if (m->role == CHAT_TOOL)
			rc = write_results(c, m, &calls, w);
		else
			rc = write_plain(c, m, w);
	}
	json_array_end(w);
	return rc;
}

static void
write_prompt(struct chat_request *q, struct json_writer *w)
{
	chat_note(q, STR("prompt"));
	chat_note(q, STR("suffix"));
	json_pair_escaped(w, STR("prompt"), q->prompt);
	if (q->suffix.len > 0)
		json_pair_escaped(w, STR("suffix"), q->suffix);
}

/*
 * Options
 */

/* The client's own `options`, which win. */
struct options {
	struct chat_request *q;
	const struct json_token *own;
	struct json_writer *w;
	bool any;
};

static void
open_options(struct options *o)
{
	if (o->any)
		return;
	o->any = true;
	json_key(o->w, STR("options"));
	json_object(o->w);
}

/* Is the option still to be written? */
static bool
wants(struct options *o, struct str name)
{
	if (o->own && json_member(&o->q->doc.scan, o->q->doc.text, o->own, name, NULL))
		return false;
	open_options(o);
	return true;
}

static void
add_field(struct options *o, enum chat_field field, struct str name)
{
	if (!chat_has(o->q, field))
		return;
	chat_carry(o->q, field);
	if (wants(o, name))
		json_pair_value(o->w, name, o->q->fields[field]->raw);
}

static void
add_stops(struct options *o)
{
	struct str name = STR("stop");

	chat_carry(o->q, FIELD_STOP);
	if (o->q->n_stops == 0 || !wants(o, name))
		return;
	json_key(o->w, name);
	json_array(o->w);
	for (size_t i = 0; i < o->q->n_stops; i++)
		json_escaped(o->w, o->q->stops[i]);
	json_array_end(o->w);
}

/* Parameters of the client that only Ollama has, under their own names. */
static int
add_extensions(struct chat *c, struct options *o)
{
	static const struct str names[] = { STR_INIT("min_p"), STR_INIT("repeat_penalty"),
		STR_INIT("num_ctx") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (!chat_param(o->q, names[i]))
			continue;
		if (!wants(o, names[i]))
			chat_note(o->q, names[i]);
		else if (chat_adapt_copy(c, o->q, o->w, names[i], JSON_NUMBER) < 0)
			return -1;
	}
	return 0;
}

static bool
is_integer(struct str raw)
{
	if (raw.len > 0 && raw.p[0] == '-')
		raw = str_skip(raw, 1);
	for (size_t i = 0; i < raw.len; i++)
		if (raw.p[i] < '0' || raw.p[i] > '9')
			return false;
	return raw.len > 0;
}

static void
add_own(struct options *o)
{
	struct str inside;

	if (!o->own)
		return;
	chat_note(o->q, STR("options"));
	open_options(o);
	inside = json_doc_raw(&o->q->doc, o->own);
	if (o->own->count > 0)
		json_value(o->w, str_head(str_skip(inside, 1), inside.len - 2));
}

static int
write_options(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	struct options o = { .q = q, .w = w };
	uint64_t most = chat_max_tokens(c, q, false, 0);

	if (chat_get(c, q, STR("options"), JSON_OBJECT, &o.own) < 0)
		return -1;
	if (chat_has(q, FIELD_SEED) && !is_integer(q->fields[FIELD_SEED]->raw))
		return chat_adapt_refuse(c, q, FIELD_SEED,
			"must be a whole number for this model's provider");
	chat_carry(q, FIELD_MAX_TOKENS);
	if (most > 0 && wants(&o, STR("num_predict")))
		chat_adapt_count(w, STR("num_predict"), most);
	if (!c->options->no_sampling) {
		add_field(&o, FIELD_TEMPERATURE, STR("temperature"));
		add_field(&o, FIELD_TOP_P, STR("top_p"));
		add_field(&o, FIELD_TOP_K, STR("top_k"));
	}
	add_field(&o, FIELD_SEED, STR("seed"));
	add_field(&o, FIELD_PRESENCE_PENALTY, STR("presence_penalty"));
	add_field(&o, FIELD_FREQUENCY_PENALTY, STR("frequency_penalty"));
	add_stops(&o);
	if (add_extensions(c, &o) < 0)
		return -1;
	add_own(&o);
	if (o.any)
		json_object_end(w);
	return 0;
}

/*
 * Other parameters
 */

static int
write_tools(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	bool none = q->has_choice && q->choice == CHOICE_NONE;

	if (!q->has_choice || none || q->choice == CHOICE_AUTO || q->choice == CHOICE_ALLOWED)
		chat_carry(q, FIELD_CHOICE);
	if (!none)
		return chat_adapt_tools(c, q, w);
	chat_carry(q, FIELD_TOOLS);
	return 0;
}

static void
write_format(struct chat_request *q, struct json_writer *w)
{
	if (q->format.kind == FORMAT_IS_TEXT)
		return;
	chat_carry(q, FIELD_FORMAT);
	if (q->format.kind == FORMAT_IS_SCHEMA)
		json_pair_value(w, STR("format"), q->format.schema);
	else
		json_pair(w, STR("format"), STR("json"));
}

/* Does the model take named levels of thinking? Others know only whether to think. */
static bool
has_levels(const struct chat *c)
{
	struct str name = STR("gpt-oss");

	if (c->options->reasoning != STYLE_AUTO)
		return c->options->reasoning == STYLE_EFFORT;
	for (size_t i = 0; i + name.len <= c->target.len; i++)
		if (str_eq_nocase(str_head(str_skip(c->target, i), name.len), name))
			return true;
	return false;
}

static void
write_think(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	enum chat_effort effort = q->reasoning.effort;

	if (!q->reasoning.asked || c->options->reasoning == STYLE_NONE)
		return;
	chat_carry(q, FIELD_REASONING);
	json_key(w, STR("think"));
	if (effort == EFFORT_NONE || !has_levels(c))
		json_bool(w, effort != EFFORT_NONE);
	else if (effort < EFFORT_LOW)
		json_text(w, STR("low"));
	else
		json_text(w, chat_effort_word(effort < EFFORT_HIGH ? effort : EFFORT_HIGH));
}

/* A duration in text, or a number of seconds. */
static int
write_keep_alive(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	struct str name = STR("keep_alive");
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), name);

	if (t && t->type != JSON_NUMBER && t->type != JSON_STRING)
		return chat_refuse(c, name, "`keep_alive` must be a string or a number");
	if (t)
		json_pair_value(w, name, chat_carry_param(q, name));
	return 0;
}

/* Legacy completions say `logprobs` as a number, which is not Ollama's; theirs are left out. */
static void
write_logprobs(struct chat_request *q, struct json_writer *w)
{
	if (q->completion || !q->logprobs)
		return;
	chat_carry(q, FIELD_LOGPROBS);
	json_key(w, STR("logprobs"));
	json_bool(w, true);
	if (chat_has(q, FIELD_TOP_LOGPROBS))
		json_pair_value(w, STR("top_logprobs"), chat_carry(q, FIELD_TOP_LOGPROBS));
}

static int
write_rest(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	if (!q->completion && write_tools(c, q, w) < 0)
		return -1;
	write_format(q, w);
	write_think(c, q, w);
	if (write_options(c, q, w) < 0 || write_keep_alive(c, q, w) < 0)
		return -1;
	if (q->completion && chat_adapt_copy(c, q, w, STR("raw"), JSON_TRUE) < 0)
		return -1;
	write_logprobs(q, w);
	return 0;
}

int
ollama_write_request(struct chat *c, struct chat_request *q, struct buf *out)
{
	struct json_writer w;

	if (q->n > 1)
		return chat_adapt_refuse(c, q, FIELD_N,
			"must be 1: this model's provider gives one choice");
	if (!q->completion &&
		(chat_adapt_modalities(c, q) < 0 || chat_adapt_parts(c, q, LIFT_IMAGES) < 0))
		return -1;
	chat_adapt_defaults(q);
	if (c->options->no_structured_output && chat_adapt_format(c, q) < 0)
		return -1;
	c->path = q->completion ? STR("/api/generate") : STR("/api/chat");
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("model"), c->target);
	json_key(&w, STR("stream"));
	json_bool(&w, c->stream);
	if (q->completion)
		write_prompt(q, &w);
	else if (write_messages(c, q, &w) < 0)
		return -1;
	if (write_rest(c, q, &w) < 0)
		return -1;
	json_object_end(&w);
	return c->arena->failed ? chat_no_memory(c) : 0;
}
