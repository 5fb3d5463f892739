/*
 * request_body: what a request asks for: its body, read as it comes; here the JSON ones.
 *
 * Each piece is validated by the tokeniser when it comes in, so that a broken body is refused at
 * its first wrong byte. Of the tokens only the members of the top level are kept, and of them only
 * `model` and `stream` matter; each may stand there once.
 *
 * The body is stored until its end, except when it is longer than STORE_MOST, its length is known
 * and `model` has been seen: then what there is of it goes upstream, and the rest follows as it
 * comes. Its last byte is held back until all of it is known to be good: a provider never sees the
 * end of a body that the router refuses. A key that lies across two reads of such a body is put
 * together from the tail of the first.
 */
#include <inttypes.h>
#include <string.h>

#include "net/clock.h"
#include "proxy/request_private.h"

#define STORE_MOST (1024 * 1024)
#define STORE_AHEAD 16   /* times what came: who sends little is given little */
#define MODEL_ESCAPED 38 /* bytes of "models" with each letter as \u006d and the quotes */

static void
fail_json(struct request *r)
{
	struct error e = { .kind = ERROR_INVALID, .code = STR("invalid_json") };

	if (r->scan.fault && strcmp(r->scan.fault, "out of memory") == 0) {
		request_fail_memory(r);
		return;
	}
	e.message = arena_printf(&r->arena, "the body is not valid JSON: %s at byte %" PRIu64,
		r->scan.fault ? r->scan.fault : "unexpected end", r->scan.offset);
	request_fail(r, &e, STR(""));
}

/* The text of a key, which ends in `piece`: from what is stored, or from the piece and the tail
 * before it. An empty slice when it is too long to matter. */
static struct str
key_text(const struct request *r, struct str piece, const struct json_token *t,
	char join[REQUEST_TAIL])
{
	uint64_t begins = r->body_len - piece.len;
	size_t len = (size_t)(t->end - t->start), before;

	if (!r->streaming)
		return json_raw(buf_str(&r->body), t);
	if (t->start >= begins)
		return str_head(str_skip(piece, (size_t)(t->start - begins)), len);
	before = (size_t)(begins - t->start);
	if (len > REQUEST_TAIL || before > r->tail_len || before > len)
		return STR("");
	memcpy(join, r->tail + r->tail_len - before, before);
	memcpy(join + before, piece.p, len - before);
	return (struct str){ join, len };
}

static bool
is_key(struct str text, const struct json_token *t, struct str name)
{
	struct json_token alone = *t;

	if (text.len == 0 || (!t->escaped && text.len != name.len + 2))
		return false;
	alone.start = 0;
	alone.end = text.len;
	return json_string_is(text, &alone, name);
}

static int
refuse_member(struct request *r, struct str name, const char *why)
{
	request_fail_text(r, ERROR_INVALID,
		arena_printf(&r->arena, "`%.*s` %s", STR_ARG(name), why), name);
	return -1;
}

static int
take_model(struct request *r, const struct json_token *value)
{
	if (value->type != JSON_STRING)
		return refuse_member(r, STR("model"), "must be a string");
	r->model_token = *value;
	r->model = json_string(buf_str(&r->body), value, &r->arena, NULL);
	if (r->model.p && r->model.p >= r->body.p && r->model.p < r->body.p + r->body.cap)
		r->model = arena_copy(&r->arena, r->model); /* the stored body moves as it grows */
	if (r->model.p)
		return 0;
	request_fail_memory(r);
	return -1;
}

static int
take_stream(struct request *r, const struct json_token *value)
{
	if (r->has_stream)
		return refuse_member(r, STR("stream"), "stands twice in the body");
	if (value->type != JSON_TRUE && value->type != JSON_FALSE && value->type != JSON_NULL)
		return refuse_member(r, STR("stream"), "must be true or false");
	r->has_stream = true;
	r->stream = r->endpoint->streams && value->type == JSON_TRUE;
	return 0;
}

/* Some providers (Go's JSON reader does) take "Model" for `model`, and some (OpenRouter) take
 * `models` for a list to fall back on. A client that may not use all models could so name one that
 * is not its own behind the router's back. `text` has the quotes. */
static bool
is_other_model(struct request *r, struct str text, const struct json_token *t)
{
	struct json_token alone = *t;
	struct str name;

	if (!r->key || r->key->n_models == 0 || text.len == 0 || text.len > MODEL_ESCAPED)
		return false;
	alone.start = 0;
	alone.end = text.len;
	name = json_string(text, &alone, &r->arena, NULL);
	return !name.p || str_eq_nocase(name, STR("model")) || str_eq_nocase(name, STR("models"));
}

/* A key is looked at in the piece in which it ends: it is gone from a streaming body when its value
 * is whole. */
static int
take_key(struct request *r, struct str piece, const struct json_token *key)
{
	char join[REQUEST_TAIL];
	struct str text = key_text(r, piece, key, join);

	r->member = is_key(text, key, STR("model")) ? REQUEST_MODEL
		: is_key(text, key, STR("stream"))  ? REQUEST_STREAM
						    : REQUEST_OTHER;
	if (r->member == REQUEST_MODEL && r->model.p)
		return refuse_member(r, STR("model"), "stands twice in the body");
	if (r->member == REQUEST_OTHER && is_other_model(r, text, key))
		return refuse_member(r, STR("model"),
			"must be the only name of a model for this client, in small letters");
	return 0;
}

static int
take_value(struct request *r, const struct json_token *value)
{
	if (r->member == REQUEST_MODEL)
		return take_model(r, value);
	return r->member == REQUEST_STREAM ? take_stream(r, value) : 0;
}

/* Look at the keys and values that have become whole. -1: refused. */
static int
take_members(struct request *r, struct str piece)
{
	const struct json_scan *s = &r->scan;

	if (s->n > 0 && s->tokens[0].type != JSON_OBJECT) {
		struct error e = { .kind = ERROR_INVALID,
			.code = STR("invalid_json"),
			.message = STR("the body must be a JSON object") };

		request_fail(r, &e, STR(""));
		return -1;
	}
	if (r->seen == 0 && s->n > 0)
		r->seen = 1;
	for (; r->seen < s->n; r->seen++) {
		const struct json_token *t = &s->tokens[r->seen];

		if ((t->key ? take_key(r, piece, t) : take_value(r, t)) < 0)
			return -1;
	}
	return 0;
}

static void
keep_tail(struct request *r, struct str piece)
{
	size_t keep;

	if (piece.len >= REQUEST_TAIL) {
		memcpy(r->tail, piece.p + piece.len - REQUEST_TAIL, REQUEST_TAIL);
		r->tail_len = REQUEST_TAIL;
		return;
	}
	keep = r->tail_len < REQUEST_TAIL - piece.len ? r->tail_len : REQUEST_TAIL - piece.len;
	memmove(r->tail, r->tail + r->tail_len - keep, keep);
	memcpy(r->tail + keep, piece.p, piece.len);
	r->tail_len = keep + piece.len;
}

/* Is it time to send on what there is, and the rest as it comes? */
static bool
should_stream(struct request *r)
{
	return !r->stored && r->framing.kind == FRAMING_LENGTH && r->framing.length > STORE_MOST &&
		r->model.p && r->body_len < r->framing.length;
}

static void
begin_streaming(struct request *r)
{
	if (!attempt_can_stream(r)) {
		r->stored = true;
		return;
	}
	keep_tail(r, buf_str(&r->body));
	r->streaming = true;
	attempt_begin(r);
}

static void
stream_piece(struct request *r, struct str piece)
{
	keep_tail(r, piece);
	if (r->body_len == r->framing.length) {
		r->last = piece.p[piece.len - 1];
		piece.len--;
	}
	if (piece.len > 0)
		attempt_send(r, piece);
}

int
json_read(struct request *r, struct str piece)
{
	if (json_scan_feed(&r->scan, piece.p, piece.len) < 0) {
		attempt_close(r);
		fail_json(r);
		return -1;
	}
	return take_members(r, piece);
}

int
json_end(struct request *r)
{
	if (json_scan_end(&r->scan) < 0) {
		attempt_close(r);
		fail_json(r);
		return -1;
	}
	return take_members(r, STR(""));
}

/*
 * The store, which is full or would be with `more`, is made larger: where the length is known, for
 * all that is to come, so that it need not grow again and again; but only STORE_AHEAD times as
 * large as what came. Not for the first piece of a body that is likely to stream.
 */
static int
store_reserve(struct request *r, size_t more)
{
	uint64_t length = r->framing.length, come = buf_len(&r->body) + more;

	if (r->framing.kind != FRAMING_LENGTH || come < r->body.cap || come > length ||
		(length > STORE_MOST && buf_len(&r->body) == 0))
		return 0;
	return buf_reserve(&r->body, length / STORE_AHEAD < come ? length : come * STORE_AHEAD);
}

char *
request_room(struct request *r, size_t *size)
{
	uint64_t left = r->framing.length - r->body_len;
	size_t room;

	if (r->state != REQUEST_BODY || r->streaming || r->framing.kind != FRAMING_LENGTH ||
		r->body_len == 0 || store_reserve(r, 0) < 0)
		return NULL;
	room = r->body.cap - r->body.end;
	*size = room < left ? room : left;
	if (*size > PROXY_READ)
		*size = PROXY_READ;
	return room > 0 ? r->body.p + r->body.end : NULL;
}

/* What was read into the room of the store is there already. */
static int
store(struct request *r, struct str data)
{
	if (r->body.cap - r->body.end >= data.len && data.p == r->body.p + r->body.end) {
		buf_added(&r->body, data.len);
		return 0;
	}
	store_reserve(r, data.len); /* a failure stays, and is seen next */
	return buf_add(&r->body, data);
}

static void
take_piece(struct request *r, struct str data)
{
	size_t most = r->proxy->conf->limits.body_bytes;

	r->body_len += data.len;
	if (r->body_len > most) {
		request_refuse(r, 413,
			arena_printf(&r->arena, "the body is larger than limits.body_bytes (%zu)",
				most));
		return;
	}
	if (!r->streaming && store(r, data) < 0) {
		request_fail_memory(r);
		return;
	}
	if ((r->form ? form_read(r, data) : json_read(r, data)) < 0)
		attempt_close(r);
	else if (r->streaming)
		stream_piece(r, data);
	else if (should_stream(r))
		begin_streaming(r);
}

void
request_body(struct request *r, struct str data)
{
	if (r->state == REQUEST_OVER || data.len == 0)
		return;
	take_piece(r, data);
	if (r->framing.kind != FRAMING_LENGTH || r->body_len < r->framing.length)
		request_worked(r, clock_us(),
			clock_now_us()); /* of the last piece the attempt does */
}

void
request_body_end(struct request *r)
{
	if (r->state == REQUEST_OVER)
		return;
	if ((r->form ? form_end(r) : json_end(r)) < 0)
		attempt_close(r);
	else if (r->streaming)
		attempt_send(r, (struct str){ &r->last, 1 });
	else
		attempt_begin(r);
}
