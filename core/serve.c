/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "captive.h"
#include "device.h"
#include "locate.h"
#include "log.h"
#include "operate.h"

enum { COMMAND_GRACE_MS = 5000 };

struct session {
	const struct cli *cli;
	struct device *device;
	struct operate *operate; /* for clients of the control socket; NULL: there is none */
	int stop_fd;		 /* signals that end the session */
	int child_fd;		 /* SIGCHLD */
	pid_t command;		 /* 0: none, or it has ended */
	int status;
};

/* A descriptor that is readable when one of these signals has come; they do nothing else then. */
static int watch_signals(const int *signals, unsigned count)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < count; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
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

static void end_command(struct session *s, int signal)
{
	if (s->command)
		s->status = captive_end(s->command, signal, COMMAND_GRACE_MS);
	s->command = 0;
}

/* Its server has ended. Does the session, too? */
static bool server_died(struct session *s)
{
	int ret;

	log_warn("%s has lost its server", device_node(s->device));
	ret = device_recover(s->device, s->stop_fd);
	if (ret == 0) {
		operate_new_server(s->operate);
		return false;
	}
	if (ret != -ECANCELED && ret != -EOPNOTSUPP)
		s->status = s->status ? s->status : EXIT_FAILED;
	if (ret != -ECANCELED) /* what has interrupted it is looked at next */
		end_command(s, SIGTERM);
	return ret != -ECANCELED;
}

/* Does the session end, one way or the other? */
static bool server_spoke(struct session *s)
{
	if (device_hear(s->device))
		return server_died(s);
	log_error("%s: its script had an error, and on_error = \"stop\"", device_node(s->device));
	end_command(s, SIGTERM);
	s->status = s->status ? s->status : EXIT_FAILED;
	return true;
}

/* A child has ended; there may be others than ours, inherited from who started us. */
static bool child_ended_session(struct session *s)
{
	struct signalfd_siginfo info;

	(void)!read(s->child_fd, &info, sizeof(info));
	if (s->command && captive_ended(s->command, &s->status)) {
		s->command = 0;
		return true;
	}
	return device_has_ended(s->device) && server_died(s);
}

static void stop_signal(struct session *s)
{
	struct signalfd_siginfo info = { .ssi_signo = SIGTERM };

	(void)!read(s->stop_fd, &info, sizeof(info));
	log_debug("signal %u: stopping", info.ssi_signo);
	device_let_go(s->device); /* the command may wait for what the script holds */
	end_command(s, (int)info.ssi_signo);
}

/* Does one of them ask for the end? */
static bool client_ended_session(struct session *s)
{
	operate_run(s->operate);
	if (!operate_wants_end(s->operate))
		return false;
	device_let_go(s->device);
	end_command(s, SIGTERM);
	return true;
}

static void wait_for_end(struct session *s)
{
	struct pollfd fds[3 + OPERATE_FDS] = {
		{ .fd = s->stop_fd, .events = POLLIN },
		{ .fd = s->child_fd, .events = POLLIN },
	};
	int wait_ms, watch_ms;

	for (;;) {
		fds[2] = (struct pollfd){ device_fd(s->device), POLLIN, 0 };
		operate_poll(s->operate, fds + 3, &wait_ms);
		watch_ms = device_watch_ms(s->device);
		if (watch_ms >= 0 && (wait_ms < 0 || watch_ms < wait_ms))
			wait_ms = watch_ms;
		if (poll(fds, 3 + OPERATE_FDS, wait_ms) < 0)
			continue; /* EINTR: a debugger; nothing else can happen here */
		device_watch(s->device);
		if (fds[0].revents) {
			stop_signal(s);
			return;
		}
		if (fds[1].revents) {
			if (child_ended_session(s))
				return;
			continue; /* there may be a new server, with other descriptors */
		}
		if (fds[2].revents && server_spoke(s))
			return;
		if (s->operate && client_ended_session(s))
			return;
	}
}

static void serve(struct session *s)
{
	int ret = device_start(s->device, s->stop_fd);

	if (ret) {
		s->status = ret == -ECANCELED && !s->cli->command ? EXIT_OK : EXIT_FAILED;
		return;
	}
	(void)operate_open(&s->operate, s->device);
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
		.path = cli->chunk ? cli->script : path,
		.chunk = cli->chunk,
		.args = cli->args,
		.arg_count = cli->arg_count,
		.seed = cli->seed_given ? cli->seed : new_seed(),
		.queues = cli->queues,
		.depth = cli->depth,
		.mode = cli->mode,
		.recover = cli->recover,
		.watchdog = cli->watchdog,
		.memory = cli->memory,
		.debug = cli->debug,
	};
	int ret = cli->chunk ? 0 : locate_script(cli->script, path);

	if (ret)
		return ret;
	return device_open(&s->device, &config, cli->id, s->stop_fd);
}

static int open_session(struct session *s)
{
	/* Whatever would end the process by default: the device is to be removed first. */
	static const int stop[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM };
	static const int child[] = { SIGCHLD };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an errno for the client */
	signal(SIGCHLD, SIG_DFL); /* inherited as ignored, children would go without a trace */
	s->stop_fd = watch_signals(stop, sizeof(stop) / sizeof(stop[0]));
	s->child_fd = watch_signals(child, 1);
	if (s->stop_fd < 0 || s->child_fd < 0) {
		log_error("signalfd: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

int serve_run(const struct cli *cli)
{
	struct session s = { .cli = cli, .status = EXIT_OK };
	int ret = open_session(&s);

	if (ret)
		return EXIT_FAILED;
	ret = open_device(&s);
	if (ret == -ECANCELED && !cli->command)
		return EXIT_OK; /* stopped before it had begun */
	if (ret)
		return ret == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	serve(&s);
	ret = device_close(s.device);
	operate_close(s.operate, ret != 0);
	if (report(&s) || ret)
		s.status = s.status ? s.status : EXIT_FAILED;
	device_free(s.device);
	close(s.child_fd);
	close(s.stop_fd);
	return s.status;
}
