/* SPDX-License-Identifier: MIT */
#include "cli_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mode.h"
#include "recovery.h"
#include "uapi.h"

enum {
	OPT_SEED = 256,
	OPT_MODE,
	OPT_RECOVER,
	OPT_WATCHDOG,
	OPT_MEMORY,
	OPT_DEBUG,
	OPT_STATS,
	OPT_VERSION,
	OPT_JSON,
	OPT_REQUESTS,
	OPT_BATCH,
	OPT_WORKLOAD,
	OPT_EXPECT_CLEAN,
};

static const struct option_row {
	int value; /* below 256: the short option too */
	const char *name;
	const char *arg; /* NULL: takes none */
	const char *help;
	unsigned verbs;
} rows[] = {
	{ 'e', "eval", "CHUNK", "CHUNK is the script: Lua that returns the device, or its table",
	  RUN | CHECK },
	{ 'n', "id", "ID", "device number, as in /dev/ublkbID (default: the first free one)", RUN },
	{ 'q', "queues", "N", "hardware queues (default: the script's, or 1)", RUN },
	{ 'd', "depth", "N", "requests in flight for a queue (default: the script's, or 128)",
	  RUN | CHECK },
	{ OPT_MODE, "mode", "MODE",
	  "how data is moved: auto, copy, get_data, user_copy, zero_copy, auto_buf", RUN },
	{ OPT_RECOVER, "recover", "WAY",
	  "when its server dies: none (default), fail, requeue or reissue", RUN },
	{ OPT_WATCHDOG, "watchdog", "SECONDS",
	  "end a server whose script hangs so long; 0: never (default: 30)", RUN },
	{ OPT_SEED, "seed", "N", "seed of ublk.random (default: a new one, printed; check: 1)",
	  RUN | CHECK },
	{ OPT_MEMORY, "memory", "SIZE", "most memory of a queue's Lua state (default: 256M)",
	  RUN | CHECK },
	{ OPT_DEBUG, "debug", NULL, "find misuse of a request's buffer; slow", RUN | CHECK },
	{ OPT_STATS, "stats", "FILE", "write the counters as JSON when the device ends", RUN },
	{ OPT_REQUESTS, "requests", "N", "how many are sent (default: 20000)", CHECK },
	{ OPT_BATCH, "batch", "N", "most that come at once (default: 32)", CHECK },
	{ OPT_WORKLOAD, "workload", "N", "seed of the requests (default: 1)", CHECK },
	{ OPT_EXPECT_CLEAN, "expect-clean", NULL, "wrong data is a failure", CHECK },
	{ OPT_JSON, "json", NULL, "with other verbs: JSON", RUN | CHECK | FEATURES | OPERATE },
	{ 'v', "verbose", NULL, "say more; counters when the device ends; check: tracebacks",
	  RUN | CHECK | FEATURES | OPERATE },
	{ 'h', "help", NULL, "this text; after SCRIPT or CHUNK: what the script takes",
	  RUN | CHECK | FEATURES },
	{ OPT_VERSION, "version", NULL, "the version", RUN | CHECK | FEATURES },
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

void cli_options_print(unsigned verbs)
{
	puts("\noptions:");
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		const struct option_row *row = &rows[i];
		char name[32];

		if (!(row->verbs & verbs))
			continue;
		snprintf(name, sizeof(name), "--%s%s%s", row->name, row->arg ? " " : "",
			 row->arg ? row->arg : "");
		if (row->value < 256)
			printf("  -%c, %-15s %s\n", row->value, name, row->help);
		else
			printf("      %-15s %s\n", name, row->help);
	}
}

static int parse_number(const struct option_row *row, const char *text, uint64_t min, uint64_t max,
			uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || *value < min || *value > max) {
		log_error("--%s %s: needs a whole number from %llu to %llu", row->name, text,
			  (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	return 0;
}

/* Bytes, or with K, M or G. Less than 4M would not hold the library and a script. */
static int parse_memory(const char *text, size_t *bytes)
{
	static const char units[] = "KMG";
	char *end;
	double value = strtod(text, &end);
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

	if (unit) {
		value *= (double)(1ULL << (10 * (unit - units + 1)));
		end++;
	}
	if (end == text || *end || !(value >= 4 << 20) || value > (double)(1ULL << 40)) {
		log_error("--memory %s: needs a size from 4M to 1024G", text);
		return -EINVAL;
	}
	*bytes = (size_t)value;
	return 0;
}

static int parse_mode(const char *text, int32_t *mode)
{
	*mode = mode_of(text);
	if (*mode >= 0)
		return 0;
	log_error("--mode %s: needs auto, copy, get_data, user_copy, zero_copy or auto_buf", text);
	return -EINVAL;
}

static int take_chunk(struct cli *cli, const char *chunk)
{
	if (cli->chunk) {
		log_error("-e: given twice; one CHUNK is the whole script");
		return -EINVAL;
	}
	cli->chunk = chunk;
	cli->script = "-e";
	return 0;
}

static int parse_watchdog(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || *end || (*seconds != 0 && !(*seconds >= 0.1 && *seconds <= 86400))) {
		log_error("--watchdog %s: needs a number of seconds from 0.1 to 86400, or 0: never",
			  text);
		return -EINVAL;
	}
	if (*seconds == 0)
		*seconds = -1;
	return 0;
}

static int parse_recover(const char *text, int32_t *way)
{
	*way = recovery_of(text);
	if (*way >= 0)
		return 0;
	log_error("--recover %s: needs none, fail, requeue or reissue", text);
	return -EINVAL;
}

static int apply(struct cli *cli, const struct option_row *row, const char *arg)
{
	uint64_t n = 0;
	int ret = 0;

	switch (row->value) {
	case 'e':
		ret = take_chunk(cli, arg);
		break;
	case 'n':
		ret = parse_number(row, arg, 0, (1 << 20) - 1, &n); /* UBLK_MAX_UBLKS: MINORBITS */
		cli->id = (int32_t)n;
		break;
	case 'q':
		ret = parse_number(row, arg, 1, UBLK_MAX_NR_QUEUES, &n);
		cli->queues = (unsigned)n;
		break;
	case 'd':
		ret = parse_number(row, arg, 1, UBLK_MAX_QUEUE_DEPTH, &n);
		cli->depth = (unsigned)n;
		break;
	case OPT_MODE:
		ret = parse_mode(arg, &cli->mode);
		break;
	case OPT_WATCHDOG:
		ret = parse_watchdog(arg, &cli->watchdog);
		break;
	case OPT_RECOVER:
		ret = parse_recover(arg, &cli->recover);
		break;
	case OPT_SEED:
		/* 2^53: what a script, JSON and people can carry over exactly. */
		ret = parse_number(row, arg, 0, 1ULL << 53, &cli->seed);
		cli->seed_given = true;
		break;
	case OPT_MEMORY:
		ret = parse_memory(arg, &cli->memory);
		break;
	case OPT_DEBUG:
		cli->debug = true;
		break;
	case OPT_STATS:
		cli->stats = arg;
		break;
	case OPT_JSON:
		cli->json = true;
		break;
	case OPT_REQUESTS:
		ret = parse_number(row, arg, 1, 1000000000, &n);
		cli->requests = (unsigned)n;
		break;
	case OPT_BATCH:
		ret = parse_number(row, arg, 1, UBLK_MAX_QUEUE_DEPTH, &n);
		cli->batch = (unsigned)n;
		break;
	case OPT_WORKLOAD:
		ret = parse_number(row, arg, 0, 1ULL << 53, &cli->workload);
		break;
	case OPT_EXPECT_CLEAN:
		cli->expect_clean = true;
		break;
	case 'v':
		cli->verbose = true;
		break;
	case 'h':
		cli->verb = cli->chunk ? CLI_SCRIPT_HELP : CLI_HELP;
		break;
	case OPT_VERSION:
		cli->verb = CLI_VERSION;
		break;
	}
	return ret;
}

static const struct option_row *find_row(int value)
{
	for (unsigned i = 0; i < ROW_COUNT; i++)
		if (rows[i].value == value)
			return &rows[i];
	return NULL;
}

/* `word` is what getopt read last; of several short options in it, optopt is the bad one. */
static int bad_option(int value, const char *word)
{
	const char *what = value == ':' ? "needs an argument" : "unknown option";

	if (optopt > 0 && optopt < 256)
		log_error("-%c: %s; see ublk-lua --help", optopt, what);
	else
		log_error("%s: %s; see ublk-lua --help", word, what);
	return -EINVAL;
}

int cli_options_parse(struct cli *cli, int argc, char **argv, bool *ended, uint32_t *used)
{
	const char *taken = NULL; /* the newest option's argument, which may be "--" too */
	struct option longopts[ROW_COUNT + 1] = { 0 };
	char shortopts[2 * ROW_COUNT + 3] = "+:";
	unsigned n = 2;
	int value;

	for (unsigned i = 0; i < ROW_COUNT; i++) {
		longopts[i].name = rows[i].name;
		longopts[i].has_arg = rows[i].arg ? required_argument : no_argument;
		longopts[i].val = rows[i].value;
		if (rows[i].value < 256) {
			shortopts[n++] = (char)rows[i].value;
			if (rows[i].arg)
				shortopts[n++] = ':';
		}
	}
	while ((value = getopt_long(argc, argv, shortopts, longopts, NULL)) != -1) {
		const struct option_row *row = find_row(value);
		int ret;

		if (!row)
			return bad_option(value, argv[optind - 1]);
		*used |= 1U << (row - rows);
		ret = apply(cli, row, optarg);
		if (ret)
			return ret;
		taken = optarg;
	}
	*ended = argv[optind - 1] != taken && strcmp(argv[optind - 1], "--") == 0;
	return 0;
}

int cli_options_check(uint32_t used, unsigned verb, const char *name)
{
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		if (used >> i & 1 && !(rows[i].verbs & verb)) {
			log_error("--%s: not an option of %s; see ublk-lua %s--help", rows[i].name,
				  name, verb == CHECK ? "check " : "");
			return -EINVAL;
		}
	}
	return 0;
}
