/*
 * openai_client: OpenAI chat completions as a client speaks them: the whole of a request (OpenAI
 * API reference: create chat completion) in the neutral form. Its messages and tools, and how
 * answers are written, have files of their own.
 *
 * Called by translate. A request is read once; all slices borrow from its body. Whatever has
 * another type than the API says is refused with a 400 that names it, null being as good as
 * nothing; parameters that are not known stay as they are, for the provider's adapter to take or to
 * leave. Fails on those, and for want of memory.
 */
#include "dialect/openai_client.h"

#include "dialect/openai_client_messages.h"
#include "dialect/openai_client_params.h"
#include "dialect/openai_client_reply.h"
#include "dialect/openai_client_tools.h"
#include "dialect/openai_client_write.h"
#include "dialect/place.h"

static int
read_schema(struct chat *c, struct chat_request *q, const struct json_token *t,
	const struct place *top)
{
	const struct json_doc *d = &q->doc;
	const struct place at = { top, STR_INIT("json_schema"), -1 };
	struct chat_format *f = &q->format;
	const struct json_token *body, *schema;

	if (place_get(c, d, t, top, at.name, JSON_OBJECT, true, &body) < 0 ||
		place_text(c, d, body, &at, STR("name"), true, &f->name) < 0 ||
		place_text(c, d, body, &at, STR("description"), false, &f->description) < 0 ||
		place_get(c, d, body, &at, STR("schema"), JSON_OBJECT, false, &schema) < 0 ||
		place_flag(c, d, body, &at, STR("strict"), &f->strict) < 0)
		return -1;
	f->kind = schema ? FORMAT_IS_SCHEMA : FORMAT_IS_JSON;
	if (schema)
		f->schema = json_doc_raw(d, schema);
	return 0;
}

static int
read_format(struct chat *c, struct chat_request *q)
{
	const struct place at = { NULL, STR_INIT("response_format"), -1 },
			   in = { &at, STR_INIT("type"), -1 };
	const struct json_token *t, *type;
	int rc = chat_take(c, q, FIELD_FORMAT, at.name, JSON_OBJECT, &t);

	if (rc <= 0)
		return rc;
	if (place_get(c, &q->doc, t, &at, in.name, JSON_STRING, true, &type) < 0)
		return -1;
	if (json_doc_is(&q->doc, type, STR("json_schema")))
		return read_schema(c, q, t, &at);
	if (json_doc_is(&q->doc, type, STR("json_object")))
		q->format.kind = FORMAT_IS_JSON;
	else if (json_doc_is(&q->doc, type, STR("text")))
		chat_carry(q, FIELD_FORMAT);
	else
		return place_refuse(c, &in, "must be `text`, `json_object` or `json_schema`");
	return 0;
}

static int
read_effort(struct chat *c, struct chat_request *q)
{
	struct str name = STR("reasoning_effort");
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_REASONING, name, JSON_STRING, &t);

	if (rc <= 0)
		return rc;
	if (chat_effort_of(json_doc_inner(&q->doc, t), &q->reasoning.effort) < 0)
		return chat_refuse(c, name,
			"`reasoning_effort` must be none, minimal, low, medium, high, xhigh or max");
	q->reasoning.asked = true;
	return 0;
}

static int
read_logprobs(struct chat *c, struct chat_request *q)
{
	const struct json_token *t;

	if (chat_take(c, q, FIELD_LOGPROBS, STR("logprobs"), JSON_TRUE, &t) < 0)
		return -1;
	q->logprobs = t && t->type == JSON_TRUE;
	if (!q->logprobs)
		chat_carry(q, FIELD_LOGPROBS);
	if (chat_take(c, q, FIELD_TOP_LOGPROBS, STR("top_logprobs"), JSON_NUMBER, &t) < 0)
		return -1;
	if (t && chat_number(json_doc_raw(&q->doc, t)) == 0)
		chat_carry(q, FIELD_TOP_LOGPROBS);
	return 0;
}

/* Not to store the answer is what happens anyhow. */
static int
read_store(struct chat *c, struct chat_request *q)
{
	bool store = false;

	if (param_bool(c, q, STR("store"), &store) < 0)
		return -1;
	if (!store)
		chat_note(q, STR("store"));
	return 0;
}

static int
read_tier(struct chat *c, struct chat_request *q)
{
	const struct json_token *t;
	int rc = chat_take(c, q, FIELD_SERVICE_TIER, STR("service_tier"), JSON_STRING, &t);

	if (rc > 0)
		q->service_tier = json_doc_inner(&q->doc, t);
	return rc < 0 ? -1 : 0;
}

static int
read_request(struct chat *c, struct chat_request *q, struct str body)
{
	if (chat_read_params(c, q, body) < 0 || params_read(c, q) < 0 || messages_read(c, q) < 0 ||
		tools_read(c, q) < 0 || read_format(c, q) < 0 || read_effort(c, q) < 0 ||
		read_logprobs(c, q) < 0 || read_tier(c, q) < 0 || read_store(c, q) < 0)
		return -1;
	return 0;
}

const struct chat_client openai_client = {
	.read_request = read_request,
	.open = openai_client_open,
	.write_event = openai_client_event,
	.write_reply = openai_client_reply,
};
