/* SPDX-License-Identifier: MIT */
/*
 * One hardware queue of a real device: its io_uring, the driver's descriptors
 * and the state of each tag. Opened, used and closed by one thread, because
 * the driver ties a tag to the task that fetched it.
 */
#pragma once

#include "transport.h"

struct queue_config {
	int char_fd; /* /dev/ublkcN */
	unsigned queue;
	unsigned depth;	 /* as the driver gave it back */
	uint32_t max_io; /* likewise */
};

/*
 * Set the queue up and fetch every tag; after this START_DEV may be sent. 0 or
 * -errno, logged, and then nothing is held.
 */
int queue_open(struct transport **transport, const struct queue_config *config);
