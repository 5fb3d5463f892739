/* The wide registers hold nothing any more of what passed through them. */
#include "unit.h"

#include <string.h>

#include "base/registers.h"

START_TEST(nothing_is_left)
{
	static const char nothing[64];
	char text[64] = "a key that was copied, and whose bytes are left in registers";

#ifdef __x86_64__
	__asm__ volatile("movdqu %0, %%xmm0; movdqu %0, %%xmm15" : : "m"(text) : "xmm0", "xmm15");
	registers_wipe();
	__asm__ volatile("movdqu %%xmm0, %0" : "=m"(text));
	ck_assert_mem_eq(text, nothing, 16);
	memset(text, 'k', sizeof text);
	__asm__ volatile("movdqu %0, %%xmm15" : : "m"(text) : "xmm15");
	registers_wipe();
	__asm__ volatile("movdqu %%xmm15, %0" : "=m"(text));
	ck_assert_mem_eq(text, nothing, 16);
	if (!__builtin_cpu_supports("avx512vl"))
		return;
	memset(text, 'k', sizeof text);
	__asm__ volatile("vmovdqu64 %0, %%zmm16; vmovdqu64 %0, %%zmm31" : : "m"(text));
	registers_wipe();
	__asm__ volatile("vmovdqu64 %%zmm16, %0" : "=m"(text));
	ck_assert_mem_eq(text, nothing, sizeof text);
	memset(text, 'k', sizeof text);
	__asm__ volatile("vmovdqu64 %0, %%zmm31" : : "m"(text));
	registers_wipe();
	__asm__ volatile("vmovdqu64 %%zmm31, %0" : "=m"(text));
	ck_assert_mem_eq(text, nothing, sizeof text);
#else
	registers_wipe();
	ck_assert_int_eq(nothing[0], 0);
#endif
}
END_TEST

UNIT_MAIN("base/registers", nothing_is_left)
