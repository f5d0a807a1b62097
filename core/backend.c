/* SPDX-License-Identifier: MIT */
#include "backend.h"

#include <errno.h>
#include <stddef.h>

#include "log.h"

static const struct backend_ops *const backends[] = {
	[UL_BACKING_NULL] = &backend_null_ops,
	[UL_BACKING_MEM] = &backend_mem_ops,
	[UL_BACKING_FILE] = &backend_file_ops,
};

int backend_probe(struct ul_device *dev, const char *name)
{
	const struct backend_ops *ops = backends[dev->backing];

	if (dev->size != 0)
		return 0;
	if (!ops->probe) {
		log_error("%s: the device needs a size, as in size = \"1G\"", name);
		return -EINVAL;
	}
	return ops->probe(dev);
}

bool backend_discards(const struct ul_device *dev)
{
	return backends[dev->backing]->discard;
}

int backend_open(struct backend **backend, const struct ul_device *dev)
{
	return backends[dev->backing]->open(backend, dev);
}

void backend_close(struct backend *backend)
{
	if (backend)
		backend->ops->close(backend);
}
