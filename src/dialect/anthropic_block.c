/*
 * anthropic_block: the blocks of a message to Anthropic: texts, images, documents, thinking, calls
 * of tools and their results; and which parts of the neutral form become one at all.
 *
 * Called by anthropic_messages, which says what stands where. Refuses parts that Anthropic has no
 * block for, by their place in the client's request. Data in base64 moves as it came; only a
 * document that is plain text is decoded, since Anthropic wants its text.
 */
#include "dialect/anthropic_block.h"

#include <string.h>

/* How many bytes of white space the text ends in: one, an escape, or none. */
static size_t
blank_end(struct str s)
{
	static const char *const codes[] = { "\\u0020", "\\u0009", "\\u000a", "\\u000A", "\\u000b",
		"\\u000B", "\\u000c", "\\u000C", "\\u000d", "\\u000D" };
	size_t len = 0, slashes = 0;

	if (s.len > 0 && s.p[s.len - 1] == ' ')
		return 1;
	if (s.len >= 2 && memchr("nrtf", s.p[s.len - 1], 4) && s.p[s.len - 2] == '\\')
		len = 2;
	for (size_t i = 0; s.len >= 6 && i < sizeof codes / sizeof codes[0]; i++)
		if (memcmp(s.p + s.len - 6, codes[i], 6) == 0)
			len = 6;
	if (len == 0)
		return 0;
	/* an escape only where its backslash is not escaped itself */
	while (slashes < s.len - len + 1 && s.p[s.len - len - slashes] == '\\')
		slashes++;
	return slashes % 2 == 1 ? len : 0;
}

struct str
block_trim(struct str escaped)
{
	for (size_t n = blank_end(escaped); n > 0; n = blank_end(escaped))
		escaped.len -= n;
	return escaped;
}

/* Anthropic refuses a text of white space alone as it does an empty one. */
bool
block_is_text(const struct chat_part *p)
{
	return (p->type == PART_TEXT || p->type == PART_REFUSAL) && block_trim(p->text).len > 0;
}

/* Signatures of Gemini's are refused by Anthropic. */
bool
block_is_thinking(const struct chat_part *p)
{
	if (p->type == PART_REASONING)
		return p->signature.len > 0 && !str_starts(p->signature, STR(GEMINI_SIGNATURE));
	return p->type == PART_REDACTED && p->text.len > 0;
}

void
block_open(struct json_writer *w, const char *type)
{
	json_object(w);
	json_pair(w, STR("type"), str_of(type));
}

static void
block_close(struct json_writer *w, struct str cache)
{
	if (cache.len > 0)
		json_pair_value(w, STR("cache_control"), cache);
	json_object_end(w);
}

void
block_text(struct json_writer *w, const struct chat_part *p)
{
	block_open(w, "text");
	json_pair_escaped(w, STR("text"), p->text);
	block_close(w, p->cache);
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* What the base64 text (escaped) holds. p NULL: it is none, or memory is out. */
static struct str
decode_base64(struct arena *a, struct str escaped)
{
	struct str in = json_unescape(escaped, a), none = { NULL, 0 };
	char *p = arena_alloc(a, in.len / 4 * 3 + 3);
	size_t n = 0, i;
	unsigned bits = 0, held = 0;

	if (!in.p || !p)
		return none;
	while (in.len > 0 && memchr("= \t\r\n", in.p[in.len - 1], 5))
		in.len--;
	for (i = 0; i < in.len; i++) {
		int v = base64_value(in.p[i]);

		if (v < 0 && memchr(" \t\r\n", in.p[i], 4))
			continue;
		if (v < 0)
			return none;
		held = (held << 6 | (unsigned)v) & 0xFFFF;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			p[n++] = (char)(held >> bits & 0xFF);
		}
	}
	return (struct str){ p, n };
}

static const struct str pictures[] = { STR_INIT("image/jpeg"), STR_INIT("image/png"),
	STR_INIT("image/gif"), STR_INIT("image/webp") };
static const struct str pdf = STR_INIT("application/pdf");

/* The media type in its usual letters, if Anthropic shows the model such data; else p NULL. */
static struct str
known_media(struct str media)
{
	for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++)
		if (str_eq_nocase(media, pictures[i]))
			return pictures[i];
	return str_eq_nocase(media, pdf) ? pdf : (struct str){ NULL, 0 };
}

static void
write_source(struct json_writer *w, const char *type, struct str media, struct str data)
{
	json_key(w, STR("source"));
	block_open(w, type);
	if (media.len > 0)
		json_pair(w, STR("media_type"), media);
	json_pair_escaped(w, media.len > 0 ? STR("data") : STR("url"), data);
	json_object_end(w);
}

static void
end_media(struct json_writer *w, const struct chat_part *p, bool document)
{
	if (document && p->title.len > 0)
		json_pair_escaped(w, STR("title"), p->title);
	block_close(w, p->cache);
}

/* A document that is plain text. */
static int
write_plain(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w)
{
	struct str text = p->source.text;
	bool coded = p->source.kind == SOURCE_DATA;

	if (coded)
		text = decode_base64(c->arena, text);
	if (!text.p)
		return c->arena->failed
			? chat_no_memory(c)
			: chat_refuse_part(c, m, p, "the file's data is no valid base64");
	block_open(w, "document");
	json_key(w, STR("source"));
	block_open(w, "text");
	json_pair(w, STR("media_type"), STR("text/plain"));
	if (coded)
		json_pair(w, STR("data"), text);
	else
		json_pair_escaped(w, STR("data"), text);
	json_object_end(w);
	end_media(w, p, true);
	return 0;
}

static int
write_data(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w)
{
	struct str media = known_media(p->source.media);

	if (!media.p && p->type == PART_FILE &&
		str_eq_nocase(str_head(p->source.media, 5), STR("text/")))
		return write_plain(c, m, p, w);
	if (!media.p)
		return chat_refuse_part(c, m, p,
			"data of type `%.*s` cannot be sent to this model's provider; it takes "
			"image/jpeg, image/png, image/gif, image/webp, application/pdf and, as a "
			"file, text",
			(int)(p->source.media.len < 64 ? p->source.media.len : 64),
			p->source.media.p);
	block_open(w, str_eq(media, pdf) ? "document" : "image");
	write_source(w, "base64", media, p->source.text);
	end_media(w, p, str_eq(media, pdf));
	return 0;
}

/* An image or a file. */
static int
write_media(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w)
{
	switch (p->source.kind) {
	case SOURCE_DATA:
		return write_data(c, m, p, w);
	case SOURCE_TEXT:
		return write_plain(c, m, p, w);
	case SOURCE_ID:
		return chat_refuse_part(c, m, p,
			"this model's provider does not know the files of another; send the data");
	case SOURCE_URL:
		break;
	}
	if (!chat_is_web_url(p->source.text))
		return chat_refuse_part(c, m, p,
			"the URL must be of http or https, or a data URL in base64");
	block_open(w, p->type == PART_FILE ? "document" : "image");
	write_source(w, "url", STR(""), p->source.text);
	end_media(w, p, p->type == PART_FILE);
	return 0;
}

/* A part of a user's message or of a tool's result. */
int
block_part(struct chat *c, const struct chat_message *m, const struct chat_part *p,
	struct json_writer *w)
{
	switch (p->type) {
	case PART_TEXT:
	case PART_REFUSAL:
		if (block_is_text(p))
			block_text(w, p);
		return 0;
	case PART_IMAGE:
	case PART_FILE:
		return write_media(c, m, p, w);
	case PART_AUDIO:
		return chat_refuse_part(c, m, p, "this model's provider does not take audio");
	default:
		return 0;
	}
}

bool
block_is_told(const struct chat_part *p)
{
	return block_is_text(p) || p->type == PART_IMAGE || p->type == PART_FILE ||
		p->type == PART_AUDIO;
}

int
block_result(struct chat *c, const struct chat_message *m, const struct chat_part *r,
	struct json_writer *w)
{
	const struct chat_part *first = r->parts;

	while (first && !block_is_told(first))
		first = first->next;
	block_open(w, "tool_result");
	json_pair(w, STR("tool_use_id"), chat_tool_id(c->arena, r->id, ANTHROPIC_ID_MOST));
	if (first && m->bare && first->type == PART_TEXT && !first->next) {
		json_pair_escaped(w, STR("content"), first->text);
	} else if (first) {
		json_key(w, STR("content"));
		json_array(w);
		for (const struct chat_part *p = first; p; p = p->next)
			if (block_part(c, m, p, w) < 0)
				return -1;
		json_array_end(w);
	}
	if (r->failed)
		json_pair_value(w, STR("is_error"), STR("true"));
	block_close(w, r->cache);
	return 0;
}

void
block_call(struct chat *c, const struct chat_part *p, struct json_writer *w)
{
	block_open(w, "tool_use");
	json_pair(w, STR("id"), chat_tool_id(c->arena, p->id, ANTHROPIC_ID_MOST));
	json_pair_escaped(w, STR("name"), chat_tool_name(c, p->name, ANTHROPIC_NAME_MOST));
	json_pair_value(w, STR("input"), chat_args_object(c, p));
	block_close(w, p->cache);
}

void
block_thinking(const struct chat_part *p, struct json_writer *w)
{
	if (p->type == PART_REASONING) {
		block_open(w, "thinking");
		json_pair_escaped(w, STR("thinking"), p->text);
		json_pair_escaped(w, STR("signature"), p->signature);
	} else {
		block_open(w, "redacted_thinking");
		json_pair_escaped(w, STR("data"), p->text);
	}
	json_object_end(w);
}
