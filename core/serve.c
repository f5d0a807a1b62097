/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "captive.h"
#include "device.h"
#include "locate.h"
#include "log.h"

enum { COMMAND_GRACE_MS = 5000 };

struct session {
	const struct cli *cli;
	struct device *device;
	int signal_fd;
	pid_t command; /* 0: none, or it has ended */
	int status;
};

void serve_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
}

static uint64_t new_seed(void)
{
	uint32_t seed = 0; /* short enough to type; a failed call leaves a seed all the same */

	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	return seed;
}

/* On stdout only the node; with a command, stdout is the command's and its node is in $DEV. */
static void announce(const struct session *s)
{
	char text[256];

	device_describe(s->device, text, sizeof(text));
	log_info("%s", text);
	if (s->cli->command)
		return;
	/* Whoever started us waits for this line; a closed stdout is no reason to stop. */
	puts(device_node(s->device));
	(void)fflush(stdout);
}

/* A signal has come. True when the session is over. */
static bool handle_signal(struct session *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD) {
		if (!s->command || !captive_ended(s->command, &s->status))
			return false;
		s->command = 0;
		return true;
	}
	log_debug("signal %u: stopping", info.ssi_signo);
	if (s->command) {
		s->status = captive_end(s->command, (int)info.ssi_signo, COMMAND_GRACE_MS);
		s->command = 0;
	}
	return true;
}

static void wait_for_end(struct session *s)
{
	struct pollfd fds[2] = {
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = device_ended_fd(s->device), .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue; /* EINTR: a debugger; nothing else can happen here */
		if (fds[0].revents && handle_signal(s))
			return;
		if (fds[1].revents) {
			log_warn("%s has lost its server", device_node(s->device));
			if (s->command)
				s->status = captive_end(s->command, SIGTERM, COMMAND_GRACE_MS);
			s->command = 0;
			return;
		}
	}
}

static void serve(struct session *s)
{
	int ret = device_start(s->device, s->signal_fd);

	if (ret) {
		s->status = ret == -ECANCELED && !s->cli->command ? EXIT_OK : EXIT_FAILED;
		return;
	}
	announce(s);
	if (s->cli->command &&
	    captive_start(s->cli->command, device_node(s->device), &s->command)) {
		s->status = 127; /* as a shell does */
		return;
	}
	wait_for_end(s);
}

static int report(const struct session *s)
{
	struct stats_report report;

	device_report(s->device, &report);
	if (s->cli->verbose)
		stats_print(&report);
	return s->cli->stats ? stats_write(&report, s->cli->stats) : 0;
}

static int open_device(struct session *s)
{
	static char path[PATH_MAX]; /* lives as long as the device does */
	const struct cli *cli = s->cli;
	struct server_config config = {
		.path = path,
		.args = cli->args,
		.arg_count = cli->arg_count,
		.seed = cli->seed_given ? cli->seed : new_seed(),
		.queues = cli->queues,
		.depth = cli->depth,
	};
	int ret = locate_script(cli->script, path);

	if (ret)
		return ret;
	return device_open(&s->device, &config, cli->id, s->signal_fd);
}

int serve_run(const struct cli *cli)
{
	struct session s = { .cli = cli, .status = EXIT_OK };
	sigset_t set;
	int ret;

	serve_signals(&set);
	s.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signal_fd < 0) {
		log_error("signalfd: %s", strerror(errno));
		return EXIT_FAILED;
	}
	ret = open_device(&s);
	if (ret) {
		close(s.signal_fd);
		return ret == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	serve(&s);
	ret = device_close(s.device);
	if (report(&s) || ret)
		s.status = s.status ? s.status : EXIT_FAILED;
	device_free(s.device);
	close(s.signal_fd);
	return s.status;
}
