/*
 * openai_client_reply: a whole answer as one chat completion (OpenAI API reference: the chat
 * completion object), with the extensions that clients know: reasoning_content, thinking_blocks
 * where the provider signed them, images.
 *
 * Called by translate through openai_client, with what chat_reply gathered: it says the same as the
 * stream would. Fails only for want of memory (c->arena, or `out`, where it is sticky).
 */
#include "dialect/openai_client_reply.h"

#include "dialect/openai_client_chunk.h"

/* All parts of one kind as one string. */
static void
write_parts(struct json_writer *w, const struct chat_reply_choice *h, enum chat_event_type type)
{
	json_text_open(w);
	reply_text(w, h, type);
	json_text_close(w);
}

static bool
has_text(const struct chat_reply_choice *h, enum chat_event_type type)
{
	for (const struct chat_reply_part *p = h->parts; p; p = p->next)
		for (const struct chat_piece *t = p->type == type ? p->pieces : NULL; t;
			t = t->next)
			if (t->text.len > 0)
				return true;
	return false;
}

static void
write_refusal(struct json_writer *w, const struct chat_reply_choice *h, bool refused)
{
	json_key(w, STR("refusal"));
	if (!refused) {
		json_null(w);
		return;
	}
	json_text_open(w);
	reply_text(w, h, EVENT_REFUSAL);
	json_text_more_escaped(w, h->explanation);
	json_text_close(w);
}

static bool
is_block(const struct chat_reply_part *p)
{
	return p->type == EVENT_REDACTED || (p->type == EVENT_REASONING && p->signature.len > 0);
}

/* Reasoning that its provider signed, so that the client can give it back. */
static void
write_blocks(struct json_writer *w, const struct chat_reply_choice *h)
{
	bool any = false;

	for (const struct chat_reply_part *p = h->parts; p; p = p->next) {
		bool redacted = p->type == EVENT_REDACTED;

		if (!is_block(p))
			continue;
		if (!any) {
			json_key(w, STR("thinking_blocks"));
			json_array(w);
		}
		any = true;
		json_object(w);
		json_pair(w, STR("type"), redacted ? STR("redacted_thinking") : STR("thinking"));
		json_key(w, redacted ? STR("data") : STR("thinking"));
		chat_write_pieces(w, p->pieces);
		if (!redacted)
			json_pair_escaped(w, STR("signature"), p->signature);
		json_object_end(w);
	}
	if (any)
		json_array_end(w);
}

static void
write_call(struct json_writer *w, const struct chat_reply_part *p, bool legacy)
{
	size_t len = 0;

	json_object(w);
	call_head(p->id, p->name, p->custom, legacy, w->out);
	for (const struct chat_piece *t = p->pieces; t; t = t->next) {
		len += t->text.len;
		if (t->plain)
			json_escape(w->out, t->text);
		else
			buf_add(w->out, t->text);
	}
	if (len == 0 && !p->custom)
		buf_add(w->out, STR("{}"));
	call_tail(p->signature, legacy, w->out);
	json_object_end(w);
}

static void
write_calls(struct json_writer *w, const struct chat_reply_choice *h, bool legacy)
{
	bool any = false;

	for (const struct chat_reply_part *p = h->parts; p; p = p->next) {
		if (p->type != EVENT_CALL || (any && legacy))
			continue;
		if (!any)
			json_key(w, legacy ? STR("function_call") : STR("tool_calls"));
		if (!any && !legacy)
			json_array(w);
		any = true;
		write_call(w, p, legacy);
	}
	if (any && !legacy)
		json_array_end(w);
}

static void
write_raws(struct json_writer *w, const struct chat_piece *raws)
{
	json_array(w);
	for (; raws; raws = raws->next)
		if (raws->text.len > 0)
			json_value(w, raws->text);
	json_array_end(w);
}

static void
write_images(struct json_writer *w, const struct chat_reply_choice *h)
{
	if (!chat_has_part(h, EVENT_IMAGE))
		return;
	json_key(w, STR("images"));
	json_array(w);
	for (const struct chat_reply_part *p = h->parts; p; p = p->next) {
		if (p->type != EVENT_IMAGE)
			continue;
		json_object(w);
		json_pair(w, STR("type"), STR("image_url"));
		json_key(w, STR("image_url"));
		json_object(w);
		json_key(w, STR("url"));
		json_text_open(w);
		json_text_more(w, STR("data:"));
		json_text_more_escaped(w, p->media);
		json_text_more(w, STR(";base64,"));
		for (const struct chat_piece *t = p->pieces; t; t = t->next)
			json_text_more_escaped(w, t->text);
		json_text_close(w);
		json_object_end(w);
		json_object_end(w);
	}
	json_array_end(w);
}

static void
write_message(struct json_writer *w, const struct chat_reply_choice *h, bool legacy)
{
	bool calls = chat_has_part(h, EVENT_CALL),
	     refused = has_text(h, EVENT_REFUSAL) || h->explanation.len > 0;

	json_object(w);
	json_pair(w, STR("role"), STR("assistant"));
	json_key(w, STR("content"));
	if (has_text(h, EVENT_TEXT) || (!calls && !refused))
		write_parts(w, h, EVENT_TEXT);
	else
		json_null(w);
	write_refusal(w, h, refused);
	if (has_text(h, EVENT_REASONING)) {
		json_key(w, STR("reasoning_content"));
		write_parts(w, h, EVENT_REASONING);
	}
	write_blocks(w, h);
	write_calls(w, h, legacy);
	if (h->citations) {
		json_key(w, STR("annotations"));
		write_raws(w, h->citations);
	}
	write_images(w, h);
	json_object_end(w);
}

static void
write_choice(struct json_writer *w, const struct chat_reply_choice *h, bool legacy)
{
	json_object(w);
	json_key(w, STR("index"));
	json_number(w, h->index);
	json_key(w, STR("message"));
	write_message(w, h, legacy);
	json_key(w, STR("logprobs"));
	if (h->logprobs) {
		json_object(w);
		json_key(w, STR("content"));
		write_raws(w, h->logprobs);
		json_key(w, STR("refusal"));
		json_null(w);
		json_object_end(w);
	} else {
		json_null(w);
	}
	json_pair(w, STR("finish_reason"),
		finish_word(h->stop, chat_has_part(h, EVENT_CALL), legacy));
	json_object_end(w);
}

void
openai_client_reply(struct chat *c, const struct chat_reply *reply, struct buf *out)
{
	struct str id = reply->id;
	struct json_writer w;

	if (id.len == 0)
		id = chat_make_id(c, c->arena, STR("chatcmpl-"));
	if (!id.p)
		return;
	json_writer_init(&w, out);
	reply_open(c, reply, &w, STR("chat.completion"), id);
	for (const struct chat_reply_choice *h = reply->choices; h; h = h->next)
		write_choice(&w, h, c->functions);
	reply_close(reply, &w, reply->usage.tier);
}
