/* SPDX-License-Identifier: MIT */
#include "cost.h"

#include <stdlib.h>
#include <time.h>

enum {
	SAMPLES = 51,
	SAMPLE_REQUESTS = 256,
	WARM_UP = 4000,	       /* requests: LuaJIT compiles meanwhile */
	IDLE_ROUNDS = 1000,    /* that brought no answer: everything waits for something */
	MOST_NS = 20 * 1000000 /* for one op, however slow its handler is */
};

void cost_next(struct cost_feed *feed, struct ul_req *req)
{
	bool placed = feed->op != UL_OP_FLUSH;
	uint64_t place = (uint64_t)(ul_rng_next(&feed->rng) * (double)feed->places);

	req->op = feed->op;
	req->flags = 0;
	req->length = placed ? feed->length : 0;
	req->sector = placed ? (double)(place * (feed->length >> 9)) : 0;
}

void cost_done(struct cost_feed *feed)
{
	feed->served++;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Serve about `requests`. Returns ns for each, or -1 when they are not answered. */
static double serve(struct simulation *s, struct cost_feed *feed, unsigned requests, uint64_t until)
{
	uint64_t start = now(), first = feed->served, last = first;
	unsigned idle = 0;

	while (feed->served - first < requests) {
		if (simulate_round(s) < 0)
			return -1;
		idle = feed->served == last ? idle + 1 : 0;
		last = feed->served;
		if (idle == IDLE_ROUNDS)
			return -1;
		if (last > first && now() >= until)
			break;
	}
	return (double)(now() - start) / (double)(feed->served - first);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return count && values[0] >= 0 ? values[count / 2] : -1;
}

struct cost cost_measure(struct simulation *scripted, struct cost_feed *scripted_feed,
			 struct simulation *plain, struct cost_feed *plain_feed)
{
	double script_ns[SAMPLES], c_ns[SAMPLES];
	uint64_t until = now() + MOST_NS;
	unsigned n = 0;

	serve(plain, plain_feed, WARM_UP, until);
	if (scripted)
		serve(scripted, scripted_feed, WARM_UP, until);
	do {
		script_ns[n] = -1;
		if (scripted)
			script_ns[n] = serve(scripted, scripted_feed, SAMPLE_REQUESTS, until);
		c_ns[n] = serve(plain, plain_feed, SAMPLE_REQUESTS, UINT64_MAX);
		n++;
	} while (n < SAMPLES && now() < until);
	return (struct cost){ median(script_ns, n), median(c_ns, n) };
}
