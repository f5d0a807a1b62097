/* SPDX-License-Identifier: MIT */
/*
 * What lies under a device: where a request goes that no script has decided.
 * One backend serves all queues of its device, so `serve` and `start` run on
 * several threads at once and lock nothing that a disk would not. Backends may
 * lie over others, as a tree. A new one is one file and one line in the list
 * of backend.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "lane.h"

struct backend;

/* What `start` returns of a request that is on its way. */
enum { BACKEND_LATER = 1 };

/*
 * A request on its way through a backend, until `end` is called; one for each
 * slot of a queue, and one in `memory` for each of those on their way to the
 * backends below.
 */
struct backend_io {
	/* 0 or -errno. Called by lane_run, in a round of the queue, and never within `start`. */
	void (*end)(struct backend_io *io, int result);
	void *memory; /* io_size bytes of the backend's own, from its caller */

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
	const char *name; /* the script's: ublk.NAME */

	/*
	 * Complete spec->size, and what is below it by backend_probe_below.
	 * May be NULL: then a size is needed. 0 or -errno, logged.
	 */
	int (*probe)(struct ul_device *dev, struct ul_backing_spec *spec);

	/*
	 * 0 or -errno, logged. `dev` is complete, its ranges are checked, and
	 * what is below it is open: `children` of them.
	 */
	int (*open)(struct backend **backend, const struct ul_device *dev,
		    const struct ul_backing_spec *spec, struct backend *const *children);

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

	/* Those below it are still open. */
	void (*close)(struct backend *backend);

	bool discard; /* has discard and write zeroes */
};

struct backend {
	const struct backend_ops *ops;
	struct backend *child[UL_BACKINGS]; /* those below it */
	unsigned children;
	size_t io_size; /* bytes of memory that a request needs which is on its way */
	bool prompt;	/* it does not wait: `serve` is faster than `start` */
	bool lazy;	/* it needs no `buf`: lane_fetch and lane_store are as good, or better */
	bool fixed;	/* it needs none where there is lane_pages: `start` uses that */

	/*
	 * Of the host, for each queue's ring to register; borrowed. The first
	 * of them is number `first_file` there. The tree's root has all.
	 */
	int files[LANE_FILES];
	unsigned file_count, first_file;
};

/*
 * The metadata of `dev` beside what `below` keeps: what lies over all other backings of a device
 * that has any. `below` stays the caller's when it fails. 0 or -errno, logged.
 */
int backend_integrity_open(struct backend **backend, const struct ul_device *dev,
			   struct backend *below);

extern const struct backend_ops backend_null_ops;
extern const struct backend_ops backend_mem_ops;
extern const struct backend_ops backend_file_ops;
extern const struct backend_ops backend_stripe_ops;
extern const struct backend_ops backend_mirror_ops;
extern const struct backend_ops backend_cow_ops;
extern const struct backend_ops backend_zoned_ops;

/*
 * Find out the sizes that the script left to its backings, and check that they suffice. Comes
 * before backend_open. 0 or -errno, logged after `name`.
 */
int backend_probe(struct ul_device *dev, const char *name);

/* For `probe`: the same for those below `spec`, of which `size` bytes are wanted; 0: what is there.
 */
int backend_probe_below(struct ul_device *dev, const struct ul_backing_spec *spec, double size);

/* The same for one of those. */
int backend_probe_child(struct ul_device *dev, const struct ul_backing_spec *spec, uint32_t which,
			double size);

/* Does the backing of `dev` take discard and write zeroes? */
bool backend_discards(const struct ul_device *dev);

/* Is a backing of this kind among those of `dev`? */
bool backend_has(const struct ul_device *dev, int kind);

/* What the backings of `spec` are, as in `stripe(file a.img, mem)`. */
void backend_text(const struct ul_device *dev, const struct ul_backing_spec *spec, char *text,
		  size_t size);

/* For `open`: the largest io_size of `count` backends. */
size_t backend_most_memory(struct backend *const *backends, unsigned count);

/* 0 or -errno, logged. */
int backend_open(struct backend **backend, const struct ul_device *dev);
void backend_close(struct backend *backend);

/* Must it be waited for, where there is a lane? */
static inline bool backend_waits(const struct backend *backend)
{
	return backend->ops->start && !backend->prompt;
}

/*
 * Have `backend` serve `req` in the way that suits it and `lane`; NULL: now. 0 or -errno, or
 * BACKEND_LATER, and then io->end is called once.
 */
static inline int backend_ask(struct backend *backend, struct lane *lane, const struct ul_req *req,
			      struct backend_io *io)
{
	if (!lane || !backend_waits(backend))
		return backend->ops->serve(backend, lane, req);
	return backend->ops->start(backend, lane, req, io);
}

static inline uint64_t backend_offset(const struct ul_req *req)
{
	return (uint64_t)req->sector << 9;
}
