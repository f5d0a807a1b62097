/* SPDX-License-Identifier: MIT */
/*
 * The zones of a zoned device: which condition each is in, where its next write
 * goes, and what a request may do to it. Knows no data and no backend. Any
 * thread; a lock is held for the look at the zones alone, never for I/O.
 *
 * A write moves the write pointer when it begins, so that appends to one zone
 * go on together; what is read counts as written when it was answered.
 */
#pragma once

#include <linux/blkzoned.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct zones_config {
	uint32_t count;
	uint32_t conventional;	       /* the first of them: written anywhere, at any time */
	uint32_t size, capacity;       /* sectors; no write goes beyond the second */
	uint32_t max_open, max_active; /* 0: no limit */
};

struct zone {
	uint32_t wp;	    /* sectors from its start: where the next write goes */
	uint32_t written;   /* sectors: a read gives zeros from here on */
	uint32_t flying;    /* writes that have begun and not ended */
	uint32_t condition; /* enum blk_zone_cond */
};

struct zones {
	struct zones_config config;
	pthread_mutex_t lock; /* of what follows */
	struct zone *zone;
	uint32_t having[BLK_ZONE_COND_OFFLINE + 1]; /* how many are in which condition */
	uint32_t next;	  /* where to look for a zone that may be closed */
	uint64_t changes; /* of what zones_save gives */
};

/* What of a zone is kept; in the byte order of the host. */
struct zone_record {
	uint32_t written;
	uint32_t full; /* 1: nothing more is written to it */
};

/* A write on its way. */
struct zone_write {
	struct zone *zone;   /* NULL: a conventional one */
	uint32_t at, length; /* sectors of it */
};

/* All empty. 0 or -ENOMEM; zones_close is safe after both. */
int zones_open(struct zones *z, const struct zones_config *config);
void zones_close(struct zones *z);

/* Zone `index`, which is below the count and not conventional, is read-only or offline. */
void zones_break(struct zones *z, uint32_t index, enum blk_zone_cond condition);

/*
 * A write of `length` sectors at *sector, or an append to the zone that begins there: *sector is
 * then where it goes. 0: it may be made, and zones_end_write is owed. Else -EIO, -ETOOMANYREFS (no
 * zone more may be open) or -EOVERFLOW (active).
 */
int zones_begin_write(struct zones *z, uint64_t *sector, uint32_t length, bool append,
		      struct zone_write *w);

/*
 * It has come to `result`, 0 or -errno. One that failed takes the write pointer back, unless others
 * have begun behind it: then what was to be there may be anything.
 */
void zones_end_write(struct zones *z, const struct zone_write *w, int result);

/* How many of the `length` sectors have been written, from the first on; the others are zeros. */
int zones_written(struct zones *z, uint64_t sector, uint32_t length, uint32_t *written);

/* UL_OP_ZONE_OPEN, CLOSE, FINISH or RESET of the zone that begins at `sector`, or RESET_ALL. */
int zones_command(struct zones *z, uint8_t op, uint64_t sector);

/* `count` zones from that on which has `sector`: how many there are of them. */
uint32_t zones_report(struct zones *z, uint64_t sector, uint32_t count, struct blk_zone *report);

/* What is to be kept of all zones. Returns `changes` as they were then. */
uint64_t zones_save(struct zones *z, struct zone_record *records);
uint64_t zones_changes(struct zones *z);

/* Go on from what was kept, before the first request. 0, or -EINVAL: it fits no such zones. */
int zones_restore(struct zones *z, const struct zone_record *records);
