/*
 * forward: the heads that cross.
 *
 * To the provider goes what is on the list below and what the configuration adds, which wins over
 * the client's; never a cookie, never a hop-by-hop field, never a credential that was not meant for
 * it. To the client goes every end-to-end field but those that speak of the connection or of the
 * provider's own house. Pure functions: request hands in the facts.
 */
#include "proxy/forward.h"

#include <string.h>
#include <time.h>

#include "net/clock.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define ITEM(name) STR_INIT(name),
#define OR_BIT(name) | HEAD_BIT(name)

/* Fields that a client may send on to a provider, beside those of a dialect. */
#define PASSED(each)                                                                   \
	each("accept") each("content-type") each("user-agent") each("idempotency-key") \
		each("traceparent") each("tracestate") each("http-referer") each("x-title")
static const struct str passed[] = { PASSED(ITEM) };

/* Fields of a provider's reply that stay here, or are written anew, beside the hop-by-hop ones. */
#define DROPPED(each)                                                                        \
	each("content-length") each("content-type") each("set-cookie") each("set-cookie2")   \
		each("server") each("alt-svc") each("strict-transport-security") each("nel") \
			each("report-to") each("expect-ct") each("x-powered-by") each("via") \
				each("x-api-router-provider") each("x-api-router-model")     \
					each("x-api-router-dropped") each("x-upstream-request-id")
static const struct str dropped[] = { DROPPED(ITEM) };

/* How fields begin that belong to one dialect: those that a client may send, and others. */
enum { SENT_PREFIXES = 3 };
static const struct str prefixes[] = {
	STR_INIT("anthropic-"),
	STR_INIT("openai-"),
	STR_INIT("x-stainless-"),
	STR_INIT("x-ratelimit-"),
	STR_INIT("x-goog-"),
};

/* Fields that hold a client's credential, in the order in which they are looked for; with
 * Anthropic's, x-api-key is the first. */
static const struct str credentials[] = {
	STR_INIT("x-api-key"),
	STR_INIT("authorization"),
	STR_INIT("x-api-key"),
	STR_INIT("api-key"),
	STR_INIT("x-goog-api-key"),
};

#define MODEL_MOST 256 /* bytes of a model's name, which a client may have chosen, in a field */

/* Is a name in the table? Most are not by the bits of all in it. */
static bool
listed(const struct str *table, size_t n, uint64_t bits, struct str name)
{
	if ((head_bit(name) & bits) == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(name, table[i]))
			return true;
	return false;
}

/* Does a name begin as one of the first `n` prefixes? */
static bool
begins(size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(str_head(name, prefixes[i].len), prefixes[i]))
			return true;
	return false;
}

static bool
of_dialect(struct str name)
{
	return begins(COUNT(prefixes), name) || str_eq_nocase(name, STR("etag"));
}

/* buf_add, which is not called where there is room: the pieces are small and many. */
static inline void
add(struct buf *out, struct str s)
{
	if (s.len == 0 || out->failed || out->cap - out->end < s.len) {
		buf_add(out, s);
		return;
	}
	memcpy(out->p + out->end, s.p, s.len);
	out->end += s.len;
}

/* A field line; `colon`: how many bytes of a colon and a space go between name and value. */
static void
add_line(struct buf *out, struct str name, struct str value, size_t colon)
{
	size_t len = name.len + colon + value.len + 2;
	char *to = buf_place(out, len);

	if (!to)
		return;
	to = mempcpy(to, name.p, name.len);
	memcpy(to, ": ", 2);
	to += colon;
	if (value.len > 0)
		to = mempcpy(to, value.p, value.len);
	memcpy(to, "\r\n", 2);
	out->end += len;
}

/* A field of ours: `start` is its name with the colon and a space. */
static void
add_field(struct buf *out, struct str start, struct str value)
{
	add_line(out, start, value, 0);
}

void
forward_field(struct buf *out, struct str name, struct str value)
{
	add_line(out, name, value, 2);
}

/* The fields that the configuration sets. */
struct fields {
	const struct conf_header *all;
	size_t n;
};

static struct fields
fields_of(const struct forward_request *f)
{
	if (f->endpoint)
		return (struct fields){ f->endpoint->all_headers, f->endpoint->n_all_headers };
	return (struct fields){ f->provider->headers, f->provider->n_headers };
}

/* The type of a form names its boundary: nothing else can take its place, and without it the
 * provider would read another body than the router has. */
static bool
is_fixed(const struct forward_request *f, struct str name)
{
	return f->form && str_eq_nocase(name, STR("content-type"));
}

static bool
configured(const struct forward_request *f, struct str name)
{
	struct fields fields = fields_of(f);

	for (size_t i = 0; i < fields.n; i++)
		if (str_eq_nocase(fields.all[i].name, name))
			return !is_fixed(f, name);
	return false;
}

/* The client's credential field, or NULL. */
static const struct field *
client_credential(const struct head *h, enum dialect_id dialect)
{
	for (size_t i = dialect == DIALECT_ANTHROPIC ? 0 : 1; i < COUNT(credentials); i++) {
		const struct field *f = head_field(h, credentials[i]);

		if (f && f->value.len > 0 && !head_hop_by_hop(h, f->name))
			return f;
	}
	return NULL;
}

bool
forward_own_credential(const struct head *client, const struct conf_provider *provider,
	bool *missing)
{
	bool own = provider->credential == CREDENTIAL_PROVIDER ||
		(provider->credential == CREDENTIAL_CLIENT_OR_PROVIDER &&
			!client_credential(client, provider->dialect));

	*missing = provider->credential == CREDENTIAL_PROVIDER && provider->api_key.len == 0 &&
		provider->api_key_name.len > 0;
	return own && provider->api_key.len > 0;
}

/* A key in the way of that dialect. What the configuration says of a field wins over any
 * credential.
 */
static void
add_key(struct buf *out, const struct forward_request *f, struct str key)
{
	enum dialect_id dialect = f->provider->dialect;
	struct str name = dialect == DIALECT_ANTHROPIC ? STR("x-api-key")
		: dialect == DIALECT_GEMINI            ? STR("x-goog-api-key")
						       : STR("authorization");

	if (configured(f, name))
		return;
	add(out, name);
	add(out, STR(": "));
	if (str_eq(name, STR("authorization")))
		add(out, STR("Bearer "));
	add(out, key);
	add(out, STR("\r\n"));
}

/* The key that a client's field holds. */
static struct str
key_of(const struct field *field)
{
	struct str bearer = STR("bearer ");

	if (str_eq_nocase(field->name, STR("authorization")) &&
		str_eq_nocase(str_head(field->value, bearer.len), bearer))
		return str_trim(str_skip(field->value, bearer.len));
	return field->value;
}

static void
add_credential(struct buf *out, const struct forward_request *f)
{
	const struct conf_provider *p = f->provider;
	const struct field *field;
	bool missing;

	if (forward_own_credential(f->client, p, &missing)) {
		add_key(out, f, p->api_key);
	} else if (p->credential >= CREDENTIAL_CLIENT) {
		field = client_credential(f->client, p->dialect);
		if (field && f->translated)
			add_key(out, f, key_of(field));
		else if (field && !configured(f, field->name))
			forward_field(out, field->name, field->value);
	}
}

static void
add_request_line(struct buf *out, const struct forward_request *f)
{
	const struct conf_endpoint *e = f->endpoint;
	struct str queries[] = { f->provider->base_query, e ? e->query : STR(""),
		f->translated ? STR("") : f->client->query };
	struct str path = e && e->target.len > 0 ? e->target : f->path;
	struct str mark = str_index(path, '?') < path.len ? STR("&") : STR("?");

	add(out, e ? e->method_name : STR("POST"));
	add(out, STR(" "));
	add(out, f->provider->base_path);
	add(out, path);
	for (size_t i = 0; i < COUNT(queries); i++) {
		if (queries[i].len == 0)
			continue;
		add(out, mark);
		add(out, queries[i]);
		mark = STR("&");
	}
	add(out, STR(" HTTP/1.1\r\n"));
}

/* Does a client's field say something that this provider's dialect knows? */
static bool
crosses(const struct forward_request *f, struct str name)
{
	enum dialect_id dialect = f->provider->dialect;

	if (listed(passed, COUNT(passed), 0 PASSED(OR_BIT), name))
		return true;
	if (!f->translated)
		return begins(SENT_PREFIXES, name);
	return (dialect == DIALECT_ANTHROPIC &&
		       str_eq_nocase(str_head(name, 10), STR("anthropic-"))) ||
		(dialect == DIALECT_OPENAI && str_eq_nocase(str_head(name, 7), STR("openai-")));
}

/* The body was read as JSON: a client that calls it a form (curl does) is not believed. */
static bool
is_json(struct str content_type)
{
	struct str type = head_media_type(content_type);

	return str_eq_nocase(type, STR("application/json")) ||
		(type.len > 5 && str_eq_nocase(str_skip(type, type.len - 5), STR("+json")));
}

void
forward_request_head(struct buf *out, const struct forward_request *f)
{
	const struct conf_provider *p = f->provider;
	const struct head *h = f->client;
	struct fields fields = fields_of(f);
	bool version = false, type = false;

	add_request_line(out, f);
	add_field(out, STR("host: "), p->host_field);
	for (size_t i = 0; i < h->n; i++) {
		struct str name = h->fields[i].name;

		if (!crosses(f, name) || configured(f, name) ||
			(head_hop_by_hop(h, name) && !is_fixed(f, name)))
			continue;
		if (str_eq_nocase(name, STR("content-type"))) {
			if (type || !(f->form || is_json(h->fields[i].value)))
				continue;
			type = true;
		}
		forward_field(out, name, h->fields[i].value);
		version |= str_eq_nocase(name, STR("anthropic-version"));
	}
	for (size_t i = 0; i < fields.n; i++) {
		if (is_fixed(f, fields.all[i].name))
			continue;
		forward_field(out, fields.all[i].name, fields.all[i].value);
		version |= str_eq_nocase(fields.all[i].name, STR("anthropic-version"));
		type |= str_eq_nocase(fields.all[i].name, STR("content-type"));
	}
	if (p->dialect == DIALECT_ANTHROPIC && !version)
		add_field(out, STR("anthropic-version: "), p->version);
	if (!type)
		add(out, STR("content-type: application/json\r\n"));
	add_field(out, STR("accept-encoding: identity\r\nx-request-id: "), f->request_id);
	add_credential(out, f);
	add(out, STR("content-length: "));
	buf_u64(out, f->length, 1);
	add(out, STR("\r\n\r\n"));
}

static struct str
reason_of(unsigned status)
{
	static const struct {
		unsigned status;
		struct str reason;
	} reasons[] = {
		{ 200, STR_INIT("OK") },
		{ 204, STR_INIT("No Content") },
		{ 400, STR_INIT("Bad Request") },
		{ 401, STR_INIT("Unauthorized") },
		{ 403, STR_INIT("Forbidden") },
		{ 404, STR_INIT("Not Found") },
		{ 405, STR_INIT("Method Not Allowed") },
		{ 408, STR_INIT("Request Timeout") },
		{ 411, STR_INIT("Length Required") },
		{ 413, STR_INIT("Content Too Large") },
		{ 414, STR_INIT("URI Too Long") },
		{ 415, STR_INIT("Unsupported Media Type") },
		{ 417, STR_INIT("Expectation Failed") },
		{ 429, STR_INIT("Too Many Requests") },
		{ 431, STR_INIT("Request Header Fields Too Large") },
		{ 500, STR_INIT("Internal Server Error") },
		{ 501, STR_INIT("Not Implemented") },
		{ 502, STR_INIT("Bad Gateway") },
		{ 503, STR_INIT("Service Unavailable") },
		{ 504, STR_INIT("Gateway Timeout") },
		{ 505, STR_INIT("HTTP Version Not Supported") },
		{ 529, STR_INIT("Overloaded") },
	};

	for (size_t i = 0; i < COUNT(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return STR("");
}

/* The provider's fields that cross. */
static void
add_upstream_fields(struct buf *out, const struct forward_reply *f)
{
	const struct head *h = f->upstream;
	bool known = false;

	for (size_t i = 0; i < h->n; i++) {
		struct str name = h->fields[i].name, value = h->fields[i].value;
		bool id = str_eq_nocase(name, STR("x-request-id")) ||
			((f->translated || f->dialect == DIALECT_ANTHROPIC) &&
				str_eq_nocase(name, STR("request-id")));

		if (head_hop_by_hop(h, name))
			continue;
		if (id) {
			if (!known)
				add_field(out, STR("x-upstream-request-id: "), value);
			known = true;
			continue;
		}
		if (listed(dropped, COUNT(dropped), 0 DROPPED(OR_BIT), name) ||
			(f->translated && of_dialect(name)) ||
			(f->decoded && str_eq_nocase(name, STR("content-encoding"))))
			continue;
		forward_field(out, name, value);
	}
}

/* Microseconds as milliseconds with three decimals. */
static void
add_ms(struct buf *out, int64_t us)
{
	uint64_t n = us > 0 ? (uint64_t)us : 0;

	buf_u64(out, n / 1000, 1);
	add(out, STR("."));
	buf_u64(out, n % 1000, 3);
}

static void
add_timing(struct buf *out, const struct forward_reply *f)
{
	add(out, STR("server-timing: router;dur="));
	add_ms(out, f->router_us);
	if (f->upstream_us >= 0) {
		add(out, STR(", upstream;dur="));
		add_ms(out, f->upstream_us);
	}
	add(out, STR("\r\n"));
}

/* RFC 9110 6.6.1: a reply that came without a date gets one here. */
static void
add_date(struct buf *out)
{
	static char text[48];
	static time_t of;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm;

	if (now != of) {
		gmtime_r(&now, &tm);
		strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		of = now;
	}
	add_field(out, STR("date: "), str_of(text));
}

void
forward_reply_head(struct buf *out, const struct forward_reply *f)
{
	struct str reason = f->upstream ? f->upstream->reason : reason_of(f->status);

	add(out, STR("HTTP/1.1 "));
	buf_u64(out, f->status, 3);
	add(out, STR(" "));
	add(out, reason);
	add(out, STR("\r\n"));
	if (f->upstream)
		add_upstream_fields(out, f);
	if (!f->upstream || !head_field(f->upstream, STR("date")))
		add_date(out);
	if (f->stream && (!f->upstream || !head_field(f->upstream, STR("cache-control"))))
		add(out, STR("cache-control: no-cache\r\n"));
	if (f->stream && (!f->upstream || !head_field(f->upstream, STR("x-accel-buffering"))))
		add(out, STR("x-accel-buffering: no\r\n"));
	add_field(out, STR("x-request-id: "), f->request_id);
	if (f->dialect == DIALECT_ANTHROPIC)
		add_field(out, STR("request-id: "), f->request_id);
	if (f->provider.len > 0)
		add_field(out, STR("x-api-router-provider: "), f->provider);
	if (f->model.len > 0 && f->model.len <= MODEL_MOST && head_value_valid(f->model))
		add_field(out, STR("x-api-router-model: "), f->model);
	if (f->left_out.len > 0)
		add_field(out, STR("x-api-router-dropped: "), f->left_out);
	add_timing(out, f);
}
