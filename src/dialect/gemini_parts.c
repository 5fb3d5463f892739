/*
 * gemini_parts: the entries of Gemini's contents, opened and closed as turns change, and what users
 * send in them: text, images, sounds, files.
 *
 * Called by gemini_contents and gemini_results. Data goes inline with its media type; a web address
 * goes as it is, with the type that its end tells. Refused (c->error): files known by an id, other
 * addresses, and data of which nothing tells the type. Nothing else fails but the buffer, where it
 * is sticky.
 */
#include "dialect/gemini_private.h"

/*
 * Turns
 */

void
gemini_turn_close(struct gemini_contents *x)
{
	if (x->turn == TURN_NONE)
		return;
	json_array_end(x->w);
	json_object_end(x->w);
	x->turn = TURN_NONE;
}

void
gemini_turn_open(struct gemini_contents *x, enum gemini_turn turn)
{
	if (x->turn == turn)
		return;
	gemini_turn_close(x);
	x->turn = turn;
	json_object(x->w);
	json_pair(x->w, STR("role"), turn == TURN_MODEL ? STR("model") : STR("user"));
	json_key(x->w, STR("parts"));
	json_array(x->w);
	if (turn == TURN_MODEL) {
		x->called = false;
		x->turn_calls = x->calls_seen;
	}
}

/*
 * Parts
 */

void
gemini_write_text(struct gemini_contents *x, struct str text)
{
	json_object(x->w);
	json_pair_escaped(x->w, STR("text"), text);
	json_object_end(x->w);
}

/* The media type that an address or the name of a file tells by its end; empty: none. */
static struct str
media_of(struct str url)
{
	static const struct {
		struct str end, media;
	} known[] = {
		{ STR_INIT("png"), STR_INIT("image/png") },
		{ STR_INIT("jpg"), STR_INIT("image/jpeg") },
		{ STR_INIT("jpeg"), STR_INIT("image/jpeg") },
		{ STR_INIT("gif"), STR_INIT("image/gif") },
		{ STR_INIT("webp"), STR_INIT("image/webp") },
		{ STR_INIT("heic"), STR_INIT("image/heic") },
		{ STR_INIT("pdf"), STR_INIT("application/pdf") },
		{ STR_INIT("mp3"), STR_INIT("audio/mp3") },
		{ STR_INIT("wav"), STR_INIT("audio/wav") },
		{ STR_INIT("mp4"), STR_INIT("video/mp4") },
	};
	struct str path = str_head(url, str_index(url, '?'));
	size_t dot;

	path = str_head(path, str_index(path, '#'));
	for (dot = path.len; dot > 0 && path.p[dot - 1] != '.' && path.p[dot - 1] != '/';)
		dot--;
	path = dot > 0 && path.p[dot - 1] == '.' ? str_skip(path, dot) : STR("");
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_eq_nocase(path, known[i].end))
			return known[i].media;
	return STR("");
}

static int
write_url(struct gemini_contents *x, const struct chat_message *m, const struct chat_part *p)
{
	struct str url = p->source.text, media = p->source.media;

	if (!chat_is_web_url(url) && !str_eq_nocase(str_head(url, 3), STR("gs:")))
		return chat_refuse_part(x->c, m, p,
			"this model's provider takes data, https and gs addresses alone");
	if (media.len == 0)
		media = media_of(url);
	if (media.len == 0)
		media = p->type == PART_FILE ? STR("application/pdf") : STR("image/jpeg");
	json_object(x->w);
	json_key(x->w, STR("fileData"));
	json_object(x->w);
	json_pair_escaped(x->w, STR("fileUri"), url);
	json_pair_escaped(x->w, STR("mimeType"), media);
	json_object_end(x->w);
	json_object_end(x->w);
	return 0;
}

static int
write_data(struct gemini_contents *x, const struct chat_message *m, const struct chat_part *p)
{
	struct str media = p->source.media;

	if (media.len == 0)
		media = media_of(p->title);
	if (media.len == 0)
		return chat_refuse_part(x->c, m, p, "its media type is missing");
	json_object(x->w);
	json_key(x->w, STR("inlineData"));
	json_object(x->w);
	json_pair_escaped(x->w, STR("mimeType"), media);
	json_pair_escaped(x->w, STR("data"), p->source.text);
	json_object_end(x->w);
	json_object_end(x->w);
	return 0;
}

int
gemini_write_source(struct gemini_contents *x, const struct chat_message *m,
	const struct chat_part *p)
{
	switch (p->source.kind) {
	case SOURCE_DATA:
		return write_data(x, m, p);
	case SOURCE_URL:
		return write_url(x, m, p);
	case SOURCE_TEXT: /* a text by now (chat_adapt_parts) */
	case SOURCE_ID:
		break;
	}
	return chat_refuse_part(x->c, m, p,
		"this model's provider does not know files by these ids; send the data");
}

bool
gemini_is_source(const struct chat_part *p)
{
	return p->type == PART_IMAGE || p->type == PART_FILE || p->type == PART_AUDIO;
}
