/*
 * unsigned: thinking blocks that Anthropic has not signed, in what a client of its own dialect
 * sends: they come from providers of other dialects, when a conversation moves from one to the
 * other.
 */
#ifndef DIALECT_UNSIGNED_H
#define DIALECT_UNSIGNED_H

#include "base/buf.h"
#include "base/mem.h"

/* May there be one in this body? At memory speed; true more often than not needed does no harm. */
bool unsigned_may_be(struct str body);
/*
 * Append the body (valid JSON) without them, and with `model` (a JSON text; empty: as it is) for
 * its model. Values keep their bytes. Anthropic refuses blocks with an empty signature, or one of
 * another, with a 400; it refuses too that tools were called without a thinking block while
 * `thinking` is on, so then that goes as well. 1; 0: there was none, nothing was appended; -1: no
 * memory.
 */
int unsigned_remove(struct arena *a, struct str body, struct str model, struct buf *out);

#endif
