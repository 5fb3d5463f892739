/*
 * quota: x-ratelimit-* as anthropic-ratelimit-* and the other way round, and when to come again
 * where nothing else says it.
 *
 * Called by the proxy for the fields of a translated reply, where the client's own key was used
 * (the quotas of the router's key are nobody else's business). Pure functions; a value that cannot
 * be read, as some compatible servers send, is left out rather than passed on wrong. Only requests
 * and tokens have a name in both dialects.
 */
#include "dialect/quota.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dialect/instant.h"

enum { VALUE_MOST = 48 };

enum what { WHAT_LIMIT, WHAT_REMAINING, WHAT_RESET };

static const struct {
	struct str openai, anthropic;
	enum what what;
} fields[] = {
	{ STR_INIT("x-ratelimit-limit-requests"), STR_INIT("anthropic-ratelimit-requests-limit"),
		WHAT_LIMIT },
	{ STR_INIT("x-ratelimit-remaining-requests"),
		STR_INIT("anthropic-ratelimit-requests-remaining"), WHAT_REMAINING },
	{ STR_INIT("x-ratelimit-reset-requests"), STR_INIT("anthropic-ratelimit-requests-reset"),
		WHAT_RESET },
	{ STR_INIT("x-ratelimit-limit-tokens"), STR_INIT("anthropic-ratelimit-tokens-limit"),
		WHAT_LIMIT },
	{ STR_INIT("x-ratelimit-remaining-tokens"),
		STR_INIT("anthropic-ratelimit-tokens-remaining"), WHAT_REMAINING },
	{ STR_INIT("x-ratelimit-reset-tokens"), STR_INIT("anthropic-ratelimit-tokens-reset"),
		WHAT_RESET },
};

/* A number with a NUL behind it, as strtod wants it. False when it is too long. */
static bool
terminated(struct str s, char out[VALUE_MOST])
{
	if (s.len == 0 || s.len >= VALUE_MOST || memchr(s.p, '\0', s.len))
		return false;
	memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return true;
}

/* "6m0s", "12ms", "1h2m3.5s" in milliseconds; -1: it is no such time. */
static int64_t
duration_ms(struct str value)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ms", 1 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } };
	char text[VALUE_MOST], *at = text;
	double ms = 0;

	if (!terminated(value, text))
		return -1;
	while (*at) {
		size_t i = 0, n = sizeof units / sizeof units[0];
		double count;
		char *end;

		if (*at < '0' || *at > '9')
			return -1;
		count = strtod(at, &end);
		while (i < n && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
			i++;
		if (i == n)
			return -1;
		ms += count * units[i].ms;
		at = end + strlen(units[i].unit);
	}
	return ms < 1e15 ? (int64_t)ms : -1;
}

static int64_t
instant_ms(struct str value)
{
	uint64_t s = instant_s(value);

	return s > 0 ? (int64_t)s * 1000 : -1;
}

static void
add_duration(struct buf *out, int64_t ms)
{
	if (ms >= 60000)
		buf_printf(out, "%" PRId64 "m%" PRId64 "s", ms / 60000, ms / 1000 % 60);
	else if (ms >= 1000)
		buf_printf(out, "%" PRId64 "s", ms / 1000);
	else
		buf_printf(out, "%" PRId64 "ms", ms);
}

static void
add_instant(struct buf *out, int64_t ms)
{
	char text[VALUE_MOST];
	time_t at = (time_t)((ms + 999) / 1000);
	struct tm tm;

	gmtime_r(&at, &tm);
	buf_add(out, (struct str){ text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) });
}

void
quota_field(struct buf *out, enum dialect_id client, struct str name, struct str value,
	uint64_t now_ms)
{
	bool anthropic = client == DIALECT_ANTHROPIC;
	int64_t now = (int64_t)now_ms, ms = 0;
	uint64_t count;
	size_t i = 0, n = sizeof fields / sizeof fields[0];

	while (i < n && !str_eq_nocase(name, anthropic ? fields[i].openai : fields[i].anthropic))
		i++;
	if (i == n)
		return;
	if (fields[i].what == WHAT_RESET)
		ms = anthropic ? duration_ms(value) : instant_ms(value);
	if (ms < 0 || (fields[i].what != WHAT_RESET && str_u64(value, &count) < 0))
		return;
	buf_add(out, anthropic ? fields[i].anthropic : fields[i].openai);
	buf_add(out, STR(": "));
	if (fields[i].what != WHAT_RESET)
		buf_add(out, value);
	else if (anthropic)
		add_instant(out, now + ms);
	else
		add_duration(out, ms > now ? ms - now : 0);
	buf_add(out, STR("\r\n"));
}

int64_t
quota_wait_ms(const struct head *h, uint64_t now_ms)
{
	int64_t longest = -1;

	for (size_t i = 0; i + 1 < sizeof fields / sizeof fields[0]; i++) {
		struct str left = head_value(h, fields[i].openai), reset;
		bool anthropic = !left.p;
		int64_t ms;
		uint64_t n;

		if (anthropic)
			left = head_value(h, fields[i].anthropic);
		if (fields[i].what != WHAT_REMAINING || str_u64(left, &n) < 0 || n > 0)
			continue;
		/* its reset stands behind it */
		reset = head_value(h, anthropic ? fields[i + 1].anthropic : fields[i + 1].openai);
		ms = anthropic ? instant_ms(reset) - (int64_t)now_ms : duration_ms(reset);
		longest = ms > longest ? ms : longest;
	}
	return longest > 0 ? longest : -1;
}
