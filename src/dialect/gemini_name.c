/*
 * gemini_name: names in Gemini's terms: the path that holds the model's, the generation that the
 * model's name tells, and tools' names in Gemini's alphabet (a letter or _ first, then letters,
 * digits and _ . : -, 64 in all; "3d-view" becomes "_3d-view_1a2b3c4d").
 *
 * Called by the other files of the adapter, and by embed. The model's name may be the client's own,
 * so what would make another path of it is refused; else nothing fails but for want of memory.
 */
#include "dialect/gemini_name.h"

#include <string.h>

enum { NAME_MOST = 64 };

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Does it stand for itself in a path? */
static bool
is_path_byte(char c)
{
	return is_letter(c) || is_digit(c) || (c != '\0' && strchr("/.-_~:", c));
}

static bool
is_model(struct str name)
{
	if (name.len == 0 || str_find(name, STR("..")) < name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x20 || c == 0x7F || c == '?' || c == '#')
			return false;
	}
	return true;
}

/* Percent-encoded, but for what a path may hold. p NULL when the arena failed. */
static struct str
path_encoded(struct arena *a, struct str name)
{
	static const char digits[] = "0123456789ABCDEF";
	char *p = arena_alloc(a, name.len * 3), *at = p;

	if (!p)
		return (struct str){ NULL, 0 };
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (is_path_byte(name.p[i])) {
			*at++ = name.p[i];
			continue;
		}
		*at++ = '%';
		*at++ = digits[c >> 4];
		*at++ = digits[c & 15];
	}
	return (struct str){ p, (size_t)(at - p) };
}

bool
gemini_is_resource(struct str target)
{
	return str_starts(target, STR("models/")) || str_starts(target, STR("tunedModels/"));
}

int
gemini_set_path(struct chat *c, struct str method)
{
	struct str model;

	if (!is_model(c->target))
		return chat_refuse(c, STR("model"), "this model's name cannot stand in a path");
	model = path_encoded(c->arena, c->target);
	if (!model.p)
		return chat_no_memory(c);
	c->path = arena_printf(c->arena, "/v1beta/%s%.*s:%.*s",
		gemini_is_resource(c->target) ? "" : "models/", STR_ARG(model), STR_ARG(method));
	return c->path.p ? 0 : chat_no_memory(c);
}

unsigned
gemini_generation(const struct chat *c)
{
	static const struct str firsts[] = { STR_INIT("pro"), STR_INIT("pro-vision"),
		STR_INIT("robotics-er-1.5") };
	struct str name = c->target, prefix = STR("gemini-");
	unsigned n = 0;

	while (str_index(name, '/') < name.len)
		name = str_skip(name, str_index(name, '/') + 1);
	if (!str_eq_nocase(str_head(name, prefix.len), prefix))
		return 0;
	name = str_skip(name, prefix.len);
	for (size_t i = 0; i < name.len && i < 4 && is_digit(name.p[i]); i++)
		n = n * 10 + (unsigned)(name.p[i] - '0');
	for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
		if (str_eq_nocase(name, firsts[i]))
			return 1;
	return n > 0 ? n : 3; /* "gemini-flash-latest": so new at least */
}

static bool
is_tool_name(struct str name)
{
	if (name.len == 0 || name.len > NAME_MOST || !(is_letter(name.p[0]) || name.p[0] == '_'))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!is_letter(name.p[i]) && !is_digit(name.p[i]) && !memchr("_.:-", name.p[i], 4))
			return false;
	return true;
}

struct str
gemini_tool_name(struct chat *c, struct str name)
{
	struct str upstream;

	if (is_tool_name(name))
		return name;
	upstream = chat_tool_id(c->arena, name, 0); /* no name is that short: always mapped */
	if (upstream.p && !is_letter(upstream.p[0]) && upstream.p[0] != '_')
		upstream = arena_printf(c->arena, "_%.*s", STR_ARG(upstream));
	if (!upstream.p || !chat_add_name(c, name, upstream))
		return (struct str){ NULL, 0 };
	return upstream;
}
