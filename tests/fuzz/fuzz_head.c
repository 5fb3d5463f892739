/*
 * Fuzzes http/head. The first byte chooses between a request and a reply, the second where the
 * bytes are cut; the rest is the head. What must hold: the end of a head does not depend on how the
 * bytes came; what is accepted has, counted by plain means, one Host and at most one field that
 * frames the body; written out anew it reads the same.
 */
#include "http/head.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 32
#define HEAD_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
	struct field fields[FIELDS_MAX];
	struct head h;
	struct head_framing f;
	enum head_fault fault;
};

static long
end_in_steps(struct str in, size_t step, enum head_fault *fault)
{
	size_t scanned = 0;
	long end = 0;

	for (size_t len = 0; end == 0 && len < in.len;) {
		len += step;
		end = head_end(str_head(in, len), HEAD_MAX, &scanned, fault);
		assert(scanned <= in.len);
	}
	return end;
}

/* The whole in a block of its own, so that a sanitizer sees a byte read behind it. */
static long
find_end(struct str in, size_t cut)
{
	enum head_fault whole = HEAD_OK, bytes = HEAD_OK, pieces = HEAD_OK;
	size_t scanned = 0;
	long end = in.len == 0 ? 0 : head_end(in, HEAD_MAX, &scanned, &whole);

	assert(end_in_steps(in, 1, &bytes) == end && bytes == whole);
	assert(end_in_steps(in, cut + 1, &pieces) == end && pieces == whole);
	assert((end < 0) == (whole != HEAD_OK));
	if (end > 2) {
		assert((size_t)end <= in.len && end <= HEAD_MAX);
		assert(str_find(in, STR("\r\n\r\n")) == (size_t)end - 4);
	}
	return end;
}

static int
read_head(struct reading *r, struct str whole, bool request, struct str method)
{
	r->h = (struct head){ .fields = r->fields, .cap = FIELDS_MAX };
	r->fault = HEAD_OK;
	if (request)
		return head_parse_request(&r->h, whole, &r->fault) != 0 ||
			head_framing_request(&r->h, &r->f, &r->fault);
	return head_parse_reply(&r->h, whole, &r->fault) != 0 ||
		head_framing_reply(&r->h, method, &r->f, &r->fault);
}

/* Lines that begin with `name` and a colon, case aside. */
static size_t
count_lines(struct str whole, struct str name)
{
	size_t n = 0;

	for (struct str rest = whole; rest.len > 0;
		rest = str_skip(rest, str_index(rest, '\n') + 1))
		if (str_eq_nocase(str_head(rest, name.len), name) &&
			str_starts(str_skip(rest, name.len), STR(":")))
			n++;
	return n;
}

static void
check_fields(const struct head *h, struct str whole)
{
	for (size_t i = 0; i < h->n; i++) {
		struct field f = h->fields[i];
		assert(f.name.p >= whole.p && f.value.p + f.value.len <= whole.p + whole.len);
		assert(head_token_valid(f.name) && head_value_valid(f.value));
		assert(head_field(h, f.name) <= &h->fields[i]);
	}
}

static void
check_request(const struct reading *r, struct str whole)
{
	size_t hosts = count_lines(whole, STR("host")),
	       lengths = count_lines(whole, STR("content-length"));
	size_t codings = count_lines(whole, STR("transfer-encoding"));
	char *out = malloc(r->h.path.len);

	assert(hosts == 1 || (hosts == 0 && r->h.minor == 0));
	assert(lengths + codings <= 1);
	assert((r->f.kind == FRAMING_LENGTH) == (lengths == 1) &&
		(r->f.kind == FRAMING_CHUNKED) == (codings == 1));
	assert(r->f.kind != FRAMING_CLOSE && (codings == 0 || r->h.minor == 1));
	assert(r->h.path.len > 0 && (r->h.path.p[0] == '/' || str_eq(r->h.path, STR("*"))));
	assert(r->h.path.len + r->h.query.len <= r->h.target.len + 1);
	long len = head_path_decode(r->h.path, out);
	assert(len <= (long)r->h.path.len);
	assert(len < 3 || str_find((struct str){ out, (size_t)len }, STR("/../")) == (size_t)len);
	free(out);
}

static void
check_reply(const struct reading *r, struct str whole, struct str method)
{
	assert(r->h.status >= 100 && r->h.status <= 599 && r->h.status != 101);
	assert(count_lines(whole, STR("content-length")) == 0 ||
		count_lines(whole, STR("transfer-encoding")) == 0);
	if (str_eq(method, STR("HEAD")) || r->h.status < 200 || r->h.status == 204 ||
		r->h.status == 304)
		assert(r->f.kind == FRAMING_NONE);
	assert(r->f.kind != FRAMING_CLOSE || !r->f.keep_alive);
	assert(r->f.length == 0 || r->f.kind == FRAMING_LENGTH);
}

static size_t
append(char *out, size_t at, struct str s)
{
	if (s.len > 0)
		memcpy(out + at, s.p, s.len);
	return at + s.len;
}

/* The head written out from its parts, read again. */
static void
check_again(const struct reading *r, struct str whole, bool request, struct str method)
{
	static struct reading again;
	char *out = malloc(whole.len + r->h.n + 64);
	size_t at = 0;

	if (request) {
		at = append(out, at, r->h.method);
		at = append(out, at, STR(" "));
		at = append(out, at, r->h.target);
		at = append(out, at, r->h.minor == 0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
	} else {
		at += (size_t)snprintf(out, 32, "HTTP/1.%u %u ", r->h.minor, r->h.status);
		at = append(out, at, r->h.reason);
		at = append(out, at, STR("\r\n"));
	}
	for (size_t i = 0; i < r->h.n; i++) {
		at = append(out, at, r->h.fields[i].name);
		at = append(out, at, STR(": "));
		at = append(out, at, r->h.fields[i].value);
		at = append(out, at, STR("\r\n"));
	}
	at = append(out, at, STR("\r\n"));
	assert(read_head(&again, (struct str){ out, at }, request, method) == 0);
	assert(again.f.kind == r->f.kind && again.f.length == r->f.length &&
		again.f.keep_alive == r->f.keep_alive);
	assert(again.f.expect_continue == r->f.expect_continue && again.h.n == r->h.n);
	assert(str_eq(again.h.path, r->h.path) && str_eq(again.h.query, r->h.query));
	assert(str_eq(again.h.reason, r->h.reason));
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reading r;

	if (size < 2)
		return 0;
	bool request = (data[0] & 1) == 0;
	struct str method = (data[0] & 2) != 0 ? STR("HEAD") : STR("POST");
	char *copy = malloc(size - 2);
	struct str in = { copy, size - 2 };
	if (in.len > 0)
		memcpy(copy, data + 2, in.len);
	long end = find_end(in, data[1]);
	/* The parsers hold without head_end as well. */
	struct str whole = end > 0 ? str_head(in, (size_t)end) : in;
	if (read_head(&r, whole, request, method) == 0) {
		check_fields(&r.h, whole);
		if (request)
			check_request(&r, whole);
		else
			check_reply(&r, whole, method);
		check_again(&r, whole, request, method);
	} else {
		assert(head_fault_status(r.fault) >= 400 && strlen(head_fault_text(r.fault)) > 0);
	}
	free(copy);
	return 0;
}
