/*
 * fuzz_json: any bytes through the tokeniser. Whatever they are: the same result whole and split;
 * tokens that lie inside one another and in order; where the text is accepted, a replaced value
 * leaves all else as it was and scans to the same tokens, strings decode to UTF-8 that quotes back
 * to itself; and any bytes at all, quoted, are a valid string.
 */
#include "json/read.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "json/edit.h"
#include "json/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
assert_same(const struct json_scan *a, const struct json_scan *b)
{
	assert(same_text(a->fault, b->fault));
	assert(a->offset == b->offset && a->complete == b->complete && a->n == b->n);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct json_token *x = &a->tokens[i], *y = &b->tokens[i];
		assert(x->start == y->start && x->end == y->end && x->next == y->next &&
			x->count == y->count);
		assert(x->type == y->type && x->key == y->key && x->escaped == y->escaped);
	}
}

/* The children of each container fill its tokens, and its place in the text, in order. */
static void
assert_nested(const struct json_scan *s, struct str text)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct json_token *t = &s->tokens[i];
		uint32_t child = i + 1, values = 0;
		uint64_t at = t->start;
		assert(t->start < t->end && t->end <= text.len && t->next > i && t->next <= s->n);
		while (child < t->next && !t->key) {
			assert(s->tokens[child].start > at && s->tokens[child].end < t->end);
			at = s->tokens[child].end - 1;
			values += !s->tokens[child].key;
			child = s->tokens[child].next;
		}
		assert(t->key || (child == t->next && values == t->count));
	}
}

static struct str
joined(struct arena *a, const struct json_edit *e)
{
	char *p = arena_alloc(a, json_edit_len(e));
	assert(p != NULL);
	memcpy(p, e->before.p, e->before.len);
	memcpy(p + e->before.len, e->value.p, e->value.len);
	memcpy(p + e->before.len + e->value.len, e->after.p, e->after.len);
	return (struct str){ p, json_edit_len(e) };
}

/* Put another string in the place of value `i` and scan again: what stands before keeps its place,
 * what stands after moves with the text. */
static void
check_replace(struct arena *a, struct str text, const struct json_scan *s, uint32_t i)
{
	static const struct str value = STR_INIT("\"r\\u0065placed\"");
	struct json_edit e = json_replace(text, &s->tokens[i], value);
	struct str edited = joined(a, &e);
	struct json_scan again;
	uint64_t old_end = s->tokens[i].end, new_end = s->tokens[i].start + value.len;
	assert(json_scan_text(&again, a, edited, UINT_MAX, JSON_DEPTH_MAX) == 0);
	assert(again.n == s->n - (s->tokens[i].next - i - 1));
	assert(str_eq(json_raw(edited, &again.tokens[i]), value));
	for (uint32_t j = 0; j < i; j++)
		assert(again.tokens[j].start == s->tokens[j].start &&
			again.tokens[j].count == s->tokens[j].count);
	for (uint32_t j = s->tokens[i].next, k = i + 1; j < s->n; j++, k++) {
		assert(again.tokens[k].start - new_end == s->tokens[j].start - old_end);
		assert(str_eq(json_raw(edited, &again.tokens[k]), json_raw(text, &s->tokens[j])));
	}
}

static void
check_string(struct arena *a, struct str text, const struct json_token *t)
{
	struct json_scan s;
	bool lossy, again;
	struct str plain = json_string(text, t, a, &lossy), quoted = json_quote(a, plain);
	assert(json_string_is(text, t, plain) == !lossy);
	assert(json_scan_text(&s, a, quoted, 1, 1) == 0);
	assert(str_eq(json_string(quoted, &s.tokens[0], a, &again), plain) && !again);
}

static void
check_values(struct arena *a, struct str text, const struct json_scan *s, size_t pick)
{
	uint32_t i = (uint32_t)(pick % s->n);
	assert_nested(s, text);
	check_replace(a, text, s, s->tokens[i].key ? i + 1 : i);
	for (i = 0; i < s->n && i < 64; i++)
		if (s->tokens[i].type == JSON_STRING)
			check_string(a, text, &s->tokens[i]);
}

/* Any bytes as a text to quote: at once, and written in two pieces. */
static void
check_quote(struct arena *a, struct str plain, size_t at)
{
	struct json_scan s;
	struct buf b = BUF_EMPTY;
	struct json_writer w;
	struct str quoted = json_quote(a, plain);
	assert(json_scan_text(&s, a, quoted, 1, 1) == 0);
	json_writer_init(&w, &b);
	json_text_open(&w);
	json_text_more(&w, str_head(plain, at));
	json_text_more(&w, str_skip(plain, at));
	json_text_close(&w);
	assert(!b.failed && str_eq(buf_str(&b), quoted));
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct json_scan whole, split, shallow;
	struct str text = { (const char *)data, size };
	size_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum = sum * 31 + data[i];
	size_t at = size > 0 ? sum % size : 0;
	arena_init(&a, 0);
	int result = json_scan_text(&whole, &a, text, UINT_MAX, JSON_DEPTH_MAX);
	json_scan_init(&split, &a, UINT_MAX, JSON_DEPTH_MAX);
	json_scan_feed(&split, text.p, at);
	json_scan_feed(&split, text.p + at, size - at);
	assert(json_scan_end(&split) == result);
	assert_same(&whole, &split);
	assert(json_scan_text(&shallow, &a, text, (unsigned)(sum % 4), JSON_DEPTH_MAX) == result);
	assert(shallow.offset == whole.offset && same_text(shallow.fault, whole.fault));
	if (result == 0)
		check_values(&a, text, &whole, sum / 7);
	check_quote(&a, text, at);
	arena_free(&a);
	assert(mem_used() == 0);
	return 0;
}
