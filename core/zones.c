/* SPDX-License-Identifier: MIT */
#include "zones.h"

#include <errno.h>
#include <stdlib.h>

#include "api.h"

int zones_open(struct zones *z, const struct zones_config *config)
{
	*z = (struct zones){ .config = *config };
	pthread_mutex_init(&z->lock, NULL);
	z->zone = calloc(config->count, sizeof(*z->zone));
	if (!z->zone)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->count; i++)
		z->zone[i].condition =
			i < config->conventional ? BLK_ZONE_COND_NOT_WP : BLK_ZONE_COND_EMPTY;
	z->having[BLK_ZONE_COND_NOT_WP] = config->conventional;
	z->having[BLK_ZONE_COND_EMPTY] = config->count - config->conventional;
	return 0;
}

void zones_close(struct zones *z)
{
	pthread_mutex_destroy(&z->lock);
	free(z->zone);
}

static void set_condition(struct zones *z, struct zone *zone, uint32_t condition)
{
	z->having[zone->condition]--;
	zone->condition = condition;
	z->having[condition]++;
}

void zones_break(struct zones *z, uint32_t index, enum blk_zone_cond condition)
{
	set_condition(z, &z->zone[index], condition);
}

static bool is_open(const struct zone *zone)
{
	return zone->condition == BLK_ZONE_COND_IMP_OPEN ||
	       zone->condition == BLK_ZONE_COND_EXP_OPEN;
}

static uint32_t open_zones(const struct zones *z)
{
	return z->having[BLK_ZONE_COND_IMP_OPEN] + z->having[BLK_ZONE_COND_EXP_OPEN];
}

static void close_zone(struct zones *z, struct zone *zone)
{
	set_condition(z, zone, zone->wp ? BLK_ZONE_COND_CLOSED : BLK_ZONE_COND_EMPTY);
}

/* One that only writes have opened may be closed for another, each in its turn. */
static bool close_any(struct zones *z)
{
	if (!z->having[BLK_ZONE_COND_IMP_OPEN])
		return false;
	for (;;) {
		struct zone *zone = &z->zone[z->next];

		z->next = (z->next + 1) % z->config.count;
		if (zone->condition == BLK_ZONE_COND_IMP_OPEN) {
			close_zone(z, zone);
			return true;
		}
	}
}

static int open_zone(struct zones *z, struct zone *zone, uint32_t condition)
{
	const struct zones_config *c = &z->config;
	uint32_t active = open_zones(z) + z->having[BLK_ZONE_COND_CLOSED];

	if (!is_open(zone)) {
		if (c->max_active && zone->condition == BLK_ZONE_COND_EMPTY &&
		    active >= c->max_active)
			return -EOVERFLOW;
		if (c->max_open && open_zones(z) >= c->max_open && !close_any(z))
			return -ETOOMANYREFS;
	}
	set_condition(z, zone, condition);
	return 0;
}

/* Nothing is written there any more, or ever was. */
static bool takes_no_write(const struct zone *zone)
{
	return zone->condition == BLK_ZONE_COND_FULL || zone->condition == BLK_ZONE_COND_READONLY ||
	       zone->condition == BLK_ZONE_COND_OFFLINE;
}

static int begin_write(struct zones *z, struct zone *zone, struct zone_write *w)
{
	int ret = 0;

	if (takes_no_write(zone) || w->at != zone->wp || w->length > z->config.capacity - w->at)
		return -EIO;
	if (!is_open(zone))
		ret = open_zone(z, zone, BLK_ZONE_COND_IMP_OPEN);
	if (ret)
		return ret;
	w->zone = zone;
	zone->flying++;
	zone->wp += w->length;
	if (zone->wp == z->config.capacity)
		set_condition(z, zone, BLK_ZONE_COND_FULL);
	return 0;
}

int zones_begin_write(struct zones *z, uint64_t *sector, uint32_t length, bool append,
		      struct zone_write *w)
{
	uint64_t index = *sector / z->config.size;
	int ret = 0;

	*w = (struct zone_write){ .at = (uint32_t)(*sector % z->config.size), .length = length };
	if (index >= z->config.count)
		return -EIO;
	if (index < z->config.conventional)
		return append || length > z->config.size - w->at ? -EIO : 0;
	pthread_mutex_lock(&z->lock);
	if (append && w->at == 0)
		w->at = z->zone[index].wp;
	else if (append)
		ret = -EIO;
	if (ret == 0)
		ret = begin_write(z, &z->zone[index], w);
	pthread_mutex_unlock(&z->lock);
	*sector = index * z->config.size + w->at;
	return ret;
}

void zones_end_write(struct zones *z, const struct zone_write *w, int result)
{
	struct zone *zone = w->zone;
	uint32_t end = w->at + w->length;

	if (!zone)
		return;
	pthread_mutex_lock(&z->lock);
	zone->flying--;
	if (result == 0 && zone->written < end) {
		zone->written = end;
		z->changes++;
	} else if (result < 0 && zone->wp == end) {
		zone->wp = w->at;
		if (zone->condition == BLK_ZONE_COND_FULL)
			close_zone(z, zone);
	}
	pthread_mutex_unlock(&z->lock);
}

int zones_written(struct zones *z, uint64_t sector, uint32_t length, uint32_t *written)
{
	uint64_t index = sector / z->config.size;
	uint32_t at = (uint32_t)(sector % z->config.size), end, there;
	int ret = 0;

	if (index >= z->config.count || length > z->config.size - at)
		return -EIO;
	*written = length;
	if (index < z->config.conventional)
		return 0;
	pthread_mutex_lock(&z->lock);
	end = z->zone[index].written;
	if (z->zone[index].condition == BLK_ZONE_COND_OFFLINE)
		ret = -EIO;
	pthread_mutex_unlock(&z->lock);
	there = at < end ? end - at : 0;
	*written = length < there ? length : there;
	return ret;
}

/* What is on its way would come to a zone that is another then. */
static bool is_held(const struct zone *zone)
{
	return zone->flying || zone->condition == BLK_ZONE_COND_READONLY ||
	       zone->condition == BLK_ZONE_COND_OFFLINE;
}

static void reset(struct zones *z, struct zone *zone)
{
	z->changes += zone->written || zone->condition == BLK_ZONE_COND_FULL;
	zone->wp = zone->written = 0;
	set_condition(z, zone, BLK_ZONE_COND_EMPTY);
}

/* All or, when a write is on its way, none. What is read-only or offline stays so. */
static int reset_all(struct zones *z)
{
	for (uint32_t i = z->config.conventional; i < z->config.count; i++)
		if (z->zone[i].flying)
			return -EIO;
	for (uint32_t i = z->config.conventional; i < z->config.count; i++)
		if (!is_held(&z->zone[i]))
			reset(z, &z->zone[i]);
	return 0;
}

static int finish(struct zones *z, struct zone *zone)
{
	z->changes += zone->condition != BLK_ZONE_COND_FULL;
	set_condition(z, zone, BLK_ZONE_COND_FULL);
	return 0;
}

static int command(struct zones *z, uint8_t op, struct zone *zone)
{
	switch (op) {
	case UL_OP_ZONE_OPEN:
		return takes_no_write(zone) ? -EIO : open_zone(z, zone, BLK_ZONE_COND_EXP_OPEN);
	case UL_OP_ZONE_CLOSE:
		if (is_open(zone))
			close_zone(z, zone);
		return takes_no_write(zone) && zone->condition != BLK_ZONE_COND_FULL ? -EIO : 0;
	case UL_OP_ZONE_FINISH:
		return is_held(zone) ? -EIO : finish(z, zone);
	default:
		if (is_held(zone))
			return -EIO;
		reset(z, zone);
		return 0;
	}
}

int zones_command(struct zones *z, uint8_t op, uint64_t sector)
{
	uint64_t index = sector / z->config.size;
	bool all = op == UL_OP_ZONE_RESET_ALL;
	int ret;

	if (!all &&
	    (sector % z->config.size || index < z->config.conventional || index >= z->config.count))
		return -EIO;
	pthread_mutex_lock(&z->lock);
	ret = all ? reset_all(z) : command(z, op, &z->zone[index]);
	pthread_mutex_unlock(&z->lock);
	return ret;
}

static struct blk_zone describe(const struct zones *z, uint32_t index)
{
	const struct zone *zone = &z->zone[index];
	uint64_t start = (uint64_t)index * z->config.size;
	struct blk_zone report = {
		.start = start,
		.len = z->config.size,
		.wp = start + zone->wp,
		.type = BLK_ZONE_TYPE_SEQWRITE_REQ,
		.cond = (uint8_t)zone->condition,
		.capacity = z->config.capacity,
	};

	if (index < z->config.conventional) {
		report.type = BLK_ZONE_TYPE_CONVENTIONAL;
		report.capacity = z->config.size;
	} else if (zone->condition == BLK_ZONE_COND_FULL) {
		report.wp = start + z->config.size;
	}
	return report;
}

uint32_t zones_report(struct zones *z, uint64_t sector, uint32_t count, struct blk_zone *report)
{
	uint64_t first = sector / z->config.size;

	if (first >= z->config.count)
		return 0;
	if (count > z->config.count - first)
		count = (uint32_t)(z->config.count - first);
	pthread_mutex_lock(&z->lock);
	for (uint32_t i = 0; i < count; i++)
		report[i] = describe(z, (uint32_t)first + i);
	pthread_mutex_unlock(&z->lock);
	return count;
}

uint64_t zones_save(struct zones *z, struct zone_record *records)
{
	uint64_t changes;

	pthread_mutex_lock(&z->lock);
	changes = z->changes;
	for (uint32_t i = 0; i < z->config.count; i++) {
		const struct zone *zone = &z->zone[i];

		/* Of one that is full, but for a write on its way, that may still fail. */
		records[i] = (struct zone_record){
			.written = zone->written,
			.full = zone->condition == BLK_ZONE_COND_FULL && !zone->flying,
		};
	}
	pthread_mutex_unlock(&z->lock);
	return changes;
}

uint64_t zones_changes(struct zones *z)
{
	uint64_t changes;

	pthread_mutex_lock(&z->lock);
	changes = z->changes;
	pthread_mutex_unlock(&z->lock);
	return changes;
}

int zones_restore(struct zones *z, const struct zone_record *records)
{
	const struct zones_config *c = &z->config;

	for (uint32_t i = c->conventional; i < c->count; i++) {
		struct zone *zone = &z->zone[i];

		if (records[i].written > c->capacity || records[i].full > 1)
			return -EINVAL;
		zone->wp = zone->written = records[i].written;
		if (records[i].full || zone->written == c->capacity)
			set_condition(z, zone, BLK_ZONE_COND_FULL);
		else
			close_zone(z, zone);
	}
	return 0;
}
