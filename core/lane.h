/* SPDX-License-Identifier: MIT */
/*
 * The way to the host for a queue's backend: operations go into the ring that
 * the queue waits on anyway, so that many are on their way at once, on one
 * thread and without system calls of their own. What has ended is kept until
 * the dispatcher's next round runs it. Queue thread.
 */
#pragma once

#include <liburing.h>
#include <stdint.h>

/* Registered file 0 of a queue's ring is the queue's device; the backend's follow. */
enum { LANE_FIRST_FILE = 1, LANE_FILES = 16 };

/* One operation of the host, in memory of who asked for it, until `done` is called. */
struct lane_op {
	void (*done)(struct lane_op *op, int32_t result); /* result: a CQE's */
	struct lane_op *next;
	int32_t result;
};

struct lane {
	struct io_uring *ring;
	struct lane_op *first, *last; /* that have ended */
	unsigned flying;	      /* not ended yet */
};

/*
 * A free entry of `ring`; where it is full, what is in it is submitted first. NULL: the kernel
 * takes nothing just now.
 */
struct io_uring_sqe *lane_entry(struct io_uring *ring);

/*
 * Submit, with the round, what `sqe` says; an io_uring_prep_* has made it for the backend's file
 * `file`. `op->done` is called once, in a later round. 0, or -ENOMEM when the kernel takes nothing
 * just now: then it is not called.
 */
int lane_start(struct lane *lane, struct lane_op *op, unsigned file,
	       const struct io_uring_sqe *sqe);

/* `op`, which user_data of a completion points to, has ended. */
void lane_end(struct lane *lane, struct lane_op *op, int32_t result);

/* Call `done` of all operations that have ended, in their order. They may start others. */
void lane_run(struct lane *lane);
