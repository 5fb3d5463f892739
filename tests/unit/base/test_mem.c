/*
 * Memory: what is counted, the limit, blocks kept for the next one, failure at the n-th call, and
 * arenas: alignment, their own limit, failure that sticks, growing in place and by copy, sealing.
 */
#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "unit.h"

static bool
is_aligned(const void *p)
{
	return (uintptr_t)p % _Alignof(max_align_t) == 0;
}

START_TEST(test_counted)
{
	size_t before = mem_used();
	void *a = mem_get(100), *b = mem_get(0);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq(mem_used(), before + 100);
	mem_put(a, 100);
	mem_put(b, 0);
	mem_put(NULL, 12345);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

START_TEST(test_limit)
{
	size_t before = mem_used();
	void *a;

	mem_limit(before + 1000);
	a = mem_get(600);
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_null(mem_get(401));
	ck_assert_ptr_null(mem_get(SIZE_MAX));
	ck_assert_uint_eq(mem_used(), before + 600);
	mem_put(a, 600);
	a = mem_get(1000);
	ck_assert_ptr_nonnull(a);
	mem_limit(10); /* below what is in use: nothing more, and what is there can be given back */
	ck_assert_ptr_null(mem_get(1));
	mem_put(a, 1000);
	mem_limit(0);
}
END_TEST

/* What was put back is handed out again, to who asks for about as much; what is counted is what was
 * asked for, and the limit and a failure that is asked for hold all the same. */
START_TEST(test_spare)
{
	static const size_t sizes[] = { 1024, 1025, 1152, 1153, 2104, 4095, 4096, 4097 };
	size_t before = mem_used();

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t size = sizes[i];
		char *p[20];

		for (int turn = 0; turn < 3; turn++) { /* 20 of 4 KiB are more than are kept */
			for (int k = 0; k < 20; k++) {
				p[k] = mem_get(size);
				ck_assert_ptr_nonnull(p[k]);
				ck_assert(is_aligned(p[k]));
				memset(p[k], k, size);
			}
			ck_assert_uint_eq(mem_used(), before + 20 * size);
			for (int k = 0; k < 20; k++) {
				ck_assert_int_eq(p[k][0], k);
				ck_assert_int_eq(p[k][size - 1], k);
				mem_put(p[k], size);
			}
		}
		mem_limit(before + size - 1);
		ck_assert_ptr_null(mem_get(size));
		mem_limit(0);
		mem_fail_after(1);
		ck_assert_ptr_null(mem_get(size));
		mem_fail_after(0);
		ck_assert_uint_eq(mem_used(), before);
	}
#ifndef SANITIZED
	void *a = mem_get(2000), *b;

	mem_put(a, 2000);
	b = mem_get(1990); /* of the same step */
	ck_assert_ptr_eq(a, b);
	mem_put(b, 1990);
#endif
}
END_TEST

/* Most of much memory was given back: so are the spare blocks, and what comes then is sound. */
START_TEST(test_idle_with_spare)
{
	static char *p[4096];

	for (int k = 0; k < 4096; k++)
		p[k] = mem_get(2000);
	for (int k = 0; k < 4096; k++)
		mem_put(p[k], 2000);
	mem_idle();
	for (int k = 0; k < 40; k++) {
		p[k] = mem_get(2000);
		memset(p[k], k, 2000);
	}
	for (int k = 0; k < 40; k++) {
		ck_assert_int_eq(p[k][1999], k);
		mem_put(p[k], 2000);
	}
}
END_TEST

START_TEST(test_fail_after)
{
	void *p;

	mem_fail_after(3);
	for (int i = 0; i < 2; i++) {
		p = mem_get(8);
		ck_assert_ptr_nonnull(p);
		mem_put(p, 8);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(mem_get(8));
	mem_fail_after(0);
	p = mem_get(8);
	ck_assert_ptr_nonnull(p);
	mem_put(p, 8);
}
END_TEST

START_TEST(test_arena_keeps_what_it_gave)
{
	size_t before = mem_used();
	struct arena a;
	unsigned char *parts[600];

	arena_init(&a, 0);
	for (size_t i = 0; i < 600; i++) {
		parts[i] = arena_alloc(&a, i);
		ck_assert_ptr_nonnull(parts[i]);
		ck_assert(is_aligned(parts[i]));
		memset(parts[i], (int)(i & 255), i);
	}
	for (size_t i = 0; i < 600; i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_eq(parts[i][k], i & 255);
	ck_assert_uint_eq(mem_used(), before + a.held);
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), before);
	ck_assert_uint_eq(a.held, 0);
	arena_free(&a); /* empty now, harmless */
}
END_TEST

START_TEST(test_arena_limit_sticks)
{
	size_t before = mem_used();
	struct arena a;

	arena_init(&a, 5000);
	ck_assert_ptr_nonnull(arena_alloc(&a, 3000));
	ck_assert_ptr_null(arena_alloc(&a, 3000));
	ck_assert(a.failed && a.full);
	ck_assert_ptr_null(arena_alloc(&a, 1));
	ck_assert_ptr_null(arena_alloc(&a, 0));
	ck_assert_ptr_null(arena_copy(&a, STR("x")).p);
	ck_assert_ptr_null(arena_printf(&a, "%d", 1).p);
	ck_assert_ptr_null(arena_grow(&a, NULL, 0, 1));
	ck_assert_uint_le(a.held, 5000);
	arena_free(&a);
	ck_assert(!a.failed && !a.full);
	ck_assert_uint_eq(a.limit, 5000);
	ck_assert_ptr_nonnull(arena_alloc(&a, 3000));
	arena_free(&a);
	mem_fail_after(1);
	ck_assert_ptr_null(arena_alloc(&a, 3000));
	ck_assert(a.failed && !a.full);
	mem_fail_after(0);
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

/* A limit is used up to its last bytes: the last block is as large as what is left. */
START_TEST(test_arena_uses_its_limit)
{
	struct arena a;
	size_t n = 0;

	arena_init(&a, 10000);
	while (arena_alloc(&a, 16))
		n++;
	ck_assert_uint_ge(n * 16, 9500);
	ck_assert_uint_le(a.held, 10000);
	arena_free(&a);
}
END_TEST

START_TEST(test_arena_huge)
{
	static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1, SIZE_MAX / 2 };

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct arena a;

		arena_init(&a, 1 << 20);
		ck_assert_ptr_null(arena_alloc(&a, sizes[i]));
		ck_assert(a.failed);
		arena_free(&a);
	}
}
END_TEST

START_TEST(test_arena_text)
{
	struct arena a;
	struct str s;
	unsigned char *zero;

	arena_init(&a, 0);
	s = arena_copy(&a, STR("a\0b"));
	ck_assert_uint_eq(s.len, 3);
	ck_assert_mem_eq(s.p, "a\0b", 4);
	s = arena_copy(&a, (struct str){ NULL, 0 });
	ck_assert_ptr_nonnull(s.p);
	ck_assert_uint_eq(s.len, 0);
	ck_assert_int_eq(s.p[0], '\0');
	s = arena_printf(&a, "%s-%05d", "abc", 42);
	ck_assert_uint_eq(s.len, 9);
	ck_assert_mem_eq(s.p, "abc-00042", 10);
	zero = arena_zero(&a, 300);
	for (size_t i = 0; i < 300; i++)
		ck_assert_uint_eq(zero[i], 0);
	arena_free(&a);
}
END_TEST

START_TEST(test_arena_grow)
{
	struct arena a;
	char *p, *q, *first;

	arena_init(&a, 0);
	p = first = arena_alloc(&a, 8);
	memcpy(p, "12345678", 8);
	p = arena_grow(&a, p, 8, 400);
	ck_assert_ptr_eq(p, first); /* the last one, with room: in place */
	q = arena_alloc(&a, 1);
	ck_assert(q >= p + 400);
	p = arena_grow(&a, p, 400, 401);
	ck_assert_ptr_ne(p, first); /* something stands behind it: a copy */
	ck_assert_mem_eq(p, "12345678", 8);
	q = arena_grow(&a, p, 401, 100000);
	ck_assert_ptr_ne(q, p); /* no room in the block */
	ck_assert_mem_eq(q, "12345678", 8);
	ck_assert_ptr_eq(arena_grow(&a, q, 100000, 100000), q);
	arena_free(&a);
	arena_init(&a, 2000);
	p = arena_alloc(&a, 100);
	memcpy(p, "stays", 6);
	ck_assert_ptr_null(arena_grow(&a, p, 100, 5000));
	ck_assert(a.failed);
	ck_assert_str_eq(p, "stays");
	ck_assert_ptr_null(arena_grow(&a, p, 100, 101));
	arena_free(&a);
}
END_TEST

START_TEST(test_arena_fails_at_every_n)
{
	size_t before = mem_used();

	for (size_t n = 1; n < 12; n++) {
		struct arena a;
		size_t got = 0;

		arena_init(&a, 0);
		mem_fail_after(n);
		for (size_t i = 0; i < 200; i++)
			got += arena_alloc(&a, 1000) != NULL;
		mem_fail_after(0);
		ck_assert(a.failed == (got < 200));
		if (a.failed)
			ck_assert_ptr_null(arena_alloc(&a, 1));
		arena_free(&a);
		ck_assert_uint_eq(mem_used(), before);
	}
}
END_TEST

static sigjmp_buf caught;

static void
on_fault(int signo)
{
	(void)signo;
	siglongjmp(caught, 1);
}

START_TEST(test_sealed_pages)
{
	struct sigaction act = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	size_t before = mem_used();
	struct arena pages, *a;
	volatile char *text;
	bool faulted = false;

	arena_init_pages(&pages);
	a = arena_alloc(&pages,
		sizeof *a); /* as a configuration does: it lives in its own memory */
	text = arena_alloc(&pages, 600000);
	ck_assert_ptr_nonnull((void *)(uintptr_t)text);
	*a = pages;
	text[0] = 'x';
	text[599999] = 'y';
	ck_assert_uint_eq(mem_used(), before);
	arena_seal(a);
	ck_assert_int_eq(text[599999], 'y');
	sigaction(SIGSEGV, &act, NULL);
	if (sigsetjmp(caught, 1) == 0)
		text[0] = 'z';
	else
		faulted = true;
	ck_assert(faulted);
	arena_free(a);
}
END_TEST

/* A rewound arena has its newest block still, and gives the same memory again. */
START_TEST(test_arena_rewind)
{
	size_t before = mem_used(), held;
	struct arena a;
	char *first;

	arena_init(&a, 0);
	arena_rewind(&a);
	ck_assert_uint_eq(mem_used(), before);
	for (int i = 0; i < 100; i++)
		ck_assert_ptr_nonnull(arena_alloc(&a, 300));
	arena_rewind(&a);
	held = mem_used();
	ck_assert_uint_gt(held, before);
	ck_assert_uint_eq(a.held, held - before);
	first = arena_alloc(&a, 10);
	for (int round = 0; round < 5; round++) {
		arena_rewind(&a);
		ck_assert_ptr_eq(arena_alloc(&a, 10), first);
		ck_assert_ptr_nonnull(arena_alloc(&a, 1000));
		ck_assert_uint_eq(mem_used(), held);
	}
	/* what is uncommonly large is not kept */
	ck_assert_ptr_nonnull(arena_alloc(&a, 1 << 20));
	arena_rewind(&a);
	ck_assert_uint_eq(mem_used(), before);
	/* a failure is forgotten */
	mem_fail_after(1);
	ck_assert_ptr_null(arena_alloc(&a, 10));
	mem_fail_after(0);
	ck_assert_ptr_null(arena_alloc(&a, 10));
	arena_rewind(&a);
	ck_assert_ptr_nonnull(arena_alloc(&a, 10));
	arena_free(&a);
	ck_assert_uint_eq(mem_used(), before);
}
END_TEST

START_TEST(test_zero)
{
	size_t before = mem_used();
	char *p = mem_get(300);

	memset(p, 1, 300);
	mem_put(p, 300);
	p = mem_zero(300, 200); /* the same memory, where what was given back is kept */
	ck_assert_uint_eq(mem_used(), before + 300);
	for (size_t i = 0; i < 200; i++)
		ck_assert_int_eq(p[i], 0);
	mem_put(p, 300);
	mem_fail_after(1);
	ck_assert_ptr_null(mem_zero(300, 300));
	mem_fail_after(0);
}
END_TEST

/* Zeroed, outside the count, and no memory until it is written to. */
START_TEST(test_boot_pages)
{
	size_t size = 64 * 4096, before = mem_used();
	unsigned char there[64];
	char *p = mem_boot_pages(size);

	ck_assert_int_eq(mincore(p, size, there), 0);
	for (size_t i = 0; i < sizeof there; i++)
		ck_assert_int_eq(there[i] & 1, 0);
	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(p[i], 0);
	memset(p, 1, size);
	ck_assert_uint_eq(mem_used(), before);
	mem_boot_pages_free(p, size);
	mem_boot_pages_free(NULL, size);
}
END_TEST

UNIT_MAIN("base/mem", test_arena_rewind, test_counted, test_zero, test_limit, test_fail_after,
	test_spare, test_idle_with_spare, test_arena_keeps_what_it_gave, test_arena_limit_sticks,
	test_arena_uses_its_limit, test_arena_huge, test_arena_text, test_arena_grow,
	test_arena_fails_at_every_n, test_sealed_pages, test_boot_pages)
