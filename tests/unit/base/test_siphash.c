/*
 * The hash with a key, against the vectors of its authors and OpenSSL's for every length that
 * matters.
 */
#include "base/siphash.h"

#include <endian.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "unit.h"

/* The key of the vectors: 00 01 02 ... 0f. */
static const struct siphash_key vector_key = { { UINT64_C(0x0706050403020100),
	UINT64_C(0x0f0e0d0c0b0a0908) } };

static void
bytes_of(struct siphash hash, unsigned char out[16])
{
	for (int i = 0; i < 2; i++) {
		uint64_t word = htole64(hash.h[i]);
		memcpy(out + i * 8, &word, sizeof word);
	}
}

START_TEST(test_vectors)
{
	static const unsigned char wanted[][16] = {
		{ 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7,
			0x55, 0x02, 0x93 },
		{ 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b,
			0x22, 0xfc, 0x45 },
		{ 0x81, 0x77, 0x22, 0x8d, 0xa4, 0xa4, 0x5d, 0xc7, 0xfc, 0xa3, 0x8b, 0xde, 0xf6,
			0x0a, 0xff, 0xe4 },
	};
	unsigned char got[16];

	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		bytes_of(siphash(&vector_key, (struct str){ "\0\1\2", i }), got);
		ck_assert_mem_eq(got, wanted[i], sizeof got);
	}
}
END_TEST

START_TEST(test_as_openssl)
{
	unsigned char key[16], text[300], wanted[16], got[16];
	size_t len, size = sizeof wanted;
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t("size", &size),
		OSSL_PARAM_construct_end() };

	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (unsigned char)(i * 151 + 7);
	for (size_t n = 0; n <= sizeof text; n++) {
		ck_assert_int_eq(EVP_MAC_CTX_set_params(ctx, params), 1);
		ck_assert_int_eq(EVP_MAC_init(ctx, key, sizeof key, params), 1);
		ck_assert_int_eq(EVP_MAC_update(ctx, text, n), 1);
		ck_assert_int_eq(EVP_MAC_final(ctx, wanted, &len, sizeof wanted), 1);
		bytes_of(siphash(&vector_key, (struct str){ (const char *)text, n }), got);
		ck_assert_mem_eq(got, wanted, sizeof got);
	}
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}
END_TEST

START_TEST(test_key_matters)
{
	struct siphash_key other = { { vector_key.k[0], vector_key.k[1] ^ 1 } };
	struct siphash a = siphash(&vector_key, STR("sk-client"));
	struct siphash b = siphash(&other, STR("sk-client"));

	ck_assert(a.h[0] != b.h[0] && a.h[1] != b.h[1]);
}
END_TEST

UNIT_MAIN("base/siphash", test_vectors, test_as_openssl, test_key_matters)
