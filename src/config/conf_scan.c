/*
 * conf_scan: the tokens of a configuration, with its includes in their place.
 *
 * Called by conf_text, which knows the grammar, and by conf_pid_file, which looks for one name in a
 * text that may be broken. A token is a mark of punctuation, a string, or a word: whatever stands
 * unquoted, be it a name, a number or a mistake. What no token can be (a byte-order mark, an
 * unclosed string or comment, an @include that cannot be followed) is reported at its own line, and
 * the scan ends there: TOKEN_BAD.
 *
 * The rules are those of libconfig 1.5, but for one: a string ends on the line where it began.
 * libconfig lets it run on, so that a forgotten quote is found, if at all, pages later.
 */
#include "config/conf_private.h"

#include <string.h>

#include "json/read.h"

#define MARKS "=:;,{}()[]"

static struct conf_source *
top(struct conf_scan *s)
{
	return &s->sources[s->depth];
}

static struct str
rest(const struct conf_source *src)
{
	return (struct str){ src->file->p + src->at, src->file->len - src->at };
}

static struct conf_token
bad(struct conf_scan *s, unsigned line, const char *text)
{
	struct conf_source *src = top(s);

	if (!s->lenient)
		conf_tell(s->text->teller, src->file->name, line, "%s", text);
	return (struct conf_token){ .kind = TOKEN_BAD, .file = src->file->name, .line = line };
}

/* What an editor may have put at the start of a file, or a file that is no text. NULL when all is
 * well. */
static const char *
file_fault(struct str text)
{
	if (str_starts(text, STR("\xef\xbb\xbf")))
		return "the file begins with a byte-order mark: save it as UTF-8 without one";
	if (str_starts(text, STR("\xff\xfe")) || str_starts(text, STR("\xfe\xff")))
		return "the file is UTF-16: save it as UTF-8";
	return NULL;
}

void
conf_scan_init(struct conf_scan *s, struct conf_text *t, struct conf_file *file)
{
	*s = (struct conf_scan){ .text = t };
	s->sources[0] = (struct conf_source){ .file = file, .line = 1 };
}

/* Skip a comment that begins here. 1 when there was one, 0 when not, -1 when it has no end. */
static int
skip_comment(struct conf_source *src)
{
	struct str r = rest(src);
	size_t len;

	if (str_starts(r, STR("#")) || str_starts(r, STR("//"))) {
		src->at += str_index(r, '\n');
		return 1;
	}
	if (!str_starts(r, STR("/*")))
		return 0;
	len = str_find(str_skip(r, 2), STR("*/"));
	if (len == r.len - 2)
		return -1;
	for (size_t i = 0; i < len; i++)
		src->line += r.p[2 + i] == '\n';
	src->at += len + 4;
	return 1;
}

/* To the next byte of a token. 0, or -1 for a comment without end. */
static int
skip_blank(struct conf_source *src)
{
	while (src->at < src->file->len) {
		char c = src->file->p[src->at];
		int comment;

		if (c == '\n')
			src->line++;
		if (c != '\0' && strchr(" \t\n\r\f", c)) {
			src->at++;
			continue;
		}
		comment = skip_comment(src);
		if (comment <= 0)
			return comment;
	}
	return 0;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The escape at `p`, behind its backslash: the byte and how many bytes were read, 0 when the
 * backslash stands for itself. */
static size_t
escape(const char *p, size_t len, char *out)
{
	static const char from[] = "abnrtvf\\\"", to[] = "\a\b\n\r\t\v\f\\\"";
	const char *at = len > 0 && *p != '\0' ? strchr(from, *p) : NULL;

	if (at) {
		*out = to[at - from];
		return 1;
	}
	if (len >= 3 && (*p == 'x' || *p == 'X') && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
		*out = (char)(hex(p[1]) << 4 | hex(p[2]));
		return 3;
	}
	*out = '\\';
	return 0;
}

static const char *
string_fault(struct str text)
{
	uint32_t state = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\0')
			return "a string holds a NUL byte";
		if (json_utf8_step(&state, (unsigned char)text.p[i]) < 0)
			return "a string is not UTF-8";
	}
	return state == 0 ? NULL : "a string is not UTF-8";
}

/* A string, decoded where it stands: it only gets shorter. */
static struct conf_token
scan_string(struct conf_scan *s)
{
	struct conf_source *src = top(s);
	char *p = src->file->p, *to = p + src->at + 1, *start = to;
	size_t i = src->at + 1, len = src->file->len;
	const char *fault;

	while (i < len && p[i] != '"' && p[i] != '\n') {
		if (p[i] == '\\')
			i += 1 + escape(p + i + 1, len - i - 1, to++);
		else
			*to++ = p[i++];
	}
	if (i < len && p[i] == '"')
		src->at = i + 1;
	else if (s->lenient)
		src->at = i;
	else
		return bad(s, src->line,
			"a string is not closed on its line (a line break inside is written \\n)");
	fault = string_fault((struct str){ start, (size_t)(to - start) });
	if (fault)
		return bad(s, src->line, fault);
	return (struct conf_token){ TOKEN_STRING, { start, (size_t)(to - start) }, src->file->name,
		src->line };
}

static bool
word_goes_on(struct str r)
{
	if (r.len == 0 || r.p[0] == '\0' || strchr(" \t\n\r\f\"#" MARKS, r.p[0]))
		return false;
	return !str_starts(r, STR("//")) && !str_starts(r, STR("/*"));
}

static struct conf_token
scan_word(struct conf_scan *s)
{
	struct conf_source *src = top(s);
	struct conf_token token = { TOKEN_WORD, { src->file->p + src->at, 0 }, src->file->name,
		src->line };

	do {
		token.text.len++;
		src->at++;
	} while (word_goes_on(rest(src)));
	return token;
}

/* Does nothing but white space stand before this place on its line? */
static bool
begins_line(const struct conf_source *src)
{
	size_t i = src->at;

	while (i > 0 && (src->file->p[i - 1] == ' ' || src->file->p[i - 1] == '\t'))
		i--;
	return i == 0 || src->file->p[i - 1] == '\n';
}

static bool
is_blank(const struct conf_source *src)
{
	return src->at < src->file->len &&
		(src->file->p[src->at] == ' ' || src->file->p[src->at] == '\t');
}

/* The string behind "@include". */
static struct conf_token
scan_include(struct conf_scan *s)
{
	struct conf_source *src = top(s);
	size_t start = src->at;

	while (is_blank(src))
		src->at++;
	if (src->at == start || !str_starts(rest(src), STR("\"")))
		return bad(s, src->line, "@include wants the name of a file in double quotes");
	return scan_string(s);
}

/* Open the file that is named behind "@include" and go on there. 0, or -1 after a report. */
static int
include(struct conf_scan *s)
{
	struct conf_token path = scan_include(s);
	struct conf_file *file;
	struct str name;

	if (path.kind == TOKEN_BAD)
		return -1;
	if (s->depth == CONF_INCLUDES_MOST) {
		bad(s, path.line,
			"@include: too many files inside each other (does one include itself?)");
		return -1;
	}
	name = conf_file_beside(&s->text->arena, path.file, path.text);
	file = name.p ? conf_file_read(s->text, name.p, path.file, path.line) : NULL;
	if (!file)
		return -1;
	s->sources[++s->depth] = (struct conf_source){ .file = file, .line = 1 };
	return 0;
}

static struct conf_token
scan_one(struct conf_scan *s)
{
	struct conf_source *src = top(s);
	char c = src->file->p[src->at];

	if (c == '"')
		return scan_string(s);
	if (c == '\0')
		return bad(s, src->line, "the file holds a NUL byte: it is not a text");
	if (strchr(MARKS, c)) {
		struct str text = { src->file->p + src->at, 1 };

		src->at++;
		return (struct conf_token){ (unsigned char)c, text, src->file->name, src->line };
	}
	return scan_word(s);
}

struct conf_token
conf_scan_next(struct conf_scan *s)
{
	for (;;) {
		struct conf_source *src = top(s);

		if (src->at == 0 && file_fault(rest(src)))
			return bad(s, 1, file_fault(rest(src)));
		if (skip_blank(src) < 0)
			return bad(s, src->line,
				"a comment that begins here with /* is not closed");
		if (src->at == src->file->len) {
			if (s->depth == 0)
				return (struct conf_token){ .kind = TOKEN_END,
					.file = src->file->name,
					.line = src->line };
			s->depth--;
			continue;
		}
		if (!str_starts(rest(src), STR("@include")))
			return scan_one(s);
		if (!begins_line(src))
			return bad(s, src->line, "@include must stand at the start of a line");
		src->at += strlen("@include");
		if (include(s) < 0)
			return (struct conf_token){ .kind = TOKEN_BAD,
				.file = src->file->name,
				.line = src->line };
	}
}
