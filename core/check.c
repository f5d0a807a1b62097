/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "locate.h"
#include "log.h"
#include "params.h"

enum {
	COST_IO = 4096,
	LOG_LINES = 20, /* of the script's own that are shown without -v */
};

/* A backing that sees which requests come to it, over the one that serves them. */
struct below {
	struct backend base;
	struct backend *real;
	struct check *check;
};

static int below_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct below *below = (struct below *)backend;
	struct check *c = below->check;

	if (c->feed) /* what is measured is the way to here */
		return 0;
	if (req == &c->sim.transport->shared.reqs[req->tag] || req->marks & UL_MARK_FORWARDED)
		c->reached[req->tag] = true;
	return below->real->ops->serve(below->real, lane, req);
}

static void below_close(struct backend *backend)
{
	struct below *below = (struct below *)backend;

	backend_close(below->real);
	free(below);
}

static const struct backend_ops below_ops = {
	.serve = below_serve,
	.close = below_close,
	.discard = true,
};

static int below_open(struct check *c)
{
	struct below *below = calloc(1, sizeof(*below));
	int ret;

	if (!below)
		return -ENOMEM;
	below->base.ops = &below_ops;
	below->check = c;
	ret = backend_open(&below->real, &c->run);
	c->backend = &below->base;
	return ret;
}

/* The size of a file may be looked at, the file itself is nobody's to change. */
static int probe_size(struct check *c)
{
	uint8_t read_only = c->dev.read_only;
	int ret;

	c->dev.read_only = true;
	ret = backend_probe(&c->dev, c->name);
	c->dev.read_only = read_only;
	return ret;
}

/* The workload writes anywhere: a zoned device is tried out as the one that its zones lie over. */
static void run_without_zones(struct ul_device *dev)
{
	struct ul_backing_spec *root = &dev->backing[0];

	if (root->kind == UL_BACKING_ZONED)
		*root = dev->backing[root->child];
	dev->zones.size = 0;
}

static int open_script(struct check *c)
{
	const struct cli *cli = c->cli;
	const char *slash;
	int ret = 0;

	if (cli->chunk)
		snprintf(c->path, sizeof(c->path), "%s", cli->script);
	else
		ret = locate_script(cli->script, c->path);
	if (ret)
		return ret;
	slash = strrchr(c->path, '/');
	c->name = slash ? slash + 1 : c->path;
	ret = script_open(&c->script,
			  &(struct script_config){
				  .path = c->path,
				  .chunk = cli->chunk,
				  .args = cli->args,
				  .arg_count = cli->arg_count,
				  .seed = cli->seed,
				  .memory = cli->memory,
				  .stats = &c->stats->script,
			  },
			  &c->dev);
	if (ret)
		return ret;
	if (cli->depth)
		c->dev.depth = cli->depth;
	ret = probe_size(c);
	if (ret == 0)
		ret = params_complete(&c->dev, c->name);
	c->run = c->dev;
	run_without_zones(&c->run);
	for (uint32_t i = 0; i < c->run.backings; i++)
		if (c->run.backing[i].kind == UL_BACKING_FILE)
			c->run.backing[i].kind = UL_BACKING_MEM;
	if (ret == 0)
		ret = below_open(c);
	return ret == -EINVAL ? -ENOEXEC : ret; /* -EINVAL is kept for wrong key=value words */
}

static bool next_request(void *arg, struct ul_req *req, uint8_t *data)
{
	struct check *c = arg;

	if (c->feed) {
		cost_next(c->feed, req);
		return true;
	}
	c->reached[req->tag] = false;
	return workload_next(c->workload, req, data);
}

static enum workload_server server_of(const struct check *c, const struct ul_req *req)
{
	if (!c->reached[req->tag])
		return WORKLOAD_SCRIPT;
	return backend_has(&c->run, UL_BACKING_NULL) ? WORKLOAD_NOBODY : WORKLOAD_BACKING;
}

static void request_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	const int most = sizeof(((struct check_op *)0)->failed) / sizeof(uint64_t);
	struct check *c = arg;
	struct check_op *op;

	if (c->feed) {
		cost_done(c->feed);
		return;
	}
	op = &c->op[workload_issued(c->workload, req->tag)->op];
	if (result < 0)
		op->failed[result > -most ? -result : 0]++;
	else if (c->reached[req->tag])
		op->passed++;
	else
		op->done++;
	workload_done(c->workload, req->tag, data, result, server_of(c, req));
}

static int open_workload(struct check *c)
{
	bool discards = backend_discards(&c->dev);
	struct workload_config config = {
		.requests = c->cli->requests,
		.depth = c->dev.depth,
		.seed = c->cli->workload,
		.size = (uint64_t)c->dev.size,
		.block = c->dev.logical_block_size,
		.max_io = c->dev.max_io,
		.read_only = c->dev.read_only,
		.max_discard = discards ? c->dev.max_discard : 0,
		.max_write_zeroes = discards ? c->dev.max_write_zeroes : 0,
		/* As the block layer does: without a cache there is nothing to flush. */
		.flush = c->dev.volatile_cache,
		.fua = c->dev.volatile_cache && c->dev.fua,
		.zeroed = !backend_has(&c->run, UL_BACKING_NULL),
	};
	int ret = workload_open(&c->workload, &config);

	c->reached = calloc(c->dev.depth, sizeof(*c->reached));
	if (ret || !c->reached)
		return -ENOMEM;
	c->batch = c->cli->batch < c->dev.depth ? c->cli->batch : c->dev.depth;
	c->sim.debug = c->cli->debug;
	return simulate_open(&c->sim, &c->run, c->script, c->backend, c->stats,
			     &(struct sim_config){
				     .depth = c->dev.depth,
				     .max_io = c->dev.max_io,
				     .batch = c->batch,
				     .next = next_request,
				     .done = request_done,
				     .arg = c,
			     });
}

static bool plain_next(void *arg, struct ul_req *req, uint8_t *data)
{
	cost_next(arg, req);
	return true;
}

static void plain_done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	cost_done(arg);
}

static void measure_op(struct check *c, struct simulation *plain, struct cost_feed *plain_feed,
		       uint8_t op)
{
	uint32_t block = c->dev.logical_block_size;
	struct cost_feed feed = {
		.op = op,
		.length = c->dev.size >= COST_IO && block < COST_IO ? COST_IO : block,
	};
	bool scripted = c->dev.op_mask >> op & 1;

	feed.places = (uint64_t)c->dev.size / feed.length;
	ul_rng_seed(&feed.rng, c->cli->workload, 1);
	*plain_feed = feed;
	c->feed = &feed;
	c->op[op].cost = cost_measure(scripted ? &c->sim : NULL, &feed, plain, plain_feed);
	c->feed = NULL;
}

/* After all else has been counted: what a request of each op costs, with and without the script. */
static int measure_costs(struct check *c)
{
	struct simulation plain = { 0 };
	struct cost_feed plain_feed = { 0 };
	struct ul_device null = c->run;
	struct backend *backend = NULL;
	int ret;

	log_set_limit(0); /* the script has said what it has to say */
	null.backings = 1;
	null.backing[0] = (struct ul_backing_spec){ .kind = UL_BACKING_NULL };
	null.op_mask = 0;
	ret = backend_open(&backend, &null);
	if (ret == 0)
		ret = simulate_open(&plain, &null, NULL, backend, c->stats,
				    &(struct sim_config){
					    .depth = c->dev.depth,
					    .max_io = c->dev.max_io,
					    .batch = c->batch,
					    .next = plain_next,
					    .done = plain_done,
					    .arg = &plain_feed,
				    });
	for (uint8_t op = 0; ret == 0 && op < UL_OP_COUNT; op++)
		if (c->counted->op[op].requests)
			measure_op(c, &plain, &plain_feed, op);
	simulate_close(&plain);
	backend_close(backend);
	return ret;
}

/* What Lua has found: handlers, mistakes, what did not compile. */
static int take_findings(struct check *c)
{
	json_error_t error;
	char *text = NULL;
	int ret = script_ask(c->script, "inspect", &text);

	if (ret)
		return ret;
	c->findings = json_loads(text, 0, &error);
	if (!c->findings) {
		log_bug("ublk.inspect: %s: %s", error.text, text);
		ret = -EPROTO;
	}
	free(text);
	return ret;
}

/* The transport of one whole run: -ENODEV is its end, and another error that it stands still. */
static void serve(struct check *c)
{
	int count;

	do {
		count = simulate_round(&c->sim);
		if (c->sim.transport->shared.stop && !c->stopped)
			c->stopped = workload_result(c->workload)->issued;
	} while (count >= 0);
	c->ended = count == -ENODEV;
	c->gave_up = count == -ETIME;
	c->unanswered = sim_owed(c->sim.transport);
	c->misuses = simulate_misuses(&c->sim);
}

static void tell_kept_back(unsigned lines)
{
	if (lines)
		log_info("the script has logged %u more line%s, shown with -v", lines,
			 lines == 1 ? "" : "s");
}

/* What the script counts is counted up to here: the report comes before costs are measured. */
static int run(struct check *c)
{
	int ret = open_workload(c);

	if (ret == -ENOMEM)
		log_error("no memory for a queue of depth %u", c->dev.depth);
	if (ret == 0)
		ret = script_ask(c->script, "watch", NULL);
	if (ret)
		return ret;
	serve(c);
	*c->counted = *c->stats;
	c->full = script_was_full(c->script);
	tell_kept_back(log_set_limit(UINT_MAX));
	ret = take_findings(c);
	if (ret == 0 && c->ended && !c->cli->debug) /* which is what would be measured */
		ret = measure_costs(c);
	return ret;
}

static void close_all(struct check *c)
{
	script_close(c->script);
	simulate_close(&c->sim);
	backend_close(c->backend);
	workload_close(c->workload);
	json_decref(c->findings);
	free(c->reached);
	free(c->counted);
	free(c->stats);
}

/* While the script runs, what it prints joins the messages: stdout is for the report. */
static int run_quietly(struct check *c)
{
	int out = dup(STDOUT_FILENO);
	int ret;

	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (!c->cli->verbose)
		log_set_limit(LOG_LINES);
	ret = open_script(c);
	if (ret == 0)
		ret = run(c);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	return ret;
}

static bool show(const struct check *c)
{
	json_t *root = check_json(c);
	bool good = root && check_good(root);

	if (!root)
		log_error("out of memory");
	else if (c->cli->json)
		json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
	else
		check_report(root, c->cli->verbose);
	if (c->cli->json)
		putchar('\n');
	json_decref(root);
	return good;
}

int check_run(const struct cli *cli)
{
	struct check *c = calloc(1, sizeof(*c));
	bool good = false;
	int ret = -ENOMEM;

	if (!c)
		return EXIT_FAILED;
	c->cli = cli;
	for (unsigned op = 0; op < UL_OP_COUNT; op++)
		c->op[op].cost = (struct cost){ -1, -1 };
	c->stats = calloc(1, sizeof(*c->stats));
	c->counted = calloc(1, sizeof(*c->counted));
	if (c->stats && c->counted)
		ret = run_quietly(c);
	if (ret == 0)
		good = show(c);
	close_all(c);
	free(c);
	return ret == -EINVAL ? EXIT_USAGE : good && !log_bugs() ? EXIT_OK : EXIT_FAILED;
}
