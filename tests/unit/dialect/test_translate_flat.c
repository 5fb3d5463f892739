/*
 * Translate: what a stream keeps does not grow with its length. Each kind of event that a provider
 * may send any number of times goes by 20 000 times, for each client, read one by one and as
 * events that are like the one before; the request's arena holds as much at the end as after the
 * first hundred. And what is read leaves nothing in the scratch arena, however large it was.
 */
#include "dialect/translate.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

enum { EVENTS = 20000, FIRST = 100, BEFORE_MOST = 3 };

/* `each` has a @, which is nothing, or white space that makes it unlike the one before. */
struct flow {
	enum dialect_id provider;
	const char *before[BEFORE_MOST], *each;
};

#define DELTA(index, text) \
	"{\"type\":\"content_block_delta\",\"index\":" #index ",\"delta\":{\"type\":\"" text "\"}@}"
#define CHUNK(delta)                                                                       \
	"{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"" \
	"finish_reason\":null}]@}"

static const char message_start[] =
	"{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\",\"usage\":{"
	"\"input_tokens\":3,\"output_tokens\":1}}}";
static const char text_start[] =
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
	"\"\"}}";
static const char thinking_start[] =
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
	"\"thinking\":\"\"}}";
static const char call_start[] =
	"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\","
	"\"id\":\"t\",\"name\":\"f\",\"input\":{}}}";
static const char cohere_start[] = "{\"type\":\"message-start\",\"id\":\"m\"}";

static const struct flow flows[] = {
	/* Anthropic */
	{ DIALECT_ANTHROPIC, { message_start, text_start },
		DELTA(0, "text_delta\",\"text\":\"ab") },
	{ DIALECT_ANTHROPIC, { message_start, thinking_start },
		DELTA(0, "thinking_delta\",\"thinking\":\"ab") },
	{ DIALECT_ANTHROPIC, { message_start, thinking_start },
		DELTA(0, "signature_delta\",\"signature\":\"ab") },
	{ DIALECT_ANTHROPIC, { message_start, call_start },
		DELTA(0, "input_json_delta\",\"partial_json\":\"ab") },
	{ DIALECT_ANTHROPIC, { message_start }, "{\"type\":\"ping\"@}" },
	{ DIALECT_ANTHROPIC, { message_start }, "{\"type\":\"unheard_of\",\"text\":\"abc\"@}" },
	{ DIALECT_ANTHROPIC, { message_start },
		"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\","
		"\"stop_sequence\":\"END\",\"stop_details\":{\"explanation\":\"why\"}},\"usage\":{"
		"\"output_tokens\":5,\"service_tier\":\"standard\"}@}" },
	{ DIALECT_ANTHROPIC, { message_start },
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"redacted_thinking\",\"data\":\"ab\"}@}" },
	{ DIALECT_ANTHROPIC, { message_start },
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"text\",\"text\":\"ab\"}@}" },
	{ DIALECT_ANTHROPIC, { message_start },
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"server_tool_use\",\"id\":\"x\",\"input\":{\"a\":1}}@}" },
	{ DIALECT_ANTHROPIC, { message_start },
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"tool_use\",\"id\":\"not.legal\",\"name\":\"f\",\"input\":{}}@}" },
	/* OpenAI */
	{ DIALECT_OPENAI, { NULL }, CHUNK("\"content\":\"ab\"") },
	{ DIALECT_OPENAI, { NULL }, CHUNK("\"reasoning_content\":\"ab\"") },
	{ DIALECT_OPENAI, { NULL }, CHUNK("\"reasoning\":\"ab\",\"content\":\"cd\"") },
	{ DIALECT_OPENAI, { NULL }, CHUNK("\"refusal\":\"ab\"") },
	{ DIALECT_OPENAI, { NULL },
		CHUNK("\"content\":[{\"type\":\"text\",\"text\":\"ab\"},{\"thinking\":[{\"text\":"
		      "\"cd\"}]}]") },
	{ DIALECT_OPENAI,
		{ "{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t\","
		  "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\\\"\"}}]}}]}" },
		CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"ab\"}}]") },
	{ DIALECT_OPENAI, { NULL }, "{\"id\":\"c\",\"choices\":[]@}" },
	{ DIALECT_OPENAI, { NULL },
		"{\"id\":\"c\",\"service_tier\":\"flex\",\"choices\":[{\"index\":0,\"delta\":{"
		"\"content\":\"ab\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}@}" },
	{ DIALECT_OPENAI, { NULL },
		"{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab\"},"
		"\"finish_reason\":\"stop\",\"stop_reason\":\"END\"}]@}" },
	/* Gemini */
	{ DIALECT_GEMINI, { NULL },
		"{\"responseId\":\"r\",\"modelVersion\":\"m\",\"candidates\":[{\"content\":{\"parts\":["
		"{\"text\":\"ab\"}]}}],\"usageMetadata\":{\"promptTokenCount\":5}@}" },
	{ DIALECT_GEMINI, { NULL },
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ab\",\"thought\":true,"
		"\"thoughtSignature\":\"c2ln\"}]}}]@}" },
	{ DIALECT_GEMINI, { NULL },
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ab\"}]},\"finishReason\":"
		"\"STOP\",\"finishMessage\":\"why\"},{\"index\":1,\"content\":{\"parts\":[{\"text\":"
		"\"cd\"}]}}]@}" },
	{ DIALECT_GEMINI, { NULL },
		"{\"candidates\":[{\"content\":{\"parts\":[{\"executableCode\":{\"language\":"
		"\"PYTHON\",\"code\":\"a\"}},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":"
		"\"AAAA\"}}]}}]@}" },
	{ DIALECT_GEMINI, { NULL },
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"ab\"}]},\"logprobsResult\":{"
		"\"chosenCandidates\":[{\"token\":\"ab\",\"logProbability\":-1}]}}]@}" },
	{ DIALECT_GEMINI, { NULL }, "{\"usageMetadata\":{\"promptTokenCount\":5}@}" },
	{ DIALECT_GEMINI, { NULL },
		"{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"id\":\"not.legal\","
		"\"name\":\"f\",\"args\":{\"a\":1}}}]}}]@}" },
	/* Cohere */
	{ DIALECT_COHERE, { cohere_start },
		"{\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"ab\"}}}@}" },
	{ DIALECT_COHERE, { cohere_start },
		"{\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"thinking\":\"ab\"}}}"
		"@}" },
	{ DIALECT_COHERE, { cohere_start },
		"{\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"ab\"}}@}" },
	{ DIALECT_COHERE, { cohere_start }, "{\"type\":\"citation-start\",\"delta\":{\"a\":1}@}" },
	{ DIALECT_COHERE, { cohere_start }, "{\"type\":\"content-end\",\"index\":0@}" },
	{ DIALECT_COHERE, { cohere_start }, "{\"type\":\"message-start\",\"id\":\"m\"@}" },
	{ DIALECT_COHERE,
		{ cohere_start,
			"{\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{"
			"\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\\\"\"}}}}}" },
		"{\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{"
		"\"function\":{\"arguments\":\"ab\"}}}}@}" },
	/* Ollama */
	{ DIALECT_OLLAMA, { NULL },
		"{\"model\":\"l\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"content\":"
		"\"ab\"},\"done\":false@}" },
	{ DIALECT_OLLAMA, { NULL },
		"{\"model\":\"l\",\"message\":{\"thinking\":\"ab\"},\"done\":false@}" },
	{ DIALECT_OLLAMA, { NULL },
		"{\"model\":\"l\",\"message\":{\"content\":\"ab\"},\"logprobs\":[{\"token\":\"ab\"}],"
		"\"done\":false@}" },
	{ DIALECT_OLLAMA, { NULL },
		"{\"model\":\"l\",\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\","
		"\"arguments\":{\"a\":1}}}]},\"done\":false@}" },
	{ DIALECT_OLLAMA, { NULL }, "{\"model\":\"l\",\"done\":false@}" },
};

static const enum endpoint_id clients[] = { ENDPOINT_CHAT, ENDPOINT_COMPLETIONS,
	ENDPOINT_MESSAGES };

static struct buf out;

static void
feed(struct translate *t, const char *form, const char *more)
{
	struct sse_event ev = { .has_data = true };
	enum translate_verdict verdict;
	const char *at = strchr(form, '@');
	char text[512];

	snprintf(text, sizeof text, "%.*s%s%s", at ? (int)(at - form) : 0, form, at ? more : "",
		at ? at + 1 : form);
	ev.data = str_of(text);
	verdict = translate_event(t, &ev, &out);
	ck_assert_msg(verdict == TRANSLATE_OK, "%d for %s", verdict, text);
	buf_consume(&out, buf_len(&out));
}

static size_t
used(const struct arena *a)
{
	return a->blocks ? a->held - (size_t)(a->end - a->next) : 0;
}

static struct arena arena, scratch;
static struct chat_options options;
static struct chat c;

static void
begin(struct translate *t, enum dialect_id provider, enum endpoint_id client)
{
	arena_init(&arena, 0);
	arena_init(&scratch, 0);
	c = (struct chat){ .arena = &arena,
		.scratch = &scratch,
		.endpoint = &endpoints[client],
		.provider = provider,
		.options = &options,
		.model = STR("m"),
		.stream = true,
		.include_usage = true,
		.seed = 1 };
	ck_assert_int_eq(translate_open(t, &c), 0);
}

static void
finish(void)
{
	arena_free(&arena);
	arena_free(&scratch);
}

static void
run(const struct flow *f, enum endpoint_id client, const char *more)
{
	struct translate t;
	size_t held = 0;

	begin(&t, f->provider, client);
	for (unsigned i = 0; i < BEFORE_MOST && f->before[i]; i++)
		feed(&t, f->before[i], "");
	for (unsigned i = 0; i < EVENTS; i++) {
		if (i == FIRST)
			held = used(&arena);
		feed(&t, f->each, i & 1 ? more : "");
	}
	/* not even within the arena's newest block */
	ck_assert_msg(used(&arena) == held, "%s at %s: %zu bytes more", f->each,
		endpoints[client].path.p, used(&arena) - held);
	finish();
}

START_TEST(test_unlike)
{
	for (size_t i = 0; i < COUNT(flows); i++)
		for (size_t j = 0; j < COUNT(clients); j++)
			run(&flows[i], clients[j], ",\"x\":1");
	buf_free(&out);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(test_alike)
{
	for (size_t i = 0; i < COUNT(flows); i++)
		for (size_t j = 0; j < COUNT(clients); j++)
			run(&flows[i], clients[j], "");
	buf_free(&out);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A reply or event of many tokens, read or refused. */
START_TEST(test_large_leaves_nothing)
{
	static const char *const ends[] = { "]}", "]}}" };
	struct buf text = BUF_EMPTY;
	struct translate t;

	for (unsigned broken = 0; broken < 2; broken++) {
		buf_consume(&text, buf_len(&text));
		buf_add(&text, STR("{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"x\":[1"));
		for (unsigned i = 0; i < 100000; i++)
			buf_add(&text, STR(",1"));
		buf_add(&text, str_of(ends[broken]));
		struct sse_event ev = { .data = buf_str(&text), .has_data = true };

		begin(&t, DIALECT_OPENAI, ENDPOINT_MESSAGES);
		ck_assert_int_eq(translate_event(&t, &ev, &out),
			broken ? TRANSLATE_UNREADABLE : TRANSLATE_OK);
		ck_assert_uint_le(scratch.held, 65536);
		finish();
		begin(&t, DIALECT_OPENAI, ENDPOINT_MESSAGES);
		ck_assert_int_eq(translate_reply(&t, ev.data, &out),
			broken ? TRANSLATE_UNREADABLE : TRANSLATE_OK);
		ck_assert_uint_le(scratch.held, 65536);
		finish();
	}
	buf_free(&text);
	buf_free(&out);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A stream has begun for the client when something was written of it: before, no ping may come. */
START_TEST(test_started_when_written)
{
	struct translate t;

	begin(&t, DIALECT_GEMINI, ENDPOINT_MESSAGES);
	feed(&t, "{\"usageMetadata\":{\"promptTokenCount\":5}}", "");
	ck_assert(!t.started);
	feed(&t, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}", "");
	ck_assert(t.started);
	finish();
	buf_free(&out);
}
END_TEST

UNIT_MAIN("dialect/translate_flat", test_unlike, test_alike, test_large_leaves_nothing,
	test_started_when_written)
