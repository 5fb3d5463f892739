/*
 * answer: what needs no provider.
 *
 * Called by client once the head is known, before request_begin. Own paths take GET, HEAD (same
 * head, no body: the client's side sees to that) and OPTIONS; the proxied ones POST and OPTIONS.
 * Whatever else is refused in the shape of the path's dialect, with the names that would do: a
 * path without its /v1 is told so, a wrong method gets Allow.
 *
 * Bodies are composed into a buffer; without memory for it the answer is a 503.
 */
#include "proxy/answer.h"

#include "base/version.h"
#include "net/clock.h"
#include "proxy/admit.h"
#include "report/metrics.h"
#include "report/status.h"

static void
answer_buf(struct request *r, unsigned status, struct str type, struct buf *body, int result)
{
	if (result < 0 || body->failed) {
		struct error e = { .kind = ERROR_OVERLOADED,
			.message = STR("the router has no memory left for the request") };

		request_fail(r, &e, STR("retry-after: 1\r\n"));
	} else {
		request_answer(r, status, type, buf_str(body), STR(""));
	}
	buf_free(body);
}

static void
answer_root(struct request *r)
{
	request_answer(r, 200, STR("text/plain"), STR("api-router " VERSION "\n"), STR(""));
}

static void
answer_health(struct request *r)
{
	struct buf body = BUF_EMPTY;
	unsigned status;
	int result = status_health(&body, r->proxy->board, r->admin ? r->proxy->limits : NULL,
		clock_now_us(), &status);

	answer_buf(r, status, STR("application/json"), &body, result);
}

static bool
wants_anthropic(const struct request *r)
{
	return head_field(&r->head, STR("anthropic-version")) != NULL;
}

static void
answer_models(struct request *r)
{
	struct buf body = BUF_EMPTY;
	int result;

	result = status_models(&body, r->proxy->conf, r->key, wants_anthropic(r),
		r->proxy->started_s);

	answer_buf(r, 200, STR("application/json"), &body, result);
}

/* An id with its slashes written out: "%2F" stays as it is in a path. p NULL without memory. */
static struct str
slashes(struct request *r, struct str id)
{
	char *p = arena_alloc(&r->arena, id.len);
	size_t n = 0;

	for (size_t i = 0; p && i < id.len; i++) {
		bool slash = str_eq_nocase(str_head(str_skip(id, i), 3), STR("%2F"));

		p[n++] = slash ? '/' : id.p[i];
		i += slash ? 2 : 0;
	}
	return (struct str){ p, n };
}

static void
answer_model(struct request *r)
{
	struct str id = slashes(r, str_skip(r->path, sizeof "/v1/models/" - 1));
	struct buf body = BUF_EMPTY;
	int result = -1;

	if (id.p)
		result = status_model(&body, r->proxy->conf, r->key, id, wants_anthropic(r),
			r->proxy->started_s);

	if (result == 1) {
		struct error e = { .kind = ERROR_NOT_FOUND,
			.code = STR("model_not_found"),
			.param = STR("model") };

		e.message = arena_printf(&r->arena, "The model `%.*s` does not exist", STR_ARG(id));
		request_fail(r, &e, STR(""));
		buf_free(&body);
		return;
	}
	answer_buf(r, 200, STR("application/json"), &body, result);
}

static void
answer_metrics(struct request *r)
{
	struct proxy *p = r->proxy;
	struct metrics_source from = { .board = p->board,
		.series = p->counts.board,
		.limits = p->limits,
		.started_s = p->started_s,
		.now_us = clock_now_us() };
	struct buf body = BUF_EMPTY;
	int result = metrics_text(&body, &from);

	answer_buf(r, 200, STR(METRICS_TYPE), &body, result);
}

static const struct own_path {
	void (*answer)(struct request *r);
	bool keyed; /* for clients that are admitted only */
} own_paths[] = {
#define OWN_PATH(id, text, longer, keyed) { answer_##id, keyed },
#include "report/own_path.def"
#undef OWN_PATH
};

/* NULL: there is no such path, or not on this listener. */
static const struct own_path *
own_find(const struct request *r)
{
	if (r->path_number < PATH_OWN || (r->path_number == PATH_metrics && !r->admin))
		return NULL;
	return &own_paths[r->path_number - PATH_OWN];
}

static void
refuse_method(struct request *r, struct str allow)
{
	struct error e = { .kind = ERROR_INVALID, .status = 405 };

	e.message = arena_printf(&r->arena, "%.*s is not allowed on %.*s; allowed: %.*s",
		STR_ARG(str_head(r->head.method, 32)), STR_ARG(str_head(r->path, 200)),
		STR_ARG(allow));
	request_fail(r, &e, arena_printf(&r->arena, "allow: %.*s\r\n", STR_ARG(allow)));
}

static void
answer_options(struct request *r, struct str allow)
{
	request_answer(r, 204, STR(""), STR(""),
		arena_printf(&r->arena, "allow: %.*s\r\n", STR_ARG(allow)));
}

static void
refuse_path(struct request *r)
{
	struct error e = { .kind = ERROR_NOT_FOUND };
	struct str shown = str_head(r->path, 200);
	struct str with_v1 = arena_printf(&r->arena, "/v1%.*s", STR_ARG(r->path));
	struct buf known = BUF_EMPTY;

	if (endpoint_find(with_v1) || str_starts(with_v1, STR("/v1/models"))) {
		e.message = arena_printf(&r->arena,
			"unknown path %.*s: the /v1 is missing, use %.*s (the base URL of a client ends in /v1)",
			STR_ARG(shown), STR_ARG(with_v1));
	} else {
		for (size_t i = 0; i < ENDPOINTS; i++) {
			buf_add(&known, endpoints[i].path);
			buf_add(&known, STR(", "));
		}
		e.message = arena_printf(&r->arena,
			"unknown path %.*s; known: %.*s/v1/models, /health, %s/", STR_ARG(shown),
			STR_ARG(buf_str(&known)), r->admin ? "/metrics, " : "");
		buf_free(&known);
	}
	request_fail(r, &e, STR(""));
}

bool
answer_own(struct request *r)
{
	const struct own_path *own = own_find(r);
	struct str method = r->head.method;
	struct str allow = own ? STR("GET, HEAD, OPTIONS") : STR("POST, OPTIONS");

	if (!admit_keys(r))
		return true;
	if (str_eq(r->path, STR("*"))) {
		answer_options(r, STR("GET, HEAD, POST, OPTIONS"));
		return true;
	}
	if (own && own->keyed && wants_anthropic(r)) /* the shape of errors, too */
		r->dialect = DIALECT_ANTHROPIC;
	if (!own && !r->endpoint) {
		refuse_path(r);
		return true;
	}
	if (r->endpoint && str_eq(method, STR("POST")))
		return !admit_client(r);
	if (str_eq(method, STR("OPTIONS")))
		answer_options(r, allow);
	else if (!own || (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))))
		refuse_method(r, allow);
	else if (!own->keyed || admit_client(r))
		own->answer(r);
	return true;
}
