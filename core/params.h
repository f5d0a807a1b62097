/* SPDX-License-Identifier: MIT */
/*
 * From the device that a script describes to what the driver takes: defaults,
 * every range check, struct ublk_params, and whether the driver has taken it.
 * Pure functions; main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "uapi.h"

enum { PARAMS_SEGMENTS = UINT16_MAX }; /* of a request, at most */

/*
 * Fill in what `dev` leaves open and check the rest against the driver's
 * limits (ublk_validate_params in drivers/block/ublk_drv.c) and the block
 * layer's (blk_validate_limits). 0 or -EINVAL, the field and its limits logged
 * after `name`.
 */
int params_complete(struct ul_device *dev, const char *name);

/* For that: the same of its zones, if it has any (params_zones.c). */
int params_zones(struct ul_device *dev, const char *name);

/* The driver's parameters for `dev`; `max_io` is the buffer size that the driver gave back. */
void params_fill(const struct ul_device *dev, uint32_t max_io, bool discard,
		 struct ublk_params *params);

/* Do they say the same of a device, whatever kinds they name? */
bool params_same(const struct ublk_params *a, const struct ublk_params *b);

/*
 * Has the driver `kept` (GET_PARAMS) what it was `asked` for (SET_PARAMS)? 0, or what this kernel
 * lacks is logged after `name`: -EOPNOTSUPP.
 */
int params_kept(const struct ublk_params *asked, const struct ublk_params *kept, const char *name);

/*
 * The flags of ADD_DEV that `dev` needs, of those that the driver has `offered`. 0, or what this
 * kernel lacks is logged after `name`: -EOPNOTSUPP.
 */
int params_flags(const struct ul_device *dev, uint64_t offered, const char *name, uint64_t *flags);
