/* SPDX-License-Identifier: MIT */
/*
 * A tag goes round: FETCH_REQ gives it to the driver, its completion brings a
 * request, COMMIT_AND_FETCH_REQ takes the answer and gives the tag back. In
 * get_data mode a write comes in two steps, and the second brings its data.
 * Sequences and limits: ublk.rst and drivers/block/ublk_drv.c.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "queue_state.h"
#include "uapi.h"

static void give_to_driver(struct queue *q, uint16_t tag, uint32_t op, int32_t result)
{
	struct io_uring_sqe *sqe = lane_entry(&q->ring);
	struct ublksrv_io_cmd *cmd;

	if (!sqe) {
		queue_lose_ring(q);
		return;
	}
	cmd = (struct ublksrv_io_cmd *)sqe->cmd;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = queue_user_data(KIND_TAG, tag);
	cmd->q_id = q->lane.split.queue;
	cmd->tag = split_tag(&q->lane.split, tag);
	cmd->result = result;
	/* Of a lazy device the driver wants no buffer. */
	cmd->addr = q->lane.lazy ? queue_place(q, tag)
				 : (uint64_t)(uintptr_t)transport_buffer(&q->base, tag);
	if (queue_auto_pages(q))
		sqe->addr = tag | /* a buffer of this ring */ UBLK_AUTO_BUF_REG_FALLBACK;
	q->state[tag] = TAG_FETCHING;
	q->fetching++;
}

/* START_DEV waits for every tag, for ever; so a fetch that was refused must be seen here. */
static int tags_fetch(struct queue *q)
{
	struct io_uring_cqe *cqe;
	unsigned head;
	int ret;

	for (unsigned tag = 0; tag < q->base.shared.depth; tag++)
		give_to_driver(q, (uint16_t)tag, UBLK_U_IO_FETCH_REQ, -1);
	while (io_uring_sq_ready(&q->ring)) {
		ret = queue_submit(q, 0);
		if (ret < 0)
			return ret;
	}
	/* Before START_DEV a completion is a refusal; a device's next server may get requests. */
	io_uring_for_each_cqe(&q->ring, head, cqe) {
		if (kind_of(cqe) == KIND_TAG && cqe->res < 0)
			return cqe->res;
	}
	return 0;
}

static unsigned tags_take(struct queue *q, const struct io_uring_cqe *cqe, uint16_t *tags)
{
	uint16_t tag = (uint16_t)cqe->user_data;
	int res = cqe->res;

	q->fetching--;
	if (res == UBLK_IO_RES_OK) {
		q->ours++;
		q->state[tag] = TAG_OURS;
		queue_fill_request(q, tag);
		*tags = tag;
		return 1;
	}
	/* A write in get_data mode. The driver refuses an answer before it has been asked. */
	if (res == UBLK_IO_RES_NEED_GET_DATA) {
		give_to_driver(q, tag, UBLK_U_IO_NEED_GET_DATA, 0);
		return 0;
	}
	q->state[tag] = TAG_GONE;
	if (res != UBLK_IO_RES_ABORT) {
		log_error("queue %u: the driver refused tag %u: %s", q->base.shared.queue, tag,
			  strerror(-res));
		q->broken = true;
	}
	return 0;
}

static void tags_commit(struct queue *q, uint16_t tag, int32_t result)
{
	q->ours--;
	give_to_driver(q, tag, UBLK_U_IO_COMMIT_AND_FETCH_REQ, result);
}

const struct queue_way queue_tags = {
	.fetch = tags_fetch,
	.take = tags_take,
	.commit = tags_commit,
};
