/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "rundir.h"

enum { MOST = 64 << 20 }; /* bytes of an answer, or of a request */

int client_open(struct client *c, uint32_t id)
{
	int fd = rundir_connect(id);

	c->id = id;
	wire_open(&c->wire, fd < 0 ? -1 : fd, MOST, MOST);
	return fd < 0 ? fd : 0;
}

void client_close(struct client *c)
{
	wire_close(&c->wire);
}

static int await(struct client *c, short events, uint64_t deadline)
{
	struct pollfd fd = { .fd = c->wire.fd, .events = events };
	uint64_t now;

	do {
		now = clock_now();
		if (now >= deadline)
			return -ETIMEDOUT;
	} while (poll(&fd, 1, (int)((deadline - now) / (CLOCK_SECOND / 1000)) + 1) <= 0);
	return 0;
}

static uint64_t in_ms(int ms)
{
	return clock_now() + (uint64_t)ms * (CLOCK_SECOND / 1000);
}

int client_send(struct client *c, json_t *request)
{
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	uint64_t deadline = in_ms(CLIENT_WAIT_MS);
	int ret = line ? wire_put(&c->wire, line, strlen(line)) : -ENOMEM;

	if (ret == 0)
		ret = wire_put(&c->wire, "\n", 1);
	while (ret == 0 && wire_pending(&c->wire)) {
		ret = wire_flush(&c->wire);
		if (ret == 0 && wire_pending(&c->wire))
			ret = await(c, POLLOUT, deadline);
	}
	free(line);
	json_decref(request);
	return ret;
}

json_t *client_receive(struct client *c, int wait_ms)
{
	uint64_t deadline = in_ms(wait_ms);
	size_t size;
	char *line;

	while (!(line = wire_line(&c->wire, &size)))
		if (wire_full(&c->wire) || await(c, POLLIN, deadline) || wire_read(&c->wire))
			return NULL;
	return json_loadb(line, size, 0, NULL);
}

void client_explain(uint32_t id, int error)
{
	if (error == -ENOENT)
		log_error("%u: no device of ublk-lua has this number; see ublk-lua list", id);
	else if (error == -ECONNREFUSED)
		log_error("%u: its supervisor was killed; `ublk-lua clean` removes what is left",
			  id);
	else if (error == -EACCES)
		log_error("%s: run as root, or as who runs the device", rundir_path(id));
	else
		log_error("%s: %s", rundir_path(id), strerror(-error));
}

const char *client_refusal(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok")))
		return NULL;
	return error ? error : "an answer that is none";
}

json_t *client_request(uint32_t id, json_t *request, int wait_ms)
{
	struct client c;
	json_t *answer = NULL;
	int ret = client_open(&c, id);

	if (ret) {
		client_explain(id, ret);
		json_decref(request);
		return NULL;
	}
	/* Who is refused has an answer too, though his request did not arrive. */
	(void)client_send(&c, request);
	answer = client_receive(&c, wait_ms);
	client_close(&c);
	if (!answer) {
		log_error("%u: no answer from the device's supervisor", id);
	} else if (client_refusal(answer)) {
		log_error("%u: %s", id, client_refusal(answer));
		json_decref(answer);
		answer = NULL;
	}
	return answer;
}
