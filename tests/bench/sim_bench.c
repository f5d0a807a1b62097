/* SPDX-License-Identifier: MIT */
/*
 * What a request costs in this program, natively and without a kernel: reads
 * from core/sim.c go through dispatch_round as in worker.c's serve(), once for
 * each subject of cases.c at each batch size. The null backend does nothing, so
 * the C null device (no handlers) is the floor; what a script adds is the
 * paired difference to it in the same round. Run from the top of the tree.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum {
	WARM_UP = 100000, /* requests: far more than LuaJIT needs to compile the loop */
	RETRIES = 20,	  /* of a sample during which the CPU was taken away */
};

struct options options = { .rounds = 101, .sample_us = 1000, .cpu = -1 };

static unsigned retries;

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

			if (selected(c->subject))
				c->ns[r] = sample(c);
		}
	}
}

static int measure_all(struct bench_case *cases)
{
	int ret = 0;

	for (unsigned i = 0; i < CASES && ret == 0; i++)
		ret = case_open(&cases[i], &subjects[i % SUBJECTS], batches[i / SUBJECTS]);
	if (ret == 0)
		measure(cases);
	for (unsigned i = 0; i < CASES && ret == 0; i++)
		ret = case_check(&cases[i]);
	return ret;
}

static int write_json(json_t *root)
{
	int ret;

	json_object_update_new(root,
			       json_pack("{s:i, s:i, s:i, s:i}", "rounds", (int)options.rounds,
					 "sample_us", (int)options.sample_us, "cpu", options.cpu,
					 "retries", (int)retries));
	ret = json_dump_file(root, options.json, JSON_INDENT(2));
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

static void print_head(void)
{
	printf("ns for a request, in %u rounds of %u us; taken again %u times when others ran\n\n",
	       options.rounds, options.sample_us, retries);
}

int main(int argc, char **argv)
{
	static struct bench_case cases[CASES];
	json_t *root = json_object();
	int ret;

	parse(argc, argv);
	ret = pin();
	if (ret) {
		fprintf(stderr, "sim_bench: CPU %d: %s\n", options.cpu, strerror(-ret));
		return 1;
	}
	ret = measure_all(cases);
	if (ret == 0) {
		print_head();
		figures_print(cases);
		figures_json(cases, root);
		ret = rounds_measure(root);
	}
	if (ret == 0 && options.json)
		ret = write_json(root);
	for (unsigned i = 0; i < CASES; i++)
		case_close(&cases[i]);
	json_decref(root);
	return ret ? 1 : 0;
}
