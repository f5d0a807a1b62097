/* SPDX-License-Identifier: MIT */
/*
 * A request in steps, one after the other, each of at most one request to the
 * base or the store: in parts of the blocks that the store has, or lacks. A
 * write to a block that it lacks claims it first; when that is not the whole
 * block, what is in the base around it goes with it.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "cow.h"

static int next_part(struct cow_io *c);
static int flush(struct cow_io *c);

static uint64_t place(const struct cow_io *c)
{
	return backend_offset(c->whole) + c->done;
}

/* The bytes of a block; the last may be short. */
static uint64_t end_of(const struct cow *cow, uint64_t block)
{
	uint64_t end = (block + 1) * cow->block;

	return end < cow->size ? end : cow->size;
}

/* Have one of the two do c->req, and go on with `then`: as a step. */
static int ask(struct cow_io *c, int which, int (*then)(struct cow_io *c))
{
	struct backend *child = c->cow->base.child[which];

	c->step = then;
	if (!c->io)
		return child->ops->serve(child, NULL, &c->req);
	return backend_ask(child, c->io->lane, &c->req, &c->child);
}

/* The part of the request that is at hand, for the base or the store. */
static void aim(struct cow_io *c, int which)
{
	c->req = *c->whole;
	c->req.sector = (double)((place(c) + (which == COW_STORE ? c->cow->data_start : 0)) >> 9);
	c->req.length = c->length;
	if (c->req.buf)
		c->req.buf += c->done;
}

static int advance(struct cow_io *c)
{
	c->done += c->length;
	c->step = next_part;
	return 0;
}

/* The data is in the store: now others may find it there. */
static int add(struct cow_io *c)
{
	cow_map_add(c->cow, c->claim->first, c->claim->count);
	cow_claim_release(c);
	return advance(c);
}

/* The base's block is in memory: put the new over it, and all of it in the store. */
static int merge(struct cow_io *c)
{
	uint64_t start = c->claim->first * c->cow->block;
	uint8_t *part = c->claim->block + (place(c) - start);

	if (c->whole->op == UL_OP_WRITE)
		memcpy(part, c->whole->buf + c->done, c->length);
	else
		memset(part, 0, c->length);
	c->req.op = UL_OP_WRITE;
	c->req.sector = (double)((c->cow->data_start + start) >> 9);
	return ask(c, COW_STORE, add);
}

static int copy(struct cow_io *c)
{
	uint64_t block = c->claim->first, start = block * c->cow->block;

	c->req = (struct ul_req){
		.op = UL_OP_READ,
		.sector = (double)(start >> 9),
		.length = (uint32_t)(end_of(c->cow, block) - start),
		.buf = c->claim->block,
	};
	return ask(c, COW_BASE, merge);
}

/* A write to a block that the store lacks: as many whole blocks, or a part of one. */
static int write_new(struct cow_io *c, uint64_t block)
{
	uint64_t at = place(c), end = backend_offset(c->whole) + c->whole->length, count = 0;

	if (at == block * c->cow->block)
		while (block + count < c->cow->blocks && end >= end_of(c->cow, block + count))
			count++;
	switch (cow_claim_take(c, block, count ? count : 1)) {
	case COW_THERE:
		return 0; /* see again */
	case COW_WAIT:
		return c->io ? BACKEND_LATER : 0;
	default:
		break;
	}
	if (count) {
		c->length = (uint32_t)(end_of(c->cow, block + c->claim->count - 1) - at);
		aim(c, COW_STORE);
		c->req.flags &= ~(uint32_t)UL_FLAG_FUA; /* the flush that follows is for both */
		return ask(c, COW_STORE, add);
	}
	if (end > end_of(c->cow, block))
		end = end_of(c->cow, block);
	c->length = (uint32_t)(end - at);
	return copy(c);
}

/* All parts are done. FUA: is what they are found by? */
static int conclude(struct cow_io *c)
{
	const struct ul_req *req = c->whole;
	bool changes = req->op == UL_OP_WRITE || req->op == UL_OP_WRITE_ZEROES;
	bool durable = changes && (c->cow->durable || req->flags & UL_FLAG_FUA);

	c->step = durable && !cow_map_is_kept(c->cow) ? flush : NULL;
	return 0;
}

static int next_part(struct cow_io *c)
{
	struct cow *cow = c->cow;
	uint64_t at = place(c), end = backend_offset(c->whole) + c->whole->length;
	uint64_t block = at / cow->block, last = block;
	int which = COW_BASE;

	if (at == end)
		return conclude(c);
	if (cow_map_has(cow, block))
		which = COW_STORE;
	else if (c->whole->op == UL_OP_WRITE || c->whole->op == UL_OP_WRITE_ZEROES)
		return write_new(c, block);
	while (end_of(cow, last) < end && cow_map_has(cow, last + 1) == (which == COW_STORE))
		last++;
	c->length = (uint32_t)((end_of(cow, last) < end ? end_of(cow, last) : end) - at);
	/* The base is not ours to discard, and what is discarded may be anything. */
	if (c->whole->op == UL_OP_DISCARD && which == COW_BASE)
		return advance(c);
	aim(c, which);
	return ask(c, which, advance);
}

/* The map is on the store, too. */
static int end_flush(struct cow_io *c)
{
	cow_map_kept(c->cow, c->added);
	cow_claim_end_flush(c);
	c->step = NULL;
	return 0;
}

static int flush_map(struct cow_io *c)
{
	c->req = (struct ul_req){ .op = UL_OP_FLUSH };
	return ask(c, COW_STORE, end_flush);
}

/* All blocks that the copy of the map tells of are durable: it may follow them. */
static int write_map(struct cow_io *c)
{
	uint64_t count, before = c->page;

	count = cow_map_changed(c->cow, &c->page);
	if (!count) {
		c->step = before ? flush_map : end_flush;
		return 0;
	}
	c->req = (struct ul_req){
		.op = UL_OP_WRITE,
		.sector = (double)((COW_PAGE + c->page * COW_PAGE) >> 9),
		.length = (uint32_t)(count * COW_PAGE),
		.buf = c->cow->copy + c->page * COW_PAGE,
	};
	c->page += count;
	return ask(c, COW_STORE, write_map);
}

static int flush(struct cow_io *c)
{
	if (cow_map_is_kept(c->cow)) { /* as most of the time: then there is no turn to wait for */
		c->req = (struct ul_req){ .op = UL_OP_FLUSH };
		return ask(c, COW_STORE, NULL);
	}
	if (cow_claim_flush(c) == COW_WAIT)
		return c->io ? BACKEND_LATER : 0;
	c->added = cow_map_copy(c->cow);
	c->page = 0;
	c->req = (struct ul_req){ .op = UL_OP_FLUSH };
	return ask(c, COW_STORE, write_map);
}

/* Step on, unless the last step's end was `ret` < 0: 0 at the end, -errno, or BACKEND_LATER. */
static int run(struct cow_io *c, int ret)
{
	while (ret == 0 && c->step)
		ret = c->step(c);
	if (ret < 0 && c->claim)
		cow_claim_release(c);
	if (ret < 0 && c->flushes)
		cow_claim_end_flush(c); /* the pages stay marked, the next flush writes them */
	return ret;
}

static void child_ended(struct backend_io *io, int result)
{
	struct cow_io *c = (struct cow_io *)io;
	int ret = run(c, result);

	if (ret != BACKEND_LATER)
		c->io->end(c->io, ret);
}

/* Something was released that it waits for. */
static void woken(struct lane_op *op, int32_t result)
{
	struct backend_io *io = (struct backend_io *)((char *)op - offsetof(struct backend_io, op));
	struct cow_io *c = io->memory;

	child_ended(&c->child, result);
}

/* 0 or -EOPNOTSUPP. */
static int begin(struct cow_io *c, struct backend *backend, const struct ul_req *req)
{
	c->cow = (struct cow *)backend;
	c->whole = req;
	c->io = NULL;
	c->done = 0;
	c->claim = NULL;
	c->flushes = false;
	c->step = req->op == UL_OP_FLUSH ? flush : next_part;
	return req->op <= UL_OP_DISCARD || req->op == UL_OP_WRITE_ZEROES ? 0 : -EOPNOTSUPP;
}

int cow_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct cow_io c;
	int ret = begin(&c, backend, req);

	(void)lane;
	return ret ? ret : run(&c, 0);
}

int cow_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
	      struct backend_io *io)
{
	struct cow_io *c = io->memory;
	int ret = begin(c, backend, req);

	if (ret)
		return ret;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	io->op.done = woken;
	c->io = io;
	c->child.end = child_ended;
	c->child.memory = c + 1;
	return run(c, 0);
}
