/*
 * echo: a provider that answers itself.
 *
 *     start -- first_byte --> head, first words -- interval --> next word … --> end of stream -->
 * done
 *
 * It reads the client's request with the tokeniser, as a provider would, and answers chat
 * completions, completions, embeddings and Anthropic messages, whole or streamed, with usage (its
 * tokens are words). What it cannot read it answers with that dialect's own 400. It holds nothing
 * but slices of the request and the arena of its owner; out of memory it fails like any provider.
 */
#include "proxy/echo.h"

#include <inttypes.h>
#include <string.h>

#include "dialect/dialect.h"
#include "json/read.h"
#include "net/clock.h"

#define DEPTH 1024
#define AT_ONCE 16384 /* bytes said in one turn when there is no interval */

/* Words as runs of anything but white space. */
static uint64_t
count_words(struct str s)
{
	uint64_t n = 0;
	bool in_word = false;

	for (size_t i = 0; i < s.len; i++) {
		bool space = s.p[i] == ' ' || s.p[i] == '\n' || s.p[i] == '\t' || s.p[i] == '\r';

		n += !space && !in_word;
		in_word = !space;
	}
	return n;
}

/* The text of a content: a string, or the text parts of an array, joined. p NULL: it is neither. */
static struct str
content_text(const struct json_scan *scan, struct str body, const struct json_token *t,
	struct arena *a)
{
	struct buf all = BUF_EMPTY;
	struct str text = { NULL, 0 };
	const struct json_token *part, *end;

	if (t->type == JSON_STRING)
		return json_string(body, t, a, NULL);
	if (t->type != JSON_ARRAY)
		return text;
	end = scan->tokens + t->next;
	for (part = t + 1; part < end; part = scan->tokens + part->next) {
		const struct json_token *v = part->type == JSON_OBJECT
			? json_member(scan, body, part, STR("text"), NULL)
			: part;

		if (v && v->type == JSON_STRING)
			buf_add(&all, json_string(body, v, a, NULL));
	}
	if (!all.failed)
		text = arena_copy(a, buf_str(&all));
	buf_free(&all);
	return text;
}

/* The last user message, and the words of all messages. */
static struct str
last_message(struct echo *e, const struct json_scan *scan, const struct json_token *messages)
{
	struct str body = e->reply.request.body, text = { NULL, 0 };
	const struct json_token *m, *end = scan->tokens + messages->next;

	if (messages->type != JSON_ARRAY)
		return text;
	for (m = messages + 1; m < end; m = scan->tokens + m->next) {
		const struct json_token *role, *content;
		struct str said;

		if (m->type != JSON_OBJECT)
			continue;
		role = json_member(scan, body, m, STR("role"), NULL);
		content = json_member(scan, body, m, STR("content"), NULL);
		said = content ? content_text(scan, body, content, e->reply.arena) : text;
		if (!content || !said.p)
			continue;
		e->reply.prompt_words += count_words(said);
		if (role && role->type == JSON_STRING && json_string_is(body, role, STR("user")))
			text = said;
	}
	return text;
}

/* What is to be said. False when the request is not one that can be answered. */
static bool
read_request(struct echo *e, const struct json_scan *scan)
{
	bool prompt = e->reply.request.endpoint->id == ENDPOINT_COMPLETIONS;
	const struct json_token *t = json_member(scan, e->reply.request.body, scan->tokens,
		prompt ? STR("prompt") : STR("messages"), NULL);

	if (!t)
		return false;
	if (prompt) {
		e->reply.text = content_text(scan, e->reply.request.body, t, e->reply.arena);
		e->reply.prompt_words = count_words(e->reply.text);
	} else {
		e->reply.text = last_message(e, scan, t);
	}
	return e->reply.text.p != NULL;
}

static void
tell_head(struct echo *e, unsigned status, struct str type, enum framing kind, uint64_t length)
{
	struct field field = { STR("content-type"), type };
	struct head h = { .status = status,
		.reason = STR("OK"),
		.minor = 1,
		.fields = &field,
		.n = 1,
		.cap = 1 };
	struct head_framing f = { .kind = kind, .length = length, .keep_alive = true };

	if (status != 200)
		h.reason = STR("Bad Request");
	e->ops->head(e->owner, &h, &f);
}

static void
echo_done(struct echo *e)
{
	e->open = false;
	e->ops->done(e->owner);
}

static void
echo_failed(struct echo *e)
{
	e->open = false;
	e->ops->failed(e->owner, UPSTREAM_MEMORY, STR(""), false);
}

static void
answer_whole(struct echo *e, unsigned status, struct buf *body)
{
	if (body->failed || e->reply.arena->failed) {
		echo_failed(e);
		return;
	}
	tell_head(e, status, STR("application/json"), FRAMING_LENGTH, buf_len(body));
	if (e->open && buf_len(body) > 0)
		e->ops->data(e->owner, buf_str(body));
	if (e->open)
		echo_done(e);
}

static void
answer_refusal(struct echo *e, struct buf *body)
{
	struct error error = { .kind = ERROR_INVALID };

	error.param = e->reply.request.endpoint->id == ENDPOINT_COMPLETIONS ? STR("prompt")
		: e->reply.request.endpoint->id == ENDPOINT_EMBEDDINGS      ? STR("input")
									    : STR("messages");
	error.message = STR("echo: there is no text to answer in this request");
	error_body(body, &error, e->reply.request.endpoint->client, STR(""));
	answer_whole(e, 400, body);
}

/* Bytes of the next word with the white space before it. */
static size_t
word_len(struct str rest)
{
	size_t i = 0;

	while (i < rest.len && (rest.p[i] == ' ' || rest.p[i] == '\n'))
		i++;
	while (i < rest.len && rest.p[i] != ' ' && rest.p[i] != '\n')
		i++;
	return i;
}

static bool
tell(struct echo *e, struct buf *events)
{
	if (events->failed) {
		echo_failed(e);
		return false;
	}
	if (buf_len(events) > 0)
		e->ops->data(e->owner, buf_str(events));
	return e->open;
}

/* The next part of a stream: its beginning, words, its end. */
static void
say(struct echo *e)
{
	struct buf events = BUF_EMPTY;
	size_t stop = e->said + AT_ONCE;
	bool one = e->provider->echo_interval_ms > 0;

	if (!e->begun) {
		tell_head(e, 200, STR("text/event-stream; charset=utf-8"), FRAMING_CHUNKED, 0);
		if (!e->open)
			return;
		e->begun = true;
		echo_stream_begin(&e->reply, &events);
	}
	while (e->said < e->reply.text.len && e->said < stop) {
		size_t len = word_len(str_skip(e->reply.text, e->said));

		echo_stream_word(&e->reply, &events,
			str_head(str_skip(e->reply.text, e->said), len));
		e->said += len;
		if (one)
			break;
	}
	if (e->said == e->reply.text.len)
		echo_stream_end(&e->reply, &events);
	if (tell(e, &events) && e->said == e->reply.text.len)
		echo_done(e);
	else if (e->open)
		e->ops->turn(e->owner);
	if (e->open && !e->paused)
		loop_timer_set(e->proxy->loop, &e->timer, e->provider->echo_interval_ms);
	buf_free(&events);
}

static void
answer(struct echo *e)
{
	struct json_scan scan;
	struct buf body = BUF_EMPTY;
	bool read = json_scan_text(&scan, e->reply.arena, e->reply.request.body, UINT32_MAX,
			    DEPTH) == 0;

	if (read && e->reply.request.endpoint->id == ENDPOINT_EMBEDDINGS) {
		if (echo_embeddings(&e->reply, &scan, &body) < 0)
			answer_refusal(e, &body);
		else
			answer_whole(e, 200, &body);
	} else if (!read || !read_request(e, &scan)) {
		answer_refusal(e, &body);
	} else {
		e->reply.words = count_words(e->reply.text);
		if (e->reply.request.stream) {
			say(e);
		} else {
			echo_whole(&e->reply, &body);
			answer_whole(e, 200, &body);
		}
	}
	buf_free(&body);
}

static void
echo_on_due(struct loop_timer *t)
{
	struct echo *e = (struct echo *)((char *)t - offsetof(struct echo, timer));

	if (e->begun)
		say(e);
	else
		answer(e);
}

void
echo_start(struct echo *e, struct proxy *p, const struct conf_provider *provider,
	const struct upstream_ops *ops, void *owner, struct arena *arena,
	const struct echo_request *r)
{
	*e = (struct echo){ .proxy = p,
		.provider = provider,
		.ops = ops,
		.owner = owner,
		.reply.request = *r,
		.reply.arena = arena,
		.open = true,
		.timer.on_due = echo_on_due };
	e->reply.id = proxy_random(p);
	e->reply.created_s = clock_wall_ms() / 1000;
	loop_timer_set(p->loop, &e->timer, provider->echo_first_byte_ms);
}

void
echo_pause(struct echo *e, bool paused)
{
	if (!e->open || e->paused == paused)
		return;
	e->paused = paused;
	if (paused)
		loop_timer_clear(e->proxy->loop, &e->timer);
	else
		loop_timer_set(e->proxy->loop, &e->timer, e->provider->echo_interval_ms);
}

void
echo_close(struct echo *e)
{
	if (!e->open)
		return;
	e->open = false;
	loop_timer_clear(e->proxy->loop, &e->timer);
}
