/* SPDX-License-Identifier: MIT */
/*
 * The other end of the control socket: what verbs ask a running device with.
 * Each waits no longer than it says. One thread.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "wire.h"

struct client {
	uint32_t id; /* of the device */
	struct wire wire;
};

enum { CLIENT_WAIT_MS = 30000 }; /* longer than any request but `stop` takes */

/* As rundir_connect; client_close is safe after it, however it ended. */
int client_open(struct client *client, uint32_t id);
void client_close(struct client *client);

/* Send a request, which becomes the callee's. 0 or -errno: then nobody answers. */
int client_send(struct client *client, json_t *request);

/* The next answer, or NULL when none comes within `wait_ms`, or the other side is gone. */
json_t *client_receive(struct client *client, int wait_ms);

/*
 * All of it for one request, which becomes the callee's: its answer, or NULL with one line logged
 * that says why there is none or what was refused. `wait_ms` as above.
 */
json_t *client_request(uint32_t id, json_t *request, int wait_ms);

/* Say in one line why the client could not be opened: `error` from client_open. */
void client_explain(uint32_t id, int error);

/* The error of an answer; NULL: it is none. `answer` may be NULL. */
const char *client_refusal(const json_t *answer);
