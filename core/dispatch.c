/* SPDX-License-Identifier: MIT */
#include "dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "dispatch_data.h"
#include "histogram.h"
#include "lane.h"
#include "log.h"
#include "park.h"
#include "timer.h"

static struct ul_queue *shared(const struct dispatch *d)
{
	return &d->config.transport->shared;
}

static uint64_t now(const struct dispatch *d)
{
	return d->config.transport->ops->now(d->config.transport);
}

static bool within_device(const struct dispatch *d, const struct ul_req *req)
{
	uint64_t size = (uint64_t)d->config.device->size;
	uint64_t start;

	if (req->sector > (double)(size >> 9))
		return false;
	start = backend_offset(req);
	return start <= size && req->length <= size - start;
}

/* The clock is read at the end of the round; what came in an earlier one is timed alone. */
static void note_latency(struct dispatch *d, const struct ul_req *req)
{
	if (req->time == d->now) {
		d->fresh_ops |= 1U << req->op;
		d->fresh[req->op]++;
	} else {
		ul_histogram_add(&d->config.stats->latency[req->op],
				 (double)now(d) - req->time * 1e9, 1);
	}
}

static void answer(struct dispatch *d, struct ul_req *req, int ret)
{
	struct transport *t = d->config.transport;
	int32_t result;

	if (d->config.guard)
		guard_return(d->config.guard, req);
	if (d->lazy)
		ret = dispatch_give(d, req, ret);
	result = ret;
	if (req->op < UL_OP_COUNT) {
		struct stats_op *counters = &d->config.stats->op[req->op];

		counters->requests++;
		counters->bytes += req->length;
		counters->errors += ret < 0;
		note_latency(d, req);
	}
	/* Whole or not at all: no short results. And a discard's length may not fit. */
	if (ret == 0 && transport_op_has_data(req->op))
		result = (int32_t)req->length;
	/* What a report leaves of the driver's buffer, which is no larger, is no remainder. */
	if (ret == 0 && req->op == UL_OP_REPORT_ZONES)
		result = (int32_t)t->shared.max_io;
	t->ops->answer(t, req->tag, result);
}

static uint32_t slot_of(const struct backend_io *io)
{
	const struct dispatch_io *below = (const struct dispatch_io *)io;

	return (uint32_t)(below - below->dispatch->below);
}

/* What the script forwards is in the slot of its tag: the data is the tag's. */
static int bring_below(struct dispatch *d, struct ul_req *req, uint32_t slot)
{
	struct ul_req *own = &shared(d)->reqs[slot];
	int ret;

	if (req->buf || !transport_op_has_data(req->op))
		return 0;
	if (!d->brings && req->op != UL_OP_REPORT_ZONES)
		return 0;
	ret = dispatch_bring(d, own);
	req->buf = own->buf;
	return ret;
}

/* Ask the backend: 0 or -errno, or BACKEND_LATER, and then `end` gets that of `slot`. */
static int below(struct dispatch *d, struct ul_req *req, uint32_t slot,
		 void (*end)(struct backend_io *io, int result))
{
	struct backend *backend = d->config.backend;
	int ret = within_device(d, req) ? bring_below(d, req, slot) : -EIO;

	if (ret)
		return ret;
	if (!d->below)
		return dispatch_error(backend->ops->serve(backend, d->config.transport->lane, req));
	d->below[slot].io.end = end;
	return dispatch_error(
		backend->ops->start(backend, d->config.transport->lane, req, &d->below[slot].io));
}

static void end_request(struct backend_io *io, int result)
{
	struct dispatch *d = ((struct dispatch_io *)io)->dispatch;

	answer(d, &shared(d)->reqs[slot_of(io)], dispatch_error(result));
}

/* A request that nobody has decided goes to the backend, and its answer is the request's. */
static void pass(struct dispatch *d, struct ul_req *req)
{
	int ret = below(d, req, req->tag, end_request);

	if (ret != BACKEND_LATER)
		answer(d, req, ret);
}

/* Does the script want to see it? */
static bool scripted(const struct dispatch *d, const struct ul_req *req)
{
	const struct ul_device *device = d->config.device;
	double end = req->sector + req->length / 512.0;

	if (req->op >= UL_OP_COUNT || !(device->op_mask >> req->op & 1))
		return false;
	for (uint32_t i = 0; i < device->range_count[req->op]; i++) {
		const struct ul_range *range = &device->ranges[req->op][i];

		if (req->sector < range->limit && end > range->first)
			return true;
	}
	return device->range_count[req->op] == 0; /* everywhere */
}

/* The script has come to an end with `req`. */
static void settle(struct dispatch *d, struct ul_req *req)
{
	int32_t result = shared(d)->forwarded[req->tag];
	bool forwarded = req->marks & UL_MARK_FORWARDED && req->verdict == result;

	if (req->verdict == UL_PASS) {
		/* What the script made of a read's buffer is of no account: below fills it. */
		if (d->lazy && req->op == UL_OP_READ && !d->config.guard)
			req->buf = NULL;
		pass(d, req);
		return;
	}
	/* By one who has not looked: the client gets an old buffer, no memory of the kernel's. */
	if (req->verdict == UL_DONE && req->op == UL_OP_READ && !forwarded)
		(void)dispatch_bring(d, req);
	/* An append that nobody has made is nowhere, and without zones a report has no end. */
	if (req->verdict == UL_DONE && req->placed && *req->placed < 0)
		req->verdict = -EIO;
	if (req->verdict < 0 && !forwarded)
		d->config.stats->op[req->op].injected++;
	answer(d, req, req->verdict);
}

/* The batch holds `count` tags for the script. A verdict it does not write stays EIO. */
static void serve_scripted(struct dispatch *d, unsigned count)
{
	struct ul_queue *queue = shared(d);

	for (unsigned i = 0; i < count; i++) {
		struct ul_req *req = &queue->reqs[queue->batch[i]];

		req->verdict = -EIO;
		req->marks = 0;
		if (d->config.guard)
			guard_lend(d->config.guard, req);
		d->config.stats->op[req->op].scripted++;
	}
	script_batch(d->config.script, count);
	queue->at = (uint32_t)UL_NO_SLOT;
	for (unsigned i = 0; i < count; i++) {
		struct ul_req *req = &queue->reqs[queue->batch[i]];

		if (req->verdict != UL_PARKED)
			settle(d, req);
	}
}

/* What the script wants to look at. Not 0: it is not to be had, and the request is answered. */
static int show(struct dispatch *d, struct ul_req *req)
{
	int ret = d->config.device->look_mask >> req->op & 1 ? dispatch_bring(d, req) : 0;

	if (ret == 0)
		ret = dispatch_bring_metadata(d, req);
	if (ret)
		answer(d, req, ret);
	return ret;
}

/* Of a zone the driver says only where it begins. */
static void complete_zone_op(struct dispatch *d, struct ul_req *req)
{
	req->placed = NULL;
	switch (req->op) {
	case UL_OP_ZONE_APPEND:
	case UL_OP_REPORT_ZONES:
		req->placed = &d->placed[req->tag];
		*req->placed = -1;
		break;
	case UL_OP_ZONE_OPEN:
	case UL_OP_ZONE_CLOSE:
	case UL_OP_ZONE_FINISH:
	case UL_OP_ZONE_RESET:
		req->length = d->config.device->zones.size;
		break;
	default:
		break;
	}
}

static void serve_fresh(struct dispatch *d, unsigned count)
{
	struct ul_queue *queue = shared(d);
	unsigned for_script = 0;

	for (unsigned i = 0; i < count; i++) {
		uint16_t tag = queue->batch[i];
		struct ul_req *req = &queue->reqs[tag];

		req->time = d->now;
		if (d->placed)
			complete_zone_op(d, req);
		if (d->stage == STAGE_FAIL)
			answer(d, req, -EIO);
		else if (!scripted(d, req))
			pass(d, req);
		else if (show(d, req) == 0)
			queue->batch[for_script++] = tag; /* never ahead of i */
	}
	if (for_script)
		serve_scripted(d, for_script);
}

/* Nobody will resume what is parked in `slot`. */
static void fail_parked(struct dispatch *d, uint32_t slot)
{
	struct ul_queue *queue = shared(d);
	struct ul_req *req = &queue->reqs[slot];

	if (slot >= queue->depth || req->verdict != UL_PARKED)
		return;
	req->verdict = -EIO;
	answer(d, req, -EIO);
}

/* The script cannot go on with it once the device ends by force: its tag is answered here. */
static void end_wish(struct backend_io *io, int result)
{
	struct dispatch *d = ((struct dispatch_io *)io)->dispatch;
	uint32_t slot = slot_of(io);

	park_end_io(shared(d), slot, dispatch_error(result));
	if (d->stage == STAGE_FAIL)
		fail_parked(d, slot);
}

static void serve_wishes(struct dispatch *d)
{
	struct ul_queue *queue = shared(d);
	uint32_t slot;

	while (park_next_io(queue, &slot)) {
		int ret = below(d, &queue->slots[slot].io, slot, end_wish);

		if (ret != BACKEND_LATER)
			park_end_io(queue, slot, ret);
	}
}

/* What is left when the budget is spent goes on in the next round: requests come in between. */
static void resume_ready(struct dispatch *d)
{
	struct ul_queue *queue = shared(d);
	uint32_t budget = queue->depth + queue->tasks;
	uint32_t slot;

	serve_wishes(d);
	while (budget-- && park_next_ready(queue, &slot)) {
		bool ended;

		queue->at = slot;
		ended = script_resume(d->config.script, slot);
		queue->at = (uint32_t)UL_NO_SLOT;
		if (ended && slot < queue->depth && queue->reqs[slot].verdict != UL_PARKED)
			settle(d, &queue->reqs[slot]);
		serve_wishes(d);
	}
}

/* What the host still reads or writes is not the driver's yet: end_wish comes to it. */
static void fail_all(struct dispatch *d)
{
	struct ul_queue *queue = shared(d);

	for (unsigned tag = 0; tag < queue->depth; tag++)
		if (!park_waits_for_io(queue, tag))
			fail_parked(d, tag);
}

static void enter_stage(struct dispatch *d, int stage)
{
	assert(stage > d->stage && stage <= STAGE_FAIL); /* an end is not taken back */
	d->stage = stage;
	if (stage == STAGE_STOPPING && d->config.script)
		script_stopping(d->config.script);
	else if (stage == STAGE_FAIL)
		fail_all(d);
}

/* All that was answered in the round goes to the driver now, so all took the same time. */
static void account(struct dispatch *d)
{
	double took;

	d->config.stats->rounds++;
	if (!d->fresh_ops)
		return;
	took = (double)now(d) - d->now * 1e9;
	for (uint32_t ops = d->fresh_ops; ops; ops &= ops - 1) {
		int op = __builtin_ctz(ops);

		ul_histogram_add(&d->config.stats->latency[op], took, d->fresh[op]);
		d->fresh[op] = 0;
	}
	d->fresh_ops = 0;
}

static int open_below(struct dispatch *d)
{
	uint32_t slots = shared(d)->depth + shared(d)->tasks;
	size_t size = d->config.backend->io_size;

	d->below = calloc(slots, sizeof(*d->below));
	d->memory = size ? calloc(slots, size) : NULL;
	if (!d->below || (size && !d->memory)) {
		log_error("queue %u: out of memory: %u requests on their way through the backings "
			  "take %zu bytes each; stripes over stripes take the most",
			  shared(d)->queue, slots, size);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < slots; i++) {
		d->below[i].dispatch = d;
		d->below[i].io.memory = size ? (uint8_t *)d->memory + i * size : NULL;
	}
	return 0;
}

int dispatch_open(struct dispatch *d, const struct dispatch_config *config)
{
	const struct backend *backend = config->backend;
	const struct lane *lane = config->transport->lane;
	bool fixed;

	*d = (struct dispatch){ .config = *config };
	d->lazy = lane && lane->lazy;
	/* Pages are for the host's operations alone, even if those are not the fastest way. */
	fixed = d->lazy && lane->pages && backend->fixed;
	d->brings = d->lazy && !backend->lazy && !fixed;
	if (config->device->zones.size) {
		d->placed = calloc(shared(d)->depth, sizeof(*d->placed));
		if (!d->placed) {
			log_error("queue %u: out of memory", shared(d)->queue);
			return -ENOMEM;
		}
	}
	if (!lane || !backend->ops->start || (backend->prompt && !fixed))
		return 0;
	return open_below(d);
}

void dispatch_close(struct dispatch *d)
{
	free(d->below);
	free(d->memory);
	free(d->placed);
	d->placed = NULL;
	d->below = NULL;
	d->memory = NULL;
}

void dispatch_round(struct dispatch *d, unsigned count)
{
	int stage = atomic_load_explicit(d->config.stage, memory_order_relaxed);
	uint64_t start = now(d);

	d->now = (double)start / 1e9;
	if (stage != d->stage)
		enter_stage(d, stage);
	if (d->below)
		lane_run(d->config.transport->lane);
	serve_fresh(d, count);
	if (stage != STAGE_FAIL) {
		park_expire(shared(d), start);
		resume_ready(d);
	}
	account(d);
	if (d->config.script && stage != STAGE_FAIL) /* a finalizer is the script's, too */
		script_tidy(d->config.script);
}

uint64_t dispatch_deadline(const struct dispatch *d)
{
	return d->stage == STAGE_FAIL ? TIMER_NEVER : park_deadline(shared(d));
}
