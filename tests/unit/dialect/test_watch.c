/*
 * Watch: usage, ends and errors of each kind of stream and reply; what only looks like them;
 * replies split at every offset.
 */
#include "dialect/dialect.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* What a watch knows, as text: "in/out/read/write/reasoning flags"; the flags are s(tarted)
 * f(inished) e(nded) E(rror), "-" for no usage. */
static const char *
known(const struct watch *w)
{
	static char text[128];
	const struct usage *u = &w->usage;
	int len = 0;

	if (w->has_usage)
		len = snprintf(text, sizeof text, "%lld/%lld/%lld/%lld/%lld ", (long long)u->input,
			(long long)u->output, (long long)u->cache_read, (long long)u->cache_write,
			(long long)u->reasoning);
	else
		len = snprintf(text, sizeof text, "- ");
	snprintf(text + len, sizeof text - (size_t)len, "%s%s%s%s", w->started ? "s" : "",
		w->finished ? "f" : "", w->ended ? "e" : "", w->error ? "E" : "");
	return text;
}

struct step {
	const char *name, *data, *known; /* known: after this event */
};

static void
run(enum endpoint_id id, const struct step *steps, size_t n)
{
	struct watch w;

	watch_init(&w, &endpoints[id]);
	ck_assert_str_eq(known(&w), "- ");
	for (size_t i = 0; i < n; i++) {
		struct sse_event ev = { .name = str_of(steps[i].name),
			.data = str_of(steps[i].data),
			.has_data = true };
		watch_event(&w, &ev);
		ck_assert_msg(strcmp(known(&w), steps[i].known) == 0,
			"after '%s' '%s': '%s', want '%s'", steps[i].name ? steps[i].name : "",
			steps[i].data, known(&w), steps[i].known);
	}
	watch_free(&w);
	ck_assert_uint_eq(mem_used(), 0);
}

#define CHUNK(rest) \
	"{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}," rest

START_TEST(test_chat)
{
	static const struct step usage_chunk[] = {
		{ NULL, CHUNK("\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}"),
			"- s" },
		{ NULL, CHUNK("\"finish_reason\" : null}],\"usage\" : \n null,\"error\":null}"),
			"- s" },
		{ NULL, CHUNK("\"finish_reason\":\"stop\"}],\"usage\":null}"), "- sf" },
		{ NULL, "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}",
			"9/2/-1/-1/-1 sf" },
		{ NULL, "[DONE]", "9/2/-1/-1/-1 sfe" },
	};
	static const struct step finish_chunk[] = {
		{ NULL,
			CHUNK("\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":45,\"prompt_tokens_details\":{\"cached_tokens\":64,"
			      "\"cache_write_tokens\":6},\"completion_tokens_details\":{\"reasoning_tokens\":20}}}"),
			"50/45/64/6/20 sf" },
		{ NULL, "[DONE] ", "50/45/64/6/20 sfe" },
	};
	static const struct step every_chunk[] = {
		{ NULL, CHUNK("\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"prompt_tokens_details\":{\"cached_tokens\":2}}}"),
			"3/1/2/-1/-1 s" },
		{ NULL, CHUNK("\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"prompt_tokens_details\":null}}"),
			"5/2/-1/-1/-1 s" },
		{ NULL, CHUNK("\"finish_reason\":null}],\"usage\":null}"), "5/2/-1/-1/-1 s" },
		{ NULL, CHUNK("\"finish_reason\":null}],\"usage\":{}}"), "5/2/-1/-1/-1 s" },
	};
	static const struct step groq[] = {
		{ NULL, CHUNK("\"finish_reason\":null}],\"x_groq\":{\"id\":\"r\"}}"), "- s" },
		{ NULL,
			CHUNK("\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"
			      "\"prompt_tokens_details\":{\"cached_tokens\":1}}}}"),
			"6/3/1/-1/-1 sf" },
	};
	static const struct step several[] = {
		/* n = 2; the finish is in the second choice */
		{ NULL, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null},{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}",
			"- sf" },
	};
	static const struct step completions[] = {
		{ NULL, "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}",
			"- s" },
		{ NULL, "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
			"1/1/-1/-1/-1 sf" },
		{ NULL, "[DONE]", "1/1/-1/-1/-1 sfe" },
	};

	run(ENDPOINT_CHAT, usage_chunk, COUNT(usage_chunk));
	run(ENDPOINT_CHAT, finish_chunk, COUNT(finish_chunk));
	run(ENDPOINT_CHAT, every_chunk, COUNT(every_chunk));
	run(ENDPOINT_CHAT, groq, COUNT(groq));
	run(ENDPOINT_CHAT, several, COUNT(several));
	run(ENDPOINT_COMPLETIONS, completions, COUNT(completions));
}
END_TEST

/* Names in text, nested where they mean nothing, of other types; data that is not JSON. None of it
 * is usage, an end or an error. */
START_TEST(test_chat_lookalikes)
{
	static const char *const data[] = {
		CHUNK("\"finish_reason\":null}],\"x\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":1}\"}"),
		"{\"choices\":[{\"delta\":{\"content\":\"usage\"},\"finish_reason\":null}]}",
		"{\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\"\"},\"finish_reason\":null}]}",
		"{\"choices\":[{\"delta\":{\"usage\":{\"prompt_tokens\":1},\"error\":{\"message\":\"x\"},\"finish_reason\":\"stop\"}}]}",
		"{\"choices\":[{\"delta\":{},\"finish_reason\":\"\"}]}",
		"{\"choices\":[{\"delta\":{},\"finish_reason\":7}]}",
		"{\"choices\":{\"finish_reason\":\"stop\"}}",
		"{\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}",
		"{\"choices\":[],\"usage\":{\"total_tokens\":1,\"type\":\"duration\",\"seconds\":3}}",
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":\"9\",\"completion_tokens\":1.5}}",
		"{\"choices\":[],\"usage\":[{\"prompt_tokens\":9}]}",
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":9}", /* cut */
		"{\"choices\":[],\"error\":null}",
		"{\"choices\":[],\"error\":false}",
		"{\"choices\":[],\"error\":\"\"}",
		"{\"choices\":[],\"error\":0}",
		"\"usage\":1",
		"[{\"usage\":{\"prompt_tokens\":1}}]",
		"x",
		"{\"usage\":",
		"\"error\" : 1",
		"{\"error\":",
	};

	for (size_t i = 0; i < COUNT(data); i++) {
		struct step step = { NULL, data[i], "- s" };
		run(ENDPOINT_CHAT, &step, 1);
	}
}
END_TEST

START_TEST(test_chat_errors)
{
	static const struct step cases[] = {
		{ NULL, "{\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}", "- sE" },
		{ "error", "{\"message\":\"x\"}", "- sE" },
		{ NULL, "{\"error\":\"x\"}", "- sE" },
		{ NULL, "{\"error\":{}}", "- sE" },
		{ NULL, "{\"error\":true}", "- sE" },
		{ NULL, CHUNK("\"finish_reason\":\"error\"}],\"error\":{\"code\":502,\"message\":\"x\"}}"),
			"- sfE" },
		{ NULL, CHUNK("\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":0},\"error\":{\"message\":\"x\"}}"),
			"1/0/-1/-1/-1 sE" },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		run(ENDPOINT_CHAT, &cases[i], 1);
}
END_TEST

#define RESPONSE(type, rest) \
	"{\"type\":\"" type  \
	"\",\"sequence_number\":1,\"response\":{\"id\":\"r\",\"error\":null," rest "}}"
#define RESPONSE_USAGE                                                                                                                  \
	"\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":10,\"cache_write_tokens\":5},\"output_tokens\":12," \
	"\"output_tokens_details\":{\"reasoning_tokens\":4},\"total_tokens\":42}"

START_TEST(test_responses)
{
	static const struct step complete[] = {
		{ "response.created", RESPONSE("response.created", "\"usage\":null"), "- s" },
		{ "response.output_text.delta",
			"{\"type\":\"response.output_text.delta\",\"delta\":\"response.completed\"}",
			"- s" },
		{ "response.completed", RESPONSE("response.completed", RESPONSE_USAGE),
			"15/12/10/5/4 sfe" },
		{ NULL, "[DONE]", "15/12/10/5/4 sfe" },
	};
	static const struct step unnamed[] = {
		{ NULL, RESPONSE("response.created", "\"usage\":null"), "- s" },
		{ NULL, "{\"type\":\"response.output_text.done\",\"text\":\"response.completed\"}",
			"- s" },
		{ NULL, RESPONSE("response.incomplete", RESPONSE_USAGE), "15/12/10/5/4 sfe" },
	};
	static const struct step failed[] = {
		{ "response.failed",
			"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"x\"},\"usage\":{\"input_tokens\":1,\"output_tokens\":0}}}",
			"1/0/-1/-1/-1 seE" },
	};
	static const struct step error[] = {
		{ "error",
			"{\"type\":\"error\",\"code\":\"x\",\"message\":\"y\",\"param\":null,\"sequence_number\":2}",
			"- sE" },
	};
	static const struct step nested[] = { { NULL, "{\"error\":{\"message\":\"x\"}}", "- sE" } };
	static const struct step broken[] = { { "response.completed",
		"{\"type\":\"response.completed\",\"resp", "- sfe" } };
	static const struct step done[] = { { NULL, "[DONE]", "- se" } };

	run(ENDPOINT_RESPONSES, complete, COUNT(complete));
	run(ENDPOINT_RESPONSES, unnamed, COUNT(unnamed));
	run(ENDPOINT_RESPONSES, failed, COUNT(failed));
	run(ENDPOINT_RESPONSES, error, COUNT(error));
	run(ENDPOINT_RESPONSES, nested, COUNT(nested));
	run(ENDPOINT_RESPONSES, broken, COUNT(broken));
	run(ENDPOINT_RESPONSES, done, COUNT(done));
}
END_TEST

#define START                                                                                                                       \
	"{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":12," \
	"\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":100,\"output_tokens\":1}}}"

START_TEST(test_messages)
{
	static const struct step named[] = {
		{ "ping", "{\"type\":\"ping\"}", "- " },
		{ "message_start", START, "12/1/100/3/-1 s" },
		{ "content_block_start",
			"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
			"12/1/100/3/-1 s" },
		{ "content_block_delta",
			"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop\"}}",
			"12/1/100/3/-1 s" },
		{ "message_delta",
			"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":{\"output_tokens\":9}}",
			"12/9/100/3/-1 s" },
		{ "message_delta",
			"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":14,\"output_tokens\":40,"
			"\"output_tokens_details\":{\"thinking_tokens\":8}}}",
			"14/40/100/3/8 sf" },
		{ "message_stop", "{\"type\":\"message_stop\"}", "14/40/100/3/8 sfe" },
		{ NULL, "[DONE]", "14/40/100/3/8 sfe" },
	};
	static const struct step unnamed[] = {
		{ NULL, START, "12/1/100/3/-1 s" },
		{ NULL, "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop\"}}",
			"12/1/100/3/-1 s" },
		{ NULL, "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"error\\\":1\"}}",
			"12/1/100/3/-1 s" },
		{ NULL, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":2}}",
			"12/2/100/3/-1 sf" },
		{ NULL, "{\"type\":\"message_stop\"}", "12/2/100/3/-1 sfe" },
	};
	static const struct step error[] = {
		{ "message_start", START, "12/1/100/3/-1 s" },
		{ "error",
			"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"},\"request_id\":\"r\"}",
			"12/1/100/3/-1 sE" },
	};
	static const struct step first[] = { { "error",
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", "- E" } };
	static const struct step unread[] = { { "message_stop", "{}", "- e" } };
	static const struct step done[] = { { NULL, "[DONE]", "- " } };

	run(ENDPOINT_MESSAGES, named, COUNT(named));
	run(ENDPOINT_MESSAGES, unnamed, COUNT(unnamed));
	run(ENDPOINT_MESSAGES, error, COUNT(error));
	run(ENDPOINT_MESSAGES, first, COUNT(first));
	run(ENDPOINT_MESSAGES, unread, COUNT(unread));
	run(ENDPOINT_MESSAGES, done, COUNT(done));
}
END_TEST

START_TEST(test_images)
{
	static const struct step steps[] = {
		{ "image_generation.partial_image",
			"{\"type\":\"image_generation.partial_image\",\"b64_json\":\"aaaa\"}",
			"- s" },
		{ "image_generation.completed",
			"{\"type\":\"image_generation.completed\",\"b64_json\":\"aaaa\",\"usage\":{\"input_tokens\":5,\"output_tokens\":6,"
			"\"input_tokens_details\":{\"image_tokens\":1,\"text_tokens\":4}}}",
			"5/6/-1/-1/-1 sf" },
	};

	run(ENDPOINT_IMAGES, steps, COUNT(steps));
}
END_TEST

/* No data is no event; an event that was skipped over says nothing, but that there was one. */
START_TEST(test_events_without_text)
{
	struct sse_event nothing = { .name = STR("error") },
			 oversized = { .has_data = true, .oversized = true },
			 blank = { .name = STR("message_start"), .has_data = true };
	struct watch w;

	watch_init(&w, &endpoints[ENDPOINT_CHAT]);
	watch_event(&w, &nothing);
	ck_assert_str_eq(known(&w), "- ");
	watch_event(&w, &oversized);
	ck_assert_str_eq(known(&w), "- s");
	watch_init(&w, &endpoints[ENDPOINT_MESSAGES]);
	watch_event(&w, &oversized);
	watch_event(&w, &blank);
	ck_assert_str_eq(known(&w), "- ");
	watch_free(&w);
}
END_TEST

/* Out of memory: what a name alone says is known, and nothing fails. */
START_TEST(test_event_no_memory)
{
	struct sse_event ev = { .name = STR("response.completed"),
		.data = STR(RESPONSE("response.completed", RESPONSE_USAGE)),
		.has_data = true };
	struct watch w;
	size_t n;

	for (n = 1;; n++) {
		watch_init(&w, &endpoints[ENDPOINT_RESPONSES]);
		mem_fail_after(n);
		watch_event(&w, &ev);
		mem_fail_after(0);
		if (w.has_usage)
			break;
		ck_assert_str_eq(known(&w), "- sfe");
	}
	ck_assert_uint_gt(n, 1);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

static const struct {
	enum endpoint_id id;
	const char *text, *known;
} replies[] = {
	{ ENDPOINT_CHAT,
		"{\"id\":\"c\",\"choices\":[{\"message\":{\"content\":\"\\\"usage\\\":{\\\\\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,"
		"\"completion_tokens\":45,\"prompt_tokens_details\":{\"cached_tokens\":64}},\"x\":1}",
		"56/45/64/-1/-1 " },
	{ ENDPOINT_EMBEDDINGS,
		"{\"usage\" : { \"prompt_tokens\" : 3 , \"total_tokens\":3 } , \"data\":[{\"embedding\":[0.25,-1.5]}]}",
		"3/-1/-1/-1/-1 " },
	{ ENDPOINT_EMBEDDINGS, "\xef\xbb\xbf \r\n\t{\"usage\":{\"prompt_tokens\":3}}\n",
		"3/-1/-1/-1/-1 " },
	{ ENDPOINT_MESSAGES,
		"{\"type\":\"message\",\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":100,\"output_tokens\":40}}",
		"12/40/100/0/-1 " },
	{ ENDPOINT_RESPONSES,
		"{\"error\":null,\"tools\":[{\"usage\":{\"input_tokens\":1}}]," RESPONSE_USAGE "}",
		"15/12/10/5/4 " },
	{ ENDPOINT_IMAGES,
		"{\"created\":1,\"data\":[{\"b64_json\":\"AAAA\"}],\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}",
		"5/6/-1/-1/-1 " },
	{ ENDPOINT_CHAT, "{\"usage\":null,\"error\":{\"message\":\"x\"}}", "- E" },
	{ ENDPOINT_CHAT,
		"{\"error\": \"x\" ,\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":18446744073709551615}}",
		"1/9223372036854775807/-1/-1/-1 E" },
	{ ENDPOINT_CHAT, "{\"error\" : null }", "- " },
	{ ENDPOINT_CHAT, "{\"error\" : \"\" }", "- " },
	{ ENDPOINT_CHAT, "{\"error\":0}", "- " },
	{ ENDPOINT_CHAT,
		"{\"error\":false,\"usages\":{\"prompt_tokens\":1},\"usag\":{\"prompt_tokens\":1}}",
		"- " },
	{ ENDPOINT_CHAT, "{\"error\":[]}", "- E" },
	{ ENDPOINT_CHAT,
		"{\"a\":{\"usage\":{\"prompt_tokens\":1},\"error\":1},\"b\":\"usage\",\"c\":[\"usage\",{\"usage\":1}]}",
		"- " },
	{ ENDPOINT_CHAT, "{\"usage\":{\"prompt_tokens\":1", "- " },
	{ ENDPOINT_CHAT, "{\"usage\":{\"prompt_tokens\":01}}", "- " },
	{ ENDPOINT_CHAT, "{\"usage\":[{\"prompt_tokens\":1}]}", "- " },
	{ ENDPOINT_CHAT, "{\"usage\":\"prompt_tokens\"}", "- " },
	{ ENDPOINT_CHAT,
		"{\"x\\\"usage\":{\"prompt_tokens\":1},\"y\":\"a\\\\\",\"usage\":{\"prompt_tokens\":2}}",
		"2/-1/-1/-1/-1 " },
	{ ENDPOINT_CHAT, "{} {\"usage\":{\"prompt_tokens\":1}}", "- " },
	{ ENDPOINT_CHAT, "[{\"usage\":{\"prompt_tokens\":1}}]", "- " },
	{ ENDPOINT_CHAT, "<html>{\"usage\":{\"prompt_tokens\":1}}</html>", "- " },
	{ ENDPOINT_CHAT, "]}{\"usage\":{\"prompt_tokens\":1}}", "- " },
	{ ENDPOINT_CHAT, "{{\"usage\":{\"prompt_tokens\":1}}}", "- " },
	{ ENDPOINT_CHAT, "", "- " },
	{ ENDPOINT_CHAT, "{", "- " },
	{ ENDPOINT_CHAT, "{\"", "- " },
	{ ENDPOINT_CHAT, "{\"us", "- " },
};

static void
feed(size_t i, const size_t *cuts, size_t n)
{
	struct str text = str_of(replies[i].text);
	struct watch w;
	size_t at = 0;

	watch_init(&w, &endpoints[replies[i].id]);
	for (size_t k = 0; k <= n; k++) {
		size_t to = k < n ? cuts[k] : text.len;
		/* a copy of its own, so that a read past the piece is found */
		char *piece = malloc(to - at + 1);
		memcpy(piece, text.p + at, to - at);
		watch_reply(&w, (struct str){ piece, to - at });
		free(piece);
		at = to;
	}
	watch_reply_end(&w);
	ck_assert_msg(strcmp(known(&w), replies[i].known) == 0, "'%s' cut at %zu: '%s', want '%s'",
		replies[i].text, n > 0 ? cuts[0] : 0, known(&w), replies[i].known);
	watch_free(&w);
	ck_assert_uint_eq(mem_used(), 0);
}

START_TEST(test_replies)
{
	for (size_t i = 0; i < COUNT(replies); i++) {
		size_t len = strlen(replies[i].text), all[512];
		feed(i, NULL, 0);
		for (size_t cut = 0; cut <= len; cut++)
			feed(i, &cut, 1);
		ck_assert_uint_lt(len, COUNT(all));
		for (size_t k = 0; k < len; k++)
			all[k] = k;
		feed(i, all, len);
	}
}
END_TEST

/* `usage` is kept up to 8 KiB, and what is longer is left; nothing else is kept, however long. */
START_TEST(test_reply_bounded)
{
	static char spaces[9000];
	struct watch w;

	memset(spaces, ' ', sizeof spaces);
	for (int over = 0; over < 2; over++) {
		watch_init(&w, &endpoints[ENDPOINT_CHAT]);
		watch_reply(&w, STR("{\"x\":\""));
		for (int i = 0; i < 1000; i++)
			watch_reply(&w, (struct str){ spaces, sizeof spaces });
		ck_assert_uint_eq(mem_used(), 0);
		watch_reply(&w, STR("\",\"usage\":{\"prompt_tokens\":7"));
		watch_reply(&w, (struct str){ spaces, 8192 - 20 + (over ? 2 : 0) });
		watch_reply(&w, STR("},\"y\":1}"));
		watch_reply_end(&w);
		ck_assert_str_eq(known(&w), over ? "- " : "7/-1/-1/-1/-1 ");
		ck_assert_uint_eq(mem_used(), 0);
	}
}
END_TEST

START_TEST(test_reply_no_memory)
{
	struct watch w;
	size_t n;

	for (n = 1;; n++) {
		watch_init(&w, &endpoints[ENDPOINT_CHAT]);
		mem_fail_after(n);
		watch_reply(&w, STR("{\"usage\":{\"prompt_tok")); /* cut, so it is kept */
		watch_reply(&w, STR("ens\":7},\"error\":1}"));
		mem_fail_after(0);
		watch_free(&w);
		ck_assert(w.error);
		ck_assert_uint_eq(mem_used(), 0);
		if (w.has_usage)
			break;
	}
	ck_assert_uint_gt(n, 2);
}
END_TEST

UNIT_MAIN("dialect/watch", test_chat, test_chat_lookalikes, test_chat_errors, test_responses,
	test_messages, test_images, test_events_without_text, test_event_no_memory, test_replies,
	test_reply_bounded, test_reply_no_memory)
