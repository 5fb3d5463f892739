/*
 * write: compose JSON text into a buffer. Commas are put in by the writer; raw slices of other
 * texts are taken as they are.
 */
#ifndef JSON_WRITE_H
#define JSON_WRITE_H

#include "base/buf.h"

struct json_writer {
	struct buf *out; /* failure is sticky there (out->failed) */
	/* private */
	bool comma;       /* the next value needs a comma before it */
	uint8_t held_len; /* bytes of a character that a piece of text was cut in */
	char held[4];
	uint32_t utf8; /* of json_utf8_step, after those */
};

void json_writer_init(struct json_writer *w, struct buf *out);
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
/* A key; a plain name that needs no escaping, or any UTF-8 text. */
void json_key(struct json_writer *w, struct str name);
/* A string value: escapes `"`, `\`, control bytes (\b \f \n \r \t, else \u00XX) and nothing else.
 * Invalid UTF-8 becomes U+FFFD. */
void json_text(struct json_writer *w, struct str plain);
/* A raw JSON text as a value, byte for byte. */
void json_value(struct json_writer *w, struct str raw);
void json_number(struct json_writer *w, int64_t n);
void json_bool(struct json_writer *w, bool b);
void json_null(struct json_writer *w);
/* json_key and json_text in one. */
void json_pair(struct json_writer *w, struct str name, struct str plain);
/* A string value of which the inside is escaped already; and with its key. */
void json_escaped(struct json_writer *w, struct str inner);
void json_pair_escaped(struct json_writer *w, struct str name, struct str inner);
/* json_key and json_value in one. */
void json_pair_value(struct json_writer *w, struct str name, struct str raw);
/* Append the escaped form of `plain` without quotes. 0 or -1. */
int json_escape(struct buf *out, struct str plain);
/*
 * A string opened to be filled in pieces: json_text_open, json_text_more any number of times (a
 * piece may end inside a UTF-8 sequence: the next one continues it, or else it becomes U+FFFD),
 * json_text_close.
 */
void json_text_open(struct json_writer *w);
void json_text_more(struct json_writer *w, struct str plain);
/* A piece that is escaped already; only between whole characters. */
void json_text_more_escaped(struct json_writer *w, struct str inner);
void json_text_close(struct json_writer *w);

#endif
