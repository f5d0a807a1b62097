/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: cmocka with what it needs, the log as text, files
 * that go away by themselves, and a rig that runs a script over core/sim.c.
 * One thread.
 */
#pragma once

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "stats.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* From here to log_end, which returns it, stderr goes to memory. The text lives until the next. */
void log_begin(void);
const char *log_end(void);

/* Fail with the whole text when it does not have `part` (or, for lacks, when it has). */
#define assert_has(text, part)	 check_has(text, part, 1, __FILE__, __LINE__)
#define assert_lacks(text, part) check_has(text, part, 0, __FILE__, __LINE__)
void check_has(const char *text, const char *part, int wanted, const char *file, int line);

#define assert_one_line(text) assert_int_equal(count_lines(text), 1)
unsigned count_lines(const char *text);

/* The path of a new file with this text; deleted at exit. */
const char *temp_file(const char *name, const char *text);

/* The path of such a file, which need not be there. */
const char *temp_path(const char *name);

enum { RIG_SIZE = 1 << 20, RIG_MAX_IO = 64 << 10, RIG_MOST = 64 };

struct rig_request {
	uint8_t op;
	double sector;
	uint32_t length;
	uint8_t fill; /* every byte of a write's data */
};

/* One run of a script: what goes in, and what came out. */
struct rig {
	const char *script; /* text; NULL: no op goes to a script */
	unsigned batch;	    /* 0: all in one */
	bool fail;	    /* as if the device were being stopped by force */
	const struct rig_request *requests;
	unsigned count;

	int load; /* of script_open; when it is not 0 nothing has run */
	int32_t result[RIG_MOST];
	uint8_t first[RIG_MOST]; /* first and last byte of a read's data */
	uint8_t last[RIG_MOST];
	struct stats stats;
	int end; /* what reap said at the end */
	unsigned faults;
	const char *log; /* all that was logged, until the script was closed */
};

/* Serve the requests over a memory backend of RIG_SIZE bytes. */
void rig_run(struct rig *rig);
