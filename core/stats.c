/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <stddef.h>
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

/*
 * Where `name` is among the `used` entries of `size` bytes, whose names begin at `names`; a new
 * entry gets it. `room`: there is no place for it.
 */
static unsigned find_or_add(char *names, size_t size, uint32_t *used, unsigned room,
			    const char *name)
{
	unsigned i = 0;

	while (i < *used && strncmp(names + i * size, name, UL_NAME - 1) != 0)
		i++;
	if (i == *used && i < room) {
		copy_name(names + i * size, name);
		++*used;
	}
	return i;
}

#define FIND_OR_ADD(list, used, name_of)                                                           \
	find_or_add((char *)(list) + offsetof(__typeof__(*(list)), name), sizeof(*(list)), (used), \
		    sizeof(list) / sizeof(*(list)), (name_of)->name)

static void add_layer(struct ul_script_stats *sum, const struct ul_layer_stats *layer)
{
	unsigned i = FIND_OR_ADD(sum->layer, &sum->layers, layer);

	if (i == UL_LAYERS)
		return;
	sum->layer[i].seen += layer->seen;
	sum->layer[i].hit += layer->hit;
}

static void add_counter(struct ul_script_stats *sum, const struct ul_counter *counter)
{
	unsigned i = FIND_OR_ADD(sum->counter, &sum->counters, counter);

	if (i < UL_COUNTERS)
		sum->counter[i].value += counter->value;
}

static void add_histogram(struct ul_script_stats *sum, const struct ul_histogram *h)
{
	uint32_t known = sum->histograms;
	unsigned i = FIND_OR_ADD(sum->histogram, &sum->histograms, h);

	if (i == UL_HISTOGRAMS)
		return;
	if (i == known)
		sum->histogram[i].unit = h->unit;
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
