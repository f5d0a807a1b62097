/* SPDX-License-Identifier: MIT */
/*
 * A file or block device of the host, served by plain system calls on the
 * queue's thread. What the host says is what the client gets: its errno, and
 * no success before the host has said so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend.h"
#include "log.h"

struct backend_file {
	struct backend base;
	int fd;
	bool block_device;
	bool durable; /* no cache to flush: what is answered must be on the medium */
};

static int open_path(const struct ul_device *dev, int *fd, struct stat *st)
{
	int flags = O_CLOEXEC | (dev->read_only ? O_RDONLY : O_RDWR);

	/* Without a cache to flush the client counts on every answered write being durable. */
	if (!dev->volatile_cache)
		flags |= O_DSYNC;
	*fd = open(dev->path, flags);
	if (*fd < 0 || fstat(*fd, st) < 0) {
		int ret = -errno;

		log_error("ublk.file(\"%s\"): %s", dev->path, strerror(errno));
		if (*fd >= 0)
			close(*fd);
		return ret;
	}
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode)) {
		log_error("ublk.file(\"%s\"): neither a file nor a block device", dev->path);
		close(*fd);
		return -EINVAL;
	}
	return 0;
}

static int host_size(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISBLK(st->st_mode))
		return ioctl(fd, BLKGETSIZE64, size) < 0 ? -errno : 0;
	*size = (uint64_t)st->st_size;
	return 0;
}

static int file_probe(struct ul_device *dev)
{
	uint32_t block = dev->logical_block_size ? dev->logical_block_size : 512;
	struct stat st = { 0 };
	uint64_t size;
	int fd;
	int ret = open_path(dev, &fd, &st);

	if (ret)
		return ret;
	ret = host_size(fd, &st, &size);
	close(fd);
	if (ret) {
		log_error("ublk.file(\"%s\"): cannot tell its size: %s", dev->path, strerror(-ret));
		return ret;
	}
	dev->size = (double)(size / block * block); /* a last partial block cannot be reached */
	if (dev->size == 0) {
		log_error("ublk.file(\"%s\"): it is empty; make it with `truncate -s SIZE`",
			  dev->path);
		return -EINVAL;
	}
	return 0;
}

static int file_open(struct backend **backend, const struct ul_device *dev)
{
	struct backend_file *file = calloc(1, sizeof(*file));
	struct stat st = { 0 };
	uint64_t size;
	int ret;

	if (!file) {
		log_error("out of memory");
		return -ENOMEM;
	}
	file->base.ops = &backend_file_ops;
	ret = open_path(dev, &file->fd, &st);
	if (ret) {
		free(file);
		return ret;
	}
	file->block_device = S_ISBLK(st.st_mode);
	file->durable = !dev->volatile_cache;
	ret = host_size(file->fd, &st, &size);
	if (ret == 0 && (double)size < dev->size) {
		log_error("ublk.file(\"%s\"): it has %llu bytes, the device is to have %.0f",
			  dev->path, (unsigned long long)size, dev->size);
		ret = -EINVAL;
	}
	if (ret) {
		close(file->fd);
		free(file);
		return ret;
	}
	*backend = &file->base;
	return 0;
}

/* Read or write all of it; the host may do so in parts. */
static int transfer(const struct backend_file *file, const struct ul_req *req)
{
	off_t offset = (off_t)backend_offset(req);
	int flags = req->flags & UL_FLAG_FUA ? RWF_DSYNC : 0;
	uint32_t done = 0;

	while (done < req->length) {
		struct iovec part = { req->buf + done, req->length - done };
		ssize_t n = req->op == UL_OP_READ
				    ? preadv2(file->fd, &part, 1, offset + done, 0)
				    : pwritev2(file->fd, &part, 1, offset + done, flags);

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

static int clear(const struct backend_file *file, const struct ul_req *req)
{
	uint64_t range[2] = { backend_offset(req), req->length };
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	int ret;

	if (file->block_device)
		ret = ioctl(file->fd, req->op == UL_OP_DISCARD ? BLKDISCARD : BLKZEROOUT, range);
	else
		ret = fallocate(file->fd, req->flags & UL_FLAG_NOUNMAP ? zero : punch,
				(off_t)range[0], (off_t)range[1]);
	if (ret == 0 && (file->durable || req->flags & UL_FLAG_FUA))
		ret = fdatasync(file->fd);
	return ret < 0 ? -errno : 0;
}

static int file_serve(struct backend *backend, const struct ul_req *req)
{
	struct backend_file *file = (struct backend_file *)backend;

	switch (req->op) {
	case UL_OP_READ:
	case UL_OP_WRITE:
		return transfer(file, req);
	case UL_OP_FLUSH:
		return fdatasync(file->fd) < 0 ? -errno : 0;
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES:
		return clear(file, req);
	default:
		return -EOPNOTSUPP;
	}
}

static void file_close(struct backend *backend)
{
	struct backend_file *file = (struct backend_file *)backend;

	close(file->fd);
	free(file);
}

const struct backend_ops backend_file_ops = {
	.probe = file_probe,
	.open = file_open,
	.serve = file_serve,
	.close = file_close,
	.discard = true,
};
