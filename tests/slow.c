/* SPDX-License-Identifier: MIT */
#include "slow.h"

#include <stddef.h>
#include <stdlib.h>

struct slow {
	struct backend base;
	struct backend *real;
	struct lane_op *asked; /* the newest first */
	int (*fails)(const struct ul_req *req);
};

static struct backend_io *io_of(struct lane_op *op)
{
	return (struct backend_io *)((char *)op - offsetof(struct backend_io, op));
}

static void done(struct lane_op *op, int32_t result)
{
	io_of(op)->end(io_of(op), result);
}

static int slow_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
		      struct backend_io *io)
{
	struct slow *slow = (struct slow *)backend;

	io->lane = lane;
	io->req = req;
	io->op.done = done;
	io->op.next = slow->asked;
	slow->asked = &io->op;
	lane->flying++;
	return BACKEND_LATER;
}

static int slow_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct slow *slow = (struct slow *)backend;
	int ret = slow->fails ? slow->fails(req) : 0;

	return ret ? ret : slow->real->ops->serve(slow->real, lane, req);
}

static void slow_close(struct backend *backend)
{
	backend_close(((struct slow *)backend)->real);
	free(backend);
}

struct backend *slow_open(struct backend *real)
{
	static const struct backend_ops ops = {
		.name = "slow",
		.serve = slow_serve,
		.start = slow_start,
		.close = slow_close,
	};
	struct slow *slow = calloc(1, sizeof(*slow));

	if (!slow)
		abort();
	slow->base.ops = &ops;
	slow->real = real;
	return &slow->base;
}

void slow_fail(struct backend *backend, int (*fails)(const struct ul_req *req))
{
	((struct slow *)backend)->fails = fails;
}

void slow_tick(struct backend *backend)
{
	struct slow *slow = (struct slow *)backend;

	while (slow->asked) {
		struct lane_op *op = slow->asked;
		struct backend_io *io = io_of(op);

		slow->asked = op->next;
		lane_end(io->lane, op, slow_serve(backend, io->lane, io->req));
	}
}
