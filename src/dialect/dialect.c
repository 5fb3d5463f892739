/*
 * dialect: the tables of endpoints and error kinds, and what is said in each dialect when the
 * router speaks for itself: error bodies, error events, heartbeats.
 *
 * Called by the proxy for every request (endpoint_find) and for every failure. The facts stand
 * once, in endpoint.def and error_kind.def. Only the composers can fail, and only for want of
 * memory (the buffer's failure is sticky).
 */
#include "dialect/dialect.h"

#include "json/write.h"

struct str
dialect_name(enum dialect_id d)
{
	static const struct str names[] = {
		[DIALECT_OPENAI] = STR_INIT("openai"),
		[DIALECT_ANTHROPIC] = STR_INIT("anthropic"),
		[DIALECT_GEMINI] = STR_INIT("gemini"),
		[DIALECT_COHERE] = STR_INIT("cohere"),
		[DIALECT_OLLAMA] = STR_INIT("ollama"),
		[DIALECT_ECHO] = STR_INIT("echo"),
	};

	return names[d];
}

/*
 * Endpoints
 */

const struct endpoint endpoints[ENDPOINTS] = {
#define ENDPOINT(name, at, dialect, openai, anthropic, cohere, may_stream, is_chat, is_form) \
	[ENDPOINT_##name] = {                                                                \
		.id = ENDPOINT_##name,                                                       \
		.path = STR_INIT(at),                                                        \
		.client = DIALECT_##dialect,                                                 \
		.openai_path = STR_INIT(openai),                                             \
		.anthropic_path = STR_INIT(anthropic),                                       \
		.cohere_path = STR_INIT(cohere),                                             \
		.streams = may_stream,                                                       \
		.chat = is_chat,                                                             \
		.form = is_form,                                                             \
	},
#include "dialect/endpoint.def"
#undef ENDPOINT
};

const struct endpoint *
endpoint_find(struct str path)
{
	for (unsigned i = 0; i < ENDPOINTS; i++)
		if (str_eq(path, endpoints[i].path))
			return &endpoints[i];
	return NULL;
}

struct str
endpoint_upstream(const struct endpoint *e, enum dialect_id d)
{
	switch (d) {
	case DIALECT_OPENAI:
		return e->openai_path;
	case DIALECT_ANTHROPIC:
		return e->anthropic_path;
	case DIALECT_COHERE:
		return e->cohere_path;
	case DIALECT_GEMINI:
	case DIALECT_OLLAMA:
		return STR("");
	case DIALECT_ECHO:
		break;
	}
	if (e->id == ENDPOINT_CHAT || e->id == ENDPOINT_COMPLETIONS ||
		e->id == ENDPOINT_EMBEDDINGS || e->id == ENDPOINT_MESSAGES)
		return e->path;
	return STR("");
}

enum dialect_id
dialect_of_path(struct str path)
{
	struct str messages = STR("/v1/messages");

	if (str_starts(path, messages) && (path.len == messages.len || path.p[messages.len] == '/'))
		return DIALECT_ANTHROPIC;
	return DIALECT_OPENAI;
}

/*
 * Errors
 */

static const struct kind {
	unsigned openai_status;
	struct str openai_type, openai_code;
	unsigned anthropic_status;
	struct str anthropic_type;
} kinds[ERROR_KINDS] = {
#define ERROR_KIND(name, status_o, type_o, code_o, status_a, type_a) \
	[ERROR_##name] = {                                           \
		.openai_status = status_o,                           \
		.openai_type = STR_INIT(type_o),                     \
		.openai_code = STR_INIT(code_o),                     \
		.anthropic_status = status_a,                        \
		.anthropic_type = STR_INIT(type_a),                  \
	},
#include "dialect/error_kind.def"
#undef ERROR_KIND
};

unsigned
error_status(const struct error *e, enum dialect_id client)
{
	if (e->status != 0)
		return e->status;
	return client == DIALECT_ANTHROPIC ? kinds[e->kind].anthropic_status
					   : kinds[e->kind].openai_status;
}

static struct str
error_code(const struct error *e)
{
	return e->code.len > 0 ? e->code : kinds[e->kind].openai_code;
}

static void
pair_or_null(struct json_writer *w, struct str name, struct str value)
{
	if (value.len > 0) {
		json_pair(w, name, value);
		return;
	}
	json_key(w, name);
	json_null(w);
}

/* All four keys, always: the SDKs read them without asking. */
static void
openai_error(struct json_writer *w, const struct error *e)
{
	json_object(w);
	json_key(w, STR("error"));
	json_object(w);
	json_pair(w, STR("message"), e->message);
	json_pair(w, STR("type"), kinds[e->kind].openai_type);
	pair_or_null(w, STR("param"), e->param);
	pair_or_null(w, STR("code"), error_code(e));
	json_object_end(w);
	json_object_end(w);
}

/* Agents that shorten their history when it has grown too long know that by this phrase alone: the
 * type is that of any bad request. */
static void
anthropic_error(struct json_writer *w, const struct error *e, struct str request_id)
{
	static const struct str too_long = STR_INIT("prompt is too long");

	json_object(w);
	json_pair(w, STR("type"), STR("error"));
	json_key(w, STR("error"));
	json_object(w);
	json_pair(w, STR("type"), kinds[e->kind].anthropic_type);
	json_key(w, STR("message"));
	json_text_open(w);
	if (e->kind == ERROR_TOO_LONG && str_find(e->message, too_long) == e->message.len)
		json_text_more(w, STR("prompt is too long: "));
	json_text_more(w, e->message);
	json_text_close(w);
	json_object_end(w);
	pair_or_null(w, STR("request_id"), request_id);
	json_object_end(w);
}

/*
 * The last event of a Responses stream that failed: with every key that the response object
 * requires (OpenAI API reference: the response object), since SDKs parse it as one, and a sequence
 * number, which the AI SDK requires.
 */
static void
responses_failed(struct json_writer *w, const struct error *e, struct str request_id)
{
	struct str code = error_code(e);

	json_object(w);
	json_pair(w, STR("type"), STR("response.failed"));
	json_key(w, STR("sequence_number"));
	json_number(w, 0);
	json_key(w, STR("response"));
	json_object(w);
	json_pair(w, STR("id"), request_id);
	json_pair(w, STR("object"), STR("response"));
	json_key(w, STR("created_at"));
	json_number(w, 0);
	json_pair(w, STR("status"), STR("failed"));
	json_pair(w, STR("model"), STR(""));
	json_key(w, STR("output"));
	json_value(w, STR("[]"));
	json_key(w, STR("error"));
	json_object(w);
	json_pair(w, STR("code"), code.len > 0 ? code : STR("server_error"));
	json_pair(w, STR("message"), e->message);
	json_object_end(w);
	static const struct {
		struct str key, value;
	} rest[] = {
		{ STR_INIT("incomplete_details"), STR_INIT("null") },
		{ STR_INIT("instructions"), STR_INIT("null") },
		{ STR_INIT("metadata"), STR_INIT("{}") },
		{ STR_INIT("parallel_tool_calls"), STR_INIT("true") },
		{ STR_INIT("temperature"), STR_INIT("null") },
		{ STR_INIT("top_p"), STR_INIT("null") },
		{ STR_INIT("tool_choice"), STR_INIT("\"auto\"") },
		{ STR_INIT("tools"), STR_INIT("[]") },
	};
	for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
		json_key(w, rest[i].key);
		json_value(w, rest[i].value);
	}
	json_object_end(w);
	json_object_end(w);
}

int
error_body(struct buf *out, const struct error *e, enum dialect_id client, struct str request_id)
{
	struct json_writer w;

	json_writer_init(&w, out);
	if (client == DIALECT_ANTHROPIC)
		anthropic_error(&w, e, request_id);
	else
		openai_error(&w, e);
	return out->failed ? -1 : 0;
}

int
error_event(struct buf *out, const struct error *e, const struct endpoint *ep,
	struct str request_id)
{
	struct json_writer w;

	if (ep->client == DIALECT_ANTHROPIC)
		buf_add(out, STR("event: error\n"));
	else if (ep->id == ENDPOINT_RESPONSES)
		buf_add(out, STR("event: response.failed\n"));
	buf_add(out, STR("data: "));
	json_writer_init(&w, out);
	if (ep->client == DIALECT_ANTHROPIC)
		anthropic_error(&w, e, request_id);
	else if (ep->id == ENDPOINT_RESPONSES)
		responses_failed(&w, e, request_id);
	else
		openai_error(&w, e);
	return buf_add(out, STR("\n\n"));
}

struct str
dialect_heartbeat(const struct endpoint *ep, bool started)
{
	if (ep->client != DIALECT_ANTHROPIC)
		return STR(": keep-alive\n");
	return started ? STR("event: ping\ndata: {\"type\":\"ping\"}\n\n") : STR("");
}
