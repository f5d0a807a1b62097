/* SPDX-License-Identifier: MIT */
/*
 * One round of a queue: each request that came in goes to the script or
 * straight to the backend, what was parked and is due goes on, and what has
 * been decided is answered. A tag that is not answered within its round is
 * parked, and this file knows of it until it is. Queue thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "backend.h"
#include "guard.h"
#include "script.h"
#include "stage.h"
#include "stats.h"
#include "transport.h"

struct dispatch_config {
	struct transport *transport;
	struct script *script; /* attached to the transport's queue; NULL: there is none */
	struct backend *backend;
	struct guard *guard; /* --debug; NULL: handlers get the data itself */
	struct stats *stats;
	const struct ul_device *device; /* its size, and what its script wants to see */
	const atomic_int *stage;	/* enum stage */
};

/* What the backend is asked, for a tag or a slot; its place in `below` is that. */
struct dispatch_io {
	struct backend_io io;
	struct dispatch *dispatch;
};

struct dispatch {
	struct dispatch_config config;
	struct dispatch_io *below; /* one for each slot; NULL: the backend need not be waited for */
	void *memory;		   /* io.memory of all of them */
	double *placed;		   /* by tag: ul_req.placed; NULL: the device has no zones */
	bool lazy;		   /* the data of requests is with the driver at first, and */
	bool brings;		   /* the backend wants it in memory */
	int stage;		   /* as it was in the last round */
	double now;		   /* s: the round's beginning, when its requests came */
	uint32_t fresh_ops;	   /* bit N: of op N requests of this round were answered in it, */
	uint32_t fresh[UL_OP_COUNT]; /* so many */
};

/* 0 or -ENOMEM, logged; dispatch_close is safe after both. */
int dispatch_open(struct dispatch *dispatch, const struct dispatch_config *config);

/* After the last round: nothing is on its way below any more. */
void dispatch_close(struct dispatch *dispatch);

/* Serve the `count` tags of the transport's batch, and what is due. */
void dispatch_round(struct dispatch *dispatch, unsigned count);

/* When the next round has something to do even if no request comes: ns, for transport_ops.reap. */
uint64_t dispatch_deadline(const struct dispatch *dispatch);
