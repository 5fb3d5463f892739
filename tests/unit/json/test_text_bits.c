/*
 * text_bits: the same tests for processors without x86's instruction that gathers bits.
 */
#undef __SSE2__
#include "../../../src/json/text.c"

#include "test_text.c"
