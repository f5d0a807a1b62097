/* SPDX-License-Identifier: MIT */
/*
 * What a device is, in a line for people: the program's first word when the
 * device is there. From what device.c tells to all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "device.h"

static void size_text(double bytes, char *text, unsigned size)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned i = 0;

	/* Only as far as the number stays whole, so that nothing is rounded away. */
	while (i < 5 && bytes >= 1024 && (uint64_t)bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(text, size, "%.0f %s", bytes, units[i]);
}

void device_describe(const struct device *device, char *text, unsigned size)
{
	struct device_facts f;
	const char *slash;
	char bytes[32], threads[32] = "";

	device_facts(device, &f);
	slash = strrchr(f.config->path, '/');
	size_text(f.spec->size, bytes, sizeof(bytes));
	if (f.spec->threads > 1)
		snprintf(threads, sizeof(threads), ", %u threads each", f.spec->threads);
	snprintf(text, size, "%s: %s, %s, %u queue%s of depth %u%s, seed %" PRIu64,
		 device_node(device), slash ? slash + 1 : f.config->path, bytes,
		 f.info->nr_hw_queues, f.info->nr_hw_queues == 1 ? "" : "s", f.info->queue_depth,
		 threads, f.config->seed);
}
