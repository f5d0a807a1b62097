/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <stdlib.h>
#include <string.h>

#include "histogram.h"

static const char *const op_names[UL_OP_COUNT] = {
	[UL_OP_READ] = "read",
	[UL_OP_WRITE] = "write",
	[UL_OP_FLUSH] = "flush",
	[UL_OP_DISCARD] = "discard",
	[UL_OP_WRITE_ZEROES] = "write_zeroes",
	[UL_OP_ZONE_OPEN] = "zone_open",
	[UL_OP_ZONE_CLOSE] = "zone_close",
	[UL_OP_ZONE_FINISH] = "zone_finish",
	[UL_OP_ZONE_APPEND] = "zone_append",
	[UL_OP_ZONE_RESET_ALL] = "zone_reset_all",
	[UL_OP_ZONE_RESET] = "zone_reset",
	[UL_OP_REPORT_ZONES] = "report_zones",
};

const char *stats_op_name(unsigned op)
{
	return op < UL_OP_COUNT ? op_names[op] : NULL;
}

/* A server that crashed may have left anything in the memory that we share with it. */
static unsigned at_most(uint32_t used, unsigned room)
{
	return used < room ? used : room;
}

unsigned stats_layers(const struct ul_script_stats *script)
{
	return at_most(script->layers, UL_LAYERS);
}

unsigned stats_counters(const struct ul_script_stats *script)
{
	return at_most(script->counters, UL_COUNTERS);
}

unsigned stats_histograms(const struct ul_script_stats *script)
{
	return at_most(script->histograms, UL_HISTOGRAMS);
}

static void copy_name(char *to, const char *from)
{
	memcpy(to, from, UL_NAME - 1);
	to[UL_NAME - 1] = '\0';
}

static void add_layer(struct ul_script_stats *sum, const struct ul_layer_stats *layer)
{
	unsigned i = 0;

	while (i < sum->layers && strncmp(sum->layer[i].name, layer->name, UL_NAME - 1) != 0)
		i++;
	if (i == UL_LAYERS)
		return;
	if (i == sum->layers) {
		copy_name(sum->layer[i].name, layer->name);
		sum->layers++;
	}
	sum->layer[i].seen += layer->seen;
	sum->layer[i].hit += layer->hit;
}

static void add_counter(struct ul_script_stats *sum, const struct ul_counter *counter)
{
	unsigned i = 0;

	while (i < sum->counters && strncmp(sum->counter[i].name, counter->name, UL_NAME - 1) != 0)
		i++;
	if (i == UL_COUNTERS)
		return;
	if (i == sum->counters) {
		copy_name(sum->counter[i].name, counter->name);
		sum->counters++;
	}
	sum->counter[i].value += counter->value;
}

static void add_histogram(struct ul_script_stats *sum, const struct ul_histogram *h)
{
	unsigned i = 0;

	while (i < sum->histograms && strncmp(sum->histogram[i].name, h->name, UL_NAME - 1) != 0)
		i++;
	if (i == UL_HISTOGRAMS)
		return;
	if (i == sum->histograms) {
		copy_name(sum->histogram[i].name, h->name);
		sum->histogram[i].unit = h->unit;
		sum->histograms++;
	}
	histogram_merge(&sum->histogram[i], h);
}

static void add(struct stats *sum, const struct stats *s)
{
	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		sum->op[op].requests += s->op[op].requests;
		sum->op[op].bytes += s->op[op].bytes;
		sum->op[op].errors += s->op[op].errors;
		sum->op[op].scripted += s->op[op].scripted;
		sum->op[op].injected += s->op[op].injected;
		/* Untouched pages stay so: there is no latency where there was no request. */
		if (s->op[op].requests)
			histogram_merge(&sum->latency[op], &s->latency[op]);
	}
	sum->rounds += s->rounds;
	for (unsigned i = 0; i < stats_layers(&s->script); i++)
		add_layer(&sum->script, &s->script.layer[i]);
	for (unsigned i = 0; i < stats_counters(&s->script); i++)
		add_counter(&sum->script, &s->script.counter[i]);
	for (unsigned i = 0; i < stats_histograms(&s->script); i++)
		add_histogram(&sum->script, &s->script.histogram[i]);
}

struct stats *stats_total(const struct stats_report *report)
{
	struct stats *sum = calloc(1, sizeof(*sum));

	for (unsigned q = 0; sum && q < report->queues; q++)
		add(sum, report->queue[q]);
	return sum;
}
