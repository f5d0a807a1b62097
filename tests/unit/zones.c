/* SPDX-License-Identifier: MIT */
/*
 * core/zones.c alone: what may be done to a zone in which condition, what
 * becomes of it, and how many may be open and active.
 */
#include "support.h"

#include <errno.h>

#include "zones.h"

enum { COUNT = 8, SIZE = 128, CAPACITY = 96, FIRST = 2 /* not conventional */ };

static struct zones zones;

static void open_zones(uint32_t max_open, uint32_t max_active)
{
	const struct zones_config config = {
		.count = COUNT,
		.conventional = FIRST,
		.size = SIZE,
		.capacity = CAPACITY,
		.max_open = max_open,
		.max_active = max_active,
	};

	assert_int_equal(zones_open(&zones, &config), 0);
}

static struct blk_zone zone(uint32_t index)
{
	struct blk_zone report;

	assert_int_equal(zones_report(&zones, index * SIZE, 1, &report), 1);
	assert_int_equal(report.start, index * SIZE);
	assert_int_equal(report.len, SIZE);
	return report;
}

static void assert_zone(uint32_t index, unsigned condition, unsigned wp)
{
	assert_int_equal(zone(index).cond, condition);
	assert_int_equal(zone(index).wp, index * SIZE + wp);
}

/* Begin to write `length` at `at` of zone `index`. */
static int begin(uint32_t index, uint32_t at, uint32_t length, struct zone_write *w)
{
	uint64_t sector = index * SIZE + at;

	return zones_begin_write(&zones, &sector, length, false, w);
}

static int write_zone(uint32_t index, uint32_t at, uint32_t length)
{
	struct zone_write w;
	int ret = begin(index, at, length, &w);

	if (ret == 0)
		zones_end_write(&zones, &w, 0);
	return ret;
}

static int append(uint32_t index, uint32_t length, uint64_t *sector, struct zone_write *w)
{
	*sector = index * SIZE;
	return zones_begin_write(&zones, sector, length, true, w);
}

static int command(uint8_t op, uint32_t index)
{
	return zones_command(&zones, op, index * SIZE);
}

static uint32_t written(uint32_t index, uint32_t at, uint32_t length)
{
	uint32_t there;

	assert_int_equal(zones_written(&zones, index * SIZE + at, length, &there), 0);
	return there;
}

static void zones_are_empty_at_first(void **state)
{
	struct blk_zone all[COUNT + 1];

	open_zones(0, 0);
	assert_int_equal(zones_report(&zones, 0, COUNT + 1, all), COUNT);
	assert_int_equal(all[FIRST - 1].type, BLK_ZONE_TYPE_CONVENTIONAL);
	assert_int_equal(all[FIRST - 1].cond, BLK_ZONE_COND_NOT_WP);
	assert_int_equal(all[FIRST - 1].capacity, SIZE);
	assert_int_equal(all[FIRST].type, BLK_ZONE_TYPE_SEQWRITE_REQ);
	assert_int_equal(all[FIRST].capacity, CAPACITY);
	assert_int_equal(zones_report(&zones, (COUNT - 2) * SIZE, 5, all), 2);
	assert_int_equal(all[1].start, (COUNT - 1) * SIZE);
	assert_int_equal(zones_report(&zones, COUNT * SIZE, 1, all), 0);
	assert_zone(COUNT - 1, BLK_ZONE_COND_EMPTY, 0);
	zones_close(&zones);
}

static void a_write_is_at_the_write_pointer(void **state)
{
	open_zones(0, 0);
	assert_int_equal(write_zone(3, 8, 8), -EIO);
	assert_int_equal(write_zone(3, 0, 8), 0);
	assert_zone(3, BLK_ZONE_COND_IMP_OPEN, 8);
	assert_int_equal(write_zone(3, 0, 8), -EIO);
	assert_int_equal(write_zone(3, 16, 8), -EIO);
	assert_int_equal(write_zone(3, 8, CAPACITY - 7), -EIO); /* beyond the capacity */
	assert_zone(3, BLK_ZONE_COND_IMP_OPEN, 8);
	assert_int_equal(write_zone(3, 8, CAPACITY - 8), 0);
	assert_zone(3, BLK_ZONE_COND_FULL, SIZE);
	assert_int_equal(write_zone(3, CAPACITY, 8), -EIO);
	assert_int_equal(write_zone(COUNT, 0, 8), -EIO);
	assert_int_equal(written(3, 0, CAPACITY), CAPACITY);
	zones_close(&zones);
}

static void a_conventional_zone_is_written_anywhere(void **state)
{
	struct zone_write w;
	uint64_t sector;

	open_zones(1, 1);
	assert_int_equal(write_zone(1, 64, 8), 0);
	assert_int_equal(write_zone(1, 0, SIZE), 0);
	assert_int_equal(write_zone(1, 64, SIZE), -EIO); /* into the next */
	assert_int_equal(append(1, 8, &sector, &w), -EIO);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 1), -EIO);
	assert_int_equal(command(UL_OP_ZONE_RESET, 1), -EIO);
	assert_int_equal(written(1, 100, 28), 28);
	zones_close(&zones);
}

static void what_was_answered_is_written(void **state)
{
	struct zone_write first, second;
	uint64_t sector;
	uint32_t there;

	open_zones(0, 0);
	assert_int_equal(append(4, 8, &sector, &first), 0);
	assert_int_equal(sector, 4 * SIZE);
	assert_int_equal(append(4, 16, &sector, &second), 0);
	assert_int_equal(sector, 4 * SIZE + 8);
	assert_zone(4, BLK_ZONE_COND_IMP_OPEN, 24);
	assert_int_equal(written(4, 0, 64), 0);
	zones_end_write(&zones, &first, 0);
	assert_int_equal(written(4, 0, 64), 8);
	assert_int_equal(written(4, 4, 2), 2);
	assert_int_equal(written(4, 8, 8), 0);
	zones_end_write(&zones, &second, 0);
	assert_int_equal(written(4, 16, 64), 8);
	assert_int_equal(zones_written(&zones, 4 * SIZE + 100, 40, &there), -EIO);
	assert_int_equal(zones_written(&zones, COUNT * SIZE, 8, &there), -EIO);
	sector = 4 * SIZE + 8; /* an append is to the whole zone */
	assert_int_equal(zones_begin_write(&zones, &sector, 8, true, &first), -EIO);
	zones_close(&zones);
}

static void a_write_that_fails_takes_the_write_pointer_back(void **state)
{
	struct zone_write first, second;

	open_zones(0, 0);
	assert_int_equal(write_zone(3, 0, 8), 0);
	assert_int_equal(begin(3, 8, 8, &first), 0);
	zones_end_write(&zones, &first, -ENOSPC);
	assert_zone(3, BLK_ZONE_COND_IMP_OPEN, 8);
	assert_int_equal(begin(3, 8, 8, &first), 0);
	assert_int_equal(begin(3, 16, CAPACITY - 16, &second), 0);
	assert_zone(3, BLK_ZONE_COND_FULL, SIZE);
	zones_end_write(&zones, &first, -EIO); /* another is behind it */
	assert_zone(3, BLK_ZONE_COND_FULL, SIZE);
	zones_end_write(&zones, &second, -EIO);
	assert_zone(3, BLK_ZONE_COND_CLOSED, 16);
	assert_int_equal(begin(4, 0, CAPACITY, &first), 0);
	zones_end_write(&zones, &first, -EIO);
	assert_zone(4, BLK_ZONE_COND_EMPTY, 0);
	zones_close(&zones);
}

static void zones_are_opened_closed_finished_and_reset(void **state)
{
	open_zones(0, 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 3), 0);
	assert_zone(3, BLK_ZONE_COND_EXP_OPEN, 0);
	assert_int_equal(command(UL_OP_ZONE_CLOSE, 3), 0);
	assert_zone(3, BLK_ZONE_COND_EMPTY, 0);
	assert_int_equal(command(UL_OP_ZONE_CLOSE, 3), 0);
	assert_int_equal(write_zone(3, 0, 8), 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 3), 0);
	assert_zone(3, BLK_ZONE_COND_EXP_OPEN, 8);
	assert_int_equal(write_zone(3, 8, 8), 0);
	assert_int_equal(command(UL_OP_ZONE_CLOSE, 3), 0);
	assert_zone(3, BLK_ZONE_COND_CLOSED, 16);
	assert_int_equal(command(UL_OP_ZONE_FINISH, 3), 0);
	assert_zone(3, BLK_ZONE_COND_FULL, SIZE);
	assert_int_equal(command(UL_OP_ZONE_FINISH, 3), 0);
	assert_int_equal(command(UL_OP_ZONE_CLOSE, 3), 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 3), -EIO);
	assert_int_equal(write_zone(3, 16, 8), -EIO);
	assert_int_equal(written(3, 0, CAPACITY), 16);
	assert_int_equal(command(UL_OP_ZONE_RESET, 3), 0);
	assert_zone(3, BLK_ZONE_COND_EMPTY, 0);
	assert_int_equal(written(3, 0, CAPACITY), 0);
	assert_int_equal(zones_command(&zones, UL_OP_ZONE_RESET, 3 * SIZE + 8), -EIO);
	assert_int_equal(command(UL_OP_ZONE_RESET, COUNT), -EIO);
	zones_close(&zones);
}

static void a_zone_with_a_write_on_its_way_stays(void **state)
{
	struct zone_write w;

	open_zones(0, 0);
	assert_int_equal(write_zone(4, 0, 8), 0);
	assert_int_equal(begin(3, 0, 8, &w), 0);
	assert_int_equal(command(UL_OP_ZONE_RESET, 3), -EIO);
	assert_int_equal(command(UL_OP_ZONE_FINISH, 3), -EIO);
	assert_int_equal(command(UL_OP_ZONE_RESET_ALL, 0), -EIO);
	assert_zone(4, BLK_ZONE_COND_IMP_OPEN, 8);
	zones_end_write(&zones, &w, 0);
	assert_int_equal(command(UL_OP_ZONE_RESET_ALL, 0), 0);
	assert_zone(3, BLK_ZONE_COND_EMPTY, 0);
	assert_zone(4, BLK_ZONE_COND_EMPTY, 0);
	assert_int_equal(zone(0).cond, BLK_ZONE_COND_NOT_WP);
	zones_close(&zones);
}

static void only_so_many_are_open(void **state)
{
	open_zones(2, 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 2), 0);
	assert_int_equal(write_zone(3, 0, 8), 0);
	assert_int_equal(write_zone(4, 0, 8), 0);
	assert_zone(3, BLK_ZONE_COND_CLOSED, 8); /* for the next */
	assert_int_equal(command(UL_OP_ZONE_OPEN, 5), 0);
	assert_zone(4, BLK_ZONE_COND_CLOSED, 8);
	assert_int_equal(write_zone(4, 8, 8), -ETOOMANYREFS);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 6), -ETOOMANYREFS);
	assert_zone(6, BLK_ZONE_COND_EMPTY, 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 5), 0); /* it is */
	assert_int_equal(command(UL_OP_ZONE_FINISH, 5), 0);
	assert_int_equal(write_zone(4, 8, 8), 0);
	zones_close(&zones);
}

static void only_so_many_are_active(void **state)
{
	open_zones(2, 3);
	for (uint32_t i = 2; i < 5; i++)
		assert_int_equal(write_zone(i, 0, 8), 0);
	assert_int_equal(write_zone(5, 0, 8), -EOVERFLOW);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 5), -EOVERFLOW);
	assert_zone(2, BLK_ZONE_COND_CLOSED, 8);
	assert_int_equal(write_zone(2, 8, 8), 0); /* it is active already */
	assert_int_equal(write_zone(3, 8, CAPACITY - 8), 0);
	assert_int_equal(write_zone(5, 0, 8), 0);
	assert_int_equal(write_zone(6, 0, 8), -EOVERFLOW);
	assert_int_equal(command(UL_OP_ZONE_RESET, 4), 0);
	assert_int_equal(write_zone(6, 0, 8), 0);
	zones_close(&zones);
}

static void a_broken_zone_stays_as_it_is(void **state)
{
	struct zone_write w;
	uint64_t sector;
	uint32_t there;

	open_zones(0, 0);
	zones_break(&zones, 3, BLK_ZONE_COND_READONLY);
	zones_break(&zones, 4, BLK_ZONE_COND_OFFLINE);
	for (uint32_t i = 3; i < 5; i++) {
		assert_int_equal(write_zone(i, 0, 8), -EIO);
		assert_int_equal(append(i, 8, &sector, &w), -EIO);
		for (unsigned op = UL_OP_ZONE_OPEN; op <= UL_OP_ZONE_FINISH; op++)
			assert_int_equal(command((uint8_t)op, i), -EIO);
		assert_int_equal(command(UL_OP_ZONE_RESET, i), -EIO);
	}
	assert_int_equal(written(3, 0, 8), 0);
	assert_int_equal(zones_written(&zones, 4 * SIZE, 8, &there), -EIO);
	assert_int_equal(command(UL_OP_ZONE_RESET_ALL, 0), 0);
	assert_int_equal(zone(3).cond, BLK_ZONE_COND_READONLY);
	assert_int_equal(zone(4).cond, BLK_ZONE_COND_OFFLINE);
	zones_close(&zones);
}

static void what_is_saved_is_restored(void **state)
{
	struct zone_record records[COUNT];
	struct zone_write w;
	uint64_t changes;

	open_zones(0, 0);
	assert_int_equal(write_zone(2, 0, CAPACITY), 0);
	assert_int_equal(write_zone(3, 0, 8), 0);
	assert_int_equal(command(UL_OP_ZONE_FINISH, 4), 0);
	assert_int_equal(command(UL_OP_ZONE_OPEN, 5), 0);
	assert_int_equal(begin(6, 0, CAPACITY, &w), 0);
	changes = zones_save(&zones, records);
	assert_int_equal(changes, zones_changes(&zones));
	zones_end_write(&zones, &w, 0);
	assert_true(zones_changes(&zones) > changes);
	zones_close(&zones);
	open_zones(0, 0);
	assert_int_equal(zones_restore(&zones, records), 0);
	assert_zone(2, BLK_ZONE_COND_FULL, SIZE);
	assert_zone(3, BLK_ZONE_COND_CLOSED, 8);
	assert_zone(4, BLK_ZONE_COND_FULL, SIZE);
	assert_zone(5, BLK_ZONE_COND_EMPTY, 0);
	assert_zone(6, BLK_ZONE_COND_EMPTY, 0); /* its write had not been answered */
	assert_int_equal(written(4, 0, 8), 0);
	records[3].written = CAPACITY + 1;
	assert_int_equal(zones_restore(&zones, records), -EINVAL);
	zones_close(&zones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zones_are_empty_at_first),
		cmocka_unit_test(a_write_is_at_the_write_pointer),
		cmocka_unit_test(a_conventional_zone_is_written_anywhere),
		cmocka_unit_test(what_was_answered_is_written),
		cmocka_unit_test(a_write_that_fails_takes_the_write_pointer_back),
		cmocka_unit_test(zones_are_opened_closed_finished_and_reset),
		cmocka_unit_test(a_zone_with_a_write_on_its_way_stays),
		cmocka_unit_test(only_so_many_are_open),
		cmocka_unit_test(only_so_many_are_active),
		cmocka_unit_test(a_broken_zone_stays_as_it_is),
		cmocka_unit_test(what_is_saved_is_restored),
	};

	return cmocka_run_group_tests_name("zones", tests, NULL, NULL);
}
