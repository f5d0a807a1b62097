/* SPDX-License-Identifier: MIT */
/*
 * A request to a zoned device in steps, each of at most one request below: what
 * the zones say of it, the data, and where it changes what must be kept, that.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "zoned.h"

int zoned_ask(struct zoned_io *z, int which, int (*then)(struct zoned_io *z))
{
	struct backend *child = z->zoned->base.child[which];

	z->step = then;
	if (!z->io)
		return child->ops->serve(child, z->lane, &z->req);
	return backend_ask(child, z->lane, &z->req, &z->child);
}

/* All that was to be done to the data and the zones is done. Must it be kept before the answer? */
static int conclude(struct zoned_io *z, bool durable)
{
	z->step = NULL;
	if (z->zoned->records && (durable || z->zoned->durable)) {
		z->needed = zones_changes(&z->zoned->zones);
		z->step = zoned_keep;
	}
	return 0;
}

/* What was never written, or before the last reset. */
static int add_zeros(struct zoned_io *z)
{
	static const uint8_t zeros[64 << 10];
	const struct ul_req *req = z->whole;
	uint32_t at = z->written, part;
	int ret = 0;

	z->step = NULL;
	if (req->buf) {
		memset(req->buf + at, 0, req->length - at);
		return 0;
	}
	for (; ret == 0 && at < req->length; at += part) {
		part = req->length - at < sizeof(zeros) ? req->length - at : sizeof(zeros);
		ret = lane_store(z->lane, req, at, zeros, part);
	}
	return ret;
}

static int read_data(struct zoned_io *z)
{
	uint32_t sectors;
	int ret = zones_written(&z->zoned->zones, (uint64_t)z->whole->sector, z->whole->length >> 9,
				&sectors);

	if (ret)
		return ret;
	z->written = sectors << 9;
	z->req = *z->whole;
	z->req.length = z->written;
	z->step = add_zeros;
	return z->written ? zoned_ask(z, ZONED_DATA, add_zeros) : 0;
}

static int end_write(struct zoned_io *z)
{
	const struct ul_req *req = z->whole;

	z->writes = false;
	zones_end_write(&z->zoned->zones, &z->write, 0);
	if (req->op == UL_OP_ZONE_APPEND && req->placed)
		*req->placed = z->req.sector;
	return conclude(z, req->flags & UL_FLAG_FUA);
}

static int write_data(struct zoned_io *z)
{
	const struct ul_req *req = z->whole;
	uint64_t sector = (uint64_t)req->sector;
	int ret = zones_begin_write(&z->zoned->zones, &sector, req->length >> 9,
				    req->op == UL_OP_ZONE_APPEND, &z->write);

	if (ret)
		return ret;
	z->writes = true;
	z->req = *req;
	z->req.op = UL_OP_WRITE;
	z->req.sector = (double)sector;
	return zoned_ask(z, ZONED_DATA, end_write);
}

static int flush(struct zoned_io *z)
{
	if (z->zoned->records)
		return conclude(z, true);
	z->req = *z->whole;
	return zoned_ask(z, ZONED_DATA, NULL);
}

/* A zone that was reset must not be found written after a crash: other data may be there then. */
static int command(struct zoned_io *z)
{
	uint8_t op = z->whole->op;
	int ret = zones_command(&z->zoned->zones, op, (uint64_t)z->whole->sector);

	return ret ? ret : conclude(z, op == UL_OP_ZONE_RESET || op == UL_OP_ZONE_RESET_ALL);
}

static int report(struct zoned_io *z)
{
	const struct ul_req *req = z->whole;
	uint32_t count = req->length / sizeof(struct blk_zone);

	z->step = NULL;
	count = zones_report(&z->zoned->zones, (uint64_t)req->sector, count,
			     (struct blk_zone *)req->buf);
	if (count && req->placed)
		*req->placed = count;
	return count ? 0 : -EIO;
}

static int (*first_step(uint8_t op))(struct zoned_io *z)
{
	switch (op) {
	case UL_OP_READ:
		return read_data;
	case UL_OP_WRITE:
	case UL_OP_ZONE_APPEND:
		return write_data;
	case UL_OP_FLUSH:
		return flush;
	case UL_OP_REPORT_ZONES:
		return report;
	case UL_OP_ZONE_OPEN:
	case UL_OP_ZONE_CLOSE:
	case UL_OP_ZONE_FINISH:
	case UL_OP_ZONE_RESET:
	case UL_OP_ZONE_RESET_ALL:
		return command;
	default:
		return NULL;
	}
}

/* Step on, unless the last step's end was `ret` < 0: 0 at the end, -errno, or BACKEND_LATER. */
static int run(struct zoned_io *z, int ret)
{
	while (ret == 0 && z->step)
		ret = z->step(z);
	if (ret < 0 && z->writes)
		zones_end_write(&z->zoned->zones, &z->write, ret);
	if (ret < 0)
		zoned_let_go(z);
	return ret;
}

static void child_ended(struct backend_io *io, int result)
{
	struct zoned_io *z = (struct zoned_io *)io;
	int ret = run(z, result);

	if (ret != BACKEND_LATER)
		z->io->end(z->io, ret);
}

/* Somebody has kept; z->step looks at what. */
static void woken(struct lane_op *op, int32_t result)
{
	struct backend_io *io = (struct backend_io *)((char *)op - offsetof(struct backend_io, op));
	struct zoned_io *z = io->memory;

	child_ended(&z->child, result);
}

/* 0 or -EOPNOTSUPP. */
static int begin(struct zoned_io *z, struct backend *backend, struct lane *lane,
		 const struct ul_req *req)
{
	z->zoned = (struct zoned *)backend;
	z->whole = req;
	z->lane = lane;
	z->io = NULL;
	z->writes = z->keeps = false;
	z->step = first_step(req->op);
	return z->step ? 0 : -EOPNOTSUPP;
}

int zoned_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct zoned_io z;
	int ret = begin(&z, backend, lane, req);

	return ret ? ret : run(&z, 0);
}

int zoned_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
		struct backend_io *io)
{
	struct zoned_io *z = io->memory;
	int ret = begin(z, backend, lane, req);

	if (ret)
		return ret;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	io->op.done = woken;
	z->io = io;
	z->child.end = child_ended;
	z->child.memory = z + 1;
	return run(z, 0);
}
