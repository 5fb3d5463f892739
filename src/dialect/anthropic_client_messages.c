/*
 * anthropic_client_messages: the conversation that an Anthropic client sends, brought into OpenAI's
 * order: the results of a round of calls right behind the message that made them, each a message
 * of its own, and what else the user says behind them.
 *
 * Called by anthropic_client. Neighbours of one role are one turn, as the API says: so the results
 * of a run of user messages come first, also before what the system said since the calls, and an
 * assistant's message goes on with the calls of the one before it. Blocks of tools that ran at
 * Anthropic (server_tool_use and what it gave) are left out: no other provider knows them, and what
 * they found is in the text behind them. What has a wrong type, and blocks that cannot stand where
 * they do, are refused by their path.
 */
#include "dialect/anthropic_client_messages.h"

#include "dialect/place.h"

enum where {
	IN_SYSTEM = 1,
	IN_USER = 2,
	IN_ASSISTANT = 4,
	IN_RESULT = 8,
	IN_DOCUMENT = 16,
	ANYWHERE = 31
};

struct reader {
	struct chat *c;
	struct chat_request *q;
	const struct json_doc *d;
	const struct chat_message *calling; /* the last message with calls */
	/* it or the last of its results, as long as nobody but the system spoke since; or NULL */
	struct chat_message *round;
};

/* A block that is being read. */
struct block {
	const struct json_token *at;
	const struct place *place;
	unsigned index;
};

static int read_blocks(struct reader *r, const struct json_token *list, const struct place *in,
	enum where where, struct chat_message *to);

static int
text_of(struct reader *r, const struct block *b, struct str name, bool needed, struct str *out)
{
	return place_text(r->c, r->d, b->at, b->place, name, needed, out);
}

/* A part with the block's cache_control. */
static struct chat_part *
add_part(struct reader *r, const struct block *b, enum chat_part_type type, struct chat_message *to)
{
	struct chat_part *p = chat_add_part(r->c, to, type, b->index);

	if (p)
		p->cache = json_get_raw(r->d, b->at, STR("cache_control"));
	else
		chat_no_memory(r->c);
	return p;
}

static int
add_text(struct reader *r, const struct block *b, struct str text, struct chat_message *to)
{
	struct chat_part *p = add_part(r, b, PART_TEXT, to);

	if (!p)
		return -1;
	p->text = text;
	return 0;
}

static int
read_text(struct reader *r, const struct block *b, struct chat_message *to)
{
	struct str text;

	if (text_of(r, b, STR("text"), true, &text) < 0)
		return -1;
	return add_text(r, b, text, to);
}

/*
 * Images, documents, search results
 */

static int
read_data(struct reader *r, const struct block *source, struct chat_source *out)
{
	out->kind = SOURCE_DATA;
	if (text_of(r, source, STR("media_type"), true, &out->media) < 0 ||
		text_of(r, source, STR("data"), true, &out->text) < 0)
		return -1;
	if (str_eq_nocase(out->media, STR("image\\/jpg")) ||
		str_eq_nocase(out->media, STR("image/jpg")))
		out->media = STR("image/jpeg");
	return 0;
}

/* The sources that images and documents both have. 1 when it is none of them. */
static int
read_source(struct reader *r, const struct block *source, struct chat_source *out)
{
	if (json_get_is(r->d, source->at, STR("type"), STR("base64")))
		return read_data(r, source, out);
	if (json_get_is(r->d, source->at, STR("type"), STR("url"))) {
		out->kind = SOURCE_URL;
		return text_of(r, source, STR("url"), true, &out->text);
	}
	if (json_get_is(r->d, source->at, STR("type"), STR("file"))) {
		out->kind = SOURCE_ID;
		return text_of(r, source, STR("file_id"), true, &out->text);
	}
	return 1;
}

static int
unknown_source(struct reader *r, const struct block *source)
{
	const struct place at = { source->place, STR("type"), -1 };
	struct str type;

	if (text_of(r, source, STR("type"), true, &type) < 0)
		return -1;
	return place_refuse(r->c, &at, "`%.*s` is no source that this block can have",
		STR_ARG(place_quote(type)));
}

static int
read_image(struct reader *r, const struct block *b, struct chat_message *to)
{
	const struct place at = { b->place, STR("source"), -1 };
	struct block source = { .place = &at };
	struct chat_part *p;
	int rc;

	if (place_get(r->c, r->d, b->at, b->place, at.name, JSON_OBJECT, true, &source.at) < 0)
		return -1;
	p = add_part(r, b, PART_IMAGE, to);
	rc = p ? read_source(r, &source, &p->source) : -1;
	return rc > 0 ? unknown_source(r, &source) : rc;
}

/* A document made of blocks is those blocks, its title before them. */
static int
read_document_blocks(struct reader *r, const struct block *b, const struct block *source,
	const struct json_token *list, struct str title, struct chat_message *to)
{
	const struct place at = { source->place, STR("content"), -1 };

	if (list->type != JSON_ARRAY)
		return place_refuse(r->c, &at, "must be a string or a list of blocks");
	if (title.len > 0 && add_text(r, b, title, to) < 0)
		return -1;
	return read_blocks(r, list, &at, IN_DOCUMENT, to);
}

static int
read_document_source(struct reader *r, const struct block *b, const struct block *source,
	struct str title, struct chat_message *to)
{
	bool plain = json_get_is(r->d, source->at, STR("type"), STR("text")),
	     content = json_get_is(r->d, source->at, STR("type"), STR("content"));
	const struct json_token *list = json_get(r->d, source->at, STR("content"));
	struct chat_part *p;
	int rc;

	if (content && list && list->type != JSON_STRING)
		return read_document_blocks(r, b, source, list, title, to);
	p = add_part(r, b, PART_FILE, to);
	if (!p)
		return -1;
	p->title = title;
	if (plain || content) {
		p->source = (struct chat_source){ SOURCE_TEXT, STR("text/plain"), STR("") };
		return text_of(r, source, content ? STR("content") : STR("data"), true,
			&p->source.text);
	}
	rc = read_source(r, source, &p->source);
	return rc > 0 ? unknown_source(r, source) : rc;
}

static int
read_document(struct reader *r, const struct block *b, struct chat_message *to)
{
	const struct place at = { b->place, STR("source"), -1 };
	struct block source = { .place = &at };
	struct str title, context;

	if (place_get(r->c, r->d, b->at, b->place, at.name, JSON_OBJECT, true, &source.at) < 0 ||
		text_of(r, b, STR("title"), false, &title) < 0 ||
		text_of(r, b, STR("context"), false, &context) < 0)
		return -1;
	if (context.len > 0 && add_text(r, b, context, to) < 0)
		return -1;
	return read_document_source(r, b, &source, title, to);
}

/* One text: title, source, and the blocks' own. */
static int
read_search_result(struct reader *r, const struct block *b, struct chat_message *to)
{
	const struct place at = { b->place, STR("content"), -1 };
	struct chat_message lines = { 0 };
	const struct json_token *list;
	struct str title, source, text;

	if (text_of(r, b, STR("title"), false, &title) < 0 ||
		text_of(r, b, STR("source"), false, &source) < 0 ||
		place_get(r->c, r->d, b->at, b->place, at.name, JSON_ARRAY, true, &list) < 0)
		return -1;
	if ((title.len > 0 && add_text(r, b, title, &lines) < 0) ||
		(source.len > 0 && add_text(r, b, source, &lines) < 0) ||
		read_blocks(r, list, &at, IN_SYSTEM, &lines) < 0)
		return -1;
	text = chat_join_text(r->c->arena, lines.parts, STR("\\n"));
	return text.p ? add_text(r, b, text, to) : chat_no_memory(r->c);
}

static int
read_reference(struct reader *r, const struct block *b, struct chat_message *to)
{
	struct str name;

	if (text_of(r, b, STR("tool_name"), true, &name) < 0)
		return -1;
	return add_text(r, b, name, to);
}

/*
 * What an assistant said
 */

static int
read_call(struct reader *r, const struct block *b, struct chat_message *to)
{
	struct chat_part *p = add_part(r, b, PART_CALL, to);
	const struct json_token *input;

	if (!p || text_of(r, b, STR("id"), true, &p->id) < 0 ||
		text_of(r, b, STR("name"), true, &p->name) < 0 ||
		place_get(r->c, r->d, b->at, b->place, STR("input"), JSON_OBJECT, false, &input) <
			0)
		return -1;
	p->args = input ? json_doc_raw(r->d, input) : STR("");
	return 0;
}

static int
read_thinking(struct reader *r, const struct block *b, struct chat_message *to)
{
	struct chat_part *p = add_part(r, b, PART_REASONING, to);

	if (!p || text_of(r, b, STR("thinking"), true, &p->text) < 0)
		return -1;
	return text_of(r, b, STR("signature"), false, &p->signature);
}

static int
read_redacted(struct reader *r, const struct block *b, struct chat_message *to)
{
	struct chat_part *p = add_part(r, b, PART_REDACTED, to);

	return p ? text_of(r, b, STR("data"), true, &p->text) : -1;
}

/*
 * Blocks
 */

static const struct kind {
	struct str type;
	unsigned where;
	int (*read)(struct reader *r, const struct block *b, struct chat_message *to);
} kinds[] = {
	{ STR_INIT("text"), ANYWHERE, read_text },
	{ STR_INIT("image"), IN_USER | IN_RESULT | IN_DOCUMENT, read_image },
	{ STR_INIT("document"), IN_USER | IN_RESULT, read_document },
	{ STR_INIT("search_result"), IN_USER | IN_RESULT, read_search_result },
	{ STR_INIT("tool_reference"), IN_RESULT, read_reference },
	{ STR_INIT("tool_use"), IN_ASSISTANT, read_call },
	{ STR_INIT("thinking"), IN_ASSISTANT, read_thinking },
	{ STR_INIT("redacted_thinking"), IN_ASSISTANT, read_redacted },
	{ STR_INIT("tool_result"), IN_USER, NULL }, /* read before the others */
	{ STR_INIT("container_upload"), IN_USER | IN_ASSISTANT, NULL },
};

static const struct kind *
kind_of(const struct reader *r, const struct json_token *type)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (json_doc_is(r->d, type, kinds[i].type))
			return &kinds[i];
	return NULL;
}

static int
read_block(struct reader *r, const struct block *b, enum where where, struct chat_message *to)
{
	const struct place at = { b->place, STR("type"), -1 };
	const struct json_token *type;
	const struct kind *kind;

	if (b->at->type != JSON_OBJECT)
		return place_refuse(r->c, b->place, "must be an object");
	if (place_get(r->c, r->d, b->at, b->place, at.name, JSON_STRING, true, &type) < 0)
		return -1;
	kind = kind_of(r, type);
	if (!kind && where == IN_ASSISTANT)
		return 0; /* of a tool that ran at Anthropic */
	if (!kind || !(kind->where & where))
		return place_refuse(r->c, &at, "a `%.*s` block cannot stand here",
			STR_ARG(place_quote(json_doc_inner(r->d, type))));
	return kind->read ? kind->read(r, b, to) : 0;
}

static int
read_blocks(struct reader *r, const struct json_token *list, const struct place *in,
	enum where where, struct chat_message *to)
{
	struct place at = *in;

	at.index = 0;
	for (const struct json_token *t = json_first(r->d, list); t; t = json_next(r->d, list, t)) {
		const struct block b = { t, &at, (unsigned)at.index };

		if (read_block(r, &b, where, to) < 0)
			return -1;
		at.index++;
	}
	return 0;
}

/* A content: one string, or a list of blocks. Null is as good as none. */
static int
read_content(struct reader *r, const struct json_token *content, const struct place *at,
	enum where where, struct chat_message *to)
{
	struct chat_part *p;

	if (!content)
		return 0;
	if (content->type == JSON_ARRAY)
		return read_blocks(r, content, at, where, to);
	if (content->type != JSON_STRING)
		return place_refuse(r->c, at, "must be a string or a list of blocks");
	p = chat_add_part(r->c, to, PART_TEXT, 0);
	if (!p)
		return chat_no_memory(r->c);
	p->text = json_doc_inner(r->d, content);
	to->bare = true;
	return 0;
}

/*
 * Messages
 */

/* Put the parts that were read into a message of the request. */
static int
add_message(struct reader *r, enum chat_role role, unsigned index, const struct chat_message *read)
{
	struct chat_message *m = chat_add_message(r->c, r->q, role, index);

	if (!m)
		return chat_no_memory(r->c);
	m->bare = read->bare;
	m->parts = read->parts;
	m->last = read->last;
	return 0;
}

/* Put a result right behind its round's calls and results. */
static int
add_result(struct reader *r, unsigned index, const struct chat_message *read)
{
	struct chat_message *before = r->round, *m;

	if (!before || before == r->q->last) {
		if (add_message(r, CHAT_TOOL, index, read) < 0)
			return -1;
		r->round = before ? r->q->last : NULL;
		return 0;
	}
	m = arena_zero(r->c->arena, sizeof *m);
	if (!m)
		return chat_no_memory(r->c);
	*m = (struct chat_message){ .role = CHAT_TOOL,
		.index = index,
		.parts = read->parts,
		.last = read->last,
		.next = before->next };
	r->round = before->next = m;
	return 0;
}

static int
read_result(struct reader *r, const struct block *b, unsigned message)
{
	const struct place at = { b->place, STR("content"), -1 };
	struct chat_message content = { 0 }, list = { 0 };
	struct chat_part *p = add_part(r, b, PART_RESULT, &list);

	if (!p || text_of(r, b, STR("tool_use_id"), true, &p->id) < 0 ||
		place_flag(r->c, r->d, b->at, b->place, STR("is_error"), &p->failed) < 0 ||
		read_content(r, json_get(r->d, b->at, at.name), &at, IN_RESULT, &content) < 0)
		return -1;
	p->parts = content.parts;
	return add_result(r, message, &list);
}

static int
read_results(struct reader *r, const struct json_token *message, const struct place *place)
{
	const struct json_token *content = json_get_type(r->d, message, STR("content"), JSON_ARRAY);
	struct place at = { place, STR("content"), 0 };

	for (const struct json_token *t = json_first(r->d, content); t;
		t = json_next(r->d, content, t)) {
		const struct block b = { t, &at, (unsigned)at.index };

		if (json_get_is(r->d, t, STR("type"), STR("tool_result")) &&
			read_result(r, &b, (unsigned)place->index) < 0)
			return -1;
		at.index++;
	}
	return 0;
}

/* Note a message that makes calls: an assistant's message behind it goes on with it, since the
 * results stand behind both. */
static void
note_calls(struct reader *r, struct chat_message *m)
{
	if (m->role != CHAT_SYSTEM)
		r->round = NULL;
	for (const struct chat_part *p = m->parts; p; p = p->next)
		if (p->type == PART_CALL)
			r->calling = r->round = m;
}

/* Of a system message: one that only carries options says nothing. */
static bool
has_text(const struct chat_message *m)
{
	const struct chat_part *p = m->parts;

	while (p && p->text.len == 0)
		p = p->next;
	return p != NULL;
}

/* All of a message but its results. */
static int
read_message(struct reader *r, const struct json_token *message, const struct place *place,
	enum chat_role role)
{
	static const enum where sides[] = { [CHAT_SYSTEM] = IN_SYSTEM,
		[CHAT_USER] = IN_USER,
		[CHAT_ASSISTANT] = IN_ASSISTANT };
	const struct place at = { place, STR("content"), -1 };
	const struct json_token *content = json_get(r->d, message, at.name);
	struct chat_message read = { 0 };

	if (!content && role != CHAT_SYSTEM)
		return place_refuse(r->c, &at, "Field required");
	if (role == CHAT_ASSISTANT && r->calling && r->calling == r->q->last) {
		if (read_content(r, content, &at, sides[role], r->q->last) < 0)
			return -1;
		r->q->last->bare = false;
		return 0;
	}
	if (read_content(r, content, &at, sides[role], &read) < 0)
		return -1;
	if (!read.parts || (role == CHAT_SYSTEM && !has_text(&read)))
		return 0;
	if (add_message(r, role, (unsigned)place->index, &read) < 0)
		return -1;
	note_calls(r, r->q->last);
	return 0;
}

static int
role_of(struct reader *r, const struct json_token *message, const struct place *place,
	enum chat_role *out)
{
	const struct place at = { place, STR("role"), -1 };
	const struct json_token *role;

	if (message->type != JSON_OBJECT)
		return place_refuse(r->c, place, "must be an object");
	if (place_get(r->c, r->d, message, place, at.name, JSON_STRING, true, &role) < 0)
		return -1;
	if (json_doc_is(r->d, role, STR("user")))
		*out = CHAT_USER;
	else if (json_doc_is(r->d, role, STR("assistant")))
		*out = CHAT_ASSISTANT;
	else if (json_doc_is(r->d, role, STR("system")))
		*out = CHAT_SYSTEM;
	else
		return place_refuse(r->c, &at, "must be `user`, `assistant` or `system`");
	return 0;
}

/* The messages of one role from `first` on: results, then the rest. *next: where the run ends; its
 * place is *place. */
static int
read_run(struct reader *r, const struct json_token *list, const struct json_token **next,
	struct place *place)
{
	const struct json_token *first = *next, *t;
	struct place at = *place;
	enum chat_role role, other;

	if (role_of(r, first, place, &role) < 0)
		return -1;
	other = role;
	for (t = first; t && other == role; t = json_next(r->d, list, t)) {
		if (role_of(r, t, &at, &other) < 0)
			return -1;
		if (other != role)
			break;
		if (role == CHAT_USER && read_results(r, t, &at) < 0)
			return -1;
		at.index++;
	}
	for (*next = first; *next != t; *next = json_next(r->d, list, *next)) {
		if (read_message(r, *next, place, role) < 0)
			return -1;
		place->index++;
	}
	return 0;
}

static int
read_system(struct reader *r)
{
	const struct place at = { NULL, STR("system"), -1 };
	struct chat_message read = { 0 };

	chat_note(r->q, at.name);
	if (read_content(r, json_get(r->d, json_doc_top(r->d), at.name), &at, IN_SYSTEM, &read) < 0)
		return -1;
	return has_text(&read) ? add_message(r, CHAT_SYSTEM, 0, &read) : 0;
}

int
anthropic_client_messages(struct chat *c, struct chat_request *q)
{
	struct reader r = { .c = c, .q = q, .d = &q->doc };
	struct place at = { NULL, STR("messages"), -1 };
	const struct json_token *list, *t;

	if (read_system(&r) < 0 ||
		place_get(c, r.d, json_doc_top(r.d), NULL, at.name, JSON_ARRAY, true, &list) < 0)
		return -1;
	chat_note(q, at.name);
	t = json_first(r.d, list);
	if (!t)
		return place_refuse(c, &at, "at least one message is required");
	at.index = 0;
	while (t)
		if (read_run(&r, list, &t, &at) < 0)
			return -1;
	return c->arena->failed ? chat_no_memory(c) : 0;
}
