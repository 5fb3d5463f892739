/*
 * Fuzzes http/sse. The first byte is the most bytes of an event, the second the size of the pieces;
 * the rest is the stream. What must hold: the events do not depend on how the bytes came, they are
 * those that a plain reader of the grammar finds, memory stays bounded and is all given back.
 */
#include "http/sse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Events one after the other as text; every byte of a stream stands in it at most once, and an
 * event adds three. */
struct notes {
	char *text;
	size_t len;
	bool between;
};

static void
note(struct notes *n, struct str s)
{
	if (s.len > 0)
		memcpy(n->text + n->len, s.p, s.len);
	n->len += s.len;
}

static void
note_event(struct notes *n, const struct sse_event *ev)
{
	note(n, ev->oversized ? STR("\1") : ev->has_data ? STR("\2") : STR("\3"));
	note(n, ev->name);
	note(n, STR("\4"));
	note(n, ev->data);
	note(n, STR("\5"));
}

static struct notes
notes_new(size_t size)
{
	return (struct notes){ .text = malloc(size * 4 + 16) };
}

static struct notes
read_stream(struct str in, size_t carry_max, size_t step)
{
	struct notes n = notes_new(in.len);
	struct sse_event ev;
	struct sse s;
	bool got;

	sse_init(&s, carry_max);
	for (size_t at = 0; at < in.len;) {
		/* In a block of its own: a slice that outlives its input is seen. */
		struct str piece = str_head(str_skip(in, at), step);
		char *copy = malloc(piece.len);
		memcpy(copy, piece.p, piece.len);
		long used = sse_next(&s, (struct str){ copy, piece.len }, &ev, &got);
		assert(used > 0 && (size_t)used <= piece.len && (got || (size_t)used == piece.len));
		assert(mem_used() <= 4 * carry_max + 1024);
		if (got)
			note_event(&n, &ev);
		free(copy);
		at += (size_t)used;
	}
	n.between = sse_between(&s);
	if (sse_finish(&s, &ev)) {
		assert(ev.has_data && !n.between);
		note_event(&n, &ev);
	}
	sse_free(&s);
	assert(mem_used() == 0);
	return n;
}

static void
check_same(const struct notes *a, struct notes b)
{
	assert(a->len == b.len && memcmp(a->text, b.text, a->len) == 0);
	free(b.text);
}

/* One event of the plain reader. */
struct plain {
	char *data;
	size_t len;
	struct str name;
	size_t size;
	bool has_data;
};

static void
plain_line(struct plain *e, struct str line)
{
	size_t colon = str_index(line, ':');
	struct str name = str_head(line, colon), value = str_skip(line, colon + 1);

	if (colon == 0 && line.len > 0)
		return;
	if (value.len > 0 && value.p[0] == ' ')
		value = str_skip(value, 1);
	e->size += line.len + 1;
	if (str_eq(name, STR("event")))
		e->name = value;
	if (!str_eq(name, STR("data")))
		return;
	if (value.len > 0)
		memcpy(e->data + e->len, value.p, value.len);
	e->len += value.len;
	e->data[e->len++] = '\n';
	e->has_data = true;
}

static void
plain_end(struct plain *e, size_t carry_max, bool last, struct notes *n)
{
	struct sse_event ev = { .name = e->name, .has_data = e->has_data };

	if (e->has_data)
		ev.data = (struct str){ e->data, e->len - 1 };
	if (e->size > carry_max)
		ev = (struct sse_event){ .has_data = true, .oversized = true };
	if (e->size > 0 && (ev.has_data || !last))
		note_event(n, &ev);
	*e = (struct plain){ .data = e->data };
}

/* By the letter of WHATWG HTML 9.2.6, a byte at a time over the whole stream. */
static struct notes
read_plainly(struct str in, size_t carry_max)
{
	struct notes n = notes_new(in.len);
	struct plain e = { .data = malloc(in.len + 2) };
	size_t at = str_starts(in, STR("\xef\xbb\xbf")) ? 3 : 0;

	/* A byte-order mark that is cut off is not yet a line. */
	if (in.len > 0 && in.len < 3 && str_starts(STR("\xef\xbb\xbf"), in))
		at = in.len;
	while (at < in.len) {
		size_t from = at;
		while (at < in.len && in.p[at] != '\n' && in.p[at] != '\r')
			at++;
		struct str line = { in.p + from, at - from };
		if (line.len > 0)
			plain_line(&e, line);
		else
			plain_end(&e, carry_max, false, &n);
		if (at + 1 < in.len && in.p[at] == '\r' && in.p[at + 1] == '\n')
			at++;
		at++;
	}
	plain_end(&e, carry_max, true, &n);
	free(e.data);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	char *copy = malloc(size - 2);
	struct str in = { copy, size - 2 };
	memcpy(copy, data + 2, in.len);
	/* A first byte of 255 stands for a bound that nothing reaches. */
	size_t carry_max = data[0] == 255 ? 1 << 20 : data[0];
	struct notes whole = read_stream(in, carry_max, in.len);
	struct notes bytes = read_stream(in, carry_max, 1);
	assert(whole.between == bytes.between);
	check_same(&whole, bytes);
	check_same(&whole, read_stream(in, carry_max, (size_t)data[1] + 1));
	check_same(&whole, read_plainly(in, carry_max));
	free(whole.text);
	free(copy);
	return 0;
}
