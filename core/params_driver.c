/* SPDX-License-Identifier: MIT */
/* What the driver is told of a device, and whether it has taken it as it was told. */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "params.h"

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
		.max_segments = (uint16_t)(dev->max_segments ? dev->max_segments : PARAMS_SEGMENTS),
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

bool params_same(const struct ublk_params *a, const struct ublk_params *b)
{
	return memcmp(&a->basic, &b->basic, sizeof(a->basic)) == 0 &&
	       memcmp(&a->discard, &b->discard, sizeof(a->discard)) == 0 &&
	       memcmp(&a->zoned, &b->zoned, sizeof(a->zoned)) == 0 &&
	       memcmp(&a->dma, &b->dma, sizeof(a->dma)) == 0 &&
	       memcmp(&a->seg, &b->seg, sizeof(a->seg)) == 0 &&
	       memcmp(&a->integrity, &b->integrity, sizeof(a->integrity)) == 0;
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
	if (dropped || !params_same(asked, kept)) {
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
