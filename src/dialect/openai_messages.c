/*
 * openai_messages: the conversation in OpenAI's messages, which the neutral form is close to. What
 * is different is what compatible servers can be relied on to take: texts as one string wherever
 * that is possible, since many know no list there; reasoning only where it is asked back. Plain
 * documents are texts by then, and results hold text alone (chat_adapt_parts).
 *
 * Called by openai_request. Only places that OpenAI has no word for are refused: a document by its
 * URL, and files that another provider keeps.
 */
#include "dialect/openai_messages.h"

struct writing {
	struct chat *c;
	struct json_writer *w;
};

/*
 * Texts
 */

static bool
is_text(const struct chat_part *p)
{
	return p->type == PART_TEXT && p->text.len > 0;
}

static bool
is_media(const struct chat_part *p)
{
	return p->type == PART_IMAGE || p->type == PART_FILE || p->type == PART_AUDIO;
}

static bool
has_text(const struct chat_part *p)
{
	while (p && !is_text(p))
		p = p->next;
	return p != NULL;
}

static bool
has_media(const struct chat_part *p)
{
	while (p && !is_media(p))
		p = p->next;
	return p != NULL;
}

/* Is the part one behind which the prompt is to be cached, where that can be said? */
static bool
breaks(const struct writing *x, const struct chat_part *p)
{
	return x->c->options->cache_breakpoints && p->cache.len > 0;
}

static bool
any_breaks(const struct writing *x, const struct chat_part *p)
{
	while (p && !(p->type == PART_TEXT && breaks(x, p)))
		p = p->next;
	return p != NULL;
}

/* All texts in one string. */
static void
write_joined(struct writing *x, const struct chat_part *parts, struct str between)
{
	bool any = false;

	json_text_open(x->w);
	for (const struct chat_part *p = parts; p; p = p->next) {
		if (!is_text(p))
			continue;
		if (any)
			json_text_more_escaped(x->w, between);
		any = true;
		json_text_more_escaped(x->w, p->text);
	}
	json_text_close(x->w);
}

/* Close a text part whose text has been written. */
static void
end_text_part(struct writing *x, bool breakpoint)
{
	if (breakpoint)
		json_pair_value(x->w, STR("prompt_cache_breakpoint"),
			STR("{\"mode\":\"explicit\"}"));
	json_object_end(x->w);
}

static void
begin_text_part(struct writing *x)
{
	json_object(x->w);
	json_pair(x->w, STR("type"), STR("text"));
	json_key(x->w, STR("text"));
}

static void
write_text_part(struct writing *x, const struct chat_part *p)
{
	begin_text_part(x);
	json_escaped(x->w, p->text);
	end_text_part(x, breaks(x, p));
}

/*
 * Media
 */

static void
write_data_url(struct writing *x, const struct chat_source *s, struct str media)
{
	json_text_open(x->w);
	json_text_more_escaped(x->w, STR("data:"));
	json_text_more_escaped(x->w, s->media.len > 0 ? s->media : media);
	json_text_more_escaped(x->w, STR(";base64,"));
	json_text_more_escaped(x->w, s->text);
	json_text_close(x->w);
}

static void
write_image(struct writing *x, const struct chat_part *p)
{
	json_pair(x->w, STR("type"), STR("image_url"));
	json_key(x->w, STR("image_url"));
	json_object(x->w);
	json_key(x->w, STR("url"));
	if (p->source.kind == SOURCE_URL)
		json_escaped(x->w, p->source.text);
	else
		write_data_url(x, &p->source, STR("image/png"));
	json_object_end(x->w);
}

static void
write_file(struct writing *x, const struct chat_part *p)
{
	json_pair(x->w, STR("type"), STR("file"));
	json_key(x->w, STR("file"));
	json_object(x->w);
	json_pair_escaped(x->w, STR("filename"), p->title.len > 0 ? p->title : STR("document.pdf"));
	json_key(x->w, STR("file_data"));
	write_data_url(x, &p->source, STR("application/pdf"));
	json_object_end(x->w);
}

static void
write_audio(struct writing *x, const struct chat_part *p)
{
	bool wav = str_eq(p->source.media, STR("audio/wav"));

	json_pair(x->w, STR("type"), STR("input_audio"));
	json_key(x->w, STR("input_audio"));
	json_object(x->w);
	json_pair_escaped(x->w, STR("data"), p->source.text);
	json_pair(x->w, STR("format"), wav ? STR("wav") : STR("mp3"));
	json_object_end(x->w);
}

static int
write_media(struct writing *x, const struct chat_message *m, const struct chat_part *p)
{
	if (p->source.kind == SOURCE_ID)
		return chat_refuse_part(x->c, m, p,
			"a file id means nothing to this model's provider; send its data");
	if (p->source.kind == SOURCE_URL && p->type != PART_IMAGE)
		return chat_refuse_part(x->c, m, p,
			"this model's provider takes no document by its URL; send its data");
	json_object(x->w);
	if (p->type == PART_IMAGE)
		write_image(x, p);
	else if (p->type == PART_FILE)
		write_file(x, p);
	else
		write_audio(x, p);
	json_object_end(x->w);
	return 0;
}

/*
 * Messages
 */

static void
begin_message(struct writing *x, struct str role)
{
	json_object(x->w);
	json_pair(x->w, STR("role"), role);
}

/* Of several texts, each a part: some may be where the prompt is to be cached. */
static void
write_text_parts(struct writing *x, const struct chat_part *parts)
{
	json_array(x->w);
	for (const struct chat_part *p = parts; p; p = p->next)
		if (is_text(p))
			write_text_part(x, p);
	json_array_end(x->w);
}

static void
write_system(struct writing *x, const struct chat_message *m)
{
	bool developer = m->developer && !x->c->options->no_developer_role;

	if (!has_text(m->parts))
		return;
	begin_message(x, developer ? STR("developer") : STR("system"));
	json_key(x->w, STR("content"));
	if (any_breaks(x, m->parts)) {
		write_text_parts(x, m->parts);
	} else {
		write_joined(x, m->parts, STR("\\n"));
	}
	json_object_end(x->w);
}

static int
write_user_parts(struct writing *x, const struct chat_message *m)
{
	json_array(x->w);
	for (const struct chat_part *p = m->parts; p; p = p->next) {
		if (is_text(p))
			write_text_part(x, p);
		else if (is_media(p) && write_media(x, m, p) < 0)
			return -1;
	}
	json_array_end(x->w);
	return 0;
}

static int
write_user(struct writing *x, const struct chat_message *m)
{
	const struct chat_part *parts = m->parts;
	bool plain = !has_media(parts) && !any_breaks(x, parts);

	begin_message(x, STR("user"));
	json_key(x->w, STR("content"));
	if (plain && (!parts || !parts->next || !has_text(parts))) {
		write_joined(x, parts, STR(""));
	} else if (write_user_parts(x, m) < 0) {
		return -1;
	}
	json_object_end(x->w);
	return 0;
}

static void
write_calls(struct writing *x, const struct chat_part *p)
{
	json_key(x->w, STR("tool_calls"));
	json_array(x->w);
	for (; p; p = p->next) {
		if (p->type != PART_CALL)
			continue;
		json_object(x->w);
		json_pair_escaped(x->w, STR("id"), chat_tool_id(x->c->arena, p->id, 40));
		json_pair(x->w, STR("type"), STR("function"));
		json_key(x->w, STR("function"));
		json_object(x->w);
		json_pair_escaped(x->w, STR("name"), chat_tool_name(x->c, p->name, 64));
		json_pair_escaped(x->w, STR("arguments"), chat_args_text(x->c, p));
		json_object_end(x->w);
		json_object_end(x->w);
	}
	json_array_end(x->w);
}

static bool
has_type(const struct chat_part *p, enum chat_part_type type)
{
	while (p && p->type != type)
		p = p->next;
	return p != NULL;
}

static void
write_assistant_text(struct writing *x, const struct chat_part *parts)
{
	json_key(x->w, STR("content"));
	if (!has_text(parts) && has_type(parts, PART_CALL)) {
		json_null(x->w);
		return;
	}
	if (any_breaks(x, parts)) {
		write_text_parts(x, parts);
		return;
	}
	write_joined(x, parts, STR(""));
}

static void
write_reasoning(struct writing *x, const struct chat_part *p)
{
	json_key(x->w, x->c->options->reasoning_field);
	json_text_open(x->w);
	for (; p; p = p->next)
		if (p->type == PART_REASONING)
			json_text_more_escaped(x->w, p->text);
	json_text_close(x->w);
}

static void
write_assistant(struct writing *x, const struct chat_message *m)
{
	bool calls = has_type(m->parts, PART_CALL),
	     reasoning =
		     x->c->options->reasoning_field.len > 0 && has_type(m->parts, PART_REASONING);

	if (!calls && !reasoning && !has_text(m->parts))
		return;
	begin_message(x, STR("assistant"));
	write_assistant_text(x, m->parts);
	if (reasoning)
		write_reasoning(x, m->parts);
	if (calls)
		write_calls(x, m->parts);
	json_object_end(x->w);
}

static void
write_result(struct writing *x, const struct chat_part *result)
{
	bool parts = any_breaks(x, result->parts) || breaks(x, result);

	begin_message(x, STR("tool"));
	json_pair_escaped(x->w, STR("tool_call_id"), chat_tool_id(x->c->arena, result->id, 40));
	json_key(x->w, STR("content"));
	if (parts) {
		json_array(x->w);
		begin_text_part(x);
	}
	write_joined(x, result->parts, STR("\\n"));
	if (parts) {
		end_text_part(x, true);
		json_array_end(x->w);
	}
	json_object_end(x->w);
}

static int
write_message(struct writing *x, const struct chat_message *m)
{
	switch (m->role) {
	case CHAT_USER:
		return write_user(x, m);
	case CHAT_TOOL:
		for (const struct chat_part *p = m->parts; p; p = p->next)
			write_result(x, p);
		return 0;
	case CHAT_SYSTEM:
		write_system(x, m);
		return 0;
	case CHAT_ASSISTANT:
		write_assistant(x, m);
		return 0;
	}
	return 0;
}

int
openai_write_messages(struct chat *c, const struct chat_request *q, struct json_writer *w)
{
	struct writing x = { .c = c, .w = w };

	json_array(w);
	for (const struct chat_message *m = q->messages; m; m = m->next)
		if (write_message(&x, m) < 0)
			return -1;
	json_array_end(w);
	return 0;
}
