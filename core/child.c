/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

enum { EXIT_MS = 5000 }; /* for a server whose queues have ended */

/*
 * The server is forked at any time, also when its supervisor has clients: they are to see when that
 * closes a connection. What is the supervisor's own is closed by exec, what a user has left open
 * for the script is not.
 */
static void close_supervisors_files(const struct link *link)
{
	DIR *open_files = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (open_files && (entry = readdir(open_files))) {
		int fd = atoi(entry->d_name);

		if (fd <= STDERR_FILENO || fd == dirfd(open_files) || fd == link->fd ||
		    fd == link->talk_fd || fd == link->lasting_fd)
			continue;
		if (fcntl(fd, F_GETFD) & FD_CLOEXEC)
			close(fd);
	}
	if (open_files)
		closedir(open_files);
}

int child_start(struct child *c, struct link *link, const struct server_config *config,
		const char *name)
{
	pid_t pid = link_fork(link);

	if (pid == 0) {
		close_supervisors_files(link);
		exit(server_main(config, link));
	}
	*c = (struct child){ .config = config, .name = name, .link = link };
	if (pid < 0)
		return pid;
	c->pid = pid;
	return 0;
}

bool child_ended(struct child *c)
{
	siginfo_t info = { 0 };

	if (!c->pid)
		return true;
	/* Not reaped yet: so long its number, which is the group's too, is nobody else's. */
	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
		return false;
	kill(-c->pid, SIGKILL);
	waitpid(c->pid, &c->status, 0);
	c->pid = 0;
	return true;
}

static bool ended_within(struct child *c, int wait_ms)
{
	for (int waited = 0; waited < wait_ms; waited += 10) {
		if (child_ended(c))
			return true;
		usleep(10000);
	}
	return child_ended(c);
}

void child_kill(struct child *c, const char *node)
{
	if (child_ended(c))
		return;
	c->killed = true;
	kill(c->pid, SIGKILL);
	if (!ended_within(c, EXIT_MS))
		log_error("%s: the server cannot be killed; does its script use %s itself?",
			  c->name, node);
}

void child_await(struct child *c, const char *node)
{
	while (!ended_within(c, EXIT_MS) && atomic_load(&c->link->share->keeping))
		log_warn("%s: its backing still writes what was answered; waiting", c->name);
	if (child_ended(c))
		return;
	log_error("%s: the server does not end; killing it", c->name);
	child_kill(c, node);
}

int child_hear(struct child *c, int interrupt_fd)
{
	int32_t message;
	int ret = link_receive(c->link, &message, interrupt_fd);

	if (ret == 0) {
		c->heard = true;
		return message;
	}
	if (ret == -EPIPE) {
		child_await(c, "its device"); /* it has closed its files and is all but gone */
		if (!c->pid && WIFEXITED(c->status))
			log_error("%s: the server ended by itself with status %d", c->name,
				  WEXITSTATUS(c->status));
	}
	return ret;
}

int child_judge(const struct child *c)
{
	if (c->pid)
		return -EIO;
	if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == EXIT_SUCCESS)
		return 0;
	if (WIFSIGNALED(c->status) && !c->killed)
		log_error("%s: the server was ended by signal %d (%s)", c->name,
			  WTERMSIG(c->status), strsignal(WTERMSIG(c->status)));
	return -EIO;
}
