/*
 * watch: looks at a reply in passing: usage, errors inside it, its end. Not a byte is changed or
 * kept back.
 *
 * Called by the relay with each event of a stream (watch_event) or each piece of a JSON reply
 * (watch_reply). It never fails: what cannot be read is simply not known.
 *
 * Nearly all events are deltas that say nothing of this, so an event is searched for a few names
 * first and tokenised only when one is there with a value other than null (OpenAI repeats
 * "usage":null and "finish_reason":null in each). One pass finds them all: they begin with a quote
 * and one of three letters. A name inside the text of an answer has no colon behind it, or a
 * backslash before its quote, and what the tokeniser finds decides.
 *
 * A JSON reply may be megabytes long and is not kept. A small lexer follows strings and depth, at
 * memory speed below the top level. The value of the top-level `usage` is read where it stands, and
 * copied only where a piece ends inside it or it is not written in the plain way:
 *
 *     START --{--> INSIDE --}--> OVER       (anything but an object: OVER at once)
 */
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/usage.h"
#include "json/text.h"

enum { START, INSIDE, OVER };
enum { MEMBER_OTHER, MEMBER_USAGE, MEMBER_ERROR };
enum { USAGE_MAX = 8192, EVENT_TOKENS = 1 << 20, EVENT_DEPTH = 512, EVENT_KEEP = 5 };

void
watch_init(struct watch *w, const struct endpoint *e)
{
	*w = (struct watch){ .endpoint = e, .usage = { -1, -1, -1, -1, -1 } };
}

void
watch_free(struct watch *w)
{
	buf_free(&w->carry);
}

/*
 * A parsed text, down to the levels where anything of interest stands
 * (x_groq.usage.prompt_tokens_details.cached_tokens is the deepest).
 */
struct parsed {
	struct str text;
	struct json_scan scan;
	struct arena arena;
};

/* True when it is a JSON object. Always follow with parsed_free. */
static bool
parse(struct parsed *d, struct str text)
{
	d->text = text;
	arena_init(&d->arena, EVENT_TOKENS);
	return json_scan_text(&d->scan, &d->arena, text, EVENT_KEEP, EVENT_DEPTH) == 0 &&
		d->scan.tokens[0].type == JSON_OBJECT;
}

static void
parsed_free(struct parsed *d)
{
	arena_free(&d->arena);
}

static const struct json_token *
parsed_top(const struct parsed *d)
{
	return &d->scan.tokens[0];
}

/* A member of an object; NULL when there is none, or no object. */
static const struct json_token *
member(const struct parsed *d, const struct json_token *object, struct str name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	return json_member(&d->scan, d->text, object, name, NULL);
}

static bool
is_text(const struct json_token *t)
{
	return t != NULL && t->type == JSON_STRING && t->end - t->start > 2;
}

/* As JavaScript has it: the SDKs throw on a truthy `error`. */
static bool
is_truthy(struct str raw)
{
	return raw.len > 0 && !str_eq(raw, STR("null")) && !str_eq(raw, STR("false")) &&
		!str_eq(raw, STR("0")) && !str_eq(raw, STR("\"\""));
}

/* Usage from the text of its value. */
static void
usage_text(struct watch *w, struct str text)
{
	struct parsed d;

	if (parse(&d, text))
		usage_read(w, &d.scan, d.text, parsed_top(&d));
	parsed_free(&d);
}

/*
 * Events
 */

static size_t
space_len(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.len &&
		(s.p[at + n] == ' ' || s.p[at + n] == '\t' || s.p[at + n] == '\n' ||
			s.p[at + n] == '\r'))
		n++;
	return n;
}

/* Is what begins with a quote a member of that name (given with its quotes) whose value is not
 * null?
 */
static inline bool
says(struct str s, struct str quoted)
{
	size_t at = quoted.len;

	if (!str_starts(s, quoted))
		return false;
	at += space_len(s, at);
	if (at == s.len || s.p[at] != ':')
		return false;
	at++;
	at += space_len(s, at);
	return !str_starts(str_skip(s, at), STR("null"));
}

/* Does any string of the data, of those that begin with one of three letters, matter? */
static inline bool
any_matters(struct str data, const char first[3], bool (*matters)(struct str))
{
	for (;;) {
		data = str_skip(data, json_begin(data.p, data.len, first));
		if (data.len == 0 || matters(data))
			return data.len > 0;
		data = str_skip(data, 1);
	}
}

/* Chat and legacy completions, and what else ends with [DONE]. */
static void
chat_parsed(struct watch *w, const struct parsed *d)
{
	const struct json_token *top = parsed_top(d), *error = member(d, top, STR("error"));
	const struct json_token *usage = member(d, top, STR("usage")),
				*choices = member(d, top, STR("choices"));

	if (error != NULL && is_truthy(json_raw(d->text, error)))
		w->error = true;
	if (usage == NULL || usage->type != JSON_OBJECT)
		usage = member(d, member(d, top, STR("x_groq")), STR("usage"));
	usage_read(w, &d->scan, d->text, usage);
	if (choices == NULL || choices->type != JSON_ARRAY)
		return;
	for (const struct json_token *t = choices + 1; t < d->scan.tokens + choices->next;
		t = d->scan.tokens + t->next)
		if (is_text(member(d, t, STR("finish_reason"))))
			w->finished = true;
}

static bool
chat_matters(struct str s)
{
	return says(s, STR("\"finish_reason\"")) || says(s, STR("\"usage\"")) ||
		says(s, STR("\"error\""));
}

static void
chat_event(struct watch *w, const struct sse_event *ev)
{
	struct parsed d;

	w->started = true;
	if (str_starts(ev->data, STR("[DONE]"))) {
		w->ended = true;
		return;
	}
	if (str_eq(ev->name, STR("error")))
		w->error = true;
	if (str_eq(ev->name, STR("image_generation.completed")))
		w->finished = true;
	if (!any_matters(ev->data, "fue", chat_matters))
		return;
	if (parse(&d, ev->data))
		chat_parsed(w, &d);
	parsed_free(&d);
}

/* Streams of typed events: which types matter, as they stand in `type` (some servers leave the
 * `event:` line out). */
enum typed {
	TYPED_OTHER,
	TYPED_COMPLETED,
	TYPED_INCOMPLETE,
	TYPED_FAILED,
	TYPED_ERROR,
	TYPED_START,
	TYPED_DELTA,
	TYPED_STOP,
	TYPES
};

static const struct str quoted_types[TYPES] = {
	[TYPED_OTHER] = STR_INIT("\"\""),
	[TYPED_COMPLETED] = STR_INIT("\"response.completed\""),
	[TYPED_INCOMPLETE] = STR_INIT("\"response.incomplete\""),
	[TYPED_FAILED] = STR_INIT("\"response.failed\""),
	[TYPED_ERROR] = STR_INIT("\"error\""),
	[TYPED_START] = STR_INIT("\"message_start\""),
	[TYPED_DELTA] = STR_INIT("\"message_delta\""),
	[TYPED_STOP] = STR_INIT("\"message_stop\""),
};

static enum typed
typed_of(struct str name)
{
	for (unsigned i = TYPED_OTHER + 1; i < TYPES; i++)
		if (str_eq(name, str_head(str_skip(quoted_types[i], 1), quoted_types[i].len - 2)))
			return (enum typed)i;
	return TYPED_OTHER;
}

static bool
type_matters(struct str s)
{
	for (unsigned i = TYPED_OTHER + 1; i < TYPES; i++)
		if (str_starts(s, quoted_types[i]))
			return true;
	return false;
}

static bool
error_matters(struct str s)
{
	return says(s, STR("\"error\""));
}

/* Is the event worth tokenising? Where the data must tell its type, an error is one of them. */
static bool
typed_matters(const struct sse_event *ev)
{
	bool named = ev->name.len > 0;

	return typed_of(ev->name) != TYPED_OTHER ||
		any_matters(ev->data, "rem", named ? error_matters : type_matters);
}

static void
typed_usage(struct watch *w, const struct parsed *d, enum typed type)
{
	const struct json_token *top = parsed_top(d);

	if (type == TYPED_COMPLETED || type == TYPED_INCOMPLETE || type == TYPED_FAILED)
		usage_read(w, &d->scan, d->text,
			member(d, member(d, top, STR("response")), STR("usage")));
	else if (type == TYPED_START)
		usage_read(w, &d->scan, d->text,
			member(d, member(d, top, STR("message")), STR("usage")));
	else if (type == TYPED_DELTA)
		usage_read(w, &d->scan, d->text, member(d, top, STR("usage")));
}

/* Responses and Anthropic messages: their types are distinct, so one reader does for both. */
static void
typed_event(struct watch *w, const struct sse_event *ev)
{
	enum typed type = typed_of(ev->name);
	bool stopped = false;
	struct parsed d;

	if (!typed_matters(ev))
		return;
	if (parse(&d, ev->data)) {
		const struct json_token *t = member(&d, parsed_top(&d), STR("type")),
					*error = member(&d, parsed_top(&d), STR("error"));
		if (is_text(t))
			type = typed_of(json_inner(d.text, t));
		if (error != NULL && is_truthy(json_raw(d.text, error)))
			w->error = true;
		stopped = is_text(
			member(&d, member(&d, parsed_top(&d), STR("delta")), STR("stop_reason")));
		typed_usage(w, &d, type);
	}
	parsed_free(&d);
	w->started |= type == TYPED_START;
	w->error |= type == TYPED_ERROR || type == TYPED_FAILED;
	w->finished |= type == TYPED_COMPLETED || type == TYPED_INCOMPLETE ||
		(type == TYPED_DELTA && stopped);
	w->ended |= type == TYPED_COMPLETED || type == TYPED_INCOMPLETE || type == TYPED_FAILED ||
		type == TYPED_STOP;
}

void
watch_event(struct watch *w, const struct sse_event *ev)
{
	bool anthropic = w->endpoint->client == DIALECT_ANTHROPIC;

	if (!ev->has_data)
		return;
	if (!anthropic)
		w->started = true;
	if (ev->oversized || ev->data.len == 0)
		return;
	if (!anthropic && w->endpoint->id != ENDPOINT_RESPONSES)
		chat_event(w, ev);
	else if (str_starts(ev->data, STR("[DONE]")))
		w->ended |= !anthropic;
	else
		typed_event(w, ev);
}

/*
 * JSON replies
 */

/* Bytes of the value that is being read, of a member that matters. */
static void
reply_keep(struct watch *w, struct str s)
{
	if (w->member == MEMBER_ERROR) {
		for (size_t i = 0; i < s.len && w->head_len < sizeof w->head; i++)
			if (space_len(s, i) == 0)
				w->head[w->head_len++] = s.p[i];
	} else if (w->member == MEMBER_USAGE) {
		if (buf_len(&w->carry) + s.len <= USAGE_MAX && buf_add(&w->carry, s) == 0)
			return;
		buf_free(&w->carry);
		w->member = MEMBER_OTHER;
	}
}

/* `rest` is the value, or what came of it in this piece. */
static void
reply_value_end(struct watch *w, struct str rest)
{
	if (w->member == MEMBER_OTHER)
		return;
	reply_keep(w, rest);
	if (w->member == MEMBER_ERROR && is_truthy((struct str){ w->head, w->head_len }))
		w->error = true;
	if (w->member == MEMBER_USAGE)
		usage_text(w, buf_str(&w->carry));
	buf_free(&w->carry);
	w->member = MEMBER_OTHER;
}

/* Inside a string: past its quote, or to the end. */
static const char *
reply_string(struct watch *w, const char *p, const char *end)
{
	if (w->escaped && p < end) {
		w->escaped = false;
		p++;
	}
	w->in_string = true;
	while (p < end) {
		p += json_text_run(p, (size_t)(end - p));
		if (p == end)
			break;
		if (*p == '"') {
			w->in_string = false;
			return p + 1;
		}
		w->escaped = end - p == 1;
		p += w->escaped ? 1 : 2;
	}
	return p;
}

/* Inside a string of a key: its first bytes are kept. */
static const char *
reply_key(struct watch *w, const char *p, const char *end)
{
	const char *to = reply_string(w, p, end);
	size_t len = (size_t)(to - p) - !w->in_string, room = sizeof w->head - w->head_len;

	if (len > room)
		len = room;
	memcpy(w->head + w->head_len, p, len);
	w->head_len += (uint8_t)len;
	return to;
}

/* Behind the colon of a key of the top level. *from: where what is kept of the value begins. */
static const char *
reply_value(struct watch *w, struct str key, const char *p, const char *end, const char **from)
{
	const char *to = p;

	w->in_key = false;
	w->head_len = 0;
	*from = p;
	if (str_eq(key, STR("error"))) {
		w->member = MEMBER_ERROR;
	} else if (str_eq(key, STR("usage"))) {
		to = usage_in_passing(w, p, end - p > USAGE_MAX ? p + USAGE_MAX + 1 : end);
		w->member = to == p ? MEMBER_USAGE : MEMBER_OTHER;
	}
	return to;
}

/* A key begins. Nearly always it is all there, and a colon behind it. */
static const char *
reply_key_begin(struct watch *w, const char *p, const char *end, const char **from)
{
	struct str key = { p, json_text_run(p, (size_t)(end - p)) };
	const char *to = p + key.len;

	if (w->depth != 1 || end - to < 2 || to[0] != '"' || to[1] != ':') {
		w->head_len = 0;
		w->in_string = true;
		return p;
	}
	p = reply_value(w, key, to + 2, end, from);
	return p < end && *p == '"' ? reply_string(w, p + 1, end) : p;
}

/* Below the top level, of a value: to where it ends. */
static const char *
reply_nested(struct watch *w, const char *p, const char *end)
{
	while (w->depth > 1) {
		p += json_gap_run(p, (size_t)(end - p));
		if (p == end)
			break;
		char c = *p++;
		if (c == '"')
			p = reply_string(w, p, end);
		else if (c == '{' || c == '[')
			w->depth++;
		else
			w->depth--;
	}
	return p;
}

static bool
is_structure(char c)
{
	return c == '"' || c == ',' || c == ':' || (c | 0x20) == '{' || (c | 0x20) == '}';
}

/* To a byte of structure, and past it. */
static const char *
reply_structure(struct watch *w, const char *p, const char *end, const char **from)
{
	while (p < end && !is_structure(*p))
		p++;
	if (p == end)
		return p;
	char c = *p++;
	switch (c) {
	case '"':
		return w->in_key ? reply_key_begin(w, p, end, from) : reply_string(w, p, end);
	case ':':
		if (w->depth == 1 && w->in_key)
			p = reply_value(w, (struct str){ w->head, w->head_len }, p, end, from);
		break;
	case '{':
	case '[':
		w->depth++;
		break;
	default:
		if (w->depth == 1 && c != ']')
			reply_value_end(w, (struct str){ *from, (size_t)(p - 1 - *from) });
		if (c != ',') {
			if (--w->depth == 0)
				w->state = OVER;
		} else if (w->depth == 1) {
			w->in_key = true;
			if (p < end && *p == '"')
				return reply_key_begin(w, p + 1, end, from);
		}
	}
	return p;
}

/* White space and a byte-order mark may stand before the object. */
static size_t
reply_start(struct watch *w, struct str piece)
{
	size_t at = 0;

	while (at < piece.len && memchr(" \t\r\n\xef\xbb\xbf", piece.p[at], 7) != NULL)
		at++;
	if (at == piece.len)
		return at;
	w->state = piece.p[at] == '{' ? INSIDE : OVER;
	w->depth = 1;
	w->in_key = true;
	return at + 1;
}

void
watch_reply(struct watch *w, struct str piece)
{
	const char *end = piece.p + piece.len, *p = piece.p, *from;

	if (w->state == START)
		p += reply_start(w, piece);
	from = p;
	while (p < end && w->state == INSIDE)
		if (w->in_string)
			p = w->in_key ? reply_key(w, p, end) : reply_string(w, p, end);
		else if (w->depth > 1 && !w->in_key)
			p = reply_nested(w, p, end);
		else
			p = reply_structure(w, p, end, &from);
	if (w->state == INSIDE)
		reply_keep(w, (struct str){ from, (size_t)(p - from) });
}

bool
watch_reply_inside(const struct watch *w)
{
	return w->state == INSIDE;
}

void
watch_reply_end(struct watch *w)
{
	w->state = OVER;
	buf_free(&w->carry);
}
