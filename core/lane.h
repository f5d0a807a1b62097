/* SPDX-License-Identifier: MIT */
/*
 * The way to the host for a queue's backend: operations go into the ring that
 * the queue waits on anyway, so that many are on their way at once, on one
 * thread and without system calls of their own. What has ended is kept until
 * the dispatcher's next round runs it. Also the way to a request's data that
 * is still with the driver. Queue thread.
 */
#pragma once

#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "split.h"

/* Registered file 0 of a queue's ring is the queue's device; the backend's follow, two of each. */
enum { LANE_FIRST_FILE = 1, LANE_FILES = 2 * UL_BACKINGS };

/* One operation of the host, in memory of who asked for it, until `done` is called. */
struct lane_op {
	void (*done)(struct lane_op *op, int32_t result); /* result: a CQE's */
	struct lane_op *next;
	int32_t result;
};

struct lane {
	struct io_uring *ring;
	struct lane_op *first, *last;	  /* that have ended */
	unsigned flying;		  /* not ended yet */
	_Atomic(struct lane_op *) posted; /* by any thread, the newest first */
	int wake_fd; /* eventfd that lets the queue have a round; 0: it has one anyway */

	bool lazy;	    /* requests come with no `buf`: their data is with the driver */
	int char_fd;	    /* the queue's device, which gives and takes it */
	struct split split; /* what the driver calls the queue and its tags */
	uint8_t *buffers;   /* of the tags, for who needs the data in memory */
	uint32_t stride;    /* from one to the next */
	const struct ul_queue *shared; /* of a device with metadata: where that of the tags lies */
	uint8_t *pages;		       /* enum lane_pages of each tag; NULL: they cannot be had */
	struct lane_op silent;	       /* of commands whose end is nobody's business */
};

/* Whose pages are buffer N of the ring: those of tag N's request? */
enum lane_pages {
	PAGES_WITH_DRIVER = 0,
	PAGES_OURS,	 /* registered by lane_pages: lane_let_go is owed before its answer */
	PAGES_OF_ANSWER, /* registered by the driver, and the answer takes them back */
};

/* Memory for the data of `tag`, which nobody else uses while its request has no `buf`. */
static inline uint8_t *lane_buffer(const struct lane *lane, uint16_t tag)
{
	return lane->buffers + (size_t)tag * lane->stride;
}

/*
 * A free entry of `ring`; where it is full, what is in it is submitted first. NULL: the kernel
 * takes nothing just now.
 */
struct io_uring_sqe *lane_entry(struct io_uring *ring);

/*
 * Submit, with the round, what `sqe` says; an io_uring_prep_* has made it for the backend's file
 * `file`. `op->done` is called once, in a later round; with -EINTR it is to be made again, as also
 * when the kernel takes nothing just now.
 */
void lane_start(struct lane *lane, struct lane_op *op, unsigned file,
		const struct io_uring_sqe *sqe);

/* Have `op->done` called with -EINTR in the next round. */
void lane_try_again(struct lane *lane, struct lane_op *op);

/*
 * Operations that are started from now on may have the pages of the request of `tag`, whose data is
 * with the driver, as buffer `tag` of the ring, with an `addr` that counts from their beginning. 0
 * or -ENOMEM. Where the driver refuses, those operations end with -EFAULT.
 */
int lane_pages(struct lane *lane, uint16_t tag);

/* The request of `tag` is about to be answered. 0 or -ENOMEM. */
int lane_let_go(struct lane *lane, uint16_t tag);

/* `op`, which user_data of a completion points to, has ended. */
void lane_end(struct lane *lane, struct lane_op *op, int32_t result);

/*
 * The same from any thread, for an operation that waits for another queue and not for the ring;
 * its own thread has counted it as flying.
 */
void lane_post(struct lane *lane, struct lane_op *op, int32_t result);

/* Call `done` of all operations that have ended, in their order. They may start others. */
void lane_run(struct lane *lane);

/*
 * Of a write whose data is with the driver, get `length` bytes from byte `at` on. 0 or -errno;
 * -EFAULT where `to` is no memory, and then it may be written in part.
 */
int lane_fetch(const struct lane *lane, const struct ul_req *req, uint32_t at, void *to,
	       uint32_t length);

/* Likewise, give a read what it is to get. */
int lane_store(const struct lane *lane, const struct ul_req *req, uint32_t at, const void *from,
	       uint32_t length);

/* Memory for the metadata of `req`, which has some: as long as its tag is ours. */
static inline uint8_t *lane_metadata(const struct lane *lane, const struct ul_req *req)
{
	return lane->shared->metadata + (size_t)req->tag * lane->shared->metadata_stride;
}

/* Bytes of it. */
static inline uint32_t lane_metadata_length(const struct lane *lane, const struct ul_req *req)
{
	return req->length / lane->shared->interval * lane->shared->metadata_size;
}

/* As lane_fetch and lane_store, between the driver and that memory, all of it. */
int lane_fetch_metadata(const struct lane *lane, const struct ul_req *req);
int lane_store_metadata(const struct lane *lane, const struct ul_req *req);
