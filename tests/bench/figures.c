/* SPDX-License-Identifier: MIT */
/*
 * Spreads, the table, and the limits that a script engine of this program is
 * held to. Limits are of differences and ratios within one run, as a machine's
 * own speed says nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct spread {
	double min, low, median, high, max; /* low and high: between them is the middle half */
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(const double *values)
{
	unsigned n = options.rounds;
	double v[MAX_ROUNDS];

	memcpy(v, values, n * sizeof(*v));
	qsort(v, n, sizeof(*v), compare);
	return (struct spread){ v[0], v[n / 4], v[n / 2], v[n - 1 - n / 4], v[n - 1] };
}

/* Paired with `base` of the same round, so that a slow moment weighs on both. */
static struct spread spread_over(const struct bench_case *c, const struct bench_case *base)
{
	double over[MAX_ROUNDS];

	for (unsigned r = 0; r < options.rounds; r++)
		over[r] = c->ns[r] - base->ns[r];
	return spread_of(over);
}

static struct spread spread_ratio(const struct bench_case *c, const struct bench_case *base)
{
	double ratio[MAX_ROUNDS];

	for (unsigned r = 0; r < options.rounds; r++)
		ratio[r] = c->ns[r] / base->ns[r];
	return spread_of(ratio);
}

static const struct bench_case *find(const struct bench_case *cases, unsigned batch,
				     const char *name)
{
	const struct bench_case *c = &cases[(size_t)batch * SUBJECTS];

	while (strcmp(c->subject->name, name) != 0)
		c++;
	return c;
}

/* What is measured of a subject at a batch size. */
enum reading {
	WHOLE,	    /* ns for a request */
	OVER,	    /* the same, less that of c-null */
	TIMES,	    /* as often as of one layer */
	TIMES_OVER, /* the same, c-null taken from both */
	NOTHING,    /* as often as of c-null; the middle half meets that of c-null itself */
};

static const struct limit {
	const char *name;
	enum reading reading;
	double limit; /* 0 for NOTHING */
	unsigned first_batch, last_batch;
} limits[] = {
	{ "pass", OVER, 110, 1, 1 },	   { "pass", OVER, 25, 16, 64 },
	{ "layers5", TIMES, 2.5, 1, 64 },  { "layers5", TIMES_OVER, 2.5, 1, 64 },
	{ "sleep", WHOLE, 600, 1, 64 },	   { "forward", WHOLE, 600, 1, 64 },
	{ "other-op", NOTHING, 0, 1, 64 }, { "beside", NOTHING, 0, 1, 64 },
};

static const char *const reading_names[] = {
	[WHOLE] = "ns for a request",
	[OVER] = "ns over c-null",
	[TIMES] = "x layer",
	[TIMES_OVER] = "x layer, both over c-null",
	[NOTHING] = "x c-null, as c-null-2 is",
};

struct outcome {
	struct spread measured;
	bool holds;
};

static struct outcome judge(const struct limit *limit, const struct bench_case *cases,
			    unsigned batch)
{
	const struct bench_case *c = find(cases, batch, limit->name);
	const struct bench_case *base = find(cases, batch, "c-null");
	const struct bench_case *layer = find(cases, batch, "layer");
	struct outcome o = { 0 };

	switch (limit->reading) {
	case WHOLE:
		o.measured = spread_of(c->ns);
		break;
	case OVER:
		o.measured = spread_over(c, base);
		break;
	case TIMES:
		o.measured = spread_ratio(c, layer);
		break;
	case TIMES_OVER: /* of medians: a difference near 0 makes no ratio */
		o.measured.median = spread_over(c, base).median / spread_over(layer, base).median;
		o.measured.low = o.measured.high = o.measured.median;
		break;
	case NOTHING:
		o.measured = spread_ratio(c, base);
		layer = find(cases, batch, "c-null-2");
		o.holds = o.measured.low <= spread_ratio(layer, base).high;
		return o;
	}
	o.holds = o.measured.median <= limit->limit;
	return o;
}

static void
for_each_limit(const struct bench_case *cases,
	       void (*use)(const struct limit *, unsigned batch, struct outcome, void *), void *arg)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		for (unsigned b = 0; b < BATCHES; b++)
			if (batches[b] >= limits[i].first_batch &&
			    batches[b] <= limits[i].last_batch)
				use(&limits[i], batches[b], judge(&limits[i], cases, b), arg);
}

static void print_limit(const struct limit *limit, unsigned batch, struct outcome o, void *arg)
{
	char most[16] = "";

	if (limit->limit > 0)
		snprintf(most, sizeof(most), "%g", limit->limit);
	printf("%-9s %-25s %5u %6s %8.2f %8.2f %8.2f  %s\n", limit->name,
	       reading_names[limit->reading], batch, most, o.measured.low, o.measured.median,
	       o.measured.high, o.holds ? "holds" : "misses");
}

static void limit_json(const struct limit *limit, unsigned batch, struct outcome o, void *list)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:b}", "name",
					      limit->name, "reading", reading_names[limit->reading],
					      "batch", (int)batch, "limit", limit->limit, "low",
					      o.measured.low, "median", o.measured.median, "high",
					      o.measured.high, "holds", (int)o.holds));
}

static void print_case(const struct bench_case *c, const struct bench_case *base)
{
	struct spread ns = spread_of(c->ns);

	printf("%-9s %-22s %5u %8.1f %8.1f %8.1f", c->subject->name, c->subject->what, c->batch,
	       ns.min, ns.median, ns.max);
	if (c != base && !options.only)
		printf(" %8.2f %+11.1f", spread_ratio(c, base).median, spread_over(c, base).median);
	putchar('\n');
}

void figures_print(const struct bench_case *cases)
{
	printf("%-9s %-22s %5s %8s %8s %8s %8s %11s\n", "", "", "batch", "min", "median", "max",
	       "x c-null", "over c-null");
	for (unsigned i = 0; i < CASES; i++) {
		if (selected(cases[i].subject))
			print_case(&cases[i], &cases[i - i % SUBJECTS]);
		if (i % SUBJECTS == SUBJECTS - 1 && !options.only)
			putchar('\n');
	}
	if (options.only)
		return;
	printf("%-9s %-25s %5s %6s %8s %8s %8s\n", "limit", "", "batch", "most", "from", "median",
	       "to");
	for_each_limit(cases, print_limit, NULL);
	putchar('\n');
}

static json_t *spread_json(struct spread s)
{
	return json_pack("{s:f, s:f, s:f}", "min", s.min, "median", s.median, "max", s.max);
}

static json_t *case_json(const struct bench_case *c, const struct bench_case *base)
{
	return json_pack("{s:s, s:i, s:o, s:o}", "name", c->subject->name, "batch", (int)c->batch,
			 "ns", spread_json(spread_of(c->ns)), "over_c_null",
			 spread_json(spread_over(c, base)));
}

void figures_json(const struct bench_case *cases, json_t *root)
{
	json_t *list = json_array(), *judged = json_array();

	for (unsigned i = 0; i < CASES; i++)
		if (selected(cases[i].subject))
			json_array_append_new(list, case_json(&cases[i], &cases[i - i % SUBJECTS]));
	if (!options.only)
		for_each_limit(cases, limit_json, judged);
	json_object_set_new(root, "cases", list);
	json_object_set_new(root, "limits", judged);
}
