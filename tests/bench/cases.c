/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
	DEPTH = 128,
	MAX_IO = 4096,
	STRIDE = 8 * 7919, /* sectors */
	SCRIPTED = 1,
	PLAIN = 0,
};

const unsigned batches[BATCHES] = { 1, 4, 16, 64 };

#define SCRIPT(name) "tests/bench/" name ".lua"

const struct subject subjects[SUBJECTS] = {
	{ "c-null", "no handler", SCRIPT("none"), {}, PLAIN },
	{ "c-null-2", "the same once more", SCRIPT("none"), {}, PLAIN },
	{ "other-op", "write handler, reads", SCRIPT("other"), {}, PLAIN },
	{ "beside", "reads beside a range", SCRIPT("ranged"), { "at=1G.." }, PLAIN },
	{ "in-range", "reads in a range", SCRIPT("ranged"), { "at=..1G" }, SCRIPTED },
	{ "pass", "read = function() end", SCRIPT("pass"), {}, SCRIPTED },
	{ "bad", "bad sectors", SCRIPT("range"), {}, SCRIPTED },
	{ "layer", "one layer", SCRIPT("layers"), { "n=1" }, SCRIPTED },
	{ "layers5", "five layers", SCRIPT("layers"), { "n=5" }, SCRIPTED },
	{ "garbage", "a table for each", SCRIPT("garbage"), {}, SCRIPTED },
	{ "faulty", "faulty.lua rate=1%", "examples/faulty.lua", { "op=read" }, SCRIPTED },
	{ "sleep", "ublk.sleep(0)", SCRIPT("parked"), { "how=sleep" }, SCRIPTED },
	{ "forward", "req:forward()", SCRIPT("parked"), { "how=forward" }, SCRIPTED },
};

bool selected(const struct subject *subject)
{
	return !options.only || strcmp(options.only, subject->name) == 0;
}

static bool next_read(void *arg, struct ul_req *req, uint8_t *data)
{
	struct bench_case *c = arg;

	req->op = UL_OP_READ;
	req->flags = 0;
	req->sector = (double)(c->next_sector & 0x1ffff8);
	req->length = 4096;
	c->next_sector += STRIDE; /* visits every page of the device's first GiB */
	return true;
}

static int open_transport(struct bench_case *c)
{
	struct sim_config config = {
		.depth = DEPTH,
		.max_io = MAX_IO,
		.batch = c->batch,
		.real_time = true,
		.next = next_read,
		.arg = c,
	};
	int ret = sim_open(&c->transport, &config);

	return ret ? ret : script_attach(c->script, &c->transport->shared);
}

static int open_script(struct bench_case *c)
{
	const struct subject *s = c->subject;
	struct script_config config = {
		.path = s->path,
		.args = s->args,
		.arg_count = (s->args[0] != NULL) + (s->args[1] != NULL),
		.seed = 1,
	};

	return script_open(&c->script, &config, &c->device);
}

int case_open(struct bench_case *c, const struct subject *subject, unsigned batch)
{
	int ret;

	c->subject = subject;
	c->batch = batch;
	ret = open_script(c);
	if (ret)
		return ret;
	c->device.backings = 1; /* faulty.lua's memory would be measured too */
	c->device.backing[0] = (struct ul_backing_spec){ .kind = UL_BACKING_NULL };
	ret = backend_open(&c->backend, &c->device);
	if (ret == 0)
		ret = open_transport(c);
	if (ret)
		return ret;
	return dispatch_open(&c->dispatch, &(struct dispatch_config){
						   .transport = c->transport,
						   .script = c->script,
						   .backend = c->backend,
						   .stats = &c->stats,
						   .device = &c->device,
						   .stage = &c->stage,
					   });
}

void case_close(struct bench_case *c)
{
	dispatch_close(&c->dispatch);
	script_close(c->script);
	if (c->transport)
		c->transport->ops->close(c->transport);
	if (c->backend)
		backend_close(c->backend);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The loop of worker.c's serve(). */
static unsigned serve_round(struct bench_case *c)
{
	int count = c->transport->ops->reap(c->transport, dispatch_deadline(&c->dispatch));

	if (count < 0) {
		fprintf(stderr, "sim_bench: %s stands still\n", c->subject->name);
		exit(1);
	}
	dispatch_round(&c->dispatch, (unsigned)count);
	return (unsigned)count;
}

double case_run(struct bench_case *c, unsigned requests)
{
	uint64_t start = now();
	unsigned served = 0;

	while (served < requests)
		served += serve_round(c);
	return (double)(now() - start) / served;
}

uint64_t case_round(struct bench_case *c)
{
	uint64_t start = now();

	serve_round(c);
	return now() - start;
}

int case_check(const struct bench_case *c)
{
	const struct stats_op *reads = &c->stats.op[UL_OP_READ];
	uint64_t least = c->subject->scripted ? reads->requests : 0;
	uint64_t most = c->subject->scripted ? reads->requests + DEPTH : 0; /* some wait still */

	if (sim_faults(c->transport) > sim_owed(c->transport) || reads->scripted < least ||
	    reads->scripted > most || reads->errors != reads->injected ||
	    reads->errors > reads->requests / 50) {
		fprintf(stderr, "sim_bench: %s at batch %u did not serve as it should\n",
			c->subject->name, c->batch);
		return -EPROTO;
	}
	return 0;
}

long preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}
