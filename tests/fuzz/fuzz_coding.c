/*
 * Fuzzes http/coding. The first byte chooses the coding and the size of the pieces; the rest is the
 * coded text. What must hold: what comes out, and whether it is whole or broken, does not depend on
 * how the bytes came or how much was asked for at a time; no call gives more than that; memory is
 * given back.
 */
#include "http/coding.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MOST = 1 << 18 }; /* of a bomb no more is looked at */

static int
undo(struct str name, struct str text, size_t step, size_t most, struct buf *out, bool *whole)
{
	struct coding c;
	int rc = coding_open(&c, name);

	assert(rc == 0);
	while (text.len > 0 && rc == 0 && buf_len(out) < OUT_MOST) {
		struct str piece = str_head(text, step);
		size_t before;

		text = str_skip(text, step);
		do {
			before = buf_len(out);
			long n = coding_feed(&c, piece, out, most);
			assert(buf_len(out) - before <= most);
			rc = n < 0 ? -1 : 0;
			piece = str_skip(piece, n < 0 ? piece.len : (size_t)n);
		} while (rc == 0 && buf_len(out) - before == most && buf_len(out) < OUT_MOST);
		assert(piece.len == 0 || buf_len(out) >= OUT_MOST);
	}
	assert((rc < 0) == (c.fault != NULL));
	*whole = coding_whole(&c);
	coding_close(&c);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	char *copy = malloc(size - 1);
	struct str name = data[0] & 1 ? STR("gzip") : STR("deflate"), text = { copy, size - 1 };
	struct buf all = BUF_EMPTY, parts = BUF_EMPTY;
	bool whole, again;

	memcpy(copy, data + 1, text.len);
	int rc = undo(name, text, text.len, OUT_MOST, &all, &whole);
	int rc2 = undo(name, text, data[0] / 2 % 16 + 1u, data[0] / 32 + 1u, &parts, &again);
	if (buf_len(&all) < OUT_MOST && buf_len(&parts) < OUT_MOST) {
		assert(rc == rc2 && whole == again);
		assert(str_eq(buf_str(&all), buf_str(&parts)));
	}
	buf_free(&all);
	buf_free(&parts);
	free(copy);
	assert(mem_used() == 0);
	return 0;
}
