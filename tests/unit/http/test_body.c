/*
 * Tests of http/body. Each row is a chunked body with what it decodes to, or a body whose framing
 * breaks with the byte at which it does; it is fed whole, byte by byte and cut in two at every
 * offset, and must come out the same, joined or not.
 */
#include "http/body.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define E "\r\n"

struct body_case {
	struct str wire;
	struct str data;
	long broken;  /* offset of the byte that breaks the framing, or -1 */
	size_t after; /* bytes behind the end of the body */
	bool open;    /* the body has not ended with the last byte */
};

#define ENDS(text, decoded)                                     \
	{                                                       \
		STR_INIT(text), STR_INIT(decoded), -1, 0, false \
	}
#define FOLLOWED(n, text, decoded)                              \
	{                                                       \
		STR_INIT(text), STR_INIT(decoded), -1, n, false \
	}
#define OPEN(text, decoded)                                    \
	{                                                      \
		STR_INIT(text), STR_INIT(decoded), -1, 0, true \
	}
#define BREAKS(at, text, decoded)                              \
	{                                                      \
		STR_INIT(text), STR_INIT(decoded), at, 0, true \
	}

static const struct body_case rows[] = {
	ENDS("0" E E, ""),
	ENDS("000" E E, ""),
	ENDS("0000000000000000" E E, ""),
	ENDS("5" E "hello" E "0" E E, "hello"),
	ENDS("5" E "hello" E "6" E " world" E "0" E E, "hello world"),
	ENDS("1" E "a" E "1" E "b" E "1" E "c" E "0" E E, "abc"),
	ENDS("a" E "0123456789" E "A" E "0123456789" E "0" E E, "01234567890123456789"),
	ENDS("000000000000000b" E "hello world" E "0" E E, "hello world"),
	ENDS("4" E "\r\n\r\n" E "0" E E, "\r\n\r\n"),
	ENDS("5" E "0\r\n\r\n" E "0" E E, "0\r\n\r\n"),
	ENDS("4" E "\0\xff\x01\n" E "0" E E, "\0\xff\x01\n"),
	ENDS("1a" E "abcdefghijklmnopqrstuvwxyz" E "0" E E, "abcdefghijklmnopqrstuvwxyz"),
	/* extensions */
	ENDS("5;a" E "hello" E "0;b" E E, "hello"),
	ENDS("5;a=b;c=\"d e;\x80\"" E "hello" E "0" E E, "hello"),
	ENDS("5;" E "hello" E "0" E E, "hello"),
	ENDS("5 \t;a" E "hello" E "0" E E, "hello"),
	/* trailers */
	ENDS("0" E "X: y" E E, ""),
	ENDS("1" E "a" E "0" E "X:" E "Content-Length: 5\t\xc3\xa9" E E, "a"),
	/* what stands behind the end is not touched */
	FOLLOWED(1, "0" E E "x", ""),
	FOLLOWED(2, "0" E E E, ""),
	FOLLOWED(18, "1" E "a" E "0" E E "GET / HTTP/1.1" E E, "a"),
	FOLLOWED(5, "0" E "X: y" E E "0" E E, ""),
	/* not at its end */
	OPEN("", ""),
	OPEN("5", ""),
	OPEN("5\r", ""),
	OPEN("5" E, ""),
	OPEN("5" E "he", "he"),
	OPEN("5" E "hello", "hello"),
	OPEN("5" E "hello\r", "hello"),
	OPEN("5" E "hello" E, "hello"),
	OPEN("5" E "hello" E "0", "hello"),
	OPEN("5" E "hello" E "0" E, "hello"),
	OPEN("5" E "hello" E "0" E "X: y" E, "hello"),
	OPEN("5" E "hello" E "0" E "\r", "hello"),
	OPEN("ffffffffffffffff" E "hello", "hello"),
	/* broken */
	BREAKS(0, "x", ""),
	BREAKS(0, E "5" E, ""),
	BREAKS(0, ";a" E, ""),
	BREAKS(0, " 5" E, ""),
	BREAKS(0, "-5" E, ""),
	BREAKS(0, "+5" E, ""),
	BREAKS(1, "0x5" E "hello" E, ""),
	BREAKS(1, "5_0" E, ""),
	BREAKS(1, "5g" E, ""),
	BREAKS(1, "5,5" E, ""),
	BREAKS(2, "5 " E "hello" E, ""),
	BREAKS(2, "5 5" E, ""),
	BREAKS(2, "5\t\r\n", ""),
	BREAKS(16, "00000000000000000" E E, ""),
	BREAKS(16, "10000000000000005" E "hello" E, ""),
	BREAKS(1, "5\nhello" E "0" E E, ""),
	BREAKS(2, "5\r\r\nhello" E "0" E E, ""),
	BREAKS(2, "5\rhello", ""),
	BREAKS(3, "5;a\nhello" E "0" E E, ""),
	BREAKS(4, "5;a\rb" E "hello" E, ""),
	BREAKS(2, "5;\0" E, ""),
	BREAKS(2, "5;\x7f" E, ""),
	BREAKS(8, "5" E "hellox" E "0" E E, "hello"),
	BREAKS(8, "5" E "hello0" E E, "hello"),
	BREAKS(8, "5" E "hello\n0" E E, "hello"),
	BREAKS(9, "5" E "hello\r0" E E, "hello"),
	BREAKS(10, "5" E "hello" E E "0" E E, "hello"),
	BREAKS(1, "0\n\n", ""),
	BREAKS(3, "0" E "\n", ""),
	BREAKS(4, "0" E "\rX", ""),
	BREAKS(3, "0" E ": y" E E, ""),
	BREAKS(3, "0" E " X: y" E E, ""),
	BREAKS(4, "0" E "X" E E, ""),
	BREAKS(4, "0" E "X : y" E E, ""),
	BREAKS(7, "0" E "X: y\n" E, ""),
	BREAKS(8,
		"0" E "X: y\r"
		"Z: a" E E,
		""),
	BREAKS(9, "0" E "X: y" E " z" E E, ""),
	BREAKS(6, "0" E "X: \0" E E, ""),
	/* a request smuggled as a trailer */
	BREAKS(6, "0" E "GET / HTTP/1.1" E "Host: a" E E, ""),
};

struct result {
	char data[256];
	size_t len;
	size_t used; /* bytes consumed */
	bool broken, done;
	bool joins; /* read with body_join */
};

/* As body_next, with body_join: of the data that it gives as one, what it took is told as if it
 * stood in the piece. */
static long
join(struct body *b, struct str piece, struct str *data)
{
	static char room[65536];
	long n;

	ck_assert_uint_le(piece.len, sizeof room);
	memcpy(room, piece.p, piece.len);
	n = body_join(b, room, piece.len, data);
	if (data->len > 0 && (data->p < room || data->p + data->len > room + n))
		ck_abort_msg("joined data from outside of what was consumed");
	ck_assert(n < 0 || memcmp(room + n, piece.p + n, piece.len - (size_t)n) == 0);
	return n;
}

/* Feeds one piece; false when there is no use in going on. */
static bool
feed(struct body *b, struct str piece, struct result *r)
{
	while (piece.len > 0) {
		struct str data;
		long n = r->joins ? join(b, piece, &data) : body_next(b, piece, &data);
		if (n > (long)piece.len || (n == 0 && !b->done))
			ck_abort_msg("%ld of %zu bytes consumed", n, piece.len);
		if (n < 0) {
			r->broken = true;
			ck_assert_int_eq(body_next(b, piece, &data), -1);
			return false;
		}
		if (r->len + data.len > sizeof r->data)
			ck_abort_msg("%zu bytes of data", r->len + data.len);
		if (!r->joins && data.len > 0 &&
			(data.p < piece.p || data.p + data.len > piece.p + n))
			ck_abort_msg("data from outside of what was consumed");
		if (data.len > 0)
			memcpy(r->data + r->len, data.p, data.len);
		r->len += data.len;
		r->used += (size_t)n;
		if (b->done)
			return false;
		piece = str_skip(piece, (size_t)n);
	}
	return true;
}

/* The first `cut` bytes and then `step` bytes at a time. */
static struct result
read_body_by(bool joins, struct str wire, enum framing kind, uint64_t length, size_t cut,
	size_t step)
{
	struct result r = { .joins = joins };
	struct body b;
	bool more;

	body_init(&b, kind, length);
	more = !b.done && feed(&b, str_head(wire, cut), &r);
	for (size_t at = cut; more && at < wire.len; at += step)
		more = feed(&b, str_head(str_skip(wire, at), step), &r);
	r.done = b.done;
	return r;
}

/* The same either way. */
static struct result
read_body(struct str wire, enum framing kind, uint64_t length, size_t cut, size_t step)
{
	struct result r = read_body_by(false, wire, kind, length, cut, step);
	struct result joined = read_body_by(true, wire, kind, length, cut, step);

	ck_assert(joined.broken == r.broken && joined.done == r.done && joined.used == r.used);
	ck_assert(joined.len == r.len && memcmp(joined.data, r.data, r.len) == 0);
	return r;
}

static void
check_row(const struct body_case *c, size_t row, size_t cut, size_t step)
{
	struct result r = read_body(c->wire, FRAMING_CHUNKED, 0, cut, step);
	size_t used = c->broken >= 0 ? (size_t)c->broken : c->wire.len - c->after;

	ck_assert_msg(r.broken == (c->broken >= 0), "row %zu, %zu+%zu: broken %d", row, cut, step,
		r.broken);
	ck_assert_msg(r.done == !c->open, "row %zu, %zu+%zu: done %d", row, cut, step, r.done);
	ck_assert_msg(r.used == used, "row %zu, %zu+%zu: consumed %zu", row, cut, step, r.used);
	ck_assert_msg(str_eq((struct str){ r.data, r.len }, c->data), "row %zu, %zu+%zu: data %.*s",
		row, cut, step, (int)r.len, r.data);
}

START_TEST(test_chunked)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t cut = 0; cut <= rows[i].wire.len; cut++) {
			check_row(&rows[i], i, cut, 1);
			check_row(&rows[i], i, cut, rows[i].wire.len + 1);
		}
	}
}
END_TEST

START_TEST(test_one_slice_a_call)
{
	struct str wire = STR("5" E "hello" E "6;x" E " world" E "0" E E), data;
	struct body b;
	long n;

	body_init(&b, FRAMING_CHUNKED, 0);
	n = body_next(&b, wire, &data);
	ck_assert_int_eq(n, 15);
	ck_assert_ptr_eq(data.p, wire.p + 3);
	ck_assert_uint_eq(data.len, 5);
	ck_assert_int_eq(body_next(&b, str_skip(wire, 15), &data), (long)wire.len - 15);
	ck_assert_ptr_eq(data.p, wire.p + 15);
	ck_assert_uint_eq(data.len, 6);
	ck_assert(b.done);
	ck_assert_int_eq(body_next(&b, STR("x"), &data), 0);
	ck_assert_uint_eq(data.len, 0);
}
END_TEST

/* A chunk of `len` times the same letter, in `to`. Its length. */
static size_t
chunk(char *to, char letter, size_t len)
{
	size_t at = body_chunk_head(to, len);

	memset(to + at, letter, len);
	memcpy(to + at + len, BODY_CHUNK_TAIL, 2);
	return at + len + 2;
}

static void
check_all(struct str data, char letter, size_t len)
{
	ck_assert_uint_eq(data.len, len);
	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(data.p[i], letter);
}

/* Small chunks are joined up to the end of the piece, which cuts one; a large one stands alone, and
 * what follows it is joined to it. */
START_TEST(test_joined)
{
	static char wire[65536];
	struct str data;
	struct body b;
	size_t len = 0, small;
	long n;

	body_init(&b, FRAMING_CHUNKED, 0);
	for (int i = 0; i < 100; i++)
		len += chunk(wire + len, 'a', 150);
	small = len;
	len += chunk(wire + len, 'b', 20000);
	len += chunk(wire + len, 'b', 5);
	len += chunk(wire + len, 'b', 200) - 102;
	n = body_join(&b, wire, len, &data);
	check_all(data, 'a', 15000);
	ck_assert_ptr_eq(data.p, wire + 4);
	ck_assert_int_eq(n, (long)small + 6);
	n += body_join(&b, wire + n, len - (size_t)n, &data);
	check_all(data, 'b', 20105);
	ck_assert_ptr_eq(data.p, wire + small + 6);
	ck_assert_int_eq(n, (long)len);
	ck_assert_uint_eq(b.left, 100);
}
END_TEST

START_TEST(test_empty)
{
	struct body b;

	body_init(&b, FRAMING_LENGTH, 0);
	ck_assert_msg(b.done, "an empty body waits for nothing");
	body_init(&b, FRAMING_NONE, 0);
	ck_assert(b.done);
	body_init(&b, FRAMING_LENGTH, 1);
	ck_assert(!b.done);
	body_init(&b, FRAMING_CHUNKED, 0);
	ck_assert(!b.done);
}
END_TEST

START_TEST(test_length)
{
	struct str wire = STR("hello"
			      "GET / HTTP/1.1");

	for (size_t cut = 0; cut <= wire.len; cut++) {
		struct result r = read_body(wire, FRAMING_LENGTH, 5, cut, 3);
		ck_assert(r.done && !r.broken);
		ck_assert_uint_eq(r.used, 5);
		ck_assert_uint_eq(r.len, 5);
		ck_assert_int_eq(memcmp(r.data, "hello", 5), 0);
		r = read_body(wire, FRAMING_LENGTH, wire.len + 1, cut, 3);
		ck_assert(!r.done && !r.broken);
		ck_assert_uint_eq(r.used, wire.len);
	}
}
END_TEST

START_TEST(test_none_and_close)
{
	struct str wire = STR("0\r\n\r\nhello");
	struct result r = read_body(wire, FRAMING_NONE, 0, wire.len, 1);

	ck_assert(r.done);
	ck_assert_uint_eq(r.used, 0);
	r = read_body(wire, FRAMING_LENGTH, 0, wire.len, 1);
	ck_assert(r.done);
	ck_assert_uint_eq(r.used, 0);
	for (size_t cut = 0; cut <= wire.len; cut++) {
		r = read_body(wire, FRAMING_CLOSE, 0, cut, 2);
		ck_assert(!r.done && !r.broken);
		ck_assert(str_eq((struct str){ r.data, r.len }, wire));
	}
}
END_TEST

/* A line of `len` bytes with its CRLF, opened by `front` and filled up with 'a'; then `tail`. */
static struct str
long_line(char *out, const char *front, size_t len, const char *tail)
{
	size_t head = strlen(front);

	memset(out, 'a', len);
	memcpy(out, front, head);
	memcpy(out + len - 2, "\r\n", 2);
	memcpy(out + len, tail, strlen(tail) + 1);
	return (struct str){ out, len + strlen(tail) };
}

/* A line or section of exactly `max` bytes passes and one more byte breaks, whole and byte by byte.
 */
static void
check_limit(const char *front, size_t max, const char *tail, size_t steps)
{
	static char text[40000];

	for (size_t over = 0; over < 2; over++) {
		struct str wire = long_line(text, front, max + over, tail);
		for (size_t step = 1; step <= steps; step += steps - 1) {
			struct result r = read_body(wire, FRAMING_CHUNKED, 0, 0, step);
			ck_assert_msg(r.broken == (over == 1), "%s: %zu bytes, %zu at a time",
				front, max + over, step);
			ck_assert(r.done == (over == 0));
		}
	}
}

START_TEST(test_limits)
{
	check_limit("0;", 4096, E, 40000);
	check_limit("1;", 4096, "x" E "0" E E, 40000);
	/* Of the 16 KiB of the trailers two bytes are the empty line's. */
	check_limit("0" E "X: ", 3 + 16384 - 2, E, 40000);
}
END_TEST

/* The limit is for all trailers together, and for one extension at a time. */
START_TEST(test_limits_add_up)
{
	struct body b;
	struct str data;
	char extension[4200];
	int trailers = 0;

	body_init(&b, FRAMING_CHUNKED, 0);
	struct str chunk = long_line(extension, "1;", 4000, "x" E);
	for (int i = 0; i < 10; i++)
		for (struct str rest = chunk; rest.len > 0;) {
			long n = body_next(&b, rest, &data);
			ck_assert_int_gt(n, 0);
			rest = str_skip(rest, (size_t)n);
		}
	ck_assert_int_eq(body_next(&b, STR("0" E), &data), 3);
	while (body_next(&b, STR("Trailer-1: 12345" E), &data) == 18)
		trailers++;
	ck_assert_int_eq(trailers, 16384 / 18);
}
END_TEST

START_TEST(test_chunk_head)
{
	static const size_t sizes[] = { 0, 1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65535, 65536,
		1000000, SIZE_MAX / 16, SIZE_MAX / 16 + 1, SIZE_MAX - 1, SIZE_MAX };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		char out[BODY_CHUNK_HEAD_MAX + 1], expected[32];
		out[BODY_CHUNK_HEAD_MAX] = 'x';
		size_t len = body_chunk_head(out, sizes[i]);
		snprintf(expected, sizeof expected, "%zx\r\n", sizes[i]);
		ck_assert_uint_eq(len, strlen(expected));
		ck_assert_int_eq(memcmp(out, expected, len), 0);
		ck_assert_int_eq(out[BODY_CHUNK_HEAD_MAX], 'x');
	}
}
END_TEST

UNIT_MAIN("http/body", test_chunked, test_one_slice_a_call, test_joined, test_empty, test_length,
	test_none_and_close, test_limits, test_limits_add_up, test_chunk_head)
