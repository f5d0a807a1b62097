/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>

#include "clock.h"
#include "device_state.h"
#include "log.h"
#include "params.h"

/* Seconds. */
static const double WATCHDOG_GRACE = 0.5;

enum {
	LIVED_MS = 1000,  /* a server that got so old has worked */
	BACKOFF_MS = 100, /* before the second try to recover; twice as long for each more */
	MOST_TRIES = 7,
};

/* Of what the driver was told nothing can change. */
static int check_same(struct device *d)
{
	const struct ul_device *spec = &d->link.share->spec;
	struct ublk_params params;

	device_fill_params(d, &params);
	if (params_same(&params, &d->params) && spec->recover == d->recover &&
	    spec->threads == d->threads)
		return 0;
	log_error("%s: the script describes another device than before (size, block size, limits)",
		  d->name);
	return -EINVAL;
}

/*
 * Once for each server that the driver has seen. Linux 6.12 refuses a second time, and where a
 * server has died before it had fetched all its tags it follows a null pointer.
 */
static int prepare(struct device *d, int interrupt_fd)
{
	int ret = 0;

	if (d->torn && !(d->offered & UBLK_F_PER_IO_DAEMON)) {
		log_error("%s: a new server has died while it took the device over, which this "
			  "kernel's ublk driver does not bear (Linux 6.16 does)",
			  d->node);
		return -ENOTRECOVERABLE;
	}
	if (!d->prepared)
		ret = ctrl_start_recovery(d->ctrl, d->info.dev_id, interrupt_fd);
	d->prepared = ret == 0;
	return ret;
}

/* One try to give the device a new server. */
static int replace_server(struct device *d, int interrupt_fd)
{
	int ret = prepare(d, interrupt_fd);

	if (ret == 0)
		ret = child_start(&d->server, &d->link, &d->config, d->name);
	if (ret == 0)
		ret = child_hear(&d->server, interrupt_fd);
	if (ret == 0)
		ret = check_same(d);
	if (ret == 0) {
		d->prepared = false;
		link_send(&d->link, 0);
		ret = child_hear(&d->server, interrupt_fd);
		d->torn = ret != 0;
	}
	if (ret == 0)
		ret = ctrl_end_recovery(d->ctrl, d->info.dev_id, d->server.pid, interrupt_fd,
					d->link.fd);
	return ret;
}

/* A server that has lived for some time is no sign that the next one will die. */
static bool may_try_again(struct device *d)
{
	uint64_t now = clock_now();

	if (now > d->started && now - d->started > (uint64_t)LIVED_MS * (CLOCK_SECOND / 1000))
		d->tries = 0;
	if (d->tries++ < MOST_TRIES)
		return true;
	log_error("%s: %d servers in turn have died; giving it up", d->node, MOST_TRIES + 1);
	return false;
}

/* The first time at once, then after 0.1 s, 0.2 s, … -ECANCELED: the wait was interrupted. */
static int back_off(const struct device *d, int interrupt_fd)
{
	int wait_ms = d->tries == 1 ? 0 : BACKOFF_MS << (d->tries - 2);

	if (poll(&(struct pollfd){ .fd = interrupt_fd, .events = POLLIN }, 1, wait_ms) > 0)
		return -ECANCELED;
	return 0;
}

/* Somebody else has stopped or deleted it: the end of its server was the end of its queues. */
static bool is_stopped(struct device *d)
{
	struct ublksrv_ctrl_dev_info now;
	int ret = ctrl_get_info(d->ctrl, d->info.dev_id, &now);

	return ret == -ENODEV || (ret == 0 && now.state == UBLK_S_DEV_DEAD);
}

/* Another try would not help, or is not wanted. */
static bool is_final(int error)
{
	return error == -ECANCELED || error == -ETIMEDOUT || error == -ENOTRECOVERABLE;
}

int device_recover(struct device *d, int interrupt_fd)
{
	int ret = -EIO;

	if (!d->recover || is_stopped(d))
		return -EOPNOTSUPP;
	while (ret && !is_final(ret) && may_try_again(d)) {
		child_kill(&d->server, d->node); /* it may have ended in parts only */
		(void)child_judge(&d->server);
		ret = back_off(d, interrupt_fd);
		if (ret == 0)
			ret = replace_server(d, interrupt_fd);
		d->started = clock_now();
	}
	if (ret) {
		child_kill(&d->server, d->node); /* one that has not begun */
		return ret;
	}
	d->servers++;
	watchdog_close(&d->watchdog);
	(void)device_open_watchdog(d); /* as the script is now; without memory: none */
	log_warn("%s: recovered with a new server, process %d", d->node, d->server.pid);
	return 0;
}

/* Later than the server's own, which tells what its script is at. */
int device_open_watchdog(struct device *d)
{
	double limit = d->link.share->spec.watchdog;

	return watchdog_open(&d->watchdog, limit < 0 ? -1 : limit + WATCHDOG_GRACE, d->queues);
}

int device_watch_ms(const struct device *d)
{
	return watchdog_wait_ms(&d->watchdog);
}

void device_watch(struct device *d)
{
	int queue = watchdog_look(&d->watchdog, d->stats);

	if (queue < 0)
		return;
	log_error("%s: queue %d: %s does not come back within %.1f s; ending its server", d->node,
		  queue, d->name, d->link.share->spec.watchdog);
	child_kill(&d->server, d->node);
	/* So long it has lived but not worked, at most: it was looked at four times in a limit. */
	d->started += d->watchdog.limit + d->watchdog.limit / 4;
}
