/* SPDX-License-Identifier: MIT */
/*
 * core/in_use.c: what opens is free, and what does not, here a pipe that has no
 * writer, is in use and holds up nobody.
 */
#include "support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "in_use.h"

static void what_opens_is_free(void **state)
{
	assert_false(in_use("/dev/null", 10000));
	assert_false(in_use("/nonexistent", 10000));
}

static void what_does_not_open_is_in_use_and_waited_for_no_longer(void **state)
{
	char dir[] = "/tmp/ublk-in-use-XXXXXX", path[64];
	uint64_t begin = clock_now();

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pipe", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(in_use(path, 100));
	assert_in_range(clock_now() - begin, CLOCK_SECOND / 10, 20ULL * CLOCK_SECOND);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_opens_is_free),
		cmocka_unit_test(what_does_not_open_is_in_use_and_waited_for_no_longer),
	};

	return cmocka_run_group_tests_name("in_use", tests, NULL, NULL);
}
