/* SPDX-License-Identifier: MIT */
#include "mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

struct letter *letter_new(uint64_t number, uint32_t queue, const char *text, size_t size)
{
	struct letter *letter = malloc(sizeof(*letter) + size + 1);

	if (!letter)
		return NULL;
	*letter = (struct letter){ .number = number, .queue = queue, .size = (uint32_t)size };
	memcpy(letter->text, text, size);
	letter->text[size] = '\0';
	return letter;
}

void mailbox_open(struct mailbox *box, int fd, unsigned most)
{
	*box = (struct mailbox){ .last = &box->first, .most = most, .fd = fd };
	pthread_mutex_init(&box->lock, NULL);
}

void mailbox_close(struct mailbox *box)
{
	struct letter *letter;

	while ((letter = mailbox_take(box)))
		free(letter);
	pthread_mutex_destroy(&box->lock);
}

int mailbox_put(struct mailbox *box, struct letter *letter)
{
	int ret = -ENOBUFS;

	letter->next = NULL;
	pthread_mutex_lock(&box->lock);
	if (atomic_load(&box->count) < box->most) {
		*box->last = letter;
		box->last = &letter->next;
		atomic_fetch_add(&box->count, 1);
		ret = 0;
	}
	pthread_mutex_unlock(&box->lock);
	if (ret == 0)
		(void)eventfd_write(box->fd, 1);
	return ret;
}

struct letter *mailbox_take(struct mailbox *box)
{
	struct letter *letter;

	if (!atomic_load_explicit(&box->count, memory_order_relaxed))
		return NULL;
	pthread_mutex_lock(&box->lock);
	letter = box->first;
	if (letter) {
		box->first = letter->next;
		if (!box->first)
			box->last = &box->first;
		atomic_fetch_sub(&box->count, 1);
	}
	pthread_mutex_unlock(&box->lock);
	return letter;
}
