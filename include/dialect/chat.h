/*
 * chat: the neutral form between dialects. A client's request is read into a chat_request and
 * written in the provider's dialect; what the provider sends is read into chat_events and written
 * in the client's. So a dialect has one adapter, and no dialect knows another.
 *
 * A slice of text here is the inside of a JSON string, still escaped as it was written, so that it
 * moves without being decoded: digits, escapes and lone surrogates stay. A slice called raw is a
 * whole JSON value as it was written. Slices of a request borrow from its body; those of an event
 * are valid until the next one is read.
 */
#ifndef DIALECT_CHAT_H
#define DIALECT_CHAT_H

#include "dialect/dialect.h"
#include "json/doc.h"
#include "json/write.h"

/*
 * What the administrator says of how to speak to an upstream's model (api-router.conf(5):
 * model_options). Owned by the configuration.
 */
enum chat_reasoning_style { STYLE_AUTO, STYLE_EFFORT, STYLE_ADAPTIVE, STYLE_BUDGET, STYLE_NONE };

struct chat_options {
	uint64_t max_tokens_cap;    /* largest that the model takes; 0: unknown */
	struct str reasoning_field; /* where reasoning is given back; empty: nowhere */
	bool completion_tokens;     /* tokens_field is max_completion_tokens */
	bool no_developer_role;     /* developer messages become system */
	bool no_sampling;           /* temperature, top_p, top_k are dropped */
	bool no_forced_tools;       /* a forced tool_choice becomes auto */
	bool no_structured_output;  /* the tool trick, or an instruction */
	bool no_stream_usage;       /* stream_options is not sent */
	enum chat_reasoning_style reasoning;
	bool no_reasoning_with_tools; /* with function tools, effort none is sent */
	bool cache_breakpoints;       /* cache_control becomes OpenAI's explicit breakpoints */
	struct str *strip;            /* top-level fields taken out of what is sent */
	size_t n_strip;
};

/* A tool that has another name upstream, or that the client called custom. Text of its own. */
struct chat_name {
	struct str client, upstream; /* escaped */
	bool custom;                 /* its call's input is one string: {"input": "…"} */
	struct chat_name *next;
};

/* Made-up ids: PREFIX and 24 letters and digits, from the seed, each call another. */
enum { CHAT_ID_LEN = 24 };

/*
 * One attempt that is translated. Everything that is allocated lives in the arena; nothing here but
 * the request's slices borrows from the client's body. The first part is set by whoever begins it.
 */
struct chat {
	struct arena *arena;             /* of the request */
	struct arena *scratch;           /* of the event that is being read; rewound behind each */
	const struct endpoint *endpoint; /* the client's: CHAT, COMPLETIONS, MESSAGES, EMBEDDINGS */
	enum dialect_id provider;
	const struct chat_options *options;
	uint64_t max_tokens; /* sent where the provider wants one and the client gave none */
	bool reject;         /* unsupported = "reject": what cannot be carried is a 400 */
	struct str version;  /* anthropic-version that is sent to an anthropic provider */
	struct str model;    /* that the client asked for; plain text */
	struct str target;   /* that is asked for upstream; plain text */
	uint64_t created_s;
	uint64_t seed; /* of made-up ids */

	/* what reading and writing the request found out */
	bool stream, include_usage;
	bool functions;    /* chat: the client knows function_call, not tool_calls */
	bool echo;         /* completions: the prompt comes before the answer */
	struct str prompt; /* then it is here, copied */
	bool unasked;      /* nothing is wanted: an empty answer, and no provider is asked */
	bool base64;       /* embeddings: the client wants vectors so */
	size_t inputs;     /* embeddings: texts that it sent, each of which has a vector */
	bool json_tool;    /* the tool CHAT_JSON_TOOL stands in for a response format */
	struct chat_name *names;
	struct str path;    /* where to send it, after the base URL's path; with "?query" */
	struct str dropped; /* names of parameters left out, ", " between; for the header */
	struct error error; /* why it was refused */
};

#define CHAT_JSON_TOOL "json_response"
/* The parameters of a custom tool where it is a function. */
#define CHAT_CUSTOM_SCHEMA                                                       \
	"{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}}," \
	"\"required\":[\"input\"]}"
/* Before a thought signature of Gemini's where an Anthropic client keeps it: in the signature of a
 * thinking block. */
#define GEMINI_SIGNATURE "gg1."

/*
 * The request
 */

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

enum chat_part_type {
	PART_TEXT,      /* text */
	PART_REFUSAL,   /* text; of an assistant */
	PART_IMAGE,     /* source */
	PART_FILE,      /* source, title: a document; media type as in the source */
	PART_AUDIO,     /* source: DATA of audio/wav or audio/mp3 */
	PART_REASONING, /* text, signature (may be empty: unsigned); of an assistant */
	PART_REDACTED,  /* text: the data of redacted thinking */
	PART_CALL,      /* id, name, args, custom, signature */
	PART_RESULT,    /* id, parts, failed; of CHAT_TOOL messages */
};

enum chat_source_kind {
	SOURCE_DATA, /* text is base64 */
	SOURCE_URL,
	SOURCE_TEXT, /* text is a plain document's own */
	SOURCE_ID,   /* of a file that the client's provider knows */
};

struct chat_source {
	enum chat_source_kind kind;
	struct str media; /* "image/png"; empty where it is not known (a URL) */
	struct str text;
};

struct chat_part {
	enum chat_part_type type;
	unsigned index; /* among the parts that the client sent, for `param` */
	struct str text, id, name;
	struct str signature; /* of REASONING: the dialect's own; of CALL: Gemini's thought
				 signature */
	struct chat_source source;
	struct str title;
	struct str args;         /* of a CALL: JSON text; empty: none */
	bool args_escaped;       /* the text is still inside a string, and may be no JSON at all */
	bool custom;             /* args are one string's text, not JSON (always escaped) */
	bool failed;             /* RESULT: is_error */
	struct str cache;        /* raw cache_control; empty: none */
	struct chat_part *parts; /* RESULT: TEXT, IMAGE, FILE parts */
	const struct chat_message *home; /* that it was moved from, for `param`; NULL: it was not */
	struct chat_part *next;
};

/*
 * Messages stand in the order of OpenAI: the results of a round directly behind the assistant's
 * message, one CHAT_TOOL message each, and what else the user says behind them.
 */
struct chat_message {
	enum chat_role role;
	bool developer; /* of CHAT_SYSTEM */
	bool bare;      /* the content was one string, not a list of parts */
	unsigned index; /* among the client's messages, for `param` */
	struct chat_part *parts, *last;
	struct chat_message *next;
};

struct chat_tool {
	struct str name, description; /* escaped */
	struct str schema;            /* raw; empty: none was given */
	bool custom, has_strict, strict;
	struct str cache; /* raw cache_control */
	struct chat_tool *next;
};

enum chat_choice_mode {
	CHOICE_AUTO,
	CHOICE_NONE,
	CHOICE_REQUIRED,
	CHOICE_NAMED,            /* names[0] */
	CHOICE_ALLOWED,          /* auto among the names */
	CHOICE_ALLOWED_REQUIRED, /* one of the names */
};

enum chat_effort {
	EFFORT_NONE,
	EFFORT_MINIMAL,
	EFFORT_LOW,
	EFFORT_MEDIUM,
	EFFORT_HIGH,
	EFFORT_XHIGH,
	EFFORT_MAX
};

struct chat_reasoning {
	bool asked;              /* the client said anything of it */
	enum chat_effort effort; /* NONE: it is not to think; else how hard, also where the client
				    gave a budget */
	uint64_t budget;         /* tokens; 0: it gave an effort */
	bool shown;              /* the client wants to see it */
};

enum chat_format_kind { FORMAT_IS_TEXT, FORMAT_IS_JSON, FORMAT_IS_SCHEMA };

struct chat_format {
	enum chat_format_kind kind;
	struct str schema;            /* raw; never empty where the format is one */
	struct str name, description; /* escaped; may be empty */
	bool strict;
};

/* A member of the top level of the client's body. */
struct chat_param {
	struct str name; /* decoded */
	struct str raw;
	bool carried; /* it crosses, or says nothing that could be lost: it is not reported as
			 dropped */
	bool spared;  /* where it does not cross it is named, but never a reason to refuse */
};

/* Parameters that both client dialects have, under whatever name. */
enum chat_field {
	FIELD_MAX_TOKENS,
	FIELD_TEMPERATURE,
	FIELD_TOP_P,
	FIELD_TOP_K,
	FIELD_STOP,
	FIELD_SEED,
	FIELD_PRESENCE_PENALTY,
	FIELD_FREQUENCY_PENALTY,
	FIELD_LOGPROBS,
	FIELD_TOP_LOGPROBS,
	FIELD_N,
	FIELD_USER,
	FIELD_SERVICE_TIER,
	FIELD_TOOLS,
	FIELD_CHOICE,
	FIELD_SERIAL, /* parallel_tool_calls, disable_parallel_tool_use */
	FIELD_FORMAT,
	FIELD_REASONING,
	FIELDS
};

struct chat_request {
	struct json_doc doc;
	struct chat_param *params;
	size_t n_params;
	struct chat_param *fields[FIELDS]; /* NULL: not given, or null */

	struct chat_message *messages, *last;
	struct chat_tool *tools, *last_tool;
	bool has_choice;
	enum chat_choice_mode choice;
	struct str *choice_names; /* escaped; sorted (chat_sort_choice) */
	size_t n_choice_names;
	bool serial;       /* calls one at a time */
	struct str *stops; /* escaped */
	size_t n_stops;
	uint64_t max_tokens; /* 0: not given */
	uint64_t n;          /* choices; 1 where it is not given */
	bool logprobs;
	struct chat_reasoning reasoning;
	struct chat_format format;
	struct str user;         /* escaped; empty: not given */
	struct str service_tier; /* in OpenAI's words: auto, default, flex, priority …; escaped */

	/* legacy completions; `messages` then holds the prompt as one user message */
	bool completion;
	struct str prompt, suffix; /* escaped; suffix empty: none */
};

/*
 * Reading the body's top level. 0; -1: c->error says why not. Marks model, stream as carried and
 * sets c->stream.
 */
int chat_read_params(struct chat *c, struct chat_request *q, struct str body);
/* The parameter of that name, or NULL when it is not there or null. */
struct chat_param *chat_param(const struct chat_request *q, struct str name);
/*
 * The client's parameter `name`: 1 with its token, 0 when it was not given, -1 when it has another
 * type than `type` (JSON_TRUE: true or false): c->error names it.
 */
int chat_get(struct chat *c, const struct chat_request *q, struct str name, enum json_type type,
	const struct json_token **t);
/* What a refusal calls the type: "a list". */
const char *chat_type_words(enum json_type type);
/* chat_get, and the parameter is that field. */
int chat_take(struct chat *c, struct chat_request *q, enum chat_field field, struct str name,
	enum json_type type, const struct json_token **t);
/* The raw value of a field, marked as carried; empty when it was not given. */
struct str chat_carry(struct chat_request *q, enum chat_field field);
bool chat_has(const struct chat_request *q, enum chat_field field);
/* The same of any other parameter by name: extensions that cross under their own name. */
struct str chat_carry_param(struct chat_request *q, struct str name);
/* Mark a parameter as carried, when it is there. */
void chat_note(struct chat_request *q, struct str name);

/* Append. NULL when the arena failed. */
struct chat_message *chat_add_message(struct chat *c, struct chat_request *q, enum chat_role role,
	unsigned index);
struct chat_part *chat_add_part(struct chat *c, struct chat_message *m, enum chat_part_type type,
	unsigned index);
struct chat_tool *chat_add_tool(struct chat *c, struct chat_request *q);

/* The tool of that name, or NULL. */
const struct chat_tool *chat_find_tool(const struct chat_request *q, struct str name);
/* The names of the choice are all there: sort them, so that a long list of tools is looked up in a
 * long list of names in no time. */
void chat_sort_choice(struct chat_request *q);
/* Is the tool among those that the choice allows (all, where it names none)? */
bool chat_allows(const struct chat_request *q, const struct chat_tool *t);

/* The first `n` (at most 64) hexadecimal digits of the text's SHA-256. */
void chat_hash(struct str s, char *out, size_t n);
/*
 * A tool's id as the provider takes it: the same when it has at most `most` bytes of A-Z a-z 0-9 _
 * -, else a pure function of it: illegal bytes become _, cut to 31, then _ and 8 hex digits of
 * SHA-256. The empty id becomes "call_0". p NULL when the arena failed.
 */
struct str chat_tool_id(struct arena *a, struct str id, size_t most);
/*
 * A tool's name as the provider takes it: the same when it has at most `most` bytes, else its first
 * most - 9 bytes with illegal ones as _, then _ and 8 hex digits of SHA-256; kept in c->names so
 * that the reply gets it back.
 */
struct str chat_tool_name(struct chat *c, struct str name, size_t most);
/* Note in c->names that what the client calls `client` is `upstream` there; for dialects with rules
 * of their own. NULL when the arena failed. */
struct chat_name *chat_add_name(struct chat *c, struct str client, struct str upstream);
/* Note that calls of this tool are the client's custom ones, after chat_tool_name where its name
 * may be too long. 0 or -1. */
int chat_custom_name(struct chat *c, struct str name);

/*
 * A call's arguments as a JSON object: the bytes as they are where they are one, `{}` where there
 * is nothing but white space, {"input": "…"} of a custom call, else {"_raw": "…"} with the text as
 * it was. p NULL when the arena failed.
 */
struct str chat_args_object(struct chat *c, const struct chat_part *call);
/* The same as the inside of a string, for dialects that say it so: escaped once. */
struct str chat_args_text(struct chat *c, const struct chat_part *call);
/* A plain text as the inside of a string. p NULL when the arena failed. */
struct str chat_escape(struct arena *a, struct str plain);

/*
 * A data URL taken apart ("data:image/png;base64,…", the scheme in any case, with parameters).
 * image/jpg is read as image/jpeg. 0; -1 when it is no data URL, or not base64.
 */
int chat_data_url(struct arena *a, struct str url, struct chat_source *out);
/* An http or https URL? */
bool chat_is_web_url(struct str url);
/* All text parts (other kinds are passed over) of a message or result joined with `between`
 * (escaped), as one text. p NULL when the arena failed. */
struct str chat_join_text(struct arena *a, const struct chat_part *parts, struct str between);

/* Tokens for the answer: what the client gave, else c->max_tokens when `required`, plus `more`,
 * capped. 0: none is to be sent. */
uint64_t chat_max_tokens(const struct chat *c, const struct chat_request *q, bool required,
	uint64_t more);
/* A raw number as a double, for comparing alone. */
double chat_number(struct str raw);
/* The raw number, or `low` or `high` (raw too) where it lies beyond them. */
struct str chat_clamp(struct str raw, struct str low, struct str high);

/* Refuse the request: a 400 (or that kind) which names `param` (may be empty). Returns -1. */
int chat_refuse(struct chat *c, struct str param, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a part: messages[i].content[j]. */
int chat_refuse_part(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Out of memory, the process's or what a request may take. Returns -1. */
int chat_no_memory(struct chat *c);
/* Name something that is no parameter of the top level, and is left out all the same. */
void chat_drop(struct chat *c, struct str name);
/* At the end of writing: parameters that were not carried go into c->dropped; with c->reject the
 * first of them that is not spared is refused. 0 or -1. */
int chat_report_dropped(struct chat *c, struct chat_request *q);

/* A made-up id in the arena: "call_" and 24 letters and digits. */
struct str chat_make_id(struct chat *c, struct arena *a, struct str prefix);
/* The id of a provider's call as the client gets it: legal (chat_tool_id), made up in the client's
 * manner where there is none. */
struct str chat_call_id(struct chat *c, struct arena *a, struct str id);

/*
 * Events of the answer. Readers give them in tidy order, each choice by itself: EVENT_START, then
 * parts one behind the other, then EVENT_STOP; a piece of another kind, EVENT_CALL and EVENT_STOP
 * end the part before them, EVENT_PART_END may say so too. EVENT_ARGUMENTS belong to the call that
 * was opened last. EVENT_USAGE may come at any time, the last one counts. EVENT_DONE, or
 * EVENT_ERROR, comes once and last.
 */
enum chat_event_type {
	EVENT_START,     /* id, model: empty when not known; created_s */
	EVENT_TEXT,      /* text */
	EVENT_REFUSAL,   /* text */
	EVENT_REASONING, /* text */
	EVENT_SIGNATURE, /* text: of the reasoning part; also without any before it */
	EVENT_REDACTED,  /* text: a whole part */
	EVENT_CALL,      /* id (never empty), name; custom; signature of Gemini's */
	EVENT_ARGUMENTS, /* text */
	EVENT_IMAGE,     /* media, text: base64 */
	EVENT_CITATION,  /* raw: an annotation of OpenAI's, {"type":"url_citation",…} */
	EVENT_LOGPROBS,  /* raw: items of OpenAI's logprobs.content, comma between, no brackets */
	EVENT_PART_END,
	EVENT_STOP,  /* stop, stop_sequence, text: an explanation of a refusal */
	EVENT_USAGE, /* usage */
	EVENT_ERROR, /* error */
	EVENT_DONE,
};

enum chat_stop {
	STOP_END,
	STOP_SEQUENCE,
	STOP_LENGTH,
	STOP_CALLS,
	STOP_REFUSAL, /* content filter, refusal */
};

struct chat_usage {
	struct usage tokens;         /* disjoint; -1: not reported */
	int64_t audio_in, audio_out; /* parts of input and output; -1: not reported */
	struct str tier;             /* in OpenAI's words; empty: not said */
};
#define CHAT_USAGE_NONE \
	((struct chat_usage){ .tokens = { -1, -1, -1, -1, -1 }, .audio_in = -1, .audio_out = -1 })

struct chat_event {
	enum chat_event_type type;
	unsigned choice;
	bool plain;  /* `text` is not escaped (a JSON value that becomes text) */
	bool custom; /* of a CALL, and of its ARGUMENTS */
	bool joined; /* of a CALL: its ARGUMENTS are the next event, at once. Set by translate */
	struct str text, id, name, model, media, raw, signature, stop_sequence;
	uint64_t created_s; /* 0: not known */
	enum chat_stop stop;
	struct chat_usage usage;
	struct error error;
};

/* Events that one piece of the answer gave; memory from c->scratch. */
struct chat_events {
	struct chat_event *all;
	size_t n, cap;
	bool failed; /* sticky: no memory */
	/* Said by a reader of streams: a value in the event's data of which only the last one of
	   the stream matters (usage), or none (obfuscation, the time). p NULL: none. See like.h. */
	struct str loose;
};
/* Append an event of that type, all else zero, choice 0. NULL (and failed) without memory. */
struct chat_event *chat_emit(struct chat *c, struct chat_events *out, enum chat_event_type type);
/* Append a text event; nothing when the text is empty. */
void chat_emit_text(struct chat *c, struct chat_events *out, enum chat_event_type type,
	unsigned choice, struct str text);

/*
 * An adapter of a provider's dialect. `state` lives in c->arena, made by `open` (NULL: no memory).
 * A reader is fed either one whole reply, or events and then the end.
 */
struct chat_provider {
	/* Write the request, and set c->path. 0; -1: c->error. Failure of `out` is sticky there. */
	int (*write_request)(struct chat *c, struct chat_request *q, struct buf *out);
	void *(*open)(struct chat *c);
	/* A whole JSON reply with status 200. 0; -1: it is no such reply. Ends with EVENT_DONE or
	 * EVENT_ERROR. */
	int (*read_reply)(struct chat *c, void *state, struct str text, struct chat_events *out);
	/* One event of the stream (of NDJSON: a line, as its data). 0; -1: broken. */
	int (*read_event)(struct chat *c, void *state, const struct sse_event *ev,
		struct chat_events *out);
	/* The stream has ended without EVENT_DONE. True when the answer is whole all the same, and
	 * its end given with EVENT_DONE; false: it was cut, and nothing was given. NULL: always
	 * that. */
	bool (*read_end)(struct chat *c, void *state, struct chat_events *out);
	/* Where an event gave one EVENT_TEXT or EVENT_REASONING, with a text that stands in its
	   data, and nothing else but EVENT_USAGE: the same data directly behind it, with another
	   text (not empty) in that place, gives the same with that text, and is not read. Where the
	   reader must know, it is told here; else NULL. */
	void (*again)(void *state, const struct chat_event *text);
	bool lines; /* a stream is NDJSON, not SSE */
};

/* A whole answer, gathered. Memory from c->arena. */
struct chat_piece {
	struct str text;
	bool plain;
	struct chat_piece *next;
};
struct chat_reply_part {
	enum chat_event_type type;        /* TEXT, REFUSAL, REASONING, REDACTED, CALL, IMAGE */
	struct chat_piece *pieces, *last; /* of a CALL: its arguments; none: it has none */
	struct str id, name, media, signature;
	bool custom;
	struct chat_reply_part *next;
};
struct chat_reply_choice {
	unsigned index;
	struct chat_reply_part *parts, *last;
	struct chat_piece *logprobs, *last_logprobs, *citations, *last_citation; /* raw */
	bool stopped;
	enum chat_stop stop;
	struct str stop_sequence, explanation;
	struct chat_reply_choice *next;
};
struct chat_reply {
	struct str id, model; /* escaped; empty: not known */
	uint64_t created_s;
	struct chat_reply_choice *choices; /* by index */
	bool has_usage;
	struct chat_usage usage;
	/* private */
	bool done, part_open;
};

/*
 * An adapter of a client's protocol. Writers get what translate has filtered: names given back,
 * custom calls made custom, the JSON tool turned into text.
 */
struct chat_client {
	/* Read the body into `q` (zeroed). 0; -1: c->error. */
	int (*read_request)(struct chat *c, struct chat_request *q, struct str body);
	void *(*open)(struct chat *c);
	/* Append what the event becomes to the stream: whole SSE events, or nothing. Failure is
	 * sticky in `out`. EVENT_ERROR is not given: dialect's error_event does. */
	void (*write_event)(struct chat *c, void *state, const struct chat_event *ev,
		struct buf *out);
	/* The whole reply. */
	void (*write_reply)(struct chat *c, const struct chat_reply *reply, struct buf *out);
};

/* The words of an effort: "none" … "max". */
struct str chat_effort_word(enum chat_effort e);
/* 0, or -1 when it is none of the words. `text` is escaped. */
int chat_effort_of(struct str text, enum chat_effort *out);

#endif
