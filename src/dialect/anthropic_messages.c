/*
 * anthropic_messages: the conversation of a request to Anthropic: system prompts gathered at the
 * front, neighbours of one role made one message, results of tools before all else that the user
 * says.
 *
 * Called by anthropic_request. What cannot be told and is no loss (thinking that Anthropic did not
 * sign, empty texts) is passed over, and so is a message of the assistant of which nothing remains.
 * Fails where a part is refused. Walks are linear in the number of parts.
 */
#include "dialect/anthropic_messages.h"

#include <stdlib.h>

#include "dialect/anthropic_block.h"

/* What is said where the client said nothing, but Anthropic wants a message. */
#define FILLER "."

/* Is nothing of the message sent in its place? */
static bool
is_passed_over(const struct chat_message *m)
{
	if (m->role != CHAT_ASSISTANT)
		return m->role == CHAT_SYSTEM;
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (block_is_text(p) || p->type == PART_CALL)
			return false;
	return true;
}

static const struct chat_message *
next_sent(const struct chat_message *m)
{
	while (m && is_passed_over(m))
		m = m->next;
	return m;
}

bool
anthropic_lacks_thinking(const struct chat_request *q)
{
	bool calls = false, thinks = false;

	for (const struct chat_message *m = q->messages; m; m = m->next) {
		if (m->role != CHAT_ASSISTANT || is_passed_over(m))
			continue;
		calls = thinks = false;
		for (const struct chat_part *p = m->parts; p; p = p->next) {
			calls |= p->type == PART_CALL;
			thinks |= block_is_thinking(p);
		}
	}
	return calls && !thinks;
}

/*
 * Results
 */

/* A result in a run of messages, and where it stands there. */
struct result {
	const struct chat_message *message;
	const struct chat_part *part;
	size_t n;
	bool superseded; /* a later one has the same id */
};

static int
by_place(const void *left, const void *right)
{
	const struct result *a = left, *b = right;

	return a->n < b->n ? -1 : a->n > b->n;
}

static int
by_id(const void *left, const void *right)
{
	const struct result *a = left, *b = right;
	int order = str_order(a->part->id, b->part->id);

	return order != 0 ? order : by_place(left, right);
}

/* Of results with one id the last counts: Anthropic refuses two. */
static void
supersede(struct result *all, size_t n)
{
	if (n < 2)
		return;
	qsort(all, n, sizeof *all, by_id);
	for (size_t i = 0; i + 1 < n; i++)
		all[i].superseded = str_eq(all[i].part->id, all[i + 1].part->id);
	qsort(all, n, sizeof *all, by_place);
}

/* The results in the messages from m up to `end`. */
static int
write_results(struct chat *c, const struct chat_message *m, const struct chat_message *end,
	struct json_writer *w)
{
	struct result *all;
	size_t n = 0, i = 0;

	for (const struct chat_message *at = m; at != end; at = at->next)
		for (const struct chat_part *p = at->parts; p; p = p->next)
			n += p->type == PART_RESULT;
	if (n == 0)
		return 0;
	all = arena_zero(c->arena, n * sizeof *all);
	if (!all)
		return chat_no_memory(c);
	for (const struct chat_message *at = m; at != end; at = at->next)
		for (const struct chat_part *p = at->parts; p; p = p->next)
			if (p->type == PART_RESULT) {
				all[i] = (struct result){ .message = at, .part = p, .n = i };
				i++;
			}
	supersede(all, n);
	for (i = 0; i < n; i++)
		if (!all[i].superseded && block_result(c, all[i].message, all[i].part, w) < 0)
			return -1;
	return 0;
}

/*
 * Messages
 */

/* The one text that is the whole of the run from m up to `end`, and was one string; else NULL. */
static const struct chat_part *
only_text(const struct chat_message *m, const struct chat_message *end)
{
	const struct chat_part *only = NULL;

	if (!m->bare || next_sent(m->next) != end)
		return NULL;
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (!block_is_text(p) && !block_is_thinking(p) && !block_is_told(p) &&
			p->type != PART_CALL && p->type != PART_RESULT)
			continue;
		if (only || !block_is_text(p) || p->cache.len > 0)
			return NULL;
		only = p;
	}
	return only;
}

/* Where the run of messages that become one with m ends. */
static const struct chat_message *
run_end(const struct chat_message *m)
{
	bool assistant = m->role == CHAT_ASSISTANT;
	const struct chat_message *at = next_sent(m->next);

	while (at && (at->role == CHAT_ASSISTANT) == assistant)
		at = next_sent(at->next);
	return at;
}

static void
write_assistant(struct chat *c, const struct chat_message *m, struct json_writer *w)
{
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (block_is_thinking(p))
			block_thinking(p, w);
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (block_is_text(p))
			block_text(w, p);
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (p->type == PART_CALL)
			block_call(c, p, w);
}

/* The blocks of a user's run. */
static int
write_user(struct chat *c, const struct chat_message *m, const struct chat_message *end,
	struct json_writer *w)
{
	if (write_results(c, m, end, w) < 0)
		return -1;
	for (const struct chat_message *at = m; at != end; at = at->next) {
		if (is_passed_over(at))
			continue;
		for (const struct chat_part *p = at->parts; p; p = p->next)
			if (p->type != PART_RESULT && block_part(c, at, p, w) < 0)
				return -1;
	}
	return 0;
}

static bool
is_empty_run(const struct chat_message *m, const struct chat_message *end)
{
	for (; m != end; m = m->next) {
		if (is_passed_over(m))
			continue;
		for (const struct chat_part *p = m->parts; p; p = p->next)
			if (block_is_told(p) || p->type == PART_RESULT || p->type == PART_CALL)
				return false;
	}
	return true;
}

static void
write_said(struct json_writer *w, struct str inner)
{
	json_object(w);
	json_pair(w, STR("role"), STR("user"));
	json_pair_escaped(w, STR("content"), inner);
	json_object_end(w);
}

static int
write_run(struct chat *c, const struct chat_message *m, const struct chat_message *end,
	struct json_writer *w)
{
	const struct chat_part *only = only_text(m, end);

	if (is_empty_run(m, end)) {
		write_said(w, STR(FILLER));
		return 0;
	}
	json_object(w);
	json_pair(w, STR("role"), m->role == CHAT_ASSISTANT ? STR("assistant") : STR("user"));
	json_key(w, STR("content"));
	if (only) {
		json_escaped(w, only->text);
	} else {
		json_array(w);
		if (m->role != CHAT_ASSISTANT && write_user(c, m, end, w) < 0)
			return -1;
		for (; m != end && m->role == CHAT_ASSISTANT; m = next_sent(m->next))
			write_assistant(c, m, w);
		json_array_end(w);
	}
	json_object_end(w);
	return 0;
}

/* What the model is to go on with may not end in white space. */
static void
trim_prefill(struct chat_request *q)
{
	struct chat_message *last = NULL;
	struct chat_part *text = NULL;

	for (struct chat_message *m = q->messages; m; m = m->next)
		last = is_passed_over(m) ? last : m;
	if (!last || last->role != CHAT_ASSISTANT)
		return;
	for (struct chat_part *p = last->parts; p; p = p->next) {
		if (p->type == PART_CALL)
			return;
		if (block_is_text(p))
			text = p;
	}
	if (text)
		text->text = block_trim(text->text);
}

/*
 * System prompts
 */

struct prompts {
	size_t n;                     /* texts */
	const struct chat_part *last; /* of them */
	bool bare;                    /* it was a string */
	bool alone;                   /* nothing but system prompts is there */
};

static struct prompts
find_prompts(const struct chat_request *q)
{
	struct prompts found = { .alone = true };

	for (const struct chat_message *m = q->messages; m; m = m->next) {
		found.alone &= m->role == CHAT_SYSTEM;
		for (const struct chat_part *p = m->parts; p && m->role == CHAT_SYSTEM;
			p = p->next) {
			if (!block_is_text(p))
				continue;
			found.n++;
			found.last = p;
			found.bare = m->bare;
		}
	}
	return found;
}

/* `but`: a text that is said elsewhere, or NULL. */
static void
write_system(const struct chat_request *q, struct json_writer *w, const struct prompts *found,
	const struct chat_part *but, struct str order)
{
	const struct chat_part said = { .type = PART_TEXT, .text = order };
	size_t n = found->n - (but ? 1 : 0);

	if (n == 0 && order.len == 0)
		return;
	json_key(w, STR("system"));
	if (n == 1 && !but && order.len == 0 && found->bare && found->last->cache.len == 0) {
		json_escaped(w, found->last->text);
		return;
	}
	json_array(w);
	for (const struct chat_message *m = q->messages; m; m = m->next)
		for (const struct chat_part *p = m->parts; p && m->role == CHAT_SYSTEM; p = p->next)
			if (block_is_text(p) && p != but)
				block_text(w, p);
	if (order.len > 0)
		block_text(w, &said);
	json_array_end(w);
}

int
anthropic_write_messages(struct chat *c, struct chat_request *q, struct json_writer *w,
	struct str order)
{
	struct prompts found = find_prompts(q);
	/* a conversation must have a message: the last prompt is it */
	const struct chat_part *moved = found.alone ? found.last : NULL;
	const struct chat_message *m, *end;

	trim_prefill(q);
	write_system(q, w, &found, moved, order);
	json_key(w, STR("messages"));
	json_array(w);
	m = next_sent(q->messages);
	if (moved)
		write_said(w, moved->text);
	else if (!m || m->role == CHAT_ASSISTANT)
		write_said(w, STR(FILLER));
	for (; m; m = end) {
		end = run_end(m);
		if (write_run(c, m, end, w) < 0)
			return -1;
	}
	json_array_end(w);
	return 0;
}
