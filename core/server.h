/* SPDX-License-Identifier: MIT */
/*
 * The server process: loads the script, opens its backing, runs a worker for
 * each queue, and ends with them. It sends no command to the driver's control
 * device: one in flight there would keep a killed process from ending.
 */
#pragma once

#include <stdint.h>

#include <stdbool.h>

#include "link.h"

struct server_config {
	const char *path;  /* of the script */
	const char *chunk; /* its text; NULL: what is at path */
	char *const *args;
	unsigned arg_count;
	uint64_t seed;
	unsigned queues; /* 0: as the script says */
	unsigned depth;	 /* likewise */
	int32_t mode;	 /* enum ul_mode; -1: likewise */
	int32_t recover; /* enum ul_recover; -1: likewise */
	double watchdog; /* seconds, below 0: never; 0: likewise */
	bool debug;	 /* watch what handlers do with their buffers */
	size_t memory;	 /* of a Lua state, in bytes; 0: the default */
};

/*
 * The life of the server. Messages: to the supervisor 0 or -errno when the
 * script is loaded (link->share->spec is filled; -EINVAL: the command line is
 * to blame); from it, when the device is added; to it 0 or -errno when every
 * tag is fetched. Returns the exit status.
 */
int server_main(const struct server_config *config, const struct link *link);
