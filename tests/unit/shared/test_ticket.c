/*
 * Keys of session tickets: when there is a new one and how long an old one is taken, seen from two
 * mappings of it by fork; readers while it is written; and OpenSSL's tickets made with them.
 */
#include "shared/ticket.h"

#include <openssl/ssl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/tls_peer.h"

#define HOUR TICKET_ROTATE_MS

static struct ticket_table *table;

static void
open_table(void)
{
	table = ticket_new(1000);
	ck_assert_ptr_nonnull(table);
}

static void
close_table(void)
{
	ticket_free(table);
	table = NULL;
}

static bool
is_known(const struct ticket_key *k, bool *newest)
{
	struct ticket_key found;

	if (!ticket_find(table, k->name, &found, newest))
		return false;
	ck_assert_mem_eq(&found, k, sizeof *k);
	return true;
}

START_TEST(a_key_an_hour_and_three_of_them)
{
	struct ticket_key keys[6], now;
	bool newest;

	open_table();
	ck_assert(ticket_newest(table, &keys[0]));
	ck_assert(ticket_tick(table, 1000 + HOUR - 1));
	ck_assert(ticket_newest(table, &now));
	ck_assert_mem_eq(&now, &keys[0], sizeof now);
	for (unsigned i = 1; i < 6; i++) {
		ck_assert(ticket_tick(table, 1000 + i * (uint64_t)HOUR));
		ck_assert(ticket_newest(table, &keys[i]));
		for (unsigned k = 0; k <= i; k++) {
			ck_assert_int_eq(is_known(&keys[k], &newest), k + TICKET_KEYS > i);
			if (k + TICKET_KEYS > i)
				ck_assert_int_eq(newest, k == i);
			if (k < i) {
				ck_assert_mem_ne(keys[k].name, keys[i].name, 16);
				ck_assert_mem_ne(keys[k].cipher, keys[i].cipher, 32);
				ck_assert_mem_ne(keys[k].mac, keys[i].mac, 32);
			}
		}
	}
	ck_assert(!ticket_find(table, (const uint8_t[16]){ 0 }, &now, &newest));
	close_table();
}
END_TEST

/* Two masters, for a moment: one new key. */
START_TEST(one_of_two_makes_it)
{
	struct ticket_key first, second, found;
	bool newest;

	open_table();
	ck_assert(ticket_newest(table, &first));
	ck_assert(ticket_tick(table, 1000 + HOUR));
	ck_assert(ticket_newest(table, &second));
	ck_assert(ticket_tick(table, 1000 + HOUR + 5));
	ck_assert(ticket_newest(table, &found));
	ck_assert_mem_eq(&found, &second, sizeof found);
	ck_assert(is_known(&first, &newest) && !newest);
	close_table();
}
END_TEST

START_TEST(other_processes_see_it)
{
	struct ticket_key key;
	int to[2], from[2], status;
	bool newest;

	open_table();
	ck_assert(pipe(to) == 0 && pipe(from) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (read(to[0], &key, sizeof key) != (ssize_t)sizeof key ||
			!is_known(&key, &newest) || !newest)
			_exit(1);
		_exit(0);
	}
	ck_assert(ticket_tick(table, 1000 + HOUR));
	ck_assert(ticket_newest(table, &key));
	ck_assert_int_eq(write(to[1], &key, sizeof key), (ssize_t)sizeof key);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	close_table();
}
END_TEST

/* A reader at any moment has a whole key: that of its name, and the newest is one of those made. */
START_TEST(readers_while_it_is_written)
{
	struct ticket_key key, again;
	uint64_t now = 1000;
	bool newest;
	int status;

	open_table();
	pid_t pid = fork();
	if (pid == 0) {
		for (;;) {
			now += HOUR;
			ticket_tick(table, now);
		}
	}
	for (unsigned i = 0; i < 200000; i++) {
		if (!ticket_newest(table, &key))
			continue; /* many keys later: none rather than a half */
		if (ticket_find(table, key.name, &again, &newest))
			ck_assert_mem_eq(&key, &again, sizeof key);
	}
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	now = UINT64_MAX - 1; /* it died anywhere, and the next one goes on */
	ck_assert(ticket_tick(table, now));
	ck_assert(ticket_newest(table, &key));
	ck_assert(is_known(&key, &newest) && newest);
	close_table();
}
END_TEST

START_TEST(core_dumps_leave_it_out)
{
	char line[512], flags[512] = "";
	unsigned long at = (unsigned long)table, from, to;
	bool here = false;
	FILE *f;

	open_table();
	at = (unsigned long)table;
	f = fopen("/proc/self/smaps", "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= at && at < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			memcpy(flags, line, sizeof flags);
	}
	fclose(f);
	ck_assert_msg(strstr(flags, " dd") != NULL, "%s", flags);
	close_table();
}
END_TEST

static SSL_CTX *
server_with(const struct tls_peer *peer)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	ck_assert_int_eq(SSL_CTX_use_certificate_file(c, peer->certificate_file, SSL_FILETYPE_PEM),
		1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(c, peer->certificate_file, SSL_FILETYPE_PEM),
		1);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	ck_assert_int_eq(ticket_use(table, c), 0);
	return c;
}

/* One connection that offers *session, and has another one there at its end. Was it resumed? */
static bool
connect_once(SSL_CTX *client_context, SSL_CTX *server_context, SSL_SESSION **session)
{
	SSL *client = SSL_new(client_context), *server = SSL_new(server_context);
	int pair[2], one = 0, two = 0;
	bool resumed;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	SSL_set_fd(client, pair[0]);
	SSL_set_fd(server, pair[1]);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	if (*session)
		SSL_set_session(client, *session);
	SSL_SESSION_free(*session);
	for (int i = 0; i < 20 && (one != 1 || two != 1); i++) {
		one = SSL_do_handshake(client);
		two = SSL_do_handshake(server);
	}
	ck_assert(one == 1 && two == 1);
	ck_assert_int_eq(SSL_write(server, "x", 1), 1);
	ck_assert_int_eq(SSL_read(client, &byte, 1), 1);
	resumed = SSL_session_reused(client) == 1;
	*session = SSL_get1_session(client);
	SSL_shutdown(client);
	SSL_free(client);
	SSL_free(server);
	close(pair[0]);
	close(pair[1]);
	return resumed;
}

START_TEST(sessions_by_any_context)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_peer peer;

	tls_peer_open(&peer, "DNS:a.test");
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *client = SSL_CTX_new(TLS_client_method()), *one, *two;
		SSL_SESSION *session = NULL, *kept;

		open_table();
		one = server_with(&peer);
		two = server_with(&peer); /* another worker's, or of the next generation */
		SSL_CTX_set_max_proto_version(client, versions[i]);
		ck_assert(!connect_once(client, one, &session));
		ck_assert(connect_once(client, two, &session));
		/* two hours old, and renewed as it is used */
		ticket_tick(table, 1000 + 1 * (uint64_t)HOUR);
		ticket_tick(table, 1000 + 2 * (uint64_t)HOUR);
		kept = SSL_SESSION_dup(session);
		ck_assert(connect_once(client, one, &session));
		ticket_tick(table, 1000 + 3 * (uint64_t)HOUR);
		ck_assert(connect_once(client, two, &session));
		ck_assert(!connect_once(client, two, &kept)); /* its key is three hours old */
		SSL_SESSION_free(session);
		SSL_SESSION_free(kept);
		SSL_CTX_free(one);
		SSL_CTX_free(two);
		SSL_CTX_free(client);
		close_table();
	}
	tls_peer_close(&peer);
}
END_TEST

UNIT_MAIN("shared/ticket", a_key_an_hour_and_three_of_them, one_of_two_makes_it,
	other_processes_see_it, readers_while_it_is_written, core_dumps_leave_it_out,
	sessions_by_any_context)
