/*
 * The byte queue: any mix of adding and consuming is what a plain array would hold; failure is
 * sticky and appends nothing; its memory is counted and given back.
 */
#include "base/buf.h"

#include <string.h>

#include "base/mem.h"
#include "unit.h"

#define ck_buf(b, want)                                                \
	do {                                                           \
		struct str held_ = buf_str(b), want_ = (want);         \
		ck_assert_uint_eq(buf_len(b), want_.len);              \
		if (want_.len > 0)                                     \
			ck_assert_mem_eq(held_.p, want_.p, want_.len); \
	} while (0)

START_TEST(test_empty)
{
	struct buf b = BUF_EMPTY;
	size_t before = mem_used();

	ck_buf(&b, STR(""));
	ck_assert_int_eq(buf_add(&b, STR("")), 0);
	ck_assert_int_eq(buf_add(&b, (struct str){ NULL, 0 }), 0);
	ck_assert_uint_eq(mem_used(), before); /* nothing costs nothing */
	buf_consume(&b, 0);
	buf_free(&b);
	buf_free(&b);
}
END_TEST

START_TEST(test_add)
{
	struct buf b = BUF_EMPTY;
	char *p;

	ck_assert_int_eq(buf_add(&b, STR("one ")), 0);
	ck_assert_int_eq(buf_printf(&b, "%s %d", "two", 3), 0);
	ck_buf(&b, STR("one two 3"));
	p = buf_room(&b, 1000);
	ck_assert_ptr_nonnull(p);
	memcpy(p, "!?", 2);
	buf_added(&b, 1);
	ck_buf(&b, STR("one two 3!"));
	buf_consume(&b, 4);
	ck_buf(&b, STR("two 3!"));
	buf_consume(&b, 6);
	ck_buf(&b, STR(""));
	ck_assert_uint_eq(b.start, 0);
	ck_assert_uint_gt(b.cap, 0); /* an empty one keeps its memory */
	buf_free(&b);
	ck_assert_uint_eq(b.cap, 0);
}
END_TEST

/* Against a model: a plain array. */
START_TEST(test_model)
{
	static char model[1 << 20];
	size_t from = 0, to = 0, before = mem_used();
	struct buf b = BUF_EMPTY;
	uint32_t random = 12345;

	for (int i = 0; i < 4000; i++) {
		char piece[500];
		size_t len;

		random = random * 1664525 + 1013904223;
		len = (random >> 8) % sizeof piece;
		if (random >> 31) {
			if (len > to - from)
				len = to - from;
			buf_consume(&b, len);
			from += len;
		} else if (to + len < sizeof model) {
			memset(piece, 'a' + i % 26, len);
			memcpy(model + to, piece, len);
			to += len;
			ck_assert_int_eq(buf_add(&b, (struct str){ piece, len }), 0);
		}
		ck_buf(&b, ((struct str){ model + from, to - from }));
	}
	ck_assert_uint_gt(to, 100000);
	ck_assert_uint_lt(b.cap, 200000); /* what was consumed is used again */
	buf_free(&b);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

START_TEST(test_flat_as_a_queue)
{
	struct buf b = BUF_EMPTY;

	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(buf_add(&b, STR("0123456789012345678901234567890123456789")), 0);
		if (i >= 3)
			buf_consume(&b, 40);
	}
	ck_assert_uint_le(b.cap, 512);
	buf_free(&b);
}
END_TEST

START_TEST(test_failure_is_sticky)
{
	struct buf b = BUF_EMPTY;
	size_t before = mem_used();
	char big[2000] = { 0 };

	ck_assert_int_eq(buf_add(&b, STR("kept")), 0);
	mem_fail_after(1);
	ck_assert_int_eq(buf_add(&b, (struct str){ big, sizeof big }), -1);
	mem_fail_after(0);
	ck_assert(b.failed);
	ck_buf(&b, STR("kept"));
	ck_assert_int_eq(buf_add(&b, STR("x")), -1); /* though there would be room */
	ck_assert_int_eq(buf_add(&b, STR("")), -1);
	ck_assert_int_eq(buf_printf(&b, "x"), -1);
	ck_assert_ptr_null(buf_room(&b, 1));
	ck_buf(&b, STR("kept"));
	buf_free(&b);
	ck_assert(!b.failed);
	ck_assert_ptr_null(buf_room(&b, SIZE_MAX));
	ck_assert(b.failed);
	buf_free(&b);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

/* As large as asked for, with what it holds; not smaller again. */
START_TEST(test_reserve)
{
	struct buf b = BUF_EMPTY;
	size_t before = mem_used();

	ck_assert_int_eq(buf_add(&b, STR("one two")), 0);
	buf_consume(&b, 4);
	ck_assert_int_eq(buf_reserve(&b, 1000), 0);
	ck_buf(&b, STR("two"));
	ck_assert_uint_eq(b.cap, 1000);
	ck_assert_uint_eq(mem_used(), before + 1000);
	ck_assert_int_eq(buf_reserve(&b, 10), 0);
	ck_assert_uint_eq(b.cap, 1000);
	mem_fail_after(1);
	ck_assert_int_eq(buf_reserve(&b, 1001), -1);
	mem_fail_after(0);
	ck_assert(b.failed);
	ck_buf(&b, STR("two"));
	ck_assert_int_eq(buf_reserve(&b, 1), -1);
	buf_free(&b);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

UNIT_MAIN("base/buf", test_empty, test_add, test_model, test_flat_as_a_queue, test_reserve,
	test_failure_is_sticky)
