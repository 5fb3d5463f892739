/*
 * TLS contexts: files that are missing or do not fit are told by name; and what a connection of
 * such a context accepts: the names and addresses of the certificate, an authority that is trusted,
 * and sessions that are resumed.
 */
#include "net/tls.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "net/tls_private.h"
#include "tls_peer.h"

static struct tls_peer peer;

static struct tls_context *
context_for(bool verify, const char *ca_file)
{
	struct tls_settings s = { .verify = verify, .ca_file = str_of(ca_file) };
	char err[200] = "";
	struct tls_context *c = tls_client_new(&s, err, sizeof err);

	ck_assert_msg(c != NULL, "%s", err);
	return c;
}

/* Both sides of a handshake, each when the other has said something. 0 or -1; why in err. */
static int
shake(SSL *client, SSL *server, char *err, size_t size)
{
	int one = 0, two = 0;

	for (int i = 0; i < 20 && (one != 1 || two != 1); i++) {
		ERR_clear_error();
		one = SSL_do_handshake(client);
		if (one != 1 && SSL_get_error(client, one) != SSL_ERROR_WANT_READ) {
			tls_error_text(client, err, size);
			return -1;
		}
		ERR_clear_error();
		two = SSL_do_handshake(server);
	}
	return one == 1 && two == 1 ? 0 : -1;
}

/* One connection: 0 when it came about, and whether it was resumed. */
static int
try_name(struct tls_context *c, const char *name, bool *resumed, char *err, size_t size)
{
	int pair[2], result;
	SSL *client, *server;
	char byte[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	client = tls_client_ssl(c, str_of(name));
	ck_assert_ptr_nonnull(client);
	ck_assert_int_eq(SSL_set_fd(client, pair[0]), 1);
	server = tls_peer_accept(&peer, pair[1]);
	result = shake(client, server, err, size);
	if (resumed)
		*resumed = SSL_session_reused(client) == 1;
	if (result == 0) { /* the session tickets come with the first bytes */
		ck_assert_int_eq(SSL_write(server, "x", 1), 1);
		ck_assert_int_eq(SSL_read(client, byte, 2), 1);
		SSL_shutdown(client);
	}
	SSL_free(client);
	SSL_free(server);
	close(pair[0]);
	close(pair[1]);
	return result;
}

START_TEST(test_names)
{
	static const struct {
		const char *name;
		int result;
	} cases[] = {
		{ "a.test", 0 }, { "A.TEST", 0 }, { "x.wild.test", 0 }, { "b.test", -1 },
		{ "x.y.wild.test", -1 }, { "127.0.0.1", 0 }, { "127.0.0.2", -1 }, { "::1", 0 },
		{ "peer", -1 }, /* the subject's name does not count where others stand */
	};
	struct tls_context *c;

	tls_peer_open(&peer, "DNS:a.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1");
	c = context_for(true, peer.ca_file);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tls_context *fresh = context_for(true, peer.ca_file);
		char err[200] = "";

		ck_assert_msg(try_name(fresh, cases[i].name, NULL, err, sizeof err) ==
				cases[i].result,
			"%s: %s", cases[i].name, err);
		if (cases[i].result < 0)
			ck_assert_msg(strstr(err, "certificate refused: ") == err, "%s", err);
		tls_context_free(fresh);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

START_TEST(test_trust)
{
	struct tls_context *c;
	struct tls_peer other;
	char err[200] = "";

	tls_peer_open(&peer, "DNS:a.test");
	tls_peer_open(&other, "DNS:a.test");
	c = context_for(true, other.ca_file);
	ck_assert_int_eq(try_name(c, "a.test", NULL, err, sizeof err), -1);
	ck_assert_msg(strstr(err, "certificate refused: self") == err, "%s", err);
	tls_context_free(c);
	c = context_for(true, ""); /* the system's authorities do not know it either */
	ck_assert_int_eq(try_name(c, "a.test", NULL, err, sizeof err), -1);
	tls_context_free(c);
	c = context_for(false, "");
	ck_assert_int_eq(try_name(c, "b.test", NULL, err, sizeof err), 0);
	tls_context_free(c);
	tls_peer_close(&peer);
	tls_peer_close(&other);
}
END_TEST

START_TEST(test_resumption)
{
	struct tls_context *c;
	char err[200] = "";
	bool resumed = true;

	tls_peer_open(&peer, "DNS:a.test");
	c = context_for(true, peer.ca_file);
	ck_assert_int_eq(try_name(c, "a.test", &resumed, err, sizeof err), 0);
	ck_assert(!resumed);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(try_name(c, "a.test", &resumed, err, sizeof err), 0);
		ck_assert(resumed);
	}
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

START_TEST(test_old_versions_are_refused)
{
	struct tls_context *c;
	char err[200] = "";

	tls_peer_open(&peer, "DNS:a.test");
	SSL_CTX_set_security_level(peer.context, 0);
	SSL_CTX_set_min_proto_version(peer.context, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(peer.context, TLS1_1_VERSION);
	c = context_for(true, peer.ca_file);
	ck_assert_int_eq(try_name(c, "a.test", NULL, err, sizeof err), -1);
	SSL_CTX_set_max_proto_version(peer.context, TLS1_2_VERSION);
	ck_assert_int_eq(try_name(c, "a.test", NULL, err, sizeof err), 0);
	tls_context_free(c);
	tls_peer_close(&peer);
}
END_TEST

START_TEST(test_files)
{
	struct tls_peer other;
	char err[300];
	struct tls_context *c;

	tls_peer_open(&peer, "DNS:a.test");
	tls_peer_open(&other, "DNS:a.test");
	const struct {
		const char *ca, *certificate, *key, *says;
	} cases[] = {
		{ peer.ca_file, peer.certificate_file, "", NULL },
		{ peer.ca_file, peer.certificate_file, peer.certificate_file, NULL },
		{ "/nowhere/ca.pem", "", "", "cannot load the CA file /nowhere/ca.pem: " },
		{ "/dev/null", "", "", "cannot load the CA file /dev/null: " },
		{ peer.ca_file, "/nowhere/c.pem", "",
			"cannot load the certificate /nowhere/c.pem: " },
		{ peer.ca_file, peer.ca_file, "", "cannot use the key /tmp/" },
		{ peer.ca_file, peer.ca_file, "/nowhere/k", "cannot use the key /nowhere/k: " },
		{ peer.ca_file, peer.certificate_file, other.certificate_file,
			"cannot use the key /tmp/" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct tls_settings s = { .verify = true,
			.ca_file = str_of(cases[i].ca),
			.certificate_file = str_of(cases[i].certificate),
			.key_file = str_of(cases[i].key) };

		err[0] = '\0';
		c = tls_client_new(&s, err, sizeof err);
		ck_assert_msg((c == NULL) == (cases[i].says != NULL), "%zu: %s", i, err);
		if (cases[i].says)
			ck_assert_msg(strstr(err, cases[i].says) == err, "%s", err);
		tls_context_free(c);
	}
	tls_context_free(NULL);
	tls_peer_close(&peer);
	tls_peer_close(&other);
}
END_TEST

/* The store of the system's authorities is shared and outlives the context that loaded it. */
START_TEST(test_shared_store)
{
	struct tls_context *a = context_for(true, ""), *b = context_for(true, "");

	ck_assert_ptr_eq(SSL_CTX_get_cert_store(a->ssl), SSL_CTX_get_cert_store(b->ssl));
	tls_context_free(a);
	a = context_for(true, "");
	ck_assert_ptr_eq(SSL_CTX_get_cert_store(a->ssl), SSL_CTX_get_cert_store(b->ssl));
	tls_context_free(b);
	tls_context_free(a);
}
END_TEST

/* Certificates of the system's directory are all read when the context is made: where they are used
 * no file may be opened any more. */
START_TEST(test_system_directory)
{
	char dir[] = "/tmp/tls-dir-XXXXXX", name[64], err[200] = "";
	struct tls_context *c;

	tls_peer_open(&peer, "DNS:a.test");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(name, sizeof name, "%s/0123abcd.1", dir);
	ck_assert_int_eq(symlink(peer.ca_file, name), 0);
	setenv("SSL_CERT_FILE", "/nonexistent", 1);
	setenv("SSL_CERT_DIR", "/nonexistent", 1);
	c = context_for(true, "");
	ck_assert_int_eq(try_name(c, "a.test", NULL, err, sizeof err), -1);
	tls_context_free(c);
	snprintf(err, sizeof err, "/nonexistent:%s", dir);
	setenv("SSL_CERT_DIR", err, 1);
	c = context_for(true, "");
	unlink(name);
	rmdir(dir);
	ck_assert_msg(try_name(c, "a.test", NULL, err, sizeof err) == 0, "%s", err);
	tls_context_free(c);
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
	tls_peer_close(&peer);
}
END_TEST

UNIT_MAIN("net/tls", test_names, test_trust, test_resumption, test_old_versions_are_refused,
	test_files, test_shared_store, test_system_directory)
