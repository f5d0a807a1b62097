/* SPDX-License-Identifier: MIT */
/* The verb `stats --watch`: asks each second, and draws. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "exit.h"
#include "log.h"
#include "verbs.h"
#include "watch.h"

enum { PERIOD_US = 1000000, HOLD_WAIT_MS = 1500 };

/* Requests that the kernel has sent and that were not answered. */
static long in_flight(uint32_t id)
{
	char path[64];
	long reads = -1, writes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/inflight", id);
	file = fopen(path, "re");
	if (file && fscanf(file, "%ld %ld", &reads, &writes) != 2)
		reads = -1;
	if (file)
		fclose(file);
	return reads < 0 ? -1 : reads + writes;
}

/* Of all queues; -1: one does not answer, and the picture does not wait for it. */
static long held(struct client *c)
{
	json_t *answer, *queue, *hold;
	long count = 0;
	size_t i, j;

	if (client_send(c, json_pack("{s:s, s:f}", "cmd", "hold", "timeout", 0.5)))
		return -1;
	answer = client_receive(c, HOLD_WAIT_MS);
	if (client_refusal(answer)) {
		json_decref(answer);
		return -1;
	}
	json_array_foreach(json_object_get(answer, "queues"), i, queue)
		json_array_foreach(json_object_get(queue, "holds"), j, hold)
			count += (long)json_integer_value(json_object_get(hold, "count"));
	json_decref(answer);
	return count;
}

static json_t *stats(struct client *c)
{
	json_t *answer;

	if (client_send(c, json_pack("{s:s}", "cmd", "stats")))
		return NULL;
	answer = client_receive(c, CLIENT_WAIT_MS);
	if (!client_refusal(answer))
		return answer;
	json_decref(answer);
	return NULL;
}

/* A frame in one write, so that it does not flicker. */
static int draw(const struct watch *w)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return -ENOMEM;
	if (isatty(STDOUT_FILENO))
		fputs("\x1b[H\x1b[J", to);
	watch_print(to, w);
	fclose(to);
	fwrite(text, 1, size, stdout);
	free(text);
	return fflush(stdout) ? -EIO : 0;
}

/* Until the device has ended, nobody reads, or `frames` (0: for ever) are drawn. */
static int watch(struct client *c, unsigned long frames)
{
	json_t *before = stats(c), *now;

	if (!before) {
		log_error("%u: no answer from the device's supervisor", c->id);
		return EXIT_FAILED;
	}
	for (unsigned long n = 0; before && (!frames || n < frames); n++) {
		struct watch w = { .before = before };

		usleep(PERIOD_US);
		w.held = held(c);
		w.in_flight = in_flight(c->id);
		w.now = now = stats(c);
		if (now && draw(&w)) {
			json_decref(now);
			now = NULL;
		}
		json_decref(before);
		before = now;
	}
	json_decref(before);
	return EXIT_OK;
}

int verb_watch(const struct verb_call *call)
{
	struct client c;
	unsigned long frames = 0;
	char *end;
	int ret;

	if (call->frames) {
		frames = strtoul(call->frames, &end, 10);
		if (*end || !frames || call->frames[0] == '-') {
			log_error("--count %s: needs a whole number from 1", call->frames);
			return EXIT_USAGE;
		}
	}
	ret = client_open(&c, call->id);
	if (ret) {
		client_explain(call->id, ret);
		return EXIT_FAILED;
	}
	ret = watch(&c, frames);
	client_close(&c);
	return ret;
}
