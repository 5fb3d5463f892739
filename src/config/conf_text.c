/*
 * conf_text: the grammar of a configuration, checked before libconfig sees it.
 *
 * libconfig 1.5 says "syntax error", one at a time, often a line late, and wraps numbers silently.
 * So the text is parsed here first. The first fault is told with its own line and the remedy, and
 * the reading ends. A text without fault is written again for libconfig, in a form that leaves it
 * nothing to misread: includes in their place, numbers with the L that they need, arrays as lists,
 * strings empty. Each setting and element gets a place (file, line) in the order of the text, which
 * is the order in which libconfig's tree is walked.
 *
 * Any string may be a secret, also one under a mistyped name, and libconfig copies what it reads
 * and wipes nothing. So it sees none: what a string says stays where it was read, in the file's
 * bytes, which are wiped (conf_file), and its place leads there.
 *
 * Stricter than libconfig in four points: settings end with `;` or `,` before the next one, a
 * string ends on its line and in its file, brackets are closed in the file that opened them, and
 * depth and length have bounds.
 */
#include "config/conf_private.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

/* No name is longer, but a key that was pasted would be; and no number is as long as this. */
#define NAME_SHOWN 32
#define NUMBER_SHOWN 15 /* and text without quotes */

struct parse {
	struct conf_text *t;
	struct conf_scan scan;
	struct conf_token token; /* the next one */
	struct conf_token last;  /* the one before it */
	unsigned depth;
};

static int value(struct parse *p, struct conf_place *place, bool in_array);

#define fail(p, at, ...) (conf_tell((p)->t->teller, (at)->file, (at)->line, __VA_ARGS__), -1)

static bool
is_mark(const struct conf_token *t, const char *marks)
{
	return t->kind > 0 && t->kind < TOKEN_WORD && strchr(marks, t->kind);
}

static int
advance(struct parse *p)
{
	p->last = p->token;
	p->token = conf_scan_next(&p->scan);
	return p->token.kind == TOKEN_BAD ? -1 : 0;
}

static void
emit(struct parse *p, struct str s)
{
	buf_add(&p->t->out, s);
}

static struct conf_place *
place_add(struct parse *p, struct str name)
{
	struct conf_place *place = arena_zero(&p->t->arena, sizeof *place);

	if (!place) {
		(void)fail(p, &p->token, "out of memory");
		return NULL;
	}
	place->file = p->token.file;
	place->line = p->token.line;
	place->name = name;
	if (p->t->last)
		p->t->last->next = place;
	else
		p->t->first = place;
	p->t->last = place;
	return place;
}

static bool
is_letter(char c)
{
	c |= 0x20;
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_name(struct str s)
{
	if (str_eq_nocase(s, STR("true")) || str_eq_nocase(s, STR("false")))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		bool inner = is_digit(s.p[i]) || s.p[i] == '-' || s.p[i] == '_';

		if (!is_letter(s.p[i]) && s.p[i] != '*' && !(inner && i > 0))
			return false;
	}
	return true;
}

/* Digits from *i on; how many. */
static size_t
digits(struct str s, size_t *i)
{
	size_t start = *i;

	while (*i < s.len && is_digit(s.p[*i]))
		++*i;
	return *i - start;
}

static bool
is_decimal(struct str s)
{
	size_t i = s.len > 0 && (s.p[0] == '-' || s.p[0] == '+'), n = digits(s, &i);
	bool point = i < s.len && s.p[i] == '.', power = false;

	if (point) {
		i++;
		n += digits(s, &i);
	}
	if (i < s.len && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		i += i < s.len && (s.p[i] == '-' || s.p[i] == '+');
		power = digits(s, &i) > 0;
		if (!power)
			return false;
	}
	return i == s.len && n > 0 && (point || power);
}

static int
digit_value(char c, unsigned base)
{
	int d = is_digit(c) ? c - '0' : is_letter(c) ? (c | 0x20) - 'a' + 10 : INT_MAX;

	return d < (int)base ? d : -1;
}

int
conf_number(struct str word, long long *out)
{
	struct str s = word;
	bool minus = str_starts(s, STR("-")), wide = false;
	unsigned long long n = 0, most = (unsigned long long)LLONG_MAX + minus;
	unsigned base = 10;

	if (is_decimal(s))
		return 1;
	s = str_skip(s, minus || str_starts(s, STR("+")));
	if (s.len == word.len && s.len > 2 && str_eq_nocase(str_head(s, 2), STR("0x"))) {
		base = 16;
		s = str_skip(s, 2);
	}
	for (int i = 0; i < 2 && s.len > 1 && s.p[s.len - 1] == 'L'; i++)
		s.len--;
	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		int d = digit_value(s.p[i], base);

		if (d < 0)
			return -1;
		wide = wide || n > (most - (unsigned)d) / base;
		n = wide ? 0 : n * base + (unsigned)d;
	}
	*out = minus ? (long long)(0 - n) : (long long)n;
	return wide ? -2 : 0;
}

/* With nothing that would look odd between quotes, and too short for a key that somebody has
 * mistyped the name of. */
static bool
may_be_shown(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.p[i]) && !(s.p[i] >= 'A' && s.p[i] <= 'Z') &&
			!(s.p[i] >= 'a' && s.p[i] <= 'z') && !strchr("-._/:*", s.p[i]))
			return false;
	return s.len <= NUMBER_SHOWN;
}

/* Text without quotes, or a slip that looks like it. It is shown only where it can hold nothing
 * secret. */
static int
fail_word(struct parse *p, const struct conf_place *place, const struct conf_token *word)
{
	struct str s = word->text;
	const char *sep = place->name.len > 0 ? ": " : "";
	bool number = is_digit(s.p[0]) || (s.len > 1 && strchr("+-.", s.p[0]) && is_digit(s.p[1]));

	if (str_eq_nocase(s, STR("yes")) || str_eq_nocase(s, STR("no")) ||
		str_eq_nocase(s, STR("on")) || str_eq_nocase(s, STR("off")))
		return fail(p, word,
			"%.*s%swrite true or false, or text in double quotes, not %.*s",
			STR_ARG(place->name), sep, STR_ARG(s));
	if (number && s.len <= NUMBER_SHOWN && !place->hidden)
		return fail(p, word,
			"%.*s%s%.*s is not a number (sizes are bytes, times are seconds, without a unit)",
			STR_ARG(place->name), sep, STR_ARG(s));
	if (place->name.len == 0 || place->hidden || conf_name_is_secret(place->name) ||
		!may_be_shown(s))
		s = STR("this");
	return fail(p, word, "%.*s%stext must stand in double quotes, like \"%.*s\"",
		STR_ARG(place->name), sep, STR_ARG(s));
}

static int
word_value(struct parse *p, const struct conf_place *place)
{
	struct conf_token word = p->token;
	long long n = 0;
	int kind = conf_number(word.text, &n);

	if (advance(p) < 0)
		return -1;
	if (is_mark(&p->token, "=:"))
		return fail(p, &word,
			place->name.len > 0
				? "a value is missing before this name"
				: "a setting inside a list must stand in braces: ( { name = value; } )");
	if (str_eq_nocase(word.text, STR("true")) || str_eq_nocase(word.text, STR("false"))) {
		emit(p, word.text);
	} else if (kind == 0) {
		buf_printf(&p->t->out, n < INT_MIN || n > INT_MAX ? "%lldL" : "%lld", n);
	} else if (kind == 1) {
		emit(p, word.text);
	} else if (kind == -2) {
		return fail(p, &word, "%.*s%sthe number does not fit 64 bits", STR_ARG(place->name),
			place->name.len > 0 ? ": " : "");
	} else {
		return fail_word(p, place, &word);
	}
	emit(p, STR(" "));
	return 0;
}

/* One string, or several in a row, which are one: joined where the first stands, in the room that
 * was the quotes' between them. */
static int
string_value(struct parse *p, struct conf_place *place)
{
	struct conf_token first = p->token;
	char *end;

	memcpy(&end, &first.text.p, sizeof end); /* in the file's bytes, which may be changed */
	end += first.text.len;
	place->text = first.text;
	emit(p, STR("\"\" "));
	if (advance(p) < 0)
		return -1;
	while (p->token.kind == TOKEN_STRING) {
		if (p->token.file != first.file)
			return fail(p, &first, "%.*s: a string goes on in another file",
				STR_ARG(place->name));
		memmove(end, p->token.text.p, p->token.text.len);
		end += p->token.text.len;
		place->text.len += p->token.text.len;
		if (advance(p) < 0)
			return -1;
	}
	return 0;
}

/* The next token should close what `open` opened: it does, or what is wrong is told. */
static int
closes(struct parse *p, const struct conf_token *open, int close)
{
	if (p->token.kind == TOKEN_END)
		return fail(p, open, "this %c is never closed", open->kind);
	if (p->token.kind != close && is_mark(&p->token, ")]}"))
		return fail(p, &p->token, "a %c stands where the %c of line %u should be closed",
			p->token.kind, open->kind, open->line);
	if (p->token.kind == close && p->token.file != open->file)
		return fail(p, open, "this %c is not closed in its own file", open->kind);
	return 0;
}

/* Behind an element: a comma with another element behind it, or the end of the list. */
static int
element_end(struct parse *p, const struct conf_token *open, int close)
{
	struct conf_token comma = p->token;

	if (closes(p, open, close) < 0)
		return -1;
	if (p->token.kind == close)
		return 0;
	if (p->token.kind == ';')
		return fail(p, &p->token,
			"a ; inside a list: its elements are separated by commas, and it is closed by %c",
			close);
	if (p->token.kind != ',')
		return fail(p, &p->last, "a comma is missing between two elements of a list");
	emit(p, STR(", "));
	if (advance(p) < 0)
		return -1;
	if (p->token.kind == close)
		return fail(p, &comma, "a comma stands behind the last element of a list");
	if (p->token.kind == ',')
		return fail(p, &p->token, "an element of a list is missing before this comma");
	return closes(p, open, close);
}

/* ( … ) or [ … ], both written as lists. */
static int
elements(struct parse *p, const struct conf_place *list)
{
	struct conf_token open = p->token;
	int close = open.kind == '(' ? ')' : ']';
	unsigned n = 0;

	emit(p, STR("( "));
	if (advance(p) < 0 || closes(p, &open, close) < 0)
		return -1;
	if (p->token.kind == ',')
		return fail(p, &p->token, "an element of a list is missing before this comma");
	while (p->token.kind != close) {
		struct conf_place *place = place_add(p, STR(""));

		if (place)
			place->hidden = list->hidden;
		if (!place || value(p, place, open.kind == '[') < 0 ||
			element_end(p, &open, close) < 0)
			return -1;
		if (++n > CONF_LIST_MOST)
			return fail(p, &open, "a list of more than %d elements", CONF_LIST_MOST);
	}
	emit(p, STR(") "));
	return advance(p);
}

/* What stands where the name of a setting should. */
static int
fail_name(struct parse *p, const struct conf_place *group)
{
	const struct conf_token *t = &p->token;

	switch (t->kind) {
	case TOKEN_STRING:
		return fail(p, t, "the name of a setting stands without quotes");
	case TOKEN_WORD:
		if (t->text.len > NAME_SHOWN)
			return fail(p, t,
				"a long word, which is not shown, stands where a name should: one begins with a letter and holds letters, digits, - and _");
		if (group && str_eq(group->name, STR("headers")))
			return fail(p, t,
				"%.*s cannot stand as a name (letters, digits, - and _ can): write "
				"headers = ( { name = \"%.*s\"; value = \"...\"; } );",
				STR_ARG(t->text), STR_ARG(t->text));
		return fail(p, t,
			"%.*s is not a name: one begins with a letter and holds letters, digits, - and _",
			STR_ARG(t->text));
	case ';':
	case ',':
		return fail(p, t, "a %c too many", t->kind);
	case '=':
	case ':':
		return fail(p, t, "a name is missing before this %c", t->kind);
	case '}':
	case ')':
	case ']':
		return fail(p, t, "this %c closes nothing", t->kind);
	default:
		return fail(p, t,
			"a name is missing before this %c: a group is written name: { ... };",
			t->kind);
	}
}

/* Behind the value of a setting: `;` or `,`, or the end of the group. */
static int
setting_end(struct parse *p, const struct conf_place *place)
{
	if (is_mark(&p->token, ";,"))
		return advance(p);
	if (p->token.kind == TOKEN_END || is_mark(&p->token, ")]}"))
		return 0;
	if (p->token.kind == TOKEN_WORD)
		return fail(p, &p->last, "a ; is missing after %.*s", STR_ARG(place->name));
	return fail(p, &p->token, "%.*s: what stands behind the value does not belong there",
		STR_ARG(place->name));
}

/* A key, or what stands under headers, where one may be. */
static bool
is_hidden(const struct conf_place *group, struct str name)
{
	return (group && group->hidden) || conf_name_is_secret(name) ||
		str_eq(name, STR("headers"));
}

static int
setting(struct parse *p, const struct conf_place *group, struct conf_place **before)
{
	struct conf_token name = p->token;
	struct conf_place *place;

	if (name.kind != TOKEN_WORD || !is_name(name.text))
		return fail_name(p, group);
	for (place = *before; place; place = place->before) {
		if (!str_eq(place->name, name.text))
			continue;
		return fail(p, &name,
			place->file == name.file
				? "%.*s stands twice in this group (first on line %u)"
				: "%.*s stands twice in this group",
			STR_ARG(name.text), place->line);
	}
	place = place_add(p, name.text);
	if (!place || advance(p) < 0)
		return -1;
	place->hidden = is_hidden(group, name.text);
	place->before = *before;
	*before = place;
	if (!is_mark(&p->token, "=:") && name.text.len > NAME_SHOWN)
		return fail(p, &name,
			"a = is missing after a long word, which is not shown: a client's key does not belong here, only the hash of it");
	if (!is_mark(&p->token, "=:"))
		return fail(p, &name, "a = is missing after %.*s", STR_ARG(name.text));
	emit(p, name.text);
	emit(p, STR(" = "));
	if (advance(p) < 0 || value(p, place, false) < 0)
		return -1;
	emit(p, STR(";\n"));
	return setting_end(p, place);
}

/* The settings of a group, or with `open` NULL of the whole text. */
static int
settings(struct parse *p, const struct conf_place *group, const struct conf_token *open)
{
	struct conf_place *before = NULL;
	unsigned n = 0;

	for (;;) {
		if (open && closes(p, open, '}') < 0)
			return -1;
		if (p->token.kind == (open ? '}' : TOKEN_END))
			return 0;
		if (setting(p, group, &before) < 0)
			return -1;
		if (++n > CONF_GROUP_MOST)
			return fail(p, &p->last, "a group of more than %d settings",
				CONF_GROUP_MOST);
	}
}

static int
braces(struct parse *p, const struct conf_place *place)
{
	struct conf_token open = p->token;

	emit(p, STR("{ "));
	if (advance(p) < 0 || settings(p, place, &open) < 0)
		return -1;
	emit(p, STR("} "));
	return advance(p);
}

static int
value(struct parse *p, struct conf_place *place, bool in_array)
{
	int result;

	if (p->token.kind == TOKEN_STRING)
		return string_value(p, place);
	if (p->token.kind == TOKEN_WORD)
		return word_value(p, place);
	if (!is_mark(&p->token, "{(["))
		return fail(p, &p->last,
			place->name.len > 0 ? "%.*s has no value" : "%.*sa value is missing here",
			STR_ARG(place->name));
	if (in_array)
		return fail(p, &p->token, "[ ] holds plain values only: write a list with ( )");
	if (p->depth == CONF_DEPTH_MOST)
		return fail(p, &p->token, "more than %d brackets inside each other",
			CONF_DEPTH_MOST);
	p->depth++;
	result = p->token.kind == '{' ? braces(p, place) : elements(p, place);
	p->depth--;
	return result;
}

int
conf_text_parse(struct conf_text *t, struct conf_file *file)
{
	struct parse p = { .t = t };

	conf_scan_init(&p.scan, t, file);
	if (advance(&p) < 0 || settings(&p, NULL, NULL) < 0)
		return -1;
	emit(&p, (struct str){ "", 1 });
	if (t->out.failed)
		return fail(&p, &p.token, "out of memory");
	return 0;
}

static void
attach(config_setting_t *s, struct conf_place **next)
{
	if (!config_setting_is_aggregate(s))
		return;
	for (int i = 0; i < config_setting_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)i);

		assert(*next);
		config_setting_set_hook(e, *next);
		*next = (*next)->next;
		attach(e, next);
	}
}

void
conf_text_attach(struct conf_text *t, config_t *tree)
{
	struct conf_place *next = t->first;

	attach(config_root_setting(tree), &next);
	assert(!next);
}
