/*
 * A client's connection under any bytes in any pieces, with the echo provider behind it. What comes
 * back must be whole HTTP replies, one after the other; afterwards all gauges are zero and all
 * memory is back, also when memory fails on the way.
 *
 * The input: a byte that seeds the sizes of the pieces, and with its top bit asks for a client key;
 * one that says at which allocation memory begins to fail (0: never), then what the client sends.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/proxy/house.h"
#include "http/body.h"

#define QUIET_TURNS 40
#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

static struct house house;
static char replies[16 << 20]; /* not of the memory that is made to fail */
static size_t replies_len;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
receive(int fd)
{
	ssize_t n = recv(fd, replies + replies_len, sizeof replies - replies_len, MSG_DONTWAIT);

	if (n > 0)
		replies_len += (size_t)n;
	return n > 0;
}

/* Turn until nothing more comes back. */
static void
settle(int fd, int turns)
{
	for (int quiet = 0; quiet < turns; quiet++) {
		house_turn(&house, 0);
		if (receive(fd))
			quiet = 0;
	}
}

static void
send_all(int fd, const uint8_t *data, size_t size, uint32_t seed)
{
	size_t at = 0;

	while (at < size) {
		size_t len;
		ssize_t n;

		seed = seed * 1664525 + 1013904223;
		len = seed >> 31 ? 1 + (seed >> 16) % 7 : 1 + (seed >> 12) % 4096;
		if (len > size - at)
			len = size - at;
		n = send(fd, data + at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return; /* it was closed */
		at += (size_t)n;
		settle(fd, 2);
	}
}

/* The length of the reply at the front, which must be whole. */
static size_t
reply_len(struct str in)
{
	struct field fields[64];
	struct head h = { .fields = fields, .cap = 64 };
	struct head_framing f;
	enum head_fault fault;
	struct body body;
	size_t scanned = 0, at;
	long len = head_end(in, 65536, &scanned, &fault);

	CHECK(len > 0);
	CHECK(head_parse_reply(&h, str_head(in, (size_t)len), &fault) == 0);
	CHECK(head_framing_reply(&h, STR("POST"), &f, &fault) == 0);
	CHECK(f.kind != FRAMING_CLOSE || h.minor == 1);
	body_init(&body, f.kind, f.length);
	for (at = (size_t)len; !body.done && at < in.len;) {
		struct str piece;
		long n = body_next(&body, str_skip(in, at), &piece);

		CHECK(n > 0);
		at += (size_t)n;
	}
	CHECK(body.done || f.kind == FRAMING_CLOSE);
	return at;
}

static void
check_replies(void)
{
	struct str in = { replies, replies_len };

	while (in.len > 0)
		in = str_skip(in, reply_len(in));
}

/* Who shows this key may use the model of the echo provider. */
static void
ask_for_keys(bool keys)
{
	static struct str model = STR_INIT("echo");
	static struct conf_client client = { .name = STR_INIT("alice"),
		.models = &model,
		.n_models = 1,
		.rate = { 1000000, 100000 } };

	secret_hash(STR("a-key-of-19-letters"), client.hash);
	house.conf.clients = &client;
	house.conf.n_clients = keys;
}

/* Whether a reply to HEAD has a body is known to who asked only. */
static bool
may_ask_head(const uint8_t *data, size_t size)
{
	return memmem(data, size, "HEAD", 4) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const union sock_address peer = { .v4 = { .sin_family = AF_INET } };
	static size_t start;
	int pair[2];

	if (!house.board)
		house_open(&house, 1);
	if (size < 2)
		return 0;
	ask_for_keys(data[0] & 0x80);
	house_tidy(&house);
	start = mem_used();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	client_accept(&house.clients, pair[0], &peer, &plain_listen);
	mem_fail_after(data[1]);
	send_all(pair[1], data + 2, size - 2, data[0]);
	mem_fail_after(0);
	settle(pair[1], QUIET_TURNS);
	if (data[1] == 0 && !may_ask_head(data + 2, size - 2))
		check_replies();
	close(pair[1]);
	settle(pair[1], 8);
	CHECK(house.clients.n == 0);
	CHECK(ROW_GET(house.proxy.row->clients) == 0);
	CHECK(ROW_GET(house.proxy.row->clients_active) == 0);
	replies_len = 0;
	house_tidy(&house);
	CHECK(mem_used() == start);
	return 0;
}
