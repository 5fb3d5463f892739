/*
 * registers: the wide registers of the processor, cleared.
 *
 * Called by the loop before it waits: most of its life a process waits, and that is when a core of
 * it would be taken, or a signal ends it. memcpy moves up to 64 bytes through one register, which
 * is a whole key, and leaves them there; they would stay for as long as the wait. Some twenty
 * instructions clear them all. Nothing here can fail.
 *
 * The general registers have eight bytes each and change at every step, so they are left as they
 * are.
 */
#include "base/registers.h"

void
registers_wipe(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
				 "xmm14", "xmm15");
	else
		__asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm1, %%xmm1;"
				 "pxor %%xmm2, %%xmm2; pxor %%xmm3, %%xmm3;"
				 "pxor %%xmm4, %%xmm4; pxor %%xmm5, %%xmm5;"
				 "pxor %%xmm6, %%xmm6; pxor %%xmm7, %%xmm7;"
				 "pxor %%xmm8, %%xmm8; pxor %%xmm9, %%xmm9;"
				 "pxor %%xmm10, %%xmm10; pxor %%xmm11, %%xmm11;"
				 "pxor %%xmm12, %%xmm12; pxor %%xmm13, %%xmm13;"
				 "pxor %%xmm14, %%xmm14; pxor %%xmm15, %%xmm15" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
				 "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
				 "xmm14", "xmm15");
	/* The compiler, which was told of no such processor, has nothing in these. */
	if (__builtin_cpu_supports("avx512vl"))
		__asm__ volatile("vpxorq %xmm16, %xmm16, %xmm16; vpxorq %xmm17, %xmm17, %xmm17;"
				 "vpxorq %xmm18, %xmm18, %xmm18; vpxorq %xmm19, %xmm19, %xmm19;"
				 "vpxorq %xmm20, %xmm20, %xmm20; vpxorq %xmm21, %xmm21, %xmm21;"
				 "vpxorq %xmm22, %xmm22, %xmm22; vpxorq %xmm23, %xmm23, %xmm23;"
				 "vpxorq %xmm24, %xmm24, %xmm24; vpxorq %xmm25, %xmm25, %xmm25;"
				 "vpxorq %xmm26, %xmm26, %xmm26; vpxorq %xmm27, %xmm27, %xmm27;"
				 "vpxorq %xmm28, %xmm28, %xmm28; vpxorq %xmm29, %xmm29, %xmm29;"
				 "vpxorq %xmm30, %xmm30, %xmm30; vpxorq %xmm31, %xmm31, %xmm31");
#endif
}
