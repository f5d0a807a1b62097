/* SPDX-License-Identifier: MIT */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "log.h"
#include "park.h"

enum { HUGE_PAGE_SHIFT = 21, HUGE_PAGE = 1 << HUGE_PAGE_SHIFT };

/* Of the pages that the host has set aside, which are all there or not at all. */
static void *map_huge(struct transport *t)
{
	size_t length = (t->data_length + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	void *buffers =
		mmap(NULL, length, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | HUGE_PAGE_SHIFT << MAP_HUGE_SHIFT,
		     -1, 0);

	if (buffers != MAP_FAILED)
		t->data_length = length;
	else
		log_warn("queue %u: huge_pages: the host has not set aside %zu pages of 2 MiB "
			 "(vm.nr_hugepages); its kernel may still make some",
			 t->shared.queue, length / HUGE_PAGE);
	return buffers;
}

/*
 * Pages come with their first use: a device at depth 1 does not pay for depth 128, and they are of
 * the memory that is nearest to the queue's thread.
 */
static void map_buffers(struct transport *t, bool huge_pages)
{
	void *buffers = huge_pages ? map_huge(t) : MAP_FAILED;

	if (buffers == MAP_FAILED) {
		buffers = mmap(NULL, t->data_length, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (buffers == MAP_FAILED)
			return;
		(void)madvise(buffers, t->data_length,
			      huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	}
	t->data = buffers;
	t->shared.buffers = buffers;
}

int transport_alloc(struct transport *t, unsigned queue, unsigned depth, uint32_t max_io,
		    bool huge_pages)
{
	t->shared.max_io = max_io;
	t->shared.stride = max_io;
	t->shared.queue = queue;
	t->shared.depth = depth;
	t->shared.reqs = calloc(depth, sizeof(*t->shared.reqs));
	t->shared.batch = calloc(depth, sizeof(*t->shared.batch));
	t->data_length = (size_t)depth * max_io;
	map_buffers(t, huge_pages);
	if (!t->shared.reqs || !t->shared.batch || !t->data || park_open(&t->shared))
		return -ENOMEM;

	for (unsigned tag = 0; tag < depth; tag++) {
		t->shared.reqs[tag].tag = (uint16_t)tag;
		t->shared.reqs[tag].queue = (uint16_t)queue;
	}
	return 0;
}

static size_t metadata_length(const struct transport *t)
{
	return (size_t)t->shared.depth * t->shared.metadata_stride;
}

int transport_alloc_metadata(struct transport *t, uint32_t interval, uint32_t metadata_size)
{
	void *metadata;

	t->shared.interval = interval;
	t->shared.metadata_size = metadata_size;
	t->shared.metadata_stride = t->shared.max_io / interval * metadata_size;
	metadata = mmap(NULL, metadata_length(t), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (metadata == MAP_FAILED)
		return -ENOMEM;
	t->shared.metadata = metadata;
	return 0;
}

void transport_free(struct transport *t)
{
	park_close(&t->shared);
	if (t->shared.metadata)
		munmap(t->shared.metadata, metadata_length(t));
	if (t->data)
		munmap(t->data, t->data_length);
	free(t->shared.batch);
	free(t->shared.reqs);
}

double ul_now(const struct ul_queue *queue)
{
	const struct transport *t = (const struct transport *)((const char *)queue -
							       offsetof(struct transport, shared));

	return (double)t->ops->now(t) / 1e9;
}
