/* SPDX-License-Identifier: MIT */
/*
 * What lies under a device: where a request goes that no script has decided.
 * One backend serves all queues of its device, so `serve` runs on several
 * threads at once and locks nothing that a disk would not. A new backend is
 * one file and one line in the list of backend.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api.h"

struct backend;

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
	 * device. Any queue thread.
	 */
	int (*serve)(struct backend *backend, const struct ul_req *req);

	void (*close)(struct backend *backend);

	bool discard; /* has discard and write zeroes */
};

struct backend {
	const struct backend_ops *ops;
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
