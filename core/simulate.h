/* SPDX-License-Identifier: MIT */
/*
 * A device that needs neither kernel nor root: dispatch over the simulated
 * transport, with a script or without, one round at a time. One thread.
 */
#pragma once

#include "backend.h"
#include "dispatch.h"
#include "guard.h"
#include "script.h"
#include "sim.h"
#include "stats.h"

struct simulation {
	bool debug; /* set before simulate_open: handlers are guarded */
	struct transport *transport;
	struct guard *guard;
	struct dispatch dispatch;
	atomic_int stage; /* enum stage */
};

/* `script` may be NULL: then no op goes to it. 0 or -errno, logged; then close is still owed. */
int simulate_open(struct simulation *simulation, const struct ul_device *dev, struct script *script,
		  struct backend *backend, struct stats *stats, const struct sim_config *config);

/* One round: how many requests came in (0 is possible), -ENODEV at the end, or another -errno. */
int simulate_round(struct simulation *simulation);

/* Answers that nobody was owed, and requests that were never answered. */
unsigned simulate_faults(const struct simulation *simulation);

/* With `debug`: how often the script has misused a buffer. */
unsigned simulate_misuses(const struct simulation *simulation);

void simulate_close(struct simulation *simulation);
