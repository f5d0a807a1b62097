/* SPDX-License-Identifier: MIT */
/*
 * What a request costs: rounds of one op alone, timed in turn with the script
 * and in C alone, so that a slow moment weighs on both. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "simulate.h"

/* The requests that are measured; the simulation's `next` and `done` call it while it runs. */
struct cost_feed {
	struct ul_rng rng;
	uint8_t op;
	uint32_t length;
	uint64_t places; /* multiples of `length` on the device */
	uint64_t served;
};

void cost_next(struct cost_feed *feed, struct ul_req *req);
void cost_done(struct cost_feed *feed);

/* ns for a request, the median over samples; below 0: not known. */
struct cost {
	double script, c;
};

/* `scripted` NULL: only C is measured. Each simulation has its own feed. */
struct cost cost_measure(struct simulation *scripted, struct cost_feed *scripted_feed,
			 struct simulation *plain, struct cost_feed *plain_feed);
