/* SPDX-License-Identifier: MIT */
/*
 * A transport without kernel or root: requests come from a callback, answers
 * go to another, and each tag must be answered exactly once. Its clock stands
 * still while requests come and jumps to the next deadline when none do, so
 * what sleeps for an hour runs at once, and alike each time. A reap of it is
 * -EPROTO when no event is left that could bring an answer, and -ETIME when a
 * century has passed and one is still owed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "transport.h"

struct sim_config {
	unsigned queue;
	unsigned depth;
	uint32_t max_io;
	unsigned batch; /* most requests that one reap hands out; at most depth */
	bool real_time; /* its clock is the machine's; it still does not wait */

	/*
	 * Fill op, flags, sector and length of the next request, and its data for
	 * a write at `data`. False when there are none: when all are answered
	 * reap then says that the queue has ended, until there are more.
	 */
	bool (*next)(void *arg, struct ul_req *req, uint8_t *data);

	/* `req` was answered with `result`; a read's data is at `data`. May be NULL. */
	void (*done)(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result);

	void *arg;
};

/* 0 or -ENOMEM. */
int sim_open(struct transport **transport, const struct sim_config *config);

/* Tags that were given out and not answered yet. */
unsigned sim_owed(const struct transport *transport);

/* At the end: answers to a tag that owed none, and tags that were never answered. */
unsigned sim_faults(const struct transport *transport);
