/* SPDX-License-Identifier: MIT */
/*
 * A zoned device as a backing: finds out how many zones there are, takes up
 * the state that is kept of them or begins a new one, and leaves nothing
 * unwritten when it is closed. Main thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "zoned.h"

/* In the byte order of the host: on another the version is none of ours. */
struct zoned_header {
	char magic[16];
	uint32_t version;
	uint32_t zones, conventional;
	uint32_t size, capacity; /* sectors */
};

enum { ZONED_VERSION = 1 };

static const char magic[16] = "ublk-lua zones\n";

static int zoned_probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	struct ul_backing_spec *data = &dev->backing[spec->child + ZONED_DATA];
	struct ul_backing_spec *state = &dev->backing[spec->child + ZONED_STATE];
	uint64_t zones;
	double needed;
	int ret = backend_probe_child(dev, spec, ZONED_DATA, spec->size);

	if (ret)
		return ret;
	zones = (uint64_t)(spec->size != 0 ? spec->size : data->size) / spec->block;
	if (spec->size == 0)
		spec->size = (double)(zones * spec->block);
	if (zones < 1 || zones > UL_MAX_ZONES || (double)(zones * spec->block) != spec->size) {
		log_error("ublk.zoned: a size of %.0f bytes: 1 to %d whole zones of %u are needed",
			  spec->size ? spec->size : data->size, UL_MAX_ZONES, spec->block);
		return -EINVAL;
	}
	if (data->size < spec->size) {
		log_error("ublk.zoned: size = %.0f bytes: its backing has %.0f", spec->size,
			  data->size);
		return -EINVAL;
	}
	if (spec->children <= ZONED_STATE)
		return 0;
	needed = ZONED_PAGE + (double)zoned_records_size(zones);
	state->create = 1;
	ret = backend_probe_child(dev, spec, ZONED_STATE, needed);
	if (ret == 0 && state->size < needed) {
		log_error("ublk.zoned: its state has %.0f bytes and needs %.0f", state->size,
			  needed);
		ret = -EINVAL;
	}
	return ret;
}

static int ask_state(struct zoned *zoned, uint8_t op, uint64_t offset, uint32_t length, void *buf)
{
	struct backend *state = zoned->base.child[ZONED_STATE];
	const struct ul_req req = {
		.op = op,
		.flags = op == UL_OP_WRITE ? UL_FLAG_FUA : 0,
		.sector = (double)(offset >> 9),
		.length = length,
		.buf = buf,
	};

	return state->ops->serve(state, NULL, &req);
}

static struct zoned_header header_of(const struct zoned *zoned)
{
	const struct zones_config *c = &zoned->zones.config;
	struct zoned_header header = {
		.version = ZONED_VERSION,
		.zones = c->count,
		.conventional = c->conventional,
		.size = c->size,
		.capacity = c->capacity,
	};

	memcpy(header.magic, magic, sizeof(magic));
	return header;
}

/* All zones empty. The header comes last: what a crash leaves is no state yet. */
static int begin_state(struct zoned *zoned, uint8_t *page)
{
	struct zoned_header header = header_of(zoned);
	int ret = ask_state(zoned, UL_OP_WRITE, ZONED_PAGE, zoned->records_size, zoned->records);

	memcpy(page, &header, sizeof(header));
	return ret ? ret : ask_state(zoned, UL_OP_WRITE, 0, ZONED_PAGE, page);
}

static int take_up(struct zoned *zoned, const uint8_t *page, const char *name)
{
	struct zoned_header wanted = header_of(zoned), has;
	int ret = -EINVAL;

	memcpy(&has, page, sizeof(has));
	if (memcmp(&has, &wanted, sizeof(has)) == 0) {
		ret = ask_state(zoned, UL_OP_READ, ZONED_PAGE, zoned->records_size, zoned->records);
		return ret ? ret : zones_restore(&zoned->zones, zoned->records);
	}
	if (has.version != ZONED_VERSION)
		log_error("ublk.zoned: %s: a state of version %u, this is %u", name, has.version,
			  ZONED_VERSION);
	else
		log_error("ublk.zoned: %s: the state of %u zones of %llu bytes, %u conventional, "
			  "capacity %llu; the device's are others",
			  name, has.zones, (unsigned long long)has.size << 9, has.conventional,
			  (unsigned long long)has.capacity << 9);
	return -EEXIST; /* it has been said */
}

static int open_state(struct zoned *zoned, bool read_only, const char *name)
{
	uint8_t *page = aligned_alloc(ZONED_PAGE, ZONED_PAGE);
	int ret = page ? ask_state(zoned, UL_OP_READ, 0, ZONED_PAGE, page) : -ENOMEM;

	if (ret == 0 && memcmp(page, magic, sizeof(magic)) == 0)
		ret = take_up(zoned, page, name);
	else if (ret == 0 && page[0] == 0 && memcmp(page, page + 1, ZONED_PAGE - 1) == 0)
		ret = read_only ? 0 : begin_state(zoned, page);
	else if (ret == 0)
		ret = -EINVAL;
	if (ret == -EINVAL)
		log_error("ublk.zoned: %s holds no state of zones; one begins as zeros, or as no "
			  "file",
			  name);
	else if (ret && ret != -EEXIST)
		log_error("ublk.zoned: %s: %s", name, strerror(-ret));
	free(page);
	return ret ? -EINVAL : 0;
}

static int set_up(struct zoned *zoned, const struct ul_device *dev,
		  const struct ul_backing_spec *spec, struct backend *const *children)
{
	const struct ul_zones *zones = &dev->zones;
	const struct zones_config config = {
		.count = (uint32_t)(spec->size / zones->size),
		.conventional = zones->conventional,
		.size = zones->size >> 9,
		.capacity = zones->capacity >> 9,
		.max_open = zones->max_open,
		.max_active = zones->max_active,
	};

	zoned->base.ops = &backend_zoned_ops;
	zoned->base.io_size =
		sizeof(struct zoned_io) + backend_most_memory(children, spec->children);
	zoned->base.lazy = children[ZONED_DATA]->lazy;
	zoned->base.fixed = children[ZONED_DATA]->fixed;
	memcpy(zoned->base.child, children, spec->children * sizeof(*children));
	zoned->durable = !dev->volatile_cache;
	zoned->last = &zoned->waiting;
	pthread_mutex_init(&zoned->lock, NULL);
	pthread_cond_init(&zoned->released, NULL);
	if (zones_open(&zoned->zones, &config))
		return -ENOMEM;
	if (spec->children <= ZONED_STATE)
		return 0;
	zoned->records_size = zoned_records_size(config.count);
	zoned->records = aligned_alloc(ZONED_PAGE, zoned->records_size);
	if (!zoned->records)
		return -ENOMEM;
	memset(zoned->records, 0, zoned->records_size);
	return 0;
}

static void free_zoned(struct zoned *zoned)
{
	free(zoned->records);
	zones_close(&zoned->zones);
	pthread_cond_destroy(&zoned->released);
	pthread_mutex_destroy(&zoned->lock);
	free(zoned);
}

static int zoned_open(struct backend **backend, const struct ul_device *dev,
		      const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct zoned *zoned = calloc(1, sizeof(*zoned));
	char name[256];
	int ret = zoned ? set_up(zoned, dev, spec, children) : -ENOMEM;

	if (ret) {
		log_error("ublk.zoned: no memory for the state of its zones");
	} else if (zoned->records) {
		const struct ul_backing_spec *state = &dev->backing[spec->child + ZONED_STATE];

		backend_text(dev, state, name, sizeof(name));
		ret = open_state(zoned, state->read_only, name);
	}
	if (ret) {
		if (zoned)
			free_zoned(zoned);
		return ret;
	}
	for (uint32_t i = 0; i < dev->zones.broken; i++)
		zones_break(&zoned->zones, dev->zones.list[i].index,
			    dev->zones.list[i].offline ? BLK_ZONE_COND_OFFLINE
						       : BLK_ZONE_COND_READONLY);
	*backend = &zoned->base;
	return 0;
}

/* Who stops a device counts on what it has answered. */
static void zoned_close(struct backend *backend)
{
	struct zoned *zoned = (struct zoned *)backend;
	int ret = 0;

	if (zoned->records && zones_changes(&zoned->zones) != zoned->kept)
		ret = zoned_serve(backend, NULL, &(struct ul_req){ .op = UL_OP_FLUSH });
	if (ret)
		log_error("ublk.zoned: what was written since the last flush is lost: %s",
			  strerror(-ret));
	free_zoned(zoned);
}

const struct backend_ops backend_zoned_ops = {
	.name = "zoned",
	.probe = zoned_probe,
	.open = zoned_open,
	.serve = zoned_serve,
	.start = zoned_start,
	.close = zoned_close,
};
