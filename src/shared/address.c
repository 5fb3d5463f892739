/*
 * address: what the resolver found out, in memory that its generation's workers read.
 *
 * Each entry holds two copies of an answer and a turn number whose lowest bit says which copy is
 * current. The one writer fills the other copy and then moves the turn on; killed before that, it
 * has changed nothing that anyone reads. A reader copies the current answer and looks at the turn
 * again: when it has moved, the copy may have been overwritten under its hands, and it starts
 * over. There is no lock, so a dead writer holds up nobody.
 *
 * Answers are moved as words with relaxed atomics; the fences below give the order. See Boehm,
 * "Can seqlocks get along with programming language memory models?" (MSPC 2012), for why the
 * writer needs one before its data as well.
 *
 * address_new can fail with errno of the mapping; nothing else here fails.
 */
#include "shared/address.h"

#include <stdatomic.h>
#include <string.h>

#include "base/shm.h"

#define HOST_MAX 255
#define ANSWER_WORDS ((sizeof(struct address_list) + 7) / 8)

struct entry {
	char host[HOST_MAX + 1];
	_Atomic uint32_t turn; /* copy[turn % 2] is current */
	_Atomic uint64_t copy[2][ANSWER_WORDS];
};

struct address_table {
	unsigned n;
	struct entry entries[];
};

static size_t
table_size(unsigned n)
{
	return sizeof(struct address_table) + n * sizeof(struct entry);
}

struct address_table *
address_new(unsigned n)
{
	struct address_table *t = shm_pages(table_size(n));
	if (t != NULL)
		t->n = n;
	return t;
}

void
address_free(struct address_table *t)
{
	if (t != NULL)
		shm_pages_free(t, table_size(t->n));
}

unsigned
address_count(const struct address_table *t)
{
	return t->n;
}

const char *
address_host(const struct address_table *t, unsigned i)
{
	return t->entries[i].host;
}

void
address_get(const struct address_table *t, unsigned i, struct address_list *out)
{
	const struct entry *e = &t->entries[i];
	uint64_t words[ANSWER_WORDS] = { 0 };
	uint32_t before, after = atomic_load_explicit(&e->turn, memory_order_acquire);
	do {
		before = after;
		for (size_t w = 0; w < ANSWER_WORDS; w++)
			words[w] =
				atomic_load_explicit(&e->copy[before % 2][w], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		after = atomic_load_explicit(&e->turn, memory_order_acquire);
	} while (after != before);
	memcpy(out, words, sizeof *out);
}

/* Fill the copy that is not current, then make it so. */
static void
publish(struct entry *e, const struct address_list *answer)
{
	uint64_t words[ANSWER_WORDS] = { 0 };
	memcpy(words, answer, sizeof *answer);
	uint32_t next = atomic_load_explicit(&e->turn, memory_order_relaxed) + 1;
	/*
	 * A reader that sees any of the words below must then also see the turn that the last
	 * call stored.
	 */
	atomic_thread_fence(memory_order_release);
	for (size_t w = 0; w < ANSWER_WORDS; w++)
		atomic_store_explicit(&e->copy[next % 2][w], words[w], memory_order_relaxed);
	atomic_store_explicit(&e->turn, next, memory_order_release);
}

void
address_set(struct address_table *t, unsigned i, const struct address_list *answer)
{
	if (answer->n == 0) {
		struct address_list now;
		address_get(t, i, &now);
		if (now.n > 0)
			return;
	}
	publish(&t->entries[i], answer);
}

void
address_name(struct address_table *t, unsigned i, struct str host, const struct address_table *old)
{
	struct entry *e = &t->entries[i];
	struct str cut = str_head(host, HOST_MAX);
	if (cut.len > 0)
		memcpy(e->host, cut.p, cut.len);
	e->host[cut.len] = '\0';
	for (unsigned k = 0; old != NULL && cut.len > 0 && k < old->n; k++) {
		if (strcmp(address_host(old, k), e->host) != 0)
			continue;
		struct address_list last;
		address_get(old, k, &last);
		publish(e, &last);
		return;
	}
}

void
address_sock(const struct address_list *l, unsigned k, uint16_t port, union sock_address *out)
{
	memset(out, 0, sizeof *out);
	if (l->address[k].v6) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		memcpy(&out->v6.sin6_addr, l->address[k].bytes, 16);
	} else {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		memcpy(&out->v4.sin_addr, l->address[k].bytes, 4);
	}
}

bool
address_add(struct address_list *l, const struct sockaddr *a)
{
	uint8_t v6 = a->sa_family == AF_INET6, bytes[16] = { 0 };
	if (v6)
		memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
	else if (a->sa_family == AF_INET)
		memcpy(bytes, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	else
		return false;
	for (uint32_t i = 0; i < l->n; i++)
		if (l->address[i].v6 == v6 && memcmp(l->address[i].bytes, bytes, 16) == 0)
			return false;
	if (l->n == ADDRESS_MAX)
		return false;
	l->address[l->n].v6 = v6;
	memcpy(l->address[l->n].bytes, bytes, 16);
	l->n++;
	return true;
}

/* The first address of family `v6` at or after `from`; l->n when there is none. */
static uint32_t
next_of(const struct address_list *l, uint8_t v6, uint32_t from)
{
	while (from < l->n && l->address[from].v6 != v6)
		from++;
	return from;
}

void
address_interleave(struct address_list *l)
{
	struct address_list in = *l;
	if (in.n == 0)
		return;
	uint8_t family = in.address[0].v6;
	uint32_t next[2] = { next_of(&in, 0, 0), next_of(&in, 1, 0) };
	for (uint32_t out = 0; out < in.n; out++, family = !family) {
		if (next[family] == in.n)
			family = !family;
		l->address[out] = in.address[next[family]];
		next[family] = next_of(&in, family, next[family] + 1);
	}
}
