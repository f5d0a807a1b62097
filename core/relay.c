/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "talk.h"

enum { MOST_REQUESTS = 64, MOST_ANSWERS = 4096 };

int relay_open(struct relay *r, int fd, const int *wake_fds, unsigned queues)
{
	int answers_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	*r = (struct relay){ .queues = queues };
	talk_open(&r->wire, fd);
	mailbox_open(&r->answers, answers_fd, MOST_ANSWERS);
	r->requests = calloc(queues, sizeof(*r->requests));
	if (!r->requests || answers_fd < 0) {
		log_error("no memory for the queues' mailboxes");
		r->queues = 0;
		return -ENOMEM;
	}
	for (unsigned q = 0; q < queues; q++)
		mailbox_open(&r->requests[q], wake_fds[q], MOST_REQUESTS);
	return 0;
}

void relay_close(struct relay *r)
{
	if (!r->requests)
		return;
	for (unsigned q = 0; q < r->queues; q++)
		mailbox_close(&r->requests[q]);
	mailbox_close(&r->answers);
	if (r->answers.fd >= 0)
		close(r->answers.fd);
	wire_close(&r->wire);
	free(r->requests);
	r->requests = NULL;
}

short relay_events(const struct relay *r)
{
	return wire_pending(&r->wire) ? POLLIN | POLLOUT : POLLIN;
}

/* An answer to `letter` that does not fit is missed, and its client told that it has not come. */
static void reply(struct relay *r, const struct letter *letter, const char *text)
{
	(void)talk_put(&r->wire, letter->number, letter->queue, text, strlen(text));
}

static void deliver(struct relay *r, struct letter *letter)
{
	if (letter->queue < r->queues && mailbox_put(&r->requests[letter->queue], letter) == 0)
		return;
	reply(r, letter,
	      "{\"ok\":false,\"error\":\"so many requests wait for it already that it takes no "
	      "more\"}");
	free(letter);
}

/* The supervisor is about to kill this process, or it has ended; nobody asks any more. */
static void hang_up(struct relay *r)
{
	wire_close(&r->wire);
}

static void take_requests(struct relay *r)
{
	int ret = wire_read(&r->wire), error = 0;
	struct letter *letter;

	while ((letter = talk_take(&r->wire, &error)))
		deliver(r, letter);
	if (ret || error)
		hang_up(r);
}

void relay_run(struct relay *r)
{
	struct letter *letter;
	eventfd_t count;

	(void)eventfd_read(r->answers.fd, &count);
	if (r->wire.fd >= 0)
		take_requests(r);
	while ((letter = mailbox_take(&r->answers))) {
		if (r->wire.fd >= 0)
			reply(r, letter,
			      letter->size > TALK_LETTER
				      ? "{\"ok\":false,\"error\":\"its answer is too long\"}"
				      : letter->text);
		free(letter);
	}
	if (r->wire.fd >= 0 && wire_flush(&r->wire))
		hang_up(r);
}
