/* SPDX-License-Identifier: MIT */
/*
 * Chunks on each of several backings in turn. What a request holds of data is
 * cut at the chunks' bounds, and so many pieces are on their way at once; a
 * range without data is one piece of each leg, where it has no gaps.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend.h"
#include "log.h"

enum { STRIPE_PIECES = 8 }; /* on their way at once, of one request */

struct stripe {
	struct backend base;
	uint64_t chunk;
	size_t below; /* io.memory of a piece */
};

struct stripe_io;

struct piece {
	struct backend_io io;
	struct ul_req req; /* of the leg */
	struct stripe_io *whole;
	struct piece *next; /* idle */
};

/* A request on its way: io.memory, the pieces follow, and what is theirs of memory. */
struct stripe_io {
	struct backend_io *io;
	uint64_t cursor; /* see next_piece */
	unsigned flying;
	int error;
	struct piece *idle;
	struct piece pieces[STRIPE_PIECES];
};

static unsigned legs(const struct stripe *s)
{
	return s->base.children;
}

/* How many of the first `bytes` of the whole are on `leg`? */
static uint64_t share(const struct stripe *s, uint64_t bytes, unsigned leg)
{
	uint64_t row = s->chunk * legs(s), before = s->chunk * leg;
	uint64_t rest = bytes % row;

	rest = rest < before ? 0 : rest - before;
	return bytes / row * s->chunk + (rest < s->chunk ? rest : s->chunk);
}

static void cut_data(const struct stripe *s, const struct ul_req *req, uint64_t done,
		     struct ul_req *piece, unsigned *leg)
{
	uint64_t offset = backend_offset(req) + done, chunk = offset / s->chunk;
	uint64_t left = req->length - done, room = s->chunk - offset % s->chunk;

	*leg = (unsigned)(chunk % legs(s));
	piece->sector = (double)((chunk / legs(s) * s->chunk + offset % s->chunk) >> 9);
	piece->buf = req->buf + done;
	piece->length = (uint32_t)(left < room ? left : room);
}

/* The next piece of `req` and its leg. The cursor begins with 0; false: that was all. */
static bool next_piece(const struct stripe *s, const struct ul_req *req, uint64_t *cursor,
		       struct ul_req *piece, unsigned *leg)
{
	uint64_t start = backend_offset(req), end = start + req->length;

	*piece = *req;
	if (req->op == UL_OP_READ ||
	    req->op == UL_OP_WRITE) { /* the cursor is what is done of it */
		if (*cursor == req->length)
			return false;
		cut_data(s, req, *cursor, piece, leg);
		*cursor += piece->length;
		return true;
	}
	while (*cursor < legs(s)) { /* it is the next leg */
		*leg = (unsigned)(*cursor)++;
		piece->sector = (double)(share(s, start, *leg) >> 9);
		piece->length = (uint32_t)(share(s, end, *leg) - share(s, start, *leg));
		if (piece->length || req->op == UL_OP_FLUSH)
			return true;
	}
	return false;
}

static bool has_op(uint8_t op)
{
	return op <= UL_OP_DISCARD || op == UL_OP_WRITE_ZEROES;
}

static int stripe_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	const struct stripe *s = (const struct stripe *)backend;
	uint64_t cursor = 0;
	struct ul_req piece;
	unsigned leg;
	int ret = has_op(req->op) ? 0 : -EOPNOTSUPP;

	while (ret == 0 && next_piece(s, req, &cursor, &piece, &leg))
		ret = backend->child[leg]->ops->serve(backend->child[leg], lane, &piece);
	return ret;
}

/* Ask for as many pieces as may be on their way: 0, -errno or BACKEND_LATER. */
static int go_on(struct stripe_io *whole)
{
	struct backend_io *io = whole->io;
	const struct stripe *s = (const struct stripe *)io->backend;

	while (whole->error == 0 && whole->idle) {
		struct piece *piece = whole->idle;
		unsigned leg;
		int ret;

		if (!next_piece(s, io->req, &whole->cursor, &piece->req, &leg))
			break;
		ret = backend_ask(s->base.child[leg], io->lane, &piece->req, &piece->io);
		if (ret == BACKEND_LATER) {
			whole->idle = piece->next;
			whole->flying++;
		} else if (ret < 0) {
			whole->error = ret;
		}
	}
	return whole->flying ? BACKEND_LATER : whole->error;
}

static void piece_ended(struct backend_io *io, int result)
{
	struct piece *piece = (struct piece *)io;
	struct stripe_io *whole = piece->whole;
	int ret;

	whole->flying--;
	piece->next = whole->idle;
	whole->idle = piece;
	if (result < 0)
		whole->error = result;
	ret = go_on(whole);
	if (ret != BACKEND_LATER)
		whole->io->end(whole->io, ret);
}

static int stripe_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
			struct backend_io *io)
{
	struct stripe_io *whole = io->memory;
	uint8_t *memory = (uint8_t *)(whole + 1);

	if (!has_op(req->op))
		return -EOPNOTSUPP;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	whole->io = io;
	whole->cursor = 0;
	whole->flying = 0;
	whole->error = 0;
	whole->idle = NULL;
	for (unsigned i = STRIPE_PIECES; i-- > 0;) {
		struct piece *piece = &whole->pieces[i];

		piece->io.end = piece_ended;
		piece->io.memory = memory + i * ((struct stripe *)backend)->below;
		piece->whole = whole;
		piece->next = whole->idle;
		whole->idle = piece;
	}
	return go_on(whole);
}

/* What the block layer is told to be best; it counts in powers of two. */
static void suggest_io(struct ul_device *dev, const struct ul_backing_spec *spec)
{
	uint64_t row = (uint64_t)spec->block * spec->children;

	if (spec == dev->backing && !dev->io_opt && row >= dev->physical_block_size &&
	    row >= dev->io_min && row >= 4096 && row <= UL_MAX_DISCARD >> 2 && !(row & (row - 1)))
		dev->io_opt = (uint32_t)row;
}

/* Before anything is made of it: a size or hint of the device would be blamed for it. */
static int check_chunk(const struct ul_device *dev, const struct ul_backing_spec *spec)
{
	uint32_t block = dev->logical_block_size ? dev->logical_block_size : 512;

	if (spec->block % block == 0)
		return 0;
	log_error("ublk.stripe: chunk = %u is not a multiple of block_size %u", spec->block, block);
	return -EINVAL;
}

static int stripe_probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	double row = (double)spec->block * spec->children;
	uint64_t rows = (uint64_t)(spec->size / row), smallest = UINT64_MAX;
	int ret = check_chunk(dev, spec);

	if (ret)
		return ret;
	if ((double)rows * row < spec->size)
		rows++;
	ret = backend_probe_below(dev, spec, (double)(rows * spec->block));
	if (ret)
		return ret;
	for (uint32_t i = 0; i < spec->children; i++) {
		uint64_t size = (uint64_t)dev->backing[spec->child + i].size;

		smallest = size < smallest ? size : smallest;
	}
	spec->size = (double)(smallest / spec->block) * row;
	if (spec->size == 0) {
		log_error("ublk.stripe: a backing of %llu bytes does not hold a chunk of %u",
			  (unsigned long long)smallest, spec->block);
		return -EINVAL;
	}
	suggest_io(dev, spec);
	return 0;
}

static int stripe_open(struct backend **backend, const struct ul_device *dev,
		       const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct stripe *s = calloc(1, sizeof(*s));

	(void)dev;
	if (!s) {
		log_error("out of memory");
		return -ENOMEM;
	}
	s->base.ops = &backend_stripe_ops;
	s->chunk = spec->block;
	s->below = backend_most_memory(children, spec->children);
	s->base.io_size = sizeof(struct stripe_io) + STRIPE_PIECES * s->below;
	*backend = &s->base;
	return 0;
}

static void stripe_close(struct backend *backend)
{
	free(backend);
}

const struct backend_ops backend_stripe_ops = {
	.name = "stripe",
	.probe = stripe_probe,
	.open = stripe_open,
	.serve = stripe_serve,
	.start = stripe_start,
	.close = stripe_close,
	.discard = true,
};
