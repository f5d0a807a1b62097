/* SPDX-License-Identifier: MIT */
/*
 * /dev/ublk-control: one function for each driver command, each with a
 * deadline. Owns the control ring and the buffers that commands point to.
 * Main thread only. Functions return 0 or -errno and log what failed; a
 * command that did not answer in time is -ETIMEDOUT and stays in flight.
 */
#pragma once

#include <sched.h>
#include <stdint.h>

#include "uapi.h"

struct ctrl;

/* Open the control device. The message for ENOENT and EACCES says what to do. */
int ctrl_open(struct ctrl **ctrl);
void ctrl_close(struct ctrl *ctrl);

/* The driver's feature mask; a driver before 6.5 has no such command and gets 0. */
int ctrl_get_features(struct ctrl *ctrl, uint64_t *mask);

/* Add a device. `info` comes back as the driver changed it: id, queues, depth, buffer size, flags.
 */
int ctrl_add(struct ctrl *ctrl, struct ublksrv_ctrl_dev_info *info);

/* -ENODEV, not logged, when there is no such device. */
int ctrl_get_info(struct ctrl *ctrl, uint32_t id, struct ublksrv_ctrl_dev_info *info);

int ctrl_set_params(struct ctrl *ctrl, uint32_t id, const struct ublk_params *params);
int ctrl_get_params(struct ctrl *ctrl, uint32_t id, struct ublk_params *params);
int ctrl_get_affinity(struct ctrl *ctrl, uint32_t id, unsigned queue, cpu_set_t *cpus);

/*
 * Make the device live. Waits for the driver, which before 6.19 also reads the
 * partition table here, so queues must already serve. Ends early with
 * -ECANCELED when `interrupt_fd` becomes readable (the command stays in flight).
 */
int ctrl_start(struct ctrl *ctrl, uint32_t id, int pid, int interrupt_fd);

/*
 * A device whose server has died is to get a new one: the old one's files are closed. Tries again
 * for a minute, as that takes its time: Linux 6.12 waits for the time limit of requests when the
 * server had all tags of a queue. -ECANCELED as above.
 */
int ctrl_start_recovery(struct ctrl *ctrl, uint32_t id, int interrupt_fd);

/*
 * The new server, process `pid`, has fetched every tag: go on. As ctrl_start otherwise; -EPIPE, not
 * logged, when `peer_fd` hung up: it has died, and the driver would wait for the next.
 */
int ctrl_end_recovery(struct ctrl *ctrl, uint32_t id, int pid, int interrupt_fd, int peer_fd);

/*
 * Take the disk away and end every fetch command. The driver waits for all
 * requests in flight; -ETIMEDOUT after `timeout_ms` is not logged, the caller
 * knows what to do next. May be called again then.
 */
int ctrl_stop(struct ctrl *ctrl, uint32_t id, int timeout_ms);

/*
 * Stop it if nobody has its block device open; -EBUSY, not logged, otherwise. A driver
 * without the feature SAFE_STOP_DEV refuses it.
 */
int ctrl_try_stop(struct ctrl *ctrl, uint32_t id, int timeout_ms);

/* Free the device and its number. Only after a stop that ended (see ctrl.c). */
int ctrl_delete(struct ctrl *ctrl, uint32_t id);
