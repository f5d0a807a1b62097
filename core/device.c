/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend.h"
#include "ctrl.h"
#include "features.h"
#include "log.h"
#include "params.h"
#include "script.h"
#include "worker.h"

enum {
	NODE_WAIT_MS = 3000, /* devtmpfs and udev */
	STOP_MS = 10000,     /* for requests in flight and the page cache's last writes */
	STOP_FAILING_MS = 5000,
};

struct device {
	struct device_config config;
	const char *name; /* the script's file name */
	struct ul_device spec;
	struct backend *backend;
	struct ctrl *ctrl;
	struct ublksrv_ctrl_dev_info info; /* as the driver gave it back */
	bool added;
	int char_fd;
	char node[32];
	atomic_bool fail; /* every request gets EIO from now on */
	int ended_fd;

	struct script **scripts; /* one for each queue */
	struct worker *workers;
	const struct stats **stats; /* of each worker, for the report */
	unsigned running;	    /* workers that were started */
};

static struct script_config script_config(const struct device *d, unsigned queue)
{
	return (struct script_config){
		.path = d->config.path,
		.args = d->config.args,
		.arg_count = d->config.arg_count,
		.seed = d->config.seed,
		.queue = queue,
	};
}

/* The first state tells what the device is; the driver then says how many more are needed. */
static int load_first_script(struct device *d, struct script **first)
{
	struct script_config cfg = script_config(d, 0);
	int ret = script_open(first, &cfg, &d->spec);

	if (ret)
		return ret;
	if (d->config.queues)
		d->spec.queues = d->config.queues;
	if (d->config.depth)
		d->spec.depth = d->config.depth;
	ret = backend_probe(&d->spec, d->name);
	if (ret == 0)
		ret = params_complete(&d->spec, d->name);
	if (ret == 0)
		ret = backend_open(&d->backend, &d->spec);
	/* -EINVAL is kept for the command line; this is the script. */
	return ret ? -ENOEXEC : 0;
}

static int load_other_scripts(struct device *d)
{
	for (unsigned q = 1; q < d->info.nr_hw_queues; q++) {
		struct script_config cfg = script_config(d, q);
		struct ul_device same;
		int ret = script_open(&d->scripts[q], &cfg, &same);

		if (ret)
			return ret;
	}
	return 0;
}

static int allocate_queues(struct device *d, struct script *first)
{
	unsigned n = d->info.nr_hw_queues;

	d->scripts = calloc(n, sizeof(*d->scripts));
	d->workers = calloc(n, sizeof(*d->workers));
	d->stats = calloc(n, sizeof(*d->stats));
	if (!d->scripts || !d->workers || !d->stats) {
		script_close(first);
		return -ENOMEM;
	}
	d->scripts[0] = first;
	for (unsigned q = 0; q < n; q++)
		d->stats[q] = &d->workers[q].stats;
	return 0;
}

static int add(struct device *d)
{
	char names[512];
	uint64_t offered;
	int ret = ctrl_open(&d->ctrl);

	if (ret)
		return ret;
	ret = ctrl_get_features(d->ctrl, &offered);
	if (ret)
		return ret;
	d->info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = (uint16_t)d->spec.queues,
		.queue_depth = (uint16_t)d->spec.depth,
		.max_io_buf_bytes = d->spec.max_io,
		.dev_id = (uint32_t)d->config.id,
		.ublksrv_pid = getpid(),
	};
	ret = ctrl_add(d->ctrl, &d->info);
	if (ret)
		return ret;
	d->added = true;
	snprintf(d->node, sizeof(d->node), "/dev/ublkb%u", d->info.dev_id);
	if (d->info.nr_hw_queues < d->spec.queues)
		log_warn("%u queues were asked for, the driver gives %u", d->spec.queues,
			 d->info.nr_hw_queues);
	features_text(offered, names, sizeof(names));
	log_debug("driver offers: %s", *names ? names : "(does not say; older than Linux 6.5)");
	features_text(d->info.flags, names, sizeof(names));
	log_debug("device %u uses: %s", d->info.dev_id, names);
	return 0;
}

static int set_params(struct device *d)
{
	uint32_t max_io = d->spec.max_io < d->info.max_io_buf_bytes ? d->spec.max_io
								    : d->info.max_io_buf_bytes;
	struct ublk_params params, kept;
	int ret;

	params_fill(&d->spec, max_io, d->backend->ops->discard, &params);
	ret = ctrl_set_params(d->ctrl, d->info.dev_id, &params);
	if (ret == 0)
		ret = ctrl_get_params(d->ctrl, d->info.dev_id, &kept);
	if (ret)
		return ret;
	if (memcmp(&kept.basic, &params.basic, sizeof(kept.basic)) != 0) {
		log_error("SET_PARAMS: the driver kept other parameters than it was given");
		return -EPROTO;
	}
	return 0;
}

/* The node comes from devtmpfs, its mode from udev, and udev may hold it for a moment. */
static int open_char_device(struct device *d)
{
	const int step_ms = 20;
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkc%u", d->info.dev_id);
	for (int waited = 0;; waited += step_ms) {
		d->char_fd = open(path, O_RDWR | O_CLOEXEC);
		if (d->char_fd >= 0)
			return 0;
		if ((errno != ENOENT && errno != EACCES && errno != EBUSY) || waited > NODE_WAIT_MS)
			break;
		usleep(step_ms * 1000);
	}
	log_error("%s: %s", path, strerror(errno));
	return -errno;
}

static int start_worker(struct device *d, unsigned queue)
{
	struct worker_config cfg = {
		.queue = {
			.char_fd = d->char_fd,
			.queue = queue,
			.depth = d->info.queue_depth,
			.max_io = d->info.max_io_buf_bytes,
			.desc_stride = sizeof(struct ublksrv_io_desc),
		},
		.script = d->scripts[queue],
		.backend = d->backend,
		.op_mask = d->spec.op_mask,
		.size = (uint64_t)d->spec.size,
		.fail = &d->fail,
		.ended_fd = d->ended_fd,
	};
	int ret = ctrl_get_affinity(d->ctrl, d->info.dev_id, queue, &cfg.cpus);

	if (ret == 0)
		ret = worker_start(&d->workers[queue], &cfg);
	if (ret == 0)
		d->running++;
	return ret;
}

/* Every started worker is waited for even after a failure: STOP must not overtake a fetch. */
static int start_workers(struct device *d)
{
	int ret = 0;

	for (unsigned q = 0; ret == 0 && q < d->info.nr_hw_queues; q++)
		ret = start_worker(d, q);
	for (unsigned q = 0; q < d->running; q++) {
		int error = worker_wait_ready(&d->workers[q]);

		if (ret == 0)
			ret = error;
	}
	return ret;
}

int device_open(struct device **device, const struct device_config *config)
{
	struct device *d = calloc(1, sizeof(*d));
	struct script *first = NULL;
	int ret;

	if (!d)
		return -ENOMEM;
	d->config = *config;
	d->name = strrchr(config->path, '/') ? strrchr(config->path, '/') + 1 : config->path;
	d->char_fd = -1;
	d->ended_fd = eventfd(0, EFD_CLOEXEC);
	ret = d->ended_fd < 0 ? -errno : load_first_script(d, &first);
	if (ret == 0) {
		ret = add(d);
		/* add's own errors are not the command line's either */
		ret = ret == -EINVAL ? -EIO : ret;
	}
	if (ret) {
		script_close(first);
		goto fail;
	}
	ret = allocate_queues(d, first);
	if (ret == 0)
		ret = set_params(d);
	if (ret == 0)
		ret = open_char_device(d);
	if (ret == 0)
		ret = load_other_scripts(d);
	if (ret == 0)
		ret = start_workers(d);
	if (ret == 0) {
		*device = d;
		return 0;
	}
	ret = ret == -EINVAL ? -EIO : ret;
fail:
	(void)device_close(d);
	device_free(d);
	return ret;
}

int device_start(struct device *d, int interrupt_fd)
{
	struct ublksrv_ctrl_dev_info now;
	int ret = ctrl_start(d->ctrl, d->info.dev_id, getpid(), interrupt_fd);

	if (ret)
		return ret;
	ret = ctrl_get_info(d->ctrl, d->info.dev_id, &now);
	if (ret)
		return ret;
	if (now.state != UBLK_S_DEV_LIVE) {
		log_error("START_DEV: device %u is not live (state %u)", now.dev_id, now.state);
		return -EIO;
	}
	for (int waited = 0; access(d->node, F_OK) < 0; waited += 20) {
		if (waited > NODE_WAIT_MS) {
			log_error("%s did not appear; is /dev a devtmpfs?", d->node);
			return -ENOENT;
		}
		usleep(20000);
	}
	return 0;
}

int device_ended_fd(const struct device *d)
{
	return d->ended_fd;
}

/*
 * The driver's stop has no time limit: it waits for every request, and a
 * handler that never returns holds one. So first let all finish, then have
 * what is new fail, and at last end the process: the driver fails the requests
 * of a dead server.
 */
static void stop_or_die(struct device *d)
{
	int ret = ctrl_stop(d->ctrl, d->info.dev_id, STOP_MS);

	if (ret == -ETIMEDOUT) {
		log_warn("%s: requests are still in flight after %d s; failing those that come",
			 d->node, STOP_MS / 1000);
		atomic_store(&d->fail, true);
		ret = ctrl_stop(d->ctrl, d->info.dev_id, STOP_FAILING_MS);
	}
	if (ret == -ETIMEDOUT) {
		log_error("%s: %s holds a request and does not return; ending without it", d->node,
			  d->name);
		_exit(1);
	}
}

int device_close(struct device *d)
{
	int ret = 0;

	if (d->added) {
		stop_or_die(d);
		for (unsigned q = 0; q < d->running; q++) {
			worker_join(&d->workers[q]);
			if (d->workers[q].error)
				ret = -EIO;
		}
		d->running = 0;
		if (d->char_fd >= 0)
			close(d->char_fd);
		d->char_fd = -1;
		(void)ctrl_delete(d->ctrl, d->info.dev_id);
		d->added = false;
	}
	/* Here and not in device_free: what a script has to say belongs before the counters. */
	for (unsigned q = 0; d->scripts && q < d->info.nr_hw_queues; q++) {
		script_close(d->scripts[q]);
		d->scripts[q] = NULL;
	}
	return ret;
}

void device_free(struct device *d)
{
	if (!d)
		return;
	backend_close(d->backend);
	ctrl_close(d->ctrl);
	free(d->stats);
	free(d->workers);
	free(d->scripts);
	if (d->ended_fd >= 0)
		close(d->ended_fd);
	free(d);
}

void device_report(const struct device *d, struct stats_report *report)
{
	*report = (struct stats_report){
		.node = d->node,
		.script = d->config.path,
		.seed = d->config.seed,
		.queues = d->info.nr_hw_queues,
		.queue = d->stats,
	};
}

static void size_text(double bytes, char *text, unsigned size)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned i = 0;

	/* Only as far as the number stays whole, so that nothing is rounded away. */
	while (i < 5 && bytes >= 1024 && (uint64_t)bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(text, size, "%.0f %s", bytes, units[i]);
}

void device_describe(const struct device *d, char *text, unsigned size)
{
	char bytes[32];

	size_text(d->spec.size, bytes, sizeof(bytes));
	snprintf(text, size, "%s: %s, %s, %u queue%s of depth %u, seed %" PRIu64, d->node, d->name,
		 bytes, d->info.nr_hw_queues, d->info.nr_hw_queues == 1 ? "" : "s",
		 d->info.queue_depth, d->config.seed);
}

const char *device_node(const struct device *d)
{
	return d->node;
}
