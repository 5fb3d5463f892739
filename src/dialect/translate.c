/*
 * translate: the table of adapters, and the way of an answer between them:
 *
 *     provider's bytes -> read_event or read_reply -> events -> filter -> write_event (a stream)
 *                                                                     -> chat_reply -> write_reply
 *
 * So whichever way the provider answers, whole or streamed, the client gets what it asked for, and
 * the pieces of a stream are the same as the whole reply. The filter undoes what the request did to
 * tools: names that were shortened, custom tools sent as functions, and the tool that stood in for
 * a response format.
 *
 * Called by the proxy. Never blocks, keeps nothing but what is in the request's arena; tokens and
 * events of one event of the stream live in the scratch arena, which the attempts share: each
 * leaves it rewound, so that a large event costs the worker nothing afterwards.
 */
#include "dialect/translate.h"

#include <string.h>

#include "dialect/anthropic.h"
#include "dialect/anthropic_client.h"
#include "dialect/cohere.h"
#include "dialect/completions.h"
#include "dialect/embed.h"
#include "dialect/gemini.h"
#include "dialect/ollama.h"
#include "dialect/openai.h"
#include "dialect/openai_client.h"
#include "json/edit.h"

static const struct chat_provider *const providers[] = {
	[DIALECT_OPENAI] = &openai_provider,
	[DIALECT_ANTHROPIC] = &anthropic_provider,
	[DIALECT_GEMINI] = &gemini_provider,
	[DIALECT_COHERE] = &cohere_provider,
	[DIALECT_OLLAMA] = &ollama_provider,
	[DIALECT_ECHO] = NULL,
};

static const struct chat_client *
client_of(const struct endpoint *e)
{
	switch (e->id) {
	case ENDPOINT_CHAT:
		return &openai_client;
	case ENDPOINT_COMPLETIONS:
		return &completions_client;
	case ENDPOINT_MESSAGES:
		return &anthropic_client;
	default:
		return NULL;
	}
}

bool
translate_can(const struct endpoint *e, enum dialect_id provider)
{
	if (e->id == ENDPOINT_EMBEDDINGS)
		return embed_can(provider);
	return client_of(e) && providers[provider];
}

/* Key and value as they stand. */
static struct str
member_of(const struct json_doc *d, const struct json_token *key)
{
	struct str name = json_doc_raw(d, key), value = json_doc_raw(d, key + 1);

	return (struct str){ name.p, (size_t)(value.p + value.len - name.p) };
}

/* The body without the top-level fields that the administrator takes out. */
static int
strip(struct chat *c, struct buf *out, size_t from)
{
	struct str body = str_skip(buf_str(out), from);
	const struct json_token *top, *key;
	struct buf kept = BUF_EMPTY;
	struct json_writer w;
	struct json_doc d;

	if (json_doc_read(&d, c->arena, body, 2, JSON_DEPTH_MAX) < 0)
		return -1;
	json_writer_init(&w, &kept);
	json_object(&w);
	top = json_doc_top(&d);
	for (key = json_first(&d, top); key; key = json_next(&d, top, key)) {
		bool out_of_it = false;

		for (size_t i = 0; i < c->options->n_strip; i++)
			out_of_it |= json_doc_is(&d, key, c->options->strip[i]);
		if (out_of_it)
			chat_drop(c, json_doc_inner(&d, key));
		else
			json_value(&w, member_of(&d, key));
	}
	json_object_end(&w);
	out->end = out->start + from;
	buf_add(out, buf_str(&kept));
	out->failed |= kept.failed;
	buf_free(&kept);
	return 0;
}

int
translate_request(struct chat *c, struct str body, struct buf *out)
{
	const struct chat_client *client = client_of(c->endpoint);
	struct chat_request q = { .n = 1 };
	size_t from = buf_len(out);

	c->names = NULL;
	c->dropped = c->path = STR("");
	c->error = (struct error){ .kind = ERROR_INVALID };
	if (!buf_room(out,
		    body.len + body.len / 8 + 1024)) /* mostly, it is written without growing */
		return chat_no_memory(c);
	if (!client) {
		if (embed_request(c, body, out) < 0)
			return -1;
	} else if (client->read_request(c, &q, body) < 0) {
		return -1;
	} else if (c->unasked) {
		return 0;
	} else if (providers[c->provider]->write_request(c, &q, out) < 0 ||
		chat_report_dropped(c, &q) < 0) {
		return -1;
	}
	if (c->options->n_strip > 0 && !out->failed && strip(c, out, from) < 0)
		return chat_no_memory(c);
	return out->failed || c->arena->failed ? chat_no_memory(c) : 0;
}

int
translate_open(struct translate *t, struct chat *c)
{
	*t = (struct translate){ .chat = c, .usage = CHAT_USAGE_NONE.tokens };
	t->client = client_of(c->endpoint);
	t->provider = providers[c->provider];
	if (!t->client)
		return 0;
	t->reader = t->provider->open(c);
	t->writer = t->client->open(c);
	return t->reader && t->writer ? 0 : -1;
}

bool
translate_by_lines(const struct translate *t)
{
	return t->provider->lines;
}

/*
 * The filter
 */

static bool
lacks_memory(const struct translate *t)
{
	return t->chat->arena->failed || t->chat->scratch->failed;
}

static enum translate_verdict
out_of_memory(const struct translate *t)
{
	return t->chat->arena->full || t->chat->scratch->full ? TRANSLATE_TOO_LARGE
							      : TRANSLATE_MEMORY;
}

/* Hand an event on to the client's side. `copy`: its text will not stay. */
static int
pass_on(struct translate *t, const struct chat_event *ev, bool copy, struct buf *out)
{
	size_t before = buf_len(out);

	if (!t->chat->stream)
		return chat_reply_add(t->chat, &t->reply, ev, copy);
	t->client->write_event(t->chat, t->writer, ev, out);
	t->started |= buf_len(out) > before;
	return out->failed || lacks_memory(t) ? -1 : 0;
}

/* A name may be there twice, and custom in one of them alone. */
static const struct chat_name *
name_of(const struct chat *c, struct str upstream)
{
	const struct chat_name *found = NULL;

	for (const struct chat_name *n = c->names; n && !(found && found->custom); n = n->next)
		if ((!found || n->custom) && str_eq(n->upstream, upstream))
			found = n;
	return found;
}

static int
open_call(struct translate *t, struct chat_event *ev, bool copy, struct buf *out)
{
	struct chat *c = t->chat;
	const struct chat_name *n = name_of(c, ev->name);

	t->in_json = c->json_tool && str_eq(ev->name, STR(CHAT_JSON_TOOL));
	t->in_custom = !t->in_json && n && n->custom;
	if (t->in_json)
		return 0;
	if (n)
		ev->name = n->client;
	if (!t->in_custom)
		return pass_on(t, ev, copy, out);
	/* custom calls are told when their input is whole */
	t->call = *ev;
	t->call.custom = true;
	t->call.id = arena_copy(c->arena, ev->id);
	t->call.signature = arena_copy(c->arena, ev->signature);
	t->held_len = 0;
	return c->arena->failed ? -1 : 0;
}

static int
hold(struct translate *t, struct str text)
{
	size_t need = t->held_len + text.len;

	if (need > t->held_cap) {
		size_t cap = need < SIZE_MAX / 4 ? need * 2 + 256 : need;
		char *p = arena_grow(t->chat->arena, t->held, t->held_cap, cap);

		if (!p)
			return -1;
		t->held = p;
		t->held_cap = cap;
	}
	if (text.len > 0)
		memcpy(t->held + t->held_len, text.p, text.len);
	t->held_len = need;
	return 0;
}

static int
hold_arguments(struct translate *t, const struct chat_event *ev)
{
	struct str text = ev->plain ? chat_escape(t->chat->scratch, ev->text) : ev->text;

	return text.p || !ev->plain ? hold(t, text) : -1;
}

/* The one string of a custom call's arguments; what is no such object is the input itself. */
static struct str
custom_input(struct translate *t)
{
	struct arena *a = t->chat->scratch;
	struct str text = { t->held, t->held_len }, plain = json_unescape(text, a);
	const struct json_token *input;
	struct json_doc d;

	if (!plain.p || json_doc_read(&d, a, plain, 2, JSON_DEPTH_MAX) < 0)
		return text;
	input = json_get_type(&d, json_doc_top(&d), STR("input"), JSON_STRING);
	return input ? json_doc_inner(&d, input) : text;
}

/* A call ends: a custom one is told now. */
static int
close_call(struct translate *t, struct buf *out)
{
	struct chat_event args = { .type = EVENT_ARGUMENTS, .custom = true };

	t->in_json = false;
	if (!t->in_custom)
		return 0;
	t->in_custom = false;
	args.choice = t->call.choice;
	args.text = custom_input(t);
	t->call.joined = args.text.len > 0;
	if (t->chat->scratch->failed || pass_on(t, &t->call, true, out) < 0)
		return -1;
	return args.text.len > 0 ? pass_on(t, &args, true, out) : 0;
}

static int
filter(struct translate *t, struct chat_event *ev, bool copy, struct buf *out)
{
	bool in_call = t->in_json || t->in_custom,
	     aside = ev->type == EVENT_USAGE || ev->type == EVENT_LOGPROBS ||
		ev->type == EVENT_CITATION;

	if (ev->type == EVENT_ARGUMENTS && t->in_custom)
		return hold_arguments(t, ev);
	if (ev->type == EVENT_ARGUMENTS && t->in_json)
		ev->type = EVENT_TEXT;
	else if (in_call && !aside && close_call(t, out) < 0)
		return -1;
	if (ev->type == EVENT_CALL)
		return open_call(t, ev, copy, out);
	if (ev->type == EVENT_USAGE) {
		t->usage = ev->usage.tokens;
		t->has_usage = t->usage.input >= 0 || t->usage.output >= 0;
	}
	t->done |= ev->type == EVENT_DONE;
	return pass_on(t, ev, copy, out);
}

/*
 * The answer
 */

static enum translate_verdict
take(struct translate *t, struct chat_events *events, bool copy, struct buf *out)
{
	if (events->failed)
		return out_of_memory(t);
	for (size_t i = 0; i < events->n && !t->done; i++) {
		struct chat_event *ev = &events->all[i];

		ev->joined = ev->type == EVENT_CALL && i + 1 < events->n &&
			ev[1].type == EVENT_ARGUMENTS && ev[1].choice == ev->choice;
		if (ev->type == EVENT_ERROR) {
			t->error = ev->error;
			t->error.message = arena_copy(t->chat->arena, t->error.message);
			t->error.code = arena_copy(t->chat->arena, t->error.code);
			t->error.param = arena_copy(t->chat->arena, t->error.param);
			return t->chat->arena->failed ? out_of_memory(t) : TRANSLATE_ERROR;
		}
		if (filter(t, ev, copy, out) < 0)
			return out_of_memory(t);
	}
	return t->done ? TRANSLATE_DONE : TRANSLATE_OK;
}

static enum translate_verdict
unread(const struct translate *t)
{
	return lacks_memory(t) ? out_of_memory(t) : TRANSLATE_UNREADABLE;
}

static enum translate_verdict
read_pending(struct translate *t)
{
	struct sse_event ev = { .data = like_pending(&t->like), .has_data = true };
	struct chat_events events = { 0 };
	struct buf none = BUF_EMPTY; /* usage is written at the end */

	if (t->provider->read_event(t->chat, t->reader, &ev, &events) < 0)
		return unread(t);
	if (events.failed)
		return out_of_memory(t);
	for (size_t i = 0; i < events.n; i++)
		if (events.all[i].type == EVENT_USAGE && filter(t, &events.all[i], true, &none) < 0)
			return out_of_memory(t);
	return TRANSLATE_OK;
}

/* The last event of a run that was not read: now it is, for its usage alone, since its text went on
 * already. */
static enum translate_verdict
catch_up(struct translate *t)
{
	enum translate_verdict verdict;

	if (!t->like.pending)
		return TRANSLATE_OK;
	verdict = read_pending(t);
	arena_rewind(t->chat->scratch);
	return verdict;
}

static enum translate_verdict
read_one(struct translate *t, const struct sse_event *ev, struct buf *out)
{
	struct chat_events events = { 0 };
	enum translate_verdict verdict;

	if (t->provider->read_event(t->chat, t->reader, ev, &events) < 0)
		return unread(t);
	verdict = take(t, &events, true, out);
	like_keep(&t->like, t->chat->arena, ev->data, &events);
	return verdict;
}

static bool
is_blank(const struct sse_event *ev)
{
	struct str data = ev->data;

	if (!ev->has_data || ev->oversized)
		return !ev->has_data;
	return data.len == 0 ||
		((data.p[0] == ' ' || data.p[0] == '\t') && str_trim(data).len == 0);
}

enum translate_verdict
translate_event(struct translate *t, const struct sse_event *ev, struct buf *out)
{
	struct chat_event text = { 0 };
	enum translate_verdict verdict;

	if (t->done || is_blank(ev))
		return t->done ? TRANSLATE_DONE : TRANSLATE_OK;
	if (like_is(&t->like, ev->data, &text.text)) {
		text.type = t->like.type;
		text.choice = t->like.choice;
		if (t->provider->again)
			t->provider->again(t->reader, &text);
		return pass_on(t, &text, true, out) < 0 ? out_of_memory(t) : TRANSLATE_OK;
	}
	verdict = catch_up(t);
	if (verdict == TRANSLATE_OK)
		verdict = read_one(t, ev, out);
	arena_rewind(t->chat->scratch);
	return verdict;
}

/* The whole reply, when that is what the client wants. */
static enum translate_verdict
reply_now(struct translate *t, struct buf *out)
{
	if (t->chat->stream)
		return TRANSLATE_OK;
	if (!chat_reply_whole(&t->reply))
		return TRANSLATE_UNREADABLE;
	t->client->write_reply(t->chat, &t->reply, out);
	return out->failed || lacks_memory(t) ? out_of_memory(t) : TRANSLATE_OK;
}

bool
translate_answered(struct translate *t)
{
	if (t->done || t->rest.n > 0)
		return true;
	if (catch_up(t) != TRANSLATE_OK)
		return false;
	return t->provider->read_end && t->provider->read_end(t->chat, t->reader, &t->rest);
}

bool
translate_usage(struct translate *t, struct usage *out)
{
	if (!t->done)
		catch_up(t);
	*out = t->usage;
	return t->has_usage;
}

static enum translate_verdict
end(struct translate *t, struct buf *out)
{
	enum translate_verdict verdict;

	if (!t->done) {
		if (!translate_answered(t))
			return TRANSLATE_UNREADABLE;
		verdict = take(t, &t->rest, true, out);
		if (verdict != TRANSLATE_DONE)
			return verdict == TRANSLATE_OK ? TRANSLATE_UNREADABLE : verdict;
	}
	return reply_now(t, out);
}

enum translate_verdict
translate_end(struct translate *t, struct buf *out)
{
	enum translate_verdict verdict = end(t, out);

	arena_rewind(t->chat->scratch);
	return verdict;
}

static enum translate_verdict
embeddings(struct translate *t, struct str text, struct buf *out)
{
	struct chat *c = t->chat;
	int rc = embed_reply(c, text, out, &t->usage, &t->has_usage, &t->error);

	if (rc == 0)
		return TRANSLATE_OK;
	if (rc > 0)
		return TRANSLATE_ERROR;
	return out->failed || c->arena->failed ? out_of_memory(t) : TRANSLATE_UNREADABLE;
}

static enum translate_verdict
read_whole(struct translate *t, struct str text, struct buf *out)
{
	struct chat_events events = { 0 };
	enum translate_verdict verdict;

	if (t->provider->read_reply(t->chat, t->reader, text, &events) < 0)
		return unread(t);
	verdict = take(t, &events, false, out);
	if (verdict != TRANSLATE_DONE)
		return verdict == TRANSLATE_OK ? TRANSLATE_UNREADABLE : verdict;
	return reply_now(t, out);
}

enum translate_verdict
translate_reply(struct translate *t, struct str text, struct buf *out)
{
	enum translate_verdict verdict;

	if (!t->client)
		return embeddings(t, text, out);
	verdict = read_whole(t, text, out);
	arena_rewind(t->chat->scratch);
	return verdict;
}

enum translate_verdict
translate_nothing(struct translate *t, struct buf *out)
{
	struct chat_events events = { 0 };
	struct chat_event *stop;
	enum translate_verdict verdict;

	chat_emit(t->chat, &events, EVENT_START);
	stop = chat_emit(t->chat, &events, EVENT_STOP);
	if (stop)
		stop->stop = STOP_LENGTH;
	chat_emit(t->chat, &events, EVENT_DONE);
	verdict = take(t, &events, false, out);
	if (verdict == TRANSLATE_DONE)
		verdict = reply_now(t, out);
	arena_rewind(t->chat->scratch);
	return verdict;
}
