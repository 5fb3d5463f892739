/*
 * usage: reads a `usage` object, of any dialect.
 *
 * Called by watch in two ways. usage_read takes the tokens of a text and is the rule. Where a reply
 * passes with its usage in one piece, usage_in_passing reads the object as nearly all services
 * write it in one go, without tokens or memory: names without escapes, none twice; of values whole
 * numbers and fractions, plain strings, literals, and one level of objects. It takes nothing that
 * the tokeniser would not, and what is not so, or not all there, it leaves to the tokeniser. That
 * is a fifth of the instructions, of which a plain request has few enough to feel it.
 *
 * Names are found by their length, which few share, and then compared.
 */
#include "dialect/usage.h"

#include <string.h>

#include "json/read.h"

/* What is counted, and the objects of details that some of it stands in. */
enum {
	PROMPT,
	INPUT,
	COMPLETION,
	OUTPUT,
	CACHE_READ,
	CACHE_CREATION,
	CACHED,
	CACHE_WRITE,
	REASONING,
	THINKING,
	COUNTS,
	PROMPT_DETAILS = COUNTS,
	INPUT_DETAILS,
	COMPLETION_DETAILS,
	OUTPUT_DETAILS,
	NAMES
};
enum { AT_TOP, AT_IN, AT_OUT, PLACES, AT_OTHER = PLACES };

#define NAME(place, holds, same, name)                     \
	{                                                  \
		sizeof(name) - 1, place, holds, same, name \
	}
static const struct {
	uint8_t len, at, holds; /* the place that it stands in, and that which it is */
	uint8_t same;           /* the next one of that length; NAMES for none */
	char text[28];
} names[NAMES] = {
	[PROMPT] = NAME(AT_TOP, AT_OTHER, OUTPUT, "prompt_tokens"),
	[INPUT] = NAME(AT_TOP, AT_OTHER, NAMES, "input_tokens"),
	[COMPLETION] = NAME(AT_TOP, AT_OTHER, NAMES, "completion_tokens"),
	[OUTPUT] = NAME(AT_TOP, AT_OTHER, CACHED, "output_tokens"),
	[CACHE_READ] = NAME(AT_TOP, AT_OTHER, NAMES, "cache_read_input_tokens"),
	[CACHE_CREATION] = NAME(AT_TOP, AT_OTHER, NAMES, "cache_creation_input_tokens"),
	[CACHED] = NAME(AT_IN, AT_OTHER, NAMES, "cached_tokens"),
	[CACHE_WRITE] = NAME(AT_IN, AT_OTHER, NAMES, "cache_write_tokens"),
	[REASONING] = NAME(AT_OUT, AT_OTHER, NAMES, "reasoning_tokens"),
	[THINKING] = NAME(AT_OUT, AT_OTHER, NAMES, "thinking_tokens"),
	[PROMPT_DETAILS] = NAME(AT_TOP, AT_IN, OUTPUT_DETAILS, "prompt_tokens_details"),
	[INPUT_DETAILS] = NAME(AT_TOP, AT_IN, NAMES, "input_tokens_details"),
	[COMPLETION_DETAILS] = NAME(AT_TOP, AT_OUT, NAMES, "completion_tokens_details"),
	[OUTPUT_DETAILS] = NAME(AT_TOP, AT_OUT, NAMES, "output_tokens_details"),
};

/* The first one of each length, and 1. */
static const uint8_t of_length[] = {
	[12] = INPUT + 1,
	[13] = PROMPT + 1,
	[15] = THINKING + 1,
	[16] = REASONING + 1,
	[17] = COMPLETION + 1,
	[18] = CACHE_WRITE + 1,
	[20] = INPUT_DETAILS + 1,
	[21] = PROMPT_DETAILS + 1,
	[23] = CACHE_READ + 1,
	[25] = COMPLETION_DETAILS + 1,
	[27] = CACHE_CREATION + 1,
};

static struct str
name_of(unsigned i)
{
	return (struct str){ names[i].text, names[i].len };
}

static int64_t
either(int64_t a, int64_t b)
{
	return a >= 0 ? a : b;
}

static int64_t
less(int64_t n, int64_t part)
{
	if (n < 0 || part < 0)
		return n;
	return part < n ? n - part : 0;
}

/* The counts of any dialect's usage, each -1 where there is none. OpenAI's details are parts of the
 * whole, Anthropic's cache counts stand beside it. */
static void
usage_take(struct watch *w, const int64_t n[COUNTS])
{
	struct usage u = {
		.input = less(less(either(n[PROMPT], n[INPUT]), n[CACHED]), n[CACHE_WRITE]),
		.output = either(n[COMPLETION], n[OUTPUT]),
		.cache_read = either(n[CACHED], n[CACHE_READ]),
		.cache_write = either(n[CACHE_WRITE], n[CACHE_CREATION]),
		.reasoning = either(n[REASONING], n[THINKING]),
	};

	if (u.input < 0 && u.output < 0)
		return;
	if (w->endpoint->client == DIALECT_ANTHROPIC) { /* cumulative, each field by itself */
		u.input = either(u.input, w->usage.input);
		u.output = either(u.output, w->usage.output);
		u.cache_read = either(u.cache_read, w->usage.cache_read);
		u.cache_write = either(u.cache_write, w->usage.cache_write);
		u.reasoning = either(u.reasoning, w->usage.reasoning);
	}
	w->usage = u;
	w->has_usage = true;
}

/* A member of an object; NULL when there is none, or no object. */
static const struct json_token *
member(const struct json_scan *s, struct str text, const struct json_token *object, struct str name)
{
	return object != NULL ? json_member(s, text, object, name, NULL) : NULL;
}

void
usage_read(struct watch *w, const struct json_scan *s, struct str text, const struct json_token *t)
{
	const struct json_token *places[PLACES] = { t };
	int64_t n[COUNTS];

	for (unsigned i = PROMPT_DETAILS; i < NAMES; i++) {
		const struct json_token **details = &places[names[i].holds];
		if (*details == NULL)
			*details = member(s, text, t, name_of(i));
	}
	for (unsigned i = 0; i < COUNTS; i++) {
		const struct json_token *number = member(s, text, places[names[i].at], name_of(i));
		uint64_t value;
		n[i] = -1;
		if (number != NULL && json_u64(text, number, &value) == 0)
			n[i] = value > INT64_MAX ? INT64_MAX : (int64_t)value;
	}
	usage_take(w, n);
}

struct passing {
	const char *end;
	uint32_t seen; /* a bit for each name; the two of details for one place share theirs */
	int64_t n[COUNTS];
};

/* These give what follows the part that they read; NULL when it is not plain. */
typedef const char *plain_part(struct passing *u, const char *p, unsigned at);

/* Past white space. Something must follow. */
static inline const char *
white(const struct passing *u, const char *p)
{
	while (p < u->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p < u->end ? p : NULL;
}

/* Behind a string's quote. */
static const char *
plain_string(const struct passing *u, const char *p)
{
	p += json_plain_run(p, (size_t)(u->end - p));
	return p < u->end && *p == '"' ? p + 1 : NULL;
}

static const char *
digits(const struct passing *u, const char *p, int64_t *n)
{
	const char *most = u->end - p > 18 ? p + 18 : u->end, *from = p;

	for (*n = 0; p < most && (unsigned char)(*p - '0') < 10; p++)
		*n = *n * 10 + (*p - '0');
	return p > from ? p : NULL;
}

/* *n is -1 where the number is not whole. */
static const char *
plain_number(const struct passing *u, const char *p, int64_t *n)
{
	const char *to = digits(u, p, n);

	if (to == NULL || (*p == '0' && to - p > 1))
		return NULL;
	if (to == u->end || *to != '.')
		return to;
	to = digits(u, to + 1, n);
	*n = -1;
	return to;
}

static const char *
plain_word(const struct passing *u, const char *p, struct str word)
{
	return str_starts((struct str){ p, (size_t)(u->end - p) }, word) ? p + word.len : NULL;
}

static plain_part plain_object;

static const char *
plain_value(struct passing *u, const char *p, unsigned into, int64_t *n)
{
	switch (*p) {
	case '"':
		return plain_string(u, p + 1);
	case '{':
		return into != AT_TOP ? plain_object(u, p, into) : NULL;
	case 'n':
		return plain_word(u, p, STR("null"));
	case 't':
		return plain_word(u, p, STR("true"));
	case 'f':
		return plain_word(u, p, STR("false"));
	default:
		return plain_number(u, p, n);
	}
}

/* Which of the names of that place it is; NAMES for none. */
static unsigned
name_find(struct str key, unsigned at)
{
	unsigned i = key.len < sizeof of_length && of_length[key.len] > 0 ? of_length[key.len] - 1u
									  : NAMES;

	while (i < NAMES && (names[i].at != at || !str_eq(name_of(i), key)))
		i = names[i].same;
	return i;
}

static const char *
plain_member(struct passing *u, const char *p, unsigned at)
{
	int64_t n = -1;

	if (*p++ != '"')
		return NULL;
	struct str key = { p, json_text_run(p, (size_t)(u->end - p)) };
	unsigned i = name_find(key, at), into = AT_OTHER;
	p = i == NAMES                                          ? plain_string(u, p)
		: key.p + key.len < u->end && p[key.len] == '"' ? p + key.len + 1
								: NULL;
	if (i < NAMES) {
		uint32_t bit = (uint32_t)1 << (i < COUNTS ? i : i | 1);
		if ((u->seen & bit) != 0)
			return NULL;
		u->seen |= bit;
		into = names[i].holds;
	}
	if (p == NULL || (p = white(u, p)) == NULL || *p != ':' || (p = white(u, p + 1)) == NULL)
		return NULL;
	p = plain_value(u, p, at == AT_TOP ? into : AT_TOP, &n);
	if (i < COUNTS)
		u->n[i] = n;
	return p;
}

static const char *
plain_object(struct passing *u, const char *p, unsigned at)
{
	p = white(u, p + 1);
	if (p != NULL && *p == '}')
		return p + 1;
	while (p != NULL) {
		p = plain_member(u, p, at);
		if (p == NULL || (p = white(u, p)) == NULL || *p != ',')
			break;
		p = white(u, p + 1);
	}
	return p != NULL && *p == '}' ? p + 1 : NULL;
}

const char *
usage_in_passing(struct watch *w, const char *p, const char *end)
{
	struct passing u = { .end = end };
	const char *to = white(&u, p);

	memset(u.n, -1, sizeof u.n);
	if (to == NULL || *to != '{' || (to = plain_object(&u, to, AT_TOP)) == NULL ||
		(to = white(&u, to)) == NULL || (*to != ',' && *to != '}'))
		return p;
	usage_take(w, u.n);
	return to;
}
