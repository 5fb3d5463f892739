/*
 * Fuzzes dialect/fault. The first byte chooses the status; the rest is the body. What must hold:
 * there is always a message of at most 4 KiB, code and param are short and visible, a megabyte of
 * memory is enough, and nothing points into the body any more.
 */
#include "dialect/fault.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_word(struct str s)
{
	assert(s.p != NULL && s.len <= 128);
	for (size_t i = 0; i < s.len; i++)
		assert(s.p[i] > ' ' && s.p[i] <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = { 200, 302, 400, 401, 403, 404, 422, 429, 500, 503 };
	struct fault f;
	struct arena a;

	if (size == 0)
		return 0;
	char *copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	arena_init(&a, 1 << 20);
	fault_read(&a, statuses[data[0] % (sizeof statuses / sizeof statuses[0])],
		(struct str){ copy, size - 1 }, &f);
	free(copy); /* nothing of the body is kept */
	assert(!a.failed);
	assert(f.error.kind < ERROR_KINDS && f.error.status == 0);
	assert(f.error.message.len > 0 && f.error.message.len <= FAULT_TEXT_MOST);
	check_word(f.error.code);
	check_word(f.error.param);
	assert(f.retry_ms >= -1 && f.retry_ms <= 86401000);
	assert(fault_text(&a, f.error.message).len <= FAULT_TEXT_MOST);
	arena_free(&a);
	assert(mem_used() == 0);
	return 0;
}
