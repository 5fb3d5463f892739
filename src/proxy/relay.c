/*
 * relay: a reply in passing.
 *
 * The mode is set by what the head says and, for chats that were answered with 200, by the first
 * byte of the body, since providers send streams and JSON under wrong names:
 *
 *     client asked for    reply is a stream    reply is JSON    another dialect, 200 | else
 *     a stream            EVENTS               TO_STREAM        TRANSLATE            | FAULT
 *     one reply           TO_REPLY             PASS
 *
 * In EVENTS an incomplete event is held back, up to HOLD_MOST bytes: so a provider that dies in the
 * middle of one leaves the client at the end of an event, where an error event can be put in. A
 * larger one is let through as it comes, memory stays flat. A content coding is undone where the
 * reply must be read. The module does no I/O; request sends what it lets through.
 */
#include "proxy/relay.h"

#include <string.h>

#include "http/head.h"

#define HOLD_MOST 8192                      /* of an incomplete event */
#define WATCH_CARRY (64 * 1024)             /* of an event that came in pieces and may hold usage */
#define WATCH_CARRY_RESPONSES (1024 * 1024) /* whose last event repeats the whole answer */
#define FAULT_MOST (64 * 1024)              /* of an error that is looked at */
#define PLAIN_MOST (64 * 1024)              /* that is decoded at one time */
#define MADE_KEPT (64 * 1024)               /* of the buffer that all translations share */

/* How a reply of another dialect is read. */
enum { FEED_EVENTS, FEED_LINES, FEED_WHOLE };

static enum relay_mode
mode_of(const struct relay_start *s, bool events, bool json)
{
	if (s->translate)
		return s->status == 200 ? RELAY_TRANSLATE : RELAY_FAULT;
	if (s->status != 200)
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
	if (r->mode == RELAY_TO_REPLY || r->mode == RELAY_TRANSLATE)
		return r->start.event_bytes;
	return r->start.endpoint->id == ENDPOINT_RESPONSES ? WATCH_CARRY_RESPONSES : WATCH_CARRY;
}

/* How a reply of another dialect is read, before its first byte tells more. */
static uint8_t
feed_of(const struct relay_start *s, bool events)
{
	if (!s->translate || !s->translate->client)
		return FEED_WHOLE;
	if (translate_by_lines(s->translate))
		return s->stream ? FEED_LINES : FEED_WHOLE;
	return events ? FEED_EVENTS : FEED_WHOLE;
}

int
relay_open(struct relay *r, const struct relay_start *start)
{
	struct str type = head_media_type(start->content_type);
	bool events = str_eq_nocase(type, STR("text/event-stream"));
	bool coded = start->coding.len > 0;

	*r = (struct relay){ .start = *start };
	watch_init(&r->watch, start->endpoint);
	r->mode = (uint8_t)mode_of(start, events, str_eq_nocase(type, STR("application/json")));
	r->feed = feed_of(start, events);
	if (coded && r->mode != RELAY_PASS && r->mode != RELAY_EVENTS) {
		r->decodes = coding_open(&r->coding, start->coding) == 0;
		r->coded = !r->decodes;
		if (r->coded && r->mode != RELAY_FAULT) /* of which the status says enough */
			return -1;
	} else if (coded) {
		r->mode = RELAY_PASS;
		r->coded = true;
	}
	r->sniffed = start->status != 200 ||
		(r->mode == RELAY_TRANSLATE ? r->feed == FEED_LINES || !start->translate->client
					    : coded || !start->endpoint->chat);
	sse_init(&r->sse, carry_most(r));
	return 0;
}

/* It is the worker's: what one request had no memory for is not another's failure. */
static void
made_empty(const struct relay *r)
{
	struct buf *made = r->start.made;

	if (!made)
		return;
	if (made->failed || made->cap > MADE_KEPT)
		buf_free(made);
	else
		buf_consume(made, buf_len(made));
}

void
relay_close(struct relay *r)
{
	watch_free(&r->watch);
	sse_free(&r->sse);
	buf_free(&r->hold);
	buf_free(&r->first);
	buf_free(&r->plain);
	made_empty(r);
	if (r->decodes)
		coding_close(&r->coding);
}

enum kind { KIND_BLANK, KIND_UNSURE, KIND_EVENTS, KIND_JSON, KIND_LIST, KIND_OTHER };

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
	if (s.p[0] == '[') /* Gemini's stream without SSE */
		return KIND_LIST;
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
	if (r->mode == RELAY_TRANSLATE && r->feed != FEED_LINES &&
		(kind == KIND_EVENTS || kind == KIND_JSON || kind == KIND_LIST))
		r->feed = kind == KIND_EVENTS ? FEED_EVENTS : FEED_WHOLE;
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

/*
 * Translation
 */

static enum relay_verdict
verdict_of(enum translate_verdict v)
{
	switch (v) {
	case TRANSLATE_OK:
	case TRANSLATE_DONE:
		return RELAY_OK;
	case TRANSLATE_MEMORY:
		return RELAY_MEMORY;
	case TRANSLATE_TOO_LARGE:
		return RELAY_TOO_LARGE;
	case TRANSLATE_ERROR:
		return RELAY_ERROR;
	case TRANSLATE_UNREADABLE:
		break;
	}
	return RELAY_UNREADABLE;
}

/* What was made of an event is left out where the memory ended in the middle of it. What a little
 * input becomes (that was coded) is bounded like a reply. */
static enum relay_verdict
translate_one(struct relay *r, const struct sse_event *ev, struct buf *out)
{
	size_t before = buf_len(out);
	enum relay_verdict verdict = verdict_of(translate_event(r->start.translate, ev, out));

	if (verdict == RELAY_MEMORY || verdict == RELAY_TOO_LARGE)
		out->end = out->start + before;
	return verdict == RELAY_OK && buf_len(out) > r->start.reply_bytes ? RELAY_TOO_LARGE
									  : verdict;
}

/*
 * Bytes in the place of an event that are none. An error may stand there as bare JSON, behind all
 * events: Google's own SDK looks for it there. So what may be one is kept until an event comes.
 */
static enum relay_verdict
keep_stray(struct relay *r, struct str data, bool at_start)
{
	size_t blank = 0;

	while (blank < data.len && memchr(" \t\r\n", data.p[blank], 4))
		blank++;
	if (buf_len(&r->hold) == 0 && (!at_start || blank == data.len || data.p[blank] != '{'))
		return RELAY_OK;
	return hold(r, str_head(data, FAULT_MOST - buf_len(&r->hold)), FAULT_MOST);
}

static enum relay_verdict
translate_events(struct relay *r, struct str data)
{
	enum relay_verdict verdict = RELAY_OK;

	while (data.len > 0 && verdict == RELAY_OK) {
		bool at_start = sse_at_start(&r->sse), got;
		struct sse_event event;
		long n = sse_next(&r->sse, data, &event, &got);

		if (n < 0)
			return RELAY_MEMORY;
		if ((got && event.oversized) || sse_oversized(&r->sse))
			return RELAY_TOO_LARGE;
		if (got && event.has_data) {
			buf_consume(&r->hold, buf_len(&r->hold));
			verdict = translate_one(r, &event, r->start.made);
		} else {
			verdict = keep_stray(r, str_head(data, (size_t)n), at_start);
		}
		data = str_skip(data, (size_t)n);
	}
	return verdict;
}

/* Lines end with LF alone; a CR before it and blank lines say nothing. */
static enum relay_verdict
translate_lines(struct relay *r, struct str data)
{
	enum relay_verdict verdict = RELAY_OK;

	while (data.len > 0 && verdict == RELAY_OK) {
		size_t at = str_index(data, '\n');
		struct sse_event event = { .data = str_head(data, at), .has_data = true };

		if (at == data.len)
			return hold(r, data, r->start.event_bytes);
		if (at > r->start.event_bytes)
			return RELAY_TOO_LARGE;
		data = str_skip(data, at + 1);
		if (buf_len(&r->hold) > 0) {
			verdict = hold(r, event.data, r->start.event_bytes);
			event.data = buf_str(&r->hold);
		}
		event.data = str_trim(str_head(event.data, str_index(event.data, '\r')));
		if (verdict == RELAY_OK && event.data.len > 0)
			verdict = translate_one(r, &event, r->start.made);
		buf_consume(&r->hold, buf_len(&r->hold));
	}
	return verdict;
}

/* What goes to the client lies in `made`, until settle. */
static enum relay_verdict
take_translated(struct relay *r, struct str data, struct str *now)
{
	enum relay_verdict verdict;

	if (r->feed == FEED_WHOLE)
		return hold(r, data, r->start.reply_bytes);
	verdict = r->feed == FEED_LINES ? translate_lines(r, data) : translate_events(r, data);
	*now = buf_str(r->start.made);
	r->leaves_with_settle |= now->len > 0;
	return verdict;
}

/* The beginning is enough. */
static enum relay_verdict
take_fault(struct relay *r, struct str data)
{
	size_t room = FAULT_MOST - buf_len(&r->hold);

	if (r->coded)
		return RELAY_ENOUGH;
	if (hold(r, str_head(data, room), FAULT_MOST) != RELAY_OK)
		return RELAY_MEMORY;
	return data.len < room ? RELAY_OK : RELAY_ENOUGH;
}

/* Lines that came where one reply was asked for. */
static enum relay_verdict
finish_lines(struct relay *r, struct str text, struct buf *rest)
{
	enum relay_verdict verdict = RELAY_OK;

	while (text.len > 0 && verdict == RELAY_OK) {
		struct sse_event event = { .data = str_head(text, str_index(text, '\n')),
			.has_data = true };

		text = str_skip(text, event.data.len + 1);
		event.data = str_trim(str_head(event.data, str_index(event.data, '\r')));
		if (event.data.len > 0)
			verdict = translate_one(r, &event, rest);
	}
	return verdict == RELAY_OK ? verdict_of(translate_end(r->start.translate, rest)) : verdict;
}

/* The last piece of a stream may lack its line end; what is no event may be an error. */
static enum relay_verdict
finish_translated(struct relay *r, struct buf *rest)
{
	struct translate *t = r->start.translate;
	struct sse_event event = { .data = str_trim(buf_str(&r->hold)), .has_data = true }, last;
	enum relay_verdict verdict = RELAY_OK;

	if (r->feed == FEED_WHOLE && buf_len(&r->first) > 0)
		return RELAY_UNREADABLE; /* nothing but white space */
	if (r->feed == FEED_WHOLE) {
		verdict = verdict_of(translate_reply(t, buf_str(&r->hold), rest));
		if (verdict == RELAY_UNREADABLE && t->client && translate_by_lines(t))
			verdict = finish_lines(r, buf_str(&r->hold), rest);
		return verdict;
	}
	if (r->feed == FEED_EVENTS && sse_finish(&r->sse, &last))
		event = last;
	else if (r->feed == FEED_EVENTS && event.data.len > 0 && translate_answered(t))
		event.data = STR("");
	if (event.data.len > 0)
		verdict = translate_one(r, &event, rest);
	if (verdict == RELAY_OK)
		verdict = verdict_of(translate_end(t, rest));
	return verdict == RELAY_UNREADABLE ? RELAY_CUT : verdict;
}

/* Of a translated stream: it has said its end, whatever was to come behind that; or nothing is held
 * that could go on, and what came is a whole answer. */
static bool
translated_answered(struct relay *r)
{
	if (r->mode != RELAY_TRANSLATE || r->feed == FEED_WHOLE)
		return false;
	if (r->start.translate->done)
		return true;
	return buf_len(&r->hold) == 0 && (r->feed == FEED_LINES || sse_between(&r->sse)) &&
		translate_answered(r->start.translate);
}

static enum relay_verdict
take_plain(struct relay *r, struct str data, struct str *held, struct str *now)
{
	if (!r->sniffed && !sniff(r, &data))
		return r->first.failed ? RELAY_MEMORY : RELAY_OK;
	switch (r->mode) {
	case RELAY_TRANSLATE:
		return take_translated(r, data, now);
	case RELAY_FAULT:
		return take_fault(r, data);
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

/* Piece by piece, so that little input cannot become much memory. Only modes that let through
 * nothing but `made` are decoded. */
static enum relay_verdict
take_coded(struct relay *r, struct str data, struct str *held, struct str *now)
{
	enum relay_verdict verdict = RELAY_OK;

	size_t got;

	do {
		long n = coding_feed(&r->coding, data, &r->plain, PLAIN_MOST);

		if (n < 0)
			return r->coding.memory          ? RELAY_MEMORY
				: r->mode == RELAY_FAULT ? RELAY_ENOUGH
							 : RELAY_UNREADABLE;
		data = str_skip(data, (size_t)n);
		got = buf_len(&r->plain);
		if (got > 0)
			verdict = take_plain(r, buf_str(&r->plain), held, now);
		buf_consume(&r->plain, got);
	} while (verdict == RELAY_OK && (data.len > 0 || got == PLAIN_MOST));
	return verdict;
}

enum relay_verdict
relay_take(struct relay *r, struct str data, struct str *held, struct str *now)
{
	*held = *now = STR("");
	return r->decodes ? take_coded(r, data, held, now) : take_plain(r, data, held, now);
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
	made_empty(r);
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
	return r->start.until_close &&
		str_eq_nocase(head_media_type(r->start.content_type), STR("application/json")) &&
		!r->coded && watch_reply_inside(&r->watch);
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
	if (r->start.arena->full)
		return RELAY_TOO_LARGE;
	if (rest->failed || r->start.arena->failed)
		return RELAY_MEMORY;
	return take_error(r);
}

enum relay_verdict
relay_finish(struct relay *r, struct buf *rest)
{
	bool cut = json_cut(r);

	if (r->decodes && !coding_whole(&r->coding) && !translated_answered(r))
		return r->mode == RELAY_FAULT ? RELAY_OK : RELAY_CUT;
	switch (r->mode) {
	case RELAY_TRANSLATE:
		return finish_translated(r, rest);
	case RELAY_FAULT:
		return RELAY_OK;
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

struct str
relay_fault(const struct relay *r)
{
	return buf_str(&r->hold);
}

bool
relay_usage(const struct relay *r, struct usage *out)
{
	if (r->start.translate)
		return translate_usage(r->start.translate, out);
	*out = r->watch.usage;
	return r->watch.has_usage;
}

bool
relay_started(const struct relay *r)
{
	return r->mode == RELAY_TRANSLATE ? r->start.translate->started : r->watch.started;
}

bool
relay_answered(struct relay *r)
{
	const struct watch *w = &r->watch;

	if (r->start.translate)
		return translated_answered(r);
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
	return r->mode == RELAY_TO_STREAM || (r->mode == RELAY_EVENTS && !r->mid_event) ||
		(r->mode == RELAY_TRANSLATE && r->start.stream);
}
