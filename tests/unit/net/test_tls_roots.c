/*
 * The system's CA certificates: found by the names of those that they have signed, wherever they
 * stood and after the files are gone; parsed only then.
 */
#include "net/tls_roots.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit.h"

static char dir[32];
static EVP_PKEY *keys[2];

static void
name_it(X509_NAME *name, const char *cn, int encoding)
{
	X509_NAME_add_entry_by_txt(name, "CN", encoding, (const unsigned char *)cn, -1, -1, 0);
}

static void
extend(X509 *c, int what, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, c, c, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
	ck_assert_int_eq(X509_add_ext(c, e, -1), 1);
	X509_EXTENSION_free(e);
}

/* A certificate for `subject`, signed with `key` by `issuer` in that encoding. */
static X509 *
certificate(const char *subject, const char *issuer, int encoding, EVP_PKEY *key)
{
	X509 *c = X509_new();
	bool is_ca = strcmp(subject, issuer) == 0;

	X509_set_version(c, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c), 86400);
	name_it(X509_get_subject_name(c), subject, MBSTRING_ASC);
	name_it(X509_get_issuer_name(c), issuer, encoding);
	X509_set_pubkey(c, key);
	extend(c, NID_basic_constraints, is_ca ? "CA:TRUE" : "CA:FALSE");
	extend(c, NID_subject_key_identifier, "hash");
	if (!is_ca) /* the same key: whose it is need not be asked */
		extend(c, NID_authority_key_identifier, "keyid:always");
	ck_assert_int_gt(X509_sign(c, key, EVP_sha256()), 0);
	return c;
}

static const char *
path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* Append to a file: `before`, and the certificate that signs itself as `cn`. */
static void
put(const char *file, const char *before, const char *cn, EVP_PKEY *key)
{
	X509 *c = certificate(cn, cn, MBSTRING_ASC, key);
	FILE *f = fopen(path_of(file), "a");

	ck_assert_ptr_nonnull(f);
	fputs(before, f);
	ck_assert_int_eq(PEM_write_X509(f, c), 1);
	fclose(f);
	X509_free(c);
}

/* What X509_verify_cert says of one that `issuer` has signed. */
static int
verify(X509_STORE *store, const char *issuer, int encoding, EVP_PKEY *key)
{
	X509 *leaf = certificate("leaf", issuer, encoding, key);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int result;

	ck_assert_int_eq(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
	X509_verify_cert(ctx);
	result = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_free(leaf);
	return result;
}

static int
parsed(X509_STORE *store)
{
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
}

static void
setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/tls-roots-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (int i = 0; i < 2; i++)
		keys[i] = EVP_EC_gen("P-256");
}

static void
teardown(const char *const *files)
{
	for (; *files; files++)
		unlink(path_of(*files));
	ck_assert_int_eq(rmdir(dir), 0);
	for (int i = 0; i < 2; i++)
		EVP_PKEY_free(keys[i]);
}
#define TEARDOWN(...) teardown((const char *const[]){ __VA_ARGS__, NULL })

START_TEST(test_file)
{
	X509_STORE *store;

	setup();
	put("all", "words before it\n", "One", keys[0]);
	put("all",
		"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
		"-----BEGIN CERTIFICATE-----\nMAUCAwECAw==\n-----END CERTIFICATE-----\n"
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
		"-----BEGIN SOMETHING ELSE-----\nMAA=\n-----END SOMETHING ELSE-----\n",
		"Two", keys[1]);
	put("all", "# left out: ", "Commented", keys[0]);
	put("all", "-----BEGIN ", "Cut off", keys[0]);
	store = tls_roots_new(path_of("all"), "");
	unlink(path_of("all"));
	ck_assert_int_eq(parsed(store), 0);
	ck_assert_int_eq(verify(store, "Two", MBSTRING_ASC, keys[1]), X509_V_OK);
	ck_assert_int_eq(parsed(store), 1);
	ck_assert_int_eq(verify(store, "Two", MBSTRING_ASC, keys[1]), X509_V_OK);
	ck_assert_int_eq(verify(store, "One", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_eq(parsed(store), 2);
	ck_assert_int_ne(verify(store, "One", MBSTRING_ASC, keys[1]), X509_V_OK);
	ck_assert_int_eq(verify(store, "Three", MBSTRING_ASC, keys[0]),
		X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	ck_assert_int_ne(verify(store, "Commented", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_eq(parsed(store), 2);
	X509_STORE_free(store);
	TEARDOWN("all");
}
END_TEST

START_TEST(test_directory)
{
	char dirs[64];
	X509_STORE *store;

	setup();
	put("all", "", "One", keys[0]);
	snprintf(dirs, sizeof dirs, "%s/all", dir);
	ck_assert_int_eq(link(dirs, path_of("0123abcd.0")), 0);
	put("89abcdef.12", "", "Two", keys[0]);
	put("89abcdef", "", "Three", keys[0]);
	put("89abcdef.x", "", "Four", keys[0]);
	snprintf(dirs, sizeof dirs, "/nonexistent:%s", dir);
	store = tls_roots_new(path_of("all"), dirs);
	ck_assert_int_eq(verify(store, "One", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_eq(verify(store, "Two", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_ne(verify(store, "Three", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_ne(verify(store, "Four", MBSTRING_ASC, keys[0]), X509_V_OK);
	ck_assert_int_eq(parsed(store), 2);
	X509_STORE_free(store);
	TEARDOWN("all", "0123abcd.0", "89abcdef.12", "89abcdef", "89abcdef.x");
}
END_TEST

/* An authority that has changed its key, and both certificates are there. */
START_TEST(test_one_name_twice)
{
	X509_STORE *store;

	setup();
	put("all", "", "One", keys[0]);
	put("all", "", "One", keys[1]);
	store = tls_roots_new(path_of("all"), "");
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(verify(store, "One", MBSTRING_ASC, keys[i]), X509_V_OK);
	ck_assert_int_eq(parsed(store), 2);
	X509_STORE_free(store);
	TEARDOWN("all");
}
END_TEST

/* Names are the same whatever their case, their spaces and the type of their text (RFC 5280 7.1).
 */
START_TEST(test_names)
{
	X509_STORE *store;

	setup();
	put("all", "", "One  Root", keys[0]);
	store = tls_roots_new(path_of("all"), "");
	ck_assert_int_eq(verify(store, "one ROOT", V_ASN1_PRINTABLESTRING, keys[0]), X509_V_OK);
	X509_STORE_free(store);
	TEARDOWN("all");
}
END_TEST

/* The kind of file that says what a certificate may be trusted for: not for servers, here. With it
 * stands the same certificate as such, and the first of the two counts. */
START_TEST(test_trusted)
{
	setup();
	for (int first = 0; first < 2; first++) {
		X509 *c = certificate("One", "One", MBSTRING_ASC, keys[0]);
		FILE *f = fopen(path_of("all"), "w");
		X509_STORE *store;

		if (first == 1)
			ck_assert_int_eq(PEM_write_X509(f, c), 1);
		X509_add1_reject_object(c, OBJ_nid2obj(NID_server_auth));
		ck_assert_int_eq(PEM_write_X509_AUX(f, c), 1);
		if (first == 0)
			ck_assert_int_eq(PEM_write_X509(f, c), 1);
		fclose(f);
		X509_free(c);
		store = tls_roots_new(path_of("all"), "");
		ck_assert_int_eq(verify(store, "One", MBSTRING_ASC, keys[0]),
			first == 1 ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
		X509_STORE_free(store);
	}
	TEARDOWN("all");
}
END_TEST

START_TEST(test_nothing)
{
	X509_STORE *store = tls_roots_new("/nonexistent", "/nonexistent");

	setup();
	ck_assert_int_ne(verify(store, "One", MBSTRING_ASC, keys[0]), X509_V_OK);
	X509_STORE_free(store);
	put("all", "", "One", keys[0]);
	mem_fail_after(1);
	ck_assert_ptr_null(tls_roots_new(path_of("all"), ""));
	mem_fail_after(0);
	TEARDOWN("all");
}
END_TEST

UNIT_MAIN("net/tls_roots", test_file, test_directory, test_one_name_twice, test_names, test_trusted,
	test_nothing)
