/*
 * translation: a request to a provider that speaks another dialect than the client.
 *
 *     begin: the client's body -> r->sent, and where it goes
 *     head:  200 -> r->translate, which the relay feeds
 *            else its error is kept (RELAY_FAULT) -> fault: the client's error
 *
 * Called by attempt. What cannot be carried is refused before the provider hears of it. An error of
 * the provider keeps its kind and its message; where it refuses the key that the administrator
 * gave, the client is told no more than that. Its hint when to come again goes on; its quotas only
 * where the client's own key was used, since else they are the router's.
 */
#include "dialect/fault.h"
#include "dialect/instant.h"
#include "dialect/quota.h"
#include "dialect/unsigned.h"
#include "json/edit.h"
#include "net/clock.h"
#include "proxy/account.h"
#include "proxy/forward.h"
#include "proxy/request_private.h"

#define NEVER_AGAIN "x-should-retry: false\r\n"

bool
translation_wanted(const struct endpoint *e, const struct conf_provider *p)
{
	return endpoint_upstream(e, p->dialect).len == 0 && translate_can(e, p->dialect);
}

/* The version that an anthropic provider will be told: the client's, when it names one. */
static struct str
version_of(const struct request *r)
{
	struct str version = head_value(&r->head, STR("anthropic-version"));

	return version.len > 0 ? version : r->provider->version;
}

/* Anthropic's errors have no `param`: the place goes before the message. */
static void
name_place(struct request *r, struct error *e)
{
	struct str said;

	if (r->dialect != DIALECT_ANTHROPIC || e->param.len == 0 ||
		str_find(e->message, e->param) < e->message.len)
		return;
	said = arena_printf(&r->arena, "%.*s: %.*s", STR_ARG(e->param), STR_ARG(e->message));
	if (said.p)
		e->message = said;
}

/* Of no tokens at all: nobody needs to be asked. */
static void
answer_nothing(struct request *r, struct chat *c)
{
	struct translate *t = arena_alloc(&r->arena, sizeof *t);
	struct buf out = BUF_EMPTY;

	if (t && translate_open(t, c) == 0 && translate_nothing(t, &out) == TRANSLATE_OK)
		request_answer(r, 200,
			c->stream ? STR("text/event-stream; charset=utf-8")
				  : STR("application/json"),
			buf_str(&out), STR(""));
	else
		request_fail_memory(r);
	buf_free(&out);
}

bool
translation_begin(struct request *r)
{
	const struct conf_provider *p = r->provider;
	struct chat *c = arena_zero(&r->arena, sizeof *c);

	if (!c) {
		request_fail_memory(r);
		return false;
	}
	*c = (struct chat){ .arena = &r->arena,
		.scratch = &r->proxy->event,
		.endpoint = r->endpoint,
		.provider = p->dialect,
		.options = conf_model_options(p, r->target_model),
		.max_tokens = p->max_tokens,
		.reject = p->reject,
		.version = version_of(r),
		.model = r->model.p ? r->model : r->target_model,
		.target = r->target_model,
		.created_s = clock_wall_ms() / 1000,
		.seed = proxy_random(r->proxy) };
	if (translate_request(c, buf_str(&r->body), &r->sent) < 0) {
		name_place(r, &c->error);
		request_fail(r, &c->error,
			c->error.kind == ERROR_OVERLOADED ? STR("retry-after: 1\r\n") : STR(""));
		return false;
	}
	if (c->unasked) {
		answer_nothing(r, c);
		return false;
	}
	r->chat = c;
	return true;
}

bool
translation_mend(struct request *r)
{
	struct str body = buf_str(&r->body), model = STR("");

	if (r->dialect != DIALECT_ANTHROPIC || r->provider->dialect != DIALECT_ANTHROPIC ||
		r->streaming || !unsigned_may_be(body))
		return true;
	if (r->model.p && !str_eq(r->model, r->target_model))
		model = json_quote(&r->arena, r->target_model);
	if (unsigned_remove(&r->arena, body, model, &r->sent) >= 0 && !r->arena.failed)
		return true;
	request_fail_memory(r);
	return false;
}

/* Come again in so many milliseconds; -1: nobody knows. */
static void
add_hint(struct buf *out, int64_t ms)
{
	if (ms >= 0)
		buf_printf(out, "retry-after: %lld\r\nretry-after-ms: %lld\r\n",
			(long long)((ms + 999) / 1000), (long long)ms);
}

/* What time the provider has: its quotas end by its clock, and ours may be wrong. */
static uint64_t
provider_now_ms(const struct head *h)
{
	uint64_t s = instant_http_s(head_value(h, STR("date")));

	return s > 0 ? s * 1000 : clock_wall_ms();
}

/* Of an error: when to come again, in the provider's own words or, where it has none, by its
 * quotas, and its id; always: the client's quotas. */
static struct str
fields_of(struct request *r, const struct head *h)
{
	static const struct {
		struct str from, to;
	} kept_fields[] = {
		{ STR_INIT("retry-after"), STR_INIT("retry-after") },
		{ STR_INIT("retry-after-ms"), STR_INIT("retry-after-ms") },
		{ STR_INIT("request-id"), STR_INIT("x-upstream-request-id") },
		{ STR_INIT("x-request-id"), STR_INIT("x-upstream-request-id") },
	};
	struct buf *text = &r->proxy->text;
	uint64_t now_ms = provider_now_ms(h);
	struct str kept;

	buf_consume(text, buf_len(text));
	for (size_t i = 0; i < h->n; i++) {
		for (size_t j = 0; j < sizeof kept_fields / sizeof kept_fields[0]; j++)
			if (h->status != 200 &&
				str_eq_nocase(h->fields[i].name, kept_fields[j].from))
				forward_field(text, kept_fields[j].to, h->fields[i].value);
		if (!r->own_key)
			quota_field(text, r->dialect, h->fields[i].name, h->fields[i].value,
				now_ms);
	}
	if (h->status == 429 && !head_field(h, STR("retry-after")) &&
		!head_field(h, STR("retry-after-ms")))
		add_hint(text, quota_wait_ms(h, now_ms));
	kept = arena_copy(&r->arena, buf_str(text));
	text->failed = false;
	return kept;
}

bool
translation_head(struct request *r, const struct head *h)
{
	r->translate = NULL;
	r->fault_fields = fields_of(r, h);
	if (h->status == 200) {
		r->translate = arena_alloc(&r->arena, sizeof *r->translate);
		return r->translate && translate_open(r->translate, r->chat) == 0;
	}
	r->translate = arena_zero(&r->arena, sizeof *r->translate);
	return r->translate && !r->arena.failed;
}

/* Fields of the answer to a failure: hints when to come again, or not to. */
static struct str
fault_fields(struct request *r, const struct fault *f)
{
	static const enum error_kind hinted[] = { ERROR_RATE, ERROR_OVERLOADED };
	struct str fields = r->fault_fields;

	if (f->error.kind == ERROR_QUOTA)
		fields = arena_printf(&r->arena, "%.*s" NEVER_AGAIN, STR_ARG(fields));
	for (size_t i = 0; i < sizeof hinted / sizeof hinted[0]; i++) {
		if (f->error.kind != hinted[i])
			continue;
		if (f->retry_ms >= 0 && str_find(fields, STR("retry-after")) == fields.len)
			fields = arena_printf(&r->arena,
				"%.*sretry-after: %lld\r\nretry-after-ms: %lld\r\n",
				STR_ARG(fields), (long long)((f->retry_ms + 999) / 1000),
				(long long)f->retry_ms);
	}
	return fields.p ? fields : STR("");
}

bool
translation_fault(struct request *r)
{
	struct fault f;

	fault_read(&r->arena, r->upstream_status, relay_fault(&r->relay), &f);
	if (f.auth && r->own_key)
		return false;
	if (r->upstream_status >= 500 || r->upstream_status < 400)
		account_failure(r, UPSTREAM_STATUS);
	else
		account_success(r);
	request_tell(r, &f.error, fault_fields(r, &f));
	return true;
}

bool
translation_error(struct request *r)
{
	const struct error *e = &r->translate->error;

	if (e->kind == ERROR_AUTH && r->own_key)
		return false;
	account_failure(r, UPSTREAM_ERROR);
	r->told_error = true;
	r->end = e->kind == ERROR_TIMEOUT ? END_TIMEOUT : END_UPSTREAM_ERROR;
	request_fail(r, e, e->kind == ERROR_QUOTA ? STR(NEVER_AGAIN) : STR(""));
	return true;
}
