/* SPDX-License-Identifier: MIT */
/*
 * One round of a queue: each request that came in goes to the script or
 * straight to the backend, and is answered. Queue thread; every tag that it is
 * given, it answers before it returns.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "backend.h"
#include "script.h"
#include "stats.h"
#include "transport.h"

struct dispatch {
	struct transport *transport;
	struct script *script;
	struct backend *backend;
	struct stats *stats;
	uint32_t op_mask;	 /* bit N: op N goes to the script */
	uint64_t size;		 /* bytes of the device */
	const atomic_bool *fail; /* set from outside: answer everything with EIO, run no script */
};

/* Serve the `count` tags of the transport's batch. */
void dispatch_batch(struct dispatch *dispatch, unsigned count);
