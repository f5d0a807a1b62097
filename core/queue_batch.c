/* SPDX-License-Identifier: MIT */
/*
 * Tags in batches (UBLK_F_BATCH_IO): one FETCH_IO_CMDS brings the tags of new
 * requests again and again, and a COMMIT_IO_CMDS takes the answers of a whole
 * round. Sequences and limits: ublk.rst and drivers/block/ublk_drv.c of 7.3.
 *
 * FETCH lends its buffers from a ring, in turn, and gives up when there is
 * none (-ENOBUFS) or no room for its completion; then it is sent again. The
 * answers lie in one array; what of it the driver did not take stays, and goes
 * with the next COMMIT.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "queue_state.h"
#include "uapi.h"

#ifndef IORING_URING_CMD_MULTISHOT /* Linux 6.18 */
#define IORING_URING_CMD_MULTISHOT (1U << 1)
#endif

enum {
	BUFFERS = 32, /* a power of two; more completions than that in one round are rare */
	BUFFER_GROUP = 0,
	MOST_ERRORS = 8, /* in a row; no memory may be a matter of a moment */
};

enum command { COMMAND_PREP, COMMAND_FETCH, COMMAND_COMMIT };

struct element {
	struct ublk_elem_header header;
	uint64_t addr; /* where the driver copies the data; or of zones: the place of an append */
};

struct batch {
	/* The kernel's struct io_uring_buf_ring, at the beginning of a page. */
	struct io_uring_buf ring[BUFFERS];
	uint16_t tags[BUFFERS][UBLK_MAX_BATCH_TAGS]; /* what they lend */
	unsigned next;				     /* buffer that will be lent next */
	bool fetching;				     /* a FETCH is in flight, */
	bool ended;				     /* or the driver wants none any more */
	unsigned errors;			     /* in a row */
	unsigned answers;			     /* that the driver has not taken, */
	unsigned sent;				     /* and so many of them are in flight */
	unsigned element;			     /* bytes */
	uint16_t flags;				     /* of the elements, UBLK_BATCH_F_* */
	uint8_t elements[];
};

static size_t batch_size(const struct queue *q)
{
	return sizeof(struct batch) + q->base.shared.depth * sizeof(struct element);
}

static struct io_uring_buf_ring *ring_of(struct batch *b)
{
	return (struct io_uring_buf_ring *)b->ring;
}

static void lend_next(struct batch *b)
{
	uint16_t id = (uint16_t)b->next;

	io_uring_buf_ring_add(ring_of(b), b->tags[id], sizeof(b->tags[id]), id, BUFFERS - 1, 0);
	io_uring_buf_ring_advance(ring_of(b), 1);
	b->next = (b->next + 1) % BUFFERS;
}

/*
 * The kernel takes them in turn. When it finds no room for the completion it
 * has taken one that it never tells of: that is lent again too.
 */
static void lend_again(struct batch *b, unsigned id)
{
	while (b->next != id)
		lend_next(b);
	lend_next(b);
}

static int register_buffers(struct queue *q)
{
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)q->batch->ring,
		.ring_entries = BUFFERS,
		.bgid = BUFFER_GROUP,
	};
	int ret = io_uring_register_buf_ring(&q->ring, &reg, 0);

	for (unsigned i = 0; ret == 0 && i < BUFFERS; i++)
		lend_next(q->batch);
	return ret;
}

static int open_batch(struct queue *q)
{
	const uint64_t uncopied = UBLK_F_SUPPORT_ZERO_COPY | UBLK_F_USER_COPY | UBLK_F_AUTO_BUF_REG;
	struct batch *b = mmap(NULL, batch_size(q), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (b == MAP_FAILED)
		return -errno;
	q->batch = b;
	b->element = sizeof(struct element);
	b->flags = UBLK_BATCH_F_HAS_BUF_ADDR;
	if (q->flags & uncopied) {
		b->element = sizeof(struct ublk_elem_header);
		b->flags = q->flags & UBLK_F_AUTO_BUF_REG ? UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK : 0;
	}
	if (q->flags & UBLK_F_ZONED) { /* then nothing is copied */
		b->element = sizeof(struct element);
		b->flags |= UBLK_BATCH_F_HAS_ZONE_LBA;
	}
	return register_buffers(q);
}

static void batch_close(struct queue *q)
{
	if (q->batch)
		munmap(q->batch, batch_size(q));
}

/* A whole element, also where only its first half counts: the next one takes that place. */
static void put_answer(struct queue *q, uint16_t tag, int32_t result)
{
	struct batch *b = q->batch;
	struct element element = {
		.header = { .tag = tag, .buf_index = tag, .result = result },
		.addr = q->flags & UBLK_F_ZONED
				? queue_place(q, tag)
				: (uint64_t)(uintptr_t)transport_buffer(&q->base, tag),
	};

	memcpy(b->elements + (size_t)b->answers * b->element, &element, sizeof(element));
	b->answers++;
}

static struct io_uring_sqe *prepare(struct queue *q, enum command command, uint32_t op,
				    struct ublk_batch_io payload)
{
	struct io_uring_sqe *sqe = lane_entry(&q->ring);

	if (!sqe) {
		queue_lose_ring(q);
		return NULL;
	}
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->cmd_op = op;
	sqe->user_data = queue_user_data(KIND_TAG, (uint16_t)command);
	payload.q_id = q->lane.split.queue;
	memcpy(sqe->cmd, &payload, sizeof(payload));
	return sqe;
}

/* All answers that are there, in one command: PREP at first, COMMIT ever after. */
static void send_answers(struct queue *q, enum command command, uint32_t op)
{
	struct batch *b = q->batch;
	struct io_uring_sqe *sqe = prepare(q, command, op,
					   (struct ublk_batch_io){
						   .flags = b->flags,
						   .nr_elem = (uint16_t)b->answers,
						   .elem_bytes = (uint8_t)b->element,
					   });

	if (!sqe)
		return;
	sqe->addr = (uint64_t)(uintptr_t)b->elements;
	sqe->len = b->answers * b->element;
	b->sent = b->answers;
}

static void send_fetch(struct queue *q)
{
	struct io_uring_sqe *sqe = prepare(q, COMMAND_FETCH, UBLK_U_IO_FETCH_IO_CMDS,
					   (struct ublk_batch_io){
						   .elem_bytes = sizeof(q->batch->tags[0][0]),
					   });

	if (!sqe)
		return;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	sqe->rw_flags = IORING_URING_CMD_MULTISHOT;
	q->batch->fetching = true;
}

/* What the driver says to PREP, and of FETCH only that it was refused, is there by now. */
static int look_for_refusal(struct queue *q)
{
	struct io_uring_cqe *cqe;
	int ret = -EPROTO;
	unsigned head;

	io_uring_for_each_cqe(&q->ring, head, cqe) {
		if (kind_of(cqe) != KIND_TAG)
			continue;
		if (cqe->res < 0)
			return cqe->res;
		if ((enum command)(uint16_t)cqe->user_data == COMMAND_PREP)
			ret = 0;
	}
	return ret;
}

/* FETCH is refused until PREP, which takes all tags or none, has made the queue ready. */
static int batch_fetch(struct queue *q)
{
	unsigned depth = q->base.shared.depth;
	int ret = open_batch(q);

	if (ret < 0)
		return ret;
	for (unsigned tag = 0; tag < depth; tag++)
		put_answer(q, (uint16_t)tag, 0);
	send_answers(q, COMMAND_PREP, UBLK_U_IO_PREP_IO_CMDS);
	send_fetch(q);
	while (io_uring_sq_ready(&q->ring)) {
		ret = queue_submit(q, 0);
		if (ret < 0)
			return ret;
	}
	memset(q->state, TAG_FETCHING, depth);
	q->fetching = depth;
	q->batch->answers = q->batch->sent = 0;
	return look_for_refusal(q);
}

static void batch_commit(struct queue *q, uint16_t tag, int32_t result)
{
	put_answer(q, tag, result);
	q->state[tag] = TAG_ANSWERED;
}

/* How long a COMMIT that was refused may wait to be looked at. */
static const uint64_t LOOK_NS = 20000000;

/*
 * COMMIT is served within the submit. Its completion is no reason to go on, or
 * each round would end twice; but if it says that answers were not taken, they
 * must not wait for a request that may never come.
 */
static void batch_hand_in(struct queue *q)
{
	struct batch *b = q->batch;

	if (!b->fetching && !b->ended)
		send_fetch(q);
	if (b->answers && !b->sent)
		send_answers(q, COMMAND_COMMIT, UBLK_U_IO_COMMIT_IO_CMDS);
	q->at_once = b->sent && b->fetching;
	q->longest = q->at_once ? LOOK_NS : UINT64_MAX;
}

/* Is it over with `what`? Memory may be there again in the next round. */
static void note_error(struct queue *q, const char *what, int res)
{
	bool passing = res >= 0 || res == -ENOBUFS || res == -ENOMEM || res == -EAGAIN;

	if (passing && ++q->batch->errors < MOST_ERRORS)
		return;
	log_error("queue %u: the driver refuses %s: %s", q->base.shared.queue, what,
		  res < 0 ? strerror(-res) : "it does nothing");
	q->broken = true;
}

/* The first `done` of the answers that were sent are the driver's. */
static void take_committed(struct queue *q, int res)
{
	struct batch *b = q->batch;
	unsigned done = res > 0 ? (unsigned)res / b->element : 0;

	if (done > b->sent)
		done = b->sent;
	b->sent = 0;
	for (unsigned i = 0; i < done; i++) {
		struct ublk_elem_header header;

		memcpy(&header, b->elements + (size_t)i * b->element, sizeof(header));
		q->state[header.tag] = b->ended ? TAG_GONE : TAG_FETCHING;
	}
	q->ours -= done;
	q->fetching += b->ended ? 0 : done;
	b->answers -= done;
	if (done) {
		b->errors = 0;
		memmove(b->elements, b->elements + (size_t)done * b->element,
			(size_t)b->answers * b->element);
	} else {
		note_error(q, "answers", res);
	}
}

/* Nothing will come any more: the driver fails what comes, and has nothing of ours. */
static void end_fetch(struct queue *q)
{
	q->batch->ended = true;
	q->fetching = 0;
	for (unsigned tag = 0; tag < q->base.shared.depth; tag++)
		if (q->state[tag] == TAG_FETCHING)
			q->state[tag] = TAG_GONE;
}

static unsigned take_tags(struct queue *q, unsigned id, unsigned count, uint16_t *tags)
{
	for (unsigned i = 0; i < count; i++) {
		uint16_t tag = q->batch->tags[id][i];

		if (tag >= q->base.shared.depth || q->state[tag] != TAG_FETCHING) {
			log_error("queue %u: the driver gives tag %u, which it does not have",
				  q->base.shared.queue, tag);
			q->broken = true;
			return i;
		}
		q->state[tag] = TAG_OURS;
		queue_fill_request(q, tag);
		tags[i] = tag;
	}
	q->fetching -= count;
	q->ours += count;
	return count;
}

static unsigned take_fetched(struct queue *q, const struct io_uring_cqe *cqe, uint16_t *tags)
{
	struct batch *b = q->batch;
	unsigned count = 0;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		b->fetching = false;
	if (cqe->res > 0 && cqe->flags & IORING_CQE_F_BUFFER) {
		unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT & (BUFFERS - 1);

		count = take_tags(q, id, (unsigned)cqe->res / sizeof(*tags), tags);
		lend_again(b, id);
		b->errors = 0;
	} else if (cqe->res == UBLK_IO_RES_ABORT) {
		end_fetch(q);
	} else if (!b->fetching) {
		note_error(q, "to give requests", cqe->res);
	}
	return count;
}

static unsigned batch_take(struct queue *q, const struct io_uring_cqe *cqe, uint16_t *tags)
{
	switch ((enum command)(uint16_t)cqe->user_data) {
	case COMMAND_FETCH:
		return take_fetched(q, cqe, tags);
	case COMMAND_COMMIT:
		take_committed(q, cqe->res);
		return 0;
	default: /* PREP, which batch_fetch has looked at */
		return 0;
	}
}

const struct queue_way queue_batch = {
	.fetch = batch_fetch,
	.take = batch_take,
	.commit = batch_commit,
	.hand_in = batch_hand_in,
	.close = batch_close,
};
