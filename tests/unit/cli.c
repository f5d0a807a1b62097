/* SPDX-License-Identifier: MIT */
/*
 * core/cli.c: every option, what stands before and after the script, and one
 * line that names the mistake for each wrong command line.
 */
#include "support.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "cli.h"

enum { MOST_WORDS = 16 };

/* The words of the newest parse; struct cli points into them. */
static char line[256];
static char *words[MOST_WORDS + 2];

static int parse(struct cli *cli, const char *text, const char **log)
{
	int count = 0;
	int ret;

	snprintf(line, sizeof(line), "ublk-lua %s", text);
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		assert_true(count < MOST_WORDS);
		words[count++] = word;
	}
	words[count] = NULL;
	optind = 0; /* glibc's getopt starts anew */
	log_begin();
	ret = cli_parse(cli, count, words);
	*log = log_end();
	return ret;
}

static struct cli parsed(const char *text)
{
	const char *log;
	struct cli cli;

	assert_int_equal(parse(&cli, text, &log), 0);
	assert_string_equal(log, "");
	return cli;
}

static void assert_refused(const char *text, const char *said)
{
	const char *log;
	struct cli cli;

	assert_int_equal(parse(&cli, text, &log), -EINVAL);
	assert_has(log, said);
	assert_one_line(log);
}

static void check_has_options_of_its_own(void **state)
{
	struct cli cli = parsed("check --requests 5 --batch 2 --workload 3 --expect-clean a.lua "
				"size=1M");

	assert_int_equal(cli.verb, CLI_CHECK);
	assert_int_equal(cli.requests, 5);
	assert_int_equal(cli.batch, 2);
	assert_int_equal(cli.workload, 3);
	assert_true(cli.expect_clean);
	assert_string_equal(cli.script, "a.lua");
	assert_int_equal(cli.arg_count, 1);
	assert_int_equal(cli.seed, 1);
	cli = parsed("-d 7 --seed 9 check a.lua");
	assert_int_equal(cli.verb, CLI_CHECK);
	assert_int_equal(cli.depth, 7);
	assert_int_equal(cli.seed, 9);
	assert_int_equal(parsed("check --help").verb, CLI_CHECK_HELP);
	assert_int_equal(parsed("check a.lua --help").verb, CLI_SCRIPT_HELP);
}

static void memory_is_a_size_and_debug_a_switch(void **state)
{
	static const char *const wrong[] = { "3M",    "1", "x",	  "-8M", "8MB", "8T",
					     "1025G", "M", "nan", "inf", "0" };

	assert_int_equal(parsed("a.lua").memory, 0);
	assert_false(parsed("a.lua").debug);
	assert_int_equal(parsed("--memory 4M a.lua").memory, 4 << 20);
	assert_int_equal(parsed("--memory 4096k a.lua").memory, 4 << 20);
	assert_int_equal(parsed("--memory 4194304 a.lua").memory, 4 << 20);
	assert_int_equal(parsed("--memory 1.5g check a.lua").memory, 3ULL << 29);
	assert_int_equal(parsed("--memory 1024G a.lua").memory, 1ULL << 40);
	assert_true(parsed("--debug a.lua").debug);
	assert_true(parsed("check --debug a.lua").debug);
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		char text[64];

		snprintf(text, sizeof(text), "--memory %s a.lua", wrong[i]);
		assert_refused(text, "needs a size from 4M to 1024G");
	}
	assert_refused("--memory", "--memory");
	assert_refused("--debug=1 a.lua", "--debug");
}

static void options_of_another_verb_are_refused(void **state)
{
	assert_refused("check -n 3 a.lua", "--id: not an option of check");
	assert_refused("-q 2 check a.lua", "--queues: not an option of check");
	assert_refused("--batch 2 a.lua", "--batch: not an option of run");
	assert_refused("features --seed 3", "--seed: not an option of features");
	assert_refused("check a.lua -- true", "check: makes no device");
	assert_refused("check", "a script is missing");
}

static void a_script_alone_runs_with_defaults(void **state)
{
	struct cli cli = parsed("a.lua");

	assert_int_equal(cli.verb, CLI_RUN);
	assert_string_equal(cli.script, "a.lua");
	assert_int_equal(cli.arg_count, 0);
	assert_null(cli.command);
	assert_int_equal(cli.id, -1);
	assert_int_equal(cli.queues, 0);
	assert_int_equal(cli.depth, 0);
	assert_int_equal(cli.mode, -1);
	assert_false(cli.seed_given);
	assert_false(cli.verbose);
	assert_null(cli.stats);
}

static void each_option_has_its_long_form(void **state)
{
	struct cli cli =
		parsed("--id 7 --queues 2 --depth 64 --seed 99 --stats s.json --verbose x");

	assert_int_equal(cli.id, 7);
	assert_int_equal(cli.queues, 2);
	assert_int_equal(cli.depth, 64);
	assert_int_equal(cli.seed, 99);
	assert_true(cli.seed_given);
	assert_string_equal(cli.stats, "s.json");
	assert_true(cli.verbose);
	assert_string_equal(cli.script, "x");
	cli = parsed("--id=8 --seed=16 x");
	assert_int_equal(cli.id, 8);
	assert_int_equal(cli.seed, 16);
}

static void short_options_may_be_joined(void **state)
{
	struct cli cli = parsed("-vn3 -q 4 -d5 x");

	assert_true(cli.verbose);
	assert_int_equal(cli.id, 3);
	assert_int_equal(cli.queues, 4);
	assert_int_equal(cli.depth, 5);
}

static void numbers_hold_at_their_limits(void **state)
{
	assert_int_equal(parsed("-n 0 x").id, 0);
	assert_int_equal(parsed("-n 1048575 x").id, 1048575);
	assert_int_equal(parsed("-q 4096 x").queues, 4096);
	assert_int_equal(parsed("-d 1 x").depth, 1);
	assert_int_equal(parsed("-d 4096 x").depth, 4096);
	assert_int_equal(parsed("--seed 9007199254740992 x").seed, 1ULL << 53);
	assert_refused("-n 1048576 x", "--id 1048576: needs a whole number from 0 to 1048575");
	assert_refused("-q 0 x", "--queues 0: needs a whole number from 1 to 4096");
	assert_refused("-q 4097 x", "--queues 4097");
	assert_refused("-d 0 x", "--depth 0");
	assert_refused("-d 4097 x", "--depth 4097");
	assert_refused("--seed 9007199254740993 x", "--seed 9007199254740993");
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const texts[] = { "-1", "x", "1x", "1.5", "99999999999999999999", "0x" };

	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		char text[64];

		snprintf(text, sizeof(text), "--depth=%s x", texts[i]);
		assert_refused(text, "--depth ");
		assert_refused(text, texts[i]);
	}
	assert_refused("--depth= x", "--depth ");
}

static void the_word_run_may_stand_before_the_script(void **state)
{
	struct cli cli = parsed("run a.lua");

	assert_int_equal(cli.verb, CLI_RUN);
	assert_string_equal(cli.script, "a.lua");
	cli = parsed("-n 3 run -q 2 a.lua k=v");
	assert_int_equal(cli.id, 3);
	assert_int_equal(cli.queues, 2);
	assert_string_equal(cli.script, "a.lua");
	assert_int_equal(cli.arg_count, 1);
}

static void words_after_the_script_are_its_own(void **state)
{
	struct cli cli = parsed("a.lua rate=1% run features");

	assert_int_equal(cli.arg_count, 3);
	assert_string_equal(cli.args[0], "rate=1%");
	assert_string_equal(cli.args[2], "features");
	assert_null(cli.command);
}

static void words_after_two_dashes_are_a_command(void **state)
{
	struct cli cli = parsed("a.lua k=v -- fio --name=x -- y");

	assert_int_equal(cli.arg_count, 1);
	assert_string_equal(cli.command[0], "fio");
	assert_string_equal(cli.command[1], "--name=x");
	assert_string_equal(cli.command[2], "--");
	assert_string_equal(cli.command[3], "y");
	assert_null(cli.command[4]);
	assert_refused("a.lua --", "--: a command is missing after it");
}

static void help_is_the_programs_or_the_scripts(void **state)
{
	assert_int_equal(parsed("--help").verb, CLI_HELP);
	assert_int_equal(parsed("-h").verb, CLI_HELP);
	assert_int_equal(parsed("run --help").verb, CLI_HELP);
	assert_int_equal(parsed("a.lua --help").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("a.lua k=v -h").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("run a.lua --help").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("a.lua -- cmd --help").verb, CLI_RUN);
	assert_int_equal(parsed("--version").verb, CLI_VERSION);
}

static void features_takes_json_and_no_word(void **state)
{
	assert_int_equal(parsed("features").verb, CLI_FEATURES);
	assert_false(parsed("features").json);
	assert_true(parsed("features --json").json);
	assert_true(parsed("--json features").json);
	assert_int_equal(parsed("features --help").verb, CLI_HELP);
	assert_refused("features x", "features: unexpected word x");
}

static void a_mode_is_one_of_those_that_there_are(void **state)
{
	assert_int_equal(parsed("--mode auto x").mode, UL_MODE_AUTO);
	assert_int_equal(parsed("--mode auto_buf x").mode, UL_MODE_AUTO_BUF);
	assert_refused("--mode fast x", "--mode fast: needs auto, copy, get_data, user_copy");
	assert_refused("check --mode copy x", "--mode: not an option of check");
}

static void unknown_options_are_named(void **state)
{
	assert_refused("--frobnicate a.lua", "--frobnicate: unknown option; see ublk-lua --help");
	assert_refused("-Z a.lua", "-Z: unknown option");
	assert_refused("run -Z a.lua", "-Z: unknown option");
	assert_refused("a.lua --verbose", "--verbose: options of ublk-lua go before the script");
	assert_refused("a.lua -n 3", "-n: options of ublk-lua go before the script");
}

static void an_unknown_option_among_joined_ones_is_named(void **state)
{
	assert_refused("-vZv a.lua", "Z");
}

static void a_missing_argument_is_named(void **state)
{
	assert_refused("-n", "-n: needs an argument");
	assert_refused("--seed", "--seed: needs an argument");
	assert_refused("run --stats", "--stats: needs an argument");
}

static void a_missing_script_is_told(void **state)
{
	assert_refused("", "a script is missing; see ublk-lua --help");
	assert_refused("-v", "a script is missing");
	assert_refused("run", "a script is missing");
}

static int parse_chunk(struct cli *cli, const char *const *rest, const char **log)
{
	int count = 0;
	int ret;

	words[count++] = "ublk-lua";
	while (*rest)
		words[count++] = (char *)*rest++;
	words[count] = NULL;
	optind = 0;
	log_begin();
	ret = cli_parse(cli, count, words);
	*log = log_end();
	return ret;
}

static void a_chunk_takes_the_place_of_the_script(void **state)
{
	static const char *const lines[][8] = {
		{ "-e", "{ size = 1 }", "k=v", "--", "cmd", "x" },
		{ "-v", "run", "-e", "{ size = 1 }", "k=v", "--", "cmd", "x" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *rest[9] = { 0 };
		const char *log;
		struct cli cli;

		memcpy(rest, lines[i], sizeof(lines[i]));
		assert_int_equal(parse_chunk(&cli, rest, &log), 0);
		assert_int_equal(cli.verb, CLI_RUN);
		assert_string_equal(cli.script, "-e");
		assert_string_equal(cli.chunk, "{ size = 1 }");
		assert_int_equal(cli.arg_count, 1);
		assert_string_equal(cli.args[0], "k=v");
		assert_string_equal(cli.command[0], "cmd");
		assert_string_equal(cli.command[1], "x");
		assert_null(cli.command[2]);
	}
	assert_null(parsed("a.lua").chunk);
}

static void a_chunk_has_its_forms(void **state)
{
	assert_string_equal(parsed("-e {}").chunk, "{}");
	assert_string_equal(parsed("-e{}").chunk, "{}");
	assert_string_equal(parsed("--eval {} -q 2").chunk, "{}");
	assert_int_equal(parsed("-e {} -q 2").queues, 2);
	assert_int_equal(parsed("-e {} run k=v").arg_count, 1);
	assert_string_equal(parsed("--eval={} -- true").command[0], "true");
	assert_string_equal(parsed("-e {} -- run x").command[0], "run");
	assert_string_equal(parsed("run -e {} -- features").command[0], "features");
	assert_string_equal(parsed("-e -- -- true").chunk, "--");
	assert_string_equal(parsed("-e -- -- true").command[0], "true");
	assert_null(parsed("-e --").command);
	assert_null(parsed("-e -- k=v").command);
}

static void a_chunk_has_help_as_a_script_has(void **state)
{
	assert_int_equal(parsed("-e {} --help").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("-e {} k=v -h").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("run -e {} -h").verb, CLI_SCRIPT_HELP);
	assert_int_equal(parsed("-e {} -- cmd --help").verb, CLI_RUN);
	assert_int_equal(parsed("--help -e {}").verb, CLI_HELP);
}

static void a_chunk_and_a_script_are_too_much(void **state)
{
	assert_refused("-e {} a.lua",
		       "a.lua: -e CHUNK is the script; what follows are key=value words");
	assert_refused("-e {} run a.lua k=v", "a.lua: -e CHUNK is the script");
	assert_refused("-e {} -e {}", "-e: given twice");
	assert_refused("-e {} run -e {}", "-e: given twice");
	assert_refused("-e {} k=v -v", "-v: options of ublk-lua go before the script's key=value");
	assert_refused("-e {} --", "--: a command is missing after it");
	assert_refused("-e", "-e: needs an argument");
}

static void two_dashes_do_not_make_a_command_the_script(void **state)
{
	assert_refused("run -- true", "a script is missing");
	assert_refused("-- true", "a script is missing");
	assert_refused("-- run true", "a script is missing");
	assert_string_equal(parsed("--stats -- a.lua").script, "a.lua");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_alone_runs_with_defaults),
		cmocka_unit_test(check_has_options_of_its_own),
		cmocka_unit_test(memory_is_a_size_and_debug_a_switch),
		cmocka_unit_test(options_of_another_verb_are_refused),
		cmocka_unit_test(each_option_has_its_long_form),
		cmocka_unit_test(short_options_may_be_joined),
		cmocka_unit_test(numbers_hold_at_their_limits),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(the_word_run_may_stand_before_the_script),
		cmocka_unit_test(words_after_the_script_are_its_own),
		cmocka_unit_test(words_after_two_dashes_are_a_command),
		cmocka_unit_test(help_is_the_programs_or_the_scripts),
		cmocka_unit_test(features_takes_json_and_no_word),
		cmocka_unit_test(a_mode_is_one_of_those_that_there_are),
		cmocka_unit_test(unknown_options_are_named),
		cmocka_unit_test(an_unknown_option_among_joined_ones_is_named),
		cmocka_unit_test(a_missing_argument_is_named),
		cmocka_unit_test(a_missing_script_is_told),
		cmocka_unit_test(a_chunk_takes_the_place_of_the_script),
		cmocka_unit_test(a_chunk_has_its_forms),
		cmocka_unit_test(a_chunk_has_help_as_a_script_has),
		cmocka_unit_test(a_chunk_and_a_script_are_too_much),
		cmocka_unit_test(two_dashes_do_not_make_a_command_the_script),
	};

	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
