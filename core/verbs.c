/* SPDX-License-Identifier: MIT */
#include "verbs.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "log.h"

/* Options of the verbs that ask the script. */
enum { SCRIPT = VERB_JSON | VERB_QUEUE | VERB_TIMEOUT };

static const struct verb {
	const char *name;
	const char *usage; /* what follows it */
	const char *help;
	bool takes_id;
	unsigned min, max; /* words after the ID */
	unsigned options;  /* enum verb_option */
	int (*run)(const struct verb_call *call);
} verbs[] = {
	{ "list", "", "the ublk devices of this host, whoever made them", false, 0, 0, VERB_JSON,
	  verb_list },
	{ "info", "ID", "what a running device is", true, 0, 0, VERB_JSON, verb_info },
	{ "stats", "ID [--watch|--prometheus]", "its counters: JSON, a screen, or text", true, 0, 0,
	  VERB_JSON | VERB_WATCH | VERB_COUNT | VERB_PROMETHEUS, verb_stats },
	{ "stop", "ID | --all [--if-unused]", "end it; with --if-unused only if nobody uses it",
	  true, 0, 0, VERB_JSON | VERB_ALL | VERB_IF_UNUSED, verb_stop },
	{ "eval", "ID LUA", "run Lua in its script, print what it returns", true, 1, 1, SCRIPT,
	  verb_eval },
	{ "attach", "ID", "lines of Lua into its script, with editing and completion", true, 0, 0,
	  VERB_QUEUE, verb_attach },
	{ "set", "ID [KEY=VALUE ...]", "change options that its script declares live", true, 0,
	  4096, SCRIPT, verb_set },
	{ "hold", "ID", "the names for which its requests wait", true, 0, 0, SCRIPT, verb_hold },
	{ "release", "ID NAME [VERDICT]", "let those go on that hold NAME: ENOSPC, true, …", true,
	  1, 2, SCRIPT, verb_release },
	{ "mark", "ID TEXT", "give TEXT to the script's mark function, and to the log", true, 1, 1,
	  SCRIPT, verb_mark },
	{ "clean", "", "remove devices that nobody serves any more", false, 0, 0, VERB_JSON,
	  verb_clean },
};

enum { TABLE_SIZE = sizeof(verbs) / sizeof(verbs[0]) };

static const struct option options[] = {
	{ "json", no_argument, NULL, VERB_JSON },
	{ "all", no_argument, NULL, VERB_ALL },
	{ "if-unused", no_argument, NULL, VERB_IF_UNUSED },
	{ "queue", required_argument, NULL, VERB_QUEUE },
	{ "timeout", required_argument, NULL, VERB_TIMEOUT },
	{ "watch", no_argument, NULL, VERB_WATCH },
	{ "prometheus", no_argument, NULL, VERB_PROMETHEUS },
	{ "count", required_argument, NULL, VERB_COUNT },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const struct verb *find(const char *name)
{
	for (unsigned i = 0; i < TABLE_SIZE; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

bool verbs_known(const char *name)
{
	return find(name);
}

void verbs_print(void)
{
	for (unsigned i = 0; i < TABLE_SIZE; i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s %s", verbs[i].name, verbs[i].usage);
		printf("  %-32s %s\n", text, verbs[i].help);
	}
}

static void print_help(const struct verb *v)
{
	printf("usage: ublk-lua %s%s%s%s%s\n\n%s\n", v->name, *v->usage ? " " : "", v->usage,
	       v->options & VERB_JSON ? " [--json]" : "",
	       v->options & VERB_TIMEOUT ? " [--queue N|all] [--timeout SECONDS]"
	       : v->options & VERB_QUEUE ? " [--queue N]"
	       : v->options & VERB_COUNT ? " [--count FRAMES]"
					 : "",
	       v->help);
	if (v->takes_id)
		puts("\nID is the device's number or its node: 0, ublkb0 or /dev/ublkb0.");
}

int verbs_parse_id(const char *text, uint32_t *id)
{
	static const char *const prefixes[] = { "/dev/ublkb", "/dev/ublkc", "ublkb", "ublkc", "" };
	const char *digits = text;
	char *end;
	unsigned long n;

	for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t size = strlen(prefixes[i]);

		if (strncmp(text, prefixes[i], size) == 0) {
			digits = text + size;
			break;
		}
	}
	n = strtoul(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end || n >= 1 << 20) {
		log_error("%s: no device; write its number or node: 0, ublkb0 or /dev/ublkb0",
			  text);
		return -EINVAL;
	}
	*id = (uint32_t)n;
	return 0;
}

static int misuse(const struct verb *v, const char *what, const char *word)
{
	log_error("%s: %s%s; usage: ublk-lua %s%s%s", v->name, what, word, v->name,
		  *v->usage ? " " : "", v->usage);
	return -EINVAL;
}

/* `used`: getopt has moved the words behind the options, and begins with them. */
static int parse_words(const struct verb *v, struct verb_call *call, int argc, char **argv)
{
	bool needs_id = v->takes_id && !(call->options & VERB_ALL);

	if (needs_id && optind == argc)
		return misuse(v, "which device? An ID is missing", "");
	if (needs_id && verbs_parse_id(argv[optind++], &call->id))
		return -EINVAL;
	call->words = argv + optind;
	call->count = (unsigned)(argc - optind);
	if (call->count > v->max)
		return misuse(v, "unexpected word ", call->words[v->max]);
	if (call->count < v->min)
		return misuse(v, "a word is missing", "");
	return 0;
}

/* 0, 1: only help was wanted, or -EINVAL. */
static int parse(const struct verb *v, struct verb_call *call, int argc, char **argv)
{
	int value;

	optind = 0; /* begin anew */
	opterr = 0;
	while ((value = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (value == 'h') {
			print_help(v);
			return 1;
		}
		if (value == ':')
			return misuse(v, "an argument is missing for ", argv[optind - 1]);
		if (value == '?' || !(v->options & (unsigned)value))
			return misuse(v, "unknown option ", argv[optind - 1]);
		call->options |= (unsigned)value;
		if (value == VERB_QUEUE)
			call->queue = optarg;
		else if (value == VERB_TIMEOUT)
			call->timeout = optarg;
		else if (value == VERB_COUNT)
			call->frames = optarg;
	}
	return parse_words(v, call, argc, argv);
}

int verbs_run(int argc, char **argv, bool json)
{
	const struct verb *v = find(argv[0]);
	struct verb_call call = { .options = json ? VERB_JSON : 0 };
	int ret = parse(v, &call, argc, argv);

	if (ret)
		return ret < 0 ? EXIT_USAGE : EXIT_OK;
	return v->run(&call);
}
