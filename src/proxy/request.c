/*
 * request: the life of one HTTP request.
 *
 *     new --> BODY --> FORWARD --> OVER --> free (log line)
 *      `--- answered here, refused ---^
 *
 * The client's connection makes it from a head, feeds it the body and frees it when the reply has
 * left or the client has gone. It tells the client through struct request_ops. Its memory is an
 * arena, the stored body, and a second arena which is given back with the body once the reply has
 * begun: a stream that is open for minutes keeps what the log will tell, and no more. Every way to
 * the end passes request_end (or request_gone) once, and request_free writes its line in the access
 * log.
 *
 * The parts: request.c life, own replies, errors; request_body.c the JSON of the body,
 * request_form.c a form; attempt.c route, attempts, relay.
 */
#include "proxy/request.h"

#include <inttypes.h>
#include <string.h>

#include "net/clock.h"
#include "proxy/forward.h"
#include "proxy/request_private.h"

#define LINE_MOST 16384 /* of the access log */
/* From the first line that waits to the write of all: at full load 32 KiB are there sooner; at less
 * it is a write for each hundredth of a second, and nobody who follows the log sees it. */
#define GATHER_MS 10
/* Room for the members of a usual body, the head that is sent and that of the reply. */
#define ASKED_FIRST 2048
/* Of a body's top level: more is no request, but an attack on memory. */
#define MEMBERS_MOST 32768

void
request_asked(struct request *r)
{
	buf_free(&r->body);
	buf_free(&r->sent);
	arena_free(&r->asked);
}

static void
request_destroy(struct loop_later *later)
{
	struct request *r = (struct request *)((char *)later - offsetof(struct request, freed));

	request_asked(r);
	arena_free(&r->arena);
	mem_put(r, sizeof *r);
}

/* Four bytes as eight digits: half a byte in each, and those over 9 moved on to the letters. */
static uint64_t
hex_digits(uint32_t bytes)
{
	const uint64_t ones = ~UINT64_C(0) / 255;
	uint64_t n = bytes;

	n = (n | n << 16) & 0x0000ffff0000ffff;
	n = (n | n << 8) & 0x00ff00ff00ff00ff;
	n = (n | n << 4) & ones * 0x0f;
	return n + ones * '0' + ((n + ones * 6) >> 4 & ones) * ('a' - '0' - 10);
}

/* 32 hex digits. */
static struct str
random_id(struct request *r)
{
	char *id = arena_alloc(&r->arena, 32), *end = id ? id + 32 : NULL;

	for (char *at = id; at < end; at += 16) {
		uint64_t bits = proxy_random(r->proxy);
		uint64_t digits[2] = { hex_digits((uint32_t)bits),
			hex_digits((uint32_t)(bits >> 32)) };

		memcpy(at, digits, sizeof digits);
	}
	return (struct str){ id, id ? 32 : 0 };
}

void
request_make_id(struct request *r)
{
	r->id = random_id(r);
}

void
request_set_id(struct request *r)
{
	struct str name = STR("x-request-id"), given = head_value(&r->head, name);
	bool usable = given.len >= 1 && given.len <= 128 && !head_hop_by_hop(&r->head, name);

	for (size_t i = 0; usable && i < given.len; i++)
		usable = given.p[i] > 0x20 && given.p[i] < 0x7f;
	r->id = usable ? given : random_id(r);
}

/* "//v1/models/" is "/v1/models". */
static size_t
normalise(char *path, size_t len)
{
	size_t to = 0;

	for (size_t i = 0; i < len; i++)
		if (path[i] != '/' || to == 0 || path[to - 1] != '/')
			path[to++] = path[i];
	while (to > 1 && path[to - 1] == '/')
		to--;
	return to;
}

static int
set_path(struct request *r)
{
	r->path = r->head.path;
	r->endpoint = endpoint_find(r->path);
	if (!r->endpoint) { /* it may be an endpoint's in another way of writing */
		char *path = arena_alloc(&r->arena, r->path.len + 1);
		long len = path ? head_path_decode(r->path, path) : -1;

		if (len < 0)
			return -1;
		r->path = (struct str){ path, normalise(path, (size_t)len) };
		r->endpoint = endpoint_find(r->path);
	}
	r->path_number = r->endpoint ? PATH_ENDPOINTS + r->endpoint->id : path_number(r->path);
	r->dialect = dialect_of_path(r->path);
	return 0;
}

/* The dialect of a head that may be broken: of what stands second in its first line. */
static enum dialect_id
likely_dialect(struct str head)
{
	struct str path = str_skip(head, str_index(head, ' ') + 1);
	size_t len = 0;

	while (len < path.len && path.p[len] > ' ' && path.p[len] != '?')
		len++;
	return dialect_of_path(str_head(path, len));
}

/* The head, parsed from the arena's own copy; its fields moved there too. */
static void
read_head(struct request *r, struct str text, enum head_fault *fault)
{
	struct proxy *p = r->proxy;
	struct field *fields;

	r->head.fields = p->fields;
	r->head.cap = p->conf->limits.headers;
	if (head_parse_request(&r->head, text, fault) < 0) {
		r->head.fields = NULL; /* what is known of the first line is for the log */
		r->head.n = r->head.cap = 0;
		r->dialect = likely_dialect(text);
		return;
	}
	fields = arena_alloc(&r->arena, r->head.n * sizeof *fields);
	if (!fields)
		return; /* the arena has failed, which request_new looks at */
	if (r->head.n > 0)
		memcpy(fields, r->head.fields, r->head.n * sizeof *fields);
	r->head.fields = fields;
	r->head.cap = r->head.n;
	if (set_path(r) < 0) {
		*fault = HEAD_TARGET;
		r->dialect = likely_dialect(text);
	} else {
		head_framing_request(&r->head, &r->framing, fault);
	}
}

static struct request *
request_alloc(struct proxy *p, const struct request_start *start)
{
	struct request *r = mem_zero(sizeof *r, offsetof(struct request, scan));

	if (!r)
		return NULL;
	r->proxy = p;
	r->ops = start->ops;
	r->client = start->client;
	r->client_ip = start->client_ip;
	r->admin = start->admin;
	r->began_us = start->began_us;
	r->began_wall_ms = start->began_wall_ms;
	r->freed.run = request_destroy;
	r->ask.run = attempt_ask;
	r->end = END_COMPLETE;
	arena_init(&r->arena, p->conf->limits.reply_bytes + p->conf->limits.body_bytes);
	arena_init(&r->asked, r->arena.limit);
	r->asked.first = ASKED_FIRST;
	return r;
}

struct request *
request_new_broken(struct proxy *p, const struct request_start *start)
{
	struct request *r = request_alloc(p, start);

	if (r) {
		r->dialect = likely_dialect(start->head);
		request_set_id(r);
	}
	return r;
}

struct request *
request_new(struct proxy *p, const struct request_start *start, enum head_fault *fault)
{
	struct request *r = request_alloc(p, start);
	struct str text;

	*fault = HEAD_OK;
	if (!r)
		return NULL;
	text = arena_copy(&r->arena, start->head);
	if (text.p) {
		read_head(r, text, fault);
		request_set_id(r);
	}
	if (r->arena.failed) {
		request_destroy(&r->freed);
		return NULL;
	}
	return r;
}

void
request_unrelay(struct request *r)
{
	if (!r->relaying)
		return;
	r->has_usage = relay_usage(&r->relay, &r->usage); /* kept for the account */
	relay_close(&r->relay);
	r->relaying = false;
}

void
request_worked(struct request *r, uint64_t from_us, uint64_t to_us)
{
	if (from_us < r->worked_us)
		from_us = r->worked_us;
	if (to_us <= from_us)
		return;
	r->overhead_us += to_us - from_us;
	r->worked_us = to_us;
}

uint64_t
request_spent(struct request *r)
{
	uint64_t from_us = clock_us(), now_us = clock_again();

	request_worked(r, from_us, now_us);
	return now_us;
}

void
request_end(struct request *r, bool whole)
{
	attempt_close(r); /* whoever asks for the end: nothing is told to a request that is over */
	r->state = REQUEST_OVER;
	if (!r->committed)
		r->status = 503; /* there was no memory for a reply: the client's side has one that
				    needs none */
	loop_timer_clear(r->proxy->loop, &r->heartbeat);
	r->ops->end(r->client,
		whole); /* sends what is gathered, which may lie in the buffers that go now */
	request_unrelay(r);
	request_asked(r);
	request_spent(r);
}

void
request_answer(struct request *r, unsigned status, struct str type, struct str body,
	struct str extra)
{
	struct buf *text = &r->proxy->text;
	struct forward_reply f = { .dialect = r->dialect,
		.request_id = r->id,
		.status = status,
		.upstream_us = -1,
		.router_us = (int64_t)(clock_us() - r->began_us) };

	if (r->attempts > 0) {
		f.provider = r->provider->name;
		f.model = r->target_model;
	}
	if (r->chat)
		f.left_out = r->chat->dropped;
	buf_consume(text, buf_len(text));
	forward_reply_head(text, &f);
	if (type.len > 0)
		forward_field(text, STR("content-type"), type);
	buf_add(text, extra);
	if (text->failed) {
		text->failed = false;
		request_end(r, false);
		return;
	}
	r->status = status;
	r->committed = true;
	r->ops->reply(r->client, buf_str(text), status == 204 ? FRAMING_NONE : FRAMING_LENGTH,
		body.len);
	if (body.len > 0)
		r->ops->data(r->client, body);
	r->bytes_out += str_eq(r->head.method, STR("HEAD")) ? 0 : body.len;
	request_end(r, true);
}

/* After the commit: the error event where one can stand. The end does not look whole, but where the
 * event tells the provider's own: some clients lose what came right before a broken end. */
static void
fail_committed(struct request *r, const struct error *e)
{
	struct buf event = BUF_EMPTY;
	bool told = false;

	if (r->relaying && r->endpoint && relay_between(&r->relay) &&
		error_event(&event, e, r->endpoint, r->id) == 0) {
		r->ops->data(r->client, buf_str(&event));
		r->bytes_out += buf_len(&event);
		told = r->told_error;
	}
	request_end(r, told);
	buf_free(&event);
}

void
request_fail(struct request *r, const struct error *e, struct str extra)
{
	if (r->state == REQUEST_OVER)
		return;
	if (r->end == END_COMPLETE)
		r->end = END_REFUSED;
	request_tell(r, e, extra);
}

void
request_tell(struct request *r, const struct error *e, struct str extra)
{
	struct buf body = BUF_EMPTY;

	if (r->committed) {
		fail_committed(r, e);
		return;
	}
	if (error_body(&body, e, r->dialect, r->id) == 0)
		request_answer(r, error_status(e, r->dialect), STR("application/json"),
			buf_str(&body), extra);
	else
		request_end(r, false);
	buf_free(&body);
}

void
request_fail_text(struct request *r, enum error_kind kind, struct str message, struct str param)
{
	struct error e = { .kind = kind, .message = message, .param = param };

	if (message.p)
		request_fail(r, &e, STR(""));
	else
		request_fail_memory(r);
}

void
request_fail_memory(struct request *r)
{
	struct error e = { .kind = ERROR_OVERLOADED,
		.message = STR("the router has no memory left for the request (limits.memory)") };

	request_fail(r, &e, STR("retry-after: 1\r\n"));
}

void
request_refuse(struct request *r, unsigned status, struct str message)
{
	struct error e = { .kind = status == 413 ? ERROR_TOO_LARGE
			: status == 503          ? ERROR_OVERLOADED
						 : ERROR_INVALID,
		.status = status == 400 || status == 503 ? 0 : status,
		.message = message };

	attempt_close(r);
	request_fail(r, &e, status == 503 ? STR("retry-after: 1\r\n") : STR(""));
}

/* What can be said against the body before it comes. */
static bool
body_acceptable(struct request *r)
{
	struct str coding = head_value(&r->head, STR("content-encoding"));
	size_t most = r->proxy->conf->limits.body_bytes;

	if (coding.len > 0 && !str_eq_nocase(coding, STR("identity"))) {
		request_refuse(r, 415,
			arena_printf(&r->arena,
				"a request body coded as %.*s is not read here; send it plain",
				STR_ARG(str_head(coding, 64))));
		return false;
	}
	if (r->framing.kind == FRAMING_NONE && !head_field(&r->head, STR("content-length"))) {
		request_refuse(r, 411,
			STR("a request to this path has a body: send it with Content-Length or chunked"));
		return false;
	}
	if (r->framing.kind == FRAMING_LENGTH && r->framing.length > most) {
		request_refuse(r, 413,
			arena_printf(&r->arena,
				"the body has %" PRIu64 " bytes, more than limits.body_bytes (%zu)",
				r->framing.length, most));
		return false;
	}
	return true;
}

void
request_begin(struct request *r)
{
	if (!body_acceptable(r))
		return;
	if (r->endpoint->form && !form_begin(r))
		return;
	json_scan_init(&r->scan, &r->asked, 2, (unsigned)r->proxy->conf->limits.json_depth);
	r->scan.n_max = MEMBERS_MOST * 2;
	r->ops->body(r->client, true);
}

void
request_drained(struct request *r)
{
	if (r->state == REQUEST_FORWARD && r->paused)
		attempt_pause(r, false);
}

void
request_gone(struct request *r, enum access_end why)
{
	if (r->state != REQUEST_OVER) {
		attempt_close(r);
		request_unrelay(r);
		loop_timer_clear(r->proxy->loop, &r->heartbeat);
	}
	if (r->end == END_COMPLETE)
		r->end = (uint8_t)why;
	r->state = REQUEST_OVER;
}

void
request_stop(struct request *r)
{
	struct error e = { .kind = ERROR_OVERLOADED,
		.message = STR("the router is being stopped") };

	if (r->state == REQUEST_OVER)
		return;
	attempt_close(r);
	request_fail(r, &e, STR("retry-after: 1\r\n"));
}

static int64_t
since(const struct request *r, uint64_t us)
{
	return us > 0 ? (int64_t)(us - r->began_us) : -1;
}

static void
write_line(struct request *r)
{
	struct access_entry entry = {
		.wall_ms = r->began_wall_ms,
		.request_id = r->id,
		.client_ip = r->client_ip,
		.client = r->key ? r->key->name : STR(""),
		.method = r->head.method,
		.path = r->head.path,
		.version = !r->head.method.p ? STR("")
			: r->head.minor > 0  ? STR("HTTP/1.1")
					     : STR("HTTP/1.0"),
		.model = r->model,
		.status = r->status > 0 ? (int)r->status : -1,
		.upstream_status = r->upstream_status > 0 ? (int)r->upstream_status : -1,
		.attempts = (int)r->attempts,
		.stream = r->stream,
		.bytes_in = (int64_t)r->body_len,
		.bytes_out = (int64_t)r->bytes_out,
		.latency_us = (int64_t)(clock_us() - r->began_us),
		.upstream_us = r->upstream_us > 0 ? (int64_t)r->upstream_us : -1,
		.first_byte_us = since(r, r->first_byte_us),
		.usage = r->has_usage ? &r->usage : NULL,
		.end = r->end,
		.worker = (int)r->proxy->pid,
	};
	static char line[LINE_MOST];
	struct proxy *p = r->proxy;

	if (r->attempts > 0) {
		entry.provider = r->provider->name;
		entry.target_model = r->target_model;
	}
	if (p->conf->access_log.format != FORMAT_JSON) {
		struct str referer = head_value(&r->head, STR("referer"));

		entry.user_agent = head_value(&r->head, STR("user-agent"));
		entry.referer =
			str_head(referer, str_index(referer, '?')); /* no value of a query */
	}
	sink_line(p->access, LEVEL_INFO,
		(struct str){ line,
			access_line(line, sizeof line, p->conf->access_log.format, &entry) });
	if (p->access->pending_len == 0)
		loop_timer_rest(&p->log_flush);
	else if (p->log_flush.due == 0)
		loop_timer_set(p->loop, &p->log_flush, GATHER_MS);
}

void
request_free(struct request *r)
{
	write_line(r);
	account_request(r);
	loop_later(r->proxy->loop, &r->freed);
}
