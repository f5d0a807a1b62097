/* SPDX-License-Identifier: MIT */
/*
 * Letters from one thread to another: requests of clients to a queue's thread,
 * which takes them between two rounds, and its answers back. Who takes waits
 * for nothing but a lock that is held for a few instructions.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct letter {
	struct letter *next;
	uint64_t number; /* of the request that it is, or that it answers */
	uint32_t queue;
	uint32_t size; /* of the text, without the zero behind it */
	char text[];
};

struct mailbox {
	pthread_mutex_t lock;
	struct letter *first, **last;
	atomic_uint count;
	unsigned most;
	int fd; /* eventfd that gets 1 with each letter; the mailbox's owner closes it */
};

/* A copy of `size` bytes at `text`; NULL: no memory. free() is its end. */
struct letter *letter_new(uint64_t number, uint32_t queue, const char *text, size_t size);

void mailbox_open(struct mailbox *box, int fd, unsigned most);
void mailbox_close(struct mailbox *box);

/* 0, or -ENOBUFS when so many are there: then it is the caller's still. */
int mailbox_put(struct mailbox *box, struct letter *letter);

/* The oldest, which is then the caller's, or NULL. Cheap where there is none. */
struct letter *mailbox_take(struct mailbox *box);
