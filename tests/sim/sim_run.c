/* SPDX-License-Identifier: MIT */
/*
 * A whole script over core/sim.c, with no kernel and no root: sends it a mixed
 * workload that a seed repeats, holds every answer against what an honest disk
 * would have said, and prints the counts as one JSON object on stdout. Exit
 * status 0: nothing was wrong. Errors that the script asked for are not wrong.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "locate.h"
#include "log.h"
#include "cli.h"
#include "params.h"
#include "sim.h"

enum {
	WINDOW = 64
		 << 20, /* bytes of the device that are used: half at its start, half at its end */
	SECTOR = 512,
	SMALL_IO = 16 << 10,
	MAX_ERRNO = 4095,
};

/* What a sector holds: a write's number, from which its data follows, or one of these. */
enum { ZEROS = 0, UNKNOWN = 1, FIRST_STAMP = 2 };

struct options {
	unsigned requests;
	unsigned batch;
	unsigned depth; /* 0: as the script says */
	uint64_t workload_seed;
	uint64_t seed;
	const char *script;
	char **args;
	unsigned arg_count;
};

struct run {
	const struct options *options;
	struct ul_device dev;
	struct script *script;
	struct backend *backend;
	struct transport *transport;
	struct stats stats;

	struct ul_rng rng; /* of the workload */
	uint64_t window;   /* bytes; the whole device when it is small */
	uint32_t *stamps;  /* of each sector of the window */
	unsigned issued;
	uint32_t *number;      /* of the request in each tag, from 1; 0: none */
	struct ul_req *flying; /* the request in each tag, as it was issued */

	uint64_t wrong_data;	/* sectors that a read gave otherwise than they were written */
	uint64_t wrong_results; /* answers that are neither success nor an errno */
	uint64_t digest;	/* over the number and result of every request */
};

static uint64_t below(struct run *run, uint64_t limit)
{
	return (uint64_t)(ul_rng_next(&run->rng) * (double)limit);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0xff51afd7ed558ccd;
	return h ^ h >> 32;
}

/* The window's second half lies at the device's end. */
static uint64_t window_to_device(const struct run *run, uint64_t offset)
{
	return offset < run->window / 2 ? offset : offset + (uint64_t)run->dev.size - run->window;
}

static uint32_t *stamp_of(const struct run *run, const struct ul_req *req)
{
	uint64_t offset = (uint64_t)req->sector * SECTOR;

	if (offset >= run->window / 2)
		offset -= (uint64_t)run->dev.size - run->window;
	return &run->stamps[offset / SECTOR];
}

/* The data of a sector as the write `stamp` leaves it. */
static void make_sector(uint64_t sector, uint32_t stamp, uint64_t words[SECTOR / 8])
{
	uint64_t word = mix(sector + 1, stamp);

	if (stamp == ZEROS) {
		memset(words, 0, SECTOR);
		return;
	}
	for (unsigned i = 0; i < SECTOR / 8; i++)
		words[i] = word += 0x9e3779b97f4a7c15;
}

/* No order is promised between requests in flight, so what overlaps says nothing. */
static bool overlaps_flying(const struct run *run, const struct ul_req *req)
{
	for (unsigned tag = 0; tag < run->transport->shared.depth; tag++) {
		const struct ul_req *other = &run->flying[tag];

		if (run->number[tag] && req->sector < other->sector + other->length / SECTOR &&
		    other->sector < req->sector + req->length / SECTOR)
			return true;
	}
	return false;
}

static uint8_t choose_op(struct run *run)
{
	static const uint8_t ops[16] = {
		UL_OP_READ,  UL_OP_READ,  UL_OP_READ,	 UL_OP_READ,
		UL_OP_READ,  UL_OP_READ,  UL_OP_READ,	 UL_OP_WRITE,
		UL_OP_WRITE, UL_OP_WRITE, UL_OP_WRITE,	 UL_OP_WRITE,
		UL_OP_WRITE, UL_OP_FLUSH, UL_OP_DISCARD, UL_OP_WRITE_ZEROES,
	};
	uint8_t op = ops[below(run, 16)];
	bool clears = op == UL_OP_DISCARD || op == UL_OP_WRITE_ZEROES;

	if (run->dev.read_only || (clears && !run->backend->ops->discard))
		return UL_OP_READ;
	return op;
}

static void choose_range(struct run *run, struct ul_req *req)
{
	uint32_t block = run->dev.logical_block_size;
	uint32_t most = below(run, 16) && run->dev.max_io > SMALL_IO ? SMALL_IO : run->dev.max_io;
	uint64_t half = run->window / 2;
	uint64_t start = below(run, run->window / block) * block;
	uint64_t left = (start < half ? half : run->window) - start;
	uint64_t length;

	if (most < block)
		most = block;
	length = (1 + below(run, most / block)) * block;
	req->length = (uint32_t)(length < left ? length : left);
	req->sector = (double)(window_to_device(run, start) / SECTOR);
}

static bool next_request(void *arg, struct ul_req *req, uint8_t *data)
{
	struct run *run = arg;

	if (run->issued == run->options->requests)
		return false;
	run->issued++;
	req->op = choose_op(run);
	req->flags =
		req->op == UL_OP_WRITE && run->dev.fua && below(run, 16) == 0 ? UL_FLAG_FUA : 0;
	req->sector = 0;
	req->length = 0;
	for (int tries = 0; req->op != UL_OP_FLUSH; tries++) {
		choose_range(run, req);
		if (!overlaps_flying(run, req))
			break;
		if (tries == 8) { /* a small device that is busy all over */
			*req = (struct ul_req){ .op = UL_OP_FLUSH, .tag = req->tag };
			break;
		}
	}
	run->number[req->tag] = run->issued;
	run->flying[req->tag] = *req;
	if (req->op == UL_OP_WRITE)
		for (uint32_t at = 0; at < req->length; at += SECTOR)
			make_sector((uint64_t)req->sector + at / SECTOR, FIRST_STAMP + run->issued,
				    (uint64_t *)(data + at));
	return true;
}

static void check_read(struct run *run, const struct ul_req *req, const uint8_t *data)
{
	const uint32_t *stamps = stamp_of(run, req);
	uint64_t expected[SECTOR / 8];

	for (uint32_t i = 0; i < req->length / SECTOR; i++) {
		if (stamps[i] == UNKNOWN)
			continue;
		make_sector((uint64_t)req->sector + i, stamps[i], expected);
		if (memcmp(data + i * SECTOR, expected, SECTOR) == 0)
			continue;
		if (!run->wrong_data++)
			log_error("read: sector %.0f does not hold what was written there",
				  req->sector + i);
	}
}

static void note_change(struct run *run, const struct ul_req *req, uint32_t stamp)
{
	uint32_t *stamps = stamp_of(run, req);

	for (uint32_t i = 0; i < req->length / SECTOR; i++)
		stamps[i] = stamp;
}

static void check_data(struct run *run, const struct ul_req *req, uint32_t number, int32_t verdict,
		       const uint8_t *data)
{
	bool lost = verdict == UL_PASS && run->dev.backing == UL_BACKING_NULL;
	bool zeroed = verdict == UL_PASS && run->dev.backing == UL_BACKING_MEM;

	switch (req->op) {
	case UL_OP_READ:
		if (!lost)
			check_read(run, req, data);
		break;
	case UL_OP_WRITE:
		note_change(run, req, lost ? UNKNOWN : FIRST_STAMP + number);
		break;
	case UL_OP_DISCARD: /* a disk may answer anything for what was discarded */
		note_change(run, req, zeroed ? ZEROS : UNKNOWN);
		break;
	case UL_OP_WRITE_ZEROES:
		note_change(run, req, lost ? UNKNOWN : ZEROS);
		break;
	}
}

static void request_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	struct run *run = arg;
	const struct ul_req *issued = &run->flying[req->tag];
	bool has_length = issued->op == UL_OP_READ || issued->op == UL_OP_WRITE;
	int32_t verdict = run->dev.op_mask >> issued->op & 1 ? req->verdict : UL_PASS;
	uint32_t number = run->number[req->tag];

	run->number[req->tag] = 0;
	run->digest = mix(run->digest, (uint64_t)number << 32 | (uint32_t)result);
	if (result == (has_length ? (int32_t)issued->length : 0)) {
		check_data(run, issued, number, verdict, data);
	} else if (result >= 0 || result < -MAX_ERRNO) {
		run->wrong_results++;
	} else if (verdict == UL_PASS && issued->op != UL_OP_READ) {
		note_change(run, issued, UNKNOWN); /* the backing failed on the way */
	}
}

static int open_script(struct run *run)
{
	static char path[PATH_MAX];
	const struct options *opt = run->options;
	int ret = locate_script(opt->script, path);

	if (ret)
		return ret;
	ret = script_open(&run->script,
			  &(struct script_config){
				  .path = path,
				  .args = opt->args,
				  .arg_count = opt->arg_count,
				  .seed = opt->seed,
			  },
			  &run->dev);
	if (ret)
		return ret;
	if (opt->depth)
		run->dev.depth = opt->depth;
	ret = backend_probe(&run->dev, opt->script);
	if (ret == 0)
		ret = params_complete(&run->dev, opt->script);
	if (ret == 0)
		ret = backend_open(&run->backend, &run->dev);
	return ret == -EINVAL ? -ENOEXEC : ret; /* -EINVAL is kept for wrong key=value words */
}

static int open_workload(struct run *run)
{
	uint64_t size = (uint64_t)run->dev.size;
	uint64_t sectors;
	int ret;

	run->window = size < WINDOW ? size : WINDOW;
	sectors = run->window / SECTOR;
	run->stamps = calloc(sectors, sizeof(*run->stamps));
	run->number = calloc(run->dev.depth, sizeof(*run->number));
	run->flying = calloc(run->dev.depth, sizeof(*run->flying));
	if (!run->stamps || !run->number || !run->flying)
		return -ENOMEM;
	for (uint64_t i = 0; run->dev.backing != UL_BACKING_MEM && i < sectors; i++)
		run->stamps[i] = UNKNOWN;
	ul_rng_seed(&run->rng, run->options->workload_seed, 0);
	ret = sim_open(&run->transport, &(struct sim_config){
						.depth = run->dev.depth,
						.max_io = run->dev.max_io,
						.batch = run->options->batch,
						.next = next_request,
						.done = request_done,
						.arg = run,
					});
	return ret ? ret : script_attach(run->script, &run->transport->shared);
}

static int serve(struct run *run)
{
	atomic_int stage = STAGE_RUN;
	struct dispatch dispatch;
	int count;

	dispatch_open(&dispatch, &(struct dispatch_config){
					 .transport = run->transport,
					 .script = run->script,
					 .backend = run->backend,
					 .stats = &run->stats,
					 .device = &run->dev,
					 .stage = &stage,
				 });
	while ((count = run->transport->ops->reap(run->transport, dispatch_deadline(&dispatch))) >=
	       0)
		dispatch_round(&dispatch, (unsigned)count);
	return count == -ENODEV ? 0 : count;
}

/* Print what was counted; true when nothing was wrong. */
static bool print_report(const struct run *run)
{
	unsigned faults = sim_faults(run->transport);
	json_t *ops = json_object();
	json_t *root;
	char digest[17];

	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		const struct stats_op *c = &run->stats.op[op];

		if (c->requests && stats_op_name(op))
			json_object_set_new(ops, stats_op_name(op),
					    json_pack("{s:I, s:I, s:I, s:I}", "requests",
						      (json_int_t)c->requests, "errors",
						      (json_int_t)c->errors, "injected",
						      (json_int_t)c->injected, "scripted",
						      (json_int_t)c->scripted));
	}
	snprintf(digest, sizeof(digest), "%016" PRIx64, run->digest);
	root = json_pack("{s:o, s:I, s:I, s:I, s:s}", "ops", ops, "wrong_data",
			 (json_int_t)run->wrong_data, "wrong_results",
			 (json_int_t)run->wrong_results, "sim_faults", (json_int_t)faults, "digest",
			 digest);
	json_dumpf(root, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(root);
	return !run->wrong_data && !run->wrong_results && !faults;
}

static int run_script(const struct options *options)
{
	struct run run = { .options = options };
	bool good = false;
	int ret = open_script(&run);

	if (ret == 0)
		ret = open_workload(&run);
	if (ret == 0) {
		ret = serve(&run);
		good = print_report(&run);
	}
	script_close(run.script);
	if (run.transport)
		run.transport->ops->close(run.transport);
	backend_close(run.backend);
	free(run.flying);
	free(run.number);
	free(run.stamps);
	return ret == -EINVAL ? EXIT_USAGE : ret || !good ? EXIT_FAILED : EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = { { "seed", required_argument, NULL, 'S' }, { 0 } };
	struct options opt = { .requests = 20000, .batch = 32, .workload_seed = 1, .seed = 1 };
	int c;

	while ((c = getopt_long(argc, argv, "+n:b:d:s:", longopts, NULL)) != -1) {
		unsigned long long value = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (c == 'n')
			opt.requests = (unsigned)value;
		else if (c == 'b')
			opt.batch = (unsigned)value;
		else if (c == 'd')
			opt.depth = (unsigned)value;
		else if (c == 's')
			opt.workload_seed = value;
		else if (c == 'S')
			opt.seed = value;
		else
			return EXIT_USAGE;
	}
	if (optind == argc) {
		log_error("usage: sim-run [-n REQUESTS] [-b BATCH] [-d DEPTH] [-s WORKLOAD_SEED] "
			  "[--seed N] SCRIPT [key=value ...]");
		return EXIT_USAGE;
	}
	opt.script = argv[optind];
	opt.args = argv + optind + 1;
	opt.arg_count = (unsigned)(argc - optind - 1);
	return run_script(&opt);
}
