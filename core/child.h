/* SPDX-License-Identifier: MIT */
/*
 * The server process as the supervisor has it: forked, heard, and seen to its
 * end, whatever it is. For device.c, which may need one after the other.
 * Single-threaded.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "server.h"

struct child {
	pid_t pid;   /* 0: has ended */
	int status;  /* then as waitpid has it */
	bool heard;  /* it has loaded its script, or failed to */
	bool killed; /* by us: its status says nothing */
	const struct server_config *config;
	const char *name; /* of its script, for messages */
	struct link *link;
};

/* Fork it; `link` is open and gets its sockets. 0 or -errno, logged. */
int child_start(struct child *child, struct link *link, const struct server_config *config,
		const char *name);

/* The server's word on its last step: 0 or -errno; -EPIPE: it is gone, -ECANCELED: see link.h. */
int child_hear(struct child *child, int interrupt_fd);

/* Has it? What a script has started in the server's process group goes with it. */
bool child_ended(struct child *child);

/*
 * SIGKILL, and wait for its end. It works at any moment, because the server has no control command
 * in flight; unless its script waits in the kernel for the device. `node` is for the message.
 */
void child_kill(struct child *child, const char *node);

/* Wait for its end, and kill it in the end; but not while its backing writes what was answered. */
void child_await(struct child *child, const char *node);

/* 0, or -EIO for one that ended in a way that nobody asked for, or has not ended; logged. */
int child_judge(const struct child *child);
