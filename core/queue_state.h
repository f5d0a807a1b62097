/* SPDX-License-Identifier: MIT */
/*
 * What the files of a queue share: queue.c, which owns it, and the ways by
 * which its tags go to the driver and come back (queue_tags.c, queue_batch.c).
 * For them alone; queue thread.
 */
#pragma once

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "lane.h"
#include "transport.h"
#include "uapi.h"

enum tag_state {
	TAG_GONE = 0, /* no command with the driver, no request with us: before start, after end */
	TAG_FETCHING, /* the driver has it */
	TAG_OURS,     /* a request to answer */
	TAG_ANSWERED, /* its answer is on the way; whether the driver takes it is not known yet */
};

struct queue;

/* How tags go to the driver and come back. */
struct queue_way {
	/* Give every tag to the driver; after this START_DEV may be sent. 0 or -errno. */
	int (*fetch)(struct queue *q);

	/*
	 * A completion of KIND_TAG. The tags of new requests, which are filled,
	 * are put into `tags`; returns how many.
	 */
	unsigned (*take)(struct queue *q, const struct io_uring_cqe *cqe, uint16_t *tags);

	/* Answer `tag`, which is ours, and give it back to the driver. */
	void (*commit)(struct queue *q, uint16_t tag, int32_t result);

	/*
	 * The round's last, and NULL where it is not needed: hand in what was
	 * collected, and say of the wait how long it may be and what not to wait for.
	 */
	void (*hand_in)(struct queue *q);

	/* Free what fetch has taken; NULL where that is nothing. After the ring's end. */
	void (*close)(struct queue *q);
};

extern const struct queue_way queue_tags;  /* a command for each tag */
extern const struct queue_way queue_batch; /* one for many, UBLK_F_BATCH_IO */

struct queue {
	struct transport base;
	const struct queue_way *way;
	struct batch *batch; /* queue_batch.c's own */
	uint64_t flags;	     /* UBLK_F_* of the device */
	struct io_uring ring;
	struct lane lane;
	const uint8_t *descs;
	size_t descs_len;
	uint8_t *state;	      /* enum tag_state of each tag */
	int wake_fd;	      /* -1: none */
	uint64_t epoch;	      /* CLOCK_MONOTONIC, ns, when the device started */
	unsigned fetching;    /* tags that the driver has */
	unsigned ours;	      /* requests whose answer the driver has not taken */
	unsigned at_once;     /* completions that the next submit brings itself: no need to wait */
	uint64_t longest;     /* wait, in ns, whatever the deadline */
	unsigned wake_errors; /* in a row, of the poll of wake_fd */
	bool ring_open;
	bool broken; /* the driver refused a command: the queue can't go on */
};

/* What a completion is of: in the top byte of its user_data, where no address of a user has any. */
enum kind { KIND_LANE = 0, KIND_TAG = 1, KIND_WAKE = 2 };

static inline uint64_t queue_user_data(enum kind kind, uint16_t tag)
{
	return (uint64_t)kind << 56 | tag;
}

static inline enum kind kind_of(const struct io_uring_cqe *cqe)
{
	return (enum kind)(cqe->user_data >> 56);
}

/* Are the pages of a request a buffer of the ring by themselves? */
static inline bool queue_auto_pages(const struct queue *q)
{
	return q->lane.pages && q->flags & UBLK_F_AUTO_BUF_REG;
}

/* The answer to a zone append tells where it is. */
static inline uint64_t queue_place(const struct queue *q, uint16_t tag)
{
	const struct ul_req *req = &q->base.shared.reqs[tag];

	return req->op == UL_OP_ZONE_APPEND && req->placed && *req->placed > 0
		       ? (uint64_t)*req->placed
		       : 0;
}

/* Submit what is in the ring and wait for a completion, but not beyond `deadline`. 0 or -errno. */
int queue_submit(struct queue *q, uint64_t deadline);

/* The ring takes nothing: the queue is broken, and says so. */
void queue_lose_ring(struct queue *q);

/* The request of `tag`, as the driver's descriptor says it. The driver has filled that. */
void queue_fill_request(struct queue *q, uint16_t tag);
