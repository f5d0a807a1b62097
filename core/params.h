/* SPDX-License-Identifier: MIT */
/*
 * From the device that a script describes to what the driver takes: defaults,
 * every range check, and struct ublk_params. Pure functions; main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "uapi.h"

/*
 * Fill in what `dev` leaves open and check the rest against the driver's
 * limits (ublk_validate_params in drivers/block/ublk_drv.c). 0 or -EINVAL, the
 * field and its limits logged after `name`.
 */
int params_complete(struct ul_device *dev, const char *name);

/* The driver's parameters for `dev`; `max_io` is the buffer size that the driver gave back. */
void params_fill(const struct ul_device *dev, uint32_t max_io, bool discard,
		 struct ublk_params *params);
