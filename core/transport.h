/* SPDX-License-Identifier: MIT */
/*
 * Where a queue's requests come from and their answers go: the kernel
 * (queue.c) or memory (sim.c). Owns the requests and data buffers, one of each
 * for a tag. All calls on the queue's own thread; nothing allocates after open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"

struct lane;
struct transport;

struct transport_ops {
	/*
	 * Hand in all answers, wait for at least one request, and put the tags
	 * of those that came into t->shared.batch with their `reqs` filled; on a
	 * lazy lane without `buf`, which the dispatcher sees to.
	 * Waits no longer than to `deadline`, ns on the transport's clock;
	 * UINT64_MAX is for ever and 0 not at all. Returns how many; 0 is
	 * possible; -ENODEV when the queue has ended and the server owns no
	 * tag any more, another -errno when it is broken.
	 */
	int (*reap)(struct transport *t, uint64_t deadline);

	/*
	 * Answer `tag`: bytes for a read or write, 0 for another op, or -errno.
	 * Each tag that reap gave exactly once, in any order, at any time before
	 * the queue's end.
	 */
	void (*answer)(struct transport *t, uint16_t tag, int32_t result);

	/* The clock of the queue's device: ns since it started. */
	uint64_t (*now)(const struct transport *t);

	void (*close)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	struct ul_queue shared; /* what the script sees */
	uint8_t *data;		/* depth × max_io bytes, page-aligned */
	size_t data_length;	/* as it was mapped */
	struct lane *lane;	/* for backends that wait for the host; NULL: it has none */
};

static inline uint8_t *transport_buffer(const struct transport *t, uint16_t tag)
{
	return t->data + (size_t)tag * t->shared.max_io;
}

/* Does the client give data with this op? Discard and write zeroes have a length only. */
static inline bool transport_op_brings_data(uint8_t op)
{
	return op == UL_OP_WRITE || op == UL_OP_ZONE_APPEND;
}

/* Does it get some? */
static inline bool transport_op_takes_data(uint8_t op)
{
	return op == UL_OP_READ || op == UL_OP_REPORT_ZONES;
}

static inline bool transport_op_has_data(uint8_t op)
{
	return transport_op_brings_data(op) || transport_op_takes_data(op);
}

/*
 * Allocate requests, batch, buffers (in huge pages if they are to be had and
 * wanted) and slots. 0 or -ENOMEM; transport_free is safe after both.
 */
int transport_alloc(struct transport *t, unsigned queue, unsigned depth, uint32_t max_io,
		    bool huge_pages);

/* Memory for the metadata of all tags, of a device that has it; interval and size are told. */
int transport_alloc_metadata(struct transport *t, uint32_t interval, uint32_t metadata_size);
void transport_free(struct transport *t);
