/* SPDX-License-Identifier: MIT */
/*
 * What a request costs in this program, natively and without a kernel: reads
 * from core/sim.c go through dispatch_batch as in worker.c's serve(), once for
 * each script below at each batch size. The null backend does nothing, so the
 * C null device (no handlers) is the floor; what a script adds is the paired
 * difference to it in the same round. Run from the top of the tree.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "dispatch.h"
#include "sim.h"

enum {
	DEPTH = 128,
	MAX_IO = 4096,
	STRIDE = 8 * 7919, /* sectors */
	MAX_ROUNDS = 999,
	WARM_UP = 100000, /* requests: far more than LuaJIT needs to compile the loop */
	RETRIES = 20,	  /* of a sample during which the CPU was taken away */
	SCRIPTED = 1,
	PLAIN = 0,
};

static const unsigned batches[] = { 1, 4, 16, 64 };

static const struct subject {
	const char *name;
	const char *what;
	const char *path;
	char *args[1]; /* its key=value word, or none */
	bool scripted; /* do the reads reach Lua? */
} subjects[] = {
	/* The first is what the others are compared with. */
	{ "c-null", "no handler", "tests/bench/none.lua", {}, PLAIN },
	{ "other-op", "write handler, reads", "tests/bench/other.lua", {}, PLAIN },
	{ "pass", "read = function() end", "tests/bench/pass.lua", {}, SCRIPTED },
	{ "range", "bad sectors", "tests/bench/range.lua", {}, SCRIPTED },
	{ "layer", "one layer", "tests/bench/layers.lua", { "n=1" }, SCRIPTED },
	{ "layers5", "five layers", "tests/bench/layers.lua", { "n=5" }, SCRIPTED },
	{ "sleep", "ublk.sleep(0)", "tests/bench/parked.lua", { "how=sleep" }, SCRIPTED },
	{ "forward", "req:forward()", "tests/bench/parked.lua", { "how=forward" }, SCRIPTED },
	{ "faulty", "faulty.lua rate=1%", "examples/faulty.lua", { "op=read" }, SCRIPTED },
};

enum {
	BATCHES = sizeof(batches) / sizeof(batches[0]),
	SUBJECTS = sizeof(subjects) / sizeof(subjects[0]),
	CASES = BATCHES * SUBJECTS,
};

/* One subject at one batch size, with all of its own; aligned, to lie alike in the cache. */
struct bench_case {
	_Alignas(4096) const struct subject *subject;
	unsigned batch;
	uint64_t next_sector;
	atomic_int stage;
	struct ul_device device;
	struct script *script;
	struct backend *backend;
	struct transport *transport;
	struct stats stats;
	struct dispatch dispatch;
	unsigned requests;     /* of one sample */
	double ns[MAX_ROUNDS]; /* for a request */
};

struct spread {
	double min, median, max;
};

static struct options {
	unsigned rounds;
	unsigned sample_us; /* short against a time slice, so that most are whole */
	int cpu;	    /* -1: the last one that we may use */
	const char *json;
	const char *only; /* one subject: for a profiler */
} options = { .rounds = 101, .sample_us = 1000, .cpu = -1 };

static unsigned retries;

static bool next_read(void *arg, struct ul_req *req, uint8_t *data)
{
	struct bench_case *c = arg;

	req->op = UL_OP_READ;
	req->flags = 0;
	req->sector = (double)(c->next_sector & 0x1ffff8);
	req->length = 4096;
	c->next_sector += STRIDE; /* visits every page of the device's 1 GiB */
	return true;
}

static int case_open(struct bench_case *c, const struct subject *subject, unsigned batch)
{
	struct script_config config = {
		.path = subject->path,
		.args = subject->args,
		.arg_count = subject->args[0] != NULL,
		.seed = 1,
	};
	struct sim_config sim = {
		.depth = DEPTH,
		.max_io = MAX_IO,
		.batch = batch,
		.real_time = true,
		.next = next_read,
		.arg = c,
	};
	int ret;

	c->subject = subject;
	c->batch = batch;
	ret = script_open(&c->script, &config, &c->device);
	if (ret)
		return ret;
	c->device.backing = UL_BACKING_NULL; /* faulty.lua's memory would be measured too */
	ret = backend_open(&c->backend, &c->device);
	if (ret == 0)
		ret = sim_open(&c->transport, &sim);
	if (ret == 0)
		ret = script_attach(c->script, &c->transport->shared);
	if (ret)
		return ret;
	dispatch_open(&c->dispatch, &(struct dispatch_config){
					    .transport = c->transport,
					    .script = c->script,
					    .backend = c->backend,
					    .stats = &c->stats,
					    .device = &c->device,
					    .stage = &c->stage,
				    });
	return 0;
}

static void case_close(struct bench_case *c)
{
	if (c->transport)
		c->transport->ops->close(c->transport);
	if (c->backend)
		backend_close(c->backend);
	script_close(c->script);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The loop of worker.c's serve(), for about `requests` requests. Returns ns for each. */
static double case_run(struct bench_case *c, unsigned requests)
{
	struct transport *t = c->transport;
	uint64_t start = now();
	unsigned served = 0;
	int count;

	while (served < requests &&
	       (count = t->ops->reap(t, dispatch_deadline(&c->dispatch))) >= 0) {
		dispatch_round(&c->dispatch, (unsigned)count);
		served += (unsigned)count;
	}
	return (double)(now() - start) / served;
}

/* Did it measure what it says? A case that fails its requests would be fast. */
static int case_check(const struct bench_case *c)
{
	const struct stats_op *reads = &c->stats.op[UL_OP_READ];
	uint64_t least = c->subject->scripted ? reads->requests : 0;
	uint64_t most = c->subject->scripted ? reads->requests + DEPTH : 0; /* some wait still */

	if (sim_faults(c->transport) || reads->scripted < least || reads->scripted > most ||
	    reads->errors != reads->injected || reads->errors > reads->requests / 50) {
		fprintf(stderr, "sim_bench: %s at batch %u did not serve as it should\n",
			c->subject->name, c->batch);
		return -EPROTO;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, unsigned count)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return (struct spread){ sorted[0], sorted[count / 2], sorted[count - 1] };
}

/* Paired with `base` of the same round, so that a slow moment weighs on both. */
static struct spread spread_over(const struct bench_case *c, const struct bench_case *base)
{
	double over[MAX_ROUNDS];

	for (unsigned r = 0; r < options.rounds; r++)
		over[r] = c->ns[r] - base->ns[r];
	return spread_of(over, options.rounds);
}

static int pin(void)
{
	cpu_set_t set;

	if (options.cpu < 0) {
		if (sched_getaffinity(0, sizeof(set), &set))
			return -errno;
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				options.cpu = cpu;
	}
	CPU_ZERO(&set);
	CPU_SET(options.cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static bool selected(const struct bench_case *c)
{
	return !options.only || strcmp(options.only, c->subject->name) == 0;
}

/* Times that this thread had to leave the CPU to another one. */
static long preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

/* A sample during which others ran says nothing about us: it is taken again. */
static double sample(struct bench_case *c)
{
	double ns = 0;

	for (unsigned i = 0; i < RETRIES; i++) {
		long before = preemptions();

		ns = case_run(c, c->requests);
		if (preemptions() == before)
			break;
		retries++;
	}
	return ns;
}

/* Round by round through all cases, each round from another batch size on. */
static void measure(struct bench_case *cases)
{
	for (unsigned i = 0; i < CASES; i++) {
		case_run(&cases[i], WARM_UP);
		cases[i].requests =
			(unsigned)(options.sample_us * 1000.0 / case_run(&cases[i], WARM_UP)) + 1;
	}
	for (unsigned r = 0; r < options.rounds; r++) {
		for (unsigned i = 0; i < CASES; i++) {
			struct bench_case *c = &cases[(i + r * SUBJECTS) % CASES];

			if (selected(c))
				c->ns[r] = sample(c);
		}
	}
}

static void print_table(const struct bench_case *cases)
{
	printf("ns for a request, in %u rounds of %u us; taken again %u times when others ran\n\n",
	       options.rounds, options.sample_us, retries);
	printf("%-9s %-22s %5s %8s %8s %8s %8s %11s\n", "", "", "batch", "min", "median", "max",
	       "x c-null", "over c-null");
	for (unsigned i = 0; i < CASES; i++) {
		const struct bench_case *c = &cases[i], *base = &cases[i - i % SUBJECTS];
		struct spread ns = spread_of(c->ns, options.rounds);

		if (!selected(c))
			continue;
		printf("%-9s %-22s %5u %8.1f %8.1f %8.1f", c->subject->name, c->subject->what,
		       c->batch, ns.min, ns.median, ns.max);
		if (c != base && !options.only)
			printf(" %8.2f %+11.1f",
			       ns.median / spread_of(base->ns, options.rounds).median,
			       spread_over(c, base).median);
		putchar('\n');
		if (i % SUBJECTS == SUBJECTS - 1 && !options.only)
			putchar('\n');
	}
}

static json_t *spread_json(struct spread s)
{
	return json_pack("{s:f, s:f, s:f}", "min", s.min, "median", s.median, "max", s.max);
}

static json_t *case_json(const struct bench_case *c, const struct bench_case *base)
{
	return json_pack("{s:s, s:i, s:o, s:o}", "name", c->subject->name, "batch", (int)c->batch,
			 "ns", spread_json(spread_of(c->ns, options.rounds)), "over_c_null",
			 spread_json(spread_over(c, base)));
}

static int write_json(const struct bench_case *cases)
{
	json_t *list = json_array();
	json_t *root;
	int ret;

	for (unsigned i = 0; i < CASES; i++) {
		const struct bench_case *c = &cases[i], *base = &cases[i - i % SUBJECTS];

		if (!selected(c))
			continue;
		json_array_append_new(list, case_json(c, base));
	}
	root = json_pack("{s:i, s:i, s:i, s:i, s:o}", "rounds", (int)options.rounds, "sample_us",
			 (int)options.sample_us, "cpu", options.cpu, "retries", (int)retries,
			 "cases", list);
	ret = root ? json_dump_file(root, options.json, JSON_INDENT(2)) : -1;
	json_decref(root);
	if (ret)
		fprintf(stderr, "sim_bench: cannot write %s\n", options.json);
	return ret;
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || value < least || value > most) {
		fprintf(stderr, "sim_bench: needs a number from %u to %u, not '%s'\n", least, most,
			text);
		exit(2);
	}
	return (unsigned)value;
}

static void parse(int argc, char **argv)
{
	static const struct option rows[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "sample", required_argument, NULL, 's' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "json", required_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", rows, NULL)) >= 0) {
		switch (option) {
		case 'r':
			options.rounds = number(optarg, 1, MAX_ROUNDS);
			break;
		case 's':
			options.sample_us = number(optarg, 10, 1000000);
			break;
		case 'c':
			options.cpu = (int)number(optarg, 0, CPU_SETSIZE - 1);
			break;
		case 'j':
			options.json = optarg;
			break;
		case 'o':
			options.only = optarg;
			break;
		default:
			printf("usage: sim_bench [--rounds N] [--sample US] [--cpu N] "
			       "[--json FILE] [--only NAME]\n");
			exit(option == 'h' ? 0 : 2);
		}
	}
}

int main(int argc, char **argv)
{
	static struct bench_case cases[CASES];
	int ret;

	parse(argc, argv);
	ret = pin();
	if (ret) {
		fprintf(stderr, "sim_bench: CPU %d: %s\n", options.cpu, strerror(-ret));
		return 1;
	}
	for (unsigned i = 0; i < CASES && ret == 0; i++)
		ret = case_open(&cases[i], &subjects[i % SUBJECTS], batches[i / SUBJECTS]);
	if (ret == 0)
		measure(cases);
	for (unsigned i = 0; i < CASES && ret == 0; i++)
		ret = case_check(&cases[i]);
	if (ret == 0)
		print_table(cases);
	if (ret == 0 && options.json)
		ret = write_json(cases);
	for (unsigned i = 0; i < CASES; i++)
		case_close(&cases[i]);
	return ret ? 1 : 0;
}
