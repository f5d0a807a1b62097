/* SPDX-License-Identifier: MIT */
/*
 * core/watchdog.c: a queue that is in one round for longer than the limit is
 * told, once; one that waits, or whose rounds go on, is not. The clock is the
 * test's.
 */
#include "support.h"

#include "clock.h"
#include "watchdog.h"

static uint64_t time_now;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	time->tv_sec = (time_t)(time_now / CLOCK_SECOND);
	time->tv_nsec = (long)(time_now % CLOCK_SECOND);
	return 0;
}

static struct stats one, two;
static const struct stats *const both[] = { &one, &two };
static struct watchdog dog;

static int begin(void **state)
{
	time_now = 1000ULL * CLOCK_SECOND;
	atomic_store(&one.busy, false);
	atomic_store(&two.busy, false);
	return watchdog_open(&dog, 2.0, 2);
}

static int end(void **state)
{
	watchdog_close(&dog);
	return 0;
}

static int look_after(double seconds)
{
	time_now += (uint64_t)(seconds * CLOCK_SECOND);
	return watchdog_look(&dog, both);
}

static void a_round_that_does_not_end_is_told_once(void **state)
{
	assert_int_equal(look_after(0), -1);
	atomic_store(&two.busy, true);
	assert_int_equal(look_after(100), -1); /* seen the first time */
	assert_int_equal(look_after(1.9), -1);
	assert_int_equal(look_after(0.2), 1);
	assert_int_equal(look_after(1), -1);
}

static void waiting_is_not_hanging(void **state)
{
	assert_int_equal(look_after(0), -1);
	assert_int_equal(look_after(100), -1);
}

static void rounds_that_go_on_are_not_hanging(void **state)
{
	atomic_store(&one.busy, true);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(look_after(1.5), -1);
		one.rounds++;
	}
	assert_int_equal(look_after(0.1), -1);
	assert_int_equal(look_after(2.1), 0);
}

static void below_zero_it_sleeps(void **state)
{
	struct watchdog asleep;

	assert_int_equal(watchdog_open(&asleep, -1, 2), 0);
	assert_int_equal(watchdog_wait_ms(&asleep), -1);
	atomic_store(&one.busy, true);
	assert_int_equal(watchdog_look(&asleep, both), -1);
	time_now += 1000ULL * CLOCK_SECOND;
	assert_int_equal(watchdog_look(&asleep, both), -1);
	watchdog_close(&asleep);
	assert_in_range(watchdog_wait_ms(&dog), 1, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_round_that_does_not_end_is_told_once, begin, end),
		cmocka_unit_test_setup_teardown(waiting_is_not_hanging, begin, end),
		cmocka_unit_test_setup_teardown(rounds_that_go_on_are_not_hanging, begin, end),
		cmocka_unit_test_setup_teardown(below_zero_it_sleeps, begin, end),
	};

	return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
