/*
 * Coding: coded texts undone whole, byte by byte and cut at every offset; several members, flushes
 * in the middle, what lies behind the end, broken and truncated texts, bombs, no memory.
 */
#include "http/coding.h"

#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

enum { GZIP = 31, ZLIB = 15, RAW = -15, ROOM = 1 << 20 };

static char coded[ROOM], plain[ROOM];

/* Appends the text, coded, at `at`; where it ends. */
static size_t
encode(size_t at, struct str text, int bits, int flush)
{
	z_stream z = { 0 };

	ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)text.p;
	z.avail_in = (unsigned)text.len;
	z.next_out = (unsigned char *)coded + at;
	z.avail_out = (unsigned)(ROOM - at);
	ck_assert_int_eq(deflate(&z, flush), flush == Z_FINISH ? Z_STREAM_END : Z_OK);
	deflateEnd(&z);
	return ROOM - z.avail_out;
}

/* Feeds all of `in` in calls of at most `most` bytes each. 0 or -1. */
static int
feed(struct coding *c, struct str in, struct buf *out, size_t most)
{
	for (;;) {
		size_t before = buf_len(out);
		long n = coding_feed(c, in, out, most);

		if (n < 0)
			return -1;
		ck_assert_uint_le((size_t)n, in.len);
		ck_assert_uint_le(buf_len(out) - before, most);
		in = str_skip(in, (size_t)n);
		if (buf_len(out) - before < most) {
			ck_assert_uint_eq(in.len, 0);
			return 0;
		}
	}
}

/* The text in two pieces, or byte by byte (cut SIZE_MAX). */
static int
undo(const char *name, size_t len, size_t cut, size_t most, struct buf *out, bool *whole)
{
	struct coding c;
	int rc = 0;

	ck_assert_int_eq(coding_open(&c, str_of(name)), 0);
	for (size_t at = 0; at < len && rc == 0;) {
		size_t to = cut == SIZE_MAX ? at + 1 : at < cut && cut < len ? cut : len;

		rc = feed(&c, (struct str){ coded + at, to - at }, out, most);
		at = to;
	}
	ck_assert_int_eq(rc < 0, c.fault != NULL);
	*whole = coding_whole(&c);
	if (rc < 0) {
		ck_assert_int_eq(coding_feed(&c, STR("x"), out, most), -1);
		ck_assert(!*whole);
	}
	coding_close(&c);
	coding_close(&c);
	return rc;
}

/* Every cut of the coded text gives `want`. */
static void
every_cut(const char *name, size_t len, struct str want)
{
	static const size_t bounds[] = { 1, 7, ROOM };

	for (size_t b = 0; b < COUNT(bounds); b++) {
		for (size_t cut = 0; cut <= len + 1; cut++) {
			struct buf out = BUF_EMPTY;
			bool whole;

			ck_assert_int_eq(undo(name, len, cut > len ? SIZE_MAX : cut, bounds[b],
						 &out, &whole),
				0);
			ck_assert(whole);
			ck_assert(str_eq(buf_str(&out), want));
			buf_free(&out);
		}
	}
	ck_assert_uint_eq(mem_used(), 0);
}

static struct str
sentence(size_t len)
{
	static const char words[] = "data: {\"delta\":\"Hello, world\"}\n\n";

	for (size_t i = 0; i < len; i++)
		plain[i] = (char)(words[i % (sizeof words - 1)] ^ (i % 41 == 0));
	return (struct str){ plain, len };
}

START_TEST(test_names)
{
	static const struct {
		const char *name;
		int rc;
	} names[] = { { "gzip", 0 }, { "GZip", 0 }, { " x-gzip ", 0 }, { "deflate", 0 },
		{ "gzip,", 0 }, { "br", -1 }, { "zstd", -1 }, { "compress", -1 },
		{ "identity", -1 }, { "", -1 }, { ",", -1 }, { "gzip, gzip", -1 },
		{ "gzip, br", -1 }, { "identity, gzip", -1 }, { "gzipped", -1 } };

	for (size_t i = 0; i < COUNT(names); i++) {
		struct coding c;

		ck_assert_msg(coding_open(&c, str_of(names[i].name)) == names[i].rc, "%s",
			names[i].name);
		if (names[i].rc == 0) {
			ck_assert(!coding_whole(&c));
			coding_close(&c);
		}
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_every_cut)
{
	static const struct {
		const char *name;
		int bits;
	} rows[] = { { "gzip", GZIP }, { "deflate", ZLIB }, { "deflate", RAW } };
	static const size_t lens[] = { 0, 1, 2, 33, 700 };

	for (size_t r = 0; r < COUNT(rows); r++) {
		for (size_t i = 0; i < COUNT(lens); i++) {
			struct str text = sentence(lens[i]);

			every_cut(rows[r].name, encode(0, text, rows[r].bits, Z_FINISH), text);
		}
	}
}
END_TEST

/* One text after the other is one text. What is no text of gzip's behind it is passed over, as is
 * everything behind deflate's end. */
START_TEST(test_behind)
{
	static const struct str rests[] = { STR_INIT("\0\0\0\0"), STR_INIT("\x1f"),
		STR_INIT("\x1f\x1f\x8b"), STR_INIT("x") };
	size_t one = encode(0, STR("one"), GZIP, Z_FINISH), two, three;

	two = encode(one, STR(""), GZIP, Z_FINISH);
	three = encode(two, STR(", two"), GZIP, Z_FINISH);
	every_cut("gzip", three, STR("one, two"));
	for (size_t i = 0; i < COUNT(rests); i++) {
		memcpy(coded + three, rests[i].p, rests[i].len);
		every_cut("gzip", three + rests[i].len, STR("one, two"));
	}
	one = encode(0, STR("one"), ZLIB, Z_FINISH);
	two = encode(one, STR("two"), ZLIB, Z_FINISH);
	every_cut("deflate", two, STR("one"));
}
END_TEST

/* What was flushed comes at once: an event is not held back for the next one. */
START_TEST(test_flushes)
{
	static const int kinds[] = { GZIP, ZLIB, RAW },
			 flushes[] = { Z_SYNC_FLUSH, Z_PARTIAL_FLUSH, Z_FULL_FLUSH };

	for (size_t k = 0; k < COUNT(kinds); k++) {
		for (size_t f = 0; f < COUNT(flushes); f++) {
			size_t len = encode(0, STR("data: 1\n\n"), kinds[k], flushes[f]);
			struct buf out = BUF_EMPTY;
			struct coding c;

			coding_open(&c, kinds[k] == GZIP ? STR("gzip") : STR("deflate"));
			ck_assert_int_eq(feed(&c, (struct str){ coded, len }, &out, ROOM), 0);
			ck_assert(str_eq(buf_str(&out), STR("data: 1\n\n")));
			ck_assert(!coding_whole(&c));
			coding_close(&c);
			buf_free(&out);
		}
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_truncated)
{
	static const int kinds[] = { GZIP, ZLIB, RAW };
	struct str text = sentence(300);

	for (size_t k = 0; k < COUNT(kinds); k++) {
		size_t len = encode(0, text, kinds[k], Z_FINISH);

		for (size_t cut = 0; cut < len; cut++) {
			struct buf out = BUF_EMPTY;
			bool whole;

			ck_assert_int_eq(undo(kinds[k] == GZIP ? "gzip" : "deflate", cut, 0, ROOM,
						 &out, &whole),
				0);
			ck_assert(!whole);
			ck_assert(str_starts(text, buf_str(&out)));
			buf_free(&out);
		}
	}
}
END_TEST

/* Nothing but the truth comes out where a byte is wrong, or the fault is told. */
START_TEST(test_broken)
{
	static const int kinds[] = { GZIP, ZLIB };
	struct str text = sentence(100);

	for (size_t k = 0; k < COUNT(kinds); k++) {
		const char *name = kinds[k] == GZIP ? "gzip" : "deflate";
		size_t len = encode(0, text, kinds[k], Z_FINISH), told = 0;

		for (size_t at = 0; at < len; at++) {
			struct buf out = BUF_EMPTY;
			bool whole;

			coded[at] ^= 0x10;
			int rc = undo(name, len, SIZE_MAX, ROOM, &out, &whole);
			coded[at] ^= 0x10;
			told += rc < 0;
			/* a bare stream, which a broken head of deflate's looks like, has no sum */
			ck_assert(!whole || at < 10 || str_eq(buf_str(&out), text));
			buf_free(&out);
		}
		ck_assert_uint_gt(told, len / 2);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_checksum)
{
	size_t len = encode(0, STR("text"), GZIP, Z_FINISH);
	struct buf out = BUF_EMPTY;
	struct coding c;

	coded[len - 8] ^= 1;
	coding_open(&c, STR("gzip"));
	ck_assert_int_eq(coding_feed(&c, (struct str){ coded, len }, &out, ROOM), -1);
	ck_assert_str_eq(c.fault, "incorrect data check");
	ck_assert(!c.memory && !coding_whole(&c));
	ck_assert(str_eq(buf_str(&out), STR("text")));
	coding_close(&c);
	buf_free(&out);
	coding_open(&c, STR("gzip"));
	ck_assert_int_eq(coding_feed(&c, STR("<html>"), &out, ROOM), -1);
	ck_assert_str_eq(c.fault, "incorrect header check");
	coding_close(&c);
	coding_open(&c, STR("deflate")); /* a zlib stream with a dictionary */
	ck_assert_int_eq(coding_feed(&c, STR("\x78\xbb\1\2\3\4"), &out, ROOM), -1);
	ck_assert_str_eq(c.fault, "it needs a dictionary");
	coding_close(&c);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A megabyte in a kilobyte: no call gives more than was asked for, whatever is left. */
START_TEST(test_bomb)
{
	memset(plain, 0, sizeof plain);
	size_t len = encode(0, (struct str){ plain, sizeof plain }, GZIP, Z_FINISH), all = 0;
	struct str in = { coded, len };
	struct coding c;

	coding_open(&c, STR("gzip"));
	while (!coding_whole(&c)) {
		struct buf out = BUF_EMPTY;
		long n = coding_feed(&c, in, &out, 1000);

		ck_assert_int_ge(n, 0);
		ck_assert_uint_le(buf_len(&out), 1000);
		ck_assert_uint_lt(mem_used(), 64 << 10);
		in = str_skip(in, (size_t)n);
		all += buf_len(&out);
		buf_free(&out);
	}
	ck_assert_uint_eq(all, sizeof plain);
	coding_close(&c);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_no_memory)
{
	struct str text = sentence(50000);
	size_t len = encode(0, text, GZIP, Z_FINISH), tries = 0;

	for (size_t n = 1;; n++) {
		struct buf out = BUF_EMPTY;
		struct coding c;

		coding_open(&c, STR("gzip"));
		mem_fail_after(n);
		int rc = feed(&c, (struct str){ coded, len }, &out, 100);
		mem_fail_after(0);
		ck_assert(rc == 0 || (c.memory && strcmp(c.fault, "out of memory") == 0));
		coding_close(&c);
		buf_free(&out);
		ck_assert_uint_eq(mem_used(), 0);
		if (rc == 0)
			break;
		tries++;
	}
	ck_assert_uint_gt(tries, 3);
}
END_TEST

UNIT_MAIN("http/coding", test_names, test_every_cut, test_behind, test_flushes, test_truncated,
	test_broken, test_checksum, test_bomb, test_no_memory)
