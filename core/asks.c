/* SPDX-License-Identifier: MIT */
#include "asks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "talk.h"

static const uint64_t MS = CLOCK_SECOND / 1000;

struct ask {
	struct ask *next;
	uint64_t number, client;
	json_t *id;
	uint64_t asked, deadline;
	unsigned first, end; /* queues */
	unsigned missing;    /* of their answers */
	json_t *answers[];   /* of queue first + i; NULL: missing */
};

void asks_open(struct asks *a, int fd, unsigned queues, struct control *control)
{
	*a = (struct asks){ .control = control, .queues = queues };
	talk_open(&a->wire, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static void end(struct asks *a, struct ask *ask, json_t *answer)
{
	struct ask **link = &a->first;

	while (*link != ask)
		link = &(*link)->next;
	*link = ask->next;
	control_answer(a->control, ask->client, ask->id, answer);
	for (unsigned i = 0; i < ask->end - ask->first; i++)
		json_decref(ask->answers[i]);
	json_decref(ask->id);
	free(ask);
}

/* All are there. Of a device of one queue nobody needs to be told which. */
static json_t *sum_up(const struct asks *a, const struct ask *ask)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < ask->end - ask->first; i++) {
		const char *error = json_string_value(json_object_get(ask->answers[i], "error"));

		if (error) {
			json_decref(list);
			return a->queues > 1 ? control_error("queue %u: %s", ask->first + i, error)
					     : control_error("%s", error);
		}
		json_object_del(ask->answers[i], "ok");
		json_object_set_new(ask->answers[i], "queue", json_integer(ask->first + i));
		json_array_append(list, ask->answers[i]);
	}
	return json_pack("{s:o}", "queues", list);
}

static void take(struct asks *a, const struct letter *letter)
{
	struct ask *ask = a->first;
	unsigned place;

	while (ask && ask->number != letter->number)
		ask = ask->next;
	if (!ask || letter->queue < ask->first || letter->queue >= ask->end)
		return; /* too late */
	place = letter->queue - ask->first;
	if (ask->answers[place])
		return;
	ask->answers[place] = json_loadb(letter->text, letter->size, 0, NULL);
	if (!ask->answers[place])
		ask->answers[place] = control_error("an answer that is no JSON");
	if (--ask->missing == 0)
		end(a, ask, sum_up(a, ask));
}

static void give_up(struct asks *a, struct ask *ask)
{
	unsigned late = 0;

	while (ask->answers[late])
		late++;
	end(a, ask,
	    control_error("queue %u has not answered for %.1f s: its script computes, or hangs",
			  ask->first + late, (double)(clock_now() - ask->asked) / CLOCK_SECOND));
}

static void give_up_late(struct asks *a)
{
	uint64_t now = clock_now();
	struct ask *ask = a->first, *next;

	for (; ask; ask = next) {
		next = ask->next;
		if (now >= ask->deadline)
			give_up(a, ask);
	}
}

json_t *asks_put(struct asks *a, const struct control_request *request)
{
	struct phrase phrase;
	json_t *error = phrase_make(&phrase, request, a->queues);
	unsigned count = error ? 0 : phrase.end - phrase.first;
	struct ask *ask;
	int ret = 0;

	if (error)
		return error;
	ask = calloc(1, sizeof(*ask) + count * sizeof(ask->answers[0]));
	if (!ask) {
		free(phrase.text);
		return control_error("out of memory");
	}
	ask->number = ++a->count;
	ask->client = request->client;
	ask->id = json_incref(request->id);
	ask->asked = clock_now();
	ask->deadline = ask->asked + (uint64_t)phrase.wait_ms * MS;
	ask->first = phrase.first;
	ask->end = phrase.end;
	ask->missing = count;
	ask->next = a->first;
	a->first = ask;
	for (unsigned q = ask->first; ret == 0 && q < ask->end; q++)
		ret = talk_put(&a->wire, ask->number, q, phrase.text, phrase.size);
	free(phrase.text);
	/* What cannot be sent now is not answered, and its client is told of that in time. */
	if (a->wire.fd >= 0 && wire_flush(&a->wire))
		wire_close(&a->wire);
	return NULL;
}

int asks_fd(const struct asks *a)
{
	return a->wire.fd;
}

short asks_events(const struct asks *a)
{
	return wire_pending(&a->wire) ? POLLIN | POLLOUT : POLLIN;
}

int asks_wait_ms(const struct asks *a)
{
	uint64_t now = clock_now(), first = UINT64_MAX;

	for (const struct ask *ask = a->first; ask; ask = ask->next)
		first = ask->deadline < first ? ask->deadline : first;
	if (first == UINT64_MAX)
		return -1;
	return first > now ? (int)((first - now) / MS) + 1 : 0;
}

void asks_run(struct asks *a)
{
	struct letter *letter;
	int ret = a->wire.fd >= 0 ? wire_read(&a->wire) : 0, error = 0;

	while (a->wire.fd >= 0 && (letter = talk_take(&a->wire, &error))) {
		take(a, letter);
		free(letter);
	}
	if (a->wire.fd >= 0 && (ret || error || wire_flush(&a->wire)))
		wire_close(&a->wire); /* the server has ended, or gone mad */
	give_up_late(a);
}

void asks_close(struct asks *a, const char *why)
{
	while (a->first)
		end(a, a->first, control_error("%s", why));
	wire_close(&a->wire);
}
