/*
 * head: the head of an HTTP/1.1 message (RFC 9110, RFC 9112), parsed strictly and without I/O or
 * allocation. All slices point into the input.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/str.h"

struct field {
	struct str name, value; /* value without surrounding white space */
};

/* Why a head was refused; HEAD_OK is 0. Each has a status and a sentence for the peer
 * (head_fault_status, head_fault_text). */
enum head_fault {
	HEAD_OK,
#define HEAD_FAULT(name, status, text) HEAD_##name,
#include "http/head_fault.def"
#undef HEAD_FAULT
};

struct head {
	/* request */
	struct str method, target;
	struct str path;      /* of the target, absolute-form reduced to its path; "/" when empty */
	struct str query;     /* without "?"; p is NULL when the target has none */
	struct str authority; /* of an absolute-form target, else empty; it stands in for Host */
	/* reply */
	unsigned status;
	struct str reason;
	/* both */
	unsigned minor;       /* HTTP/1.minor: 0 or 1; a higher minor is read as 1 */
	struct field *fields; /* the caller's array */
	size_t n, cap;
	/* bits (head_bit) that no field's name has, that no two have, and that nothing has which is
	   in a Connection field; 0: not known */
	uint64_t absent, single, unnamed;
};

/* The bit of a name in a set of names: by its length and its first letter. One that is not in the
 * set may have the bit of one that is. HEAD_BIT is that of a literal in small letters. */
#define HEAD_BIT(name) (UINT64_C(1) << ((sizeof(name) - 1) * 7 + (name)[0]) % 64)
static inline uint64_t
head_bit(struct str name)
{
	unsigned first = name.len > 0 ? (unsigned char)name.p[0] | 0x20 : 0;

	return UINT64_C(1) << ((name.len * 7 + first) % 64);
}

/* What frames the body after a head (RFC 9112 6.3). */
enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct head_framing {
	enum framing kind;
	uint64_t length;      /* for FRAMING_LENGTH, at most 2^63-1; else 0 */
	bool keep_alive;      /* by version and Connection tokens; false for FRAMING_CLOSE */
	bool expect_continue; /* requests only: HTTP/1.1 asks for 100-continue before a body */
};

/*
 * Find the end of a head in the bytes read so far. *scanned (start at 0) remembers how far earlier
 * calls looked. Returns the length of the head with its empty line, 0 when more is needed, or -1
 * with *fault: a bare LF, a CR without LF, a NUL or a control byte is refused as soon as it is
 * seen, and a head over `max` bytes is HEAD_TOO_LARGE, or HEAD_TARGET_TOO_LONG when its first line
 * alone is. At most one leading CRLF before a request line is the caller's to skip (RFC 9112 2.2;
 * head_leading).
 */
long head_end(struct str in, size_t max, size_t *scanned, enum head_fault *fault);
/* How many bytes of CRLF to skip before a request line (0 or 2). */
size_t head_leading(struct str in);

/*
 * Parse a whole head as found by head_end. 0, or -1 with *fault. More fields than h->cap is
 * HEAD_TOO_MANY. h->fields and h->cap are the caller's to set; all else is filled in. A request
 * with the method CONNECT is HEAD_TARGET: only it has an authority-form target.
 */
int head_parse_request(struct head *h, struct str whole, enum head_fault *fault);
int head_parse_reply(struct head *h, struct str whole, enum head_fault *fault);

/*
 * Decide the framing. For a request: TE with CL, two lengths, a coding other than chunked last and
 * alone, TE with HTTP/1.0, missing or repeated or invalid Host, an Expect other than 100-continue
 * are faults. A host is host[:port]: letters, digits, "-._~" or an IPv6 address in brackets. For a
 * reply to `method`: no body for HEAD, 1xx, 204, 304; the same length more than once is one length
 * (RFC 9110 8.6); 101 is a fault.
 */
int head_framing_request(const struct head *h, struct head_framing *f, enum head_fault *fault);
int head_framing_reply(const struct head *h, struct str method, struct head_framing *f,
	enum head_fault *fault);

/* For head_field and head_after: the first of that name from field `i` on. */
const struct field *head_from(const struct head *h, size_t i, struct str name);
/* First field of that name (case does not matter), or NULL. */
static inline const struct field *
head_field(const struct head *h, struct str name)
{
	return (h->absent & head_bit(name)) != 0 ? NULL : head_from(h, 0, name);
}
/* The next after `f`, or NULL. */
static inline const struct field *
head_after(const struct head *h, const struct field *f, struct str name)
{
	return (h->single & head_bit(name)) != 0 ? NULL
						 : head_from(h, (size_t)(f - h->fields) + 1, name);
}
/* Its value, or an empty slice with p NULL. */
static inline struct str
head_value(const struct head *h, struct str name)
{
	const struct field *f = head_field(h, name);

	return f == NULL ? (struct str){ NULL, 0 } : f->value;
}
/* Is `name` hop-by-hop: one of RFC 9110 7.6.1's own, Trailer, Proxy-*, or named by a Connection
 * field of this head? */
bool head_hop_by_hop(const struct head *h, struct str name);
/* Media type without parameters, spaces trimmed, as sent: "Text/Event-Stream; charset=x" is
 * "Text/Event-Stream". */
struct str head_media_type(struct str content_type);

unsigned head_fault_status(enum head_fault fault);
const char *head_fault_text(enum head_fault fault);

/* Is every byte visible ASCII or an inner space or tab, or obs-text: can it stand as a field value?
 * An empty one can. */
bool head_value_valid(struct str value);
/* Is it a token (RFC 9110 5.6.2)? */
bool head_token_valid(struct str name);
/* The value of a hex digit of either case, or -1. */
int head_hex_value(char c);

/*
 * Percent-decode a path into `out` (at least path.len bytes): "%2F" in it stays as text. Returns
 * the decoded length, or -1 for a broken escape, a control byte (NUL, CR and LF among them), or a
 * "." or ".." segment; for that a backslash and a "%2F" end a segment too.
 */
long head_path_decode(struct str path, char *out);

#endif
