/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

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

static void add(struct stats *sum, const struct stats *s)
{
	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		sum->op[op].requests += s->op[op].requests;
		sum->op[op].bytes += s->op[op].bytes;
		sum->op[op].errors += s->op[op].errors;
		sum->op[op].scripted += s->op[op].scripted;
		sum->op[op].injected += s->op[op].injected;
	}
	sum->rounds += s->rounds;
}

static struct stats total(const struct stats_report *report)
{
	struct stats sum = { 0 };

	for (unsigned q = 0; q < report->queues; q++)
		add(&sum, report->queue[q]);
	return sum;
}

static json_t *ops_json(const struct stats *s)
{
	json_t *ops = json_object();

	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		const struct stats_op *c = &s->op[op];

		if (!c->requests || !op_names[op])
			continue;
		json_object_set_new(ops, op_names[op],
				    json_pack("{s:I, s:I, s:I, s:I, s:I}", "requests",
					      (json_int_t)c->requests, "bytes",
					      (json_int_t)c->bytes, "errors", (json_int_t)c->errors,
					      "scripted", (json_int_t)c->scripted, "injected",
					      (json_int_t)c->injected));
	}
	return ops;
}

static json_t *report_json(const struct stats_report *report)
{
	struct stats sum = total(report);
	json_t *queues = json_array();

	for (unsigned q = 0; q < report->queues; q++)
		json_array_append_new(queues, json_pack("{s:i, s:I, s:o}", "id", (int)q, "rounds",
							(json_int_t)report->queue[q]->rounds, "ops",
							ops_json(report->queue[q])));
	return json_pack("{s:s, s:s, s:I, s:o, s:o}", "device", report->node, "script",
			 report->script, "seed", (json_int_t)report->seed, "queues", queues,
			 "total", ops_json(&sum));
}

int stats_write(const struct stats_report *report, const char *path)
{
	json_t *root = report_json(report);
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

void stats_print(const struct stats_report *report)
{
	struct stats sum = total(report);

	fprintf(stderr, "%-14s %12s %16s %10s %12s %10s\n", "op", "requests", "bytes", "errors",
		"to script", "injected");
	for (unsigned op = 0; op < UL_OP_COUNT; op++) {
		const struct stats_op *c = &sum.op[op];

		if (c->requests && op_names[op])
			fprintf(stderr,
				"%-14s %12" PRIu64 " %16" PRIu64 " %10" PRIu64 " %12" PRIu64
				" %10" PRIu64 "\n",
				op_names[op], c->requests, c->bytes, c->errors, c->scripted,
				c->injected);
	}
}
