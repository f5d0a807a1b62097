/* SPDX-License-Identifier: MIT */
/*
 * The clock behind all times of a device: it never goes back, and what sets
 * the date does not touch it. A device's own time begins at an epoch on it.
 * Any thread.
 */
#pragma once

#include <stdint.h>
#include <time.h>

enum { CLOCK_SECOND = 1000000000 }; /* ns */

/* ns since some moment before the program started. */
static inline uint64_t clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * CLOCK_SECOND + (uint64_t)now.tv_nsec;
}
