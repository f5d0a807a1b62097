/* SPDX-License-Identifier: MIT */
/* The verbs that ask one device, or end it: info, stats, stop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "devices.h"
#include "exit.h"
#include "log.h"
#include "prometheus.h"
#include "verb_print.h"
#include "verbs.h"

enum { STOP_WAIT_MS = 60000 }; /* all the deadlines of a stop, with some to spare */

int verb_info(const struct verb_call *call)
{
	json_t *answer =
		client_request(call->id, json_pack("{s:s}", "cmd", "info"), CLIENT_WAIT_MS);
	int ret = answer ? 0 : -EIO;

	json_object_del(answer, "ok");
	if (answer && call->options & VERB_JSON)
		ret = verb_print_json(answer);
	else if (answer)
		verb_print_members(answer);
	json_decref(answer);
	return ret ? EXIT_FAILED : EXIT_OK;
}

int verb_stats(const struct verb_call *call)
{
	json_t *answer;
	int ret = -EIO;

	if (call->options & VERB_WATCH)
		return verb_watch(call);
	if (call->frames) {
		log_error("stats: --count is for --watch");
		return EXIT_USAGE;
	}
	answer = client_request(call->id, json_pack("{s:s}", "cmd", "stats"), CLIENT_WAIT_MS);
	if (answer && call->options & VERB_PROMETHEUS)
		ret = prometheus_print(answer);
	else if (answer)
		ret = verb_print_json(json_object_get(answer, "stats"));
	json_decref(answer);
	return ret ? EXIT_FAILED : EXIT_OK;
}

/* One line, or one object of the list. */
static void tell_stopped(const struct verb_call *call, json_t *list, uint32_t id)
{
	if (call->options & VERB_JSON)
		json_array_append_new(list,
				      json_pack("{s:i, s:b}", "number", (int)id, "stopped", 1));
	else
		printf("/dev/ublkb%u: stopped\n", id);
}

static json_t *stop_request(const struct verb_call *call)
{
	return json_pack("{s:s, s:b}", "cmd", "stop", "if_unused",
			 (call->options & VERB_IF_UNUSED) != 0);
}

/* The answer to what client_send has asked. */
static int await_stop(struct client *c)
{
	json_t *answer = client_receive(c, STOP_WAIT_MS);
	const char *error = answer ? client_refusal(answer) : "no answer from its supervisor";
	int ret = error ? -EIO : 0;

	if (error)
		log_error("%u: %s", c->id, error);
	json_decref(answer);
	return ret;
}

/* 0: it is asked, or has ended meanwhile. -errno, logged. */
static int ask_to_stop(struct client *c, uint32_t id, const struct verb_call *call)
{
	int ret = client_open(c, id);

	if (ret == 0)
		(void)client_send(c, stop_request(call));
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return 0;
	if (ret)
		client_explain(id, ret);
	return ret;
}

static int stop_all(const struct verb_call *call, struct devices *devices, json_t *list)
{
	struct client *clients = calloc(devices->count + 1, sizeof(*clients));
	int ret = clients ? 0 : -ENOMEM;

	for (unsigned i = 0; clients && i < devices->count; i++) {
		const struct found *f = &devices->found[i];
		bool ours = f->kind == DEVICE_RUNNING || f->kind == DEVICE_BUSY;

		clients[i].wire.fd = -1;
		if (ours && ask_to_stop(&clients[i], f->id, call))
			ret = -EIO;
	}
	for (unsigned i = 0; clients && i < devices->count; i++) {
		if (clients[i].wire.fd < 0)
			continue;
		if (await_stop(&clients[i]) == 0)
			tell_stopped(call, list, clients[i].id);
		else
			ret = -EIO;
		client_close(&clients[i]);
	}
	free(clients);
	return ret;
}

/* One that has no socket, or one that nobody listens at. */
static int stop_found(const struct verb_call *call, struct devices *devices, json_t *list)
{
	for (unsigned i = 0; i < devices->count; i++) {
		const struct found *f = &devices->found[i];
		int ret;

		if (f->id != call->id)
			continue;
		if (f->kind == DEVICE_WAITING && !f->ours) {
			log_error("%u: is not ublk-lua's: it waits for its next server", f->id);
			return -EBUSY;
		}
		if (f->kind == DEVICE_OTHER) {
			log_error("%u: is not ublk-lua's: process %d serves it; stop that", f->id,
				  f->server);
			return -EBUSY;
		}
		if (f->kind != DEVICE_ORPHAN && f->kind != DEVICE_SOCKET &&
		    f->kind != DEVICE_WAITING) {
			log_error("%u: is just starting; try again", f->id);
			return -EBUSY;
		}
		ret = devices_remove(devices, f);
		if (ret == 0)
			tell_stopped(call, list, f->id);
		return ret;
	}
	log_error("%u: there is no such device; see ublk-lua list", call->id);
	return -ENODEV;
}

static int stop_one(const struct verb_call *call, json_t *list)
{
	struct client c;
	struct devices devices;
	int ret = client_open(&c, call->id);

	if (ret == -ENOENT || ret == -ECONNREFUSED) {
		ret = devices_find(&devices);
		if (ret == 0)
			ret = stop_found(call, &devices, list);
		devices_free(&devices);
		return ret;
	}
	if (ret) {
		client_explain(call->id, ret);
		return ret;
	}
	(void)client_send(&c, stop_request(call));
	ret = await_stop(&c);
	if (ret == 0)
		tell_stopped(call, list, call->id);
	client_close(&c);
	return ret;
}

int verb_stop(const struct verb_call *call)
{
	json_t *list = json_array();
	struct devices devices;
	int ret;

	if (call->options & VERB_ALL) {
		ret = devices_find(&devices);
		if (ret == 0)
			ret = stop_all(call, &devices, list);
		devices_free(&devices);
	} else {
		ret = stop_one(call, list);
	}
	if (call->options & VERB_JSON && verb_print_json(list))
		ret = -EIO;
	json_decref(list);
	return ret ? EXIT_FAILED : EXIT_OK;
}
