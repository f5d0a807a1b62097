/* SPDX-License-Identifier: MIT */
/*
 * core/params.c: what a script leaves open gets its default, every limit holds
 * at its edge, and the driver gets what the device says.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
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
	assert_int_equal(dev.io_min, 4096);
	assert_int_equal(dev.io_opt, 4096);
	assert_int_equal(dev.discard_granularity, 4096);
}

static void what_hangs_on_another_field_follows_it(void **state)
{
	struct ul_device dev = { .size = 1 << 20, .physical_block_size = 8192 };

	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	assert_int_equal(dev.io_min, 8192);
	assert_int_equal(dev.io_opt, 8192);
	assert_int_equal(dev.discard_granularity, 8192);
	dev = (struct ul_device){ .size = 1 << 20, .io_min = 64 << 10 };
	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	assert_int_equal(dev.io_opt, 64 << 10);
}

static void what_is_said_is_kept(void **state)
{
	struct ul_device dev = {
		.size = 1 << 20,
		.queues = 2,
		.threads = 3,
		.depth = 7,
		.max_io = 64 << 10,
		.logical_block_size = 1024,
		.physical_block_size = 2048,
		.io_min = 4096,
		.io_opt = 8192,
		.discard_granularity = 4096,
		.watchdog = -1,
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
	assert_accepted((struct ul_device){ .size = 512, .depth = 2, .batch = UL_YES });
	assert_refused((struct ul_device){ .size = 512, .depth = 1, .batch = UL_YES },
		       "batch = true: with depth = 1");
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

/* A field of a device of 4096-byte blocks, and at which values it is refused. */
struct edge {
	const char *field;
	size_t at; /* its offset */
	uint32_t accepted[3];
	uint32_t refused[4];
	const char *needs; /* what the message says is accepted */
};

#define EDGE(name) .field = #name, .at = offsetof(struct ul_device, name)

static struct ul_device with(const struct edge *e, uint32_t value)
{
	struct ul_device dev = {
		.size = 1 << 20,
		.logical_block_size = 4096,
		.physical_block_size = 8192,
	};

	memcpy((char *)&dev + e->at, &value, sizeof(value));
	return dev;
}

static void each_limit_holds_at_its_edges(void **state)
{
	const uint32_t G = 1U << 30;
	const struct edge edges[] = {
		{ EDGE(io_min),
		  { 8192, 16384, 256 << 20 },
		  { 4096, 12288, 512 << 20 },
		  ": a power of two from 8K (physical_block_size) to 256M is needed" },
		{ EDGE(io_opt),
		  { 8192, 16384, 256 << 20 },
		  { 4096, 24576, 512 << 20 },
		  ": a power of two from 8K (io_min) to 256M is needed" },
		{ EDGE(chunk),
		  { 4096, 12288, 2 * G },
		  { 512, 4097, 2 * G + 4096 },
		  ": a multiple of 4K from 4K (block_size) to 2G is needed" },
		{ EDGE(virt_boundary),
		  { 4096, 65536, 2 * G },
		  { 1, 2048, 12288 },
		  ": a power of two from 4K (block_size) to 2G is needed" },
		{ EDGE(dma_alignment),
		  { 2, 512, 4096 },
		  { 1, 3, 512 << 10 },
		  ": a power of two from 2 to " },
		{ EDGE(max_segments),
		  { 1, 7, 65535 },
		  { 65536, UINT32_MAX },
		  ": a number from 1 to 65535 is needed" },
		{ EDGE(max_segment_size),
		  { 4096, 12288, 2 * G },
		  { 512, 4097, 2 * G + 4096 },
		  ": a multiple of 4K from 4K to 2G is needed" },
		{ EDGE(segment_boundary),
		  { 4096, 65536, 2 * G },
		  { 2048, 12288, 2 * G + 4096 },
		  ": a power of two from 4K to 2G is needed" },
		{ EDGE(discard_granularity),
		  { 8192, 24576, G },
		  { 4096, 12288, G + 8192 },
		  ": a multiple of 8K from 8K (physical_block_size) to 1G is needed" },
		{ EDGE(discard_alignment),
		  { 4096 },
		  { 512, 8192, 12288 },
		  ": a multiple of 4K from 0 to 4K is needed" },
		{ EDGE(max_discard),
		  { 8192, 12288, G },
		  { 4096, 8193, G + 4096 },
		  ": a multiple of 4K from 8K (discard_granularity) to 1G is needed" },
		{ EDGE(max_write_zeroes),
		  { 4096, 12288, G },
		  { 512, 8193, G + 4096 },
		  ": a multiple of 4K from 4K (block_size) to 1G is needed" },
	};

	for (const struct edge *e = edges; e < edges + sizeof(edges) / sizeof(*edges); e++) {
		for (int i = 0; i < 3 && e->accepted[i]; i++)
			assert_accepted(with(e, e->accepted[i]));
		for (int i = 0; i < 4 && e->refused[i]; i++) {
			char said[64];
			const char *message;

			snprintf(said, sizeof(said), "%s = %u: ", e->field, e->refused[i]);
			assert_refused(with(e, e->refused[i]), said);
			(void)complete(with(e, e->refused[i]), &message);
			assert_has(message, e->needs);
		}
	}
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

static void driver_gets_each_limit_in_its_own_units(void **state)
{
	struct ublk_params p = fill((struct ul_device){ .size = 1 << 20,
							.io_min = 16384,
							.io_opt = 65536,
							.chunk = 96 << 10,
							.virt_boundary = 4096 },
				    4096, false);

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC);
	assert_int_equal(p.basic.io_min_shift, 14);
	assert_int_equal(p.basic.io_opt_shift, 16);
	assert_int_equal(p.basic.chunk_sectors, 192);
	assert_int_equal(p.basic.virt_boundary_mask, 4095);
}

static void dma_alignment_is_asked_for_where_it_is_said(void **state)
{
	struct ublk_params p =
		fill((struct ul_device){ .size = 1 << 20, .dma_alignment = 512 }, 4096, false);

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DMA_ALIGN);
	assert_int_equal(p.dma.alignment, 511);
}

static void segments_are_asked_for_where_one_limit_of_them_is_said(void **state)
{
	const uint32_t types = UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_SEGMENT;
	struct ul_device dev = { .size = 1 << 20, .max_segments = 8 };
	struct ublk_params p = fill(dev, 4096, false);

	/* The driver wants all three. */
	assert_int_equal(p.types, types);
	assert_int_equal(p.seg.max_segments, 8);
	assert_int_equal(p.seg.max_segment_size, UINT32_MAX);
	assert_int_equal(p.seg.seg_boundary_mask, UINT32_MAX);
	dev = (struct ul_device){ .size = 1 << 20, .max_segment_size = 8192 };
	p = fill(dev, 4096, false);
	assert_int_equal(p.types, types);
	assert_int_equal(p.seg.max_segments, 65535);
	assert_int_equal(p.seg.max_segment_size, 8192);
	dev = (struct ul_device){ .size = 1 << 20, .segment_boundary = 65536 };
	p = fill(dev, 4096, false);
	assert_int_equal(p.types, types);
	assert_int_equal(p.seg.seg_boundary_mask, 65535);
}

static struct ul_device discarding(void)
{
	return (struct ul_device){
		.size = 1 << 20,
		.max_discard = 1 << 20,
		.max_write_zeroes = 2 << 20,
	};
}

static void discard_is_offered_where_the_backing_has_it(void **state)
{
	struct ul_device dev = discarding();
	struct ublk_params p;

	dev.discard_granularity = 8192;
	dev.discard_alignment = 512;
	p = fill(dev, 4096, true);
	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD);
	assert_int_equal(p.discard.discard_granularity, 8192);
	assert_int_equal(p.discard.discard_alignment, 512);
	assert_int_equal(p.discard.max_discard_segments, 1);
	assert_int_equal(p.discard.max_discard_sectors, 2048);
	assert_int_equal(p.discard.max_write_zeroes_sectors, 4096);
	assert_int_equal(p.discard.reserved0, 0);
	assert_int_equal(fill(dev, 4096, false).types, UBLK_PARAM_TYPE_BASIC);
}

static void discard_and_write_zeroes_can_each_be_missing(void **state)
{
	struct ul_device dev = discarding();
	struct ublk_params p;

	dev.max_discard = 0;
	p = fill(dev, 4096, true);
	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_DISCARD);
	assert_int_equal(p.discard.max_discard_sectors, 0);
	assert_int_equal(p.discard.max_write_zeroes_sectors, 4096);
	dev.max_write_zeroes = 0;
	assert_int_equal(fill(dev, 4096, true).types, UBLK_PARAM_TYPE_BASIC);
}

static void discard_is_not_offered_on_a_read_only_device(void **state)
{
	struct ul_device dev = discarding();

	dev.read_only = 1;
	assert_int_equal(fill(dev, 4096, true).types, UBLK_PARAM_TYPE_BASIC);
}

/* What params_kept says of a driver that has dropped `types`, and changes nothing else. */
static const char *kept_without(uint32_t types, int expected)
{
	struct ul_device dev = { .size = 1 << 20, .dma_alignment = 512, .max_segments = 8 };
	struct ublk_params asked = fill(dev, 4096, false), kept = asked;
	int ret;

	kept.types &= ~types;
	log_begin();
	ret = params_kept(&asked, &kept, "test.lua");
	assert_int_equal(ret, expected);
	return log_end();
}

static void what_the_driver_drops_is_told(void **state)
{
	const char *message;

	assert_string_equal(kept_without(0, 0), "");
	message = kept_without(UBLK_PARAM_TYPE_DMA_ALIGN, -EOPNOTSUPP);
	assert_has(message, "test.lua: dma_alignment: this kernel's ublk driver does not have it");
	assert_one_line(message);
	message = kept_without(UBLK_PARAM_TYPE_SEGMENT, -EOPNOTSUPP);
	assert_has(message, "test.lua: max_segments, max_segment_size, segment_boundary: this ");
	assert_one_line(message);
	assert_has(kept_without(UBLK_PARAM_TYPE_BASIC, -EPROTO), "kept other parameters");
}

static void what_the_driver_changes_is_told(void **state)
{
	struct ublk_params asked = fill(discarding(), 4096, true), kept = asked;

	log_begin();
	kept.types |= 1U << 2; /* the device numbers, which the driver adds */
	kept.devt.char_major = 240;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), 0);
	kept.discard.discard_alignment++;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), -EPROTO);
	kept = asked;
	kept.seg.max_segments++;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), -EPROTO);
	kept = asked;
	kept.dma.alignment++;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), -EPROTO);
	kept = asked;
	kept.integrity.tag_size++;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), -EPROTO);
	kept = asked;
	kept.basic.chunk_sectors++;
	assert_int_equal(params_kept(&asked, &kept, "test.lua"), -EPROTO);
	assert_has(log_end(), "kept other parameters than it was given");
}

static void scan_is_left_out_where_the_driver_can(void **state)
{
	struct ul_device dev = { .size = 1 << 20, .partition_scan = 1 };
	const char *message;
	uint64_t flags;

	assert_int_equal(params_flags(&dev, 0, "test.lua", &flags), 0);
	assert_int_equal(flags, 0);
	dev.partition_scan = 0;
	assert_int_equal(params_flags(&dev, 1 << 18, "test.lua", &flags), 0);
	assert_int_equal(flags, 1 << 18);
	log_begin();
	assert_int_equal(params_flags(&dev, ~(1ULL << 18), "test.lua", &flags), -EOPNOTSUPP);
	message = log_end();
	assert_has(message, "test.lua: partition_scan = false: this kernel's ublk driver always ");
	assert_one_line(message);
}

static void batches_are_used_where_the_driver_has_them(void **state)
{
	struct ul_device dev = { .partition_scan = 1 };
	const char *message;
	uint64_t flags;

	assert_int_equal(params_flags(&dev, ~0ULL, "test.lua", &flags), 0);
	assert_int_equal(flags, 1 << 15);
	assert_int_equal(params_flags(&dev, ~(1ULL << 15), "test.lua", &flags), 0);
	assert_int_equal(flags, 0);
	dev.depth = 1; /* the driver refuses that */
	assert_int_equal(params_flags(&dev, ~0ULL, "test.lua", &flags), 0);
	assert_int_equal(flags, 0);
	dev.batch = UL_NO;
	dev.depth = 2;
	assert_int_equal(params_flags(&dev, ~0ULL, "test.lua", &flags), 0);
	assert_int_equal(flags, 0);
	dev.batch = UL_YES;
	assert_int_equal(params_flags(&dev, 1 << 15, "test.lua", &flags), 0);
	assert_int_equal(flags, 1 << 15);
	log_begin();
	assert_int_equal(params_flags(&dev, ~(1ULL << 15), "test.lua", &flags), -EOPNOTSUPP);
	message = log_end();
	assert_has(message, "test.lua: batch = true: this kernel's ublk driver has no BATCH_IO");
	assert_has(message, "Linux 7.0 has");
	assert_one_line(message);
}

static void threads_are_up_to_the_depth_and_without_batches(void **state)
{
	assert_accepted((struct ul_device){ .size = 512, .threads = 4, .depth = 4 });
	assert_refused((struct ul_device){ .size = 512, .threads = 5, .depth = 4 },
		       "threads = 5: from 1 to 4 (depth)");
	assert_accepted((struct ul_device){ .size = 512, .threads = 2, .queues = 2048 });
	assert_refused((struct ul_device){ .size = 512, .threads = 2, .queues = 2049 },
		       "threads = 2: with queues = 2049 from 1 to 1");
	assert_accepted((struct ul_device){ .size = 512, .threads = 1, .batch = UL_YES });
	assert_refused((struct ul_device){ .size = 512, .threads = 2, .batch = UL_YES },
		       "batch = true: with threads = 2");
}

static void threads_need_a_driver_that_knows_them(void **state)
{
	struct ul_device dev = { .partition_scan = 1, .depth = 4, .threads = 2 };
	const char *message;
	uint64_t flags;

	assert_int_equal(params_flags(&dev, ~0ULL, "test.lua", &flags), 0);
	assert_int_equal(flags, 1 << 13); /* and no batches */
	log_begin();
	assert_int_equal(params_flags(&dev, ~(1ULL << 13), "test.lua", &flags), -EOPNOTSUPP);
	message = log_end();
	assert_has(message,
		   "test.lua: threads = 2: this kernel's ublk driver has no PER_IO_DAEMON");
	assert_has(message, "Linux 6.16 has");
	assert_one_line(message);
	dev.threads = 1;
	assert_int_equal(params_flags(&dev, 0, "test.lua", &flags), 0);
}

static struct ul_device zoned(void)
{
	return (struct ul_device){ .size = 16 << 20, .zones.size = 1 << 20 };
}

static void zones_are_described_to_the_driver(void **state)
{
	struct ul_device dev = zoned();
	struct ublk_params p = fill(dev, 512 << 10, false);
	uint64_t flags;

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | UBLK_PARAM_TYPE_ZONED);
	assert_int_equal(p.basic.chunk_sectors, 2048);
	assert_int_equal(p.zoned.max_zone_append_sectors, 1024); /* max_io */
	assert_int_equal(p.zoned.max_open_zones, 0);
	dev.zones.capacity = 256 << 10;
	dev.zones.max_active = 7;
	p = fill(dev, 512 << 10, false);
	assert_int_equal(p.zoned.max_zone_append_sectors, 512);
	assert_int_equal(p.zoned.max_active_zones, 7);
	assert_int_equal(p.zoned.max_open_zones, 7); /* no more can be */
	dev.zones.max_open = 3;
	dev.zones.max_append = 4096;
	p = fill(dev, 512 << 10, false);
	assert_int_equal(p.zoned.max_zone_append_sectors, 8);
	assert_int_equal(p.zoned.max_open_zones, 3);
	dev.partition_scan = 1;
	assert_int_equal(params_flags(&dev, UBLK_F_ZONED, "test.lua", &flags), 0);
	assert_int_equal(flags, UBLK_F_ZONED);
}

static void a_driver_without_zones_is_told(void **state)
{
	struct ul_device dev = zoned();
	const char *message;
	uint64_t flags;

	dev.partition_scan = 1;
	log_begin();
	assert_int_equal(params_flags(&dev, ~UBLK_F_ZONED, "test.lua", &flags), -EOPNOTSUPP);
	message = log_end();
	assert_has(message, "test.lua: ublk.zoned: this kernel's ublk driver has no zoned devices");
	assert_has(message, "Linux 6.6 has");
	assert_one_line(message);
}

static void what_zones_cannot_be_is_refused(void **state)
{
	struct ul_device dev;

#define REFUSED(words, ...)                                                                        \
	do {                                                                                       \
		dev = zoned();                                                                     \
		__VA_ARGS__;                                                                       \
		assert_refused(dev, words);                                                        \
	} while (0)
	REFUSED("chunk = 4096: over ublk.zoned", dev.chunk = 4096);
	REFUSED("integrity: a device with zones does not have it", dev.integrity.wanted = 1,
		dev.integrity.csum = UL_CSUM_CRC16, dev.batch = UL_NO);
	REFUSED("recover: a device with zones does not have it", dev.recover = UL_RECOVER_REQUEUE);
	REFUSED("zone_capacity = 2097152: a multiple of 512 from 512 to 1048576",
		dev.zones.capacity = 2 << 20);
	REFUSED("zone_capacity = 1536: a multiple of 4096", dev.zones.capacity = 1536,
		dev.logical_block_size = 4096);
	REFUSED("max_append = 1048576: a multiple of 512 from 512 to 524288",
		dev.zones.max_append = 1 << 20);
	REFUSED("conventional = 16: a number from 0 to 15", dev.zones.conventional = 16);
	REFUSED("max_active = 15: a number from 0 to 14", dev.zones.max_active = 15,
		dev.zones.conventional = 2);
	REFUSED("max_open = 5: a number from 0 to 4", dev.zones.max_open = 5,
		dev.zones.max_active = 4);
	REFUSED("read_only = 16: a number from 0 to 15", dev.zones.broken = 1,
		dev.zones.list[0].index = 16);
	REFUSED("offline = 0: a number from 1 to 15", dev.zones.conventional = 1,
		dev.zones.broken = 1, dev.zones.list[0].offline = 1);
	REFUSED("offline = 3: this zone was said before", dev.zones.broken = 2,
		dev.zones.list[0].index = 3, dev.zones.list[1] = ((struct ul_broken_zone){ 3, 1 }));
}

static struct ul_device guarded(struct ul_integrity integrity)
{
	integrity.wanted = 1;
	return (struct ul_device){ .size = 1 << 20,
				   .logical_block_size = 4096,
				   .partition_scan = 1,
				   .batch = UL_NO,
				   .integrity = integrity };
}

static struct ul_integrity completed(struct ul_integrity integrity)
{
	struct ul_device dev = guarded(integrity);

	assert_int_equal(params_complete(&dev, "test.lua"), 0);
	return dev.integrity;
}

static void metadata_that_is_left_open_suits_the_checksum(void **state)
{
	static const struct {
		int32_t csum;
		uint32_t size;
	} sizes[] = { { UL_CSUM_IP, 8 }, { UL_CSUM_CRC16, 8 }, { UL_CSUM_CRC64, 16 } };

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct ul_integrity in = completed((struct ul_integrity){ .csum = sizes[i].csum });

		assert_int_equal(in.metadata_size, sizes[i].size);
		assert_int_equal(in.interval, 4096);
		assert_int_equal(in.ref_tag, UL_YES);
	}
	assert_int_equal(completed((struct ul_integrity){ .metadata_size = 1 }).ref_tag, UL_NO);
	assert_int_equal(
		completed((struct ul_integrity){ .csum = UL_CSUM_IP, .ref_tag = UL_NO }).ref_tag,
		UL_NO);
}

static void metadata_keeps_to_its_limits(void **state)
{
	static const struct ul_integrity fine[] = {
		{ .metadata_size = 255, .tag_size = 255, .interval = 512, .max_segments = 65535 },
		{ .csum = UL_CSUM_CRC16, .metadata_size = 255, .pi_offset = 247 },
		{ .csum = UL_CSUM_CRC64, .metadata_size = 17, .pi_offset = 1, .max_segments = 1 },
	};
	static const struct {
		struct ul_integrity integrity;
		const char *what;
	} wrong[] = {
		{ { 0 }, "integrity.metadata_size = 0: a number from 1 to 255" },
		{ { .metadata_size = 256 }, "metadata_size = 256" },
		{ { .csum = UL_CSUM_IP, .metadata_size = 7 }, "a number from 8 (csum) to 255" },
		{ { .csum = UL_CSUM_CRC64, .metadata_size = 15 }, "a number from 16 (csum)" },
		{ { .metadata_size = 8, .interval = 256 }, "integrity.interval = 256" },
		{ { .metadata_size = 8, .interval = 1536 }, "integrity.interval = 1536" },
		{ { .metadata_size = 8, .interval = 8192 }, "a power of two from 512 to 4K" },
		{ { .csum = UL_CSUM_IP, .metadata_size = 9, .pi_offset = 2 }, "pi_offset = 2" },
		{ { .csum = UL_CSUM_IP, .pi_offset = 1 }, "pi_offset = 1: a number from 0 to 0" },
		{ { .metadata_size = 8, .tag_size = 9 }, "integrity.tag_size = 9" },
		{ { .metadata_size = 8, .max_segments = 65536 }, "integrity.max_segments = 65536" },
		{ { .metadata_size = 8, .ref_tag = UL_YES },
		  "ref_tag = true: with csum = \"none\"" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(fine); i++)
		assert_accepted(guarded(fine[i]));
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_refused(guarded(wrong[i].integrity), wrong[i].what);
}

static void driver_gets_the_metadata_in_its_own_units(void **state)
{
	struct ublk_params p = fill(guarded((struct ul_integrity){ .csum = UL_CSUM_CRC64,
								   .metadata_size = 64,
								   .pi_offset = 48,
								   .tag_size = 2,
								   .interval = 1024,
								   .max_segments = 9 }),
				    4096, false);

	assert_int_equal(p.types, UBLK_PARAM_TYPE_BASIC | 1 << 6);
	assert_int_equal(p.integrity.flags, 3); /* capable, and the reference tag is checked */
	assert_int_equal(p.integrity.max_integrity_segments, 9);
	assert_int_equal(p.integrity.interval_exp, 10);
	assert_int_equal(p.integrity.metadata_size, 64);
	assert_int_equal(p.integrity.pi_offset, 48);
	assert_int_equal(p.integrity.csum_type, 4);
	assert_int_equal(p.integrity.tag_size, 2);
	p = fill(guarded((struct ul_integrity){ .metadata_size = 1 }), 4096, false);
	assert_int_equal(p.integrity.flags, 1);
	assert_int_equal(p.integrity.csum_type, 0);
}

static void metadata_is_refused_where_the_driver_has_none(void **state)
{
	struct ul_device dev = guarded((struct ul_integrity){ .csum = UL_CSUM_CRC16 });
	const char *message;
	uint64_t flags;

	assert_int_equal(params_flags(&dev, ~0ULL, "test.lua", &flags), 0);
	assert_int_equal(flags, 1 << 16);
	log_begin();
	assert_int_equal(params_flags(&dev, ~(1ULL << 16), "test.lua", &flags), -EOPNOTSUPP);
	message = log_end();
	assert_has(message, "test.lua: integrity: this kernel's ublk driver does not have it");
	assert_has(message, "Linux 7.0 has");
	assert_one_line(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_are_used_where_the_driver_has_them),
		cmocka_unit_test(what_is_left_open_gets_defaults),
		cmocka_unit_test(what_hangs_on_another_field_follows_it),
		cmocka_unit_test(what_is_said_is_kept),
		cmocka_unit_test(block_size_is_a_power_of_two_up_to_a_page),
		cmocka_unit_test(physical_block_size_is_a_power_of_two_from_the_logical_to_256M),
		cmocka_unit_test(size_is_whole_blocks_up_to_8_pib),
		cmocka_unit_test(queues_are_up_to_4096),
		cmocka_unit_test(depth_is_up_to_4096),
		cmocka_unit_test(threads_are_up_to_the_depth_and_without_batches),
		cmocka_unit_test(threads_need_a_driver_that_knows_them),
		cmocka_unit_test(max_io_is_whole_pages_up_to_32M),
		cmocka_unit_test(each_limit_holds_at_its_edges),
		cmocka_unit_test(driver_gets_sizes_in_its_own_units),
		cmocka_unit_test(driver_gets_each_attribute),
		cmocka_unit_test(driver_gets_each_limit_in_its_own_units),
		cmocka_unit_test(dma_alignment_is_asked_for_where_it_is_said),
		cmocka_unit_test(segments_are_asked_for_where_one_limit_of_them_is_said),
		cmocka_unit_test(discard_is_offered_where_the_backing_has_it),
		cmocka_unit_test(discard_and_write_zeroes_can_each_be_missing),
		cmocka_unit_test(discard_is_not_offered_on_a_read_only_device),
		cmocka_unit_test(what_the_driver_drops_is_told),
		cmocka_unit_test(what_the_driver_changes_is_told),
		cmocka_unit_test(zones_are_described_to_the_driver),
		cmocka_unit_test(a_driver_without_zones_is_told),
		cmocka_unit_test(what_zones_cannot_be_is_refused),
		cmocka_unit_test(scan_is_left_out_where_the_driver_can),
		cmocka_unit_test(metadata_that_is_left_open_suits_the_checksum),
		cmocka_unit_test(metadata_keeps_to_its_limits),
		cmocka_unit_test(driver_gets_the_metadata_in_its_own_units),
		cmocka_unit_test(metadata_is_refused_where_the_driver_has_none),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
