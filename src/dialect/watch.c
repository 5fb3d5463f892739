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
 * A JSON reply may be megabytes long and is not kept. A small lexer follows strings and depth, and
 * copies the value of the top-level `usage` alone:
 *
 *     START --{--> INSIDE --}--> OVER       (anything but an object: OVER at once)
 */
#include <string.h>

#include "dialect/dialect.h"
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

/*
 * Usage
 */

static int64_t
count(const struct parsed *d, const struct json_token *object, struct str name)
{
	const struct json_token *t = member(d, object, name);
	uint64_t n;

	if (t == NULL || t->type != JSON_NUMBER || json_u64(d->text, t, &n) != 0)
		return -1;
	return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static int64_t
either(int64_t a, int64_t b)
{
	return a >= 0 ? a : b;
}

static int64_t
less(int64_t n, int64_t part)
{
	if (n < 0 || part < 0)
		return n;
	return part < n ? n - part : 0;
}

/* An object of any dialect's usage. OpenAI's details are parts of the whole, Anthropic's cache
 * counts stand beside it. */
static void
usage_read(struct watch *w, const struct parsed *d, const struct json_token *t)
{
	const struct json_token *in = member(d, t, STR("prompt_tokens_details")),
				*out = member(d, t, STR("completion_tokens_details"));
	struct usage u;

	if (in == NULL)
		in = member(d, t, STR("input_tokens_details"));
	if (out == NULL)
		out = member(d, t, STR("output_tokens_details"));
	u.input = either(count(d, t, STR("prompt_tokens")), count(d, t, STR("input_tokens")));
	u.output = either(count(d, t, STR("completion_tokens")), count(d, t, STR("output_tokens")));
	u.cache_read = count(d, in, STR("cached_tokens"));
	u.cache_write = count(d, in, STR("cache_write_tokens"));
	u.input = less(less(u.input, u.cache_read), u.cache_write);
	u.cache_read = either(u.cache_read, count(d, t, STR("cache_read_input_tokens")));
	u.cache_write = either(u.cache_write, count(d, t, STR("cache_creation_input_tokens")));
	u.reasoning = either(count(d, out, STR("reasoning_tokens")),
		count(d, out, STR("thinking_tokens")));
	if (u.input < 0 && u.output < 0)
		return;
	if (w->endpoint->client == DIALECT_ANTHROPIC) { /* cumulative, each field by itself */
		u.input = either(u.input, w->usage.input);
		u.output = either(u.output, w->usage.output);
		u.cache_read = either(u.cache_read, w->usage.cache_read);
		u.cache_write = either(u.cache_write, w->usage.cache_write);
		u.reasoning = either(u.reasoning, w->usage.reasoning);
	}
	w->usage = u;
	w->has_usage = true;
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
	usage_read(w, d, usage);
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
	if (ev->name.len == 0)
		return any_matters(ev->data, "rem", type_matters);
	return typed_of(ev->name) != TYPED_OTHER || any_matters(ev->data, "eee", error_matters);
}

static void
typed_usage(struct watch *w, const struct parsed *d, enum typed type)
{
	const struct json_token *top = parsed_top(d);

	if (type == TYPED_COMPLETED || type == TYPED_INCOMPLETE || type == TYPED_FAILED)
		usage_read(w, d, member(d, member(d, top, STR("response")), STR("usage")));
	else if (type == TYPED_START)
		usage_read(w, d, member(d, member(d, top, STR("message")), STR("usage")));
	else if (type == TYPED_DELTA)
		usage_read(w, d, member(d, top, STR("usage")));
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

static void
head_add(struct watch *w, const char *p, size_t len)
{
	for (size_t i = 0; i < len && w->head_len < sizeof w->head; i++)
		if (w->in_key || space_len((struct str){ p + i, 1 }, 0) == 0)
			w->head[w->head_len++] = p[i];
}

/* Bytes of the key or value that is being read. */
static void
reply_keep(struct watch *w, const char *p, size_t len)
{
	if (w->in_key || w->member == MEMBER_ERROR) {
		head_add(w, p, len);
	} else if (w->member == MEMBER_USAGE) {
		if (buf_len(&w->carry) + len <= USAGE_MAX &&
			buf_add(&w->carry, (struct str){ p, len }) == 0)
			return;
		buf_free(&w->carry);
		w->member = MEMBER_OTHER;
	}
}

/* The colon behind a key of the top level. */
static void
reply_key_end(struct watch *w)
{
	struct str key = { w->head, w->head_len };

	w->in_key = false;
	w->member = str_eq(key, STR("usage")) ? MEMBER_USAGE
		: str_eq(key, STR("error"))   ? MEMBER_ERROR
					      : MEMBER_OTHER;
	w->head_len = 0;
}

static void
reply_value_end(struct watch *w)
{
	struct parsed d;

	if (w->member == MEMBER_ERROR && is_truthy((struct str){ w->head, w->head_len }))
		w->error = true;
	if (w->member == MEMBER_USAGE) {
		if (parse(&d, buf_str(&w->carry)))
			usage_read(w, &d, parsed_top(&d));
		parsed_free(&d);
		buf_free(&w->carry);
	}
	w->member = MEMBER_OTHER;
}

/* Inside a string: up to and with its quote, or the backslash of an escape that is cut. Returns the
 * bytes taken. */
static size_t
reply_string(struct watch *w, const char *p, size_t len)
{
	bool any = false;
	size_t n = 0;

	if (!w->escaped)
		n = json_content_run(p, len, &any);
	if (n < len) {
		bool was = w->escaped;
		w->escaped = !was && p[n] == '\\';
		if (!was && p[n] == '"')
			w->in_string = false;
		n++;
	}
	/* a key's own quote is not part of it */
	reply_keep(w, p, w->in_key && !w->in_string ? n - 1 : n);
	return n;
}

/* Outside strings: up to and with the next byte of structure. */
static size_t
reply_gap(struct watch *w, const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && strchr("\"{}[],:", p[n] != '\0' ? p[n] : ' ') == NULL)
		n++;
	if (!w->in_key)
		reply_keep(w, p, n);
	if (n == len)
		return n;
	char c = p[n];
	bool ends = w->depth == 1 && (c == ',' || c == '}');
	if (ends)
		reply_value_end(w);
	else if (!w->in_key)
		reply_keep(w, &c, 1);
	if (c == '"') {
		w->in_string = true;
		if (w->in_key)
			w->head_len = 0;
	} else if (c == '{' || c == '[') {
		w->depth++;
	} else if (c == '}' || c == ']') {
		if (--w->depth == 0)
			w->state = OVER;
	} else if (c == ',' && w->depth == 1) {
		w->in_key = true;
	} else if (c == ':' && w->depth == 1 && w->in_key) {
		reply_key_end(w);
	}
	return n + 1;
}

/* White space and a byte-order mark may stand before the object. */
static size_t
reply_start(struct watch *w, struct str piece)
{
	size_t at = 0;

	while (at < piece.len && strchr(" \t\r\n\xef\xbb\xbf", piece.p[at]) != NULL &&
		piece.p[at] != '\0')
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
	size_t at = 0;

	if (w->state == START)
		at = reply_start(w, piece);
	while (at < piece.len && w->state == INSIDE)
		at += w->in_string ? reply_string(w, piece.p + at, piece.len - at)
				   : reply_gap(w, piece.p + at, piece.len - at);
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
