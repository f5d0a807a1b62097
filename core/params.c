/* SPDX-License-Identifier: MIT */
#include "params.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

enum {
	DEFAULT_DEPTH = 128,
	DEFAULT_MAX_IO = 512 << 10,
	DEFAULT_LOGICAL_BLOCK = 512,
	DEFAULT_PHYSICAL_BLOCK = 4096,
	MAX_PHYSICAL_BLOCK = 256 << 20, /* SZ_256M in ublk_validate_params */
	/* Below 2 GiB whatever the kernel: a longer result overflows its s32. */
	MAX_DISCARD_BYTES = 1 << 30,
};

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static int check_blocks(const struct ul_device *dev, const char *name, uint32_t page)
{
	uint32_t lbs = dev->logical_block_size;
	uint32_t pbs = dev->physical_block_size;

	if (!power_of_two(lbs) || lbs < 512 || lbs > page) {
		log_error("%s: block_size = %u: a power of two from 512 to %u is needed", name, lbs,
			  page);
		return -EINVAL;
	}
	if (!power_of_two(pbs) || pbs < lbs || pbs > MAX_PHYSICAL_BLOCK) {
		log_error("%s: physical_block_size = %u: a power of two from %u (block_size) to "
			  "256M is needed",
			  name, pbs, lbs);
		return -EINVAL;
	}
	return 0;
}

static int check_size(const struct ul_device *dev, const char *name)
{
	/* Sectors must stay exact as a double (ul_req.sector); the block layer counts in loff_t. */
	const double limit = 9007199254740992.0; /* 2^53 bytes, 8 PiB */

	if (dev->size < dev->logical_block_size || dev->size > limit) {
		log_error("%s: size = %.0f bytes: from one block to 8 PiB is possible", name,
			  dev->size);
		return -EINVAL;
	}
	if ((uint64_t)dev->size % dev->logical_block_size) {
		log_error("%s: size = %.0f bytes is not a multiple of block_size %u", name,
			  dev->size, dev->logical_block_size);
		return -EINVAL;
	}
	return 0;
}

static int check_queues(const struct ul_device *dev, const char *name, uint32_t page)
{
	if (dev->queues > UBLK_MAX_NR_QUEUES) {
		log_error("%s: queues = %u: from 1 to %d is possible", name, dev->queues,
			  UBLK_MAX_NR_QUEUES);
		return -EINVAL;
	}
	if (dev->depth > UBLK_MAX_QUEUE_DEPTH) {
		log_error("%s: depth = %u: from 1 to %d is possible", name, dev->depth,
			  UBLK_MAX_QUEUE_DEPTH);
		return -EINVAL;
	}
	if (dev->max_io % page || dev->max_io > UBLK_MAX_IO_BYTES) {
		log_error("%s: max_io = %u: a multiple of %u up to 32M is needed", name,
			  dev->max_io, page);
		return -EINVAL;
	}
	return 0;
}

int params_complete(struct ul_device *dev, const char *name)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	int ret;

	if (!dev->queues)
		dev->queues = 1;
	if (!dev->depth)
		dev->depth = DEFAULT_DEPTH;
	if (!dev->max_io)
		dev->max_io = DEFAULT_MAX_IO;
	if (!dev->logical_block_size)
		dev->logical_block_size = DEFAULT_LOGICAL_BLOCK;
	if (!dev->physical_block_size)
		dev->physical_block_size = dev->logical_block_size > DEFAULT_PHYSICAL_BLOCK
						   ? dev->logical_block_size
						   : DEFAULT_PHYSICAL_BLOCK;

	ret = check_blocks(dev, name, page);
	if (ret == 0)
		ret = check_size(dev, name);
	if (ret == 0)
		ret = check_queues(dev, name, page);
	return ret;
}

void params_fill(const struct ul_device *dev, uint32_t max_io, bool discard,
		 struct ublk_params *params)
{
	uint32_t attrs = 0;

	if (dev->read_only)
		attrs |= UBLK_ATTR_READ_ONLY;
	if (dev->rotational)
		attrs |= UBLK_ATTR_ROTATIONAL;
	if (dev->volatile_cache)
		attrs |= UBLK_ATTR_VOLATILE_CACHE;
	if (dev->fua)
		attrs |= UBLK_ATTR_FUA;

	memset(params, 0, sizeof(*params));
	params->len = sizeof(*params);
	params->types = UBLK_PARAM_TYPE_BASIC;
	params->basic = (struct ublk_param_basic){
		.attrs = attrs,
		.logical_bs_shift = (uint8_t)__builtin_ctz(dev->logical_block_size),
		.physical_bs_shift = (uint8_t)__builtin_ctz(dev->physical_block_size),
		.io_min_shift = (uint8_t)__builtin_ctz(dev->physical_block_size),
		.io_opt_shift = (uint8_t)__builtin_ctz(dev->physical_block_size),
		.max_sectors = max_io >> 9,
		.dev_sectors = (uint64_t)dev->size >> 9,
	};
	if (!discard || dev->read_only)
		return;
	params->types |= UBLK_PARAM_TYPE_DISCARD;
	params->discard = (struct ublk_param_discard){
		.discard_granularity = dev->physical_block_size,
		.max_discard_sectors = MAX_DISCARD_BYTES >> 9,
		.max_write_zeroes_sectors = MAX_DISCARD_BYTES >> 9,
		.max_discard_segments = 1,
	};
}
