/* SPDX-License-Identifier: MIT */
#include "prometheus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* Members of an op that only grow. */
static const struct {
	const char *member, *name, *help;
} op_counters[] = {
	{ "requests", "ublk_lua_requests_total", "Requests that were answered" },
	{ "bytes", "ublk_lua_bytes_total", "Bytes of all requests" },
	{ "errors", "ublk_lua_errors_total", "Requests answered with an error" },
	{ "scripted", "ublk_lua_scripted_total", "Requests that reached the script" },
	{ "injected", "ublk_lua_injected_total", "Requests answered with an error by the script" },
};

static void print_head(const char *name, const char *type, const char *help)
{
	printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: a backslash before what would end it. */
static void print_label(const char *value)
{
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		if (*value == '\n')
			fputs("\\n", stdout);
		else
			putchar(*value);
	}
}

static void print_number(const char *name, const char *device, const char *label, const char *value,
			 const json_t *number)
{
	printf("%s{device=\"%s\",%s=\"", name, device, label);
	print_label(value);
	printf("\"} %.17g\n", json_number_value(number));
}

static void print_ops(const char *device, const json_t *ops)
{
	for (size_t i = 0; i < sizeof(op_counters) / sizeof(op_counters[0]); i++) {
		const char *op;
		json_t *counts;

		print_head(op_counters[i].name, "counter", op_counters[i].help);
		json_object_foreach((json_t *)ops, op, counts)
			print_number(op_counters[i].name, device, "op", op,
				     json_object_get(counts, op_counters[i].member));
	}
}

/* A bucket's count is that of all values below its end, where the next one begins. */
static void print_latency(const char *device, const char *op, const json_t *buckets, double sum)
{
	static const char name[] = "ublk_lua_latency_seconds";
	double total = 0;
	const json_t *bucket;
	size_t i;

	json_array_foreach(buckets, i, bucket) {
		if (i)
			printf("%s_bucket{device=\"%s\",op=\"%s\",le=\"%.9g\"} %.17g\n", name,
			       device, op, json_number_value(json_array_get(bucket, 0)) / 1e9,
			       total);
		total += json_number_value(json_array_get(bucket, 1));
	}
	printf("%s_bucket{device=\"%s\",op=\"%s\",le=\"+Inf\"} %.17g\n", name, device, op, total);
	printf("%s_sum{device=\"%s\",op=\"%s\"} %.9g\n", name, device, op, sum / 1e9);
	printf("%s_count{device=\"%s\",op=\"%s\"} %.17g\n", name, device, op, total);
}

static void print_latencies(const char *device, const json_t *ops, const json_t *latencies)
{
	const char *op;
	json_t *buckets;

	print_head("ublk_lua_latency_seconds", "histogram",
		   "From a request's arrival to its answer");
	json_object_foreach((json_t *)latencies, op, buckets) {
		const json_t *values = json_object_get(json_object_get(ops, op), "latency_ns");

		print_latency(device, op, buckets,
			      json_number_value(json_object_get(values, "mean")) *
				      json_number_value(json_object_get(values, "count")));
	}
}

static void print_layers(const char *device, const json_t *layers, const char *member,
			 const char *name, const char *help)
{
	const char *layer;
	json_t *counts;

	print_head(name, "counter", help);
	json_object_foreach((json_t *)layers, layer, counts)
		print_number(name, device, "layer", layer, json_object_get(counts, member));
}

int prometheus_print(const json_t *answer)
{
	const json_t *stats = json_object_get(answer, "stats");
	const json_t *total = json_object_get(stats, "total");
	const char *device = json_string_value(json_object_get(stats, "device")), *name;
	json_t *value;

	if (!device || !total) {
		log_error("the answer is none of a device's counters");
		return -EPROTO;
	}
	print_ops(device, json_object_get(total, "ops"));
	print_latencies(device, json_object_get(total, "ops"), json_object_get(answer, "latency"));
	print_layers(device, json_object_get(total, "layers"), "seen", "ublk_lua_layer_seen_total",
		     "Requests that reached a layer");
	print_layers(device, json_object_get(total, "layers"), "hit", "ublk_lua_layer_hit_total",
		     "Requests that a layer answered, held up or marked");
	print_head("ublk_lua_counter", "untyped", "Counters of the script");
	json_object_foreach(json_object_get(total, "counters"), name, value)
		print_number("ublk_lua_counter", device, "name", name, value);
	return 0;
}
