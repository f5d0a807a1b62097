/* SPDX-License-Identifier: MIT */
#include "trees.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "slow.h"

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "trees: %s\n", what);
	abort();
}

struct ul_device tree_device(int kind)
{
	return (struct ul_device){
		.logical_block_size = 512,
		.volatile_cache = 1,
		.backings = 1,
		.backing = { { .kind = kind, .block = 64 << 10 } },
	};
}

uint32_t tree_grow(struct ul_device *dev, uint32_t index, uint32_t count, int kind)
{
	uint32_t first = dev->backings;

	need(first + count <= UL_BACKINGS, "too many backings");
	dev->backing[index].child = first;
	dev->backing[index].children = count;
	dev->backings += count;
	for (uint32_t i = first; i < dev->backings; i++)
		dev->backing[i] = (struct ul_backing_spec){ .kind = kind, .block = 64 << 10 };
	return first;
}

void tree_file(struct ul_backing_spec *spec, const char *name, uint64_t size, uint8_t fill)
{
	const char *path = temp_path(name);
	FILE *file = fopen(path, "w");

	need(file != NULL, path);
	for (uint64_t i = 0; fill && i < size; i++)
		fputc(fill, file);
	need(fclose(file) == 0 && truncate(path, (off_t)size) == 0, path);
	spec->kind = UL_BACKING_FILE;
	snprintf(spec->path, sizeof(spec->path), "%s", path);
}

struct backend *tree_open(struct ul_device *dev)
{
	struct backend *backend;

	need(backend_probe(dev, "test.lua") == 0, "backend_probe");
	need(backend_open(&backend, dev) == 0, "backend_open");
	return backend;
}

void tree_slow(struct backend *root)
{
	root->prompt = false;
	for (unsigned i = 0; i < root->children; i++)
		if (!root->child[i]->ops->start)
			root->child[i] = slow_open(root->child[i]);
		else
			tree_slow(root->child[i]);
}

static void tick(struct backend *root)
{
	if (strcmp(root->ops->name, "slow") == 0)
		slow_tick(root);
	for (unsigned i = 0; i < root->children; i++)
		tick(root->child[i]);
}

void tree_lane_open(struct tree_lane *lane, struct backend *root)
{
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC); /* in the place of the device */
	int files[LANE_FIRST_FILE + LANE_FILES] = { none };

	memcpy(files + LANE_FIRST_FILE, root->files, sizeof(root->files));
	lane->root = root;
	lane->lane = (struct lane){ .ring = &lane->ring };
	need(io_uring_queue_init(64, &lane->ring, 0) == 0, "io_uring_queue_init");
	need(io_uring_register_files(&lane->ring, files, LANE_FIRST_FILE + root->file_count) == 0,
	     "io_uring_register_files");
	close(none);
}

void tree_lane_close(struct tree_lane *lane)
{
	need(lane->lane.flying == 0, "the lane is not empty");
	io_uring_queue_exit(&lane->ring);
}

/* Nothing may be in the ring: what is waited for may come from a tick, or another thread. */
void tree_pump(void *arg)
{
	struct tree_lane *lane = arg;
	struct __kernel_timespec brief = { .tv_nsec = 100000 };
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;

	tick(lane->root);
	if (lane->lane.flying && !lane->lane.first)
		(void)io_uring_submit_and_wait_timeout(&lane->ring, &cqe, 1, &brief, NULL);
	io_uring_for_each_cqe(&lane->ring, head, cqe) {
		seen++;
		lane_end(&lane->lane, io_uring_cqe_get_data(cqe), cqe->res);
	}
	io_uring_cq_advance(&lane->ring, seen);
	lane_run(&lane->lane);
}

unsigned tree_exercise(struct backend *root, struct exercise exercise, bool by_ring)
{
	struct tree_lane lane;

	tree_lane_open(&lane, root);
	exercise.backend = root;
	exercise.lane = by_ring ? &lane.lane : NULL;
	exercise.pump = tree_pump;
	exercise.arg = &lane;
	exercise_run(&exercise);
	tree_lane_close(&lane);
	return exercise.failed;
}
