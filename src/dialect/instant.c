/*
 * instant: times of RFC 3339 ("2026-09-21T14:13:20.5+02:00"), with any fraction and any zone, and
 * of HTTP ("Mon, 21 Sep 2026 14:13:20 GMT"), as seconds since 1970.
 *
 * Called by the readers of Gemini's and Ollama's answers, by quota and by translation. Pure
 * functions; the C library's strptime knows no zones everywhere, and takes white space. What is no
 * such time is 0, which callers pass over: none of these times is needed.
 */
#include "dialect/instant.h"

/* `n` digits at the front of `s`, and past them; -1: they are none. */
static int
digits(struct str *s, size_t n)
{
	int value = 0;

	if (s->len < n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return -1;
		value = value * 10 + (s->p[i] - '0');
	}
	*s = str_skip(*s, n);
	return value;
}

/* `n` digits and one of the bytes behind them, past both; -1: they are not there. */
static int
digits_to(struct str *s, size_t n, char mark)
{
	int value = digits(s, n);

	if (value < 0 || s->len == 0 || (s->p[0] | 0x20) != (mark | 0x20))
		return -1;
	*s = str_skip(*s, 1);
	return value;
}

/* Days since 1970-01-01 in the Gregorian calendar, with years that begin in March, so that the day
 * of the leap is their last. */
static int64_t
days_of(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return 365LL * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* Seconds that the zone is ahead of UTC; -1 with *bad when it is none. */
static int64_t
zone_of(struct str s, bool *bad)
{
	bool behind = str_starts(s, STR("-"));
	int hours, minutes;

	*bad = false;
	if (str_eq_nocase(s, STR("Z")))
		return 0;
	*bad = true;
	if (!behind && !str_starts(s, STR("+")))
		return -1;
	s = str_skip(s, 1);
	hours = digits_to(&s, 2, ':');
	minutes = digits(&s, 2);
	*bad = hours < 0 || minutes < 0 || s.len > 0;
	return (behind ? -60 : 60) * (hours * 60LL + minutes);
}

uint64_t
instant_s(struct str s)
{
	int year = digits_to(&s, 4, '-'), month = digits_to(&s, 2, '-'),
	    day = digits_to(&s, 2, 'T'), hour = digits_to(&s, 2, ':'),
	    minute = digits_to(&s, 2, ':'), second = digits(&s, 2);
	bool bad = year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || minute < 0 ||
		second < 0;
	int64_t zone, t;

	if (bad)
		return 0;
	if (str_starts(s, STR("."))) {
		s = str_skip(s, 1);
		while (digits(&s, 1) >= 0)
			continue;
	}
	zone = zone_of(s, &bad);
	t = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - zone;
	return bad || t < 0 ? 0 : (uint64_t)t;
}

uint64_t
instant_http_s(struct str s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int day, month = 1, year, hour, minute, second;
	int64_t t;

	if (s.len != 29 || s.p[3] != ',' || s.p[4] != ' ')
		return 0;
	s = str_skip(s, 5);
	day = digits_to(&s, 2, ' ');
	while (month < 13 && !str_starts(s, (struct str){ months + (size_t)(month - 1) * 3, 3 }))
		month++;
	s = str_skip(s, s.len < 4 ? s.len : 4);
	year = digits_to(&s, 4, ' ');
	hour = digits_to(&s, 2, ':');
	minute = digits_to(&s, 2, ':');
	second = digits_to(&s, 2, ' ');
	if (day < 1 || month > 12 || year < 0 || hour < 0 || minute < 0 || second < 0 ||
		!str_eq(s, STR("GMT")))
		return 0;
	t = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
	return t < 0 ? 0 : (uint64_t)t;
}
