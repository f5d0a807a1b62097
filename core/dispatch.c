/* SPDX-License-Identifier: MIT */
#include "dispatch.h"

#include <errno.h>

static bool within_device(const struct dispatch *d, const struct ul_req *req)
{
	uint64_t start;

	if (req->sector > (double)(d->size >> 9))
		return false;
	start = backend_offset(req);
	return start <= d->size && req->length <= d->size - start;
}

static void answer(struct dispatch *d, const struct ul_req *req, int ret)
{
	int32_t result = ret;

	if (req->op < UL_OP_COUNT) {
		struct stats_op *counters = &d->stats->op[req->op];

		counters->requests++;
		counters->bytes += req->length;
		counters->errors += ret < 0;
	}
	/* Whole or not at all: no short results. And a discard's length may not fit. */
	if (ret == 0 && (req->op == UL_OP_READ || req->op == UL_OP_WRITE))
		result = (int32_t)req->length;
	d->transport->ops->answer(d->transport, req->tag, result);
}

static void serve_below(struct dispatch *d, const struct ul_req *req)
{
	int ret = -EIO;

	if (within_device(d, req))
		ret = d->backend->ops->serve(d->backend, req);
	answer(d, req, ret);
}

static bool scripted(const struct dispatch *d, const struct ul_req *req)
{
	return req->op < UL_OP_COUNT && d->op_mask >> req->op & 1;
}

/* The batch holds `count` tags for the script. A verdict it does not write stays EIO. */
static void serve_scripted(struct dispatch *d, unsigned count)
{
	struct ul_queue *shared = &d->transport->shared;

	for (unsigned i = 0; i < count; i++)
		shared->reqs[shared->batch[i]].verdict = -EIO;
	script_batch(d->script, count);
	for (unsigned i = 0; i < count; i++) {
		const struct ul_req *req = &shared->reqs[shared->batch[i]];
		struct stats_op *counters = &d->stats->op[req->op];

		counters->scripted++;
		if (req->verdict == UL_PASS) {
			serve_below(d, req);
			continue;
		}
		if (req->verdict < 0)
			counters->injected++;
		answer(d, req, req->verdict);
	}
}

void dispatch_batch(struct dispatch *d, unsigned count)
{
	struct ul_queue *shared = &d->transport->shared;
	bool fail = atomic_load_explicit(d->fail, memory_order_relaxed);
	unsigned for_script = 0;

	d->stats->rounds++;
	for (unsigned i = 0; i < count; i++) {
		uint16_t tag = shared->batch[i];
		const struct ul_req *req = &shared->reqs[tag];

		if (fail)
			answer(d, req, -EIO);
		else if (scripted(d, req))
			shared->batch[for_script++] = tag; /* never ahead of i */
		else
			serve_below(d, req);
	}
	if (for_script)
		serve_scripted(d, for_script);
}
