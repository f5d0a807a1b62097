/* SPDX-License-Identifier: MIT */
/*
 * Counters of one queue. The queue's thread is the only writer and nobody
 * reads before it has ended, so they are plain numbers.
 */
#pragma once

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
	uint64_t rounds; /* times that the queue waited for requests */
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
 * Write the report to `path` as JSON: {"device", "script", "seed", "queues":
 * [{"id", "rounds", "ops": {OP: {COUNTER: N}}}], "total": {OP: {COUNTER: N}}}.
 * Ops without a request are left out. 0 or -errno, the reason logged.
 */
int stats_write(const struct stats_report *report, const char *path);

/* The totals as a table on stderr. */
void stats_print(const struct stats_report *report);
