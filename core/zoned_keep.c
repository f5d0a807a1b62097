/* SPDX-License-Identifier: MIT */
/*
 * Keeps the state of the zones as cow_map keeps its map: a copy is taken, the
 * data flushed, and then the copy written, so that it tells of nothing that is
 * not durable. One request does that at a time, and those that wait for it look
 * again when it has ended: it may have kept what is theirs.
 */
#include <stddef.h>

#include "zoned.h"

/* With the lock: wait, asleep or in the list, until somebody has kept. */
static void wait(struct zoned_io *z)
{
	struct zoned *zoned = z->zoned;

	if (!z->io) {
		pthread_cond_wait(&zoned->released, &zoned->lock);
		return;
	}
	z->lane->flying++;
	z->next = NULL;
	*zoned->last = z;
	zoned->last = &z->next;
}

enum turn { TURN_MINE, TURN_WAIT, TURN_KEPT };

static enum turn take_turn(struct zoned_io *z)
{
	struct zoned *zoned = z->zoned;
	enum turn turn = TURN_MINE;

	pthread_mutex_lock(&zoned->lock);
	if (zoned->kept >= z->needed) {
		turn = TURN_KEPT;
	} else if (zoned->keeping) {
		turn = TURN_WAIT;
		wait(z);
	} else {
		zoned->keeping = z->keeps = true;
	}
	pthread_mutex_unlock(&zoned->lock);
	return turn;
}

void zoned_let_go(struct zoned_io *z)
{
	struct zoned *zoned = z->zoned;
	struct zoned_io *waiting;

	if (!z->keeps)
		return;
	pthread_mutex_lock(&zoned->lock);
	zoned->keeping = z->keeps = false;
	waiting = zoned->waiting;
	zoned->waiting = NULL;
	zoned->last = &zoned->waiting;
	pthread_cond_broadcast(&zoned->released);
	pthread_mutex_unlock(&zoned->lock);
	while (waiting) { /* each goes on in its own thread */
		struct zoned_io *next = waiting->next;

		lane_post(waiting->lane, &waiting->io->op, 0);
		waiting = next;
	}
}

static int note_kept(struct zoned_io *z)
{
	pthread_mutex_lock(&z->zoned->lock);
	z->zoned->kept = z->saved;
	pthread_mutex_unlock(&z->zoned->lock);
	zoned_let_go(z);
	z->step = NULL;
	return 0;
}

/* What the records tell of is durable: they may follow. */
static int write_records(struct zoned_io *z)
{
	z->req = (struct ul_req){
		.op = UL_OP_WRITE,
		.flags = UL_FLAG_FUA,
		.sector = ZONED_PAGE >> 9,
		.length = z->zoned->records_size,
		.buf = (uint8_t *)z->zoned->records,
	};
	return zoned_ask(z, ZONED_STATE, note_kept);
}

int zoned_keep(struct zoned_io *z)
{
	switch (take_turn(z)) {
	case TURN_KEPT: /* a flush is for data too, of conventional zones, say */
		z->step = NULL;
		if (z->whole->op != UL_OP_FLUSH)
			return 0;
		z->req = *z->whole;
		return zoned_ask(z, ZONED_DATA, NULL);
	case TURN_WAIT:
		return z->io ? BACKEND_LATER : 0;
	default:
		z->saved = zones_save(&z->zoned->zones, z->zoned->records);
		z->req = (struct ul_req){ .op = UL_OP_FLUSH };
		return zoned_ask(z, ZONED_DATA, write_records);
	}
}
