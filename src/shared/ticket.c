/*
 * ticket: the keys of TLS session tickets.
 *
 * The keys stand in a ring, key n at n modulo its size, which is one more than are in use: the next
 * one is written where nobody looks any more. Each place has the number of its key, which is 0
 * while it is written; a reader compares it before and after, so that even one that was stopped for
 * hours in between has a whole key or none. `newest` is written last. A writer that dies half-way
 * leaves the keys as they were.
 *
 * Only the master writes. During an upgrade there are two of them for a moment: who moves `rotated`
 * on is the one that makes the key.
 *
 * Workers read, as OpenSSL asks for a key: for each new ticket, and for each one that a client
 * offers. A key that cannot be had is no error: the client then gets no ticket, or a full
 * handshake.
 */
#include "shared/ticket.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/shm.h"
#include "config/secret.h"

#define TICKET_VERSION 1u

enum { PLACES = TICKET_KEYS + 1, WORDS = sizeof(struct ticket_key) / sizeof(uint64_t) };

struct place {
	_Atomic uint64_t number; /* of the key; 0: none, or it is being written */
	_Atomic uint64_t words[WORDS];
};

struct ticket_table {
	struct shm_head head;
	_Atomic uint64_t newest;  /* number of a key, from 1 */
	_Atomic uint64_t rotated; /* when, clock_ms */
	struct place places[PLACES];
};

static bool
make_key(struct ticket_table *t)
{
	uint64_t words[WORDS], n = atomic_load(&t->newest) + 1;
	struct place *p = &t->places[n % PLACES];

	if (getrandom(words, sizeof words, 0) != (long)sizeof words)
		return false;
	atomic_store(&p->number, 0);
	atomic_thread_fence(memory_order_release);
	for (unsigned i = 0; i < WORDS; i++)
		atomic_store_explicit(&p->words[i], words[i], memory_order_relaxed);
	atomic_store(&p->number, n);
	atomic_store(&t->newest, n);
	secret_wipe(words, sizeof words);
	return true;
}

struct ticket_table *
ticket_new(uint64_t now_ms)
{
	struct ticket_table *t = shm_map("tickets", TICKET_VERSION, sizeof *t, false);

	if (!t)
		return NULL;
	if (atomic_load(&t->newest) == 0)
		t->rotated = now_ms;
	if (madvise(t, sizeof *t, MADV_DONTDUMP) < 0 ||
		(atomic_load(&t->newest) == 0 && !make_key(t))) {
		int saved = errno;

		shm_unmap(t);
		errno = saved;
		return NULL;
	}
	return t;
}

void
ticket_free(struct ticket_table *t)
{
	shm_unmap(t);
}

bool
ticket_tick(struct ticket_table *t, uint64_t now_ms)
{
	uint64_t last = atomic_load(&t->rotated);

	if (now_ms < last + TICKET_ROTATE_MS ||
		!atomic_compare_exchange_strong(&t->rotated, &last, now_ms))
		return true;
	return make_key(t);
}

/* Key `n`, whole. */
static bool
read_key(struct ticket_table *t, uint64_t n, struct ticket_key *out)
{
	struct place *p = &t->places[n % PLACES];
	uint64_t words[WORDS];

	if (n == 0 || atomic_load(&p->number) != n)
		return false;
	for (unsigned i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&p->words[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&p->number, memory_order_relaxed) != n)
		return false;
	memcpy(out, words, sizeof *out);
	secret_wipe(words, sizeof words);
	return true;
}

bool
ticket_newest(struct ticket_table *t, struct ticket_key *out)
{
	return read_key(t, atomic_load(&t->newest), out);
}

bool
ticket_find(struct ticket_table *t, const uint8_t name[16], struct ticket_key *out, bool *newest)
{
	uint64_t n = atomic_load(&t->newest);

	for (uint64_t back = 0; back < TICKET_KEYS && back < n; back++) {
		if (read_key(t, n - back, out) && memcmp(out->name, name, sizeof out->name) == 0) {
			*newest = back == 0;
			return true;
		}
	}
	return false;
}

/* Which table a context has its keys from. */
static int
table_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return index;
}

static bool
set_up(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
	int encrypt)
{
	unsigned char mac_key[sizeof key->mac];
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof mac_key),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	bool good;

	memcpy(mac_key, key->mac, sizeof mac_key);
	good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1 &&
		EVP_MAC_CTX_set_params(mac, params) == 1;
	secret_wipe(mac_key, sizeof mac_key);
	return good;
}

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb(3) asks for. */
static int
on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int encrypt)
{
	struct ticket_table *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), table_index());
	struct ticket_key key;
	bool newest = true;
	int result;

	if (encrypt ? !ticket_newest(t, &key) : !ticket_find(t, name, &key, &newest))
		return 0;
	if (encrypt) {
		memcpy(name, key.name, sizeof key.name);
		if (getrandom(iv, EVP_MAX_IV_LENGTH, 0) != EVP_MAX_IV_LENGTH)
			return 0;
	}
	result = !set_up(&key, iv, cipher, mac, encrypt) ? -1 : newest ? 1 : 2;
	secret_wipe(&key, sizeof key);
	return result;
}

int
ticket_use(struct ticket_table *t, struct ssl_ctx_st *ssl)
{
	if (SSL_CTX_set_ex_data(ssl, table_index(), t) != 1)
		return -1;
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
	return 0;
}
