/* SPDX-License-Identifier: MIT */
/*
 * Power cuts under a copy on write store, whose disk has a cache: what was not
 * flushed may be there or not, each sector for itself and in any order. At
 * random moments such a disk is opened anew, and must have all that had been
 * made durable, and of the rest only what was written, or what was before.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../slow.h"
#include "../trees.h"
#include "cow.h"

enum {
	SIZE = 1 << 20,
	SECTORS = SIZE / 512,
	BLOCK = 16 << 10,
	DISK = SIZE / 512 + 2 * BLOCK / 512, /* sectors of the store */
	FLIGHT = 8,
	MOST = 24 << 10, /* bytes of a write */
	VERSIONS = 64,
};

static bool slow;
static struct ul_rng rng;

static uint64_t below(uint64_t limit)
{
	return (uint64_t)(ul_rng_next(&rng) * (double)limit);
}

/* A sector is one number, 64 times over. */
static uint64_t number_in(const uint8_t *sector)
{
	uint64_t number;

	memcpy(&number, sector, sizeof(number));
	for (unsigned i = 8; i < 512; i += 8)
		assert_memory_equal(sector + i, &number, 8);
	return number;
}

static void fill(uint8_t *sector, uint64_t number)
{
	for (unsigned i = 0; i < 512; i += 8)
		memcpy(sector + i, &number, 8);
}

/* -- A disk with a cache --------------------------------------------------- */

static struct {
	struct backend base;
	uint8_t durable[DISK][512];
	struct {
		uint8_t (*data)[512]; /* newer and newer */
		unsigned count;
	} cached[DISK];
} disk;

static const uint8_t *newest(uint64_t sector)
{
	unsigned count = disk.cached[sector].count;

	return count ? disk.cached[sector].data[count - 1] : disk.durable[sector];
}

static void make_durable(uint64_t sector)
{
	memmove(disk.durable[sector], newest(sector), 512);
	free(disk.cached[sector].data);
	disk.cached[sector].data = NULL;
	disk.cached[sector].count = 0;
}

static void put(uint64_t sector, const uint8_t *data)
{
	static const uint8_t zeros[512];
	unsigned count = disk.cached[sector].count++;

	disk.cached[sector].data = realloc(disk.cached[sector].data, (count + 1) * 512);
	assert_non_null(disk.cached[sector].data);
	memcpy(disk.cached[sector].data[count], data ? data : zeros, 512);
}

static int disk_serve(struct backend *backend, struct lane *lane, const struct ul_req *req)
{
	uint64_t first = (uint64_t)req->sector;

	for (uint64_t i = 0; req->op == UL_OP_FLUSH && i < DISK; i++)
		make_durable(i);
	for (uint64_t i = 0; i < req->length / 512; i++) {
		if (req->op == UL_OP_READ)
			memcpy(req->buf + i * 512, newest(first + i), 512);
		else
			put(first + i, req->op == UL_OP_WRITE ? req->buf + i * 512 : NULL);
		if (req->flags & UL_FLAG_FUA)
			make_durable(first + i);
	}
	return 0;
}

static void disk_close(struct backend *backend)
{
	for (unsigned i = 0; i < DISK; i++)
		make_durable(i);
}

static const struct backend_ops disk_ops = {
	.name = "disk",
	.serve = disk_serve,
	.close = disk_close,
};

/* What is on the disk after a power cut now. */
static void write_crashed(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (unsigned i = 0; i < DISK; i++) {
		uint64_t which = below(disk.cached[i].count + 1);
		const uint8_t *data = which ? disk.cached[i].data[which - 1] : disk.durable[i];

		assert_int_equal(fwrite(data, 1, 512, file), 512);
	}
	fclose(file);
}

/* -- What may be there ----------------------------------------------------- */

struct version {
	uint64_t number;
	unsigned answered; /* when; 0: not yet */
};

static struct {
	struct version version[VERSIONS]; /* the oldest is the last that is durable for certain */
	unsigned count;
} history[SECTORS];

static unsigned now; /* a clock of answers */

static void promise(uint64_t sector, unsigned until)
{
	unsigned oldest = 0;

	for (unsigned i = 1; i < history[sector].count; i++)
		if (history[sector].version[i].answered &&
		    history[sector].version[i].answered <= until)
			oldest = i;
	history[sector].count -= oldest;
	memmove(history[sector].version, history[sector].version + oldest,
		history[sector].count * sizeof(struct version));
}

static bool allowed(uint64_t sector, uint64_t number)
{
	for (unsigned i = 0; i < history[sector].count; i++)
		if (history[sector].version[i].number == number)
			return true;
	return false;
}

static struct ul_device describe(const char *store)
{
	struct ul_device dev = tree_device(UL_BACKING_COW);
	uint32_t first = tree_grow(&dev, 0, 2, UL_BACKING_FILE);

	dev.backing[0].block = BLOCK;
	snprintf(dev.backing[first + COW_BASE].path, 4096, "%s", temp_path("base.img"));
	snprintf(dev.backing[first + COW_STORE].path, 4096, "%s", temp_path(store));
	return dev;
}

static void crash(void)
{
	static uint8_t data[SIZE];
	struct ul_device dev = describe("crashed.img");
	struct ul_req req = { .op = UL_OP_READ, .length = SIZE, .buf = data };
	struct backend *root;

	write_crashed(temp_path("crashed.img"));
	root = tree_open(&dev);
	assert_int_equal(root->ops->serve(root, NULL, &req), 0);
	backend_close(root);
	for (unsigned i = 0; i < SECTORS; i++) {
		if (allowed(i, number_in(data + i * 512)))
			continue;
		print_error("sector %u has %llu\n", i,
			    (unsigned long long)number_in(data + i * 512));
		fail();
	}
}

/* -- Requests -------------------------------------------------------------- */

static struct flight {
	struct backend_io io;
	struct ul_req req;
	unsigned asked; /* when */
	bool busy;
	uint8_t data[MOST];
} flight[FLIGHT];

static void ended(struct backend_io *io, int result)
{
	struct flight *f = (struct flight *)io;
	uint64_t first = (uint64_t)f->req.sector;

	assert_int_equal(result, 0);
	f->busy = false;
	now++;
	for (uint64_t i = first; i < first + f->req.length / 512; i++) {
		history[i].version[history[i].count - 1].answered = now;
		if (f->req.flags & UL_FLAG_FUA)
			promise(i, now);
	}
	for (uint64_t i = 0; f->req.op == UL_OP_FLUSH && i < SECTORS; i++)
		promise(i, f->asked);
}

static bool free_to_write(const struct ul_req *req)
{
	uint64_t first = (uint64_t)req->sector, end = first + req->length / 512;

	for (unsigned i = 0; i < FLIGHT; i++) {
		uint64_t other = (uint64_t)flight[i].req.sector;

		if (flight[i].busy && first < other + flight[i].req.length / 512 && other < end)
			return false;
	}
	for (uint64_t i = first; i < end; i++)
		if (history[i].count == VERSIONS)
			return false;
	return true;
}

/* Few places, so that blocks are new and old, and versions are many. */
static bool choose(struct flight *f)
{
	static uint64_t number = 1ULL << 40;
	uint64_t kind = below(12), first = below(SECTORS), count = 1 + below(MOST / 512);

	f->req = (struct ul_req){ .op = UL_OP_FLUSH };
	if (kind == 0)
		return true;
	count = count < SECTORS - first ? count : SECTORS - first;
	f->req = (struct ul_req){ .op = kind == 1 ? UL_OP_WRITE_ZEROES : UL_OP_WRITE,
				  .flags = below(8) == 0 ? UL_FLAG_FUA : 0,
				  .sector = (double)first,
				  .length = (uint32_t)count * 512,
				  .buf = kind == 1 ? NULL : f->data };
	if (!free_to_write(&f->req))
		return false;
	number++;
	for (uint64_t i = 0; i < count; i++) {
		unsigned last = history[first + i].count++;

		fill(f->data + i * 512, number);
		history[first + i].version[last] =
			(struct version){ .number = kind == 1 ? 0 : number };
	}
	return true;
}

static void run(struct backend *root, struct tree_lane *lane)
{
	struct flight *f = &flight[below(FLIGHT)];
	int ret;

	if (f->busy || !choose(f))
		return;
	f->busy = true;
	f->asked = now;
	ret = backend_ask(root, slow ? &lane->lane : NULL, &f->req, &f->io);
	if (ret != BACKEND_LATER)
		ended(&f->io, ret);
}

static void make_base(void)
{
	FILE *file = fopen(temp_path("base.img"), "w");
	uint8_t sector[512];

	assert_non_null(file);
	now = 1;
	for (unsigned i = 0; i < SECTORS; i++) {
		fill(sector, i + 1);
		assert_int_equal(fwrite(sector, 1, 512, file), 512);
		history[i].count = 1;
		history[i].version[0] = (struct version){ .number = i + 1, .answered = now };
	}
	fclose(file);
}

/* The store that a cow has begun is from now on the disk with a cache. */
static struct backend *open_over_disk(void)
{
	struct ul_device dev = describe("store.img");
	struct ul_req req = { .op = UL_OP_READ, .length = sizeof(disk.durable) };
	struct backend *root, *store;

	unlink(temp_path("store.img"));
	root = tree_open(&dev);
	store = root->child[COW_STORE];
	req.buf = disk.durable[0];
	req.length = (uint32_t)(((struct cow *)root)->data_start + SIZE);
	assert_true(req.length <= sizeof(disk.durable));
	assert_int_equal(store->ops->serve(store, NULL, &req), 0);
	backend_close(store);
	disk.base.ops = &disk_ops;
	root->child[COW_STORE] = &disk.base;
	if (slow)
		tree_slow(root);
	return root;
}

static void what_was_flushed_survives_a_power_cut(void **state)
{
	for (unsigned seed = 0; seed < 6; seed++) {
		struct tree_lane lane;
		struct backend *root;

		ul_rng_seed(&rng, seed, 0);
		make_base();
		root = open_over_disk();
		tree_lane_open(&lane, root);
		for (unsigned i = 0; i < FLIGHT; i++) {
			flight[i].io.end = ended;
			flight[i].io.memory = malloc(root->io_size);
		}
		for (unsigned i = 0; i < 1500; i++) {
			run(root, &lane);
			if (below(60) == 0)
				crash();
			if (slow && below(3) == 0)
				tree_pump(&lane);
		}
		while (lane.lane.flying)
			tree_pump(&lane);
		crash();
		tree_lane_close(&lane);
		backend_close(root);
		for (unsigned i = 0; i < FLIGHT; i++)
			free(flight[i].io.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_flushed_survives_a_power_cut),
	};

	return run_in_both_modes("cow_crash", tests, ARRAY_SIZE(tests), &slow);
}
