/*
 * gemini_config: parameters as Gemini's generationConfig: sampling, lengths, formats, thinking.
 *
 * Called by gemini_request. Numbers move as they were written; where Gemini's range is narrower
 * than the client's they are brought into it. Whether a model is asked to think by a budget or by a
 * level is told by the configuration, else by the generation in its name. Refused (c->error): more
 * stop sequences than Gemini takes, several choices of a stream, output that is not text or image.
 */
#include "dialect/gemini_private.h"

#include <inttypes.h>
#include <string.h>

enum { STOPS_MOST = 5 };

struct config {
	struct chat *c;
	struct chat_request *q;
	struct json_writer *w;
	bool open;
};

/* The key of a member: with the first one the object is opened. */
static void
config_key(struct config *g, struct str name)
{
	if (!g->open) {
		json_key(g->w, STR("generationConfig"));
		json_object(g->w);
		g->open = true;
	}
	json_key(g->w, name);
}

static void
config_value(struct config *g, struct str name, struct str raw)
{
	if (raw.len == 0)
		return;
	config_key(g, name);
	json_value(g->w, raw);
}

static void
write_sampling(struct config *g)
{
	if (g->c->options->no_sampling)
		return;
	config_value(g, STR("temperature"), chat_carry(g->q, FIELD_TEMPERATURE));
	config_value(g, STR("topP"), chat_carry(g->q, FIELD_TOP_P));
	config_value(g, STR("topK"), chat_carry(g->q, FIELD_TOP_K));
}

static int
write_count(struct config *g)
{
	uint64_t n = chat_max_tokens(g->c, g->q, false, 0);
	struct str tokens = n > 0 ? arena_printf(g->c->arena, "%" PRIu64, n) : STR("");
	struct str choices = chat_carry(g->q, FIELD_N);

	if (!tokens.p)
		return chat_no_memory(g->c);
	chat_carry(g->q, FIELD_MAX_TOKENS);
	config_value(g, STR("maxOutputTokens"), tokens);
	if (g->q->n <= 1)
		return 0;
	if (g->c->stream)
		return chat_refuse(g->c, STR("n"),
			"this model's provider streams one choice; ask for one, or for no stream");
	config_value(g, STR("candidateCount"), choices);
	return 0;
}

static int
write_stops(struct config *g)
{
	const struct chat_param *p = g->q->fields[FIELD_STOP];
	unsigned n = 0;

	chat_carry(g->q, FIELD_STOP);
	for (size_t i = 0; i < g->q->n_stops; i++) {
		if (g->q->stops[i].len == 0)
			continue;
		if (n == 0) {
			config_key(g, STR("stopSequences"));
			json_array(g->w);
		}
		if (++n > STOPS_MOST)
			return chat_refuse(g->c, p->name,
				"this model's provider takes at most %d stop sequences",
				STOPS_MOST);
		json_escaped(g->w, g->q->stops[i]);
	}
	if (n > 0)
		json_array_end(g->w);
	return 0;
}

/* Is it a whole number of 32 bits? */
static bool
is_int32(struct str raw)
{
	bool minus = str_starts(raw, STR("-"));
	uint64_t n;

	return str_u64(str_skip(raw, minus), &n) == 0 && n <= (uint64_t)INT32_MAX + minus;
}

/* A penalty; Gemini's range ends short of 2. */
static void
write_penalty(struct config *g, struct str name, enum chat_field field)
{
	struct str raw = chat_carry(g->q, field);
	double n = raw.len > 0 ? chat_number(raw) : 0;

	config_value(g, name, n >= 2 && n <= 2 ? STR("1.99") : raw);
}

static void
write_chances(struct config *g)
{
	const struct chat_param *seed = g->q->fields[FIELD_SEED];
	struct str top;

	if (seed && is_int32(seed->raw))
		config_value(g, STR("seed"), chat_carry(g->q, FIELD_SEED));
	write_penalty(g, STR("presencePenalty"), FIELD_PRESENCE_PENALTY);
	write_penalty(g, STR("frequencyPenalty"), FIELD_FREQUENCY_PENALTY);
	if (!g->q->logprobs)
		return;
	chat_carry(g->q, FIELD_LOGPROBS);
	config_value(g, STR("responseLogprobs"), STR("true"));
	top = chat_carry(g->q, FIELD_TOP_LOGPROBS);
	if (top.len > 0)
		config_value(g, STR("logprobs"), chat_clamp(top, STR("0"), STR("20")));
}

static void
write_format(struct config *g)
{
	const struct chat_format *f = &g->q->format;

	chat_carry(g->q, FIELD_FORMAT);
	if (f->kind == FORMAT_IS_TEXT)
		return;
	config_value(g, STR("responseMimeType"), STR("\"application/json\""));
	if (f->kind == FORMAT_IS_SCHEMA)
		config_value(g, STR("responseJsonSchema"), f->schema);
}

/* One of the client's modalities, in capitals. Audio could not be given back. */
static int
write_modality(struct config *g, const struct json_token *t)
{
	static const struct {
		struct str client, upstream;
	} known[] = { { STR_INIT("text"), STR_INIT("TEXT") },
		{ STR_INIT("image"), STR_INIT("IMAGE") } };

	for (size_t i = 0; t->type == JSON_STRING && i < sizeof known / sizeof known[0]; i++) {
		if (json_doc_is(&g->q->doc, t, known[i].client)) {
			json_text(g->w, known[i].upstream);
			return 0;
		}
	}
	return chat_refuse(g->c, STR("modalities"),
		"`modalities` may be \"text\" and \"image\" with this model's provider");
}

static int
write_modalities(struct config *g)
{
	const struct json_doc *d = &g->q->doc;
	const struct json_token *list, *t;
	int rc = chat_get(g->c, g->q, STR("modalities"), JSON_ARRAY, &list);

	if (rc <= 0)
		return rc;
	chat_note(g->q, STR("modalities"));
	if (list->count == 0)
		return 0;
	config_key(g, STR("responseModalities"));
	json_array(g->w);
	for (t = json_first(d, list); t; t = json_next(d, list, t))
		if (write_modality(g, t) < 0)
			return -1;
	json_array_end(g->w);
	return 0;
}

/*
 * Thinking
 */

/* Is the model asked by a budget? Those of the first generations are, later ones by a level. */
static bool
by_budget(const struct chat *c)
{
	unsigned generation = gemini_generation(c);

	if (c->options->reasoning == STYLE_AUTO)
		return generation == 1 || generation == 2;
	return c->options->reasoning == STYLE_BUDGET;
}

/* The mapping of Google's own OpenAI surface; larger models cannot stop thinking altogether. */
static uint64_t
budget_of(const struct chat *c, const struct chat_reasoning *r)
{
	static const uint64_t budgets[] = {
		[EFFORT_NONE] = 0,
		[EFFORT_MINIMAL] = 1024,
		[EFFORT_LOW] = 1024,
		[EFFORT_MEDIUM] = 8192,
		[EFFORT_HIGH] = 24576,
		[EFFORT_XHIGH] = 24576,
		[EFFORT_MAX] = 24576,
	};
	bool pro = str_find(c->target, STR("-pro")) < c->target.len;

	if (r->effort == EFFORT_NONE)
		return pro ? 128 : 0;
	return r->budget > 0 ? r->budget : budgets[r->effort];
}

static struct str
level_of(enum chat_effort effort)
{
	switch (effort) {
	case EFFORT_NONE:
	case EFFORT_MINIMAL:
		return STR("MINIMAL");
	case EFFORT_LOW:
		return STR("LOW");
	case EFFORT_MEDIUM:
		return STR("MEDIUM");
	default:
		return STR("HIGH");
	}
}

static void
write_thinking(struct config *g, struct str own)
{
	const struct chat_reasoning *r = &g->q->reasoning;
	bool anthropic = g->c->endpoint->client == DIALECT_ANTHROPIC;

	if (own.len > 0) {
		config_value(g, STR("thinkingConfig"), own);
		return;
	}
	if (!r->asked || g->c->options->reasoning == STYLE_NONE)
		return;
	chat_carry(g->q, FIELD_REASONING);
	config_key(g, STR("thinkingConfig"));
	json_object(g->w);
	/* an OpenAI client has no other way to say that it wants to see reasoning */
	if (r->effort != EFFORT_NONE && (r->shown || !anthropic)) {
		json_key(g->w, STR("includeThoughts"));
		json_bool(g->w, true);
	}
	if (by_budget(g->c)) {
		uint64_t budget = budget_of(g->c, r);

		json_key(g->w, STR("thinkingBudget"));
		json_number(g->w, budget < INT32_MAX ? (int64_t)budget : INT32_MAX);
	} else {
		json_pair(g->w, STR("thinkingLevel"), level_of(r->effort));
	}
	json_object_end(g->w);
}

int
gemini_write_config(struct chat *c, struct chat_request *q, struct str thinking,
	struct json_writer *w)
{
	struct config g = { .c = c, .q = q, .w = w };

	write_sampling(&g);
	if (write_count(&g) < 0 || write_stops(&g) < 0)
		return -1;
	write_chances(&g);
	write_format(&g);
	if (write_modalities(&g) < 0)
		return -1;
	write_thinking(&g, thinking);
	if (g.open)
		json_object_end(w);
	return 0;
}
