/* SPDX-License-Identifier: MIT */
/*
 * Commands that may sleep are run by the kernel's io-wq, so a stuck one blocks
 * nobody but itself: this side waits with poll(2) and goes on without it.
 * A later answer to such a command is known by its number and thrown away,
 * and what it points to lives in struct ctrl, never on a stack.
 */
#include "ctrl_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "ctrl.h"
#include "log.h"

int64_t ctrl_now_ms(void)
{
	return (int64_t)(clock_now() / (CLOCK_SECOND / 1000));
}

static int submit(struct ctrl *c, const struct ctrl_command *cmd)
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

static int await(struct ctrl *c, const struct ctrl_command *cmd, int64_t deadline)
{
	struct pollfd fds[] = {
		{ .fd = c->ring.ring_fd, .events = POLLIN },
		{ .fd = cmd->interrupt_fd, .events = POLLIN },
		{ .fd = cmd->peer_fd }, /* a hang-up is told without being asked for */
	};
	int res;

	while (!take_answer(c, &res)) {
		int64_t left = deadline - ctrl_now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, 3, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECANCELED;
		if (fds[2].revents)
			return -EPIPE;
	}
	return res;
}

int ctrl_run(struct ctrl *c, const struct ctrl_command *cmd)
{
	int64_t deadline = ctrl_now_ms() + cmd->timeout_ms;
	int ret;

	do {
		ret = submit(c, cmd);
		if (ret == 0)
			ret = await(c, cmd, deadline);
	} while (ret == -EINTR && cmd->op != UBLK_U_CMD_DEL_DEV && ctrl_now_ms() < deadline);
	return ret;
}

int ctrl_run_logged(struct ctrl *c, const struct ctrl_command *cmd)
{
	int ret = ctrl_run(c, cmd);

	if (ret == -ETIMEDOUT)
		log_error("%s: the ublk driver did not answer within %d s", cmd->name,
			  cmd->timeout_ms / 1000);
	else if (ret < 0 && ret != -ECANCELED && ret != -EPIPE)
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
