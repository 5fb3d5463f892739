/*
 * gemini: the adapter of Gemini's generateContent: its table, and the reader of its answers.
 *
 * A reply and an event of a stream are the same object; a stream's holds what is new. So one reader
 * does for both, and for the JSON array that a stream without SSE is. Candidates are choices:
 *
 *     not seen --parts--> started --finishReason--> finished      all finished, at the end: stops
 *         \---------------- finishReason ---------------^
 *
 * There is no end marker, and parts or counts may come behind a finishReason: stops are told at the
 * end. A stream that ends with a candidate unfinished was cut. Called by translate; what is not
 * JSON, or no such object, is -1, and what a part has beyond what is known is passed over.
 */
#include "dialect/gemini.h"

#include <string.h>

#include "dialect/fault.h"
#include "dialect/gemini_private.h"
#include "dialect/instant.h"

/* Levels of tokens that are looked at, one more where replies stand in an array. */
enum { CANDIDATES_MOST = 128, KEEP_LEVELS = 10 };

struct candidate {
	bool seen, started, finished;
	bool malformed;    /* it ended in a call that is none */
	bool in_reasoning; /* what was told last is reasoning */
	enum chat_stop stop;
};

struct gemini {
	struct candidate candidates[CANDIDATES_MOST];
	unsigned n;  /* one past the last that was seen */
	bool spoken; /* content was told of any, or the client has seen anything */
	bool failed; /* the provider's error was told */
	struct str id, model;
	uint64_t created_s;
};

/* One reply or event, while it is read. */
struct reading {
	struct chat *c;
	struct gemini *g;
	const struct json_doc *d;
	struct chat_events *out;
	unsigned choice;
};

static void *
open_reader(struct chat *c)
{
	return arena_zero(c->arena, sizeof(struct gemini));
}

/*
 * Events
 */

static void
tell_start(struct reading *r)
{
	struct candidate *k = &r->g->candidates[r->choice];
	struct chat_event *e;

	if (k->started)
		return;
	k->started = true;
	e = chat_emit(r->c, r->out, EVENT_START);
	if (!e)
		return;
	e->choice = r->choice;
	e->id = r->g->id;
	e->model = r->g->model;
	e->created_s = r->g->created_s;
}

/* An event of the candidate's content. */
static struct chat_event *
tell(struct reading *r, enum chat_event_type type)
{
	struct candidate *k = &r->g->candidates[r->choice];
	struct chat_event *e;

	tell_start(r);
	r->g->spoken |= r->c->stream ||
		(type != EVENT_REASONING && type != EVENT_SIGNATURE && type != EVENT_PART_END);
	k->in_reasoning = type == EVENT_REASONING;
	e = chat_emit(r->c, r->out, type);
	if (e)
		e->choice = r->choice;
	return e;
}

static void
tell_text(struct reading *r, enum chat_event_type type, struct str text)
{
	struct chat_event *e = text.len > 0 ? tell(r, type) : NULL;

	if (e)
		e->text = text;
}

static void
tell_error(struct reading *r, const struct error *error)
{
	struct chat_event *e = chat_emit(r->c, r->out, EVENT_ERROR);

	if (e)
		e->error = *error;
	r->g->failed = true;
}

/* A thought signature that came without a call, where an Anthropic client keeps one: on the
 * thinking block before it. */
static void
tell_signature(struct reading *r, struct str signature)
{
	struct str marked;

	marked = arena_printf(r->c->scratch, GEMINI_SIGNATURE "%.*s", STR_ARG(signature));
	r->out->failed |= !marked.p;
	tell_text(r, EVENT_SIGNATURE, marked);
	tell(r, EVENT_PART_END);
}

/*
 * Parts
 */

static bool
is_anthropic(const struct reading *r)
{
	return r->c->endpoint->client == DIALECT_ANTHROPIC;
}

static void
read_call(struct reading *r, const struct json_token *call, struct str signature)
{
	struct str id = chat_call_id(r->c, r->c->scratch, json_get_text(r->d, call, STR("id"))),
		   name = json_get_text(r->d, call, STR("name")), args;
	struct chat_part given = { .args = json_get_raw(r->d, call, STR("args")) };
	struct chat_event *e;

	if (name.len == 0) /* cannot be called */
		return;
	args = json_get_type(r->d, call, STR("args"), JSON_OBJECT) ? given.args
								   : chat_args_object(r->c, &given);
	e = tell(r, EVENT_CALL);
	if (!e || !id.p || !args.p) {
		r->out->failed = true;
		return;
	}
	e->id = id;
	e->name = name;
	e->signature = signature;
	e = tell(r, EVENT_ARGUMENTS);
	if (e) {
		e->text = args;
		e->plain = true;
	}
	tell(r, EVENT_PART_END);
}

static void
read_image(struct reading *r, const struct json_token *data)
{
	struct str media = json_get_text(r->d, data, STR("mimeType")),
		   text = json_get_text(r->d, data, STR("data"));
	struct chat_event *e;

	if (!str_starts(media, STR("image/")) || text.len == 0)
		return;
	e = tell(r, EVENT_IMAGE);
	if (!e)
		return;
	e->media = media;
	e->text = text;
}

/* Code that the provider ran, and what came of it: as fenced text. */
static void
read_code(struct reading *r, struct str language, struct str text)
{
	struct str fenced;

	if (text.len == 0)
		return;
	fenced = arena_printf(r->c->scratch, "\\n```%.*s\\n%.*s\\n```\\n", STR_ARG(language),
		STR_ARG(text));
	r->out->failed |= !fenced.p;
	tell_text(r, EVENT_TEXT, fenced);
}

static void
read_part(struct reading *r, const struct json_token *part)
{
	const struct json_doc *d = r->d;
	const struct json_token *call = json_get_type(d, part, STR("functionCall"), JSON_OBJECT),
				*code = json_get(d, part, STR("executableCode"));
	struct str signature = json_get_text(d, part, STR("thoughtSignature"));
	bool thought = json_get_true(d, part, STR("thought")), lone;

	if (call) {
		read_call(r, call, signature);
		return;
	}
	tell_text(r, thought ? EVENT_REASONING : EVENT_TEXT, json_get_text(d, part, STR("text")));
	if (!thought) {
		read_image(r, json_get(d, part, STR("inlineData")));
		read_code(r,
			json_get_is(d, code, STR("language"), STR("PYTHON")) ? STR("python")
									     : STR(""),
			json_get_text(d, code, STR("code")));
		read_code(r, STR(""),
			json_get_text(d, json_get(d, part, STR("codeExecutionResult")),
				STR("output")));
	}
	/* without a call it says something only where it signs the thoughts right before it */
	lone = signature.len > 0 && r->g->candidates[r->choice].in_reasoning;
	if (lone && is_anthropic(r))
		tell_signature(r, signature);
}

/*
 * Candidates
 */

static const struct {
	struct str reason;
	enum chat_stop stop;
	bool malformed;
} reasons[] = {
	{ STR_INIT("STOP"), STOP_END, false },
	{ STR_INIT("MAX_TOKENS"), STOP_LENGTH, false },
	{ STR_INIT("CONTINUATION"), STOP_LENGTH, false },
	{ STR_INIT("SAFETY"), STOP_REFUSAL, false },
	{ STR_INIT("RECITATION"), STOP_REFUSAL, false },
	{ STR_INIT("LANGUAGE"), STOP_REFUSAL, false },
	{ STR_INIT("BLOCKLIST"), STOP_REFUSAL, false },
	{ STR_INIT("PROHIBITED_CONTENT"), STOP_REFUSAL, false },
	{ STR_INIT("SPII"), STOP_REFUSAL, false },
	{ STR_INIT("IMAGE_SAFETY"), STOP_REFUSAL, false },
	{ STR_INIT("IMAGE_PROHIBITED_CONTENT"), STOP_REFUSAL, false },
	{ STR_INIT("IMAGE_RECITATION"), STOP_REFUSAL, false },
	{ STR_INIT("IMAGE_OTHER"), STOP_REFUSAL, false },
	{ STR_INIT("NO_IMAGE"), STOP_REFUSAL, false },
	{ STR_INIT("MALFORMED_FUNCTION_CALL"), STOP_END, true },
	{ STR_INIT("UNEXPECTED_TOOL_CALL"), STOP_END, true },
	{ STR_INIT("TOO_MANY_TOOL_CALLS"), STOP_END, true },
};

static void
read_finish(struct reading *r, const struct json_token *candidate)
{
	const struct json_token *t = json_get(r->d, candidate, STR("finishReason"));
	struct candidate *k = &r->g->candidates[r->choice];

	if (!t)
		return;
	k->finished = true;
	k->stop = STOP_END; /* also for what is not known */
	k->malformed = false;
	for (size_t i = 0; t->type == JSON_STRING && i < sizeof reasons / sizeof reasons[0]; i++) {
		if (json_doc_is(r->d, t, reasons[i].reason)) {
			k->stop = reasons[i].stop;
			k->malformed = reasons[i].malformed;
		}
	}
}

/* The candidate that is number `place` of its list. 0 or -1. */
static int
read_candidate(struct reading *r, const struct json_token *candidate, unsigned place)
{
	const struct json_token *parts = json_get(r->d, json_get(r->d, candidate, STR("content")),
					STR("parts")),
				*t;
	int64_t index = json_get_count(r->d, candidate, STR("index"));

	if (candidate->type != JSON_OBJECT)
		return -1;
	if (index < 0)
		index = place;
	if (index >= CANDIDATES_MOST)
		return -1;
	r->choice = (unsigned)index;
	r->g->candidates[index].seen = true;
	if (r->g->n <= r->choice)
		r->g->n = r->choice + 1;
	for (t = json_first(r->d, parts); t && parts->type == JSON_ARRAY;
		t = json_next(r->d, parts, t))
		read_part(r, t);
	gemini_read_logprobs(r->c, r->d, candidate, r->choice, r->out);
	gemini_read_citations(r->c, r->d, candidate, r->choice, r->out);
	read_finish(r, candidate);
	return 0;
}

/* A prompt that was refused: a whole answer where none has begun, else the end of those begun. */
static void
read_block(struct reading *r, const struct json_token *reply)
{
	struct gemini *g = r->g;
	struct str reason = json_get_text(r->d, json_get(r->d, reply, STR("promptFeedback")),
		STR("blockReason"));

	if (reason.len == 0)
		return;
	if (g->n == 0) {
		struct str text =
			arena_printf(r->c->scratch, "Prompt blocked: %.*s", STR_ARG(reason));

		r->choice = 0;
		g->n = 1;
		g->candidates[0].seen = true;
		r->out->failed |= !text.p;
		tell_text(r, EVENT_REFUSAL, text);
	}
	for (unsigned i = 0; i < g->n; i++) {
		struct candidate *k = &g->candidates[i];

		if (!k->finished)
			k->stop = STOP_REFUSAL;
		k->finished = true;
	}
}

/* Take what is said, where nothing is known yet. */
static void
keep(struct chat *c, struct str *known, struct str said)
{
	if (known->len == 0 && said.len > 0)
		*known = arena_copy(c->arena, said);
}

/* Whose the answer is, as the first event says it that does. */
static void
read_names(struct reading *r, const struct json_token *reply)
{
	struct gemini *g = r->g;

	keep(r->c, &g->id, json_get_text(r->d, reply, STR("responseId")));
	keep(r->c, &g->model, json_get_text(r->d, reply, STR("modelVersion")));
	if (g->created_s == 0)
		g->created_s = instant_s(json_get_text(r->d, reply, STR("createTime")));
}

/* One reply, or event of a stream. 0 or -1. */
static int
read_one(struct reading *r, const struct json_token *reply)
{
	const struct json_token *list = json_get_type(r->d, reply, STR("candidates"), JSON_ARRAY),
				*error, *t;
	unsigned place = 0;

	if (reply->type != JSON_OBJECT)
		return -1;
	gemini_read_usage(r->c, r->d, reply, r->out);
	error = json_get(r->d, reply, STR("error"));
	if (error && error->type != JSON_FALSE) {
		fault_emit(r->c, json_doc_raw(r->d, reply), r->out);
		r->g->failed = true;
		return 0;
	}
	read_names(r, reply);
	for (t = json_first(r->d, list); t; t = json_next(r->d, list, t))
		if (read_candidate(r, t, place++) < 0)
			return -1;
	if (!json_first(r->d, list))
		read_block(r, reply);
	return r->c->arena->failed ? -1 : 0;
}

/* The end: what each candidate stopped for. `whole`: where nothing was said of it, it just ended.
 * False when an answer is missing or cut. */
static bool
tell_end(struct reading *r, bool whole)
{
	static const struct error malformed = { .kind = ERROR_UPSTREAM,
		.message = STR_INIT("the model called a function in a way that cannot be read") };
	struct gemini *g = r->g;
	struct chat_event *e;
	bool broken = false;

	for (unsigned i = 0; i < g->n; i++) {
		if (g->candidates[i].seen && !g->candidates[i].finished && !whole)
			return false;
		broken |= g->candidates[i].malformed;
	}
	if (g->n == 0)
		return false;
	if (broken && !g->spoken) {
		tell_error(r, &malformed);
		return true;
	}
	for (r->choice = 0; r->choice < g->n; r->choice++) {
		if (!g->candidates[r->choice].seen)
			continue;
		tell_start(r);
		e = chat_emit(r->c, r->out, EVENT_STOP);
		if (!e)
			return true;
		e->choice = r->choice;
		e->stop = g->candidates[r->choice].stop;
	}
	chat_emit(r->c, r->out, EVENT_DONE);
	return true;
}

/* A text that is one reply, or a list of them. 0 or -1. */
static int
read_text(struct reading *r, struct json_doc *d, struct str text)
{
	const struct json_token *top, *t;

	if (json_doc_read(d, r->c->scratch, text, KEEP_LEVELS, JSON_DEPTH_MAX) < 0)
		return -1;
	top = json_doc_top(d);
	if (top->type != JSON_ARRAY)
		return read_one(r, top);
	for (t = json_first(d, top); t && !r->g->failed; t = json_next(d, top, t))
		if (read_one(r, t) < 0)
			return -1;
	return 0;
}

static int
read_reply(struct chat *c, void *state, struct str text, struct chat_events *out)
{
	struct json_doc d;
	struct reading r = { .c = c, .g = state, .d = &d, .out = out };

	if (read_text(&r, &d, text) < 0)
		return -1;
	return r.g->failed || tell_end(&r, true) ? 0 : -1;
}

static int
read_event(struct chat *c, void *state, const struct sse_event *ev, struct chat_events *out)
{
	struct json_doc d;
	struct reading r = { .c = c, .g = state, .d = &d, .out = out };

	if (str_eq(str_trim(ev->data), STR("[DONE]"))) /* some proxies end any stream so */
		return 0;
	return read_text(&r, &d, ev->data);
}

static bool
read_end(struct chat *c, void *state, struct chat_events *out)
{
	struct reading r = { .c = c, .g = state, .out = out };

	return tell_end(&r, false);
}

const struct chat_provider gemini_provider = {
	.write_request = gemini_write_request,
	.open = open_reader,
	.read_reply = read_reply,
	.read_event = read_event,
	.read_end = read_end,
};
