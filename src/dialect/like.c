/*
 * like: an event of a stream known by the one before it.
 *
 * Called by translate for each event. The data kept has up to two holes: the text, and a value that
 * the reader called loose. Between the holes the next event must have the same bytes; in the text's
 * place, a text that can stand in a JSON string, up to its quote; in the loose one's, any other
 * string if it was one, else the same marks with other words or numbers between them. So it is JSON
 * as the kept one was, and says the same with another text. Where a loose value may matter, the
 * data of the latest such event is kept, to be read when the run is over. Memory comes from the
 * request's arena, little at first, since most streams have short events; without any, no event is
 * like another, which costs nothing but time.
 */
#include "dialect/like.h"

#include <string.h>

#include "json/text.h"

enum { DATA_LEAST = 512, DATA_MOST = 4096 };

/* Letters, digits, and what stands inside numbers, times and base64: a bit for each byte. */
static inline bool
is_word(char c)
{
	static const uint64_t words[4] = { 0x23ffe80000000000, 0x7fffffe87fffffe };
	unsigned char byte = (unsigned char)c;

	return words[byte / 64] >> byte % 64 & 1;
}

static size_t
word_end(struct str s, size_t at)
{
	while (at < s.len && is_word(s.p[at]))
		at++;
	return at;
}

/* Length of what two texts begin with alike, eight bytes in one go. */
static size_t
alike(struct str a, struct str b)
{
	size_t i = 0, least = a.len < b.len ? a.len : b.len;
	uint64_t x, y;

	for (; least - i >= sizeof x; i += sizeof x) {
		memcpy(&x, a.p + i, sizeof x);
		memcpy(&y, b.p + i, sizeof y);
		if (x != y)
			break;
	}
	while (i < least && a.p[i] == b.p[i])
		i++;
	return i;
}

/* Length of what stands in `in` for the loose value, or -1. */
static long
loose_len(struct str value, struct str in)
{
	size_t i = 0, j = 0, same;
	bool inside = false; /* a word, which may go on in another way */

	do {
		same = alike(str_skip(value, i), str_skip(in, j));
		i += same;
		j += same;
		inside = same > 0 ? is_word(value.p[i - 1]) : inside;
		if (i < value.len && !inside &&
			(j == in.len || !is_word(value.p[i]) || !is_word(in.p[j])))
			return -1;
		if (inside || i < value.len) {
			size_t end = word_end(value, i), in_end = word_end(in, j);

			if (i < value.len && end == i && in_end == j)
				return -1; /* other marks */
			i = end;
			j = in_end;
			inside = true;
		}
	} while (i < value.len);
	return !inside && j < in.len && is_word(in.p[j]) ? -1 : (long)j;
}

static struct str
kept(const struct like *l, size_t from, size_t to)
{
	return (struct str){ l->data + from, to - from };
}

/* The hole's new place in `data`, where it begins at hole->at. -1: what stands there does not do.
 */
static int
fill(const struct like *l, size_t i, struct str data, struct like_hole *hole)
{
	const struct like_hole *old = &l->holes[i];
	struct str rest = str_skip(data, hole->at);
	long len = old->text || old->string ? (long)json_text_span(rest.p, rest.len)
					    : loose_len(kept(l, old->at, old->at + old->len), rest);

	hole->text = old->text;
	hole->string = old->string;
	hole->len = len < 0 ? 0 : (size_t)len;
	return len < 0 || (old->text && len == 0) ? -1 : 0;
}

bool
like_is(struct like *l, struct str data, struct str *text)
{
	struct like_hole holes[2];
	size_t at = 0, from = 0;

	if (!l->set || data.len > l->room)
		return false;
	for (size_t i = 0; i <= l->n; i++) {
		struct str same = kept(l, from, i < l->n ? l->holes[i].at : l->len);

		if (!str_starts(str_skip(data, at), same))
			return false;
		at += same.len;
		if (i == l->n)
			break;
		holes[i].at = at;
		if (fill(l, i, data, &holes[i]) < 0)
			return false;
		if (holes[i].text)
			*text = str_head(str_skip(data, at), holes[i].len);
		at += holes[i].len;
		from = l->holes[i].at + l->holes[i].len;
	}
	if (at != data.len)
		return false;
	if (l->n == 2) { /* this may be the last of its loose values */
		memcpy(l->data, data.p, data.len);
		memcpy(l->holes, holes, sizeof holes);
		l->len = data.len;
		l->pending = true;
	}
	return true;
}

static bool
within(struct str data, struct str part)
{
	return part.p && part.p >= data.p && part.p + part.len <= data.p + data.len;
}

/* The one text that came of it, or NULL. */
static const struct chat_event *
only_text(const struct chat_events *events)
{
	const struct chat_event *text = NULL;

	for (size_t i = 0; i < events->n; i++) {
		const struct chat_event *ev = &events->all[i];

		if (ev->type == EVENT_USAGE)
			continue;
		if (text || (ev->type != EVENT_TEXT && ev->type != EVENT_REASONING))
			return NULL;
		text = ev;
	}
	return text;
}

static bool
make_room(struct like *l, struct arena *a, size_t len)
{
	size_t room = l->room > 0 ? l->room : DATA_LEAST;

	while (room < len)
		room *= 2;
	l->data = arena_alloc(a, room);
	l->room = l->data ? room : 0;
	return l->data != NULL;
}

void
like_keep(struct like *l, struct arena *a, struct str data, const struct chat_events *events)
{
	const struct chat_event *ev = only_text(events);
	struct like_hole text = { .text = true }, loose = { 0 };
	bool has_loose = within(data, events->loose);

	l->set = l->pending = false;
	if (!ev || !within(data, ev->text) || data.len > DATA_MOST)
		return;
	if (data.len > l->room && !make_room(l, a, data.len))
		return;
	memcpy(l->data, data.p, data.len);
	l->len = data.len;
	text.at = (size_t)(ev->text.p - data.p);
	text.len = ev->text.len;
	if (has_loose) {
		loose.at = (size_t)(events->loose.p - data.p);
		loose.len = events->loose.len;
		loose.string = events->loose.p[0] == '"';
	}
	if (loose.string) {
		loose.at++;
		loose.len -= 2;
	}
	l->n = has_loose ? 2 : 1;
	l->holes[0] = has_loose && loose.at < text.at ? loose : text;
	l->holes[1] = has_loose && loose.at < text.at ? text : loose;
	l->type = ev->type;
	l->choice = ev->choice;
	l->set = true;
}

struct str
like_pending(struct like *l)
{
	l->pending = false;
	return kept(l, 0, l->len);
}
