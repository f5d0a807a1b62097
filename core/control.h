/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running device: JSON lines from any number of
 * clients (some 60), each answered by one. Whatever a client sends, or leaves
 * undone, hurts itself alone: nothing here waits for it, and all that is kept
 * for it has a bound. In the supervisor's loop; one thread.
 *
 *   {"id": ANY, "cmd": "stats", …}  →  {"id": ANY, "ok": true, …}
 *                                   or {"id": ANY, "ok": false, "error": "one line"}
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

enum {
	CONTROL_LINE = 1 << 20,	 /* bytes of a line from a client; a longer one is its last */
	CONTROL_KEPT = 16 << 20, /* bytes of answers that a client has not read; more is its end */
	CONTROL_CLIENTS = 64,
	CONTROL_OWED = 32, /* requests of a client under way; so long its next ones are not read */
};

struct control;

/* A request that has come; who keeps it takes references. */
struct control_request {
	uint64_t client; /* its number, which no other will have */
	json_t *id;	 /* as it came, or NULL */
	const char *cmd;
	json_t *body; /* all of it, an object */
};

/* Must lead to one control_answer, now or later. */
typedef void control_handler(void *arg, const struct control_request *request);

/* 0 or -errno, logged: the socket of device `id`, in core/rundir.h's folder. */
int control_open(struct control **control, uint32_t id, control_handler *handler, void *arg);

/* Take a connection as if it had come by the socket: for tests. */
void control_adopt(struct control *control, int fd);

/* Readable when control_run has something to do. */
int control_fd(const struct control *control);

/* Take and answer what can be taken and answered at once. */
void control_run(struct control *control);

/*
 * Answer `client`, if it is still there. The object `answer` gets "ok" (unless it has one) and
 * "id"; it is the callee's, `id` is not. NULL: there was no memory for one.
 */
void control_answer(struct control *control, uint64_t client, json_t *id, json_t *answer);

/* {"ok": false, "error": …}. */
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Clients may take their last answers, for a second; then all is closed. NULL is fine. */
void control_close(struct control *control);
