/*
 * Fuzzes the way of a request through the adapters. The first five bytes choose the client's
 * protocol, the provider, all that an administrator can say of its model, and where memory ends;
 * the rest is the body. What must hold: what is sent is one JSON object with every member once, and
 * goes to a path that is one; what the client is told of it can stand in a field; a refusal says
 * why; the same body gives the same bytes. Without memory it is refused, or the same.
 */
#include "http/head.h"
#include "translation.h"

enum { FIXED = 5 };

struct sent {
	struct session session;
	struct buf out;
	int rc;
};

static void
set_options(struct session *s, const uint8_t *at)
{
	static const struct str targets[] = { STR_INIT("up"),
		STR_INIT("claude-3-7-sonnet-20250219"), STR_INIT("claude-opus-4-1-20250805"),
		STR_INIT("claude-sonnet-4-5"), STR_INIT("claude-sonnet-4-6"),
		STR_INIT("claude-opus-5-5"), STR_INIT("claude-fable-5"),
		STR_INIT("claude-sonnet-5-20260401"), STR_INIT("claude-haiku-4-5@20251001"),
		STR_INIT("gemini-2.5-pro"), STR_INIT("gemini-2.5-flash"), STR_INIT("gemini-3-pro"),
		STR_INIT("gemini-3-flash"), STR_INIT("models/gemini-2.0-flash"),
		STR_INIT("tunedModels/mine-1"), STR_INIT("../x"), STR_INIT("a b?c#d%\xc3\xa9/\"\\"),
		STR_INIT(""), STR_INIT("gpt-4o"), STR_INIT("gpt-5"), STR_INIT("gpt-5.6"),
		STR_INIT("gpt-5-chat-latest"), STR_INIT("openai/o3-mini"),
		STR_INIT("vendor/deepseek-r1"), STR_INIT("gpt-oss-120b"), STR_INIT("command-a"),
		STR_INIT("qwen3") };
	static struct str strip[] = { STR_INIT("temperature"), STR_INIT("messages") };
	struct chat_options *o = &s->options;

	o->completion_tokens = at[1] & 1;
	o->no_developer_role = at[1] & 2;
	o->no_sampling = at[1] & 4;
	o->no_forced_tools = at[1] & 8;
	o->no_structured_output = at[1] & 16;
	o->no_stream_usage = at[1] & 32;
	o->no_reasoning_with_tools = at[1] & 64;
	o->cache_breakpoints = at[1] & 128;
	o->reasoning = (enum chat_reasoning_style)(at[2] % 8 % (STYLE_NONE + 1));
	s->chat.target = targets[at[2] / 8 % COUNT(targets)];
	s->chat.reject = at[3] & 1;
	o->max_tokens_cap = at[3] & 2 ? 1500 : at[3] & 4 ? 1 : 0;
	o->reasoning_field = at[3] & 8 ? STR("reasoning_content") : STR("");
	o->strip = strip;
	o->n_strip = at[3] / 16 % 4 % 3;
}

static void
send(struct sent *to, const uint8_t *at, struct str body, size_t fails)
{
	session_open(&to->session, at[0]);
	set_options(&to->session, at);
	to->out = BUF_EMPTY;
	mem_fail_after(fails);
	to->rc = translate_request(&to->session.chat, body, &to->out);
	mem_fail_after(0);
}

static void
sent_free(struct sent *s)
{
	buf_free(&s->out);
	session_close(&s->session);
}

static void
check_path(struct str path)
{
	assert(str_starts(path, STR("/")));
	for (size_t i = 0; i < path.len; i++)
		assert(path.p[i] > ' ' && path.p[i] <= '~' && path.p[i] != '#');
	assert(str_find(path, STR("..")) == path.len);
}

static void
check_sent(const struct sent *s)
{
	const struct json_token *top, *key;
	struct json_doc d;
	struct arena a;
	bool more;

	arena_init(&a, 0);
	ck_assert_msg(json_doc_read(&d, &a, buf_str(&s->out), 2, JSON_DEPTH_MAX) == 0,
		"%s at %zu: %.*s", d.scan.fault, (size_t)d.scan.offset, STR_ARG(buf_str(&s->out)));
	top = json_doc_top(&d);
	assert(top->type == JSON_OBJECT);
	for (key = json_first(&d, top); key; key = json_next(&d, top, key)) {
		json_member(&d.scan, d.text, top, json_string(d.text, key, &a, NULL), &more);
		ck_assert_msg(!more, "%.*s is there twice", STR_ARG(json_doc_raw(&d, key)));
	}
	arena_free(&a);
	check_path(s->session.chat.path);
	assert(head_value_valid(s->session.chat.dropped));
}

static void
assert_equal(const struct sent *a, const struct sent *b)
{
	assert(a->rc == b->rc);
	if (a->rc == 0) {
		assert(str_eq(buf_str(&a->out), buf_str(&b->out)));
		assert(str_eq(a->session.chat.path, b->session.chat.path));
		assert(str_eq(a->session.chat.dropped, b->session.chat.dropped));
	} else {
		assert(str_eq(a->session.chat.error.message, b->session.chat.error.message));
		assert(str_eq(a->session.chat.error.param, b->session.chat.error.param));
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
	return mutate(data, size, most, seed, FIXED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sent first, again;
	struct str body;
	char *copy;

	if (size < FIXED)
		return 0;
	copy = malloc(size - FIXED);
	assert(copy || size == FIXED);
	if (size > FIXED)
		memcpy(copy, data + FIXED, size - FIXED);
	body = (struct str){ copy, size - FIXED };
	send(&first, data, body, 0);
	if (first.rc == 0) {
		check_sent(&first);
	} else {
		assert_error(&first.session.chat.error);
		assert(first.session.chat.error.kind != ERROR_OVERLOADED);
	}
	send(&again, data, body, data[4]);
	if (data[4] == 0 || again.rc == 0)
		assert_equal(&first, &again);
	else
		assert_error(&again.session.chat.error);
	sent_free(&first);
	sent_free(&again);
	free(copy);
	assert(mem_used() == 0);
	return 0;
}
