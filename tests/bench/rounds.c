/* SPDX-License-Identifier: MIT */
/*
 * Does garbage collection hold up a queue? Rounds of one batch each, one by
 * one: their median, their 99.9th percentile and the longest, for a handler
 * without garbage, with it, and with much beside it that stays. A long round
 * during which the CPU was taken away is no round of ours.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum {
	BATCH = 16,
	ROUNDS = 300000,
	WARM = 20000,
	SUSPECT_NS = 5000, /* only of a round so long it is asked whether it was interrupted */
};

static const struct subject round_subjects[] = {
	{ "pass", "no garbage", "tests/bench/pass.lua", {}, true },
	{ "garbage", "a table for each", "tests/bench/garbage.lua", {}, true },
	{ "live", "and 20 MB that stay", "tests/bench/garbage.lua", { "live=20M" }, true },
	{ "one table",
	  "and 20 MB in one",
	  "tests/bench/garbage.lua",
	  { "live=20M", "shape=one" },
	  true },
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Returns how many rounds of `ns` are whole. */
static unsigned take(struct bench_case *c, uint32_t *ns)
{
	long before = preemptions();
	unsigned whole = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t took = case_round(c);

		if (took > SUSPECT_NS) {
			long after = preemptions();
			bool interrupted = after != before;

			before = after;
			if (interrupted)
				continue;
		}
		ns[whole++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
	}
	return whole;
}

static json_t *show(const struct subject *subject, uint32_t *ns, unsigned count)
{
	double median, most, p999, p9999;

	qsort(ns, count, sizeof(*ns), compare);
	median = ns[count / 2] / 1e3;
	p999 = ns[count - 1 - count / 1000] / 1e3;
	p9999 = ns[count - 1 - count / 10000] / 1e3;
	most = ns[count - 1] / 1e3;
	printf("%-9s %-22s %8.2f %8.2f %8.2f %8.2f %11u\n", subject->name, subject->what, median,
	       p999, p9999, most, ROUNDS - count);
	return json_pack("{s:s, s:f, s:f, s:f, s:f, s:i}", "name", subject->name, "median_us",
			 median, "p999_us", p999, "p9999_us", p9999, "max_us", most, "rounds",
			 (int)count);
}

static int measure(const struct subject *subject, uint32_t *ns, json_t *list)
{
	struct bench_case *c = aligned_alloc(4096, sizeof(*c));
	int ret;

	if (!c)
		return -1;
	*c = (struct bench_case){ .subject = subject };
	ret = case_open(c, subject, BATCH);
	if (ret == 0) {
		for (unsigned i = 0; i < WARM; i++)
			case_round(c);
		json_array_append_new(list, show(subject, ns, take(c, ns)));
		ret = case_check(c);
	}
	case_close(c);
	free(c);
	return ret;
}

int rounds_measure(json_t *root)
{
	uint32_t *ns = calloc(ROUNDS, sizeof(*ns));
	json_t *list = json_array();
	int ret = ns ? 0 : -1;

	printf("us for a round of %u requests, of %u rounds\n\n", BATCH, ROUNDS);
	printf("%-9s %-22s %8s %8s %8s %8s %11s\n", "", "", "median", "p99.9", "p99.99", "max",
	       "interrupted");
	for (size_t i = 0; i < sizeof(round_subjects) / sizeof(round_subjects[0]) && ret == 0; i++)
		if (selected(&round_subjects[i]))
			ret = measure(&round_subjects[i], ns, list);
	json_object_set_new(root, "rounds_of_16", list);
	free(ns);
	return ret;
}
