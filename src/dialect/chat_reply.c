/*
 * chat_reply: the events of an answer gathered into a whole one, for clients that did not ask for a
 * stream, whatever the provider sent.
 *
 * Called by translate with each event. Pieces of one kind that follow each other are one part; the
 * text of a whole reply stays where it is, that of a stream is copied, since its events go. Fails
 * only for want of memory: c->arena bounds what an answer may hold.
 */
#include "dialect/chat_reply.h"

static struct chat_reply_choice *
choice_of(struct chat *c, struct chat_reply *r, unsigned index)
{
	struct chat_reply_choice **at = &r->choices, *there, *made;

	while ((there = *at) && there->index < index)
		at = &there->next;
	if (there && there->index == index)
		return there;
	made = arena_zero(c->arena, sizeof *made);
	if (!made)
		return NULL;
	made->index = index;
	made->next = *at;
	*at = made;
	return made;
}

static struct str
keep(struct chat *c, struct str s, bool copy)
{
	return copy && s.len > 0 ? arena_copy(c->arena, s) : s;
}

static int
add_piece(struct chat *c, struct chat_piece **first, struct chat_piece **last, struct str text,
	bool plain, bool copy)
{
	struct chat_piece *p = arena_zero(c->arena, sizeof *p);

	if (!p)
		return -1;
	p->text = keep(c, text, copy);
	p->plain = plain;
	*(*last ? &(*last)->next : first) = p;
	*last = p;
	return c->arena->failed ? -1 : 0;
}

/* The part that the event goes on with, or a new one. */
static struct chat_reply_part *
part_of(struct chat *c, struct chat_reply *r, struct chat_reply_choice *choice,
	enum chat_event_type type, bool fresh)
{
	struct chat_reply_part *p = choice->last;

	if (p && r->part_open && p->type == type && !fresh)
		return p;
	p = arena_zero(c->arena, sizeof *p);
	if (!p)
		return NULL;
	p->type = type;
	*(choice->last ? &choice->last->next : &choice->parts) = p;
	choice->last = p;
	r->part_open = true;
	return p;
}

static int
add_text(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice = choice_of(c, r, ev->choice);
	bool fresh = ev->type == EVENT_REDACTED || ev->type == EVENT_IMAGE;
	struct chat_reply_part *p = choice ? part_of(c, r, choice, ev->type, fresh) : NULL;

	if (!p)
		return -1;
	p->media = keep(c, ev->media, copy);
	return add_piece(c, &p->pieces, &p->last, ev->text, ev->plain, copy);
}

static int
add_signature(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice = choice_of(c, r, ev->choice);
	struct chat_reply_part *p = choice ? part_of(c, r, choice, EVENT_REASONING, false) : NULL;

	if (!p)
		return -1;
	p->signature = keep(c, ev->text, copy);
	return c->arena->failed ? -1 : 0;
}

static int
add_call(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice = choice_of(c, r, ev->choice);
	struct chat_reply_part *p = choice ? part_of(c, r, choice, EVENT_CALL, true) : NULL;

	if (!p)
		return -1;
	p->id = keep(c, ev->id, copy);
	p->name = keep(c, ev->name, copy);
	p->signature = keep(c, ev->signature, copy);
	p->custom = ev->custom;
	return c->arena->failed ? -1 : 0;
}

static int
add_arguments(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice = choice_of(c, r, ev->choice);

	if (!choice)
		return -1;
	if (!choice->last || choice->last->type != EVENT_CALL)
		return 0;
	return add_piece(c, &choice->last->pieces, &choice->last->last, ev->text, ev->plain, copy);
}

static int
add_stop(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice = choice_of(c, r, ev->choice);

	if (!choice)
		return -1;
	choice->stopped = true;
	choice->stop = ev->stop;
	choice->stop_sequence = keep(c, ev->stop_sequence, copy);
	choice->explanation = keep(c, ev->text, copy);
	r->part_open = false;
	return c->arena->failed ? -1 : 0;
}

static int
add_start(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	if (!choice_of(c, r, ev->choice))
		return -1;
	if (r->id.len == 0)
		r->id = keep(c, ev->id, copy);
	if (r->model.len == 0)
		r->model = keep(c, ev->model, copy);
	if (r->created_s == 0)
		r->created_s = ev->created_s;
	return c->arena->failed ? -1 : 0;
}

int
chat_reply_add(struct chat *c, struct chat_reply *r, const struct chat_event *ev, bool copy)
{
	struct chat_reply_choice *choice;

	switch (ev->type) {
	case EVENT_START:
		return add_start(c, r, ev, copy);
	case EVENT_TEXT:
	case EVENT_REFUSAL:
	case EVENT_REASONING:
	case EVENT_REDACTED:
	case EVENT_IMAGE:
		return add_text(c, r, ev, copy);
	case EVENT_SIGNATURE:
		return add_signature(c, r, ev, copy);
	case EVENT_CALL:
		return add_call(c, r, ev, copy);
	case EVENT_ARGUMENTS:
		return add_arguments(c, r, ev, copy);
	case EVENT_CITATION:
	case EVENT_LOGPROBS:
		choice = choice_of(c, r, ev->choice);
		if (!choice)
			return -1;
		return ev->type == EVENT_CITATION
			? add_piece(c, &choice->citations, &choice->last_citation, ev->raw, false,
				  copy)
			: add_piece(c, &choice->logprobs, &choice->last_logprobs, ev->raw, false,
				  copy);
	case EVENT_PART_END:
		r->part_open = false;
		return 0;
	case EVENT_STOP:
		return add_stop(c, r, ev, copy);
	case EVENT_USAGE:
		r->usage = ev->usage;
		r->usage.tier = keep(c, ev->usage.tier, copy);
		r->has_usage = true;
		return c->arena->failed ? -1 : 0;
	case EVENT_DONE:
		r->done = true;
		return 0;
	case EVENT_ERROR:
		break;
	}
	return 0;
}

bool
chat_reply_whole(const struct chat_reply *r)
{
	for (const struct chat_reply_choice *c = r->choices; c; c = c->next)
		if (!c->stopped)
			return false;
	return r->done && r->choices;
}

const struct chat_reply_choice *
chat_reply_choice(const struct chat_reply *r, unsigned index)
{
	for (const struct chat_reply_choice *c = r->choices; c; c = c->next)
		if (c->index == index)
			return c;
	return NULL;
}

void
chat_write_pieces(struct json_writer *w, const struct chat_piece *pieces)
{
	json_text_open(w);
	for (; pieces; pieces = pieces->next) {
		if (pieces->plain)
			json_text_more(w, pieces->text);
		else
			json_text_more_escaped(w, pieces->text);
	}
	json_text_close(w);
}

bool
chat_has_part(const struct chat_reply_choice *c, enum chat_event_type type)
{
	for (const struct chat_reply_part *p = c->parts; p; p = p->next)
		if (p->type == type)
			return true;
	return false;
}
