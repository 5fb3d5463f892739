/*
 * address: host names and their addresses in shared memory, one table a generation. Written by
 * the resolver of that generation alone (and by the master before the fork); each entry has two
 * copies and the index of the current one, so that a resolver killed while writing blocks no
 * reader.
 */
#ifndef SHARED_ADDRESS_H
#define SHARED_ADDRESS_H

#include "net/sock.h"

#define ADDRESS_MAX 16 /* addresses kept for a name */

struct address_list {
	uint32_t n; /* 0 with resolved_at set: the name could not be resolved; `error` says why */
	uint64_t resolved_at_ms; /* clock_ms of the answer; 0: never answered */
	char error[64];
	struct {
		uint8_t v6;
		uint8_t bytes[16];
	} address[ADDRESS_MAX]; /* in the order to try: families interleaved as RFC 8305 4 says */
};

struct address_table;
/* A table for `n` hosts. NULL with errno. */
struct address_table *address_new(unsigned n);
void address_free(struct address_table *t);
/*
 * Master, before the fork: name of entry i (cut at 255 bytes, none longer is a host name), and,
 * if `old` has the same name, its last answer.
 */
void address_name(struct address_table *t, unsigned i, struct str host,
	const struct address_table *old);
unsigned address_count(const struct address_table *t);
const char *address_host(const struct address_table *t, unsigned i);
/* The current answer: copied, then checked that it was not being replaced meanwhile (retried). */
void address_get(const struct address_table *t, unsigned i, struct address_list *out);
/*
 * The resolver's: publish an answer. An answer with n 0 is kept out when an earlier one had
 * addresses (the last good answer is kept).
 */
void address_set(struct address_table *t, unsigned i, const struct address_list *answer);
/* Address `k` of a list as a socket address with a port. */
void address_sock(const struct address_list *l, unsigned k, uint16_t port, union sock_address *out);
/*
 * Append an IPv4 or IPv6 address to a list in the making; false when it is there already, of
 * another family, or the list is full.
 */
bool address_add(struct address_list *l, const struct sockaddr *a);
/*
 * Put a list in the order to try: families alternate, beginning with that of the first address;
 * the order within a family is kept (RFC 8305 4).
 */
void address_interleave(struct address_list *l);

#endif
