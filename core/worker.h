/* SPDX-License-Identifier: MIT */
/*
 * A thread for each hardware queue: it pins itself, opens the queue, ties the
 * script to it, and serves until the queue ends. The main thread starts it,
 * waits until it is ready, and joins it.
 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "backend.h"
#include "mailbox.h"
#include "queue.h"
#include "script.h"
#include "stats.h"

struct worker_config {
	struct queue_config queue; /* but for the files, which are the backend's */
	cpu_set_t cpus;		   /* where the kernel sends this queue's requests from */
	struct script *script;	   /* of this queue alone */
	struct backend *backend;   /* of all queues */
	struct stats *stats;	   /* of this queue */
	const struct ul_device *device;
	const atomic_int *stage;  /* enum stage; who moves it on writes to queue.wake_fd */
	bool debug;		  /* put a guard between the script and the data */
	int stop_fd;		  /* eventfd that gets 1 when the script wants its device to end */
	int ended_fd;		  /* eventfd that gets 1 when the thread has ended */
	struct mailbox *requests; /* for the script, from clients; put with a write to wake_fd */
	struct mailbox *answers;  /* to those */
};

struct worker {
	struct worker_config config;
	pthread_t thread;
	sem_t ready; /* posted once: the queue is open, or `error` says why not */
	int error;
	struct ul_queue *_Atomic shared; /* while it serves */
	atomic_bool broken;		 /* the queue has not ended by the driver's will */
};

/* 0 or -errno, logged. After success worker_wait_ready and worker_join are owed. */
int worker_start(struct worker *worker, const struct worker_config *config);

/* Every tag is with the driver: 0. Otherwise -errno, logged, and the thread is ending. */
int worker_wait_ready(struct worker *worker);

/* Has the queue ended, and not because the driver ended it? Any time after worker_wait_ready. */
bool worker_broken(const struct worker *worker);

/* What its script is at, in `text`, as blame_text tells it. */
void worker_blame(const struct worker *worker, char *text, size_t size);

/* Wait for the end of the thread; it ends when the driver ends its queue. */
void worker_join(struct worker *worker);
