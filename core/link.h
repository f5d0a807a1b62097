/* SPDX-License-Identifier: MIT */
/*
 * Between the two processes of a device: the supervisor, which talks to the
 * driver's control device, and the server, which has the script, the queues
 * and everything that may hang or crash. Memory that both see, and a socket
 * that carries one number at a time and tells when the other side is gone.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "api.h"
#include "lasting.h"
#include "mode.h"
#include "shared.h"
#include "stage.h"
#include "stats.h"
#include "uapi.h"

struct link_queue {
	cpu_set_t cpus;		/* supervisor: where the kernel sends its requests from */
	struct stats stats;	/* server; final when it has ended, however it did */
} __attribute__((aligned(64))); /* queues do not share cache lines */

struct link_share {
	struct ul_device spec; /* server, before its first message; likewise */
	struct mode_backing backing;
	struct lasting_share lasting; /* servers, one after the other; likewise */
	struct shared_table shared;
	struct ublksrv_ctrl_dev_info info; /* supervisor, before its first: as the driver gave it */
	atomic_int stage;    /* enum stage; supervisor, who sends a message after it */
	atomic_bool keeping; /* server, at its end: the backing writes what it has answered */
	struct link_queue queue[UBLK_MAX_NR_QUEUES];
};

struct link {
	struct link_share *share;
	int fd;
	int talk_fd;	/* a stream, for core/talk.h */
	int lasting_fd; /* a file in memory, for core/lasting.h */
};

/* The memory, and no sockets yet. 0 or -errno, logged. */
int link_open(struct link *link);

/*
 * Fork, with new sockets; those to the last server are closed. Returns the server's pid in the
 * supervisor, 0 in the server, or -errno, logged.
 */
pid_t link_fork(struct link *link);
void link_close(struct link *link);

/* Any thread. A message to a side that is gone is dropped: its end is seen in another way. */
void link_send(const struct link *link, int32_t message);

/*
 * Wait for a message. 0, -EPIPE: the other side is gone, -ECANCELED:
 * `interrupt_fd` (-1: none) became readable first.
 */
int link_receive(const struct link *link, int32_t *message, int interrupt_fd);
