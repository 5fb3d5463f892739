/*
 * write: JSON text composed into a buffer, for every body that the router itself makes: errors,
 * model lists, replies and stream events in another dialect, log lines.
 *
 * The caller opens and closes containers in the right order; the writer puts the commas: one flag
 * does, since after a container that was closed a comma is always due. Nothing fails on the way:
 * when memory runs out the buffer remembers it (out->failed) and the caller looks once at the end.
 */
#include "json/write.h"

#include <inttypes.h>
#include <string.h>

#include "json/text.h"

void
json_writer_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){ .out = out };
}

/* What stands before a value; `comma` says what is due after it. */
static void
separate(struct json_writer *w, bool comma)
{
	if (w->comma)
		buf_add(w->out, STR(","));
	w->comma = comma;
}

void
json_object(struct json_writer *w)
{
	separate(w, false);
	buf_add(w->out, STR("{"));
}

void
json_object_end(struct json_writer *w)
{
	buf_add(w->out, STR("}"));
	w->comma = true;
}

void
json_array(struct json_writer *w)
{
	separate(w, false);
	buf_add(w->out, STR("["));
}

void
json_array_end(struct json_writer *w)
{
	buf_add(w->out, STR("]"));
	w->comma = true;
}

void
json_key(struct json_writer *w, struct str name)
{
	json_text(w, name);
	buf_add(w->out, STR(":"));
	w->comma = false;
}

void
json_text(struct json_writer *w, struct str plain)
{
	json_text_open(w);
	json_text_more(w, plain);
	json_text_close(w);
}

void
json_value(struct json_writer *w, struct str raw)
{
	separate(w, true);
	buf_add(w->out, raw);
}

void
json_number(struct json_writer *w, int64_t n)
{
	separate(w, true);
	buf_printf(w->out, "%" PRId64, n);
}

void
json_bool(struct json_writer *w, bool b)
{
	json_value(w, b ? STR("true") : STR("false"));
}

void
json_null(struct json_writer *w)
{
	json_value(w, STR("null"));
}

void
json_pair(struct json_writer *w, struct str name, struct str plain)
{
	json_key(w, name);
	json_text(w, plain);
}

void
json_escaped(struct json_writer *w, struct str inner)
{
	separate(w, true);
	buf_add(w->out, STR("\""));
	buf_add(w->out, inner);
	buf_add(w->out, STR("\""));
}

void
json_pair_escaped(struct json_writer *w, struct str name, struct str inner)
{
	json_key(w, name);
	json_escaped(w, inner);
}

void
json_pair_value(struct json_writer *w, struct str name, struct str raw)
{
	json_key(w, name);
	json_value(w, raw);
}

/* Append `plain` escaped, up to a character that its end cuts. What is left of it. */
static struct str
escape_whole(struct buf *out, struct str plain)
{
	while (plain.len > 0) {
		struct json_stretch s = json_stretch(plain);
		buf_add(out, str_head(plain, s.run));
		buf_add(out, (struct str){ s.put, s.put_len });
		plain = str_skip(plain, s.used);
		if (s.cut)
			break;
	}
	return plain;
}

int
json_escape(struct buf *out, struct str plain)
{
	if (escape_whole(out, plain).len > 0)
		buf_add(out, json_replacement);
	return out->failed ? -1 : 0;
}

void
json_text_open(struct json_writer *w)
{
	separate(w, true);
	buf_add(w->out, STR("\""));
}

/* Give up the character that is held: nothing will complete it. */
static void
held_drop(struct json_writer *w)
{
	if (w->held_len > 0)
		buf_add(w->out, json_replacement);
	w->held_len = 0;
	w->utf8 = 0;
}

/* Go on with the character that is held. What `plain` has beyond it. */
static struct str
held_continue(struct json_writer *w, struct str plain)
{
	while (w->held_len > 0 && plain.len > 0) {
		if (json_utf8_step(&w->utf8, (unsigned char)*plain.p) != 0) {
			held_drop(w);
			break;
		}
		w->held[w->held_len++] = *plain.p;
		plain = str_skip(plain, 1);
		if (w->utf8 == 0) {
			buf_add(w->out, (struct str){ w->held, w->held_len });
			w->held_len = 0;
		}
	}
	return plain;
}

void
json_text_more(struct json_writer *w, struct str plain)
{
	plain = escape_whole(w->out, held_continue(w, plain));
	for (size_t i = 0; i < plain.len; i++) {
		json_utf8_step(&w->utf8, (unsigned char)plain.p[i]);
		w->held[w->held_len++] = plain.p[i];
	}
}

void
json_text_more_escaped(struct json_writer *w, struct str inner)
{
	held_drop(w);
	buf_add(w->out, inner);
}

void
json_text_close(struct json_writer *w)
{
	held_drop(w);
	buf_add(w->out, STR("\""));
}
