/*
 * json: how fast json/read scans, beside memchr and memcpy over the same bytes and beside Jansson,
 * a DOM library, in the same run.
 *
 *	bench/json [megabytes of the large string, default 20]
 *
 * A line is one text: nanoseconds of a scan that keeps the top level, as the request does it; GB/s,
 * as medians of rounds in which all contestants take turns; then how much longer than that scan
 * each of the others takes (below 1: it is faster).
 */
#include "json/read.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/unit/json/peer.h"

enum { ROUNDS = 15 };
enum contestant { TOP, ALL, MEMCHR, MEMCPY, DOM, CONTESTANTS };

static char *copy;
static volatile size_t sink; /* what is read from it keeps the compiler from leaving work out */

static double
seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
scan(struct str text, unsigned keep)
{
	struct json_scan s;
	struct arena a;
	arena_init(&a, 0);
	if (json_scan_text(&s, &a, text, keep, 512) != 0) {
		fprintf(stderr, "json: %s at %zu\n", s.fault, (size_t)s.offset);
		exit(1);
	}
	sink += s.n;
	arena_free(&a);
}

static void
run(enum contestant who, struct str text)
{
	switch (who) {
	case TOP:
		scan(text, 2);
		break;
	case ALL:
		scan(text, UINT_MAX);
		break;
	case MEMCHR:
		sink += memchr(text.p, 0x01, text.len) != NULL;
		break;
	case MEMCPY:
		memcpy(copy, text.p, text.len);
		sink += (unsigned char)copy[text.len / 2];
		break;
	default: {
		json_t *root = json_loadb(text.p, text.len, JSON_ALLOW_NUL, NULL);
		sink += root != NULL;
		json_decref(root);
	}
	}
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void
measure(const char *name, struct str text)
{
	double took[CONTESTANTS][ROUNDS], median[CONTESTANTS];
	size_t times = 4000000 / text.len + 1;
	for (int round = 0; round < ROUNDS; round++)
		for (int who = 0; who < CONTESTANTS; who++) {
			double from = seconds();
			for (size_t i = 0; i < times; i++)
				run((enum contestant)who, text);
			took[who][round] = (seconds() - from) / (double)times;
		}
	for (int who = 0; who < CONTESTANTS; who++) {
		qsort(took[who], ROUNDS, sizeof took[who][0], by_value);
		median[who] = took[who][ROUNDS / 2];
	}
	printf("%-24s %9zu bytes %8.0f ns ", name, text.len, median[TOP] * 1e9);
	for (int who = 0; who < CONTESTANTS; who++)
		printf(" %7.2f", (double)text.len / median[who] / 1e9);
	printf("   ");
	for (int who = ALL; who < CONTESTANTS; who++)
		printf(" %7.2f", median[who] / median[TOP]);
	printf("\n");
}

/* `head`, then `fill` over and over up to `len` bytes, then `tail`. */
static struct str
text_of(const char *head, const char *fill, size_t len, const char *tail)
{
	size_t head_len = strlen(head), fill_len = strlen(fill), tail_len = strlen(tail);
	char *p = malloc(head_len + len + tail_len);
	if (p == NULL)
		exit(1);
	len -= len % fill_len;
	memcpy(p, head, head_len);
	for (size_t i = 0; i < len; i += fill_len)
		memcpy(p + head_len + i, fill, fill_len);
	memcpy(p + head_len + len, tail, tail_len);
	return (struct str){ p, head_len + len + tail_len };
}

static const char chat[] =
	"{\"model\":\"gpt-4o-mini\",\"temperature\":0.7,\"max_tokens\":256,\"stream\":true,\"messages\":["
	"{\"role\":\"system\",\"content\":\"You are a helpful assistant that answers in one paragraph.\"},"
	"{\"role\":\"user\",\"content\":\"What is the difference between a process and a thread?\"},"
	"{\"role\":\"assistant\",\"content\":\"A process has an address space of its own; threads share one.\\nBoth are scheduled by the kernel.\"},"
	"{\"role\":\"user\",\"content\":\"And what does \\\"copy on write\\\" mean after fork?\"},"
	"{\"role\":\"assistant\",\"content\":\"Parent and child share their pages read-only until one of them writes; only then does the kernel make a copy of that page.\"},"
	"{\"role\":\"user\",\"content\":\"Which calls are safe in a signal handler?\"},"
	"{\"role\":\"assistant\",\"content\":\"Those that signal-safety(7) lists, write(2) among them. Set a flag, write a byte to a pipe and return.\"},"
	"{\"role\":\"user\",\"content\":\"Thanks. Show me the shortest example in C that does so, please.\"}],"
	"\"user\":\"user-1234\",\"metadata\":{\"trace\":\"0af7651916cd43dd8448eb211c80319c\"}}";

int
main(int argc, char **argv)
{
	size_t large = (argc > 1 ? strtoul(argv[1], NULL, 10) : 20) << 20;
	const char *open = "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"",
		   *close = "\"}],\"stream\":true}";
	const char *base64 =
		"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg";
	const char *english =
		"The worker polls its sockets, and when one of them is ready it reads what is there.\\nThen it writes \\\"the rest\\\" to the client, as fast as that one takes it. ";
	const char *japanese =
		"\xE3\x82\xAF\xE3\x83\xA9\xE3\x82\xA4\xE3\x82\xA2\xE3\x83\xB3\xE3\x83\x88\xE3\x81\xAB\xE9\x80\x81\xE3\x82\x8B\xE3\x80\x82";
	const char *russian =
		"\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82, \xD0\xBC\xD0\xB8\xD1\x80! ";
	struct {
		const char *name;
		struct str text;
	} texts[] = {
		{ "large string", text_of(open, base64, large, close) },
		{ "chat of 8 messages", { chat, sizeof chat - 1 } },
		{ "prompt, English", text_of(open, english, 400000, close) },
		{ "prompt, Japanese", text_of(open, japanese, 400000, close) },
		{ "prompt, Russian", text_of(open, russian, 400000, close) },
		{ "numbers", text_of("[", "-0.0123456,", 400000, "0]") },
		{ "small objects", text_of("[", "{\"a\":1,\"b\":[true,null]},", 400000, "0]") },
	};
	copy = malloc(large + sizeof chat + 1000000);
	if (copy == NULL)
		return 1;
	printf("%-52s GB/s: top     all  memchr  memcpy Jansson   times top's: all  memchr  memcpy Jansson\n",
		"");
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		measure(texts[i].name, texts[i].text);
		if (texts[i].text.p != chat)
			free((void *)(uintptr_t)texts[i].text.p);
	}
	free(copy);
	return 0;
}
