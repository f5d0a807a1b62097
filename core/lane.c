/* SPDX-License-Identifier: MIT */
#include "lane.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "uapi.h"

struct io_uring_sqe *lane_entry(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe && io_uring_submit(ring) >= 0)
		sqe = io_uring_get_sqe(ring);
	return sqe;
}

void lane_start(struct lane *lane, struct lane_op *op, unsigned file,
		const struct io_uring_sqe *sqe)
{
	struct io_uring_sqe *entry = lane_entry(lane->ring);

	if (!entry) {
		lane_try_again(lane, op);
		return;
	}
	*entry = *sqe;
	entry->fd = (int)(LANE_FIRST_FILE + file);
	entry->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(entry, op);
	lane->flying++;
}

/* Posted: what has merely ended is run in this round still, and again and again. */
void lane_try_again(struct lane *lane, struct lane_op *op)
{
	lane->flying++;
	lane_post(lane, op, -EINTR);
}

/* What comes of it shows in what follows: in order and at once, as commands of the driver do. */
static int give_command(struct lane *lane, uint32_t cmd_op, uint16_t tag)
{
	struct io_uring_sqe *sqe = lane_entry(lane->ring);
	struct ublksrv_io_cmd *cmd;

	if (!sqe)
		return -ENOMEM;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
	sqe->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	sqe->cmd_op = cmd_op;
	io_uring_sqe_set_data(sqe, &lane->silent);
	cmd = (struct ublksrv_io_cmd *)sqe->cmd;
	*cmd = (struct ublksrv_io_cmd){
		.q_id = lane->split.queue,
		.tag = split_tag(&lane->split, tag),
		.addr = tag,
	};
	return 0;
}

int lane_pages(struct lane *lane, uint16_t tag)
{
	int ret;

	if (lane->pages[tag] != PAGES_WITH_DRIVER)
		return 0;
	ret = give_command(lane, UBLK_U_IO_REGISTER_IO_BUF, tag);
	if (ret == 0)
		lane->pages[tag] = PAGES_OURS;
	return ret;
}

int lane_let_go(struct lane *lane, uint16_t tag)
{
	int ret = 0;

	if (!lane->pages)
		return 0;
	if (lane->pages[tag] == PAGES_OURS)
		ret = give_command(lane, UBLK_U_IO_UNREGISTER_IO_BUF, tag);
	lane->pages[tag] = PAGES_WITH_DRIVER;
	return ret;
}

void lane_end(struct lane *lane, struct lane_op *op, int32_t result)
{
	if (op == &lane->silent)
		return;
	op->result = result;
	op->next = NULL;
	if (lane->first)
		lane->last->next = op;
	else
		lane->first = op;
	lane->last = op;
}

void lane_post(struct lane *lane, struct lane_op *op, int32_t result)
{
	int wake_fd = lane->wake_fd; /* when it is posted, its queue may end it and itself */

	op->result = result;
	op->next = atomic_load(&lane->posted);
	while (!atomic_compare_exchange_weak(&lane->posted, &op->next, op))
		;
	if (wake_fd > 0)
		(void)eventfd_write(wake_fd, 1);
}

/* Whose wait was the longest was posted first, and is last in the list. */
static void take_posted(struct lane *lane)
{
	struct lane_op *op = atomic_exchange(&lane->posted, NULL), *oldest = NULL;

	while (op) {
		struct lane_op *next = op->next;

		op->next = oldest;
		oldest = op;
		op = next;
	}
	while (oldest) {
		op = oldest;
		oldest = op->next;
		lane_end(lane, op, op->result);
	}
}

void lane_run(struct lane *lane)
{
	take_posted(lane);
	while (lane->first) {
		struct lane_op *op = lane->first;

		lane->first = op->next;
		lane->flying--; /* who is called may start it again */
		op->done(op, op->result);
	}
}

static uint64_t data_offset(const struct lane *lane, const struct ul_req *req)
{
	uint64_t queue = lane->split.queue, tag = split_tag(&lane->split, req->tag);

	return UBLKSRV_IO_BUF_OFFSET + (queue << UBLK_QID_OFF | tag << UBLK_TAG_OFF);
}

/* A call has moved `n` bytes. 0, also when it is to be made again, or -errno. */
static int take_part(ssize_t n, size_t *done)
{
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0) /* the driver has met memory that is none, and does not say so */
		return -EFAULT;
	*done += (size_t)n;
	return 0;
}

static int fetch(const struct lane *lane, uint64_t offset, uint8_t *to, size_t length)
{
	size_t done = 0;
	int ret = 0;

	while (ret == 0 && done < length)
		ret = take_part(
			pread(lane->char_fd, to + done, length - done, (off_t)(offset + done)),
			&done);
	return ret;
}

static int store(const struct lane *lane, uint64_t offset, const uint8_t *from, size_t length)
{
	size_t done = 0;
	int ret = 0;

	while (ret == 0 && done < length)
		ret = take_part(
			pwrite(lane->char_fd, from + done, length - done, (off_t)(offset + done)),
			&done);
	return ret;
}

int lane_fetch(const struct lane *lane, const struct ul_req *req, uint32_t at, void *to,
	       uint32_t length)
{
	return fetch(lane, data_offset(lane, req) + at, to, length);
}

int lane_store(const struct lane *lane, const struct ul_req *req, uint32_t at, const void *from,
	       uint32_t length)
{
	return store(lane, data_offset(lane, req) + at, from, length);
}

int lane_fetch_metadata(const struct lane *lane, const struct ul_req *req)
{
	return fetch(lane, data_offset(lane, req) | UBLKSRV_IO_INTEGRITY_FLAG,
		     lane_metadata(lane, req), lane_metadata_length(lane, req));
}

int lane_store_metadata(const struct lane *lane, const struct ul_req *req)
{
	return store(lane, data_offset(lane, req) | UBLKSRV_IO_INTEGRITY_FLAG,
		     lane_metadata(lane, req), lane_metadata_length(lane, req));
}
