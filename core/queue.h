/* SPDX-License-Identifier: MIT */
/*
 * A hardware queue of a real device, or one thread's part of it: its io_uring,
 * the driver's descriptors and the state of each tag. Opened, used and closed
 * by one thread, because the driver ties a tag to the task that fetched it.
 */
#pragma once

#include "split.h"
#include "transport.h"

struct queue_config {
	int char_fd;	    /* /dev/ublkcN */
	unsigned queue;	    /* its number to the script and to people */
	struct split split; /* its part of a hardware queue, whose */
	unsigned depth;	    /* this is, as the driver gave it back */
	uint32_t max_io;    /* likewise */
	uint64_t flags;	    /* UBLK_F_*, likewise */
	int wake_fd;	    /* eventfd, non-blocking: written to, reap returns; -1: none */
	uint64_t epoch;	    /* CLOCK_MONOTONIC in ns at which the device's clock is 0 */
	bool huge_pages;    /* for the data, if there are any */
	struct ul_integrity integrity;
	const int *files; /* of the backend, for its operations in the queue's ring */
	unsigned file_count;
};

/*
 * Set the queue up and fetch every tag; after this START_DEV may be sent. 0 or
 * -errno, logged, and then nothing is held.
 */
int queue_open(struct transport **transport, const struct queue_config *config);
