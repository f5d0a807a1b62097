/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a device when its server dies: which ways of recovery this
 * kernel's driver has, and the flags for the one that the script or the user
 * wants. Pure functions; main thread.
 */
#pragma once

#include <stdint.h>

#include "api.h"

/* As scripts and users write it; NULL beyond the last. */
const char *recovery_name(int32_t way);

/* -1: there is none of this name. */
int32_t recovery_of(const char *name);

/* Flags of ADD_DEV for dev->recover. 0, or logged after `name`: -EOPNOTSUPP. */
int recovery_flags(const struct ul_device *dev, uint64_t offered, const char *name,
		   uint64_t *flags);
