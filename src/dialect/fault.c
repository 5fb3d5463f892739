/*
 * fault: errors of providers. Every dialect, and every server that speaks one of them nearly, has a
 * shape of its own; here they become a kind, which each client's dialect has words for
 * (error_kind.def), and a message.
 *
 * The message is the provider's, since it says best what is wrong with the request, but that it may
 * repeat a credential or the name of an account, which are the administrator's: these are masked.
 * The kind goes by the status, then by code, type and a few well-known phrases; an error that comes
 * after status 200 by its code and type alone.
 *
 * Called by the proxy with the body of a reply that is to be told in another dialect, and by the
 * adapters with an error inside a stream. The body is hostile: at most its first 64 KiB are looked
 * at, four thousand values, eight levels. Nothing fails; without memory the message is a fixed one.
 */
#include "dialect/fault.h"

#include <string.h>

#include "json/doc.h"

enum {
	LEVELS = 8,
	VALUES_MOST = 4096,
	DETAILS_MOST = 8,
	CODE_MOST = 64,
	PARAM_MOST = 128,
	RETRY_MOST_S = 86400
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/*
 * Text that a client may see
 */

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-';
}

/* Bytes of a credential; `*` since some providers mask the middle of it themselves. */
static size_t
secret_run(struct str s)
{
	size_t n = 0;

	while (n < s.len && (is_word(s.p[n]) || strchr("*.+/~=", s.p[n])) && s.p[n] != '\0')
		n++;
	while (n > 0 && s.p[n - 1] == '.') /* the end of a sentence */
		n--;
	return n;
}

static bool
is_plain_word(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] < 'a' || s.p[i] > 'z')
			return false;
	return s.len < 20;
}

/* Length of a parameter of a URL's query that holds a credential, "key=…", at the start of `s`;
 * *keep is that of its name. */
static size_t
secret_param(struct str s, size_t *keep)
{
	static const struct str ends[] = { STR_INIT("key"), STR_INIT("token"), STR_INIT("secret"),
		STR_INIT("sig"), STR_INIT("signature") };
	size_t n = 0, name;

	while (n < s.len && is_word(s.p[n]))
		n++;
	if (n == s.len || s.p[n] != '=')
		return 0;
	name = n++;
	*keep = n;
	while (n < s.len && (unsigned char)s.p[n] > ' ' && !strchr("&#\"'<>()", s.p[n]))
		n++;
	for (size_t i = 0; i < COUNT(ends); i++)
		if (name >= ends[i].len &&
			str_eq_nocase(str_skip(str_head(s, name), name - ends[i].len), ends[i]))
			return n;
	return 0;
}

/* Length of the secret that begins at `at`, or 0; its first *keep bytes may stay. */
static size_t
secret_at(struct str s, size_t at, size_t *keep)
{
	static const struct {
		struct str prefix;
		bool stays, words; /* words: a plain word may follow, which is no secret */
	} marks[] = {
		{ STR_INIT("sk-"), false, false },
		{ STR_INIT("sk_"), false, false },
		{ STR_INIT("AIza"), false, false },
		{ STR_INIT("gsk_"), false, false },
		{ STR_INIT("xai-"), false, false },
		{ STR_INIT("hf_"), false, true },
		{ STR_INIT("Bearer "), true, true },
		{ STR_INIT("org-"), true, true },
		{ STR_INIT("proj_"), true, true },
		{ STR_INIT("project_number:"), true, true },
	};
	struct str rest = str_skip(s, at);

	if (at > 0 && is_word(s.p[at - 1]))
		return 0;
	if (at > 0 && (s.p[at - 1] == '?' || s.p[at - 1] == '&'))
		return secret_param(rest, keep);
	for (size_t i = 0; i < COUNT(marks); i++) {
		struct str prefix = marks[i].prefix, secret = str_skip(rest, prefix.len);

		if (!str_eq_nocase(str_head(rest, prefix.len), prefix))
			continue;
		secret = str_head(secret, secret_run(secret));
		if (secret.len < 6 || (marks[i].words && is_plain_word(secret)))
			return 0;
		*keep = marks[i].stays ? prefix.len : 0;
		return prefix.len + secret.len;
	}
	return 0;
}

/* `out` has room for three times the text. */
static size_t
mask(struct str s, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len;) {
		size_t keep = 0, len = secret_at(s, i, &keep);

		if (len == 0) {
			out[n++] = s.p[i++];
			continue;
		}
		memcpy(out + n, s.p + i, keep);
		memcpy(out + n + keep, "***", 3);
		n += keep + 3;
		i += len;
	}
	return n;
}

/* At most that many bytes, without the beginning of a character at the end. */
static struct str
whole_head(struct str s, size_t most)
{
	if (s.len <= most)
		return s;
	while (most > 0 && ((unsigned char)s.p[most] & 0xc0) == 0x80)
		most--;
	return str_head(s, most);
}

struct str
fault_text(struct arena *a, struct str plain)
{
	struct str head = whole_head(plain, FAULT_TEXT_MOST + FAULT_TEXT_MOST / 8);
	char *out = arena_alloc(a, head.len * 3 + 1);

	if (!out)
		return (struct str){ NULL, 0 };
	return whole_head((struct str){ out, mask(head, out) }, FAULT_TEXT_MOST);
}

/*
 * Kinds
 */

static enum error_kind
kind_of_status(unsigned status)
{
	switch (status) {
	case 401:
	case 498: /* Cohere: invalid token */
		return ERROR_AUTH;
	case 402:
		return ERROR_QUOTA;
	case 403:
		return ERROR_FORBIDDEN;
	case 404:
	case 410:
		return ERROR_NOT_FOUND;
	case 408:
	case 499:
	case 504:
	case 524:
		return ERROR_TIMEOUT;
	case 409:
		return ERROR_CONFLICT;
	case 413:
		return ERROR_TOO_LARGE;
	case 429:
		return ERROR_RATE;
	case 503:
	case 529:
		return ERROR_OVERLOADED;
	default:
		return status >= 400 && status < 500 ? ERROR_INVALID : ERROR_UPSTREAM;
	}
}

/* An HTTP status in digits, which says that something failed; else 0. */
static unsigned
status_of(struct str code)
{
	uint64_t n;

	return code.len == 3 && str_u64(code, &n) == 0 && n >= 400 && n < 600 ? (unsigned)n : 0;
}

static bool
kind_of_word(struct str word, enum error_kind *kind)
{
	static const struct {
		struct str word;
		enum error_kind kind;
	} words[] = {
		/* codes and types of OpenAI's */
		{ STR_INIT("context_length_exceeded"), ERROR_TOO_LONG },
		{ STR_INIT("content_filter"), ERROR_FILTERED },
		{ STR_INIT("content_policy_violation"), ERROR_FILTERED },
		{ STR_INIT("insufficient_quota"), ERROR_QUOTA },
		{ STR_INIT("credit_balance_exhausted"), ERROR_QUOTA },
		{ STR_INIT("billing_hard_limit_reached"), ERROR_QUOTA },
		{ STR_INIT("rate_limit_exceeded"), ERROR_RATE },
		{ STR_INIT("slow_down"), ERROR_RATE },
		{ STR_INIT("requests"), ERROR_RATE },
		{ STR_INIT("tokens"), ERROR_RATE },
		{ STR_INIT("server_is_overloaded"), ERROR_OVERLOADED },
		{ STR_INIT("service_unavailable_error"), ERROR_OVERLOADED },
		{ STR_INIT("overloaded"), ERROR_OVERLOADED },
		{ STR_INIT("timeout"), ERROR_TIMEOUT },
		{ STR_INIT("invalid_api_key"), ERROR_AUTH },
		{ STR_INIT("model_not_found"), ERROR_NOT_FOUND },
		/* types of Anthropic's; what is none of these says nothing about the request */
		{ STR_INIT("overloaded_error"), ERROR_OVERLOADED },
		{ STR_INIT("rate_limit_error"), ERROR_RATE },
		{ STR_INIT("invalid_request_error"), ERROR_INVALID },
		{ STR_INIT("timeout_error"), ERROR_TIMEOUT },
		/* statuses of Gemini's: google.rpc.Code */
		{ STR_INIT("INVALID_ARGUMENT"), ERROR_INVALID },
		{ STR_INIT("FAILED_PRECONDITION"), ERROR_INVALID },
		{ STR_INIT("OUT_OF_RANGE"), ERROR_INVALID },
		{ STR_INIT("UNAUTHENTICATED"), ERROR_AUTH },
		{ STR_INIT("PERMISSION_DENIED"), ERROR_FORBIDDEN },
		{ STR_INIT("NOT_FOUND"), ERROR_NOT_FOUND },
		{ STR_INIT("ALREADY_EXISTS"), ERROR_CONFLICT },
		{ STR_INIT("ABORTED"), ERROR_CONFLICT },
		{ STR_INIT("RESOURCE_EXHAUSTED"), ERROR_RATE },
		{ STR_INIT("CANCELLED"), ERROR_TIMEOUT },
		{ STR_INIT("DEADLINE_EXCEEDED"), ERROR_TIMEOUT },
		{ STR_INIT("UNAVAILABLE"), ERROR_OVERLOADED },
		{ STR_INIT("PROHIBITED_CONTENT"), ERROR_FILTERED },
	};

	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_eq(word, words[i].word)) {
			*kind = words[i].kind;
			return true;
		}
	}
	return false;
}

enum error_kind
fault_kind(struct str type, struct str code)
{
	enum error_kind kind = ERROR_UPSTREAM;
	unsigned status = status_of(code);

	if (status != 0)
		return kind_of_status(status);
	if (!kind_of_word(code, &kind))
		kind_of_word(type, &kind);
	return kind;
}

/*
 * The body
 */

struct reading {
	struct arena *arena;
	struct json_doc doc;
	const struct json_token *holder; /* of code, type and the like; NULL: nothing is known */
	struct str message;              /* plain; empty: there is none */
	struct str type, code, status, param;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str
trimmed(struct str s)
{
	while (s.len > 0 && is_space(s.p[0]))
		s = str_skip(s, 1);
	while (s.len > 0 && is_space(s.p[s.len - 1]))
		s.len--;
	return s;
}

static struct str
decoded(struct reading *r, const struct json_token *t)
{
	return t && t->type == JSON_STRING ? json_string(r->doc.text, t, r->arena, NULL) : STR("");
}

/* A string or a number. */
static struct str
word(struct reading *r, struct str name)
{
	const struct json_token *t = json_get(&r->doc, r->holder, name);

	return t && t->type == JSON_NUMBER ? json_doc_raw(&r->doc, t) : decoded(r, t);
}

/* The text itself, or the JSON text of what stands in its place. */
static struct str
text_of(struct reading *r, const struct json_token *t)
{
	if (!t)
		return STR("");
	return t->type == JSON_STRING ? decoded(r, t) : json_doc_raw(&r->doc, t);
}

/* [{"loc":["body","model"],"msg":"…"}] as "body.model: …; …". */
static struct str
detail_list(struct reading *r, const struct json_token *list)
{
	struct buf all = BUF_EMPTY;
	struct str text;
	unsigned n = 0;

	for (const struct json_token *t = json_first(&r->doc, list); t && n < DETAILS_MOST;
		t = json_next(&r->doc, list, t), n++) {
		const struct json_token *loc = json_get_type(&r->doc, t, STR("loc"), JSON_ARRAY);
		const struct json_token *step = json_first(&r->doc, loc), *at = step;

		if (n > 0)
			buf_add(&all, STR("; "));
		for (; at; at = json_next(&r->doc, loc, at)) {
			buf_add(&all, at == step ? STR("") : STR("."));
			buf_add(&all, text_of(r, at));
		}
		buf_add(&all, step ? STR(": ") : STR(""));
		buf_add(&all,
			text_of(r, t->type == JSON_OBJECT ? json_get(&r->doc, t, STR("msg")) : t));
	}
	text = all.failed ? STR("") : arena_copy(r->arena, buf_str(&all));
	buf_free(&all);
	return text;
}

/* The message of an object that has no `error` to speak of. */
static struct str
message_of(struct reading *r, const struct json_token *top)
{
	const struct json_token *t = json_get_type(&r->doc, top, STR("message"), JSON_STRING);
	const struct json_token *first;

	if (t)
		return decoded(r, t);
	t = json_get(&r->doc, top, STR("detail"));
	if (t)
		return t->type == JSON_ARRAY ? detail_list(r, t) : text_of(r, t);
	first = json_first(&r->doc, json_get_type(&r->doc, top, STR("errors"), JSON_ARRAY));
	if (first)
		return decoded(r,
			first->type == JSON_OBJECT ? json_get(&r->doc, first, STR("message"))
						   : first);
	return decoded(r, json_get(&r->doc, top, STR("error_description")));
}

static void
read_object(struct reading *r, const struct json_token *top)
{
	const struct json_token *error = json_get(&r->doc, top, STR("error")), *message;

	r->holder = error && error->type == JSON_OBJECT ? error : top;
	if (r->holder == error) {
		message = json_get(&r->doc, error, STR("message"));
		r->message = text_of(r, message ? message : error);
	} else {
		r->message = decoded(r, error);
	}
	if (r->message.len == 0)
		r->message = message_of(r, top);
	r->type = word(r, STR("type"));
	r->code = word(r, STR("code"));
	r->status = word(r, STR("status"));
	r->param = decoded(r, json_get(&r->doc, r->holder, STR("param")));
}

/* Text for people: UTF-8 without control characters, no markup, no JSON that was cut. */
static bool
is_text(struct str s)
{
	uint32_t state = 0;

	if (s.len == 0 || strchr("<{[", s.p[0]))
		return false;
	s = str_head(s, FAULT_TEXT_MOST);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (json_utf8_step(&state, c) < 0 || ((c < ' ' || c == 0x7f) && !is_space(s.p[i])))
			return false;
	}
	return true;
}

static void
read_body(struct reading *r, struct str body)
{
	struct json_scan *scan = &r->doc.scan;
	const struct json_token *top;

	r->doc.text = body;
	json_scan_init(scan, r->arena, LEVELS, JSON_DEPTH_MAX);
	scan->n_max = VALUES_MOST;
	if (json_scan_feed(scan, body.p, body.len) < 0 || json_scan_end(scan) < 0) {
		if (is_text(trimmed(body)))
			r->message = trimmed(body);
		return;
	}
	top = json_doc_top(&r->doc);
	if (top->type == JSON_ARRAY)
		top = json_first(&r->doc, top);
	if (top && top->type == JSON_OBJECT)
		read_object(r, top);
	else
		r->message = decoded(r, top);
}

/*
 * What it means
 */

static struct str
lowered(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len);

	if (!p)
		return STR("");
	for (size_t i = 0; i < s.len; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
	return (struct str){ p, s.len };
}

static bool
holds(struct str s, struct str needle)
{
	return str_find(s, needle) < s.len;
}

static bool
holds_any(struct str s, const struct str *needles, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (holds(s, needles[i]))
			return true;
	return false;
}

static const struct str too_long[] = {
	STR_INIT("prompt is too long"), STR_INIT("maximum context length"),
	STR_INIT("too many tokens"), STR_INIT("exceeds the maximum number of tokens"),
	STR_INIT("input token count"), STR_INIT("context window"),
	STR_INIT("exceeds the context length"),         /* Ollama */
	STR_INIT("exceeds the available context size"), /* llama.cpp */
};
static const struct str about_keys[] = { STR_INIT("api key"), STR_INIT("api_key"),
	STR_INIT("apikey"), STR_INIT("credential"), STR_INIT("access token"),
	STR_INIT("unregistered callers") };

/* A spending limit of Anthropic's: "…_spend_limit_reached". */
static bool
is_spend_limit(struct str code)
{
	struct str end = STR("_spend_limit_reached");

	return code.len >= end.len && str_eq(str_skip(code, code.len - end.len), end);
}

/* Does its code or its type stand for that kind? */
static bool
says(const struct reading *r, enum error_kind kind)
{
	enum error_kind by;

	return (kind_of_word(r->code, &by) && by == kind) ||
		(kind_of_word(r->type, &by) && by == kind);
}

static enum error_kind
refined(const struct reading *r, enum error_kind kind, struct str said)
{
	const struct json_token *details = json_get(&r->doc, r->holder, STR("details"));

	if (kind != ERROR_INVALID && kind != ERROR_FORBIDDEN && kind != ERROR_RATE)
		return kind;
	if (says(r, ERROR_QUOTA) ||
		is_spend_limit(json_get_text(&r->doc, details, STR("error_code"))))
		return ERROR_QUOTA;
	if (kind == ERROR_RATE)
		return kind;
	if (says(r, ERROR_FILTERED) || str_eq(r->status, STR("PROHIBITED_CONTENT")))
		return ERROR_FILTERED;
	if (kind == ERROR_FORBIDDEN)
		return kind;
	if (holds(said, STR("credit balance is too low")))
		return ERROR_QUOTA;
	if (holds(said, STR("prohibited_content")))
		return ERROR_FILTERED;
	return says(r, ERROR_TOO_LONG) || holds_any(said, too_long, COUNT(too_long))
		? ERROR_TOO_LONG
		: kind;
}

/* "34.074824224s" in milliseconds, rounded up; -1: it is none. */
static int64_t
delay_ms(struct str text)
{
	struct str whole, part;
	uint64_t s, ms = 0;
	bool more = false;

	if (text.len < 2 || text.p[text.len - 1] != 's')
		return -1;
	text.len--;
	whole = str_head(text, str_index(text, '.'));
	part = str_skip(text, whole.len + 1);
	if (str_u64(whole, &s) < 0)
		return -1;
	for (size_t i = 0; i < part.len || i < 3; i++) {
		unsigned digit = i < part.len ? (unsigned char)part.p[i] - '0' : 0;

		if (digit > 9)
			return -1;
		if (i < 3)
			ms = ms * 10 + digit;
		else
			more |= digit > 0;
	}
	return s > RETRY_MOST_S ? RETRY_MOST_S * 1000 : (int64_t)(s * 1000 + ms + more);
}

/* Gemini's list of details. */
static void
read_details(const struct reading *r, struct fault *out)
{
	const struct json_token *list =
		json_get_type(&r->doc, r->holder, STR("details"), JSON_ARRAY);
	unsigned n = 0;

	for (const struct json_token *t = json_first(&r->doc, list); t && n < 64;
		t = json_next(&r->doc, list, t), n++) {
		int64_t ms = delay_ms(json_get_text(&r->doc, t, STR("retryDelay")));

		if (ms >= 0)
			out->retry_ms = ms;
		if (json_get_is(&r->doc, t, STR("reason"), STR("API_KEY_INVALID"))) {
			out->error.kind = ERROR_AUTH;
			out->auth = true;
		}
		if (out->error.kind == ERROR_INVALID &&
			json_get_is(&r->doc, t, STR("reason"), STR("PROHIBITED_CONTENT")))
			out->error.kind = ERROR_FILTERED;
	}
}

/* Short, without spaces: something that a program may look at. */
static struct str
plausible(struct arena *a, struct str s, size_t most)
{
	if (s.len > most)
		return STR("");
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return STR("");
	return s.len > 0 ? arena_copy(a, s) : STR("");
}

static struct str
code_of(const struct reading *r, enum error_kind kind, struct str said)
{
	/* the status once more says nothing, and null is what OpenAI's own errors have there */
	if (kind == ERROR_INVALID)
		return status_of(r->code) != 0 ? STR("") : plausible(r->arena, r->code, CODE_MOST);
	if (kind == ERROR_NOT_FOUND &&
		(str_eq(r->code, STR("model_not_found")) || str_starts(said, STR("model")) ||
			holds(said, STR(" model "))))
		return STR("model_not_found");
	return STR("");
}

static struct str
nothing_said(struct arena *a, unsigned status)
{
	struct str text = status < 300 ? STR("the provider reported an error without a message")
				       : arena_printf(a, "HTTP %u from upstream", status);

	return text.p ? text : STR("error from upstream");
}

void
fault_read(struct arena *a, unsigned status, struct str body, struct fault *out)
{
	struct reading r = { .arena = a };
	struct error *e = &out->error;
	struct str said;

	*out = (struct fault){ .retry_ms = -1 };
	read_body(&r, str_head(body, FAULT_BODY_MOST));
	e->message = r.message.len > 0 ? fault_text(a, r.message) : STR("");
	if (e->message.len == 0)
		e->message = nothing_said(a, status);
	said = lowered(a, e->message);
	e->kind = kind_of_status(status);
	if (status < 300) {
		e->kind = fault_kind(r.type, r.code);
		if (e->kind == ERROR_UPSTREAM && status_of(r.code) == 0)
			e->kind = fault_kind(STR(""), r.status);
	}
	e->kind = refined(&r, e->kind, said);
	out->auth = e->kind == ERROR_AUTH ||
		(e->kind == ERROR_FORBIDDEN &&
			(str_eq(r.type, STR("authentication_error")) ||
				holds_any(said, about_keys, COUNT(about_keys))));
	read_details(&r, out);
	e->param = plausible(a, r.param, PARAM_MOST);
	e->code = code_of(&r, e->kind, said);
	if (!e->param.p)
		e->param = STR("");
	if (!e->code.p)
		e->code = STR("");
}

void
fault_emit(struct chat *c, struct str body, struct chat_events *out)
{
	struct chat_event *ev = chat_emit(c, out, EVENT_ERROR);
	struct fault f;

	if (!ev)
		return;
	fault_read(c->scratch, 200, body, &f);
	ev->error = f.error;
}
