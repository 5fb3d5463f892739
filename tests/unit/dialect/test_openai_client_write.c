/*
 * Answers to OpenAI's clients: scripts of events as streams and as whole replies, which say the
 * same, and what SDKs need of both.
 */
#include <string.h>

#include "session.h"
#include "valid_openai.h"

#define S(literal) STR_INIT(literal)
#define HEAD_OF(id, object, model)                                                              \
	"\"id\":\"" id "\",\"object\":\"" object "\",\"created\":1790000000,\"model\":\"" model \
	"\",\"choices\":["
#define CHUNK_HEAD "data: {" HEAD_OF("r1", "chat.completion.chunk", "up")
#define CHUNK(index, delta) CHUNK_HEAD "{\"index\":" index ",\"delta\":{" delta "},"
#define MORE "\"logprobs\":null,\"finish_reason\":null}]}\n\n"
#define MORE_USAGE "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
#define FINISH(reason) "\"logprobs\":null,\"finish_reason\":\"" reason "\"}]"
#define ROLE "\"role\":\"assistant\",\"content\":\"\""
#define END_MARK "data: [DONE]\n\n"
#define REPLY "{" HEAD_OF("r1", "chat.completion", "up")
#define MESSAGE(index, content) \
	"{\"index\":" index ",\"message\":{\"role\":\"assistant\",\"content\":" content
#define USAGE(in, all_out, total)                                            \
	"\"usage\":{\"prompt_tokens\":" in ",\"completion_tokens\":" all_out \
	",\"total_tokens\":" total
#define NO_USAGE "," USAGE("0", "0", "0") "}}"
#define CALL(index, id, arguments)                                                        \
	"\"tool_calls\":[{" index "\"id\":\"" id "\",\"type\":\"function\",\"function\":" \
	"{\"name\":\"w\",\"arguments\":\"" arguments "\"}"
#define PIECE(index, arguments) \
	"\"tool_calls\":[{\"index\":" index ",\"function\":{\"arguments\":\"" arguments "\"}}]"
#define CMPL "data: {" HEAD_OF("cmpl-ZxYPxGxHwMBUOcglZXqIQKde", "text_completion", "up")

static const struct script {
	const char *name;
	enum endpoint_id endpoint;
	bool include_usage, echo;
	struct chat_event events[14];
	const char *stream, *reply;
} scripts[] = {
	{ "text", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_TEXT, .text = S("He\\n") },
			{ .type = EVENT_TEXT, .text = S("\"}"), .plain = true },
			{ .type = EVENT_TEXT }, { .type = EVENT_PART_END },
			{ .type = EVENT_STOP, .stop = STOP_SEQUENCE, .stop_sequence = S("END") },
			{ .type = EVENT_TEXT, .text = S("late") },
			{ .type = EVENT_STOP, .stop = STOP_LENGTH } },
		CHUNK("0", ROLE) MORE CHUNK("0", "\"content\":\"He\\n\"")
			MORE CHUNK("0", "\"content\":\"\\\"}\"") MORE CHUNK("0", "")
				FINISH("stop") "}\n\n" END_MARK,
		NULL },
	{ "nothing", ENDPOINT_CHAT, true, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_STOP, .stop = STOP_CALLS } },
		CHUNK("0", ROLE) MORE_USAGE CHUNK("0", "")
			FINISH("stop") ",\"usage\":null}\n\n" CHUNK_HEAD
				       "]," USAGE("0", "0", "0") "}}\n\n" END_MARK,
		REPLY MESSAGE("0", "\"\"") ",\"refusal\":null}," FINISH("stop") NO_USAGE },
	{ "reasoning, text, calls, usage", ENDPOINT_CHAT, true, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_REASONING, .text = S("Hm") },
			{ .type = EVENT_SIGNATURE, .text = S("c2ln") },
			{ .type = EVENT_REDACTED, .text = S("ZGF0YQ==") },
			{ .type = EVENT_TEXT, .text = S("Go.") },
			{ .type = EVENT_CALL, .id = S("c1"), .name = S("w") },
			{ .type = EVENT_ARGUMENTS, .text = S("{\\\"a\\\":") },
			{ .type = EVENT_ARGUMENTS }, { .type = EVENT_ARGUMENTS, .text = S("1}") },
			{ .type = EVENT_CALL, .id = S("c2"), .name = S("w") },
			{ .type = EVENT_USAGE,
				.usage = { .tokens = { 2, 40, 10, 0, -1 },
					.audio_in = -1,
					.audio_out = -1,
					.tier = S("default") } },
			{ .type = EVENT_STOP, .stop = STOP_END } },
		CHUNK("0", ROLE) MORE_USAGE CHUNK("0",
			"\"reasoning_content\":\"Hm\"") MORE_USAGE CHUNK("0",
			"\"content\":\"Go.\"") MORE_USAGE CHUNK("0",
			CALL("\"index\":0,", "c1", "") "}]") MORE_USAGE CHUNK("0",
			PIECE("0", "{\\\"a\\\":")) MORE_USAGE CHUNK("0",
			PIECE("0", "1}")) MORE_USAGE CHUNK("0",
			CALL("\"index\":1,", "c2", "") "}]") MORE_USAGE CHUNK("0",
			PIECE("1", "{}")) MORE_USAGE CHUNK("0", "")
			FINISH("tool_calls") ",\"usage\":null,\"service_tier\":\"default\"}\n\n" CHUNK_HEAD
					     "]," USAGE("12", "40",
						     "52") ",\"prompt_tokens_details\":"
							   "{\"cached_tokens\":10,\"cache_write_tokens\":0}},"
							   "\"service_tier\":\"default\"}\n\n" END_MARK,
		REPLY MESSAGE("0",
			"\"Go.\"") ",\"refusal\":null,\"reasoning_content\":\"Hm\","
				   "\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"Hm\","
				   "\"signature\":\"c2ln\"},{\"type\":\"redacted_thinking\",\"data\":"
				   "\"ZGF0YQ==\"}]," CALL("", "c1",
					   "{\\\"a\\\":1}") "},"
							    "{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"w\","
							    "\"arguments\":\"{}\"}}]}," FINISH(
								    "tool_calls") "," USAGE("12",
								    "40",
								    "52") ",\"prompt_tokens_details\":{\"cached_tokens\":10,"
									  "\"cache_write_tokens\":0}},\"service_tier\":\"default\"}" },
	{ "a call at once, and its signature", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_CALL,
				.id = S("c1"),
				.name = S("w"),
				.signature = S("c2ln"),
				.joined = true },
			{ .type = EVENT_ARGUMENTS, .text = S("{\"a\": \"\\n\"}"), .plain = true },
			{ .type = EVENT_CALL, .id = S("c2"), .name = S("w"), .joined = true },
			{ .type = EVENT_ARGUMENTS }, { .type = EVENT_STOP, .stop = STOP_LENGTH } },
		CHUNK("0", ROLE) MORE CHUNK("0",
			CALL("\"index\":0,", "c1",
				"{\\\"a\\\": \\\"\\\\n\\\"}") ",\"extra_content\":{\"google\":{\"thought_signature\":\"c2ln\"}}"
							      "}]") MORE CHUNK("0",
			CALL("\"index\":1,", "c2", "") "}]") MORE CHUNK("0", PIECE("1", "{}"))
			MORE CHUNK("0", "") FINISH("length") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "null") ",\"refusal\":null," CALL("", "c1",
			"{\\\"a\\\": \\\"\\\\n\\\"}") ",\"extra_content\":{\"google\":{\"thought_signature\":\"c2ln\"}}},"
						      "{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"w\","
						      "\"arguments\":\"{}\"}}]}," FINISH("length")
							      NO_USAGE },
	{ "custom calls", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_CALL,
				.id = S("c1"),
				.name = S("x"),
				.custom = true,
				.joined = true },
			{ .type = EVENT_ARGUMENTS, .text = S("a\\n"), .custom = true },
			{ .type = EVENT_CALL, .id = S("c2"), .name = S("x"), .custom = true },
			{ .type = EVENT_STOP, .stop = STOP_CALLS } },
		CHUNK("0", ROLE) MORE CHUNK("0",
			"\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"custom\",\"custom\":"
			"{\"name\":\"x\",\"input\":\"a\\n\"}}]") MORE CHUNK("0",
			"\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"type\":\"custom\","
			"\"custom\":{\"name\":\"x\",\"input\":\"\"}}]") MORE CHUNK("0", "")
			FINISH("tool_calls") "}\n\n" END_MARK,
		REPLY MESSAGE("0",
			"null") ",\"refusal\":null,\"tool_calls\":[{\"id\":\"c1\","
				"\"type\":\"custom\",\"custom\":{\"name\":\"x\",\"input\":\"a\\n\"}},"
				"{\"id\":\"c2\",\"type\":\"custom\",\"custom\":{\"name\":\"x\",\"input\":"
				"\"\"}}]}," FINISH("tool_calls") NO_USAGE },
	{ "choices that interleave", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_TEXT, .choice = 1, .text = S("b") },
			{ .type = EVENT_TEXT, .text = S("a") },
			{ .type = EVENT_CALL, .choice = 1, .id = S("c1"), .name = S("w") },
			{ .type = EVENT_STOP, .stop = STOP_END },
			{ .type = EVENT_STOP, .choice = 1, .stop = STOP_CALLS } },
		CHUNK("0", ROLE) MORE CHUNK("1", ROLE) MORE CHUNK("1", "\"content\":\"b\"")
			MORE CHUNK("0", "\"content\":\"a\"") MORE CHUNK("1",
				CALL("\"index\":0,", "c1", "") "}]") MORE CHUNK("0", "")
				FINISH("stop") "}\n\n" CHUNK("1", PIECE("0", "{}"))
					MORE CHUNK("1", "") FINISH("tool_calls") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "\"a\"") ",\"refusal\":null},\"logprobs\":null,"
					    "\"finish_reason\":\"stop\"}," MESSAGE("1",
						    "\"b\"") ",\"refusal\":null," CALL("", "c1",
						    "{}") "}]}," FINISH("tool_calls") NO_USAGE },
	{ "refusals", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_STOP, .stop = STOP_REFUSAL, .text = S("I won\\u0027t") } },
		CHUNK("0", ROLE) MORE CHUNK("0", "\"refusal\":\"I won\\u0027t\"")
			MORE CHUNK("0", "") FINISH("content_filter") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "null") ",\"refusal\":\"I won\\u0027t\"}," FINISH(
			"content_filter") NO_USAGE },
	{ "a refusal in pieces", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_REFUSAL, .text = S("N") },
			{ .type = EVENT_REFUSAL, .text = S("o") }, { .type = EVENT_STOP } },
		CHUNK("0", ROLE) MORE CHUNK("0", "\"refusal\":\"N\"") MORE CHUNK("0",
			"\"refusal\":\"o\"") MORE CHUNK("0", "") FINISH("stop") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "null") ",\"refusal\":\"No\"}," FINISH("stop") NO_USAGE },
	/* raw values may hold line ends between their tokens: an event's data is one line */
	{ "log probabilities, citations, images", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_CITATION, .raw = S("{\"a\":\r\n1}") },
			{ .type = EVENT_TEXT, .text = S("x") },
			{ .type = EVENT_CITATION, .raw = S("{\n}") },
			{ .type = EVENT_LOGPROBS,
				.raw = S("{\"token\":\"x\",\r\"logprob\":-0.10}") },
			{ .type = EVENT_LOGPROBS },
			{ .type = EVENT_IMAGE, .media = S("image\\/png"), .text = S("AA==") },
			{ .type = EVENT_STOP } },
		CHUNK("0", ROLE) MORE CHUNK("0", "\"content\":\"x\"") MORE CHUNK("0",
			"") "\"logprobs\":{\"content\":[{\"token\":\"x\",\"logprob\":-0.10}],"
			    "\"refusal\":null},\"finish_reason\":null}]}\n\n" CHUNK("0",
				    "\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
				    "\"data:image\\/png;base64,AA==\"}}]")
				    MORE CHUNK("0", "\"annotations\":[{\"a\":1},{}]")
					    FINISH("stop") "}\n\n" END_MARK,
		NULL },
	{ "all that usage has", ENDPOINT_CHAT, true, false,
		{ { .type = EVENT_USAGE,
			  .usage = { .tokens = { 1, 1, 1, 1, 1 }, .audio_in = 1, .audio_out = 1 } },
			{ .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_STOP },
			{ .type = EVENT_USAGE,
				.usage = { .tokens = { INT64_MAX, 9, 5, 7, 3 },
					.audio_in = 4,
					.audio_out = 0 } } },
		CHUNK("0", ROLE) MORE_USAGE CHUNK("0", "") FINISH(
			"stop") ",\"usage\":null}\n\n" CHUNK_HEAD "]," USAGE("9223372036854775807",
			"9",
			"9223372036854775807") ",\"prompt_tokens_details\":{\"cached_tokens\":5,\"cache_write_tokens\":7,"
					       "\"audio_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":3,"
					       "\"audio_tokens\":0}}}\n\n" END_MARK,
		NULL },
	{ "names of our own", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .created_s = 5 }, { .type = EVENT_STOP } },
		"data: {\"id\":\"chatcmpl-ZxYPxGxHwMBUOcglZXqIQKde\",\"object\":"
		"\"chat.completion.chunk\",\"created\":5,\"model\":\"m\\\"\",\"choices\":["
		"{\"index\":0,\"delta\":{" ROLE "}," MORE
		"data: {\"id\":\"chatcmpl-ZxYPxGxHwMBUOcglZXqIQKde\",\"object\":"
		"\"chat.completion.chunk\",\"created\":5,\"model\":\"m\\\"\",\"choices\":["
		"{\"index\":0,\"delta\":{}," FINISH("stop") "}\n\n" END_MARK,
		"{\"id\":\"chatcmpl-ZxYPxGxHwMBUOcglZXqIQKde\",\"object\":\"chat.completion\","
		"\"created\":5,\"model\":\"m\\\"\",\"choices\":[" MESSAGE("0",
			"\"\"") ",\"refusal\":null}," FINISH("stop") NO_USAGE },
	/* a client of functions knows one call, and no id */
	{ "legacy calls", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_CALL, .id = S("c1"), .name = S("w") },
			{ .type = EVENT_ARGUMENTS, .text = S("{\\\"a\\\":") },
			{ .type = EVENT_ARGUMENTS, .text = S("1}") },
			{ .type = EVENT_CALL, .id = S("c2"), .name = S("w"), .joined = true },
			{ .type = EVENT_ARGUMENTS, .text = S("{\\\"b\\\":2}") },
			{ .type = EVENT_CALL, .id = S("c3"), .name = S("w") },
			{ .type = EVENT_STOP, .stop = STOP_CALLS } },
		CHUNK("0", ROLE)
			MORE CHUNK("0", "\"function_call\":{\"name\":\"w\",\"arguments\":\"\"}")
				MORE CHUNK("0", "\"function_call\":{\"arguments\":\"{\\\"a\\\":\"}")
					MORE CHUNK("0", "\"function_call\":{\"arguments\":\"1}\"}")
						MORE CHUNK("0", "")
							FINISH("function_call") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "null") ",\"refusal\":null,\"function_call\":{\"name\":\"w\","
					   "\"arguments\":\"{\\\"a\\\":1}\"}}," FINISH(
						   "function_call") NO_USAGE },
	{ "legacy call without arguments", ENDPOINT_CHAT, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_CALL, .id = S("c1"), .name = S("w") },
			{ .type = EVENT_STOP, .stop = STOP_CALLS } },
		CHUNK("0", ROLE) MORE CHUNK("0",
			"\"function_call\":{\"name\":\"w\",\"arguments\":\"\"}")
			MORE CHUNK("0", "\"function_call\":{\"arguments\":\"{}\"}")
				MORE CHUNK("0", "") FINISH("function_call") "}\n\n" END_MARK,
		REPLY MESSAGE("0", "null") ",\"refusal\":null,\"function_call\":{\"name\":\"w\","
					   "\"arguments\":\"{}\"}}," FINISH("function_call")
						   NO_USAGE },
	{ "a completion", ENDPOINT_COMPLETIONS, false, false,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_REASONING, .text = S("Hm") },
			{ .type = EVENT_TEXT, .text = S("Hi") },
			{ .type = EVENT_CALL, .id = S("c1"), .name = S("w") },
			{ .type = EVENT_ARGUMENTS, .text = S("{}") },
			{ .type = EVENT_STOP, .stop = STOP_CALLS } },
		CMPL "{\"index\":0,\"text\":\"Hi\"," MORE CMPL
		     "{\"index\":0,\"text\":\"\"," FINISH("stop") "}\n\n" END_MARK,
		"{" HEAD_OF("cmpl-ZxYPxGxHwMBUOcglZXqIQKde", "text_completion",
			"up") "{\"index\":0,\"text\":\"Hi\"," FINISH("stop") NO_USAGE },
	{ "a completion with its prompt", ENDPOINT_COMPLETIONS, true, true,
		{ { .type = EVENT_START, .id = S("r1"), .model = S("up") },
			{ .type = EVENT_TEXT, .text = S(" time") },
			{ .type = EVENT_STOP, .stop = STOP_LENGTH },
			{ .type = EVENT_USAGE,
				.usage = { .tokens = { 1, 2, -1, -1, -1 },
					.audio_in = -1,
					.audio_out = -1,
					.tier = S("default") } } },
		CMPL "{\"index\":0,\"text\":\"Once\"," MORE_USAGE CMPL
		     "{\"index\":0,\"text\":\" time\"," MORE_USAGE CMPL
		     "{\"index\":0,\"text\":\"\"," FINISH(
			     "length") ",\"usage\":null}\n\n" CMPL
				       "]," USAGE("1", "2", "3") "}}\n\n" END_MARK,
		"{" HEAD_OF("cmpl-ZxYPxGxHwMBUOcglZXqIQKde", "text_completion",
			"up") "{\"index\":0,\"text\":\"Once time\"," FINISH("length") "," USAGE("1",
			"2", "3") "}}" },
};

static void
script_open(struct session *s, const struct script *t)
{
	session_open(s, t->endpoint);
	s->chat.include_usage = t->include_usage;
	s->chat.echo = t->echo;
	s->chat.functions = str_starts(str_of(t->name), STR("legacy"));
	s->chat.prompt = t->echo ? STR("Once") : STR("");
	if (strcmp(t->name, "names of our own") == 0)
		s->chat.model = STR("m\"");
}

/* Events up to EVENT_DONE; what is behind the last that has a type is all zero. */
static size_t
script_length(const struct script *t)
{
	size_t n = COUNT(t->events);

	while (t->events[n - 1].type == 0 && t->events[n - 1].id.len == 0)
		n--;
	return n;
}

static void
run_stream(struct session *s, const struct script *t, struct buf *out)
{
	const struct chat_event done = { .type = EVENT_DONE };
	void *state = client(s)->open(&s->chat);

	if (!state)
		return;
	for (size_t i = 0; i < script_length(t); i++)
		client(s)->write_event(&s->chat, state, &t->events[i], out);
	client(s)->write_event(&s->chat, state, &done, out);
}

START_TEST(test_streams)
{
	for (size_t i = 0; i < COUNT(scripts); i++) {
		const struct script *t = &scripts[i];
		struct buf out = BUF_EMPTY;
		struct session s;

		script_open(&s, t);
		run_stream(&s, t, &out);
		assert_same(buf_str(&out), str_of(t->stream), t->name);
		if (strcmp(t->name, "all that usage has") != 0)
			valid_openai_stream(t->name, buf_str(&out), t->endpoint == ENDPOINT_CHAT,
				true);
		buf_free(&out);
		session_close(&s);
	}
}
END_TEST

START_TEST(test_replies)
{
	const struct chat_event done = { .type = EVENT_DONE };

	for (size_t i = 0; i < COUNT(scripts); i++) {
		const struct script *t = &scripts[i];
		struct chat_reply reply = { 0 };
		struct buf out = BUF_EMPTY;
		struct session s;

		if (!t->reply)
			continue;
		script_open(&s, t);
		for (size_t n = 0; n < script_length(t); n++)
			ck_assert_int_eq(chat_reply_add(&s.chat, &reply, &t->events[n], false), 0);
		chat_reply_add(&s.chat, &reply, &done, false);
		ck_assert(chat_reply_whole(&reply));
		client(&s)->write_reply(&s.chat, &reply, &out);
		assert_same(buf_str(&out), str_of(t->reply), t->name);
		valid_openai_reply(t->name, buf_str(&out), t->endpoint == ENDPOINT_CHAT);
		buf_free(&out);
		session_close(&s);
	}
}
END_TEST

/* Memory that ends while a stream is written is seen in the arena or the buffer. */
START_TEST(test_streams_without_memory)
{
	for (size_t i = 0; i < COUNT(scripts); i++) {
		bool whole = false;

		for (size_t n = 1; !whole; n++) {
			struct buf out = BUF_EMPTY;
			struct session s;

			script_open(&s, &scripts[i]);
			mem_fail_after(n);
			run_stream(&s, &scripts[i], &out);
			mem_fail_after(0);
			whole = str_eq(buf_str(&out), str_of(scripts[i].stream));
			ck_assert(whole || out.failed || s.arena.failed);
			buf_free(&out);
			session_close(&s);
		}
	}
}
END_TEST

UNIT_MAIN("dialect/openai_client_write", test_streams, test_replies, test_streams_without_memory)
