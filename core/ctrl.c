/* SPDX-License-Identifier: MIT */
#include "ctrl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctrl_ring.h"
#include "log.h"

enum {
	TIMEOUT_MS = 10000,
	START_TIMEOUT_MS = 60000, /* a partition scan of a device made slow on purpose */
	AFFINITY_BYTES = sizeof(cpu_set_t),
};

/* One without data, that only the usual time limit ends. */
static struct ctrl_command command(const char *name, uint32_t op, uint32_t id)
{
	return (struct ctrl_command){
		.name = name,
		.op = op,
		.id = id,
		.timeout_ms = TIMEOUT_MS,
		.interrupt_fd = -1,
		.peer_fd = -1,
	};
}

int ctrl_get_features(struct ctrl *c, uint64_t *mask)
{
	struct ctrl_command cmd = command("GET_FEATURES", UBLK_U_CMD_GET_FEATURES, (uint32_t)-1);
	int ret;

	cmd.addr = &c->features;
	cmd.len = UBLK_FEATURES_LEN;
	ret = ctrl_run(c, &cmd);
	if (ret == -EOPNOTSUPP || ret == -EINVAL) {
		*mask = 0;
		return 0;
	}
	if (ret < 0) {
		log_error("GET_FEATURES: %s", strerror(-ret));
		return ret;
	}
	*mask = c->features;
	return 0;
}

static void explain_add(int err, uint32_t id)
{
	if (err == EEXIST)
		log_error("device number %u is in use; choose another with -n or leave -n out", id);
	else if (err == EACCES)
		log_error("ADD_DEV: the limit of ublk devices is reached (module parameter "
			  "ublk_drv.ublks_max)");
	else if (err == EPERM)
		log_error("ADD_DEV: not allowed; run as root");
	else if (err == EOPNOTSUPP)
		log_error("ADD_DEV: this ublk driver is older than Linux 6.4");
	else if (err == ETIMEDOUT)
		log_error("ADD_DEV: the ublk driver did not answer; another device may be stuck");
	else
		log_error("ADD_DEV: the ublk driver refused: %s", strerror(err));
}

int ctrl_add(struct ctrl *c, struct ublksrv_ctrl_dev_info *info)
{
	struct ctrl_command cmd = command("ADD_DEV", UBLK_U_CMD_ADD_DEV, info->dev_id);
	int ret;

	c->info = *info;
	cmd.addr = &c->info;
	cmd.len = sizeof(c->info);
	ret = ctrl_run(c, &cmd);
	if (ret < 0) {
		explain_add(-ret, info->dev_id);
		return ret;
	}
	*info = c->info;
	return 0;
}

int ctrl_get_info(struct ctrl *c, uint32_t id, struct ublksrv_ctrl_dev_info *info)
{
	struct ctrl_command cmd = command("GET_DEV_INFO2", UBLK_U_CMD_GET_DEV_INFO2, id);
	int ret;

	memset(&c->info2, 0, sizeof(c->info2));
	snprintf(c->info2.path, sizeof(c->info2.path), "/dev/ublkc%u", id);
	cmd.addr = &c->info2;
	cmd.len = sizeof(c->info2);
	cmd.path_len = sizeof(c->info2.path);
	ret = ctrl_run(c, &cmd);
	if (ret < 0) {
		if (ret != -ENODEV)
			log_error("GET_DEV_INFO2: %s", strerror(-ret));
		return ret;
	}
	*info = c->info2.info;
	return 0;
}

int ctrl_set_params(struct ctrl *c, uint32_t id, const struct ublk_params *params)
{
	struct ctrl_command cmd = command("SET_PARAMS", UBLK_U_CMD_SET_PARAMS, id);

	c->params = *params;
	c->params.len = sizeof(c->params);
	cmd.addr = &c->params;
	cmd.len = sizeof(c->params);
	return ctrl_run_logged(c, &cmd);
}

int ctrl_get_params(struct ctrl *c, uint32_t id, struct ublk_params *params)
{
	struct ctrl_command cmd = command("GET_PARAMS", UBLK_U_CMD_GET_PARAMS, id);
	int ret;

	memset(&c->params, 0, sizeof(c->params));
	c->params.len = sizeof(c->params);
	cmd.addr = &c->params;
	cmd.len = sizeof(c->params);
	ret = ctrl_run_logged(c, &cmd);
	if (ret == 0)
		*params = c->params;
	return ret;
}

int ctrl_get_affinity(struct ctrl *c, uint32_t id, unsigned queue, cpu_set_t *cpus)
{
	struct ctrl_command cmd = command("GET_QUEUE_AFFINITY", UBLK_U_CMD_GET_QUEUE_AFFINITY, id);
	int ret;

	CPU_ZERO(&c->cpus);
	cmd.addr = &c->cpus;
	cmd.len = AFFINITY_BYTES;
	cmd.data = queue;
	ret = ctrl_run_logged(c, &cmd);
	if (ret == 0)
		*cpus = c->cpus;
	return ret;
}

int ctrl_start(struct ctrl *c, uint32_t id, int pid, int interrupt_fd)
{
	struct ctrl_command cmd = command("START_DEV", UBLK_U_CMD_START_DEV, id);

	cmd.data = (uint64_t)pid;
	cmd.timeout_ms = START_TIMEOUT_MS;
	cmd.interrupt_fd = interrupt_fd;
	return ctrl_run_logged(c, &cmd);
}

int ctrl_start_recovery(struct ctrl *c, uint32_t id, int interrupt_fd)
{
	struct ctrl_command cmd =
		command("START_USER_RECOVERY", UBLK_U_CMD_START_USER_RECOVERY, id);
	int64_t deadline = ctrl_now_ms() + START_TIMEOUT_MS;
	int ret;

	cmd.timeout_ms = START_TIMEOUT_MS;
	cmd.interrupt_fd = interrupt_fd;
	/* EBUSY until the kernel has taken apart all that the old server had. */
	while ((ret = ctrl_run(c, &cmd)) == -EBUSY && ctrl_now_ms() < deadline)
		if (poll(&(struct pollfd){ .fd = interrupt_fd, .events = POLLIN }, 1, 10) > 0)
			return -ECANCELED;
	if (ret < 0 && ret != -ECANCELED)
		log_error("%s: the ublk driver refused: %s", cmd.name, strerror(-ret));
	return ret;
}

int ctrl_end_recovery(struct ctrl *c, uint32_t id, int pid, int interrupt_fd, int peer_fd)
{
	struct ctrl_command cmd = command("END_USER_RECOVERY", UBLK_U_CMD_END_USER_RECOVERY, id);

	cmd.data = (uint64_t)pid;
	cmd.interrupt_fd = interrupt_fd;
	cmd.peer_fd = peer_fd;
	return ctrl_run_logged(c, &cmd);
}

int ctrl_stop(struct ctrl *c, uint32_t id, int timeout_ms)
{
	struct ctrl_command cmd = command("STOP_DEV", UBLK_U_CMD_STOP_DEV, id);
	int ret;

	cmd.timeout_ms = timeout_ms;
	ret = ctrl_run(c, &cmd);
	if (ret == -ENODEV) /* somebody else has deleted it */
		return 0;
	if (ret < 0 && ret != -ETIMEDOUT)
		log_error("STOP_DEV: %s", strerror(-ret));
	return ret;
}

int ctrl_try_stop(struct ctrl *c, uint32_t id, int timeout_ms)
{
	struct ctrl_command cmd = command("TRY_STOP_DEV", UBLK_U_CMD_TRY_STOP_DEV, id);
	int ret;

	cmd.timeout_ms = timeout_ms;
	ret = ctrl_run(c, &cmd);
	if (ret < 0 && ret != -EBUSY)
		log_error("TRY_STOP_DEV: %s", strerror(-ret));
	return ret;
}

/*
 * DEL_DEV holds a mutex of the whole driver while it takes the disk away, so
 * on a device that was not stopped one stuck request blocks every ublk device
 * of the host. After a stop it only waits for the last reference. An
 * interrupted one has already marked the device: sent again it could hit
 * another device that took the number, so wait for the number to go instead.
 */
int ctrl_delete(struct ctrl *c, uint32_t id)
{
	struct ctrl_command cmd = command("DEL_DEV", UBLK_U_CMD_DEL_DEV, id);
	struct ublksrv_ctrl_dev_info info;
	int64_t deadline = ctrl_now_ms() + TIMEOUT_MS;
	int ret;

	ret = ctrl_run(c, &cmd);
	if (ret == -EINTR) {
		do {
			ret = ctrl_get_info(c, id, &info);
			if (ret == 0)
				usleep(10000);
		} while (ret == 0 && ctrl_now_ms() < deadline);
		if (ret == 0)
			ret = -ETIMEDOUT;
	}
	if (ret == -ENODEV)
		return 0;
	if (ret == -ETIMEDOUT)
		log_warn("DEL_DEV: device %u is still mounted or open; it goes when that ends", id);
	else if (ret < 0)
		log_error("DEL_DEV: %s", strerror(-ret));
	return ret;
}
