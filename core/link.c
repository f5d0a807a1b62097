/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

int link_open(struct link *link)
{
	void *share = mmap(NULL, sizeof(*link->share), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (share == MAP_FAILED) {
		log_error("no memory to share with the server process: %s", strerror(errno));
		return -errno;
	}
	*link = (struct link){ .share = share, .fd = -1, .talk_fd = -1 };
	link->lasting_fd = memfd_create("ublk-lua", MFD_CLOEXEC);
	if (link->lasting_fd >= 0)
		return 0;
	log_error("memfd_create: %s", strerror(errno));
	munmap(share, sizeof(*link->share));
	return -errno;
}

/* A server without its supervisor could not be stopped: it goes with it. */
static void tie_to_supervisor(pid_t supervisor)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != supervisor)
		_exit(1);
}

/* The pid as from fork; each side keeps its end of the sockets. */
static pid_t fork_with_sockets(struct link *link)
{
	pid_t supervisor = getpid();
	int fds[2], talk[2] = { -1, -1 };
	pid_t pid = -1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) == 0)
		pid = fork();
	if (pid < 0) {
		pid = -errno;
		close(fds[0]);
		close(fds[1]);
		if (talk[0] >= 0) {
			close(talk[0]);
			close(talk[1]);
		}
		return pid;
	}
	link->fd = fds[pid ? 0 : 1];
	link->talk_fd = talk[pid ? 0 : 1];
	close(fds[pid ? 1 : 0]);
	close(talk[pid ? 1 : 0]);
	if (pid == 0)
		tie_to_supervisor(supervisor);
	return pid;
}

static void hang_up(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	if (link->talk_fd >= 0)
		close(link->talk_fd);
	link->fd = link->talk_fd = -1;
}

pid_t link_fork(struct link *link)
{
	pid_t pid;

	hang_up(link);
	atomic_store(&link->share->keeping, false);
	pid = fork_with_sockets(link);
	if (pid < 0)
		log_error("cannot start the server process: %s", strerror(-pid));
	return pid;
}

void link_close(struct link *link)
{
	hang_up(link);
	close(link->lasting_fd);
	munmap(link->share, sizeof(*link->share));
}

void link_send(const struct link *link, int32_t message)
{
	while (send(link->fd, &message, sizeof(message), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

int link_receive(const struct link *link, int32_t *message, int interrupt_fd)
{
	struct pollfd fds[2] = {
		{ .fd = link->fd, .events = POLLIN },
		{ .fd = interrupt_fd, .events = POLLIN },
	};
	ssize_t n;

	/* A message first: the SIGCHLD of a server that has failed comes with its last word. */
	while (poll(fds, 2, -1) < 0 || !fds[0].revents)
		if (fds[1].revents)
			return -ECANCELED;
	do
		n = recv(link->fd, message, sizeof(*message), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(*message) ? 0 : -EPIPE;
}
