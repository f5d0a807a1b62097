/* SPDX-License-Identifier: MIT */
/*
 * To open a block device may wait for its I/O (somebody reads its partitions
 * just now), and to close it, too (pages that were written), where no signal
 * is heard. Who asks is the one who can end a script that hangs, and so a
 * child does it, which keeps nothing open but what it waits for.
 */
#include "in_use.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_refused(const char *node)
{
	return open(node, O_RDONLY | O_EXCL | O_CLOEXEC) < 0 && errno == EBUSY;
}

bool in_use(const char *node, int wait_ms)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		close_range(0, ~0U, 0);
		_exit(is_refused(node));
	}
	if (pid < 0)
		return true; /* nobody knows */
	for (int waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited += 10) {
		if (waited >= wait_ms) {
			kill(pid, SIGKILL);
			return true;
		}
		usleep(10000);
	}
	return !WIFEXITED(status) || WEXITSTATUS(status);
}
