/*
 * unsigned: the one thing that is changed, beside the model's name, in a request that stays in
 * Anthropic's dialect: thinking blocks that a provider of another dialect gave (with an empty
 * signature, or Gemini's behind a mark) are taken out, since Anthropic answers 400 to them.
 *
 * Called by attempt for bodies that are stored. Most hold no such block: a search for the bytes of
 * a signature like that decides, and such a body is not even parsed. Fails for want of memory only;
 * what is no conversation as it should be is left as it is, for the provider to judge.
 */
#include "dialect/unsigned.h"

#include <string.h>

#include "dialect/chat.h"

enum { KEEP = 6 };

static size_t
space(struct str s, size_t at)
{
	while (at < s.len && memchr(" \t\r\n", s.p[at], 4))
		at++;
	return at;
}

bool
unsigned_may_be(struct str body)
{
	struct str name = STR("\"signature\"");

	for (;;) {
		size_t at = str_find(body, name);

		if (at == body.len)
			return false;
		body = str_skip(body, at + name.len);
		at = space(body, 0);
		if (at == body.len || body.p[at] != ':')
			continue;
		at = space(body, at + 1);
		if (str_starts(str_skip(body, at), STR("\"\"")) ||
			str_starts(str_skip(body, at), STR("\"" GEMINI_SIGNATURE)))
			return true;
	}
}

static bool
is_unsigned(const struct json_doc *d, const struct json_token *block)
{
	struct str signature = json_get_text(d, block, STR("signature"));

	return json_get_is(d, block, STR("type"), STR("thinking")) &&
		(signature.len == 0 || str_starts(signature, STR(GEMINI_SIGNATURE)));
}

/* Blocks of a message by what matters here. */
struct blocks {
	unsigned kept, removed;
	bool thinks, calls;
};

static struct blocks
look(const struct json_doc *d, const struct json_token *message)
{
	const struct json_token *content = json_get_type(d, message, STR("content"), JSON_ARRAY);
	struct blocks b = { 0 };

	if (!json_get_is(d, message, STR("role"), STR("assistant")))
		return b;
	for (const struct json_token *t = json_first(d, content); t; t = json_next(d, content, t)) {
		if (is_unsigned(d, t)) {
			b.removed++;
			continue;
		}
		b.kept++;
		b.thinks |= json_get_is(d, t, STR("type"), STR("thinking")) ||
			json_get_is(d, t, STR("type"), STR("redacted_thinking"));
		b.calls |= json_get_is(d, t, STR("type"), STR("tool_use"));
	}
	return b;
}

static void
write_key(struct json_writer *w, const struct json_doc *d, const struct json_token *key)
{
	json_value(w, json_doc_raw(d, key));
	buf_add(w->out, STR(":"));
	w->comma = false;
}

static void
write_message(struct json_writer *w, const struct json_doc *d, const struct json_token *message)
{
	struct blocks b = look(d, message);

	if (b.removed == 0) {
		json_value(w, json_doc_raw(d, message));
		return;
	}
	if (b.kept == 0)
		return; /* a message must not be empty, and two users' in a row are one */
	json_object(w);
	for (const struct json_token *key = json_first(d, message); key;
		key = json_next(d, message, key)) {
		write_key(w, d, key);
		if (!json_doc_is(d, key, STR("content"))) {
			json_value(w, json_doc_raw(d, key + 1));
			continue;
		}
		json_array(w);
		for (const struct json_token *t = json_first(d, key + 1); t;
			t = json_next(d, key + 1, t))
			if (!is_unsigned(d, t))
				json_value(w, json_doc_raw(d, t));
		json_array_end(w);
	}
	json_object_end(w);
}

/* How many blocks go, and whether the last call of tools is left without a thought. */
static unsigned
look_through(const struct json_doc *d, const struct json_token *messages, bool *thoughtless)
{
	unsigned removed = 0;

	*thoughtless = false;
	for (const struct json_token *m = json_first(d, messages); m;
		m = json_next(d, messages, m)) {
		struct blocks b = look(d, m);

		removed += b.removed;
		if (b.kept > 0)
			*thoughtless = b.calls && !b.thinks;
	}
	return removed;
}

int
unsigned_remove(struct arena *a, struct str body, struct str model, struct buf *out)
{
	const struct json_token *top, *messages;
	struct json_writer w;
	struct json_doc d;
	bool thoughtless;

	if (json_doc_read(&d, a, body, KEEP, JSON_DEPTH_MAX) < 0)
		return a->failed ? -1 : 0;
	top = json_doc_top(&d);
	messages = json_get_type(&d, top, STR("messages"), JSON_ARRAY);
	if (look_through(&d, messages, &thoughtless) == 0)
		return 0;
	json_writer_init(&w, out);
	json_object(&w);
	for (const struct json_token *key = json_first(&d, top); key;
		key = json_next(&d, top, key)) {
		bool is_messages = key + 1 == messages;

		if (thoughtless && json_doc_is(&d, key, STR("thinking")))
			continue;
		write_key(&w, &d, key);
		if (model.len > 0 && json_doc_is(&d, key, STR("model"))) {
			json_value(&w, model);
		} else if (!is_messages) {
			json_value(&w, json_doc_raw(&d, key + 1));
		} else {
			json_array(&w);
			for (const struct json_token *m = json_first(&d, messages); m;
				m = json_next(&d, messages, m))
				write_message(&w, &d, m);
			json_array_end(&w);
		}
	}
	json_object_end(&w);
	return out->failed ? -1 : 1;
}
