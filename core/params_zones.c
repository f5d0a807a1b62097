/* SPDX-License-Identifier: MIT */
/*
 * What a device over ublk.zoned says of its zones: what it leaves open, and
 * whether the rest is possible, for the driver (ublk_dev_param_zoned_validate)
 * and for the block layer (blk_validate_zoned_limits, blk_revalidate_disk_zones).
 */
#include <errno.h>

#include "log.h"
#include "params.h"

/* A number of `name`'s ublk.zoned, and what it may be: a multiple of `step`. */
struct rule {
	const char *field;
	uint32_t value, from, to, step;
};

static int check(const char *name, const struct rule *r)
{
	if (r->value >= r->from && r->value <= r->to && r->value % r->step == 0)
		return 0;
	if (r->step == 1)
		log_error("%s: ublk.zoned: %s = %u: a number from %u to %u is needed", name,
			  r->field, r->value, r->from, r->to);
	else
		log_error("%s: ublk.zoned: %s = %u: a multiple of %u from %u to %u is needed", name,
			  r->field, r->value, r->step, r->from, r->to);
	return -EINVAL;
}

static int check_chunk(const struct ul_device *dev, const char *name)
{
	if (!dev->chunk)
		return 0;
	log_error("%s: chunk = %u: over ublk.zoned it is the zone's size; leave it out", name,
		  dev->chunk);
	return -EINVAL;
}

static int check_broken(const struct ul_zones *z, uint32_t count, const char *name)
{
	static const char *const fields[] = { "read_only", "offline" };
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < z->broken; i++) {
		const struct ul_broken_zone *zone = &z->list[i];

		ret = check(name, &(struct rule){ fields[zone->offline], zone->index,
						  z->conventional, count - 1, 1 });
		for (uint32_t k = 0; ret == 0 && k < i; k++) {
			if (z->list[k].index != zone->index)
				continue;
			log_error("%s: ublk.zoned: %s = %u: this zone was said before", name,
				  fields[zone->offline], zone->index);
			ret = -EINVAL;
		}
	}
	return ret;
}

static void set_defaults(struct ul_device *dev, uint32_t most_append)
{
	struct ul_zones *z = &dev->zones;

	if (!z->max_append)
		z->max_append = most_append;
	if (!z->max_open) /* the block layer takes no more open ones than active ones */
		z->max_open = z->max_active;
}

/* After an append nobody would know which metadata is whose; and a state dies with its server. */
static int check_fellows(const struct ul_device *dev, const char *name)
{
	const char *field = dev->integrity.wanted ? "integrity" : dev->recover ? "recover" : NULL;

	if (!field)
		return 0;
	log_error("%s: %s: a device with zones does not have it; leave it out", name, field);
	return -EINVAL;
}

int params_zones(struct ul_device *dev, const char *name)
{
	struct ul_zones *z = &dev->zones;
	uint32_t count = z->size ? (uint32_t)(dev->size / z->size) : 0;
	uint32_t capacity = z->capacity ? z->capacity : z->size, block = dev->logical_block_size;
	uint32_t most_append = dev->max_io < capacity ? dev->max_io : capacity;
	int ret = z->size ? check_chunk(dev, name) : 0;

	if (ret == 0 && z->size)
		ret = check_fellows(dev, name);
	if (ret || !z->size)
		return ret;
	z->capacity = capacity;
	set_defaults(dev, most_append);

	const struct rule rules[] = {
		{ "zone_capacity", capacity, block, z->size, block },
		{ "max_append", z->max_append, block, most_append, block },
		{ "conventional", z->conventional, 0, count - 1, 1 },
		{ "max_active", z->max_active, 0, count - z->conventional, 1 },
		{ "max_open", z->max_open, 0,
		  z->max_active ? z->max_active : count - z->conventional, 1 },
	};

	for (unsigned i = 0; ret == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		ret = check(name, &rules[i]);
	return ret ? ret : check_broken(z, count, name);
}
