/* SPDX-License-Identifier: MIT */
/*
 * The options of the command line: one table of them for parsing and for
 * --help. For cli.c, which has the verbs and the words that are no options.
 * Main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

/* Which verbs an option is for. OPERATE: those of verbs.c, which have options of their own. */
enum { RUN = 1, CHECK = 2, FEATURES = 4, OPERATE = 8 };

/*
 * Options up to the first word that is none; its index is in optind then.
 * `ended`: getopt has taken a "--" before that word for itself. `used` gets a
 * bit for each option. 0, or -EINVAL with the mistake logged.
 */
int cli_options_parse(struct cli *cli, int argc, char **argv, bool *ended, uint32_t *used);

/* Are all of `used` for `verb`, which is called `name`? 0, or -EINVAL with the mistake logged. */
int cli_options_check(uint32_t used, unsigned verb, const char *name);

/* On stdout: those for one of `verbs`. */
void cli_options_print(unsigned verbs);
