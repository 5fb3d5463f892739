/*
 * Requests of OpenAI's clients: chat completions and legacy completions as the neutral form says
 * them, what is refused and by which name, every value replaced by one of another type, memory that
 * ends anywhere.
 */
#include <string.h>

#include "golden.h"
#include "json/edit.h"
#include "session.h"

static void
show(struct buf *out, const char *name, struct str text)
{
	if (text.len > 0)
		buf_printf(out, " %s=%.*s", name, STR_ARG(text));
}

static void
show_parts(struct buf *out, const struct chat_part *parts)
{
	static const char *const types[] = { "text", "refusal", "image", "file", "audio",
		"reasoning", "redacted", "call", "result" };
	static const char *const kinds[] = { "data", "url", "plain", "id" };

	for (const struct chat_part *p = parts; p; p = p->next) {
		buf_printf(out, " (%s%s", types[p->type], p->custom ? " custom" : "");
		if (p->type == PART_IMAGE || p->type == PART_FILE || p->type == PART_AUDIO)
			buf_printf(out, " %s %.*s %.*s", kinds[p->source.kind],
				STR_ARG(p->source.media), STR_ARG(p->source.text));
		if (p->text.len > 0)
			buf_printf(out, " %.*s", STR_ARG(p->text));
		show(out, "id", p->id);
		show(out, "name", p->name);
		show(out, "title", p->title);
		show(out, "args", p->args);
		show(out, "signature", p->signature);
		show(out, "cache", p->cache);
		show_parts(out, p->parts);
		buf_add(out, STR(")"));
	}
}

static void
show_number(struct buf *out, const char *name, uint64_t n)
{
	if (n > 0)
		buf_printf(out, " %s=%llu", name, (unsigned long long)n);
}

static void
show_request(struct buf *out, const struct chat *c, const struct chat_request *q)
{
	static const char *const roles[] = { "system", "user", "assistant", "tool" };
	static const char *const modes[] = { "auto", "none", "required", "named", "allowed",
		"allowed-required" };
	static const char *const formats[] = { "", "json", "schema" };

	for (const struct chat_message *m = q->messages; m; m = m->next) {
		buf_printf(out, "%s%s%s", m->developer ? "developer" : roles[m->role],
			m->bare ? "!" : "", m->parts ? "" : " nothing");
		show_parts(out, m->parts);
		buf_add(out, STR("\n"));
	}
	for (const struct chat_tool *t = q->tools; t; t = t->next) {
		buf_printf(out, "tool %.*s%s%s", STR_ARG(t->name), t->custom ? " custom" : "",
			!t->has_strict      ? ""
				: t->strict ? " strict"
					    : " loose");
		show(out, "about", t->description);
		show(out, "schema", t->schema);
		show(out, "cache", t->cache);
		buf_add(out, STR("\n"));
	}
	buf_add(out, STR("and"));
	if (q->has_choice)
		buf_printf(out, " choice=%s", modes[q->choice]);
	for (size_t i = 0; i < q->n_choice_names; i++)
		buf_printf(out, ",%.*s", STR_ARG(q->choice_names[i]));
	for (size_t i = 0; i < q->n_stops; i++)
		show(out, "stop", q->stops[i]);
	show_number(out, "max", q->max_tokens);
	show_number(out, "n", q->n > 1 ? q->n : 0);
	show(out, "serial", q->serial ? STR("1") : STR(""));
	show(out, "logprobs", q->logprobs ? STR("1") : STR(""));
	if (q->reasoning.asked)
		show(out, "effort", chat_effort_word(q->reasoning.effort));
	show(out, "format", str_of(formats[q->format.kind]));
	show(out, "format.name", q->format.name);
	show(out, "format.about", q->format.description);
	show(out, "format.schema", q->format.schema);
	show(out, "format.strict", q->format.strict ? STR("1") : STR(""));
	show(out, "user", q->user);
	show(out, "tier", q->service_tier);
	show(out, "suffix", q->suffix);
	show(out, "stream", c->stream ? STR("1") : STR(""));
	show(out, "usage", c->include_usage ? STR("1") : STR(""));
	show(out, "echo", c->prompt);
	buf_add(out, STR("\nleft"));
	for (size_t i = 0; i < q->n_params; i++)
		if (!q->params[i].carried)
			buf_printf(out, " %.*s", STR_ARG(q->params[i].name));
	buf_add(out, STR("\n"));
}

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static const struct read_case {
	enum endpoint_id endpoint;
	const char *request, *want;
} reads[] = {
	{ ENDPOINT_CHAT, "{\"model\":\"m\"," USER "}", "user! (text Hi)\nand\nleft\n" },
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"role\":\"system\",\"content\":\"A\\u0000\"},"
		"{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"B\","
		"\"cache_control\":{\"type\": \"ephemeral\"}}],\"name\":\"n\"},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\","
		"\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]},"
		"{\"role\":\"user\",\"content\":[]},{\"role\":\"user\",\"content\":\"\"}]}",
		"system! (text A\\u0000)\n"
		"developer (text B cache={\"type\": \"ephemeral\"})\n"
		"user (text cache={\"type\":\"ephemeral\"})\n"
		"user nothing\nuser! (text)\nand\nleft\n" },
	/* media */
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"role\":\"user\",\"content\":["
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/jpg;base64,AA==\","
		"\"detail\":\"low\"}},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/p.png\"}},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"gs://b/p\"}},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"iVBORw0KGgo=\"}},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"DATA:application/pdf;a=b;base64,"
		"JVBERi0=\"}},"
		"{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"UklG\",\"format\":\"wav\"}},"
		"{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"SUQz\",\"format\":\"mp3\"}},"
		"{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":"
		"\"data:application/pdf;base64,JVBERi0=\"}},"
		"{\"type\":\"file\",\"file\":{\"file_data\":\"JVBERi0=\"}},"
		"{\"type\":\"file\",\"file\":{\"file_data\":\"SGk=\",\"filename\":\"a.txt\"}},"
		"{\"type\":\"file\",\"file\":{\"file_data\":\"https://h/a.pdf\"}},"
		"{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}]}]}",
		"user (image data image/jpeg AA==) (image url  https://h/p.png) (image url  "
		"gs://b/p) (image data image/png iVBORw0KGgo=) (file data application/pdf "
		"JVBERi0=) (audio data audio/wav UklG) (audio data audio/mp3 SUQz) (file data "
		"application/pdf JVBERi0= title=a.pdf) (file data application/pdf JVBERi0=) "
		"(file data  SGk= title=a.txt) (file url  https://h/a.pdf) (file id  file-1)\n"
		"and\nleft\n" },
	/* an assistant's message, in whatever order its members come */
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"tool_calls\":[{\"id\":\"call_01\",\"type\":\"function\","
		"\"function\":{\"name\":\"w\",\"arguments\":\"{\\\"id\\\": 9007199254740993}\"},"
		"\"extra_content\":{\"google\":{\"thought_signature\":\"c2ln\"}}},"
		"{\"id\":\"c2\",\"function\":{\"name\":\"w\",\"arguments\":\"\"}},"
		"{\"id\":\"c3\",\"type\":\"custom\",\"custom\":{\"name\":\"x\",\"input\":\"a\\n\"}}],"
		"\"refusal\":\"No\",\"content\":[{\"type\":\"text\",\"text\":\"T\"},{\"type\":"
		"\"refusal\",\"refusal\":\"R\"}],\"reasoning_content\":\"not this\","
		"\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"Hm\",\"signature\":\"s\"},"
		"{\"type\":\"redacted_thinking\",\"data\":\"ZGF0YQ==\"}],\"role\":\"assistant\","
		"\"audio\":{\"id\":\"a\"}},"
		"{\"role\":\"tool\",\"tool_call_id\":\"call_01\",\"content\":\"{\\\"c\\\":-3}\"},"
		"{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":"
		"\"21 C\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://h/\"}}]}]}",
		"assistant (reasoning Hm signature=s) (redacted ZGF0YQ==) (text T) (refusal R) "
		"(refusal No) (call id=call_01 name=w args={\\\"id\\\": 9007199254740993} "
		"signature=c2ln) (call id=c2 name=w) (call custom id=c3 name=x args=a\\n)\n"
		"tool! (result id=call_01 (text {\\\"c\\\":-3}))\n"
		"tool (result id=c2 (text 21 C) (image url  http://h/))\n"
		"and\nleft\n" },
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"role\":\"assistant\"},{\"role\":\"assistant\",\"content\":\"\","
		"\"reasoning_content\":\"Hm\",\"tool_calls\":[]},{\"role\":\"assistant\",\"content\":"
		"null,\"reasoning\":\"Ha\",\"thinking_blocks\":null}]}",
		"assistant nothing\nassistant! (reasoning Hm) (text)\nassistant (reasoning Ha)\nand\n"
		"left\n" },
	/* the legacy calls have no ids */
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":"
		"\"f\",\"arguments\":\"{}\"}},{\"role\":\"assistant\",\"function_call\":{\"name\":"
		"\"f\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"2\"},{\"role\":"
		"\"function\",\"name\":\"f\",\"content\":\"1\"}],\"functions\":[{\"name\":\"f\","
		"\"description\":\"d\",\"parameters\":{\"a\": 1}}],\"function_call\":{\"name\":\"f\"}}",
		"assistant (call id=toolu_fn_1 name=f args={})\nassistant (call id=toolu_fn_2 "
		"name=f)\ntool! (result id=toolu_fn_2 (text 2))\ntool! (result id=toolu_fn_1 (text "
		"1))\ntool f about=d schema={\"a\": 1}\nand choice=named,f\nleft functions "
		"function_call\n" },
	/* tools; the newer generation wins */
	{ ENDPOINT_CHAT,
		"{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\","
		"\"description\":\"d\",\"parameters\":{ },\"strict\":true},\"cache_control\":{}},"
		"{\"type\":\"function\",\"function\":{\"name\":\"b\",\"strict\":false,\"parameters\":"
		"null}},{\"type\":\"custom\",\"custom\":{\"name\":\"c\",\"format\":{\"type\":"
		"\"text\"}}}],\"functions\":[{\"name\":\"f\"}],\"tool_choice\":\"required\","
		"\"function_call\":\"none\",\"parallel_tool_calls\":false}",
		"user! (text Hi)\ntool a strict about=d schema={ } cache={}\ntool b loose\n"
		"tool c custom\nand choice=required serial=1\nleft tools functions tool_choice "
		"function_call parallel_tool_calls\n" },
	{ ENDPOINT_CHAT, "{" USER ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":true}",
		"user! (text Hi)\nand choice=auto\nleft\n" },
	{ ENDPOINT_CHAT, "{" USER ",\"tool_choice\":\"none\",\"tools\":[]}",
		"user! (text Hi)\nand choice=none\nleft tool_choice\n" },
	{ ENDPOINT_CHAT, "{" USER ",\"function_call\":\"auto\",\"functions\":null}",
		"user! (text Hi)\nand choice=auto\nleft\n" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"a\"}}}",
		"user! (text Hi)\nand choice=named,a\nleft tool_choice\n" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}}",
		"user! (text Hi)\nand choice=named,c\nleft tool_choice\n" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
		"\"auto\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}},{\"type\":"
		"\"custom\",\"custom\":{\"name\":\"c\"}}]}}}",
		"user! (text Hi)\nand choice=allowed,a,c\nleft tool_choice\n" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
		"\"required\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}}]}}}",
		"user! (text Hi)\nand choice=allowed-required,a\nleft tool_choice\n" },
	/* parameters */
	{ ENDPOINT_CHAT,
		"{" USER
		",\"max_completion_tokens\":7,\"max_tokens\":5,\"n\":2,\"stop\":[\"a\",\"\","
		"\"b\"],\"temperature\":1e400,\"top_p\":0,\"top_k\":3,\"seed\":-1,"
		"\"presence_penalty\":0.5,\"frequency_penalty\":-2,\"logprobs\":true,"
		"\"top_logprobs\":2,\"user\":\"u\",\"safety_identifier\":\"s\",\"service_tier\":"
		"\"flex\",\"reasoning_effort\":\"xhigh\",\"stream\":true,\"stream_options\":"
		"{\"include_usage\":true,\"include_obfuscation\":false},\"cache_control\":{},"
		"\"response_format\":{\"type\":\"json_object\"},\"modalities\":[\"audio\"],"
		"\"audio\":{},\"logit_bias\":{\"1\":2},\"x\":1}",
		"user! (text Hi)\nand stop=a stop=b max=7 n=2 logprobs=1 effort=xhigh format=json "
		"user=u tier=flex stream=1 usage=1\nleft max_completion_tokens max_tokens n "
		"stop temperature top_p top_k seed presence_penalty frequency_penalty logprobs "
		"top_logprobs user safety_identifier service_tier reasoning_effort cache_control "
		"response_format modalities audio logit_bias x\n" },
	/* what says no more than leaving it out */
	{ ENDPOINT_CHAT,
		"{\"model\":\"m\"," USER
		",\"n\":1,\"presence_penalty\":0,\"frequency_penalty\":0.0,"
		"\"logprobs\":false,\"stop\":\"\",\"tools\":[],\"response_format\":{\"type\":"
		"\"text\"},\"stream\":false,\"stream_options\":null,\"max_tokens\":null,\"seed\":"
		"null,\"x\":null,\"store\":false}",
		"user! (text Hi)\nand\nleft\n" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"max_tokens\":5,\"stop\":\"END\",\"safety_identifier\":\"s\","
		"\"reasoning_effort\":\"none\",\"response_format\":{\"type\":\"json_schema\","
		"\"json_schema\":{\"name\":\"o\",\"description\":\"d\",\"strict\":true,\"schema\":"
		"{\"b\":1, \"a\":2}}}}",
		"user! (text Hi)\nand stop=END max=5 effort=none format=schema format.name=o "
		"format.about=d format.schema={\"b\":1, \"a\":2} format.strict=1 user=s\nleft "
		"max_tokens stop safety_identifier reasoning_effort response_format\n" },
	/* keys compare decoded */
	{ ENDPOINT_CHAT, "{\"messages\":[{\"rol\\u0065\":\"us\\u0065r\",\"content\":\"\\ud83d\"}]}",
		"user! (text \\ud83d)\nand\nleft\n" },
	/* legacy completions */
	{ ENDPOINT_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"Once\"}",
		"user! (text Once)\nand max=16\nleft\n" },
	{ ENDPOINT_COMPLETIONS,
		"{\"prompt\":[\"Once\\n\"],\"max_tokens\":3,\"echo\":true,\"suffix\":\"\","
		"\"best_of\":1,\"n\":1,\"logprobs\":5,\"logit_bias\":{\"1\":2},\"temperature\":0,"
		"\"stop\":[\"x\"],\"user\":\"u\",\"stream\":true}",
		"user! (text Once\\n)\nand stop=x max=3 user=u stream=1 echo=Once\\n\nleft max_tokens "
		"logprobs logit_bias temperature stop user\n" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":\"\",\"echo\":false,\"suffix\":null,\"best_of\":null}",
		"user! (text)\nand max=16\nleft\n" },
};

START_TEST(test_reads)
{
	struct buf got = BUF_EMPTY;
	struct session s;

	for (size_t i = 0; i < COUNT(reads); i++) {
		const struct read_case *t = &reads[i];
		struct chat_request q = { 0 };

		session_open(&s, t->endpoint);
		ck_assert_msg(client(&s)->read_request(&s.chat, &q, str_of(t->request)) == 0,
			"%s: %.*s", t->request, STR_ARG(s.chat.error.message));
		show_request(&got, &s.chat, &q);
		assert_same(buf_str(&got), str_of(t->want), t->request);
		buf_consume(&got, buf_len(&got));
		session_close(&s);
	}
	buf_free(&got);
}
END_TEST

#define PART(p)                                                                   \
	"{\"messages\":[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"user\"," \
	"\"content\":[{\"type\":\"text\",\"text\":\"\"}," p "]}]}"
#define ASSISTANT(members) "{\"messages\":[{\"role\":\"assistant\"," members "}]}"

static const struct refusal {
	enum endpoint_id endpoint;
	const char *request, *want; /* PARAM: MESSAGE */
} refusals[] = {
	{ ENDPOINT_CHAT, "[]", ": the body must be a JSON object" },
	{ ENDPOINT_CHAT, "{}", "messages: messages: Field required" },
	{ ENDPOINT_CHAT, "{\"messages\":null}", "messages: messages: Field required" },
	{ ENDPOINT_CHAT, "{\"messages\":{}}", "messages: messages: must be a list" },
	{ ENDPOINT_CHAT, "{\"messages\":[]}", "messages: `messages` must not be empty" },
	{ ENDPOINT_CHAT, "{\"messages\":[1]}", "messages[0]: messages[0]: must be an object" },
	{ ENDPOINT_CHAT, "{\"messages\":[{}]}",
		"messages[0].role: messages[0].role: Field required" },
	{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"bot\"}]}",
		"messages[0].role: messages[0].role: must be `system`, `developer`, `user`, `assistant`, `tool` or `function`" },
	{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"user\"}]}",
		"messages[0].content: messages[0].content: Field required" },
	{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}",
		"messages[0].content: messages[0].content: must be a string or a list of parts" },
	{ ENDPOINT_CHAT, PART("7"),
		"messages[1].content[1]: messages[1].content[1]: must be an object" },
	{ ENDPOINT_CHAT, PART("{}"),
		"messages[1].content[1].type: messages[1].content[1].type: Field required" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"refusal\",\"refusal\":\"\"}"),
		"messages[1].content[1].type: messages[1].content[1].type: is no type of part that this message may have" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"text\",\"text\":{}}"),
		"messages[1].content[1].text: messages[1].content[1].text: must be a string" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":\"https://h\"}"),
		"messages[1].content[1].image_url: messages[1].content[1].image_url: must be an object" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":[]}}"),
		"messages[1].content[1].image_url.url: messages[1].content[1].image_url.url: must be a string" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,x\"}}"),
		"messages[1].content[1].image_url.url: messages[1].content[1].image_url.url: must be a data URL with base64, or a web address" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"\"}}"),
		"messages[1].content[1].image_url.url: messages[1].content[1].image_url.url: must not be empty" },
	{ ENDPOINT_CHAT,
		PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\",\"format\":\"ogg\"}}"),
		"messages[1].content[1].input_audio.format: messages[1].content[1].input_audio.format: must be `wav` or `mp3`" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"file\",\"file\":{}}"),
		"messages[1].content[1].file: messages[1].content[1].file: must have `file_data` or `file_id`" },
	{ ENDPOINT_CHAT, PART("{\"type\":\"text\",\"text\":\"\",\"cache_control\":1}"),
		"messages[1].content[1].cache_control: messages[1].content[1].cache_control: must be an object" },
	{ ENDPOINT_CHAT, ASSISTANT("\"tool_calls\":{}"),
		"messages[0].tool_calls: messages[0].tool_calls: must be a list" },
	{ ENDPOINT_CHAT, ASSISTANT("\"tool_calls\":[{\"type\":\"function\"}]"),
		"messages[0].tool_calls[0].id: messages[0].tool_calls[0].id: Field required" },
	{ ENDPOINT_CHAT,
		ASSISTANT("\"tool_calls\":[{\"id\":\"\",\"function\":{\"name\":\"\",\"arguments\":"
			  "{}}}]"),
		"messages[0].tool_calls[0].function.arguments: messages[0].tool_calls[0].function.arguments: must be a string" },
	{ ENDPOINT_CHAT, ASSISTANT("\"tool_calls\":[{\"id\":\"\",\"type\":\"x\"}]"),
		"messages[0].tool_calls[0].type: messages[0].tool_calls[0].type: must be `function` or `custom`" },
	{ ENDPOINT_CHAT, ASSISTANT("\"thinking_blocks\":[{\"type\":\"x\"}]"),
		"messages[0].thinking_blocks[0].type: messages[0].thinking_blocks[0].type: must be `thinking` or `redacted_thinking`" },
	{ ENDPOINT_CHAT, ASSISTANT("\"function_call\":{}"),
		"messages[0].function_call.name: messages[0].function_call.name: Field required" },
	{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}",
		"messages[0].tool_call_id: messages[0].tool_call_id: Field required" },
	{ ENDPOINT_CHAT,
		"{\"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"\",\"content\":[{\"type\":"
		"\"input_audio\",\"input_audio\":{\"data\":\"\",\"format\":\"wav\"}}]}]}",
		"messages[0].content[0].type: messages[0].content[0].type: is no type of part that a result may have" },
	{ ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"function\",\"name\":\"f\",\"content\":\"\"}]}",
		"messages[0].name: messages[0].name: is no function that was called and not answered before" },
	{ ENDPOINT_CHAT, "{" USER ",\"stream\":\"true\"}",
		"stream: stream: must be true or false" },
	{ ENDPOINT_CHAT, "{" USER ",\"stream_options\":{\"include_usage\":1}}",
		"stream_options.include_usage: stream_options.include_usage: must be true or false" },
	{ ENDPOINT_CHAT, "{" USER ",\"max_tokens\":0}",
		"max_tokens: `max_tokens` must be a whole number of at least 1" },
	{ ENDPOINT_CHAT, "{" USER ",\"max_completion_tokens\":1.5}",
		"max_completion_tokens: `max_completion_tokens` must be a whole number of at least 1" },
	{ ENDPOINT_CHAT, "{" USER ",\"n\":\"2\"}", "n: `n` must be a number" },
	{ ENDPOINT_CHAT, "{" USER ",\"temperature\":\"hot\"}",
		"temperature: `temperature` must be a number" },
	{ ENDPOINT_CHAT, "{" USER ",\"stop\":7}",
		"stop: `stop` must be a string or a list of strings" },
	{ ENDPOINT_CHAT, "{" USER ",\"stop\":[\"a\",null]}", "stop[1]: stop[1]: must be a string" },
	{ ENDPOINT_CHAT, "{" USER ",\"user\":7}", "user: `user` must be a string" },
	{ ENDPOINT_CHAT, "{" USER ",\"tools\":{}}", "tools: `tools` must be a list" },
	{ ENDPOINT_CHAT, "{" USER ",\"tools\":[{\"type\":\"web_search\"}]}",
		"tools[0].type: tools[0].type: must be `function` or `custom`" },
	{ ENDPOINT_CHAT, "{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{}}]}",
		"tools[0].function.name: tools[0].function.name: Field required" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
		"\"parameters\":[]}}]}",
		"tools[0].function.parameters: tools[0].function.parameters: must be an object" },
	{ ENDPOINT_CHAT, "{" USER ",\"functions\":[{\"name\":7}]}",
		"functions[0].name: functions[0].name: must be a string" },
	{ ENDPOINT_CHAT, "{" USER ",\"tool_choice\":\"any\"}",
		"tool_choice: `tool_choice` must be `none`, `auto`, `required` or an object" },
	{ ENDPOINT_CHAT, "{" USER ",\"function_call\":\"required\"}",
		"function_call: `function_call` must be `none`, `auto` or an object" },
	{ ENDPOINT_CHAT, "{" USER ",\"tool_choice\":{\"type\":\"function\"}}",
		"tool_choice.function: tool_choice.function: Field required" },
	{ ENDPOINT_CHAT,
		"{" USER ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":"
		"\"auto\",\"tools\":[{\"type\":\"x\"}]}}}",
		"tool_choice.allowed_tools.tools[0].type: tool_choice.allowed_tools.tools[0].type: must be `function` or `custom`" },
	{ ENDPOINT_CHAT, "{" USER ",\"response_format\":{\"type\":\"xml\"}}",
		"response_format.type: response_format.type: must be `text`, `json_object` or `json_schema`" },
	{ ENDPOINT_CHAT, "{" USER ",\"response_format\":{\"type\":\"json_schema\"}}",
		"response_format.json_schema: response_format.json_schema: Field required" },
	{ ENDPOINT_CHAT, "{" USER ",\"reasoning_effort\":\"hard\"}",
		"reasoning_effort: `reasoning_effort` must be none, minimal, low, medium, high, xhigh or max" },
	{ ENDPOINT_CHAT, "{" USER ",\"logprobs\":5}",
		"logprobs: `logprobs` must be true or false" },
	{ ENDPOINT_COMPLETIONS, "{}", "prompt: `prompt` is missing" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":[\"a\",\"b\"]}",
		"prompt: `prompt` must be one string: this model's provider takes neither several prompts nor tokens" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":[1]}",
		"prompt: `prompt` must be one string: this model's provider takes neither several prompts nor tokens" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":[]}",
		"prompt: `prompt` must be one string: this model's provider takes neither several prompts nor tokens" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":\"\",\"suffix\":\"x\"}",
		"suffix: this model's provider takes no `suffix`" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":\"\",\"best_of\":2}",
		"best_of: this model's provider takes no `best_of` above 1" },
	{ ENDPOINT_COMPLETIONS, "{\"prompt\":\"\",\"echo\":1}",
		"echo: echo: must be true or false" },
};

START_TEST(test_refusals)
{
	struct session s;

	for (size_t i = 0; i < COUNT(refusals); i++) {
		const struct refusal *t = &refusals[i];
		struct chat_request q = { 0 };
		char said[512];

		session_open(&s, t->endpoint);
		ck_assert_msg(client(&s)->read_request(&s.chat, &q, str_of(t->request)) < 0,
			"not refused: %s", t->request);
		snprintf(said, sizeof said, "%.*s: %.*s", STR_ARG(s.chat.error.param),
			STR_ARG(s.chat.error.message));
		ck_assert_int_eq(s.chat.error.kind, ERROR_INVALID);
		assert_same(str_of(said), str_of(t->want), t->request);
		session_close(&s);
	}
}
END_TEST

/* A suffix is the business of the one provider that can. */
START_TEST(test_suffix_at_ollama)
{
	struct chat_request q = { 0 };
	struct session s;

	session_open(&s, ENDPOINT_COMPLETIONS);
	s.chat.provider = DIALECT_OLLAMA;
	ck_assert_int_eq(completions_client.read_request(&s.chat, &q,
				 STR("{\"prompt\":\"a\",\"suffix\":\"b\"}")),
		0);
	ck_assert(q.completion && str_eq(q.prompt, STR("a")) && str_eq(q.suffix, STR("b")));
	ck_assert(!chat_param(&q, STR("suffix"))->carried);
	session_close(&s);
}
END_TEST

/* Any value of a request replaced: it is read, or refused by a name that the message says. */
START_TEST(test_every_value_of_every_type)
{
	static const char *const values[] = { "null", "true", "7", "-0.5", "1e999", "\"\"",
		"\"none\"", "[]", "[[]]", "[7]", "{}", "{\"type\":\"text\"}" };

	for (size_t i = 0; i < COUNT(reads); i++) {
		struct str body = str_of(reads[i].request);
		struct json_doc d;
		struct arena a;

		arena_init(&a, 0);
		ck_assert_int_eq(json_doc_read(&d, &a, body, UINT32_MAX, 100), 0);
		for (size_t t = 1; t < d.scan.n; t++) {
			for (size_t v = 0; v < COUNT(values) && !d.scan.tokens[t].key; v++) {
				struct json_edit e =
					json_replace(body, &d.scan.tokens[t], str_of(values[v]));
				struct buf text = BUF_EMPTY;
				struct chat_request q = { 0 };
				struct session s;

				buf_add(&text, e.before);
				buf_add(&text, e.value);
				buf_add(&text, e.after);
				session_open(&s, reads[i].endpoint);
				if (client(&s)->read_request(&s.chat, &q, buf_str(&text)) < 0) {
					struct str message = s.chat.error.message;
					struct str param = s.chat.error.param;

					ck_assert_msg(param.len > 0 &&
							str_find(message, param) < message.len,
						"%.*s: %.*s", STR_ARG(buf_str(&text)),
						STR_ARG(message));
				}
				session_close(&s);
				buf_free(&text);
			}
		}
		arena_free(&a);
	}
}
END_TEST

/* Memory that ends anywhere: refused as that, never read half. */
START_TEST(test_no_memory)
{
	for (size_t i = 0; i < COUNT(reads); i++) {
		for (size_t n = 1;; n++) {
			struct chat_request q = { 0 };
			struct session s;

			session_open(&s, reads[i].endpoint);
			s.arena.limit = n * 64;
			int rc = client(&s)->read_request(&s.chat, &q, str_of(reads[i].request));
			if (rc < 0)
				ck_assert_int_eq(s.chat.error.kind, ERROR_TOO_LARGE);
			session_close(&s);
			if (rc == 0)
				break;
		}
	}
}
END_TEST

UNIT_MAIN("dialect/openai_client", test_reads, test_refusals, test_suffix_at_ollama,
	test_every_value_of_every_type, test_no_memory)
