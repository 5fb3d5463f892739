/*
 * dialect: what the proxy needs to know of the wire formats while bytes pass through: paths,
 * credential headers, error shapes, the events that end a stream, heartbeats, and where usage
 * stands.
 */
#ifndef DIALECT_DIALECT_H
#define DIALECT_DIALECT_H

#include "base/buf.h"
#include "base/mem.h"
#include "http/sse.h"
#include "json/read.h"

/* ECHO is a provider that answers itself, in the client's dialect. */
enum dialect_id {
	DIALECT_OPENAI,
	DIALECT_ANTHROPIC,
	DIALECT_GEMINI,
	DIALECT_COHERE,
	DIALECT_OLLAMA,
	DIALECT_ECHO
};
struct str dialect_name(enum dialect_id d);

enum endpoint_id {
#define ENDPOINT(id, ...) ENDPOINT_##id,
#include "dialect/endpoint.def"
#undef ENDPOINT
	ENDPOINTS
};

struct endpoint {
	enum endpoint_id id;
	struct str path;        /* the client's */
	enum dialect_id client; /* its dialect; decides the shape of errors */
	struct str openai_path, anthropic_path,
		cohere_path; /* upstream; empty: that dialect has no such endpoint */
	bool streams, chat, form;
};

extern const struct endpoint endpoints[ENDPOINTS];
/* The endpoint of a decoded path, or NULL. */
const struct endpoint *endpoint_find(struct str path);
/* Path of the endpoint at a provider of that dialect, which takes the client's body as it is, or an
 * empty slice when the dialect lacks it (but see translate_can).
 * Echo has the paths it answers: chat, completions, embeddings, messages (their client paths). */
struct str endpoint_upstream(const struct endpoint *e, enum dialect_id d);
/* Dialect of the error shape for any path: Anthropic's on /v1/messages and below, else OpenAI's. */
enum dialect_id dialect_of_path(struct str path);

enum error_kind {
#define ERROR_KIND(name, ...) ERROR_##name,
#include "dialect/error_kind.def"
#undef ERROR_KIND
	ERROR_KINDS
};

struct error {
	enum error_kind kind;
	unsigned status; /* 0: the kind's own status in the client's dialect */
	struct str message;
	struct str param, code; /* OpenAI's; empty: null, or the kind's own code */
};

unsigned error_status(const struct error *e, enum dialect_id client);
/* The error body. Anthropic's carries request_id. 0 or -1 (no memory). */
int error_body(struct buf *out, const struct error *e, enum dialect_id client,
	struct str request_id);
/*
 * The event that tells a client, after a 200, that its stream failed: chat and completions
 * `data: {"error":…}`, which the openai SDK throws; responses `event: response.failed` (OpenAI API
 * reference: streaming events); anthropic `event: error` (Anthropic API: streaming); others as
 * chat. Ends with its blank line.
 */
int error_event(struct buf *out, const struct error *e, const struct endpoint *ep,
	struct str request_id);

/*
 * A heartbeat for a stream of that endpoint: `: keep-alive` and one LF, since a blank line behind a
 * comment is an event without data to some SDKs, which they cannot parse. Anthropic's is its ping
 * event (Anthropic API: streaming), once `started`, else an empty slice.
 */
struct str dialect_heartbeat(const struct endpoint *ep, bool started);

/*
 * Token counts as the provider reported them; -1: not reported. input, cache_read and cache_write
 * are disjoint in every dialect (OpenAI's prompt_tokens includes the cached ones: they are taken
 * off). output includes reasoning, which is said apart for information.
 */
struct usage {
	int64_t input, output, cache_read, cache_write, reasoning;
};

/*
 * A watch looks at a reply in passing. Feed a stream's events or a JSON reply's pieces; read the
 * results at any time.
 */
struct watch {
	const struct endpoint *endpoint;
	struct usage usage;
	bool has_usage;
	bool started;  /* stream: a first event with data was seen (Anthropic: message_start) */
	bool finished; /* stream: the answer has ended as it should: a finish_reason, message_delta
			  with stop_reason, response.completed/incomplete,
			  image_generation.completed */
	bool ended;    /* stream: the end marker itself came: [DONE], message_stop,
			  response.completed/incomplete/failed */
	bool error;    /* stream: an error event came; reply: the top level has a truthy `error` */
	/* private: where watch_reply stands in the text */
	struct buf carry; /* text of the top-level `usage` */
	uint64_t depth;
	uint8_t state, member; /* member: to which one of the top level the value here belongs */
	bool in_string, escaped, in_key;
	uint8_t head_len;
	char head[8]; /* first bytes of a key, or of the value of `error` */
};

void watch_init(struct watch *w, const struct endpoint *e);
/* One event of the stream. Cheap for the common delta: bytes are searched for names first, parsed
 * only when one is there. */
void watch_event(struct watch *w, const struct sse_event *ev);
/* The next piece of a JSON reply (any split). Never fails: a reply that is not JSON simply has no
 * usage. */
void watch_reply(struct watch *w, struct str piece);
/* Has a JSON object begun that is not yet whole? */
bool watch_reply_inside(const struct watch *w);
void watch_reply_end(struct watch *w);
void watch_free(struct watch *w);

/*
 * A whole JSON chat reply (chat completion, or Anthropic message) as the stream of events that its
 * client asked for: role, content, tool calls, finish, usage when `include_usage`, end marker. For
 * providers that answer JSON to a request for a stream. 0; -1 when it is not such a reply or memory
 * is out.
 */
int reply_to_stream(const struct endpoint *e, struct str reply, bool include_usage, struct arena *a,
	struct buf *out);

/* The other way, for providers that stream without being asked: events gathered into one JSON
 * reply. */
struct gather;
/* Memory from the arena; NULL when it failed. */
struct gather *gather_new(const struct endpoint *e, struct arena *a);
/* 0; -1 when the event is not of that kind of stream or memory is out; 1 when it was an error event
 * (then *message is its text). */
int gather_event(struct gather *g, const struct sse_event *ev, struct str *message);
/* The reply. 0; -1 when the stream had not finished. */
int gather_finish(struct gather *g, struct buf *out);

#endif
