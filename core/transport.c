/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "park.h"

int transport_alloc(struct transport *t, unsigned queue, unsigned depth, uint32_t max_io)
{
	void *buffers;

	t->shared.max_io = max_io;
	t->shared.stride = max_io;
	t->shared.queue = queue;
	t->shared.depth = depth;
	t->shared.reqs = calloc(depth, sizeof(*t->shared.reqs));
	t->shared.batch = calloc(depth, sizeof(*t->shared.batch));
	/* Pages come with their first use: a device at depth 1 does not pay for depth 128. */
	buffers = mmap(NULL, (size_t)depth * max_io, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers != MAP_FAILED) {
		(void)madvise(buffers, (size_t)depth * max_io, MADV_NOHUGEPAGE);
		t->data = buffers;
		t->shared.buffers = buffers;
	}
	if (!t->shared.reqs || !t->shared.batch || !t->data || park_open(&t->shared))
		return -ENOMEM;

	for (unsigned tag = 0; tag < depth; tag++) {
		t->shared.reqs[tag].tag = (uint16_t)tag;
		t->shared.reqs[tag].queue = (uint16_t)queue;
	}
	return 0;
}

void transport_free(struct transport *t)
{
	park_close(&t->shared);
	if (t->data)
		munmap(t->data, (size_t)t->shared.depth * t->shared.max_io);
	free(t->shared.batch);
	free(t->shared.reqs);
}

double ul_now(const struct ul_queue *queue)
{
	const struct transport *t = (const struct transport *)((const char *)queue -
							       offsetof(struct transport, shared));

	return (double)t->ops->now(t) / 1e9;
}
