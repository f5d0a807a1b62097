/* SPDX-License-Identifier: MIT */
/*
 * Start of the program: the command line, one call for each verb.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "cli.h"
#include "features.h"
#include "locate.h"
#include "log.h"
#include "script.h"
#include "serve.h"
#include "verbs.h"

static int script_help_verb(const struct cli *cli)
{
	char path[PATH_MAX];
	struct script_config config = {
		.path = cli->chunk ? cli->script : path,
		.chunk = cli->chunk,
	};
	int ret = cli->chunk ? 0 : locate_script(cli->script, path);

	if (ret == 0)
		ret = script_help(&config);
	return ret ? EXIT_FAILED : EXIT_OK;
}

/* With 0 to 2 closed, a log line would go into whatever file or socket got the number. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	struct cli cli;

	fill_standard_descriptors();

	if (cli_parse(&cli, argc, argv))
		return EXIT_USAGE;
	if (cli.verbose)
		log_set_level(UL_LOG_DEBUG);

	switch (cli.verb) {
	case CLI_HELP:
		cli_print_help();
		puts("\nverbs, for devices that run (each has --help):");
		verbs_print();
		return EXIT_OK;
	case CLI_VERSION:
		puts("ublk-lua " UBLK_LUA_VERSION);
		return EXIT_OK;
	case CLI_CHECK_HELP:
		cli_print_check_help();
		return EXIT_OK;
	case CLI_CHECK:
		return check_run(&cli);
	case CLI_FEATURES:
		return features_print(cli.json) ? EXIT_FAILED : EXIT_OK;
	case CLI_OPERATE:
		return verbs_run((int)cli.arg_count, cli.args, cli.json);
	case CLI_SCRIPT_HELP:
		return script_help_verb(&cli);
	case CLI_RUN:
		return serve_run(&cli);
	}
	return EXIT_FAILED;
}
