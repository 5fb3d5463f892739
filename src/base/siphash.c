/*
 * siphash: a hash with a key.
 *
 * Called by admit for each request, to see whether a client's key is one that it has seen before:
 * some hundred instructions instead of the thousands of SHA-256. Pure: it keeps nothing of the
 * text, which stays in registers eight bytes at a time, and cannot fail.
 *
 * Four words of state; each word of the text goes in by two rounds, four more rounds and four again
 * make the two words of the result.
 */
#include "base/siphash.h"

#include <endian.h>

struct state {
	uint64_t a, b, c, d;
};

static inline uint64_t
turn(uint64_t word, unsigned by)
{
	return word << by | word >> (64 - by);
}

static inline void
rounds(struct state *s, unsigned n)
{
	while (n-- > 0) {
		s->a += s->b;
		s->b = turn(s->b, 13) ^ s->a;
		s->a = turn(s->a, 32);
		s->c += s->d;
		s->d = turn(s->d, 16) ^ s->c;
		s->a += s->d;
		s->d = turn(s->d, 21) ^ s->a;
		s->c += s->b;
		s->b = turn(s->b, 17) ^ s->c;
		s->c = turn(s->c, 32);
	}
}

static inline void
word_in(struct state *s, uint64_t word)
{
	s->d ^= word;
	rounds(s, 2);
	s->a ^= word;
}

struct siphash
siphash(const struct siphash_key *key, struct str text)
{
	struct state s = { key->k[0] ^ UINT64_C(0x736f6d6570736575),
		key->k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		key->k[0] ^ UINT64_C(0x6c7967656e657261),
		key->k[1] ^ UINT64_C(0x7465646279746573) };
	struct siphash result;
	uint64_t last = (uint64_t)text.len << 56, word;
	size_t at = 0;

	for (; text.len - at >= sizeof word; at += sizeof word) {
		memcpy(&word, text.p + at, sizeof word);
		word_in(&s, le64toh(word));
	}
	for (unsigned shift = 0; at < text.len; at++, shift += 8)
		last |= (uint64_t)(unsigned char)text.p[at] << shift;
	word_in(&s, last);
	s.c ^= 0xee;
	rounds(&s, 4);
	result.h[0] = s.a ^ s.b ^ s.c ^ s.d;
	s.b ^= 0xdd;
	rounds(&s, 4);
	result.h[1] = s.a ^ s.b ^ s.c ^ s.d;
	return result;
}
