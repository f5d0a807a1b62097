/* SPDX-License-Identifier: MIT */
#include "exercise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flight {
	struct backend_io io; /* the first: `end` gets it */
	struct ul_req req;
	struct run *run;
	uint32_t number; /* of all operations of the thread */
	bool busy;
	uint8_t *buf;
};

struct run {
	struct exercise *ex;
	struct ul_rng rng;
	struct flight flight[EXERCISE_FLIGHT];
	unsigned busy;
};

static void fail(const struct ul_req *req, const char *what, long long detail)
{
	fprintf(stderr, "exercise: op %u at sector %.0f, %u bytes: %s %lld\n", req->op, req->sector,
		req->length, what, detail);
	abort();
}

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* The request is answered. */
static void note(struct flight *f, int result)
{
	struct exercise *ex = f->run->ex;

	if (result) {
		if (!ex->expected || !ex->expected(result))
			fail(&f->req, "result", result);
		ex->failed++;
	}
	model_note(ex->model, &f->req, f->number, result != 0);
}

static void end(struct backend_io *io, int result)
{
	struct flight *f = (struct flight *)io;

	if (!f->busy)
		fail(&f->req, "ended twice", result);
	f->busy = false;
	f->run->busy--;
	note(f, result);
}

static uint64_t below(struct run *run, uint64_t limit)
{
	return (uint64_t)(ul_rng_next(&run->rng) * (double)limit);
}

static uint8_t choose_op(struct run *run)
{
	static const uint8_t ops[] = { UL_OP_READ,  UL_OP_READ,	   UL_OP_READ,	      UL_OP_READ,
				       UL_OP_WRITE, UL_OP_WRITE,   UL_OP_WRITE,	      UL_OP_WRITE,
				       UL_OP_FLUSH, UL_OP_DISCARD, UL_OP_WRITE_ZEROES };

	return ops[below(run, sizeof(ops))];
}

/* Mostly short, now and then long; where a model is shared, within a unit of the thread's own. */
static void choose_place(struct run *run, struct ul_req *req)
{
	const struct exercise *ex = run->ex;
	uint64_t sectors = ex->model->size / 512,
		 most = (ex->most ? ex->most : EXERCISE_MOST) / 512;
	uint64_t first, count, limit;

	if (ex->threads) {
		uint64_t unit = (ex->unit ? ex->unit : 4096) / 512, in_unit = below(run, unit);

		first = below(run, sectors / unit / ex->threads) * ex->threads + ex->thread;
		first = first * unit + in_unit;
		limit = unit - in_unit;
	} else {
		first = below(run, sectors);
		limit = sectors - first;
	}
	count = 1 + below(run, below(run, 4) ? (most < 16 ? most : 16) : most);
	if (count > limit)
		count = limit;
	req->sector = (double)first;
	req->length = (uint32_t)(count * 512);
}

/* Two at once on the same sectors: what is there then nobody can say. */
static bool overlaps(const struct run *run, const struct ul_req *req)
{
	for (unsigned i = 0; i < EXERCISE_FLIGHT; i++) {
		const struct ul_req *other = &run->flight[i].req;

		if (run->flight[i].busy && other->op != UL_OP_FLUSH &&
		    req->sector < other->sector + other->length / 512.0 &&
		    other->sector < req->sector + req->length / 512.0)
			return true;
	}
	return false;
}

static bool choose(struct run *run, struct flight *f)
{
	struct ul_req *req = &f->req;

	*req = (struct ul_req){ .op = choose_op(run), .queue = (uint16_t)run->ex->thread };
	if (req->op != UL_OP_FLUSH)
		choose_place(run, req);
	if (overlaps(run, req))
		return false;
	if (req->op == UL_OP_READ || req->op == UL_OP_WRITE)
		req->buf = f->buf;
	if (req->op != UL_OP_READ && below(run, 16) == 0)
		req->flags |= UL_FLAG_FUA;
	if (req->op == UL_OP_WRITE_ZEROES && below(run, 2))
		req->flags |= UL_FLAG_NOUNMAP;
	f->number = run->ex->done++;
	if (req->op == UL_OP_WRITE)
		model_fill(req, f->number, below(run, 1ULL << 50));
	return true;
}

static void issue(struct run *run, struct flight *f)
{
	struct backend *backend = run->ex->backend;
	int ret;

	if (!choose(run, f))
		return;
	f->busy = true;
	run->busy++;
	ret = backend_ask(backend, run->ex->lane, &f->req, &f->io);
	if (ret != BACKEND_LATER)
		end(&f->io, ret);
}

void exercise_run(struct exercise *ex)
{
	struct run run = { .ex = ex };
	size_t memory = ex->backend->io_size;

	ul_rng_seed(&run.rng, ex->seed, ex->thread);
	for (unsigned i = 0; i < EXERCISE_FLIGHT; i++) {
		struct flight *f = &run.flight[i];

		f->run = &run;
		f->io.end = end;
		f->buf = need(aligned_alloc(4096, EXERCISE_MOST));
		f->io.memory = memory ? need(malloc(memory)) : NULL;
		if (memory)
			memset(f->io.memory, 0xa5, memory);
	}
	for (unsigned i = 0; i < ex->operations; i++) {
		struct flight *f = &run.flight[below(&run, EXERCISE_FLIGHT)];

		if (!f->busy)
			issue(&run, f);
		if (ex->lane && (f->busy || below(&run, 8) == 0))
			ex->pump(ex->arg);
	}
	while (run.busy)
		ex->pump(ex->arg);
	for (unsigned i = 0; i < EXERCISE_FLIGHT; i++) {
		free(run.flight[i].buf);
		free(run.flight[i].io.memory);
	}
}

void exercise_compare(struct backend *backend, const struct model *model)
{
	uint8_t *buf = need(aligned_alloc(4096, EXERCISE_MOST));
	uint64_t step;

	for (uint64_t at = 0; at < model->size; at += step) {
		struct ul_req req = { .op = UL_OP_READ, .buf = buf, .sector = (double)(at / 512) };
		int ret;

		step = model->size - at < EXERCISE_MOST ? model->size - at : EXERCISE_MOST;
		req.length = (uint32_t)step;
		ret = backend->ops->serve(backend, NULL, &req);
		if (ret)
			fail(&req, "result", ret);
		model_compare(model, &req);
	}
	free(buf);
}
