/*
 * sse: reads an event stream by the grammar of WHATWG HTML 9.2 while the bytes pass on elsewhere.
 *
 * Owns the part of an event that came in earlier reads. Called by the relay for each read of a
 * provider's stream. Only memory can fail: sse_next then says -1 and the stream can no longer be
 * followed.
 *
 * A CR is looked for once in what is read, and nearly always in vain; an LF within each line alone.
 *
 * Two ways through. Most events come whole in one read, with one data line: event_here finds their
 * end with memchr and hands out slices. Whatever else (an event cut by a read, several data lines)
 * goes line by line into `carry`, from which data lines are stripped of their field name as they
 * end, so that it always holds the joined data and behind it the line that is being read. Comments
 * are never kept. An event over carry_max gives its memory back at once and is then only followed
 * to its end.
 */
#include "http/sse.h"

#include <string.h>

static const struct str bom = STR_INIT("\xef\xbb\xbf");

void
sse_init(struct sse *s, size_t carry_max)
{
	*s = (struct sse){ .carry_max = carry_max };
}

void
sse_free(struct sse *s)
{
	buf_free(&s->carry);
	buf_free(&s->name);
}

/* As str_skip, where `in` has so many bytes. */
static inline struct str
behind(struct str in, size_t n)
{
	return (struct str){ in.p + n, in.len - n };
}

/* Length of the line at the front of `in`, without its end, or in.len. */
static inline size_t
line_len(struct sse *s, struct str in)
{
	if (in.p[0] == '\n')
		return 0;
	if (s->cr <= in.p)
		s->cr = in.p + str_index(in, '\r');
	return str_index(str_head(in, (size_t)(s->cr - in.p)), '\n');
}

/* Length of the line end at the front of `in`; keeps in mind what a CR may turn out to be. */
static size_t
line_end_len(struct sse *s, struct str in)
{
	s->last_cr = in.p[0] == '\r' && in.len == 1;
	if (in.p[0] == '\n' || in.len == 1)
		return 1;
	s->lone_cr = in.p[1] != '\n';
	return s->lone_cr ? 1 : 2;
}

/* The value of a line if its field is `name`: one space behind the colon is dropped; a line without
 * a colon is all name. */
static inline bool
field_value(struct str line, struct str name, struct str *value)
{
	size_t n = name.len;

	if (line.len < n || memcmp(line.p, name.p, n) != 0 || (line.len > n && line.p[n] != ':'))
		return false;
	n += line.len > n;
	n += line.len > n && line.p[n] == ' ';
	*value = behind(line, n);
	return true;
}

/*
 * An event that begins at the front of `in`: its length with the blank line when it ends in `in`
 * and can be handed out as slices, else 0 and *ev means nothing.
 */
static size_t
event_here(struct sse *s, struct str in, struct sse_event *ev)
{
	struct str rest = in, value;
	size_t size = 0;

	*ev = (struct sse_event){ 0 };
	while (rest.len > 0) {
		struct str line = { rest.p, line_len(s, rest) };

		rest = behind(rest, line.len);
		if (rest.len == 0)
			return 0;
		rest = behind(rest, line_end_len(s, rest));
		if (line.len == 0)
			return in.len - rest.len;
		if (line.p[0] == ':')
			continue;
		size += line.len + 1;
		if (size > s->carry_max)
			return 0;
		if (field_value(line, STR("data"), &value)) {
			if (ev->has_data)
				return 0;
			ev->has_data = true;
			ev->data = value;
		} else if (field_value(line, STR("event"), &value)) {
			ev->name = value;
		}
	}
	return 0;
}

/* Count bytes as the event's own. False when they are too many: nothing of the event is kept from
 * then on. */
static bool
size_add(struct sse *s, size_t len)
{
	if (!s->oversized && len <= s->carry_max - s->size) {
		s->size += len;
		return true;
	}
	s->oversized = true;
	buf_free(&s->carry);
	buf_free(&s->name);
	return false;
}

/* A line goes on with `text`, which is not empty. */
static int
line_add(struct sse *s, struct str text)
{
	if (!s->in_line) {
		s->in_line = true;
		s->in_comment = text.p[0] == ':';
		s->in_event |= !s->in_comment;
	}
	if (s->in_comment || !size_add(s, text.len))
		return 0;
	return buf_add(&s->carry, text);
}

/* The line that is being read has ended: of a data line its value stays in `carry`, of any other
 * nothing. */
static int
line_finish(struct sse *s)
{
	s->in_line = false;
	if (s->in_comment || !size_add(s, 1))
		return 0;

	char *start = s->carry.p + s->carry.start + s->line;
	struct str line = { start, buf_len(&s->carry) - s->line }, value;
	s->carry.end = s->carry.start + s->line;
	if (field_value(line, STR("data"), &value)) {
		memmove(start, value.p, value.len);
		/* There is room: the name of the field is gone. */
		start[value.len] = '\n';
		buf_added(&s->carry, value.len + 1);
		s->line += value.len + 1;
		s->has_data = true;
	} else if (field_value(line, STR("event"), &value)) {
		buf_consume(&s->name, buf_len(&s->name));
		return buf_add(&s->name, value);
	}
	return 0;
}

/* Reads a line, or the part of one that is there. Returns its length with its end, or -1. */
static long
line_take(struct sse *s, struct str in, bool *blank)
{
	size_t len = line_len(s, in);

	*blank = false;
	if (len > 0 && line_add(s, str_head(in, len)) != 0)
		return -1;
	if (len == in.len)
		return (long)len;
	*blank = !s->in_line;
	if (s->in_line && line_finish(s) != 0)
		return -1;
	return (long)(len + line_end_len(s, str_skip(in, len)));
}

static struct str
held(const struct buf *b)
{
	return buf_len(b) > 0 ? buf_str(b) : (struct str){ NULL, 0 };
}

static void
event_give(struct sse *s, struct sse_event *ev)
{
	*ev = (struct sse_event){
		.name = held(&s->name),
		.data = str_head(held(&s->carry), s->line > 0 ? s->line - 1 : 0),
		.has_data = s->has_data || s->oversized,
		.oversized = s->oversized,
	};
	s->in_event = s->has_data = s->oversized = false;
	s->line = s->size = 0;
	s->given = true;
}

/* The event that the last call gave is done with. */
static void
event_drop(struct sse *s)
{
	if (s->given) {
		buf_free(&s->carry);
		buf_free(&s->name);
		s->given = false;
	}
}

/* What comes before a line: the LF of a CRLF that was cut, and the byte-order mark of the stream.
 * Returns its length, or -1. */
static long
lead_in(struct sse *s, struct str in)
{
	size_t at = 0;

	if (s->last_cr && in.len > 0) {
		s->last_cr = false;
		s->lone_cr = in.p[0] != '\n';
		at = s->lone_cr ? 0 : 1;
	}
	for (; !s->started && at < in.len && in.p[at] == bom.p[s->bom]; at++)
		s->started = ++s->bom == bom.len;
	if (!s->started && at < in.len) {
		s->started = true;
		/* It was none: its bytes open the first line. */
		if (s->bom > 0 && line_add(s, str_head(bom, s->bom)) != 0)
			return -1;
	}
	return (long)at;
}

static bool
event_begins(const struct sse *s, char c)
{
	return !s->in_event && !s->in_line && c != ':' && c != '\n' && c != '\r';
}

static long
next(struct sse *s, struct str in, struct sse_event *ev, bool *got)
{
	long at, len;
	bool blank;

	*got = false;
	for (at = lead_in(s, in); at >= 0 && (size_t)at < in.len; at += len) {
		struct str rest = behind(in, (size_t)at);
		const char *cr = s->cr;
		len = event_begins(s, rest.p[0]) ? (long)event_here(s, rest, ev) : 0;
		if (len > 0) {
			*got = true;
			return at + len;
		}
		s->cr = cr;
		len = line_take(s, rest, &blank);
		if (len < 0)
			return -1;
		if (blank && s->in_event) {
			event_give(s, ev);
			*got = true;
			return at + len;
		}
	}
	*ev = (struct sse_event){ 0 };
	return at;
}

long
sse_next(struct sse *s, struct str in, struct sse_event *ev, bool *got)
{
	size_t none = s->no_cr < in.len ? s->no_cr : in.len;
	long used;

	event_drop(s);
	s->cr = none == in.len || in.p[none] == '\r' ? in.p + none : in.p;
	used = next(s, in, ev, got);
	s->no_cr = used >= 0 && s->cr > in.p + used ? (size_t)(s->cr - (in.p + used)) : 0;
	return used;
}

bool
sse_finish(struct sse *s, struct sse_event *ev)
{
	*ev = (struct sse_event){ 0 };
	event_drop(s);
	if ((s->in_line && line_finish(s) != 0) || !s->in_event)
		return false;
	event_give(s, ev);
	return ev->has_data;
}

bool
sse_at_start(const struct sse *s)
{
	return !s->in_line && !s->in_event;
}

bool
sse_between(const struct sse *s)
{
	if (!sse_at_start(s) || (s->last_cr && !s->lone_cr))
		return false;
	return s->started || s->bom == 0;
}

bool
sse_oversized(const struct sse *s)
{
	return s->oversized;
}
