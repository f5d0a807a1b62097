/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <math.h>
#include <string.h>

#include "stats.h"

enum { OCTAVES = 40, HEIGHT = 6 };

/* Member of an object in an answer by its path; 0 where there is none. */
static double number(const json_t *answer, const char *part, const char *name, const char *member)
{
	const json_t *total = json_object_get(json_object_get(answer, "stats"), "total");

	return json_number_value(
		json_object_get(json_object_get(json_object_get(total, part), name), member));
}

static double grown(const struct watch *w, const char *part, const char *name, const char *member)
{
	return number(w->now, part, name, member) - number(w->before, part, name, member);
}

static double seconds(const struct watch *w)
{
	double s = json_number_value(json_object_get(w->now, "uptime")) -
		   json_number_value(json_object_get(w->before, "uptime"));

	return s > 0 ? s : 1;
}

static const json_t *latencies(const json_t *answer, const char *op)
{
	return json_object_get(json_object_get(answer, "latency"), op);
}

/* What bucket `from` held in an earlier answer; both lists are in order, `at` goes along. */
static double held_before(const json_t *list, size_t *at, double from)
{
	const json_t *bucket;

	while ((bucket = json_array_get(list, *at))) {
		double first = json_number_value(json_array_get(bucket, 0));

		if (first > from)
			return 0;
		++*at;
		if (first == from)
			return json_number_value(json_array_get(bucket, 1));
	}
	return 0;
}

typedef void visit_bucket(void *arg, double from, double count);

/* The buckets of what came between the two answers. */
static void each_bucket(const struct watch *w, const char *op, visit_bucket *visit, void *arg)
{
	const json_t *now = latencies(w->now, op), *before = latencies(w->before, op), *bucket;
	size_t i, at = 0;

	json_array_foreach(now, i, bucket) {
		double from = json_number_value(json_array_get(bucket, 0));
		double count = json_number_value(json_array_get(bucket, 1)) -
			       held_before(before, &at, from);

		if (count > 0)
			visit(arg, from, count);
	}
}

struct quantile {
	double wanted, seen, value;
};

static void count_up(void *arg, double from, double count)
{
	*(double *)arg += count;
}

static void find_quantile(void *arg, double from, double count)
{
	struct quantile *q = arg;

	if (q->seen < q->wanted)
		q->value = from;
	q->seen += count;
}

static void print_quantile(FILE *to, const struct watch *w, const char *op, double share)
{
	struct quantile q = { 0 };
	char text[STATS_TEXT] = "-";
	double total = 0;

	each_bucket(w, op, count_up, &total);
	q.wanted = total * share;
	each_bucket(w, op, find_quantile, &q);
	if (total > 0)
		stats_value_text(text, q.value, UL_UNIT_NS);
	fprintf(to, " %9s", text);
}

static void print_ops(FILE *to, const struct watch *w)
{
	const json_t *total = json_object_get(json_object_get(w->now, "stats"), "total");
	const char *op;
	json_t *counts;

	fprintf(to, "%-14s %10s %10s %9s %9s %9s %9s %9s\n", "op", "per s", "bytes/s", "errors",
		"injected", "p50", "p99", "p99.9");
	json_object_foreach(json_object_get(total, "ops"), op, counts) {
		char bytes[STATS_TEXT];

		stats_value_text(bytes, floor(grown(w, "ops", op, "bytes") / seconds(w)),
				 UL_UNIT_BYTES);
		fprintf(to, "%-14s %10.0f %10s %9.0f %9.0f", op,
			grown(w, "ops", op, "requests") / seconds(w), bytes,
			number(w->now, "ops", op, "errors"), number(w->now, "ops", op, "injected"));
		print_quantile(to, w, op, 0.5);
		print_quantile(to, w, op, 0.99);
		print_quantile(to, w, op, 0.999);
		fputc('\n', to);
	}
}

static void print_layers(FILE *to, const struct watch *w)
{
	const json_t *total = json_object_get(json_object_get(w->now, "stats"), "total");
	const json_t *layers = json_object_get(total, "layers");
	const char *name;
	json_t *counts;

	if (!json_object_size(layers))
		return;
	fprintf(to, "\n%-14s %10s %10s %9s\n", "layer", "seen/s", "hits/s", "hits");
	json_object_foreach((json_t *)layers, name, counts)
		fprintf(to, "%-14s %10.0f %10.0f %9.0f\n", name,
			grown(w, "layers", name, "seen") / seconds(w),
			grown(w, "layers", name, "hit") / seconds(w),
			number(w->now, "layers", name, "hit"));
}

struct octaves {
	double count[OCTAVES];
};

static void add_octave(void *arg, double from, double count)
{
	int octave = from < 1 ? 0 : (int)log2(from);

	((struct octaves *)arg)->count[octave < OCTAVES ? octave : OCTAVES - 1] += count;
}

/* One character of column `value` (0 to 1 of HEIGHT lines) in the line `above` the lowest. */
static const char *block(double value, int above)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	int eighths = (int)ceil(value * HEIGHT * 8) - above * 8;

	return blocks[eighths < 0 ? 0 : eighths > 8 ? 8 : eighths];
}

/* Each column is twice as long as the one before it. */
static void print_histogram(FILE *to, const struct watch *w)
{
	const json_t *ops = json_object_get(w->now, "latency");
	struct octaves all = { 0 };
	int first = OCTAVES, end = 0;
	double most = 0;
	const char *op;
	json_t *list;
	char from[STATS_TEXT], until[STATS_TEXT];

	json_object_foreach((json_t *)ops, op, list)
		each_bucket(w, op, add_octave, &all);
	for (int i = 0; i < OCTAVES; i++) {
		if (all.count[i] <= 0)
			continue;
		first = first < i ? first : i;
		end = i + 1;
		most = all.count[i] > most ? all.count[i] : most;
	}
	if (first == OCTAVES)
		return;
	fputs("\nlatency, all ops\n", to);
	for (int above = HEIGHT - 1; above >= 0; above--) {
		fputs("  ", to);
		for (int i = first; i < end; i++) {
			const char *text = block(all.count[i] / most, above);

			fprintf(to, "%s%s%s ", text, text, text);
		}
		fputc('\n', to);
	}
	fprintf(to, "  %s .. %s, each column twice the one before\n",
		stats_value_text(from, pow(2, first), UL_UNIT_NS),
		stats_value_text(until, pow(2, end), UL_UNIT_NS));
}

static void print_count(FILE *to, const char *what, long count)
{
	if (count < 0)
		fprintf(to, "   %s ?", what);
	else
		fprintf(to, "   %s %ld", what, count);
}

void watch_print(FILE *to, const struct watch *w)
{
	const json_t *stats = json_object_get(w->now, "stats");
	const char *device = json_string_value(json_object_get(stats, "device"));
	const char *script = json_string_value(json_object_get(stats, "script"));
	const char *slash = script ? strrchr(script, '/') : NULL;

	fprintf(to, "%s  %s  up %.0f s", device ? device : "?",
		slash	 ? slash + 1
		: script ? script
			 : "?",
		json_number_value(json_object_get(w->now, "uptime")));
	print_count(to, "in flight", w->in_flight);
	print_count(to, "held", w->held);
	fputs("\n\n", to);
	print_ops(to, w);
	print_layers(to, w);
	print_histogram(to, w);
}
