/*
 * chat_adapt: a request made simpler, before it is written, for providers whose messages hold less
 * than the neutral form: a result is text alone, a document's text is text, a response format is an
 * instruction. And what their dialects write alike: tools as OpenAI says them, parameters copied
 * under their own names.
 *
 * Called by the adapters of all providers but Anthropic's, who is near enough. The lists of the
 * request are changed in place: a request is read anew for each attempt. Fails when the client sent
 * what cannot be made simpler, which names the place, and for want of memory.
 */
#include "dialect/chat_adapt.h"

#include <stdlib.h>
#include <string.h>

#include "json/edit.h"

#define JSON_ORDER "Respond with a single JSON object and nothing else."

/*
 * Parts
 */

/* The texts one behind the other. p NULL when the arena failed. */
static struct str
join(struct arena *a, const struct str *texts, size_t n)
{
	size_t len = 0;
	char *p, *at;

	for (size_t i = 0; i < n; i++)
		len += texts[i].len;
	p = at = arena_alloc(a, len);
	if (!p)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < n; i++) {
		if (texts[i].len > 0)
			memcpy(at, texts[i].p, texts[i].len);
		at += texts[i].len;
	}
	return (struct str){ p, len };
}

static void
make_text(struct chat *c, struct chat_part *p)
{
	struct str titled[] = { p->title, STR("\\n"), p->source.text };

	if (p->type == PART_REFUSAL) {
		p->type = PART_TEXT;
	} else if (p->type == PART_FILE && p->source.kind == SOURCE_TEXT) {
		p->type = PART_TEXT;
		p->text = p->title.len > 0 ? join(c->arena, titled, 3) : p->source.text;
	}
}

/* Images and documents of the results of one round, on their way to the user's message. */
struct lifted {
	struct chat_part *first, *last;
};

/* `m`: the message of the result that holds the part. */
static int
lift(struct chat *c, struct lifted *l, const struct chat_message *m, struct chat_part *p)
{
	struct chat_part *moved = arena_alloc(c->arena, sizeof *moved);

	if (!moved)
		return chat_no_memory(c);
	*moved = *p;
	moved->next = NULL;
	moved->home = m;
	*(l->last ? &l->last->next : &l->first) = moved;
	l->last = moved;
	*p = (struct chat_part){ .type = PART_TEXT, .next = p->next };
	p->text = STR("[see image below]");
	return 0;
}

static int
plain_result(struct chat *c, const struct chat_message *m, struct chat_part *result,
	struct lifted *l, unsigned lifts)
{
	bool said = false;

	for (struct chat_part *p = result->parts; p; p = p->next) {
		make_text(c, p);
		if (c->endpoint->client == DIALECT_ANTHROPIC)
			p->index = result->index; /* it is the result that has a place there */
		if ((lifts & 1u << p->type) && lift(c, l, m, p) < 0)
			return -1;
		if (p->type != PART_TEXT)
			return chat_refuse_part(c, m, p,
				"this model's provider takes text and images from tools, no "
				"documents");
		said |= p->text.len > 0;
	}
	if (!result->failed || said)
		return 0;
	result->parts = arena_zero(c->arena, sizeof *result->parts);
	if (!result->parts)
		return chat_no_memory(c);
	result->parts->text = STR("Error");
	return 0;
}

/* A message behind `m`, or before all others when there is none. */
static struct chat_message *
insert(struct chat *c, struct chat_request *q, struct chat_message *m, enum chat_role role)
{
	struct chat_message *made = arena_zero(c->arena, sizeof *made);

	if (!made)
		return NULL;
	made->role = role;
	made->index = m ? m->index : 0;
	made->next = m ? m->next : q->messages;
	*(m ? &m->next : &q->messages) = made;
	if (q->last == m)
		q->last = made;
	return made;
}

/* What was lifted goes in front of what the user says next. */
static int
put_down(struct chat *c, struct chat_request *q, struct chat_message *results, struct lifted *l)
{
	struct chat_message *user = results->next;

	if (!user || user->role != CHAT_USER)
		user = insert(c, q, results, CHAT_USER);
	if (!user)
		return chat_no_memory(c);
	l->last->next = user->parts;
	user->parts = l->first;
	if (!user->last)
		user->last = l->last;
	user->bare = false;
	*l = (struct lifted){ NULL, NULL };
	return 0;
}

int
chat_adapt_parts(struct chat *c, struct chat_request *q, unsigned lifts)
{
	struct lifted l = { NULL, NULL };

	for (struct chat_message *m = q->messages; m; m = m->next) {
		for (struct chat_part *p = m->parts; p; p = p->next) {
			if (p->type == PART_RESULT && plain_result(c, m, p, &l, lifts) < 0)
				return -1;
			make_text(c, p);
		}
		if (l.first && (!m->next || m->next->role != CHAT_TOOL) &&
			put_down(c, q, m, &l) < 0)
			return -1;
	}
	return c->arena->failed ? chat_no_memory(c) : 0;
}

struct str
chat_adapt_text(struct chat *c, const struct chat_message *m, enum chat_part_type type,
	struct str between)
{
	struct str *texts, text;
	size_t n = 0;

	for (const struct chat_part *p = m->parts; p; p = p->next)
		n += p->type == type;
	if (n == 0)
		return STR("");
	texts = arena_alloc(c->arena, 2 * n * sizeof *texts);
	if (!texts)
		return (struct str){ NULL, 0 };
	n = 0;
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (p->type != type)
			continue;
		if (n > 0)
			texts[n++] = between;
		texts[n++] = p->text;
	}
	text = n == 1 ? texts[0] : join(c->arena, texts, n);
	return text;
}

/*
 * The response format
 */

struct str
chat_adapt_order(struct chat *c, const struct chat_format *f)
{
	struct str texts[] = { STR(JSON_ORDER " It must match this JSON schema: "), STR("") };

	if (f->kind != FORMAT_IS_SCHEMA)
		return STR(JSON_ORDER);
	texts[1] = chat_escape(c->arena, f->schema);
	return texts[1].p ? join(c->arena, texts, 2) : texts[1];
}

int
chat_adapt_format(struct chat *c, struct chat_request *q)
{
	struct chat_message *m, *after = NULL;
	struct chat_part *p;

	if (q->format.kind == FORMAT_IS_TEXT)
		return 0;
	for (m = q->messages; m && m->role == CHAT_SYSTEM; m = m->next)
		after = m;
	m = insert(c, q, after, CHAT_SYSTEM);
	p = m ? chat_add_part(c, m, PART_TEXT, 0) : NULL;
	if (!p)
		return chat_no_memory(c);
	m->bare = true;
	p->text = chat_adapt_order(c, &q->format);
	chat_carry(q, FIELD_FORMAT);
	q->format.kind = FORMAT_IS_TEXT;
	return p->text.p ? 0 : chat_no_memory(c);
}

/*
 * Tools
 */

bool
chat_adapt_sends(const struct chat_request *q, const struct chat_tool *t)
{
	if (q->has_choice && q->choice == CHOICE_NAMED)
		return str_eq(q->choice_names[0], t->name);
	return !q->has_choice || chat_allows(q, t);
}

static struct str
schema_of(const struct chat_tool *t)
{
	if (t->custom)
		return STR(CHAT_CUSTOM_SCHEMA);
	return t->schema.len > 0 ? t->schema : STR("{\"type\":\"object\",\"properties\":{}}");
}

static int
write_tool(struct chat *c, const struct chat_tool *t, struct json_writer *w)
{
	if (t->custom && chat_custom_name(c, t->name) < 0)
		return -1;
	json_object(w);
	json_pair(w, STR("type"), STR("function"));
	json_key(w, STR("function"));
	json_object(w);
	json_pair_escaped(w, STR("name"), t->name);
	if (t->description.len > 0)
		json_pair_escaped(w, STR("description"), t->description);
	json_pair_value(w, STR("parameters"), schema_of(t));
	json_object_end(w);
	json_object_end(w);
	return 0;
}

int
chat_adapt_tools(struct chat *c, struct chat_request *q, struct json_writer *w)
{
	bool some = false;

	chat_carry(q, FIELD_TOOLS);
	if (!q->tools)
		return 0;
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		some |= chat_adapt_sends(q, t);
	if (!some)
		return chat_adapt_refuse(c, q, FIELD_CHOICE, "names no tool of this request");
	json_key(w, STR("tools"));
	json_array(w);
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (chat_adapt_sends(q, t) && write_tool(c, t, w) < 0)
			return -1;
	json_array_end(w);
	return 0;
}

/*
 * Parameters
 */

int
chat_adapt_copy(struct chat *c, struct chat_request *q, struct json_writer *w, struct str name,
	enum json_type type)
{
	const struct json_token *t;
	int rc = chat_get(c, q, name, type, &t);

	if (rc > 0)
		json_pair_value(w, name, chat_carry_param(q, name));
	return rc < 0 ? -1 : 0;
}

int
chat_adapt_refuse(struct chat *c, const struct chat_request *q, enum chat_field field,
	const char *why)
{
	const struct chat_param *p = q->fields[field];
	struct str name = p ? p->name : STR("");

	return chat_refuse(c, name, "`%.*s` %s", STR_ARG(name), why);
}

void
chat_adapt_defaults(struct chat_request *q)
{
	if (q->n == 1)
		chat_carry(q, FIELD_N);
	if (!q->logprobs)
		chat_carry(q, FIELD_LOGPROBS);
	if (!q->serial)
		chat_carry(q, FIELD_SERIAL);
	if (q->format.kind == FORMAT_IS_TEXT)
		chat_carry(q, FIELD_FORMAT);
}

int
chat_adapt_modalities(struct chat *c, struct chat_request *q)
{
	const struct json_doc *d = &q->doc;
	struct str name = STR("modalities");
	const struct json_token *list = json_get(d, json_doc_top(d), name), *t;

	if (!list)
		return 0;
	if (list->type != JSON_ARRAY)
		return chat_refuse(c, name, "`modalities` must be a list");
	for (t = json_first(d, list); t; t = json_next(d, list, t))
		if (t->type != JSON_STRING || !json_doc_is(d, t, STR("text")))
			return chat_refuse(c, name,
				"this model's provider answers with text alone");
	chat_note(q, name);
	return 0;
}

void
chat_adapt_count(struct json_writer *w, struct str name, uint64_t n)
{
	json_key(w, name);
	json_number(w, n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

/*
 * Calls by id
 */

static int
compare_calls(const void *a, const void *b)
{
	const struct chat_called *x = a, *y = b;
	int order = str_order(x->id, y->id);

	if (order != 0)
		return order;
	return x->place < y->place ? -1 : x->place > y->place;
}

int
chat_calls_read(struct chat *c, const struct chat_request *q, struct chat_calls *out)
{
	size_t n = 0;

	for (const struct chat_message *m = q->messages; m; m = m->next)
		for (const struct chat_part *p = m->parts; p; p = p->next)
			n += p->type == PART_CALL;
	out->n = 0;
	out->all = arena_alloc(c->arena, n * sizeof *out->all);
	if (!out->all)
		return chat_no_memory(c);
	for (const struct chat_message *m = q->messages; m; m = m->next)
		for (const struct chat_part *p = m->parts; p; p = p->next)
			if (p->type == PART_CALL) {
				out->all[out->n] = (struct chat_called){ .id = p->id,
					.name = p->name,
					.message = m->index,
					.place = out->n };
				out->n++;
			}
	qsort(out->all, n, sizeof *out->all, compare_calls);
	return 0;
}

const struct chat_called *
chat_calls_find(const struct chat_calls *calls, const struct chat_message *before, struct str id)
{
	size_t low = 0, high = calls->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct chat_called *at = &calls->all[mid];
		int order = str_order(at->id, id);

		if (order < 0 || (order == 0 && at->message < before->index))
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 && str_eq(calls->all[low - 1].id, id) ? &calls->all[low - 1] : NULL;
}

struct str
chat_calls_name(const struct chat_calls *calls, const struct chat_message *before, struct str id)
{
	const struct chat_called *call = chat_calls_find(calls, before, id);

	return call ? call->name : STR("");
}
