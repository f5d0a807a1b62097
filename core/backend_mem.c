/* SPDX-License-Identifier: MIT */
/*
 * Memory: sparse, and as large as the device. It gives pages back with discard
 * and write zeroes, so that a device of 1 TiB costs what is stored in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "log.h"
#include "sparse.h"

struct backend_mem {
	struct backend base;
	struct sparse memory;
};

static int mem_open(struct backend **backend, const struct ul_device *dev,
		    const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct backend_mem *mem = calloc(1, sizeof(*mem));
	int ret;

	(void)dev;
	(void)children;
	if (!mem) {
		log_error("out of memory");
		return -ENOMEM;
	}
	mem->base.ops = &backend_mem_ops;
	mem->base.lazy = true;
	ret = sparse_open(&mem->memory, (size_t)spec->size, "ublk.mem()");
	if (ret) {
		free(mem);
		return ret;
	}
	*backend = &mem->base;
	return 0;
}

static int mem_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct backend_mem *mem = (struct backend_mem *)backend;
	uint64_t offset = backend_offset(req);
	uint8_t *data = mem->memory.data + offset;

	switch (req->op) {
	case UL_OP_READ:
		if (!req->buf)
			return lane_store(lane, req, 0, data, req->length);
		memcpy(req->buf, data, req->length);
		return 0;
	case UL_OP_WRITE:
		if (!req->buf)
			return lane_fetch(lane, req, 0, data, req->length);
		memcpy(data, req->buf, req->length);
		return 0;
	case UL_OP_FLUSH:
		return 0;
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES: /* NOUNMAP guards against a full disk; memory has none */
		return sparse_clear(&mem->memory, offset, req->length);
	default:
		return -EOPNOTSUPP;
	}
}

static void mem_close(struct backend *backend)
{
	struct backend_mem *mem = (struct backend_mem *)backend;

	sparse_close(&mem->memory);
	free(mem);
}

const struct backend_ops backend_mem_ops = {
	.name = "mem",
	.open = mem_open,
	.serve = mem_serve,
	.close = mem_close,
	.discard = true,
};
