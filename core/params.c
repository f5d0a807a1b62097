/* SPDX-License-Identifier: MIT */
#include "params.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

enum {
	DEFAULT_DEPTH = 128,
	DEFAULT_WATCHDOG = 30, /* s */
	DEFAULT_MAX_IO = 512 << 10,
	DEFAULT_LOGICAL_BLOCK = 512,
	DEFAULT_PHYSICAL_BLOCK = 4096,
	MAX_BLOCK = 256 << 20, /* SZ_256M in ublk_validate_params */
	MAX_SEGMENTS = UINT16_MAX,
};

/* As far as a power of two goes in 32 bits; the driver's own limits are above it. */
#define MAX_BYTES (2U << 30)

/* What a field may be; the block layer would bend some of what the driver lets through. */
struct rule {
	const char *field;
	uint32_t value;
	uint32_t from;
	uint32_t to;
	uint32_t step;	   /* a multiple of it; 0: a power of two */
	const char *least; /* the field that `from` is, in brackets, if it is one */
};

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* As a script would write it: 4K, 32M. */
static const char *size_text(uint32_t bytes, char text[16])
{
	static const char units[] = "\0KMG";
	unsigned i = 0;

	while (i < 3 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(text, 16, "%u%.1s", bytes, &units[i]);
	return text;
}

static int check_rule(const struct rule *r, const char *name)
{
	char step[16] = "", from[16], to[16];
	const char *kind = "a power of two";

	if (r->value >= r->from && r->value <= r->to &&
	    (r->step ? r->value % r->step == 0 : power_of_two(r->value)))
		return 0;
	if (r->step == 1) {
		kind = "a number";
	} else if (r->step) {
		kind = "a multiple of ";
		size_text(r->step, step);
	}
	log_error("%s: %s = %u: %s%s from %s%s to %s is needed", name, r->field, r->value, kind,
		  step, size_text(r->from, from), r->least ? r->least : "", size_text(r->to, to));
	return -EINVAL;
}

/* `optional` rules hold only where something was said. */
static int check_rules(const struct rule *rules, unsigned n, bool optional, const char *name)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < n; i++)
		if (rules[i].value || !optional)
			ret = check_rule(&rules[i], name);
	return ret;
}

#define COUNT(rules) (sizeof(rules) / sizeof((rules)[0]))

static int check_blocks(const struct ul_device *dev, const char *name, uint32_t page)
{
	uint32_t lbs = dev->logical_block_size, pbs = dev->physical_block_size;
	const struct rule rules[] = {
		{ "block_size", lbs, 512, page, 0, NULL },
		{ "physical_block_size", pbs, lbs, MAX_BLOCK, 0, " (block_size)" },
		{ "io_min", dev->io_min, pbs, MAX_BLOCK, 0, " (physical_block_size)" },
		{ "io_opt", dev->io_opt, dev->io_min, MAX_BLOCK, 0, " (io_min)" },
		{ "max_io", dev->max_io, page, UBLK_MAX_IO_BYTES, page, NULL },
	};

	return check_rules(rules, COUNT(rules), false, name);
}

static int check_limits(const struct ul_device *dev, const char *name, uint32_t page)
{
	uint32_t lbs = dev->logical_block_size, least = UBLK_MIN_SEGMENT_SIZE;
	const struct rule rules[] = {
		{ "chunk", dev->chunk, lbs, MAX_BYTES, lbs, " (block_size)" },
		{ "virt_boundary", dev->virt_boundary, lbs, MAX_BYTES, 0, " (block_size)" },
		/* 1 would be a mask of 0, which the block layer takes for "not said". */
		{ "dma_alignment", dev->dma_alignment, 2, page, 0, NULL },
		{ "max_segments", dev->max_segments, 1, MAX_SEGMENTS, 1, NULL },
		{ "max_segment_size", dev->max_segment_size, least, MAX_BYTES, lbs, NULL },
		{ "segment_boundary", dev->segment_boundary, least, MAX_BYTES, 0, NULL },
	};

	return check_rules(rules, COUNT(rules), true, name);
}

static int check_discard(const struct ul_device *dev, const char *name)
{
	uint32_t lbs = dev->logical_block_size, pbs = dev->physical_block_size;
	uint32_t granularity = dev->discard_granularity;
	const struct rule rules[] = {
		{ "discard_granularity", granularity, pbs, UL_MAX_DISCARD, pbs,
		  " (physical_block_size)" },
		{ "discard_alignment", dev->discard_alignment, 0, granularity - lbs, lbs, NULL },
		{ "max_discard", dev->max_discard, granularity, UL_MAX_DISCARD, lbs,
		  " (discard_granularity)" },
		{ "max_write_zeroes", dev->max_write_zeroes, lbs, UL_MAX_DISCARD, lbs,
		  " (block_size)" },
	};

	return check_rules(rules, COUNT(rules), true, name);
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

/* A single tag makes no batch: the driver's fifo of tags has two places at least. */
static int check_batch(const struct ul_device *dev, const char *name)
{
	if (dev->batch != UL_YES || dev->depth > 1)
		return 0;
	log_error("%s: batch = true: with depth = 1 there are no batches", name);
	return -EINVAL;
}

static int check_queues(const struct ul_device *dev, const char *name)
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
	return 0;
}

/* Each has a tag at least, and is a queue to all but the driver. */
static int check_threads(const struct ul_device *dev, const char *name)
{
	if (dev->threads > dev->depth) {
		log_error("%s: threads = %u: from 1 to %u (depth) is possible", name, dev->threads,
			  dev->depth);
		return -EINVAL;
	}
	if (dev->threads > UBLK_MAX_NR_QUEUES / dev->queues) {
		log_error("%s: threads = %u: with queues = %u from 1 to %u is possible", name,
			  dev->threads, dev->queues, UBLK_MAX_NR_QUEUES / dev->queues);
		return -EINVAL;
	}
	if (dev->threads > 1 && dev->batch == UL_YES) {
		log_error("%s: batch = true: with threads = %u there are no batches", name,
			  dev->threads);
		return -EINVAL;
	}
	return 0;
}

/* Bytes of what the kernel itself makes and checks of a piece: struct t10_pi_tuple and its like. */
static uint32_t tuple_size(const struct ul_integrity *in)
{
	return in->csum == UL_CSUM_NONE ? 0 : in->csum == UL_CSUM_CRC64 ? 16 : 8;
}

static int check_integrity(const struct ul_device *dev, const char *name)
{
	const struct ul_integrity *in = &dev->integrity;
	const uint32_t tuple = tuple_size(in), size = in->metadata_size;
	const struct rule needed[] = {
		{ "integrity.metadata_size", size, tuple ? tuple : 1, UINT8_MAX, 1,
		  tuple ? " (csum)" : NULL },
		{ "integrity.interval", in->interval, 512, dev->logical_block_size, 0, NULL },
	};
	const struct rule said[] = {
		{ "integrity.pi_offset", in->pi_offset, 0, size - tuple, 1, NULL },
		{ "integrity.tag_size", in->tag_size, 0, size, 1, NULL },
		{ "integrity.max_segments", in->max_segments, 1, MAX_SEGMENTS, 1, NULL },
	};

	if (!in->wanted)
		return 0;
	if (in->csum == UL_CSUM_NONE && in->ref_tag == UL_YES) {
		log_error("%s: integrity.ref_tag = true: with csum = \"none\" nobody checks it",
			  name);
		return -EINVAL;
	}
	if (check_rules(needed, COUNT(needed), false, name))
		return -EINVAL;
	return check_rules(said, COUNT(said), true, name);
}

static void set_integrity_defaults(struct ul_device *dev)
{
	struct ul_integrity *in = &dev->integrity;

	if (!in->wanted)
		return;
	if (!in->metadata_size)
		in->metadata_size = tuple_size(in);
	if (!in->interval)
		in->interval = dev->logical_block_size;
	if (in->ref_tag == UL_AUTO)
		in->ref_tag = in->csum == UL_CSUM_NONE ? UL_NO : UL_YES;
}

static void set_defaults(struct ul_device *dev)
{
	if (!dev->queues)
		dev->queues = 1;
	if (!dev->threads)
		dev->threads = 1;
	if (!dev->depth)
		dev->depth = DEFAULT_DEPTH;
	if (!dev->watchdog)
		dev->watchdog = DEFAULT_WATCHDOG;
	if (!dev->max_io)
		dev->max_io = DEFAULT_MAX_IO;
	if (!dev->logical_block_size)
		dev->logical_block_size = DEFAULT_LOGICAL_BLOCK;
	if (!dev->physical_block_size)
		dev->physical_block_size = dev->logical_block_size > DEFAULT_PHYSICAL_BLOCK
						   ? dev->logical_block_size
						   : DEFAULT_PHYSICAL_BLOCK;
	if (!dev->io_min)
		dev->io_min = dev->physical_block_size;
	if (!dev->io_opt)
		dev->io_opt = dev->io_min;
	if (!dev->discard_granularity)
		dev->discard_granularity = dev->physical_block_size;
	set_integrity_defaults(dev);
}

int params_complete(struct ul_device *dev, const char *name)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	int ret;

	set_defaults(dev);
	ret = check_blocks(dev, name, page);
	if (ret == 0)
		ret = check_size(dev, name);
	if (ret == 0)
		ret = check_queues(dev, name);
	if (ret == 0)
		ret = check_batch(dev, name);
	if (ret == 0)
		ret = check_threads(dev, name);
	if (ret == 0)
		ret = check_limits(dev, name, page);
	if (ret == 0)
		ret = check_discard(dev, name);
	if (ret == 0)
		ret = check_integrity(dev, name);
	return ret ? ret : params_zones(dev, name);
}

static uint32_t attributes(const struct ul_device *dev)
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
	return attrs;
}

/* Older drivers lack these kinds: they are asked for only where the script says something. */
static void fill_segments(const struct ul_device *dev, struct ublk_params *params)
{
	uint32_t size = dev->max_segment_size, boundary = dev->segment_boundary;

	if (dev->dma_alignment) {
		params->types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		params->dma.alignment = dev->dma_alignment - 1;
	}
	if (!dev->max_segments && !size && !boundary)
		return;
	params->types |= UBLK_PARAM_TYPE_SEGMENT;
	params->seg = (struct ublk_param_segment){
		.seg_boundary_mask = boundary ? boundary - 1 : UINT32_MAX,
		.max_segment_size = size ? size : UINT32_MAX,
		.max_segments = (uint16_t)(dev->max_segments ? dev->max_segments : MAX_SEGMENTS),
	};
}

/* A zone is a chunk to the block layer; the rest is no parameter, but in the reports. */
static void fill_zones(const struct ul_device *dev, struct ublk_params *params)
{
	if (!dev->zones.size)
		return;
	params->types |= UBLK_PARAM_TYPE_ZONED;
	params->basic.chunk_sectors = dev->zones.size >> 9;
	params->zoned = (struct ublk_param_zoned){
		.max_open_zones = dev->zones.max_open,
		.max_active_zones = dev->zones.max_active,
		.max_zone_append_sectors = dev->zones.max_append >> 9,
	};
}

static void fill_integrity(const struct ul_integrity *in, struct ublk_params *params)
{
	if (!in->wanted)
		return;
	params->types |= UBLK_PARAM_TYPE_INTEGRITY;
	params->integrity = (struct ublk_param_integrity){
		.flags = LBMD_PI_CAP_INTEGRITY | (in->ref_tag == UL_YES ? LBMD_PI_CAP_REFTAG : 0),
		.max_integrity_segments = (uint16_t)in->max_segments,
		.interval_exp = (uint8_t)__builtin_ctz(in->interval),
		.metadata_size = (uint8_t)in->metadata_size,
		.pi_offset = (uint8_t)in->pi_offset,
		.csum_type = (uint8_t)in->csum,
		.tag_size = (uint8_t)in->tag_size,
	};
}

void params_fill(const struct ul_device *dev, uint32_t max_io, bool discard,
		 struct ublk_params *params)
{
	memset(params, 0, sizeof(*params));
	params->len = sizeof(*params);
	params->types = UBLK_PARAM_TYPE_BASIC;
	params->basic = (struct ublk_param_basic){
		.attrs = attributes(dev),
		.logical_bs_shift = (uint8_t)__builtin_ctz(dev->logical_block_size),
		.physical_bs_shift = (uint8_t)__builtin_ctz(dev->physical_block_size),
		.io_min_shift = (uint8_t)__builtin_ctz(dev->io_min),
		.io_opt_shift = (uint8_t)__builtin_ctz(dev->io_opt),
		.max_sectors = max_io >> 9,
		.chunk_sectors = dev->chunk >> 9,
		.dev_sectors = (uint64_t)dev->size >> 9,
		.virt_boundary_mask = dev->virt_boundary ? dev->virt_boundary - 1 : 0,
	};
	fill_segments(dev, params);
	fill_zones(dev, params);
	fill_integrity(&dev->integrity, params);
	if (!discard || dev->read_only || (!dev->max_discard && !dev->max_write_zeroes))
		return;
	params->types |= UBLK_PARAM_TYPE_DISCARD;
	params->discard = (struct ublk_param_discard){
		.discard_alignment = dev->discard_alignment,
		.discard_granularity = dev->discard_granularity,
		.max_discard_sectors = dev->max_discard >> 9,
		.max_write_zeroes_sectors = dev->max_write_zeroes >> 9,
		.max_discard_segments = 1,
	};
}

/* The driver takes parameters of a kind that it does not know without a word, and drops them. */
int params_kept(const struct ublk_params *asked, const struct ublk_params *kept, const char *name)
{
	uint32_t dropped = asked->types & ~kept->types;

	if (dropped & UBLK_PARAM_TYPE_DMA_ALIGN)
		log_error("%s: dma_alignment: this kernel's ublk driver does not have it (Linux "
			  "6.15 has); leave it out",
			  name);
	else if (dropped & UBLK_PARAM_TYPE_SEGMENT)
		log_error("%s: max_segments, max_segment_size, segment_boundary: this kernel's "
			  "ublk driver does not have them (Linux 6.15 has); leave them out",
			  name);
	if (dropped & (UBLK_PARAM_TYPE_DMA_ALIGN | UBLK_PARAM_TYPE_SEGMENT))
		return -EOPNOTSUPP;
	if (dropped || memcmp(&kept->basic, &asked->basic, sizeof(kept->basic)) != 0 ||
	    memcmp(&kept->discard, &asked->discard, sizeof(kept->discard)) != 0 ||
	    memcmp(&kept->zoned, &asked->zoned, sizeof(kept->zoned)) != 0 ||
	    memcmp(&kept->dma, &asked->dma, sizeof(kept->dma)) != 0 ||
	    memcmp(&kept->seg, &asked->seg, sizeof(kept->seg)) != 0 ||
	    memcmp(&kept->integrity, &asked->integrity, sizeof(kept->integrity)) != 0) {
		log_error("SET_PARAMS: the driver kept other parameters than it was given");
		return -EPROTO;
	}
	return 0;
}

int params_flags(const struct ul_device *dev, uint64_t offered, const char *name, uint64_t *flags)
{
	uint64_t lacking;

	*flags = dev->partition_scan ? 0 : UBLK_F_NO_AUTO_PART_SCAN;
	if (dev->batch == UL_YES)
		*flags |= UBLK_F_BATCH_IO;
	if (dev->threads > 1)
		*flags |= UBLK_F_PER_IO_DAEMON;
	if (dev->zones.size)
		*flags |= UBLK_F_ZONED;
	if (dev->integrity.wanted)
		*flags |= UBLK_F_INTEGRITY;
	lacking = *flags & ~offered;
	/* A batch brings tags to whoever fetches: the driver ties none to a thread then. */
	if (dev->batch == UL_AUTO && dev->depth != 1 && dev->threads <= 1)
		*flags |= UBLK_F_BATCH_IO & offered;
	if (lacking & UBLK_F_NO_AUTO_PART_SCAN)
		log_error("%s: partition_scan = false: this kernel's ublk driver always scans (it "
			  "has no NO_AUTO_PART_SCAN, see `ublk-lua features`; Linux 7.0 has)",
			  name);
	else if (lacking & UBLK_F_PER_IO_DAEMON)
		log_error("%s: threads = %u: this kernel's ublk driver has no PER_IO_DAEMON (see "
			  "`ublk-lua features`; Linux 6.16 has); leave it out",
			  name, dev->threads);
	else if (lacking & UBLK_F_ZONED)
		log_error("%s: ublk.zoned: this kernel's ublk driver has no zoned devices (no "
			  "ZONED, see `ublk-lua features`; Linux 6.6 has)",
			  name);
	else if (lacking & UBLK_F_INTEGRITY)
		log_error("%s: integrity: this kernel's ublk driver does not have it (no "
			  "INTEGRITY, see `ublk-lua features`; Linux 7.0 has, if its "
			  "configuration has BLK_DEV_INTEGRITY); leave it out",
			  name);
	else if (lacking)
		log_error("%s: batch = true: this kernel's ublk driver has no BATCH_IO (see "
			  "`ublk-lua features`; Linux 7.0 has); leave it out",
			  name);
	return lacking ? -EOPNOTSUPP : 0;
}
