/* SPDX-License-Identifier: MIT */
#include "park.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "timer.h"

/* A slot is in at most one of these at a time: struct ul_slot's `state`. */
enum park_state {
	PARK_IDLE = 0, /* waits for nothing, or for the script to wake it */
	PARK_TIMED,    /* in the heap of timers */
	PARK_IO,       /* in the ring of wishes to the backing */
	PARK_READY,    /* in the ring of those that may go on */
};

/* First in, first out. Each slot is in a ring at most once, so it is never full. */
struct ring {
	uint16_t *slots;
	uint32_t size, head, count;
};

struct park {
	struct timers *timers;
	struct ring ready, io;
};

static int ring_open(struct ring *ring, uint32_t size)
{
	ring->slots = calloc(size, sizeof(*ring->slots));
	ring->size = size;
	return ring->slots ? 0 : -ENOMEM;
}

static void ring_push(struct ring *ring, uint32_t slot)
{
	uint32_t place = ring->head + ring->count++;

	ring->slots[place < ring->size ? place : place - ring->size] = (uint16_t)slot;
}

static bool ring_pop(struct ring *ring, uint32_t *slot)
{
	if (!ring->count)
		return false;
	*slot = ring->slots[ring->head];
	ring->head = ring->head + 1 < ring->size ? ring->head + 1 : 0;
	ring->count--;
	return true;
}

int park_open(struct ul_queue *queue)
{
	struct park *park = calloc(1, sizeof(*park));
	uint32_t slots;

	queue->park = park;
	queue->tasks = UL_TASKS;
	slots = queue->depth + queue->tasks;
	queue->slots = calloc(slots, sizeof(*queue->slots));
	queue->results = calloc(slots, sizeof(*queue->results));
	queue->forwarded = calloc(queue->depth, sizeof(*queue->forwarded));
	if (!park || !queue->slots || !queue->results || !queue->forwarded)
		return -ENOMEM;
	park->timers = timer_open(slots);
	if (!park->timers || ring_open(&park->ready, slots) || ring_open(&park->io, slots))
		return -ENOMEM;
	return 0;
}

void park_close(struct ul_queue *queue)
{
	struct park *park = queue->park;

	if (park) {
		timer_close(park->timers);
		free(park->ready.slots);
		free(park->io.slots);
	}
	free(queue->forwarded);
	free(queue->results);
	free(queue->slots);
	free(park);
}

void ul_park_until(struct ul_queue *queue, uint32_t slot, double time)
{
	struct park *park = queue->park;
	double ns = ceil(time * 1e9); /* never early: sums of doubles fall short */

	if (ns < 0)
		ns = 0;
	/* Half of what the kernel's clock can hold: it adds what has passed to a time limit. */
	timer_set(park->timers, slot, ns < 0x1p62 ? (uint64_t)ns : TIMER_NEVER);
	queue->slots[slot].state = PARK_TIMED;
}

void ul_park_io(struct ul_queue *queue, uint32_t slot)
{
	struct park *park = queue->park;

	ring_push(&park->io, slot);
	queue->slots[slot].io.marks = 0; /* of what the slot has asked for before */
	queue->slots[slot].state = PARK_IO;
}

void ul_park_forward(struct ul_queue *queue, uint32_t slot)
{
	queue->slots[slot].io = queue->reqs[slot];
	queue->reqs[slot].marks |= UL_MARK_HIT | UL_MARK_FORWARDED;
	ul_park_io(queue, slot);
	queue->slots[slot].io.marks = UL_MARK_FORWARDED;
}

void ul_park_wake(struct ul_queue *queue, uint32_t slot)
{
	struct park *park = queue->park;
	uint32_t state = queue->slots[slot].state;

	if (state == PARK_READY || state == PARK_IO) /* I/O ends by itself */
		return;
	timer_clear(park->timers, slot);
	ring_push(&park->ready, slot);
	queue->slots[slot].state = PARK_READY;
}

int32_t ul_park_cancel(struct ul_queue *queue, uint32_t slot)
{
	struct park *park = queue->park;

	if (queue->slots[slot].state != PARK_TIMED)
		return 0;
	timer_clear(park->timers, slot);
	queue->slots[slot].state = PARK_IDLE;
	return 1;
}

bool park_next_ready(struct ul_queue *queue, uint32_t *slot)
{
	if (!ring_pop(&((struct park *)queue->park)->ready, slot))
		return false;
	queue->slots[*slot].state = PARK_IDLE;
	return true;
}

uint32_t park_ready(const struct ul_queue *queue)
{
	return ((const struct park *)queue->park)->ready.count;
}

bool park_next_io(struct ul_queue *queue, uint32_t *slot)
{
	return ring_pop(&((struct park *)queue->park)->io, slot);
}

void park_end_io(struct ul_queue *queue, uint32_t slot, int32_t result)
{
	queue->results[slot] = result;
	queue->slots[slot].state = PARK_IDLE;
	ul_park_wake(queue, slot);
}

bool park_waits_for_io(const struct ul_queue *queue, uint32_t slot)
{
	return queue->slots[slot].state == PARK_IO;
}

void park_expire(struct ul_queue *queue, uint64_t now)
{
	struct park *park = queue->park;
	uint32_t slot;

	while (timer_due(park->timers, now, &slot))
		ul_park_wake(queue, slot);
}

uint64_t park_deadline(const struct ul_queue *queue)
{
	const struct park *park = queue->park;

	return park_ready(queue) ? 0 : timer_next(park->timers);
}
