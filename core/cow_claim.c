/* SPDX-License-Identifier: MIT */
/*
 * Who waits is put in one list for all reasons, and all in it try again when
 * anything is released: each block is added once, so there is an end to that.
 * A request that waits holds nothing that another may wait for.
 */
#include "cow.h"

/* With the lock: wait, asleep or in the list, until something is released. */
static int wait(struct cow_io *c)
{
	struct cow *cow = c->cow;

	if (!c->io) {
		pthread_cond_wait(&cow->released, &cow->lock);
		return COW_WAIT;
	}
	c->io->lane->flying++;
	c->next = NULL;
	*cow->last = c;
	cow->last = &c->next;
	return COW_WAIT;
}

/* With the lock, which this gives back: all that wait try again, each on its own thread. */
static void wake_all(struct cow *cow)
{
	struct cow_io *c = cow->waiting;

	cow->waiting = NULL;
	cow->last = &cow->waiting;
	pthread_cond_broadcast(&cow->released);
	pthread_mutex_unlock(&cow->lock);
	while (c) {
		struct cow_io *next = c->next;

		lane_post(c->io->lane, &c->io->op, 0);
		c = next;
	}
}

/* With the lock: how many of the blocks nobody has claimed, from the first on. */
static uint64_t unclaimed(const struct cow *cow, uint64_t first, uint64_t count)
{
	for (unsigned i = 0; i < COW_CLAIMS; i++) {
		const struct cow_claim *claim = &cow->claims[i];

		if (!claim->count || claim->first + claim->count <= first ||
		    claim->first >= first + count)
			continue;
		count = claim->first > first ? claim->first - first : 0;
	}
	return count;
}

static struct cow_claim *free_claim(struct cow *cow)
{
	for (unsigned i = 0; i < COW_CLAIMS; i++)
		if (!cow->claims[i].count)
			return &cow->claims[i];
	return NULL;
}

static int take(struct cow_io *c, uint64_t first, uint64_t count)
{
	struct cow *cow = c->cow;
	uint64_t lacking = 0;

	if (cow_map_has(cow, first))
		return COW_THERE;
	count = unclaimed(cow, first, count);
	c->claim = count ? free_claim(cow) : NULL;
	if (!c->claim)
		return wait(c);
	while (lacking < count && !cow_map_has(cow, first + lacking))
		lacking++;
	c->claim->first = first;
	c->claim->count = lacking;
	return COW_MINE;
}

int cow_claim_take(struct cow_io *c, uint64_t first, uint64_t count)
{
	int ret;

	pthread_mutex_lock(&c->cow->lock);
	ret = take(c, first, count);
	pthread_mutex_unlock(&c->cow->lock);
	return ret;
}

void cow_claim_release(struct cow_io *c)
{
	pthread_mutex_lock(&c->cow->lock);
	c->claim->count = 0;
	c->claim = NULL;
	wake_all(c->cow);
}

int cow_claim_flush(struct cow_io *c)
{
	struct cow *cow = c->cow;
	int ret = COW_MINE;

	pthread_mutex_lock(&cow->lock);
	if (cow->flushing)
		ret = wait(c);
	else
		cow->flushing = c->flushes = true;
	pthread_mutex_unlock(&cow->lock);
	return ret;
}

void cow_claim_end_flush(struct cow_io *c)
{
	pthread_mutex_lock(&c->cow->lock);
	c->cow->flushing = c->flushes = false;
	wake_all(c->cow);
}
