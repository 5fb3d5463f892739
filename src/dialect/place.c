/*
 * place: refusals that name the value which they refuse by its path
 * ("messages[3].content[0].text"), and members of a client's body read with the type that they must
 * have.
 *
 * For adapters that read a deep request. A place is a chain of structs on the reader's stack, from
 * the value up to the top of the body, so that a request in which all is well composes no text.
 * What is missing and needed is refused in Anthropic's words ("Field required").
 */
#include "dialect/place.h"

#include <stdarg.h>
#include <stdio.h>

enum { LEVELS_MOST = 8, PATH_MOST = 256, TEXT_MOST = 384, QUOTE_MOST = 64 };

/* The path, cut where it would be too long. */
static struct str
path_of(const struct place *at, char out[PATH_MOST])
{
	const struct place *levels[LEVELS_MOST];
	size_t n = 0, len = 0;

	for (; at && n < LEVELS_MOST; at = at->in)
		levels[n++] = at;
	while (n > 0 && len < PATH_MOST - 1) {
		const struct place *p = levels[--n];
		int more = snprintf(out + len, PATH_MOST - len, "%s%.*s", len > 0 ? "." : "",
			STR_ARG(p->name));

		len += more > 0 ? (size_t)more : 0;
		if (p->index < 0 || len >= PATH_MOST - 1)
			continue;
		more = snprintf(out + len, PATH_MOST - len, "[%lld]", (long long)p->index);
		len += more > 0 ? (size_t)more : 0;
	}
	return (struct str){ out, len < PATH_MOST ? len : PATH_MOST - 1 };
}

int
place_refuse(struct chat *c, const struct place *at, const char *fmt, ...)
{
	char path[PATH_MOST], text[TEXT_MOST];
	struct str param = path_of(at, path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return chat_refuse(c, param, "%.*s: %s", STR_ARG(param), text);
}

int
place_get(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, enum json_type type, bool needed,
	const struct json_token **out)
{
	const struct place here = { at, name, -1 };

	*out = json_get(d, object, name);
	if (!*out)
		return needed ? place_refuse(c, &here, "Field required") : 0;
	if ((*out)->type != type)
		return place_refuse(c, &here, "must be %s", chat_type_words(type));
	return 0;
}

int
place_text(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, bool needed, struct str *out)
{
	const struct json_token *t;

	*out = STR("");
	if (place_get(c, d, object, at, name, JSON_STRING, needed, &t) < 0)
		return -1;
	if (t)
		*out = json_doc_inner(d, t);
	return 0;
}

int
place_flag(struct chat *c, const struct json_doc *d, const struct json_token *object,
	const struct place *at, struct str name, bool *out)
{
	const struct place here = { at, name, -1 };
	const struct json_token *t = json_get(d, object, name);

	*out = t && t->type == JSON_TRUE;
	if (t && t->type != JSON_TRUE && t->type != JSON_FALSE)
		return place_refuse(c, &here, "must be %s", chat_type_words(JSON_TRUE));
	return 0;
}

struct str
place_quote(struct str word)
{
	return str_head(word, QUOTE_MOST);
}
