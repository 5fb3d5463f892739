/*
 * Time: the fake clock stands still, the real one moves with clock_refresh alone, and the text of
 * the wall clock is right over the ends of seconds and years.
 */
#include "net/clock.h"

#include <time.h>

#include "unit.h"

START_TEST(test_text)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 999, "1970-01-01T00:00:00.999Z" },
		{ 1000, "1970-01-01T00:00:01.000Z" },
		{ 1000007, "1970-01-01T00:16:40.007Z" },
		{ 951782399050, "2000-02-28T23:59:59.050Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 1777636800123, "2026-05-01T12:00:00.123Z" },
		{ 1777636800124, "2026-05-01T12:00:00.124Z" },
		{ 1777636799999, "2026-05-01T11:59:59.999Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	};
	char out[CLOCK_TEXT];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		clock_text(cases[i].ms, out);
		ck_assert_str_eq(out, cases[i].text);
	}
}
END_TEST

START_TEST(test_real)
{
	struct timespec ts;
	uint64_t first, wall;

	clock_refresh();
	first = clock_us();
	wall = clock_wall_ms();
	clock_gettime(CLOCK_REALTIME, &ts);
	ck_assert_uint_le(wall, (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
	ck_assert_uint_ge(wall + 5000, (uint64_t)ts.tv_sec * 1000);
	nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	ck_assert_uint_eq(clock_us(), first); /* one reading a turn */
	clock_refresh();
	ck_assert_uint_ge(clock_us(), first + 3000);
	ck_assert_uint_eq(clock_ms(), clock_us() / 1000);
	first = clock_us();
	wall = clock_wall_ms();
	nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	ck_assert_uint_ge(clock_again(), first + 3000);
	ck_assert_uint_ge(clock_us(), first + 3000);
	ck_assert_uint_eq(clock_wall_ms(), wall); /* which moves with the turn */
}
END_TEST

START_TEST(test_fake)
{
	clock_fake(5000, 77);
	clock_refresh();
	ck_assert_uint_eq(clock_ms(), 5000);
	ck_assert_uint_eq(clock_us(), 5000000);
	ck_assert_uint_eq(clock_wall_ms(), 77);
	clock_fake_cost(9);
	ck_assert_uint_eq(clock_again(), 5000009);
	ck_assert_uint_eq(clock_us(), 5000000);
	clock_fake(5001, 78);
	ck_assert_uint_eq(clock_ms(), 5001);
}
END_TEST

UNIT_MAIN("net/clock", test_text, test_real, test_fake)
