/*
 * attempt: who is asked, and the answer on its way back.
 *
 *     route --> target --> upstream or echo --head--> held --first event or byte--> committed -->
 * end
 *                  ^-------- failed before the commit, another target left ---|
 *
 * The commit is the moment the reply's head goes to the client. Before it a failure is an honest
 * status; after it the client's dialect's error event, or a reply that is visibly cut. A stream is
 * committed by its first event, or, when the provider has sent its head and then lets the
 * heartbeat's time pass, by the first heartbeat.
 *
 * A provider is asked at the end of the turn: so the requests of a turn leave together, and who
 * waits for them is woken once for all, not once for each.
 *
 * Backpressure: when the client's backlog is above stream.buffer_bytes the provider is not read;
 * request_drained reads on. A streaming body is held up the other way round by upstream's queue.
 */
#include <string.h>

#include "json/edit.h"
#include "json/write.h"
#include "net/clock.h"
#include "proxy/account.h"
#include "proxy/admit.h"
#include "proxy/forward.h"
#include "proxy/request_private.h"

#define QUEUE_HIGH (64 * 1024) /* of a streaming body that the provider has not taken */

static void attempt_failed(struct request *r, enum upstream_end why, struct str detail, bool begun);

void
attempt_close(struct request *r)
{
	if (r->state != REQUEST_FORWARD)
		return;
	if (r->is_echo)
		echo_close(&r->echo);
	else
		upstream_close(&r->upstream);
}

void
attempt_pause(struct request *r, bool paused)
{
	r->paused = paused;
	if (r->is_echo)
		echo_pause(&r->echo, paused);
	else
		upstream_pause(&r->upstream, paused);
}

/* The head for the client, from the provider's. Its Content-Type is added at the commit, when the
 * kind of reply is certain. */
static int
compose_reply(struct request *r, const struct head *h)
{
	struct buf *text = &r->proxy->text;
	struct forward_reply f = { .upstream = h,
		.dialect = r->dialect,
		.request_id = r->id,
		.provider = r->provider->name,
		.model = r->target_model,
		.status = h->status,
		.upstream_us = (int64_t)r->upstream_us };

	f.stream = h->status == 200 && (r->stream || r->live);
	f.translated = r->chat != NULL;
	f.decoded = r->relay.decodes;
	if (r->chat)
		f.left_out = r->chat->dropped;
	f.router_us = (int64_t)(request_spent(r) - r->ready_us) - f.upstream_us;
	buf_consume(text, buf_len(text));
	forward_reply_head(text, &f);
	buf_add(text, r->fault_fields);
	if (text->failed) {
		text->failed = false;
		return -1;
	}
	r->reply_head = arena_copy(&r->asked, buf_str(text));
	return r->asked.failed || r->arena.failed ? -1 : 0;
}

static void
commit(struct request *r, enum framing kind, uint64_t length)
{
	struct buf *text = &r->proxy->text;
	struct str type = r->content_type;

	if (r->relay.mode == RELAY_TO_STREAM || (r->chat && r->stream))
		type = STR("text/event-stream; charset=utf-8");
	else if (r->relay.mode == RELAY_TO_REPLY || r->chat)
		type = STR("application/json");
	buf_consume(text, buf_len(text));
	buf_add(text, r->reply_head);
	if (type.len > 0)
		forward_field(text, STR("content-type"), type);
	r->committed = true;
	r->status = r->upstream_status;
	r->ops->reply(r->client, text->failed ? STR("") : buf_str(text), kind, length);
	text->failed = false;
	if (!r->is_echo && upstream_all_sent(&r->upstream))
		request_asked(r);
}

/* The commit of a reply that goes on: in the provider's own framing where nothing may be put in. */
static void
commit_body(struct request *r)
{
	bool own = r->relay.mode == RELAY_PASS && r->reply_framing.kind == FRAMING_LENGTH;

	if (!r->committed)
		commit(r, own ? FRAMING_LENGTH : FRAMING_CHUNKED, r->reply_framing.length);
}

static void
let_through(struct request *r, struct str data)
{
	if (data.len == 0)
		return;
	commit_body(r);
	r->ops->data(r->client, data);
	r->bytes_out += data.len;
}

/* How this provider's answers on this path are streamed. */
static const struct conf_stream *
stream_of(const struct request *r)
{
	const struct conf_endpoint *e = r->provider->by_endpoint[r->endpoint->id];

	return e ? &e->stream : &r->proxy->conf->stream;
}

static void
heartbeat_set(struct request *r)
{
	uint32_t ms = stream_of(r)->heartbeat_ms;

	r->beat_bytes = r->bytes_out;
	if (r->live && ms > 0)
		loop_timer_set(r->proxy->loop, &r->heartbeat, ms);
}

static void
heartbeat_on_due(struct loop_timer *t)
{
	struct request *r = (struct request *)((char *)t - offsetof(struct request, heartbeat));
	struct str beat = dialect_heartbeat(r->endpoint, relay_started(&r->relay));

	/* What is passed on as it is may still turn out to be another kind of reply: its framing is
	 * not fixed before its first byte. */
	if ((r->committed || r->relay.mode != RELAY_PASS) && r->ops->backlog(r->client) == 0) {
		commit_body(r);
		if (!r->relay.begun)
			let_through(r, relay_begin(&r->relay));
		if (relay_between(&r->relay) && beat.len > 0) {
			let_through(r, beat);
			account_heartbeat(r);
		}
		r->ops->flush(r->client);
		relay_settle(&r->relay);
	}
	heartbeat_set(r);
}

/* The provider refuses the key that the administrator gave: the client can do nothing about it. */
static void
key_refused(struct request *r)
{
	attempt_close(r);
	attempt_failed(r, UPSTREAM_CREDENTIAL, r->provider->api_key_name, true);
}

/* An error in another dialect than the client's. */
static void
tell_fault(struct request *r)
{
	bool told = r->relay.mode == RELAY_FAULT ? translation_fault(r) : translation_error(r);

	if (!told)
		key_refused(r);
}

/* Does a stream go to the client? */
static bool
is_live(const struct request *r, unsigned status)
{
	bool events = str_eq_nocase(head_media_type(r->content_type), STR("text/event-stream"));

	if (status != 200)
		return false;
	if (r->chat || r->endpoint->chat)
		return r->stream;
	return events;
}

static void
on_head(void *owner, const struct head *h, const struct head_framing *f)
{
	struct request *r = owner;
	struct str coding = head_value(h, STR("content-encoding"));
	struct relay_start start = { .endpoint = r->endpoint,
		.arena = &r->arena,
		.made = &r->proxy->made,
		.status = h->status,
		.stream = r->stream,
		.include_usage = r->include_usage,
		.until_close = f->kind == FRAMING_CLOSE,
		.reply_bytes = r->proxy->conf->limits.reply_bytes,
		.event_bytes = r->proxy->conf->limits.event_bytes };

	r->upstream_us = clock_us() - r->attempt_us;
	r->upstream_status = h->status;
	if (h->status == 401 && r->own_key) {
		key_refused(r);
		return;
	}
	if (h->status >= 300 && h->status < 400) {
		attempt_close(r);
		attempt_failed(r, UPSTREAM_REDIRECT, STR(""), true);
		return;
	}
	r->reply_framing = *f;
	r->content_type = arena_copy(&r->arena, head_value(h, STR("content-type")));
	r->live = is_live(r, h->status);
	if (r->chat && !translation_head(r, h)) {
		attempt_close(r);
		request_fail_memory(r);
		return;
	}
	start.content_type = r->content_type;
	start.translate = r->chat ? r->translate : NULL;
	if (coding.len > 0 && !str_eq_nocase(coding, STR("identity")))
		start.coding = arena_copy(&r->arena, coding);
	r->relaying = true;
	if (relay_open(&r->relay, &start) < 0) {
		attempt_close(r);
		attempt_failed(r, UPSTREAM_BODY, start.coding, true);
	} else if (compose_reply(r, h) < 0) {
		attempt_close(r);
		request_fail_memory(r);
	} else {
		heartbeat_set(r);
	}
}

static void
relay_failed(struct request *r, enum relay_verdict verdict)
{
	attempt_close(r);
	if (r->relay.mode == RELAY_FAULT && verdict != RELAY_MEMORY)
		tell_fault(r); /* its status is known, and what of the body came */
	else if (verdict == RELAY_MEMORY)
		attempt_failed(r, UPSTREAM_MEMORY, STR(""), true);
	else if (verdict == RELAY_TOO_LARGE)
		attempt_failed(r, UPSTREAM_BODY,
			STR("it is larger than limits.reply_bytes or limits.event_bytes"), true);
	else if (verdict == RELAY_ERROR && r->relay.mode == RELAY_TRANSLATE)
		tell_fault(r);
	else if (verdict == RELAY_ERROR)
		attempt_failed(r, UPSTREAM_ERROR, r->relay.message, true);
	else if (r->relay.mode == RELAY_TO_STREAM ||
		(r->relay.mode == RELAY_TRANSLATE && verdict != RELAY_CUT))
		attempt_failed(r, UPSTREAM_BODY, STR(""), true);
	else
		attempt_failed(r, UPSTREAM_CUT, STR(""), true);
}

static void
on_data(void *owner, struct str data)
{
	struct request *r = owner;
	struct str held, now;
	enum relay_verdict verdict = relay_take(&r->relay, data, &held, &now);

	if (r->first_byte_us == 0)
		r->first_byte_us = clock_us();
	if (verdict == RELAY_OK || r->committed) {
		let_through(r, held);
		let_through(r, now);
	}
	if (verdict != RELAY_OK) {
		relay_failed(r, verdict);
		return;
	}
	if (r->relay.leaves_with_settle)
		r->ops->flush(r->client);
	if (relay_settle(&r->relay) != RELAY_OK)
		relay_failed(r, RELAY_MEMORY);
}

static void
on_turn(void *owner)
{
	struct request *r = owner;

	r->ops->flush(r->client);
	request_worked(r, clock_us(), clock_now_us());
	if (r->state != REQUEST_FORWARD)
		return; /* the client was found gone */
	if (!r->paused && r->ops->backlog(r->client) > stream_of(r)->buffer_bytes)
		attempt_pause(r, true);
	if (r->bytes_out > r->beat_bytes) /* what the provider says is no sign of life by itself */
		heartbeat_set(r);
}

static void
on_room(void *owner)
{
	struct request *r = owner;

	r->ops->body(r->client, true);
}

/* The reply is whole: what is still here leaves, then its end. */
static void
finish(struct request *r)
{
	struct buf rest = BUF_EMPTY;
	enum relay_verdict verdict = relay_finish(&r->relay, &rest);

	if (verdict != RELAY_OK) {
		if (r->committed && r->relay.mode == RELAY_TRANSLATE && verdict != RELAY_MEMORY &&
			verdict != RELAY_TOO_LARGE)
			let_through(r, buf_str(&rest)); /* events that came before it */
		relay_failed(r, verdict);
		buf_free(&rest);
		return;
	}
	if (r->relay.mode == RELAY_FAULT) {
		tell_fault(r);
		return;
	}
	if (!r->committed && (r->relay.mode == RELAY_TO_REPLY || (r->chat && !r->stream)))
		commit(r, FRAMING_LENGTH, buf_len(&rest));
	else if (!r->committed && r->reply_framing.kind == FRAMING_NONE)
		commit(r, FRAMING_NONE, 0);
	commit_body(r);
	let_through(r, buf_str(&rest));
	if (r->relay.mode == RELAY_EVENTS && r->relay.watch.error)
		r->end = END_UPSTREAM_ERROR; /* the provider's own error event was the end */
	if (r->upstream_status >= 500)
		account_failure(r, UPSTREAM_STATUS);
	else if (r->end == END_UPSTREAM_ERROR)
		account_failure(r, UPSTREAM_ERROR);
	else
		account_success(r);
	request_end(r, true);
	buf_free(&rest);
}

static void
on_done(void *owner)
{
	finish(owner);
}

static void
on_failed(void *owner, enum upstream_end why, struct str detail, bool begun)
{
	struct request *r = owner;

	if (r->relaying && relay_answered(&r->relay) && (r->chat || r->relay.watch.ended))
		finish(r); /* the answer was whole; only the connection failed */
	else if (r->relaying && r->relay.mode == RELAY_FAULT)
		tell_fault(r); /* its status says what it is, whatever became of its text */
	else
		attempt_failed(r, why, detail, begun);
}

static const struct upstream_ops ops = {
	.head = on_head,
	.data = on_data,
	.turn = on_turn,
	.room = on_room,
	.done = on_done,
	.failed = on_failed,
};

/* Tell the client, and the log. */
static void
report_failure(struct request *r, enum upstream_end why, struct str detail, bool begun)
{
	struct error e = { .kind = upstream_end_kind(why) };
	bool final = (begun && e.kind == ERROR_TIMEOUT) || why == UPSTREAM_CREDENTIAL ||
		why == UPSTREAM_NO_CREDENTIAL;
	struct str text = upstream_end_text(why), name = r->provider->name;
	/* a provider's own words may hold anything: they are the client's alone */
	bool told = detail.len > 0 && why != UPSTREAM_ERROR;

	e.message =
		arena_printf(&r->arena, "provider %.*s: %.*s%s%.*s%s", STR_ARG(name), STR_ARG(text),
			detail.len > 0 ? " (" : "", STR_ARG(detail), detail.len > 0 ? ")" : "");
	if (!e.message.p)
		e.message = text;
	log_at(why == UPSTREAM_CREDENTIAL || why == UPSTREAM_NO_CREDENTIAL ? LEVEL_ERROR
									   : LEVEL_WARN,
		"request %.*s: %.*s: provider %.*s: %.*s%s%.*s%s", STR_ARG(r->id),
		STR_ARG(upstream_end_word(why)), STR_ARG(name), STR_ARG(text), told ? " (" : "",
		told ? (int)detail.len : 0, detail.p, told ? ")" : "");
	r->end = e.kind == ERROR_TIMEOUT ? END_TIMEOUT : END_UPSTREAM_ERROR;
	request_fail(r, &e,
		final                                ? STR("x-should-retry: false\r\n")
			: e.kind == ERROR_OVERLOADED ? STR("retry-after: 1\r\n")
						     : STR(""));
}

/* The target that is asked next, or NULL. There is one try so far: the choice among several goes by
 * weight. */
static const struct conf_target *
next_target(struct request *r)
{
	if (r->attempts > 0)
		return NULL;
	return route_choose(&r->match, (uint32_t)(proxy_random(r->proxy) >> 32));
}

/* What is sent upstream: head and body, the model's name replaced where it differs. */
static int
compose_message(struct request *r, struct upstream_message *m)
{
	bool rewritten = buf_len(&r->sent) > 0;
	struct str text = buf_str(rewritten ? &r->sent : &r->body);
	struct json_edit edit = { .before = text, .value = STR(""), .after = STR("") };
	struct buf *head = &r->proxy->text;
	struct forward_request f = { .client = &r->head,
		.provider = r->provider,
		.request_id = r->id };

	if (!rewritten && r->model.p && !str_eq(r->model, r->target_model))
		edit = json_replace(text, &r->model_token,
			r->form ? r->target_model : json_quote(&r->asked, r->target_model));
	f.endpoint = r->provider->by_endpoint[r->endpoint->id];
	f.path = r->chat ? r->chat->path : endpoint_upstream(r->endpoint, r->provider->dialect);
	f.translated = r->chat != NULL;
	f.form = r->form != NULL;
	m->more = r->streaming ? r->framing.length - r->body_len : 0;
	m->replayable = !r->streaming;
	f.length = json_edit_len(&edit) + m->more;
	buf_consume(head, buf_len(head));
	forward_request_head(head, &f);
	m->parts[0] = arena_copy(&r->asked, buf_str(head));
	m->parts[1] = edit.before;
	m->parts[2] = edit.value;
	m->parts[3] = edit.after;
	if (!head->failed && !r->asked.failed && !r->arena.failed)
		return 0;
	head->failed = false;
	return -1;
}

static void
start_echo(struct request *r)
{
	struct echo_request e = { .endpoint = r->endpoint,
		.body = buf_str(&r->body),
		.model = r->target_model,
		.stream = r->stream,
		.include_usage = r->include_usage };

	r->is_echo = true;
	echo_start(&r->echo, r->proxy, r->provider, &ops, r, &r->arena, &e);
}

void
attempt_ask(struct loop_later *later)
{
	struct request *r = (struct request *)((char *)later - offsetof(struct request, ask));

	if (r->state == REQUEST_FORWARD && !r->is_echo)
		upstream_begin(&r->upstream);
}

static void
start(struct request *r)
{
	struct upstream_message m;

	r->attempts++;
	r->attempt_us = clock_us();
	r->state = REQUEST_FORWARD;
	if (r->provider->dialect == DIALECT_ECHO) {
		start_echo(r);
		return;
	}
	r->is_echo = false;
	if (compose_message(r, &m) < 0) {
		r->upstream.state = UPSTREAM_IDLE;
		request_fail_memory(r);
		return;
	}
	upstream_start(&r->upstream, r->proxy, r->provider, &ops, r, &m);
	loop_later(r->proxy->loop, &r->ask);
}

/* The target's dialect lacks this path. */
static void
refuse_endpoint(struct request *r)
{
	struct str dialect = dialect_name(r->provider->dialect), path = r->endpoint->path;

	if (r->endpoint->id == ENDPOINT_COUNT_TOKENS)
		request_fail_text(r, ERROR_NOT_FOUND,
			STR("this model's provider does not count tokens"), STR(""));
	else if (r->endpoint->id == ENDPOINT_RESPONSES)
		request_fail_text(r, ERROR_INVALID,
			arena_printf(&r->arena,
				"the provider of `%.*s` speaks %.*s, which has no /v1/responses; use /v1/chat/completions (in the AI SDK: .chat())",
				STR_ARG(str_head(r->model, 256)), STR_ARG(dialect)),
			STR("model"));
	else
		request_fail_text(r, ERROR_INVALID,
			arena_printf(&r->arena,
				"the provider of `%.*s` speaks %.*s, which has no %.*s",
				STR_ARG(str_head(r->model, 256)), STR_ARG(dialect), STR_ARG(path)),
			STR("model"));
}

/* Ask the next target. False when there is none left, and nothing was told. */
static bool
attempt_next(struct request *r)
{
	const struct conf_target *target = next_target(r);
	bool missing;

	if (!target)
		return false;
	r->provider = target->provider;
	r->target_model = route_model(target, r->model);
	r->model_label = target->model.len > 0 ? target->label : r->match.label;
	r->chat = NULL;
	buf_free(&r->sent);
	if (translation_wanted(r->endpoint, r->provider)) {
		if (!translation_begin(r))
			return true;
	} else if (endpoint_upstream(r->endpoint, r->provider->dialect).len == 0) {
		refuse_endpoint(r);
		return true;
	}
	if (!r->chat && !translation_mend(r))
		return true;
	if (!form_takes(r, r->target_model))
		return true;
	request_spent(r);
	if (!admit_rate(r, r->provider))
		return true;
	r->own_key = forward_own_credential(&r->head, r->provider, &missing);
	if (missing) {
		r->attempts++;
		account_failure(r, UPSTREAM_NO_CREDENTIAL);
		report_failure(r, UPSTREAM_NO_CREDENTIAL, r->provider->api_key_name, false);
		return true;
	}
	start(r);
	return true;
}

static void
attempt_failed(struct request *r, enum upstream_end why, struct str detail, bool begun)
{
	account_failure(r, why);
	if (r->relaying && !r->committed) {
		request_unrelay(r);
		loop_timer_clear(r->proxy->loop, &r->heartbeat);
	}
	if (r->committed || r->streaming || !attempt_next(r))
		report_failure(r, why, detail, begun);
}

static void
refuse_model(struct request *r)
{
	struct error e = { .kind = ERROR_NOT_FOUND,
		.code = STR("model_not_found"),
		.param = STR("model") };

	e.message = arena_printf(&r->arena,
		"The model `%.*s` does not exist: no route, provider or provider/model name serves it on %.*s",
		STR_ARG(str_head(r->model, 256)), STR_ARG(r->endpoint->path));
	request_fail(r, &e, STR(""));
}

static void
refuse_forbidden(struct request *r)
{
	struct error e = { .kind = ERROR_FORBIDDEN, .param = STR("model") };

	e.message = r->model.p
		? arena_printf(&r->arena, "the client key of %.*s does not admit the model `%.*s`",
			  STR_ARG(r->key->name), STR_ARG(str_head(r->model, 256)))
		: arena_printf(&r->arena,
			  "the client key of %.*s admits some models only, and the body names no `model`",
			  STR_ARG(r->key->name));
	request_fail(r, &e, STR(""));
}

static bool
find_route(struct request *r)
{
	if (!route_admits(r->key, r->model)) {
		refuse_forbidden(r);
		return false;
	}
	if (r->match.n_targets > 0 ||
		route_find(r->proxy->conf, r->endpoint->path, r->model, &r->match))
		return true;
	if (!r->model.p)
		request_fail_text(r, ERROR_INVALID,
			r->form ? STR("the form has no field `model`")
				: STR("the body names no `model`"),
			STR("model"));
	else
		refuse_model(r);
	return false;
}

/* Does the client want the usage chunk? Only conversions need to know, so it is looked up late. */
static bool
wants_usage(struct request *r)
{
	struct str body = buf_str(&r->body);
	const struct json_token *options, *wanted;
	struct json_scan scan;
	struct str text;

	if (!r->stream || r->streaming || r->scan.n == 0)
		return false;
	options = json_member(&r->scan, body, r->scan.tokens, STR("stream_options"), NULL);
	if (!options || options->type != JSON_OBJECT)
		return false;
	text = json_raw(body, options);
	if (json_scan_text(&scan, &r->asked, text, 2, JSON_DEPTH_MAX) < 0)
		return false;
	wanted = json_member(&scan, text, scan.tokens, STR("include_usage"), NULL);
	return wanted && wanted->type == JSON_TRUE;
}

bool
attempt_can_stream(struct request *r)
{
	if (!route_admits(r->key, r->model) ||
		!route_find(r->proxy->conf, r->endpoint->path, r->model, &r->match))
		return true; /* refused at once by attempt_begin */
	for (size_t i = 0; i < r->match.n_targets; i++)
		if (r->match.targets[i].provider->dialect == DIALECT_ECHO ||
			translation_wanted(r->endpoint, r->match.targets[i].provider))
			return false;
	return true;
}

void
attempt_begin(struct request *r)
{
	r->heartbeat.on_due = heartbeat_on_due;
	r->ready_us = clock_us();
	if (!find_route(r))
		return;
	r->include_usage = wants_usage(r);
	attempt_next(r);
}

void
attempt_send(struct request *r, struct str piece)
{
	if (r->state != REQUEST_FORWARD || r->is_echo || !upstream_is_open(&r->upstream))
		return;
	upstream_send(&r->upstream, piece);
	if (r->state == REQUEST_FORWARD && upstream_queued(&r->upstream) > QUEUE_HIGH)
		r->ops->body(r->client, false);
}
