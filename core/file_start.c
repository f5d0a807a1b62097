/* SPDX-License-Identifier: MIT */
/*
 * A request served by operations in the queue's ring, one at a time: a transfer
 * that was cut short goes on where it stopped, and a range that was cleared may
 * want to be made durable. Data that is with the driver is moved in its own
 * pages. Queue thread.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "file.h"

#ifndef BLOCK_URING_CMD_DISCARD /* Linux 6.12 */
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

/* Values of backend_io.step. */
enum { STEP_FIRST = 0, STEP_SYNC };

static struct file *file_of(const struct backend_io *io)
{
	return (struct file *)io->backend;
}

static bool clears(const struct ul_req *req)
{
	return req->op == UL_OP_DISCARD || req->op == UL_OP_WRITE_ZEROES;
}

/* Is it a transfer from or to the request's own pages? */
static bool in_pages(const struct backend_io *io)
{
	return !io->buf && (io->req->op == UL_OP_READ || io->req->op == UL_OP_WRITE);
}

/* Registered pages begin at address 0. */
static unsigned prepare_transfer(const struct backend_io *io, struct io_uring_sqe *sqe)
{
	const struct ul_req *req = io->req;
	uint64_t offset = backend_offset(req) + io->done;
	uint8_t *buf = (uint8_t *)((uintptr_t)io->buf + io->done);
	uint32_t length = req->length - io->done;
	unsigned way = file_way(file_of(io), buf, offset, length);

	if (req->op == UL_OP_READ)
		io_uring_prep_read(sqe, 0, buf, length, offset);
	else
		io_uring_prep_write(sqe, 0, buf, length, offset);
	if (in_pages(io)) {
		sqe->opcode = req->op == UL_OP_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
		sqe->buf_index = req->tag;
	}
	if (req->op == UL_OP_WRITE && req->flags & UL_FLAG_FUA)
		sqe->rw_flags = RWF_DSYNC;
	return way;
}

/* A block device takes fallocate for zeros; for it a discard is a command of its own. */
static void prepare_clear(const struct backend_io *io, struct io_uring_sqe *sqe)
{
	const struct ul_req *req = io->req;
	int mode = req->flags & UL_FLAG_NOUNMAP ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

	if (file_of(io)->block_device && req->op == UL_OP_DISCARD) {
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = backend_offset(req);
		sqe->addr3 = req->length;
	} else {
		io_uring_prep_fallocate(sqe, 0, mode | FALLOC_FL_KEEP_SIZE,
					(off_t)backend_offset(req), req->length);
	}
}

/* Put the next operation of `io` in the ring. */
static void ask(struct backend_io *io, unsigned sqe_flags)
{
	struct io_uring_sqe sqe = { 0 };
	unsigned way = FILE_CACHED;

	if (io->step == STEP_SYNC || io->req->op == UL_OP_FLUSH)
		io_uring_prep_fsync(&sqe, 0, IORING_FSYNC_DATASYNC);
	else if (clears(io->req))
		prepare_clear(io, &sqe);
	else
		way = prepare_transfer(io, &sqe);
	sqe.flags |= (uint8_t)sqe_flags;
	if (in_pages(io) && lane_pages(io->lane, io->req->tag))
		lane_try_again(io->lane, &io->op);
	else
		lane_start(io->lane, &io->op, io->backend->first_file + way, &sqe);
}

/* The pages are not to be had, or do not lie as the file wants it: the tag's buffer is and does. */
static int leave_pages(struct backend_io *io)
{
	const struct ul_req *req = io->req;

	io->buf = lane_buffer(io->lane, req->tag);
	io->done = 0;
	io->stores = req->op == UL_OP_READ;
	return io->stores ? 0 : lane_fetch(io->lane, req, 0, io->buf, req->length);
}

/* The operation has given `result`: what is left? 0: nothing; BACKEND_LATER: to ask; -errno. */
static int account(struct backend_io *io, int32_t result)
{
	const struct ul_req *req = io->req;

	if (io->step == STEP_SYNC || req->op == UL_OP_FLUSH)
		return 0;
	if (clears(req)) {
		io->step = STEP_SYNC;
		return file_of(io)->durable || req->flags & UL_FLAG_FUA ? BACKEND_LATER : 0;
	}
	if (result == 0) /* the file was cut short under us */
		return -EIO;
	io->done += (uint32_t)result;
	return io->done < req->length ? BACKEND_LATER : 0;
}

/* Is it what the ring, or this kernel's, cannot do to a block device? Other calls may. */
static bool lacks(const struct backend_io *io, int ret)
{
	return file_of(io)->block_device && clears(io->req) && io->step == STEP_FIRST &&
	       (ret == -EOPNOTSUPP || ret == -EINVAL);
}

static void ended(struct lane_op *op, int32_t result)
{
	struct backend_io *io = (struct backend_io *)((char *)op - offsetof(struct backend_io, op));
	bool again = result == -EINTR || result == -EAGAIN;
	int ret = again ? BACKEND_LATER : result < 0 ? result : account(io, result);

	if (in_pages(io) && (ret == -EFAULT || ret == -EINVAL)) {
		ret = leave_pages(io);
		ret = ret ? ret : BACKEND_LATER;
	}
	if (lacks(io, ret))
		ret = file_serve(io->backend, io->lane, io->req);
	if (ret == BACKEND_LATER) {
		/* What would have had to wait goes to a thread of the kernel, which may. */
		ask(io, result == -EAGAIN ? IOSQE_ASYNC : 0);
		return;
	}
	if (ret == 0 && io->stores)
		ret = lane_store(io->lane, io->req, 0, io->buf, io->req->length);
	io->end(io, ret);
}

int file_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
	       struct backend_io *io)
{
	if (file_refuses((const struct file *)backend, req))
		return -EROFS;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	io->buf = req->buf;
	io->stores = false;
	io->op.done = ended;
	io->done = 0;
	io->step = STEP_FIRST;
	switch (req->op) {
	case UL_OP_READ:
	case UL_OP_WRITE:
	case UL_OP_FLUSH:
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES:
		ask(io, 0);
		return BACKEND_LATER;
	default:
		return -EOPNOTSUPP;
	}
}
