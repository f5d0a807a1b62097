/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a backend, many at a time, beside a model of what it
 * should hold: writes, reads, discards, zeroes and flushes of random size and
 * place, by either way that a backend has. What has been discarded may be
 * anything until it is written. Each object belongs to one thread; several may
 * share a model when each has sectors of its own.
 */
#pragma once

#include "backend.h"
#include "model.h"

enum { EXERCISE_FLIGHT = 16, EXERCISE_MOST = 192 << 10 };

struct exercise {
	struct backend *backend;
	struct model *model;
	struct lane *lane; /* NULL: by `serve` */
	uint64_t seed;
	unsigned operations;
	unsigned most;		  /* bytes of one; 0: EXERCISE_MOST */
	unsigned threads, thread; /* of each unit one thread is the owner; 0: one has all */
	unsigned unit;		  /* bytes; 0: 4096 */
	/* Get on with what is on its way. */
	void (*pump)(void *arg);
	void *arg;
	/* What is 1 of an answer that is an error: it was expected, and what is there unknown. */
	int (*expected)(int result);
	unsigned failed; /* of these so many */
	uint32_t done;	 /* operations, in all runs of this object */
};

/* Fails the process, with a line that says why, when the backend is not as the model. */
void exercise_run(struct exercise *exercise);

/* The same for a look at all that is known, by `serve`. */
void exercise_compare(struct backend *backend, const struct model *model);
