/* SPDX-License-Identifier: MIT */
/*
 * core/recovery.c: the flags for each way of recovery, as ublk_drv.c checks
 * them, and what is said where the driver has not got them.
 */
#include "support.h"

#include <errno.h>

#include "recovery.h"
#include "uapi.h"

static const uint64_t old = UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE,
		      all = old | UBLK_F_USER_RECOVERY_FAIL_IO;

static uint64_t flags_of(const char *way, uint64_t offered)
{
	struct ul_device dev = { .recover = recovery_of(way) };
	uint64_t flags = ~0ULL;

	assert_int_equal(recovery_flags(&dev, offered, "test.lua", &flags), 0);
	return flags;
}

static void each_way_has_its_flags(void **state)
{
	assert_int_equal(flags_of("none", all), 0);
	assert_int_equal(flags_of("none", 0), 0);
	assert_int_equal(flags_of("fail", all),
			 UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_FAIL_IO);
	assert_int_equal(flags_of("requeue", old), UBLK_F_USER_RECOVERY);
	assert_int_equal(flags_of("reissue", 0), old);
}

static void a_driver_without_it_is_told(void **state)
{
	struct ul_device dev = { .recover = UL_RECOVER_FAIL };
	const char *log;
	uint64_t flags;

	log_begin();
	assert_int_equal(recovery_flags(&dev, old, "test.lua", &flags), -EOPNOTSUPP);
	log = log_end();
	assert_one_line(log);
	assert_has(log, "test.lua: recover = \"fail\"");
	assert_has(log, "USER_RECOVERY_FAIL_IO");
	assert_has(log, "6.13");
}

static void names_go_both_ways(void **state)
{
	for (int32_t way = 0; way < UL_RECOVER_COUNT; way++)
		assert_int_equal(recovery_of(recovery_name(way)), way);
	assert_null(recovery_name(UL_RECOVER_COUNT));
	assert_null(recovery_name(-1));
	assert_int_equal(recovery_of("never"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_has_its_flags),
		cmocka_unit_test(a_driver_without_it_is_told),
		cmocka_unit_test(names_go_both_ways),
	};

	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
