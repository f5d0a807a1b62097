/* SPDX-License-Identifier: MIT */
/*
 * The timers of one queue: at most one for each slot, in a binary heap by
 * deadline; equal deadlines go off in the order in which they were set. Knows
 * no clock: who has one asks what is due. Nothing allocates after timer_open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timers;

#define TIMER_NEVER UINT64_MAX /* ns */

/* For the slots 0 to `slots` - 1. NULL: no memory. */
struct timers *timer_open(uint32_t slots);
void timer_close(struct timers *timers);

/* Set the timer of `slot`, or set it anew; `deadline` in ns. */
void timer_set(struct timers *timers, uint32_t slot, uint64_t deadline);

/* Clear it, if it is set. */
void timer_clear(struct timers *timers, uint32_t slot);

/* The earliest deadline, or TIMER_NEVER. */
uint64_t timer_next(const struct timers *timers);

/* Take the timer that is due first at `now`, clear it and give its slot. False: none is due. */
bool timer_due(struct timers *timers, uint64_t now, uint32_t *slot);
