/*
 * body: where the body of an HTTP/1.1 message ends (RFC 9112 6 and 7), read as it arrives.
 *
 * Owns nothing: a pure state machine over the input, called by the client side for requests and by
 * the upstream side for replies. Only broken framing can fail; the connection then has no known
 * message boundary, and the caller closes it.
 *
 * Nothing is copied but by body_join: a provider sends each event of a stream as a chunk of its
 * own, and many come in one read. Their data is moved together, over the framing between them,
 * which costs less than all that would be done for each alone.
 *
 *     SIZE -CR-> SIZE_LF -LF-> DATA (size above 0) -size bytes-> DATA_CR -CR-> DATA_LF -LF-> SIZE
 *      |          ^    \-LF-> TRAILER (size 0) -CR-> END_LF -LF-> DONE
 *      ;          CR            |   ^
 *      v          |             v   \-LF- TRAILER_LF <-CR- TRAILER_VALUE <-:- TRAILER_NAME
 *     EXTENSION --/             \----------------------------------------------^
 *
 * Extensions and trailers mean nothing here and are dropped; they are held to their form all the
 * same, since what one reader takes for a trailer another may take for the next request.
 */
#include "http/body.h"

#include <string.h>

#define SIZE_DIGITS_MAX 16
#define PLAIN_DIGITS 8 /* of a size that is read in one go */
#define SIZE_LINE_MAX 4096
#define TRAILERS_MAX 16384
#define JOIN_MOST 4096 /* bytes that are moved: more are better left where they are */

enum {
	SIZE,
	SIZE_BLANK, /* white space between the size and the ";" of an extension */
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	DONE,
	BROKEN
};

void
body_init(struct body *b, enum framing kind, uint64_t length)
{
	*b = (struct body){ .kind = kind, .state = SIZE };
	if (kind == FRAMING_LENGTH)
		b->left = length;
	b->done = kind == FRAMING_NONE || (kind == FRAMING_LENGTH && length == 0);
}

static uint8_t
size_state(struct body *b, char c)
{
	int digit = head_hex_value(c);

	if (digit >= 0) {
		b->left = b->left * 16 + (unsigned)digit;
		return b->line <= SIZE_DIGITS_MAX ? SIZE : BROKEN;
	}
	if (b->line == 1)
		return BROKEN;
	switch (c) {
	case '\r':
		return SIZE_LF;
	case ';':
		return EXTENSION;
	case ' ':
	case '\t':
		return SIZE_BLANK;
	default:
		return BROKEN;
	}
}

static uint8_t
size_blank_state(char c)
{
	if (c == ';')
		return EXTENSION;
	return c == ' ' || c == '\t' ? SIZE_BLANK : BROKEN;
}

/* The size line has ended: data, or for size 0 the trailers. */
static uint8_t
size_end_state(struct body *b, char c)
{
	b->line = 0;
	if (c != '\n')
		return BROKEN;
	return b->left > 0 ? DATA : TRAILER;
}

/* Text up to a CR, in an extension or the value of a trailer. */
static uint8_t
text_state(char c, uint8_t text, uint8_t end)
{
	if (c == '\r')
		return end;
	return head_value_valid((struct str){ &c, 1 }) || c == ' ' || c == '\t' ? text : BROKEN;
}

static uint8_t
name_state(char c, char end_byte, uint8_t end)
{
	if (c == end_byte)
		return end;
	return head_token_valid((struct str){ &c, 1 }) ? TRAILER_NAME : BROKEN;
}

static uint8_t
next_state(struct body *b, char c)
{
	switch (b->state) {
	case SIZE:
		return size_state(b, c);
	case SIZE_BLANK:
		return size_blank_state(c);
	case EXTENSION:
		return text_state(c, EXTENSION, SIZE_LF);
	case SIZE_LF:
		return size_end_state(b, c);
	case DATA_CR:
		return c == '\r' ? DATA_LF : BROKEN;
	case DATA_LF:
		b->line = 0;
		return c == '\n' ? SIZE : BROKEN;
	case TRAILER:
		return name_state(c, '\r', END_LF);
	case TRAILER_NAME:
		return name_state(c, ':', TRAILER_VALUE);
	case TRAILER_VALUE:
		return text_state(c, TRAILER_VALUE, TRAILER_LF);
	case TRAILER_LF:
		return c == '\n' ? TRAILER : BROKEN;
	case END_LF:
		return c == '\n' ? DONE : BROKEN;
	default:
		return BROKEN;
	}
}

/* One byte of framing. */
static void
step(struct body *b, char c)
{
	size_t max = b->state < DATA ? SIZE_LINE_MAX : TRAILERS_MAX;

	b->state = ++b->line > max ? BROKEN : next_state(b, c);
	b->done = b->state == DONE;
}

/* From the end of one chunk's data to the next one's, as far as what stands there is of the plain
 * form that it nearly always has. Bytes read. */
static size_t
plain_framing(struct body *b, struct str in)
{
	uint64_t size = 0;
	size_t start = 0, at;
	int digit;

	if (b->state == DATA_CR) {
		if (in.len < 2 || in.p[0] != '\r' || in.p[1] != '\n')
			return 0;
		b->state = SIZE;
		start = 2;
	}
	if (b->state != SIZE || b->line > 0)
		return 0;
	for (at = start; at < in.len && at < start + PLAIN_DIGITS; at++) {
		digit = head_hex_value(in.p[at]);
		if (digit < 0)
			break;
		size = size * 16 + (unsigned)digit;
	}
	if (size == 0 || in.len - at < 2 || in.p[at] != '\r' || in.p[at + 1] != '\n')
		return start;
	b->left = size;
	b->state = DATA;
	return at + 2;
}

static struct str
data_take(struct body *b, struct str in)
{
	struct str data = str_head(in, b->left < in.len ? (size_t)b->left : in.len);

	b->left -= data.len;
	if (b->left == 0)
		b->state = DATA_CR;
	return data;
}

static long
chunked_next(struct body *b, struct str in, struct str *data)
{
	size_t at = 0;

	while (at < in.len && !b->done) {
		size_t n = b->state != DATA ? plain_framing(b, str_skip(in, at)) : 0;

		at += n;
		if (n > 0)
			continue;
		if (b->state != DATA) {
			step(b, in.p[at]);
			if (b->state == BROKEN)
				return at > 0 ? (long)at : -1;
			at++;
			continue;
		}
		if (data->len > 0)
			break;
		*data = data_take(b, str_skip(in, at));
		at += data->len;
	}
	return (long)at;
}

long
body_next(struct body *b, struct str in, struct str *data)
{
	*data = (struct str){ NULL, 0 };
	if (b->done)
		return 0;
	if (b->kind == FRAMING_CHUNKED)
		return chunked_next(b, in, data);
	if (b->kind == FRAMING_CLOSE) {
		*data = in;
	} else {
		*data = data_take(b, in);
		b->done = b->left == 0;
	}
	return (long)data->len;
}

long
body_join(struct body *b, char *p, size_t len, struct str *data)
{
	long n = body_next(b, (struct str){ p, len }, data);
	size_t at = n > 0 ? (size_t)n : 0;

	while (data->len > 0 && b->kind == FRAMING_CHUNKED) {
		struct str piece;

		if (b->state == DATA_CR)
			at += plain_framing(b, (struct str){ p + at, len - at });
		if (b->state != DATA || at == len || (len - at > JOIN_MOST && b->left > JOIN_MOST))
			break;
		piece = data_take(b, (struct str){ p + at, len - at });
		memmove(p + (data->p - p) + data->len, piece.p, piece.len);
		data->len += piece.len;
		at += piece.len;
	}
	return n < 0 ? n : (long)at;
}

size_t
body_chunk_head(char out[BODY_CHUNK_HEAD_MAX], size_t len)
{
	size_t digits = 1, at;

	for (size_t rest = len >> 4; rest > 0; rest >>= 4)
		digits++;
	for (at = digits; at > 0; len >>= 4)
		out[--at] = "0123456789abcdef"[len & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}
