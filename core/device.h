/* SPDX-License-Identifier: MIT */
/*
 * The life of one device: script, backing, ADD, parameters, workers, START,
 * STOP, DEL, and the unwinding from any point of it. Main thread.
 */
#pragma once

#include <stdint.h>

#include "stats.h"

struct device;

struct device_config {
	const char *path; /* of the script */
	char *const *args;
	unsigned arg_count;
	uint64_t seed;
	int32_t id;	 /* -1: the driver chooses */
	unsigned queues; /* 0: as the script says */
	unsigned depth;	 /* likewise */
};

/*
 * Load the script, open its backing, add the device and have every tag fetched.
 * 0 or -errno, logged, with nothing left behind; -EINVAL where the command line
 * is to blame.
 */
int device_open(struct device **device, const struct device_config *config);

/*
 * Make the block device appear. 0 or -errno, logged; -ECANCELED, not logged,
 * when `interrupt_fd` became readable first. The device must be closed after any of them.
 */
int device_start(struct device *device, int interrupt_fd);

/* An eventfd, readable when a queue has ended without device_close: stopped from outside, or broken. */
int device_ended_fd(const struct device *device);

/*
 * Stop, delete and join, each with a deadline. A script that does not return
 * keeps none of that waiting: its requests fail when the program ends, which
 * this does then with status 1. After it the counters are final.
 * 0, or -EIO when a queue had broken.
 */
int device_close(struct device *device);

/* `report` points into `device`. */
void device_report(const struct device *device, struct stats_report *report);

/* "/dev/ublkb0: faulty.lua, 1 GiB, 1 queue of depth 128, seed 42" */
void device_describe(const struct device *device, char *text, unsigned size);
const char *device_node(const struct device *device);

/* After device_close. NULL is fine. */
void device_free(struct device *device);
