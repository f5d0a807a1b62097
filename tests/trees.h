/* SPDX-License-Identifier: MIT */
/*
 * Backings over other backings for the unit tests: described, opened, and with
 * the ways that their requests may go. One thread, but for tree_pump, which
 * each thread calls with a tree_lane of its own.
 */
#pragma once

#include "backend.h"
#include "exercise.h"

/* A device with one backing of `kind`, as a script may have made it. */
struct ul_device tree_device(int kind);

/* `count` more below number `index`, all of `kind`: the number of the first. */
uint32_t tree_grow(struct ul_device *dev, uint32_t index, uint32_t count, int kind);

/* It is a file of `size` bytes, a temporary one with this name, filled with `fill`. */
void tree_file(struct ul_backing_spec *spec, const char *name, uint64_t size, uint8_t fill);

/* Probe and open it; fails the process if that is not possible. */
struct backend *tree_open(struct ul_device *dev);

/*
 * From now on all leaves must be waited for: those in memory end out of order,
 * when they are ticked, and files go through the ring.
 */
void tree_slow(struct backend *root);

/* A ring with the files of a tree, as a queue has it. */
struct tree_lane {
	struct lane lane;
	struct io_uring ring;
	struct backend *root;
};

void tree_lane_open(struct tree_lane *lane, struct backend *root);
void tree_lane_close(struct tree_lane *lane);

/* A round: what is in the ring is submitted and waited for, and what has ended goes on. */
void tree_pump(void *lane);

/*
 * Run `exercise` on `root`, by a lane of its own or, if not `by_ring`, by `serve`. Returns how
 * many operations failed as was expected.
 */
unsigned tree_exercise(struct backend *root, struct exercise exercise, bool by_ring);
