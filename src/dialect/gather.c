/*
 * gather: the events of a stream put together into the one JSON reply that the client asked for,
 * when a provider streams to a plain chat request.
 *
 * Called by the relay, for chat completions and Anthropic messages. All memory is the request's
 * arena, so its limit bounds the reply; tokens of one event live in an arena of their own, freed
 * before the call returns. Fails on events that are not of the stream's kind, and on a stream that
 * ends before its answer did: a cut answer never becomes a whole reply.
 *
 * The reply is a merge tree. A chat chunk merges as it stands: choices and tool calls by index,
 * `delta` becoming `message` at the end. Anthropic's message comes in message_start, its blocks in
 * content_block_start with deltas behind, the rest in message_delta:
 *
 *     message_start -> ( block_start -> block_delta* -> block_stop )* -> message_delta+
 */
#include "dialect/dialect.h"
#include "dialect/merge.h"

enum { EVENT_TOKENS = 8 << 20, EVENT_DEPTH = 512, CHAT_KEEP = 9, MESSAGE_KEEP = 4 };

/* Where a block gathers its input: a name that no key has, since a line feed in one is escaped. */
#define PARTIAL "\npartial_json"

struct gather {
	const struct endpoint *endpoint;
	struct arena *arena;
	struct merge_node *reply;
	bool started;
};

struct gather *
gather_new(const struct endpoint *e, struct arena *a)
{
	struct gather *g = arena_alloc(a, sizeof *g);
	struct merge_node *reply = merge_new(a);

	if (g == NULL || reply == NULL)
		return NULL;
	reply->kind = MERGE_OBJECT;
	*g = (struct gather){ .endpoint = e, .arena = a, .reply = reply };
	return g;
}

static const struct json_token *
member(const struct merge *m, const struct json_token *object, struct str name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	return json_member(m->scan, m->text, object, name, NULL);
}

static bool
is_type(const struct json_token *t, enum json_type type)
{
	return t != NULL && t->type == type;
}

/*
 * The text of an error, wherever the provider put it; empty when there is none. 1, or -1 when
 * memory is out.
 */
static int
error_message(const struct gather *g, const struct merge *m, const struct json_token *error,
	struct str *message)
{
	const struct json_token *text = member(m, error, STR("message"));
	struct str said;

	if (text == NULL)
		text = error;
	if (is_type(text, JSON_STRING))
		said = json_string(m->text, text, g->arena, NULL);
	else
		said = json_raw(m->text, text);
	*message = arena_copy(g->arena, said);
	return message->p != NULL ? 1 : -1;
}

/* `error` of an event, when it is one for the SDKs: truthy in JavaScript. */
static const struct json_token *
error_of(const struct merge *m, const struct json_token *top)
{
	const struct json_token *error = member(m, top, STR("error"));

	if (error == NULL || error->type == JSON_NULL || error->type == JSON_FALSE)
		return NULL;
	struct str raw = json_raw(m->text, error);
	return str_eq(raw, STR("0")) || str_eq(raw, STR("\"\"")) ? NULL : error;
}

/* Why an answer ended, when that is known. */
static bool
is_said(const struct merge_node *reason)
{
	return reason != NULL && reason->kind == MERGE_TEXT && reason->text.len > 0;
}

/*
 * Chat completions
 */

/* One member of a chunk's top level. Of names and numbers the first counts; of usage, which some
 * servers repeat, the last. */
static int
chunk_member(struct gather *g, const struct merge *m, struct str key,
	const struct json_token *value)
{
	if (str_eq(key, STR("obfuscation")) ||
		(str_eq(key, STR("usage")) && value->type == JSON_NULL))
		return 0;
	struct merge_node *n = merge_put(g->arena, g->reply, key);
	if (n == NULL)
		return -1;
	if (str_eq(key, STR("object")))
		return merge_set(g->arena, n, STR("\"chat.completion\""));
	if (str_eq(key, STR("usage")))
		return merge_set(g->arena, n, json_raw(m->text, value));
	if (!merge_blank(n) && value->type != JSON_OBJECT && value->type != JSON_ARRAY)
		return 0;
	return merge_value(m, n, value, MERGE_KEEP);
}

static int
chunk_gather(struct gather *g, const struct merge *m, const struct sse_event *ev)
{
	const struct json_token *all = m->scan->tokens;

	if (!is_type(member(m, all, STR("choices")), JSON_ARRAY)) {
		if (ev->name.len > 0) /* a keep-alive of some kind */
			return 0;
		if (!is_type(member(m, all, STR("usage")), JSON_OBJECT))
			return -1;
	}
	for (const struct json_token *key = all + 1; key < all + all->next; key = all + key[1].next)
		if (chunk_member(g, m, json_inner(m->text, key), key + 1) != 0)
			return -1;
	return 0;
}

/* What a whole reply has and deltas have not, and the reverse. 0 or -1. */
static int
choice_finish(const struct gather *g, struct merge_node *choice)
{
	struct merge_node *message = merge_put(g->arena, choice, STR("delta")), *role, *calls;

	if (message == NULL)
		return -1;
	message->key = STR("message");
	role = merge_put(g->arena, message, STR("role"));
	if (role == NULL || merge_put(g->arena, message, STR("content")) == NULL)
		return -1;
	if (merge_blank(role) && merge_set(g->arena, role, STR("\"assistant\"")) != 0)
		return -1;
	calls = merge_member(message, STR("tool_calls"));
	if (calls == NULL)
		return 0;
	for (struct merge_node *n = calls->first; n != NULL; n = n->next)
		if (n->kind == MERGE_OBJECT)
			merge_drop(n, STR("index"));
	if (calls->kind == MERGE_NULL ||
		(calls->kind == MERGE_LIST && calls->first == NULL && calls->text.len == 0))
		merge_drop(message, STR("tool_calls"));
	return 0;
}

static int
chat_finish(struct gather *g)
{
	const struct merge_node *choices = merge_member(g->reply, STR("choices"));

	if (choices == NULL || choices->first == NULL)
		return -1;
	for (struct merge_node *n = choices->first; n != NULL; n = n->next) {
		const struct merge_node *reason = merge_member(n, STR("finish_reason"));
		if (!is_said(reason) || choice_finish(g, n) != 0)
			return -1;
	}
	return 0;
}

/*
 * Anthropic messages
 */

static struct merge_node *
block_of(const struct gather *g, const struct merge *m, bool fresh)
{
	const struct json_token *at = member(m, m->scan->tokens, STR("index"));
	struct merge_node *content = merge_put(g->arena, g->reply, STR("content"));
	uint64_t index;

	if (content == NULL || !is_type(at, JSON_NUMBER) || json_u64(m->text, at, &index) != 0)
		return NULL;
	struct merge_node *block = merge_element(g->arena, content, index, false);
	/* a delta without its block, a block that begins twice */
	return block == NULL || (block->kind == MERGE_NULL) != fresh ? NULL : block;
}

/* A block as it begins: what its deltas go on with is taken apart, what else it holds stays as it
 * was written. */
static int
block_start(const struct gather *g, const struct merge *m)
{
	const struct json_token *all = m->scan->tokens, *t = member(m, all, STR("content_block"));
	struct merge_node *block = block_of(g, m, true);

	if (block == NULL || !is_type(t, JSON_OBJECT))
		return -1;
	block->kind = MERGE_OBJECT;
	for (const struct json_token *key = t + 1; key < all + t->next; key = all + key[1].next) {
		struct merge_node *to = merge_put(g->arena, block, json_inner(m->text, key));
		if (to == NULL)
			return -1;
		bool whole = key[1].type != JSON_STRING && key[1].type != JSON_NULL &&
			!str_eq(to->key, STR("citations"));
		if (whole ? merge_set(g->arena, to, json_raw(m->text, key + 1)) != 0
			  : merge_value(m, to, key + 1, MERGE_KEEP) != 0)
			return -1;
	}
	return 0;
}

/* Types of delta, the member that they bring, and the member of the block that it is joined to. A
 * type that is not known is passed over. */
static const struct {
	struct str type, from, to;
} deltas[] = {
	{ STR_INIT("text_delta"), STR_INIT("text"), STR_INIT("text") },
	{ STR_INIT("input_json_delta"), STR_INIT("partial_json"), STR_INIT(PARTIAL) },
	{ STR_INIT("thinking_delta"), STR_INIT("thinking"), STR_INIT("thinking") },
	{ STR_INIT("signature_delta"), STR_INIT("signature"), STR_INIT("signature") },
	{ STR_INIT("compaction_delta"), STR_INIT("content"), STR_INIT("content") },
	{ STR_INIT("citations_delta"), STR_INIT("citation"), STR_INIT("citations") },
};

static int
block_delta(const struct gather *g, const struct merge *m)
{
	const struct json_token *delta = member(m, m->scan->tokens, STR("delta")),
				*type = member(m, delta, STR("type"));
	struct merge_node *block = block_of(g, m, false);

	if (block == NULL || !is_type(type, JSON_STRING))
		return -1;
	for (size_t i = 0; i < sizeof deltas / sizeof deltas[0]; i++) {
		if (!json_string_is(m->text, type, deltas[i].type))
			continue;
		const struct json_token *value = member(m, delta, deltas[i].from);
		struct merge_node *to = merge_put(g->arena, block, deltas[i].to);
		if (to == NULL || value == NULL)
			return -1;
		if (value->type == JSON_STRING)
			return merge_join(g->arena, to, json_inner(m->text, value));
		return value->type == JSON_NULL
			? 0
			: merge_append(g->arena, to, json_raw(m->text, value));
	}
	return 0;
}

static int
message_delta(const struct gather *g, const struct merge *m)
{
	const struct json_token *delta = member(m, m->scan->tokens, STR("delta")),
				*usage = member(m, m->scan->tokens, STR("usage"));
	struct merge_node *to = merge_put(g->arena, g->reply, STR("usage"));

	if (to == NULL ||
		(is_type(delta, JSON_OBJECT) && merge_value(m, g->reply, delta, MERGE_KEEP) != 0))
		return -1;
	return usage != NULL ? merge_value(m, to, usage, MERGE_KEEP) : 0;
}

static int
typed_gather(struct gather *g, const struct merge *m, const struct sse_event *ev)
{
	const struct json_token *t = member(m, m->scan->tokens, STR("type"));
	struct str type = is_type(t, JSON_STRING) ? json_inner(m->text, t) : ev->name;

	if (str_eq(type, STR("message_start"))) {
		t = member(m, m->scan->tokens, STR("message"));
		if (g->started || !is_type(t, JSON_OBJECT))
			return -1;
		g->started = true;
		return merge_value(m, g->reply, t, MERGE_KEEP);
	}
	bool start = str_eq(type, STR("content_block_start")),
	     delta = str_eq(type, STR("content_block_delta"));
	bool end = str_eq(type, STR("message_delta"));
	if (!start && !delta && !end)
		return type.len > 0 ? 0 : -1;
	if (!g->started)
		return -1;
	return start ? block_start(g, m) : delta ? block_delta(g, m) : message_delta(g, m);
}

/*
 * The input of a tool came as JSON text inside strings: it is unescaped once and stands there as it
 * was written. What is no object (an answer cut by max_tokens) is `{}`, as the SDK has it. 0 or -1.
 */
static int
block_input(const struct gather *g, struct merge_node *block)
{
	const struct merge_node *partial = merge_member(block, STR(PARTIAL));
	struct json_scan scan;

	if (partial == NULL)
		return 0;
	if (partial->text.len > 0) {
		struct merge_node *input = merge_put(g->arena, block, STR("input"));
		struct buf quoted = BUF_EMPTY;
		merge_write(&quoted, partial);
		bool ok = input != NULL && !quoted.failed &&
			json_scan_text(&scan, g->arena, buf_str(&quoted), 1, 1) == 0;
		struct str text = ok
			? json_string(buf_str(&quoted), &scan.tokens[0], g->arena, NULL)
			: STR("");
		ok = ok && text.p != NULL;
		if (ok &&
			(json_scan_text(&scan, g->arena, text, 1, EVENT_DEPTH) != 0 ||
				scan.tokens[0].type != JSON_OBJECT))
			text = STR("{}");
		ok = ok && merge_set(g->arena, input, text) == 0;
		buf_free(&quoted);
		if (!ok)
			return -1;
	}
	merge_drop(block, STR(PARTIAL));
	return 0;
}

static int
message_finish(struct gather *g)
{
	const struct merge_node *reason = merge_member(g->reply, STR("stop_reason"));
	const struct merge_node *content = merge_member(g->reply, STR("content"));

	if (!is_said(reason))
		return -1;
	for (struct merge_node *n = content != NULL ? content->first : NULL; n != NULL; n = n->next)
		if (block_input(g, n) != 0)
			return -1;
	return 0;
}

/*
 * Both
 */

static int
parsed_gather(struct gather *g, const struct merge *m, const struct sse_event *ev,
	struct str *message)
{
	const struct json_token *top = m->scan->tokens, *error = error_of(m, top);

	if (error == NULL && str_eq(ev->name, STR("error")))
		error = top;
	if (error != NULL)
		return error_message(g, m, error, message);
	if (g->endpoint->client == DIALECT_ANTHROPIC)
		return typed_gather(g, m, ev);
	return chunk_gather(g, m, ev);
}

int
gather_event(struct gather *g, const struct sse_event *ev, struct str *message)
{
	struct json_scan scan;
	struct arena tokens;
	int rc = -1;

	if (ev->oversized)
		return -1;
	if (!ev->has_data || ev->data.len == 0 || str_starts(ev->data, STR("[DONE]")))
		return 0;
	arena_init(&tokens, EVENT_TOKENS);
	unsigned keep = g->endpoint->client == DIALECT_ANTHROPIC ? MESSAGE_KEEP : CHAT_KEEP;
	if (json_scan_text(&scan, &tokens, ev->data, keep, EVENT_DEPTH) == 0 &&
		scan.tokens[0].type == JSON_OBJECT) {
		const struct merge m = { g->arena, ev->data, &scan };
		rc = parsed_gather(g, &m, ev, message);
	}
	arena_free(&tokens);
	return rc;
}

int
gather_finish(struct gather *g, struct buf *out)
{
	if ((g->endpoint->client == DIALECT_ANTHROPIC ? message_finish(g) : chat_finish(g)) != 0)
		return -1;
	merge_write(out, g->reply);
	return out->failed || g->arena->failed ? -1 : 0;
}
