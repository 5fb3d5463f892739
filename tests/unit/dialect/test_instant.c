/*
 * Times of RFC 3339: zones, fractions, leap days, and what is none.
 */
#include "dialect/instant.h"

#include "unit.h"

START_TEST(test_instants)
{
	static const struct {
		struct str text;
		uint64_t s;
	} cases[] = {
		{ STR_INIT("1970-01-01T00:00:00Z"), 0 },
		{ STR_INIT("1970-01-01T00:59:59+01:00"), 0 },
		{ STR_INIT("2026-09-21T14:13:20Z"), 1790000000 },
		{ STR_INIT("2026-09-21t14:13:20z"), 1790000000 },
		{ STR_INIT("2026-09-21T14:13:20.999999999Z"), 1790000000 },
		{ STR_INIT("2026-09-21T16:13:20.5+02:00"), 1790000000 },
		{ STR_INIT("2026-09-21T08:43:20-05:30"), 1790000000 },
		{ STR_INIT("2024-02-29T00:00:00Z"), 1709164800 },
		{ STR_INIT("2024-03-01T00:00:00Z"), 1709251200 },
		{ STR_INIT("2100-03-01T00:00:00Z"), 4107542400 },
		{ STR_INIT(""), 0 },
		{ STR_INIT("2026-09-21"), 0 },
		{ STR_INIT("2026-09-21T14:13:20"), 0 },
		{ STR_INIT("2026-09-21T14:13:20ZZ"), 0 },
		{ STR_INIT("2026-09-21T14:13:20+0200"), 0 },
		{ STR_INIT("2026-09-21T14:13:20+02:00x"), 0 },
		{ STR_INIT("2026-13-21T14:13:20Z"), 0 },
		{ STR_INIT("2026-09-00T14:13:20Z"), 0 },
		{ STR_INIT("26-09-21T14:13:20Z"), 0 },
		{ STR_INIT(" 2026-09-21T14:13:20Z"), 0 },
		{ STR_INIT("2026-09-21T14:-3:20Z"), 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(instant_s(cases[i].text) == cases[i].s, "%.*s: %llu, not %llu",
			STR_ARG(cases[i].text), (unsigned long long)instant_s(cases[i].text),
			(unsigned long long)cases[i].s);
}
END_TEST

START_TEST(test_http_dates)
{
	static const struct {
		struct str text;
		uint64_t s;
	} cases[] = {
		{ STR_INIT("Mon, 21 Sep 2026 14:13:20 GMT"), 1790000000 },
		{ STR_INIT("Thu, 29 Feb 2024 00:00:00 GMT"), 1709164800 },
		{ STR_INIT("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777 },
		{ STR_INIT("Thu, 01 Jan 1970 00:00:00 GMT"), 0 },
		{ STR_INIT("Wed, 31 Dec 1969 23:59:59 GMT"), 0 },
		{ STR_INIT(""), 0 },
		{ STR_INIT("Sunday, 06-Nov-94 08:49:37 GMT"), 0 },
		{ STR_INIT("Sun Nov  6 08:49:37 1994"), 0 },
		{ STR_INIT("Mon, 21 Sep 2026 14:13:20 UTC"), 0 },
		{ STR_INIT("Mon, 21 Sxp 2026 14:13:20 GMT"), 0 },
		{ STR_INIT("Mon, 00 Sep 2026 14:13:20 GMT"), 0 },
		{ STR_INIT("Mon, 21 Sep 2026 14:13:20 GM"), 0 },
		{ STR_INIT("Mon, 21 Sep 2026 14-13:20 GMT"), 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(instant_http_s(cases[i].text) == cases[i].s, "%.*s: %llu, not %llu",
			STR_ARG(cases[i].text), (unsigned long long)instant_http_s(cases[i].text),
			(unsigned long long)cases[i].s);
}
END_TEST

UNIT_MAIN("dialect/instant", test_instants, test_http_dates)
