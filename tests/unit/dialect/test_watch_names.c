/*
 * Watch, of streams: events are read only where a name stands in them that may matter. Here each is
 * looked at twice: as it is, and with a member before all others that means nothing but makes it be
 * read. Both must know the same, of every prefix and of events that were changed at random. Names
 * that are escaped are not made here: those the search does not know, and no provider sends them.
 */
#include <stdio.h>
#include <string.h>

#include "dialect/dialect.h"
#include "random.h"
#include "unit.h"

enum { ROUNDS = 4000, ROOM = 2048 };

#define READ "\"x\":{\"error\":1},"

static const struct {
	enum endpoint_id id;
	const char *name, *data;
} events[] = {
	{ ENDPOINT_CHAT, NULL,
		"{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"usage: \\\"usage\\\":{}\"},\"logprobs\":null,\"finish_reason\":null}],\"obfuscation\":\"x\"}" },
	{ ENDPOINT_CHAT, NULL,
		"{\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 2}}" },
	{ ENDPOINT_CHAT, NULL,
		"{\"choices\":[],\"usage\":null,\"x_groq\":{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}},\"error\":null}" },
	{ ENDPOINT_COMPLETIONS, NULL,
		"{\"choices\":[{\"text\":\"e\",\"finish_reason\":null}],\"error\":{\"message\":\"no\"}}" },
	{ ENDPOINT_MESSAGES, "content_block_delta",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"error\\\":1\"}}" },
	{ ENDPOINT_MESSAGES, "message_delta",
		"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":12}}" },
	{ ENDPOINT_MESSAGES, NULL,
		"{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":1}}}" },
	{ ENDPOINT_RESPONSES, NULL,
		"{\"type\":\"response.output_text.delta\",\"delta\":\"response.completed\"}" },
	{ ENDPOINT_RESPONSES, "response.completed",
		"{\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":9}}}" },
};

/* What is put into an event. */
static const char *const pieces[] = {
	"\"usage\":",
	"\"usage\" : ",
	"\"usage\"\n:\t",
	"\"error\":",
	"\"error\" :",
	"\"finish_reason\":",
	"\"finish_reason\":\"length\",",
	"\"usage\":null,",
	"\"error\":null,",
	"\"error\":false,",
	"\"error\":{},",
	"{\"prompt_tokens\":1,\"completion_tokens\":2}",
	"null",
	"\"\"",
	"\"",
	",",
	":",
	"{",
	"}",
	"[",
	"]",
	"0",
	" ",
	"\"usage",
	"error\"",
	"\"e\":\"error\",",
};

static struct watch
watched(size_t i, struct str data)
{
	struct sse_event ev = { .name = str_of(events[i].name), .data = data, .has_data = true };
	struct watch w;

	watch_init(&w, &endpoints[events[i].id]);
	watch_event(&w, &ev);
	watch_free(&w);
	return w;
}

static void
check(size_t i, const char *p, size_t len)
{
	char text[sizeof READ + ROOM];
	struct watch as_it_is = watched(i, (struct str){ p, len }), read;
	size_t gap = 1;
	int n;

	while (gap < len && memchr(" \t\r\n", p[gap], 4))
		gap++;
	if (len == 0 || p[0] != '{' || gap == len || p[gap] == '}')
		return; /* no place for a member that another follows */
	n = snprintf(text, sizeof text, "{" READ "%.*s", (int)len - 1, p + 1);
	read = watched(i, (struct str){ text, (size_t)n });
	if (memcmp(&read.usage, &as_it_is.usage, sizeof read.usage) != 0 ||
		read.has_usage != as_it_is.has_usage || read.error != as_it_is.error ||
		read.started != as_it_is.started || read.finished != as_it_is.finished ||
		read.ended != as_it_is.ended)
		ck_abort_msg("event %zu is not known as it is read: %.*s", i, (int)len, p);
}

START_TEST(test_prefixes)
{
	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		for (size_t len = 0; len <= strlen(events[i].data); len++)
			check(i, events[i].data, len);
}
END_TEST

/* A byte changed, some bytes taken out, or a piece put in; up to three times. */
static size_t
change(char text[ROOM], size_t len)
{
	for (size_t times = 1 + below(3); times > 0; times--) {
		const char *piece = pieces[below(sizeof pieces / sizeof pieces[0])];
		size_t at = 1 + below(len - 1), n = below(6);

		if (n == 0) {
			text[at] = piece[0];
		} else if (n == 1) {
			n = below(len - at < 20 ? len - at : 20);
			memmove(text + at, text + at + n, len - at - n);
			len -= n;
		} else {
			n = strlen(piece);
			while (n > 1 && at > 1 && text[at - 1] != '{' && text[at - 1] != ',')
				at--; /* where a member may stand */
			memmove(text + at + n, text + at, len - at);
			memcpy(text + at, piece, n);
			len += n;
		}
	}
	return len;
}

START_TEST(test_changed)
{
	size_t known = 0;

	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		for (int round = 0; round < ROUNDS; round++) {
			char text[ROOM];
			size_t len = strlen(events[i].data);

			memcpy(text, events[i].data, len);
			len = change(text, len);
			check(i, text, len);
			known += watched(i, (struct str){ text, len }).error;
		}
	ck_assert_msg(known > 1000, "errors were put in, and seen: %zu", known);
}
END_TEST

UNIT_MAIN("dialect/watch names", test_prefixes, test_changed)
