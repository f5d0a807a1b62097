/* SPDX-License-Identifier: MIT */
/*
 * What one queue counts. The queue's thread is the only writer, so they are
 * plain numbers; who reads them while it runs (the supervisor, for `stats`)
 * sees each as it is at some moment, but not all at the same one. Some 400 KB,
 * most of it never touched: zeroed memory from mmap or calloc, never a stack.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "api.h"

struct stats_op {
	uint64_t requests;
	uint64_t bytes;	   /* of all requests, whatever became of them */
	uint64_t errors;   /* answered with an error, whoever decided it */
	uint64_t scripted; /* reached the script */
	uint64_t injected; /* answered with an error by the script */
};

struct stats {
	struct stats_op op[UL_OP_COUNT];
	uint64_t rounds;			  /* times that the queue waited for requests */
	atomic_bool busy;			  /* it does not wait now */
	struct ul_histogram latency[UL_OP_COUNT]; /* ns from a request's arrival to its answer */
	struct ul_script_stats script;
};

/* "read", "write_zeroes", …, or NULL for a number that is no op. */
const char *stats_op_name(unsigned op);

struct stats_report {
	const char *node;   /* /dev/ublkbN */
	const char *script; /* its path */
	uint64_t seed;
	unsigned queues;
	const struct stats *const *queue; /* `queues` of them */
};

/*
 * The sum over the report's queues, for the caller to free(); NULL: no memory.
 * What scripts count is added up by name, as queues may name it in any order.
 */
struct stats *stats_total(const struct stats_report *report);

/* How many of each a script has; never more than there is room for, whatever stands there. */
unsigned stats_layers(const struct ul_script_stats *script);
unsigned stats_counters(const struct ul_script_stats *script);
unsigned stats_histograms(const struct ul_script_stats *script);

/*
 * Write the report to `path` as JSON (core/stats_json.c):
 *
 *   {"device": NODE, "script": PATH, "seed": N,
 *    "queues": [{"id": N, "rounds": N, COUNTS}], "total": {COUNTS}}
 *
 *   COUNTS      "ops": {OP: {"requests", "bytes", "errors", "scripted", "injected": N,
 *                            "latency_ns": {VALUES}}},
 *               "layers": {NAME: {"seen", "hit": N}},
 *               "counters": {NAME: N},
 *               "histograms": {NAME: {"unit": "count"|"ns"|"bytes", VALUES, "buckets": [[L, N]]}}
 *   VALUES      "count", "mean", "min", "p50", "p90", "p99", "p999", "max": N
 *   [L, N]      N values were L or more, and below where the next bucket begins
 *
 * Ops without a request and empty buckets are left out; "latency_ns" is where anything was timed;
 * without a value there is only "count". 0 or -errno, the reason logged.
 */
int stats_write(const struct stats_report *report, const char *path);

enum { STATS_TEXT = 32 };

/* `value` for people, in `text` of STATS_TEXT bytes, which is returned: "12.3us" for UL_UNIT_NS. */
const char *stats_value_text(char *text, double value, int32_t unit);

/* The totals as a table on stderr (core/stats_table.c). */
void stats_print(const struct stats_report *report);
