/*
 * head: the head of an HTTP/1.1 message, strictly by RFC 9110 and RFC 9112.
 *
 * Owns nothing: every function is pure, all slices point into the caller's bytes. The client side
 * of the proxy reads requests with it, the upstream side replies; both then ask for the framing of
 * the body.
 *
 *     head_leading -> head_end (until the empty line is there) -> head_parse_* -> head_framing_*
 *
 * What can fail: anything that two readers could understand in two ways is refused by name
 * (head_fault.def) and never mended, since a mended message is how one request becomes two. The
 * parsers check every byte again and so do not depend on head_end having been asked. After any
 * fault the connection has no known message boundary: the caller answers and closes.
 */
#include "http/head.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "base/octets.h"

/* Sets of ASCII characters, a bit each. */
#define BIT(c) (UINT64_C(1) << ((c) % 64))
#define DIGITS (UINT64_C(0x3ff) << ('0' % 64))
#define LETTERS ((UINT64_C(0x3ffffff) << ('A' % 64)) | (UINT64_C(0x3ffffff) << ('a' % 64)))

/* tchar, RFC 9110 5.6.2 */
static const uint64_t token_set[2] = { DIGITS | BIT('!') | BIT('#') | BIT('$') | BIT('%') |
		BIT('&') | BIT('\'') | BIT('*') | BIT('+') | BIT('-') | BIT('.'),
	LETTERS | BIT('^') | BIT('_') | BIT('`') | BIT('|') | BIT('~') };
/* unreserved, RFC 3986 2.3: all that stands in the host names of this world */
static const uint64_t host_set[2] = { DIGITS | BIT('-') | BIT('.'), LETTERS | BIT('_') | BIT('~') };

/* How many bytes at the front of `s` are in the set? */
static size_t
run_of(struct str s, const uint64_t set[2])
{
	size_t i = 0;

	while (i < s.len && (unsigned char)s.p[i] < 128 &&
		(set[(unsigned char)s.p[i] / 64] & BIT((unsigned char)s.p[i])) != 0)
		i++;
	return i;
}

/* How many bytes at the front of `s` are of a token? Most names are letters and hyphens. */
static size_t
token_run(struct str s)
{
	size_t i = 0;

	while (s.len - i >= sizeof(bytes16)) {
		bytes16 v = octets_load(s.p + i);
		uint64_t other = ~octets_bits(((octets16)(v | 0x20) - 'a' < 26) | (v == '-'));
		size_t run = (size_t)__builtin_ctzll(other);

		i += run;
		if (run < sizeof v) {
			if (s.p[i] == ':' || run_of((struct str){ s.p + i, 1 }, token_set) == 0)
				return i;
			i++;
		}
	}
	return i + run_of(str_skip(s, i), token_set);
}

/* Is `s` not empty and every byte in the set? */
static bool
all_of(struct str s, const uint64_t set[2])
{
	return s.len > 0 && run_of(s, set) == s.len;
}

static bool
is_control(char byte)
{
	unsigned char c = (unsigned char)byte;

	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The first control byte (TAB is none) from `p` on, or `end`. */
static inline const char *
plain_end(const char *p, const char *end)
{
	for (; end - p >= (ptrdiff_t)sizeof(bytes16); p += sizeof(bytes16)) {
		bytes16 v = octets_load(p);
		uint64_t found = octets_bits((((octets16)v < 0x20) & (v != '\t')) | (v == 0x7f));
		if (found != 0)
			return p + __builtin_ctzll(found);
	}
	while (p < end && !is_control(*p))
		p++;
	return p;
}

static bool
is_plain(struct str s)
{
	return s.len == 0 || plain_end(s.p, s.p + s.len) == s.p + s.len;
}

static int
refuse(enum head_fault *fault, enum head_fault why)
{
	*fault = why;
	return -1;
}

size_t
head_leading(struct str in)
{
	return str_starts(in, STR("\r\n")) ? 2 : 0;
}

long
head_end(struct str in, size_t max, size_t *scanned, enum head_fault *fault)
{
	struct str view = str_head(in, max);
	const char *p = in.p, *end = in.p;

	if (in.len == 0)
		return 0;
	assert(*scanned <= view.len);
	p += *scanned;
	end += view.len;
	while ((p = plain_end(p, end)) < end) {
		if (*p != '\r')
			return refuse(fault, *p == '\n' ? HEAD_BARE_LF : HEAD_CONTROL);
		if (p + 1 == end)
			break;
		if (p[1] != '\n')
			return refuse(fault, HEAD_BARE_CR);
		if (p == in.p || p[-1] == '\n')
			return p + 2 - in.p;
		p += 2;
	}
	*scanned = (size_t)(p - in.p);
	if (in.len < max)
		return 0;
	/* The first line alone fills it: the target is what is too long (RFC 9112 3). */
	return refuse(fault,
		str_index(view, '\n') == view.len ? HEAD_TARGET_TOO_LONG : HEAD_TOO_LARGE);
}

/* "HTTP/1.x", where any x from 1 up is spoken to as 1.1 (RFC 9110 2.5). `shape` is the fault of
 * what is no version at all. */
static int
version_read(struct str text, unsigned *minor, enum head_fault shape, enum head_fault *fault)
{
	uint64_t high, low;

	if (text.len != 8 || !str_starts(text, STR("HTTP/")) || text.p[6] != '.' ||
		str_u64((struct str){ text.p + 5, 1 }, &high) != 0 ||
		str_u64((struct str){ text.p + 7, 1 }, &low) != 0)
		return refuse(fault, shape);
	if (high != 1)
		return refuse(fault, HEAD_VERSION);
	*minor = low > 0;
	return 0;
}

static bool
port_valid(struct str text)
{
	uint64_t port;

	return text.len == 0 || (text.len <= 5 && str_u64(text, &port) == 0 && port <= 65535);
}

static bool
ipv6_valid(struct str text)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (text.len >= sizeof copy || memchr(text.p, '\0', text.len) != NULL)
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	return inet_pton(AF_INET6, copy, &address) == 1;
}

/* uri-host [ ":" port ] of RFC 9110 7.2, not empty, without user information and without percent
 * escapes. */
static bool
host_valid(struct str text)
{
	size_t end;

	if (str_starts(text, STR("["))) {
		end = str_index(text, ']');
		if (end == text.len || !ipv6_valid((struct str){ text.p + 1, end - 1 }))
			return false;
		end++;
	} else {
		end = str_index(text, ':');
		if (!all_of(str_head(text, end), host_set))
			return false;
	}
	return end == text.len || (text.p[end] == ':' && port_valid(str_skip(text, end + 1)));
}

static void
target_split(struct head *h, struct str local)
{
	size_t mark = str_index(local, '?');

	h->path = str_head(local, mark);
	if (h->path.len == 0)
		h->path = STR("/");
	if (mark < local.len)
		h->query = str_skip(local, mark + 1);
}

/* Scheme and authority of an absolute-form target (RFC 9112 3.2.2). */
static int
absolute_read(struct head *h)
{
	struct str target = h->target;
	size_t from = str_find(str_head(target, 8), STR("://")) + 3, end;
	struct str scheme = str_head(target, from);

	if (!str_eq_nocase(scheme, STR("http://")) && !str_eq_nocase(scheme, STR("https://")))
		return -1;
	for (end = from; end < target.len && target.p[end] != '/' && target.p[end] != '?'; end++)
		;
	h->authority = (struct str){ target.p + from, end - from };
	target_split(h, str_skip(target, end));
	return host_valid(h->authority) ? 0 : -1;
}

static int
target_read(struct head *h)
{
	struct str target = h->target;
	size_t i = 0;

	for (; target.len - i >= sizeof(bytes16); i += sizeof(bytes16)) {
		bytes16 v = octets_load(target.p + i); /* signed: from 0x80 on they are below ' ' */
		if (octets_bits((v <= ' ') | (v == 0x7f) | (v == '#')) != 0)
			return -1;
	}
	for (; i < target.len; i++)
		if (target.p[i] <= ' ' || target.p[i] >= 0x7f || target.p[i] == '#')
			return -1;
	/* CONNECT alone has the authority-form; nothing is tunnelled here. */
	if (str_eq(h->method, STR("CONNECT")))
		return -1;
	if (str_eq(target, STR("*"))) {
		h->path = target;
		return str_eq(h->method, STR("OPTIONS")) ? 0 : -1;
	}
	if (str_starts(target, STR("/"))) {
		target_split(h, target);
		return 0;
	}
	return absolute_read(h);
}

static int
request_line_read(struct head *h, struct str line, enum head_fault *fault)
{
	size_t space = str_index(line, ' ');
	struct str rest = str_skip(line, space + 1);
	size_t second = str_index(rest, ' ');

	if (space == line.len || second == rest.len)
		return refuse(fault, HEAD_START_LINE);
	h->method = str_head(line, space);
	h->target = str_head(rest, second);
	if (!head_token_valid(h->method))
		return refuse(fault, HEAD_METHOD);
	/* Before the target, so that the preface of HTTP/2 ("PRI * HTTP/2.0") is told its version.
	 */
	if (version_read(str_skip(rest, second + 1), &h->minor, HEAD_START_LINE, fault) != 0)
		return -1;
	if (target_read(h) != 0)
		return refuse(fault, HEAD_TARGET);
	return 0;
}

/* Servers leave out the reason, and some with it the space before it (RFC 9112 4 asks for the
 * space). */
static int
status_line_read(struct head *h, struct str line, enum head_fault *fault)
{
	uint64_t status;

	if (version_read(str_head(line, 8), &h->minor, HEAD_STATUS_LINE, fault) != 0)
		return -1;
	if (line.len < 12 || line.p[8] != ' ' ||
		str_u64((struct str){ line.p + 9, 3 }, &status) != 0 || status < 100 ||
		status > 599 || (line.len > 12 && line.p[12] != ' '))
		return refuse(fault, HEAD_STATUS_LINE);
	h->status = (unsigned)status;
	h->reason = str_skip(line, 13);
	if (!is_plain(h->reason))
		return refuse(fault, HEAD_STATUS_LINE);
	return 0;
}

/* Refuses the line at the front of `rest`, which ends in LF: for its end, where that is at fault.
 */
static int
refuse_line(struct str rest, enum head_fault *fault, enum head_fault why)
{
	size_t lf = str_index(rest, '\n');

	return refuse(fault, lf == 0 || rest.p[lf - 1] != '\r' ? HEAD_BARE_LF : why);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes a field off the front of `rest`, which ends in CRLF: so whatever looks for what is no name,
 * no blank or no value finds an end. */
static int
field_read(struct field *f, struct str *rest, enum head_fault *fault)
{
	const char *last = rest->p + rest->len, *p = rest->p, *end;
	size_t name = token_run(*rest);

	if (name == 0 || p[name] != ':')
		return refuse_line(*rest, fault, is_blank(*p) ? HEAD_OBS_FOLD : HEAD_FIELD_NAME);
	f->name = (struct str){ p, name };
	for (p += name + 1; is_blank(*p); p++)
		;
	end = plain_end(p, last);
	if (end[0] != '\r' || end[1] != '\n')
		return refuse_line(*rest, fault, HEAD_FIELD_VALUE);
	*rest = (struct str){ end + 2, (size_t)(last - end) - 2 };
	while (end > p && is_blank(end[-1]))
		end--;
	f->value = (struct str){ p, (size_t)(end - p) };
	return 0;
}

/* The bits of all that is in Connection fields. */
static uint64_t
connection_bits(const struct head *h)
{
	struct str name = STR("connection");
	uint64_t bits = 0;

	for (const struct field *f = head_field(h, name); f != NULL; f = head_after(h, f, name)) {
		struct str rest = f->value, item;
		while (str_list_next(&rest, &item))
			bits |= head_bit(item);
	}
	return bits;
}

static int
head_read(struct head *h, struct str whole, enum head_fault *fault, enum head_fault shape,
	int (*first_line)(struct head *, struct str, enum head_fault *))
{
	struct str rest;
	size_t lf;
	uint64_t seen = 0, again = 0;

	*h = (struct head){ .fields = h->fields, .cap = h->cap };
	if (whole.len < 4 || memcmp(whole.p + whole.len - 4, "\r\n\r\n", 4) != 0)
		return refuse(fault, shape);
	rest = str_head(whole, whole.len - 2);
	lf = str_index(rest, '\n');
	if (lf == 0 || rest.p[lf - 1] != '\r')
		return refuse(fault, HEAD_BARE_LF);
	if (first_line(h, str_head(rest, lf - 1), fault) != 0)
		return -1;
	rest = str_skip(rest, lf + 1);
	while (rest.len > 0) {
		if (h->n == h->cap)
			return refuse_line(rest, fault, HEAD_TOO_MANY);
		if (field_read(&h->fields[h->n], &rest, fault) != 0)
			return -1;
		uint64_t bit = head_bit(h->fields[h->n++].name);
		again |= seen & bit;
		seen |= bit;
	}
	h->absent = ~seen;
	h->single = ~again;
	h->unnamed = ~connection_bits(h);
	return 0;
}

int
head_parse_request(struct head *h, struct str whole, enum head_fault *fault)
{
	return head_read(h, whole, fault, HEAD_START_LINE, request_line_read);
}

int
head_parse_reply(struct head *h, struct str whole, enum head_fault *fault)
{
	return head_read(h, whole, fault, HEAD_STATUS_LINE, status_line_read);
}

/* Apart: it is reached from many places, and seldom. */
__attribute__((noinline)) const struct field *
head_from(const struct head *h, size_t i, struct str name)
{
	for (; i < h->n; i++)
		if (str_eq_nocase(h->fields[i].name, name))
			return &h->fields[i];
	return NULL;
}

/* Is `token` in the lists of all Connection fields? */
static bool
connection_lists(const struct head *h, struct str token)
{
	struct str name = STR("connection");

	for (const struct field *f = head_field(h, name); f != NULL; f = head_after(h, f, name)) {
		struct str rest = f->value, item;
		while (rest.len >= token.len && str_list_next(&rest, &item))
			if (str_eq_nocase(item, token))
				return true;
	}
	return false;
}

static inline bool
connection_has(const struct head *h, struct str token)
{
	return (h->unnamed & head_bit(token)) == 0 && connection_lists(h, token);
}

#define HOP_BY_HOP(each)                                                                           \
	each("connection") each("keep-alive") each("te") each("trailer") each("transfer-encoding") \
		each("upgrade")
#define ITEM(name) STR_INIT(name),
#define OR_BIT(name) | HEAD_BIT(name)

bool
head_hop_by_hop(const struct head *h, struct str name)
{
	static const struct str own[] = { HOP_BY_HOP(ITEM) };

	if ((head_bit(name) & (0 HOP_BY_HOP(OR_BIT))) != 0)
		for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
			if (str_eq_nocase(name, own[i]))
				return true;
	if (str_eq_nocase(str_head(name, 6), STR("proxy-")))
		return true;
	return connection_has(h, name);
}

/* HTTP/1.1 stays open unless told to close; HTTP/1.0 closes unless told to stay (RFC 9112 9.3). */
static bool
keeps_alive(const struct head *h)
{
	if (connection_has(h, STR("close")))
		return false;
	return h->minor > 0 || connection_has(h, STR("keep-alive"));
}

/* RFC 9112 6.1. Chunked over anything else would have to be undone here, and two readers may differ
 * over what is the last coding. */
static int
coding_read(const struct head *h, bool *chunked, enum head_fault *fault)
{
	struct str name = STR("transfer-encoding");
	const struct field *f = head_field(h, name);

	*chunked = f != NULL;
	if (f == NULL)
		return 0;
	if (h->minor == 0)
		return refuse(fault, HEAD_CODING_IN_10);
	if (head_field(h, STR("content-length")) != NULL)
		return refuse(fault, HEAD_LENGTH_AND_CODING);
	if (head_after(h, f, name) != NULL || !str_eq_nocase(f->value, STR("chunked")))
		return refuse(fault, HEAD_CODING);
	return 0;
}

/* 1*DIGIT up to 2^63-1, so that sums of it with what else counts bytes cannot wrap. */
static int
length_read(struct str text, uint64_t *length)
{
	return str_u64(text, length) == 0 && *length <= INT64_MAX ? 0 : -1;
}

/* Each number in a field must be the same one (RFC 9110 8.6 lets a recipient take "5, 5" for 5). */
static int
lengths_equal(struct str list, uint64_t length)
{
	while (list.len > 0) {
		size_t comma = str_index(list, ',');
		uint64_t other;
		if (length_read(str_trim(str_head(list, comma)), &other) != 0 || other != length)
			return -1;
		if (comma + 1 == list.len)
			return -1;
		list = str_skip(list, comma + 1);
	}
	return 0;
}

static int
host_check(const struct head *h, enum head_fault *fault)
{
	struct str name = STR("host");
	const struct field *f = head_field(h, name);

	if (f == NULL)
		return h->minor == 0 ? 0 : refuse(fault, HEAD_HOST);
	if (head_after(h, f, name) != NULL || !host_valid(f->value))
		return refuse(fault, HEAD_HOST);
	return 0;
}

static int
expect_read(const struct head *h, bool *expected, enum head_fault *fault)
{
	struct str name = STR("expect");

	*expected = false;
	for (const struct field *f = head_field(h, name); f != NULL; f = head_after(h, f, name)) {
		struct str rest = f->value, item;
		while (str_list_next(&rest, &item)) {
			if (!str_eq_nocase(item, STR("100-continue")))
				return refuse(fault, HEAD_EXPECT);
			*expected = true;
		}
	}
	return 0;
}

int
head_framing_request(const struct head *h, struct head_framing *f, enum head_fault *fault)
{
	struct str name = STR("content-length");
	const struct field *length = head_field(h, name);
	bool chunked, expected;

	*f = (struct head_framing){ .kind = FRAMING_NONE, .keep_alive = keeps_alive(h) };
	if (host_check(h, fault) != 0 || coding_read(h, &chunked, fault) != 0)
		return -1;
	if (chunked)
		f->kind = FRAMING_CHUNKED;
	if (length != NULL) {
		if (head_after(h, length, name) != NULL ||
			length_read(length->value, &f->length) != 0)
			return refuse(fault, HEAD_LENGTH);
		f->kind = FRAMING_LENGTH;
	}
	if (expect_read(h, &expected, fault) != 0)
		return -1;
	/* RFC 9110 10.1.1: nobody waits for it in HTTP/1.0 or without a body. */
	f->expect_continue = expected && h->minor > 0 && (chunked || f->length > 0);
	return 0;
}

static int
reply_length_read(const struct head *h, struct head_framing *f)
{
	struct str name = STR("content-length");
	const struct field *length = head_field(h, name);

	if (length == NULL)
		return 0;
	f->kind = FRAMING_LENGTH;
	if (length_read(length->value, &f->length) == 0 && head_after(h, length, name) == NULL)
		return 0; /* nearly always */
	if (length_read(str_trim(str_head(length->value, str_index(length->value, ','))),
		    &f->length) != 0)
		return -1;
	for (; length != NULL; length = head_after(h, length, name))
		if (length->value.len == 0 || lengths_equal(length->value, f->length) != 0)
			return -1;
	return 0;
}

int
head_framing_reply(const struct head *h, struct str method, struct head_framing *f,
	enum head_fault *fault)
{
	bool chunked;

	*f = (struct head_framing){ .kind = FRAMING_CLOSE, .keep_alive = keeps_alive(h) };
	if (h->status == 101)
		return refuse(fault, HEAD_SWITCH);
	if (coding_read(h, &chunked, fault) != 0)
		return -1;
	if (chunked)
		f->kind = FRAMING_CHUNKED;
	if (reply_length_read(h, f) != 0)
		return refuse(fault, HEAD_LENGTH);
	if (h->status < 200 || h->status == 204) {
		/* A body is announced where none may be: what follows on this connection is not
		 * known to be a reply. */
		if (chunked || f->length > 0)
			f->keep_alive = false;
		f->kind = FRAMING_NONE;
	} else if (h->status == 304 || str_eq(method, STR("HEAD"))) {
		f->kind = FRAMING_NONE;
	}
	if (f->kind == FRAMING_NONE)
		f->length = 0;
	if (f->kind == FRAMING_CLOSE)
		f->keep_alive = false;
	return 0;
}

struct str
head_media_type(struct str content_type)
{
	return str_trim(str_head(content_type, str_index(content_type, ';')));
}

unsigned
head_fault_status(enum head_fault fault)
{
	static const unsigned statuses[] = {
		[HEAD_OK] = 200,
#define HEAD_FAULT(name, status, text) [HEAD_##name] = status,
#include "http/head_fault.def"
#undef HEAD_FAULT
	};

	return statuses[fault];
}

const char *
head_fault_text(enum head_fault fault)
{
	static const char *const texts[] = {
		[HEAD_OK] = "the head is in order",
#define HEAD_FAULT(name, status, text) [HEAD_##name] = text,
#include "http/head_fault.def"
#undef HEAD_FAULT
	};

	return texts[fault];
}

bool
head_value_valid(struct str value)
{
	return is_plain(value) && str_trim(value).len == value.len;
}

bool
head_token_valid(struct str name)
{
	return name.len > 0 && token_run(name) == name.len;
}

int
head_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The value of the two hex digits at the front of `s`, or -1. */
static int
escape_read(struct str s)
{
	int high = s.len >= 2 ? head_hex_value(s.p[0]) : -1;
	int low = s.len >= 2 ? head_hex_value(s.p[1]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Length of what some server may take for the end of a segment: a slash, a backslash, or a slash
 * that stayed escaped. */
static size_t
separator_len(struct str s)
{
	if (str_starts(s, STR("/")) || str_starts(s, STR("\\")))
		return 1;
	return str_eq_nocase(str_head(s, 3), STR("%2f")) ? 3 : 0;
}

static bool
has_dot_segment(struct str path)
{
	size_t start = 0, at = 0;

	if (str_index(path, '.') == path.len)
		return false;
	for (;;) {
		size_t len = separator_len(str_skip(path, at));
		if (at < path.len && len == 0) {
			at++;
			continue;
		}
		struct str segment = str_head(str_skip(path, start), at - start);
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
			return true;
		if (at == path.len)
			return false;
		start = at += len;
	}
}

long
head_path_decode(struct str path, char *out)
{
	size_t n = str_index(path, '%');

	if (!is_plain(str_head(path, n)))
		return -1;
	if (n > 0)
		memcpy(out, path.p, n);
	for (size_t i = n; i < path.len; i++) {
		int byte = path.p[i];
		if (byte == '%') {
			byte = escape_read(str_skip(path, i + 1));
			if (byte < 0)
				return -1;
			if (byte == '/') {
				memcpy(out + n, path.p + i, 2);
				n += 2;
				byte = path.p[i + 2];
			}
			i += 2;
		}
		if (is_control((char)byte))
			return -1;
		out[n++] = (char)byte;
	}
	return has_dot_segment((struct str){ out, n }) ? -1 : (long)n;
}
