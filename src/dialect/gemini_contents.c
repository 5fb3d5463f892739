/*
 * gemini_contents: the conversation as Gemini's systemInstruction and contents. Gemini wants turns:
 * what one side says in a row is one entry, but results of tools stand by themselves:
 *
 *     user ... -> [user] --assistant--> [model] --results--> [results] --their images--> [user]
 *                    ^---------------------+---------------------+--------- user ... ------+
 *
 * Called by gemini_request. Users' parts and results have files of their own, which refuse what
 * cannot be said. An entry may not be empty, nor contents: a blank, or the system's text, is said
 * instead. Reasoning of the history is left out, but for the thought signatures that Gemini gave.
 */
#include "dialect/gemini_private.h"

static int
write_user(struct gemini_contents *x, const struct chat_message *m)
{
	bool any = false;

	gemini_turn_open(x, TURN_USER);
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (p->type == PART_TEXT && p->text.len > 0)
			gemini_write_text(x, p->text);
		else if (!gemini_is_source(p))
			continue;
		else if (gemini_write_source(x, m, p) < 0)
			return -1;
		any = true;
	}
	if (!any)
		gemini_write_text(x, STR(" ")); /* an entry may not be empty */
	return 0;
}

/*
 * The model's turns
 */

static bool
is_said(const struct chat_part *p)
{
	return p->type == PART_CALL || (p->type == PART_TEXT && p->text.len > 0);
}

static bool
says_anything(const struct chat_message *m)
{
	if (m->role != CHAT_ASSISTANT)
		return m->role != CHAT_SYSTEM;
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (is_said(p))
			return true;
	return false;
}

/*
 * The thought signature of a call: the client's own; that of the thinking block right before it;
 * on the first call of a turn, since the third generation refuses one without, the value that
 * disables its check.
 */
static struct str
signature_of(const struct gemini_contents *x, const struct chat_part *call,
	const struct chat_part *before)
{
	if (call->signature.len > 0)
		return call->signature;
	if (before && before->type == PART_REASONING &&
		str_starts(before->signature, STR(GEMINI_SIGNATURE)))
		return str_skip(before->signature, sizeof GEMINI_SIGNATURE - 1);
	return !x->called && x->generation >= 3 ? STR("skip_thought_signature_validator") : STR("");
}

static int
write_call(struct gemini_contents *x, const struct chat_part *p, const struct chat_part *before)
{
	struct str name = gemini_tool_name(x->c, p->name), args = chat_args_object(x->c, p);
	struct str signature = signature_of(x, p, before);

	if (!name.p || !args.p)
		return chat_no_memory(x->c);
	json_object(x->w);
	json_key(x->w, STR("functionCall"));
	json_object(x->w);
	if (p->id.len > 0)
		json_pair_escaped(x->w, STR("id"), p->id);
	json_pair_escaped(x->w, STR("name"), name);
	json_pair_value(x->w, STR("args"), args);
	json_object_end(x->w);
	if (signature.len > 0)
		json_pair_escaped(x->w, STR("thoughtSignature"), signature);
	json_object_end(x->w);
	x->called = true;
	x->calls_seen++;
	return 0;
}

static int
write_model(struct gemini_contents *x, const struct chat_message *m)
{
	const struct chat_part *before = NULL;

	if (!says_anything(m))
		return 0;
	gemini_turn_open(x, TURN_MODEL);
	for (const struct chat_part *p = m->parts; p; before = p, p = p->next) {
		if (!is_said(p))
			continue;
		if (p->type != PART_CALL)
			gemini_write_text(x, p->text);
		else if (write_call(x, p, before) < 0)
			return -1;
	}
	return 0;
}

/*
 * The system's text
 */

static bool
has_system(const struct gemini_contents *x)
{
	for (const struct chat_message *m = x->q->messages; m; m = m->next)
		for (const struct chat_part *p = m->parts; p && m->role == CHAT_SYSTEM; p = p->next)
			if (p->type == PART_TEXT && p->text.len > 0)
				return true;
	return false;
}

static void
write_system(struct gemini_contents *x)
{
	for (const struct chat_message *m = x->q->messages; m; m = m->next)
		for (const struct chat_part *p = m->parts; p && m->role == CHAT_SYSTEM; p = p->next)
			if (p->type == PART_TEXT && p->text.len > 0)
				gemini_write_text(x, p->text);
}

static bool
has_turns(const struct gemini_contents *x)
{
	for (const struct chat_message *m = x->q->messages; m; m = m->next)
		if (says_anything(m))
			return true;
	return false;
}

static int
write_turns(struct gemini_contents *x)
{
	const struct chat_message *m = x->q->messages, *next;

	for (; m; m = next) {
		int rc = 0;

		next = m->next;
		if (m->role == CHAT_USER)
			rc = write_user(x, m);
		else if (m->role == CHAT_ASSISTANT)
			rc = write_model(x, m);
		else if (m->role == CHAT_TOOL)
			rc = gemini_write_results(x, m, &next);
		if (rc < 0)
			return -1;
	}
	return 0;
}

int
gemini_write_contents(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	struct gemini_contents x = { .c = c, .q = q, .w = w, .generation = gemini_generation(c) };
	bool turns = has_turns(&x), system = has_system(&x);

	if (chat_calls_read(c, q, &x.calls) < 0)
		return -1;
	if (turns && system) {
		json_key(w, STR("systemInstruction"));
		json_object(w);
		json_key(w, STR("parts"));
		json_array(w);
		write_system(&x);
		json_array_end(w);
		json_object_end(w);
	}
	json_key(w, STR("contents"));
	json_array(w);
	if (turns && write_turns(&x) < 0)
		return -1;
	if (!turns) { /* contents may not be empty */
		gemini_turn_open(&x, TURN_USER);
		if (system)
			write_system(&x);
		else
			gemini_write_text(&x, STR(" "));
	}
	gemini_turn_close(&x);
	json_array_end(w);
	return 0;
}
