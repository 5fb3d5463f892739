/*
 * embed: OpenAI's embeddings at Gemini (batchEmbedContents), Cohere (/v2/embed) and Ollama
 * (/api/embed). There is no stream and no conversation here, so the neutral form is passed by: the
 * body's parameters are read as those of a chat, and what the provider answers is written at once.
 *
 * Vectors stay the digits that they were. Only where the client asked for base64, which OpenAI's
 * own SDK does unless told otherwise, are they read: as the nearest float32, little-endian.
 *
 * Called by translate. One request is one attempt: what a provider takes only in several is
 * refused. A reply of which the vectors are not as many as the texts is none, since the client
 * would pair them wrongly. Fails, besides, for want of memory: texts are slices of the body, the
 * numbers of a reply have no tokens, so that only what is written takes room.
 */
#include "dialect/embed.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/fault.h"
#include "dialect/gemini_name.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

bool
embed_can(enum dialect_id provider)
{
	return provider == DIALECT_GEMINI || provider == DIALECT_COHERE ||
		provider == DIALECT_OLLAMA;
}

/*
 * The request
 */

struct embed_request {
	struct chat_request q;
	const struct json_token *input; /* a string, or a list of strings */
	struct str dimensions;          /* raw; empty: not given */
	struct str purpose;             /* escaped; empty: not given */
};

static int
check_text(struct chat *c, struct embed_request *r, const struct json_token *t)
{
	if (t->type == JSON_NUMBER || t->type == JSON_ARRAY)
		return chat_refuse(c, STR("input"),
			"`input` must be text: this model's provider does not take tokens");
	if (t->type != JSON_STRING)
		return chat_refuse(c, STR("input"),
			"`input` must be a string or a list of strings");
	if (json_doc_inner(&r->q.doc, t).len == 0)
		return chat_refuse(c, STR("input"), "`input` must not be empty");
	c->inputs++;
	return 0;
}

static int
read_input(struct chat *c, struct embed_request *r)
{
	const struct json_doc *d = &r->q.doc;
	const struct json_token *input = json_get(d, json_doc_top(d), STR("input"));

	c->inputs = 0;
	if (!input)
		return chat_refuse(c, STR("input"), "`input` is missing");
	chat_note(&r->q, STR("input"));
	r->input = input;
	if (input->type != JSON_ARRAY)
		return input->type == JSON_NUMBER
			? chat_refuse(c, STR("input"),
				  "`input` must be a string or a list of strings")
			: check_text(c, r, input);
	for (const struct json_token *t = json_first(d, input); t; t = json_next(d, input, t))
		if (check_text(c, r, t) < 0)
			return -1;
	return c->inputs > 0 ? 0 : chat_refuse(c, STR("input"), "`input` must not be empty");
}

static int
read_encoding(struct chat *c, struct embed_request *r)
{
	const struct json_doc *d = &r->q.doc;
	const struct json_token *t = json_get(d, json_doc_top(d), STR("encoding_format"));

	chat_note(&r->q, STR("encoding_format"));
	c->base64 = t && t->type == JSON_STRING && json_doc_is(d, t, STR("base64"));
	if (t && !c->base64 && !(t->type == JSON_STRING && json_doc_is(d, t, STR("float"))))
		return chat_refuse(c, STR("encoding_format"),
			"`encoding_format` must be float or base64");
	return 0;
}

static int
read_dimensions(struct chat *c, struct embed_request *r)
{
	const struct json_doc *d = &r->q.doc;
	const struct json_token *t = json_get(d, json_doc_top(d), STR("dimensions"));
	uint64_t n;

	if (!t)
		return 0;
	if (t->type != JSON_NUMBER || json_u64(d->text, t, &n) < 0 || n == 0)
		return chat_refuse(c, STR("dimensions"),
			"`dimensions` must be a whole number above 0");
	r->dimensions = chat_carry_param(&r->q, STR("dimensions"));
	return 0;
}

/*
 * What the vectors are for: Cohere's input_type, Gemini's task_type. Either is taken for either
 * provider; words that the other has no word for go as they are, and the provider judges.
 */
static const struct {
	struct str cohere, gemini;
} purposes[] = {
	{ STR_INIT("search_document"), STR_INIT("RETRIEVAL_DOCUMENT") },
	{ STR_INIT("search_query"), STR_INIT("RETRIEVAL_QUERY") },
	{ STR_INIT("classification"), STR_INIT("CLASSIFICATION") },
	{ STR_INIT("clustering"), STR_INIT("CLUSTERING") },
};

static struct str
purpose_for(enum dialect_id provider, struct str purpose)
{
	for (size_t i = 0; i < COUNT(purposes); i++) {
		if (provider == DIALECT_GEMINI && str_eq(purpose, purposes[i].cohere))
			return purposes[i].gemini;
		if (provider == DIALECT_COHERE && str_eq(purpose, purposes[i].gemini))
			return purposes[i].cohere;
	}
	return purpose;
}

static int
read_purpose(struct chat *c, struct embed_request *r)
{
	const struct json_doc *d = &r->q.doc;
	bool gemini = c->provider == DIALECT_GEMINI;
	struct str own = gemini ? STR("task_type") : STR("input_type"),
		   other = gemini ? STR("input_type") : STR("task_type"),
		   name = chat_param(&r->q, own) ? own : other;
	const struct json_token *t = json_get(d, json_doc_top(d), name);

	if (!t || c->provider == DIALECT_OLLAMA)
		return 0;
	if (t->type != JSON_STRING)
		return chat_refuse(c, name, "`%.*s` must be a string", STR_ARG(name));
	chat_note(&r->q, name);
	r->purpose = purpose_for(c->provider, json_doc_inner(d, t));
	return 0;
}

static int
read_request(struct chat *c, struct embed_request *r, struct str body)
{
	if (chat_read_params(c, &r->q, body) < 0 || read_input(c, r) < 0 ||
		read_encoding(c, r) < 0 || read_dimensions(c, r) < 0 || read_purpose(c, r) < 0)
		return -1;
	if (c->provider == DIALECT_COHERE && c->inputs > EMBED_COHERE_MOST)
		return chat_refuse(c, STR("input"),
			"`input` has %zu texts; this model's provider takes at most %d in a request",
			c->inputs, EMBED_COHERE_MOST);
	return 0;
}

static void
pair_given(struct json_writer *w, struct str name, struct str raw)
{
	if (raw.len > 0)
		json_pair_value(w, name, raw);
}

/* One request of Gemini's: `model` is that of the path. */
static void
write_gemini_text(const struct chat *c, const struct embed_request *r, struct json_writer *w,
	const struct json_token *t)
{
	json_object(w);
	json_key(w, STR("model"));
	json_text_open(w);
	if (!gemini_is_resource(c->target))
		json_text_more(w, STR("models/"));
	json_text_more(w, c->target);
	json_text_close(w);
	json_key(w, STR("content"));
	json_object(w);
	json_key(w, STR("parts"));
	json_array(w);
	json_object(w);
	json_pair_value(w, STR("text"), json_doc_raw(&r->q.doc, t));
	json_object_end(w);
	json_array_end(w);
	json_object_end(w);
	if (r->purpose.len > 0)
		json_pair_escaped(w, STR("taskType"), r->purpose);
	pair_given(w, STR("outputDimensionality"), r->dimensions);
	json_object_end(w);
}

static int
write_gemini(struct chat *c, const struct embed_request *r, struct json_writer *w)
{
	const struct json_doc *d = &r->q.doc;
	const struct json_token *t;

	if (gemini_set_path(c, STR("batchEmbedContents")) < 0)
		return -1;
	json_object(w);
	json_key(w, STR("requests"));
	json_array(w);
	if (r->input->type == JSON_STRING)
		write_gemini_text(c, r, w, r->input);
	for (t = json_first(d, r->input); t; t = json_next(d, r->input, t))
		write_gemini_text(c, r, w, t);
	json_array_end(w);
	json_object_end(w);
	return 0;
}

static void
write_cohere(struct chat *c, const struct embed_request *r, struct json_writer *w)
{
	struct str input = json_doc_raw(&r->q.doc, r->input);

	c->path = STR("/v2/embed");
	json_object(w);
	json_pair(w, STR("model"), c->target);
	json_pair_escaped(w, STR("input_type"),
		r->purpose.len > 0 ? r->purpose : STR("search_document"));
	json_pair_value(w, STR("embedding_types"), STR("[\"float\"]"));
	json_key(w, STR("texts"));
	if (r->input->type == JSON_STRING) {
		json_array(w);
		json_value(w, input);
		json_array_end(w);
	} else {
		json_value(w, input);
	}
	pair_given(w, STR("output_dimension"), r->dimensions);
	json_object_end(w);
}

static void
write_ollama(struct chat *c, const struct embed_request *r, struct json_writer *w)
{
	c->path = STR("/api/embed");
	json_object(w);
	json_pair(w, STR("model"), c->target);
	json_pair_value(w, STR("input"), json_doc_raw(&r->q.doc, r->input));
	pair_given(w, STR("dimensions"), r->dimensions);
	json_object_end(w);
}

int
embed_request(struct chat *c, struct str body, struct buf *out)
{
	struct embed_request r = { .q = { .n = 1 } };
	struct json_writer w;

	if (read_request(c, &r, body) < 0)
		return -1;
	json_writer_init(&w, out);
	switch (c->provider) {
	case DIALECT_GEMINI:
		if (write_gemini(c, &r, &w) < 0)
			return -1;
		break;
	case DIALECT_COHERE:
		write_cohere(c, &r, &w);
		break;
	default:
		write_ollama(c, &r, &w);
		break;
	}
	if (chat_report_dropped(c, &r.q) < 0)
		return -1;
	return out->failed || c->arena->failed ? chat_no_memory(c) : 0;
}

/*
 * The reply
 */

enum { BLOCK_FLOATS = 384, BLOCK_BYTES = BLOCK_FLOATS * 4, BLOCK_TEXT = BLOCK_BYTES / 3 * 4 };

struct embed_reply {
	struct json_doc doc;
	const struct json_token *list; /* of vectors, or of objects that hold one as `values` */
	const struct json_token *only; /* the one vector of a reply that has no list */
	int64_t tokens;                /* -1: not said */
};

/* The raw text of a list that JSON has been found in order: are there numbers alone, and any? */
static bool
is_vector(struct str raw)
{
	bool any = false;

	if (raw.len < 3 || raw.p[0] != '[')
		return false;
	for (size_t i = 1; i < raw.len - 1; i++) {
		char c = raw.p[i];

		if (c >= '0' && c <= '9')
			any = true;
		else if (!memchr("-+.,eE \t\r\n", c, 10))
			return false;
	}
	return any;
}

static void
put_float(const char *number, unsigned char *out)
{
	/* what follows the number ends it: a comma, a bracket, white space */
	float f = strtof(number, NULL);
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	for (unsigned i = 0; i < 4; i++)
		out[i] = (unsigned char)(bits >> 8 * i);
}

/* A block of whole threes of bytes, but for the last: so the pieces join. */
static void
put_base64(struct buf *out, const unsigned char *bytes, size_t len)
{
	char *room = buf_room(out, BLOCK_TEXT + 1);

	if (room)
		buf_added(out, (size_t)EVP_EncodeBlock((unsigned char *)room, bytes, (int)len));
}

static void
write_base64(struct json_writer *w, struct str raw)
{
	unsigned char bytes[BLOCK_BYTES];
	size_t n = 0;

	json_text_open(w);
	for (size_t i = 1; i < raw.len - 1; i++) {
		if (memchr(", \t\r\n", raw.p[i], 5))
			continue;
		put_float(raw.p + i, bytes + n);
		n += 4;
		while (i + 1 < raw.len - 1 && !memchr(", \t\r\n", raw.p[i + 1], 5))
			i++;
		if (n == sizeof bytes) {
			put_base64(w->out, bytes, n);
			n = 0;
		}
	}
	if (n > 0)
		put_base64(w->out, bytes, n);
	json_text_close(w);
}

static int
write_vector(const struct chat *c, struct json_writer *w, const struct embed_reply *r,
	const struct json_token *t, size_t index)
{
	struct str raw;

	if (t->type == JSON_OBJECT)
		t = json_get_type(&r->doc, t, STR("values"), JSON_ARRAY);
	if (!t || t->type != JSON_ARRAY)
		return -1;
	raw = json_doc_raw(&r->doc, t);
	if (!is_vector(raw))
		return -1;
	json_object(w);
	json_pair(w, STR("object"), STR("embedding"));
	json_key(w, STR("index"));
	json_number(w, (int64_t)index);
	json_key(w, STR("embedding"));
	if (c->base64)
		write_base64(w, raw);
	else
		json_value(w, raw);
	json_object_end(w);
	return 0;
}

/* Where each provider has its vectors, and the tokens that it counted. */
static void
find_vectors(const struct chat *c, struct embed_reply *r)
{
	const struct json_doc *d = &r->doc;
	const struct json_token *top = json_doc_top(d), *all, *meta;

	all = json_get(d, top, STR("embeddings"));
	r->only = json_get(d, top, STR("embedding"));
	switch (c->provider) {
	case DIALECT_GEMINI:
		meta = json_get(d, top, STR("usageMetadata"));
		r->tokens = json_get_count(d, meta, STR("promptTokenCount"));
		break;
	case DIALECT_COHERE:
		if (all && all->type == JSON_OBJECT)
			all = json_get(d, all, STR("float"));
		meta = json_get(d, json_get(d, top, STR("meta")), STR("billed_units"));
		r->tokens = json_get_count(d, meta, STR("input_tokens"));
		break;
	default:
		r->tokens = json_get_count(d, top, STR("prompt_eval_count"));
		break;
	}
	r->list = all && all->type == JSON_ARRAY ? all : NULL;
}

static int
write_data(const struct chat *c, struct json_writer *w, const struct embed_reply *r)
{
	const struct json_token *t = r->list ? json_first(&r->doc, r->list) : r->only;
	size_t n = 0;

	for (; t; t = r->list ? json_next(&r->doc, r->list, t) : NULL)
		if (write_vector(c, w, r, t, n++) < 0)
			return -1;
	return n > 0 && (c->inputs == 0 || n == c->inputs) ? 0 : -1;
}

static int
write_reply(const struct chat *c, const struct embed_reply *r, struct buf *out)
{
	int64_t tokens = r->tokens > 0 ? r->tokens : 0;
	struct json_writer w;

	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("object"), STR("list"));
	json_key(&w, STR("data"));
	json_array(&w);
	if (write_data(c, &w, r) < 0)
		return -1;
	json_array_end(&w);
	json_pair(&w, STR("model"), c->model);
	json_key(&w, STR("usage"));
	json_object(&w);
	json_key(&w, STR("prompt_tokens"));
	json_number(&w, tokens);
	json_key(&w, STR("total_tokens"));
	json_number(&w, tokens);
	json_object_end(&w);
	json_object_end(&w);
	return out->failed ? -1 : 0;
}

int
embed_reply(struct chat *c, struct str text, struct buf *out, struct usage *usage, bool *has_usage,
	struct error *error)
{
	/* as deep as the vectors themselves: their numbers are never tokens */
	unsigned levels = c->provider == DIALECT_OLLAMA ? 3 : 4;
	struct embed_reply r = { .tokens = -1 };
	size_t from = buf_len(out);
	struct fault fault;

	if (json_doc_read(&r.doc, c->arena, text, levels, JSON_DEPTH_MAX) < 0)
		return -1;
	find_vectors(c, &r);
	if (!r.list && !r.only && json_get(&r.doc, json_doc_top(&r.doc), STR("error"))) {
		fault_read(c->arena, 200, text, &fault);
		*error = fault.error;
		return c->arena->failed ? -1 : 1;
	}
	if (write_reply(c, &r, out) < 0) {
		out->end = out->start + from;
		return -1;
	}
	usage->input = r.tokens;
	*has_usage = r.tokens >= 0;
	return 0;
}
