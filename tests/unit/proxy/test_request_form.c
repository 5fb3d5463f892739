/*
 * What a request asks for when its body is a form: through struct request_ops of the test's own and
 * a listener that stands for the provider. Forms are cut in two at every byte and fed byte by byte;
 * what the provider gets is compared byte for byte. Long ones stream.
 */
#include <string.h>
#include <unistd.h>

#include "house.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define E "\r\n"
#define TYPE "multipart/form-data; boundary=XYZ"
#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"" E E
#define AFILE(name)                                                               \
	"Content-Disposition: form-data; name=\"" name "\"; filename=\"a.wav\"" E \
	"Content-Type: audio/wav" E E
#define FIRST "--XYZ" E
#define NEXT E "--XYZ" E
#define LAST E "--XYZ--" E
#define SOUND "RIFF\0\0\r\n--XY\r\n\xff\xfe"

static struct house house;
static struct scripted {
	struct buf head, body;
	unsigned ends;
	bool whole, wanted;
} client;
static struct request *request;
static int listener = -1, provider = -1;
static char received[4 << 20]; /* by the provider; not of the memory that is made to fail */
static struct str sent = { received, 0 };

static void
on_reply(void *owner, struct str head, enum framing kind, uint64_t length)
{
	(void)owner;
	(void)kind;
	(void)length;
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
map_to(const char *name)
{
	house.targets[HOUSE_REMOTE].model = str_of(name);
}

/* False without memory for it. */
static bool
begin(const char *type, uint64_t length)
{
	char head[300];
	struct request_start start = { .ops = &ops, .client = &client, .client_ip = STR("-") };
	enum head_fault fault;
	int n = snprintf(head, sizeof head,
		"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: a\r\ncontent-type: %s\r\n"
		"content-length: %llu\r\n\r\n",
		type, (unsigned long long)length);

	client = (struct scripted){ .ends = 0 };
	start.head = (struct str){ head, (size_t)n };
	request = request_new(&house.proxy, &start, &fault);
	if (!request)
		return false;
	ck_assert_int_eq(fault, HEAD_OK);
	request_begin(request);
	return true;
}

static void
give_up(void)
{
	union sock_address peer;

	if (!client.ends)
		request_gone(request, END_CLIENT_GONE);
	request_free(request);
	do /* those that nobody took too */
		if (provider >= 0)
			close(provider);
	while ((provider = sock_accept(listener, &peer)) >= 0);
	buf_free(&client.head);
	buf_free(&client.body);
	sent.len = 0;
	house_tidy(&house);
	ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
	ck_assert_uint_eq(mem_used(), 0);
}

static void
give(struct str piece)
{
	char *copy;

	if (client.ends || piece.len == 0)
		return;
	copy = malloc(piece.len); /* so that a look behind its end is found out */
	memcpy(copy, piece.p, piece.len);
	request_body(request, (struct str){ copy, piece.len });
	free(copy);
}

/* The first `cut` bytes, then `step` bytes at a time. */
static void
feed(struct str body, size_t cut, size_t step)
{
	give(str_head(body, cut));
	for (size_t at = cut; at < body.len; at += step)
		give(str_head(str_skip(body, at), step));
	if (!client.ends)
		request_body_end(request);
}

static void
receive(void)
{
	union sock_address peer;
	ssize_t n;

	if (provider < 0)
		provider = sock_accept(listener, &peer);
	while (provider >= 0 &&
		(n = read(provider, received + sent.len, sizeof received - sent.len)) > 0)
		sent.len += (size_t)n;
}

static void
turns(int n)
{
	for (int i = 0; i < n; i++) {
		house_turn(&house, 1);
		receive();
	}
}

static struct str
sent_body(void)
{
	return str_skip(sent, str_find(sent, STR("\r\n\r\n")) + 4);
}

/* Turn until the provider has so much of a body. */
static void
wait_sent(size_t len)
{
	for (int i = 0; i < 500 && sent_body().len < len && !client.ends; i++) {
		house_turn(&house, i > 3);
		receive();
	}
}

static bool
provider_is_closed(void)
{
	char byte;

	receive();
	return provider >= 0 && read(provider, &byte, 1) == 0;
}

static void
ck_sent(struct str want)
{
	struct str head = sent, got;
	char length[60];

	wait_sent(want.len);
	got = sent_body();
	head = sent;
	ck_assert_uint_eq(client.ends, 0);
	ck_assert_msg(str_eq(got, want), "the provider got \"%.*s\", not \"%.*s\"", STR_ARG(got),
		STR_ARG(want));
	snprintf(length, sizeof length, "\r\ncontent-length: %zu\r\n", want.len);
	ck_assert_uint_lt(str_find(head, str_of(length)), head.len);
	ck_assert_uint_lt(str_find(head, STR("\r\ncontent-type: " TYPE "\r\n")), head.len);
	ck_assert(str_starts(head, STR("POST /v1/audio/transcriptions HTTP/1.1\r\n")));
}

static void
ck_refused(struct str status, struct str says)
{
	struct str head = buf_str(&client.head), body = buf_str(&client.body);

	ck_assert_uint_eq(client.ends, 1);
	ck_assert(client.whole);
	ck_assert_msg(str_eq(str_head(str_skip(head, 9), 3), status), "%.*s", STR_ARG(head));
	ck_assert_msg(str_find(body, says) < body.len, "%.*s", STR_ARG(body));
}

/* ---- short forms, which are stored ---- */

/* What stands before the value of `model`, and behind it. */
static const struct {
	struct str front, back;
} forms[] = {
	{ STR_INIT(FIRST HEAD("model")), STR_INIT(LAST) },
	{ STR_INIT(FIRST HEAD("model")), STR_INIT(E "--XYZ--") },
	{ STR_INIT(FIRST HEAD("model")), STR_INIT(NEXT AFILE("file") SOUND LAST) },
	{ STR_INIT(FIRST AFILE("file") SOUND NEXT HEAD("model")), STR_INIT(LAST) },
	{ STR_INIT(FIRST AFILE("file") SOUND NEXT HEAD("model")),
		STR_INIT(NEXT AFILE("model2") "model" NEXT HEAD("stream") "true" LAST) },
	{ STR_INIT("preamble" E FIRST HEAD("models[]") "other" NEXT HEAD(
		  "x.model") "remote" NEXT "X: y" E
			     "content-disposition:FORM-DATA; x=y; NAME*=utf-8''mod%65l" E
			     "Content-Type: text/plain" E E),
		STR_INIT(E "--XYZ \t" E HEAD("prompt") HEAD("model") "z" E "--XYZ-- " E
								     "epilogue" E) },
	{ STR_INIT(FIRST "Content-Transfer-Encoding: 8bit" E
			 "Content-Disposition: form-data; name=\"model\"; x=\"\\\"; y\"" E E),
		STR_INIT(NEXT HEAD("") LAST) },
};
static const char *const targets[] = { "remote", "a", "x-much/longer name: \xc3\xa9 \"--XY\"" };

START_TEST(test_sent_as_it_came_but_for_the_model)
{
	struct str front = forms[_i].front, back = forms[_i].back;
	struct buf body = BUF_EMPTY, want = BUF_EMPTY;

	setup();
	for (size_t t = 0; t < COUNT(targets); t++) {
		size_t len = front.len + 6 + back.len;

		for (size_t cut = 0; cut <= len; cut++) {
			buf_add(&body, front);
			buf_add(&body, STR("remote"));
			buf_add(&body, back);
			buf_add(&want, front);
			buf_add(&want, str_of(targets[t]));
			buf_add(&want, back);
			map_to(t > 0 ? targets[t] : "");
			ck_assert(begin(TYPE, len));
			feed(buf_str(&body), cut, cut == 0 ? 1 : len);
			ck_assert(!request->streaming);
			ck_sent(buf_str(&want));
			ck_assert(
				request->stream == (str_find(back, STR("\"stream\"")) < back.len));
			buf_free(&body);
			buf_free(&want);
			give_up();
		}
	}
	house_close(&house);
}
END_TEST

#define K64 "0123456789012345678901234567890123456789012345678901234567890123"
#define K512 K64 K64 K64 K64 K64 K64 K64 K64
#define NO_NAME "must be the name of a model: text without control characters"

static const struct {
	struct str body, status, says;
} refusals[] = {
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT HEAD("model") "remote" LAST), STR_INIT("400"),
		STR_INIT("`model` stands twice in the form") },
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT
				       "Content-Disposition: form-data; name*=utf-8''mode%6c" E E
				       "x" LAST),
		STR_INIT("400"), STR_INIT("`model` stands twice in the form") },
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT AFILE("model") "x" LAST), STR_INIT("400"),
		STR_INIT("`model` stands twice in the form") },
	{ STR_INIT(FIRST AFILE("model") "remote" LAST), STR_INIT("400"),
		STR_INIT("`model` must be a field of the form, not a file") },
	{ STR_INIT(FIRST "Content-Transfer-Encoding: base64" E HEAD("model") "cmVtb3Rl" LAST),
		STR_INIT("400"), STR_INIT("`model` must not have a Content-Transfer-Encoding") },
	{ STR_INIT(FIRST HEAD("model") K512 K512 "x" LAST), STR_INIT("400"),
		STR_INIT("`model` is longer than a name of a model can be") },
	{ STR_INIT(FIRST HEAD("model") K512 K512 LAST), STR_INIT("404"),
		STR_INIT("The model `0123456789") },
	{ STR_INIT(FIRST HEAD("model") "re\0mote" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "remote" E LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "a\nb" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "a\x7f" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "a\xff" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "a\xc3" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") "remote--XYZ" LAST), STR_INIT("400"), STR_INIT(NO_NAME) },
	{ STR_INIT(FIRST HEAD("model") LAST), STR_INIT("404"), STR_INIT("The model ``") },
	{ STR_INIT(FIRST HEAD("model") "nobody" LAST), STR_INIT("404"),
		STR_INIT("The model `nobody` does not exist") },
	{ STR_INIT(FIRST HEAD("model") "echo" LAST), STR_INIT("400"),
		STR_INIT("speaks echo, which has no /v1/audio/transcriptions") },
	{ STR_INIT(FIRST HEAD("models") "remote" LAST), STR_INIT("400"),
		STR_INIT("the form has no field `model`") },
	{ STR_INIT("--XYZ--" E), STR_INIT("400"), STR_INIT("the form has no field `model`") },
	{ STR_INIT(FIRST HEAD("Model") "remote" LAST), STR_INIT("400"),
		STR_INIT("the form has a field `Model`: the name of a model stands in `model`") },
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT HEAD(" \tmodel ") "other" LAST),
		STR_INIT("400"), STR_INIT("stands in `model`") },
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT HEAD("mODEL[]") "other" LAST), STR_INIT("400"),
		STR_INIT("the form has a field `mODEL[]`") },
	{ STR_INIT(FIRST AFILE("model[a]") "other" NEXT HEAD("model") "remote" LAST),
		STR_INIT("400"), STR_INIT("the form has a field `model[a]`") },
	{ STR_INIT(""), STR_INIT("400"),
		STR_INIT(
			"the body is not a valid form: the closing boundary is missing at byte 0") },
	{ STR_INIT(FIRST HEAD("model") "remote" NEXT HEAD("a") "b"), STR_INIT("400"),
		STR_INIT("the body is not a valid form: the closing boundary is missing") },
	{ STR_INIT(FIRST HEAD("model") "remote" LAST FIRST HEAD("model") "other" LAST),
		STR_INIT("400"), STR_INIT("a boundary stands behind the closing one at byte 72") },
	{ STR_INIT(FIRST "X" E HEAD("model") "remote" LAST), STR_INIT("400"),
		STR_INIT("a line in the head of a part is no field at byte 7") },
	{ STR_INIT("{\"model\":\"remote\"}"), STR_INIT("400"),
		STR_INIT("the closing boundary is missing at byte 18") },
};

START_TEST(test_refused)
{
	struct str body = refusals[_i].body;

	setup();
	for (size_t cut = 0; cut <= body.len; cut++) {
		ck_assert(begin(TYPE, body.len));
		feed(body, cut, cut == 0 ? 1 : body.len);
		ck_refused(refusals[_i].status, refusals[_i].says);
		turns(1);
		ck_assert_int_lt(provider, 0);
		give_up();
	}
	house_close(&house);
}
END_TEST

START_TEST(test_types)
{
	static const struct {
		const char *type, *why;
	} types[] = {
		{ "application/json", "it is not multipart/form-data" },
		{ "", "it is not multipart/form-data" },
		{ "multipart/form-data", "it has no boundary" },
		{ "multipart/form-data; boundary=a; xboundary=b", "it has two boundaries" },
	};

	setup();
	for (size_t i = 0; i < COUNT(types); i++) {
		begin(types[i].type, 10);
		ck_refused(STR("400"), str_of(types[i].why));
		ck_refused(STR("400"),
			STR("is a form, with Content-Type: multipart/form-data; boundary=...; this one cannot be used"));
		ck_assert(!client.wanted);
		give_up();
	}
	house_close(&house);
}
END_TEST

/* The name that the configuration gives a model may hold the boundary that a client chose. */
START_TEST(test_boundary_in_the_target)
{
	struct str body = STR(FIRST HEAD("model") "remote" LAST);

	setup();
	map_to("a--XYZ");
	begin(TYPE, body.len);
	feed(body, 0, body.len);
	ck_refused(STR("400"), STR("use another boundary"));
	turns(2);
	ck_assert_int_lt(provider, 0);
	give_up();
	house_close(&house);
}
END_TEST

/* ---- long forms, which stream ---- */

#define LONG (3u << 20)
#define MODEL_FIRST FIRST HEAD("model") "remote" NEXT AFILE("file")

static char text[LONG + 100];

/* LONG bytes: `front`, noise, `back`. */
static void
compose(struct str front, struct str back)
{
	uint32_t noise = 1;

	for (size_t i = 0; i < LONG; i++) {
		noise = noise * 1664525 + 1013904223;
		text[i] = (char)(noise >> 24);
	}
	memcpy(text, front.p, front.len);
	memcpy(text + LONG - back.len, back.p, back.len);
}

static void
stream(size_t from, size_t to, size_t step)
{
	for (size_t at = from; at < to && !client.ends; at += step) {
		give((struct str){ text + at, step < to - at ? step : to - at });
		turns(1);
	}
}

START_TEST(test_streams_with_the_model_mapped)
{
	static char want[LONG + 100];
	struct str front = STR(FIRST HEAD("model"));

	setup();
	for (size_t t = 0; t < COUNT(targets); t++) {
		struct str target = str_of(targets[t]);
		size_t len = LONG - 6 + target.len;

		compose(STR(MODEL_FIRST), STR(LAST));
		memcpy(want, text, front.len);
		memcpy(want + front.len, target.p, target.len);
		memcpy(want + front.len + target.len, text + front.len + 6, LONG - front.len - 6);
		map_to(t > 0 ? targets[t] : "");
		begin(TYPE, LONG);
		stream(0, sizeof(MODEL_FIRST) - 1, 50);
		ck_assert(request->streaming); /* as soon as the model is known */
		stream(sizeof(MODEL_FIRST) - 1, LONG - 1, 60000);
		wait_sent(len - 1);
		ck_assert_uint_eq(sent_body().len, len - 1);
		ck_assert_uint_lt(mem_used(), 300000);
		/* the last byte in a piece of its own: held back until the form is known to end */
		give((struct str){ text + LONG - 1, 1 });
		turns(5);
		ck_assert_uint_eq(sent_body().len, len - 1);
		request_body_end(request);
		ck_sent((struct str){ want, len });
		give_up();
	}
	house_close(&house);
}
END_TEST

/* Faults in what streams are found however the pieces cut them; the provider is left at once and
 * never sees the end. */
START_TEST(test_streaming_fault)
{
	static const struct {
		struct str back, says;
	} faults[] = {
		{ STR_INIT(NEXT HEAD("model") "other" LAST), STR_INIT("`model` stands twice") },
		{ STR_INIT(NEXT AFILE("model") "other" LAST), STR_INIT("`model` stands twice") },
		{ STR_INIT(E "--XYZ-"), STR_INIT("the closing boundary is missing") },
		{ STR_INIT(E "--XYZ--x"), STR_INIT("followed by something else") },
		{ STR_INIT(NEXT "X y" E LAST), STR_INIT("is no field") },
		{ STR_INIT(LAST FIRST HEAD("model") "other" LAST), STR_INIT("behind the closing") },
	};

	setup();
	for (unsigned i = 0; i < COUNT(faults); i++) {
		size_t tail = LONG - faults[i].back.len;

		compose(STR(MODEL_FIRST), faults[i].back);
		for (size_t cut = tail; cut <= LONG; cut += 3) {
			begin(TYPE, LONG);
			stream(0, tail, 1500000);
			ck_assert(request->streaming);
			stream(tail, cut, 100);
			stream(cut, LONG, cut % 2 ? 1 : 100);
			if (!client.ends)
				request_body_end(request);
			ck_refused(STR("400"), faults[i].says);
			turns(3);
			ck_assert_uint_eq(ROW_GET(house.proxy.row->upstreams), 0);
			ck_assert(provider_is_closed());
			ck_assert_uint_lt(sent_body().len, LONG);
			give_up();
		}
	}
	house_close(&house);
}
END_TEST

/* A model behind the file: the form is stored until it is known, and then what is left streams. */
START_TEST(test_model_behind_the_file)
{
	struct str last = STR(NEXT HEAD("model") "remote" NEXT HEAD("prompt") "hello" LAST);

	setup();
	compose(STR(FIRST AFILE("file")), last);
	begin(TYPE, LONG);
	stream(0, LONG - 30, 60000);
	ck_assert(request->streaming);
	ck_assert_uint_ge(buf_len(&request->body), LONG - last.len);
	give((struct str){ text + LONG - 30, 30 });
	request_body_end(request);
	ck_sent((struct str){ text, LONG });
	give_up();

	/* with its last piece: stored whole */
	begin(TYPE, LONG);
	stream(0, LONG - last.len, 60000);
	ck_assert_uint_eq(buf_len(&request->body), LONG - last.len);
	feed((struct str){ text + LONG - last.len, last.len }, 0, last.len);
	ck_assert(!request->streaming);
	ck_sent((struct str){ text, LONG });
	give_up();
	house_close(&house);
}
END_TEST

START_TEST(test_chunked_is_stored)
{
	setup();
	compose(STR(MODEL_FIRST), STR(LAST));
	for (int i = 0; i < 2; i++) {
		house.conf.limits.body_bytes = i ? LONG - 1 : LONG;
		begin(TYPE, 0);
		request->framing = (struct head_framing){ .kind = FRAMING_CHUNKED };
		for (size_t at = 0; at < LONG; at += 60000)
			give((struct str){ text + at, LONG - at < 60000 ? LONG - at : 60000 });
		ck_assert(!request->streaming);
		if (i == 0) {
			request_body_end(request);
			ck_sent((struct str){ text, LONG });
		} else {
			ck_refused(STR("413"), STR("limits.body_bytes"));
		}
		give_up();
	}
	house_close(&house);
}
END_TEST

/* first_byte does not run while it is the client that keeps the provider waiting, but from the end
 * of the form on; and while the provider does not take what there is. */
START_TEST(test_time_of_a_slow_upload)
{
	setup();
	house.providers[HOUSE_REMOTE].timeouts.first_byte_ms = 5000;
	compose(STR(MODEL_FIRST), STR(LAST));
	begin(TYPE, LONG);
	stream(0, 1000, 100);
	for (size_t at = 1000; at < LONG; at += 500000) {
		stream(at, at + 500000 < LONG ? at + 500000 : LONG, 50000);
		wait_sent(at + 40000);
		house.now_ms += 6000;
		turns(3);
		ck_assert_msg(client.ends == 0, "%.*s", STR_ARG(buf_str(&client.body)));
	}
	request_body_end(request);
	ck_sent((struct str){ text, LONG });
	house.now_ms += 4000;
	turns(3);
	ck_assert_uint_eq(client.ends, 0);
	house.now_ms += 1100;
	turns(3);
	ck_refused(STR("504"), STR("remote"));
	give_up();

	/* a provider that stops reading */
	begin(TYPE, LONG);
	stream(0, 100000, 50000);
	for (size_t at = 100000; at < LONG - 1 && client.wanted; at += 50000) {
		give((struct str){ text + at, LONG - at < 50000 ? LONG - 1 - at : 50000 });
		house_turn(&house, 1);
	}
	if (!client.wanted) { /* the system's buffers may hold all of it */
		house.now_ms += 6000;
		for (int i = 0; i < 3; i++)
			house_turn(&house, 1);
		ck_refused(STR("504"), STR("remote"));
	}
	give_up();
	house_close(&house);
}
END_TEST

/* Memory that fails at any point: the request is refused, and all memory comes back. */
static bool
goes_through(struct str body)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

	if (!begin(TYPE, body.len))
		return false;
	feed(body, 30, 40);
	for (int i = 0; i < 60 && !client.ends; i++) {
		struct str got;

		house_turn(&house, i > 5);
		receive();
		got = sent_body();
		if (got.len > 0 && str_eq(str_skip(got, got.len - 9), STR("--XYZ--\r\n")) &&
			i < 50) {
			ck_assert_int_gt(write(provider, reply, sizeof reply - 1), 0);
			i = 50;
		}
	}
	ck_assert_uint_eq(client.ends, 1);
	return client.whole && str_find(buf_str(&client.head), STR(" 200 ")) < 20;
}

START_TEST(test_memory)
{
	struct str body = forms[3].front;
	struct buf whole = BUF_EMPTY;
	bool through = false;
	size_t n = 1;

	setup();
	map_to("mapped");
	for (; n < 200 && !through; n++) {
		static char copy[1000];
		struct str given;

		buf_add(&whole, body);
		buf_add(&whole, STR("remote"));
		buf_add(&whole, forms[3].back);
		memcpy(copy, whole.p, buf_len(&whole));
		given = (struct str){ copy, buf_len(&whole) };
		buf_free(&whole);
		mem_fail_after(n);
		through = goes_through(given);
		mem_fail_after(0);
		if (request)
			give_up();
		else
			house_tidy(&house);
		ck_assert_uint_eq(mem_used(), 0);
	}
	ck_assert(through);
	ck_assert_uint_gt(n, 5);
	house_close(&house);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy/request_form");
	TCase *tcase = tcase_create("proxy/request_form");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, test_sent_as_it_came_but_for_the_model, 0, COUNT(forms));
	tcase_add_loop_test(tcase, test_refused, 0, COUNT(refusals));
	tcase_add_test(tcase, test_types);
	tcase_add_test(tcase, test_boundary_in_the_target);
	tcase_add_test(tcase, test_streams_with_the_model_mapped);
	tcase_add_test(tcase, test_streaming_fault);
	tcase_add_test(tcase, test_model_behind_the_file);
	tcase_add_test(tcase, test_chunked_is_stored);
	tcase_add_test(tcase, test_time_of_a_slow_upload);
	tcase_add_test(tcase, test_memory);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
