/* SPDX-License-Identifier: MIT */
/*
 * The same data on each of several backings, its legs. What changes it goes to
 * all of them, and a leg that fails to is left out from then on, while another
 * is left: what all queues know of that is one word. A read is one leg's, and
 * another's when that fails.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "lasting.h"
#include "log.h"

/* So many bytes are read from one leg, then from the next: enough for it to read ahead. */
enum { MIRROR_REGION = 1 << 20 };

struct mirror {
	struct backend base;
	atomic_uint *dropped; /* bit N: leg N is left out; the next server is to know it */
	atomic_uint misread;  /* a read of it has failed, which is told once */
	bool read_only;	      /* the device, and so its files */
	size_t below;	      /* io.memory of a leg */
	char name[UL_BACKINGS][96];
};

/* What has become of a request so far. */
struct outcome {
	unsigned ok; /* bit N: leg N has done it */
	unsigned tried;
	int error;   /* the last one */
	int refused; /* what a leg could not do, and did not begin */
};

struct leg_io {
	struct backend_io io;
	struct mirror_io *whole;
	unsigned leg;
};

/* A request on its way: io.memory; what the legs need of memory follows them. */
struct mirror_io {
	struct backend_io *io;
	struct outcome outcome;
	unsigned flying;
	struct leg_io legs[];
};

static unsigned all(const struct mirror *m)
{
	return (1U << m->base.children) - 1;
}

static unsigned live(struct mirror *m)
{
	return all(m) & ~atomic_load(m->dropped);
}

/* The last leg stays: its errors are the client's. */
static void drop(struct mirror *m, unsigned leg, int error)
{
	unsigned old = atomic_load(m->dropped), bit = 1U << leg;

	do {
		if (old & bit || (old | bit) == all(m))
			return;
	} while (!atomic_compare_exchange_weak(m->dropped, &old, old | bit));
	log_error("ublk.mirror: [%u] (%s) failed a write: %s; it is left out from now on, its data "
		  "is out of date; %d of %u are left",
		  leg + 1, m->name[leg], strerror(-error),
		  __builtin_popcount(all(m) & ~(old | bit)), m->base.children);
}

static void tell_misread(struct mirror *m, unsigned leg, int error)
{
	if (!(atomic_fetch_or(&m->misread, 1U << leg) >> leg & 1))
		log_warn("ublk.mirror: [%u] (%s) failed a read: %s; another is asked, now and when "
			 "that happens again",
			 leg + 1, m->name[leg], strerror(-error));
}

/* A leg that cannot discard, or not change at all, holds what it held: nobody's mistake. */
static bool is_refused(const struct mirror *m, const struct ul_req *req, int result)
{
	if (result == -EROFS)
		return m->read_only;
	return result == -EOPNOTSUPP && (req->op == UL_OP_DISCARD || req->op == UL_OP_WRITE_ZEROES);
}

static void note(struct mirror *m, const struct ul_req *req, struct outcome *o, unsigned leg,
		 int result)
{
	if (result == 0) {
		o->ok |= 1U << leg;
	} else if (is_refused(m, req, result)) {
		o->refused = result;
	} else {
		o->error = result;
		if (req->op == UL_OP_READ)
			tell_misread(m, leg, result);
		else
			drop(m, leg, result);
	}
}

/* All legs have answered a write: it counts where it can be read again. */
static int settle(struct mirror *m, const struct outcome *o)
{
	if (o->refused)
		return o->refused;
	if (o->ok & live(m))
		return 0;
	return o->error ? o->error : -EIO;
}

/* Who is asked to read, of those that were not yet; -1: nobody is left. */
static int next_reader(struct mirror *m, const struct ul_req *req, const struct outcome *o)
{
	unsigned first = (unsigned)(backend_offset(req) / MIRROR_REGION % m->base.children);
	unsigned choice = live(m) & ~o->tried;

	for (unsigned i = 0; i < m->base.children; i++) {
		unsigned leg = (first + i) % m->base.children;

		if (choice >> leg & 1)
			return (int)leg;
	}
	return -1;
}

static bool has_op(uint8_t op)
{
	return op <= UL_OP_DISCARD || op == UL_OP_WRITE_ZEROES;
}

static int serve_read(struct mirror *m, struct lane *lane, const struct ul_req *req)
{
	struct outcome o = { 0 };
	int leg;

	while (!o.ok && (leg = next_reader(m, req, &o)) >= 0) {
		struct backend *child = m->base.child[leg];

		o.tried |= 1U << leg;
		note(m, req, &o, (unsigned)leg, child->ops->serve(child, lane, req));
	}
	return o.ok ? 0 : o.error ? o.error : -EIO;
}

static int mirror_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct mirror *m = (struct mirror *)backend;
	unsigned legs = live(m);
	struct outcome o = { 0 };

	if (!has_op(req->op))
		return -EOPNOTSUPP;
	if (req->op == UL_OP_READ)
		return serve_read(m, lane, req);
	for (unsigned leg = 0; leg < backend->children; leg++)
		if (legs >> leg & 1)
			note(m, req, &o, leg,
			     backend->child[leg]->ops->serve(backend->child[leg], lane, req));
	return settle(m, &o);
}

/* 0 or -errno, noted, or BACKEND_LATER. */
static int ask_leg(struct mirror_io *whole, unsigned leg)
{
	struct backend_io *io = whole->io;
	struct mirror *m = (struct mirror *)io->backend;
	int ret = backend_ask(m->base.child[leg], io->lane, io->req, &whole->legs[leg].io);

	if (ret == BACKEND_LATER)
		whole->flying++;
	else
		note(m, io->req, &whole->outcome, leg, ret);
	return ret;
}

/* Ask one leg after the other, until one has read it or is on its way. */
static int go_on_reading(struct mirror_io *whole)
{
	struct mirror *m = (struct mirror *)whole->io->backend;
	struct outcome *o = &whole->outcome;
	int leg;

	while (!o->ok && (leg = next_reader(m, whole->io->req, o)) >= 0) {
		o->tried |= 1U << leg;
		if (ask_leg(whole, (unsigned)leg) == BACKEND_LATER)
			return BACKEND_LATER;
	}
	return o->ok ? 0 : o->error ? o->error : -EIO;
}

static void leg_ended(struct backend_io *io, int result)
{
	struct leg_io *leg = (struct leg_io *)io;
	struct mirror_io *whole = leg->whole;
	struct mirror *m = (struct mirror *)whole->io->backend;
	const struct ul_req *req = whole->io->req;
	int ret;

	whole->flying--;
	note(m, req, &whole->outcome, leg->leg, result);
	if (whole->flying)
		return;
	ret = req->op == UL_OP_READ ? go_on_reading(whole) : settle(m, &whole->outcome);
	if (ret != BACKEND_LATER)
		whole->io->end(whole->io, ret);
}

static int start_write(struct mirror_io *whole)
{
	struct mirror *m = (struct mirror *)whole->io->backend;
	unsigned legs = live(m);

	for (unsigned leg = 0; leg < m->base.children; leg++)
		if (legs >> leg & 1)
			(void)ask_leg(whole, leg);
	return whole->flying ? BACKEND_LATER : settle(m, &whole->outcome);
}

static int mirror_start(struct backend *backend, struct lane *lane, const struct ul_req *req,
			struct backend_io *io)
{
	struct mirror *m = (struct mirror *)backend;
	struct mirror_io *whole = io->memory;
	uint8_t *memory = (uint8_t *)&whole->legs[backend->children];

	if (!has_op(req->op))
		return -EOPNOTSUPP;
	io->backend = backend;
	io->lane = lane;
	io->req = req;
	whole->io = io;
	whole->outcome = (struct outcome){ 0 };
	whole->flying = 0;
	for (unsigned leg = 0; leg < backend->children; leg++) {
		whole->legs[leg].io.end = leg_ended;
		whole->legs[leg].io.memory = memory + leg * m->below;
		whole->legs[leg].whole = whole;
		whole->legs[leg].leg = leg;
	}
	return req->op == UL_OP_READ ? go_on_reading(whole) : start_write(whole);
}

static int mirror_probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	double smallest, largest;
	int ret = backend_probe_below(dev, spec, spec->size);

	if (ret)
		return ret;
	smallest = largest = dev->backing[spec->child].size;
	for (uint32_t i = 1; i < spec->children; i++) {
		double size = dev->backing[spec->child + i].size;

		smallest = size < smallest ? size : smallest;
		largest = size > largest ? size : largest;
	}
	if (smallest != largest)
		log_warn("ublk.mirror: backings of %.0f to %.0f bytes: the smallest's size is the "
			 "mirror's",
			 smallest, largest);
	spec->size = smallest;
	return 0;
}

static int mirror_open(struct backend **backend, const struct ul_device *dev,
		       const struct ul_backing_spec *spec, struct backend *const *children)
{
	struct mirror *m = calloc(1, sizeof(*m));
	bool old;

	if (m)
		m->dropped = lasting_open(sizeof(*m->dropped), &old);
	if (!m || !m->dropped) {
		log_error("ublk.mirror: out of memory");
		free(m);
		return -ENOMEM;
	}
	m->base.ops = &backend_mirror_ops;
	m->read_only = spec->read_only;
	m->below = backend_most_memory(children, spec->children);
	m->base.io_size =
		sizeof(struct mirror_io) + spec->children * (sizeof(struct leg_io) + m->below);
	for (uint32_t i = 0; i < spec->children; i++)
		backend_text(dev, &dev->backing[spec->child + i], m->name[i], sizeof(m->name[i]));
	*backend = &m->base;
	return 0;
}

static void mirror_close(struct backend *backend)
{
	struct mirror *m = (struct mirror *)backend;

	lasting_close(m->dropped, sizeof(*m->dropped));
	free(m);
}

const struct backend_ops backend_mirror_ops = {
	.name = "mirror",
	.probe = mirror_probe,
	.open = mirror_open,
	.serve = mirror_serve,
	.start = mirror_start,
	.close = mirror_close,
	.discard = true,
};
