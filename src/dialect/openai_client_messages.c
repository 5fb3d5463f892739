/*
 * openai_client_messages: the messages of a chat completion request (OpenAI API reference: create
 * chat completion, messages), with what compatible servers added to an assistant's:
 * reasoning_content, signed thinking_blocks, and Gemini's thought signature in a call's
 * extra_content.
 *
 * Called by openai_client. Messages become parts in the client's order; an assistant's are
 * reasoning, text, refusal, calls. A part that some provider cannot take is not refused here: its
 * adapter does. Refused is what no provider could make sense of, by its place:
 * messages[2].content[0].text. The legacy function_call has no id, so one is made up from its
 * number, and a `function` message answers the latest call of its name that has no answer yet.
 */
#include "dialect/openai_client_messages.h"

#include "dialect/place.h"

enum { OPEN_MOST = 64 }; /* legacy calls that are looked back on */

struct open_call {
	struct str name, id;
};

struct reader {
	struct chat *c;
	struct chat_request *q;
	const struct json_doc *d;
	struct place message, item; /* the item of one of the message's lists */
	const struct place *at;     /* what is being read: one of them */
	struct chat_message *m;
	struct open_call open[OPEN_MOST]; /* without an answer; a ring: the oldest goes */
	unsigned n_open, functions;
};

/* Refuse a member of what is being read. */
static int
refuse(struct reader *r, struct str name, const char *says)
{
	const struct place here = { r->at, name, -1 };

	return place_refuse(r->c, &here, "%s", says);
}

static int
get(struct reader *r, const struct json_token *object, struct str name, enum json_type type,
	bool needed, const struct json_token **t)
{
	return place_get(r->c, r->d, object, r->at, name, type, needed, t);
}

static int
get_text(struct reader *r, const struct json_token *object, struct str name, bool needed,
	struct str *text)
{
	return place_text(r->c, r->d, object, r->at, name, needed, text);
}

/* Go to the next item of the message's list of that name; back to the message with list_end. */
static void
list_item(struct reader *r, struct str list, unsigned index)
{
	r->item = (struct place){ &r->message, list, index };
	r->at = &r->item;
}

static void
list_end(struct reader *r)
{
	r->at = &r->message;
}

/*
 * Parts
 */

/* Bytes that base64 of these formats begins with. */
static struct str
sniff(struct str base64)
{
	static const struct {
		struct str start, media;
	} known[] = {
		{ STR_INIT("iVBORw0KGgo"), STR_INIT("image/png") },
		{ STR_INIT("/9j/"), STR_INIT("image/jpeg") },
		{ STR_INIT("\\/9j\\/"), STR_INIT("image/jpeg") },
		{ STR_INIT("R0lGOD"), STR_INIT("image/gif") },
		{ STR_INIT("UklGR"), STR_INIT("image/webp") },
		{ STR_INIT("JVBERi"), STR_INIT("application/pdf") },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_starts(base64, known[i].start))
			return known[i].media;
	return STR("");
}

/* Where the bytes are: a data URL, bare base64, or any other URL. */
static int
read_source(struct reader *r, struct str text, const struct place *at, struct chat_source *out)
{
	struct str media = sniff(text);

	if (str_eq_nocase(str_head(text, 5), STR("data:")))
		return chat_data_url(r->c->arena, text, out) == 0
			? 0
			: place_refuse(r->c, at,
				  "must be a data URL with base64, or a web address");
	if (text.len == 0)
		return place_refuse(r->c, at, "must not be empty");
	*out = (struct chat_source){ .kind = media.len > 0 ? SOURCE_DATA : SOURCE_URL,
		.media = media,
		.text = text };
	return 0;
}

static int
read_image(struct reader *r, const struct json_token *t, struct chat_part *p)
{
	const struct place at = { r->at, STR_INIT("image_url"), -1 },
			   in = { &at, STR_INIT("url"), -1 };
	const struct json_token *image;
	struct str url;

	if (get(r, t, at.name, JSON_OBJECT, true, &image) < 0 ||
		place_text(r->c, r->d, image, &at, in.name, true, &url) < 0 ||
		read_source(r, url, &in, &p->source) < 0)
		return -1;
	p->type = str_eq_nocase(p->source.media, STR("application/pdf")) ? PART_FILE : PART_IMAGE;
	return 0;
}

static int
read_audio(struct reader *r, const struct json_token *t, struct chat_part *p)
{
	const struct place at = { r->at, STR_INIT("input_audio"), -1 },
			   in = { &at, STR_INIT("format"), -1 };
	const struct json_token *audio;
	struct str format;

	if (get(r, t, at.name, JSON_OBJECT, true, &audio) < 0 ||
		place_text(r->c, r->d, audio, &at, STR("data"), true, &p->source.text) < 0 ||
		place_text(r->c, r->d, audio, &at, in.name, true, &format) < 0)
		return -1;
	p->type = PART_AUDIO;
	p->source.kind = SOURCE_DATA;
	if (str_eq(format, STR("wav")))
		p->source.media = STR("audio/wav");
	else if (str_eq(format, STR("mp3")))
		p->source.media = STR("audio/mp3");
	else
		return place_refuse(r->c, &in, "must be `wav` or `mp3`");
	return 0;
}

static int
read_file(struct reader *r, const struct json_token *t, struct chat_part *p)
{
	const struct place at = { r->at, STR_INIT("file"), -1 },
			   in = { &at, STR_INIT("file_data"), -1 };
	const struct json_token *file;
	struct str data, id;

	if (get(r, t, at.name, JSON_OBJECT, true, &file) < 0 ||
		place_text(r->c, r->d, file, &at, in.name, false, &data) < 0 ||
		place_text(r->c, r->d, file, &at, STR("file_id"), false, &id) < 0 ||
		place_text(r->c, r->d, file, &at, STR("filename"), false, &p->title) < 0)
		return -1;
	p->type = PART_FILE;
	if (data.len == 0 && id.len == 0)
		return place_refuse(r->c, &at, "must have `file_data` or `file_id`");
	if (data.len == 0) {
		p->source = (struct chat_source){ .kind = SOURCE_ID, .text = id };
		return 0;
	}
	if (read_source(r, data, &in, &p->source) < 0)
		return -1;
	if (p->source.kind == SOURCE_URL && !chat_is_web_url(data))
		p->source.kind = SOURCE_DATA; /* bare base64 of a kind that is not known */
	return 0;
}

/* Which kinds of parts a message may have. */
struct kinds {
	bool media, refusal;
};

/* What the part is, by its type. */
static int
read_kind(struct reader *r, const struct json_token *t, struct kinds may, struct chat_part *p)
{
	const struct json_token *type;

	if (get(r, t, STR("type"), JSON_STRING, true, &type) < 0)
		return -1;
	p->type = PART_TEXT;
	if (json_doc_is(r->d, type, STR("text")))
		return get_text(r, t, STR("text"), true, &p->text);
	if (may.media && json_doc_is(r->d, type, STR("image_url")))
		return read_image(r, t, p);
	if (may.media && json_doc_is(r->d, type, STR("input_audio")))
		return read_audio(r, t, p);
	if (may.media && json_doc_is(r->d, type, STR("file")))
		return read_file(r, t, p);
	if (may.refusal && json_doc_is(r->d, type, STR("refusal"))) {
		p->type = PART_REFUSAL;
		return get_text(r, t, STR("refusal"), true, &p->text);
	}
	return refuse(r, STR("type"), "is no type of part that this message may have");
}

static int
read_part(struct reader *r, const struct json_token *t, struct kinds may, struct chat_part *p)
{
	const struct json_token *cache, *point;

	if (t->type != JSON_OBJECT)
		return place_refuse(r->c, r->at, "must be an object");
	if (read_kind(r, t, may, p) < 0 ||
		get(r, t, STR("cache_control"), JSON_OBJECT, false, &cache) < 0 ||
		get(r, t, STR("prompt_cache_breakpoint"), JSON_OBJECT, false, &point) < 0)
		return -1;
	if (cache)
		p->cache = json_doc_raw(r->d, cache);
	else if (point)
		p->cache = STR("{\"type\":\"ephemeral\"}");
	return 0;
}

/* Append what `content` says to the message: one text, or a list of parts. */
static int
read_content(struct reader *r, const struct json_token *content, struct kinds may)
{
	const struct json_doc *d = r->d;
	const struct json_token *t;
	struct chat_part *p;
	unsigned i = 0;

	r->m->bare = content->type == JSON_STRING;
	if (r->m->bare) {
		p = chat_add_part(r->c, r->m, PART_TEXT, 0);
		if (!p)
			return chat_no_memory(r->c);
		p->text = json_doc_inner(d, content);
		return 0;
	}
	if (content->type != JSON_ARRAY)
		return refuse(r, STR("content"), "must be a string or a list of parts");
	for (t = json_first(d, content); t; t = json_next(d, content, t)) {
		list_item(r, STR("content"), i);
		p = chat_add_part(r->c, r->m, PART_TEXT, i++);
		if (!p)
			return chat_no_memory(r->c);
		if (read_part(r, t, may, p) < 0)
			return -1;
	}
	list_end(r);
	return 0;
}

static int
read_needed_content(struct reader *r, const struct json_token *t, struct kinds may)
{
	const struct json_token *content = json_get(r->d, t, STR("content"));

	return content ? read_content(r, content, may)
		       : refuse(r, STR("content"), "Field required");
}

/*
 * An assistant's message
 */

static int
read_block(struct reader *r, const struct json_token *t, unsigned i)
{
	const struct json_token *type;
	struct chat_part *p;
	bool redacted;

	if (t->type != JSON_OBJECT)
		return place_refuse(r->c, r->at, "must be an object");
	if (get(r, t, STR("type"), JSON_STRING, true, &type) < 0)
		return -1;
	redacted = json_doc_is(r->d, type, STR("redacted_thinking"));
	if (!redacted && !json_doc_is(r->d, type, STR("thinking")))
		return refuse(r, STR("type"), "must be `thinking` or `redacted_thinking`");
	p = chat_add_part(r->c, r->m, redacted ? PART_REDACTED : PART_REASONING, i);
	if (!p)
		return chat_no_memory(r->c);
	if (redacted)
		return get_text(r, t, STR("data"), true, &p->text);
	return get_text(r, t, STR("thinking"), true, &p->text) < 0
		? -1
		: get_text(r, t, STR("signature"), false, &p->signature);
}

/* Signed blocks; else the text alone, under either of its names. */
static int
read_reasoning(struct reader *r, const struct json_token *t)
{
	const struct json_doc *d = r->d;
	const struct json_token *blocks, *block;
	struct str text;
	struct chat_part *p;
	unsigned i = 0;

	if (get(r, t, STR("thinking_blocks"), JSON_ARRAY, false, &blocks) < 0 ||
		get_text(r, t, STR("reasoning_content"), false, &text) < 0)
		return -1;
	for (block = json_first(d, blocks); block; block = json_next(d, blocks, block)) {
		list_item(r, STR("thinking_blocks"), i);
		if (read_block(r, block, i++) < 0)
			return -1;
	}
	list_end(r);
	if (text.len == 0)
		text = json_get_text(d, t, STR("reasoning"));
	if (i > 0 || text.len == 0)
		return 0;
	p = chat_add_part(r->c, r->m, PART_REASONING, 0);
	if (!p)
		return chat_no_memory(r->c);
	p->text = text;
	return 0;
}

/* The members of a call, in its function or custom tool. */
static int
read_body(struct reader *r, const struct json_token *t, struct chat_part *p)
{
	const struct place at = { r->at, p->custom ? STR("custom") : STR("function"), -1 };
	const struct json_token *body;

	if (get(r, t, at.name, JSON_OBJECT, true, &body) < 0 ||
		place_text(r->c, r->d, body, &at, STR("name"), true, &p->name) < 0)
		return -1;
	return place_text(r->c, r->d, body, &at, p->custom ? STR("input") : STR("arguments"), false,
		&p->args);
}

static int
read_call(struct reader *r, const struct json_token *t, struct chat_part *p)
{
	const struct json_token *type, *google;

	if (t->type != JSON_OBJECT)
		return place_refuse(r->c, r->at, "must be an object");
	if (get(r, t, STR("type"), JSON_STRING, false, &type) < 0 ||
		get_text(r, t, STR("id"), true, &p->id) < 0)
		return -1;
	p->custom = type && json_doc_is(r->d, type, STR("custom"));
	p->args_escaped = true;
	if (type && !p->custom && !json_doc_is(r->d, type, STR("function")))
		return refuse(r, STR("type"), "must be `function` or `custom`");
	google = json_get(r->d, json_get(r->d, t, STR("extra_content")), STR("google"));
	p->signature = json_get_text(r->d, google, STR("thought_signature"));
	return read_body(r, t, p);
}

static int
read_calls(struct reader *r, const struct json_token *calls)
{
	const struct json_doc *d = r->d;
	const struct json_token *t;
	unsigned i = 0;

	for (t = json_first(d, calls); t; t = json_next(d, calls, t)) {
		struct chat_part *p = chat_add_part(r->c, r->m, PART_CALL, i);

		if (!p)
			return chat_no_memory(r->c);
		list_item(r, STR("tool_calls"), i++);
		if (read_call(r, t, p) < 0)
			return -1;
	}
	list_end(r);
	return 0;
}

static int
read_function_call(struct reader *r, const struct json_token *t)
{
	const struct place at = { r->at, STR_INIT("function_call"), -1 };
	struct chat_part *p = chat_add_part(r->c, r->m, PART_CALL, 0);

	if (!p)
		return chat_no_memory(r->c);
	p->args_escaped = true;
	p->id = arena_printf(r->c->arena, "toolu_fn_%u", ++r->functions);
	if (!p->id.p)
		return chat_no_memory(r->c);
	if (place_text(r->c, r->d, t, &at, STR("name"), true, &p->name) < 0 ||
		place_text(r->c, r->d, t, &at, STR("arguments"), false, &p->args) < 0)
		return -1;
	r->open[r->n_open++ % OPEN_MOST] = (struct open_call){ p->name, p->id };
	return 0;
}

static int
read_assistant(struct reader *r, const struct json_token *t)
{
	const struct json_token *content = json_get(r->d, t, STR("content")), *calls, *legacy;
	struct kinds may = { .refusal = true };
	struct str refusal;
	struct chat_part *p;

	if (read_reasoning(r, t) < 0 || (content && read_content(r, content, may) < 0) ||
		get_text(r, t, STR("refusal"), false, &refusal) < 0 ||
		get(r, t, STR("tool_calls"), JSON_ARRAY, false, &calls) < 0 ||
		get(r, t, STR("function_call"), JSON_OBJECT, false, &legacy) < 0)
		return -1;
	if (refusal.len > 0) {
		p = chat_add_part(r->c, r->m, PART_REFUSAL, 0);
		if (!p)
			return chat_no_memory(r->c);
		p->text = refusal;
	}
	if (calls && read_calls(r, calls) < 0)
		return -1;
	return legacy && (!calls || calls->count == 0) ? read_function_call(r, legacy) : 0;
}

/*
 * Results
 */

/* The id of the latest legacy call of that name without an answer, which it has now; empty: there
 * is none. */
static struct str
answer_call(struct reader *r, struct str name)
{
	unsigned first = r->n_open > OPEN_MOST ? r->n_open - OPEN_MOST : 0;

	for (unsigned i = r->n_open; i-- > first;) {
		struct open_call *call = &r->open[i % OPEN_MOST];

		if (call->id.len > 0 && str_eq(call->name, name)) {
			struct str id = call->id;

			call->id = STR("");
			return id;
		}
	}
	return STR("");
}

/* What the message holds becomes one result. `nothing`: it may hold nothing. */
static int
read_result(struct reader *r, const struct json_token *t, struct str id, bool nothing)
{
	struct chat_message *m = r->m;
	struct chat_part *result;
	struct kinds may = { .media = true };
	const struct json_token *content = json_get(r->d, t, STR("content"));

	if (content ? read_content(r, content, may) < 0
		    : !nothing && refuse(r, STR("content"), "Field required") < 0)
		return -1;
	result = arena_zero(r->c->arena, sizeof *result);
	if (!result)
		return chat_no_memory(r->c);
	result->type = PART_RESULT;
	result->id = id;
	result->parts = m->parts;
	m->parts = m->last = result;
	for (const struct chat_part *p = result->parts; p; p = p->next) {
		list_item(r, STR("content"), p->index);
		if (p->type == PART_AUDIO)
			return refuse(r, STR("type"), "is no type of part that a result may have");
	}
	return 0;
}

static int
read_tool(struct reader *r, const struct json_token *t)
{
	struct str id;

	return get_text(r, t, STR("tool_call_id"), true, &id) < 0 ? -1
								  : read_result(r, t, id, false);
}

static int
read_function(struct reader *r, const struct json_token *t)
{
	struct str name, id;

	if (get_text(r, t, STR("name"), true, &name) < 0)
		return -1;
	id = answer_call(r, name);
	if (id.len == 0)
		return refuse(r, STR("name"),
			"is no function that was called and not answered before");
	return read_result(r, t, id, true); /* null is a function's empty answer */
}

static int
read_plain(struct reader *r, const struct json_token *t)
{
	return read_needed_content(r, t, (struct kinds){ .media = r->m->role == CHAT_USER });
}

static const struct role {
	struct str word;
	enum chat_role role;
	bool developer;
	int (*read)(struct reader *r, const struct json_token *t);
} roles[] = {
	{ STR_INIT("user"), CHAT_USER, false, read_plain },
	{ STR_INIT("assistant"), CHAT_ASSISTANT, false, read_assistant },
	{ STR_INIT("tool"), CHAT_TOOL, false, read_tool },
	{ STR_INIT("system"), CHAT_SYSTEM, false, read_plain },
	{ STR_INIT("developer"), CHAT_SYSTEM, true, read_plain },
	{ STR_INIT("function"), CHAT_TOOL, false, read_function },
};

static int
read_message(struct reader *r, const struct json_token *t)
{
	const struct json_token *role;

	if (t->type != JSON_OBJECT)
		return place_refuse(r->c, r->at, "must be an object");
	if (get(r, t, STR("role"), JSON_STRING, true, &role) < 0)
		return -1;
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		if (!json_doc_is(r->d, role, roles[i].word))
			continue;
		r->m = chat_add_message(r->c, r->q, roles[i].role, (unsigned)r->message.index);
		if (!r->m)
			return chat_no_memory(r->c);
		r->m->developer = roles[i].developer;
		return roles[i].read(r, t);
	}
	return refuse(r, STR("role"),
		"must be `system`, `developer`, `user`, `assistant`, `tool` or `function`");
}

int
messages_read(struct chat *c, struct chat_request *q)
{
	struct reader r = { .c = c,
		.q = q,
		.d = &q->doc,
		.message = { NULL, STR_INIT("messages"), 0 } };
	struct str name = r.message.name;
	const struct json_token *list, *t;

	if (place_get(c, &q->doc, json_doc_top(&q->doc), NULL, name, JSON_ARRAY, true, &list) < 0)
		return -1;
	if (list->count == 0)
		return chat_refuse(c, name, "`messages` must not be empty");
	for (t = json_first(&q->doc, list); t; t = json_next(&q->doc, list, t)) {
		list_end(&r);
		if (read_message(&r, t) < 0)
			return -1;
		r.message.index++;
	}
	chat_note(q, name);
	return 0;
}
