/* SPDX-License-Identifier: MIT */
/*
 * Lives of devices with random stacks (stacks.lua) over the simulated
 * transport, one after another in one process, for a time or a number. Of each:
 * every request is answered once, the data is right, nothing waits at the end
 * and no task is left, there are no more coroutines than can have waited, and
 * Lua's memory does not grow after the first quarter. Over all: the process
 * does not grow. A seed repeats its life; some are lived twice to see that.
 * Run from the top of the tree. Says what is wrong and with which seed, and
 * then exits with 1.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "simulate.h"
#include "workload.h"

enum {
	QUARTERS = 4,
	ASK = UL_FLAG_SWAP, /* as stacks.lua has them */
	END = UL_FLAG_META,
	LONG_EVERY = 50, /* lives, one is LONG times as long */
	TWICE_EVERY = 8, /* lives, one is lived twice */
	LONG = 30,
	WARM = 20, /* lives, after which the process must not grow by more than this: */
	MOST_RSS = 512 << 10,
	MOST_LUA = 128 << 10, /* bytes that Lua's memory may grow by in a life */
};

struct life {
	uint64_t seed;
	unsigned requests, batch;
	unsigned quarter;	   /* requests of the workload go up to the end of this one */
	unsigned stop_at, fail_at; /* requests; 0: never */
	uint32_t ask;		   /* the flags of the next flush that asks; 0: none */
	unsigned issued, answered;
	char wrong[256];
	double memory[QUARTERS];
	struct ul_device dev;
	struct script *script;
	struct backend base, *real; /* what sees requests come to the backing, and the backing */
	bool reached[UINT16_MAX + 1];
	struct workload *workload;
	struct simulation sim;
	struct stats *stats;
};

static struct {
	unsigned lives, seconds;
	uint64_t seed;
	bool one; /* this seed alone, with its log */
} options = { .lives = 60, .seed = 1 };

static struct {
	unsigned lives;
	uint64_t requests;
	double most_lua;
	long warm_rss, rss;
} sum;

static void wrong(struct life *life, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first one counts. */
static void wrong(struct life *life, const char *format, ...)
{
	va_list args;

	if (life->wrong[0])
		return;
	va_start(args, format);
	vsnprintf(life->wrong, sizeof(life->wrong), format, args);
	va_end(args);
}

static struct life *life_of(struct backend *backend)
{
	return (struct life *)((char *)backend - offsetof(struct life, base));
}

/* A request comes itself, or as what its handler asks for in its slot. Tasks change nothing. */
static int below_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	struct life *life = life_of(backend);
	const struct ul_queue *queue = &life->sim.transport->shared;

	for (unsigned tag = 0; tag < queue->depth; tag++)
		if (req == &queue->reqs[tag] || req == &queue->slots[tag].io)
			life->reached[tag] = true;
	return life->real->ops->serve(life->real, lane, req);
}

static const struct backend_ops below_ops = { .serve = below_serve, .discard = true };

static bool next(void *arg, struct ul_req *req, uint8_t *data)
{
	struct life *life = arg;

	if (life->ask) {
		*req = (struct ul_req){ .op = UL_OP_FLUSH, .flags = life->ask, .tag = req->tag };
		life->ask = 0;
		life->issued++;
		return true;
	}
	if (workload_result(life->workload)->issued >=
		    (uint64_t)life->requests * life->quarter / QUARTERS ||
	    !workload_next(life->workload, req, data))
		return false;
	life->reached[req->tag] = false;
	life->issued++;
	if (life->issued == life->stop_at)
		life->sim.stage = STAGE_STOPPING;
	if (life->issued == life->fail_at)
		life->sim.stage = STAGE_FAIL;
	return true;
}

static void done(void *arg, const struct ul_req *req, const uint8_t *data, int32_t result)
{
	struct life *life = arg;

	life->answered++;
	if (req->op == UL_OP_FLUSH && req->flags & ASK) {
		if (result)
			wrong(life, "no answer to the flush that asks, but %d", result);
		return;
	}
	workload_done(life->workload, req->tag, data, result,
		      life->reached[req->tag] ? WORKLOAD_BACKING : WORKLOAD_SCRIPT);
}

static unsigned dice(struct ul_rng *rng, unsigned least, unsigned most)
{
	return least + (unsigned)(ul_rng_next(rng) * (most - least + 1));
}

/* What this life is like, besides the stack. */
static void plan(struct life *life)
{
	struct ul_rng rng;

	ul_rng_seed(&rng, life->seed, 1000);
	life->requests = dice(&rng, 1000, 8000);
	if (life->seed % LONG_EVERY == 0)
		life->requests *= LONG;
	life->batch = dice(&rng, 1, life->dev.depth);
	life->sim.debug = dice(&rng, 1, 4) == 1;
	if (dice(&rng, 1, 4) == 1)
		life->stop_at = dice(&rng, 1, life->requests);
	if (life->stop_at && dice(&rng, 1, 2) == 1)
		life->fail_at = dice(&rng, life->stop_at, life->requests);
}

static int open_script(struct life *life)
{
	struct script_config config = {
		.path = "tests/soak/stacks.lua",
		.seed = life->seed,
		.stats = &life->stats->script,
	};

	return script_open(&life->script, &config, &life->dev);
}

static int open_workload(struct life *life)
{
	struct workload_config config = {
		.requests = life->requests,
		.depth = life->dev.depth,
		.seed = life->seed,
		.size = (uint64_t)life->dev.size,
		.block = 512,
		.max_io = life->dev.max_io,
		.max_discard = life->dev.max_discard,
		.max_write_zeroes = life->dev.max_write_zeroes,
		.flush = true,
		.fua = true,
		.zeroed = true,
	};

	return workload_open(&life->workload, &config);
}

static int open_life(struct life *life)
{
	int ret;

	life->stats = calloc(1, sizeof(*life->stats));
	ret = life->stats ? open_script(life) : -ENOMEM;
	if (ret)
		return ret;
	plan(life);
	life->dev.backings = 1;
	life->dev.backing[0] = (struct ul_backing_spec){ .kind = UL_BACKING_MEM };
	life->base.ops = &below_ops;
	ret = backend_probe(&life->dev, "stacks.lua");
	if (ret == 0)
		ret = backend_open(&life->real, &life->dev);
	if (ret == 0)
		ret = open_workload(life);
	if (ret)
		return ret;
	return simulate_open(&life->sim, &life->dev, life->script, &life->base, life->stats,
			     &(struct sim_config){ .depth = life->dev.depth,
						   .max_io = life->dev.max_io,
						   .batch = life->batch,
						   .next = next,
						   .done = done,
						   .arg = life });
}

static void close_life(struct life *life)
{
	script_close(life->script);
	simulate_close(&life->sim);
	backend_close(life->real);
	workload_close(life->workload);
	free(life->stats);
	free(life);
}

static double told(const struct life *life, const char *name)
{
	const struct ul_script_stats *stats = &life->stats->script;

	for (uint32_t i = 0; i < stats->counters; i++)
		if (strcmp(stats->counter[i].name, name) == 0)
			return stats->counter[i].value;
	return -1;
}

/* Serve all there is to serve; then no request may wait. */
static void serve(struct life *life)
{
	const struct ul_queue *queue = &life->sim.transport->shared;
	int ret;

	while ((ret = simulate_round(&life->sim)) >= 0)
		;
	if (ret != -ENODEV)
		wrong(life, "it stood still after request %u", life->issued);
	if (life->issued != life->answered)
		wrong(life, "%u requests, %u answers", life->issued, life->answered);
	if (simulate_faults(&life->sim))
		wrong(life, "%u faults of the transport", simulate_faults(&life->sim));
	for (unsigned tag = 0; tag < queue->depth && life->sim.stage != STAGE_FAIL; tag++)
		if (queue->slots[tag].state)
			wrong(life, "slot %u still waits", tag);
}

static void ask(struct life *life, uint32_t flags)
{
	const struct ul_queue *queue = &life->sim.transport->shared;

	life->ask = ASK | flags;
	serve(life);
	if (told(life, "fibers") > queue->depth + told(life, "most tasks") + 1)
		wrong(life, "%g coroutines for %u tags and at most %g tasks", told(life, "fibers"),
		      queue->depth, told(life, "most tasks"));
	if (told(life, "names") != 0)
		wrong(life, "%g names are kept for nobody", told(life, "names"));
}

static void check_end(struct life *life)
{
	const struct ul_queue *queue = &life->sim.transport->shared;

	ask(life, END);
	for (unsigned slot = queue->depth; slot < queue->depth + queue->tasks; slot++)
		if (queue->slots[slot].state)
			wrong(life, "slot %u still waits, when all tasks have ended", slot);
	if (told(life, "free tasks") != queue->tasks)
		wrong(life, "%g slots for tasks are free, not %u", told(life, "free tasks"),
		      queue->tasks);
}

static void check_data(struct life *life)
{
	const struct workload_result *r = workload_result(life->workload);
	const struct workload_wrong *w = &r->wrong[0];

	if (told(life, "wrong") != 0)
		wrong(life, "handlers found fault %g times", told(life, "wrong"));
	if (simulate_misuses(&life->sim))
		wrong(life, "%u misuses of a buffer", simulate_misuses(&life->sim));
	if (r->wrong_results)
		wrong(life, "%llu answers are no result", (unsigned long long)r->wrong_results);
	if (r->wrong_data)
		wrong(life, "%llu sectors are wrong; request %u, sector %llu: %s, not %s",
		      (unsigned long long)r->wrong_data, w->request, (unsigned long long)w->sector,
		      w->found, w->expected);
	if (r->issued != life->requests)
		wrong(life, "%u of %u requests were sent", r->issued, life->requests);
}

static void live(struct life *life)
{
	double growth;

	for (life->quarter = 1; life->quarter <= QUARTERS; life->quarter++) {
		serve(life);
		if (life->sim.stage != STAGE_FAIL)
			ask(life, 0);
		life->memory[life->quarter - 1] = told(life, "memory");
	}
	if (life->sim.stage != STAGE_FAIL)
		check_end(life);
	check_data(life);
	growth = life->memory[QUARTERS - 1] - life->memory[0];
	if (life->fail_at == 0 && growth > MOST_LUA)
		wrong(life, "Lua's memory grew from %.0f to %.0f, %.0f, %.0f bytes",
		      life->memory[0], life->memory[1], life->memory[2], life->memory[3]);
	if (life->fail_at == 0 && growth > sum.most_lua)
		sum.most_lua = growth;
	sum.requests += life->requests;
}

/* Returns whether all was well. The digest is over all results in their order. */
static bool live_seed(uint64_t seed, uint64_t *digest)
{
	struct life *life = calloc(1, sizeof(*life));
	bool well;
	int ret;

	if (!life)
		return false;
	life->seed = seed;
	ret = open_life(life);
	if (ret)
		wrong(life, "cannot begin: %s", strerror(-ret));
	else
		live(life);
	well = !life->wrong[0];
	if (!well)
		printf("seed %llu: %s\n", (unsigned long long)seed, life->wrong);
	*digest = life->workload ? workload_result(life->workload)->digest : 0;
	close_life(life);
	sum.lives++;
	return well;
}

static long resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, pages = 0;

	malloc_trim(0);
	if (file && fscanf(file, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (file)
		fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

/* A sanitizer keeps what is freed; it looks for leaks itself. */
static bool check_growth(void)
{
	sum.rss = resident();
	if (sum.lives <= WARM && sum.rss > sum.warm_rss)
		sum.warm_rss = sum.rss;
#ifdef __SANITIZE_ADDRESS__
	return true;
#endif
	if (sum.rss <= sum.warm_rss + MOST_RSS)
		return true;
	printf("after %u lives the process has %ld KB, after %d it had %ld KB\n", sum.lives,
	       sum.rss >> 10, WARM, sum.warm_rss >> 10);
	return false;
}

static bool live_next(uint64_t seed)
{
	uint64_t digest, again;
	bool well = live_seed(seed, &digest);

	if (well && seed % TWICE_EVERY == 0) {
		well = live_seed(seed, &again);
		if (well && digest != again) {
			printf("seed %llu: lived twice, it was another life\n",
			       (unsigned long long)seed);
			well = false;
		}
	}
	return well && check_growth();
}

static void parse(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "n:t:s:o:")) >= 0) {
		unsigned long long value = strtoull(optarg ? optarg : "", NULL, 10);

		switch (option) {
		case 'n':
			options.lives = (unsigned)value;
			break;
		case 't':
			options.seconds = (unsigned)value;
			break;
		case 'o':
			options.one = true; /* fall through */
		case 's':
			options.seed = value;
			break;
		default:
			puts("usage: soak_stacks [-n LIVES | -t SECONDS] [-s SEED] | -o SEED");
			exit(2);
		}
	}
}

static bool go_on(time_t begin)
{
	if (options.seconds)
		return time(NULL) - begin < (time_t)options.seconds;
	return sum.lives < options.lives;
}

int main(int argc, char **argv)
{
	time_t begin = time(NULL);
	bool well = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv);
	if (options.one)
		return live_next(options.seed) ? 0 : 1;
	log_set_level(-1); /* the scripts' mistakes are meant */
	for (uint64_t seed = options.seed; well && go_on(begin); seed++)
		well = live_next(seed);
	printf("%u lives from seed %llu, %llu requests, %ld s; Lua grew by %.0f KB at most, the "
	       "process from %ld to %ld KB\n",
	       sum.lives, (unsigned long long)options.seed, (unsigned long long)sum.requests,
	       (long)(time(NULL) - begin), sum.most_lua / 1024, sum.warm_rss >> 10, sum.rss >> 10);
	return well ? 0 : 1;
}
