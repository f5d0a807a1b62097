/* SPDX-License-Identifier: MIT */
/*
 * The command line: one table of options for parsing and for --help, and the
 * verbs. Turns argv into a struct cli and nothing else. Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exit.h"

enum cli_verb {
	CLI_RUN,	 /* serve a device */
	CLI_SCRIPT_HELP, /* SCRIPT --help, -e CHUNK --help */
	CLI_CHECK,	 /* try a script without a device */
	CLI_CHECK_HELP,
	CLI_FEATURES,
	CLI_OPERATE, /* a verb of core/verbs.h; it and its words are in args */
	CLI_HELP,
	CLI_VERSION,
};

struct cli {
	enum cli_verb verb;
	const char *script; /* as written; "-e" with chunk */
	const char *chunk;  /* -e: the script itself, or NULL */
	char **args;	    /* key=value words after it */
	unsigned arg_count;
	char **command; /* after --, NULL-terminated; NULL when there is none */

	int32_t id;	 /* -n; -1: the driver chooses */
	unsigned queues; /* -q; 0: the script's */
	unsigned depth;	 /* -d; 0: the script's */
	int32_t mode;	 /* --mode, enum ul_mode; -1: the script's */
	int32_t recover; /* --recover, enum ul_recover; -1: the script's */
	double watchdog; /* --watchdog, seconds, below 0: never; 0: the script's */
	size_t memory;	 /* --memory, bytes; 0: the default */
	uint64_t seed;
	bool seed_given;
	bool verbose;
	bool debug;
	bool json;
	const char *stats; /* --stats FILE, or NULL */

	/* Of check. */
	unsigned requests;
	unsigned batch;
	uint64_t workload; /* seed of the requests */
	bool expect_clean;
};

/* 0, or -EINVAL with the mistake logged. */
int cli_parse(struct cli *cli, int argc, char **argv);

void cli_print_help(void);
void cli_print_check_help(void);
