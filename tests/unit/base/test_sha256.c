/* Digests of FIPS 180-4's own examples, and of lengths about those where a block ends. */
#include "base/sha256.h"

#include <openssl/evp.h>
#include <string.h>

#include "unit.h"

static void
is(struct str bytes, const char *hex)
{
	uint8_t digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE + 1];

	sha256(bytes, digest);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	ck_assert_str_eq(text, hex);
}

START_TEST(test_examples)
{
	is(STR(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	is(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	is(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
END_TEST

/* As the other way to the same library tells it. */
START_TEST(test_lengths)
{
	char bytes[300];

	memset(bytes, 'x', sizeof bytes);
	for (size_t len = 0; len <= sizeof bytes; len++) {
		uint8_t one[SHA256_SIZE], two[SHA256_SIZE];

		sha256((struct str){ bytes, len }, one);
		ck_assert_int_eq(EVP_Digest(bytes, len, two, NULL, EVP_sha256(), NULL), 1);
		ck_assert_mem_eq(one, two, sizeof one);
	}
}
END_TEST

UNIT_MAIN("base/sha256", test_examples, test_lengths)
