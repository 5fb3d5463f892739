/*
 * gemini_aside: what stands beside the text in Gemini's replies: log probabilities, sources, token
 * counts.
 *
 * Called by gemini, the reader, for each candidate of each reply or event. Nothing here can fail a
 * reply: what is missing or has another shape is passed over. Texts that are composed live in the
 * scratch arena, and are bounded: sources beyond a number or a length are left out.
 */
#include "dialect/gemini_private.h"

#include <string.h>

/* Sources of one reply or event, and the length of an address. */
enum { CITATIONS_MOST = 256, URL_MOST = 8192 };
/* No count of tokens is larger: sums of a few stay far from the end of int64_t. */
#define COUNT_MOST ((int64_t)1 << 56)

/*
 * Log probabilities
 */

/* The bytes of a token; null where it has half a surrogate pair, which has none. */
static void
write_bytes(struct chat *c, const struct json_doc *d, const struct json_token *token,
	struct json_writer *w)
{
	bool lossy = false;
	struct str plain = token ? json_string(d->text, token, c->scratch, &lossy) : STR("");

	json_key(w, STR("bytes"));
	if (lossy || !plain.p) {
		json_null(w);
		return;
	}
	json_array(w);
	for (size_t i = 0; i < plain.len; i++)
		json_number(w, (unsigned char)plain.p[i]);
	json_array_end(w);
}

/* Token, probability and bytes: members of an object that the caller opened. */
static void
write_logprob(struct chat *c, const struct json_doc *d, const struct json_token *of,
	struct json_writer *w)
{
	const struct json_token *token = json_get_type(d, of, STR("token"), JSON_STRING),
				*n = json_get_type(d, of, STR("logProbability"), JSON_NUMBER);

	json_pair_escaped(w, STR("token"), token ? json_doc_inner(d, token) : STR(""));
	json_pair_value(w, STR("logprob"), n ? json_doc_raw(d, n) : STR("0"));
	write_bytes(c, d, token, w);
}

/* `top`: the candidates for that place; NULL: not given. */
static void
write_item(struct chat *c, const struct json_doc *d, const struct json_token *chosen,
	const struct json_token *top, struct json_writer *w)
{
	const struct json_token *list = json_get_type(d, top, STR("candidates"), JSON_ARRAY), *t;

	json_object(w);
	write_logprob(c, d, chosen, w);
	json_key(w, STR("top_logprobs"));
	json_array(w);
	for (t = json_first(d, list); t; t = json_next(d, list, t)) {
		json_object(w);
		write_logprob(c, d, t, w);
		json_object_end(w);
	}
	json_array_end(w);
	json_object_end(w);
}

void
gemini_read_logprobs(struct chat *c, const struct json_doc *d, const struct json_token *candidate,
	unsigned choice, struct chat_events *out)
{
	const struct json_token *result = json_get(d, candidate, STR("logprobsResult")),
				*chosen = json_get_type(d, result, STR("chosenCandidates"),
					JSON_ARRAY),
				*tops = json_get_type(d, result, STR("topCandidates"), JSON_ARRAY),
				*t, *top;
	struct buf text = BUF_EMPTY;
	struct json_writer w;
	struct chat_event *e;

	if (!json_first(d, chosen))
		return;
	json_writer_init(&w, &text);
	top = json_first(d, tops);
	for (t = json_first(d, chosen); t; t = json_next(d, chosen, t)) {
		write_item(c, d, t, top, &w);
		top = top ? json_next(d, tops, top) : NULL;
	}
	out->failed |= text.failed;
	e = chat_emit(c, out, EVENT_LOGPROBS);
	if (e) {
		e->choice = choice;
		e->raw = arena_copy(c->scratch, buf_str(&text));
		out->failed |= !e->raw.p;
	}
	buf_free(&text);
}

/*
 * Sources
 */

/* A source of a stretch of the text; nothing where its address or its end is not known. */
static void
emit_citation(struct chat *c, const struct json_doc *d, const struct json_token *source,
	const struct json_token *stretch, unsigned choice, struct chat_events *out)
{
	struct str url = json_get_text(d, source, STR("uri")),
		   title = json_get_text(d, source, STR("title"));
	int64_t start = json_get_count(d, stretch, STR("startIndex")), /* 0 is left out */
		end = json_get_count(d, stretch, STR("endIndex"));
	struct chat_event *e;

	if (url.len == 0 || url.len > URL_MOST || title.len > URL_MOST || end < 0)
		return;
	e = chat_emit(c, out, EVENT_CITATION);
	if (!e)
		return;
	e->choice = choice;
	e->raw = arena_printf(c->scratch,
		"{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":%lld,\"end_index\":%lld,"
		"\"url\":\"%.*s\",\"title\":\"%.*s\"}}",
		(long long)(start < 0 ? 0 : start), (long long)end, STR_ARG(url), STR_ARG(title));
	out->failed |= !e->raw.p;
}

/* Stretches of the text, each with places in the list of `chunks`. */
static void
read_grounding(struct chat *c, const struct json_doc *d, const struct json_token *grounding,
	unsigned choice, struct chat_events *out)
{
	const struct json_token *chunks = json_get_type(d, grounding, STR("groundingChunks"),
					JSON_ARRAY),
				*supports = json_get_type(d, grounding, STR("groundingSupports"),
					JSON_ARRAY);
	const struct json_token *webs[CITATIONS_MOST], *t, *s;
	uint64_t n = 0, at;
	unsigned told = 0;

	for (t = json_first(d, chunks); t && n < CITATIONS_MOST; t = json_next(d, chunks, t))
		webs[n++] = json_get(d, t, STR("web"));
	for (s = json_first(d, supports); s; s = json_next(d, supports, s)) {
		const struct json_token *stretch = json_get(d, s, STR("segment")),
					*places = json_get_type(d, s, STR("groundingChunkIndices"),
						JSON_ARRAY);

		for (t = json_first(d, places); t; t = json_next(d, places, t)) {
			if (t->type != JSON_NUMBER || json_u64(d->text, t, &at) < 0 || at >= n)
				continue;
			if (told++ >= CITATIONS_MOST)
				return;
			emit_citation(c, d, webs[at], stretch, choice, out);
		}
	}
}

void
gemini_read_citations(struct chat *c, const struct json_doc *d, const struct json_token *candidate,
	unsigned choice, struct chat_events *out)
{
	const struct json_token *cited = json_get(d, candidate, STR("citationMetadata")), *list, *t;
	unsigned told = 0;

	read_grounding(c, d, json_get(d, candidate, STR("groundingMetadata")), choice, out);
	list = json_get_type(d, cited, STR("citationSources"), JSON_ARRAY);
	if (!list) /* so on Vertex */
		list = json_get_type(d, cited, STR("citations"), JSON_ARRAY);
	for (t = json_first(d, list); t && told < CITATIONS_MOST; t = json_next(d, list, t), told++)
		emit_citation(c, d, t, t, choice, out);
}

/*
 * Counts
 */

/* A count of tokens; -1: not there. */
static int64_t
count_of(const struct json_doc *d, const struct json_token *in, struct str name)
{
	int64_t n = json_get_count(d, in, name);

	return n < COUNT_MOST ? n : COUNT_MOST;
}

static int64_t
or_zero(int64_t n)
{
	return n < 0 ? 0 : n;
}

/* The audio among `before` and the counts of a list by modality; -1 where none is said. */
static int64_t
audio_of(const struct json_doc *d, const struct json_token *usage, struct str name, int64_t before)
{
	const struct json_token *list = json_get_type(d, usage, name, JSON_ARRAY), *t;
	int64_t sum = before;

	for (t = json_first(d, list); t; t = json_next(d, list, t)) {
		if (!json_get_is(d, t, STR("modality"), STR("AUDIO")))
			continue;
		sum = or_zero(sum) + or_zero(count_of(d, t, STR("tokenCount")));
		sum = sum < COUNT_MOST ? sum : COUNT_MOST;
	}
	return sum;
}

void
gemini_read_usage(struct chat *c, const struct json_doc *d, const struct json_token *reply,
	struct chat_events *out)
{
	const struct json_token *t = json_get_type(d, reply, STR("usageMetadata"), JSON_OBJECT);
	struct chat_usage *u;
	struct chat_event *e;
	int64_t input;

	if (!json_first(d, t))
		return;
	out->loose = json_doc_raw(d, t); /* cumulative: the last one counts */
	e = chat_emit(c, out, EVENT_USAGE);
	if (!e)
		return;
	u = &e->usage;
	*u = CHAT_USAGE_NONE;
	/* the prompt's count has the cached ones in it, the answer's has not the thoughts */
	input = or_zero(count_of(d, t, STR("promptTokenCount"))) +
		or_zero(count_of(d, t, STR("toolUsePromptTokenCount")));
	u->tokens.cache_read = count_of(d, t, STR("cachedContentTokenCount"));
	u->tokens.input = or_zero(input - or_zero(u->tokens.cache_read));
	u->tokens.reasoning = count_of(d, t, STR("thoughtsTokenCount"));
	u->tokens.output =
		or_zero(count_of(d, t, STR("candidatesTokenCount"))) + or_zero(u->tokens.reasoning);
	u->audio_in = audio_of(d, t, STR("toolUsePromptTokensDetails"),
		audio_of(d, t, STR("promptTokensDetails"), -1));
	u->audio_out = audio_of(d, t, STR("candidatesTokensDetails"), -1);
}
