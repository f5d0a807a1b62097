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
		{ "max_segments", dev->max_segments, 1, PARAMS_SEGMENTS, 1, NULL },
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
		{ "integrity.max_segments", in->max_segments, 1, PARAMS_SEGMENTS, 1, NULL },
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
