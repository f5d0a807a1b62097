/* SPDX-License-Identifier: MIT */
/*
 * Memory: one sparse mapping as large as the device. Pages come when written
 * and go back with discard and write zeroes, so that a device of 1 TiB costs
 * what is stored in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "lasting.h"
#include "log.h"

struct backend_mem {
	struct backend base;
	uint8_t *data;
	size_t size;
	size_t page;
};

static int mem_open(struct backend **backend, const struct ul_device *dev,
		    const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct backend_mem *mem = calloc(1, sizeof(*mem));
	bool old;

	(void)dev;
	(void)children;
	if (!mem) {
		log_error("out of memory");
		return -ENOMEM;
	}
	mem->base.ops = &backend_mem_ops;
	mem->base.lazy = true;
	mem->page = (size_t)sysconf(_SC_PAGESIZE);
	mem->size = (size_t)spec->size;
	mem->data = lasting_open(mem->size, &old);
	if (!mem->data) {
		int ret = -errno;

		if (errno == EPERM)
			log_error("ublk.mem(): the last server's had another size: the script "
				  "describes another device than before");
		else
			log_error("cannot reserve %zu bytes of address space for ublk.mem(): %s",
				  mem->size, strerror(errno));
		free(mem);
		return ret;
	}
	*backend = &mem->base;
	return 0;
}

/* Whole pages go back to the system and read as zeros; what hangs over is cleared by hand. */
static int mem_clear(struct backend_mem *mem, uint64_t start, uint64_t length)
{
	uint64_t end = start + length;
	uint64_t first = (start + mem->page - 1) / mem->page * mem->page;
	uint64_t last = end / mem->page * mem->page;

	if (first >= last) {
		memset(mem->data + start, 0, length);
		return 0;
	}
	memset(mem->data + start, 0, first - start);
	memset(mem->data + last, 0, end - last);
	return lasting_clear(mem->data + first, last - first);
}

static int mem_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct backend_mem *mem = (struct backend_mem *)backend;
	uint64_t offset = backend_offset(req);

	switch (req->op) {
	case UL_OP_READ:
		if (!req->buf)
			return lane_store(lane, req, 0, mem->data + offset, req->length);
		memcpy(req->buf, mem->data + offset, req->length);
		return 0;
	case UL_OP_WRITE:
		if (!req->buf)
			return lane_fetch(lane, req, 0, mem->data + offset, req->length);
		memcpy(mem->data + offset, req->buf, req->length);
		return 0;
	case UL_OP_FLUSH:
		return 0;
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES: /* NOUNMAP guards against a full disk; memory has none */
		return mem_clear(mem, offset, req->length);
	default:
		return -EOPNOTSUPP;
	}
}

static void mem_close(struct backend *backend)
{
	struct backend_mem *mem = (struct backend_mem *)backend;

	lasting_close(mem->data, mem->size);
	free(mem);
}

const struct backend_ops backend_mem_ops = {
	.name = "mem",
	.open = mem_open,
	.serve = mem_serve,
	.close = mem_close,
	.discard = true,
};
