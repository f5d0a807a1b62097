/* SPDX-License-Identifier: MIT */
/*
 * `ublk-lua check`: a script tried out with no device, no kernel and no root.
 * check.c runs it, check_json.c turns what it found into one JSON object, and
 * check_report.c shows that to people. Main thread.
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

#include "cli.h"
#include "cost.h"
#include "workload.h"

/* An op's verdicts as its requests were answered. */
struct check_op {
	uint64_t passed;      /* answered well by the backing */
	uint64_t done;	      /* answered well by the script alone */
	uint64_t failed[134]; /* by errno; 0: by numbers that are none */
	struct cost cost;
};

struct check {
	const struct cli *cli;
	char path[PATH_MAX];
	const char *name;     /* of the script, without its folder */
	struct ul_device dev; /* as the script says */
	struct ul_device run; /* as it is run: a file is memory */
	unsigned batch;

	struct script *script;
	struct backend *backend;
	struct simulation sim;
	struct workload *workload;
	struct stats *stats;
	struct stats *counted; /* as they were at the end of the workload */
	bool *reached;	       /* by tag: the request went to the backing */
	struct check_op op[UL_OP_COUNT];
	struct cost_feed *feed; /* while costs are measured */

	bool full;	  /* the script had no memory left and was not asked any more */
	bool ended;	  /* the queue came to its end, with every request answered */
	unsigned stopped; /* requests sent when the script asked to end its device; 0: never */
	bool gave_up;	  /* it did not, while tasks and timers went on */
	unsigned unanswered;
	unsigned misuses; /* of buffers, with --debug */
	json_t *findings; /* what Lua has to say; see lua/ublk/inspect.lua */
};

/* Exit status of the program. */
int check_run(const struct cli *cli);

/* Everything that was found. NULL without memory. */
json_t *check_json(const struct check *check);

/* Was nothing wrong? As the exit status says. */
bool check_good(const json_t *root);

/* Show it on stdout. `verbose`: tracebacks too. */
void check_report(const json_t *root, bool verbose);
