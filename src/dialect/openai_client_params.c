/*
 * openai_client_params: the parameters that chat completions and legacy completions have in common
 * (OpenAI API reference: create chat completion, create completion).
 *
 * Called by the readers of the two protocols. A null parameter is as good as none. A parameter of
 * another type is refused by its name; one of the right type is only noted, so that the adapter of
 * the provider takes it, in its own range and name, or leaves it and it is reported as dropped.
 * Said to be carried at once is what the router does itself (stream_options), and what says no more
 * than leaving it out: n 1, a penalty of 0, logprobs false, metadata that is empty.
 */
#include "dialect/openai_client_params.h"

#include "dialect/place.h"

static const struct json_token *
param_token(const struct chat_request *q, struct str name)
{
	return json_get(&q->doc, json_doc_top(&q->doc), name);
}

int
param_bool(struct chat *c, struct chat_request *q, struct str name, bool *value)
{
	bool is;

	if (place_flag(c, &q->doc, json_doc_top(&q->doc), NULL, name, &is) < 0)
		return -1;
	if (chat_param(q, name))
		*value = is;
	return 0;
}

static int
read_stream(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR_INIT("stream_options"), -1 };
	const struct json_token *t;
	bool usage;

	if (param_bool(c, q, STR("stream"), &c->stream) < 0 ||
		place_get(c, &q->doc, json_doc_top(&q->doc), NULL, at.name, JSON_OBJECT, false,
			&t) < 0 ||
		place_flag(c, &q->doc, t, &at, STR("include_usage"), &usage) < 0)
		return -1;
	c->include_usage |= usage;
	chat_note(q, at.name);
	return 0;
}

/* Lists of nothing, which some clients always send. */
static void
note_empty(struct chat_request *q)
{
	static const struct str names[] = { STR_INIT("logit_bias"), STR_INIT("metadata"),
		STR_INIT("functions") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct json_token *t = param_token(q, names[i]);

		if (t && (t->type == JSON_OBJECT || t->type == JSON_ARRAY) && t->count == 0)
			chat_note(q, names[i]);
	}
}

/* The older name of a parameter that was given by its newer one, or the other way about. */
static void
spare(struct chat_request *q, struct str name)
{
	struct chat_param *p = chat_param(q, name);

	if (p)
		p->spared = true;
}

/* A parameter that is a whole number of at least 1. 1, 0 when it was not given, or -1. */
static int
read_count(struct chat *c, struct chat_request *q, enum chat_field field, struct str name,
	uint64_t *n)
{
	const struct json_token *t;
	int rc = chat_take(c, q, field, name, JSON_NUMBER, &t);

	if (rc <= 0)
		return rc;
	if (json_u64(q->doc.text, t, n) < 0 || *n == 0)
		return chat_refuse(c, name, "`%.*s` must be a whole number of at least 1",
			STR_ARG(name));
	return 1;
}

static int
read_limits(struct chat *c, struct chat_request *q)
{
	int rc = 0;

	if (c->endpoint->id == ENDPOINT_CHAT)
		rc = read_count(c, q, FIELD_MAX_TOKENS, STR("max_completion_tokens"),
			&q->max_tokens);
	if (rc == 0)
		rc = read_count(c, q, FIELD_MAX_TOKENS, STR("max_tokens"), &q->max_tokens);
	else
		spare(q, STR("max_tokens"));
	if (rc < 0 || read_count(c, q, FIELD_N, STR("n"), &q->n) < 0)
		return -1;
	if (q->n == 1)
		chat_carry(q, FIELD_N);
	return 0;
}

static int
read_sampling(struct chat *c, struct chat_request *q)
{
	static const struct {
		enum chat_field field;
		struct str name;
		bool penalty;
	} numbers[] = {
		{ FIELD_TEMPERATURE, STR_INIT("temperature"), false },
		{ FIELD_TOP_P, STR_INIT("top_p"), false },
		{ FIELD_TOP_K, STR_INIT("top_k"), false },
		{ FIELD_SEED, STR_INIT("seed"), false },
		{ FIELD_PRESENCE_PENALTY, STR_INIT("presence_penalty"), true },
		{ FIELD_FREQUENCY_PENALTY, STR_INIT("frequency_penalty"), true },
	};
	const struct json_token *t;

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		int rc = chat_take(c, q, numbers[i].field, numbers[i].name, JSON_NUMBER, &t);

		if (rc < 0)
			return -1;
		if (rc > 0 && numbers[i].penalty && chat_number(json_doc_raw(&q->doc, t)) == 0)
			chat_carry(q, numbers[i].field);
	}
	return 0;
}

static int
add_stop(struct chat *c, struct chat_request *q, const struct json_token *t, unsigned index)
{
	const struct place at = { NULL, STR_INIT("stop"), index };
	struct str text;

	if (t->type != JSON_STRING)
		return place_refuse(c, &at, "must be a string");
	text = json_doc_inner(&q->doc, t);
	if (text.len > 0) /* some providers refuse empty ones, which end nothing */
		q->stops[q->n_stops++] = text;
	return 0;
}

static int
read_stop(struct chat *c, struct chat_request *q)
{
	struct str name = STR("stop");
	const struct json_token *t = param_token(q, name), *item;
	enum json_type type = t && t->type == JSON_STRING ? JSON_STRING : JSON_ARRAY;
	unsigned i = 0;

	if (!t)
		return 0;
	if (t->type != type)
		return chat_refuse(c, name, "`stop` must be a string or a list of strings");
	if (chat_take(c, q, FIELD_STOP, name, type, &t) < 0)
		return -1;
	q->stops = arena_alloc(c->arena,
		(type == JSON_ARRAY ? (size_t)t->count + 1 : 1) * sizeof *q->stops);
	if (!q->stops)
		return chat_no_memory(c);
	if (type == JSON_STRING && add_stop(c, q, t, 0) < 0)
		return -1;
	for (item = json_first(&q->doc, t); item; item = json_next(&q->doc, t, item))
		if (add_stop(c, q, item, i++) < 0)
			return -1;
	if (q->n_stops == 0)
		chat_carry(q, FIELD_STOP);
	return 0;
}

static int
read_user(struct chat *c, struct chat_request *q)
{
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_USER, STR("user"), JSON_STRING, &t);

	if (rc == 0)
		rc = chat_take(c, q, FIELD_USER, STR("safety_identifier"), JSON_STRING, &t);
	else
		spare(q, STR("safety_identifier"));
	if (rc > 0)
		q->user = json_doc_inner(&q->doc, t);
	if (q->user.len == 0)
		chat_carry(q, FIELD_USER);
	return rc < 0 ? -1 : 0;
}

int
params_read(struct chat *c, struct chat_request *q)
{
	if (read_stream(c, q) < 0 || read_limits(c, q) < 0 || read_sampling(c, q) < 0)
		return -1;
	note_empty(q);
	return read_stop(c, q) < 0 || read_user(c, q) < 0 ? -1 : 0;
}
