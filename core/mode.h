/* SPDX-License-Identifier: MIT */
/*
 * How the data of requests comes to the server and back: which ways this
 * kernel's driver has, which fit the device, and which is the fastest of them.
 * The figures that the choice stands on are in core/README.md. Pure functions;
 * main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "uapi.h"

/* What the backing of a device does with data that is still with the driver; see backend.h. */
struct mode_backing {
	bool lazy;  /* moves it by lane_fetch and lane_store */
	bool fixed; /* has the host move it, by lane_start */
};

struct mode_choice {
	int32_t mode;	  /* enum ul_mode, never UL_MODE_AUTO */
	uint64_t flags;	  /* of ADD_DEV, for it, */
	uint64_t without; /* and what must not be among them */
	const char *why;  /* "no script looks at the data" */
};

/* As scripts and users write it; NULL beyond the last. */
const char *mode_name(int32_t mode);

/* -1: there is none of this name. */
int32_t mode_of(const char *name);

/*
 * The mode for `dev`: its own, if it says one, or the best of those that the driver has `offered`
 * (0: it does not say). 0, or what is in the way is logged after `name`: -EOPNOTSUPP.
 */
int mode_choose(const struct ul_device *dev, const struct mode_backing *backing, uint64_t offered,
		const char *name, struct mode_choice *choice);

/* Has the driver `kept` the flags that were chosen? 0, or logged after `name`: -EOPNOTSUPP. */
int mode_kept(const struct mode_choice *choice, uint64_t kept, const char *name);
