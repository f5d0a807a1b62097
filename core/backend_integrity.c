/* SPDX-License-Identifier: MIT */
/*
 * The metadata of a device, over the backing that keeps its data, whatever
 * that is: in sparse memory, gone with the device. Kept inverted, for what has
 * none reads as ones: by that the kernel knows that there is nothing to check,
 * and a disk says so of a place that was discarded or never written.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "backend.h"
#include "log.h"
#include "sparse.h"

struct integrity {
	struct backend base;
	struct sparse kept;
	uint32_t interval, metadata_size;
};

/* A request on its way: io.memory; what the backing below needs follows it. */
struct integrity_io {
	struct backend_io below;
	struct backend_io *io;
};

static bool has_metadata(const struct ul_req *req)
{
	return req->flags & UL_FLAG_INTEGRITY;
}

/* Where that of the sectors of `req` is kept, and how much it is. */
static uint64_t kept_at(const struct integrity *in, const struct ul_req *req)
{
	return backend_offset(req) / in->interval * in->metadata_size;
}

static uint64_t kept_length(const struct integrity *in, const struct ul_req *req)
{
	return (uint64_t)req->length / in->interval * in->metadata_size;
}

static void copy_inverted(uint8_t *to, const uint8_t *from, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		to[i] = (uint8_t)~from[i];
}

/* A write's metadata is in the memory of its tag before anything is written. 0 or -errno. */
static int before(const struct lane *lane, const struct ul_req *req)
{
	if (req->op != UL_OP_WRITE || !has_metadata(req) || req->shown)
		return 0;
	return lane_fetch_metadata(lane, req);
}

/* What was shown to the script goes to the driver with the answer. */
static int after_read(struct integrity *in, const struct lane *lane, const struct ul_req *req)
{
	if (!has_metadata(req))
		return 0;
	copy_inverted(lane_metadata(lane, req), in->kept.data + kept_at(in, req),
		      kept_length(in, req));
	return req->shown ? 0 : lane_store_metadata(lane, req);
}

/* The backing below has done it: so does this one. 0 or -errno. */
static int after(struct integrity *in, const struct lane *lane, const struct ul_req *req)
{
	switch (req->op) {
	case UL_OP_READ:
		return after_read(in, lane, req);
	case UL_OP_WRITE:
		if (!has_metadata(req)) /* of nobody who would know what is to be there */
			return sparse_clear(&in->kept, kept_at(in, req), kept_length(in, req));
		copy_inverted(in->kept.data + kept_at(in, req), lane_metadata(lane, req),
			      kept_length(in, req));
		return 0;
	case UL_OP_DISCARD:
	case UL_OP_WRITE_ZEROES:
		return sparse_clear(&in->kept, kept_at(in, req), kept_length(in, req));
	default:
		return 0;
	}
}

static int integrity_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct backend *below = backend->child[0];
	int ret = before(lane, req);

	if (ret == 0)
		ret = below->ops->serve(below, lane, req);
	return ret ? ret : after((struct integrity *)backend, lane, req);
}

static void below_ended(struct backend_io *below, int result)
{
	struct backend_io *io = ((struct integrity_io *)below)->io;

	if (result == 0)
		result = after((struct integrity *)io->backend, io->lane, io->req);
	io->end(io, result);
}

static int integrity_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
			   struct backend_io *io)
{
	struct integrity_io *own = io->memory;
	int ret = before(lane, req);

	if (ret)
		return ret;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	own->io = io;
	own->below.end = below_ended;
	own->below.memory = own + 1;
	ret = backend_ask(backend->child[0], lane, req, &own->below);
	return ret ? ret : after((struct integrity *)backend, lane, req);
}

static void integrity_close(struct backend *backend)
{
	sparse_close(&((struct integrity *)backend)->kept);
	free(backend);
}

static const struct backend_ops integrity_ops = {
	.name = "integrity",
	.serve = integrity_serve,
	.start = integrity_start,
	.close = integrity_close,
};

int backend_integrity_open(struct backend **backend, const struct ul_device *dev,
			   struct backend *below)
{
	const struct ul_integrity *wanted = &dev->integrity;
	struct integrity *in = calloc(1, sizeof(*in));
	int ret;

	if (!in) {
		log_error("out of memory");
		return -ENOMEM;
	}
	ret = sparse_open(&in->kept, (size_t)dev->size / wanted->interval * wanted->metadata_size,
			  "the metadata of integrity");
	if (ret) {
		free(in);
		return ret;
	}
	in->base.ops = &integrity_ops;
	in->base.lazy = below->lazy;
	in->base.fixed = below->fixed;
	in->base.io_size = sizeof(struct integrity_io) + below->io_size;
	in->interval = wanted->interval;
	in->metadata_size = wanted->metadata_size;
	*backend = &in->base;
	return 0;
}
