/* SPDX-License-Identifier: MIT */
/*
 * core/params.c: what a script leaves open gets its default, every limit holds
 * at its edge, and the driver gets what the device says.
 */
#include "support.h"

#include <errno.h>
#include <unistd.h>

#include "params.h"

static uint32_t page_size(void)
{
	return (uint32_t)sysconf(_SC_PAGESIZE);
}

static int complete(struct ul_device dev, const char **message)
{
	int ret;

	log_begin();
	ret = params_complete(&dev, "test.lua");
	*message = log_end();
	return ret;
}

static void assert_accepted(struct ul_device dev)
{
	const char *message;

	assert_int_equal(complete(dev, &message), 0);
	assert_string_equal(message, "");
}

/* Refused by one line that names the script and the field. */
static void assert_refused(struct ul_device dev, const char *field)
{
	const char *message;

	assert_int_equal(complete(dev, &message), -EINVAL);
	assert_has(message, "test.lua: ");
	assert_has(message, field);
	assert_one_line(message);
}

static void what_is_left_open_gets_defaults(void **state)
{
	struct ul_device dev = { .size = 1 << 20 };

	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	assert_int_equal(dev.queues, 1);
	assert_int_equal(dev.depth, 128);
	assert_int_equal(dev.max_io, 512 << 10);
	assert_int_equal(dev.logical_block_size, 512);
	assert_int_equal(dev.physical_block_size, 4096);
}

static void what_is_said_is_kept(void **state)
{
	struct ul_device dev = {
		.size = 1 << 20,
		.queues = 2,
		.depth = 7,
		.max_io = 64 << 10,
		.logical_block_size = 1024,
		.physical_block_size = 2048,
	};
	struct ul_device before = dev;

	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	assert_memory_equal(&dev, &before, sizeof(dev));
}

static void block_size_is_a_power_of_two_up_to_a_page(void **state)
{
	assert_accepted((struct ul_device){ .size = 1 << 20, .logical_block_size = 512 });
	assert_accepted((struct ul_device){ .size = 1 << 20, .logical_block_size = page_size() });
	assert_refused((struct ul_device){ .size = 1 << 20, .logical_block_size = 256 },
		       "block_size = 256");
	assert_refused((struct ul_device){ .size = 1 << 20, .logical_block_size = 1536 },
		       "block_size = 1536");
	assert_refused((struct ul_device){ .size = 1 << 20, .logical_block_size = 2 * page_size() },
		       "block_size = ");
}

static void physical_block_size_is_a_power_of_two_from_the_logical_to_256M(void **state)
{
	struct ul_device dev = { .size = 1 << 20, .logical_block_size = 1024 };

	dev.physical_block_size = 1024;
	assert_accepted(dev);
	dev.physical_block_size = 256 << 20;
	assert_accepted(dev);
	dev.physical_block_size = 512;
	assert_refused(dev, "physical_block_size = 512");
	dev.physical_block_size = 3072;
	assert_refused(dev, "physical_block_size = 3072");
	dev.physical_block_size = 512 << 20;
	assert_refused(dev, "physical_block_size = 536870912");
}

static void size_is_whole_blocks_up_to_8_pib(void **state)
{
	const double limit = 9007199254740992.0;

	assert_accepted((struct ul_device){ .size = 512 });
	assert_accepted((struct ul_device){ .size = 4096, .logical_block_size = 4096 });
	assert_accepted((struct ul_device){ .size = limit });
	assert_refused((struct ul_device){ .size = 0 }, "size = 0 ");
	assert_refused((struct ul_device){ .size = 511 }, "size = 511 ");
	assert_refused((struct ul_device){ .size = 513 }, "size = 513 ");
	assert_refused((struct ul_device){ .size = 512, .logical_block_size = 4096 },
		       "size = 512 ");
	assert_refused((struct ul_device){ .size = limit + 512 }, "8 PiB");
}

static void queues_are_up_to_4096(void **state)
{
	assert_accepted((struct ul_device){ .size = 512, .queues = 1 });
	assert_accepted((struct ul_device){ .size = 512, .queues = 4096 });
	assert_refused((struct ul_device){ .size = 512, .queues = 4097 }, "queues = 4097");
}

static void depth_is_up_to_4096(void **state)
{
	assert_accepted((struct ul_device){ .size = 512, .depth = 1 });
	assert_accepted((struct ul_device){ .size = 512, .depth = 4096 });
	assert_refused((struct ul_device){ .size = 512, .depth = 4097 }, "depth = 4097");
}

static void max_io_is_whole_pages_up_to_32M(void **state)
{
	assert_accepted((struct ul_device){ .size = 512, .max_io = page_size() });
	assert_accepted((struct ul_device){ .size = 512, .max_io = 32 << 20 });
	assert_refused((struct ul_device){ .size = 512, .max_io = 512 }, "max_io = 512");
	assert_refused((struct ul_device){ .size = 512, .max_io = page_size() + 512 }, "max_io = ");
	assert_refused((struct ul_device){ .size = 512, .max_io = (32 << 20) + page_size() },
		       "max_io = ");
}

static struct ublk_params fill(struct ul_device dev, uint32_t max_io, bool discard)
{
	struct ublk_params params;

	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	params_fill(&dev, max_io, discard, &params);
	return params;
}

static void driver_gets_sizes_in_its_own_units(void **state)
{
	struct ublk_params p = fill((struct ul_device){ .size = 3 << 20,
							.logical_block_size = 1024,
							.physical_block_size = 8192 },
				    128 << 10, false);

	assert_int_equal(p.len, sizeof(p));
	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC);
	assert_int_equal(p.basic.logical_bs_shift, 10);
	assert_int_equal(p.basic.physical_bs_shift, 13);
	assert_int_equal(p.basic.io_min_shift, 13);
	assert_int_equal(p.basic.io_opt_shift, 13);
	assert_int_equal(p.basic.max_sectors, 256);
	assert_int_equal(p.basic.dev_sectors, 6144);
	assert_int_equal(p.basic.attrs, 0);
}

static void driver_gets_each_attribute(void **state)
{
	struct ul_device dev = { .size = 512 };

	dev.read_only = 1;
	assert_int_equal(fill(dev, 4096, false).basic.attrs, 1);
	dev.read_only = 0;
	dev.rotational = 1;
	assert_int_equal(fill(dev, 4096, false).basic.attrs, 2);
	dev.rotational = 0;
	dev.volatile_cache = 1;
	assert_int_equal(fill(dev, 4096, false).basic.attrs, 4);
	dev.volatile_cache = 0;
	dev.fua = 1;
	assert_int_equal(fill(dev, 4096, false).basic.attrs, 8);
}

static void discard_is_offered_where_the_backing_has_it(void **state)
{
	struct ublk_params p = fill((struct ul_device){ .size = 1 << 20 }, 4096, true);

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD);
	assert_int_equal(p.discard.discard_granularity, 4096);
	assert_int_equal(p.discard.max_discard_segments, 1);
	/* Below 2 GiB: an answer's s32 could not tell more. */
	assert_in_range(p.discard.max_discard_sectors, 1, (1U << 31 >> 9) - 1);
	assert_in_range(p.discard.max_write_zeroes_sectors, 1, (1U << 31 >> 9) - 1);
	assert_int_equal(p.discard.reserved0, 0);
}

static void discard_is_not_offered_on_a_read_only_device(void **state)
{
	struct ublk_params p =
		fill((struct ul_device){ .size = 1 << 20, .read_only = 1 }, 4096, true);

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_open_gets_defaults),
		cmocka_unit_test(what_is_said_is_kept),
		cmocka_unit_test(block_size_is_a_power_of_two_up_to_a_page),
		cmocka_unit_test(physical_block_size_is_a_power_of_two_from_the_logical_to_256M),
		cmocka_unit_test(size_is_whole_blocks_up_to_8_pib),
		cmocka_unit_test(queues_are_up_to_4096),
		cmocka_unit_test(depth_is_up_to_4096),
		cmocka_unit_test(max_io_is_whole_pages_up_to_32M),
		cmocka_unit_test(driver_gets_sizes_in_its_own_units),
		cmocka_unit_test(driver_gets_each_attribute),
		cmocka_unit_test(discard_is_offered_where_the_backing_has_it),
		cmocka_unit_test(discard_is_not_offered_on_a_read_only_device),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
