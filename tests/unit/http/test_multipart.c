/*
 * Tests of http/multipart. Each row is a body with the parts in it, or with its fault and where
 * that stands; it is fed whole, byte by byte and cut in two at every offset, and must come out the
 * same. The bodies of clients are as those clients write them.
 */
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
/* As ck_assert, which writes a record even when all is well. */
#define MUST(condition)                                 \
	do {                                            \
		if (!(condition))                       \
			ck_abort_msg("%s", #condition); \
	} while (0)
#define PARTS 6
#define E "\r\n"
#define XYZ "multipart/form-data; boundary=XYZ"
/* Heads and delimiters of the boundary XYZ. */
#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"" E E
#define FIRST "--XYZ" E
#define NEXT E "--XYZ" E
#define LAST E "--XYZ--" E

struct part_case {
	struct str name, content;
	bool file, coded;
};

struct seen {
	struct multipart_part parts[PARTS];
	char names[PARTS][MULTIPART_NAME_MOST], values[PARTS][MULTIPART_VALUE_MOST];
	size_t n;
	const char *fault;
	uint64_t offset;
	bool complete, closed; /* closed: multipart_end said so */
};

static struct str
kept(char *room, struct str s)
{
	if (s.len > 0)
		memcpy(room, s.p, s.len);
	return (struct str){ room, s.len };
}

static bool
feed(struct multipart *m, struct str piece, struct seen *s)
{
	while (piece.len > 0) {
		struct multipart_part part;
		bool got;
		long used = multipart_next(m, piece, &part, &got);
		if (used < 0) {
			MUST(!got && m->fault != NULL);
			MUST(multipart_next(m, piece, &part, &got) == -1 && !got);
			return false;
		}
		MUST(used > 0 && (size_t)used <= piece.len);
		MUST(got || (size_t)used == piece.len);
		piece = str_skip(piece, (size_t)used);
		if (!got)
			continue;
		MUST(s->n < PARTS);
		part.name = kept(s->names[s->n], part.name);
		part.value = kept(s->values[s->n], part.value);
		s->parts[s->n++] = part;
	}
	return true;
}

/* The first `cut` bytes and then `step` bytes at a time. */
static void
read_body(const char *type, struct str body, size_t cut, size_t step, struct seen *s)
{
	static struct multipart m;
	const char *why;
	bool more;

	s->n = 0;
	MUST(multipart_init(&m, str_of(type), &why) == 0 && why == NULL);
	more = feed(&m, str_head(body, cut), s);
	for (size_t at = cut; more && at < body.len; at += step)
		more = feed(&m, str_head(str_skip(body, at), step), s);
	s->complete = m.complete;
	s->closed = multipart_end(&m) == 0;
	MUST(s->closed == (m.fault == NULL) && (s->closed || !m.complete));
	s->fault = m.fault;
	s->offset = m.offset;
}

static void
check_part(struct str body, const struct multipart_part *part, const struct part_case *expected)
{
	struct str content = str_head(str_skip(body, part->start), part->end - part->start);
	struct str value = expected->file ? STR("") : expected->content;

	MUST(part->start <= part->end && part->end <= body.len);
	if (!str_eq(part->name, expected->name) || !str_eq(content, expected->content))
		ck_abort_msg("\"%.*s\" is \"%.*s\", not \"%.*s\" and \"%.*s\"", STR_ARG(part->name),
			STR_ARG(content), STR_ARG(expected->name), STR_ARG(expected->content));
	MUST(part->file == expected->file && part->coded == expected->coded);
	MUST(str_eq(part->value, str_head(value, MULTIPART_VALUE_MOST)));
	MUST(str_starts(str_skip(body, part->start - 4), STR(E E)));
	MUST(str_starts(str_skip(body, part->end), STR(E "--")));
}

/* `expected` ends with a part whose name has no pointer. */
static void
check_good(const char *type, struct str body, const struct part_case *expected, size_t cut,
	size_t step)
{
	static struct seen s;
	size_t n = 0;

	read_body(type, body, cut, step, &s);
	if (!s.closed || !s.complete)
		ck_abort_msg("\"%.*s\": %s at %zu", STR_ARG(body), s.fault, (size_t)s.offset);
	for (; n < s.n && expected[n].name.p != NULL; n++)
		check_part(body, &s.parts[n], &expected[n]);
	if (n != s.n || expected[n].name.p != NULL)
		ck_abort_msg("\"%.*s\": %zu parts", STR_ARG(body), s.n);
}

static void
check_good_every_cut(const char *type, struct str body, const struct part_case *expected)
{
	check_good(type, body, expected, 0, 1);
	for (size_t cut = 0; cut <= body.len; cut++)
		check_good(type, body, expected, cut, body.len + 1);
}

static void
check_bad(struct str body, const char *fault, size_t offset, size_t parts, size_t cut, size_t step)
{
	static struct seen s;

	read_body(XYZ, body, cut, step, &s);
	if (s.fault == NULL || strcmp(s.fault, fault) != 0 || s.offset != offset || s.n != parts)
		ck_abort_msg("\"%.*s\", %zu+%zu: %zu parts, then %s at %zu, not %s at %zu",
			STR_ARG(body), cut, step, s.n, s.fault, (size_t)s.offset, fault, offset);
}

static void
check_bad_every_cut(struct str body, const char *fault, size_t offset, size_t parts)
{
	check_bad(body, fault, offset, parts, 0, 1);
	for (size_t cut = 0; cut <= body.len; cut++)
		check_bad(body, fault, offset, parts, cut, body.len + 1);
}

struct good_case {
	const char *type;
	struct str body;
	struct part_case parts[PARTS];
};

#define GOOD(type, body, ...)         \
	{                             \
		type, STR_INIT(body), \
		{                     \
			__VA_ARGS__   \
		}                     \
	}
#define FIELD(name, content)                                    \
	{                                                       \
		STR_INIT(name), STR_INIT(content), false, false \
	}
#define AFILE(name, content)                                   \
	{                                                      \
		STR_INIT(name), STR_INIT(content), true, false \
	}
#define CODED(name, content)                                   \
	{                                                      \
		STR_INIT(name), STR_INIT(content), false, true \
	}
/* A body of one field. */
#define ONE(content) GOOD(XYZ, FIRST HEAD("a") content LAST, FIELD("a", content))

static const struct good_case good[] = {
	GOOD(XYZ, "--XYZ--" E, { { NULL, 0 }, { NULL, 0 }, false, false }),
	GOOD(XYZ, "--XYZ--", { { NULL, 0 }, { NULL, 0 }, false, false }),
	ONE(""),
	ONE("b"),
	ONE("b\r"),
	ONE("b\n"),
	ONE("b" E),
	ONE(E),
	ONE(E E E),
	ONE("\r"),
	ONE("\n"),
	ONE("\r\r\n\n"),
	ONE("--"),
	ONE("b--"),
	ONE("b" E "--"),
	ONE("b" E "--XY"),
	ONE("b" E "--XYzzz"),
	ONE("b" E "--XY" E "--XY"),
	ONE("b" E "-" E "--X" E E),
	ONE("b" E "--xyz" E),
	ONE("one line" E "and another" E),
	/* in the middle of a line it is content */
	ONE("b--XYZ"),
	ONE(" --XYZ" E "c"),
	ONE("---XYZ"),
	ONE("b" E "---XYZ--" E "\t--XYZ"),
	ONE("--XY--XYZ--XYZ--"),
	ONE("\0--XYZ\n\r\0"),
	ONE("\n\0\r--XY\r\n--XY\n--XY\n\r\n-"),
	ONE("\x00\x01\xff\xfe\r\n--\xff\r\n\x80--XYZ\x7f\r"),
	/* around the parts */
	GOOD(XYZ, "a preamble" FIRST E FIRST HEAD("a") "b" LAST, FIELD("a", "b")),
	GOOD(XYZ, E FIRST HEAD("a") "b" LAST, FIELD("a", "b")),
	GOOD(XYZ, "\n\r\r" E FIRST HEAD("a") "b" LAST, FIELD("a", "b")),
	GOOD(XYZ, "--XY" E FIRST HEAD("a") "b" LAST, FIELD("a", "b")),
	GOOD(XYZ, FIRST HEAD("a") "b" E "--XYZ--", FIELD("a", "b")),
	GOOD(XYZ, FIRST HEAD("a") "b" E "--XYZ-- \t ", FIELD("a", "b")),
	GOOD(XYZ, FIRST HEAD("a") "b" E "--XYZ--\t" E, FIELD("a", "b")),
	GOOD(XYZ, FIRST HEAD("a") "b" LAST "\n-XYZ\n --XYZ" E "--XY" E "\0\r", FIELD("a", "b")),
	GOOD(XYZ, "--XYZ \t " E HEAD("a") "b" E "--XYZ\t" E HEAD("c") "d" LAST, FIELD("a", "b"),
		FIELD("c", "d")),
	GOOD(XYZ, FIRST HEAD("a") NEXT HEAD("b") E NEXT HEAD("a") "c" NEXT HEAD("") "d" LAST,
		FIELD("a", ""), FIELD("b", E), FIELD("a", "c"), FIELD("", "d")),
	/* heads */
	GOOD(XYZ,
		FIRST "Content-Type: text/plain" E "X-Any:" E "X-Any:\t\xc3\xa9 " E
		      "content-disposition:FORM-DATA;NAME=a" E E "b" LAST,
		FIELD("a", "b")),
	GOOD(XYZ,
		FIRST "Content-Transfer-Encoding: BINARY" E HEAD(
			"a") "b" NEXT
			     "Content-Transfer-Encoding: 8bit" E HEAD(
				     "c") "d" NEXT
					  "Content-Transfer-Encoding: 7Bit" E HEAD(
						  "e") "f" NEXT
						       "Content-Transfer-Encoding: base64" E HEAD(
							       "g") "aA==" NEXT HEAD("i") "j" LAST,
		FIELD("a", "b"), FIELD("c", "d"), FIELD("e", "f"), CODED("g", "aA=="),
		FIELD("i", "j")),
	GOOD(XYZ, FIRST "Content-Transfer-Encoding:" E HEAD("a") "b" LAST, CODED("a", "b")),
	/* boundaries */
	GOOD("multipart/form-data; boundary=-",
		"---" E HEAD("a") "b" E "--" E "--a-----" E "-----" E "--",
		FIELD("a", "b" E "--" E "--a-----")),
	GOOD("multipart/form-data; boundary=-", "---" E HEAD("a") "b" E "-----", FIELD("a", "b")),
	GOOD("multipart/form-data; boundary=\"a:b c\"",
		"--a:b c" E HEAD("a") "b" E "--a:b" E "--a:b c--", FIELD("a", "b" E "--a:b")),
	GOOD("multipart/form-data; "
	     "boundary=0123456789012345678901234567890123456789012345678901234567890123456789",
		"--0123456789012345678901234567890123456789012345678901234567890123456789" E HEAD(
			"a") "b" E
			     "--012345678901234567890123456789012345678901234567890123456789012345678" E
			     "--0123456789012345678901234567890123456789012345678901234567890123456789--",
		FIELD("a",
			"b" E
			"--012345678901234567890123456789012345678901234567890123456789012345678")),
};

START_TEST(test_good)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		check_good_every_cut(good[i].type, good[i].body, good[i].parts);
		for (size_t step = 2; step < 8; step++)
			check_good(good[i].type, good[i].body, good[i].parts, 0, step);
	}
}
END_TEST

#define CURL "------------------------d74496d66958873e"
#define CHROME "----WebKitFormBoundaryePkpFF7tjBAqx29L"
#define FIREFOX "---------------------------9051914041544843365972754266"
#define UNDICI "----formdata-undici-052683517041"
#define REQUESTS "f5fb1b0e3a2a4b3d9c2f6f3d4a0c9b7e"
#define NODE "form-data-boundary-3bgb3n0n1h8v2k4r"
#define OPENAI "--------------------------515890814546601021194782"

static const struct good_case clients[] = {
	GOOD("multipart/form-data; boundary=" CURL,
		"--" CURL E "Content-Disposition: form-data; name=\"model\"" E E "whisper-1" E
		"--" CURL E
		"Content-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\" \\\\c.wav\"" E
		"Content-Type: audio/wav" E E "RIFF\0\0\r\n--" E "--" CURL "--" E,
		FIELD("model", "whisper-1"), AFILE("file", "RIFF\0\0\r\n--")),
	GOOD("multipart/form-data; boundary=" CHROME,
		"--" CHROME E "Content-Disposition: form-data; name=\"a%22b%0D%0Ac\"" E E "1" E
		"--" CHROME E "Content-Disposition: form-data; name=\"file\"; filename=\"\"" E
		"Content-Type: application/octet-stream" E E E "--" CHROME E
		"Content-Disposition: form-data; name=\"\xc3\xa9\"; filename=\"%22.png\"" E
		"Content-Type: image/png" E E "\x89PNG\r\n\x1a\n" E "--" CHROME "--" E,
		FIELD("a\"b\r\nc", "1"), AFILE("file", ""), AFILE("\xc3\xa9", "\x89PNG\r\n\x1a\n")),
	GOOD("multipart/form-data; boundary=" FIREFOX,
		"--" FIREFOX E "Content-Disposition: form-data; name=\"prompt\"" E E "one" E "two" E
		"--" FIREFOX E
		"Content-Disposition: form-data; name=\"image\"; filename=\"C:\\Users\\me\\a.png\"" E
		"Content-Type: image/png" E E "\x89PNG" E "--" FIREFOX "--" E,
		FIELD("prompt", "one" E "two"), AFILE("image", "\x89PNG")),
	GOOD("multipart/form-data; boundary=" UNDICI,
		"--" UNDICI E "Content-Disposition: form-data; name=\"model\"" E E "gpt-image-1" E
		"--" UNDICI E
		"Content-Disposition: form-data; name=\"image[]\"; filename=\"blob\"" E
		"Content-Type: application/octet-stream" E E "\n\n" E "--" UNDICI "--" E,
		FIELD("model", "gpt-image-1"), AFILE("image[]", "\n\n")),
	GOOD("multipart/form-data; boundary=" UNDICI,
		"--" UNDICI E "Content-Disposition: form-data; name=\"model\"" E E "gpt-image-1" E
		"--" UNDICI "--",
		FIELD("model", "gpt-image-1")),
	GOOD("multipart/form-data; boundary=" REQUESTS,
		"--" REQUESTS E "Content-Disposition: form-data; name=\"model\"" E E "whisper-1" E
		"--" REQUESTS E
		"Content-Disposition: form-data; name=\"file\"; filename*=utf-8''%C3%A9.mp3" E E
		"ID3" E "--" REQUESTS "--" E,
		FIELD("model", "whisper-1"), AFILE("file", "ID3")),
	GOOD("multipart/form-data; boundary=" NODE,
		"--" NODE E "Content-Disposition: form-data; name=\"purpose\"" E E "batch" E
		"--" NODE E "Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"" E
		"Content-Type: application/x-ndjson" E E "{}\n{}\n" E "--" NODE "--" E E,
		FIELD("purpose", "batch"), AFILE("file", "{}\n{}\n")),
	GOOD("multipart/form-data; boundary=" OPENAI,
		"--" OPENAI E "Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"" E
		"Content-Type: audio/mpeg" E E "\xff\xfb\r" E "--" OPENAI E
		"Content-Disposition: form-data; name=\"model\"" E E "whisper-1" E "--" OPENAI
		"--" E,
		AFILE("file", "\xff\xfb\r"), FIELD("model", "whisper-1")),
};

START_TEST(test_clients)
{
	for (size_t i = 0; i < COUNT(clients); i++)
		check_good_every_cut(clients[i].type, clients[i].body, clients[i].parts);
}
END_TEST

START_TEST(test_offsets)
{
	struct str body =
		STR("--XYZ\r\nContent-Disposition: form-data; name=a\r\n\r\nhello\r\n--XYZ--"
		    "\r\nepilogue");
	struct multipart_part part;
	struct multipart m;
	const char *why;
	bool got;

	ck_assert_int_eq(multipart_init(&m, STR(XYZ), &why), 0);
	ck_assert_int_eq(multipart_next(&m, body, &part, &got), 63);
	ck_assert(got && m.complete);
	ck_assert_uint_eq(part.start, 49);
	ck_assert_uint_eq(part.end, 54);
	ck_assert(str_eq(part.value, STR("hello")));
	ck_assert_int_eq(multipart_next(&m, str_skip(body, 63), &part, &got), 10);
	ck_assert(!got && part.name.p == NULL);
	ck_assert_int_eq(multipart_next(&m, STR(""), &part, &got), 0);
	ck_assert_int_eq(multipart_end(&m), 0);
	ck_assert_ptr_null(m.fault);
}
END_TEST

struct bad_case {
	struct str body;
	const char *fault;
	size_t offset, parts;
};

/* The fault stands behind `front`, and after so many parts. */
#define BAD(parts, front, rest, fault)                                \
	{                                                             \
		STR_INIT(front rest), fault, sizeof(front) - 1, parts \
	}
#define MISSING(parts, body) BAD(parts, body, "", "the closing boundary is missing")
#define ALONE "a boundary is followed by something else on its line"
#define BOUNDARY_CR "the line of a boundary has a CR without LF"
#define BARE "a boundary stands on a line that a bare CR or LF began"
#define AFTER "a boundary stands behind the closing one"
#define NO_FIELD "a line in the head of a part is no field"
#define FOLDED "a line in the head of a part is folded"
#define BEHIND "a boundary stands right behind the head of a part"
#define INSIDE "a boundary stands in the head of a part"
#define HEAD_CR "the head of a part has a CR without LF"
#define HEAD_LF "the head of a part has an LF without CR"
#define CONTROL "the head of a part has a control byte"
#define NO_DISPOSITION "a part has no Content-Disposition"
#define TYPES "a part has two Content-Types"
#define CODINGS "a part has two Content-Transfer-Encodings"
#define DISPOSITIONS "a part has two Content-Dispositions"

static const struct bad_case bad[] = {
	MISSING(0, ""),
	MISSING(0, "preamble"),
	MISSING(0, E "--XY"),
	MISSING(0, "--XYZ"),
	MISSING(0, "--XYZ-"),
	MISSING(0, "--XYZ \t"),
	MISSING(0, "--XYZ\r"),
	MISSING(0, FIRST),
	MISSING(0, FIRST "\r"),
	MISSING(0, FIRST "Content"),
	MISSING(0, FIRST HEAD("a")),
	MISSING(0, FIRST HEAD("a") "b"),
	MISSING(0, FIRST HEAD("a") "b--XYZ--"),
	MISSING(0, FIRST HEAD("a") "b" E "--XYZ"),
	MISSING(0, FIRST HEAD("a") "b" E "--XYZ-"),
	MISSING(1, FIRST HEAD("a") "b" NEXT),
	MISSING(1, FIRST HEAD("a") "b" NEXT HEAD("c") "d"),
	/* behind a boundary */
	BAD(0, "--XYZ", "a" E, ALONE),
	BAD(0, "--XYZ", "Z" E HEAD("a") "b" LAST, ALONE),
	BAD(0, "--XYZ", "\n" HEAD("a") "b" LAST, ALONE),
	BAD(0, "--XYZ ", "-- " E, ALONE),
	BAD(0, "--XYZ \t", "a" E, ALONE),
	BAD(0, "--XYZ", "\0" E, ALONE),
	BAD(0, "--XYZ-", "a", ALONE),
	BAD(0, "--XYZ-", E, ALONE),
	BAD(0, "--XYZ", "\r\r\n", BOUNDARY_CR),
	BAD(0, "--XYZ \t", "\ra", BOUNDARY_CR),
	BAD(0, "preamble" E "--XYZ", "a" E FIRST HEAD("a") "b" LAST, ALONE),
	BAD(0, FIRST HEAD("a") "b" E "--XYZ", "a" E LAST, ALONE),
	BAD(0, FIRST HEAD("a") "b" E "--XYZ-", "a" E LAST, ALONE),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ--", "a", ALONE),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ--", "-" E, ALONE),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ--", "\n", ALONE),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ-- \t", "a" E, ALONE),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ--", "\ra", BOUNDARY_CR),
	BAD(1, FIRST HEAD("a") "b" E "--XYZ-- ", "\r", BOUNDARY_CR),
	BAD(1, FIRST HEAD("a") "b" LAST, FIRST HEAD("model") "c" LAST, AFTER),
	BAD(1, FIRST HEAD("a") "b" LAST "epilogue" E, "--XYZ--" E, AFTER),
	BAD(1, FIRST HEAD("a") "b" LAST "epilogue\n", "--XYZ", AFTER),
	BAD(1, FIRST HEAD("a") "b" LAST "\r", "--XYZa", AFTER),
	/* boundaries that only some see */
	BAD(0, "\n", FIRST HEAD("a") "b" LAST, BARE),
	BAD(0, "\r", FIRST HEAD("a") "b" LAST, BARE),
	BAD(0, "preamble\n", "--XYZ ", BARE),
	BAD(0, FIRST HEAD("a") "b\n", "--XYZ" E LAST, BARE),
	BAD(0, FIRST HEAD("a") "b\r", "--XYZ" E LAST, BARE),
	BAD(0, FIRST HEAD("a") "b" E "\n", "--XYZ" E LAST, BARE),
	BAD(0, FIRST HEAD("a") "b\n\r", "--XYZ" E LAST, BARE),
	BAD(0, FIRST HEAD("a") "b" E "\r", "--XYZa" LAST, BARE),
	BAD(0, FIRST HEAD("a") "\n", "--XYZ--" LAST, BARE),
	BAD(0, FIRST HEAD("a") "\r", "--XYZ--" LAST, BARE),
	BAD(0, FIRST HEAD("a") "\r" E E "\n", "--XYZ--" LAST, BARE),
	BAD(0, FIRST HEAD("a"), FIRST HEAD("b") "c" LAST, BEHIND),
	BAD(0, FIRST HEAD("a"), "--XYZa" LAST, BEHIND),
	BAD(0, FIRST HEAD("a"), "--XYZ--" LAST, BEHIND),
	BAD(0, FIRST, "--XYZ" E HEAD("a") "b" LAST, INSIDE),
	BAD(0, FIRST, "--XYZ--" E, INSIDE),
	BAD(0, FIRST, "--XYZ-a: b" E HEAD("a") "b" LAST, INSIDE),
	BAD(0, FIRST "Content-Type: a" E, "--XYZ: b" E HEAD("a") "b" LAST, INSIDE),
	/* line ends and bytes in a head */
	BAD(0, FIRST, "\n" HEAD("a") "b" LAST, HEAD_LF),
	BAD(0, FIRST, "\r" HEAD("a") "b" LAST, HEAD_CR),
	BAD(0, FIRST "X: y", "\n" HEAD("a") "b" LAST, HEAD_LF),
	BAD(0, FIRST "X: y", "\r" HEAD("a") "b" LAST, HEAD_CR),
	BAD(0, FIRST "X: y" E, "\n", HEAD_LF),
	BAD(0, FIRST "X: y", "\r\r\n", HEAD_CR),
	BAD(0, FIRST "Content-Disposition: form-data; name=a" E, "\rb" LAST, HEAD_CR),
	BAD(0, FIRST "X: ", "\0" E HEAD("a") "b" LAST, CONTROL),
	BAD(0, FIRST "X: ", "\x1f" E HEAD("a") "b" LAST, CONTROL),
	BAD(0, FIRST "X: ", "\x7f" E HEAD("a") "b" LAST, CONTROL),
	BAD(0, FIRST "Content-Disposition: form-data; name=\"a", "\0\"" E E "b" LAST, CONTROL),
	/* fields */
	BAD(0, FIRST, " X: y" E HEAD("a") "b" LAST, FOLDED),
	BAD(0, FIRST "X: y" E, "\tz" E HEAD("a") "b" LAST, FOLDED),
	BAD(0, FIRST "X: y" E, " " E HEAD("a") "b" LAST, FOLDED),
	BAD(0, FIRST "Content-Disposition: form-data; name=a;" E, " x=y" E E "b" LAST, FOLDED),
	BAD(0, FIRST, ": y" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "X" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "X : y" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST "X: y" E, "X\t: y" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "X=z: y" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "\xc3\xa9: y" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "Content-Disposition : form-data; name=a" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, "--XY" E HEAD("a") "b" LAST, NO_FIELD),
	BAD(0, FIRST, E "b" LAST, NO_DISPOSITION),
	BAD(0, FIRST, "Content-Type: text/plain" E E "b" LAST, NO_DISPOSITION),
	BAD(1, FIRST HEAD("a") "b" NEXT, "X: y" E E "b" LAST, NO_DISPOSITION),
	BAD(0, FIRST "Content-Type: a" E, "content-type: a" E HEAD("a") "b" LAST, TYPES),
	BAD(0, FIRST "Content-Transfer-Encoding: 8bit" E,
		"Content-Transfer-encoding: 8bit" E HEAD("a") "b" LAST, CODINGS),
	BAD(0, FIRST "Content-Disposition: form-data; name=a" E, HEAD("a") "b" LAST, DISPOSITIONS),
	BAD(0, FIRST "Content-Disposition: form-data; name=a" E,
		"content-disposition:" E E "b" LAST, DISPOSITIONS),
};

START_TEST(test_bad)
{
	for (size_t i = 0; i < COUNT(bad); i++)
		check_bad_every_cut(bad[i].body, bad[i].fault, bad[i].offset, bad[i].parts);
}
END_TEST

#define MALFORMED "a parameter is malformed"
#define TWICE "a Content-Disposition has a parameter twice"
#define SECTIONS "a parameter is extended or in sections"
#define WORD "a name holds an encoded word (RFC 2047)"
#define HIDES "a quoted parameter has another one inside"
#define NO_NAME "a Content-Disposition has no name"
#define NOT_FORM "a Content-Disposition is not form-data"
#define DIFFER "name and name* of a part differ"
#define NOT_UTF8 "a name is not UTF-8"
#define HAS_NUL "a name has a NUL"
#define BACKSLASH "a name has a backslash that escapes nothing"
#define EXTENDED "a name* is not charset'language'value"
#define CHARSET "a name* is neither UTF-8 nor ISO-8859-1"
#define ENCODED "a name* is not well encoded"

static const struct disposition_case {
	const char *text, *fault;
	struct str name;
	bool file;
} dispositions[] = {
	{ "form-data; name=a", NULL, STR_INIT("a"), false },
	{ "form-data; name=\"a\"", NULL, STR_INIT("a"), false },
	{ "Form-Data;NaMe=\"a\"", NULL, STR_INIT("a"), false },
	{ "form-data \t; \t name=a \t; \tx=y \t", NULL, STR_INIT("a"), false },
	{ "form-data; name=\"a\";", NULL, STR_INIT("a"), false },
	{ "form-data; name=\"a\" ; ", NULL, STR_INIT("a"), false },
	{ "form-data; name=\"\"", NULL, STR_INIT(""), false },
	{ "form-data; name=\"a b;c=d\t'e'\"", NULL, STR_INIT("a b;c=d\t'e'"), false },
	{ "form-data; name=\"a\\\"b\\\\c\"", NULL, STR_INIT("a\"b\\c"), false },
	{ "form-data; name=\"\\\\\"", NULL, STR_INIT("\\"), false },
	{ "form-data; name=\"\\\"\\\"\"", NULL, STR_INIT("\"\""), false },
	{ "form-data; name=\"%22%0D%0A%0d%41%\"", NULL, STR_INIT("\"\r\n%0d%41%"), false },
	{ "form-data; name=a%22", NULL, STR_INIT("a%22"), false },
	{ "form-data; name=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", NULL,
		STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), false },
	{ "form-data; filename=b; name=a", NULL, STR_INIT("a"), true },
	{ "form-data; name=a; FILENAME=\"\"", NULL, STR_INIT("a"), true },
	{ "form-data; name=a; filename*=utf-8''%e9; filename=\"C:\\b\"", NULL, STR_INIT("a"),
		true },
	{ "form-data; name=a; filename=\"\\b\\\\\\\"; c\"", NULL, STR_INIT("a"), true },
	{ "form-data; name=a; filename=\"; names=b\"", NULL, STR_INIT("a"), true },
	{ "form-data; name=\"a?=b\"; filename=\"=?utf-8?Q?c?=\"", NULL, STR_INIT("a?=b"), true },
	{ "form-data; name=a; filename=\"; rename=b\"", NULL, STR_INIT("a"), true },
	{ "form-data; name=a; size=1; filename-parm=b", NULL, STR_INIT("a"), false },
	{ "form-data; name*=UTF-8''mod%65l", NULL, STR_INIT("model"), false },
	{ "form-data; NAME*=utf-8'en-GB'%c3%A9!", NULL, STR_INIT("\xc3\xa9!"), false },
	{ "form-data; name*=iso-8859-1''%e9%7F%80%FF", NULL,
		STR_INIT("\xc3\xa9\x7f\xc2\x80\xc3\xbf"), false },
	{ "form-data; name*=ISO-8859-1''%22%0D%0A", NULL, STR_INIT("\"\r\n"), false },
	{ "form-data; name*=utf-8''", NULL, STR_INIT(""), false },
	{ "form-data; name=a; name*=utf-8''%61", NULL, STR_INIT("a"), false },
	{ "form-data; name*=iso-8859-1''%e9; name=\"\xc3\xa9\"", NULL, STR_INIT("\xc3\xa9"),
		false },
	/* not so */
	{ "", NOT_FORM, { NULL, 0 }, false },
	{ "; name=a", NOT_FORM, { NULL, 0 }, false },
	{ "attachment; name=a", NOT_FORM, { NULL, 0 }, false },
	{ "form-data name=a", NOT_FORM, { NULL, 0 }, false },
	{ "form-data, name=a", NOT_FORM, { NULL, 0 }, false },
	{ "\"form-data\"; name=a", NOT_FORM, { NULL, 0 }, false },
	{ "form-data", NO_NAME, { NULL, 0 }, false },
	{ "form-data;", NO_NAME, { NULL, 0 }, false },
	{ "form-data; filename=a", NO_NAME, { NULL, 0 }, false },
	{ "form-data; name=\"=?utf-8?Q?model?=\"", WORD, { NULL, 0 }, false },
	{ "form-data; name=\"a =?x\"; filename=b", WORD, { NULL, 0 }, false },
	{ "form-data;; name=a", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a;;", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=;", MALFORMED, { NULL, 0 }, false },
	{ "form-data; =a", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name =a", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name= a", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name\t=\ta", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a b", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a\"b\"", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name='a b'", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a=b", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a, x=y", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\xc3\xa9", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"a", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"a\\\"", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"a\"b", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"a\"x=y", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=\"a\" x=y", MALFORMED, { NULL, 0 }, false },
	{ "form-data; name=a; name=a", TWICE, { NULL, 0 }, false },
	{ "form-data; name=a; NAME=b", TWICE, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''a; name*=utf-8''a", TWICE, { NULL, 0 }, false },
	{ "form-data; name=a; filename=b; Filename=b", TWICE, { NULL, 0 }, false },
	{ "form-data; name=a; x=y; X=z", TWICE, { NULL, 0 }, false },
	{ "form-data; name*0=mod; name*1=el", SECTIONS, { NULL, 0 }, false },
	{ "form-data; name=a; name*0*=utf-8''b", SECTIONS, { NULL, 0 }, false },
	{ "form-data; name=a; filename*0=b", SECTIONS, { NULL, 0 }, false },
	{ "form-data; name=a; x*=utf-8''b", SECTIONS, { NULL, 0 }, false },
	/* another parameter for who knows no quotes, or no escapes */
	{ "form-data; name=a; filename=\"b; name=c\"", HIDES, { NULL, 0 }, false },
	{ "form-data; name=\"a\\\";name=\\\"b\"", HIDES, { NULL, 0 }, false },
	{ "form-data; name=a; x=\";\tNAME \t=b\"", HIDES, { NULL, 0 }, false },
	{ "form-data; name=a; x=\"; filename*=b\"", HIDES, { NULL, 0 }, false },
	{ "form-data; name=a; x=\";;name*0=b\"", HIDES, { NULL, 0 }, false },
	{ "form-data; name=\"mod\\el\"", BACKSLASH, { NULL, 0 }, false },
	{ "form-data; name=\"\xe9\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xc3\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xc3(\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xc1\xa5\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xe0\x81\xa5\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xed\xa0\x80\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xf0\x8f\xbf\xbf\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xf4\x90\x80\x80\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"\xf5\x80\x80\x80\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name=\"a\x80\"", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%e9", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%C1%A5", NOT_UTF8, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''a%00", HAS_NUL, { NULL, 0 }, false },
	{ "form-data; name*=iso-8859-1''%00", HAS_NUL, { NULL, 0 }, false },
	{ "form-data; name=a; name*=utf-8''b", DIFFER, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''A; name=a", DIFFER, { NULL, 0 }, false },
	{ "form-data; name=\"\"; name*=utf-8''a", DIFFER, { NULL, 0 }, false },
	{ "form-data; name*=a", EXTENDED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8'a", EXTENDED, { NULL, 0 }, false },
	{ "form-data; name*=\"utf-8''a\"", EXTENDED, { NULL, 0 }, false },
	{ "form-data; name*=''a", CHARSET, { NULL, 0 }, false },
	{ "form-data; name*=utf-16''a", CHARSET, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%", ENCODED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%4", ENCODED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%g0", ENCODED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''%0g", ENCODED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''a'b", ENCODED, { NULL, 0 }, false },
	{ "form-data; name*=utf-8''a*b", ENCODED, { NULL, 0 }, false },
};

START_TEST(test_dispositions)
{
	for (size_t i = 0; i < COUNT(dispositions); i++) {
		const struct disposition_case *c = &dispositions[i];
		struct part_case parts[2] = { { c->name, STR("b"), c->file, false } };
		char body[512];
		int len = snprintf(body, sizeof body,
			FIRST "X: y" E "Content-Disposition: %s" E E "b" LAST, c->text);
		struct str whole = { body, (size_t)len };
		if (c->fault == NULL)
			check_good_every_cut(XYZ, whole, parts);
		else
			check_bad_every_cut(whole, c->fault, 13, 0);
	}
}
END_TEST

#define BYTES "its boundary is not 1 to 70 bytes that RFC 2046 allows"

static const struct type_case {
	const char *type, *why;
	const char *boundary; /* that must work */
} types[] = {
	{ "multipart/form-data; boundary=a", NULL, "a" },
	{ "Multipart/Form-Data;BOUNDARY=\"a\"", NULL, "a" },
	{ "multipart/form-data \t; \tcharset=utf-8 ;\tBoundary=a\t;", NULL, "a" },
	{ "multipart/form-data; x=\"\\\"; \\\\\"; boundary=a", NULL, "a" },
	{ "multipart/form-data; boundary=\"09azAZ'()+_,-./:=? x\"", NULL, "09azAZ'()+_,-./:=? x" },
	{ "multipart/form-data; boundary=a'+_-.b", NULL, "a'+_-.b" },
	{ "", "it is not multipart/form-data", NULL },
	{ "multipart/mixed; boundary=a", "it is not multipart/form-data", NULL },
	{ "multipart/form-data-x; boundary=a", "it is not multipart/form-data", NULL },
	{ "multipart/form-data boundary=a", "it is not multipart/form-data", NULL },
	{ "multipart/form-data, multipart/form-data; boundary=a", "it is not multipart/form-data",
		NULL },
	{ "multipart/form-data", "it has no boundary", NULL },
	{ "multipart/form-data;", "it has no boundary", NULL },
	{ "multipart/form-data; charset=utf-8", "it has no boundary", NULL },
	{ "multipart/form-data; boundary=a; boundary=a", "it has two boundaries", NULL },
	{ "multipart/form-data; boundary=a; Boundary=\"b\"", "it has two boundaries", NULL },
	{ "multipart/form-data; boundary=\"\"; boundary=b", "it has two boundaries", NULL },
	{ "multipart/form-data; xboundary=a; boundary=b", "it has two boundaries", NULL },
	{ "multipart/form-data; boundary=b; Boundary2=a", "it has two boundaries", NULL },
	{ "multipart/form-data; x=\"BOUNDARY=a\"; boundary=b", "it has two boundaries", NULL },
	{ "multipart/form-data; boundary=a; boundary*=utf-8''b", SECTIONS, NULL },
	{ "multipart/form-data; boundary*0=a; boundary*1=b", SECTIONS, NULL },
	{ "multipart/form-data; boundary=", MALFORMED, NULL },
	{ "multipart/form-data; boundary =a", MALFORMED, NULL },
	{ "multipart/form-data; boundary= a", MALFORMED, NULL },
	{ "multipart/form-data; boundary=a b", MALFORMED, NULL },
	{ "multipart/form-data; boundary=a/b", MALFORMED, NULL },
	{ "multipart/form-data; boundary=a, multipart/form-data; boundary=b", MALFORMED, NULL },
	{ "multipart/form-data; boundary=\"a", MALFORMED, NULL },
	{ "multipart/form-data; boundary=\"a\"b", MALFORMED, NULL },
	{ "multipart/form-data;; boundary=a", MALFORMED, NULL },
	{ "multipart/form-data; x=\"; boundary=b\"; boundary=a", HIDES, NULL },
	{ "multipart/form-data; boundary=\"\"", BYTES, NULL },
	{ "multipart/form-data; boundary=\" \"", BYTES, NULL },
	{ "multipart/form-data; boundary=\"a \"", BYTES, NULL },
	{ "multipart/form-data; boundary=\"a\tb\"", BYTES, NULL },
	{ "multipart/form-data; boundary=\"a\\b\"", BYTES, NULL },
	{ "multipart/form-data; boundary=\"a\\\"b\"", BYTES, NULL },
	{ "multipart/form-data; boundary=\"\xc3\xa9\"", BYTES, NULL },
	{ "multipart/form-data; boundary=a%b", BYTES, NULL },
	{ "multipart/form-data; boundary=a*b", BYTES, NULL },
	{ "multipart/form-data; "
	  "boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
		BYTES, NULL },
};

START_TEST(test_types)
{
	for (size_t i = 0; i < COUNT(types); i++) {
		const struct type_case *c = &types[i];
		struct part_case parts[2] = { FIELD("a", "b") };
		struct multipart_part part;
		struct multipart m;
		const char *why;
		char body[512];
		bool got;
		if (c->why == NULL) {
			int len = snprintf(body, sizeof body, "--%s" E HEAD("a") "b" E "--%s--",
				c->boundary, c->boundary);
			check_good_every_cut(c->type, (struct str){ body, (size_t)len }, parts);
			continue;
		}
		ck_assert_msg(multipart_init(&m, str_of(c->type), &why) == -1, "%s", c->type);
		ck_assert_str_eq(why, c->why);
		ck_assert_int_eq(multipart_next(&m, STR("--a"), &part, &got), -1);
		ck_assert_int_eq(multipart_end(&m), -1);
	}
}
END_TEST

/* `front`, `len` times 'a', `back`. */
static struct str
filled(const char *front, size_t len, const char *back)
{
	static char text[20000];
	size_t at = strlen(front);

	MUST(at + len + strlen(back) <= sizeof text);
	memcpy(text, front, at);
	memset(text + at, 'a', len);
	memcpy(text + at + len, back, strlen(back));
	return (struct str){ text, at + len + strlen(back) };
}

START_TEST(test_value_is_clipped)
{
	static const size_t lens[] = { 1023, 1024, 1025, 5000 };

	for (size_t i = 0; i < COUNT(lens); i++) {
		struct str body = filled(FIRST HEAD("a"), lens[i], LAST);
		struct str content = str_head(str_skip(body, strlen(FIRST HEAD("a"))), lens[i]);
		struct part_case parts[2] = { { STR("a"), content, false, false } };
		check_good_every_cut(XYZ, body, parts);
	}
}
END_TEST

/* A name that could not be kept whole could not be looked at, and so is a fault. */
START_TEST(test_long_names)
{
	static char extended[600];
	struct part_case parts[2] = { { STR(""), STR("b"), false, false } };
	const char *front = FIRST "Content-Disposition: form-data; name=\"";
	const char *fault = "a name is over 128 bytes";
	struct str body = filled(front, 128, "\"" E E "b" LAST);

	parts[0].name = str_head(str_skip(body, strlen(front)), 128);
	check_good_every_cut(XYZ, body, parts);
	check_bad_every_cut(filled(front, 129, "\"" E E "b" LAST), fault, strlen(FIRST), 0);
	check_bad(filled(front, 16000, "\"" E E "b" LAST), fault, strlen(FIRST), 0, 0, 1);
	snprintf(extended, sizeof extended, "\"; name*=utf-8''%s%%61" E E "b" LAST,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	check_bad_every_cut(filled(front, 137, extended), fault, strlen(FIRST), 0);
	check_bad_every_cut(filled(front, 138, extended), DIFFER, strlen(FIRST), 0);
}
END_TEST

START_TEST(test_parameters_most)
{
	for (size_t n = 16; n <= 17; n++) {
		struct part_case parts[2] = { FIELD("a", "b") };
		char params[256] = "";
		for (size_t i = 1; i < n; i++) {
			size_t len = strlen(params);
			snprintf(params + len, sizeof params - len, "; p%zu=x", i);
		}
		char body[512];
		int len = snprintf(body, sizeof body,
			FIRST "Content-Disposition: form-data%s; name=a" E E "b" LAST, params);
		struct str whole = { body, (size_t)len };
		if (n == 16)
			check_good_every_cut(XYZ, whole, parts);
		else
			check_bad_every_cut(whole,
				"a Content-Disposition has more than 16 parameters", strlen(FIRST),
				0);
	}
}
END_TEST

/* Of the 16 KiB two bytes are the empty line's; the next part has its own. */
START_TEST(test_head_most)
{
	const char *back = E HEAD("a") "b" NEXT "X: y" E HEAD("a") "b" LAST;
	struct part_case parts[3] = { FIELD("a", "b"), FIELD("a", "b") };
	size_t len = 16384 - strlen("X: " E HEAD("a"));

	for (size_t step = 1; step < 20000; step = step * 5 + 2) {
		check_good(XYZ, filled(FIRST "X: ", len, back), parts, 0, step);
		check_bad(filled(FIRST "X: ", len + 1, back),
			"the head of a part is over 16384 bytes", strlen(FIRST) + 16384, 0, 0,
			step);
	}
	check_bad(filled(FIRST "X: ", 18000, back), "the head of a part is over 16384 bytes",
		strlen(FIRST) + 16384, 0, 0, 20000);
}
END_TEST

/* What a field says is not what is left of the part before it. */
START_TEST(test_many_parts)
{
	static struct multipart m;
	struct multipart_part part;
	const char *why;
	size_t n = 0;

	MUST(multipart_init(&m, STR(XYZ), &why) == 0);
	for (size_t i = 0; i < 20000; i++) {
		struct str piece = i % 2 == 0
			? STR(NEXT "Content-Transfer-Encoding: gzip" E
				   "Content-Disposition: form-data; name=long; filename=x" E E
				   "aaaaaaaa")
			: STR(NEXT HEAD("b") "c");
		while (piece.len > 0) {
			bool got;
			long used = multipart_next(&m, piece, &part, &got);
			MUST(used > 0);
			piece = str_skip(piece, (size_t)used);
			if (!got)
				continue;
			bool file = n++ % 2 == 0;
			MUST(part.file == file && part.coded == file);
			MUST(str_eq(part.name, file ? STR("long") : STR("b")));
			MUST(str_eq(part.value, file ? STR("") : STR("c")));
		}
	}
	MUST(n == 19999);
}
END_TEST

UNIT_MAIN("http/multipart", test_good, test_clients, test_offsets, test_bad, test_dispositions,
	test_types, test_value_is_clipped, test_long_names, test_parameters_most, test_head_most,
	test_many_parts)
