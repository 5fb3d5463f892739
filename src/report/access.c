/*
 * access: one line of the access log, in Apache's combined format with key=value behind it, or in
 * JSON.
 *
 * Called by the request when it has ended. Pure: it formats into the caller's bytes and cannot
 * fail. Everything that a client or a provider chose is escaped, so that a line is always one line
 * and its fields are always where they belong. When a line does not fit, the longest values are cut
 * until it does: values are written with a bound on their length, which is halved until all is in.
 */
#include "report/access.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/clock.h"

enum { SIZE_LEAST = 2048 };

/* What is written for one value after the other stands in the program once: compiled for speed, it
 * would be in each place. */
#define APART __attribute__((noinline))

static const struct str end_words[] = {
#define ACCESS_END(name, word) [END_##name] = STR_INIT(word),
#include "report/access_end.def"
#undef ACCESS_END
};

/* A line being written: past `size` nothing is kept, but `full` says so. */
struct line {
	char *out;
	size_t size, len;
	size_t most; /* bytes that one value may take, escaped */
	bool full;   /* something did not fit */
};

static void
put(struct line *l, struct str s)
{
	if (s.len > l->size - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->out + l->len, s.p, s.len);
	l->len += s.len;
}

/* A value, cut where it is too long. One that the line itself has no room for leaves none for what
 * follows it, which then says so. */
static void
put_escaped(struct line *l, struct str s, enum escape how)
{
	size_t room = l->size - l->len;

	l->len += log_escape(l->out + l->len, l->most < room ? l->most : room, s, how);
}

static void
put_digits(struct line *l, uint64_t n, unsigned digits)
{
	if (digits > l->size - l->len) {
		l->full = true;
		return;
	}
	str_write_u64(l->out + l->len, digits, n);
	l->len += digits;
}

static APART void
put_number(struct line *l, uint64_t n)
{
	put_digits(l, n, str_digits(n));
}

/* Microseconds as milliseconds with three decimals. */
static APART void
put_ms(struct line *l, uint64_t us)
{
	put_number(l, us / 1000);
	put(l, STR("."));
	put_digits(l, us, 3);
}

/*
 * Text
 */

/* "01/May/2026:12:00:00 +0000"; a second is formatted once. */
static struct str
apache_time(uint64_t wall_ms)
{
	static time_t kept = -1;
	static char text[48];
	static size_t len;
	time_t now = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (now != kept && gmtime_r(&now, &tm) != NULL) {
		len = strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", &tm);
		kept = now;
	}
	return (struct str){ text, len };
}

static APART void
quoted(struct line *l, struct str s)
{
	put(l, STR("\""));
	if (s.len == 0)
		put(l, STR("-"));
	put_escaped(l, s, ESCAPE_QUOTED);
	put(l, STR("\""));
}

/* A word of the combined part, which ends at a space: one in the value is escaped as any control
 * byte is. */
static APART void
word(struct line *l, struct str s)
{
	size_t start = l->len;

	if (s.len == 0)
		put(l, STR("-"));
	while (s.len > 0 && l->len - start < l->most) {
		size_t at = str_index(s, ' ');
		put_escaped(l, str_head(s, at), ESCAPE_QUOTED);
		if (at < s.len)
			put(l, STR("\\x20"));
		s = str_skip(s, at + 1);
	}
}

/* Does a value stand without quotes? */
static bool
is_bare(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\' ||
			s.p[i] == '=')
			return false;
	return true;
}

static APART void
text_value(struct line *l, struct str key, struct str s)
{
	put(l, STR(" "));
	put(l, key);
	put(l, STR("="));
	if (s.len == 0)
		put(l, STR("-"));
	else if (is_bare(s))
		put_escaped(l, s, ESCAPE_QUOTED);
	else
		quoted(l, s);
}

static APART void
text_number(struct line *l, struct str key, int64_t n)
{
	put(l, STR(" "));
	put(l, key);
	put(l, STR("="));
	if (n < 0)
		put(l, STR("-"));
	else
		put_number(l, (uint64_t)n);
}

static APART void
text_ms(struct line *l, struct str key, int64_t us)
{
	put(l, STR(" "));
	put(l, key);
	put(l, STR("="));
	if (us < 0)
		put(l, STR("-"));
	else
		put_ms(l, (uint64_t)us);
}

static APART void
combined(struct line *l, const struct access_entry *e)
{
	word(l, e->client_ip);
	put(l, STR(" - "));
	word(l, e->client);
	put(l, STR(" ["));
	put(l, apache_time(e->wall_ms));
	put(l, STR("] \""));
	put_escaped(l, e->method.len > 0 ? e->method : STR("-"), ESCAPE_QUOTED);
	put(l, STR(" "));
	put_escaped(l, e->path.len > 0 ? e->path : STR("-"), ESCAPE_QUOTED);
	put(l, STR(" "));
	put_escaped(l, e->version.len > 0 ? e->version : STR("-"), ESCAPE_QUOTED);
	put(l, STR("\" "));
	if (e->status < 0)
		put(l, STR("-"));
	else
		put_number(l, (uint64_t)e->status);
	put(l, STR(" "));
	if (e->bytes_out <= 0) /* as Apache's %b */
		put(l, STR("-"));
	else
		put_number(l, (uint64_t)e->bytes_out);
	put(l, STR(" "));
	quoted(l, e->referer);
	put(l, STR(" "));
	quoted(l, e->user_agent);
}

static void
text_line(struct line *l, const struct access_entry *e)
{
	combined(l, e);
	text_value(l, STR("request_id"), e->request_id);
	text_value(l, STR("model"), e->model);
	text_value(l, STR("provider"), e->provider);
	text_value(l, STR("target_model"), e->target_model);
	text_number(l, STR("upstream_status"), e->upstream_status);
	text_number(l, STR("attempts"), e->attempts);
	text_value(l, STR("stream"), e->stream ? STR("true") : STR("false"));
	text_number(l, STR("bytes_in"), e->bytes_in);
	text_ms(l, STR("latency_ms"), e->latency_us);
	text_ms(l, STR("upstream_ms"), e->upstream_us);
	text_ms(l, STR("first_byte_ms"), e->first_byte_us);
	text_number(l, STR("input_tokens"), e->usage != NULL ? e->usage->input : -1);
	text_number(l, STR("output_tokens"), e->usage != NULL ? e->usage->output : -1);
	text_value(l, STR("usage"), e->usage != NULL ? STR("provider") : STR("none"));
	text_value(l, STR("end"), end_words[e->end]);
	text_number(l, STR("worker"), e->worker);
	put(l, STR("\n"));
}

/*
 * JSON
 */

/* A member's name with all that stands before its value. Zero bytes follow, since so many are
 * copied at once as the longest name has. */
#define KEY(name)                                                                        \
	((struct str){ ",\"" name "\":\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", \
		sizeof(",\"" name "\":") - 1 })
enum { KEY_MOST = 24 };

static inline void
put_key(struct line *l, struct str key)
{
	if (l->size - l->len < KEY_MOST || key.len > KEY_MOST) {
		put(l, key);
		return;
	}
	memcpy(l->out + l->len, key.p, KEY_MOST);
	l->len += key.len;
}

/* Text that needs no escapes. */
static APART void
json_word(struct line *l, struct str key, struct str word)
{
	put_key(l, key);
	put(l, STR("\""));
	put(l, word);
	put(l, STR("\""));
}

static APART void
json_text(struct line *l, struct str key, struct str s)
{
	put_key(l, key);
	if (s.len == 0) {
		put(l, STR("null"));
		return;
	}
	if (s.len <= l->most && s.len + 2 <= l->size - l->len && str_bare(s) == s.len) {
		char *to = l->out + l->len; /* nearly always */
		*to = '"';
		*(char *)mempcpy(to + 1, s.p, s.len) = '"';
		l->len += s.len + 2;
		return;
	}
	put(l, STR("\""));
	put_escaped(l, s, ESCAPE_JSON);
	put(l, STR("\""));
}

static APART void
json_number(struct line *l, struct str key, int64_t n)
{
	put_key(l, key);
	if (n < 0)
		put(l, STR("null"));
	else
		put_number(l, (uint64_t)n);
}

static APART void
json_ms(struct line *l, struct str key, int64_t us)
{
	put_key(l, key);
	if (us < 0)
		put(l, STR("null"));
	else
		put_ms(l, (uint64_t)us);
}

static void
json_line(struct line *l, const struct access_entry *e)
{
	char when[CLOCK_TEXT];

	clock_text(e->wall_ms, when);
	put(l, STR("{\"time\":\""));
	put(l, (struct str){ when, CLOCK_TEXT - 1 });
	put(l, STR("\""));
	json_text(l, KEY("request_id"), e->request_id);
	json_text(l, KEY("client_ip"), e->client_ip);
	json_text(l, KEY("client"), e->client);
	json_text(l, KEY("method"), e->method);
	json_text(l, KEY("path"), e->path);
	json_text(l, KEY("model"), e->model);
	json_text(l, KEY("provider"), e->provider);
	json_text(l, KEY("target_model"), e->target_model);
	json_number(l, KEY("status"), e->status);
	json_number(l, KEY("upstream_status"), e->upstream_status);
	json_number(l, KEY("attempts"), e->attempts);
	put(l, KEY("stream"));
	put(l, e->stream ? STR("true") : STR("false"));
	json_number(l, KEY("bytes_in"), e->bytes_in);
	json_number(l, KEY("bytes_out"), e->bytes_out);
	json_ms(l, KEY("latency_ms"), e->latency_us);
	json_ms(l, KEY("upstream_ms"), e->upstream_us);
	json_ms(l, KEY("first_byte_ms"), e->first_byte_us);
	json_number(l, KEY("input_tokens"), e->usage != NULL ? e->usage->input : -1);
	json_number(l, KEY("output_tokens"), e->usage != NULL ? e->usage->output : -1);
	json_word(l, KEY("usage"), e->usage != NULL ? STR("provider") : STR("none"));
	json_word(l, KEY("end"), end_words[e->end]);
	json_number(l, KEY("worker"), e->worker);
	put(l, STR("}\n"));
}

size_t
access_line(char *out, size_t size, enum log_format format, const struct access_entry *e)
{
	struct line l;

	assert(size >= SIZE_LEAST);
	for (size_t most = size;; most /= 2) {
		l = (struct line){ .out = out, .size = size, .most = most };
		if (format == FORMAT_JSON)
			json_line(&l, e);
		else
			text_line(&l, e);
		if (!l.full)
			return l.len;
	}
}
