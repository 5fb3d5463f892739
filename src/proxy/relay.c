/*
 * relay: a reply in passing.
 *
 * The mode is set by what the head says and, for chats that were answered with 200, by the first
 * byte of the body, since providers send streams and JSON under wrong names:
 *
 *     client asked for    reply is a stream    reply is JSON
 *     a stream            EVENTS               TO_STREAM
 *     one reply           TO_REPLY             PASS
 *
 * In EVENTS an incomplete event is held back, up to HOLD_MOST bytes: so a provider that dies in the
 * middle of one leaves the client at the end of an event, where an error event can be put in. A
 * larger one is let through as it comes, memory stays flat. The module does no I/O; request sends
 * what it lets through.
 */
#include "proxy/relay.h"

#include <string.h>

#include "http/head.h"

#define HOLD_MOST 8192                      /* of an incomplete event */
#define WATCH_CARRY (64 * 1024)             /* of an event that came in pieces and may hold usage */
#define WATCH_CARRY_RESPONSES (1024 * 1024) /* whose last event repeats the whole answer */

static bool
is_type(struct str content_type, struct str type)
{
	return str_eq_nocase(head_media_type(content_type), type);
}

static enum relay_mode
mode_of(const struct relay_start *s, bool events, bool json)
{
	if (s->coded || s->status != 200)
		return RELAY_PASS;
	if (!s->endpoint->chat)
		return events ? RELAY_EVENTS : RELAY_PASS;
	if (s->stream)
		return events ? RELAY_EVENTS : json ? RELAY_TO_STREAM : RELAY_PASS;
	return events ? RELAY_TO_REPLY : RELAY_PASS;
}

static size_t
carry_most(const struct relay *r)
{
	if (r->mode == RELAY_TO_REPLY)
		return r->start.event_bytes;
	return r->start.endpoint->id == ENDPOINT_RESPONSES ? WATCH_CARRY_RESPONSES : WATCH_CARRY;
}

void
relay_open(struct relay *r, const struct relay_start *start)
{
	bool events = is_type(start->content_type, STR("text/event-stream"));

	*r = (struct relay){ .start = *start };
	r->mode = (uint8_t)mode_of(start, events,
		is_type(start->content_type, STR("application/json")));
	r->sniffed = start->coded || start->status != 200 || !start->endpoint->chat;
	watch_init(&r->watch, start->endpoint);
	sse_init(&r->sse, carry_most(r));
}

void
relay_close(struct relay *r)
{
	watch_free(&r->watch);
	sse_free(&r->sse);
	buf_free(&r->hold);
	buf_free(&r->first);
}

enum kind { KIND_BLANK, KIND_UNSURE, KIND_EVENTS, KIND_JSON, KIND_OTHER };

/* What a body is, by its first bytes. */
static enum kind
kind_of(struct str s)
{
	static const struct str names[] = { STR_INIT("data"), STR_INIT("event"), STR_INIT("id"),
		STR_INIT("retry") };

	if (str_starts(s, STR("\xEF\xBB\xBF")))
		s = str_skip(s, 3);
	while (s.len > 0 && memchr(" \t\r\n", s.p[0], 4))
		s = str_skip(s, 1);
	if (s.len == 0)
		return KIND_BLANK;
	if (s.p[0] == '{' || s.p[0] == ':')
		return s.p[0] == '{' ? KIND_JSON : KIND_EVENTS;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct str name = names[i];

		if (!str_eq(str_head(s, name.len), str_head(name, s.len)))
			continue;
		if (s.len <= name.len)
			return KIND_UNSURE;
		return memchr(":\r\n", s.p[name.len], 3) ? KIND_EVENTS : KIND_OTHER;
	}
	return KIND_OTHER;
}

/*
 * The first bytes of a chat's body tell a stream from JSON; what is neither goes by its name. While
 * they do not tell, they are kept, but for the white space that keeps a plain JSON reply alive.
 * False: nothing more can be done with `data` now.
 */
static bool
sniff(struct relay *r, struct str *data)
{
	enum kind kind;

	if (buf_len(&r->first) > 0 && buf_add(&r->first, *data) < 0)
		return false;
	if (buf_len(&r->first) > 0)
		*data = buf_str(&r->first);
	kind = kind_of(*data);
	if (data->len < HOLD_MOST &&
		(kind == KIND_UNSURE || (kind == KIND_BLANK && r->mode != RELAY_PASS))) {
		if (buf_len(&r->first) == 0)
			buf_add(&r->first, *data);
		return false;
	}
	r->sniffed = true;
	r->leaves_with_settle = buf_len(&r->first) > 0;
	if (kind == KIND_EVENTS || kind == KIND_JSON)
		r->mode = (uint8_t)mode_of(&r->start, kind == KIND_EVENTS, kind == KIND_JSON);
	r->sse.carry_max = carry_most(r);
	return true;
}

static enum relay_verdict
hold(struct relay *r, struct str data, size_t most)
{
	if (data.len > most || buf_len(&r->hold) > most - data.len)
		return RELAY_TOO_LARGE;
	return buf_add(&r->hold, data) < 0 ? RELAY_MEMORY : RELAY_OK;
}

/* Events through. */
static enum relay_verdict
take_events(struct relay *r, struct str data, struct str *held, struct str *now)
{
	size_t pos = 0, whole = 0;

	while (pos < data.len) {
		struct sse_event event;
		bool got;
		long n = sse_next(&r->sse, str_skip(data, pos), &event, &got);

		if (n < 0)
			return RELAY_MEMORY;
		pos += (size_t)n;
		if (got) {
			watch_event(&r->watch, &event);
			r->begun = true;
			r->oversized |= event.oversized;
		}
		if (sse_between(&r->sse))
			whole = pos;
	}
	if (!r->begun)
		whole = 0; /* comments alone do not begin a reply */
	if (whole == 0 ? r->mid_event || buf_len(&r->hold) + data.len > HOLD_MOST
		       : data.len - whole > HOLD_MOST) {
		r->begun = true;
		whole = data.len;
	}
	if (whole > 0) {
		r->mid_event = !sse_between(&r->sse) && whole == data.len;
		*held = buf_str(&r->hold);
		*now = str_head(data, whole);
		r->releasing = true;
		r->leaves_with_settle |= held->len > 0;
	}
	r->tail = str_skip(data, whole);
	return RELAY_OK;
}

static enum relay_verdict
take_for_reply(struct relay *r, struct str data)
{
	if (!r->gather)
		r->gather = gather_new(r->start.endpoint, r->start.arena);
	if (!r->gather)
		return RELAY_MEMORY;
	while (data.len > 0) {
		struct sse_event event;
		bool got;
		long n = sse_next(&r->sse, data, &event, &got);
		int result;

		if (n < 0)
			return RELAY_MEMORY;
		data = str_skip(data, (size_t)n);
		if (!got)
			continue;
		if (event.oversized)
			return RELAY_TOO_LARGE;
		watch_event(&r->watch, &event);
		result = gather_event(r->gather, &event, &r->message);
		if (result != 0)
			return result > 0                ? RELAY_ERROR
				: r->start.arena->failed ? RELAY_TOO_LARGE
							 : RELAY_UNREADABLE;
	}
	return RELAY_OK;
}

enum relay_verdict
relay_take(struct relay *r, struct str data, struct str *held, struct str *now)
{
	*held = *now = STR("");
	if (!r->sniffed && !sniff(r, &data))
		return r->first.failed ? RELAY_MEMORY : RELAY_OK;
	switch (r->mode) {
	case RELAY_EVENTS:
		return take_events(r, data, held, now);
	case RELAY_TO_REPLY:
		return take_for_reply(r, data);
	case RELAY_TO_STREAM:
		return hold(r, data, r->start.reply_bytes);
	default:
		watch_reply(&r->watch, data);
		*now = data;
		return RELAY_OK;
	}
}

enum relay_verdict
relay_settle(struct relay *r)
{
	struct str tail = r->tail;
	int kept;

	if (r->releasing)
		buf_free(&r->hold);
	kept = tail.len > 0 ? buf_add(&r->hold, tail) : 0;
	if (r->sniffed)
		buf_free(&r->first);
	r->releasing = r->leaves_with_settle = false;
	r->tail = STR("");
	return kept < 0 ? RELAY_MEMORY : RELAY_OK;
}

struct str
relay_begin(struct relay *r)
{
	r->begun = true;
	if (r->mode != RELAY_EVENTS || !sse_between(&r->sse))
		return STR("");
	r->releasing = true;
	return buf_str(&r->hold);
}

/* An unfinished JSON text that ends with its connection was cut; other bytes have no end of their
 * own. */
static bool
json_cut(const struct relay *r)
{
	return r->start.until_close && is_type(r->start.content_type, STR("application/json")) &&
		!r->start.coded && watch_reply_inside(&r->watch);
}

static enum relay_verdict
finish_events(struct relay *r, struct buf *rest)
{
	struct sse_event event;

	if (sse_finish(&r->sse, &event))
		watch_event(&r->watch, &event);
	if (!relay_answered(r))
		return RELAY_UNREADABLE;
	r->begun = true;
	return buf_add(rest, buf_str(&r->hold)) < 0 ? RELAY_MEMORY : RELAY_OK;
}

static enum relay_verdict
finish_reply(struct relay *r, struct buf *rest)
{
	struct sse_event event;

	if (!r->gather)
		return RELAY_UNREADABLE;
	if (sse_finish(&r->sse, &event)) {
		int result;

		watch_event(&r->watch, &event);
		result = gather_event(r->gather, &event, &r->message);
		if (result != 0)
			return result > 0 ? RELAY_ERROR : RELAY_UNREADABLE;
	}
	if (gather_finish(r->gather, rest) < 0)
		return rest->failed ? RELAY_MEMORY : RELAY_UNREADABLE;
	return RELAY_OK;
}

/* A JSON reply that cannot become a stream: it may be an error under a 200. */
static enum relay_verdict
take_error(struct relay *r)
{
	struct str text = buf_str(&r->hold);
	const struct json_token *error, *message = NULL;
	struct json_scan scan;

	if (json_scan_text(&scan, r->start.arena, text, 3, JSON_DEPTH_MAX) < 0 ||
		scan.tokens[0].type != JSON_OBJECT)
		return RELAY_UNREADABLE;
	error = json_member(&scan, text, scan.tokens, STR("error"), NULL);
	if (error && error->type == JSON_OBJECT)
		message = json_member(&scan, text, error, STR("message"), NULL);
	if (!message || message->type != JSON_STRING)
		return RELAY_UNREADABLE;
	r->message = arena_copy(r->start.arena, json_string(text, message, r->start.arena, NULL));
	return r->message.p ? RELAY_ERROR : RELAY_MEMORY;
}

static enum relay_verdict
finish_stream(struct relay *r, struct buf *rest)
{
	watch_reply(&r->watch, buf_str(&r->hold));
	watch_reply_end(&r->watch);
	if (reply_to_stream(r->start.endpoint, buf_str(&r->hold), r->start.include_usage,
		    r->start.arena, rest) == 0)
		return RELAY_OK;
	if (rest->failed || r->start.arena->failed)
		return RELAY_MEMORY;
	return take_error(r);
}

enum relay_verdict
relay_finish(struct relay *r, struct buf *rest)
{
	bool cut = json_cut(r);

	switch (r->mode) {
	case RELAY_EVENTS:
		return finish_events(r, rest);
	case RELAY_TO_REPLY:
		return finish_reply(r, rest);
	case RELAY_TO_STREAM:
		return finish_stream(r, rest);
	default:
		watch_reply_end(&r->watch);
		if (buf_add(rest, buf_str(&r->first)) < 0)
			return RELAY_MEMORY;
		return cut ? RELAY_UNREADABLE : RELAY_OK;
	}
}

bool
relay_answered(const struct relay *r)
{
	const struct watch *w = &r->watch;

	if (r->mode != RELAY_EVENTS)
		return false;
	if (!r->start.endpoint->streams || r->start.endpoint->form ||
		r->start.endpoint->id == ENDPOINT_IMAGES)
		return true; /* no end marker is agreed on */
	return w->ended || w->finished || w->error || r->oversized;
}

bool
relay_between(const struct relay *r)
{
	return r->mode == RELAY_TO_STREAM || (r->mode == RELAY_EVENTS && !r->mid_event);
}
