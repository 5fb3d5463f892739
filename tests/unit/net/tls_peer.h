/*
 * tls_peer: the other end of a TLS connection for unit tests: a certificate made on the spot and an
 * OpenSSL server on a socket of the test's own.
 */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

struct tls_peer {
	SSL_CTX *context;
	char ca_file[64];          /* the certificate, which signs itself */
	char certificate_file[64]; /* the same with its key behind it */
};

static inline void
write_pem(char path[64], X509 *certificate, EVP_PKEY *key)
{
	snprintf(path, 64, "/tmp/tls-peer-XXXXXX");
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(PEM_write_X509(f, certificate), 1);
	if (key)
		ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static inline X509 *
make_certificate(EVP_PKEY *key, const char *names)
{
	X509 *c = X509_new();
	X509_NAME *subject = X509_get_subject_name(c);
	X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	X509_set_version(c, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c), 86400);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"peer", -1,
		-1, 0);
	X509_set_issuer_name(c, subject);
	X509_set_pubkey(c, key);
	X509_add_ext(c, alt, -1);
	X509_EXTENSION_free(alt);
	ck_assert_int_gt(X509_sign(c, key, EVP_sha256()), 0);
	return c;
}

static inline int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
	unsigned in_len, void *ctx)
{
	(void)ssl;
	(void)ctx;
	ck_assert_uint_eq(in_len, 9); /* http/1.1 and nothing else is offered */
	ck_assert_mem_eq(in, "\x08http/1.1", 9);
	*out = in + 1;
	*len = 8;
	return SSL_TLSEXT_ERR_OK;
}

/* A server for the `names` ("DNS:a.test,IP:127.0.0.1"). */
static inline void
tls_peer_open(struct tls_peer *p, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = make_certificate(key, names);

	p->context = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(SSL_CTX_use_certificate(p->context, certificate), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(p->context, key), 1);
	SSL_CTX_set_alpn_select_cb(p->context, choose_protocol, NULL);
	SSL_CTX_set_mode(p->context,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	write_pem(p->ca_file, certificate, NULL);
	write_pem(p->certificate_file, certificate, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static inline void
tls_peer_close(struct tls_peer *p)
{
	unlink(p->ca_file);
	unlink(p->certificate_file);
	SSL_CTX_free(p->context);
}

/* The server's side of one connection over `fd`. */
static inline SSL *
tls_peer_accept(struct tls_peer *p, int fd)
{
	SSL *ssl = SSL_new(p->context);

	ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
	SSL_set_accept_state(ssl);
	return ssl;
}

#endif
