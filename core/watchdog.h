/* SPDX-License-Identifier: MIT */
/*
 * Notices a queue whose script does not come back. The supervisor looks, to end
 * the server, and before it the server's main thread, to tell which request it
 * is. Each has its own, and calls it from its loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "stats.h"

struct watchdog_queue {
	uint64_t rounds; /* stats.rounds when it was looked at, */
	uint64_t since;	 /* and by the clock when that was seen first; 0: it was waiting */
	bool told;
};

struct watchdog {
	uint64_t limit; /* ns; 0: it sleeps */
	unsigned queues;
	struct watchdog_queue *queue;
};

/* `seconds` below 0: never. 0 or -ENOMEM, logged. */
int watchdog_open(struct watchdog *watchdog, double seconds, unsigned queues);
void watchdog_close(struct watchdog *watchdog);

/* How long poll may wait before the next look; -1: for ever. */
int watchdog_wait_ms(const struct watchdog *watchdog);

/* A queue that has been in one round for longer than the limit; each is told once. -1: none. */
int watchdog_look(struct watchdog *watchdog, const struct stats *const *queues);
