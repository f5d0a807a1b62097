/* SPDX-License-Identifier: MIT */
/*
 * What clients of the control socket may ask of a running device, and the
 * answers: a table of commands. In the supervisor's loop; one thread.
 */
#pragma once

#include <stdbool.h>

#include "device.h"

struct operate;

/* 0 or -errno, logged: a device can do without. */
int operate_open(struct operate **operate, struct device *device);

/* Readable when operate_run has something to do. */
int operate_fd(const struct operate *operate);
void operate_run(struct operate *operate);

/* Has a client asked for the end of the device? */
bool operate_wants_end(const struct operate *operate);

/* The device is closed: tell who asked for that, `failed` if not well. NULL is fine. */
void operate_close(struct operate *operate, bool failed);
