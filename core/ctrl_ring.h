/* SPDX-License-Identifier: MIT */
/*
 * The ring of /dev/ublk-control: one command at a time, each with a deadline.
 * For ctrl.c, which knows the commands. Main thread only.
 */
#pragma once

#include <liburing.h>
#include <sched.h>
#include <stdint.h>

#include "uapi.h"

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

struct ctrl_command {
	const char *name;
	uint32_t op;
	uint32_t id;
	void *addr;
	uint16_t len;
	uint16_t path_len; /* of the path at the start of `addr`, counted in `len` */
	uint64_t data;
	int timeout_ms;
	int interrupt_fd; /* -1: none */
	int peer_fd;	  /* likewise: a socket; what hangs up there makes the answer worthless */
};

/* CLOCK_MONOTONIC in ms. */
int64_t ctrl_now_ms(void);

/*
 * The driver's answer to `cmd`, or -ETIMEDOUT, -ECANCELED when its interrupt_fd became readable, or
 * -EPIPE when its peer_fd hung up: then it stays in flight. One that a signal interrupted is sent
 * again within its deadline.
 */
int ctrl_run(struct ctrl *ctrl, const struct ctrl_command *cmd);

/* The same, and what is wrong is logged, but for -ECANCELED and -EPIPE. */
int ctrl_run_logged(struct ctrl *ctrl, const struct ctrl_command *cmd);
