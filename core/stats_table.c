/* SPDX-License-Identifier: MIT */
/* The totals of core/stats.h for people: a table of what has happened, without what has not. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "log.h"
#include "stats.h"

enum { NAME_WIDTH = 14 };

/* Columns that a text takes: UTF-8 continues a character with 10xxxxxx. */
static int columns(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void print_name(const char *name, int width)
{
	char text[UL_NAME];

	strncpy(text, name, UL_NAME - 1);
	text[UL_NAME - 1] = '\0';
	fprintf(stderr, "%s%*s", text, width - columns(text), "");
}

/* Three digits that say something, and a unit: 850ns, 12.3us, 4.06ms, 1.50K, 64K. */
static void scaled(char *text, double value, double step, const char *const *units, unsigned count)
{
	unsigned i = 0;

	while (i + 1 < count && value >= step * (1 - 0.0005)) {
		value /= step;
		i++;
	}
	if (i == 0 || value >= 99.95 || (step == 1024 && value == floor(value)))
		snprintf(text, STATS_TEXT, "%.0f%s", value, units[i]);
	else
		snprintf(text, STATS_TEXT, "%.*f%s", value < 9.995 ? 2 : 1, value, units[i]);
}

const char *stats_value_text(char *text, double value, int32_t unit)
{
	static const char *const times[] = { "ns", "us", "ms", "s" };
	static const char *const sizes[] = { "", "K", "M", "G", "T", "P" };

	if (unit == UL_UNIT_NS)
		scaled(text, value, 1000, times, 4);
	else if (unit == UL_UNIT_BYTES)
		scaled(text, value, 1024, sizes, 6);
	else
		snprintf(text, STATS_TEXT, "%.15g", value);
	return text;
}

static void print_values(const struct ul_histogram *h, int32_t unit)
{
	char p50[STATS_TEXT] = "-", p99[STATS_TEXT] = "-", max[STATS_TEXT] = "-";

	if (h->count > 0) {
		stats_value_text(p50, histogram_quantile(h, 0.5), unit);
		stats_value_text(p99, histogram_quantile(h, 0.99), unit);
		stats_value_text(max, h->max, unit);
	}
	fprintf(stderr, " %9s %9s %9s\n", p50, p99, max);
}

static void print_ops(const struct stats *sum, int width)
{
	fprintf(stderr, "%-*s %12s %16s %10s %12s %10s %9s %9s %9s\n", width, "op", "requests",
		"bytes", "errors", "to script", "injected", "p50", "p99", "max");
	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		const struct stats_op *c = &sum->op[op];

		if (!c->requests || !stats_op_name(op))
			continue;
		fprintf(stderr,
			"%-*s %12" PRIu64 " %16" PRIu64 " %10" PRIu64 " %12" PRIu64 " %10" PRIu64,
			width, stats_op_name(op), c->requests, c->bytes, c->errors, c->scripted,
			c->injected);
		print_values(&sum->latency[op], UL_UNIT_NS);
	}
}

static void print_layers(const struct ul_script_stats *script, int width)
{
	if (stats_layers(script))
		fprintf(stderr, "\n%-*s %12s %16s\n", width, "layer", "seen", "hit");
	for (unsigned i = 0; i < stats_layers(script); i++) {
		print_name(script->layer[i].name, width);
		fprintf(stderr, " %12.0f %16.0f\n", script->layer[i].seen, script->layer[i].hit);
	}
}

static void print_counters(const struct ul_script_stats *script, int width)
{
	if (stats_counters(script))
		fprintf(stderr, "\n%-*s %12s\n", width, "counter", "value");
	for (unsigned i = 0; i < stats_counters(script); i++) {
		print_name(script->counter[i].name, width);
		fprintf(stderr, " %12.15g\n", script->counter[i].value);
	}
}

static void print_histograms(const struct ul_script_stats *script, int width)
{
	if (stats_histograms(script))
		fprintf(stderr, "\n%-*s %12s %9s %9s %9s\n", width, "histogram", "count", "p50",
			"p99", "max");
	for (unsigned i = 0; i < stats_histograms(script); i++) {
		const struct ul_histogram *h = &script->histogram[i];

		print_name(h->name, width);
		fprintf(stderr, " %12.0f", h->count);
		print_values(h, h->unit);
	}
}

static void widen(int *width, const char *name)
{
	if (columns(name) > *width)
		*width = columns(name);
}

/* One width for the names of all parts, so that their numbers begin at the same column. */
static int name_width(const struct ul_script_stats *script)
{
	int width = NAME_WIDTH;

	for (unsigned i = 0; i < stats_layers(script); i++)
		widen(&width, script->layer[i].name);
	for (unsigned i = 0; i < stats_counters(script); i++)
		widen(&width, script->counter[i].name);
	for (unsigned i = 0; i < stats_histograms(script); i++)
		widen(&width, script->histogram[i].name);
	return width;
}

void stats_print(const struct stats_report *report)
{
	struct stats *sum = stats_total(report);
	int width;

	if (!sum) {
		log_error("no memory for the table of counters");
		return;
	}
	width = name_width(&sum->script);
	print_ops(sum, width);
	print_layers(&sum->script, width);
	print_counters(&sum->script, width);
	print_histograms(&sum->script, width);
	free(sum);
}
