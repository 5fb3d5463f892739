/*
 * chat: what all adapters need: ids and names that another dialect takes, arguments as an object
 * and as text, data URLs, numbers kept as they are, refusals that name their place, names of what
 * was dropped.
 */
#include "dialect/chat.h"

#include <string.h>

#include "unit.h"

static struct arena arena, scratch;
static struct chat_options options;
static struct chat chat;

static struct chat *
fresh(void)
{
	arena_free(&arena);
	arena_free(&scratch);
	options = (struct chat_options){ 0 };
	chat = (struct chat){ .arena = &arena,
		.scratch = &scratch,
		.endpoint = &endpoints[ENDPOINT_CHAT],
		.options = &options,
		.max_tokens = 4096,
		.seed = 1 };
	return &chat;
}

static void
assert_str(struct str got, const char *want)
{
	ck_assert_msg(str_eq(got, str_of(want)), "got '%.*s', want '%s'", STR_ARG(got), want);
}

START_TEST(test_ids)
{
	struct chat *c = fresh();
	struct str long_id = STR("portkey-0123456789abcdef0123456789abcdef0123"), a, b;

	assert_str(chat_tool_id(c->arena, STR("toolu_01-x"), 40), "toolu_01-x");
	assert_str(chat_tool_id(c->arena, STR(""), 40), "call_0");
	a = chat_tool_id(c->arena, long_id, 40);
	b = chat_tool_id(c->arena, long_id, 40);
	ck_assert(str_eq(a, b));
	ck_assert_uint_eq(a.len, 40);
	ck_assert(str_starts(a, STR("portkey-0123456789abcdef0123456_")));
	assert_str(chat_tool_id(c->arena, long_id, 64),
		"portkey-0123456789abcdef0123456789abcdef0123");
	a = chat_tool_id(c->arena, STR("a:b.c"), 40);
	ck_assert(str_starts(a, STR("a_b_c_")) && a.len == 14);
	ck_assert(!str_eq(a, chat_tool_id(c->arena, STR("a:b;c"), 40)));
	a = chat_make_id(c, c->arena, STR("call_"));
	b = chat_make_id(c, c->arena, STR("call_"));
	ck_assert(a.len == 29 && !str_eq(a, b) && str_starts(a, STR("call_")));
}
END_TEST

START_TEST(test_names)
{
	struct chat *c = fresh();
	char text[80];
	struct str name = { text, sizeof text }, up;

	memset(text, 'n', sizeof text);
	assert_str(chat_tool_name(c, STR("weather"), 64), "weather");
	ck_assert_ptr_null(c->names);
	up = chat_tool_name(c, name, 64);
	ck_assert_uint_eq(up.len, 64);
	ck_assert_uint_eq(up.p[55], '_');
	chat_tool_name(c, name, 64);
	ck_assert(c->names && !c->names->next);
	ck_assert(str_eq(c->names->client, name) && str_eq(c->names->upstream, up));
	ck_assert_int_eq(chat_custom_name(c, STR("run")), 0);
	ck_assert(c->names->custom);
}
END_TEST

START_TEST(test_arguments)
{
	static const struct {
		struct str args;
		bool escaped, custom;
		const char *object, *text;
	} cases[] = {
		{ STR_INIT("{\\\"id\\\": 9007199254740993}"), true, false,
			"{\"id\": 9007199254740993}", "{\\\"id\\\": 9007199254740993}" },
		{ STR_INIT(""), true, false, "{}", "{}" },
		{ STR_INIT("\\n "), true, false, "{}", "\\n " },
		{ STR_INIT("[1]"), true, false, "{\"_raw\":\"[1]\"}", "[1]" },
		{ STR_INIT("{\\\"a\\\":"), true, false, "{\"_raw\":\"{\\\"a\\\":\"}",
			"{\\\"a\\\":" },
		{ STR_INIT("{\\\"s\\\":\\\"\\ud83d\\\"}"), true, false, "{\"s\":\"\\ud83d\"}",
			"{\\\"s\\\":\\\"\\ud83d\\\"}" },
		{ STR_INIT("{\"a\": 1.0}"), false, false, "{\"a\": 1.0}", "{\\\"a\\\": 1.0}" },
		{ STR_INIT("7"), false, false, "{\"_raw\":\"7\"}", "7" },
		{ STR_INIT("print(\\\"x\\\")"), true, true, "{\"input\":\"print(\\\"x\\\")\"}",
			"{\\\"input\\\":\\\"print(\\\\\\\"x\\\\\\\")\\\"}" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct chat *c = fresh();
		struct chat_part call = { .type = PART_CALL,
			.args = cases[i].args,
			.args_escaped = cases[i].escaped,
			.custom = cases[i].custom };

		assert_str(chat_args_object(c, &call), cases[i].object);
		assert_str(chat_args_text(c, &call), cases[i].text);
	}
}
END_TEST

START_TEST(test_data_urls)
{
	static const struct {
		struct str url;
		const char *media, *data; /* NULL: none */
	} cases[] = {
		{ STR_INIT("data:image/png;base64,AAA="), "image/png", "AAA=" },
		{ STR_INIT("DATA:image/jpg;BASE64,AAA="), "image/jpeg", "AAA=" },
		{ STR_INIT("data:image/png;charset=x;base64,AA,A"), "image/png", "AA,A" },
		{ STR_INIT("data:image\\/png;base64,A\\/A"), "image/png", "A\\/A" },
		{ STR_INIT("data:;base64,AAA="), "", "AAA=" },
		{ STR_INIT("data:text/plain,hello"), NULL, NULL },
		{ STR_INIT("data:image/png;base64"), NULL, NULL },
		{ STR_INIT("https://x/y,z;base64"), NULL, NULL },
		{ STR_INIT(""), NULL, NULL },
	};
	struct chat_source s;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rc = chat_data_url(fresh()->arena, cases[i].url, &s);

		ck_assert_int_eq(rc, cases[i].data ? 0 : -1);
		if (rc < 0)
			continue;
		assert_str(s.media, cases[i].media);
		assert_str(s.text, cases[i].data);
		ck_assert(s.kind == SOURCE_DATA);
	}
	ck_assert(chat_is_web_url(STR("HTTPS://x")) && chat_is_web_url(STR("http:\\/\\/x")));
	ck_assert(!chat_is_web_url(STR("httpsx://x")) && !chat_is_web_url(STR("gs://x")));
}
END_TEST

START_TEST(test_numbers)
{
	struct chat *c = fresh();
	struct chat_request q = { .max_tokens = 0 };

	assert_str(chat_clamp(STR("1.70"), STR("0"), STR("1")), "1");
	assert_str(chat_clamp(STR("0.70"), STR("0"), STR("1")), "0.70");
	assert_str(chat_clamp(STR("-3e400"), STR("0"), STR("1")), "0");
	ck_assert_uint_eq(chat_max_tokens(c, &q, false, 0), 0);
	ck_assert_uint_eq(chat_max_tokens(c, &q, true, 0), 4096);
	ck_assert_uint_eq(chat_max_tokens(c, &q, true, 1000), 5096);
	options.max_tokens_cap = 100;
	ck_assert_uint_eq(chat_max_tokens(c, &q, true, 1000), 100);
	q.max_tokens = 50;
	ck_assert_uint_eq(chat_max_tokens(c, &q, false, 10), 60);
	ck_assert_uint_eq(chat_max_tokens(c, &q, false, UINT64_MAX), 50);
}
END_TEST

START_TEST(test_params)
{
	struct chat *c = fresh();
	struct chat_request q = { 0 };
	const struct json_token *t;

	ck_assert_int_eq(chat_read_params(c, &q,
				 STR("{\"model\":\"m\",\"stream\":true,\"a\":null,\"s\\u0065ed\":7,"
				     "\"user\":5,\"x\":{},\"y\\n\":1}")),
		0);
	ck_assert(c->stream && q.n == 1);
	ck_assert_int_eq(chat_take(c, &q, FIELD_SEED, STR("seed"), JSON_NUMBER, &t), 1);
	assert_str(chat_carry(&q, FIELD_SEED), "7");
	ck_assert_int_eq(chat_take(c, &q, FIELD_STOP, STR("a"), JSON_NUMBER, &t), 0);
	ck_assert(!chat_has(&q, FIELD_STOP));
	ck_assert_int_eq(chat_take(c, &q, FIELD_USER, STR("user"), JSON_STRING, &t), -1);
	assert_str(c->error.message, "`user` must be a string");
	assert_str(c->error.param, "user");
	assert_str(chat_carry_param(&q, STR("x")), "{}");
	ck_assert_int_eq(chat_report_dropped(c, &q), 0);
	assert_str(c->dropped, "user"); /* y and a line end cannot stand in a field */
	c->reject = true;
	ck_assert_int_eq(chat_report_dropped(c, &q), -1);
	assert_str(c->error.param, "user");
	ck_assert_int_eq(chat_read_params(fresh(), &q, STR("[]")), -1);
	ck_assert_int_eq(chat_read_params(fresh(), &q, STR("{")), -1);
}
END_TEST

START_TEST(test_places)
{
	struct chat *c = fresh();
	struct chat_message m = { .index = 3 }, bare = { .index = 4, .bare = true };
	struct chat_part p = { .index = 2 };

	chat_refuse_part(c, &m, &p, "no %s", "x");
	assert_str(c->error.param, "messages[3].content[2]");
	assert_str(c->error.message, "no x");
	chat_refuse_part(c, &bare, &p, "no");
	assert_str(c->error.param, "messages[4].content");
}
END_TEST

START_TEST(test_join)
{
	struct chat_part c = { .type = PART_TEXT, .text = STR("") },
			 b = { .type = PART_IMAGE, .next = &c },
			 a = { .type = PART_TEXT, .text = STR("x"), .next = &b };

	assert_str(chat_join_text(fresh()->arena, &a, STR("\\n")), "x\\n");
	assert_str(chat_join_text(fresh()->arena, &b, STR("\\n")), "");
	assert_str(chat_join_text(fresh()->arena, NULL, STR("\\n")), "");
}
END_TEST

UNIT_MAIN("dialect/chat", test_ids, test_names, test_arguments, test_data_urls, test_numbers,
	test_params, test_places, test_join)
