/* SPDX-License-Identifier: MIT */
/*
 * The report of core/stats.h as JSON. A member that cannot be made, for want
 * of memory, makes all of it NULL: half a report would be a wrong one.
 */
#include "stats_json.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "log.h"

/* Whole numbers without a point. Infinite ones have no place in JSON. */
static json_t *number(double value)
{
	if (!isfinite(value))
		return json_null();
	if (fabs(value) < 0x1p53 && value == floor(value))
		return json_integer((json_int_t)value);
	return json_real(value);
}

static json_t *count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Name → value. What is no UTF-8 in a name becomes '?': JSON has none of it. */
static bool set_named(json_t *object, const char *name, json_t *value)
{
	char text[UL_NAME];
	json_t *valid;

	memcpy(text, name, UL_NAME - 1);
	text[UL_NAME - 1] = '\0';
	valid = json_string(text);
	for (char *c = text; !valid && *c; c++)
		if (*c & 0x80)
			*c = '?';
	json_decref(valid);
	return json_object_set_new(object, text, value) == 0;
}

static bool set_values(json_t *object, const struct ul_histogram *h)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };
	int failed = json_object_set_new(object, "count", number(h->count));

	if (!(h->count > 0))
		return !failed;
	failed |= json_object_set_new(object, "mean", number(h->sum / h->count));
	failed |= json_object_set_new(object, "min", number(h->min));
	for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		failed |= json_object_set_new(object, quantiles[i].name,
					      number(histogram_quantile(h, quantiles[i].q)));
	failed |= json_object_set_new(object, "max", number(h->max));
	return !failed;
}

static json_t *or_null(json_t *value, bool complete)
{
	if (complete)
		return value;
	json_decref(value);
	return NULL;
}

static json_t *op_json(const struct stats *s, unsigned op)
{
	const struct stats_op *c = &s->op[op];
	json_t *latency, *json;

	json = json_pack("{s:o, s:o, s:o, s:o, s:o}", "requests", count(c->requests), "bytes",
			 count(c->bytes), "errors", count(c->errors), "scripted",
			 count(c->scripted), "injected", count(c->injected));
	if (!(s->latency[op].count > 0))
		return json;
	latency = json_object();
	latency = or_null(latency, set_values(latency, &s->latency[op]));
	return or_null(json, json_object_set_new(json, "latency_ns", latency) == 0);
}

static json_t *ops_json(const struct stats *s)
{
	json_t *ops = json_object();
	bool ok = true;

	for (unsigned op = 0; op < UL_OP_COUNT; op++)
		if (s->op[op].requests && stats_op_name(op))
			ok = ok && !json_object_set_new(ops, stats_op_name(op), op_json(s, op));
	return or_null(ops, ok);
}

json_t *stats_layers_json(const struct ul_script_stats *script)
{
	json_t *layers = json_object();
	bool ok = true;

	for (unsigned i = 0; i < stats_layers(script); i++)
		ok = ok && set_named(layers, script->layer[i].name,
				     json_pack("{s:o, s:o}", "seen", number(script->layer[i].seen),
					       "hit", number(script->layer[i].hit)));
	return or_null(layers, ok);
}

json_t *stats_counters_json(const struct ul_script_stats *script)
{
	json_t *counters = json_object();
	bool ok = true;

	for (unsigned i = 0; i < stats_counters(script); i++)
		ok = ok &&
		     set_named(counters, script->counter[i].name, number(script->counter[i].value));
	return or_null(counters, ok);
}

static json_t *buckets_json(const struct ul_histogram *h)
{
	json_t *buckets = json_array();
	unsigned first, end;
	bool ok = true;

	histogram_range(h, &first, &end);
	for (unsigned i = first; i < end; i++)
		if (h->bucket[i])
			ok = ok &&
			     !json_array_append_new(
				     buckets, json_pack("[o, o]", number(histogram_bucket_start(i)),
							count(h->bucket[i])));
	return or_null(buckets, ok);
}

static json_t *histogram_json(const struct ul_histogram *h)
{
	static const char *const units[] = {
		[UL_UNIT_COUNT] = "count",
		[UL_UNIT_NS] = "ns",
		[UL_UNIT_BYTES] = "bytes",
	};
	bool known = h->unit >= 0 && h->unit < (int)(sizeof(units) / sizeof(*units));
	json_t *json = json_pack("{s:s}", "unit", units[known ? h->unit : UL_UNIT_COUNT]);
	bool ok = set_values(json, h);

	return or_null(json, ok && !json_object_set_new(json, "buckets", buckets_json(h)));
}

json_t *stats_histograms_json(const struct ul_script_stats *script)
{
	json_t *histograms = json_object();
	bool ok = true;

	for (unsigned i = 0; i < stats_histograms(script); i++)
		ok = ok && set_named(histograms, script->histogram[i].name,
				     histogram_json(&script->histogram[i]));
	return or_null(histograms, ok);
}

/* `object` with the counts of `s`. */
static json_t *with_counts(json_t *object, const struct stats *s)
{
	int failed = json_object_set_new(object, "ops", ops_json(s));

	failed |= json_object_set_new(object, "layers", stats_layers_json(&s->script));
	failed |= json_object_set_new(object, "counters", stats_counters_json(&s->script));
	failed |= json_object_set_new(object, "histograms", stats_histograms_json(&s->script));
	return or_null(object, !failed);
}

json_t *stats_report_json(const struct stats_report *report)
{
	struct stats *sum = stats_total(report);
	json_t *queues = json_array(), *total = sum ? with_counts(json_object(), sum) : NULL;
	bool ok = true;

	free(sum);
	for (unsigned q = 0; q < report->queues; q++)
		ok = ok &&
		     !json_array_append_new(
			     queues, with_counts(json_pack("{s:i, s:o}", "id", (int)q, "rounds",
							   count(report->queue[q]->rounds)),
						 report->queue[q]));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "device", report->node, "script",
			 report->script, "seed", count(report->seed), "queues", or_null(queues, ok),
			 "total", total);
}

json_t *stats_latencies_json(const struct stats_report *report)
{
	struct stats *sum = stats_total(report);
	json_t *ops = json_object();
	bool ok = sum;

	for (unsigned op = 0; sum && op < UL_OP_COUNT; op++)
		if (sum->op[op].requests && stats_op_name(op))
			ok = ok && !json_object_set_new(ops, stats_op_name(op),
							buckets_json(&sum->latency[op]));
	free(sum);
	return or_null(ops, ok);
}

int stats_write(const struct stats_report *report, const char *path)
{
	json_t *root = stats_report_json(report);
	int ret = 0;

	if (!root) {
		log_error("--stats %s: out of memory", path);
		return -ENOMEM;
	}
	if (json_dump_file(root, path, JSON_INDENT(2)) < 0) {
		ret = errno ? -errno : -EIO;
		log_error("--stats %s: %s", path, strerror(-ret));
	}
	json_decref(root);
	return ret;
}
