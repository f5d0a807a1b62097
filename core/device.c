/* SPDX-License-Identifier: MIT */
/*
 * Why two processes: START_DEV and STOP_DEV wait in the kernel for requests
 * that the server holds, and cannot be killed meanwhile. A process that has
 * such a command in flight does not get as far as closing its files when it is
 * killed, and the driver fails a dead server's requests only when /dev/ublkcN
 * is closed. In one process a script that hangs while the device is stopped is
 * a task in D state until the host is booted again (seen on 6.12).
 */
#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend.h"
#include "clock.h"
#include "ctrl.h"
#include "device_state.h"
#include "features.h"
#include "in_use.h"
#include "log.h"
#include "mode.h"
#include "params.h"
#include "recovery.h"
#include "split.h"

enum {
	NODE_WAIT_MS = 3000, /* devtmpfs and udev */
	STOP_MS = 10000,     /* for requests in flight and the page cache's last writes */
	STOP_FAILING_MS = 5000,
	LOOK_MS = 2000, /* whether it is in use */
};

static int add(struct device *d, int32_t id)
{
	const struct ul_device *spec = &d->link.share->spec;
	struct mode_choice mode;
	char names[512];
	uint64_t offered, flags, recovery;
	int ret = ctrl_get_features(d->ctrl, &offered);

	if (ret == 0)
		ret = params_flags(spec, offered, d->name, &flags);
	if (ret == 0)
		ret = recovery_flags(spec, offered, d->name, &recovery);
	if (ret == 0)
		ret = mode_choose(spec, &d->link.share->backing, offered, d->name, &mode);
	if (ret)
		return ret;
	d->info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = (uint16_t)spec->queues,
		.queue_depth = (uint16_t)spec->depth,
		.max_io_buf_bytes = spec->max_io,
		.dev_id = (uint32_t)id,
		.flags = (flags | recovery | mode.flags) & ~mode.without,
	};
	ret = ctrl_add(d->ctrl, &d->info);
	if (ret)
		return ret;
	d->added = true;
	d->offered = offered;
	d->recover = spec->recover;
	d->servers = 1;
	d->started = clock_now();
	ret = mode_kept(&mode, d->info.flags, d->name);
	if (ret)
		return ret;
	snprintf(d->node, sizeof(d->node), "/dev/ublkb%u", d->info.dev_id);
	if (d->info.nr_hw_queues < spec->queues)
		log_warn("%u queues were asked for, the driver gives %u", spec->queues,
			 d->info.nr_hw_queues);
	features_text(offered, names, sizeof(names));
	log_debug("driver offers: %s", *names ? names : "(does not say; older than Linux 6.5)");
	features_text(d->info.flags, names, sizeof(names));
	log_debug("device %u uses: %s", d->info.dev_id, names);
	log_debug("data mode %s: %s", mode_name(mode.mode), mode.why);
	return 0;
}

void device_fill_params(const struct device *d, struct ublk_params *params)
{
	const struct ul_device *spec = &d->link.share->spec;
	uint32_t max_io =
		spec->max_io < d->info.max_io_buf_bytes ? spec->max_io : d->info.max_io_buf_bytes;

	params_fill(spec, max_io, backend_discards(spec), params);
}

static int set_params(struct device *d)
{
	struct ublk_params kept;
	int ret;

	device_fill_params(d, &d->params);
	ret = ctrl_set_params(d->ctrl, d->info.dev_id, &d->params);
	if (ret == 0)
		ret = ctrl_get_params(d->ctrl, d->info.dev_id, &kept);
	return ret ? ret : params_kept(&d->params, &kept, d->name);
}

/* What the server needs to know of the added device. */
static int share_queues(struct device *d)
{
	const struct ul_device *spec = &d->link.share->spec;
	unsigned threads = spec->threads, n = d->info.nr_hw_queues * threads;
	int ret;

	d->stats = calloc(n, sizeof(*d->stats));
	if (!d->stats) {
		log_error("out of memory");
		return -ENOMEM;
	}
	d->link.share->info = d->info;
	d->queues = n;
	d->threads = threads;
	ret = device_open_watchdog(d);
	for (unsigned q = 0; ret == 0 && q < n; q++) {
		struct split split = split_of(q, threads);
		cpu_set_t cpus;

		ret = ctrl_get_affinity(d->ctrl, d->info.dev_id, split.queue, &cpus);
		if (ret == 0)
			d->link.share->queue[q].cpus = split_cpus(&split, &cpus);
		d->stats[q] = &d->link.share->queue[q].stats;
	}
	return ret;
}

static int open_steps(struct device *d, int32_t id, int interrupt_fd)
{
	int ret = child_hear(&d->server, interrupt_fd);

	if (ret)
		return ret;
	ret = ctrl_open(&d->ctrl);
	if (ret == 0)
		ret = add(d, id);
	if (ret == 0)
		ret = set_params(d);
	if (ret == 0)
		ret = share_queues(d);
	if (ret == 0) {
		link_send(&d->link, 0);
		ret = child_hear(&d->server, interrupt_fd);
	}
	return ret == -EINVAL ? -EIO : ret; /* the command line is good by now */
}

int device_open(struct device **device, const struct server_config *config, int32_t id,
		int interrupt_fd)
{
	struct device *d = calloc(1, sizeof(*d));
	int ret;

	if (!d) {
		log_error("out of memory");
		return -ENOMEM;
	}
	d->config = *config;
	d->name = strrchr(config->path, '/') ? strrchr(config->path, '/') + 1 : config->path;
	ret = link_open(&d->link);
	if (ret) {
		free(d);
		return ret;
	}
	ret = child_start(&d->server, &d->link, &d->config, d->name);
	if (ret == 0)
		ret = open_steps(d, id, interrupt_fd);
	if (ret == 0) {
		*device = d;
		return 0;
	}
	(void)device_close(d);
	device_free(d);
	return ret;
}

/* The message is for queues that wait: they look at the stage when something happens. */
static void enter_stage(struct device *d, enum stage stage)
{
	if (atomic_load(&d->link.share->stage) >= (int)stage)
		return;
	atomic_store(&d->link.share->stage, (int)stage);
	link_send(&d->link, (int32_t)stage);
}

void device_let_go(struct device *d)
{
	enter_stage(d, STAGE_STOPPING);
}

int device_start(struct device *d, int interrupt_fd)
{
	struct ublksrv_ctrl_dev_info now;
	int ret = ctrl_start(d->ctrl, d->info.dev_id, d->server.pid, interrupt_fd);

	/* A stop waits for the start, and that for reads: nobody wants their data any more. */
	if (ret == -ECANCELED || ret == -ETIMEDOUT)
		enter_stage(d, STAGE_FAIL);
	if (ret)
		return ret;
	ret = ctrl_get_info(d->ctrl, d->info.dev_id, &now);
	if (ret)
		return ret;
	/* A server that has died since is replaced. */
	if (now.state != UBLK_S_DEV_LIVE && (!d->recover || now.state == UBLK_S_DEV_DEAD)) {
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

int device_fd(const struct device *d)
{
	return d->link.fd;
}

int device_hear(struct device *d)
{
	int32_t message; /* there is one kind only */

	return link_receive(&d->link, &message, -1);
}

bool device_has_ended(struct device *d)
{
	return child_ended(&d->server);
}

/*
 * The driver's stop has no time limit: it waits for every request, and a
 * handler that never returns holds one. So first let all finish, then fail
 * what waits and what is new, and at last kill the server: the driver fails
 * the requests of a dead one.
 */
static int stop(struct device *d)
{
	int ret;

	enter_stage(d, STAGE_STOPPING);
	ret = ctrl_stop(d->ctrl, d->info.dev_id, STOP_MS);
	if (ret == -ETIMEDOUT) {
		log_warn("%s: requests are still in flight after %d s; failing those that come",
			 d->node, STOP_MS / 1000);
		enter_stage(d, STAGE_FAIL);
		ret = ctrl_stop(d->ctrl, d->info.dev_id, STOP_FAILING_MS);
	}
	if (ret == -ETIMEDOUT) {
		log_error("%s: %s holds a request and does not return; killing its server", d->node,
			  d->name);
		child_kill(&d->server, d->node);
		ret = ctrl_stop(d->ctrl, d->info.dev_id, STOP_MS);
	}
	if (ret == -ETIMEDOUT)
		log_error("STOP_DEV: the ublk driver does not stop %s", d->node);
	return ret;
}

int device_close(struct device *d)
{
	int ret = 0;

	if (!d->added) {
		/* It has failed or waits for us: it ends by itself. Otherwise its script hangs. */
		shutdown(d->link.fd, SHUT_WR);
		if (d->server.heard)
			child_await(&d->server, d->node);
		else
			child_kill(&d->server, d->node);
		return child_judge(&d->server);
	}
	ret = stop(d);
	child_await(&d->server, d->node);
	/* DEL_DEV on a device that did not stop would block every ublk device of the host. */
	if (ret == 0)
		(void)ctrl_delete(d->ctrl, d->info.dev_id);
	d->added = false;
	return child_judge(&d->server) || ret ? -EIO : 0;
}

void device_free(struct device *d)
{
	if (!d)
		return;
	ctrl_close(d->ctrl);
	link_close(&d->link);
	watchdog_close(&d->watchdog);
	free(d->stats);
	free(d);
}

void device_report(const struct device *d, struct stats_report *report)
{
	*report = (struct stats_report){
		.node = d->node,
		.script = d->config.path,
		.seed = d->config.seed,
		.queues = d->queues,
		.queue = d->stats,
	};
}

void device_facts(const struct device *d, struct device_facts *facts)
{
	*facts = (struct device_facts){
		.config = &d->config,
		.info = &d->info,
		.spec = &d->link.share->spec,
		.queues = d->queues,
		.server = d->server.pid,
		.servers = d->servers,
		.recover = d->recover,
	};
}

int device_talk_fd(const struct device *d)
{
	return d->link.talk_fd;
}

int device_try_stop(struct device *d)
{
	uint64_t offered;

	if (ctrl_get_features(d->ctrl, &offered) == 0 && offered & UBLK_F_SAFE_STOP_DEV)
		return ctrl_try_stop(d->ctrl, d->info.dev_id, STOP_MS) == -EBUSY ? -EBUSY : 0;
	return in_use(d->node, LOOK_MS) ? -EBUSY : 0;
}

const char *device_node(const struct device *d)
{
	return d->node;
}
