/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"

int watchdog_open(struct watchdog *w, double seconds, unsigned queues)
{
	*w = (struct watchdog){ 0 };
	if (seconds < 0)
		return 0;
	w->queue = calloc(queues, sizeof(*w->queue));
	if (!w->queue) {
		log_error("out of memory");
		return -ENOMEM;
	}
	w->queues = queues;
	w->limit = (uint64_t)(seconds * CLOCK_SECOND);
	return 0;
}

void watchdog_close(struct watchdog *w)
{
	free(w->queue);
	*w = (struct watchdog){ 0 };
}

int watchdog_wait_ms(const struct watchdog *w)
{
	/* A hang is seen at most a quarter of the limit late. */
	return w->limit ? (int)(w->limit / 4 / (CLOCK_SECOND / 1000)) + 1 : -1;
}

static bool hangs(struct watchdog_queue *q, const struct stats *stats, uint64_t limit, uint64_t now)
{
	if (!atomic_load(&stats->busy) || !q->since || q->rounds != stats->rounds) {
		q->rounds = stats->rounds;
		q->since = atomic_load(&stats->busy) ? now : 0;
		q->told = false;
		return false;
	}
	return !q->told && now - q->since > limit;
}

int watchdog_look(struct watchdog *w, const struct stats *const *queues)
{
	uint64_t now = clock_now();

	for (unsigned i = 0; w->limit && i < w->queues; i++) {
		if (!hangs(&w->queue[i], queues[i], w->limit, now))
			continue;
		w->queue[i].told = true;
		return (int)i;
	}
	return -1;
}
