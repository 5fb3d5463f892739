/*
 * golden: reads the pairs of tests/golden/convert, and feeds a stream's text to a gather.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdio.h>
#include <string.h>

#include "dialect/dialect.h"
#include "unit.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* The text of FOLDER/NAME.KIND without the file's last line end for JSON; malloc'ed. An empty slice
 * with p NULL when there is none. */
static inline struct str
golden_read(const char *folder, const char *name, const char *kind)
{
	const char *slash = strrchr(__FILE__, '/');
	char path[512];
	char *text = malloc(1 << 16);

	snprintf(path, sizeof path, "%.*s/../../golden/convert/%s/%s.%s", (int)(slash - __FILE__),
		__FILE__, folder, name, kind);
	FILE *f = fopen(path, "r");
	if (f == NULL) {
		free(text);
		return (struct str){ NULL, 0 };
	}
	size_t len = fread(text, 1, 1 << 16, f);
	fclose(f);
	if (strstr(kind, "json") != NULL && len > 0 && text[len - 1] == '\n')
		len--;
	return (struct str){ text, len };
}

static inline void
golden_free(struct str text)
{
	free((void *)(uintptr_t)text.p);
}

static inline const struct endpoint *
golden_endpoint(const char *name)
{
	return &endpoints[strncmp(name, "messages", 8) == 0 ? ENDPOINT_MESSAGES : ENDPOINT_CHAT];
}

static inline void
assert_same(struct str got, struct str want, const char *name)
{
	size_t at = 0;

	while (at < got.len && at < want.len && got.p[at] == want.p[at])
		at++;
	ck_assert_msg(str_eq(got, want), "%s: differs at %zu: got '%.*s', want '%.*s'", name, at,
		(int)(got.len - at < 200 ? got.len - at : 200), got.p + at,
		(int)(want.len - at < 200 ? want.len - at : 200), want.p + at);
}

/* Without white space between tokens. */
static inline struct buf
compact(struct str json)
{
	struct buf out = BUF_EMPTY;
	bool in_string = false, escape = false;

	for (size_t i = 0; i < json.len; i++) {
		char c = json.p[i];

		if (!in_string && strchr(" \t\r\n", c))
			continue;
		if (c == '"' && !escape)
			in_string = !in_string;
		escape = in_string && c == '\\' && !escape;
		buf_add(&out, (struct str){ &json.p[i], 1 });
	}
	return out;
}

/* Every event of a stream's text, which comes cut at `cut` (0: whole; SIZE_MAX: byte by byte). What
 * gather_event last said: it stops at the first that is not 0. */
static inline int
gather_stream(struct gather *g, struct str text, size_t cut, struct str *message)
{
	struct sse sse;
	struct sse_event ev;
	size_t at = 0;
	int rc = 0;

	sse_init(&sse, 1 << 20);
	while (at < text.len && rc == 0) {
		size_t to = cut == SIZE_MAX ? at + 1 : at < cut ? cut : text.len;
		for (struct str in = str_head(str_skip(text, at), to - at);
			in.len > 0 && rc == 0;) {
			bool got = false;
			long n = sse_next(&sse, in, &ev, &got);
			if (n < 0)
				rc = -1;
			else if (got)
				rc = gather_event(g, &ev, message);
			in = str_skip(in, n > 0 ? (size_t)n : in.len);
		}
		at = to;
	}
	sse_free(&sse);
	return rc;
}

#endif
