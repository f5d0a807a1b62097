/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli_options.h"
#include "log.h"
#include "verbs.h"

enum { DEFAULT_REQUESTS = 20000, DEFAULT_BATCH = 32 };

void cli_print_help(void)
{
	puts("usage: ublk-lua [run] [options] SCRIPT [key=value ...] [-- COMMAND [ARG ...]]\n"
	     "       ublk-lua [run] [options] -e CHUNK [key=value ...] [-- COMMAND [ARG ...]]\n"
	     "       ublk-lua SCRIPT --help\n"
	     "       ublk-lua check [options] SCRIPT|-e CHUNK [key=value ...]\n"
	     "       ublk-lua check --help\n"
	     "       ublk-lua features [--json]\n"
	     "       ublk-lua VERB [--help] ...\n"
	     "\n"
	     "A Linux block device whose behaviour is a Lua script. Prints the device's node on\n"
	     "stdout when it is ready and serves it until SIGINT or SIGTERM. With COMMAND: runs\n"
	     "it with the node in $DEV, removes the device when it ends, and exits as it did.\n"
	     "`check` tries the script out without a device.\n"
	     "\n"
	     "exit status: the COMMAND's (128 + N: ended by signal N; 127: it cannot be run);\n"
	     "without one 0 ended by a signal or by `stop`; 1 failed; 2 wrong usage");
	cli_options_print(RUN);
}

void cli_print_check_help(void)
{
	puts("usage: ublk-lua check [options] SCRIPT [key=value ...]\n"
	     "       ublk-lua check [options] -e CHUNK [key=value ...]\n"
	     "\n"
	     "Tries a script out with no device, no kernel and no root: sends it reads, writes,\n"
	     "flushes, discards and write zeroes, holds the data against what it should be, and\n"
	     "tells what the handlers did, what they cost, and whether LuaJIT compiles them. Its\n"
	     "backing file, if any, is left alone; of several queues one is tried. Time is\n"
	     "simulated. The same seeds give the same run.\n"
	     "\n"
	     "exit status:\n"
	     "  0  fine\n"
	     "  1  the script does not load, a handler or task threw, a handler gave a wrong "
	     "verdict\n"
	     "     or no answer, the script took more than --memory, data was wrong with\n"
	     "     --expect-clean, a buffer was misused with --debug, or ublk-lua itself has a "
	     "bug\n"
	     "  2  wrong usage");
	cli_options_print(CHECK);
}

/* A word after the script that is neither "--" nor its --help. */
static int check_script_word(const struct cli *cli, const char *word)
{
	if (word[0] == '-') {
		log_error("%s: options of ublk-lua go before the script%s; see ublk-lua --help",
			  word, cli->chunk ? "'s key=value words" : "");
		return -EINVAL;
	}
	if (cli->chunk && !strchr(word, '=')) {
		log_error("%s: -e CHUNK is the script; what follows are key=value words", word);
		return -EINVAL;
	}
	return 0;
}

/* The words after the script: its options, its --help, and the command after "--". */
static int parse_script_words(struct cli *cli, int count, char **words)
{
	cli->args = words;
	for (int i = 0; i < count; i++) {
		if (strcmp(words[i], "--") == 0) {
			if (i + 1 == count) {
				log_error("--: a command is missing after it");
				return -EINVAL;
			}
			cli->command = words + i + 1;
			return 0;
		}
		if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
			cli->verb = CLI_SCRIPT_HELP;
		else if (check_script_word(cli, words[i]))
			return -EINVAL;
		cli->arg_count++;
	}
	return 0;
}

/* Read the verb, if `word` is one. */
static bool parse_verb(struct cli *cli, const char *word, unsigned *verb)
{
	if (!word)
		return false;
	if (strcmp(word, "check") == 0) {
		cli->verb = CLI_CHECK;
		*verb = CHECK;
	} else if (strcmp(word, "features") == 0) {
		cli->verb = CLI_FEATURES;
		*verb = FEATURES;
	} else if (verbs_known(word)) {
		cli->verb = CLI_OPERATE;
		*verb = OPERATE;
	}
	return *verb != RUN || strcmp(word, "run") == 0;
}

/* Is nothing left to parse: did they only ask for --help or --version? */
static bool only_asked(const struct cli *cli)
{
	return cli->verb == CLI_HELP || cli->verb == CLI_CHECK_HELP || cli->verb == CLI_VERSION;
}

static int parse_script(struct cli *cli, int argc, char **argv, bool ended)
{
	int ret;

	if (!cli->chunk && (optind >= argc || ended)) {
		log_error("a script is missing; see ublk-lua --help");
		return -EINVAL;
	}
	if (cli->chunk) { /* with the "--" */
		ret = parse_script_words(cli, argc - optind + ended, argv + optind - ended);
	} else {
		cli->script = argv[optind];
		ret = parse_script_words(cli, argc - optind - 1, argv + optind + 1);
	}
	if (ret == 0 && cli->verb == CLI_CHECK && cli->command) {
		log_error("check: makes no device, so it runs no command");
		return -EINVAL;
	}
	return ret;
}

int cli_parse(struct cli *cli, int argc, char **argv)
{
	unsigned verb = RUN;
	uint32_t used = 0;
	bool ended;
	int ret;

	*cli = (struct cli){ .verb = CLI_RUN,
			     .id = -1,
			     .mode = -1,
			     .recover = -1,
			     .requests = DEFAULT_REQUESTS,
			     .batch = DEFAULT_BATCH,
			     .workload = 1 };
	ret = cli_options_parse(cli, argc, argv, &ended, &used);
	if (ret || only_asked(cli))
		return ret;
	if (optind < argc && !ended && parse_verb(cli, argv[optind], &verb)) {
		/* Options may stand before the verb and after it. */
		argc -= optind;
		argv += optind;
		if (verb == OPERATE) {
			cli->args = argv;
			cli->arg_count = (unsigned)argc;
			return cli_options_check(used, verb, argv[0]);
		}
		optind = 1;
		ret = cli_options_parse(cli, argc, argv, &ended, &used);
		if (ret == 0 && verb == CHECK && cli->verb == CLI_HELP)
			cli->verb = CLI_CHECK_HELP;
		if (ret || only_asked(cli))
			return ret;
	}
	ret = cli_options_check(used, verb,
				verb == CHECK ? "check"
				: verb == RUN ? "run"
					      : "features");
	if (ret)
		return ret;
	if (verb == CHECK && !cli->seed_given)
		cli->seed = 1;
	if (verb != FEATURES)
		return parse_script(cli, argc, argv, ended);
	if (optind >= argc)
		return 0;
	log_error("features: unexpected word %s", argv[optind]);
	return -EINVAL;
}
