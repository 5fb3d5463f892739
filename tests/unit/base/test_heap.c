/*
 * The heap is left out of dumps: blocks of all sizes, before and after it has grown and was
 * trimmed, OpenSSL's and other people's. The kernel says so itself: "dd" in /proc/self/smaps.
 */
#include "unit.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/mem.h"

#define MIB ((size_t)1 << 20)

/* Are all the pages of these bytes left out of dumps? */
static bool
is_left_out(const void *p, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	uintptr_t at = (uintptr_t)p, end = at + size;
	unsigned long from = 0, to = 0, first, last;
	char line[512];
	bool out = true;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
			from = first;
			to = last;
		}
		if (strncmp(line, "VmFlags:", 8) == 0 && from < end && to > at)
			out = out && strstr(line, " dd") != NULL;
	}
	fclose(f);
	return out;
}

/* Under valgrind the break is not malloc's. */
static bool
is_usual(void)
{
	char *p = malloc(1), *end = sbrk(0);
	bool usual = p < end && (size_t)(end - p) < MIB;

	free(p);
#ifdef SANITIZED
	usual = false;
#endif
	return usual;
}

START_TEST(blocks_of_all_sizes)
{
	static const size_t sizes[] = { 1, 100, 5000, 100000, MIB, 3 * MIB, 5 * MIB, 40 * MIB };
	void *p[8], *big;

	if (!is_usual())
		return;
	heap_open();
	for (size_t i = 0; i < 8; i++) {
		p[i] = heap_get(sizes[i]);
		ck_assert_ptr_nonnull(p[i]);
		memset(p[i], 'k', sizes[i]);
		ck_assert_msg(is_left_out(p[i], sizes[i]), "%zu bytes are dumped", sizes[i]);
	}
	for (size_t i = 0; i < 8; i++)
		free(p[i]);
	big = heap_zero(2 * MIB);
	ck_assert(is_left_out(big, 2 * MIB));
	big = heap_again(big, 20 * MIB);
	ck_assert(is_left_out(big, 20 * MIB));
	free(big);
}
END_TEST

START_TEST(what_grows_after_a_trim)
{
	void *p[64];

	if (!is_usual())
		return;
	heap_open();
	for (int round = 0; round < 3; round++) {
		char *top = sbrk(0);

		for (size_t i = 0; i < 64; i++)
			ck_assert_ptr_nonnull(p[i] = heap_get(MIB));
		ck_assert(is_left_out(p[63], MIB));
		for (size_t i = 0; i < 64; i++)
			free(p[i]);
		ck_assert_msg((char *)sbrk(0) - top > (ptrdiff_t)(32 * MIB), "it shrank unseen");
		heap_trim();
		ck_assert((char *)sbrk(0) - top < (ptrdiff_t)MIB);
	}
}
END_TEST

START_TEST(other_peoples)
{
	void *theirs, *openssl;

	if (!is_usual())
		return;
	heap_open();
	openssl = OPENSSL_malloc(2 * MIB);
	ck_assert(is_left_out(openssl, 2 * MIB));
	openssl = OPENSSL_realloc(openssl, 3 * MIB);
	ck_assert(is_left_out(openssl, 3 * MIB));
	OPENSSL_free(openssl);
	theirs = malloc(3 * MIB);
	heap_leave_out();
	ck_assert(is_left_out(theirs, 3 * MIB));
	free(theirs);
}
END_TEST

START_TEST(memory_that_is_idle_goes_back)
{
	void *p[16];
	char *top;

	if (!is_usual())
		return;
	heap_open();
	top = sbrk(0);
	for (size_t i = 0; i < 16; i++)
		ck_assert_ptr_nonnull(p[i] = mem_get(MIB));
	mem_idle();
	ck_assert((char *)sbrk(0) - top > (ptrdiff_t)(8 * MIB));
	for (size_t i = 0; i < 16; i++)
		mem_put(p[i], MIB);
	ck_assert((char *)sbrk(0) - top > (ptrdiff_t)(8 * MIB));
	mem_idle();
	ck_assert((char *)sbrk(0) - top < (ptrdiff_t)MIB);
}
END_TEST

/* What connections of TLS held is nearly all OpenSSL's. */
START_TEST(memory_of_openssl_goes_back)
{
	void *p[16];
	size_t before;
	char *top;

	if (!is_usual())
		return;
	heap_open();
	top = sbrk(0);
	before = heap_openssl();
	for (size_t i = 0; i < 16; i++)
		p[i] = OPENSSL_realloc(OPENSSL_malloc(100), MIB);
	ck_assert_uint_ge(heap_openssl(), before + 16 * MIB);
	ck_assert_uint_lt(heap_openssl(), before + 17 * MIB);
	mem_idle();
	ck_assert((char *)sbrk(0) - top > (ptrdiff_t)(8 * MIB));
	for (size_t i = 0; i < 16; i++)
		OPENSSL_free(p[i]);
	OPENSSL_free(NULL);
	ck_assert_uint_eq(heap_openssl(), before);
	mem_idle();
	ck_assert((char *)sbrk(0) - top < (ptrdiff_t)MIB);
}
END_TEST

UNIT_MAIN("base/heap", blocks_of_all_sizes, what_grows_after_a_trim, other_peoples,
	memory_that_is_idle_goes_back, memory_of_openssl_goes_back)
