/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <linux/blkzoned.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "lane.h"
#include "log.h"
#include "queue_state.h"
#include "uapi.h"

/* The driver's descriptors of requests: shared memory that is only read. */
static const size_t DESC_SIZE = sizeof(struct ublksrv_io_desc);

enum { MOST_WAKE_ERRORS = 8 }; /* no memory may be a matter of a moment */

static uint64_t queue_now(const struct transport *t)
{
	return clock_now() - ((const struct queue *)t)->epoch;
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Queues are spaced by the driver's maximum depth; by the device's own, all would see queue 0. */
static int map_descriptors(struct queue *q, const struct queue_config *cfg)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	off_t offset = (off_t)(cfg->split.queue * round_up(UBLK_MAX_QUEUE_DEPTH * DESC_SIZE, page));
	void *map;

	q->descs_len = round_up(cfg->depth * DESC_SIZE, page);
	map = mmap(NULL, q->descs_len, PROT_READ, MAP_SHARED | MAP_POPULATE, cfg->char_fd, offset);
	if (map == MAP_FAILED)
		return -errno;
	q->descs = map;
	return 0;
}

/* The newest set of flags that this kernel takes: DEFER_TASKRUN came in 6.1, the others in 6.0. */
static int open_ring(struct queue *q, const struct queue_config *cfg)
{
	unsigned depth = q->base.shared.depth;
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	/* One for each tag, which has one operation at a time, and the poll. */
	unsigned entries = depth + 1;
	/* In batches tags come by completions that had no entry. */
	unsigned completions = 2 * entries + (cfg->flags & UBLK_F_BATCH_IO ? 2 * depth : 0);
	int ret = -EINVAL;

	for (unsigned i = 0; ret == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params params = { .flags = flags[i] | IORING_SETUP_CQSIZE,
						  .cq_entries = completions };

		ret = io_uring_queue_init_params(entries, &q->ring, &params);
	}
	if (ret < 0)
		return ret;
	q->ring_open = true;
	q->lane = (struct lane){
		.ring = &q->ring,
		.lazy = q->flags & UBLK_F_USER_COPY,
		.char_fd = cfg->char_fd,
		.split = cfg->split,
		.buffers = q->base.data,
		.stride = cfg->max_io,
		.wake_fd = cfg->wake_fd,
		.shared = &q->base.shared,
	};
	q->base.lane = &q->lane;
	return 0;
}

/* A buffer for each tag, of its number; it is filled with the pages of the tag's request. */
static int register_buffers(struct queue *q)
{
	unsigned depth = q->base.shared.depth;

	if (!q->lane.lazy || !(q->flags & UBLK_F_SUPPORT_ZERO_COPY))
		return 0;
	q->lane.pages = calloc(depth, sizeof(*q->lane.pages));
	if (!q->lane.pages)
		return -ENOMEM;
	return io_uring_register_buffers_sparse(&q->ring, depth);
}

static int register_files(struct queue *q, const struct queue_config *cfg)
{
	int files[LANE_FIRST_FILE + LANE_FILES] = { cfg->char_fd };

	for (unsigned i = 0; i < cfg->file_count; i++)
		files[LANE_FIRST_FILE + i] = cfg->files[i];
	return io_uring_register_files(&q->ring, files, LANE_FIRST_FILE + cfg->file_count);
}

/* Without the ring no tag comes back: the server ends, and the driver fails what is in flight. */
void queue_lose_ring(struct queue *q)
{
	if (!q->broken)
		log_error("queue %u: io_uring is full and takes nothing", q->base.shared.queue);
	q->broken = true;
}

static int submit_and_wait(struct queue *q, uint64_t deadline)
{
	uint64_t now = deadline == UINT64_MAX ? 0 : queue_now(&q->base);
	uint64_t until = deadline > now ? deadline - now : 0;
	uint64_t left = until < q->longest ? until : q->longest;
	struct __kernel_timespec timeout = {
		.tv_sec = (long long)(left / CLOCK_SECOND),
		.tv_nsec = (long long)(left % CLOCK_SECOND),
	};
	unsigned wanted = q->at_once + 1;
	struct io_uring_cqe *cqe;

	if (left == UINT64_MAX)
		return io_uring_submit_and_wait(&q->ring, wanted);
	if (!left)
		return io_uring_submit_and_get_events(&q->ring);
	return io_uring_submit_and_wait_timeout(&q->ring, &cqe, wanted, &timeout, NULL);
}

int queue_submit(struct queue *q, uint64_t deadline)
{
	int ret = submit_and_wait(q, deadline);

	/* Interrupted, say, or no memory just now: what was not taken stays in the ring. */
	switch (ret) {
	case -EINTR:
	case -EAGAIN:
	case -ETIME:
	case -EBUSY: /* completions are to be taken first */
		return 0;
	default:
		return ret;
	}
}

/* A completion whenever somebody writes to the eventfd. */
static void watch_wake_fd(struct queue *q)
{
	struct io_uring_sqe *sqe = lane_entry(&q->ring);

	if (!sqe) {
		queue_lose_ring(q);
		return;
	}
	io_uring_prep_poll_multishot(sqe, q->wake_fd, POLLIN);
	sqe->user_data = queue_user_data(KIND_WAKE, 0);
}

void queue_fill_request(struct queue *q, uint16_t tag)
{
	const struct ublksrv_io_desc *desc =
		(const struct ublksrv_io_desc *)(q->descs +
						 split_tag(&q->lane.split, tag) * DESC_SIZE);
	struct ul_req *req = &q->base.shared.reqs[tag];

	req->op = (uint8_t)(desc->op_flags & 0xff);
	req->flags = desc->op_flags & ~(0xffU | UBLK_IO_F_NEED_REG_BUF);
	if (queue_auto_pages(q) && !(desc->op_flags & UBLK_IO_F_NEED_REG_BUF))
		q->lane.pages[tag] = PAGES_OF_ANSWER;
	/* A flush has no place; the block layer writes (sector_t)-1 there. */
	req->sector = req->op == UL_OP_FLUSH ? 0 : (double)desc->start_sector;
	req->length = req->op == UL_OP_FLUSH ? 0 : desc->nr_sectors << 9;
	if (req->op == UL_OP_REPORT_ZONES)
		req->length = desc->nr_sectors * (uint32_t)sizeof(struct blk_zone);
	req->buf = transport_op_has_data(req->op) && !q->lane.lazy ? transport_buffer(&q->base, tag)
								   : NULL;
}

/*
 * A poll that has ended is begun anew, whatever ended it. A queue that cannot
 * be woken would see the end of its device only with its next request, so it
 * is none: without it the server ends, and the driver fails what is in flight.
 */
static void take_wake(struct queue *q, const struct io_uring_cqe *cqe)
{
	eventfd_t value;

	(void)eventfd_read(q->wake_fd, &value);
	q->wake_errors = cqe->res < 0 ? q->wake_errors + 1 : 0;
	if (q->wake_errors == MOST_WAKE_ERRORS) {
		log_error("queue %u: cannot be woken: %s", q->base.shared.queue,
			  strerror(-cqe->res));
		q->broken = true;
	} else if (!(cqe->flags & IORING_CQE_F_MORE)) {
		watch_wake_fd(q);
	}
}

/* How many new requests it brings; their tags are put into `tags`. */
static unsigned take(struct queue *q, const struct io_uring_cqe *cqe, uint16_t *tags)
{
	switch (kind_of(cqe)) {
	case KIND_TAG:
		return q->way->take(q, cqe, tags);
	case KIND_WAKE:
		take_wake(q, cqe);
		return 0;
	default:
		lane_end(&q->lane, io_uring_cqe_get_data(cqe), cqe->res);
		return 0;
	}
}

static int queue_reap(struct transport *t, uint64_t deadline)
{
	struct queue *q = (struct queue *)t;
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0, count = 0;
	int ret;

	if (q->broken)
		return -EIO;
	if (!q->fetching && !q->ours && !q->lane.flying)
		return -ENODEV;
	if (q->way->hand_in)
		q->way->hand_in(q);
	ret = queue_submit(q, deadline);
	if (ret < 0) {
		log_error("queue %u: io_uring: %s", t->shared.queue, strerror(-ret));
		return ret;
	}
	io_uring_for_each_cqe(&q->ring, head, cqe) {
		seen++;
		count += take(q, cqe, &t->shared.batch[count]);
	}
	io_uring_cq_advance(&q->ring, seen);
	return (int)count;
}

static void queue_answer(struct transport *t, uint16_t tag, int32_t result)
{
	struct queue *q = (struct queue *)t;

	if (q->state[tag] != TAG_OURS) {
		log_error("queue %u: bug: tag %u answered twice", t->shared.queue, tag);
		return;
	}
	if (lane_let_go(&q->lane, tag))
		queue_lose_ring(q);
	q->way->commit(q, tag, result);
}

/* Every reference to the character device must be gone, or DEL_DEV waits for it. */
static void queue_close(struct transport *t)
{
	struct queue *q = (struct queue *)t;

	if (q->ring_open) {
		if (q->lane.pages)
			io_uring_unregister_buffers(&q->ring);
		io_uring_unregister_files(&q->ring);
		io_uring_queue_exit(&q->ring);
	}
	if (q->way->close)
		q->way->close(q);
	if (q->descs)
		munmap((void *)q->descs, q->descs_len);
	transport_free(t);
	free(q->lane.pages);
	free(q->state);
	free(q);
}

static const struct transport_ops queue_ops = {
	.reap = queue_reap,
	.answer = queue_answer,
	.now = queue_now,
	.close = queue_close,
};

static void tell_of_failure(const struct queue_config *cfg, unsigned depth, int ret)
{
	uint64_t bytes = (uint64_t)depth * cfg->max_io;

	if (ret == -ENOMEM)
		log_error("queue %u: out of memory: %u requests (depth) of %u bytes (max_io) may "
			  "take %llu MiB; lower one of them",
			  cfg->queue, depth, cfg->max_io, (unsigned long long)bytes >> 20);
	else
		log_error("queue %u: cannot set up: %s", cfg->queue, strerror(-ret));
}

int queue_open(struct transport **transport, const struct queue_config *cfg)
{
	struct queue *q = calloc(1, sizeof(*q));
	unsigned depth = split_depth(&cfg->split, cfg->depth);
	int ret = -ENOMEM;

	if (!q)
		return ret;
	q->base.ops = &queue_ops;
	q->flags = cfg->flags;
	q->way = q->flags & UBLK_F_BATCH_IO ? &queue_batch : &queue_tags;
	q->wake_fd = cfg->wake_fd;
	q->longest = UINT64_MAX;
	q->epoch = cfg->epoch;
	q->state = calloc(depth, sizeof(*q->state));
	if (q->state)
		ret = transport_alloc(&q->base, cfg->queue, depth, cfg->max_io, cfg->huge_pages);
	if (ret == 0 && cfg->integrity.wanted)
		ret = transport_alloc_metadata(&q->base, cfg->integrity.interval,
					       cfg->integrity.metadata_size);
	if (ret == 0)
		ret = map_descriptors(q, cfg);
	if (ret == 0)
		ret = open_ring(q, cfg);
	if (ret == 0)
		ret = register_files(q, cfg);
	if (ret == 0)
		ret = register_buffers(q);
	if (ret == 0 && q->wake_fd >= 0)
		watch_wake_fd(q);
	if (ret == 0)
		ret = q->way->fetch(q);
	if (ret < 0) {
		tell_of_failure(cfg, depth, ret);
		queue_close(&q->base);
		return ret;
	}
	*transport = &q->base;
	return 0;
}
