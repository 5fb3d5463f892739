/*
 * tls_roots: the CA certificates of the system.
 *
 * There are about 140 of them, most of them twice: in one large file, and each in a file of its own
 * in a directory. OpenSSL takes half a millisecond and 6 KB for each that it parses, and a daemon
 * needs one or two in its life. Its own remedy, to look in the directory when a certificate is
 * needed, is none here: that is in a worker, which may open no file.
 *
 *	master, at the start         PEM ──base64──> DER, hash of its subject: into read-only pages
 *	worker, at a handshake       an issuer's name ──hash──> d2i_X509 ──> the store, for good
 *
 * A store asks its lookups only for subjects that it does not hold, so all certificates of one
 * subject go into it together, in the order in which they were read: of two that are the same but
 * for what they may be trusted for, the first counts, as in OpenSSL's own store. The hash is that
 *of the canonical name, as in the names of the files (X509_NAME_hash); should two names share it,
 *OpenSSL compares the names themselves.
 */
#include "net/tls_roots.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define READ_SIZE 65536
#define BEGIN STR("-----BEGIN ")
#define END STR("-----END ")

struct root {
	struct root *next;
	unsigned long hash; /* of its subject */
	size_t len;
	bool trusted; /* what it may be trusted for stands behind it */
	uint8_t der[];
};

struct roots {
	struct arena arena;
	struct root *all, **end; /* in the order of the files; where the next one goes */
	struct buf text, der;    /* while files are read */
};

static X509_LOOKUP_METHOD *method;

/*
 * What is kept
 */

/* Past one element of DER, or only past its head. False when there is none. */
static bool
element(const uint8_t **at, const uint8_t *end, bool into)
{
	const uint8_t *inner = *at;
	int tag, class;
	long len;

	if (inner >= end || ASN1_get_object(&inner, &len, &tag, &class, end - inner) & 0x80)
		return false;
	*at = into ? inner : inner + len;
	return true;
}

/* The subject of a certificate (RFC 5280 4.1); NULL when it is none. */
static X509_NAME *
subject_of(const uint8_t *at, const uint8_t *end)
{
	if (!element(&at, end, true) || !element(&at, end, true))
		return NULL;
	if (at < end && *at == (V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED)) /* version */
		element(&at, end, false);
	for (int i = 0; i < 4; i++) /* number, algorithm, issuer, validity */
		if (!element(&at, end, false))
			return NULL;
	return d2i_X509_NAME(NULL, &at, end - at);
}

static bool
is_known(const struct roots *roots, struct str der, bool trusted)
{
	for (const struct root *r = roots->all; r; r = r->next)
		if (r->len == der.len && r->trusted == trusted &&
			memcmp(r->der, der.p, der.len) == 0)
			return true;
	return false;
}

static void
keep(struct roots *roots, struct str der, bool trusted)
{
	const uint8_t *at = (const uint8_t *)der.p;
	X509_NAME *subject;
	struct root *r;

	if (is_known(roots, der, trusted) || !(subject = subject_of(at, at + der.len)))
		return;
	r = arena_alloc(&roots->arena, sizeof *r + der.len);
	if (r) {
		*r = (struct root){ .hash = X509_NAME_hash_ex(subject, NULL, NULL, NULL),
			.len = der.len,
			.trusted = trusted };
		memcpy(r->der, der.p, der.len);
		*roots->end = r;
		roots->end = &r->next;
	}
	X509_NAME_free(subject);
}

/*
 * Files
 */

/* base64 with its line ends. */
static void
decode(struct roots *roots, struct str text, bool trusted)
{
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	char *room = buf_room(&roots->der, text.len);
	unsigned char *out = (unsigned char *)room;
	int len = 0, rest = 0;

	if (ctx && out && text.len < INT_MAX) {
		EVP_DecodeInit(ctx);
		if (EVP_DecodeUpdate(ctx, out, &len, (const unsigned char *)text.p,
			    (int)text.len) >= 0 &&
			EVP_DecodeFinal(ctx, out + len, &rest) == 1)
			keep(roots, (struct str){ room, (size_t)(len + rest) }, trusted);
	}
	EVP_ENCODE_CTX_free(ctx);
}

/* Offset of the first line that begins with `start`, or text.len. */
static size_t
line_with(struct str text, struct str start)
{
	struct str rest = text;

	while (rest.len > 0 && !str_starts(rest, start))
		rest = str_skip(rest, str_index(rest, '\n') + 1);
	return text.len - rest.len;
}

/* "-----BEGIN CERTIFICATE-----" and on, as often as it is there. */
static void
read_text(struct roots *roots, struct str text)
{
	while (text.len > 0) {
		struct str kind, block;

		text = str_skip(text, line_with(text, BEGIN));
		text = str_skip(text, text.len > 0 ? BEGIN.len : 0);
		kind = str_head(text, str_index(text, '-'));
		text = str_skip(text, str_index(text, '\n') + 1);
		block = str_head(text, line_with(text, END));
		text = str_skip(text, block.len);
		if (str_eq(kind, STR("CERTIFICATE")) || str_eq(kind, STR("X509 CERTIFICATE")))
			decode(roots, block, false);
		else if (str_eq(kind, STR("TRUSTED CERTIFICATE")))
			decode(roots, block, true);
	}
}

static void
read_file(struct roots *roots, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *room;
	ssize_t n = 1;

	buf_consume(&roots->text, buf_len(&roots->text));
	while (fd >= 0 && n > 0 && (room = buf_room(&roots->text, READ_SIZE))) {
		n = read(fd, room, READ_SIZE);
		buf_added(&roots->text, n > 0 ? (size_t)n : 0);
	}
	if (fd >= 0)
		close(fd);
	read_text(roots, buf_str(&roots->text));
}

/* "5ad8a5d6.0" */
static bool
is_hashed(const char *name)
{
	size_t hash = strspn(name, "0123456789abcdef"), number;

	if (hash != 8 || name[hash] != '.')
		return false;
	number = strspn(name + hash + 1, "0123456789");
	return number > 0 && name[hash + 1 + number] == '\0';
}

static void
read_directory(struct roots *roots, struct str path)
{
	char name[PATH_MAX];
	const struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof name, "%.*s", STR_ARG(path));
	dir = opendir(name);
	while (dir && (entry = readdir(dir))) {
		snprintf(name, sizeof name, "%.*s/%s", STR_ARG(path), entry->d_name);
		if (is_hashed(entry->d_name))
			read_file(roots, name);
	}
	if (dir)
		closedir(dir);
}

/*
 * As a lookup of a store
 */

static int
lookup(X509_LOOKUP *l, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *found)
{
	const struct roots *roots = X509_LOOKUP_get_method_data(l);
	unsigned long hash = X509_NAME_hash_ex(name, NULL, NULL, NULL);
	int result = 0;

	for (const struct root *r = roots->all; r && type == X509_LU_X509; r = r->next) {
		const unsigned char *at = r->der;
		X509 *x;

		if (r->hash != hash)
			continue;
		x = r->trusted ? d2i_X509_AUX(NULL, &at, (long)r->len)
			       : d2i_X509(NULL, &at, (long)r->len);
		if (x && X509_NAME_cmp(X509_get_subject_name(x), name) == 0 &&
			X509_STORE_add_cert(X509_LOOKUP_get_store(l), x) == 1 && result == 0 &&
			X509_OBJECT_set1_X509(found, x) == 1) {
			X509_free(
				x); /* only the store's reference counts, X509_LOOKUP_meth_new(3) */
			result = 1;
		}
		X509_free(x);
	}
	return result;
}

static void
forget(X509_LOOKUP *l)
{
	struct roots *roots = X509_LOOKUP_get_method_data(l);

	if (!roots)
		return;
	arena_free(&roots->arena);
	free(roots);
}

static X509_LOOKUP *
lookup_new(X509_STORE *store)
{
	if (!method) {
		method = X509_LOOKUP_meth_new("certificates that were read before");
		if (!method)
			return NULL;
		X509_LOOKUP_meth_set_get_by_subject(method, lookup);
		X509_LOOKUP_meth_set_free(method, forget);
	}
	return X509_STORE_add_lookup(store, method);
}

X509_STORE *
tls_roots_new(const char *file, const char *dirs)
{
	X509_STORE *store = X509_STORE_new();
	X509_LOOKUP *l = store ? lookup_new(store) : NULL;
	struct roots *roots = l ? calloc(1, sizeof *roots) : NULL;
	struct str left = str_of(dirs);
	bool failed;

	if (!roots) {
		X509_STORE_free(store);
		return NULL;
	}
	X509_LOOKUP_set_method_data(l, roots);
	arena_init_pages(&roots->arena);
	roots->end = &roots->all;
	read_file(roots, file);
	while (left.len > 0) {
		size_t len = str_index(left, ':');

		read_directory(roots, str_head(left, len));
		left = str_skip(left, len + 1);
	}
	failed = roots->text.failed || roots->der.failed || roots->arena.failed;
	buf_free(&roots->text);
	buf_free(&roots->der);
	arena_seal(&roots->arena);
	if (!failed)
		return store;
	X509_STORE_free(store);
	return NULL;
}
