/*
 * anthropic_model: what Anthropic's models differ in, by their names: how they think, and what they
 * refuse with a 400 (@ai-sdk/anthropic, getModelCapabilities).
 *
 * Called by anthropic_request for what the administrator did not say in model_options. Names hold a
 * family and a version in any order (claude-3-haiku-20240307, claude-opus-4-5-20251101), also
 * inside other providers' (anthropic/claude-sonnet-4.5). Never fails: what is not known is taken
 * for a model of today.
 */
#include "dialect/anthropic_model.h"

#include <string.h>

/* The last row that fits counts. */
static const struct {
	const char *family; /* part of the name; "": any */
	unsigned since;     /* 100 for each major version */
	struct anthropic_model is;
} models[] = {
	{ "", 1, { .budget = true, .no_structured_output = true } },
	{ "", 401, { .budget = true } },
	{ "", 406, { 0 } },
	{ "", 407, { .no_sampling = true } },
	{ "fable", 500, { .no_sampling = true, .always_thinks = true } },
	{ "fable", 501, { .no_sampling = true, .always_thinks = true, .no_forced_tools = true } },
	{ "", 505, { .no_sampling = true, .always_thinks = true, .no_forced_tools = true } },
	{ "haiku", 505, { .no_sampling = true } },
};

/* The next piece of a name, between marks. */
static struct str
next_piece(struct str *rest)
{
	size_t n = 0;
	struct str piece;

	while (n < rest->len && !memchr("-._@:/", rest->p[n], 6))
		n++;
	piece = str_head(*rest, n);
	*rest = str_skip(*rest, n + 1);
	return piece;
}

/* The version in claude-opus-4-5-20251101, claude-3-haiku, anthropic.claude-sonnet-4.5: 405, 300,
 * 405. 0: there is none. A date is no part of it. */
static unsigned
version_of(struct str name)
{
	struct str rest = str_skip(name, str_find(name, STR("claude-")));
	uint64_t major, minor;

	while (rest.len > 0) {
		struct str piece = next_piece(&rest);

		if (piece.len > 2 || str_u64(piece, &major) < 0)
			continue;
		piece = next_piece(&rest);
		if (piece.len > 2 || str_u64(piece, &minor) < 0)
			minor = 0;
		return (unsigned)(major * 100 + minor);
	}
	return 0;
}

struct anthropic_model
anthropic_model_of(struct str name)
{
	struct anthropic_model found = { 0 };
	unsigned version = version_of(name);

	for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
		struct str family = str_of(models[i].family);

		if (version >= models[i].since &&
			(family.len == 0 || str_find(name, family) < name.len))
			found = models[i].is;
	}
	return found;
}
