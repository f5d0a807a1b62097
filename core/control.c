/* SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rundir.h"
#include "wire.h"

enum { LINGER_MS = 1000, LISTENING = CONTROL_CLIENTS };

struct client {
	struct wire wire; /* fd -1: this place is free */
	uint64_t number;
	unsigned owed;	 /* requests that were not answered yet */
	bool deaf;	 /* nothing more is read from it: it has ended, or misbehaved */
	uint32_t events; /* that epoll watches it for */
};

struct control {
	struct rundir_socket socket;
	int epoll_fd;
	uid_t owner;
	uint64_t count; /* clients so far */
	control_handler *handler;
	void *arg;
	struct client client[CONTROL_CLIENTS];
};

json_t *control_error(const char *format, ...)
{
	char text[1024];
	json_t *error;
	size_t size, cut;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	size = strlen(text);
	cut = size > 3 ? size - 3 : 0;
	/* A character that was cut in two is no UTF-8, and has up to three bytes here. */
	while (!(error = json_stringn(text, size)) && size > cut)
		size--;
	return json_pack("{s:b, s:o}", "ok", 0, "error",
			 error ? error : json_string("an error that cannot be told as text"));
}

/* Told once for what has come: a connection that cannot be taken now is not told for ever. */
static void listen_again(struct control *c)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = LISTENING };

	if (c->socket.fd >= 0)
		(void)epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->socket.fd, &event);
}

static void drop(struct control *c, struct client *client)
{
	wire_close(&client->wire); /* epoll forgets what is closed */
	client->owed = 0;
	listen_again(c); /* there may have been no descriptor for one */
}

/* What epoll is to tell of it; and it goes when there is nothing left to do for it. */
static void review(struct control *c, struct client *client)
{
	struct epoll_event event = { .data.u32 = (uint32_t)(client - c->client) };

	if (client->wire.fd < 0)
		return;
	if (client->deaf && !client->owed && !wire_pending(&client->wire) &&
	    !wire_has_line(&client->wire)) {
		drop(c, client);
		return;
	}
	if (!client->deaf && client->owed < CONTROL_OWED)
		event.events |= EPOLLIN;
	if (wire_pending(&client->wire))
		event.events |= EPOLLOUT;
	if (event.events == client->events)
		return;
	client->events = event.events;
	(void)epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, client->wire.fd, &event);
}

/* The line that goes out; NULL: no memory. */
static char *answer_line(json_t *id, json_t *answer)
{
	int failed = !answer;

	if (answer && !json_object_get(answer, "ok"))
		failed |= json_object_set_new(answer, "ok", json_true());
	if (answer && id)
		failed |= json_object_set(answer, "id", id);
	return failed ? NULL : json_dumps(answer, JSON_COMPACT);
}

static void send_answer(struct control *c, struct client *client, json_t *id, json_t *answer)
{
	char *line = answer_line(id, answer);
	int ret = line ? wire_put(&client->wire, line, strlen(line)) : -ENOMEM;

	if (ret == 0)
		ret = wire_put(&client->wire, "\n", 1);
	if (ret == 0)
		ret = wire_flush(&client->wire);
	free(line);
	json_decref(answer);
	if (ret) { /* it does not read, it is gone, or there is no memory: it sees the end */
		log_debug("control: a client is dropped: %s", strerror(-ret));
		drop(c, client);
	}
}

void control_answer(struct control *c, uint64_t number, json_t *id, json_t *answer)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *client = &c->client[i];

		if (client->wire.fd < 0 || client->number != number)
			continue;
		client->owed--;
		send_answer(c, client, id, answer);
		review(c, client);
		return;
	}
	json_decref(answer);
}

static void take_line(struct control *c, struct client *client, const char *line, size_t size)
{
	struct control_request request = { .client = client->number };
	json_error_t error;
	json_t *body = json_loadb(line, size, 0, &error), *cmd;

	client->owed++;
	request.body = body;
	request.id = json_object_get(body, "id");
	cmd = json_object_get(body, "cmd");
	request.cmd = json_string_value(cmd);
	if (!body)
		control_answer(c, client->number, NULL,
			       control_error("no JSON: %s (column %d)", error.text, error.column));
	else if (!json_is_object(body))
		control_answer(c, client->number, NULL,
			       control_error("a request is an object, as {\"cmd\": \"info\"}"));
	else if (!request.cmd)
		control_answer(c, client->number, request.id,
			       control_error("a request needs \"cmd\", a text"));
	else
		c->handler(c->arg, &request);
	json_decref(body);
}

/* Lines that are whole already; those after too many wait for answers. */
static void take_lines(struct control *c, struct client *client)
{
	size_t size;
	char *line;

	while (client->wire.fd >= 0 && client->owed < CONTROL_OWED &&
	       (line = wire_line(&client->wire, &size)))
		if (size)
			take_line(c, client, line, size);
	if (client->wire.fd < 0 || client->deaf || client->owed >= CONTROL_OWED ||
	    !wire_full(&client->wire))
		return;
	client->deaf = true;
	client->owed++;
	control_answer(c, client->number, NULL,
		       control_error("a line of more than %d bytes", CONTROL_LINE));
}

static void serve_client(struct control *c, struct client *client, uint32_t events)
{
	if (events & EPOLLOUT && wire_flush(&client->wire)) {
		drop(c, client);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !client->deaf &&
	    client->owed < CONTROL_OWED && wire_read(&client->wire))
		client->deaf = true; /* what has come before its end is served */
	take_lines(c, client);
	/* Nobody reads the answers: with its end in both directions epoll would never be quiet. */
	if (client->wire.fd >= 0 && events & (EPOLLHUP | EPOLLERR) &&
	    (client->deaf || client->owed >= CONTROL_OWED))
		drop(c, client);
}

/* Root, and who runs the device. The mode says so too, but a descriptor can be passed on. */
static bool is_welcome(const struct control *c, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == c->owner);
}

static void refuse(int fd, const char *why)
{
	char line[128];
	int size = snprintf(line, sizeof(line), "{\"ok\":false,\"error\":\"%s\"}\n", why);

	(void)!send(fd, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

void control_adopt(struct control *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct client *client = c->client;

	while (client < c->client + CONTROL_CLIENTS && client->wire.fd >= 0)
		client++;
	if (client == c->client + CONTROL_CLIENTS) {
		refuse(fd, "too many clients at once");
		return;
	}
	event.data.u32 = (uint32_t)(client - c->client);
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		close(fd);
		return;
	}
	*client = (struct client){ .number = ++c->count, .events = EPOLLIN };
	wire_open(&client->wire, fd, CONTROL_LINE, CONTROL_KEPT);
}

/* What cannot be taken, for want of descriptors say, is with the next that comes or goes. */
static void accept_clients(struct control *c)
{
	int fd;

	while ((fd = accept4(c->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (is_welcome(c, fd))
			control_adopt(c, fd);
		else
			refuse(fd, "root or the owner of the device only");
	}
	if (errno != EAGAIN)
		log_debug("control: accept: %s", strerror(errno));
}

int control_fd(const struct control *c)
{
	return c->epoll_fd;
}

void control_run(struct control *c)
{
	struct epoll_event events[16];
	int count = epoll_wait(c->epoll_fd, events, 16, 0);

	for (int i = 0; i < count; i++) {
		uint32_t place = events[i].data.u32;

		if (place == LISTENING)
			accept_clients(c);
		else if (c->client[place].wire.fd >= 0)
			serve_client(c, &c->client[place], events[i].events);
	}
	/* Answers given meanwhile may have made way for lines that have come before. */
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		take_lines(c, &c->client[i]);
		review(c, &c->client[i]);
	}
}

int control_open(struct control **control, uint32_t id, control_handler *handler, void *arg)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = LISTENING };
	struct control *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		log_error("out of memory");
		return -ENOMEM;
	}
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		c->client[i].wire.fd = -1;
	c->socket.fd = -1;
	c->handler = handler;
	c->arg = arg;
	c->owner = geteuid();
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ret = c->epoll_fd < 0 ? -errno : rundir_listen(&c->socket, id);
	if (ret == 0 && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->socket.fd, &event))
		ret = -errno;
	if (ret) {
		log_warn("no control socket %s: %s", rundir_path(id), strerror(-ret));
		control_close(c);
		return ret;
	}
	*control = c;
	return 0;
}

/* Send what is left of the answers. Is there more? Requests are none any more. */
static bool flush_all(struct control *c)
{
	bool left = false;

	for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
		struct wire *wire = &c->client[i].wire;

		if (wire->fd >= 0 && wire_flush(wire))
			wire_close(wire);
		left |= wire_pending(wire);
	}
	return left;
}

void control_close(struct control *c)
{
	uint64_t deadline = clock_now() + (uint64_t)LINGER_MS * (CLOCK_SECOND / 1000);

	if (!c)
		return;
	rundir_unlisten(&c->socket);
	while (flush_all(c) && clock_now() < deadline)
		usleep(1000);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		if (c->client[i].wire.fd >= 0)
			wire_close(&c->client[i].wire);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c);
}
