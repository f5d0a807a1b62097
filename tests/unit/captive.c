/* SPDX-License-Identifier: MIT */
/*
 * core/captive.c: the command's exit status is told as a shell would, it gets
 * its node and clean signals, and one that does not end is ended.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "captive.h"

static pid_t start(const char *shell_text)
{
	char *const command[] = { "sh", "-c", (char *)shell_text, NULL };
	pid_t pid = 0;

	assert_int_equal(captive_start(command, "/dev/ublkb9", &pid), 0);
	assert_true(pid > 0);
	return pid;
}

/* Wait for the child without taking its status away from captive_ended. */
static int status_of(pid_t pid)
{
	siginfo_t info;
	int status = -1;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(captive_ended(pid, &status), 1);
	return status;
}

static void exit_statuses_are_passed_on(void **state)
{
	assert_int_equal(status_of(start("exit 0")), 0);
	assert_int_equal(status_of(start("exit 7")), 7);
	assert_int_equal(status_of(start("exit 255")), 255);
}

static void death_by_a_signal_is_128_and_its_number(void **state)
{
	assert_int_equal(status_of(start("kill -TERM $$")), 128 + SIGTERM);
	assert_int_equal(status_of(start("kill -KILL $$")), 128 + SIGKILL);
}

static void the_node_is_in_the_environment(void **state)
{
	assert_int_equal(status_of(start("test \"$DEV\" = /dev/ublkb9")), 0);
}

static void a_running_command_has_not_ended(void **state)
{
	int gate[2], status = -1;
	char *const command[] = { "cat", NULL };
	int stdin_kept = dup(STDIN_FILENO);
	pid_t pid;

	/* cat ends when the test closes its end of the pipe, and not before. */
	assert_int_equal(pipe(gate), 0);
	dup2(gate[0], STDIN_FILENO);
	close(gate[0]);
	assert_int_equal(fcntl(gate[1], F_SETFD, FD_CLOEXEC), 0);
	assert_int_equal(captive_start(command, "/dev/ublkb9", &pid), 0);
	dup2(stdin_kept, STDIN_FILENO);
	close(stdin_kept);
	assert_int_equal(captive_ended(pid, &status), 0);
	assert_int_equal(status, -1);
	close(gate[1]);
	assert_int_equal(status_of(pid), 0);
}

static void a_missing_command_is_told_by_name(void **state)
{
	char *const command[] = { "no-such-command-here", NULL };
	const char *log;
	pid_t pid = 0;
	int ret;

	log_begin();
	ret = captive_start(command, "/dev/ublkb9", &pid);
	log = log_end();
	assert_int_equal(ret, -ENOENT);
	assert_has(log, "no-such-command-here: No such file or directory");
	assert_one_line(log);
}

/* The program blocks and ignores signals; its child must not inherit that. */
static void the_command_starts_with_default_signals(void **state)
{
	sigset_t set, before;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &before), 0);
	signal(SIGPIPE, SIG_IGN);
	status = status_of(start("kill -TERM $$; exit 3"));
	assert_int_equal(status, 128 + SIGTERM);
	status = status_of(start("kill -PIPE $$; exit 3"));
	assert_int_equal(status, 128 + SIGPIPE);
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

static void ending_passes_the_signal_on(void **state)
{
	assert_int_equal(captive_end(start("exec cat /dev/zero >/dev/null"), SIGTERM, 5000),
			 128 + SIGTERM);
	assert_int_equal(captive_end(start("exec cat /dev/zero >/dev/null"), SIGINT, 5000),
			 128 + SIGINT);
}

static void a_command_that_ignores_the_signal_is_killed(void **state)
{
	int ready[2], status;
	char text[64], byte;
	const char *log;
	pid_t pid;

	/* The trap must be set before the signal comes: the child says when. */
	assert_int_equal(pipe(ready), 0);
	snprintf(text, sizeof(text), "trap '' TERM; echo >&%d; exec cat /dev/zero >/dev/null",
		 ready[1]);
	pid = start(text);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	log_begin();
	status = captive_end(pid, SIGTERM, 50);
	log = log_end();
	assert_int_equal(status, 128 + SIGKILL);
	assert_has(log, "did not end on signal 15; killing it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_statuses_are_passed_on),
		cmocka_unit_test(death_by_a_signal_is_128_and_its_number),
		cmocka_unit_test(the_node_is_in_the_environment),
		cmocka_unit_test(a_running_command_has_not_ended),
		cmocka_unit_test(a_missing_command_is_told_by_name),
		cmocka_unit_test(the_command_starts_with_default_signals),
		cmocka_unit_test(ending_passes_the_signal_on),
		cmocka_unit_test(a_command_that_ignores_the_signal_is_killed),
	};

	return cmocka_run_group_tests_name("captive", tests, NULL, NULL);
}
