/* SPDX-License-Identifier: MIT */
/*
 * Copy on write as a backing: finds out how large its store must be, takes up
 * a store that is one or begins a new one, and leaves nothing unwritten when it
 * is closed. Main thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cow.h"
#include "log.h"

/* In the byte order of the host: on another the version is none of ours. */
struct cow_header {
	char magic[16];
	uint32_t version;
	uint32_t block;	     /* bytes */
	uint64_t size;	     /* of the base, bytes */
	uint64_t data_start; /* bytes */
};

enum { COW_VERSION = 1 };

static const char magic[16] = "ublk-lua cow\n";

static uint64_t data_start(uint64_t blocks, uint32_t block)
{
	uint64_t before = COW_PAGE + cow_map_bytes(blocks);

	return (before + block - 1) / block * block;
}

static int cow_probe(struct ul_device *dev, struct ul_backing_spec *spec)
{
	struct ul_backing_spec *base = &dev->backing[spec->child + COW_BASE];
	struct ul_backing_spec *store = &dev->backing[spec->child + COW_STORE];
	uint64_t blocks;
	double needed;
	int ret;

	base->read_only = 1;
	ret = backend_probe_child(dev, spec, COW_BASE, spec->size);
	if (ret)
		return ret;
	spec->size = base->size;
	blocks = ((uint64_t)spec->size + spec->block - 1) / spec->block;
	if (cow_map_bytes(blocks) > UINT32_MAX) { /* it is read and begun by one request */
		log_error("ublk.cow: a base of %.0f bytes has too many blocks of %u; say a larger "
			  "block",
			  spec->size, spec->block);
		return -EINVAL;
	}
	needed = (double)data_start(blocks, spec->block) + spec->size;
	store->create = 1;
	ret = backend_probe_child(dev, spec, COW_STORE, needed);
	if (ret == 0 && store->size < needed) {
		log_error("ublk.cow: its store has %.0f bytes and needs %.0f", store->size, needed);
		ret = -EINVAL;
	}
	return ret;
}

static int ask_store(struct cow *cow, uint8_t op, uint64_t offset, uint64_t length, void *buf)
{
	struct backend *store = cow->base.child[COW_STORE];
	const struct ul_req req = {
		.op = op,
		.sector = (double)(offset >> 9),
		.length = (uint32_t)length,
		.buf = buf,
	};

	return store->ops->serve(store, NULL, &req);
}

/* A store without any bit. The header comes last: what a crash leaves is none yet. */
static int begin_store(struct cow *cow, struct cow_header *header)
{
	uint64_t length = cow_map_bytes(cow->blocks);
	int ret = ask_store(cow, UL_OP_WRITE_ZEROES, COW_PAGE, length, NULL);

	if (ret == -EOPNOTSUPP)
		ret = ask_store(cow, UL_OP_WRITE, COW_PAGE, length, cow->copy);
	if (ret == 0)
		ret = ask_store(cow, UL_OP_FLUSH, 0, 0, NULL);
	memcpy(header->magic, magic, sizeof(magic));
	header->version = COW_VERSION;
	header->block = cow->block;
	header->size = cow->size;
	header->data_start = cow->data_start;
	if (ret == 0)
		ret = ask_store(cow, UL_OP_WRITE, 0, COW_PAGE, header);
	if (ret == 0)
		ret = ask_store(cow, UL_OP_FLUSH, 0, 0, NULL);
	return ret;
}

static int take_up(struct cow *cow, const struct cow_header *header, const char *name)
{
	if (header->version != COW_VERSION) {
		log_error("ublk.cow: %s: a store of version %u, this is %u", name, header->version,
			  COW_VERSION);
		return -EINVAL;
	}
	if (header->size != cow->size || header->block != cow->block) {
		log_error("ublk.cow: %s: a store for %llu bytes in blocks of %u, the base has %llu "
			  "and block is %u",
			  name, (unsigned long long)header->size, header->block,
			  (unsigned long long)cow->size, cow->block);
		return -EINVAL;
	}
	return ask_store(cow, UL_OP_READ, COW_PAGE, cow_map_bytes(cow->blocks), cow->copy);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, COW_PAGE - 1) == 0;
}

static int open_store(struct cow *cow, bool read_only, const char *name)
{
	uint8_t *page = aligned_alloc(COW_PAGE, COW_PAGE);
	int ret = page ? ask_store(cow, UL_OP_READ, 0, COW_PAGE, page) : -ENOMEM;

	if (ret == 0 && memcmp(page, magic, sizeof(magic)) == 0) {
		ret = take_up(cow, (const struct cow_header *)page, name);
	} else if (ret == 0 && is_zero(page) && cow->taken_over && !read_only) {
		log_error("ublk.cow: %s is not the store that the last server had", name);
		ret = -EINVAL;
	} else if (ret == 0 && is_zero(page)) {
		ret = read_only ? 0 : begin_store(cow, (struct cow_header *)page);
	} else if (ret == 0) {
		log_error("ublk.cow: %s holds something else; a store begins as zeros, or as no "
			  "file",
			  name);
		ret = -EINVAL;
	}
	if (ret && ret != -EINVAL)
		log_error("ublk.cow: %s: %s", name, strerror(-ret));
	free(page);
	return ret;
}

static void set_up(struct cow *cow, const struct ul_device *dev, const struct ul_backing_spec *spec,
		   struct backend *const *children)
{
	cow->base.ops = &backend_cow_ops;
	cow->base.child[COW_BASE] = children[COW_BASE];
	cow->base.child[COW_STORE] = children[COW_STORE];
	cow->base.io_size = sizeof(struct cow_io) + backend_most_memory(children, 2);
	cow->durable = !dev->volatile_cache;
	cow->size = (uint64_t)spec->size;
	cow->block = spec->block;
	cow->blocks = (cow->size + cow->block - 1) / cow->block;
	cow->data_start = data_start(cow->blocks, cow->block);
	cow->last = &cow->waiting;
	pthread_mutex_init(&cow->lock, NULL);
	pthread_cond_init(&cow->released, NULL);
}

/* Memory that is taken when it is used first. */
static int open_claims(struct cow *cow)
{
	void *memory = mmap(NULL, (size_t)COW_CLAIMS * cow->block, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	cow->blocks_of_claims = memory;
	for (unsigned i = 0; i < COW_CLAIMS; i++)
		cow->claims[i].block = cow->blocks_of_claims + (size_t)i * cow->block;
	return 0;
}

static void free_cow(struct cow *cow)
{
	cow_map_close(cow);
	if (cow->blocks_of_claims)
		munmap(cow->blocks_of_claims, (size_t)COW_CLAIMS * cow->block);
	pthread_cond_destroy(&cow->released);
	pthread_mutex_destroy(&cow->lock);
	free(cow);
}

static int cow_open(struct backend **backend, const struct ul_device *dev,
		    const struct ul_backing_spec *spec, struct backend *const *children)
{
	const struct ul_backing_spec *store = &dev->backing[spec->child + COW_STORE];
	struct cow *cow = calloc(1, sizeof(*cow));
	char name[256];
	int ret = -ENOMEM;

	if (cow) {
		set_up(cow, dev, spec, children);
		ret = cow_map_open(cow);
	}
	if (ret == 0)
		ret = open_claims(cow);
	if (ret) {
		log_error("ublk.cow: no memory for the map of its blocks");
	} else {
		backend_text(dev, store, name, sizeof(name));
		ret = open_store(cow, store->read_only, name);
	}
	if (ret) {
		if (cow)
			free_cow(cow);
		return ret;
	}
	cow_map_load(cow);
	*backend = &cow->base;
	return 0;
}

/* Who stops a device counts on what it has answered. */
static void cow_close(struct backend *backend)
{
	struct cow *cow = (struct cow *)backend;
	int ret = 0;

	if (!cow_map_is_kept(cow))
		ret = cow_serve(backend, NULL, &(struct ul_req){ .op = UL_OP_FLUSH });
	if (ret)
		log_error("ublk.cow: what was written since the last flush is lost: %s",
			  strerror(-ret));
	free_cow(cow);
}

const struct backend_ops backend_cow_ops = {
	.name = "cow",
	.probe = cow_probe,
	.open = cow_open,
	.serve = cow_serve,
	.start = cow_start,
	.close = cow_close,
	.discard = true,
};
