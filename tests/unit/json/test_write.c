/*
 * write: commas, escapes, text in pieces cut anywhere, and a buffer that fails at every call.
 */
#include "json/write.h"

#include <string.h>

#include "base/mem.h"
#include "json/read.h"
#include "unit.h"

static void
assert_written(const struct buf *b, const char *expected)
{
	ck_assert(!b->failed);
	ck_assert_msg(str_eq(buf_str(b), str_of(expected)), "%.*s, not %s", STR_ARG(buf_str(b)),
		expected);
}

static void
write_all(struct json_writer *w)
{
	json_object(w);
	json_pair(w, STR("id"), STR("x\"y"));
	json_key(w, STR("empty"));
	json_object(w);
	json_object_end(w);
	json_key(w, STR("list"));
	json_array(w);
	json_number(w, 0);
	json_number(w, INT64_MIN);
	json_number(w, INT64_MAX);
	json_array(w);
	json_array_end(w);
	json_bool(w, true);
	json_bool(w, false);
	json_null(w);
	json_value(w, STR("1.0e400"));
	json_object(w);
	json_pair(w, STR("a"), STR(""));
	json_object_end(w);
	json_text(w, STR("t"));
	json_array_end(w);
	json_key(w, STR("odd \n key"));
	json_text_open(w);
	json_text_more(w, STR("one\n"));
	json_text_more(w, STR("two"));
	json_text_more(w, STR(""));
	json_text_close(w);
	json_key(w, STR("last"));
	json_value(w, STR("[ 1 , 2 ]"));
	json_object_end(w);
}

static const char all[] =
	"{\"id\":\"x\\\"y\",\"empty\":{},\"list\":[0,-9223372036854775808,9223372036854775807,[],true,false,null,1.0e400,{\"a\":\"\"},\"t\"],"
	"\"odd \\n key\":\"one\\ntwo\",\"last\":[ 1 , 2 ]}";

START_TEST(commas_stand_where_they_must)
{
	struct buf b = BUF_EMPTY;
	struct json_writer w;
	struct json_scan s;
	json_writer_init(&w, &b);
	write_all(&w);
	assert_written(&b, all);
	ck_assert_int_eq(json_scan_text(&s, NULL, buf_str(&b), 0, 512), 0);
	buf_free(&b);
}
END_TEST

START_TEST(a_top_value_of_any_kind)
{
	struct buf b = BUF_EMPTY;
	struct json_writer w;
	json_writer_init(&w, &b);
	json_array(&w);
	json_array_end(&w);
	assert_written(&b, "[]");
	buf_consume(&b, buf_len(&b));
	json_writer_init(&w, &b);
	json_text(&w, STR(""));
	assert_written(&b, "\"\"");
	buf_free(&b);
}
END_TEST

#define BAD "\xEF\xBF\xBD"

static const struct {
	struct str plain;
	const char *escaped;
} texts[] = {
	{ STR_INIT(""), "" },
	{ STR_INIT("plain"), "plain" },
	{ STR_INIT("\"\\\b\f\n\r\t\x01/"), "\\\"\\\\\\b\\f\\n\\r\\t\\u0001/" },
	{ STR_INIT("\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80"),
		"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80" },
	{ STR_INIT(
		  "a line of more than sixteen bytes \xE6\x97\xA5\n and again as many of them \xF0\x9F\x98\x80\""),
		"a line of more than sixteen bytes \xE6\x97\xA5\\n and again as many of them \xF0\x9F\x98\x80\\\"" },
	{ STR_INIT("\xFF\xFE"), BAD BAD },
	{ STR_INIT("\xE6\x97"), BAD },
	{ STR_INIT("\xE6\x97\xE6\x97\xA5\xE6"), BAD "\xE6\x97\xA5" BAD },
	{ STR_INIT("\xF0\x9F\x98\n\xF0\x9F\"\xF0"), BAD "\\n" BAD "\\\"" BAD },
	{ STR_INIT("\xED\xA0\x80\xC0\xAF\xF4\x90\x80\x80\xC3\xA9"),
		BAD BAD BAD BAD BAD BAD BAD BAD BAD "\xC3\xA9" },
};

START_TEST(escapes_by_the_rules)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct buf b = BUF_EMPTY;
		ck_assert_int_eq(json_escape(&b, texts[i].plain), 0);
		assert_written(&b, texts[i].escaped);
		buf_free(&b);
	}
}
END_TEST

/* Text in pieces is the text at once, also where the cut is inside a character, ill-formed or not.
 */
START_TEST(pieces_join_wherever_they_are_cut)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct str plain = texts[i].plain;
		for (size_t at = 0; at <= plain.len; at++)
			for (size_t step = 1; step <= plain.len; step += step < 4 ? 1 : plain.len) {
				struct buf b = BUF_EMPTY;
				struct json_writer w;
				json_writer_init(&w, &b);
				json_text_open(&w);
				json_text_more(&w, str_head(plain, at));
				for (struct str rest = str_skip(plain, at); rest.len > 0;
					rest = str_skip(rest, step))
					json_text_more(&w, str_head(rest, step));
				json_text_close(&w);
				struct str whole = buf_str(&b),
					   inside = { whole.p + 1, whole.len - 2 };
				ck_assert_msg(str_eq(inside, str_of(texts[i].escaped)),
					"case %zu cut at %zu: %.*s", i, at, STR_ARG(inside));
				buf_free(&b);
			}
	}
}
END_TEST

START_TEST(a_cut_character_does_not_reach_the_next_text)
{
	struct buf b = BUF_EMPTY;
	struct json_writer w;
	json_writer_init(&w, &b);
	json_array(&w);
	json_text(&w, STR("\xE6\x97"));
	json_text(&w, STR("\xA5"));
	json_array_end(&w);
	assert_written(&b, "[\"" BAD "\",\"" BAD "\"]");
	buf_free(&b);
}
END_TEST

START_TEST(a_buffer_that_fails_remembers_it)
{
	unsigned failures = 0;
	for (size_t n = 1;; n++) {
		struct buf b = BUF_EMPTY;
		struct json_writer w;
		json_writer_init(&w, &b);
		mem_fail_after(n);
		json_array(&w);
		for (unsigned i = 0; i < 8; i++)
			write_all(&w);
		json_array_end(&w);
		int result = json_escape(&b, STR("a"));
		mem_fail_after(0);
		ck_assert_int_eq(result, b.failed ? -1 : 0);
		bool failed = b.failed;
		buf_free(&b);
		ck_assert_uint_eq(mem_used(), 0);
		if (!failed)
			break;
		failures++;
	}
	ck_assert_uint_ge(failures, 3);
}
END_TEST

START_TEST(text_that_is_escaped_already)
{
	struct buf out = BUF_EMPTY;
	struct json_writer w;

	json_writer_init(&w, &out);
	json_object(&w);
	json_pair_escaped(&w, STR("a"), STR("\\u00e9\\n"));
	json_pair_value(&w, STR("b"), STR("1.0"));
	json_key(&w, STR("c"));
	json_array(&w);
	json_escaped(&w, STR(""));
	json_text_open(&w);
	json_text_more(&w, STR("\xc3"));
	json_text_more_escaped(&w, STR("\\ud83d"));
	json_text_more(&w, STR("\""));
	json_text_close(&w);
	json_array_end(&w);
	json_object_end(&w);
	struct str want =
		STR("{\"a\":\"\\u00e9\\n\",\"b\":1.0,\"c\":[\"\",\"\xEF\xBF\xBD\\ud83d\\\"\"]}");
	ck_assert_msg(str_eq(buf_str(&out), want), "%.*s", STR_ARG(buf_str(&out)));
	buf_free(&out);
}
END_TEST

UNIT_MAIN("json/write", text_that_is_escaped_already, commas_stand_where_they_must,
	a_top_value_of_any_kind, escapes_by_the_rules, pieces_join_wherever_they_are_cut,
	a_cut_character_does_not_reach_the_next_text, a_buffer_that_fails_remembers_it)
