/*
 * gemini_results: the results of tools in Gemini's contents.
 *
 * Gemini wants the results of a round in an entry with nothing else in it, in the order of the
 * calls, each with the name of its function, which OpenAI's messages lack. They hold text alone by
 * then (chat_adapt_parts). Called by gemini_contents. A result without a call before it is refused,
 * since it has no name. Fails else only for want of memory.
 */
#include "dialect/gemini_private.h"

#include <stdlib.h>
#include <string.h>

/* A result of the round that is being written. */
struct result {
	const struct chat_part *part;
	struct str name;
	size_t call, at; /* place of its call (SIZE_MAX: of an earlier turn's), its own */
};

static int
compare_results(const void *one, const void *other)
{
	const struct result *a = one, *b = other;

	if (a->call != b->call)
		return a->call < b->call ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

/* What a text is when it is a JSON object; else p NULL. */
static struct str
object_of(struct gemini_contents *x, struct str escaped)
{
	struct str text = json_unescape(escaped, x->c->arena);
	struct json_scan scan;

	while (text.len > 0 && memchr(" \t\r\n", text.p[0], 4))
		text = str_skip(text, 1);
	if (text.len == 0 || text.p[0] != '{' ||
		json_scan_text(&scan, NULL, text, 0, JSON_DEPTH_MAX) < 0)
		return (struct str){ NULL, 0 };
	return text;
}

static int
write_result(struct gemini_contents *x, const struct result *r)
{
	struct str name = gemini_tool_name(x->c, r->name),
		   text = chat_join_text(x->c->arena, r->part->parts, STR("\\n")),
		   object = r->part->failed ? (struct str){ NULL, 0 } : object_of(x, text);

	if (x->c->arena->failed)
		return chat_no_memory(x->c);
	json_object(x->w);
	json_key(x->w, STR("functionResponse"));
	json_object(x->w);
	if (r->part->id.len > 0)
		json_pair_escaped(x->w, STR("id"), r->part->id);
	json_pair_escaped(x->w, STR("name"), name);
	json_key(x->w, STR("response"));
	if (object.p) {
		json_value(x->w, object);
	} else {
		json_object(x->w);
		json_pair_escaped(x->w, r->part->failed ? STR("error") : STR("output"), text);
		json_object_end(x->w);
	}
	json_object_end(x->w);
	json_object_end(x->w);
	return 0;
}

static int
refuse_orphan(struct gemini_contents *x, const struct chat_message *m, const struct chat_part *p)
{
	bool anthropic = x->c->endpoint->client == DIALECT_ANTHROPIC;
	struct str param = anthropic
		? arena_printf(x->c->arena, "messages[%u].content[%u].tool_use_id", m->index,
			  p->index)
		: arena_printf(x->c->arena, "messages[%u].tool_call_id", m->index);

	if (!param.p)
		return chat_no_memory(x->c);
	return chat_refuse(x->c, param, "%.*s: there is no call with this id before it",
		STR_ARG(param));
}

/* The messages of a round of results, from `m` on. The next message after them in *after. */
int
gemini_write_results(struct gemini_contents *x, const struct chat_message *m,
	const struct chat_message **after)
{
	size_t n = 0, i = 0;
	const struct chat_message *end = m;
	struct result *all;

	for (; end && end->role == CHAT_TOOL; end = end->next)
		for (const struct chat_part *p = end->parts; p; p = p->next)
			n += p->type == PART_RESULT;
	*after = end;
	all = arena_alloc(x->c->arena, n * sizeof *all);
	if (!all)
		return chat_no_memory(x->c);
	for (; m != end; m = m->next) {
		for (const struct chat_part *p = m->parts; p; p = p->next) {
			const struct chat_called *call = chat_calls_find(&x->calls, m, p->id);

			if (p->type != PART_RESULT)
				continue;
			if (!call)
				return refuse_orphan(x, m, p);
			all[i] = (struct result){ p, call->name,
				call->place >= x->turn_calls ? call->place : SIZE_MAX, i };
			i++;
		}
	}
	if (n > 1)
		qsort(all, n, sizeof *all, compare_results);
	for (i = 0; i < n; i++) {
		gemini_turn_open(x, TURN_RESULTS);
		if (write_result(x, &all[i]) < 0)
			return -1;
	}
	return 0;
}
