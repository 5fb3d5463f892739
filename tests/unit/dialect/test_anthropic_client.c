/*
 * Anthropic's clients: what their requests are read into, what is refused and in which words, and
 * the stream and message that events become, each held against what the SDKs need; all of it also
 * without memory at any place.
 */
#include "dialect/anthropic_client.h"

#include <stdarg.h>

#include "dialect/chat_reply.h"
#include "random.h"
#include "valid_anthropic.h"

struct session {
	struct chat chat;
	struct chat_options options;
	struct arena arena, scratch;
};

static void
session(struct session *s)
{
	*s = (struct session){ 0 };
	arena_init(&s->arena, 0);
	arena_init(&s->scratch, 0);
	s->chat = (struct chat){ .arena = &s->arena,
		.scratch = &s->scratch,
		.endpoint = &endpoints[ENDPOINT_MESSAGES],
		.options = &s->options,
		.model = STR("m"),
		.seed = 1 };
}

static void
session_end(struct session *s)
{
	arena_free(&s->arena);
	arena_free(&s->scratch);
}

/*
 * Requests, as one line of text
 */

static void
say(struct buf *out, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_add(out, str_of(text));
}

static void say_parts(struct buf *out, const struct chat_part *p);

static void
say_source(struct buf *out, const char *what, const struct chat_part *p)
{
	static const char *const kinds[] = { "data", "url", "text", "id" };

	say(out, " %s(%s %.*s '%.*s'", what, kinds[p->source.kind], STR_ARG(p->source.media),
		STR_ARG(p->source.text));
	if (p->title.len > 0)
		say(out, " titled '%.*s'", STR_ARG(p->title));
	say(out, ")");
}

static void
say_part(struct buf *out, const struct chat_part *p)
{
	switch (p->type) {
	case PART_TEXT:
		say(out, " '%.*s'", STR_ARG(p->text));
		break;
	case PART_IMAGE:
		say_source(out, "image", p);
		break;
	case PART_FILE:
		say_source(out, "file", p);
		break;
	case PART_REASONING:
		say(out, " thinking('%.*s' '%.*s')", STR_ARG(p->text), STR_ARG(p->signature));
		break;
	case PART_REDACTED:
		say(out, " redacted('%.*s')", STR_ARG(p->text));
		break;
	case PART_CALL:
		say(out, " call(%.*s %.*s %.*s)", STR_ARG(p->id), STR_ARG(p->name),
			STR_ARG(p->args));
		break;
	case PART_RESULT:
		say(out, " result(%.*s%s", STR_ARG(p->id), p->failed ? " failed" : "");
		say_parts(out, p->parts);
		say(out, ")");
		break;
	default:
		ck_abort_msg("part %d", p->type);
	}
	if (p->cache.len > 0)
		say(out, "^");
}

static void
say_parts(struct buf *out, const struct chat_part *p)
{
	for (; p; p = p->next)
		say_part(out, p);
}

static void
say_messages(struct buf *out, const struct chat_request *q)
{
	for (const struct chat_message *m = q->messages; m; m = m->next) {
		say(out, "%s%c%u%s", m == q->messages ? "" : "; ", "SUAT"[m->role], m -> index,
			m -> bare ? "!" : "");
		say_parts(out, m->parts);
	}
}

#define BODY(rest) "{\"model\":\"m\",\"max_tokens\":5," rest "}"
#define MESSAGES(list) BODY("\"messages\":[" list "]")
#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ASSISTANT(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define CALL(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"w\",\"input\":{}}"
#define RESULT(id, rest) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" rest "}"
#define SOURCE(type, rest) "{\"type\":\"" type "\",\"source\":{\"type\":" rest "}"

static const struct {
	const char *body, *want;
} conversations[] = {
	{ MESSAGES(USER("\"Hi \\ud83d\"")), "U0! 'Hi \\ud83d'" },
	{ MESSAGES(USER("[" TEXT("a") "," TEXT("b") "]")), "U0 'a' 'b'" },
	{ MESSAGES(USER("[]") "," USER("\"b\"")), "U1! 'b'" },
	/* system prompts: at the top and between; empty ones say nothing */
	{ BODY("\"system\":\"S\",\"messages\":[" USER("\"a\"") "]"), "S0! 'S'; U0! 'a'" },
	{ BODY("\"system\":[{\"type\":\"text\",\"text\":\"S\",\"cache_control\":{\"type\":"
	       "\"ephemeral\"}}," TEXT("T") "],\"messages\":[" USER("\"a\"") "]"),
		"S0 'S'^ 'T'; U0! 'a'" },
	{ BODY("\"system\":\"\",\"messages\":[" USER("\"a\"") "]"), "U0! 'a'" },
	{ BODY("\"system\":[" TEXT("") "],\"messages\":[" USER("\"a\"") "]"), "U0! 'a'" },
	{ MESSAGES(USER("\"a\"") ",{\"role\":\"system\",\"content\":\"S\"}," USER("\"b\"")),
		"U0! 'a'; S1! 'S'; U2! 'b'" },
	{ MESSAGES(USER("\"a\"") ",{\"role\":\"system\"},{\"role\":\"system\",\"content\":[]}"),
		"U0! 'a'" },
	/* results first, then the rest */
	{ MESSAGES(ASSISTANT("[" TEXT("x") "," CALL("t1") "," CALL("t2") "]") "," USER(
		  "[" RESULT("t1", ",\"content\":\"r\"") "," TEXT("a") "," RESULT("t2", "") "]")),
		"A0 'x' call(t1 w {}) call(t2 w {}); T1 result(t1 'r'); T1 result(t2); U1 'a'" },
	/* neighbours of one role are one turn */
	{ MESSAGES(ASSISTANT("[" CALL("t1") "]") "," ASSISTANT(
		  "[" TEXT("y") "," CALL("t2") "]") "," USER("[" RESULT("t1",
		  "") "," TEXT("a") "]") "," USER("[" RESULT("t2", "") "]")),
		"A0 call(t1 w {}) 'y' call(t2 w {}); T2 result(t1); T3 result(t2); U2 'a'" },
	{ MESSAGES(ASSISTANT("[" CALL("t1") "]") "," ASSISTANT("\"y\"") "," ASSISTANT("[]")),
		"A0 call(t1 w {}) 'y'" },
	{ MESSAGES(ASSISTANT("\"x\"") "," ASSISTANT("\"y\"")), "A0! 'x'; A1! 'y'" },
	/* what a result may hold */
	{ MESSAGES(USER("[" RESULT("t",
		  ",\"is_error\":true,\"cache_control\":{},\"content\":[" TEXT(
			  "a") "," SOURCE("image",
			  "\"base64\",\"media_type\":\"image/png\",\"data\":\"AA\"") "}"
										     ",{\"type\":\"tool_reference\",\"tool_name\":\"w\"},{\"type\":\"search_result\","
										     "\"title\":\"T\",\"source\":\"http://s\",\"content\":[" TEXT(
											     "x") "," TEXT("y") "]}]") "]")),
		"T0 result(t failed 'a' image(data image/png 'AA') 'w' 'T\\nhttp://s\\nx\\ny')^" },
	{ MESSAGES(USER("[" RESULT("t", ",\"content\":null") "]")), "T0 result(t)" },
	/* images and documents */
	{ MESSAGES(USER("[" SOURCE("image", "\"url\",\"url\":\"https://x/y\"") "}," SOURCE("image",
		  "\"file\",\"file_id\":\"f1\"") "}," SOURCE("image",
		  "\"base64\",\"media_type\":\"image/jpg\",\"data\":\"AA\"") "}]")),
		"U0 image(url  'https://x/y') image(id  'f1') image(data image/jpeg 'AA')" },
	{ MESSAGES(USER("[" SOURCE("document", "\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JV\"") ",\"title\":\"T\",\"context\":\"C\",\"citations\":{\"enabled\":true}}," SOURCE(
		  "document",
		  "\"text\",\"media_type\":\"text/plain\",\"data\":\"D\"") ",\"title\":\"T\",\"cache_control\":{}}]")),
		"U0 'C' file(data application/pdf 'JV' titled 'T') file(text text/plain 'D' titled "
		"'T')^" },
	{ MESSAGES(USER("[" SOURCE("document",
		  "\"content\",\"content\":\"D\"") "}," SOURCE("document",
		  "\"content\",\"content\":[" TEXT("a") "," SOURCE("image",
			  "\"url\",\"url\":\"u\"") "}]") ",\"title\":\"T\"}," SOURCE("document",
		  "\"url\",\"url\":\"http://x/y.pdf\"") "}," SOURCE("document",
		  "\"file\",\"file_id\":\"f1\"") "}]")),
		"U0 file(text text/plain 'D') 'T' 'a' image(url  'u') file(url  'http://x/y.pdf') "
		"file(id  'f1')" },
	/* thinking as it came; what ran at Anthropic is left out */
	{ MESSAGES(ASSISTANT(
		  "[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"gg1.c2ln\"},"
		  "{\"type\":\"redacted_thinking\",\"data\":\"d\"},{\"type\":\"thinking\","
		  "\"thinking\":\"\"},{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"n\","
		  "\"input\":{}},{\"type\":\"web_search_tool_result\",\"content\":[]},"
		  "{\"type\":\"container_upload\"}," TEXT("a") "]")),
		"A0 thinking('t' 'gg1.c2ln') redacted('d') thinking('' '') 'a'" },
	{ MESSAGES(ASSISTANT("[{\"type\":\"server_tool_use\"}]") "," USER("\"a\"")), "U1! 'a'" },
	/* input as it was spelled; none is none */
	{ MESSAGES(ASSISTANT("[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"w\",\"input\":{ \"a\""
			     ": 9007199254740993}},{\"type\":\"tool_use\",\"id\":\"u\",\"name\":"
			     "\"w\"}]")),
		"A0 call(t w { \"a\": 9007199254740993}) call(u w )" },
	{ MESSAGES(USER("[{\"\\u0074ype\":\"te\\u0078t\",\"text\":\"a\"}]")), "U0 'a'" },
};

START_TEST(test_conversations)
{
	for (size_t i = 0; i < COUNT(conversations); i++) {
		struct chat_request q = { 0 };
		struct buf out = BUF_EMPTY;
		struct session s;

		session(&s);
		ck_assert_msg(anthropic_client.read_request(&s.chat, &q,
				      str_of(conversations[i].body)) == 0,
			"%s: %.*s", conversations[i].body, STR_ARG(s.chat.error.message));
		say_messages(&out, &q);
		assert_same(buf_str(&out), str_of(conversations[i].want), conversations[i].body);
		buf_free(&out);
		session_end(&s);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

#define REST(rest) BODY("\"messages\":[" USER("\"a\"") "]," rest)
#define TOOL "{\"name\":\"w\",\"input_schema\":{}}"

static void
say_choice(struct buf *out, const struct chat_request *q)
{
	static const char *const modes[] = { "auto", "none", "required", "named" };

	for (const struct chat_tool *t = q->tools; t; t = t->next)
		say(out, " tool(%.*s '%.*s' %.*s%s%s)", STR_ARG(t->name), STR_ARG(t->description),
			STR_ARG(t->schema),
			!t->has_strict      ? ""
				: t->strict ? " strict"
					    : " loose",
			t->cache.len > 0 ? "^" : "");
	if (q->has_choice)
		say(out, " %s", modes[q->choice]);
	for (size_t i = 0; i < q->n_choice_names; i++)
		say(out, " %.*s", STR_ARG(q->choice_names[i]));
	if (q->serial)
		say(out, " serial");
}

static void
say_rest(struct buf *out, const struct chat *c, const struct chat_request *q)
{
	static const char *const efforts[] = { "none", "minimal", "low", "medium", "high", "xhigh",
		"max" };

	say_choice(out, q);
	if (q->reasoning.asked)
		say(out, " effort %s", efforts[q->reasoning.effort]);
	if (q->reasoning.budget > 0)
		say(out, " budget %u", (unsigned)q->reasoning.budget);
	if (q->reasoning.shown)
		say(out, " shown");
	if (q->format.kind == FORMAT_IS_SCHEMA)
		say(out, " schema(%.*s%s)", STR_ARG(q->format.schema),
			q->format.strict ? " strict" : "");
	for (size_t i = 0; i < q->n_stops; i++)
		say(out, " stop(%.*s)", STR_ARG(q->stops[i]));
	if (q->user.len > 0)
		say(out, " user(%.*s)", STR_ARG(q->user));
	if (q->service_tier.len > 0)
		say(out, " tier(%.*s)", STR_ARG(q->service_tier));
	if (c->dropped.len > 0)
		say(out, " dropped(%.*s)", STR_ARG(c->dropped));
	for (size_t i = 0; i < q->n_params; i++)
		if (!q->params[i].carried)
			say(out, " %.*s", STR_ARG(q->params[i].name));
}

/* What stands at the end are parameters that a provider has yet to carry. */
static const struct {
	const char *body, *want;
} parameters[] = {
	{ REST("\"temperature\":1.0,\"top_p\":1e0,\"top_k\":5,\"stream\":true,\"odd\":1"),
		" max_tokens temperature top_p top_k odd" },
	{ REST("\"cache_control\":{\"type\":\"ephemeral\"},\"context_management\":{},"
	       "\"container\":\"c\",\"mcp_servers\":[],\"diagnostics\":{},\"inference_geo\":\"eu\","
	       "\"speed\":\"fast\",\"betas\":[],\"metadata\":{\"user_id\":\"u\"}"),
		" user(u) max_tokens" },
	{ REST("\"stop_sequences\":[\"a\",\" \"],\"service_tier\":\"standard_only\""),
		" stop(a) stop( ) tier(default) max_tokens stop_sequences service_tier" },
	{ REST("\"service_tier\":\"auto\",\"tools\":null,\"thinking\":null"),
		" tier(auto) max_tokens service_tier" },
	/* tools */
	{ REST("\"tools\":[{\"type\":\"custom\",\"name\":\"w\",\"description\":\"d\","
	       "\"input_schema\":{ \"type\":\"object\"},\"strict\":false,\"cache_control\":{},"
	       "\"defer_loading\":true},{\"type\":null,\"name\":\"v\"}]"),
		" tool(w 'd' { \"type\":\"object\"} loose^) tool(v '' ) max_tokens tools" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"any\","
	       "\"disable_parallel_tool_use\":true}"),
		" tool(w '' {}) required serial max_tokens tools tool_choice" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"tool\",\"name\":\"w\"}"),
		" tool(w '' {}) named w max_tokens tools tool_choice" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"none\"}"),
		" tool(w '' {}) none max_tokens tools tool_choice" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"auto\"}"),
		" tool(w '' {}) auto max_tokens tools tool_choice" },
	/* tools of Anthropic's are left out, and who asks for them */
	{ REST("\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],"
	       "\"tool_choice\":{\"type\":\"tool\",\"name\":\"web_search\"}"),
		" dropped(tools[0]) max_tokens" },
	{ REST("\"tools\":[" TOOL ",{\"type\":\"bash_20250124\",\"name\":\"bash\"}],"
	       "\"tool_choice\":{\"type\":\"tool\",\"name\":\"bash\","
	       "\"disable_parallel_tool_use\":true}"),
		" tool(w '' {}) serial dropped(tools[1]) max_tokens tools" },
	{ REST("\"tools\":[],\"tool_choice\":{\"type\":\"any\"}"), " max_tokens" },
	/* thinking */
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":10000}"),
		" effort high budget 10000 shown max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":9999,\"display\":\"omitted\"}"),
		" effort medium budget 9999 max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}"),
		" effort low budget 2000 shown max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1999}"),
		" effort minimal budget 1999 shown max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}"),
		" effort high shown max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"between_tools\"}"),
		" effort high shown max_tokens thinking" },
	{ REST("\"thinking\":{\"type\":\"disabled\"}"), " effort none max_tokens" },
	{ REST("\"output_config\":{\"effort\":\"xhigh\"}"),
		" effort xhigh max_tokens output_config" },
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},"
	       "\"output_config\":{\"effort\":\"max\"}"),
		" effort max shown max_tokens thinking" },
	/* formats: strict only where every level is closed */
	{ REST("\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}"),
		" schema({} strict) max_tokens output_config" },
	{ REST("\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\","
	       "\"properties\":{\"a\":{\"type\":\"object\",\"additionalProperties\":false}},"
	       "\"required\":[\"a\"],\"additionalProperties\":false}}"),
		" schema({\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\","
		"\"additionalProperties\":false}},\"required\":[\"a\"],"
		"\"additionalProperties\":false} strict) max_tokens output_format" },
	{ REST("\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"properties\":{\"a\":{},"
	       "\"b\":{}},\"required\":[\"a\"],\"additionalProperties\":false}}"),
		" schema({\"properties\":{\"a\":{},\"b\":{}},\"required\":[\"a\"],"
		"\"additionalProperties\":false}) max_tokens output_format" },
	{ REST("\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"items\":"
	       "{\"type\":\"object\"}}}"),
		" schema({\"items\":{\"type\":\"object\"}}) max_tokens output_format" },
};

START_TEST(test_parameters)
{
	for (size_t i = 0; i < COUNT(parameters); i++) {
		struct chat_request q = { 0 };
		struct buf out = BUF_EMPTY;
		struct session s;

		session(&s);
		ck_assert_msg(
			anthropic_client.read_request(&s.chat, &q, str_of(parameters[i].body)) == 0,
			"%s: %.*s", parameters[i].body, STR_ARG(s.chat.error.message));
		ck_assert_uint_eq(q.max_tokens, 5);
		say_rest(&out, &s.chat, &q);
		assert_same(buf_str(&out), str_of(parameters[i].want), parameters[i].body);
		buf_free(&out);
		session_end(&s);
	}
}
END_TEST

/* The message, which begins with the path that is the param too. */
static const struct {
	const char *body, *message;
} refusals[] = {
	{ "{\"messages\":[]}", "max_tokens: Field required" },
	{ "{\"max_tokens\":\"5\"}", "max_tokens: Field required" },
	{ "{\"max_tokens\":-1}", "max_tokens: Field required" },
	{ "{\"max_tokens\":1.5}", "max_tokens: Field required" },
	{ "{\"max_tokens\":0}", "messages: Field required" },
	{ "{\"max_tokens\":1}", "messages: Field required" },
	{ MESSAGES(""), "messages: at least one message is required" },
	{ BODY("\"messages\":{}"), "messages: must be a list" },
	{ MESSAGES("1"), "messages[0]: must be an object" },
	{ MESSAGES(USER("\"a\"") ",[]"), "messages[1]: must be an object" },
	{ MESSAGES("{\"content\":\"a\"}"), "messages[0].role: Field required" },
	{ MESSAGES("{\"role\":\"tool\",\"content\":\"a\"}"),
		"messages[0].role: must be `user`, `assistant` or `system`" },
	{ MESSAGES("{\"role\":\"user\"}"), "messages[0].content: Field required" },
	{ MESSAGES(USER("1")), "messages[0].content: must be a string or a list of blocks" },
	{ MESSAGES(USER("\"a\"") "," USER("[\"a\"]")),
		"messages[1].content[0]: must be an object" },
	{ MESSAGES(USER("[{}]")), "messages[0].content[0].type: Field required" },
	{ MESSAGES(USER("[" TEXT("a") ",{\"type\":\"text\",\"text\":1}]")),
		"messages[0].content[1].text: must be a string" },
	{ MESSAGES(USER("[{\"type\":\"odd\"}]")),
		"messages[0].content[0].type: a `odd` block cannot stand here" },
	{ MESSAGES(USER("[" CALL("t") "]")),
		"messages[0].content[0].type: a `tool_use` block cannot stand here" },
	{ MESSAGES(ASSISTANT("[" RESULT("t", "") "]")),
		"messages[0].content[0].type: a `tool_result` block cannot stand here" },
	{ MESSAGES(ASSISTANT("[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":\"{}\"}"
			     "]")),
		"messages[0].content[0].input: must be an object" },
	{ MESSAGES(ASSISTANT("[{\"type\":\"tool_use\",\"name\":\"n\"}]")),
		"messages[0].content[0].id: Field required" },
	{ MESSAGES(USER("[" RESULT("t", ",\"is_error\":1") "]")),
		"messages[0].content[0].is_error: must be true or false" },
	{ MESSAGES(USER("[" RESULT("t",
		  ",\"content\":[{\"type\":\"image\",\"source\":{\"type\":"
		  "\"base64\",\"data\":\"\"}}]") "]")),
		"messages[0].content[0].content[0].source.media_type: Field required" },
	{ MESSAGES(USER("[" SOURCE("image", "\"ftp\"") "}]")),
		"messages[0].content[0].source.type: `ftp` is no source that this block can have" },
	{ MESSAGES(USER("[" SOURCE("document",
		  "\"content\",\"content\":[{\"type\":\"document\"}]") "}]")),
		"messages[0].content[0].source.content[0].type: a `document` block cannot stand "
		"here" },
	{ BODY("\"system\":[" SOURCE("image", "\"url\"") "}],\"messages\":[]"),
		"system[0].type: a `image` block cannot stand here" },
	{ REST("\"temperature\":\"1\""), "`temperature` must be a number" },
	{ REST("\"stop_sequences\":[\"a\",1]"), "stop_sequences[1]: must be a string" },
	{ REST("\"service_tier\":\"flex\""), "service_tier: must be `auto` or `standard_only`" },
	{ REST("\"metadata\":{\"user_id\":1}"), "metadata.user_id: must be a string" },
	{ REST("\"tools\":{}"), "`tools` must be a list" },
	{ REST("\"tools\":[{\"input_schema\":{}}]"), "tools[0].name: Field required" },
	{ REST("\"tools\":[" TOOL ",{\"name\":\"w\",\"input_schema\":[]}]"),
		"tools[1].input_schema: must be an object" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"some\"}"),
		"tool_choice.type: must be `auto`, `any`, `tool` or `none`" },
	{ REST("\"tools\":[" TOOL "],\"tool_choice\":{\"type\":\"tool\"}"),
		"tool_choice.name: Field required" },
	{ REST("\"thinking\":{\"type\":\"on\"}"),
		"thinking.type: must be `enabled`, `adaptive`, `between_tools` or `disabled`" },
	{ REST("\"thinking\":{\"type\":\"enabled\"}"), "thinking.budget_tokens: Field required" },
	{ REST("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":-5}"),
		"thinking.budget_tokens: must be a positive integer" },
	{ REST("\"output_config\":{\"effort\":\"none\"}"),
		"output_config.effort: must be `low`, `medium`, `high`, `xhigh` or `max`" },
	{ REST("\"output_config\":{\"format\":{\"type\":\"json_object\"}}"),
		"output_config.format.type: must be `json_schema`" },
	{ REST("\"output_format\":{\"type\":\"json_schema\"}"),
		"output_format.schema: Field required" },
	{ "[]", "the body must be a JSON object" },
};

START_TEST(test_refusals)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct chat_request q = { 0 };
		struct session s;

		session(&s);
		ck_assert_msg(
			anthropic_client.read_request(&s.chat, &q, str_of(refusals[i].body)) == -1,
			"%s: was not refused", refusals[i].body);
		assert_same(s.chat.error.message, str_of(refusals[i].message), refusals[i].body);
		ck_assert_int_eq(s.chat.error.kind, ERROR_INVALID);
		if (str_find(s.chat.error.message, STR(": ")) < s.chat.error.message.len)
			ck_assert(str_starts(s.chat.error.message, s.chat.error.param));
		session_end(&s);
	}
}
END_TEST

START_TEST(test_reject)
{
	const char *body = REST("\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]");
	struct chat_request q = { 0 };
	struct session s;

	session(&s);
	s.chat.reject = true;
	ck_assert_int_eq(anthropic_client.read_request(&s.chat, &q, str_of(body)), -1);
	assert_same(s.chat.error.message,
		STR("tools[0]: `bash_20250124` is a tool of Anthropic's, which this model's "
		    "provider does not have; leave it out"),
		body);
	session_end(&s);
}
END_TEST

/*
 * Answers
 */

#define EV(kind, ...)                             \
	{                                         \
		.type = EVENT_##kind, __VA_ARGS__ \
	}
#define SAY(kind, words) EV(kind, .text = STR_INIT(words))
#define CALLED(call, sig) \
	EV(CALL, .id = STR_INIT(call), .name = STR_INIT("w"), .signature = STR_INIT(sig))
#define ENDED(why) EV(STOP, .stop = STOP_##why)
#define NOTHING EV(USAGE, .usage = { .tokens = { -1, -1, -1, -1, -1 } })
#define USAGE EV(USAGE, .usage = { .tokens = { 12, 40, 100, 7, 3 }, .tier = STR_INIT("default") })

enum { EVENTS_MOST = 48 };

/* The reply's content, and what stands behind it, or the beginning of that. */
static const struct answer {
	const char *name;
	struct chat_event events[EVENTS_MOST];
	const char *content, *rest;
} answers[] = {
	{ "nothing", { EV(START), ENDED(END), EV(DONE) }, "[]",
		"\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,"
		"\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
		"\"output_tokens\":0}}" },
	{ "text, usage, tier",
		{ EV(START, .model = STR_INIT("m-2")), SAY(TEXT, "a\\n"), SAY(TEXT, "b"),
			EV(TEXT, .text = STR_INIT("\"c\n"), .plain = true), ENDED(END), USAGE,
			EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\\nb\\\"c\\n\"}]",
		"\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":"
		"12,\"cache_creation_input_tokens\":7,\"cache_read_input_tokens\":100,"
		"\"output_tokens\":40,\"service_tier\":\"standard\"}}" },
	{ "two texts",
		{ EV(START), SAY(TEXT, "a"), EV(PART_END), SAY(TEXT, "b"), ENDED(LENGTH),
			EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]",
		"\"stop_reason\":\"max_tokens\"," },
	{ "thinking with a signature, redacted thinking",
		{ EV(START), SAY(REASONING, "t"), SAY(SIGNATURE, "s"), SAY(REDACTED, "d"),
			SAY(SIGNATURE, "z"), SAY(TEXT, "a"), ENDED(END), EV(DONE) },
		"[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"s\"},"
		"{\"type\":\"redacted_thinking\",\"data\":\"d\"},"
		"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"z\"},"
		"{\"type\":\"text\",\"text\":\"a\"}]",
		"\"stop_reason\":\"end_turn\"," },
	{ "calls; the reason says stop",
		{ EV(START), SAY(TEXT, "a"), CALLED("c.1", ""), SAY(ARGUMENTS, "{\\\"a\\\":"),
			SAY(ARGUMENTS, "1}"), CALLED("c2", ""), ENDED(END), EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"tool_use\",\"id\":"
		"\"c_1_255b58d8\",\"name\":\"w\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\""
		":\"c2\",\"name\":\"w\",\"input\":{}}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "plain arguments",
		{ EV(START), CALLED("c", ""),
			EV(ARGUMENTS, .text = STR_INIT("{\"a\":\"\\n\"}"), .plain = true),
			ENDED(CALLS), EV(DONE) },
		"[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{\"a\":\"\\n\"}}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "a call that was cut", { EV(START), CALLED("c", ""), ENDED(LENGTH), EV(DONE) },
		"[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{}}]",
		"\"stop_reason\":\"max_tokens\"," },
	{ "Gemini's signature signs the thinking before it",
		{ EV(START), SAY(REASONING, "t"), CALLED("c", "g"), ENDED(CALLS), EV(DONE) },
		"[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"gg1.g\"},"
		"{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{}}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "or a block of its own",
		{ EV(START), SAY(REASONING, "t"), SAY(TEXT, "a"), CALLED("c", "g"),
			CALLED("d", "h"), SAY(TEXT, "a"), ENDED(CALLS), EV(DONE) },
		"[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},"
		"{\"type\":\"text\",\"text\":\"a\"},"
		"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"gg1.g\"},"
		"{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{}},"
		"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"gg1.h\"},"
		"{\"type\":\"tool_use\",\"id\":\"d\",\"name\":\"w\",\"input\":{}},"
		"{\"type\":\"text\",\"text\":\"a\"}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "but not twice, where the reader has signed",
		{ EV(START), SAY(REASONING, "t"), SAY(SIGNATURE, "gg1.g"), EV(PART_END),
			CALLED("c", "g"), ENDED(CALLS), EV(DONE) },
		"[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"gg1.g\"},"
		"{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{}}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "and not where no thinking is shown",
		{ EV(START), CALLED("c", "g"), ENDED(CALLS), EV(DONE) },
		"[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{}}]",
		"\"stop_reason\":\"tool_use\"," },
	{ "refusal", { EV(START), SAY(REFUSAL, "no"), ENDED(END), EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"no\"}]", "\"stop_reason\":\"refusal\"," },
	{ "filtered, with the reason",
		{ EV(START), EV(STOP, .stop = STOP_REFUSAL, .text = STR_INIT("why")), EV(DONE) },
		"[]",
		"\"stop_reason\":\"refusal\",\"stop_sequence\":null,\"stop_details\":{\"type\":"
		"\"refusal\",\"category\":null,\"explanation\":\"why\"}," },
	{ "a stop sequence",
		{ EV(START), SAY(TEXT, "a"),
			EV(STOP, .stop = STOP_SEQUENCE, .stop_sequence = STR_INIT("END")),
			EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\"}]",
		"\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"END\"," },
	{ "one that is not known", { EV(START), SAY(TEXT, "a"), ENDED(SEQUENCE), EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\"}]",
		"\"stop_reason\":\"stop_sequence\",\"stop_sequence\":null," },
	{ "what a message has no place for",
		{ EV(START), EV(START, .choice = 1), EV(TEXT, .choice = 1, .text = STR_INIT("b")),
			SAY(TEXT, "a"),
			EV(IMAGE, .media = STR_INIT("image/png"), .text = STR_INIT("AA")),
			EV(CITATION, .raw = STR_INIT("{}")), EV(LOGPROBS, .raw = STR_INIT("{}")),
			EV(STOP, .choice = 1), ENDED(CALLS), NOTHING, EV(DONE) },
		"[{\"type\":\"text\",\"text\":\"a\"}]", "\"stop_reason\":\"end_turn\"," },
};

static void
run_answer(const struct answer *a, struct session *s, struct buf *stream, struct buf *reply)
{
	struct chat_reply whole = { 0 };
	void *state = anthropic_client.open(&s->chat);

	for (const struct chat_event *ev = a->events; state; ev++) {
		arena_rewind(&s->scratch);
		anthropic_client.write_event(&s->chat, state, ev, stream);
		if (chat_reply_add(&s->chat, &whole, ev, false) < 0)
			return;
		if (ev->type == EVENT_DONE)
			break;
	}
	anthropic_client.write_reply(&s->chat, &whole, reply);
}

START_TEST(test_answers)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct buf stream = BUF_EMPTY, reply = BUF_EMPTY;
		struct str rest, text;
		struct session s;

		session(&s);
		run_answer(&answers[i], &s, &stream, &reply);
		text = buf_str(&reply);
		valid_anthropic_stream(answers[i].name, buf_str(&stream), true);
		valid_anthropic_reply(answers[i].name, text);
		valid_anthropic_same(answers[i].name, buf_str(&stream), text);
		rest = str_skip(text, str_find(text, STR("\"content\":")) + 10);
		assert_same(str_head(rest, strlen(answers[i].content)), str_of(answers[i].content),
			answers[i].name);
		rest = str_skip(rest, strlen(answers[i].content) + 1);
		assert_same(str_head(rest, strlen(answers[i].rest)), str_of(answers[i].rest),
			answers[i].name);
		buf_free(&stream);
		buf_free(&reply);
		session_end(&s);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A part of an answer, of one to three pieces. */
static unsigned
random_part(struct chat_event *ev)
{
	static const enum chat_event_type kinds[] = { EVENT_TEXT, EVENT_REASONING, EVENT_CALL,
		EVENT_REDACTED };
	static const struct str args[] = { STR_INIT("{}"), STR_INIT("{\\\"a\\\":"),
		STR_INIT("1}") };
	enum chat_event_type kind = kinds[below(4)];
	unsigned n = 0, pieces = 1 + below(3);

	if (kind == EVENT_CALL) {
		ev[n++] = (struct chat_event)CALLED("c", "");
		ev[0].signature = below(2) ? STR("g") : STR("");
		pieces = below(3);
	}
	for (unsigned i = 0; i < pieces; i++)
		ev[n++] = kind == EVENT_CALL
			? (struct chat_event){ .type = EVENT_ARGUMENTS,
				  .text = args[pieces == 1 ? 0 : i + 1] }
			: (struct chat_event){ .type = kind, .text = STR("\\u00e9 ") };
	if (kind == EVENT_REASONING && below(2)) {
		ev[n++] = (struct chat_event)SAY(SIGNATURE, "s");
		ev[n++] = (struct chat_event)EV(PART_END);
	} else if (below(3) == 0) {
		ev[n++] = (struct chat_event)EV(PART_END);
	}
	return n;
}

/* Any parts in any order: a stream that the SDKs can take, and the same message as the whole reply.
 */
START_TEST(test_random)
{
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		static const enum chat_stop stops[] = { STOP_END, STOP_CALLS, STOP_LENGTH,
			STOP_REFUSAL };
		struct answer a = { .name = "random", .events = { EV(START) } };
		struct buf stream = BUF_EMPTY, reply = BUF_EMPTY;
		struct session s;
		unsigned n = 1;

		random_seed = seed;
		for (unsigned parts = below(6); parts > 0; parts--)
			n += random_part(&a.events[n]);
		a.events[n++] = (struct chat_event){ .type = EVENT_STOP, .stop = stops[below(4)] };
		a.events[n++] = (struct chat_event)EV(DONE);
		session(&s);
		run_answer(&a, &s, &stream, &reply);
		valid_anthropic_stream(a.name, buf_str(&stream), true);
		valid_anthropic_reply(a.name, buf_str(&reply));
		valid_anthropic_same(a.name, buf_str(&stream), buf_str(&reply));
		buf_free(&stream);
		buf_free(&reply);
		session_end(&s);
	}
}
END_TEST

/* A whole reply has no block for reasoning without text; arguments that are no object stay
 * readable. */
START_TEST(test_reply_alone)
{
	static const struct answer a = { "reply",
		{ EV(START), SAY(REASONING, ""), SAY(TEXT, "a"), CALLED("c", ""),
			SAY(ARGUMENTS, "[1"), SAY(ARGUMENTS, "]"), CALLED("d", ""),
			EV(ARGUMENTS, .text = STR_INIT("\"x\""), .plain = true), ENDED(CALLS),
			EV(DONE) },
		NULL, NULL };
	struct buf stream = BUF_EMPTY, reply = BUF_EMPTY;
	struct session s;

	session(&s);
	run_answer(&a, &s, &stream, &reply);
	ck_assert(str_find(buf_str(&reply),
			  STR("\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
			      "\"tool_use\",\"id\":\"c\",\"name\":\"w\",\"input\":{\"_raw\":\"[1]"
			      "\"}},{\"type\":\"tool_use\",\"id\":\"d\",\"name\":\"w\",\"input\":"
			      "{\"_raw\":\"\\\"x\\\"\"}}],")) < buf_len(&reply));
	buf_free(&stream);
	buf_free(&reply);
	session_end(&s);
}
END_TEST

/* Memory fails at every place once: a refusal that says so, or a failure that is kept. */
START_TEST(test_no_memory)
{
	for (size_t i = 0; i < COUNT(conversations); i++) {
		int rc = -1;

		for (size_t n = 1; rc < 0; n++) {
			struct chat_request q = { 0 };
			struct session s;

			session(&s);
			mem_fail_after(n);
			rc = anthropic_client.read_request(&s.chat, &q,
				str_of(conversations[i].body));
			mem_fail_after(0);
			ck_assert(rc == 0 || s.chat.error.kind == ERROR_OVERLOADED);
			session_end(&s);
		}
	}
	for (size_t i = 0; i < COUNT(answers); i++) {
		bool failed = true;

		for (size_t n = 1; failed; n++) {
			struct buf stream = BUF_EMPTY, reply = BUF_EMPTY;
			struct session s;

			session(&s);
			mem_fail_after(n);
			run_answer(&answers[i], &s, &stream, &reply);
			mem_fail_after(0);
			failed = stream.failed || reply.failed || s.arena.failed;
			buf_free(&stream);
			buf_free(&reply);
			session_end(&s);
		}
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

UNIT_MAIN("dialect/anthropic_client", test_conversations, test_parameters, test_refusals,
	test_reject, test_answers, test_random, test_reply_alone, test_no_memory)
