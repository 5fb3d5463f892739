/*
 * echo_reply: what the echo provider says, in each dialect's own shape (OpenAI API
 * reference: chat, completions, embeddings; Anthropic API: messages).
 *
 * Pure functions into a buffer, whose failure is sticky and looked at by echo.c. Embeddings are
 * unit vectors drawn from a hash of the text, so that the same text has the same vector everywhere
 * and for ever.
 */
#include "proxy/echo_reply.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "json/write.h"

#define DIMENSIONS 64
#define DIMENSIONS_MOST 4096
#define INPUTS_MOST 2048 /* as at OpenAI */

static struct str
id_text(const struct echo_reply *e, const char *prefix, char out[48])
{
	int n = snprintf(out, 48, "%s%016" PRIx64, prefix, e->id);

	return (struct str){ out, (size_t)n };
}

static void
openai_begin(const struct echo_reply *e, struct json_writer *w, const char *prefix,
	struct str object)
{
	char id[48];

	json_object(w);
	json_pair(w, STR("id"), id_text(e, prefix, id));
	json_pair(w, STR("object"), object);
	json_key(w, STR("created"));
	json_number(w, (int64_t)e->created_s);
	json_pair(w, STR("model"), e->request.model);
}

static void
openai_usage(const struct echo_reply *e, struct json_writer *w)
{
	json_key(w, STR("usage"));
	json_object(w);
	json_key(w, STR("prompt_tokens"));
	json_number(w, (int64_t)e->prompt_words);
	json_key(w, STR("completion_tokens"));
	json_number(w, (int64_t)e->words);
	json_key(w, STR("total_tokens"));
	json_number(w, (int64_t)(e->prompt_words + e->words));
	json_object_end(w);
}

static void
finish(struct json_writer *w, const char *reason)
{
	json_key(w, STR("logprobs"));
	json_null(w);
	json_key(w, STR("finish_reason"));
	if (reason)
		json_text(w, str_of(reason));
	else
		json_null(w);
}

static void
choice_begin(struct json_writer *w)
{
	json_key(w, STR("choices"));
	json_array(w);
	json_object(w);
	json_key(w, STR("index"));
	json_number(w, 0);
}

static void
choice_end(struct json_writer *w, const char *reason)
{
	finish(w, reason);
	json_object_end(w);
	json_array_end(w);
}

static void
anthropic_usage(struct json_writer *w, uint64_t input, uint64_t output)
{
	json_key(w, STR("usage"));
	json_object(w);
	json_key(w, STR("input_tokens"));
	json_number(w, (int64_t)input);
	json_key(w, STR("output_tokens"));
	json_number(w, (int64_t)output);
	json_object_end(w);
}

/* The members of a message but for its content. */
static void
message_begin(const struct echo_reply *e, struct json_writer *w)
{
	char id[48];

	json_object(w);
	json_pair(w, STR("id"), id_text(e, "msg_echo", id));
	json_pair(w, STR("type"), STR("message"));
	json_pair(w, STR("role"), STR("assistant"));
	json_pair(w, STR("model"), e->request.model);
	json_key(w, STR("content"));
	json_array(w);
}

static void
message_stop(struct json_writer *w, const char *reason)
{
	json_key(w, STR("stop_reason"));
	if (reason)
		json_text(w, str_of(reason));
	else
		json_null(w);
	json_key(w, STR("stop_sequence"));
	json_null(w);
}

static void
text_block(struct json_writer *w, struct str text)
{
	json_object(w);
	json_pair(w, STR("type"), STR("text"));
	json_pair(w, STR("text"), text);
	json_object_end(w);
}

static void
whole_message(const struct echo_reply *e, struct json_writer *w)
{
	message_begin(e, w);
	text_block(w, e->text);
	json_array_end(w);
	message_stop(w, "end_turn");
	anthropic_usage(w, e->prompt_words, e->words);
	json_object_end(w);
}

static void
whole_chat(const struct echo_reply *e, struct json_writer *w)
{
	openai_begin(e, w, "chatcmpl-echo", STR("chat.completion"));
	choice_begin(w);
	json_key(w, STR("message"));
	json_object(w);
	json_pair(w, STR("role"), STR("assistant"));
	json_pair(w, STR("content"), e->text);
	json_key(w, STR("refusal"));
	json_null(w);
	json_object_end(w);
	choice_end(w, "stop");
	openai_usage(e, w);
	json_object_end(w);
}

static void
whole_completion(const struct echo_reply *e, struct json_writer *w)
{
	openai_begin(e, w, "cmpl-echo", STR("text_completion"));
	choice_begin(w);
	json_pair(w, STR("text"), e->text);
	choice_end(w, "stop");
	openai_usage(e, w);
	json_object_end(w);
}

void
echo_whole(const struct echo_reply *e, struct buf *out)
{
	struct json_writer w;

	json_writer_init(&w, out);
	if (e->request.endpoint->id == ENDPOINT_MESSAGES)
		whole_message(e, &w);
	else if (e->request.endpoint->id == ENDPOINT_COMPLETIONS)
		whole_completion(e, &w);
	else
		whole_chat(e, &w);
}

/* One chunk of a chat stream; `delta` with a role, with content, or empty. */
static void
chat_chunk(const struct echo_reply *e, struct buf *out, bool role, struct str content,
	const char *reason)
{
	struct json_writer w;

	buf_add(out, STR("data: "));
	json_writer_init(&w, out);
	openai_begin(e, &w, "chatcmpl-echo", STR("chat.completion.chunk"));
	choice_begin(&w);
	json_key(&w, STR("delta"));
	json_object(&w);
	if (role)
		json_pair(&w, STR("role"), STR("assistant"));
	if (role || content.len > 0)
		json_pair(&w, STR("content"), content);
	json_object_end(&w);
	choice_end(&w, reason);
	if (e->request.include_usage) {
		json_key(&w, STR("usage"));
		json_null(&w);
	}
	json_object_end(&w);
	buf_add(out, STR("\n\n"));
}

static void
completion_chunk(const struct echo_reply *e, struct buf *out, struct str text, const char *reason)
{
	struct json_writer w;

	buf_add(out, STR("data: "));
	json_writer_init(&w, out);
	openai_begin(e, &w, "cmpl-echo", STR("text_completion"));
	choice_begin(&w);
	json_pair(&w, STR("text"), text);
	choice_end(&w, reason);
	json_object_end(&w);
	buf_add(out, STR("\n\n"));
}

static void
openai_end(const struct echo_reply *e, struct buf *out)
{
	bool chat = e->request.endpoint->id == ENDPOINT_CHAT;
	struct json_writer w;

	if (chat)
		chat_chunk(e, out, false, STR(""), "stop");
	else
		completion_chunk(e, out, STR(""), "stop");
	if (e->request.include_usage) {
		buf_add(out, STR("data: "));
		json_writer_init(&w, out);
		openai_begin(e, &w, chat ? "chatcmpl-echo" : "cmpl-echo",
			chat ? STR("chat.completion.chunk") : STR("text_completion"));
		json_key(&w, STR("choices"));
		json_array(&w);
		json_array_end(&w);
		openai_usage(e, &w);
		json_object_end(&w);
		buf_add(out, STR("\n\n"));
	}
	buf_add(out, STR("data: [DONE]\n\n"));
}

static void
message_start(const struct echo_reply *e, struct buf *out)
{
	struct json_writer w;

	buf_add(out, STR("event: message_start\ndata: "));
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("type"), STR("message_start"));
	json_key(&w, STR("message"));
	message_begin(e, &w);
	json_array_end(&w);
	message_stop(&w, NULL);
	anthropic_usage(&w, e->prompt_words, 0);
	json_object_end(&w);
	json_object_end(&w);
	buf_add(out,
		STR("\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
		    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"));
}

static void
message_word(struct buf *out, struct str word)
{
	buf_add(out,
		STR("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
		    "\"delta\":{\"type\":\"text_delta\",\"text\":\""));
	json_escape(out, word);
	buf_add(out, STR("\"}}\n\n"));
}

static void
message_end(const struct echo_reply *e, struct buf *out)
{
	buf_add(out,
		STR("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"));
	buf_printf(out,
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
		"\"stop_sequence\":null},\"usage\":{\"output_tokens\":%" PRIu64 "}}\n\n",
		e->words);
	buf_add(out, STR("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

void
echo_stream_begin(const struct echo_reply *e, struct buf *out)
{
	if (e->request.endpoint->id == ENDPOINT_MESSAGES)
		message_start(e, out);
	else if (e->request.endpoint->id == ENDPOINT_CHAT)
		chat_chunk(e, out, true, STR(""), NULL);
}

void
echo_stream_word(const struct echo_reply *e, struct buf *out, struct str word)
{
	if (e->request.endpoint->id == ENDPOINT_MESSAGES)
		message_word(out, word);
	else if (e->request.endpoint->id == ENDPOINT_CHAT)
		chat_chunk(e, out, false, word, NULL);
	else
		completion_chunk(e, out, word, NULL);
}

void
echo_stream_end(const struct echo_reply *e, struct buf *out)
{
	if (e->request.endpoint->id == ENDPOINT_MESSAGES)
		message_end(e, out);
	else
		openai_end(e, out);
}

/* splitmix64 over an FNV-1a hash of the text: well mixed, in a few lines, and fixed for ever. */
static uint64_t
mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

double
echo_component(uint64_t hash, unsigned i)
{
	return (double)(mix(hash + i) >> 11) / 9007199254740992.0 * 2.0 - 1.0;
}

uint64_t
echo_hash(struct str text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t k = 0; k < text.len; k++)
		hash = (hash ^ (unsigned char)text.p[k]) * UINT64_C(0x100000001b3);
	return hash;
}

static void
write_base64(struct buf *out, const unsigned char *p, size_t len)
{
	char *to = buf_room(out, (len + 2) / 3 * 4 + 1); /* EVP_EncodeBlock adds a NUL */

	if (to)
		buf_added(out, (size_t)EVP_EncodeBlock((unsigned char *)to, p, (int)len));
}

static void
write_vector(struct json_writer *w, struct str text, unsigned n, bool base64)
{
	static unsigned char bytes[DIMENSIONS_MOST * 4];
	uint64_t hash = echo_hash(text);
	double sum = 0.0, norm;
	char number[32];

	for (unsigned i = 0; i < n; i++)
		sum += echo_component(hash, i) * echo_component(hash, i);
	norm = sum > 0.0 ? sqrt(sum) : 1.0;
	if (!base64)
		json_array(w);
	for (unsigned i = 0; i < n; i++) {
		float value = (float)(echo_component(hash, i) / norm);
		uint32_t raw;

		if (!base64) {
			int len = snprintf(number, sizeof number, "%.9g", (double)value);

			json_value(w, (struct str){ number, (size_t)len });
			continue;
		}
		memcpy(&raw, &value, sizeof raw);
		for (unsigned k = 0; k < 4; k++)
			bytes[i * 4 + k] = (unsigned char)(raw >> (8 * k));
	}
	if (base64) {
		json_text_open(w);
		write_base64(w->out, bytes, (size_t)n * 4);
		json_text_close(w);
	} else {
		json_array_end(w);
	}
}

static unsigned
dimensions_of(const struct echo_reply *e, const struct json_scan *scan)
{
	const struct json_token *t =
		json_member(scan, e->request.body, scan->tokens, STR("dimensions"), NULL);
	uint64_t n;

	if (!t || t->type != JSON_NUMBER || json_u64(e->request.body, t, &n) < 0 || n == 0)
		return DIMENSIONS;
	return n < DIMENSIONS_MOST ? (unsigned)n : DIMENSIONS_MOST;
}

static void
one_embedding(struct json_writer *w, struct str text, unsigned index, unsigned n, bool base64)
{
	json_object(w);
	json_pair(w, STR("object"), STR("embedding"));
	json_key(w, STR("index"));
	json_number(w, index);
	json_key(w, STR("embedding"));
	write_vector(w, text, n, base64);
	json_object_end(w);
}

/* The text of an input: decoded for a string, else its JSON (an array of token numbers is as good a
 * text as any). */
static struct str
input_text(struct echo_reply *e, const struct json_token *t)
{
	if (t->type == JSON_STRING)
		return json_string(e->request.body, t, e->arena, NULL);
	return json_raw(e->request.body, t);
}

int
echo_embeddings(struct echo_reply *e, const struct json_scan *scan, struct buf *out)
{
	struct str body = e->request.body;
	const struct json_token *input = json_member(scan, body, scan->tokens, STR("input"), NULL);
	const struct json_token *format =
		json_member(scan, body, scan->tokens, STR("encoding_format"), NULL);
	bool base64 = format && format->type == JSON_STRING &&
		json_string_is(body, format, STR("base64"));
	bool many, numbers;
	struct json_writer w;
	unsigned index = 0, n = dimensions_of(e, scan);

	if (!input || (input->type != JSON_STRING && input->type != JSON_ARRAY))
		return -1;
	many = input->type == JSON_ARRAY;
	numbers = many && input->count > 0 && input[1].type == JSON_NUMBER;
	if (many && !numbers && input->count > INPUTS_MOST)
		return -1;
	json_writer_init(&w, out);
	json_object(&w);
	json_pair(&w, STR("object"), STR("list"));
	json_key(&w, STR("data"));
	json_array(&w);
	if (!many || numbers) {
		one_embedding(&w, input_text(e, input), 0, n, base64);
	} else {
		const struct json_token *end = scan->tokens + input->next;

		for (const struct json_token *t = input + 1; t < end && !out->failed;
			t = scan->tokens + t->next)
			one_embedding(&w, input_text(e, t), index++, n, base64);
	}
	json_array_end(&w);
	json_pair(&w, STR("model"), e->request.model);
	json_key(&w, STR("usage"));
	json_object(&w);
	json_key(&w, STR("prompt_tokens"));
	json_number(&w, many ? (int64_t)input->count : 1);
	json_key(&w, STR("total_tokens"));
	json_number(&w, many ? (int64_t)input->count : 1);
	json_object_end(&w);
	json_object_end(&w);
	return 0;
}
