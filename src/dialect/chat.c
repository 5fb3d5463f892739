/*
 * chat: what all adapters need of the neutral form: the client's parameters and which of them
 * crossed, lists of messages, ids and names that another dialect can take, arguments of calls,
 * refusals that name their place.
 *
 * Called by the adapters, never by the proxy. Nothing here knows a dialect. All memory is the
 * request's arena (events: the scratch arena), whose failure is sticky, so most functions just give
 * NULL; who refuses says so in c->error, which is what the client is told.
 */
#include "dialect/chat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "http/head.h"
#include "json/edit.h"

enum { KEEP_ALL = UINT32_MAX, NAMED_MOST = 32, DROPPED_MOST = 1024, NAMES_LOOKED = 64 };

/*
 * Refusals
 */

static int __attribute__((format(printf, 3, 0)))
refuse(struct chat *c, struct str param, const char *fmt, va_list ap)
{
	char text[512];
	int len = vsnprintf(text, sizeof text, fmt, ap);
	size_t n = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;

	c->error = (struct error){ .kind = ERROR_INVALID,
		.message = arena_copy(c->arena, (struct str){ text, n }),
		.param = arena_copy(c->arena, param) };
	return c->arena->failed ? chat_no_memory(c) : -1;
}

int
chat_refuse(struct chat *c, struct str param, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	refuse(c, param, fmt, ap);
	va_end(ap);
	return -1;
}

int
chat_refuse_part(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	const char *fmt, ...)
{
	const struct chat_message *home = p && p->home ? p->home : m;
	char param[64];
	int len = p && !home->bare
		? snprintf(param, sizeof param, "messages[%u].content[%u]", home->index, p->index)
		: snprintf(param, sizeof param, "messages[%u].content", home->index);
	va_list ap;

	va_start(ap, fmt);
	refuse(c, (struct str){ param, (size_t)len }, fmt, ap);
	va_end(ap);
	return -1;
}

int
chat_no_memory(struct chat *c)
{
	if (c->arena->full)
		c->error = (struct error){ .kind = ERROR_TOO_LARGE,
			.message = STR("to translate this request takes more memory than "
				       "limits.body_bytes and limits.reply_bytes allow") };
	else
		c->error = (struct error){ .kind = ERROR_OVERLOADED,
			.message = STR("there is no memory to translate this request") };
	return -1;
}

/*
 * Parameters
 */

static void
take_param(struct chat *c, struct chat_request *q, const struct json_token *key)
{
	struct chat_param *p = &q->params[q->n_params++];
	bool stream = json_doc_is(&q->doc, key, STR("stream"));

	*p = (struct chat_param){ .name = json_string(q->doc.text, key, c->arena, NULL),
		.raw = json_doc_raw(&q->doc, key + 1) };
	if (stream)
		c->stream = key[1].type == JSON_TRUE;
	p->carried = stream || key[1].type == JSON_NULL || json_doc_is(&q->doc, key, STR("model"));
}

int
chat_read_params(struct chat *c, struct chat_request *q, struct str body)
{
	const struct json_token *top, *key;

	if (json_doc_read(&q->doc, c->arena, body, KEEP_ALL, JSON_DEPTH_MAX) < 0)
		return c->arena->failed ? chat_no_memory(c)
					: chat_refuse(c, STR(""), "the body is not valid JSON: %s",
						  q->doc.scan.fault);
	top = json_doc_top(&q->doc);
	if (top->type != JSON_OBJECT)
		return chat_refuse(c, STR(""), "the body must be a JSON object");
	q->params = arena_zero(c->arena, (top->count + 1) * sizeof *q->params);
	if (!q->params)
		return chat_no_memory(c);
	q->n = 1;
	for (key = json_first(&q->doc, top); key; key = json_next(&q->doc, top, key))
		take_param(c, q, key);
	return c->arena->failed ? chat_no_memory(c) : 0;
}

struct chat_param *
chat_param(const struct chat_request *q, struct str name)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (str_eq(q->params[i].name, name) && !str_eq(q->params[i].raw, STR("null")))
			return &q->params[i];
	return NULL;
}

const char *
chat_type_words(enum json_type type)
{
	switch (type) {
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	case JSON_NUMBER:
		return "a number";
	case JSON_STRING:
		return "a string";
	case JSON_ARRAY:
		return "a list";
	default:
		return "an object";
	}
}

int
chat_get(struct chat *c, const struct chat_request *q, struct str name, enum json_type type,
	const struct json_token **t)
{
	*t = json_get(&q->doc, json_doc_top(&q->doc), name);
	if (!*t)
		return 0;
	if ((*t)->type != type && !(type == JSON_TRUE && (*t)->type == JSON_FALSE))
		return chat_refuse(c, name, "`%.*s` must be %s", STR_ARG(name),
			chat_type_words(type));
	return 1;
}

int
chat_take(struct chat *c, struct chat_request *q, enum chat_field field, struct str name,
	enum json_type type, const struct json_token **t)
{
	int rc = chat_get(c, q, name, type, t);

	if (rc > 0)
		q->fields[field] = chat_param(q, name);
	return rc;
}

bool
chat_has(const struct chat_request *q, enum chat_field field)
{
	return q->fields[field] != NULL;
}

struct str
chat_carry(struct chat_request *q, enum chat_field field)
{
	struct chat_param *p = q->fields[field];

	if (!p)
		return STR("");
	p->carried = true;
	return p->raw;
}

struct str
chat_carry_param(struct chat_request *q, struct str name)
{
	struct chat_param *p = chat_param(q, name);

	if (!p)
		return STR("");
	p->carried = true;
	return p->raw;
}

void
chat_note(struct chat_request *q, struct str name)
{
	chat_carry_param(q, name);
}

void
chat_drop(struct chat *c, struct str name)
{
	bool first = c->dropped.len == 0;

	if (name.len == 0 || c->dropped.len + name.len > DROPPED_MOST || !head_value_valid(name))
		return;
	c->dropped = arena_printf(c->arena, "%.*s%s%.*s", STR_ARG(c->dropped), first ? "" : ", ",
		STR_ARG(name));
}

int
chat_report_dropped(struct chat *c, struct chat_request *q)
{
	for (size_t i = 0; i < q->n_params; i++) {
		const struct chat_param *p = &q->params[i];

		if (p->carried)
			continue;
		if (c->reject && !p->spared)
			return chat_refuse(c, p->name,
				"`%.*s` cannot be said to this model's provider; leave it out",
				STR_ARG(p->name));
		chat_drop(c, p->name);
	}
	return c->arena->failed ? chat_no_memory(c) : 0;
}

/*
 * Lists
 */

struct chat_message *
chat_add_message(struct chat *c, struct chat_request *q, enum chat_role role, unsigned index)
{
	struct chat_message *m = arena_zero(c->arena, sizeof *m);

	if (!m)
		return NULL;
	m->role = role;
	m->index = index;
	*(q->last ? &q->last->next : &q->messages) = m;
	q->last = m;
	return m;
}

struct chat_part *
chat_add_part(struct chat *c, struct chat_message *m, enum chat_part_type type, unsigned index)
{
	struct chat_part *p = arena_zero(c->arena, sizeof *p);

	if (!p)
		return NULL;
	p->type = type;
	p->index = index;
	*(m->last ? &m->last->next : &m->parts) = p;
	m->last = p;
	return p;
}

struct chat_tool *
chat_add_tool(struct chat *c, struct chat_request *q)
{
	struct chat_tool *t = arena_zero(c->arena, sizeof *t);

	if (!t)
		return NULL;
	*(q->last_tool ? &q->last_tool->next : &q->tools) = t;
	q->last_tool = t;
	return t;
}

const struct chat_tool *
chat_find_tool(const struct chat_request *q, struct str name)
{
	for (const struct chat_tool *t = q->tools; t; t = t->next)
		if (str_eq(t->name, name))
			return t;
	return NULL;
}

static int
compare_names(const void *a, const void *b)
{
	return str_order(*(const struct str *)a, *(const struct str *)b);
}

void
chat_sort_choice(struct chat_request *q)
{
	if (q->n_choice_names > 1)
		qsort(q->choice_names, q->n_choice_names, sizeof *q->choice_names, compare_names);
}

bool
chat_allows(const struct chat_request *q, const struct chat_tool *t)
{
	if (q->choice != CHOICE_ALLOWED && q->choice != CHOICE_ALLOWED_REQUIRED)
		return true;
	return q->n_choice_names > 0 &&
		bsearch(&t->name, q->choice_names, q->n_choice_names, sizeof *q->choice_names,
			compare_names) != NULL;
}

/*
 * Ids and names
 */

static bool
is_id_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-';
}

static bool
is_id(struct str s, size_t most)
{
	if (s.len == 0 || s.len > most)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_id_byte(s.p[i]))
			return false;
	return true;
}

void
chat_hash(struct str s, char *out, size_t n)
{
	uint8_t digest[SHA256_SIZE];

	sha256(s, digest);
	for (size_t i = 0; i < n; i++)
		out[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

/* The first `keep` bytes, other bytes than an id's as _ (so that no escape is cut), _ and the hash
 * of all. */
static struct str
shortened(struct arena *a, struct str s, size_t keep)
{
	size_t n = s.len < keep ? s.len : keep;
	char *p = arena_alloc(a, n + 9);

	if (!p)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < n; i++)
		p[i] = is_id_byte(s.p[i]) ? s.p[i] : '_';
	p[n] = '_';
	chat_hash(s, p + n + 1, 8);
	return (struct str){ p, n + 9 };
}

struct str
chat_tool_id(struct arena *a, struct str id, size_t most)
{
	if (id.len == 0)
		return STR("call_0");
	return is_id(id, most) ? id : shortened(a, id, 31);
}

/* Twice the same name is no harm, so only the latest few are looked at: a client may send a hundred
 * thousand tools. */
struct chat_name *
chat_add_name(struct chat *c, struct str client, struct str upstream)
{
	struct chat_name *n = c->names;

	for (unsigned i = 0; n && i < NAMES_LOOKED; n = n->next, i++)
		if (str_eq(n->client, client) && str_eq(n->upstream, upstream))
			return n;
	n = arena_zero(c->arena, sizeof *n);
	if (!n)
		return NULL;
	n->client = arena_copy(c->arena, client);
	n->upstream = arena_copy(c->arena, upstream);
	n->next = c->names;
	c->names = n;
	return c->arena->failed ? NULL : n;
}

struct str
chat_tool_name(struct chat *c, struct str name, size_t most)
{
	struct str upstream;

	if (name.len <= most)
		return name;
	upstream = shortened(c->arena, name, most - 9);
	if (!upstream.p || !chat_add_name(c, name, upstream))
		return (struct str){ NULL, 0 };
	return upstream;
}

int
chat_custom_name(struct chat *c, struct str name)
{
	struct chat_name *n = c->names;
	bool known = false;

	for (unsigned i = 0; n && i < NAMES_LOOKED; n = n->next, i++) {
		if (!str_eq(n->client, name))
			continue;
		n->custom = known = true; /* under its shorter name, too */
	}
	if (known)
		return 0;
	n = chat_add_name(c, name, name);
	if (!n)
		return chat_no_memory(c);
	n->custom = true;
	return 0;
}

struct str
chat_make_id(struct chat *c, struct arena *a, struct str prefix)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char *p = arena_alloc(a, prefix.len + CHAT_ID_LEN);

	if (!p)
		return (struct str){ NULL, 0 };
	memcpy(p, prefix.p, prefix.len);
	for (size_t i = 0; i < CHAT_ID_LEN; i++) {
		/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators"
		 */
		uint64_t z = c->seed += 0x9E3779B97F4A7C15u;

		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
		z = (z ^ z >> 27) * 0x94D049BB133111EBu;
		p[prefix.len + i] = letters[(z ^ z >> 31) % 62];
	}
	return (struct str){ p, prefix.len + CHAT_ID_LEN };
}

struct str
chat_call_id(struct chat *c, struct arena *a, struct str id)
{
	bool anthropic = c->endpoint->client == DIALECT_ANTHROPIC;

	return id.len > 0 ? chat_tool_id(a, id, SIZE_MAX)
			  : chat_make_id(c, a, anthropic ? STR("toolu_") : STR("call_"));
}

/*
 * Arguments
 */

struct str
chat_escape(struct arena *a, struct str plain)
{
	struct str quoted = json_quote(a, plain);

	return quoted.p ? str_head(str_skip(quoted, 1), quoted.len - 2) : quoted;
}

static bool
is_blank(struct str s)
{
	while (s.len > 0 && memchr(" \t\r\n", s.p[0], 4))
		s = str_skip(s, 1);
	return s.len == 0;
}

static bool
is_object(struct str text)
{
	struct json_scan scan;

	while (text.len > 0 && memchr(" \t\r\n", text.p[0], 4))
		text = str_skip(text, 1);
	return text.len > 0 && text.p[0] == '{' &&
		json_scan_text(&scan, NULL, text, 0, JSON_DEPTH_MAX) == 0;
}

/* {"name":"…"} around an escaped text. */
static struct str
wrapped(struct arena *a, struct str name, struct str inner)
{
	char *p = arena_alloc(a, name.len + inner.len + 8), *at = p;
	struct str parts[] = { STR("{\""), name, STR("\":\""), inner, STR("\"}") };

	if (!p)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		memcpy(at, parts[i].p, parts[i].len);
		at += parts[i].len;
	}
	return (struct str){ p, (size_t)(at - p) };
}

struct str
chat_args_object(struct chat *c, const struct chat_part *call)
{
	struct str text = call->args;

	if (call->custom)
		return wrapped(c->arena, STR("input"), text);
	if (call->args_escaped)
		text = json_unescape(text, c->arena);
	if (!text.p && call->args.len > 0)
		return text;
	if (is_blank(text))
		return STR("{}");
	if (is_object(text))
		return str_trim(text);
	if (call->args_escaped)
		return wrapped(c->arena, STR("_raw"), call->args);
	return wrapped(c->arena, STR("_raw"), chat_args_text(c, call));
}

struct str
chat_args_text(struct chat *c, const struct chat_part *call)
{
	if (call->custom)
		return chat_escape(c->arena, wrapped(c->arena, STR("input"), call->args));
	if (is_blank(call->args))
		return STR("{}");
	return call->args_escaped ? call->args : chat_escape(c->arena, call->args);
}

/*
 * Content
 */

static struct str
before(struct str *rest, char mark)
{
	size_t at = str_index(*rest, mark);
	struct str head = str_head(*rest, at);

	*rest = str_skip(*rest, at + 1);
	return head;
}

/* Letters, digits and what else a media type may have (RFC 6838 4.2), so nothing that JSON escapes.
 */
static bool
is_media(struct str type)
{
	for (size_t i = 0; i < type.len; i++)
		if (!is_id_byte(type.p[i]) && !memchr("/!#$&^.+", type.p[i], 8))
			return false;
	return true;
}

int
chat_data_url(struct arena *a, struct str url, struct chat_source *out)
{
	struct str rest = url, head, type;
	bool base64 = false;

	if (!str_eq_nocase(str_head(url, 5), STR("data:")) || str_index(url, ',') == url.len)
		return -1;
	rest = str_skip(rest, 5);
	head = json_unescape(before(&rest, ','), a); /* some write every / as \/ */
	if (!head.p)
		return -1;
	type = before(&head, ';');
	while (head.len > 0)
		base64 |= str_eq_nocase(str_trim(before(&head, ';')), STR("base64"));
	type = str_trim(type);
	if (!base64 || !is_media(type))
		return -1;
	if (str_eq_nocase(type, STR("image/jpg")))
		type = STR("image/jpeg");
	*out = (struct chat_source){ .kind = SOURCE_DATA, .media = type, .text = rest };
	return 0;
}

bool
chat_is_web_url(struct str url)
{
	struct str scheme = str_head(url, str_index(url, ':')), rest = str_skip(url, scheme.len);

	return (str_eq_nocase(scheme, STR("http")) || str_eq_nocase(scheme, STR("https"))) &&
		(str_starts(rest, STR("://")) || str_starts(rest, STR(":\\/\\/")));
}

struct str
chat_join_text(struct arena *a, const struct chat_part *parts, struct str between)
{
	size_t len = 0, n = 0;
	char *p, *at;
	struct str only = STR("");

	for (const struct chat_part *t = parts; t; t = t->next) {
		if (t->type != PART_TEXT)
			continue;
		len += t->text.len + (n > 0 ? between.len : 0);
		n++;
		only = t->text;
	}
	if (n <= 1)
		return only;
	p = at = arena_alloc(a, len);
	if (!p)
		return (struct str){ NULL, 0 };
	for (const struct chat_part *t = parts; t; t = t->next) {
		if (t->type != PART_TEXT)
			continue;
		if (at > p || n == 0) {
			memcpy(at, between.p, between.len);
			at += between.len;
		}
		n = 0;
		memcpy(at, t->text.p, t->text.len);
		at += t->text.len;
	}
	return (struct str){ p, (size_t)(at - p) };
}

/*
 * Numbers and words
 */

uint64_t
chat_max_tokens(const struct chat *c, const struct chat_request *q, bool required, uint64_t more)
{
	uint64_t most = c->options->max_tokens_cap, n = q->max_tokens;

	if (n == 0 && required)
		n = most > 0 && c->max_tokens == 0 ? most : c->max_tokens;
	if (n == 0)
		return 0;
	n = n < UINT64_MAX - more ? n + more : n;
	return most > 0 && n > most ? most : n;
}

double
chat_number(struct str raw)
{
	char text[NAMED_MOST];
	size_t n = raw.len < sizeof text - 1 ? raw.len : sizeof text - 1;

	memcpy(text, raw.p, n);
	text[n] = '\0';
	return strtod(text, NULL);
}

struct str
chat_clamp(struct str raw, struct str low, struct str high)
{
	double n = chat_number(raw);

	if (n < chat_number(low))
		return low;
	return n > chat_number(high) ? high : raw;
}

static const struct str efforts[] = {
	[EFFORT_NONE] = STR_INIT("none"),
	[EFFORT_MINIMAL] = STR_INIT("minimal"),
	[EFFORT_LOW] = STR_INIT("low"),
	[EFFORT_MEDIUM] = STR_INIT("medium"),
	[EFFORT_HIGH] = STR_INIT("high"),
	[EFFORT_XHIGH] = STR_INIT("xhigh"),
	[EFFORT_MAX] = STR_INIT("max"),
};

struct str
chat_effort_word(enum chat_effort e)
{
	return efforts[e];
}

int
chat_effort_of(struct str text, enum chat_effort *out)
{
	for (unsigned i = 0; i < sizeof efforts / sizeof efforts[0]; i++) {
		if (str_eq(text, efforts[i])) {
			*out = (enum chat_effort)i;
			return 0;
		}
	}
	return -1;
}

/*
 * Events
 */

struct chat_event *
chat_emit(struct chat *c, struct chat_events *out, enum chat_event_type type)
{
	if (out->n == out->cap) {
		size_t cap = out->cap > 0 ? out->cap * 2 : 4;
		struct chat_event *more = arena_alloc(c->scratch, cap * sizeof *more);

		if (!more) {
			out->failed = true;
			return NULL;
		}
		if (out->n > 0)
			memcpy(more, out->all, out->n * sizeof *more);
		out->all = more;
		out->cap = cap;
	}
	out->all[out->n] = (struct chat_event){ .type = type };
	return &out->all[out->n++];
}

void
chat_emit_text(struct chat *c, struct chat_events *out, enum chat_event_type type, unsigned choice,
	struct str text)
{
	struct chat_event *e = text.len > 0 ? chat_emit(c, out, type) : NULL;

	if (!e)
		return;
	e->choice = choice;
	e->text = text;
}
