/* SPDX-License-Identifier: MIT */
/*
 * Nothing: writes vanish, a read gives what its memory held before. The
 * measure of what everything above costs, and the floor of a device whose
 * script serves all that it cares for.
 */
#include "backend.h"

static int null_open(struct backend **backend, const struct ul_device *dev,
		     const struct ul_backing_spec *spec, struct backend *const *children)
{
	static struct backend null = { .ops = &backend_null_ops, .lazy = true, .fixed = true };

	(void)dev;
	(void)spec;
	(void)children;
	*backend = &null;
	return 0;
}

static int null_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	(void)backend;
	(void)lane;
	(void)req;
	return 0;
}

static void null_close(struct backend *backend)
{
	(void)backend;
}

const struct backend_ops backend_null_ops = {
	.name = "null",
	.open = null_open,
	.serve = null_serve,
	.close = null_close,
	.discard = true,
};
