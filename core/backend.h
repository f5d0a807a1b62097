/* SPDX-License-Identifier: MIT */
/*
 * What lies under a device: where a request goes that no script has decided.
 * One backend serves all queues of its device, so `serve` and `start` run on
 * several threads at once and lock nothing that a disk would not. A new
 * backend is one file and one line in the list of backend.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"
#include "lane.h"

struct backend;

/* What `start` returns of a request that is on its way. */
enum { BACKEND_LATER = 1 };

/* A request on its way through a backend, until `end` is called; one for each slot of a queue. */
struct backend_io {
	/* 0 or -errno. Called by lane_run, in a round of the queue. */
	void (*end)(struct backend_io *io, int result);

	/* The backend's own: */
	struct backend *backend;
	struct lane *lane;
	const struct ul_req *req; /* stays as it is until the end */
	struct lane_op op;
	uint8_t *buf;  /* its data; NULL: the ring's buffer of its tag */
	bool stores;   /* at the end that goes to the driver */
	uint32_t done; /* bytes of it */
	uint32_t step;
};

struct backend_ops {
	/*
	 * Set dev->size where the script did not. May be NULL: then a size is
	 * needed. 0 or -errno, logged.
	 */
	int (*probe)(struct ul_device *dev);

	/* 0 or -errno, logged. `dev` is complete and its ranges are checked. */
	int (*open)(struct backend **backend, const struct ul_device *dev);

	/*
	 * Serve one request whole, now: 0 or -errno. Its range lies within the
	 * device. A read or write has a `buf`, but of a backend that is lazy on a
	 * lane that is, too. Any queue thread, with its own lane; NULL: it has none.
	 */
	int (*serve)(struct backend *backend, struct lane *lane, const struct ul_req *req);

	/*
	 * The same for one that need not wait for it: 0 or -errno, or
	 * BACKEND_LATER, and then io->end is called once. Any queue thread, with
	 * its own lane. NULL: there is nothing to wait for.
	 */
	int (*start)(struct backend *backend, struct lane *lane, const struct ul_req *req,
		     struct backend_io *io);

	void (*close)(struct backend *backend);

	bool discard; /* has discard and write zeroes */
};

struct backend {
	const struct backend_ops *ops;
	int files[LANE_FILES]; /* of the host, for each queue's ring to register; borrowed */
	unsigned file_count;
	bool prompt; /* it does not wait: `serve` is faster than `start` */
	bool lazy;   /* it needs no `buf`: lane_fetch and lane_store are as good, or better */
	bool fixed;  /* it needs none where there is lane_pages: `start` uses that */
};

extern const struct backend_ops backend_null_ops;
extern const struct backend_ops backend_mem_ops;
extern const struct backend_ops backend_file_ops;

/* Find out the size that the script left to its backing. 0 or -errno, logged after `name`. */
int backend_probe(struct ul_device *dev, const char *name);

/* Does the backing of `dev` take discard and write zeroes? */
bool backend_discards(const struct ul_device *dev);

/* 0 or -errno, logged. */
int backend_open(struct backend **backend, const struct ul_device *dev);
void backend_close(struct backend *backend);

static inline uint64_t backend_offset(const struct ul_req *req)
{
	return (uint64_t)req->sector << 9;
}
