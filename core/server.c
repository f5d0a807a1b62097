/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "backend.h"
#include "clock.h"
#include "lasting.h"
#include "log.h"
#include "params.h"
#include "relay.h"
#include "script.h"
#include "shared.h"
#include "watchdog.h"
#include "worker.h"

enum { NODE_WAIT_MS = 3000 }; /* devtmpfs and udev */

struct server {
	const struct server_config *config;
	const struct link *link;
	struct link_share *share;
	struct backend *backend;
	int char_fd;
	int ended_fd;		 /* eventfd: queues that have ended */
	int stop_fd;		 /* eventfd: a script wants its device to end */
	int *wake_fds;		 /* eventfds, one for each queue: look at the stage */
	uint64_t epoch;		 /* CLOCK_MONOTONIC, ns: 0 on the device's clock */
	unsigned queues;	 /* to scripts: threads of all hardware queues */
	struct script **scripts; /* one for each queue */
	struct worker *workers;
	struct relay relay;
	struct watchdog watchdog;
	const struct stats **stats; /* of each queue, for it */
	unsigned running;	    /* workers that were started */
};

static int open_script(struct server *s, unsigned queue, struct script **script,
		       struct ul_device *spec)
{
	struct script_config cfg = {
		.path = s->config->path,
		.chunk = s->config->chunk,
		.args = s->config->args,
		.arg_count = s->config->arg_count,
		.seed = s->config->seed,
		.queue = queue,
		.memory = s->config->memory,
		.stats = &s->share->queue[queue].stats.script,
	};

	return script_open(script, &cfg, spec);
}

/* The first state tells what the device is; the driver then says how many more are needed. */
static int load(struct server *s, struct script **first)
{
	struct ul_device *spec = &s->share->spec;
	const char *slash = strrchr(s->config->path, '/');
	const char *name = slash ? slash + 1 : s->config->path;
	int ret = open_script(s, 0, first, spec);

	if (ret)
		return ret;
	if (s->config->queues)
		spec->queues = s->config->queues;
	if (s->config->depth)
		spec->depth = s->config->depth;
	if (s->config->mode >= 0)
		spec->mode = s->config->mode;
	if (s->config->recover >= 0)
		spec->recover = s->config->recover;
	if (s->config->watchdog)
		spec->watchdog = s->config->watchdog;
	if (spec->recover)
		lasting_use(&s->share->lasting, s->link->lasting_fd);
	ret = backend_probe(spec, name);
	if (ret == 0)
		ret = params_complete(spec, name);
	if (ret == 0)
		ret = backend_open(&s->backend, spec);
	if (ret == 0)
		s->share->backing = (struct mode_backing){ .lazy = s->backend->lazy,
							   .fixed = s->backend->fixed };
	/* -EINVAL is kept for the command line; this is the script. */
	return ret ? -ENOEXEC : 0;
}

static int open_wake_fds(struct server *s)
{
	s->wake_fds = calloc(s->queues, sizeof(*s->wake_fds));
	if (!s->wake_fds) {
		log_error("out of memory");
		return -ENOMEM;
	}
	for (unsigned q = 0; q < s->queues; q++)
		s->wake_fds[q] = -1;
	for (unsigned q = 0; q < s->queues; q++) {
		s->wake_fds[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->wake_fds[q] < 0) {
			log_error("eventfd: %s", strerror(errno));
			return -errno;
		}
	}
	return 0;
}

/* `first` is the server's from here on. */
static int load_others(struct server *s, struct script *first)
{
	int ret = 0;

	s->queues = s->share->info.nr_hw_queues * s->share->spec.threads;
	s->stats = calloc(s->queues, sizeof(*s->stats));
	s->scripts = calloc(s->queues, sizeof(*s->scripts));
	s->workers = calloc(s->queues, sizeof(*s->workers));
	if (s->scripts)
		s->scripts[0] = first;
	else
		script_close(first);
	if (!s->scripts || !s->workers || !s->stats) {
		log_error("out of memory");
		return -ENOMEM;
	}
	for (unsigned q = 0; q < s->queues; q++)
		s->stats[q] = &s->share->queue[q].stats;
	ret = watchdog_open(&s->watchdog, s->share->spec.watchdog, s->queues);
	for (unsigned q = 1; ret == 0 && q < s->queues; q++) {
		struct ul_device same;

		ret = open_script(s, q, &s->scripts[q], &same);
	}
	if (ret == 0)
		ret = open_wake_fds(s);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): not lost, close_all frees wake_fds. */
	return ret ? ret : relay_open(&s->relay, s->link->talk_fd, s->wake_fds, s->queues);
}

/* The node comes from devtmpfs, its mode from udev, and udev may hold it for a moment. */
static int open_char_device(struct server *s)
{
	const int step_ms = 20;
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", s->share->info.dev_id);
	for (int waited = 0;; waited += step_ms) {
		s->char_fd = open(path, O_RDWR | O_CLOEXEC);
		if (s->char_fd >= 0)
			return 0;
		if ((errno != ENOENT && errno != EACCES && errno != EBUSY) || waited > NODE_WAIT_MS)
			break;
		usleep(step_ms * 1000);
	}
	log_error("%s: %s", path, strerror(errno));
	return -errno;
}

static int start_worker(struct server *s, unsigned queue)
{
	const struct ublksrv_ctrl_dev_info *info = &s->share->info;
	struct worker_config cfg = {
		.queue = {
			.char_fd = s->char_fd,
			.queue = queue,
			.split = split_of(queue, s->share->spec.threads),
			.depth = info->queue_depth,
			.max_io = info->max_io_buf_bytes,
			.flags = info->flags,
			.wake_fd = s->wake_fds[queue],
			.epoch = s->epoch,
			.huge_pages = s->share->spec.huge_pages,
			.integrity = s->share->spec.integrity,
		},
		.cpus = s->share->queue[queue].cpus,
		.script = s->scripts[queue],
		.backend = s->backend,
		.stats = &s->share->queue[queue].stats,
		.device = &s->share->spec,
		.stage = &s->share->stage,
		.debug = s->config->debug,
		.stop_fd = s->stop_fd,
		.ended_fd = s->ended_fd,
		.requests = &s->relay.requests[queue],
		.answers = &s->relay.answers,
	};
	int ret = worker_start(&s->workers[queue], &cfg);

	if (ret == 0)
		s->running++;
	return ret;
}

/* Every started worker is waited for even after a failure: a stop must not overtake a fetch. */
static int start_workers(struct server *s)
{
	int ret = 0;

	s->epoch = clock_now();
	for (unsigned q = 0; ret == 0 && q < s->queues; q++)
		ret = start_worker(s, q);
	for (unsigned q = 0; q < s->running; q++) {
		int error = worker_wait_ready(&s->workers[q]);

		if (ret == 0)
			ret = error;
	}
	return ret;
}

/* Queues that wait for something that never comes must see it too. */
static bool pass_on_stage(struct server *s)
{
	int32_t message; /* the stage itself is in the shared memory */
	int ret = link_receive(s->link, &message, -1);

	for (unsigned q = 0; q < s->running; q++)
		(void)eventfd_write(s->wake_fds[q], 1);
	return ret == 0;
}

/*
 * The driver ends all queues when the device is stopped. One that ends alone
 * has broken and left requests unanswered; the end of this process is what
 * makes the driver fail them.
 */
static uint64_t count_ended(struct server *s)
{
	eventfd_t ended = 0;

	(void)eventfd_read(s->ended_fd, &ended);
	for (unsigned q = 0; q < s->running; q++)
		if (worker_broken(&s->workers[q]))
			_exit(EXIT_FAILURE);
	return ended;
}

/* The supervisor ends this process soon; it cannot tell what is wrong. */
static void tell_hung(struct server *s)
{
	int queue = watchdog_look(&s->watchdog, s->stats);
	char text[128];

	if (queue < 0)
		return;
	worker_blame(&s->workers[queue], text, sizeof(text));
	log_error("queue %d: the script does not come back from %s", queue, text);
}

static void join_workers(struct server *s)
{
	struct pollfd fds[] = {
		{ .fd = s->ended_fd, .events = POLLIN },
		{ .fd = s->stop_fd, .events = POLLIN },
		{ .fd = s->link->fd, .events = POLLIN },
		{ .fd = s->relay.answers.fd, .events = POLLIN },
		{ 0 },
	};
	uint64_t ended = 0;

	while (ended < s->running) {
		fds[4] = (struct pollfd){ s->relay.wire.fd, relay_events(&s->relay), 0 };
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), watchdog_wait_ms(&s->watchdog)) < 0)
			continue; /* EINTR: a debugger */
		tell_hung(s);
		if (fds[0].revents)
			ended += count_ended(s);
		if (fds[1].revents) {
			link_send(s->link, 0);
			/* Once: nobody reads a second one, and the socket would fill up. */
			fds[1].fd = -1;
		}
		if (fds[2].revents && !pass_on_stage(s))
			fds[2].fd = -1; /* this process is about to be killed */
		if (fds[3].revents || fds[4].revents)
			relay_run(&s->relay);
	}
	for (unsigned q = 0; q < s->running; q++)
		worker_join(&s->workers[q]);
}

/* As long as the host's disk takes: nobody kills us meanwhile, as somebody counts on that data. */
static void close_backend(struct server *s)
{
	atomic_store(&s->share->keeping, true);
	backend_close(s->backend);
	atomic_store(&s->share->keeping, false);
}

static void close_all(struct server *s)
{
	if (s->char_fd >= 0)
		close(s->char_fd);
	close_backend(s); /* before the scripts, whose finalizers may never return */
	for (unsigned q = 0; s->scripts && q < s->queues; q++)
		script_close(s->scripts[q]);
	relay_close(&s->relay);
	for (unsigned q = 0; s->wake_fds && q < s->queues; q++)
		if (s->wake_fds[q] >= 0)
			close(s->wake_fds[q]);
	watchdog_close(&s->watchdog);
	free(s->stats);
	free(s->wake_fds);
	free(s->workers);
	free(s->scripts);
	close(s->stop_fd);
	close(s->ended_fd);
}

/*
 * A server that is the last to leave a mount namespace unmounts what is in
 * it, in its own exit and before its files are closed: a file system on the
 * device that it serves would wait for it for ever. In a namespace of its own,
 * made before the device is, none can be the last of that. A slave, so that
 * what the host unmounts is not kept busy here.
 */
static void leave_mount_namespace(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		log_debug("no mount namespace of the server's own: %s", strerror(errno));
}

int server_main(const struct server_config *config, const struct link *link)
{
	struct server s = {
		.config = config,
		.link = link,
		.share = link->share,
		.char_fd = -1,
		.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.relay = { .wire.fd = -1, .answers.fd = -1 },
	};
	struct script *first = NULL;
	int32_t added;
	int ret;

	prctl(PR_SET_NAME, "ublk-lua-server");
	shared_use(&link->share->shared);
	/* Ctrl-Z stops the terminal's whole process group; the device must go on. */
	setsid();
	leave_mount_namespace();
	/* stdout is for the node; what a script prints joins the messages. */
	dup2(STDERR_FILENO, STDOUT_FILENO);

	ret = s.ended_fd < 0 || s.stop_fd < 0 ? -errno : load(&s, &first);
	link_send(link, ret);
	if (ret || link_receive(link, &added, -1)) {
		script_close(first);
		close_all(&s);
		return EXIT_FAILURE;
	}
	/* At once: what nobody has open is an orphan for `clean`, and the scripts may take long. */
	ret = open_char_device(&s);
	if (ret == 0)
		ret = load_others(&s, first);
	else
		script_close(first);
	if (ret == 0)
		ret = start_workers(&s);
	link_send(link, ret);
	join_workers(&s);
	close_all(&s);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
