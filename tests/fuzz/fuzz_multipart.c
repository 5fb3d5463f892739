/*
 * Fuzzes http/multipart. The first byte chooses the boundary, the second the size of the pieces;
 * the rest is the body. What must hold: parts, fault and its place do not depend on how the bytes
 * came, values are what stands in the body, and the parts of a body without fault are those that a
 * plain reader finds, who splits the whole at its delimiters. A first byte that chooses no boundary
 * makes the rest a Content-Type.
 */
#include "http/multipart.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text of all parts; a part's head makes room for what is noted of it. */
struct notes {
	char *text;
	size_t len, parts;
	const char *fault;
	uint64_t offset;
	bool complete;
};

static void
note(struct notes *n, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(n->text + n->len, bytes, len);
	n->len += len;
}

static void
note_part(struct notes *n, struct str name, bool file, bool coded, uint64_t start, uint64_t end)
{
	note(n, name.p, name.len);
	note(n, &file, sizeof file);
	note(n, &coded, sizeof coded);
	note(n, &start, sizeof start);
	note(n, &end, sizeof end);
	n->parts++;
}

static void
check_part(struct str body, const struct multipart_part *part)
{
	assert(part->start <= part->end && part->end <= body.len);
	struct str content = str_head(str_skip(body, part->start), part->end - part->start);
	if (part->file)
		assert(part->value.len == 0);
	else
		assert(str_eq(part->value, str_head(content, MULTIPART_VALUE_MOST)));
	assert(part->name.len <= MULTIPART_NAME_MOST);
}

static struct notes
read_body(struct str type, struct str body, size_t step)
{
	struct notes n = { .text = malloc(body.len * 2 + 64) };
	struct multipart *m = malloc(sizeof *m);
	struct multipart_part part;
	const char *why;
	bool got;

	assert(multipart_init(m, type, &why) == 0);
	for (size_t at = 0; at < body.len && n.fault == NULL;) {
		/* In a block of its own: what reads past it is seen. */
		struct str piece = str_head(str_skip(body, at), step);
		char *copy = malloc(piece.len);
		memcpy(copy, piece.p, piece.len);
		long used = multipart_next(m, (struct str){ copy, piece.len }, &part, &got);
		free(copy);
		assert((used < 0) == (m->fault != NULL) && used != 0);
		assert(used < 0 || got || (size_t)used == piece.len);
		if (used < 0)
			break;
		at += (size_t)used;
		if (!got)
			continue;
		check_part(body, &part);
		note_part(&n, part.name, part.file, part.coded, part.start, part.end);
	}
	n.complete = multipart_end(m) == 0;
	assert(n.complete == m->complete && n.complete == (m->fault == NULL));
	n.fault = m->fault;
	n.offset = m->offset;
	assert(n.fault == NULL || n.offset <= body.len);
	free(m);
	return n;
}

static void
check_same(const struct notes *a, struct notes b)
{
	assert(a->len == b.len && memcmp(a->text, b.text, a->len) == 0);
	assert(a->fault == b.fault && a->offset == b.offset && a->complete == b.complete);
	free(b.text);
}

/* Offset of the next delimiter from `from` on, of its CRLF if it has one; body.len without. */
static size_t
plain_delimiter(struct str body, struct str dash, size_t from)
{
	for (size_t at = from; at < body.len; at++) {
		if (at == 0 && str_starts(body, dash))
			return 0;
		if (str_starts(str_skip(body, at), STR("\r\n")) &&
			str_starts(str_skip(body, at + 2), dash))
			return at;
	}
	return body.len;
}

/* Cuts the next parameter off; quotes and escapes are undone in `value`, a block of its own. */
static bool
plain_param(struct str *rest, struct str *name, char *value, size_t *len)
{
	bool quoted = false;
	size_t i = 0;

	*rest = str_trim(*rest);
	*name = str_trim(str_head(*rest, str_index(*rest, '=')));
	*rest = str_skip(*rest, str_index(*rest, '=') + 1);
	*len = 0;
	for (; i < rest->len && (quoted || rest->p[i] != ';'); i++) {
		struct str here = str_skip(*rest, i);
		if (rest->p[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (!quoted && (rest->p[i] == ' ' || rest->p[i] == '\t'))
			continue;
		if (quoted && (str_starts(here, STR("\\\\")) || str_starts(here, STR("\\\""))))
			i++;
		value[(*len)++] = rest->p[i];
	}
	*rest = str_skip(*rest, i + 1);
	return name->len > 0;
}

/* A plain name without what browsers escape. False: there is another one to decode. */
static bool
plain_disposition(struct str value, char *room, struct str *name, bool *file)
{
	char *text = malloc(value.len + 1);
	struct str param;
	bool plain = false;
	size_t len;

	value = str_skip(value, str_index(value, ';') + 1);
	while (plain_param(&value, &param, text, &len)) {
		if (str_eq_nocase(param, STR("filename")) || str_eq_nocase(param, STR("filename*")))
			*file = true;
		if (!str_eq_nocase(param, STR("name")))
			continue;
		plain = memchr(text, '%', len) == NULL;
		memcpy(room, text, len);
		*name = (struct str){ room, len };
	}
	free(text);
	return plain;
}

/* Reads a head, with its empty line. `name` of the scanner stands in where it takes decoding. */
static void
plain_head(struct notes *n, struct str head, struct str scanned, uint64_t start, uint64_t end)
{
	char *room = malloc(head.len);
	struct str name = scanned;
	bool file = false, coded = false;

	while (head.len > 2) {
		struct str line = str_head(head, str_find(head, STR("\r\n")));
		struct str field = str_head(line, str_index(line, ':'));
		struct str value = str_trim(str_skip(line, field.len + 1));
		head = str_skip(head, line.len + 2);
		if (str_eq_nocase(field, STR("content-transfer-encoding")))
			coded = !str_eq_nocase(value, STR("7bit")) &&
				!str_eq_nocase(value, STR("8bit")) &&
				!str_eq_nocase(value, STR("binary"));
		if (str_eq_nocase(field, STR("content-disposition")) &&
			!plain_disposition(value, room, &name, &file))
			name = scanned;
	}
	note_part(n, name, file, coded, start, end);
	free(room);
}

/* The name that stands at `at` of the scanner's notes: what comes behind it has a fixed size. */
static struct str
scanned_name(const struct notes *whole, size_t at, uint64_t start, uint64_t end)
{
	const size_t behind = 2 * sizeof(bool);

	for (size_t len = 0; at + len + behind + 16 <= whole->len; len++) {
		const char *p = whole->text + at + len + behind;
		if (memcmp(p, &start, 8) == 0 && memcmp(p + 8, &end, 8) == 0)
			return (struct str){ whole->text + at, len };
	}
	assert(!"a part is missing");
	return (struct str){ NULL, 0 };
}

/* Only for a body in which the scanner found no fault. */
static struct notes
read_plainly(struct str body, struct str dash, const struct notes *whole)
{
	struct notes n = { .text = malloc(body.len * 2 + 64), .complete = true };
	size_t at = plain_delimiter(body, dash, 0);

	for (;;) {
		assert(at < body.len);
		at += (str_starts(str_skip(body, at), STR("\r\n")) ? 2 : 0) + dash.len;
		if (str_starts(str_skip(body, at), STR("--")))
			return n;
		size_t head = at + str_find(str_skip(body, at), STR("\r\n")) + 2;
		size_t start = head + str_find(str_skip(body, head), STR("\r\n\r\n")) + 4;
		at = plain_delimiter(body, dash, start);
		assert(at < body.len);
		plain_head(&n, str_head(str_skip(body, head), start - head),
			scanned_name(whole, n.len, start, at), start, at);
	}
}

/* A Content-Type that anybody may have written; its boundary, if it has a good one. */
static void
fuzz_type(struct str type)
{
	struct multipart *m = malloc(sizeof *m);
	const char *why;

	if (multipart_init(m, type, &why) == 0) {
		assert(why == NULL && m->dash_len >= 3);
		assert(str_find(type, (struct str){ m->dash + 2, m->dash_len - 2u }) < type.len);
	} else {
		assert(why != NULL && m->fault == why);
	}
	free(m);
}

static void
fuzz_body(struct str type, struct str dash, struct str body, size_t step)
{
	struct notes whole = read_body(type, body, body.len);

	check_same(&whole, read_body(type, body, 1));
	check_same(&whole, read_body(type, body, step));
	if (whole.complete)
		check_same(&whole, read_plainly(body, dash, &whole));
	free(whole.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		struct str type, dash;
	} rows[] = {
		{ STR_INIT("multipart/form-data; boundary=XYZ"), STR_INIT("--XYZ") },
		{ STR_INIT("multipart/form-data; boundary=-"), STR_INIT("---") },
		{ STR_INIT("multipart/form-data; boundary=a"), STR_INIT("--a") },
		{ STR_INIT("multipart/form-data; boundary=\"x:y z\""), STR_INIT("--x:y z") },
		{ STR_INIT("multipart/form-data; boundary=----------"), STR_INIT("------------") },
	};

	if (size < 3)
		return 0;
	char *copy = malloc(size - 2);
	struct str body = { copy, size - 2 };
	memcpy(copy, data + 2, body.len);
	size_t row = data[0] % (sizeof rows / sizeof rows[0] + 1);
	if (row == sizeof rows / sizeof rows[0])
		fuzz_type(body);
	else
		fuzz_body(rows[row].type, rows[row].dash, body, (size_t)data[1] + 1);
	free(copy);
	return 0;
}
