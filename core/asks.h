/* SPDX-License-Identifier: MIT */
/*
 * Requests of clients that are with the queues' threads, each with a deadline:
 * a script that hangs is told of by its queue, and its answer, if it comes
 * after all, is dropped. In the supervisor's loop; one thread.
 */
#pragma once

#include "phrase.h"
#include "wire.h"

struct ask;

struct asks {
	struct wire wire; /* to the server's relay */
	struct control *control;
	struct ask *first;
	uint64_t count; /* asked so far */
	unsigned queues;
};

/* `fd` stays the caller's. */
void asks_open(struct asks *asks, int fd, unsigned queues, struct control *control);

/* Answer all that wait with the error `why`. */
void asks_close(struct asks *asks, const char *why);

/*
 * Ask; the answer goes to the request's client:
 * {"queues": [{"queue": N, …what its script says}]}, or the first error. NULL, or an error at once.
 */
json_t *asks_put(struct asks *asks, const struct control_request *request);

/* For poll: the descriptor, what for, and how long. */
int asks_fd(const struct asks *asks);
short asks_events(const struct asks *asks);
int asks_wait_ms(const struct asks *asks);

/* Take what has come, give up what is late. */
void asks_run(struct asks *asks);
