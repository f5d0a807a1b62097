/* SPDX-License-Identifier: MIT */
/*
 * In the server: letters of the supervisor go to the mailboxes of the queues,
 * and what those answer goes back. On the server's main thread, so that no
 * queue waits for it.
 */
#pragma once

#include "mailbox.h"
#include "wire.h"

struct relay {
	struct wire wire;	  /* to the supervisor; fd -1: it has ended */
	struct mailbox answers;	  /* of all queues */
	struct mailbox *requests; /* one for each */
	unsigned queues;
};

/* `fd` becomes the relay's; `wake_fds` stay the caller's. 0 or -errno, logged. */
int relay_open(struct relay *relay, int fd, const int *wake_fds, unsigned queues);
void relay_close(struct relay *relay);

/* For poll: is there something to send, or only to be read? */
short relay_events(const struct relay *relay);

/* When either the wire or answers.fd has something to say. */
void relay_run(struct relay *relay);
