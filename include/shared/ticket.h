/*
 * ticket: the keys that TLS session tickets are made with, in memory that all processes share: a
 * ticket that one worker gave is good at every other one, also after a reload. No locks: a process
 * may die at any instruction.
 */
#ifndef SHARED_TICKET_H
#define SHARED_TICKET_H

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st;
struct ticket_table;

/* A new key comes after so long, and tickets of the last TICKET_KEYS are taken. */
#define TICKET_ROTATE_MS 3600000u
#define TICKET_KEYS 3

/* What a key is: its name stands in each ticket. */
struct ticket_key {
	uint8_t name[16];
	uint8_t cipher[32]; /* AES-256-CBC */
	uint8_t mac[32];    /* HMAC-SHA256 */
};

/* A table with a key at least, excluded from core dumps, or the one that was handed down. NULL with
 * errno. */
struct ticket_table *ticket_new(uint64_t now_ms);
void ticket_free(struct ticket_table *t);
/* For the master, now and then: a new key where it is time. False without random bytes: the old
 * keys stay. `now_ms` is clock_ms. */
bool ticket_tick(struct ticket_table *t, uint64_t now_ms);
/* Copies of the newest key, and of the one of that name (*newest: it is that one). False when there
 * is none. */
bool ticket_newest(struct ticket_table *t, struct ticket_key *out);
bool ticket_find(struct ticket_table *t, const uint8_t name[16], struct ticket_key *out,
	bool *newest);
/* Have the tickets of this server context made with the keys of the table. 0, or -1 without memory.
 */
int ticket_use(struct ticket_table *t, struct ssl_ctx_st *ssl);

#endif
