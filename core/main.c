/* SPDX-License-Identifier: MIT */
/*
 * Start of the program: signals, the command line, one call for each verb.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "cli.h"
#include "features.h"
#include "locate.h"
#include "log.h"
#include "script.h"
#include "serve.h"

static int script_help_verb(const struct cli *cli)
{
	char path[PATH_MAX];
	int ret = locate_script(cli->script, path);

	if (ret == 0)
		ret = script_help(&(struct script_config){ .path = path });
	return ret ? EXIT_FAILED : EXIT_OK;
}

int main(int argc, char **argv)
{
	struct cli cli;
	sigset_t set;

	/* Before any thread: all inherit it, and only the main thread reads its signalfd. */
	serve_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);

	if (cli_parse(&cli, argc, argv))
		return EXIT_USAGE;
	if (cli.verbose)
		log_set_level(UL_LOG_DEBUG);

	switch (cli.verb) {
	case CLI_HELP:
		cli_print_help();
		return EXIT_OK;
	case CLI_VERSION:
		puts("ublk-lua " UBLK_LUA_VERSION);
		return EXIT_OK;
	case CLI_FEATURES:
		return features_print(cli.json) ? EXIT_FAILED : EXIT_OK;
	case CLI_SCRIPT_HELP:
		return script_help_verb(&cli);
	case CLI_RUN:
		return serve_run(&cli);
	}
	return EXIT_FAILED;
}
