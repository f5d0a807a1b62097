/* SPDX-License-Identifier: MIT */
/*
 * What clients of the control socket may ask of a running device, and the
 * answers: a table of commands. In the supervisor's loop; one thread.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>

#include "device.h"

struct operate;

/* 0 or -errno, logged: a device can do without. */
int operate_open(struct operate **operate, struct device *device);

enum { OPERATE_FDS = 2 };

/* Call operate_run when one of these descriptors is ready, or the time is over. NULL is fine. */
void operate_poll(const struct operate *operate, struct pollfd *fds, int *wait_ms);
void operate_run(struct operate *operate);

/* Has a client asked for the end of the device? */
bool operate_wants_end(const struct operate *operate);

/* The device has a new server: what the last one was asked gets an error. NULL is fine. */
void operate_new_server(struct operate *operate);

/* The device is closed: tell who asked for that, `failed` if not well. NULL is fine. */
void operate_close(struct operate *operate, bool failed);
