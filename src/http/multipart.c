/*
 * multipart: a multipart/form-data body (RFC 7578, RFC 2046 5.1), scanned as it streams by.
 *
 * Owns no memory but its own struct and keeps no byte of a file. The client side asks it what the
 * fields of a form say while the body goes to a provider, whose parser reads the same bytes once
 * more. So whatever that one could read in another way is a fault and never mended: other line
 * ends, folded or doubled fields, parameters in sections, quotes that hide a parameter.
 *
 *     PREAMBLE -D-> BOUNDARY -CR-> BOUNDARY_LF -LF-> HEAD
 *     BOUNDARY -blank-> PADDING -CR-> BOUNDARY_LF
 *     HEAD -CR-> HEAD_LF -LF-> HEAD, behind the empty line CONTENT -D-> BOUNDARY
 *     BOUNDARY -"-"-> CLOSE_DASH -"-"-> CLOSED -CR-> CLOSED_LF -LF-> EPILOGUE
 *
 * D is "--boundary" at the beginning of a line, which memmem looks for; what began that line
 * decides: CRLF makes a delimiter, a bare CR or LF a fault. A boundary has no line end in it, so
 * that for one which is cut a count of the bytes that matched is enough: when the next byte does
 * not match, none of them can begin another. All else that does not stand in the picture is a
 * fault, which is for good. So is a D in the EPILOGUE: there are readers who go on with parts
 * there.
 */
#include "http/multipart.h"

#include <string.h>

#include "http/head.h"

enum {
	PREAMBLE,
	BOUNDARY, /* right behind "--boundary" */
	PADDING,  /* in the blanks behind it */
	BOUNDARY_LF,
	HEAD,
	HEAD_LF,
	CONTENT,
	CLOSE_DASH,
	CLOSED, /* behind "--boundary--", or in the blanks behind that */
	CLOSED_LF,
	EPILOGUE
};

/* How a line began. FIRST: it is the first one of the body or of a part's content. */
enum { LINE_FIRST, LINE_CRLF, LINE_CR, LINE_LF, LINE_INSIDE };

#define TEXT_OF(number) #number
#define TEXT(macro) TEXT_OF(macro)

static const char boundary_not_alone[] = "a boundary is followed by something else on its line";
static const char boundary_bare_cr[] = "the line of a boundary has a CR without LF";
static const char too_many_params[] =
	"a Content-Disposition has more than " TEXT(MULTIPART_PARAMETERS_MOST) " parameters";
static const char bad_parameter[] = "a parameter is malformed";

struct param {
	struct str name;
	struct str raw; /* without the quotes */
	bool quoted;
};

/* The only way to a fault. */
static int
fault_at(struct multipart *m, uint64_t offset, const char *fault)
{
	m->fault = fault;
	m->offset = offset;
	m->complete = false;
	return -1;
}

static int
fault_line(struct multipart *m, const char *fault)
{
	return fault_at(m, m->line_at, fault);
}

static size_t
blank_len(struct str s)
{
	size_t len = 0;

	while (len < s.len && (s.p[len] == ' ' || s.p[len] == '\t'))
		len++;
	return len;
}

static bool
is_escape(struct str s)
{
	return s.len >= 2 && s.p[0] == '\\' && (s.p[1] == '"' || s.p[1] == '\\');
}

/* Length of the quoted-string at the front of `s`, or 0 when it does not end. */
static size_t
quoted_len(struct str s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == '"')
			return i + 1;
		i += is_escape(str_skip(s, i));
	}
	return 0;
}

/* Length of the token at the front of `s`, or 0: one that ends at nothing but what may follow it.
 */
static size_t
token_len(struct str s)
{
	size_t len = 0;

	while (len < s.len && s.p[len] != '=' && s.p[len] != ';' && s.p[len] != ' ' &&
		s.p[len] != '\t')
		len++;
	return head_token_valid(str_head(s, len)) ? len : 0;
}

/* Is there, inside of quotes, what a reader that knows no quotes or no escapes would take for a
 * parameter that matters? */
static bool
hides_param(struct str raw)
{
	static const struct str names[] = { STR_INIT("name"), STR_INIT("filename"),
		STR_INIT("boundary") };

	while (raw.len > 0) {
		raw = str_skip(raw, str_index(raw, ';') + 1);
		raw = str_skip(raw, blank_len(raw));
		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
			struct str next = str_skip(raw, names[i].len);
			next = str_skip(next, blank_len(next));
			if (str_eq_nocase(str_head(raw, names[i].len), names[i]) &&
				(str_starts(next, STR("=")) || str_starts(next, STR("*"))))
				return true;
		}
	}
	return false;
}

/* A parameter from the semicolon before it on. Bytes consumed; 0: there is none, though a semicolon
 * may be; -1: a fault. */
static long
param_read(struct multipart *m, struct str in, struct param *p)
{
	struct str rest = str_skip(in, blank_len(in));

	if (rest.len == 0)
		return 0;
	if (rest.p[0] != ';')
		return fault_line(m, bad_parameter);
	rest = str_skip(rest, 1);
	rest = str_skip(rest, blank_len(rest));
	if (rest.len == 0)
		return 0;
	p->name = str_head(rest, token_len(rest));
	rest = str_skip(rest, p->name.len);
	if (p->name.len == 0 || !str_starts(rest, STR("=")))
		return fault_line(m, bad_parameter);
	rest = str_skip(rest, 1);
	p->quoted = str_starts(rest, STR("\""));
	p->raw = str_head(rest, p->quoted ? quoted_len(rest) : token_len(rest));
	rest = str_skip(rest, p->raw.len);
	if (p->raw.len == 0)
		return fault_line(m, bad_parameter);
	if (p->quoted)
		p->raw = str_skip(str_head(p->raw, p->raw.len - 1), 1);
	if (p->quoted && hides_param(p->raw))
		return fault_line(m, "a quoted parameter has another one inside");
	return (long)(in.len - rest.len);
}

/* bchars of RFC 2046 5.1.1 */
static bool
boundary_valid(struct str boundary)
{
	static const struct str others = STR_INIT("'()+_,-./:=? ");

	for (size_t i = 0; i < boundary.len; i++) {
		char c = boundary.p[i];
		bool plain =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (!plain && str_index(others, c) == others.len)
			return false;
	}
	return boundary.len > 0 && boundary.len <= MULTIPART_BOUNDARY_MOST &&
		boundary.p[boundary.len - 1] != ' ';
}

/* Some readers take the first "boundary" in a Content-Type, wherever it stands. */
static bool
tells_boundary(struct str text)
{
	struct str word = STR("boundary");

	for (; text.len >= word.len; text = str_skip(text, 1))
		if (str_eq_nocase(str_head(text, word.len), word))
			return true;
	return false;
}

static int
boundary_find(struct multipart *m, struct str params, struct str *boundary)
{
	struct param p;
	long len;

	*boundary = (struct str){ NULL, 0 };
	while ((len = param_read(m, params, &p)) > 0) {
		params = str_skip(params, (size_t)len);
		if (str_index(p.name, '*') < p.name.len)
			return fault_line(m, "a parameter is extended or in sections");
		bool is_it = str_eq_nocase(p.name, STR("boundary"));
		if (is_it ? boundary->p != NULL : tells_boundary(p.name) || tells_boundary(p.raw))
			return fault_line(m, "it has two boundaries");
		if (!is_it)
			continue;
		*boundary = p.raw;
	}
	if (len < 0)
		return -1;
	if (boundary->p == NULL)
		return fault_line(m, "it has no boundary");
	if (!boundary_valid(*boundary))
		return fault_line(m,
			"its boundary is not 1 to " TEXT(
				MULTIPART_BOUNDARY_MOST) " bytes that RFC 2046 allows");
	return 0;
}

int
multipart_init(struct multipart *m, struct str content_type, const char **why)
{
	struct str boundary;

	memset(m, 0, sizeof *m);
	if (!str_eq_nocase(head_media_type(content_type), STR("multipart/form-data")))
		fault_line(m, "it is not multipart/form-data");
	else
		boundary_find(m, str_skip(content_type, str_index(content_type, ';')), &boundary);
	*why = m->fault;
	if (m->fault != NULL)
		return -1;
	memcpy(m->dash, "--", 2);
	memcpy(m->dash + 2, boundary.p, boundary.len);
	m->dash_len = (uint8_t)(2 + boundary.len);
	return 0;
}

/* Length of the character at the front of `text` (RFC 3629), or 0 when there is none. */
static size_t
utf8_len(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (len == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || text.len < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong, surrogates, above U+10FFFF */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

static int
name_check(struct multipart *m, struct str name)
{
	if (str_index(name, '\0') < name.len)
		return fault_line(m, "a name has a NUL");
	for (size_t at = 0, len; at < name.len; at += len) {
		len = utf8_len(str_skip(name, at));
		if (len == 0)
			return fault_line(m, "a name is not UTF-8");
	}
	return 0;
}

/* What browsers write in a quoted name for `"`, CR and LF (WHATWG HTML 4.10.21.8), or 0. */
static char
browser_escape(struct str s)
{
	if (str_starts(s, STR("%22")))
		return '"';
	if (str_starts(s, STR("%0D")))
		return '\r';
	return str_starts(s, STR("%0A")) ? '\n' : 0;
}

/* Decodes where it stands: what comes out is never longer. Lone backslashes are a fault, since some
 * readers drop them. */
static int
plain_decode(struct multipart *m, const struct param *p, struct str *name)
{
	char *out = m->kept + (p->raw.p - m->kept);
	size_t n = 0;

	/* RFC 7578 5.1 has none of them, yet some readers decode them */
	if (str_find(p->raw, STR("=?")) < p->raw.len)
		return fault_line(m, "a name holds an encoded word (RFC 2047)");
	for (size_t i = 0; i < p->raw.len; i++) {
		struct str rest = str_skip(p->raw, i);
		char escaped = p->quoted ? browser_escape(rest) : 0;
		if (is_escape(rest)) {
			escaped = rest.p[1];
			i++;
		} else if (escaped != 0) {
			i += 2;
		} else if (rest.p[0] == '\\') {
			return fault_line(m, "a name has a backslash that escapes nothing");
		}
		out[n++] = escaped != 0 ? escaped : rest.p[0];
	}
	*name = (struct str){ out, n };
	return name_check(m, *name);
}

/* The byte that stands at the front of value-chars (RFC 8187 3.2.1), or -1. The text is a token. */
static int
value_char(struct str s)
{
	if (s.p[0] != '%')
		return s.p[0] == '*' || s.p[0] == '\'' ? -1 : s.p[0];
	int high = s.len > 2 ? head_hex_value(s.p[1]) : -1;
	int low = s.len > 2 ? head_hex_value(s.p[2]) : -1;
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* charset'language'value-chars, decoded where it stands. */
static int
extended_decode(struct multipart *m, const struct param *p, struct str *name)
{
	char *out = m->kept + (p->raw.p - m->kept);
	struct str charset = str_head(p->raw, str_index(p->raw, '\''));
	struct str rest = str_skip(p->raw, charset.len + 1);
	size_t language = str_index(rest, '\''), n = 0;
	bool latin = str_eq_nocase(charset, STR("iso-8859-1"));

	if (p->quoted || language == rest.len)
		return fault_line(m, "a name* is not charset'language'value");
	if (!latin && !str_eq_nocase(charset, STR("utf-8")))
		return fault_line(m, "a name* is neither UTF-8 nor ISO-8859-1");
	rest = str_skip(rest, language + 1);
	while (rest.len > 0) {
		int byte = value_char(rest);
		if (byte < 0)
			return fault_line(m, "a name* is not well encoded");
		rest = str_skip(rest, rest.p[0] == '%' ? 3 : 1);
		if (latin && byte >= 0x80) {
			out[n++] = (char)(0xc0 | byte >> 6);
			byte = 0x80 | (byte & 0x3f);
		}
		out[n++] = (char)byte;
	}
	*name = (struct str){ out, n };
	return name_check(m, *name);
}

/* Takes a parameter in. `names`: the plain name and the extended one, p is NULL without. */
static int
disposition_param(struct multipart *m, const struct param *p, struct str names[2])
{
	if (str_eq_nocase(p->name, STR("name")))
		return plain_decode(m, p, &names[0]);
	if (str_eq_nocase(p->name, STR("name*")))
		return extended_decode(m, p, &names[1]);
	if (str_eq_nocase(p->name, STR("filename")) || str_eq_nocase(p->name, STR("filename*")))
		m->file = true;
	else if (str_index(p->name, '*') < p->name.len)
		return fault_line(m, "a parameter is extended or in sections");
	return 0;
}

/* All parameters of a Content-Disposition. */
static int
disposition_params(struct multipart *m, struct str params, struct str names[2])
{
	struct str seen[MULTIPART_PARAMETERS_MOST];
	struct param p;
	size_t n = 0;
	long len;

	while ((len = param_read(m, params, &p)) > 0) {
		params = str_skip(params, (size_t)len);
		if (n == MULTIPART_PARAMETERS_MOST)
			return fault_line(m, too_many_params);
		for (size_t i = 0; i < n; i++)
			if (str_eq_nocase(seen[i], p.name))
				return fault_line(m, "a Content-Disposition has a parameter twice");
		seen[n++] = p.name;
		if (disposition_param(m, &p, names) != 0)
			return -1;
	}
	return (int)len;
}

/* RFC 7578 4.2, RFC 6266 4.1. */
static int
disposition_read(struct multipart *m, struct str value)
{
	struct str names[2] = { { NULL, 0 }, { NULL, 0 } };
	size_t type_len = str_index(value, ';');

	if (!str_eq_nocase(str_trim(str_head(value, type_len)), STR("form-data")))
		return fault_line(m, "a Content-Disposition is not form-data");
	if (disposition_params(m, str_skip(value, type_len), names) != 0)
		return -1;
	if (names[0].p != NULL && names[1].p != NULL && !str_eq(names[0], names[1]))
		return fault_line(m, "name and name* of a part differ");
	struct str name = names[0].p != NULL ? names[0] : names[1];
	if (name.p == NULL)
		return fault_line(m, "a Content-Disposition has no name");
	if (name.len > sizeof m->name)
		return fault_line(m, "a name is over " TEXT(MULTIPART_NAME_MOST) " bytes");
	m->name_len = (uint8_t)name.len;
	memcpy(m->name, name.p, m->name_len);
	return 0;
}

static bool
is_identity(struct str coding)
{
	return str_eq_nocase(coding, STR("7bit")) || str_eq_nocase(coding, STR("8bit")) ||
		str_eq_nocase(coding, STR("binary"));
}

/* A field that may stand once in a part. */
static int
field_once(struct multipart *m, bool *has, const char *fault)
{
	if (*has)
		return fault_line(m, fault);
	*has = true;
	return 0;
}

static int
field_read(struct multipart *m, struct str line)
{
	struct str name = str_head(line, str_index(line, ':'));
	struct str value = str_trim(str_skip(line, name.len + 1));

	/* A boundary may have a colon in it. */
	if (str_starts(line, (struct str){ m->dash, m->dash_len }))
		return fault_line(m, "a boundary stands in the head of a part");
	if (blank_len(line) > 0)
		return fault_line(m, "a line in the head of a part is folded");
	if (name.len == line.len || !head_token_valid(name))
		return fault_line(m, "a line in the head of a part is no field");
	if (str_eq_nocase(name, STR("content-type")))
		return field_once(m, &m->has_type, "a part has two Content-Types");
	if (str_eq_nocase(name, STR("content-transfer-encoding"))) {
		m->coded = !is_identity(value);
		return field_once(m, &m->has_coding, "a part has two Content-Transfer-Encodings");
	}
	if (!str_eq_nocase(name, STR("content-disposition")))
		return 0;
	if (field_once(m, &m->has_disposition, "a part has two Content-Dispositions") != 0)
		return -1;
	return disposition_read(m, value);
}

static void
head_begin(struct multipart *m)
{
	m->state = HEAD;
	m->start = m->line_at = m->read + 1;
	m->kept_len = m->head_len = 0;
	m->file = m->coded = m->has_disposition = m->has_type = m->has_coding = false;
}

/* The LF that ends a line in a head was read. */
static void
head_line(struct multipart *m)
{
	struct str line = { m->kept, m->kept_len };

	m->kept_len = 0;
	m->state = HEAD;
	if (line.len > 0) {
		field_read(m, line);
		m->line_at = m->read + 1;
		return;
	}
	if (!m->has_disposition)
		fault_at(m, m->start, "a part has no Content-Disposition");
	m->state = CONTENT;
	m->line = LINE_FIRST;
	m->start = m->read + 1;
}

static bool
is_control(char byte)
{
	unsigned char c = (unsigned char)byte;

	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The text of a line, as far as it goes. Bytes consumed; what stands behind them is for head_step.
 */
static size_t
head_text(struct multipart *m, struct str in)
{
	struct str view = str_head(in, (size_t)MULTIPART_HEAD_MOST - m->head_len);
	size_t len = 0;

	while (len < view.len && !is_control(view.p[len]))
		len++;
	memcpy(m->kept + m->kept_len, view.p, len);
	m->kept_len += (uint16_t)len;
	m->head_len += (uint16_t)len;
	m->read += len;
	return len;
}

/* What is no text in a head, or too much. */
static void
head_step(struct multipart *m, char c)
{
	if (++m->head_len > MULTIPART_HEAD_MOST)
		fault_at(m, m->read,
			"the head of a part is over " TEXT(MULTIPART_HEAD_MOST) " bytes");
	else if (m->state == HEAD_LF && c != '\n')
		fault_at(m, m->read - 1, "the head of a part has a CR without LF");
	else if (m->state == HEAD_LF)
		head_line(m);
	else if (c == '\r')
		m->state = HEAD_LF;
	else if (c == '\n')
		fault_at(m, m->read, "the head of a part has an LF without CR");
	else
		fault_at(m, m->read, "the head of a part has a control byte");
}

/* Behind "--boundary". */
static void
boundary_step(struct multipart *m, char c)
{
	if (c == ' ' || c == '\t')
		m->state = PADDING;
	else if (c == '\r')
		m->state = BOUNDARY_LF;
	else if (c == '-' && m->state == BOUNDARY)
		m->state = CLOSE_DASH;
	else
		fault_at(m, m->read, boundary_not_alone);
}

/* Behind "--boundary--". */
static void
closed_step(struct multipart *m, char c)
{
	if (c == '\r')
		m->state = CLOSED_LF;
	else if (c != ' ' && c != '\t')
		fault_at(m, m->read, boundary_not_alone);
}

/* One byte of a head or of a boundary's line. True: here a part ends, if there is one. */
static bool
step(struct multipart *m, char c)
{
	switch (m->state) {
	case BOUNDARY:
	case PADDING:
		boundary_step(m, c);
		return false;
	case BOUNDARY_LF:
		if (c != '\n')
			fault_at(m, m->read - 1, boundary_bare_cr);
		return c == '\n';
	case CLOSE_DASH:
		if (c != '-')
			fault_at(m, m->read, boundary_not_alone);
		return c == '-';
	case CLOSED:
		closed_step(m, c);
		return false;
	case CLOSED_LF:
		if (c != '\n')
			fault_at(m, m->read - 1, boundary_bare_cr);
		m->state = EPILOGUE;
		m->line = LINE_FIRST;
		return false;
	default:
		head_step(m, c);
		return false;
	}
}

/* How the line begins that `text` leads to; `line` is how that of `text` began. */
static uint8_t
line_after(uint8_t line, struct str text)
{
	/* No more than the last two bytes have a say. */
	for (size_t i = text.len > 2 ? text.len - 2 : 0; i < text.len; i++) {
		if (text.p[i] == '\r')
			line = LINE_CR;
		else if (text.p[i] == '\n')
			line = line == LINE_CR ? LINE_CRLF : LINE_LF;
		else
			line = LINE_INSIDE;
	}
	return line;
}

/* Goes on with a boundary that the input before may have begun. Bytes of `in` that belong to it. */
static size_t
dash_resume(struct multipart *m, struct str in)
{
	size_t at = 0;

	if (m->line == LINE_INSIDE)
		return 0;
	while (at < in.len && m->matched < m->dash_len && in.p[at] == m->dash[m->matched]) {
		m->matched++;
		at++;
	}
	if (at < in.len && m->matched > 0 && m->matched < m->dash_len) {
		m->matched = 0;
		m->line = LINE_INSIDE;
	}
	return at;
}

/* No boundary is in `in`: the beginning of one may be at its end. */
static void
dash_begin(struct multipart *m, struct str in)
{
	size_t at = in.len, most = in.len < m->dash_len ? in.len : m->dash_len;

	while (in.len - at < most && in.p[at - 1] != '\r' && in.p[at - 1] != '\n')
		at--;
	if (in.len - at == most)
		at = 0;
	m->line = line_after(m->line, str_head(in, at));
	m->matched = (uint8_t)(in.len - at);
	if (at == 0 || memcmp(in.p + at, m->dash, m->matched) != 0) {
		m->line = LINE_INSIDE;
		m->matched = 0;
	}
}

/* Consumes up to and with a "--boundary" at the beginning of a line, or all; in the first case
 * m->matched is all of it and m->line says how the line began. */
static size_t
dash_find(struct multipart *m, struct str in)
{
	struct str dash = { m->dash, m->dash_len };
	size_t at = dash_resume(m, in);

	while (m->matched < dash.len && at < in.len) {
		struct str rest = str_skip(in, at);
		size_t found = str_find(rest, dash);
		if (found == rest.len) {
			dash_begin(m, rest);
			return in.len;
		}
		m->line = line_after(m->line, str_head(rest, found));
		if (m->line != LINE_INSIDE)
			m->matched = m->dash_len;
		at += found + dash.len;
	}
	return at;
}

static void
boundary_begin(struct multipart *m)
{
	uint64_t at = m->read - m->dash_len;

	m->matched = 0;
	if (m->state == EPILOGUE)
		fault_at(m, at, "a boundary stands behind the closing one");
	else if (m->line == LINE_CR || m->line == LINE_LF)
		fault_at(m, at, "a boundary stands on a line that a bare CR or LF began");
	else if (m->state == CONTENT && m->line == LINE_FIRST)
		fault_at(m, at, "a boundary stands right behind the head of a part");
	m->in_part = m->state == CONTENT;
	m->end = at - 2;
	m->state = BOUNDARY;
}

/* Preamble, content or epilogue. */
static size_t
text_read(struct multipart *m, struct str in)
{
	size_t len = dash_find(m, in);

	/* The boundary itself may get in: the part's end is what bounds the value. */
	if (m->state == CONTENT && !m->file && m->kept_len < MULTIPART_VALUE_MOST) {
		struct str more = str_head(in, len);
		more = str_head(more, (size_t)MULTIPART_VALUE_MOST - m->kept_len);
		memcpy(m->kept + m->kept_len, more.p, more.len);
		m->kept_len += (uint16_t)more.len;
	}
	m->read += len;
	if (m->matched == m->dash_len)
		boundary_begin(m);
	return len;
}

/* A boundary's line was read to the end, or its closing dashes. */
static bool
part_end(struct multipart *m, struct multipart_part *part)
{
	uint64_t len = m->end - m->start;

	if (m->in_part) {
		*part = (struct multipart_part){ { m->name, m->name_len }, m->file, m->coded,
			{ m->kept, 0 }, m->start, m->end };
		if (!m->file)
			part->value.len =
				len < MULTIPART_VALUE_MOST ? (size_t)len : MULTIPART_VALUE_MOST;
	}
	if (m->state == BOUNDARY_LF) {
		head_begin(m);
	} else {
		m->state = CLOSED;
		m->complete = true;
	}
	return m->in_part;
}

/* Consumes what needs no look at each byte. */
static size_t
bulk_read(struct multipart *m, struct str in)
{
	switch (m->state) {
	case PREAMBLE:
	case CONTENT:
	case EPILOGUE:
		return text_read(m, in);
	case HEAD:
		return head_text(m, in);
	default:
		return 0;
	}
}

long
multipart_next(struct multipart *m, struct str in, struct multipart_part *part, bool *got)
{
	size_t at = 0;

	*got = false;
	*part = (struct multipart_part){ 0 };
	while (at < in.len && m->fault == NULL && !*got) {
		size_t len = bulk_read(m, str_skip(in, at));
		at += len;
		if (len > 0)
			continue;
		if (step(m, in.p[at]))
			*got = part_end(m, part);
		m->read++;
		at++;
	}
	return m->fault == NULL ? (long)at : -1;
}

int
multipart_end(struct multipart *m)
{
	if (m->fault != NULL)
		return -1;
	if (m->state == CLOSED_LF)
		return fault_at(m, m->read - 1, boundary_bare_cr);
	return m->complete ? 0 : fault_at(m, m->read, "the closing boundary is missing");
}
