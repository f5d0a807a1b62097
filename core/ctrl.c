/* SPDX-License-Identifier: MIT */
/*
 * Commands that may sleep are run by the kernel's io-wq, so a stuck one blocks
 * nobody but itself: this side waits with poll(2) and goes on without it.
 * A later answer to such a command is known by its number and thrown away,
 * and what it points to lives in struct ctrl, never on a stack.
 */
#include "ctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
	TIMEOUT_MS = 10000,
	START_TIMEOUT_MS = 60000, /* a partition scan of a device made slow on purpose */
	AFFINITY_BYTES = sizeof(cpu_set_t),
};

struct ctrl {
	struct io_uring ring;
	int fd;
	uint64_t sequence; /* number of the newest command */

	struct ublksrv_ctrl_dev_info info;
	struct {
		char path[32]; /* of the char device: GET_DEV_INFO2 checks its permissions */
		struct ublksrv_ctrl_dev_info info;
	} info2;
	struct ublk_params params;
	cpu_set_t cpus;
	uint64_t features;
};

struct command {
	const char *name;
	uint32_t op;
	uint32_t id;
	void *addr;
	uint16_t len;
	uint16_t path_len; /* of the path at the start of `addr`, counted in `len` */
	uint64_t data;
	int timeout_ms;
	int interrupt_fd; /* -1: none */
};

static int64_t now_ms(void)
{
	return (int64_t)(clock_now() / (CLOCK_SECOND / 1000));
}

static int submit(struct ctrl *c, const struct command *cmd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring);
	struct ublksrv_ctrl_cmd *payload;
	int ret;

	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, 2 * sizeof(*sqe)); /* SQE128 */
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = c->fd;
	sqe->cmd_op = cmd->op;
	sqe->user_data = ++c->sequence;
	payload = (struct ublksrv_ctrl_cmd *)sqe->cmd;
	payload->dev_id = cmd->id;
	payload->queue_id = (uint16_t)-1;
	payload->addr = (uint64_t)(uintptr_t)cmd->addr;
	payload->len = cmd->len;
	payload->data[0] = cmd->data;
	payload->dev_path_len = cmd->path_len;

	do
		ret = io_uring_submit(&c->ring);
	while (ret == -EINTR);
	return ret < 0 ? ret : 0;
}

/* The answer to the newest command, or false when none is there yet. */
static bool take_answer(struct ctrl *c, int *res)
{
	struct io_uring_cqe *cqe;
	bool found = false;

	while (!found && io_uring_peek_cqe(&c->ring, &cqe) == 0) {
		found = cqe->user_data == c->sequence;
		*res = cqe->res;
		io_uring_cqe_seen(&c->ring, cqe);
	}
	return found;
}

static int await(struct ctrl *c, const struct command *cmd, int64_t deadline)
{
	struct pollfd fds[2] = {
		{ .fd = c->ring.ring_fd, .events = POLLIN },
		{ .fd = cmd->interrupt_fd, .events = POLLIN },
	};
	int res;

	while (!take_answer(c, &res)) {
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECANCELED;
	}
	return res;
}

/* The answer to `cmd` from the driver; an interrupted one is sent again within its deadline. */
static int run(struct ctrl *c, const struct command *cmd)
{
	int64_t deadline = now_ms() + cmd->timeout_ms;
	int ret;

	do {
		ret = submit(c, cmd);
		if (ret == 0)
			ret = await(c, cmd, deadline);
	} while (ret == -EINTR && cmd->op != UBLK_U_CMD_DEL_DEV && now_ms() < deadline);
	return ret;
}

static int run_logged(struct ctrl *c, const struct command *cmd)
{
	int ret = run(c, cmd);

	if (ret == -ETIMEDOUT)
		log_error("%s: the ublk driver did not answer within %d s", cmd->name,
			  cmd->timeout_ms / 1000);
	else if (ret < 0 && ret != -ECANCELED)
		log_error("%s: the ublk driver refused: %s", cmd->name, strerror(-ret));
	return ret;
}

static void explain_open(int err)
{
	if (err == ENOENT)
		log_error(UBLK_CONTROL_PATH ": no ublk driver; load it with `modprobe ublk_drv` "
					    "(Linux 6.4 or later with CONFIG_BLK_DEV_UBLK)");
	else if (err == EACCES || err == EPERM)
		log_error(UBLK_CONTROL_PATH ": %s; run as root", strerror(err));
	else
		log_error(UBLK_CONTROL_PATH ": %s", strerror(err));
}

static void explain_ring(int err)
{
	if (err == EPERM)
		log_error("io_uring is not allowed here; see the sysctl kernel.io_uring_disabled");
	else if (err == ENOSYS)
		log_error("this kernel has no io_uring (CONFIG_IO_URING)");
	else
		log_error("cannot set up io_uring: %s", strerror(err));
}

int ctrl_open(struct ctrl **ctrl)
{
	struct ctrl *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return -ENOMEM;
	c->fd = open(UBLK_CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (c->fd < 0) {
		ret = -errno;
		explain_open(-ret);
		goto free_ctrl;
	}
	ret = io_uring_queue_init(16, &c->ring, IORING_SETUP_SQE128);
	if (ret < 0) {
		explain_ring(-ret);
		goto close_fd;
	}
	*ctrl = c;
	return 0;

close_fd:
	close(c->fd);
free_ctrl:
	free(c);
	return ret;
}

void ctrl_close(struct ctrl *c)
{
	if (!c)
		return;
	io_uring_queue_exit(&c->ring);
	close(c->fd);
	free(c);
}

int ctrl_get_features(struct ctrl *c, uint64_t *mask)
{
	int ret = run(c, &(struct command){
				 .name = "GET_FEATURES",
				 .op = UBLK_U_CMD_GET_FEATURES,
				 .id = (uint32_t)-1,
				 .addr = &c->features,
				 .len = UBLK_FEATURES_LEN,
				 .timeout_ms = TIMEOUT_MS,
				 .interrupt_fd = -1,
			 });

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
	int ret;

	c->info = *info;
	ret = run(c, &(struct command){
			     .name = "ADD_DEV",
			     .op = UBLK_U_CMD_ADD_DEV,
			     .id = info->dev_id,
			     .addr = &c->info,
			     .len = sizeof(c->info),
			     .timeout_ms = TIMEOUT_MS,
			     .interrupt_fd = -1,
		     });
	if (ret < 0) {
		explain_add(-ret, info->dev_id);
		return ret;
	}
	*info = c->info;
	return 0;
}

int ctrl_get_info(struct ctrl *c, uint32_t id, struct ublksrv_ctrl_dev_info *info)
{
	int ret;

	memset(&c->info2, 0, sizeof(c->info2));
	snprintf(c->info2.path, sizeof(c->info2.path), "/dev/ublkc%u", id);
	ret = run(c, &(struct command){
			     .name = "GET_DEV_INFO2",
			     .op = UBLK_U_CMD_GET_DEV_INFO2,
			     .id = id,
			     .addr = &c->info2,
			     .len = sizeof(c->info2),
			     .path_len = sizeof(c->info2.path),
			     .timeout_ms = TIMEOUT_MS,
			     .interrupt_fd = -1,
		     });
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
	c->params = *params;
	c->params.len = sizeof(c->params);
	return run_logged(c, &(struct command){
				     .name = "SET_PARAMS",
				     .op = UBLK_U_CMD_SET_PARAMS,
				     .id = id,
				     .addr = &c->params,
				     .len = sizeof(c->params),
				     .timeout_ms = TIMEOUT_MS,
				     .interrupt_fd = -1,
			     });
}

int ctrl_get_params(struct ctrl *c, uint32_t id, struct ublk_params *params)
{
	int ret;

	memset(&c->params, 0, sizeof(c->params));
	c->params.len = sizeof(c->params);
	ret = run_logged(c, &(struct command){
				    .name = "GET_PARAMS",
				    .op = UBLK_U_CMD_GET_PARAMS,
				    .id = id,
				    .addr = &c->params,
				    .len = sizeof(c->params),
				    .timeout_ms = TIMEOUT_MS,
				    .interrupt_fd = -1,
			    });
	if (ret == 0)
		*params = c->params;
	return ret;
}

int ctrl_get_affinity(struct ctrl *c, uint32_t id, unsigned queue, cpu_set_t *cpus)
{
	int ret;

	CPU_ZERO(&c->cpus);
	ret = run_logged(c, &(struct command){
				    .name = "GET_QUEUE_AFFINITY",
				    .op = UBLK_U_CMD_GET_QUEUE_AFFINITY,
				    .id = id,
				    .addr = &c->cpus,
				    .len = AFFINITY_BYTES,
				    .data = queue,
				    .timeout_ms = TIMEOUT_MS,
				    .interrupt_fd = -1,
			    });
	if (ret == 0)
		*cpus = c->cpus;
	return ret;
}

int ctrl_start(struct ctrl *c, uint32_t id, int pid, int interrupt_fd)
{
	return run_logged(c, &(struct command){
				     .name = "START_DEV",
				     .op = UBLK_U_CMD_START_DEV,
				     .id = id,
				     .data = (uint64_t)pid,
				     .timeout_ms = START_TIMEOUT_MS,
				     .interrupt_fd = interrupt_fd,
			     });
}

int ctrl_stop(struct ctrl *c, uint32_t id, int timeout_ms)
{
	int ret = run(c, &(struct command){
				 .name = "STOP_DEV",
				 .op = UBLK_U_CMD_STOP_DEV,
				 .id = id,
				 .timeout_ms = timeout_ms,
				 .interrupt_fd = -1,
			 });

	if (ret == -ENODEV) /* somebody else has deleted it */
		return 0;
	if (ret < 0 && ret != -ETIMEDOUT)
		log_error("STOP_DEV: %s", strerror(-ret));
	return ret;
}

int ctrl_try_stop(struct ctrl *c, uint32_t id, int timeout_ms)
{
	int ret = run(c, &(struct command){
				 .name = "TRY_STOP_DEV",
				 .op = UBLK_U_CMD_TRY_STOP_DEV,
				 .id = id,
				 .timeout_ms = timeout_ms,
				 .interrupt_fd = -1,
			 });

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
	struct ublksrv_ctrl_dev_info info;
	int64_t deadline = now_ms() + TIMEOUT_MS;
	int ret = run(c, &(struct command){
				 .name = "DEL_DEV",
				 .op = UBLK_U_CMD_DEL_DEV,
				 .id = id,
				 .timeout_ms = TIMEOUT_MS,
				 .interrupt_fd = -1,
			 });

	if (ret == -EINTR) {
		do {
			ret = ctrl_get_info(c, id, &info);
			if (ret == 0)
				usleep(10000);
		} while (ret == 0 && now_ms() < deadline);
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
