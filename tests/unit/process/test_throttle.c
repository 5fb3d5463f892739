/*
 * Tests of process/throttle.
 */
#include "unit.h"

#include "process/throttle.h"

START_TEST(to_live_is_to_be_ready_and_to_last)
{
	static const struct {
		bool ready;
		uint64_t age_ms;
		bool lived;
	} cases[] = {
		{ false, 0, false },
		{ false, 100000, false },
		{ true, 0, false },
		{ true, 999, false },
		{ true, 1000, true },
		{ true, UINT64_MAX, true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_int_eq(throttle_lived(cases[i].ready, cases[i].age_ms), cases[i].lived);
}
END_TEST

START_TEST(delays_double_to_a_minute)
{
	static const unsigned delays[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	unsigned last = 0;
	for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
		last = throttle_next(last, false);
		ck_assert_uint_eq(last, delays[i]);
	}
}
END_TEST

START_TEST(one_that_lived_starts_afresh)
{
	for (unsigned last = 0; last <= THROTTLE_MAX_S; last++) {
		ck_assert_uint_eq(throttle_next(last, true), 0);
		ck_assert_uint_ge(throttle_next(last, false), last == 0 ? 1 : last);
		ck_assert_uint_le(throttle_next(last, false), THROTTLE_MAX_S);
	}
	ck_assert_uint_eq(throttle_next(throttle_next(32, true), false), 1);
}
END_TEST

UNIT_MAIN("process/throttle", to_live_is_to_be_ready_and_to_last, delays_double_to_a_minute,
	one_that_lived_starts_afresh)
