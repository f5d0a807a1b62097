/* SPDX-License-Identifier: MIT */
/*
 * How a hardware queue is split among the threads that serve it. Each of them
 * is a queue of its own to scripts, counters and clients, with tags from 0 on;
 * only where the driver is spoken to its tags have the driver's numbers. Pure
 * functions.
 */
#pragma once

#include <sched.h>
#include <stdint.h>

/* The part of one thread: every `step`-th tag of hardware queue `queue`, from `first` on. */
struct split {
	uint16_t queue;
	uint16_t first;
	uint16_t step;
};

/* Of queue `number` of a device whose hardware queues have `threads` each. */
struct split split_of(unsigned number, unsigned threads);

/* How many of the hardware queue's `depth` tags it has. */
unsigned split_depth(const struct split *split, unsigned depth);

/* Which of `cpus`, where the hardware queue's requests come from, it is to run on. */
cpu_set_t split_cpus(const struct split *split, const cpu_set_t *cpus);

/* What the driver calls its tag `tag`. */
static inline uint16_t split_tag(const struct split *split, uint16_t tag)
{
	return (uint16_t)(split->first + tag * split->step);
}
