/* SPDX-License-Identifier: MIT */
#include "captive.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

extern char **environ;

/* The child starts with the signals that a shell would give it, not with those we block. */
static int spawn(char *const *command, pid_t *pid)
{
	posix_spawnattr_t attr;
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	ret = posix_spawnattr_init(&attr);
	if (ret)
		return ret;
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	/* Every descriptor of ours is close-on-exec: one kept open would block the device's end. */
	ret = posix_spawnp(pid, command[0], NULL, &attr, command, environ);
	posix_spawnattr_destroy(&attr);
	return ret;
}

int captive_start(char *const *command, const char *node, pid_t *pid)
{
	int ret;

	if (setenv("DEV", node, 1) < 0)
		return -errno;
	ret = spawn(command, pid);
	if (ret)
		log_error("%s: %s", command[0], strerror(ret));
	return -ret;
}

int captive_ended(pid_t pid, int *status)
{
	int raw;

	if (waitpid(pid, &raw, WNOHANG) != pid)
		return 0;
	*status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
	return 1;
}

static bool ended_within(pid_t pid, int wait_ms, int *status)
{
	const int step_ms = 10;

	for (int waited = 0; waited < wait_ms; waited += step_ms) {
		if (captive_ended(pid, status))
			return true;
		usleep(step_ms * 1000);
	}
	return captive_ended(pid, status);
}

int captive_end(pid_t pid, int signal, int grace_ms)
{
	int status;

	kill(pid, signal);
	if (ended_within(pid, grace_ms, &status))
		return status;
	log_warn("the command did not end on signal %d; killing it", signal);
	kill(pid, SIGKILL);
	/* Waiting for a request of ours, it goes when the device stops. */
	return ended_within(pid, grace_ms, &status) ? status : 128 + SIGKILL;
}
