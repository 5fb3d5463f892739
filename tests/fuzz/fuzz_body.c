/*
 * Fuzzes http/body. The first byte chooses the framing, the second the size of the pieces; the rest
 * is the wire. What must hold: no more is consumed than is there, all of it comes out the same
 * however it is cut and also where chunks are joined, and what was decoded, chunked anew, decodes
 * to the same.
 */
#include "http/body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	char *data;
	size_t len, used;
	bool broken, done;
};

static struct result
decode(struct str wire, enum framing kind, uint64_t length, size_t step)
{
	struct result r = { .data = malloc(wire.len + 1) };
	struct body b;

	body_init(&b, kind, length);
	while (!b.done && !r.broken && r.used < wire.len) {
		struct str in = str_head(str_skip(wire, r.used), step), data;
		uint64_t left = length - r.used;
		long n = body_next(&b, in, &data);
		assert(n <= (long)in.len && (n != 0 || b.done));
		r.broken = n < 0;
		if (n < 0)
			break;
		assert(data.len == 0 || (data.p >= in.p && data.p + data.len <= in.p + n));
		assert(kind != FRAMING_LENGTH || data.len == (left < in.len ? left : in.len));
		memcpy(r.data + r.len, data.len > 0 ? data.p : "", data.len);
		r.len += data.len;
		r.used += (size_t)n;
	}
	r.done = b.done;
	return r;
}

static void
check_same(const struct result *a, struct result b)
{
	assert(a->len == b.len && a->used == b.used && a->broken == b.broken && a->done == b.done);
	assert(memcmp(a->data, b.data, a->len) == 0);
	free(b.data);
}

/* The same with body_join, which writes to what it reads. */
static struct result
decode_joined(struct str wire, enum framing kind, uint64_t length, size_t step)
{
	struct result r = { .data = malloc(wire.len + 1) };
	char *own = malloc(wire.len + 1);
	struct body b;

	body_init(&b, kind, length);
	memcpy(own, wire.len > 0 ? wire.p : "", wire.len);
	while (!b.done && !r.broken && r.used < wire.len) {
		size_t size = str_head(str_skip(wire, r.used), step).len;
		char *p = own + r.used;
		struct str data;
		long n = body_join(&b, p, size, &data);
		assert(n <= (long)size && (n != 0 || b.done));
		r.broken = n < 0;
		if (n < 0)
			break;
		assert(data.len == 0 || (data.p >= p && data.p + data.len <= p + n));
		memcpy(r.data + r.len, data.len > 0 ? data.p : "", data.len);
		r.len += data.len;
		r.used += (size_t)n;
	}
	assert(memcmp(own + r.used, wire.len > 0 ? wire.p + r.used : "", wire.len - r.used) == 0);
	r.done = b.done;
	free(own);
	return r;
}

/* Chunks of `size` bytes at most. */
static void
check_again(const struct result *r, size_t size)
{
	char *wire = malloc(r->len * (BODY_CHUNK_HEAD_MAX + 3) + 8);
	size_t at = 0, chunk;

	for (size_t from = 0; from < r->len; from += chunk) {
		chunk = r->len - from < size ? r->len - from : size;
		at += body_chunk_head(wire + at, chunk);
		memcpy(wire + at, r->data + from, chunk);
		at += chunk;
		memcpy(wire + at, BODY_CHUNK_TAIL, 2);
		at += 2;
	}
	memcpy(wire + at, BODY_CHUNK_LAST, 5);
	at += 5;
	struct result again = decode((struct str){ wire, at }, FRAMING_CHUNKED, 0, at);
	assert(again.done && !again.broken && again.used == at && again.len == r->len);
	assert(memcmp(again.data, r->data, r->len) == 0);
	free(again.data);
	free(wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum framing kinds[] = { FRAMING_CHUNKED, FRAMING_CHUNKED, FRAMING_CHUNKED,
		FRAMING_LENGTH, FRAMING_CLOSE, FRAMING_NONE };

	if (size < 2)
		return 0;
	enum framing kind = kinds[data[0] % 6];
	uint64_t length = data[0];
	char *copy = malloc(size - 2);
	struct str wire = { copy, size - 2 };
	if (wire.len > 0)
		memcpy(copy, data + 2, wire.len);
	struct result whole = decode(wire, kind, length, wire.len);
	check_same(&whole, decode(wire, kind, length, 1));
	check_same(&whole, decode(wire, kind, length, (size_t)data[1] + 1));
	check_same(&whole, decode_joined(wire, kind, length, wire.len));
	check_same(&whole, decode_joined(wire, kind, length, (size_t)data[1] + 1));
	assert(kind != FRAMING_LENGTH || whole.len == (length < wire.len ? length : wire.len));
	assert(kind != FRAMING_NONE || (whole.done && whole.used == 0));
	check_again(&whole, (size_t)data[1] + 1);
	free(whole.data);
	free(copy);
	return 0;
}
