/*
 * replay: a whole JSON chat reply as the stream of events that its client asked for, when a
 * provider answers JSON to a streamed chat request: passed through, the SDKs would see an empty
 * stream and no error.
 *
 * Called by the relay with the complete reply. Values are moved as slices of its text: digits,
 * escapes and unknown members stay. Line ends between tokens, which a pretty-printed reply has, are
 * taken out, since an event's data is one line. Fails when the text is not a chat reply (the
 * provider's error, say), or when the arena or the buffer is out of memory.
 *
 *     chat:      for each choice: role, message, calls with their index, finish; usage; [DONE]
 *     anthropic: message_start; for each block: start, deltas, stop; message_delta; message_stop
 */
#include <string.h>

#include "dialect/dialect.h"
#include "json/write.h"

enum { DEPTH_MAX = 512, CHAT_KEEP = 7, MESSAGE_KEEP = 5 };

struct replay {
	struct str text;
	struct json_scan scan;
	struct json_writer w;
	struct buf *out;
	size_t data; /* bytes held by `out` where the event's data begins */
	bool usage;  /* chat: the client asked for it */
	bool first;  /* chat: no chunk was written yet */
};

/* The next key of an object, or NULL: for (key = key_first(r, object); key; key = key_next(r,
 * object, key)). Its value is key + 1. */
static const struct json_token *
key_first(const struct replay *r, const struct json_token *object)
{
	return object != NULL && object->type == JSON_OBJECT &&
			object + 1 < r->scan.tokens + object->next
		? object + 1
		: NULL;
}

static const struct json_token *
key_next(const struct replay *r, const struct json_token *object, const struct json_token *key)
{
	const struct json_token *next = r->scan.tokens + key[1].next;

	return next < r->scan.tokens + object->next ? next : NULL;
}

static const struct json_token *
element_first(const struct replay *r, const struct json_token *array)
{
	return array != NULL && array->type == JSON_ARRAY &&
			array + 1 < r->scan.tokens + array->next
		? array + 1
		: NULL;
}

static const struct json_token *
element_next(const struct replay *r, const struct json_token *array,
	const struct json_token *element)
{
	const struct json_token *next = r->scan.tokens + element->next;

	return next < r->scan.tokens + array->next ? next : NULL;
}

/* A member, or NULL when it is missing or null. */
static const struct json_token *
member(const struct replay *r, const struct json_token *object, struct str name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	const struct json_token *t = json_member(&r->scan, r->text, object, name, NULL);
	return t != NULL && t->type != JSON_NULL ? t : NULL;
}

/* A member that is a string and not an empty one, or NULL. */
static const struct json_token *
text_member(const struct replay *r, const struct json_token *object, struct str name)
{
	const struct json_token *t = member(r, object, name);

	return t != NULL && t->type == JSON_STRING && t->end - t->start > 2 ? t : NULL;
}

static bool
is_key(const struct replay *r, const struct json_token *key, struct str name)
{
	return json_string_is(r->text, key, name);
}

static struct str
raw(const struct replay *r, const struct json_token *t)
{
	return json_raw(r->text, t);
}

static void
pair_raw(struct replay *r, struct str name, struct str value)
{
	json_key(&r->w, name);
	json_value(&r->w, value);
}

/* A member as it stands, its key with its escapes too. */
static void
pair_copy(struct replay *r, const struct json_token *key)
{
	json_value(&r->w, raw(r, key));
	buf_add(r->out, STR(":"));
	r->w.comma = false;
	json_value(&r->w, raw(r, key + 1));
}

static void
event_open(struct replay *r, struct str name)
{
	if (name.len > 0) {
		buf_add(r->out, STR("event: "));
		buf_add(r->out, name);
		buf_add(r->out, STR("\n"));
	}
	buf_add(r->out, STR("data: "));
	r->data = buf_len(r->out);
	json_writer_init(&r->w, r->out);
	json_object(&r->w);
}

/* Line ends in valid JSON stand between tokens only. */
static void
event_close(struct replay *r)
{
	json_object_end(&r->w);
	if (r->out->failed)
		return;
	char *p = r->out->p + r->out->start + r->data, *end = r->out->p + r->out->end, *to = p;
	for (; p < end; p++)
		if (*p != '\n' && *p != '\r')
			*to++ = *p;
	r->out->end -= (size_t)(end - to);
	buf_add(r->out, STR("\n\n"));
}

/*
 * Chat completions
 */

/* A chunk up to the inside of its choices. Members that the router does not know go into the first.
 */
static void
chunk_open(struct replay *r)
{
	const struct json_token *top = r->scan.tokens;

	event_open(r, STR(""));
	for (const struct json_token *key = key_first(r, top); key != NULL;
		key = key_next(r, top, key)) {
		if (is_key(r, key, STR("object")))
			json_pair(&r->w, STR("object"), STR("chat.completion.chunk"));
		else if (is_key(r, key, STR("id")) || is_key(r, key, STR("created")) ||
			is_key(r, key, STR("model")))
			pair_copy(r, key);
		else if (r->first && !is_key(r, key, STR("choices")) &&
			!is_key(r, key, STR("usage")))
			pair_copy(r, key);
	}
	r->first = false;
	json_key(&r->w, STR("choices"));
	json_array(&r->w);
}

static void
chunk_close(struct replay *r)
{
	json_array_end(&r->w);
	if (r->usage)
		pair_raw(r, STR("usage"), STR("null"));
	event_close(r);
}

/* The choice's own index, or its place. */
static void
choice_open(struct replay *r, const struct json_token *choice, unsigned place)
{
	const struct json_token *index = member(r, choice, STR("index"));

	chunk_open(r);
	json_object(&r->w);
	json_key(&r->w, STR("index"));
	if (index != NULL)
		json_value(&r->w, raw(r, index));
	else
		json_number(&r->w, place);
	json_key(&r->w, STR("delta"));
	json_object(&r->w);
}

static void
choice_close(struct replay *r, struct str logprobs, struct str finish)
{
	pair_raw(r, STR("logprobs"), logprobs);
	pair_raw(r, STR("finish_reason"), finish);
	json_object_end(&r->w);
	chunk_close(r);
}

/* The first chunk of a choice says who speaks and nothing more, as the vendor's does: the stream
 * helper of the SDK doubles logprobs that stand there. */
static void
choice_role(struct replay *r, const struct json_token *choice, unsigned place)
{
	const struct json_token *role = member(r, member(r, choice, STR("message")), STR("role"));

	choice_open(r, choice, place);
	pair_raw(r, STR("role"), role != NULL ? raw(r, role) : STR("\"assistant\""));
	json_object_end(&r->w);
	choice_close(r, STR("null"), STR("null"));
}

/* All else of its message but the calls, and all of the choice but what chunks have of their own.
 */
static void
choice_message(struct replay *r, const struct json_token *choice, unsigned place)
{
	const struct json_token *message = member(r, choice, STR("message")),
				*logprobs = member(r, choice, STR("logprobs"));

	choice_open(r, choice, place);
	for (const struct json_token *key = key_first(r, message); key != NULL;
		key = key_next(r, message, key))
		if (!is_key(r, key, STR("tool_calls")) && !is_key(r, key, STR("role")))
			pair_copy(r, key);
	json_object_end(&r->w);
	for (const struct json_token *key = key_first(r, choice); key != NULL;
		key = key_next(r, choice, key))
		if (!is_key(r, key, STR("index")) && !is_key(r, key, STR("message")) &&
			!is_key(r, key, STR("logprobs")) && !is_key(r, key, STR("finish_reason")))
			pair_copy(r, key);
	choice_close(r, logprobs != NULL ? raw(r, logprobs) : STR("null"), STR("null"));
}

/* Each call whole, with the index and type without which the openai SDK drops it or throws. */
static void
choice_calls(struct replay *r, const struct json_token *choice, const struct json_token *calls,
	unsigned place)
{
	int64_t index = 0;

	choice_open(r, choice, place);
	json_key(&r->w, STR("tool_calls"));
	json_array(&r->w);
	for (const struct json_token *call = element_first(r, calls); call != NULL;
		call = element_next(r, calls, call)) {
		json_object(&r->w);
		json_key(&r->w, STR("index"));
		json_number(&r->w, index++);
		if (member(r, call, STR("type")) == NULL)
			json_pair(&r->w, STR("type"), STR("function"));
		for (const struct json_token *key = key_first(r, call); key != NULL;
			key = key_next(r, call, key))
			if (!is_key(r, key, STR("index")) &&
				(!is_key(r, key, STR("type")) || key[1].type != JSON_NULL))
				pair_copy(r, key);
		json_object_end(&r->w);
	}
	json_array_end(&r->w);
	json_object_end(&r->w);
	choice_close(r, STR("null"), STR("null"));
}

/* The reply is whole, so it did stop, even where a server does not say why. */
static void
choice_replay(struct replay *r, const struct json_token *choice, unsigned place)
{
	const struct json_token *calls =
		member(r, member(r, choice, STR("message")), STR("tool_calls"));
	const struct json_token *finish = text_member(r, choice, STR("finish_reason"));

	if (element_first(r, calls) == NULL)
		calls = NULL;
	choice_role(r, choice, place);
	choice_message(r, choice, place);
	if (calls != NULL)
		choice_calls(r, choice, calls, place);
	choice_open(r, choice, place);
	json_object_end(&r->w);
	choice_close(r, STR("null"),
		finish != NULL          ? raw(r, finish)
			: calls != NULL ? STR("\"tool_calls\"")
					: STR("\"stop\""));
}

static int
chat_replay(struct replay *r)
{
	const struct json_token *top = r->scan.tokens, *choices = member(r, top, STR("choices")),
				*usage = member(r, top, STR("usage"));
	unsigned place = 0;

	if (element_first(r, choices) == NULL)
		return -1;
	for (const struct json_token *t = element_first(r, choices); t != NULL;
		t = element_next(r, choices, t)) {
		if (member(r, t, STR("message")) == NULL)
			return -1;
		choice_replay(r, t, place++);
	}
	if (r->usage && usage != NULL) {
		chunk_open(r);
		json_array_end(&r->w);
		pair_raw(r, STR("usage"), raw(r, usage));
		event_close(r);
	}
	return buf_add(r->out, STR("data: [DONE]\n\n"));
}

/*
 * Anthropic messages
 */

static void
typed_open(struct replay *r, struct str type)
{
	event_open(r, type);
	json_pair(&r->w, STR("type"), type);
}

static struct str
usage_of(const struct replay *r)
{
	const struct json_token *usage = member(r, r->scan.tokens, STR("usage"));

	return usage != NULL ? raw(r, usage) : STR("{\"input_tokens\":0,\"output_tokens\":0}");
}

/* The message as it is before its first block; the SDKs need its usage, which message_delta then
 * repeats. */
static void
message_start(struct replay *r)
{
	const struct json_token *top = r->scan.tokens;

	typed_open(r, STR("message_start"));
	json_key(&r->w, STR("message"));
	json_object(&r->w);
	for (const struct json_token *key = key_first(r, top); key != NULL;
		key = key_next(r, top, key)) {
		if (is_key(r, key, STR("content")))
			pair_raw(r, STR("content"), STR("[]"));
		else if (is_key(r, key, STR("stop_reason")) ||
			is_key(r, key, STR("stop_sequence")) || is_key(r, key, STR("stop_details")))
			pair_raw(r, json_inner(r->text, key), STR("null"));
		else if (!is_key(r, key, STR("usage")) || key[1].type != JSON_NULL)
			pair_copy(r, key);
	}
	if (member(r, top, STR("usage")) == NULL)
		pair_raw(r, STR("usage"), usage_of(r));
	json_object_end(&r->w);
	event_close(r);
}

static void
block_event_open(struct replay *r, struct str type, int64_t index)
{
	typed_open(r, type);
	json_key(&r->w, STR("index"));
	json_number(&r->w, index);
}

/* A delta of that type with one member, a string or another value as it stands. */
static void
block_delta(struct replay *r, int64_t index, struct str type, struct str name, struct str value)
{
	block_event_open(r, STR("content_block_delta"), index);
	json_key(&r->w, STR("delta"));
	json_object(&r->w);
	json_pair(&r->w, STR("type"), type);
	pair_raw(r, name, value);
	json_object_end(&r->w);
	event_close(r);
}

/* Members of blocks that come in deltas, and what stands for them in content_block_start. */
static const struct part {
	struct str member, delta, name, start;
	enum json_type type;
} parts[] = {
	{ STR_INIT("thinking"), STR_INIT("thinking_delta"), STR_INIT("thinking"), STR_INIT("\"\""),
		JSON_STRING },
	{ STR_INIT("signature"), STR_INIT("signature_delta"), STR_INIT("signature"),
		STR_INIT("\"\""), JSON_STRING },
	{ STR_INIT("text"), STR_INIT("text_delta"), STR_INIT("text"), STR_INIT("\"\""),
		JSON_STRING },
	{ STR_INIT("citations"), STR_INIT("citations_delta"), STR_INIT("citation"), STR_INIT("[]"),
		JSON_ARRAY },
	{ STR_INIT("input"), STR_INIT("input_json_delta"), STR_INIT("partial_json"), STR_INIT("{}"),
		JSON_OBJECT },
};
enum { PARTS = sizeof parts / sizeof parts[0] };

/* Is the value at `key` one that comes in deltas? Only the blocks that the SDKs know to be streamed
 * have such. */
static const struct part *
part_of(const struct replay *r, const struct json_token *block, const struct json_token *key)
{
	const struct json_token *t = member(r, block, STR("type"));
	struct str type = t != NULL && t->type == JSON_STRING ? json_inner(r->text, t) : STR("");
	bool tool = type.len >= 8 && str_eq(str_skip(type, type.len - 8), STR("tool_use"));

	if (!tool && !str_eq(type, STR("text")) && !str_eq(type, STR("thinking")))
		return NULL;
	for (unsigned i = 0; i < PARTS; i++)
		if (is_key(r, key, parts[i].member) && key[1].type == parts[i].type &&
			tool == (parts[i].type == JSON_OBJECT))
			return &parts[i];
	return NULL;
}

static void
part_replay(struct replay *r, int64_t index, const struct part *part,
	const struct json_token *value)
{
	if (part->type == JSON_ARRAY) {
		for (const struct json_token *t = element_first(r, value); t != NULL;
			t = element_next(r, value, t))
			block_delta(r, index, part->delta, part->name, raw(r, t));
		return;
	}
	if (part->type == JSON_STRING) {
		if (value->end - value->start > 2)
			block_delta(r, index, part->delta, part->name, raw(r, value));
		return;
	}
	/* the text of the object, as a string: escaped once, no space of it changed */
	block_event_open(r, STR("content_block_delta"), index);
	json_key(&r->w, STR("delta"));
	json_object(&r->w);
	json_pair(&r->w, STR("type"), part->delta);
	json_pair(&r->w, part->name, value->count > 0 ? raw(r, value) : STR(""));
	json_object_end(&r->w);
	event_close(r);
}

static void
block_replay(struct replay *r, const struct json_token *block, int64_t index)
{
	block_event_open(r, STR("content_block_start"), index);
	json_key(&r->w, STR("content_block"));
	json_object(&r->w);
	for (const struct json_token *key = key_first(r, block); key != NULL;
		key = key_next(r, block, key)) {
		const struct part *part = part_of(r, block, key);
		if (part != NULL)
			pair_raw(r, part->member, part->start);
		else
			pair_copy(r, key);
	}
	json_object_end(&r->w);
	event_close(r);
	for (const struct json_token *key = key_first(r, block); key != NULL;
		key = key_next(r, block, key)) {
		const struct part *part = part_of(r, block, key);
		if (part != NULL)
			part_replay(r, index, part, key + 1);
	}
	block_event_open(r, STR("content_block_stop"), index);
	event_close(r);
}

static void
message_end(struct replay *r)
{
	static const struct str names[] = { STR_INIT("stop_reason"), STR_INIT("stop_sequence"),
		STR_INIT("stop_details") };
	const struct json_token *top = r->scan.tokens;

	typed_open(r, STR("message_delta"));
	json_key(&r->w, STR("delta"));
	json_object(&r->w);
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct json_token *t =
			i == 0 ? text_member(r, top, names[i]) : member(r, top, names[i]);
		if (t != NULL)
			pair_raw(r, names[i], raw(r, t));
		else if (i < 2)
			pair_raw(r, names[i], i == 0 ? STR("\"end_turn\"") : STR("null"));
	}
	json_object_end(&r->w);
	pair_raw(r, STR("usage"), usage_of(r));
	event_close(r);
	typed_open(r, STR("message_stop"));
	event_close(r);
}

static int
message_replay(struct replay *r)
{
	const struct json_token *content = member(r, r->scan.tokens, STR("content"));
	int64_t index = 0;

	if (content == NULL || content->type != JSON_ARRAY)
		return -1;
	message_start(r);
	for (const struct json_token *t = element_first(r, content); t != NULL;
		t = element_next(r, content, t)) {
		if (t->type != JSON_OBJECT)
			return -1;
		block_replay(r, t, index++);
	}
	message_end(r);
	return 0;
}

int
reply_to_stream(const struct endpoint *e, struct str reply, bool include_usage, struct arena *a,
	struct buf *out)
{
	struct replay r = { .text = reply, .out = out, .usage = include_usage, .first = true };
	bool anthropic = e->client == DIALECT_ANTHROPIC;
	size_t before = buf_len(out);

	if (json_scan_text(&r.scan, a, reply, anthropic ? MESSAGE_KEEP : CHAT_KEEP, DEPTH_MAX) != 0)
		return -1;
	if (r.scan.tokens[0].type != JSON_OBJECT || member(&r, r.scan.tokens, STR("error")) != NULL)
		return -1;
	if ((anthropic ? message_replay(&r) : chat_replay(&r)) == 0 && !out->failed)
		return 0;
	out->end = out->start + before; /* no half of a stream */
	return -1;
}
