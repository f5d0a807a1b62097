/* SPDX-License-Identifier: MIT */
/*
 * A script over core/sim.c, for the tests in C and those in Lua: what goes in,
 * what came out, and all that was logged meanwhile. Time is the simulation's.
 * Also the log as text, and files that go away by themselves. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "stats.h"

/* From here to log_end, which returns it, stderr goes to memory. The text lives until the next. */
void log_begin(void);
const char *log_end(void);

/* The path of a new file with this text; deleted at exit. */
const char *temp_file(const char *name, const char *text);

/* The path of such a file, which need not be there. */
const char *temp_path(const char *name);

enum { RIG_SIZE = 1 << 20, RIG_MAX_IO = 64 << 10, RIG_DEPTH = 64, RIG_QUEUE = 3, RIG_MOST = 4096 };

struct rig_request {
	uint8_t op;
	double sector;
	uint32_t length;
	uint8_t fill; /* every byte of a write's data, and of its metadata */
	uint32_t flags;
};

/* Of one request; of the last round's, when there are more. */
struct rig_answer {
	int32_t result;	     /* INT32_MAX: none */
	double time;	     /* s, when it was given */
	unsigned order;	     /* the how manieth answer it was, from 0 */
	uint8_t first, last; /* first and last byte of its data */
	uint8_t metadata[2]; /* likewise, with rig_lazy, of one with UL_FLAG_INTEGRITY */
};

/* From now on, must backings be waited for? At first they need not. */
extern bool rig_slow;

/* From now on, is the data of requests with the driver (user copy)? At first it is not. */
extern bool rig_lazy;

/* One run of a script: what goes in, and what came out. Its pointers hold until the next run. */
struct rig {
	const char *script; /* text; NULL: no op goes to a script */
	unsigned batch;	    /* 0: all in one */
	unsigned depth;	    /* 0: RIG_DEPTH; each request needs a tag of its own to come */
	uint64_t seed;	    /* 0: 1 */
	const struct rig_request *requests;
	unsigned count;
	unsigned rounds;  /* they come so many times over; 0: once */
	bool deaf;	  /* with rig_lazy: the driver neither gives nor takes data */
	unsigned stop_at; /* with this one, from 1, the device is about to end; 0: never */
	unsigned fail_at; /* and with this one it ends by force */
	bool debug;	  /* as --debug */
	size_t memory;	  /* as --memory; 0: the default */

	int load; /* of script_open; when it is not 0 nothing has run */
	const struct rig_answer *answers;
	struct ul_device *device; /* as the script says it, but for its size */
	const struct stats *stats;
	int end; /* what reap said at the end */
	unsigned faults;
	unsigned misuses; /* of buffers, with `debug` */
	unsigned stops;	  /* how often the script asked for its device's end */
	unsigned fetched; /* with rig_lazy: requests whose tag's buffer was written to */
	const char *log;  /* all that was logged, until the script was closed */
};

/* Serve the requests over a backing of RIG_SIZE bytes; memory, if the script does not say. */
void rig_run(struct rig *rig);
