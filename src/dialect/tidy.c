/*
 * tidy: pieces of an answer in whatever order, made events that never interleave.
 *
 * A call has a slot, from its first piece on:
 *
 *     WAITING --named, and no other call is open or that one is whole--> OPEN --> CLOSED
 *
 * What comes for a WAITING call is kept in its slot and given in one piece when it opens. While the
 * OPEN call's arguments are no whole JSON object, text is kept in the hold list: to end the call
 * there would lose the rest of its arguments, and a client would run it with half of them. The list
 * is given when the call ends, before anything else. At the end calls that still wait follow in
 * their order; one without a name cannot be called and is left out, and so are pieces for a CLOSED
 * call, whose arguments were whole.
 *
 * Called by the readers of openai and cohere. Each piece is looked at once (the scanner goes on
 * where it stood), and copied at most once but for the growth of a slot's buffer. Fails for want of
 * memory (out->failed), and on more calls than CALLS_MOST.
 *
 * TIDY_NO_HOLD builds it without slots that wait and without the hold list: a test of the test,
 * which must see the loss.
 */
#include "dialect/tidy.h"

#include <string.h>

enum { CALLS_MOST = 1024 };

enum slot_state { WAITING, OPEN, CLOSED };

struct slot {
	struct slot *next, *before;
	enum slot_state state;
	bool has_index, begun, is_object, ended;
	uint64_t index;
	struct str id, name;
	struct json_scan scan; /* of the arguments so far */
	char *kept;
	size_t len, cap;
};

struct held {
	enum chat_event_type type;
	struct str text;
	struct held *next;
};

struct tidy {
	struct chat *chat;
	struct slot *first, *last, *open;
	size_t n;
	struct held *held, *last_held;
	bool called;
};

struct tidy *
tidy_new(struct chat *c)
{
	struct tidy *t = arena_zero(c->arena, sizeof *t);

	if (!t)
		return NULL;
	t->chat = c;
	return t;
}

struct str
tidy_args(struct chat *c, const struct json_doc *d, const struct json_token *function)
{
	const struct json_token *t = json_get(d, function, STR("arguments"));

	if (!t)
		return STR("");
	return t->type == JSON_STRING ? json_doc_inner(d, t)
				      : chat_escape(c->scratch, json_doc_raw(d, t));
}

/* Are the arguments one JSON object, or said to have ended? */
static bool
is_whole(const struct slot *s)
{
	return s->ended || (s->is_object && s->scan.complete);
}

/* May what follows the call close it? */
static bool
may_close(const struct slot *s)
{
#ifdef TIDY_NO_HOLD
	return s != NULL;
#else
	return is_whole(s);
#endif
}

/*
 * Giving
 */

static void
close_open(struct tidy *t, struct chat_events *out)
{
	if (!t->open)
		return;
	t->open->state = CLOSED;
	t->open = NULL;
	for (const struct held *h = t->held; h; h = h->next)
		chat_emit_text(t->chat, out, h->type, 0, h->text);
	t->held = t->last_held = NULL;
}

static void
open_slot(struct tidy *t, struct chat_events *out, struct slot *s)
{
	struct arena *a = t->chat->arena;
	struct chat_event *ev;

	close_open(t, out);
	ev = chat_emit(t->chat, out, EVENT_CALL);
	if (!ev)
		return;
	ev->name = s->name;
	ev->id = chat_call_id(t->chat, a, s->id);
	out->failed |= a->failed;
	chat_emit_text(t->chat, out, EVENT_ARGUMENTS, 0, (struct str){ s->kept, s->len });
	s->state = OPEN;
	t->open = s;
	t->called = true;
}

/*
 * Text
 */

static void
hold(struct tidy *t, struct chat_events *out, enum chat_event_type type, struct str text)
{
	struct held *h = arena_zero(t->chat->arena, sizeof *h);

	if (h) {
		h->type = type;
		h->text = arena_copy(t->chat->arena, text);
		*(t->last_held ? &t->last_held->next : &t->held) = h;
		t->last_held = h;
	}
	out->failed |= t->chat->arena->failed;
}

void
tidy_text(struct tidy *t, struct chat_events *out, enum chat_event_type type, struct str text)
{
	if (text.len == 0)
		return;
	if (t->open && !may_close(t->open)) {
		hold(t, out, type, text);
		return;
	}
	close_open(t, out);
	chat_emit_text(t->chat, out, type, 0, text);
}

/*
 * Calls
 */

static struct slot *
find(const struct tidy *t, const struct tidy_piece *p)
{
	if (!p->has_index && p->id.len == 0)
		return t->last;
	for (struct slot *s = t->last; s; s = s->before) /* the latest with a reused index */
		if (p->has_index ? s->has_index && s->index == p->index : str_eq(s->id, p->id))
			return s;
	return NULL;
}

/* Does the piece begin another call, though it is found in the place of this one? Old servers give
 * every call the index 0, and some neither index nor id. */
static bool
is_another(const struct slot *s, const struct tidy_piece *p)
{
	if (p->name.len == 0)
		return false;
	if (p->id.len > 0)
		return (s->id.len > 0 || s->name.len > 0) && !str_eq(s->id, p->id);
	return s->name.len > 0 && (!str_eq(s->name, p->name) || (p->args.len > 0 && is_whole(s)));
}

static struct slot *
add_slot(struct tidy *t, const struct tidy_piece *p)
{
	struct slot *s = arena_zero(t->chat->arena, sizeof *s);

	if (!s)
		return NULL;
	s->has_index = p->has_index;
	s->index = p->index;
	json_scan_init(&s->scan, NULL, 0, JSON_DEPTH_MAX);
	s->before = t->last;
	*(t->last ? &t->last->next : &t->first) = s;
	t->last = s;
	t->n++;
	return s;
}

/* Go on looking for the end of the object that the arguments are. */
static void
scan_args(struct tidy *t, struct slot *s, struct str escaped)
{
	struct str text;

	if (s->scan.fault || (s->begun && !s->is_object))
		return;
	text = json_unescape(escaped, t->chat->scratch);
	while (!s->begun && text.len > 0 && memchr(" \t\r\n", text.p[0], 4))
		text = str_skip(text, 1);
	if (text.len == 0)
		return;
	if (!s->begun)
		s->is_object = text.p[0] == '{';
	s->begun = true;
	if (s->is_object)
		json_scan_feed(&s->scan, text.p, text.len);
}

static void
keep_args(struct tidy *t, struct slot *s, struct str args)
{
	if (args.len > s->cap - s->len) {
		size_t cap = s->cap * 2 + args.len + 64;
		char *p = s->kept ? arena_grow(t->chat->arena, s->kept, s->cap, cap)
				  : arena_alloc(t->chat->arena, cap);

		if (!p)
			return;
		s->kept = p;
		s->cap = cap;
	}
	memcpy(s->kept + s->len, args.p, args.len);
	s->len += args.len;
}

/* Id and name stand from when they first come, as long as nobody has been told. */
static void
note_names(struct tidy *t, struct slot *s, const struct tidy_piece *p)
{
	if (s->state != WAITING)
		return;
	if (s->id.len == 0 && p->id.len > 0)
		s->id = arena_copy(t->chat->arena, p->id);
	if (s->name.len == 0 && p->name.len > 0)
		s->name = arena_copy(t->chat->arena, p->name);
}

int
tidy_call(struct tidy *t, struct chat_events *out, const struct tidy_piece *p)
{
	struct slot *s = find(t, p);

	if (!s || is_another(s, p)) {
		if (t->n == CALLS_MOST)
			return -1;
		s = add_slot(t, p);
		if (!s) {
			out->failed = true;
			return 0;
		}
	}
	note_names(t, s, p);
	if (s->state == WAITING && s->name.len > 0 && (!t->open || may_close(t->open)))
		open_slot(t, out, s);
	if (s->state != CLOSED && p->args.len > 0) {
		scan_args(t, s, p->args);
		if (s->state == OPEN)
			chat_emit_text(t->chat, out, EVENT_ARGUMENTS, 0, p->args);
		else
			keep_args(t, s, p->args);
	}
	s->ended |= p->end;
	out->failed |= t->chat->arena->failed || t->chat->scratch->failed;
	return 0;
}

void
tidy_end(struct tidy *t, struct chat_events *out)
{
	close_open(t, out);
	for (struct slot *s = t->first; s; s = s->next)
		if (s->state == WAITING && s->name.len > 0)
			open_slot(t, out, s);
	close_open(t, out);
}

bool
tidy_called(const struct tidy *t)
{
	return t->called;
}
