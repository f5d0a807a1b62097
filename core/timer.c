/* SPDX-License-Identifier: MIT */
#include "timer.h"

#include <stdlib.h>

#define NOT_SET UINT32_MAX

struct timer {
	uint64_t deadline;
	uint64_t order; /* of being set, among equal deadlines */
	uint32_t slot;
};

struct timers {
	struct timer *heap; /* children of i at 2i+1 and 2i+2, none earlier than its parent */
	uint32_t *place;    /* of a slot's timer in the heap, or NOT_SET */
	uint32_t count;
	uint64_t order;
};

struct timers *timer_open(uint32_t slots)
{
	struct timers *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->heap = calloc(slots, sizeof(*t->heap));
	t->place = malloc(slots * sizeof(*t->place));
	if (!t->heap || !t->place) {
		timer_close(t);
		return NULL;
	}
	for (uint32_t i = 0; i < slots; i++)
		t->place[i] = NOT_SET;
	return t;
}

void timer_close(struct timers *t)
{
	if (!t)
		return;
	free(t->place);
	free(t->heap);
	free(t);
}

static bool before(const struct timer *a, const struct timer *b)
{
	return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void put(struct timers *t, uint32_t place, struct timer timer)
{
	t->heap[place] = timer;
	t->place[timer.slot] = place;
}

/* Put `timer` at the free `place`, or as far up as it belongs. */
static void sift_up(struct timers *t, uint32_t place, struct timer timer)
{
	while (place && before(&timer, &t->heap[(place - 1) / 2])) {
		put(t, place, t->heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(t, place, timer);
}

static void sift_down(struct timers *t, uint32_t place, struct timer timer)
{
	for (;;) {
		uint32_t child = 2 * place + 1;

		if (child + 1 < t->count && before(&t->heap[child + 1], &t->heap[child]))
			child++;
		if (child >= t->count || !before(&t->heap[child], &timer))
			break;
		put(t, place, t->heap[child]);
		place = child;
	}
	put(t, place, timer);
}

void timer_clear(struct timers *t, uint32_t slot)
{
	uint32_t place = t->place[slot];
	struct timer last;

	if (place == NOT_SET)
		return;
	t->place[slot] = NOT_SET;
	last = t->heap[--t->count];
	if (place == t->count)
		return;
	/* The last one fills the gap; it may belong above it as well as below. */
	if (place && before(&last, &t->heap[(place - 1) / 2]))
		sift_up(t, place, last);
	else
		sift_down(t, place, last);
}

void timer_set(struct timers *t, uint32_t slot, uint64_t deadline)
{
	timer_clear(t, slot);
	sift_up(t, t->count++,
		(struct timer){ .deadline = deadline, .order = t->order++, .slot = slot });
}

uint64_t timer_next(const struct timers *t)
{
	return t->count ? t->heap[0].deadline : TIMER_NEVER;
}

bool timer_due(struct timers *t, uint64_t now, uint32_t *slot)
{
	if (timer_next(t) > now || !t->count)
		return false;
	*slot = t->heap[0].slot;
	timer_clear(t, *slot);
	return true;
}
