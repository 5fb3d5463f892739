/*
 * doc: members by name and type, with null as good as absent; elements and members in order.
 */
#include "json/doc.h"

#include <limits.h>

#include "unit.h"

static struct arena arena;

static struct json_doc
doc_of(const char *text)
{
	struct json_doc d;

	arena_free(&arena);
	ck_assert_msg(json_doc_read(&d, &arena, str_of(text), UINT_MAX, 100) == 0, "%s", text);
	return d;
}

START_TEST(members)
{
	struct json_doc d = doc_of("{\"a\":null,\"b\":\"x\\n\",\"c\":18446744073709551615,"
				   "\"d\":-1,\"e\":true,\"f\":{\"g\":[1]},\"mod\\u0065l\":\"m\"}");
	const struct json_token *top = json_doc_top(&d), *f;

	ck_assert_ptr_null(json_get(&d, top, STR("a")));
	ck_assert_ptr_null(json_get(&d, top, STR("z")));
	ck_assert_ptr_null(json_get(&d, NULL, STR("a")));
	ck_assert_ptr_null(json_get(&d, json_get(&d, top, STR("b")), STR("a")));
	ck_assert(str_eq(json_get_text(&d, top, STR("b")), STR("x\\n")));
	ck_assert(str_eq(json_get_text(&d, top, STR("c")), STR("")));
	ck_assert(str_eq(json_get_text(&d, top, STR("model")), STR("m")));
	ck_assert(str_eq(json_get_raw(&d, top, STR("b")), STR("\"x\\n\"")));
	ck_assert(str_eq(json_get_raw(&d, top, STR("a")), STR("")));
	ck_assert_int_eq(json_get_count(&d, top, STR("c")), INT64_MAX);
	ck_assert_int_eq(json_get_count(&d, top, STR("d")), -1);
	ck_assert_int_eq(json_get_count(&d, top, STR("e")), -1);
	ck_assert(json_get_true(&d, top, STR("e")));
	ck_assert(!json_get_true(&d, top, STR("b")));
	ck_assert(json_get_is(&d, top, STR("b"), STR("x\n")));
	ck_assert(!json_get_is(&d, top, STR("e"), STR("true")));
	f = json_get_type(&d, top, STR("f"), JSON_OBJECT);
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_null(json_get_type(&d, top, STR("f"), JSON_ARRAY));
	ck_assert(str_eq(json_get_raw(&d, f, STR("g")), STR("[1]")));
	arena_free(&arena);
}
END_TEST

START_TEST(in_order)
{
	struct json_doc d = doc_of("{\"a\":[1,[2,{\"x\":3}],{}],\"b\":{},\"c\":\"s\"}");
	const struct json_token *top = json_doc_top(&d), *a = json_get(&d, top, STR("a")), *t;
	const char *const elements[] = { "1", "[2,{\"x\":3}]", "{}" };
	const char *const keys[] = { "a", "b", "c" };
	size_t n = 0;

	for (t = json_first(&d, a); t; t = json_next(&d, a, t), n++)
		ck_assert(n < 3 && str_eq(json_doc_raw(&d, t), str_of(elements[n])));
	ck_assert_uint_eq(n, 3);
	n = 0;
	for (t = json_first(&d, top); t; t = json_next(&d, top, t), n++)
		ck_assert(n < 3 && json_doc_is(&d, t, str_of(keys[n])) &&
			str_eq(json_doc_inner(&d, t), str_of(keys[n])));
	ck_assert_uint_eq(n, 3);
	ck_assert_ptr_null(json_first(&d, json_get(&d, top, STR("b"))));
	ck_assert_ptr_null(json_first(&d, json_get(&d, top, STR("c"))));
	ck_assert_ptr_null(json_first(&d, NULL));
	arena_free(&arena);
}
END_TEST

START_TEST(no_json)
{
	struct json_doc d;

	ck_assert_int_eq(json_doc_read(&d, &arena, STR("{\"a\":}"), 9, 9), -1);
	ck_assert_ptr_nonnull(d.scan.fault);
	ck_assert(!arena.failed);
	arena_free(&arena);
}
END_TEST

UNIT_MAIN("json/doc", members, in_order, no_json)
