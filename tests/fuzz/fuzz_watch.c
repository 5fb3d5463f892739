/*
 * fuzz_watch: any bytes as a reply or a stream of any endpoint; the first byte says which. A reply
 * gives the same usage whole and cut at every byte; an event of a stream the same as where it is
 * read for certain; what becomes a stream is a stream of JSON events that gathers into a reply
 * again, and that one goes round unchanged; what gathers is JSON; an error with any text in it is
 * one event of JSON. Nothing is left behind.
 */
#include <assert.h>
#include <string.h>

#include "dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 4096, DEPTH_MAX = 400 };

static bool
is_json(struct str text)
{
	struct json_scan scan;

	return json_scan_text(&scan, NULL, text, 0, 1000) == 0;
}

static void
assert_same(const struct watch *a, const struct watch *b)
{
	assert(memcmp(&a->usage, &b->usage, sizeof a->usage) == 0);
	assert(a->has_usage == b->has_usage && a->error == b->error);
}

static void
fuzz_reply(const struct endpoint *e, struct str text)
{
	struct watch whole, bytes;

	watch_init(&whole, e);
	watch_init(&bytes, e);
	watch_reply(&whole, text);
	for (size_t i = 0; i < text.len; i++)
		watch_reply(&bytes, str_head(str_skip(text, i), 1));
	watch_reply_end(&whole);
	watch_reply_end(&bytes);
	assert_same(&whole, &bytes);
	assert(!whole.started && !whole.finished && !whole.ended);
	watch_free(&whole);
	watch_free(&bytes);
}

/* A chat's event is known as it is known with a member before all others that makes it be read.
 * Escaped names are another matter: where nothing else says so, the event is not read. */
static void
same_if_read(const struct sse_event *ev)
{
	struct sse_event again = *ev;
	struct watch found, read;
	struct buf text = BUF_EMPTY;

	if (ev->data.len < 2 || ev->data.p[0] != '{' || ev->data.p[1] != '"' ||
		str_index(ev->data, '\\') < ev->data.len)
		return;
	buf_add(&text, STR("{\"x\":{\"error\":1},"));
	buf_add(&text, str_skip(ev->data, 1));
	again.data = buf_str(&text);
	watch_init(&found, &endpoints[ENDPOINT_CHAT]);
	watch_init(&read, &endpoints[ENDPOINT_CHAT]);
	watch_event(&found, ev);
	watch_event(&read, &again);
	assert_same(&found, &read);
	assert(found.finished == read.finished && found.ended == read.ended);
	watch_free(&found);
	watch_free(&read);
	buf_free(&text);
}

/* Every event through a watch and a gather. The first thing but 0 that the gather said. */
static int
stream(struct watch *w, struct gather *g, struct str text)
{
	struct sse sse;
	struct sse_event ev;
	int rc = 0;

	sse_init(&sse, 1 << 16);
	while (text.len > 0) {
		bool got = false;
		long n = sse_next(&sse, text, &ev, &got);
		assert(n > 0);
		text = str_skip(text, (size_t)n);
		if (!got)
			continue;
		struct str message = { NULL, 0 };
		watch_event(w, &ev);
		same_if_read(&ev);
		if (rc != 0)
			continue;
		rc = gather_event(g, &ev, &message);
		assert(rc != 1 || message.p != NULL);
	}
	sse_free(&sse);
	return rc;
}

static void
fuzz_stream(const struct endpoint *e, struct str text)
{
	struct buf out = BUF_EMPTY;
	struct arena a;
	struct watch w;

	arena_init(&a, 1 << 20);
	watch_init(&w, e);
	struct gather *g = gather_new(e, &a);
	int rc = stream(&w, g, text);
	if (rc == 0 && gather_finish(g, &out) == 0)
		assert(is_json(buf_str(&out)));
	buf_free(&out);
	watch_free(&w);
	arena_free(&a);
}

/* A reply as a stream, and back. False when it is none. */
static bool
round_trip(const struct endpoint *e, struct str reply, struct buf *out)
{
	struct buf events = BUF_EMPTY;
	struct arena a;
	struct watch w;

	arena_init(&a, 0);
	watch_init(&w, e);
	bool done = reply_to_stream(e, reply, true, &a, &events) == 0;
	if (done) {
		struct gather *g = gather_new(e, &a);
		int rc = stream(&w, g, buf_str(&events));
		assert(rc == 0);
		assert(w.started && w.finished && w.ended && !w.error);
		rc = gather_finish(g, out);
		assert(rc == 0);
		assert(is_json(buf_str(out)));
	}
	watch_free(&w);
	buf_free(&events);
	arena_free(&a);
	return done;
}

/* The first rounds fill gaps and bring members into the order of a stream; from then on nothing
 * changes. */
static void
fuzz_replay(const struct endpoint *e, struct str text)
{
	struct buf rounds[3] = { BUF_EMPTY, BUF_EMPTY, BUF_EMPTY };
	struct json_scan scan;

	if (text.len > TEXT_MAX || json_scan_text(&scan, NULL, text, 0, DEPTH_MAX) != 0)
		return;
	if (round_trip(e, text, &rounds[0])) {
		for (int i = 1; i < 3; i++) {
			bool again = round_trip(e, buf_str(&rounds[i - 1]), &rounds[i]);
			assert(again);
		}
		assert(str_eq(buf_str(&rounds[1]), buf_str(&rounds[2])));
	}
	for (int i = 0; i < 3; i++)
		buf_free(&rounds[i]);
}

static void
fuzz_error(const struct endpoint *ep, struct str text, unsigned kind)
{
	struct error e = { .kind = (enum error_kind)(kind % ERROR_KINDS),
		.message = text,
		.param = text,
		.code = text };
	struct buf out = BUF_EMPTY, body = BUF_EMPTY;
	struct sse sse;
	struct sse_event ev;
	struct watch w;
	bool got = false;

	assert(error_body(&body, &e, ep->client, text) == 0 && is_json(buf_str(&body)));
	assert(error_event(&out, &e, ep, text) == 0);
	sse_init(&sse, 1 << 16);
	watch_init(&w, ep);
	assert(sse_next(&sse, buf_str(&out), &ev, &got) == (long)buf_len(&out) && got &&
		is_json(ev.data));
	watch_event(&w, &ev);
	assert(w.error);
	sse_free(&sse);
	watch_free(&w);
	buf_free(&out);
	buf_free(&body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const struct endpoint *e = &endpoints[data[0] % ENDPOINTS];
	const struct endpoint *chat = &endpoints[data[0] % 2 ? ENDPOINT_MESSAGES : ENDPOINT_CHAT];
	struct str text = { (const char *)data + 1, size - 1 };

	switch (data[0] / 16 % 4) {
	case 0:
		fuzz_reply(e, text);
		break;
	case 1:
		fuzz_stream(chat, text);
		break;
	case 2:
		fuzz_replay(chat, text);
		break;
	default:
		fuzz_error(e, text, data[0] / 64u);
	}
	assert(mem_used() == 0);
	return 0;
}
