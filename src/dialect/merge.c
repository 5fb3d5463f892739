/*
 * merge: puts a JSON value together from the fragments of a stream, as the SDKs' helpers do, but on
 * escaped text.
 *
 * Called by gather alone. A tree of nodes in the request's arena mirrors the value; each fragment
 * is walked once and its leaves are appended to the nodes' texts, which grow by doubling. Walks are
 * as deep as the tokens that were kept: a value below them is one raw text. Fails when the arena
 * has failed, or when a provider makes more members or elements than any stream has: looking them
 * up is linear, so their number is bounded.
 */
#include "dialect/merge.h"

#include <string.h>

enum { NODES_MAX = 1024 };

struct merge_node *
merge_new(struct arena *a)
{
	return arena_zero(a, sizeof(struct merge_node));
}

static int
text_add(struct arena *a, struct merge_text *t, struct str s)
{
	if (s.len > t->cap - t->len) {
		size_t cap = t->cap * 2 > t->len + s.len ? t->cap * 2 : t->len + s.len;
		char *p = t->p != NULL ? arena_grow(a, t->p, t->cap, cap) : arena_alloc(a, cap);
		if (p == NULL)
			return -1;
		t->p = p;
		t->cap = cap;
	}
	if (s.len > 0)
		memcpy(t->p + t->len, s.p, s.len);
	t->len += s.len;
	return 0;
}

static struct str
text_str(const struct merge_text *t)
{
	return (struct str){ t->p, t->len };
}

/* Empty, of that kind; the memory of its text is used again. */
static void
node_become(struct merge_node *n, enum merge_kind kind)
{
	n->kind = kind;
	n->text.len = 0;
	n->first = n->last = NULL;
	n->n = 0;
}

/* A new node behind `before`; NULL there is the front. */
static struct merge_node *
node_add(struct arena *a, struct merge_node *to, struct merge_node *before)
{
	struct merge_node *n = to->n < NODES_MAX ? merge_new(a) : NULL;

	if (n == NULL)
		return NULL;
	struct merge_node **link = before != NULL ? &before->next : &to->first;
	n->next = *link;
	*link = n;
	if (n->next == NULL)
		to->last = n;
	to->n++;
	return n;
}

bool
merge_blank(const struct merge_node *n)
{
	return n->kind == MERGE_NULL || (n->kind == MERGE_TEXT && n->text.len == 0) ||
		(n->kind == MERGE_RAW && str_eq(text_str(&n->text), STR("0")));
}

struct merge_node *
merge_member(const struct merge_node *object, struct str name)
{
	if (object == NULL || object->kind != MERGE_OBJECT)
		return NULL;
	for (struct merge_node *n = object->first; n != NULL; n = n->next)
		if (str_eq(n->key, name))
			return n;
	return NULL;
}

struct merge_node *
merge_put(struct arena *a, struct merge_node *object, struct str name)
{
	struct merge_node *n = merge_member(object, name);
	struct str key;

	if (n != NULL)
		return n;
	if (object->kind != MERGE_OBJECT)
		node_become(object, MERGE_OBJECT);
	key = arena_copy(a, name);
	if (key.p == NULL)
		return NULL;
	n = node_add(a, object, object->last);
	if (n != NULL)
		n->key = key;
	return n;
}

void
merge_drop(struct merge_node *object, struct str name)
{
	struct merge_node *before = NULL;

	for (struct merge_node *n = object->first; n != NULL; before = n, n = n->next) {
		if (!str_eq(n->key, name))
			continue;
		if (before != NULL)
			before->next = n->next;
		else
			object->first = n->next;
		if (object->last == n)
			object->last = before;
		object->n--;
		return;
	}
}

int
merge_set(struct arena *a, struct merge_node *n, struct str raw)
{
	node_become(n, MERGE_RAW);
	return text_add(a, &n->text, raw);
}

int
merge_join(struct arena *a, struct merge_node *n, struct str escaped)
{
	if (n->kind != MERGE_TEXT)
		node_become(n, MERGE_TEXT);
	return text_add(a, &n->text, escaped);
}

int
merge_append(struct arena *a, struct merge_node *n, struct str raw)
{
	if (n->kind != MERGE_LIST)
		node_become(n, MERGE_LIST);
	if (n->text.len > 0 && text_add(a, &n->text, STR(",")) != 0)
		return -1;
	return text_add(a, &n->text, raw);
}

/* Members that name things: providers repeat them in later fragments, whole. */
static bool
is_name(struct str key)
{
	static const struct str names[] = { STR_INIT("id"), STR_INIT("type"), STR_INIT("role"),
		STR_INIT("name"), STR_INIT("format"), STR_INIT("call_id") };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_eq(key, names[i]))
			return true;
	return false;
}

static int
merge_string(const struct merge *m, struct merge_node *n, const struct json_token *t,
	enum merge_strings how)
{
	struct str inner = json_inner(m->text, t);

	if (how == MERGE_JOIN && !is_name(n->key))
		return merge_join(m->arena, n, inner);
	if (!merge_blank(n))
		return 0;
	if (n->kind != MERGE_TEXT)
		node_become(n, MERGE_TEXT);
	return text_add(m->arena, &n->text, inner);
}

static int
merge_object(const struct merge *m, struct merge_node *n, const struct json_token *t,
	enum merge_strings how)
{
	const struct json_token *all = m->scan->tokens;

	if (n->kind != MERGE_OBJECT)
		node_become(n, MERGE_OBJECT);
	for (const struct json_token *key = t + 1; key < all + t->next; key = all + key[1].next) {
		struct merge_node *to = merge_put(m->arena, n, json_inner(m->text, key));
		if (to == NULL || merge_value(m, to, key + 1, how) != 0)
			return -1;
	}
	return 0;
}

static struct str
id_of(const struct merge *m, const struct json_token *object)
{
	const struct json_token *id = json_member(m->scan, m->text, object, STR("id"), NULL);

	return id != NULL && id->type == JSON_STRING ? json_inner(m->text, id) : STR("");
}

/* Lists whose elements go on even where a server leaves their index out. */
static bool
is_indexed(const struct merge_node *list)
{
	return str_eq(list->key, STR("tool_calls")) || str_eq(list->key, STR("choices"));
}

struct merge_node *
merge_element(struct arena *a, struct merge_node *list, uint64_t index, bool fresh)
{
	struct merge_node *before = NULL, *made;

	if (list->kind != MERGE_LIST)
		node_become(list, MERGE_LIST);
	for (struct merge_node *n = list->first; n != NULL && n->index <= index; n = n->next)
		before = n;
	if (!fresh && before != NULL && before->index == index)
		return before;
	made = node_add(a, list, before);
	if (made != NULL)
		made->index = index;
	return made;
}

/*
 * The node that an element goes on with, by its index or, without one, the last; NULL when memory
 * is out. A new id is a new call, even under an index that was used (some servers say 0 for all).
 * *plain: it is not of that sort.
 */
static struct merge_node *
element_find(const struct merge *m, struct merge_node *list, const struct json_token *t,
	bool *plain)
{
	const struct json_token *at = t->type == JSON_OBJECT
		? json_member(m->scan, m->text, t, STR("index"), NULL)
		: NULL;
	uint64_t index = list->last != NULL ? list->last->index : 0;
	bool indexed = at != NULL && at->type == JSON_NUMBER && json_u64(m->text, at, &index) == 0;

	*plain = !indexed && (t->type != JSON_OBJECT || !is_indexed(list));
	if (*plain)
		return NULL;
	struct merge_node *n = merge_element(m->arena, list, index, false);
	const struct merge_node *known = merge_member(n, STR("id"));
	struct str id = id_of(m, t);
	if (known == NULL || merge_blank(known) || id.len == 0 ||
		str_eq(text_str(&known->text), id))
		return n;
	return merge_element(m->arena, list, index, true);
}

static int
merge_list(const struct merge *m, struct merge_node *n, const struct json_token *t,
	enum merge_strings how)
{
	const struct json_token *all = m->scan->tokens;

	if (n->kind != MERGE_LIST)
		node_become(n, MERGE_LIST);
	for (const struct json_token *e = t + 1; e < all + t->next; e = all + e->next) {
		bool plain;
		struct merge_node *to = element_find(m, n, e, &plain);
		if (plain ? merge_append(m->arena, n, json_raw(m->text, e)) != 0
			  : to == NULL || merge_value(m, to, e, how) != 0)
			return -1;
	}
	return 0;
}

int
merge_value(const struct merge *m, struct merge_node *n, const struct json_token *t,
	enum merge_strings how)
{
	uint32_t self = (uint32_t)(t - m->scan->tokens);

	if (t->type == JSON_NULL)
		return 0;
	if (t->type == JSON_STRING)
		return merge_string(m, n, t, how);
	if (t->type == JSON_OBJECT && (t->count == 0 || t->next > self + 1))
		return merge_object(m, n, t, str_eq(n->key, STR("delta")) ? MERGE_JOIN : how);
	if (t->type == JSON_ARRAY && (t->count == 0 || t->next > self + 1))
		return merge_list(m, n, t, how);
	return merge_set(m->arena, n, json_raw(m->text, t));
}

static void
list_write(struct buf *out, const struct merge_node *list)
{
	bool comma = list->text.len > 0;

	buf_add(out, STR("["));
	buf_add(out, text_str(&list->text));
	for (const struct merge_node *n = list->first; n != NULL; n = n->next) {
		if (comma)
			buf_add(out, STR(","));
		merge_write(out, n);
		comma = true;
	}
	buf_add(out, STR("]"));
}

static void
object_write(struct buf *out, const struct merge_node *object)
{
	const char *before = "{\"";

	if (object->first == NULL)
		buf_add(out, STR("{"));
	for (const struct merge_node *n = object->first; n != NULL; n = n->next) {
		buf_add(out, str_of(before));
		buf_add(out, n->key);
		buf_add(out, STR("\":"));
		merge_write(out, n);
		before = ",\"";
	}
	buf_add(out, STR("}"));
}

void
merge_write(struct buf *out, const struct merge_node *n)
{
	switch (n->kind) {
	case MERGE_NULL:
		buf_add(out, STR("null"));
		break;
	case MERGE_RAW:
		buf_add(out, text_str(&n->text));
		break;
	case MERGE_TEXT:
		buf_add(out, STR("\""));
		buf_add(out, text_str(&n->text));
		buf_add(out, STR("\""));
		break;
	case MERGE_LIST:
		list_write(out, n);
		break;
	case MERGE_OBJECT:
		object_write(out, n);
		break;
	}
}
