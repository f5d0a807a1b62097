/* SPDX-License-Identifier: MIT */
/*
 * A request served by plain system calls, for which the queue's thread waits:
 * of files that have nothing to wait for, where there is no ring, and for what
 * this kernel's ring cannot do.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file.h"

/* Read or write all of it; the host may do so in parts. */
static int transfer(const struct file *file, const struct ul_req *req)
{
	off_t offset = (off_t)backend_offset(req);
	int flags = req->flags & UL_FLAG_FUA ? RWF_DSYNC : 0;
	uint32_t done = 0;

	while (done < req->length) {
		struct iovec part = { req->buf + done, req->length - done };
		int fd = file->base.files[file_way(file, part.iov_base, (uint64_t)offset + done,
						   (uint32_t)part.iov_len)];
		ssize_t n = req->op == UL_OP_READ ? preadv2(fd, &part, 1, offset + done, 0)
						  : pwritev2(fd, &part, 1, offset + done, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* the file was cut short under us */
			return -EIO;
		done += (uint32_t)n;
	}
	return 0;
}

enum { LOOK = 256 }; /* pages at a time; 1 MiB where they have 4 KiB */

/* Has the file memory for all of it? To read a hole through the mapping would give it some. */
static bool stored(const struct file *file, uint64_t start, uint32_t length)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = start + length;
	unsigned char there[LOOK];

	for (start -= start % page; start < end; start += LOOK * page) {
		uint64_t most = LOOK * page, part = end - start < most ? end - start : most;
		unsigned char all = 1;

		if (mincore(file->map + start, part, there))
			return false;
		for (uint64_t i = 0; i < (part + page - 1) / page; i++)
			all &= there[i];
		if (!all)
			return false;
	}
	return true;
}

/*
 * Between the driver and the mapped file. The kernel finds no memory where the file was cut short
 * or there is no room for it, and that is no signal, as this thread does not touch it: -EFAULT.
 */
static int move_mapped(const struct file *file, const struct lane *lane, const struct ul_req *req)
{
	uint64_t start = backend_offset(req);

	if (!file->map)
		return -EFAULT;
	if (req->op == UL_OP_WRITE)
		return lane_fetch(lane, req, 0, file->map + start, req->length);
	if (!stored(file, start, req->length))
		return -EFAULT;
	return lane_store(lane, req, 0, file->map + start, req->length);
}

/* By the tag's buffer where it must be: that also gives the host's own errno. */
static int move(const struct file *file, const struct lane *lane, const struct ul_req *req)
{
	struct ul_req in_buffer = *req;
	int ret = move_mapped(file, lane, req);

	if (ret != -EFAULT)
		return ret;
	in_buffer.buf = lane_buffer(lane, req->tag);
	ret = 0;
	if (req->op == UL_OP_WRITE)
		ret = lane_fetch(lane, req, 0, in_buffer.buf, req->length);
	if (ret == 0)
		ret = transfer(file, &in_buffer);
	if (ret == 0 && req->op == UL_OP_READ)
		ret = lane_store(lane, req, 0, in_buffer.buf, req->length);
	return ret;
}

static int clear(const struct file *file, const struct ul_req *req)
{
	uint64_t range[2] = { backend_offset(req), req->length };
	int fd = file->base.files[FILE_CACHED];
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	int ret;

	if (file->block_device)
		ret = ioctl(fd, req->op == UL_OP_DISCARD ? BLKDISCARD : BLKZEROOUT, range);
	else
		ret = fallocate(fd, req->flags & UL_FLAG_NOUNMAP ? zero : punch, (off_t)range[0],
				(off_t)range[1]);
	if (ret == 0 && (file->durable || req->flags & UL_FLAG_FUA))
		ret = fdatasync(fd);
	return ret < 0 ? -errno : 0;
}

int file_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	const struct file *file = (const struct file *)backend;

	if (file_refuses(file, req))
		return -EROFS;
	switch (req->op) {
	case UL_OP_READ:
	case UL_OP_WRITE:
		return req->buf ? transfer(file, req) : move(file, lane, req);
	case UL_OP_FLUSH:
		return fdatasync(file->base.files[FILE_CACHED]) < 0 ? -errno : 0;
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES:
		return clear(file, req);
	default:
		return -EOPNOTSUPP;
	}
}
