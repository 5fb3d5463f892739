/*
 * What a request asks for, read from its body as it comes: through struct request_ops of the test's
 * own, with the echo provider for bodies that are stored and a listener of the test's own for those
 * that stream. Keys that lie across pieces, the last byte that is held back, refusals on the way.
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

static struct house house;
static struct scripted {
	struct buf head, body;
	unsigned replies, ends;
	bool whole, wanted;
} client;
static struct request *request;
static int listener = -1, provider = -1;
static struct buf sent; /* what the provider received */

static void
on_reply(void *owner, struct str head, enum framing kind, uint64_t length)
{
	(void)owner;
	(void)kind;
	(void)length;
	client.replies++;
	buf_add(&client.head, head);
}

static void
on_data(void *owner, struct str piece)
{
	(void)owner;
	buf_add(&client.body, piece);
}

static void
on_flush(void *owner)
{
	(void)owner;
}

static void
on_end(void *owner, bool whole)
{
	(void)owner;
	client.ends++;
	client.whole = whole;
}

static void
on_body(void *owner, bool wanted)
{
	(void)owner;
	client.wanted = wanted;
}

static size_t
on_backlog(void *owner)
{
	(void)owner;
	return 0;
}

static const struct request_ops ops = { on_reply, on_data, on_flush, on_end, on_body, on_backlog };

static void
setup(void)
{
	union sock_address a;
	socklen_t len = sizeof a;

	ck_assert_int_eq(sock_parse(STR("127.0.0.1"), 0, &a), 0);
	listener = sock_listen(&a, false);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(getsockname(listener, &a.any, &len), 0);
	house_open(&house, sock_port(&a));
}

static void
begin(uint64_t length)
{
	char head[200];
	struct request_start start = { .ops = &ops, .client = &client, .client_ip = STR("-") };
	enum head_fault fault;
	int n = snprintf(head, sizeof head,
		"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %llu\r\n\r\n",
		(unsigned long long)length);

	client = (struct scripted){ .ends = 0 };
	start.head = (struct str){ head, (size_t)n };
	request = request_new(&house.proxy, &start, &fault);
	ck_assert_ptr_nonnull(request);
	ck_assert_int_eq(fault, HEAD_OK);
	request_begin(request);
	ck_assert(client.wanted);
}

static void
give_up(void)
{
	if (!client.ends)
		request_gone(request, END_CLIENT_GONE);
	request_free(request);
	if (provider >= 0)
		close(provider);
	provider = -1;
	buf_free(&client.head);
	buf_free(&client.body);
	buf_free(&sent);
	house_tidy(&house);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
	ck_assert_uint_eq(mem_used(), 0);
}

/* A body in pieces of `step`; from 0 on all at once. Stops when it was answered. */
static void
feed(struct str body, size_t step)
{
	size_t at = 0;

	while (at < body.len && !client.ends) {
		size_t len = step == 0 || step > body.len - at ? body.len - at : step;
		char *copy = malloc(len);

		memcpy(copy, body.p + at, len);
		request_body(request, (struct str){ copy, len });
		free(copy);
		at += len;
	}
	if (!client.ends)
		request_body_end(request);
}

static void
settle(void)
{
	for (int i = 0; i < 50 && !client.ends; i++)
		house_turn(&house, 0);
}

static const struct {
	struct str body, status, says;
} cases[] = {
	{ STR_INIT("{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT("200"), STR_INIT("\"content\":\"hi\"") },
	{ STR_INIT(
		  "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"mod\\u0065l\":\"ech\\u006f\"}"),
		STR_INIT("200"), STR_INIT("\"content\":\"hi\"") },
	{ STR_INIT(
		  "{\"stream\":true,\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT("200"), STR_INIT("data: [DONE]\n\n") },
	{ STR_INIT(
		  "{\"stream\":null,\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"),
		STR_INIT("200"), STR_INIT("\"content\":\"x\"") },
	{ STR_INIT("{\"model\":\"echo\",\"model\":\"echo\",\"messages\":[]}"), STR_INIT("400"),
		STR_INIT("`model` stands twice in the body") },
	{ STR_INIT("{\"model\":\"echo\",\"m\\u006fdel\":5,\"messages\":[]}"), STR_INIT("400"),
		STR_INIT("`model` stands twice in the body") },
	{ STR_INIT("{\"stream\":false,\"model\":\"echo\",\"strea\\u006d\":true}"), STR_INIT("400"),
		STR_INIT("`stream` stands twice in the body") },
	{ STR_INIT("{\"stream\":null,\"stream\":true,\"model\":\"echo\"}"), STR_INIT("400"),
		STR_INIT("`stream` stands twice in the body") },
	{ STR_INIT("{\"model\":5}"), STR_INIT("400"), STR_INIT("`model` must be a string") },
	{ STR_INIT("{\"model\":{\"a\":1}}"), STR_INIT("400"),
		STR_INIT("`model` must be a string") },
	{ STR_INIT("{\"model\":null}"), STR_INIT("400"), STR_INIT("`model` must be a string") },
	{ STR_INIT("{\"model\":\"echo\",\"stream\":\"true\"}"), STR_INIT("400"),
		STR_INIT("`stream` must be true or false") },
	{ STR_INIT("{\"model\":\"echo\",\"stream\":1 }"), STR_INIT("400"),
		STR_INIT("`stream` must be true or false") },
	{ STR_INIT("{\"messages\":[{\"model\":\"echo\"}]}"), STR_INIT("400"),
		STR_INIT("the body names no `model`") },
	{ STR_INIT("{\"model\":\"nobody\"}"), STR_INIT("404"),
		STR_INIT("The model `nobody` does not exist") },
	{ STR_INIT("[\"model\"]"), STR_INIT("400"), STR_INIT("the body must be a JSON object") },
	{ STR_INIT("{\"model\":\"echo\"} x"), STR_INIT("400"),
		STR_INIT("the body is not valid JSON: ") },
	{ STR_INIT("{\"model\":\"echo\",}"), STR_INIT("400"), STR_INIT(" at byte 16") },
	{ STR_INIT("{\"model\":\"echo\""), STR_INIT("400"),
		STR_INIT("the body is not valid JSON: ") },
};

START_TEST(test_stored_bodies)
{
	size_t i = (size_t)_i;

	setup();
	for (size_t step = 0; step <= cases[i].body.len; step++) {
		struct str head, body;

		begin(cases[i].body.len);
		feed(cases[i].body, step);
		settle();
		head = buf_str(&client.head);
		body = buf_str(&client.body);
		ck_assert_uint_eq(client.replies, 1);
		ck_assert_uint_eq(client.ends, 1);
		ck_assert(client.whole);
		ck_assert_msg(str_eq(str_head(str_skip(head, 9), 3), cases[i].status),
			"step %zu: %.*s", step, STR_ARG(head));
		ck_assert_msg(str_find(body, cases[i].says) < body.len, "step %zu: %.*s", step,
			STR_ARG(body));
		give_up();
	}
	house_close(&house);
}
END_TEST

/* ---- bodies that stream ---- */

#define LONG (3u << 20)

static char text[LONG + 1]; /* {"model":"remote", ... */

/* A long body: `front` after the opening brace, a string of x, `back` before the closing one. */
static void
compose(const char *front, const char *back)
{
	size_t head, tail = strlen(back);

	head = (size_t)snprintf(text, 400, "{\"model\":\"remote\",%s\"pad\":\"", front);
	memset(text + head, 'x', LONG - head);
	memcpy(text + LONG - tail - 2, "\"", 1);
	memcpy(text + LONG - tail - 1, back, tail);
	memcpy(text + LONG - 1, "}", 1);
}

static void
receive(void)
{
	union sock_address peer;
	char piece[65536];
	ssize_t n;

	if (provider < 0)
		provider = sock_accept(listener, &peer);
	while (provider >= 0 && (n = read(provider, piece, sizeof piece)) > 0)
		buf_add(&sent, (struct str){ piece, (size_t)n });
}

static void
turns(int n)
{
	for (int i = 0; i < n; i++) {
		house_turn(&house, 1);
		receive();
	}
}

/* Does the provider's side see an end? */
static bool
provider_is_closed(void)
{
	char byte;

	receive();
	return provider >= 0 && read(provider, &byte, 1) == 0;
}

static void
feed_streaming(size_t from, size_t to, size_t step)
{
	for (size_t at = from; at < to && !client.ends; at += step) {
		request_body(request, (struct str){ text + at, step < to - at ? step : to - at });
		turns(1);
	}
}

START_TEST(test_streaming_is_the_same_bytes)
{
	struct str got;

	setup();
	compose("\"a\":[1.0,{\"model\":2}],\"stream\":true,", ",\"b\":null");
	begin(LONG);
	feed_streaming(0, LONG - 1, 60000);
	turns(50);
	ck_assert(request->streaming);
	ck_assert(request->stream);
	got = buf_str(&sent);
	got = str_skip(got, str_find(got, STR("\r\n\r\n")) + 4);
	ck_assert_uint_eq(got.len, LONG - 1);
	/* the last byte in a piece of its own: held back until all of it is known to be JSON */
	request_body(request, (struct str){ text + LONG - 1, 1 });
	turns(10);
	ck_assert_uint_eq(buf_len(&sent) - (size_t)(got.p - buf_str(&sent).p), LONG - 1);
	request_body_end(request);
	turns(10);
	got = buf_str(&sent);
	ck_assert_uint_lt(str_find(got, STR("content-length: 3145728\r\n")), got.len);
	got = str_skip(got, str_find(got, STR("\r\n\r\n")) + 4);
	ck_assert_uint_eq(got.len, LONG);
	ck_assert_mem_eq(got.p, text, LONG);
	ck_assert_uint_eq(client.ends, 0);
	give_up();
	house_close(&house);
}
END_TEST

/* The held-back byte never leaves when the body turns out to be no JSON at its very end. */
START_TEST(test_streaming_broken_at_the_end)
{
	setup();
	compose("", "");
	text[LONG - 1] = ']';
	begin(LONG);
	feed_streaming(0, LONG, 60000);
	ck_assert_uint_eq(client.ends, 1);
	ck_assert(str_eq(str_head(str_skip(buf_str(&client.head), 9), 3), STR("400")));
	turns(20);
	ck_assert(provider_is_closed());
	ck_assert_uint_lt(buf_len(&sent), LONG + 200);
	give_up();
	house_close(&house);
}
END_TEST

/* A second `model` in what streams is refused, however the pieces cut it, and the provider is left
 * at once. */
START_TEST(test_streaming_second_model)
{
	static const char *const backs[] = {
		",\"model\":\"other\"",
		",\"m\\u006fd\\u0065l\":\"other\"",
		",\"other\":{\"model\":1},\"model\" : [1]",
	};

	setup();
	for (unsigned i = 0; i < 3; i++) {
		size_t tail;

		compose("", backs[i]);
		tail = LONG - strlen(backs[i]) - 1;
		for (size_t cut = tail - 2; cut < LONG; cut++) {
			struct str body;

			begin(LONG);
			feed_streaming(0, tail - 100, 1500000);
			ck_assert_uint_eq(client.ends, 0);
			ck_assert(request->streaming);
			feed_streaming(tail - 100, cut, 100000);
			if (cut % 2) /* and each byte of the rest alone */
				feed_streaming(cut, LONG, 1);
			feed_streaming(cut, LONG, 1000);
			body = buf_str(&client.body);
			ck_assert_uint_eq(client.ends, 1);
			ck_assert_uint_lt(str_find(body, STR("`model` stands twice in the body")),
				body.len);
			turns(3);
			ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
			give_up();
		}
	}
	house_close(&house);
}
END_TEST

/* Short keys whose long values lie across many pieces: their text is gone by then. */
/* A client whose key admits some models only does not name another one in another case, which a
 * provider may take for the model; who may use all of them can send what he wants. */
START_TEST(test_second_model_in_another_case)
{
	static const struct str bodies[] = {
		STR_INIT(
			"{\"model\":\"echo\",\"Model\":\"remote\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT(
			"{\"MODEL\":\"remote\",\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT(
			"{\"model\":\"echo\",\"\\u004d\\u004f\\u0044\\u0045\\u004c\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT(
			"{\"model\":\"echo\",\"models\":[\"remote\"],\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
		STR_INIT(
			"{\"model\":\"echo\",\"x\":{\"Model\":1},\"Modell\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"),
	};
	struct str own = STR("e*");
	struct conf_client key = { .name = STR("alice"), .models = &own };

	setup();
	for (size_t n_models = 0; n_models < 2; n_models++) {
		key.n_models = n_models;
		for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
			bool refused = n_models > 0 && i < 4;

			begin(bodies[i].len);
			request->key = &key;
			feed(bodies[i], i == 0 ? 1 : 0);
			settle();
			ck_assert_uint_eq(request->status, refused ? 400 : 200);
			ck_assert_msg(!refused ||
					str_find(buf_str(&client.body),
						STR("`model` must be the only name of a model for this client, in small letters")) <
						buf_len(&client.body),
				"%.*s", STR_ARG(buf_str(&client.body)));
			give_up();
		}
	}
	house_close(&house);
}
END_TEST

START_TEST(test_streaming_values_across_pieces)
{
	size_t front;

	setup();
	compose("",
		",\"k\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"");
	front = LONG - 80;
	for (size_t step = 1; step < 90; step += 4) {
		begin(LONG);
		feed_streaming(0, front - 20, 1500000);
		ck_assert(request->streaming);
		feed_streaming(front - 20, LONG, step);
		ck_assert_uint_eq(client.ends, 0);
		request_body_end(request);
		turns(1);
		ck_assert_uint_eq(client.ends, 0);
		give_up();
	}
	house_close(&house);
}
END_TEST

/* Without a model so far a long body is stored; for echo too. */
START_TEST(test_what_does_not_stream)
{
	setup();
	compose("", "");
	memcpy(text, "{\"label\":\"remote\",", 18);
	begin(LONG);
	feed_streaming(0, LONG - 1, 500000);
	ck_assert(!request->streaming);
	ck_assert_uint_eq(buf_len(&request->body), LONG - 1);
	give_up();
	compose("", "");
	memcpy(text, "{\"model\":\"echo\"  ,", 18);
	begin(LONG);
	feed_streaming(0, LONG - 1, 500000);
	ck_assert(!request->streaming);
	give_up();
	house_close(&house);
}
END_TEST

/* The first piece stands elsewhere, the next ones are read into the store where there is room.
 * Returns how many bytes were. */
static size_t
read_in(size_t len, size_t first, size_t step)
{
	size_t in_room = 0, at = first, size;

	ck_assert_ptr_null(request_room(request, &size));
	request_body(request, (struct str){ text, first });
	while (at < len && !client.ends) {
		char *room = request_room(request, &size);
		size_t n = step < len - at ? step : len - at;

		if (room) {
			ck_assert_uint_le(size, PROXY_READ);
			ck_assert_uint_le(size, len - at);
			n = n < size ? n : size;
			memcpy(room, text + at, n);
			in_room += n;
		}
		request_body(request, (struct str){ room ? room : text + at, n });
		at += n;
	}
	return in_room;
}

/* A body that is stored has its place in one piece of memory, and comes into it without a copy. */
START_TEST(test_room_in_the_store)
{
	static const size_t steps[] = { 1000, 65536, LONG };
	const size_t len = 400000;

	setup();
	compose("", "");
	memcpy(text, "{\"model\":\"echo\"  ,", 18);
	memcpy(text + len - 2, "\"}", 2);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		begin(len);
		ck_assert_uint_eq(read_in(len, 40000, steps[i]), len - 40000);
		ck_assert_uint_eq(buf_len(&request->body), len);
		ck_assert_uint_eq(request->body.cap, len);
		ck_assert_mem_eq(request->body.p, text, len);
		request_body_end(request);
		settle();
		ck_assert(client.whole);
		give_up();
	}
	house_close(&house);
}
END_TEST

/* Who says much and sends little holds little; and a body that streams has no store. */
START_TEST(test_room_for_what_comes)
{
	size_t size;

	setup();
	compose("", "");
	memcpy(text, "{\"model\":\"echo\"  ,", 18);
	begin(1 << 20);
	request_body(request, (struct str){ text, 100 });
	ck_assert_ptr_nonnull(request_room(request, &size));
	ck_assert_uint_eq(size, 1500);
	ck_assert_uint_eq(request->body.cap, 1600);
	give_up();

	begin(LONG); /* it is stored, which shows at its first piece */
	ck_assert_uint_gt(read_in(LONG, 65536, 65536), LONG - 3 * 65536);
	ck_assert_mem_eq(request->body.p, text, LONG);
	ck_assert_uint_eq(request->body.cap, LONG);
	give_up();

	compose("", "");
	begin(LONG);
	request_body(request, (struct str){ text, 65536 });
	ck_assert(request->streaming);
	ck_assert_ptr_null(request_room(request, &size));
	ck_assert_uint_le(request->body.cap, 65536);
	give_up();
	house_close(&house);
}
END_TEST

START_TEST(test_too_large)
{
	setup();
	house.conf.limits.body_bytes = 2 << 20;
	compose("", "");
	begin(1 << 20); /* the length is not what is trusted */
	request->framing.kind = FRAMING_CHUNKED;
	for (size_t at = 0; at < LONG && !client.ends; at += 65536)
		request_body(request, (struct str){ text + at, 65536 });
	ck_assert_uint_eq(client.ends, 1);
	ck_assert(str_eq(str_head(str_skip(buf_str(&client.head), 9), 3), STR("413")));
	give_up();
	house_close(&house);
}
END_TEST

/* Memory that fails at any point of a request: it is refused or cut, and all memory comes back. */
START_TEST(test_memory)
{
	bool through = false;

	setup();
	for (size_t n = 1; n < 200 && !through; n++) {
		char head[] =
			"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 71\r\n\r\n";
		struct request_start start = { .ops = &ops,
			.client = &client,
			.client_ip = STR("-"),
			.head = str_of(head) };
		enum head_fault fault;

		client = (struct scripted){ .ends = 0 };
		mem_fail_after(n);
		request = request_new(&house.proxy, &start, &fault);
		if (request) {
			request_begin(request);
			feed(cases[0].body, 30);
			settle();
			ck_assert_uint_eq(client.ends, 1);
			through =
				client.whole && str_find(buf_str(&client.head), STR(" 200 ")) < 20;
		}
		mem_fail_after(0);
		if (request)
			give_up();
		else
			house_tidy(&house);
		ck_assert_uint_eq(mem_used(), 0);
	}
	ck_assert(through);
	house_close(&house);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy/request_body");
	TCase *tcase = tcase_create("proxy/request_body");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, test_stored_bodies, 0, sizeof cases / sizeof cases[0]);
	tcase_add_test(tcase, test_streaming_is_the_same_bytes);
	tcase_add_test(tcase, test_streaming_broken_at_the_end);
	tcase_add_test(tcase, test_streaming_second_model);
	tcase_add_test(tcase, test_second_model_in_another_case);
	tcase_add_test(tcase, test_streaming_values_across_pieces);
	tcase_add_test(tcase, test_what_does_not_stream);
	tcase_add_test(tcase, test_room_in_the_store);
	tcase_add_test(tcase, test_room_for_what_comes);
	tcase_add_test(tcase, test_too_large);
	tcase_add_test(tcase, test_memory);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
