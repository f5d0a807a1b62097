/* SPDX-License-Identifier: MIT */
/*
 * core/mode.c: which way the data goes, by what the driver offers, what the
 * backing takes and what the script looks at; and what is said where a way that
 * was asked for is not to be had.
 */
#include "support.h"

#include <errno.h>

#include "mode.h"

static const uint64_t none = 0, plain = UBLK_F_NEED_GET_DATA, copy = plain | UBLK_F_USER_COPY,
		      zero = copy | UBLK_F_SUPPORT_ZERO_COPY, all = zero | UBLK_F_AUTO_BUF_REG;

static const struct mode_backing nothing = { .lazy = true, .fixed = true },
				 memory = { .lazy = true }, disk = { .fixed = true }, other = { 0 };

static struct mode_choice choose(int32_t mode, uint32_t look, const struct mode_backing *backing,
				 uint64_t offered)
{
	struct ul_device dev = { .mode = mode, .look_mask = look };
	struct mode_choice choice;

	assert_int_equal(mode_choose(&dev, backing, offered, "test.lua", &choice), 0);
	assert_true(choice.why && *choice.why);
	return choice;
}

/* One line, with these words. */
static void assert_refused(int32_t mode, const struct mode_backing *backing, uint64_t offered,
			   const char *words)
{
	struct ul_device dev = { .mode = mode };
	struct mode_choice choice;
	const char *log;
	int ret;

	log_begin();
	ret = mode_choose(&dev, backing, offered, "test.lua", &choice);
	log = log_end();
	assert_int_equal(ret, -EOPNOTSUPP);
	assert_has(log, "test.lua: mode = \"");
	assert_has(log, mode_name(mode));
	assert_has(log, words);
	assert_one_line(log);
}

static void what_is_asked_for_is_what_is_chosen(void **state)
{
	assert_int_equal(choose(UL_MODE_COPY, 0, &memory, all).flags, 0);
	assert_int_equal(choose(UL_MODE_GET_DATA, 0, &memory, all).flags, UBLK_F_NEED_GET_DATA);
	assert_int_equal(choose(UL_MODE_USER_COPY, 3, &other, all).flags, UBLK_F_USER_COPY);
	assert_int_equal(choose(UL_MODE_ZERO_COPY, 0, &disk, all).flags,
			 UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_USER_COPY);
	assert_int_equal(choose(UL_MODE_AUTO_BUF, 3, &disk, all).flags,
			 UBLK_F_AUTO_BUF_REG | UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_USER_COPY);
	for (int32_t mode = UL_MODE_COPY; mode < UL_MODE_COUNT; mode++)
		assert_int_equal(choose(mode, 0, &nothing, all).mode, mode);
}

/* A driver before 6.5 cannot be asked; what the first one had it has. */
static void a_driver_that_does_not_say_has_what_the_first_one_had(void **state)
{
	assert_int_equal(choose(UL_MODE_GET_DATA, 0, &memory, none).mode, UL_MODE_GET_DATA);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &memory, none).mode, UL_MODE_COPY);
	assert_refused(UL_MODE_USER_COPY, &memory, none, "Linux 6.5 has");
}

static void what_the_driver_lacks_is_named(void **state)
{
	assert_refused(UL_MODE_USER_COPY, &memory, plain, "(no USER_COPY, ");
	assert_refused(UL_MODE_ZERO_COPY, &disk, copy, "no SUPPORT_ZERO_COPY, ");
	assert_refused(UL_MODE_ZERO_COPY, &disk, copy, "Linux 6.15 has");
	assert_refused(UL_MODE_AUTO_BUF, &disk, zero, "no AUTO_BUF_REG, ");
	assert_refused(UL_MODE_AUTO_BUF, &disk, zero, "Linux 6.16 has");
}

static void a_backing_that_takes_no_pages_refuses_them(void **state)
{
	assert_refused(UL_MODE_ZERO_COPY, &memory, all, "\"user_copy\"");
	assert_refused(UL_MODE_AUTO_BUF, &other, all, "\"copy\"");
}

static void auto_is_by_who_wants_the_data(void **state)
{
	enum { LOOKS = 1 << UL_OP_READ, WRITES = 1 << UL_OP_WRITE, CLEARS = 1 << UL_OP_DISCARD };

	assert_int_equal(choose(UL_MODE_AUTO, 0, &nothing, all).mode, UL_MODE_USER_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &memory, all).mode, UL_MODE_USER_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, CLEARS, &memory, copy).mode, UL_MODE_USER_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &disk, all).mode, UL_MODE_AUTO_BUF);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &disk, zero).mode, UL_MODE_ZERO_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &disk, copy).mode, UL_MODE_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, 0, &other, all).mode, UL_MODE_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, LOOKS, &memory, all).mode, UL_MODE_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, WRITES, &disk, all).mode, UL_MODE_COPY);
	assert_int_equal(choose(UL_MODE_AUTO, LOOKS | WRITES, &nothing, all).mode, UL_MODE_COPY);
}

static void auto_takes_nothing_that_the_driver_has_not(void **state)
{
	const struct mode_backing *const backings[] = { &nothing, &memory, &disk, &other };
	const uint64_t offers[] = { plain, copy, zero, all };

	for (unsigned i = 0; i < ARRAY_SIZE(backings); i++)
		for (unsigned o = 0; o < ARRAY_SIZE(offers); o++)
			for (uint32_t look = 0; look < 4; look++)
				assert_int_equal(
					choose(UL_MODE_AUTO, look, backings[i], offers[o]).flags &
						~offers[o],
					0);
}

static void a_zoned_device_is_never_copied(void **state)
{
	const struct mode_backing *const backings[] = { &nothing, &memory, &disk, &other };
	struct ul_device dev = { .zones.size = 1 << 20 };
	struct mode_choice choice;
	const char *log;

	for (unsigned i = 0; i < ARRAY_SIZE(backings); i++)
		for (dev.look_mask = 0; dev.look_mask < 4; dev.look_mask++) {
			assert_int_equal(mode_choose(&dev, backings[i], all, "test.lua", &choice),
					 0);
			assert_true(choice.flags & UBLK_F_USER_COPY);
		}
	for (dev.mode = UL_MODE_COPY; dev.mode <= UL_MODE_GET_DATA; dev.mode++) {
		log_begin();
		assert_int_equal(mode_choose(&dev, &memory, all, "test.lua", &choice), -EOPNOTSUPP);
		log = log_end();
		assert_has(log, "test.lua: mode = \"");
		assert_has(log, "not over ublk.zoned, which takes \"user_copy\"");
		assert_one_line(log);
	}
}

static void a_driver_that_drops_a_mode_is_seen(void **state)
{
	struct mode_choice choice = choose(UL_MODE_ZERO_COPY, 0, &disk, all);
	const char *log;
	int ret;

	assert_int_equal(mode_kept(&choice, choice.flags, "test.lua"), 0);
	log_begin();
	ret = mode_kept(&choice, UBLK_F_USER_COPY, "test.lua");
	log = log_end();
	assert_int_equal(ret, -EOPNOTSUPP);
	assert_has(log, "test.lua: mode = \"zero_copy\"");
	assert_one_line(log);
}

/* Where batches are only used because the driver has them, they are not. */
static void get_data_goes_without_batches(void **state)
{
	struct ul_device dev = { .mode = UL_MODE_GET_DATA, .batch = UL_YES };
	struct mode_choice choice;
	const char *log;
	int ret;

	log_begin();
	ret = mode_choose(&dev, &memory, all, "test.lua", &choice);
	log = log_end();
	assert_int_equal(ret, -EOPNOTSUPP);
	assert_has(log, "batch = true");
	assert_one_line(log);
	assert_int_equal(choose(UL_MODE_GET_DATA, 0, &memory, all).without, UBLK_F_BATCH_IO);
	assert_int_equal(choose(UL_MODE_COPY, 0, &memory, all).without, 0);
}

/* By user copy, which zero copy has beside it. */
static void metadata_takes_a_mode_that_moves_it(void **state)
{
	static const struct mode_backing *const backings[] = { &nothing, &memory, &disk, &other };
	struct ul_device dev = { .integrity.wanted = 1, .look_mask = 3 };
	struct mode_choice choice;
	const char *log;

	for (unsigned i = 0; i < ARRAY_SIZE(backings); i++) {
		assert_int_equal(mode_choose(&dev, backings[i], all, "test.lua", &choice), 0);
		assert_int_equal(choice.mode, UL_MODE_USER_COPY);
		assert_has(choice.why, "metadata");
	}
	for (dev.mode = UL_MODE_COPY; dev.mode < UL_MODE_COUNT; dev.mode++) {
		int ret;

		log_begin();
		ret = mode_choose(&dev, &disk, all, "test.lua", &choice);
		log = log_end();
		if (choice.flags & UBLK_F_USER_COPY) {
			assert_int_equal(ret, 0);
			continue;
		}
		assert_int_equal(ret, -EOPNOTSUPP);
		assert_has(log, "test.lua: mode = \"");
		assert_has(log, "integrity needs \"user_copy\"");
		assert_one_line(log);
	}
}

static void names_are_numbers_and_back(void **state)
{
	for (int32_t mode = 0; mode < UL_MODE_COUNT; mode++)
		assert_int_equal(mode_of(mode_name(mode)), mode);
	assert_int_equal(mode_of("fast"), -1);
	assert_int_equal(mode_of(""), -1);
	assert_null(mode_name(UL_MODE_COUNT));
	assert_null(mode_name(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked_for_is_what_is_chosen),
		cmocka_unit_test(a_driver_that_does_not_say_has_what_the_first_one_had),
		cmocka_unit_test(what_the_driver_lacks_is_named),
		cmocka_unit_test(a_backing_that_takes_no_pages_refuses_them),
		cmocka_unit_test(auto_is_by_who_wants_the_data),
		cmocka_unit_test(auto_takes_nothing_that_the_driver_has_not),
		cmocka_unit_test(a_zoned_device_is_never_copied),
		cmocka_unit_test(a_driver_that_drops_a_mode_is_seen),
		cmocka_unit_test(get_data_goes_without_batches),
		cmocka_unit_test(metadata_takes_a_mode_that_moves_it),
		cmocka_unit_test(names_are_numbers_and_back),
	};

	return cmocka_run_group_tests_name("mode", tests, NULL, NULL);
}
