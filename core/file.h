/* SPDX-License-Identifier: MIT */
/*
 * The file or block device of the host under a device: what backend_file.c
 * opens, and the two ways to serve a request with it: by operations in the
 * queue's ring (file_start.c) or by system calls (file_serve.c). What the host
 * says is what the client gets: its errno, and no success before its own.
 */
#pragma once

#include "backend.h"

/* In backend.files: the page cache's way, and past it where the file has that. */
enum { FILE_CACHED = 0, FILE_DIRECT = 1 };

struct file {
	struct backend base;
	bool block_device;
	bool read_only;
	bool durable; /* no cache to flush: what is answered must be on the medium */

	/* Bytes that O_DIRECT wants multiples of; 0: the file is not open so. */
	uint32_t memory_align, offset_align;

	/* Of a file in memory: all of it, in memory of ours. NULL: it is not mapped. */
	uint8_t *map;
	size_t map_size;
};

/* Would it change what is only to be read? The host would say EBADF. */
static inline bool file_refuses(const struct file *file, const struct ul_req *req)
{
	return file->read_only && req->op != UL_OP_READ && req->op != UL_OP_FLUSH;
}

/* Which of its two ways, of backend.files, takes `length` bytes from `offset`, to or from `buf`? */
static inline unsigned file_way(const struct file *file, const uint8_t *buf, uint64_t offset,
				uint32_t length)
{
	if (!file->offset_align || (offset | length) % file->offset_align ||
	    (uintptr_t)buf % file->memory_align)
		return FILE_CACHED;
	return FILE_DIRECT;
}

/* As backend_ops. */
int file_serve(struct backend *backend, struct lane *lane, const struct ul_req *req);
int file_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
	       struct backend_io *io);
