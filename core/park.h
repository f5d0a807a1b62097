/* SPDX-License-Identifier: MIT */
/*
 * What waits on a queue, and what may go on: handlers of requests and tasks of
 * the script, each in its slot of struct ul_queue, which waits for a time, for
 * the backing, or for the script to wake it. The script parks slots through
 * the ul_park_* functions of api.h; dispatch.c takes out what is due. Queue
 * thread; nothing allocates after park_open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

/* Give `queue`, whose depth is set, its slots. 0 or -ENOMEM; park_close is safe after both. */
int park_open(struct ul_queue *queue);
void park_close(struct ul_queue *queue);

/* The next slot that may go on, in the order in which they were woken. False: none. */
bool park_next_ready(struct ul_queue *queue, uint32_t *slot);

/* How many slots may go on now. */
uint32_t park_ready(const struct ul_queue *queue);

/* The next slot whose `io` the backing is to serve; then park_end_io is owed. False: none. */
bool park_next_io(struct ul_queue *queue, uint32_t *slot);

/* The backing has served the `io` of `slot`, with `result`: 0 or -errno. The slot may go on. */
void park_end_io(struct ul_queue *queue, uint32_t slot, int32_t result);

/* Does `slot` wait for the backing? */
bool park_waits_for_io(const struct ul_queue *queue, uint32_t slot);

/* Wake what waits for a time up to `now`, in ns on the queue's clock. */
void park_expire(struct ul_queue *queue, uint64_t now);

/* When the next of them is due, in ns: 0 when something can go on now, or TIMER_NEVER. */
uint64_t park_deadline(const struct ul_queue *queue);
